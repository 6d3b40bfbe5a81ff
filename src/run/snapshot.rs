//! A snapshot: how rows looked over time. The first run makes the table; later ones close what changed or went, and add what came.
//!
//! What has changed is a strategy's word: the macros of `template/builtin/snapshot.sql`, which projects may override, give the
//! queries. Here they are run: new columns first, then everything in one MERGE, which is one commit.

use chrono::Utc;
use serde_json::{Map, Value as Json};

use super::{
    audit,
    compile::{CompiledNode, placed, whole},
    event::Status,
    hooks, materialize, script,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    dialect::types::Type,
    engine::{Content, How, Publish, RelationKind, Session},
    names::{Identifier, RelationName},
    template::MacroCall,
};

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let relation = task.node.relation.clone().ok_or_else(|| materialize::no_relation(task))?;
    configured(task)?;
    let compiled = task.compile(progress).await?;
    let started = Utc::now();
    let ended = audited(task, progress, &relation, &compiled).await;
    progress.timing.push(("execute", started, Utc::now()));
    ended
}

async fn audited(task: &Task, progress: &mut Progress, relation: &RelationName, compiled: &CompiledNode) -> Result<Status, Diagnostics> {
    let audit = audit::begin(task, relation).await?;
    snapshot(audit::worker(audit.as_ref(), task), progress, relation, compiled).await?;
    // its statements are its own affair: what the run knows of the table is out of date
    let status = audit::conclude(audit, task, Status::Success).await;
    task.context.catalog.forget(relation);
    status
}

/// Keys without which no strategy works (dbt documentation, "Snapshot configurations").
fn configured(task: &Task) -> Result<(), Diagnostic> {
    let node = &task.node;
    let config = &node.config.all;
    let missing = |what: &str| {
        Diagnostic::error("run/snapshot", format!("Snapshots must be configured with a {what}: `{}` has none", node.name))
            .at(whole(node), "")
    };
    let strategy = config.get("strategy").and_then(Json::as_str).ok_or_else(|| missing("'strategy'"))?;
    if node.config.unique_key.is_empty() {
        return Err(missing("'unique_key'"));
    }
    match strategy {
        "timestamp" if config.get("updated_at").is_none_or(Json::is_null) => {
            Err(missing("'updated_at', which the timestamp strategy needs"))
        }
        "check" if config.get("check_cols").is_none_or(Json::is_null) => Err(missing("'check_cols', which the check strategy needs")),
        _ => Ok(()),
    }
}

async fn snapshot(task: &Task, progress: &mut Progress, relation: &RelationName, compiled: &CompiledNode) -> Result<(), Diagnostics> {
    let node = &task.node;
    let engine = task.context.deps.engine.as_ref();
    let existing = task.context.catalog.find(engine, relation).await.map_err(|e| placed(e, node, None, 0))?;
    if existing.as_ref().is_some_and(|info| info.kind == RelationKind::View) {
        let fault =
            Diagnostic::error("run/snapshot", format!("`{relation}` is a view: a snapshot cannot be kept in it")).at(whole(node), "");
        return Err(fault.help("drop the view, or give the snapshot another alias").into());
    }
    let mut session = engine.session();
    hooks::of_node(task, &node.config.pre_hook, &mut session, true).await?;
    let columns = source_columns(session.as_mut(), task, compiled).await?;
    let queries = queries(task, compiled, &columns, existing.is_some()).await?;
    match queries.get("build").and_then(Json::as_str) {
        Some(build) => make(task, progress, relation, build).await?,
        None => {
            let staging = queries.get("staging").and_then(Json::as_str).unwrap_or_default();
            let meta: Vec<String> = queries
                .get("columns")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(|c| c.as_str().map(str::to_owned))
                .collect();
            add_columns(task, session.as_mut(), relation, &columns).await?;
            merge(task, progress, session.as_mut(), staging, &columns, &meta).await?;
        }
    }
    hooks::of_node(task, &node.config.post_hook, &mut session, false).await
}

