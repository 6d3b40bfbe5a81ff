//! Which batches of a microbatch model are to be built: those that its table does not have, those whose inputs have other rows
//! than when they were built, and those that the command line names.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use serde_json::Value as Json;

use super::{
    compile::{CompiledNode, placed, whole},
    event::Batch,
    freshness::{self, Assessment, Why},
    materialize,
    step::Task,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::RelationKind,
    graph::Node,
    names::RelationName,
    state::{Change, INTERVALS, Intervals},
};

/// What a build of the model would do.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    pub(super) assessment: Assessment,
    pub(super) batches: Vec<(Batch, Cause)>,
    /// What the table has besides, and keeps.
    pub(super) kept: Intervals,
    /// Whether there is a table to go on from.
    pub(super) exists: bool,
}

/// Why a batch is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The table does not have it: it is new, or it failed the last time.
    Missing,
    /// The table has it, and rows of an input that belong to it came or went since.
    Late,
    /// The table has it, and it is one of the latest ones (`lookback`), with inputs of which nothing closer is known.
    LookedBack,
    /// The command line names it.
    Restated,
}

impl Cause {
    fn words(self, one: bool) -> &'static str {
        match (self, one) {
            (Self::Missing, true) => "interval is missing",
            (Self::Missing, false) => "intervals are missing",
            (Self::Late, true) => "interval has other input rows",
            (Self::Late, false) => "intervals have other input rows",
            (Self::LookedBack, true) => "interval is within the lookback",
            (Self::LookedBack, false) => "intervals are within the lookback",
            (Self::Restated, true) => "interval is restated",
            (Self::Restated, false) => "intervals are restated",
        }
    }
}

impl Agenda {
    /// Of a model whose configuration lacks nothing.
    pub(super) async fn of(task: &Task, relation: &RelationName, compiled: &CompiledNode) -> Result<Self, Diagnostics> {
        let node = &task.node;
        let options = &task.context.options;
        let settings = Settings::of(node)?;
        let mut assessment = freshness::of_model(task, relation, compiled).await?;
        let engine = task.context.deps.engine.as_ref();
        let existing = task.context.catalog.find(engine, relation).await.map_err(|e| placed(e, node, None, 0))?;
        let existing = existing.filter(|info| info.kind == RelationKind::Table && !materialize::full_refresh(task));
        let exists = existing.is_some();
        let done = existing.and_then(|info| Intervals::parse(info.properties.get(INTERVALS)?));
        if assessment.not_due.is_some() {
            return Ok(Self { assessment, exists, ..Self::default() });
        }
        let mut known = Known { exists, done, stale: Intervals::default(), look_back: false };
        for why in &assessment.why {
            match late(task, why, &assessment).await? {
                Some(hours) => hours.into_iter().for_each(|h| known.stale.insert(h)),
                None => known.look_back = true,
            }
        }
        let batches = match options.batches.get(&node.id) {
            Some(again) => again.iter().map(|b| (*b, Cause::Missing)).collect(),
            None => settings.due(options.event_time, options.now, &known),
        };
        let mut kept = match (known.done, exists) {
            (Some(done), _) => done,
            // of a table without a record dbt takes all but the latest for done
            (None, true) => settings.batches(false, (None, None), options.now).into_iter().collect(),
            (None, false) => Intervals::default(),
        };
        // what has to be built again, and is not asked for now, is missing from now on: the inputs are recorded as they are
        known.stale.iter().for_each(|hour| kept.remove(hour));
        if known.look_back && exists {
            settings.batches(true, (None, None), options.now).into_iter().for_each(|batch| kept.remove(batch));
        }
        batches.iter().for_each(|(batch, _)| kept.remove(*batch));
        if batches.is_empty() {
            // the inputs have changed, and no row of any interval
            assessment.why.clear();
        }
        Ok(Self { assessment, batches, kept, exists })
    }

    /// Why it is built, as a plan tells it.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self
            .assessment
            .why
            .iter()
            .filter(|why| !matches!(why, Why::Changed(Change::Input { .. })) || self.batches.iter().any(|(_, c)| *c == Cause::LookedBack))
            .map(ToString::to_string)
            .collect();
        for cause in [Cause::Missing, Cause::Late, Cause::LookedBack, Cause::Restated] {
            let batches: Vec<Batch> = self.batches.iter().filter(|(_, c)| *c == cause).map(|(b, _)| *b).collect();
            if !batches.is_empty() {
                let count = batches.len();
                reasons.push(format!("{count} {}: {}", cause.words(count == 1), Intervals::from_iter(batches)));
            }
        }
        reasons
    }
}

