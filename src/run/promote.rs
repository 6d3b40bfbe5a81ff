//! `promote`: another target's relations become what this target's are, one atomic switch after the other, in the order of the
//! graph. No row is computed or copied (docs/environments.md).
//!
//! Only what is verified is promoted: every node is what a build would make of it now, and its tests have passed over these rows.

use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;

use super::{
    Cancellation, Deps, RunOptions,
    compile::{placed, whole},
    executor::list_relations,
    preview::preview,
    reuse::Twins,
    step::{Context, Task, label},
    warehouse::{Catalog, Identity},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{Content, EngineError, How, Lock, Publish, RelationInfo, RelationKind},
    graph::TestSeverity,
    names::{NodeId, RelationName, ResourceType},
    plan::{Action, Plan, Step},
    project::World,
    state::{Inputs, PROMOTED, READS, REUSED},
};

/// What becomes of one relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It does not exist in the other target.
    New,
    Replaced,
    /// It is the same already.
    Same,
}

#[derive(Clone, Debug)]
pub struct Promotion {
    pub id: NodeId,
    pub from: RelationName,
    pub to: RelationName,
    pub kind: RelationKind,
    pub switch: Switch,
    pub rows: Option<u64>,
}

/// Switches the other target's relations; with `dry` it only tells which.
pub async fn promote(plan: &Plan, deps: Deps, options: RunOptions, twins: &Twins, dry: bool) -> Result<Vec<Promotion>, Diagnostics> {
    verified(plan, &deps, &options).await?;
    let (events, _received) = unbounded_channel();
    let context = Arc::new(Context {
        deps,
        options,
        cancel: Cancellation::new(),
        events,
        catalog: Catalog::default(),
        audits: Default::default(),
        staged: false,
    });
    list_relations(&context, plan).await;
    let mut done = vec![];
    for step in plan.steps.iter().filter(|s| matches!(s.action, Action::Materialize | Action::Seed)) {
        let Some(task) = task_of(&context, step) else { continue };
        if let Some(promotion) = one(&task, twins, dry).await? {
            done.push(promotion);
        }
    }
    Ok(done)
}

fn task_of(context: &Arc<Context>, step: &Step) -> Option<Task> {
    let node = context.deps.compile.node(&step.id)?;
    let label = Arc::new(label(context.deps.compile.as_ref(), step));
    Some(Task { context: Arc::clone(context), node, label, step: step.clone(), thread: String::new(), comment: Default::default() })
}

