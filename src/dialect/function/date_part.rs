//! Parts of dates and times: their names, and adding, truncating, counting and extracting them (Snowflake documentation,
//! "Date & time functions", "Supported date and time parts", "Calendar weeks and weekdays").

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Weekday};
use datafusion::common::Result;

use super::scalar::fail;
use crate::dialect::{moment::out_of_range, settings::Settings};

/// A date part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    WeekIso,
    YearOfWeek,
    YearOfWeekIso,
    Day,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    EpochSecond,
    EpochMillisecond,
    EpochMicrosecond,
    EpochNanosecond,
    TimezoneHour,
    TimezoneMinute,
}

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// Where weeks begin and how they are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weeks {
    start: u8,
    policy: u8,
}

impl Weeks {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { start: settings.week_start, policy: settings.week_of_year_policy }
    }

    const ISO: Self = Self { start: 1, policy: 0 };

    fn first(self) -> u32 {
        if self.start == 0 { 1 } else { u32::from(self.start) }
    }

    /// Days since the week began.
    fn into_week(self, date: NaiveDate) -> u32 {
        (date.weekday().number_from_monday() + 7 - self.first()) % 7
    }

    pub(super) fn begin(self, date: NaiveDate) -> Result<NaiveDate> {
        date.checked_sub_days(Days::new(self.into_week(date).into())).ok_or_else(out_of_range)
    }

    fn day_of_week(self, date: NaiveDate) -> u32 {
        if self.start == 0 { date.weekday().num_days_from_sunday() } else { self.into_week(date) + 1 }
    }

    /// Year and number of the week.
    fn number(self, date: NaiveDate) -> Result<(i32, u32)> {
        let begin = self.begin(date)?;
        if self.policy == 0 {
            // a week belongs to the year that has most of its days
            let middle = begin.checked_add_days(Days::new(3)).ok_or_else(out_of_range)?;
            return Ok((middle.year(), middle.ordinal0() / 7 + 1));
        }
        let first = self.begin(date.with_ordinal(1).ok_or_else(out_of_range)?)?;
        Ok((date.year(), ((begin - first).num_days() / 7 + 1) as u32))
    }
}