/// Hours in which a changed input has other rows; `None` where something else has changed, or nothing so close is known.
async fn late(task: &Task, why: &Why, assessment: &Assessment) -> Result<Option<Vec<Batch>>, Diagnostics> {
    let Why::Changed(Change::Input { relation }) = why else { return Ok(None) };
    // read without the filter of the batch, somewhere
    if task.node.raw_code.contains(".render()") {
        return Ok(None);
    }
    let compile = &task.context.deps.compile;
    let parent = task
        .node
        .depends_on
        .iter()
        .filter_map(|id| compile.node(id))
        .find(|n| n.relation.as_ref().is_some_and(|r| r.to_string() == *relation));
    let column = parent.as_ref().and_then(|n| Some(n.config.all.get("event_time")?.as_str()?.to_owned()));
    let before = assessment.before.as_ref().and_then(|b| b.reads.get(relation));
    let (Some(parent), Some(column), Some(before)) = (parent, column, before) else { return Ok(None) };
    let Some(name) = &parent.relation else { return Ok(None) };
    let hours = task.context.deps.engine.touched(name, before, &column).await.map_err(|e| placed(e, &task.node, None, 0))?;
    let at = |seconds: i64| DateTime::from_timestamp(seconds, 0);
    Ok(hours.map(|hours| hours.into_iter().filter_map(|(from, to)| Some((at(from)?, at(to)?))).collect()))
}

/// What is known of the table.
#[derive(Debug)]
struct Known {
    exists: bool,
    /// `None`: it was never recorded.
    done: Option<Intervals>,
    /// Of what is done, what has other input rows.
    stale: Intervals,
    /// Something has changed of which nobody knows where.
    look_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Hour,
    Day,
    Month,
    Year,
}

pub(super) struct Settings {
    pub(super) event_time: String,
    begin: DateTime<Utc>,
    size: Size,
    lookback: u32,
}

impl Settings {
    pub(super) fn of(node: &Node) -> Result<Self, Diagnostic> {
        let text = |key: &str| node.config.all.get(key).and_then(Json::as_str);
        let missing = |key: &str, help: &str| {
            let message = format!("Microbatch model '{}' must provide an '{key}' (string) config", node.name);
            Diagnostic::error("run/microbatch", message).at(whole(node), "").help(help.to_owned())
        };
        let event_time = text("event_time").ok_or_else(|| missing("event_time", "the column that tells when a row happened"))?;
        let begin = text("begin").ok_or_else(|| missing("begin", "the moment of the first batch, such as `2024-01-01`"))?;
        let size = match text("batch_size").map(str::to_lowercase).as_deref() {
            Some("hour") => Size::Hour,
            Some("day") => Size::Day,
            Some("month") => Size::Month,
            Some("year") => Size::Year,
            _ => return Err(missing("batch_size", "`hour`, `day`, `month` or `year`")),
        };
        let begin = moment(begin).ok_or_else(|| {
            Diagnostic::error("run/microbatch", format!("`begin` of `{}` is no moment: `{begin}`", node.name)).at(whole(node), "")
        })?;
        let lookback = node.config.all.get("lookback").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        Ok(Self { event_time: event_time.to_owned(), begin, size, lookback })
    }

    /// The stretches to build. The command line's moments win; a table without a record gets what dbt would build.
    fn due(&self, asked: (Option<DateTime<Utc>>, Option<DateTime<Utc>>), now: DateTime<Utc>, known: &Known) -> Vec<(Batch, Cause)> {
        let nothing = Intervals::default();
        let done = known.done.as_ref().unwrap_or(&nothing);
        let window = self.batches(known.exists, asked, now);
        if asked.0.is_some() || asked.1.is_some() || !known.exists {
            let cause = |b: &Batch| if done.covers(*b) { Cause::Restated } else { Cause::Missing };
            return window.into_iter().map(|b| (b, if known.exists { cause(&b) } else { Cause::Missing })).collect();
        }
        if known.done.is_none() {
            return window.into_iter().map(|b| (b, Cause::LookedBack)).collect();
        }
        let since = window.first().map(|b| b.0).filter(|_| known.look_back);
        let all = self.batches(false, asked, now).into_iter();
        all.filter_map(|batch| {
            if !done.covers(batch) {
                Some((batch, Cause::Missing))
            } else if known.stale.overlaps(batch) {
                Some((batch, Cause::Late))
            } else {
                since.filter(|since| batch.0 >= *since).map(|_| (batch, Cause::LookedBack))
            }
        })
        .collect()
    }

    /// From `begin` for a new table, else the current one and `lookback` before it.
    fn batches(&self, exists: bool, asked: (Option<DateTime<Utc>>, Option<DateTime<Utc>>), now: DateTime<Utc>) -> Vec<Batch> {
        // the batch of this moment is incomplete, and is built
        let end = asked.1.unwrap_or(now);
        let last = match self.size.floor(end) {
            floor if floor == end => floor,
            floor => self.size.step(floor, 1),
        };
        let first = match (asked.0, exists) {
            (Some(start), _) => self.size.floor(start),
            (None, false) => self.size.floor(self.begin),
            (None, true) => (0..=self.lookback).fold(last, |t, _| self.size.back(t)).max(self.size.floor(self.begin)),
        };
        let mut batches = vec![];
        let mut from = first;
        while from < last {
            let to = self.size.step(from, 1);
            batches.push((from, to));
            from = to;
        }
        batches
    }
}