/// Nothing of the environment would be built, and no test has to be asked.
async fn verified(plan: &Plan, deps: &Deps, options: &RunOptions) -> Result<(), Diagnostics> {
    let forecasts = preview(plan, deps.clone(), options.clone()).await;
    let mut open = vec![];
    for forecast in forecasts.iter().filter(|f| !f.is_fresh()) {
        let Some(node) = deps.compile.node(&forecast.label.id) else { continue };
        let matters = match forecast.action {
            Action::Ingest | Action::Snapshot | Action::Clone => false,
            Action::Materialize => deps.compile.materialization(&node).is_none() && node.kind == ResourceType::Model,
            Action::Seed => true,
            // a test that only warns decides nothing; of one whose failing rows are kept the verdict is known all the same
            Action::Test => node.config.severity == TestSeverity::Error,
        };
        if matters {
            open.push(format!("{} {}: {}", forecast.label.what, forecast.label.name, forecast.why.join("; ")));
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    const MOST: usize = 12;
    let count = open.len();
    let mut fault = Diagnostic::error(
        "run/not-verified",
        format!("the target `{}` is not verified: {count} nodes are not what a build would make, or not tested", options.target),
    );
    for line in open.iter().take(MOST) {
        fault = fault.note(line.clone());
    }
    if count > MOST {
        fault = fault.note(format!("and {} more", count - MOST));
    }
    Err(fault.help(format!("run `segue build --target {}` with the same selection first", options.target)).into())
}

async fn one(task: &Task, twins: &Twins, dry: bool) -> Result<Option<Promotion>, Diagnostics> {
    let (node, context) = (&task.node, &task.context);
    let fault = |e: EngineError| Diagnostics::from(placed(e, node, None, 0));
    let Some((own, twin)) = node.relation.as_ref().and_then(|own| Some((own, twins.of(own)?))) else { return Ok(None) };
    if node.kind == ResourceType::Function || context.deps.compile.materialization(node).is_some() {
        return Ok(None);
    }
    let engine = context.deps.engine.as_ref();
    let Some(here) = context.catalog.find(engine, own).await.map_err(fault)? else { return Ok(None) };
    let there = context.catalog.find(engine, twin).await.map_err(fault)?;
    let mut promotion = Promotion {
        id: node.id.clone(),
        from: own.clone(),
        to: twin.clone(),
        kind: here.kind,
        switch: if there.is_some() { Switch::Replaced } else { Switch::New },
        rows: None,
    };
    if twins.are_same(context, own, twin, 0).await.map_err(fault)? {
        promotion.switch = Switch::Same;
        return Ok(Some(promotion));
    }
    if dry {
        return Ok(Some(promotion));
    }
    let _held = match engine.lock(twin, &format!("process {}, promotion", std::process::id())).await.map_err(fault)? {
        Lock::Held(lock) => lock,
        Lock::Busy(who) => {
            let message = format!("another build works on {twin} ({who})");
            return Err(Diagnostic::error("run/busy", message)
                .at(whole(node), "")
                .help("wait for it, then promote again: what was switched stays so")
                .into());
        }
    };
    let mut properties = here.properties.clone();
    properties.remove(REUSED);
    if let Some(inputs) = Inputs::recorded(&here.properties) {
        properties.extend(recorded_there(task, twins, own, &inputs).await.map_err(fault)?.properties());
    }
    promotion.rows = match here.kind {
        RelationKind::Table => {
            properties.insert(PROMOTED.to_owned(), here.version.clone());
            let adopted = engine.adopt(twin, own, &here.version, properties.clone()).await.map_err(fault)?;
            let Some(published) = adopted else {
                let message = format!("{own} has changed while it was promoted, or this engine cannot switch tables");
                return Err(Diagnostic::error("run/not-promoted", message).at(whole(node), "").into());
            };
            context.catalog.record(twin, RelationKind::Table, &published.version, properties);
            published.rows
        }
        RelationKind::View => {
            publish_view(task, twins, own, twin, &here, properties).await?;
            None
        }
    };
    Ok(Some(promotion))
}

/// The record with the other target's names, and its relations as they are by now: those above are switched already.
async fn recorded_there(task: &Task, twins: &Twins, own: &RelationName, inputs: &Inputs) -> Result<Inputs, EngineError> {
    let context = &task.context;
    let mut renamed = Inputs { sql: twins.rename(own, inputs), reads: Default::default(), ..inputs.clone() };
    for (name, identity) in &inputs.reads {
        match RelationName::parse(name).as_ref().and_then(|r| twins.of(r)) {
            None => drop(renamed.reads.insert(name.clone(), identity.clone())),
            Some(twin) => {
                let there = match context.catalog.identity(context.deps.engine.as_ref(), twin).await? {
                    Identity::Known(there) if identity != "view" => there,
                    Identity::Known(_) => identity.clone(),
                    // it is not promoted, and not there: the other target builds this node itself then
                    Identity::Missing | Identity::Unknown => "unknown".to_owned(),
                };
                renamed.reads.insert(twin.to_string(), there);
            }
        }
    }
    Ok(renamed)
}

async fn publish_view(
    task: &Task,
    twins: &Twins,
    own: &RelationName,
    twin: &RelationName,
    here: &RelationInfo,
    mut properties: std::collections::BTreeMap<String, String>,
) -> Result<(), Diagnostics> {
    let compiled = task.compile_quietly(&task.node.id, World::default()).await?;
    let reads = here.properties.get(READS).map_or("", String::as_str);
    let known = reads.lines().map(|name| (name.to_owned(), String::new())).collect();
    let sql = twins.rename(own, &Inputs { sql: compiled.sql.clone(), reads: known, ..Inputs::default() });
    let renamed =
        |name: &str| RelationName::parse(name).and_then(|r| twins.of(&r).map(ToString::to_string)).unwrap_or_else(|| name.to_owned());
    properties.insert(READS.to_owned(), reads.lines().map(renamed).collect::<Vec<_>>().join("\n"));
    let (comment, column_comments) = super::materialize::comments(task);
    let publish = Publish {
        relation: twin.clone(),
        content: Content::Query(sql),
        how: How::View,
        comment,
        column_comments,
        not_null: vec![],
        properties,
        physical: task.physical(),
    };
    let published = super::materialize::send(task, &publish).await.map_err(|e| placed(e, &task.node, None, 0))?;
    task.context.catalog.record(twin, RelationKind::View, &published.version, publish.properties);
    Ok(())
}
