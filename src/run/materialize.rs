//! A model: compiled SQL -> table, view or a change of an existing table.

use std::collections::BTreeMap;

use chrono::Utc;

use super::{
    audit,
    compile::{CompiledNode, placed, whole},
    contract, custom,
    event::{Event, Status},
    freshness, function, hooks, incremental, microbatch, script,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{Content, EngineError, How, Physical, Publish, Published, RelationKind},
    graph::{Column, OnSchemaChange},
    names::{Identifier, RelationName, ResourceType, nearest},
};

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let relation = node.relation.clone().ok_or_else(|| no_relation(task))?;
    if node.kind == ResourceType::Function {
        return function::run(task, progress, &relation).await;
    }
    let compiled = task.compile(progress).await?;
    if compiled.sql.trim().is_empty() {
        return Err(Diagnostic::error("run/empty-sql", format!("`{}` compiles to no SQL", node.name)).at(whole(node), "").into());
    }
    let started = Utc::now();
    let ended = match (task.context.deps.compile.materialization(node), microbatch::is_batched(node)) {
        (Some(name), _) => {
            audit::warn_custom(task, &name);
            custom::run(task, progress, &name, &compiled).await.map(|()| Status::Success)
        }
        (None, true) => microbatch::run(task, progress, &relation, &compiled).await,
        (None, false) => {
            let assessed = freshness::of_model(task, &relation, &compiled).await?;
            if assessed.is_fresh() {
                progress.fresh(assessed.not_due);
                warn_undescribed(task, &relation, &comments(task).1).await;
                Ok(Status::Success)
            } else {
                match audit::begin(task, &relation).await {
                    Err(faults) => Err(faults),
                    Ok(audit) => {
                        let worker = audit::worker(audit.as_ref(), task);
                        match publish(worker, progress, &relation, &compiled, &assessed).await {
                            Ok(()) => audit::conclude(audit, task, Status::Success).await,
                            Err(faults) => Err(faults),
                        }
                    }
                }
            }
        }
    };
    progress.timing.push(("execute", started, Utc::now()));
    let freely = task.context.deps.compile.materialization(node).is_some() || !node.config.post_hook.is_empty();
    if freely && !progress.fresh {
        // whatever those statements did to it
        task.context.catalog.forget(&relation);
    }
    ended
}

async fn publish(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    compiled: &CompiledNode,
    assessed: &freshness::Assessment,
) -> Result<(), Diagnostics> {
    let how = how(task, relation, compiled).await?;
    let config = &task.node.config;
    let mut session = task.context.deps.engine.session();
    hooks::of_node(task, &config.pre_hook, &mut session, true).await?;
    write(task, progress, relation, compiled, how, assessed.properties()).await?;
    hooks::of_node(task, &config.post_hook, &mut session, false).await
}

/// One version of the relation: the contract checked, the query staged where it needs a session, one commit.
pub(super) async fn write(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    compiled: &CompiledNode,
    how: How,
    recorded: BTreeMap<String, String>,
) -> Result<(), Diagnostics> {
    let contract = contract::of(task, compiled).await?;
    let sql = contract.as_ref().map_or_else(|| compiled.sql.clone(), |c| c.query(&compiled.sql));
    let shift = contract.as_ref().map_or(0, |c| c.offset());
    let script = script::of(relation, &how, &sql, contract.as_ref().map(|c| c.definitions.as_str()));
    task.write_executed(&script)?;
    task.log_sql(&script);
    let kind = if matches!(how, How::View) { RelationKind::View } else { RelationKind::Table };
    let mut properties = task.properties();
    properties.extend(recorded);
    let (comment, column_comments) = comments(task);
    let staged = match (&compiled.header, kind) {
        (Some(header), RelationKind::Table) => Some(stage(task, relation, header, &sql, compiled, shift).await?),
        _ => None,
    };
    let content = Content::Query(staged.as_ref().map_or_else(|| sql.clone(), |s| format!("select * from {s}")));
    let definitions = contract.as_ref().map(|c| c.definitions.clone()).filter(|_| matches!(how, How::Table));
    let physical = Physical { definitions, ..task.physical() };
    let not_null = contract.map(|c| c.not_null).filter(|_| kind == RelationKind::Table).unwrap_or_default();
    let publish = Publish { relation: relation.clone(), content, how, comment, column_comments, not_null, properties, physical };
    let published = send(task, &publish).await.map_err(|e| match staged {
        Some(_) => placed(e, &task.node, None, 0),
        None => placed(e, &task.node, Some(compiled), shift),
    });
    if let Some(staged) = &staged {
        // what is left of it harms nobody
        let _ = task.context.deps.engine.session().execute(&format!("drop table if exists {staged}")).await;
    }
    let published = published?;
    task.context.catalog.record(relation, kind, &published.version, publish.properties.clone());
    progress.rows = published.rows;
    progress.message = published.message;
    warn_undescribed(task, relation, &publish.column_comments).await;
    Ok(())
}

