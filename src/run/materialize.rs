//! A model: compiled SQL -> table, view or a change of an existing table.

use std::collections::BTreeMap;

use chrono::Utc;

use super::{
    compile::{CompiledNode, placed, whole},
    event::Status,
    hooks, incremental, script,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{Content, EngineError, How, Publish, Published, RelationKind},
    graph::OnSchemaChange,
    names::{RelationName, nearest},
    state,
};

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let relation = node.relation.clone().ok_or_else(|| no_relation(task))?;
    let compiled = task.compile(progress).await?;
    if compiled.sql.trim().is_empty() {
        return Err(Diagnostic::error("run/empty-sql", format!("`{}` compiles to no SQL", node.name)).at(whole(node), "").into());
    }
    let started = Utc::now();
    let ended = publish(task, progress, &relation, &compiled).await;
    progress.timing.push(("execute", started, Utc::now()));
    ended.map(|()| Status::Success)
}

async fn publish(task: &Task, progress: &mut Progress, relation: &RelationName, compiled: &CompiledNode) -> Result<(), Diagnostics> {
    let how = how(task, relation, compiled).await?;
    task.write_executed(&script::of(relation, &how, &compiled.sql))?;
    task.log_sql(&compiled.sql);
    let config = &task.node.config;
    let mut session = task.context.deps.engine.session();
    hooks::of_node(task, &config.pre_hook, &mut session, true).await?;
    let kind = if matches!(how, How::View) { RelationKind::View } else { RelationKind::Table };
    let mut properties = task.properties();
    properties.insert(state::FINGERPRINT.into(), fingerprint(task, &compiled.sql));
    let (comment, column_comments) = comments(task);
    let publish =
        Publish { relation: relation.clone(), content: Content::Query(compiled.sql.clone()), how, comment, column_comments, properties };
    let published = send(task, &publish).await.map_err(|e| placed(e, &task.node, Some(compiled), 0))?;
    task.context.catalog.record(relation, kind, &published.version, publish.properties);
    progress.rows = published.rows;
    progress.message = published.message;
    hooks::of_node(task, &config.post_hook, &mut session, false).await
}

/// One publish, tried again while its fault is transient (a commit that collided).
pub(super) async fn send(task: &Task, publish: &Publish) -> Result<Published, EngineError> {
    let context = &task.context;
    context
        .options
        .retry
        .run(
            &context.cancel,
            || context.deps.engine.publish(publish.clone()),
            |e: &EngineError, pause| task.progress(format!("again in {:.1} s: {e}", pause.as_secs_f64())),
        )
        .await
}

async fn how(task: &Task, relation: &RelationName, compiled: &CompiledNode) -> Result<How, Diagnostics> {
    let node = &task.node;
    match node.config.materialized.as_str() {
        "table" => Ok(How::Table),
        "view" => Ok(How::View),
        "incremental" => {
            let engine = task.context.deps.engine.as_ref();
            let existing = task.context.catalog.find(engine, relation).await.map_err(|e| placed(e, node, None, 0))?;
            let full = node.config.full_refresh.unwrap_or(task.context.options.full_refresh);
            // a strategy that is wrong is wrong on the first run too
            let columns = match existing.is_some() && incremental::needs_columns(&node.config) {
                true => merged_columns(task, relation, compiled).await?,
                false => vec![],
            };
            let strategy = incremental::strategy(node, &columns)?;
            match existing {
                Some(info) if info.kind == RelationKind::Table && !full => {
                    Ok(How::Incremental { strategy, on_schema_change: node.config.on_schema_change })
                }
                _ => Ok(How::Table),
            }
        }
        other => {
            let known = ["table", "view", "incremental", "ephemeral"];
            let fault = Diagnostic::error("run/unknown-materialization", format!("`{other}` is no materialization")).at(whole(node), "");
            Err(match nearest(other, known) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("there are `table`, `view`, `incremental` and `ephemeral`"),
            }
            .into())
        }
    }
}

/// The columns that a merge writes: the table's, or the query's where the table follows the query.
async fn merged_columns(task: &Task, relation: &RelationName, compiled: &CompiledNode) -> Result<Vec<String>, Diagnostics> {
    let engine = task.context.deps.engine.as_ref();
    match task.node.config.on_schema_change {
        OnSchemaChange::Ignore | OnSchemaChange::Fail => {
            let columns = engine.columns(relation).await.map_err(|e| placed(e, &task.node, None, 0))?.unwrap_or_default();
            Ok(columns.into_iter().map(|c| c.name.as_str().to_owned()).collect())
        }
        OnSchemaChange::AppendNewColumns | OnSchemaChange::SyncAllColumns => {
            let head = "select * from (\n";
            let sql = format!("{head}{}\n) limit 0", compiled.sql.trim_end().trim_end_matches(';'));
            let outcome = engine.session().execute(&sql).await.map_err(|e| placed(e, &task.node, Some(compiled), head.len()))?;
            Ok(outcome.schema.fields().iter().map(|f| f.name().clone()).collect())
        }
    }
}

fn fingerprint(task: &Task, sql: &str) -> String {
    let parents = task.node.depends_on.iter().filter_map(|id| task.context.deps.compile.node(id)?.relation.clone());
    let upstream = task.context.catalog.versions(parents);
    let inputs = state::Inputs { sql, config: &task.node.config, engine: &task.context.options.engine, upstream: &upstream };
    state::fingerprint(&inputs).to_string()
}

/// Descriptions go to the warehouse where `persist_docs` says so.
pub(super) fn comments(task: &Task) -> (Option<String>, BTreeMap<String, String>) {
    let node = &task.node;
    let persist =
        |what: &str| node.config.all.get("persist_docs").and_then(|d| d.get(what)).and_then(serde_json::Value::as_bool) == Some(true);
    let comment = (persist("relation") && !node.description.is_empty()).then(|| node.description.clone());
    let columns = node.columns.values().filter(|c| persist("columns") && !c.description.is_empty());
    (comment, columns.map(|c| (c.name.clone(), c.description.clone())).collect())
}

pub(super) fn no_relation(task: &Task) -> Diagnostic {
    Diagnostic::error("run/no-relation", format!("`{}` has no name in the warehouse", task.node.name)).at(whole(&task.node), "")
}
