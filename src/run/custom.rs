//! A materialization of the project's own: its macro runs every statement by itself, and says which relations it made.

use serde_json::{Map, Value as Json};

use super::{
    compile::CompiledNode,
    step::{Progress, Task},
};
use crate::{diagnostic::Diagnostics, template::MacroCall};

pub(super) async fn run(task: &Task, progress: &mut Progress, name: &str, compiled: &CompiledNode) -> Result<(), Diagnostics> {
    let variables = Map::from_iter([
        ("sql".to_owned(), Json::from(compiled.sql.as_str())),
        ("compiled_code".to_owned(), Json::from(compiled.sql.as_str())),
    ]);
    task.write_executed(&compiled.sql)?;
    let call = MacroCall { name: name.to_owned(), ..MacroCall::default() };
    let returned = task.call(call, variables).await?;
    // dbt shows what the warehouse said of the statement named `main`
    let response = returned.responses.get("main").or_else(|| returned.responses.values().next_back());
    progress.message = match response {
        Some(Json::String(message)) => message.clone(),
        Some(Json::Object(response)) => response.get("_message").and_then(Json::as_str).unwrap_or("OK").to_owned(),
        _ => "OK".to_owned(),
    };
    progress.rows = response.and_then(|r| r.get("rows_affected")).and_then(Json::as_u64);
    Ok(())
}
