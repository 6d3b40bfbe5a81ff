//! A plan with the reason of every step, found out without running any: what `plan` and `explain` show.
//!
//! Steps are looked at in order. What would be built counts as changed for those below it.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc::unbounded_channel;

use super::{
    Cancellation, Deps, RunOptions,
    batches::Agenda,
    event::NodeLabel,
    executor::list_relations,
    freshness::{self, Assessment, Why},
    materialize, memory, microbatch,
    step::{Context, Task, label},
    unit_test,
    warehouse::Catalog,
};
use crate::{
    diagnostic::Diagnostics,
    engine::RelationKind,
    names::ResourceType,
    plan::{Action, Plan, Step},
    project::World,
    state::{Change, Intervals, READS},
};

/// What a build would do with one node.
#[derive(Clone, Debug)]
pub struct Forecast {
    pub label: Arc<NodeLabel>,
    pub action: Action,
    /// What is known of its inputs; `None` for those that are always run.
    pub assessment: Option<Assessment>,
    /// Empty: it is fresh.
    pub why: Vec<String>,
    /// Of a microbatch model: the stretches that would be built.
    pub intervals: Intervals,
    /// Why nothing can be told: its template fails without what is above it.
    pub fault: Option<Diagnostics>,
}

impl Forecast {
    pub fn is_fresh(&self) -> bool {
        self.why.is_empty()
    }
}

/// Looks at every step of a plan. Nothing is written, neither to the warehouse nor to `target`.
pub async fn preview(plan: &Plan, deps: Deps, options: RunOptions) -> Vec<Forecast> {
    // nobody listens: there is nothing to report but the answer
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
    let mut pending = BTreeSet::new();
    let mut forecasts = vec![];
    for step in &plan.steps {
        forecasts.push(forecast(&context, step, &mut pending).await);
    }
    forecasts
}

async fn forecast(context: &Arc<Context>, step: &Step, pending: &mut BTreeSet<String>) -> Forecast {
    let label = Arc::new(label(context.deps.compile.as_ref(), step));
    let mut forecast = Forecast {
        label: Arc::clone(&label),
        action: step.action,
        assessment: None,
        why: vec![],
        intervals: Intervals::default(),
        fault: None,
    };
    let Some(node) = context.deps.compile.node(&step.id) else { return forecast };
    let task =
        Task { context: Arc::clone(context), node, label, step: step.clone(), thread: String::new(), comment: std::sync::OnceLock::new() };
    if step.action == Action::Materialize
        && microbatch::is_batched(&task.node)
        && task.context.deps.compile.materialization(&task.node).is_none()
    {
        match agenda(&task).await {
            Ok(agenda) => {
                forecast.why = agenda.reasons().into_iter().map(|why| told_of(why, pending)).collect();
                forecast.intervals = agenda.batches.iter().map(|(batch, _)| *batch).collect();
                if agenda.batches.is_empty() {
                    forecast.why.clear();
                }
                forecast.assessment = Some(agenda.assessment);
            }
            Err(faults) => {
                forecast.why.push("cannot be told before what is above it is built".to_owned());
                forecast.fault = Some(faults);
            }
        }
        if !forecast.is_fresh() {
            mark(&task, &forecast, pending);
        }
        return forecast;
    }
    match assess(&task, step.action).await {
        Ok(Some(assessment)) => {
            forecast.why = assessment.why.iter().map(|why| told(why, pending)).collect();
            forecast.assessment = Some(assessment);
        }
        Ok(None) => {
            let why = match step.action {
                Action::Ingest => "asked for what is new".to_owned(),
                Action::Test if task.node.kind == ResourceType::UnitTest => "has not passed in this form".to_owned(),
                Action::Test => "has not passed over these rows".to_owned(),
                Action::Snapshot => Why::Always("snapshots").to_string(),
                _ => Why::Always("custom materializations").to_string(),
            };
            forecast.why.push(why);
        }
        // a test that passed
        Err(None) => {}
        Err(Some(faults)) => {
            forecast.why.push("cannot be told before what is above it is built".to_owned());
            forecast.fault = Some(faults);
        }
    }
    // what is above may or may not bring new rows: until it is asked, its table is what it is
    if !forecast.is_fresh() && !matches!(step.action, Action::Test | Action::Ingest) {
        mark(&task, &forecast, pending);
    }
    forecast
}

/// `Ok(None)`: always run. `Err(None)`: a test that needs no new verdict.
async fn assess(task: &Task, action: Action) -> Result<Option<Assessment>, Option<Diagnostics>> {
    let node = &task.node;
    match (action, &node.relation) {
        (Action::Materialize, Some(relation)) if node.kind == ResourceType::Model => {
            if task.context.deps.compile.materialization(node).is_some() {
                return Ok(None);
            }
            let compiled = task.compile_quietly(&node.id, World::default()).await.map_err(Some)?;
            freshness::of_model(task, relation, &compiled).await.map(Some).map_err(Some)
        }
        (Action::Seed, Some(relation)) => {
            let content = std::fs::read(task.context.deps.compile.seed_file(node)).unwrap_or_default();
            freshness::of_seed(task, relation, &content).await.map(Some).map_err(Some)
        }
        (Action::Test, _) if node.kind == ResourceType::Test => {
            let compiled = task.compile_quietly(&node.id, World::default()).await.map_err(Some)?;
            match memory::find(task, &compiled.sql).await.map_err(Some)? {
                Some(memory) if memory.passed => Err(None),
                _ => Ok(None),
            }
        }
        (Action::Test, _) => match unit_test::has_passed(task).await.map_err(Some)? {
            true => Err(None),
            false => Ok(None),
        },
        _ => Ok(None),
    }
}

async fn agenda(task: &Task) -> Result<Agenda, Diagnostics> {
    let node = &task.node;
    let relation = node.relation.clone().ok_or_else(|| materialize::no_relation(task))?;
    let compiled = task.compile_quietly(&node.id, World::default()).await?;
    Agenda::of(task, &relation, &compiled).await
}

/// The same of a reason in words.
fn told_of(why: String, pending: &BTreeSet<String>) -> String {
    let built = why.strip_prefix("input ").and_then(|w| w.strip_suffix(" has changed")).filter(|relation| pending.contains(*relation));
    match built {
        Some(relation) => format!("input {relation} is built anew"),
        None => why,
    }
}

fn told(why: &Why, pending: &BTreeSet<String>) -> String {
    match why {
        Why::Changed(Change::Input { relation } | Change::NewInput { relation }) if pending.contains(relation) => {
            format!("input {relation} is built anew")
        }
        other => other.to_string(),
    }
}

/// From here on the relation is not what it was.
fn mark(task: &Task, forecast: &Forecast, pending: &mut BTreeSet<String>) {
    let Some(relation) = &task.node.relation else { return };
    let is_view = task.node.config.materialized == "view";
    let mut properties = std::collections::BTreeMap::new();
    if let Some(assessment) = forecast.assessment.as_ref().filter(|_| is_view) {
        let names: Vec<String> = assessment.reads.iter().map(ToString::to_string).collect();
        properties.insert(READS.to_owned(), names.join("\n"));
    }
    pending.insert(relation.to_string());
    let kind = if is_view { RelationKind::View } else { RelationKind::Table };
    task.context.catalog.record(relation, kind, "built anew", properties);
}
