//! `clone`: relations of another run, made our own. A table is copied in one commit, a view is a view over the other one.

use serde_json::Map;

use super::{
    compile::placed,
    event::{Event, LogLevel, Status},
    materialize,
    step::{Progress, Task},
};
use crate::{
    diagnostic::Diagnostics,
    engine::{Content, How, Physical, Publish, RelationKind},
    template::MacroCall,
};

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let relation = node.relation.clone().ok_or_else(|| materialize::no_relation(task))?;
    let context = &task.context;
    let Some(from) = context.options.clone_from.get(&node.id) else {
        progress.message = "No-op: the other run has no such relation".into();
        return Ok(Status::NoOp);
    };
    let engine = context.deps.engine.as_ref();
    let existing = context.catalog.find(engine, &relation).await.map_err(|e| placed(e, node, None, 0))?;
    if *from == relation || (existing.is_some() && !materialize::full_refresh(task)) {
        // dbt leaves what exists alone, unless a full refresh is asked for
        let message = format!("skipping clone for relation {relation}: it already exists");
        context.send(Event::Log { level: LogLevel::Info, node: None, message });
        progress.message = "No-op".into();
        return Ok(Status::NoOp);
    }
    let Some(other) = context.catalog.find(engine, from).await.map_err(|e| placed(e, node, None, 0))? else {
        progress.message = format!("No-op: {from} does not exist");
        return Ok(Status::NoOp);
    };
    let call = MacroCall { name: "can_clone_table".into(), ..MacroCall::default() };
    let copies = task.call(call, Map::new()).await?.value.as_bool() != Some(false);
    let (how, statement) = match other.kind {
        RelationKind::Table if copies => (How::Table, format!("create or replace table {relation} clone {from}")),
        _ => (How::View, format!("create or replace view {relation} as (\nselect * from {from}\n)")),
    };
    task.write_executed(&statement)?;
    task.log_sql(&statement);
    let (comment, column_comments) = materialize::comments(task);
    let publish = Publish {
        relation: relation.clone(),
        content: Content::Query(format!("select * from {from}")),
        how,
        comment,
        column_comments,
        not_null: vec![],
        properties: task.properties(),
        physical: Physical { clone_of: Some(from.clone()), ..task.physical() },
    };
    let published = materialize::send(task, &publish).await.map_err(|e| placed(e, node, None, 0))?;
    let kind = if copies { other.kind } else { RelationKind::View };
    context.catalog.record(&relation, kind, &published.version, publish.properties);
    progress.rows = published.rows;
    progress.message = "SUCCESS 1".into();
    Ok(Status::Success)
}
