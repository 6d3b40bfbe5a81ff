//! `incremental_strategy: microbatch`: one query and one commit for each stretch of time (dbt documentation, "About microbatch").
//!
//! A batch reads the rows of its stretch from inputs that have an `event_time`, and replaces the rows of its stretch in the
//! table. Its commit records that the table has it. A batch that fails leaves the others as they are; it is missing then, and
//! the next build (or `retry`) builds it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    audit,
    batches::{Agenda, Settings},
    compile::CompiledNode,
    event::{Batch, Batches, Status},
    hooks, materialize,
    step::{Progress, Task},
};
use crate::{
    diagnostic::Diagnostics,
    engine::{How, Strategy},
    graph::Node,
    names::RelationName,
    project::World,
    state::INTERVALS,
    template::Rows,
};

pub(super) fn is_batched(node: &Node) -> bool {
    node.config.materialized == "incremental" && node.config.incremental_strategy.as_deref() == Some("microbatch")
}

pub(super) async fn run(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    compiled: &CompiledNode,
) -> Result<Status, Diagnostics> {
    let agenda = Agenda::of(task, relation, compiled).await?;
    if agenda.batches.is_empty() {
        progress.fresh(agenda.assessment.not_due);
        return Ok(Status::Success);
    }
    let audit = audit::begin(task, relation).await?;
    let status = build(audit::worker(audit.as_ref(), task), progress, relation, agenda).await?;
    audit::conclude(audit, task, status).await
}

async fn build(task: &Task, progress: &mut Progress, relation: &RelationName, agenda: Agenda) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let settings = Settings::of(node)?;
    let Agenda { assessment, batches, mut kept, exists } = agenda;
    let batches: Vec<Batch> = batches.into_iter().map(|(batch, _)| batch).collect();
    let mut recorded = assessment.properties();
    let engine = task.context.deps.engine.as_ref();
    let mut session = engine.session();
    hooks::of_node(task, &node.config.pre_hook, &mut session, true).await?;
    let (mut done, mut rows, mut has_table, mut faults) = (Batches::default(), 0, exists, vec![]);
    let retried = task.context.options.batches.contains_key(&node.id);
    for (number, batch) in batches.iter().enumerate() {
        task.progress(format!("batch {} of {}: {}", number + 1, batches.len(), batch.0.format("%Y-%m-%d %H:%M:%S")));
        // what is to come is missing from this commit on: a build that ends in between goes on there. Batches without rows
        // (`--empty`) are not done
        let mut having = kept.clone();
        if !task.context.options.empty {
            having.insert(*batch);
        }
        recorded.insert(INTERVALS.to_owned(), having.to_string());
        match self::batch(task, progress, relation, &settings, *batch, has_table || retried, recorded.clone()).await {
            Ok(()) => {
                kept = having;
                has_table = true;
                rows += progress.rows.unwrap_or_default();
                done.successful.push(*batch);
            }
            Err(Diagnostics(more)) => {
                faults.extend(more);
                done.failed.push(*batch);
                // without a table the next batch would find nothing to add to
                if !has_table {
                    done.failed.extend(&batches[number + 1..]);
                    break;
                }
            }
        }
    }
    progress.rows = Some(rows);
    progress.message = format!("SUCCESS {}", done.successful.len());
    let status = match (done.failed.is_empty(), done.successful.is_empty()) {
        (true, _) => Status::Success,
        (false, false) => Status::PartialSuccess,
        (false, true) => Status::Error,
    };
    if status != Status::Success {
        progress.message = format!("{} of {} batches failed", done.failed.len(), batches.len());
        progress.diagnostics.extend(faults);
    }
    progress.batches = Some(done);
    if status == Status::Success {
        hooks::of_node(task, &node.config.post_hook, &mut session, false).await?;
    }
    Ok(status)
}

async fn batch(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    settings: &Settings,
    batch: Batch,
    has_table: bool,
    recorded: BTreeMap<String, String>,
) -> Result<(), Diagnostics> {
    let empty = task.context.options.empty;
    let rows = if empty { Rows::Nothing } else { Rows::Between(batch.0, batch.1) };
    let world = World { rows: Some(rows), ..World::default() };
    let compiled = task.compile_in(progress, &task.node.id, world).await?;
    let how = match has_table {
        true => {
            let moment = |t: DateTime<Utc>| format!("to_timestamp_tz('{}+00:00')", t.format("%Y-%m-%d %H:%M:%S"));
            let column = &settings.event_time;
            let predicates = vec![format!("{column} >= {}", moment(batch.0)), format!("{column} < {}", moment(batch.1))];
            let strategy = Strategy::Replace { predicates };
            How::Incremental { strategy, on_schema_change: task.node.config.on_schema_change }
        }
        false => How::Table,
    };
    materialize::write(task, progress, relation, &compiled, how, recorded).await
}
