//! Which stretch of time an invocation is about: `--sample`, `--event-time-start`, `--event-time-end`; and `seed --show`.

use chrono::{DateTime, TimeDelta, Utc};

use super::{args::Running, config::Config, message::Failure, stdout::print, workspace::Workspace};
use crate::{
    diagnostic::Diagnostic,
    names::ResourceType,
    report::table,
    run::{RunReport, moment},
    template::Rows,
};

/// What models read of their inputs.
pub(super) fn rows(running: &Running, config: &Config) -> Result<Rows, Diagnostic> {
    if running.empty {
        return Ok(Rows::Nothing);
    }
    match &running.sample {
        None => Ok(Rows::All),
        Some(text) => stretch(text, config.now).map(|(from, to)| Rows::Between(from, to)).ok_or_else(|| {
            Diagnostic::error("cli/sample", format!("`{text}` is no sample"))
                .help("write `--sample \"3 days\"`, or `--sample \"{start: '2024-01-01', end: '2024-01-04'}\"`")
        }),
    }
}

/// `3 days` before now, or two moments.
fn stretch(text: &str, now: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if text.trim_start().starts_with('{') {
        let map: serde_json::Map<String, serde_json::Value> = serde_yaml_ng::from_str(text).ok()?;
        let at = |key: &str| map.get(key)?.as_str().and_then(moment);
        return Some((at("start")?, at("end").or_else(|| (!map.contains_key("end")).then_some(now))?));
    }
    let mut words = text.split_whitespace();
    let (count, unit) = (words.next()?.parse::<u32>().ok()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let months = |n: u32| now.checked_sub_months(chrono::Months::new(n));
    let start = match unit.trim_end_matches('s').to_lowercase().as_str() {
        "hour" => now.checked_sub_signed(TimeDelta::hours(i64::from(count)))?,
        "day" => now.checked_sub_signed(TimeDelta::days(i64::from(count)))?,
        "month" => months(count)?,
        "year" => months(count.checked_mul(12)?)?,
        _ => return None,
    };
    Some((start, now))
}

type Moments = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

pub(super) fn event_time(running: &Running) -> Result<Moments, Diagnostic> {
    let read = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => moment(text).map(Some).ok_or_else(|| {
            Diagnostic::error("cli/moment", format!("`{text}` is no moment"))
                .help(format!("write `{flag} 2024-01-31` or `{flag} 2024-01-31T10:00:00`"))
        }),
    };
    let (start, end) = (read("--event-time-start", &running.event_time_start)?, read("--event-time-end", &running.event_time_end)?);
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        return Err(Diagnostic::error("cli/moment", "`--event-time-start` is not before `--event-time-end`"));
    }
    Ok((start, end))
}

/// `seed --show`: the first rows of what was loaded.
pub(super) fn show_seeds(workspace: &Workspace, report: &RunReport, config: &Config) -> Result<(), Failure> {
    for result in report.results.iter().filter(|r| r.node.kind == ResourceType::Seed && !r.status.is_failure()) {
        let Some(relation) = &result.relation_name else { continue };
        let sql = format!("select * from {relation} limit 10");
        if let Ok(outcome) = workspace.runtime.block_on(workspace.engine.session().execute(&sql)) {
            print(&format!("Random sample of table: {relation}\n{}", table::table(&outcome, config.width)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_stretches() {
        let now = moment("2024-03-31T10:00:00").expect("a moment");
        for (text, start, end) in [
            ("3 days", "2024-03-28T10:00:00", "2024-03-31T10:00:00"),
            ("1 hour", "2024-03-31T09:00:00", "2024-03-31T10:00:00"),
            ("1 month", "2024-02-29T10:00:00", "2024-03-31T10:00:00"),
            ("{start: '2024-01-01', end: '2024-01-02'}", "2024-01-01", "2024-01-02"),
        ] {
            assert_eq!(stretch(text, now), Some((moment(start).expect(start), moment(end).expect(end))), "{text}");
        }
        for text in ["", "days", "3", "3 fortnights", "3 days ago", "{}"] {
            assert_eq!(stretch(text, now), None, "{text}");
        }
    }
}
