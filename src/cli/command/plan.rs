//! `plan` and `explain`: what a build would do, node by node, and why.

use std::{collections::HashMap, path::Path};

use serde_json::{Value as Json, json};
use similar::{ChangeTag, TextDiff};

use super::nodes::{self, Extra};
use crate::{
    cli::{
        args::{PlanOutput, Running},
        config::Config,
        message::Failure,
        stdout::print,
        workspace::target_folder,
    },
    diagnostic::{Diagnostic, Style, render},
    names::{NodeId, ResourceType},
    plan::{Action, Verb},
    run::{Forecast, Why},
    state::Change,
};

/// Lines of a difference that a plan shows; `explain` shows all.
const SHORT: usize = 12;

/// What the last run in `target` says of a node.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    seconds: Option<f64>,
    rows: Option<u64>,
}

/// What `build` would do with the selected nodes.
pub(super) fn plan(running: &Running, output: PlanOutput, config: &Config) -> Result<i32, Failure> {
    let (project, forecasts) = nodes::forecast(Verb::Build, running, Extra::default(), config)?;
    let history = history(&target_folder(&project, config));
    print(&match output {
        PlanOutput::Text => listing(&forecasts, &history),
        PlanOutput::Json => json_of(&forecasts, &history),
    });
    Ok(0)
}

/// Everything that decides about one node.
pub(super) fn explain(name: &str, running: &Running, output: PlanOutput, config: &Config) -> Result<i32, Failure> {
    let mut all = running.clone();
    // what is above decides, so it is looked at too
    all.selecting.select = vec![format!("+{name}")];
    let (project, forecasts) = nodes::forecast(Verb::Build, &all, Extra::default(), config)?;
    let history = history(&target_folder(&project, config));
    let wanted = |f: &&Forecast| {
        project.graph.node(&f.label.id).is_some_and(|n| n.name == name || n.id.as_str() == name || f.label.name.eq_ignore_ascii_case(name))
    };
    let found: Vec<&Forecast> = forecasts.iter().filter(wanted).collect();
    let [forecast] = found.as_slice() else {
        let fault = match found.len() {
            0 => Diagnostic::error("cli/unknown-node", format!("no node that is built is named `{name}`")).help("`segue ls` lists nodes"),
            n => Diagnostic::error("cli/unknown-node", format!("{n} nodes are named `{name}`"))
                .help("give the unique id, as `segue ls --output json` has it"),
        };
        return Err(fault.into());
    };
    print(&match output {
        PlanOutput::Json => json_of(std::slice::from_ref(*forecast), &history),
        PlanOutput::Text => depth(forecast, &forecasts, &history),
    });
    Ok(0)
}

fn history(target: &Path) -> HashMap<NodeId, History> {
    let Ok(text) = std::fs::read_to_string(target.join("run_results.json")) else { return HashMap::new() };
    let Ok(parsed) = serde_json::from_str::<Json>(&text) else { return HashMap::new() };
    let results = parsed.get("results").and_then(Json::as_array).cloned().unwrap_or_default();
    let one = |r: &Json| {
        let id = NodeId::new(r.get("unique_id")?.as_str()?);
        let rows = r.pointer("/adapter_response/rows_affected").and_then(Json::as_u64);
        Some((id, History { seconds: r.get("execution_time").and_then(Json::as_f64), rows }))
    };
    results.iter().filter_map(one).collect()
}

/// `~1,234 rows, 0.4s` of the last time.
fn estimate(history: Option<&History>) -> String {
    let Some(history) = history else { return String::new() };
    let rows = history.rows.map(|n| format!("{n} rows"));
    let time = history.seconds.filter(|s| *s >= 0.05).map(|s| format!("{s:.1}s"));
    let parts: Vec<String> = rows.into_iter().chain(time).collect();
    if parts.is_empty() { String::new() } else { format!("  (last time {})", parts.join(", ")) }
}

