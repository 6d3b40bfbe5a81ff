//! `maintain`: looks after the tables of the chosen nodes, and tells what that did. No row changes, and nothing becomes stale.

use std::time::{Duration, SystemTime};

use crate::{
    cli::{
        args::Selecting,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, chosen, load},
    },
    diagnostic::Diagnostic,
    engine::{Upkeep, Upkept},
    graph::Node,
    names::{RelationName, ResourceType},
};

pub(super) fn run(selecting: &Selecting, dry_run: bool, retention: &str, config: &Config) -> Result<i32, Failure> {
    let upkeep = Upkeep { retention: length(retention)?, dry_run, now: SystemTime::now() };
    let project = load("maintain", &[], config)?;
    let selection = chosen(&project, selecting, config)?;
    let relations: Vec<RelationName> = selection.nodes.iter().filter_map(|id| project.graph.node(id)).flat_map(relations).collect();
    let workspace = Workspace::open(project)?;
    let (mut looked_at, mut total, mut busy) = (0, Upkept::default(), 0);
    for relation in &relations {
        let done = workspace.runtime.block_on(workspace.engine.maintain(relation, &upkeep)).map_err(message::of_engine)?;
        let Some(done) = done else { continue };
        looked_at += 1;
        busy += usize::from(done.busy);
        if !done.is_nothing() {
            print(&format!("{relation}: {}\n", told(&done, dry_run)));
        }
        total.joined += done.joined;
        total.joined_into += done.joined_into;
        total.removed += done.removed;
        total.removed_bytes += done.removed_bytes;
        total.log_entries += done.log_entries;
    }
    let end = match (total.is_nothing(), looked_at) {
        (_, 0) => "no tables to look after".to_owned(),
        (true, n) => format!("{n} tables looked at, nothing to do"),
        (false, n) => format!("{n} tables looked at: {}", told(&total, dry_run)),
    };
    let left = if busy == 0 { String::new() } else { format!("; {busy} left alone because another build works on them") };
    message::note(&format!("{end}{left}"), config);
    Ok(0)
}

/// The tables of a node: a source's own has its raw responses and its rejects beside it.
fn relations(node: &Node) -> Vec<RelationName> {
    let Some(relation) = &node.relation else { return vec![] };
    let ingested = node.source.as_ref().is_some_and(|s| s.adapter.is_some());
    match node.kind {
        ResourceType::Source if ingested => vec![relation.clone(), relation.with_suffix("__raw"), relation.with_suffix("__rejected")],
        ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot | ResourceType::Test => vec![relation.clone()],
        _ => vec![],
    }
}

fn told(done: &Upkept, dry_run: bool) -> String {
    if done.busy {
        return "left alone, another build works on it".to_owned();
    }
    let mut parts = vec![];
    if done.joined > 0 {
        parts.push(format!(
            "{} files {} into {}",
            done.joined,
            if dry_run { "would be put together" } else { "put together" },
            done.joined_into
        ));
    }
    if done.removed > 0 {
        let what = if dry_run { "would be removed" } else { "removed" };
        parts.push(format!("{} files that nothing needs {what} ({})", done.removed, size(done.removed_bytes)));
    }
    if done.checkpoint {
        parts.push(if dry_run { "a checkpoint would be written" } else { "checkpoint written" }.to_owned());
    }
    if done.log_entries > 0 {
        parts.push(format!("{} entries of the log {}", done.log_entries, if dry_run { "would be removed" } else { "removed" }));
    }
    parts.join(", ")
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let (mut n, mut unit) = (bytes as f64, 0);
    while n >= 1000.0 && unit + 1 < UNITS.len() {
        n /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{n:.1} {}", UNITS[unit]) }
}

/// `7 days`, `12 hours`, `30m`.
fn length(text: &str) -> Result<Duration, Diagnostic> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = (trimmed[..end].parse::<u64>().ok(), trimmed[end..].trim().to_lowercase());
    let seconds = match unit.as_str() {
        "s" | "second" | "seconds" => Some(1),
        "m" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(60 * 60),
        "d" | "day" | "days" => Some(24 * 60 * 60),
        _ => None,
    };
    match number.zip(seconds).and_then(|(number, seconds)| number.checked_mul(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => {
            let fault = Diagnostic::error("cli/retention", format!("`{text}` is no length of time"));
            Err(fault.help("write a whole number and a unit: `12 hours`, `7 days`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_numbers_with_units() {
        for (text, seconds) in
            [("7 days", Some(604_800)), ("12h", Some(43_200)), ("0 seconds", Some(0)), ("days", None), ("7", None), ("-1 day", None)]
        {
            assert_eq!(length(text).ok().map(|d| d.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn what_was_done_is_one_line() {
        let done = Upkept { joined: 12, joined_into: 1, removed: 3, removed_bytes: 2_500_000, checkpoint: true, ..Upkept::default() };
        assert_eq!(told(&done, false), "12 files put together into 1, 3 files that nothing needs removed (2.5 MB), checkpoint written");
        assert_eq!(told(&Upkept { busy: true, ..Upkept::default() }, true), "left alone, another build works on it");
    }
}
