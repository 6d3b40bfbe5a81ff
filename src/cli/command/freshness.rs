//! `source freshness`: the age of each source's newest row against what its `freshness:` allows, as dbt's `sources.json`.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value as Json, json};

use crate::{
    cli::{
        args::Selecting,
        artifacts,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, chosen, load, target_folder},
    },
    diagnostic::{Diagnostic, Style, render},
    engine::{Outcome, value},
    graph::Node,
    names::{RelationName, ResourceType},
    project::{Project, World},
    run::moment,
    state::{manifest::DBT_VERSION, write_atomically},
};

pub(super) fn run(selecting: &Selecting, output: Option<&Path>, config: &Config) -> Result<i32, Failure> {
    let project = load("source freshness", &[], config)?;
    let workspace = Workspace::open(project.clone())?;
    let selection = chosen(&project, selecting, config)?;
    let sources = selection.nodes.iter().filter_map(|id| project.graph.node(id)).filter(|n| n.kind == ResourceType::Source);
    let (mut results, mut failed) = (vec![], false);
    for node in sources.filter(|n| criteria(n).is_some()) {
        let started = Utc::now();
        let result = match check(node, &project, &workspace, config) {
            Ok((status, newest, checked)) => {
                failed |= status == "error";
                print(&format!("{:<8} freshness of {}", status.to_uppercase(), label(node)));
                entry(node, status, newest, checked, started)
            }
            Err(fault) => {
                failed = true;
                print(&format!("{:<8} freshness of {}", "ERROR", label(node)));
                message::failure(&Failure::of_work(fault.clone()), config);
                json!({"unique_id": node.id, "error": render(&fault, Style::Plain), "status": "runtime error"})
            }
        };
        results.push(result);
    }
    let elapsed = (Utc::now() - config.now).as_seconds_f64();
    let file = json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json",
            "dbt_version": DBT_VERSION,
            "generated_at": time(Utc::now()),
            "invocation_id": config.invocation.to_string(),
            "invocation_started_at": time(config.now),
            "env": config.custom_env,
        },
        "results": results,
        "elapsed_time": elapsed,
    });
    let target = target_folder(&project, config);
    let path = output.map_or_else(|| target.join("sources.json"), |o| project.root.join(o));
    write_atomically(&path, file.to_string().as_bytes())?;
    artifacts::write_manifest(&target, &project, Default::default(), config)?;
    Ok(i32::from(failed))
}

fn label(node: &Node) -> String {
    node.source.as_ref().map_or_else(|| node.name.clone(), |s| format!("{}.{}", s.source_name, s.table_name))
}

