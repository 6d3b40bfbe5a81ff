//! Stretches of time as a compact set: sorted, disjoint, joined where they touch. A table that is built interval by interval
//! records in its own metadata which it has (docs/intervals.md).
//!
//! Written `2024-01-01..2024-03-01, 2024-03-05T06:00..2024-03-05T08:00`: from the first moment to before the second, UTC.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Key of a publish's properties.
pub const INTERVALS: &str = "segue.intervals";

/// From the first moment to before the second.
pub type Interval = (DateTime<Utc>, DateTime<Utc>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        self.0.iter().copied()
    }

    pub fn insert(&mut self, (mut from, mut to): Interval) {
        if from >= to {
            return;
        }
        self.0.retain(|&(f, t)| {
            let apart = t < from || f > to;
            if !apart {
                (from, to) = (from.min(f), to.max(t));
            }
            apart
        });
        let at = self.0.partition_point(|&(f, _)| f < from);
        self.0.insert(at, (from, to));
    }

    pub fn remove(&mut self, (from, to): Interval) {
        if from >= to {
            return;
        }
        let old = std::mem::take(&mut self.0);
        for (f, t) in old {
            self.0.extend([(f, t.min(from)), (f.max(to), t)].into_iter().filter(|(f, t)| f < t));
        }
    }

    /// All of the stretch is in it.
    pub fn covers(&self, (from, to): Interval) -> bool {
        self.before(to).is_some_and(|&(f, t)| f <= from && to <= t)
    }

    /// Something of the stretch is in it.
    pub fn overlaps(&self, (from, to): Interval) -> bool {
        self.before(to).is_some_and(|&(_, t)| t > from)
    }

    /// The last one that begins before a moment.
    fn before(&self, moment: DateTime<Utc>) -> Option<&Interval> {
        self.0[..self.0.partition_point(|&(f, _)| f < moment)].last()
    }

    /// What [`Self`] was written as.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (from, to) = part.split_once("..")?;
            all.insert((moment(from)?, moment(to)?));
        }
        Some(all)
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<T: IntoIterator<Item = Interval>>(intervals: T) -> Self {
        let mut all = Self::default();
        for interval in intervals {
            all.insert(interval);
        }
        all
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to)) in self.0.iter().enumerate() {
            write!(f, "{}{}..{}", if i == 0 { "" } else { ", " }, shown(*from), shown(*to))?;
        }
        Ok(())
    }
}

fn shown(t: DateTime<Utc>) -> String {
    let format = match (t.time() == NaiveTime::MIN, t.timestamp() % 60 == 0) {
        (true, _) => "%Y-%m-%d",
        (false, true) => "%Y-%m-%dT%H:%M",
        (false, false) => "%Y-%m-%dT%H:%M:%S",
    };
    t.format(format).to_string()
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let time = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
    time.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN))).map(|t| t.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Intervals {
        Intervals::parse(text).expect(text)
    }

    fn one(text: &str) -> Interval {
        set(text).0[0]
    }

    #[test]
    fn sets() {
        for (start, insert, remove, expect) in [
            ("", "2024-01-01..2024-01-02", "", "2024-01-01..2024-01-02"),
            ("2024-01-01..2024-01-02", "2024-01-02..2024-01-03", "", "2024-01-01..2024-01-03"),
            (
                "2024-01-01..2024-01-02, 2024-01-05..2024-01-06",
                "2024-01-03..2024-01-04",
                "",
                "2024-01-01..2024-01-02, 2024-01-03..2024-01-04, 2024-01-05..2024-01-06",
            ),
            ("2024-01-01..2024-01-02, 2024-01-03..2024-01-04", "2024-01-02..2024-01-03", "", "2024-01-01..2024-01-04"),
            ("2024-01-01..2024-01-09", "", "2024-01-03..2024-01-04", "2024-01-01..2024-01-03, 2024-01-04..2024-01-09"),
            ("2024-01-01..2024-01-09", "", "2023-01-03..2025-01-04", ""),
            ("2024-01-01..2024-01-02", "2024-01-01T06:00..2024-01-02T07:30:15", "", "2024-01-01..2024-01-02T07:30:15"),
        ] {
            let mut intervals = set(start);
            set(insert).0.into_iter().for_each(|i| intervals.insert(i));
            set(remove).0.into_iter().for_each(|i| intervals.remove(i));
            assert_eq!(intervals.to_string(), expect);
            assert_eq!(set(expect), intervals, "it is read back");
        }
    }

    #[test]
    fn what_is_in_it() {
        let intervals = set("2024-01-01..2024-01-03, 2024-01-05..2024-01-06");
        for (asked, covers, overlaps) in [
            ("2024-01-01..2024-01-02", true, true),
            ("2024-01-01..2024-01-03", true, true),
            ("2024-01-02..2024-01-04", false, true),
            ("2024-01-03..2024-01-05", false, false),
            ("2024-01-04..2024-01-07", false, true),
            ("2023-12-31..2024-01-01", false, false),
        ] {
            assert_eq!((intervals.covers(one(asked)), intervals.overlaps(one(asked))), (covers, overlaps), "{asked}");
        }
        assert_eq!(Intervals::parse("yesterday..today"), None);
    }

    /// Against the plainest set there is: one flag per hour.
    #[test]
    fn as_a_flag_per_hour() {
        let mut state: u64 = 7;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let at = |hour: u64| DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour as i64);
        let (mut set, mut flags) = (Intervals::default(), [false; 40]);
        for _ in 0..2000 {
            let (from, length, add) = (next(36), 1 + next(4), next(2) == 0);
            flags[from as usize..(from + length) as usize].fill(add);
            let interval = (at(from), at(from + length));
            if add {
                set.insert(interval)
            } else {
                set.remove(interval)
            }
            for hour in 0..40 {
                assert_eq!(set.covers((at(hour), at(hour + 1))), flags[hour as usize], "{set}");
            }
            assert!(set.0.windows(2).all(|w| w[0].1 < w[1].0), "{set}");
        }
    }
}