impl Size {
    fn floor(self, t: DateTime<Utc>) -> DateTime<Utc> {
        let midnight = |date: Option<NaiveDate>| date.map_or(t, |d| d.and_time(chrono::NaiveTime::MIN).and_utc());
        match self {
            Self::Hour => midnight(Some(t.date_naive())) + TimeDelta::hours(i64::from(t.hour())),
            Self::Day => midnight(Some(t.date_naive())),
            Self::Month => midnight(NaiveDate::from_ymd_opt(t.year(), t.month(), 1)),
            Self::Year => midnight(NaiveDate::from_ymd_opt(t.year(), 1, 1)),
        }
    }

    fn step(self, t: DateTime<Utc>, n: u32) -> DateTime<Utc> {
        match self {
            Self::Hour => t + TimeDelta::hours(i64::from(n)),
            Self::Day => t + TimeDelta::days(i64::from(n)),
            Self::Month => t.checked_add_months(Months::new(n)).unwrap_or(DateTime::<Utc>::MAX_UTC),
            Self::Year => t.checked_add_months(Months::new(12 * n)).unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    fn back(self, t: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Hour => t - TimeDelta::hours(1),
            Self::Day => t - TimeDelta::days(1),
            Self::Month => t.checked_sub_months(Months::new(1)).unwrap_or(t),
            Self::Year => t.checked_sub_months(Months::new(12)).unwrap_or(t),
        }
    }
}

/// A date, or a date with a time; UTC unless it says otherwise.
pub fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(t) = DateTime::parse_from_rfc3339(text) {
        return Some(t.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let time = naive.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
    time.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(chrono::NaiveTime::MIN))).map(|t| t.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        moment(text).expect(text)
    }

    fn settings(size: Size) -> Settings {
        Settings { event_time: "t".into(), begin: at("2024-01-01"), size, lookback: 1 }
    }

    #[test]
    fn batches_cover_what_is_asked_for() {
        let shown = |batches: Vec<Batch>| batches.iter().map(|b| b.0.format("%Y-%m-%d %H").to_string()).collect::<Vec<_>>().join(", ");
        for (size, exists, asked, now, expect) in [
            (Size::Day, false, (None, None), "2024-01-03 10:00", "2024-01-01 00, 2024-01-02 00, 2024-01-03 00"),
            (Size::Day, true, (None, None), "2024-01-09 10:00", "2024-01-08 00, 2024-01-09 00"),
            (Size::Day, true, (Some("2024-01-02"), Some("2024-01-04")), "2025-01-01", "2024-01-02 00, 2024-01-03 00"),
            (Size::Hour, true, (None, None), "2024-01-09 10:30", "2024-01-09 09, 2024-01-09 10"),
            (Size::Month, false, (None, None), "2024-03-01", "2024-01-01 00, 2024-02-01 00"),
            (Size::Year, false, (None, None), "2025-03-01", "2024-01-01 00, 2025-01-01 00"),
            (Size::Day, true, (None, None), "2024-01-01 10:00", "2024-01-01 00"),
        ] {
            let asked = (asked.0.map(at), asked.1.map(at));
            assert_eq!(shown(settings(size).batches(exists, asked, at(now))), expect, "{now}");
        }
    }

    #[test]
    fn what_is_done_is_not_done_again_without_a_cause() {
        for (what, exists, done, stale, look_back, asked, expect) in [
            ("a new table", false, None, "", false, (None, None), "Missing 2024-01-01..2024-01-06"),
            ("nothing recorded", true, None, "", true, (None, None), "LookedBack 2024-01-04..2024-01-06"),
            ("all done", true, Some("2024-01-01..2024-01-06"), "", false, (None, None), ""),
            (
                "a hole, and today",
                true,
                Some("2024-01-01..2024-01-02, 2024-01-03..2024-01-05"),
                "",
                false,
                (None, None),
                "Missing 2024-01-02..2024-01-03, 2024-01-05..2024-01-06",
            ),
            (
                "late rows",
                true,
                Some("2024-01-01..2024-01-06"),
                "2024-01-02T10:00..2024-01-02T11:00",
                false,
                (None, None),
                "Late 2024-01-02..2024-01-03",
            ),
            ("rows of a day to come", true, Some("2024-01-01..2024-01-06"), "2024-02-02T10:00..2024-02-02T11:00", false, (None, None), ""),
            ("who knows where", true, Some("2024-01-01..2024-01-06"), "", true, (None, None), "LookedBack 2024-01-04..2024-01-06"),
            (
                "asked for",
                true,
                Some("2024-01-01..2024-01-06"),
                "",
                false,
                (Some("2024-01-02"), Some("2024-01-04")),
                "Restated 2024-01-02..2024-01-04",
            ),
        ] {
            let known = Known {
                exists,
                done: done.map(|d: &str| Intervals::parse(d).expect(d)),
                stale: Intervals::parse(stale).expect(stale),
                look_back,
            };
            let asked = (asked.0.map(at), asked.1.map(at));
            let due = settings(Size::Day).due(asked, at("2024-01-05 12:00"), &known);
            let cause = due.first().map_or(String::new(), |(_, c)| format!("{c:?} "));
            let shown = format!("{cause}{}", due.iter().map(|(b, _)| *b).collect::<Intervals>());
            assert_eq!(shown, expect, "{what}");
        }
    }
}