fn time(t: DateTime<Utc>) -> String {
    t.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The mapping, where it asks for anything.
fn criteria(node: &Node) -> Option<&Map<String, Json>> {
    let freshness = node.source.as_ref()?.freshness.as_ref()?.as_object()?;
    let asks = |key: &str| freshness.get(key).and_then(|c| c.get("count")).is_some_and(|c| !c.is_null());
    (asks("warn_after") || asks("error_after")).then_some(freshness)
}

fn entry(node: &Node, status: &str, newest: DateTime<Utc>, checked: DateTime<Utc>, started: DateTime<Utc>) -> Json {
    let now = Utc::now();
    let threshold = |key: &str| criteria(node).and_then(|c| c.get(key)).filter(|v| v.is_object()).cloned();
    let filter = criteria(node).and_then(|c| c.get("filter")).cloned().unwrap_or(Json::Null);
    json!({
        "unique_id": node.id,
        "max_loaded_at": time(newest),
        "snapshotted_at": time(checked),
        "max_loaded_at_time_ago_in_s": (checked - newest).as_seconds_f64(),
        "status": status,
        "criteria": {
            "warn_after": threshold("warn_after").unwrap_or(json!({"count": null, "period": null})),
            "error_after": threshold("error_after").unwrap_or(json!({"count": null, "period": null})),
            "filter": filter,
        },
        "adapter_response": {},
        "timing": [{"name": "execute", "started_at": time(started), "completed_at": time(now)}],
        "thread_id": "MainThread",
        "execution_time": (now - started).as_seconds_f64(),
    })
}

/// Status, the newest row's moment, the moment of the question.
fn check(
    node: &Node,
    project: &Project,
    workspace: &Workspace,
    config: &Config,
) -> Result<(&'static str, DateTime<Utc>, DateTime<Utc>), Diagnostic> {
    let place = node.declared_at();
    let fault = |message: String| Diagnostic::error("check/freshness", message).at(place.clone(), "this source");
    let relation = node.relation.as_ref().ok_or_else(|| fault(format!("`{}` has no table", node.name)))?;
    let text = |key: &str| node.extra.get(key).or_else(|| node.config.all.get(key)).and_then(Json::as_str).map(str::to_owned);
    let filter = criteria(node).and_then(|c| c.get("filter")).and_then(Json::as_str).map(|f| format!(" where {f}")).unwrap_or_default();
    let sql = match (text("loaded_at_query"), node.source.as_ref().and_then(|s| s.loaded_at_field.clone())) {
        (Some(query), _) => {
            let rendered = project.render_text(&query, &place, Some(&node.id), &World::default(), &workspace.introspection());
            let query = rendered.map_err(|faults| first(faults.0, &fault))?.sql;
            query.trim().trim_end_matches(';').to_owned()
        }
        (None, Some(field)) => {
            format!("select max({field}) as max_loaded_at, current_timestamp() as snapshotted_at from {relation}{filter}")
        }
        (None, None) => match loaded(node, relation) {
            Some((column, table)) => {
                format!("select max({column}) as max_loaded_at, current_timestamp() as snapshotted_at from {table}{filter}")
            }
            None => return Err(fault(format!("`{}` says neither `loaded_at_field` nor `loaded_at_query`", label(node)))),
        },
    };
    let outcome = workspace.runtime.block_on(workspace.engine.session().execute(&sql)).map_err(|e| {
        let of_engine = message::of_engine(e);
        Diagnostic { place: Some(place.clone()), ..of_engine }
    })?;
    let newest = newest(&outcome).ok_or_else(|| fault(format!("no row of `{}` says when it was loaded", label(node))))?;
    let checked = config.now.max(Utc::now());
    let age = checked - newest;
    let exceeds = |key: &str| criteria(node).and_then(|c| period(c.get(key)?)).is_some_and(|allowed| age > allowed);
    let status = match (exceeds("error_after"), exceeds("warn_after")) {
        (true, _) => "error",
        (_, true) => "warn",
        _ => "pass",
    };
    Ok((status, newest, checked))
}

/// What ingest itself keeps of a source whose project names no field: the messages' own time, when the newest file was written,
/// when the last response came.
fn loaded(node: &Node, relation: &RelationName) -> Option<(&'static str, RelationName)> {
    match node.source.as_ref()?.adapter.as_ref()?.type_.as_str() {
        "kafka" => Some(("_TIMESTAMP", relation.clone())),
        "s3" | "file" => Some(("MODIFIED", relation.with_suffix("__files"))),
        "chart" | "spotify_api" | "lastfm" => Some(("FETCHED_AT", relation.with_suffix("__raw"))),
        _ => None,
    }
}

fn first(mut faults: Vec<Diagnostic>, fault: &dyn Fn(String) -> Diagnostic) -> Diagnostic {
    if faults.is_empty() { fault("the query cannot be rendered".into()) } else { faults.remove(0) }
}

/// `{count: 12, period: hour}`
fn period(threshold: &Json) -> Option<TimeDelta> {
    let count = threshold.get("count").and_then(|c| c.as_i64().or_else(|| c.as_str()?.parse().ok()))?;
    match threshold.get("period")?.as_str()? {
        "minute" => TimeDelta::try_minutes(count),
        "hour" => TimeDelta::try_hours(count),
        "day" => TimeDelta::try_days(count),
        _ => None,
    }
}

/// The first column of the first row; without a zone it is UTC.
fn newest(outcome: &Outcome) -> Option<DateTime<Utc>> {
    let batch = outcome.batches.iter().find(|b| b.num_rows() > 0)?;
    match value::of(batch.columns().first()?, outcome.schema.field(0), 0) {
        value::Value::Text(text) => moment(&text).or_else(|| {
            let formats = ["%Y-%m-%d %H:%M:%S%.f %z", "%Y-%m-%d %H:%M:%S%.f%z"];
            formats.iter().find_map(|f| DateTime::parse_from_str(&text, f).ok()).map(|t| t.to_utc())
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_counts_of_periods() {
        assert_eq!(period(&json!({"count": 2, "period": "day"})), TimeDelta::try_days(2));
        assert_eq!(period(&json!({"count": 2, "period": "week"})), None);
        assert_eq!(period(&json!({"count": null, "period": "day"})), None);
    }
}