fn listing(forecasts: &[Forecast], history: &HashMap<NodeId, History>) -> String {
    let stale: Vec<&Forecast> = forecasts.iter().filter(|f| !f.is_fresh()).collect();
    let is_test = |f: &&&Forecast| matches!(f.label.kind, ResourceType::Test | ResourceType::UnitTest);
    let tests = stale.iter().filter(is_test).count();
    let mut lines = vec![];
    let built: Vec<&&Forecast> = stale.iter().filter(|f| !is_test(f)).collect();
    let asked = built.iter().filter(|f| f.action == Action::Ingest).count();
    let wide = built.iter().map(|f| f.label.what.len() + 1 + f.label.name.len()).max().unwrap_or_default().min(60);
    for forecast in &built {
        let name = format!("{} {}", forecast.label.what, forecast.label.name);
        lines.push(format!("  {name:<wide$}  {}{}", forecast.why.join("; "), estimate(history.get(&forecast.label.id))));
        lines.extend(difference(forecast, Some(SHORT)).into_iter().map(|l| format!("      {l}")));
    }
    let fresh = forecasts.len() - stale.len();
    let seconds: f64 = stale.iter().filter_map(|f| history.get(&f.label.id)?.seconds).sum();
    let head = match stale.len() {
        0 if forecasts.is_empty() => "Nothing is selected.".to_owned(),
        0 => "Nothing would be built: all is fresh.".to_owned(),
        _ => {
            let time = if seconds >= 0.05 { format!(", {seconds:.1}s of work the last time") } else { String::new() };
            let parts = [(asked, "source", "asked for what is new"), (built.len() - asked, "node", "built"), (tests, "test", "run")];
            let parts: Vec<String> =
                parts.iter().filter(|(n, ..)| *n > 0).map(|(n, what, done)| format!("{} would be {done}", count(*n, what))).collect();
            format!("{}{time}.\n", parts.join(", "))
        }
    };
    let mut text = head;
    if !lines.is_empty() {
        text.push_str(&format!("\n{}\n", lines.join("\n")));
    }
    if fresh > 0 {
        text.push_str(&format!(
            "\n{} fresh. `segue explain NODE` tells more of one.",
            if fresh == 1 { "1 is".into() } else { format!("{fresh} are") }
        ));
    }
    text
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Changed lines of the SQL, three lines around them; at most `most`.
fn difference(forecast: &Forecast, most: Option<usize>) -> Vec<String> {
    let Some(assessment) = &forecast.assessment else { return vec![] };
    let changed = assessment.why.iter().find_map(|why| match why {
        Why::Changed(Change::Sql { before, after }) => Some((before, after)),
        _ => None,
    });
    let Some((before, after)) = changed else { return vec![] };
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let mut lines = vec![];
    for group in diff.grouped_ops(1) {
        for op in group {
            for change in diff.iter_changes(&op) {
                let mark = match change.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => ' ',
                };
                lines.push(format!("{mark} {}", change.value().trim_end()));
            }
        }
    }
    match most {
        Some(most) if lines.len() > most => {
            let more = lines.len() - most;
            lines.truncate(most);
            lines.push(format!("... {}", count(more, "more line")));
        }
        _ => {}
    }
    lines
}

fn depth(forecast: &Forecast, all: &[Forecast], history: &HashMap<NodeId, History>) -> String {
    let label = &forecast.label;
    let mut lines = vec![format!("{} {} ({})", label.what, label.name, label.id)];
    let verdict = match (forecast.is_fresh(), &forecast.assessment) {
        (true, Some(a)) if a.not_due.is_some() => format!("is fresh: {}", a.not_due.clone().unwrap_or_default()),
        (true, _) => "is fresh: nothing that it is made from has changed".to_owned(),
        (false, _) => format!("would be built{}:", estimate(history.get(&label.id))),
    };
    lines.push(verdict);
    lines.extend(forecast.why.iter().map(|why| format!("  - {why}")));
    let diff = difference(forecast, None);
    if !diff.is_empty() {
        lines.push("\nHow its SQL has changed:".into());
        lines.extend(diff.into_iter().map(|l| format!("  {l}")));
    }
    if let Some(assessment) = &forecast.assessment {
        if !assessment.inputs.reads.is_empty() {
            lines.push("\nWhat it reads:".into());
            for (relation, identity) in &assessment.inputs.reads {
                let before = assessment.before.as_ref().and_then(|b| b.reads.get(relation));
                let word = match before {
                    _ if identity == "built anew" => "would be built anew",
                    Some(old) if old == identity => "as it was",
                    Some(_) => "has changed",
                    None if assessment.before.is_some() => "was not read before",
                    None => "",
                };
                lines.push(format!("  {relation}  {word}").trim_end().to_owned());
            }
        }
        lines.push("\nConfiguration that counts:".into());
        let config = assessment.inputs.config.iter().filter(|(_, v)| !v.is_empty() && v.as_str() != "{}");
        lines.extend(config.map(|(k, v)| format!("  {k}: {v}")));
        lines.push(format!("\nFingerprint: {}", assessment.inputs.fingerprint()));
        if let Some(before) = &assessment.before {
            lines.push(format!("Recorded:    {}", before.fingerprint()));
        }
    }
    let above: Vec<&Forecast> =
        all.iter().filter(|f| f.label.id != label.id && !f.is_fresh() && f.label.kind != ResourceType::Test).collect();
    if !above.is_empty() && !forecast.is_fresh() {
        lines.push("\nAbove it would be built:".into());
        lines.extend(above.iter().map(|f| format!("  {} {}: {}", f.label.what, f.label.name, f.why.join("; "))));
    }
    if let Some(faults) = &forecast.fault {
        lines.extend(faults.0.iter().map(|d| render(d, Style::Plain)));
    }
    lines.join("\n")
}

fn json_of(forecasts: &[Forecast], history: &HashMap<NodeId, History>) -> String {
    let list: Vec<Json> = forecasts
        .iter()
        .map(|f| {
            let past = history.get(&f.label.id).copied().unwrap_or_default();
            json!({
                "unique_id": f.label.id,
                "resource_type": f.label.kind.as_str(),
                "name": f.label.name,
                "fresh": f.is_fresh(),
                "reasons": f.why,
                "intervals": f.intervals.iter().map(|(from, to)| json!({"from": from, "to": to})).collect::<Vec<_>>(),
                "fingerprint": f.assessment.as_ref().map(|a| a.inputs.fingerprint().to_string()),
                "recorded_fingerprint": f.assessment.as_ref().and_then(|a| a.before.as_ref()).map(|b| b.fingerprint().to_string()),
                "reads": f.assessment.as_ref().map(|a| &a.inputs.reads),
                "diff": difference(f, None),
                "last_seconds": past.seconds,
                "last_rows": past.rows,
            })
        })
        .collect();
    serde_json::to_string_pretty(&json!({"nodes": list})).unwrap_or_default()
}