/// `sql_header`: statements that the query needs before it, in its session. What the query gives waits in a table of its own
/// for the one commit that publishes it.
async fn stage(
    task: &Task,
    relation: &RelationName,
    header: &str,
    sql: &str,
    compiled: &CompiledNode,
    shift: usize,
) -> Result<RelationName, Diagnostics> {
    let staged = relation.schema_name().relation(Identifier::exact(format!("{}__dbt_tmp", relation.name.as_str())));
    let mut session = task.context.deps.engine.session();
    let (statements, prefix) = header_parts(header);
    for range in session.split(statements) {
        task.log_sql(&statements[range.clone()]);
        session
            .execute(&task.commented(&statements[range]))
            .await
            .map_err(|e| placed(e, &task.node, None, 0).note("in the `sql_header`"))?;
    }
    let head = format!("create or replace table {staged} as (\n{prefix}\n");
    let sql = sql.trim_end().trim_end_matches(';');
    session.execute(&format!("{head}{sql}\n)")).await.map_err(|e| placed(e, &task.node, Some(compiled), shift + head.len()))?;
    Ok(staged)
}

/// A header's whole statements, and what stands behind the last of them: the beginning of the query itself.
pub fn header_parts(header: &str) -> (&str, &str) {
    let header = header.trim();
    // a semicolon within a literal ends nothing
    let unfinished = crate::dialect::parse::split(header).pop().filter(|last| !header[last.end..].contains(';'));
    header.split_at(unfinished.map_or(header.len(), |last| last.start))
}

/// Columns that `persist_docs` has a text for and the relation does not have (dbt documentation, "persist_docs").
async fn warn_undescribed(task: &Task, relation: &RelationName, comments: &BTreeMap<String, String>) {
    if comments.is_empty() {
        return;
    }
    let Ok(Some(columns)) = task.context.deps.engine.columns(relation).await else { return };
    let missing: Vec<&str> = task
        .node
        .columns
        .values()
        .filter(|c| comments.contains_key(&described(c)))
        .filter(|c| {
            let wanted = if c.quote == Some(true) { Identifier::exact(c.name.as_str()) } else { Identifier::parse(&c.name) };
            !columns.iter().any(|found| found.name == wanted)
        })
        .map(|c| c.name.as_str())
        .collect();
    if !missing.is_empty() {
        let message =
            format!("The following columns are specified in the schema but are not present in the database: {}", missing.join(", "));
        let diagnostic = Diagnostic::warning("run/missing-columns", message).at(task.node.declared_at(), "described here");
        task.context.send(Event::Warning { node: Some(std::sync::Arc::clone(&task.label)), diagnostic });
    }
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

pub(super) async fn how(task: &Task, relation: &RelationName, compiled: &CompiledNode) -> Result<How, Diagnostics> {
    let node = &task.node;
    match node.config.materialized.as_str() {
        "table" => Ok(How::Table),
        "view" => Ok(How::View),
        // refreshed whenever it is built: on the local engine a materialized view is a table
        "materialized_view" | "dynamic_table" => Ok(How::Table),
        "incremental" => {
            let engine = task.context.deps.engine.as_ref();
            let existing = task.context.catalog.find(engine, relation).await.map_err(|e| placed(e, node, None, 0))?;
            let full = full_refresh(task);
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
            // dbt's sentence: programs look for it
            let message = format!(
                "No materialization '{other}' was found for adapter datafusion! (searched types 'datafusion', 'snowflake', 'default')"
            );
            let fault = Diagnostic::error("run/unknown-materialization", message).at(whole(node), "");
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

/// A node's own `full_refresh` wins over the flag.
pub(super) fn full_refresh(task: &Task) -> bool {
    task.node.config.full_refresh.unwrap_or(task.context.options.full_refresh)
}

/// Descriptions go to the warehouse where `persist_docs` says so.
pub(super) fn comments(task: &Task) -> (Option<String>, BTreeMap<String, String>) {
    let node = &task.node;
    let persist =
        |what: &str| node.config.all.get("persist_docs").and_then(|d| d.get(what)).and_then(serde_json::Value::as_bool) == Some(true);
    let comment = (persist("relation") && !node.description.is_empty()).then(|| node.description.clone());
    let columns = node.columns.values().filter(|c| persist("columns") && !c.description.is_empty());
    (comment, columns.map(|c| (described(c), c.description.clone())).collect())
}

/// The column as a comment names it: in quotes where its case counts.
fn described(column: &Column) -> String {
    if column.quote == Some(true) { format!("\"{}\"", column.name) } else { column.name.clone() }
}

pub(super) fn no_relation(task: &Task) -> Diagnostic {
    Diagnostic::error("run/no-relation", format!("`{}` has no name in the warehouse", task.node.name)).at(whole(&task.node), "")
}
