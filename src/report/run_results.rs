//! A run's results in the shape of dbt's `run_results.json`, version 6.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};

use crate::{
    diagnostic::{Diagnostic, Style, render},
    run::{
        RunReport,
        event::{Batch, NodeResult, Status},
    },
    state::write_atomically,
};

const SCHEMA: &str = "https://schemas.getdbt.com/dbt/run-results/v6.json";

/// What the file says about the invocation.
#[derive(Clone, Debug)]
pub struct RunResultsContext {
    pub invocation: String,
    pub started_at: DateTime<Utc>,
    pub generated_at: DateTime<Utc>,
    /// `DBT_ENV_CUSTOM_ENV_*`, without the prefix.
    pub env: Map<String, Json>,
    /// The flags of the invocation, under dbt's names (`which`, `select`...).
    pub args: Map<String, Json>,
}

/// Writes `run_results.json` into `target`, whole or not at all.
pub fn write(target: &Path, report: &RunReport, context: &RunResultsContext) -> Result<(), Diagnostic> {
    write_atomically(&target.join("run_results.json"), of(report, context).to_string().as_bytes())
}

pub fn of(report: &RunReport, context: &RunResultsContext) -> Json {
    json!({
        "metadata": {
            "dbt_schema_version": SCHEMA,
            "dbt_version": crate::state::manifest::DBT_VERSION,
            "generated_at": time(context.generated_at),
            "invocation_id": context.invocation,
            "invocation_started_at": time(context.started_at),
            "env": context.env,
        },
        "results": report.results.iter().map(|r| result(r)).collect::<Vec<_>>(),
        "elapsed_time": report.elapsed.as_secs_f64(),
        "args": context.args,
    })
}

fn result(r: &NodeResult) -> Json {
    let timing: Vec<Json> =
        r.timing.iter().map(|(name, from, to)| json!({"name": name, "started_at": time(*from), "completed_at": time(*to)})).collect();
    // dbt puts the whole error here; of a good result its short message
    let message = match r.status {
        Status::Error if !r.diagnostics.is_empty() => {
            let texts = r.diagnostics.iter().map(|d| render(d, Style::Plain)).collect::<Vec<_>>().join("\n");
            Some(r.heading.as_ref().map_or(texts.clone(), |h| format!("{h}\n{texts}")))
        }
        _ => (!r.message.is_empty()).then(|| r.message.clone()),
    };
    json!({
        "status": r.status.as_str(),
        "timing": timing,
        "thread_id": r.thread,
        "execution_time": r.elapsed.as_secs_f64(),
        "adapter_response": r.adapter_response,
        "message": message,
        "failures": r.failures,
        "unique_id": r.node.id,
        "compiled": r.compiled_code.is_some(),
        "compiled_code": r.compiled_code,
        "relation_name": r.relation_name,
        "batch_results": batches(r),
    })
}

/// dbt's shape: pairs of moments.
fn batches(r: &NodeResult) -> Json {
    let Some(batches) = &r.batches else { return Json::Null };
    let pairs = |list: &[Batch]| list.iter().map(|(from, to)| json!([time(*from), time(*to)])).collect::<Vec<_>>();
    json!({"successful": pairs(&batches.successful), "failed": pairs(&batches.failed)})
}

fn time(t: DateTime<Utc>) -> String {
    t.to_rfc3339_opts(SecondsFormat::Micros, true)
}
