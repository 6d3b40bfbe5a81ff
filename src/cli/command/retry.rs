//! `retry`: what failed or was skipped in the last run, with that run's command and flags.

use std::{collections::HashMap, path::Path};

use serde_json::Value as Json;

use super::nodes::{self, Extra};
use crate::{
    cli::{
        args::{Running, Selecting},
        config::Config,
        message::{self, Failure},
        workspace::{load, target_folder},
    },
    diagnostic::Diagnostic,
    names::NodeId,
    plan::Verb,
    run::{event::Batch, moment},
};

/// Statuses that are worth another try (dbt documentation, "About dbt retry command").
const AGAIN: [&str; 5] = ["error", "fail", "skipped", "runtime error", "partial success"];

pub(super) fn run(state: Option<&Path>, config: &Config) -> Result<i32, Failure> {
    let folder = match state {
        Some(state) => state.to_owned(),
        None => {
            let project = load("retry", &[], config)?;
            target_folder(&project, config)
        }
    };
    let path = folder.join("run_results.json");
    let text = std::fs::read_to_string(&path).map_err(|_| {
        Diagnostic::error("cli/retry", format!("Could not find previous run in '{}' target directory", folder.display()))
            .help("run a command first, or name the folder of its artifacts with `--state`")
    })?;
    let before: Json =
        serde_json::from_str(&text).map_err(|e| Diagnostic::error("cli/retry", format!("`{}` is no artifact: {e}", path.display())))?;
    let args = before.get("args").cloned().unwrap_or(Json::Null);
    let which = args.get("which").and_then(Json::as_str).unwrap_or_default();
    let verb = [Verb::Build, Verb::Run, Verb::Test, Verb::Seed, Verb::Snapshot, Verb::Clone, Verb::Ingest]
        .into_iter()
        .find(|v| v.as_str() == which);
    let Some(verb) = verb else {
        return Err(Diagnostic::error("cli/retry", format!("the last run was `{which}`, which cannot be retried")).into());
    };
    let results = || before.get("results").and_then(Json::as_array).into_iter().flatten();
    let id = |r: &Json| r.get("unique_id").and_then(Json::as_str).map(NodeId::new);
    let failed = results().filter(|r| r.get("status").and_then(Json::as_str).is_some_and(|s| AGAIN.contains(&s)));
    let only: Vec<NodeId> = failed.clone().filter_map(id).collect();
    let batches: HashMap<NodeId, Vec<Batch>> = failed.filter_map(|r| Some((id(r)?, failed_batches(r)?))).collect();
    if only.is_empty() {
        message::note("Nothing to do: nothing failed the last time.", config);
    }
    let mut config = config.clone();
    let text = |key: &str| args.get(key).and_then(Json::as_str).map(str::to_owned);
    if config.vars.is_none() {
        config.vars = text("vars");
    }
    config.target = config.target.or_else(|| text("target"));
    config.profile = config.profile.or_else(|| text("profile"));
    let flag = |key: &str| args.get(key).and_then(Json::as_bool) == Some(true);
    let running = Running {
        selecting: Selecting {
            defer: flag("defer"),
            favor_state: flag("favor_state"),
            state: text("state").map(Into::into),
            ..Selecting::default()
        },
        full_refresh: flag("full_refresh"),
        store_failures: flag("store_failures"),
        empty: flag("empty"),
        sample: text("sample"),
        event_time_start: text("event_time_start"),
        event_time_end: text("event_time_end"),
        ..Running::default()
    };
    nodes::run_with(verb, &running, Extra { only: Some(only), batches }, &config)
}

/// Of a microbatch model that succeeded in part: the stretches that failed.
fn failed_batches(result: &Json) -> Option<Vec<Batch>> {
    let failed = result.get("batch_results")?.get("failed")?.as_array()?;
    let batch = |pair: &Json| Some((moment(pair.get(0)?.as_str()?)?, moment(pair.get(1)?.as_str()?)?));
    let batches: Vec<Batch> = failed.iter().filter_map(batch).collect();
    // a model that failed as a whole is built as a whole
    let some_well = result.get("batch_results")?.get("successful")?.as_array().is_some_and(|s| !s.is_empty());
    (some_well && !batches.is_empty()).then_some(batches)
}
