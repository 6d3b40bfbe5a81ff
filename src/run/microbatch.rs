//! `incremental_strategy: microbatch`: one query and one commit for each stretch of time (dbt documentation, "About microbatch").
//!
//! A batch reads the rows of its stretch from inputs that have an `event_time`, and replaces the rows of its stretch in the
//! table. A batch that fails leaves the others as they are; `retry` builds the failed ones.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use serde_json::Value as Json;

use super::{
    compile::{placed, whole},
    event::{Batch, Batches, Status},
    hooks, materialize,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{How, RelationKind, Strategy},
    graph::Node,
    names::RelationName,
    project::World,
    template::Rows,
};

pub(super) fn is_batched(node: &Node) -> bool {
    node.config.materialized == "incremental" && node.config.incremental_strategy.as_deref() == Some("microbatch")
}

pub(super) async fn run(task: &Task, progress: &mut Progress, relation: &RelationName) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let settings = Settings::of(node)?;
    let engine = task.context.deps.engine.as_ref();
    let existing = task.context.catalog.find(engine, relation).await.map_err(|e| placed(e, node, None, 0))?;
    let exists = existing.is_some_and(|info| info.kind == RelationKind::Table) && !materialize::full_refresh(task);
    let batches = match task.context.options.batches.get(&node.id) {
        Some(again) => again.clone(),
        None => settings.batches(exists, task.context.options.event_time, task.context.options.now),
    };
    let mut session = engine.session();
    hooks::of_node(task, &node.config.pre_hook, &mut session, true).await?;
    let (mut done, mut rows, mut has_table, mut faults) = (Batches::default(), 0, exists, vec![]);
    let retried = task.context.options.batches.contains_key(&node.id);
    for (number, batch) in batches.iter().enumerate() {
        task.progress(format!("batch {} of {}: {}", number + 1, batches.len(), batch.0.format("%Y-%m-%d %H:%M:%S")));
        match self::batch(task, progress, relation, &settings, *batch, has_table || retried).await {
            Ok(()) => {
                has_table = true;
                rows += progress.rows.unwrap_or_default();
                done.successful.push(*batch);
            }
            Err(Diagnostics(more)) => {
                faults.extend(more);
                done.failed.push(*batch);
                // without a table the next batch would find nothing to add to
                if !has_table {
                    done.failed.extend(&batches[number + 1..]);
                    break;
                }
            }
        }
    }
    progress.rows = Some(rows);
    progress.message = format!("SUCCESS {}", done.successful.len());
    let status = match (done.failed.is_empty(), done.successful.is_empty()) {
        (true, _) => Status::Success,
        (false, false) => Status::PartialSuccess,
        (false, true) => Status::Error,
    };
    if status != Status::Success {
        progress.message = format!("{} of {} batches failed", done.failed.len(), batches.len());
        progress.diagnostics.extend(faults);
    }
    progress.batches = Some(done);
    if status == Status::Success {
        hooks::of_node(task, &node.config.post_hook, &mut session, false).await?;
    }
    Ok(status)
}

async fn batch(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    settings: &Settings,
    batch: Batch,
    has_table: bool,
) -> Result<(), Diagnostics> {
    let empty = task.context.options.empty;
    let rows = if empty { Rows::Nothing } else { Rows::Between(batch.0, batch.1) };
    let world = World { rows: Some(rows), ..World::default() };
    let compiled = task.compile_in(progress, &task.node.id, world).await?;
    let how = match has_table {
        true => {
            let moment = |t: DateTime<Utc>| format!("to_timestamp_tz('{}+00:00')", t.format("%Y-%m-%d %H:%M:%S"));
            let column = &settings.event_time;
            let predicates = vec![format!("{column} >= {}", moment(batch.0)), format!("{column} < {}", moment(batch.1))];
            let strategy = Strategy::Replace { predicates };
            How::Incremental { strategy, on_schema_change: task.node.config.on_schema_change }
        }
        false => How::Table,
    };
    materialize::write(task, progress, relation, &compiled, how, Default::default()).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Hour,
    Day,
    Month,
    Year,
}

struct Settings {
    event_time: String,
    begin: DateTime<Utc>,
    size: Size,
    lookback: u32,
}

impl Settings {
    fn of(node: &Node) -> Result<Self, Diagnostic> {
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

    /// The stretches to build: from `begin` for a new table, else the current one and `lookback` before it; the command
    /// line's moments win.
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

    #[test]
    fn batches_cover_what_is_asked_for() {
        let at = |text: &str| moment(text).expect(text);
        let settings = |size| Settings { event_time: "t".into(), begin: at("2024-01-01"), size, lookback: 1 };
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
}