/// The columns of the snapshot's query, `(name, type)`.
async fn source_columns(session: &mut dyn Session, task: &Task, compiled: &CompiledNode) -> Result<Vec<(String, String)>, Diagnostics> {
    let head = "select * from (\n";
    let sql = format!("{head}{}\n) as __dbt_sbq where false limit 0", compiled.sql.trim_end().trim_end_matches(';'));
    let outcome = session.execute(&sql).await.map_err(|e| placed(e, &task.node, Some(compiled), head.len()))?;
    Ok(outcome.schema.fields().iter().map(|f| (f.name().clone(), Type::of(f).to_string())).collect())
}

/// What the macros say: `build`, or `staging` with the names of the columns that snapshots add.
async fn queries(
    task: &Task,
    compiled: &CompiledNode,
    columns: &[(String, String)],
    exists: bool,
) -> Result<Map<String, Json>, Diagnostics> {
    let sql = compiled.sql.trim_end().trim_end_matches(';');
    let source: Vec<Json> = columns.iter().map(|(name, kind)| serde_json::json!({"name": name, "data_type": kind})).collect();
    let variables = Map::from_iter([
        ("sql".to_owned(), Json::from(sql)),
        ("source_sql".to_owned(), Json::from(sql)),
        ("source_columns".to_owned(), Json::from(source)),
        ("target_exists".to_owned(), Json::from(exists)),
    ]);
    let call = MacroCall { name: "segue_snapshot".into(), ..MacroCall::default() };
    match task.call(call, variables).await?.value {
        Json::Object(map) => Ok(map),
        _ => Err(Diagnostic::error("run/snapshot", "the snapshot's macros gave no queries").at(whole(&task.node), "").into()),
    }
}

async fn make(task: &Task, progress: &mut Progress, relation: &RelationName, sql: &str) -> Result<(), Diagnostics> {
    let script = script::of(relation, &How::Table, sql, None);
    task.write_executed(&script)?;
    task.log_sql(&script);
    let (comment, column_comments) = materialize::comments(task);
    let publish = Publish {
        relation: relation.clone(),
        content: Content::Query(sql.to_owned()),
        how: How::Table,
        comment,
        column_comments,
        not_null: vec![],
        properties: task.properties(),
        physical: task.physical(),
    };
    let published = materialize::send(task, &publish).await.map_err(|e| placed(e, &task.node, None, 0))?;
    task.context.catalog.record(relation, RelationKind::Table, &published.version, publish.properties);
    progress.rows = published.rows;
    progress.message = published.message;
    Ok(())
}

/// Columns that the query has and the table has not; what the query no longer has stays in the table.
async fn add_columns(
    task: &Task,
    session: &mut dyn Session,
    relation: &RelationName,
    columns: &[(String, String)],
) -> Result<(), Diagnostics> {
    let engine = task.context.deps.engine.as_ref();
    let existing = engine.columns(relation).await.map_err(|e| placed(e, &task.node, None, 0))?.unwrap_or_default();
    for (name, kind) in columns.iter().filter(|(name, _)| !existing.iter().any(|c| c.name.as_str().eq_ignore_ascii_case(name))) {
        let statement = format!("alter table {relation} add column {} {kind}", Identifier::exact(name.as_str()));
        task.log_sql(&statement);
        session.execute(&task.commented(&statement)).await.map_err(|e| placed(e, &task.node, None, 0))?;
    }
    Ok(())
}

async fn merge(
    task: &Task,
    progress: &mut Progress,
    session: &mut dyn Session,
    staging: &str,
    columns: &[(String, String)],
    meta: &[String],
) -> Result<(), Diagnostics> {
    let insert: Vec<Json> =
        columns.iter().map(|(name, _)| Identifier::exact(name.as_str()).to_string()).chain(meta.iter().cloned()).map(Json::from).collect();
    let variables =
        Map::from_iter([("source".to_owned(), Json::from(format!("(\n{staging}\n)"))), ("insert_cols".to_owned(), Json::from(insert))]);
    let call = MacroCall { name: "segue_snapshot_merge".into(), ..MacroCall::default() };
    let statement = task.call(call, variables).await?.text;
    task.write_executed(&statement)?;
    task.log_sql(&statement);
    let outcome = session.execute(&task.commented(&statement)).await.map_err(|e| placed(e, &task.node, None, 0))?;
    progress.rows = outcome.rows_affected;
    progress.message = format!("SUCCESS {}", outcome.rows_affected.unwrap_or_default());
    Ok(())
}