impl Part {
    pub(super) fn find(text: &str) -> Option<Self> {
        Some(match text.trim().to_lowercase().as_str() {
            "year" | "y" | "yy" | "yyy" | "yyyy" | "yr" | "years" | "yrs" => Self::Year,
            "quarter" | "q" | "qtr" | "qtrs" | "quarters" => Self::Quarter,
            "month" | "mm" | "mon" | "mons" | "months" => Self::Month,
            "week" | "w" | "wk" | "weekofyear" | "woy" | "wy" | "weeks" => Self::Week,
            "weekiso" | "week_iso" | "weekofyeariso" | "weekofyear_iso" => Self::WeekIso,
            "yearofweek" => Self::YearOfWeek,
            "yearofweekiso" => Self::YearOfWeekIso,
            "day" | "d" | "dd" | "days" | "dayofmonth" => Self::Day,
            "dayofweek" | "weekday" | "dow" | "dw" => Self::DayOfWeek,
            "dayofweekiso" | "dayofweek_iso" | "weekday_iso" | "dow_iso" | "dw_iso" => Self::DayOfWeekIso,
            "dayofyear" | "yearday" | "doy" | "dy" => Self::DayOfYear,
            "hour" | "h" | "hh" | "hr" | "hours" | "hrs" => Self::Hour,
            "minute" | "m" | "mi" | "min" | "minutes" | "mins" => Self::Minute,
            "second" | "s" | "sec" | "seconds" | "secs" => Self::Second,
            "millisecond" | "ms" | "msec" | "milliseconds" => Self::Millisecond,
            "microsecond" | "us" | "usec" | "microseconds" => Self::Microsecond,
            "nanosecond" | "ns" | "nsec" | "nanosec" | "nsecond" | "nanoseconds" | "nanosecs" | "nseconds" => Self::Nanosecond,
            "epoch_second" | "epoch" | "epoch_seconds" => Self::EpochSecond,
            "epoch_millisecond" | "epoch_milliseconds" => Self::EpochMillisecond,
            "epoch_microsecond" | "epoch_microseconds" => Self::EpochMicrosecond,
            "epoch_nanosecond" | "epoch_nanoseconds" => Self::EpochNanosecond,
            "timezone_hour" | "tzh" => Self::TimezoneHour,
            "timezone_minute" | "tzm" => Self::TimezoneMinute,
            _ => return None,
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        Self::find(text).map_or_else(|| fail(format!("'{text}' is not a valid date/time component")), Ok)
    }

    /// Whether it is a part of a day.
    pub(super) fn within_day(self) -> bool {
        self.nanos().is_some()
    }

    /// The length of a part that always is as long.
    fn nanos(self) -> Option<i64> {
        Some(match self {
            Self::Hour => 3_600_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Second => 1_000_000_000,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1000,
            Self::Nanosecond => 1,
            _ => return None,
        })
    }

    fn refused<T>(self, what: &str) -> Result<T> {
        fail(format!("{self:?} is not a date/time component that {what} takes").to_lowercase())
    }
}

/// `n` parts later; the day of a month is cut at the month's last.
pub(super) fn add(t: NaiveDateTime, part: Part, n: i64) -> Result<NaiveDateTime> {
    let months = |n: Option<i64>| -> Result<NaiveDateTime> {
        let n = n.ok_or_else(out_of_range)?;
        let count = Months::new(u32::try_from(n.unsigned_abs()).map_err(|_| out_of_range())?);
        if n >= 0 { t.checked_add_months(count) } else { t.checked_sub_months(count) }.ok_or_else(out_of_range)
    };
    let delta = |d: Option<TimeDelta>| d.and_then(|d| t.checked_add_signed(d)).ok_or_else(out_of_range);
    match part {
        Part::Year => months(n.checked_mul(12)),
        Part::Quarter => months(n.checked_mul(3)),
        Part::Month => months(Some(n)),
        Part::Week | Part::WeekIso => delta(TimeDelta::try_weeks(n)),
        Part::Day | Part::DayOfWeek | Part::DayOfWeekIso | Part::DayOfYear => delta(TimeDelta::try_days(n)),
        Part::Hour => delta(TimeDelta::try_hours(n)),
        Part::Minute => delta(TimeDelta::try_minutes(n)),
        Part::Second => delta(TimeDelta::try_seconds(n)),
        Part::Millisecond => delta(TimeDelta::try_milliseconds(n)),
        Part::Microsecond => delta(Some(TimeDelta::microseconds(n))),
        Part::Nanosecond => delta(Some(TimeDelta::nanoseconds(n))),
        other => other.refused("an addition"),
    }
}

pub(super) fn truncate(t: NaiveDateTime, part: Part, weeks: Weeks) -> Result<NaiveDateTime> {
    let date = t.date();
    let day = |d: Option<NaiveDate>| d.map(|d| d.and_time(NaiveTime::MIN)).ok_or_else(out_of_range);
    match part {
        Part::Year => day(date.with_ordinal(1)),
        Part::Quarter => day(date.with_day(1).and_then(|d| d.with_month((d.month0() / 3) * 3 + 1))),
        Part::Month => day(date.with_day(1)),
        Part::Week => day(Some(weeks.begin(date)?)),
        Part::WeekIso => day(Some(Weeks::ISO.begin(date)?)),
        Part::YearOfWeek => {
            let (year, _) = weeks.number(date)?;
            // the fourth day of January is in the year's first week, or its first is
            let inside = NaiveDate::from_ymd_opt(year, 1, if weeks.policy == 0 { 4 } else { 1 }).ok_or_else(out_of_range)?;
            day(Some(weeks.begin(inside)?))
        }
        Part::YearOfWeekIso => day(NaiveDate::from_isoywd_opt(date.iso_week().year(), 1, Weekday::Mon)),
        Part::Day => day(Some(date)),
        other => match other.nanos() {
            Some(unit) => {
                let nanos = i64::from(t.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(t.nanosecond() % 1_000_000_000);
                date.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::nanoseconds(nanos - nanos % unit)).ok_or_else(out_of_range)
            }
            None => other.refused("a truncation"),
        },
    }
}

fn nanos_of(t: NaiveDateTime) -> i128 {
    let utc = t.and_utc();
    i128::from(utc.timestamp()) * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos())
}

/// Boundaries crossed, not time elapsed.
pub(super) fn difference(part: Part, from: NaiveDateTime, to: NaiveDateTime, weeks: Weeks) -> Result<i64> {
    let months = |t: NaiveDateTime| i64::from(t.year()) * 12 + i64::from(t.month0());
    let per = |unit: i128| i64::try_from(nanos_of(to).div_euclid(unit) - nanos_of(from).div_euclid(unit)).map_err(|_| out_of_range());
    let between_weeks = |weeks: Weeks| Ok((weeks.begin(to.date())? - weeks.begin(from.date())?).num_days() / 7);
    match part {
        Part::Year => Ok(i64::from(to.year()) - i64::from(from.year())),
        Part::YearOfWeek => Ok(i64::from(weeks.number(to.date())?.0) - i64::from(weeks.number(from.date())?.0)),
        Part::YearOfWeekIso => Ok(i64::from(to.iso_week().year()) - i64::from(from.iso_week().year())),
        Part::Quarter => Ok(months(to).div_euclid(3) - months(from).div_euclid(3)),
        Part::Month => Ok(months(to) - months(from)),
        Part::Week => between_weeks(weeks),
        Part::WeekIso => between_weeks(Weeks::ISO),
        Part::Day | Part::DayOfWeek | Part::DayOfWeekIso | Part::DayOfYear => per(NANOS_PER_DAY),
        other => match other.nanos() {
            Some(unit) => per(unit.into()),
            None => other.refused("a difference"),
        },
    }
}

/// The value of a part; `utc` and `offset` (in seconds) only count for epochs and time zones.
pub(super) fn extract(part: Part, t: NaiveDateTime, offset: i32, weeks: Weeks) -> Result<i64> {
    let date = t.date();
    let epoch = |unit: i128| {
        let nanos = nanos_of(t) - i128::from(offset) * 1_000_000_000;
        i64::try_from(nanos.div_euclid(unit)).map_err(|_| out_of_range())
    };
    Ok(match part {
        Part::Year => t.year().into(),
        Part::Quarter => (t.month0() / 3 + 1).into(),
        Part::Month => t.month().into(),
        Part::Week => weeks.number(date)?.1.into(),
        Part::WeekIso => date.iso_week().week().into(),
        Part::YearOfWeek => weeks.number(date)?.0.into(),
        Part::YearOfWeekIso => date.iso_week().year().into(),
        Part::Day => t.day().into(),
        Part::DayOfWeek => weeks.day_of_week(date).into(),
        Part::DayOfWeekIso => t.weekday().number_from_monday().into(),
        Part::DayOfYear => t.ordinal().into(),
        Part::Hour => t.hour().into(),
        Part::Minute => t.minute().into(),
        Part::Second => t.second().into(),
        Part::Millisecond => (t.nanosecond() / 1_000_000).into(),
        Part::Microsecond => (t.nanosecond() / 1000).into(),
        Part::Nanosecond => t.nanosecond().into(),
        Part::EpochSecond => epoch(1_000_000_000)?,
        Part::EpochMillisecond => epoch(1_000_000)?,
        Part::EpochMicrosecond => epoch(1000)?,
        Part::EpochNanosecond => epoch(1)?,
        Part::TimezoneHour => (offset / 3600).into(),
        Part::TimezoneMinute => (offset / 60 % 60).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::moment::parse_auto;

    fn t(text: &str) -> NaiveDateTime {
        parse_auto(text).expect(text).wall
    }

    #[test]
    fn differences_count_boundaries() {
        for (part, a, b, wanted) in [
            ("year", "2023-12-31", "2024-01-01", 1),
            ("month", "2024-01-31", "2024-02-01", 1),
            ("week", "2025-02-23", "2025-02-24", 1),
            ("day", "2024-01-01 23:59:59", "2024-01-02 00:00:00", 1),
            ("hour", "2024-01-01 00:59:59", "2024-01-01 01:00:00", 1),
            ("quarter", "2024-03-31", "2024-01-01", 0),
            ("day", "2024-01-02", "2024-01-01", -1),
            ("ns", "2024-01-01 00:00:00", "2024-01-01 00:00:00.000000123", 123),
        ] {
            let weeks = Weeks { start: 0, policy: 0 };
            assert_eq!(difference(Part::parse(part).expect(part), t(a), t(b), weeks).expect(part), wanted, "{part} {a} {b}");
        }
    }

    #[test]
    fn weeks_follow_the_session() {
        // Snowflake documentation, "Calendar weeks and weekdays"
        for (start, policy, date, week, year, day) in [
            (0, 0, "2017-01-01", 52, 2016, 0),
            (0, 0, "2017-01-02", 1, 2017, 1),
            (3, 0, "2017-01-03", 53, 2016, 7),
            (3, 0, "2017-01-04", 1, 2017, 1),
            (1, 1, "2016-12-30", 53, 2016, 5),
            (1, 1, "2017-01-02", 2, 2017, 1),
            (3, 1, "2017-01-03", 1, 2017, 7),
            (7, 0, "2016-01-02", 52, 2015, 7),
        ] {
            let weeks = Weeks { start, policy };
            let value = |part| extract(part, t(date), 0, weeks).expect(date);
            assert_eq!((value(Part::Week), value(Part::YearOfWeek), value(Part::DayOfWeek)), (week, year, day), "{start} {policy} {date}");
        }
    }

    #[test]
    fn truncation() {
        let iso = Weeks { start: 0, policy: 0 };
        assert_eq!(truncate(t("2025-02-27 11:30:00"), Part::Week, iso).expect("ok"), t("2025-02-24"));
        assert_eq!(truncate(t("2025-02-27 11:30:45.678"), Part::Minute, iso).expect("ok"), t("2025-02-27 11:30:00"));
        assert_eq!(add(t("2024-01-31"), Part::Month, 1).expect("ok"), t("2024-02-29"));
        assert!(truncate(t("2024-01-31"), Part::EpochSecond, iso).is_err());
    }
}
