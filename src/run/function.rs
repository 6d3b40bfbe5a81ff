//! A function of the project: `create or replace function` with the file as its body (dbt documentation, "User-defined functions").

use serde_json::Value as Json;

use super::{
    compile::{placed, whole},
    event::Status,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    names::RelationName,
};

pub(super) async fn run(task: &Task, progress: &mut Progress, relation: &RelationName) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let config = |key: &str| node.config.all.get(key).and_then(Json::as_str);
    let language = match node.original_file_path.extension().and_then(|e| e.to_str()) {
        Some("py") => "python",
        Some("js") => "javascript",
        _ => "sql",
    };
    let kind = config("type").unwrap_or("scalar");
    if (kind, language) != ("scalar", "sql") {
        // dbt's sentence: programs look for it
        let message = format!("No macro named '{kind}_function_{language}' found within namespace");
        let fault = Diagnostic::error("run/function", message).at(whole(node), "");
        return Err(fault.help("functions are of the type `scalar`, in SQL").into());
    }
    let data_type = |value: &Json| value.get("data_type").and_then(Json::as_str).map(str::to_owned);
    let returns = node.extra.get("returns").and_then(data_type);
    let Some(returns) = returns else {
        let fault = Diagnostic::error("run/function", format!("nothing says what `{}` returns", node.name)).at(whole(node), "");
        return Err(fault.help("describe it in YAML: `functions:` with `returns: {data_type: ...}`").into());
    };
    let arguments: Vec<String> = node
        .extra
        .get("arguments")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|a| Some(format!("{} {}", a.get("name")?.as_str()?, data_type(a)?)))
        .collect();
    // Snowflake knows no STABLE: a function that may change between statements is volatile to it
    let volatility = match config("volatility") {
        Some("deterministic") => " IMMUTABLE",
        Some("non-deterministic" | "stable") => " VOLATILE",
        _ => "",
    };
    let compiled = task.compile(progress).await?;
    let body = compiled.sql.trim().trim_end_matches(';');
    let head = format!("CREATE OR REPLACE FUNCTION {relation} ({})\nRETURNS {returns}{volatility}\nAS\n$$\n", arguments.join(", "));
    let statement = format!("{head}{body}\n$$");
    task.write_executed(&statement)?;
    task.log_sql(&statement);
    let mut session = task.session();
    session.execute(&statement).await.map_err(|e| placed(e, node, Some(&compiled), head.len()))?;
    progress.message = "SUCCESS 1".into();
    Ok(Status::Success)
}
