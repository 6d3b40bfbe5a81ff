//! Audit before publish: what a node makes is staged, its tests are asked over that, and only when none of them fails
//! does it become the node's relation (docs/audits.md).
//!
//! The node is made by the same code as ever, in a world in which the warehouse has the staged version under the node's name: so
//! its hooks, its own `{{ this }}` and the tests see it, and nobody else does. The verdicts are those of the tests' own steps.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use futures::{StreamExt, future::BoxFuture, stream};

use super::{
    Deps,
    compile::{placed, whole},
    event::{Event, NodeResult, Status},
    step::{Context, Task, label},
    warehouse::Catalog,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::Stage,
    names::{RelationName, ResourceType},
    plan::{Action, Reason, Step},
    state,
};

/// A node whose next version is being made aside.
pub(super) struct Audit {
    stage: Box<dyn Stage>,
    worker: Task,
    relation: RelationName,
}

/// Begins an audit where the node has one; without one it is made in place.
pub(super) async fn begin(task: &Task, relation: &RelationName) -> Result<Option<Audit>, Diagnostics> {
    if task.step.audits.is_empty() || task.context.staged {
        return Ok(None);
    }
    let context = &task.context;
    let stage = context.deps.engine.stage(relation).await.map_err(|e| placed(e, &task.node, None, 0))?;
    let engine = stage.engine();
    let known = context.catalog.find(context.deps.engine.as_ref(), relation).await.map_err(|e| placed(e, &task.node, None, 0))?;
    let deps = Deps { compile: context.deps.compile.over(&engine), engine, ..context.deps.clone() };
    let context = Context {
        deps,
        options: context.options.clone(),
        cancel: context.cancel.clone(),
        events: context.events.clone(),
        catalog: Catalog::of(relation, known),
        audits: Default::default(),
        staged: true,
    };
    let worker = Task {
        context: Arc::new(context),
        node: Arc::clone(&task.node),
        label: Arc::clone(&task.label),
        step: task.step.clone(),
        thread: task.thread.clone(),
        comment: task.comment.clone(),
    };
    Ok(Some(Audit { stage, worker, relation: relation.clone() }))
}

/// Who makes the node: the task itself, or the one that works on the staged version.
pub(super) fn worker<'a>(audit: Option<&'a Audit>, task: &'a Task) -> &'a Task {
    audit.map_or(task, |a| &a.worker)
}

/// Asks the tests and publishes; or puts the staged version aside and fails.
pub(super) async fn conclude(audit: Option<Audit>, task: &Task, status: Status) -> Result<Status, Diagnostics> {
    let Some(audit) = audit.filter(|_| matches!(status, Status::Success | Status::PartialSuccess)) else { return Ok(status) };
    task.progress("auditing");
    let mut results = audit.results(task).await;
    let failed = results.iter().filter(|r| r.status.is_failure()).count();
    let fault = |e| Diagnostics::from(placed(e, &task.node, None, 0));
    if failed == 0 {
        let version = audit.stage.publish().await.map_err(fault)?;
        let context = &audit.worker.context;
        let made = context.catalog.find(context.deps.engine.as_ref(), &audit.relation).await.map_err(fault)?;
        match made {
            Some(info) => task.context.catalog.record(&audit.relation, info.kind, &version, info.properties),
            None => task.context.catalog.forget(&audit.relation),
        }
        task.context.audits.lock().extend(results.into_iter().map(|r| (r.node.id.clone(), r)));
        return Ok(status);
    }
    let kept = audit.stage.keep().await.map_err(fault)?;
    let names: Vec<String> = results.iter().filter(|r| r.status.is_failure()).map(|r| r.node.name.clone()).collect();
    let of = results.len();
    let served = task.context.catalog.has(&audit.relation);
    let mut diagnostic = Diagnostic::error(
        "check/audit-failed",
        format!("audit failed: {failed} of {of} {} ({})", if of == 1 { "test" } else { "tests" }, shortened(&names)),
    )
    .at(whole(&task.node), "not published")
    .note(match served {
        true => format!("{} is as it was before", audit.relation),
        false => format!("{} does not exist yet", audit.relation),
    })
    .help(format!("the version that failed is {kept}: `segue sql \"select * from {kept}\"` shows it"));
    for result in results.iter_mut().filter(|r| r.status.is_failure()) {
        diagnostic = diagnostic.note(format!("{}: {}", result.node.name, result.message));
        audit.point_to(&kept, task, result)?;
    }
    task.context.audits.lock().extend(results.into_iter().map(|r| (r.node.id.clone(), r)));
    Err(diagnostic.into())
}

/// The first few of many.
fn shortened(names: &[String]) -> String {
    const MOST: usize = 3;
    let more = names.len().saturating_sub(MOST);
    let shown = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

impl Audit {
    /// The verdicts of the node's tests over the staged version.
    async fn results(&self, task: &Task) -> Vec<NodeResult> {
        let context = &self.worker.context;
        let tasks = task.step.audits.iter().filter_map(|id| {
            let node = context.deps.compile.node(id)?;
            let step = Step {
                id: id.clone(),
                kind: ResourceType::Test,
                action: Action::Test,
                reason: Reason::Requested,
                waits_for: vec![],
                height: 1,
                audits: vec![],
            };
            Some(Task {
                context: Arc::clone(context),
                node,
                label: Arc::new(label(context.deps.compile.as_ref(), &step)),
                step,
                thread: task.thread.clone(),
                comment: OnceLock::new(),
            })
        });
        let runs: Vec<BoxFuture<'static, NodeResult>> = tasks.map(Task::run).collect();
        stream::iter(runs).buffered(context.options.threads.max(1)).collect().await
    }

    /// What the test was asked over has another name now: its compiled SQL is made to be run again by hand.
    fn point_to(&self, kept: &RelationName, task: &Task, result: &mut NodeResult) -> Result<(), Diagnostics> {
        let Some(sql) = result.compiled_code.take() else { return Ok(()) };
        let sql = sql.replace(&self.relation.to_string(), &kept.to_string());
        if let Some(path) = &result.compiled_path {
            state::write_atomically(&task.context.options.project_dir.join(path), sql.as_bytes())?;
            for diagnostic in &mut result.diagnostics {
                diagnostic.help = Some(match &result.relation_name {
                    Some(relation) => format!("the failing rows are in {relation}"),
                    None => format!("`segue sql --file {}` shows the failing rows", path.display()),
                });
            }
        }
        result.compiled_code = Some(sql);
        Ok(())
    }
}

/// The verdicts that audits of this run have given, by test.
pub(super) type Verdicts = HashMap<crate::names::NodeId, NodeResult>;

/// A project's own materialization does what it likes with the relation, so nothing can be staged for it.
pub(super) fn warn_custom(task: &Task, name: &str) {
    if !task.step.audits.is_empty() {
        let message = format!("`{}` is made by the macro `{name}`: its tests run after it is published", task.node.name);
        let diagnostic = Diagnostic::warning("run/not-audited", message).at(whole(&task.node), "");
        task.context.send(Event::Warning { node: Some(Arc::clone(&task.label)), diagnostic });
    }
}
