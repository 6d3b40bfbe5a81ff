//! The loop: starts what is ready while there are permits, takes in what ends, until nothing is left.

use std::{collections::HashMap, sync::Arc, time::Instant};

use serde_json::Map;
use tokio::{
    sync::mpsc::UnboundedSender,
    task::{Id, JoinError, JoinSet},
};

use super::{
    Cancellation, Deps, RunOptions, RunReport,
    event::{Event, LogLevel, NodeLabel, NodeResult, Status},
    hooks,
    schedule::Schedule,
    step::{Context, Task, label},
    warehouse::Catalog,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    names::SchemaName,
    plan::Plan,
};

/// Runs a plan to its end. Never fails as a whole: what went wrong is in the results.
///
/// Must be called on a multi-threaded tokio runtime. `events` is sent to in order of happening, ending with
/// [`Event::Finished`]; a closed receiver changes nothing.
pub async fn execute(plan: Plan, deps: Deps, options: RunOptions, events: UnboundedSender<Event>, cancel: Cancellation) -> RunReport {
    let began = Instant::now();
    let context =
        Arc::new(Context { deps, options, cancel, events, catalog: Catalog::default(), audits: Default::default(), staged: false });
    let labels: Vec<Arc<NodeLabel>> = plan.steps.iter().map(|s| Arc::new(label(context.deps.compile.as_ref(), s))).collect();
    context.send(Event::Started {
        counts: plan.counts(),
        total: plan.steps.len(),
        threads: context.options.threads.max(1),
        target: context.options.target.clone(),
    });
    list_relations(&context, &plan).await;

    let mut run = Run {
        schedule: Schedule::new(&plan),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        free: (1..=context.options.threads.max(1)).rev().collect(),
        results: vec![],
        started: 0,
        aborted: false,
        cancelling: false,
        context: Arc::clone(&context),
        plan,
        labels,
    };
    let mut fatal = None;
    let start = hooks::on_run(&context, "start", &context.deps.on_run_start, &Map::new(), &mut fatal).await;
    let started_well = run.take_operations(start);
    if started_well {
        run.steps().await;
    } else {
        run.skip_rest("skipped because an on-run-start hook failed");
    }
    if !context.cancel.is_stopping() {
        let extra = hooks::end_variables(&run.results, &run.schemas(), context.deps.compile.as_ref());
        let end = hooks::on_run(&context, "end", &context.deps.on_run_end, &extra, &mut fatal).await;
        run.take_operations(end);
    }

    let cancelled = context.cancel.is_stopping();
    let elapsed = began.elapsed();
    context.send(Event::Finished { elapsed, cancelled });
    let failed = run.results.iter().any(|r| r.failed());
    RunReport { results: run.results, exit_code: i32::from(failed || cancelled), elapsed, cancelled, fatal }
}

struct Run {
    plan: Plan,
    labels: Vec<Arc<NodeLabel>>,
    context: Arc<Context>,
    schedule: Schedule,
    tasks: JoinSet<NodeResult>,
    running: HashMap<Id, Running>,
    /// Numbers of idle threads, smallest last.
    free: Vec<usize>,
    results: Vec<Arc<NodeResult>>,
    started: usize,
    aborted: bool,
    cancelling: bool,
}

struct Running {
    step: usize,
    index: usize,
    thread: usize,
    since: Instant,
}

impl Run {
    async fn steps(&mut self) {
        loop {
            if self.context.cancel.is_stopping() {
                self.cancelling();
            }
            while !self.free.is_empty()
                && let Some(step) = self.schedule.next()
            {
                self.start(step);
            }
            if self.tasks.is_empty() {
                break;
            }
            let cancel = self.context.cancel.clone();
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = cancel.stopping(), if !self.cancelling => {}
                () = cancel.aborting(), if !self.aborted => {
                    self.aborted = true;
                    self.tasks.abort_all();
                }
            }
        }
    }

    fn start(&mut self, step: usize) {
        let label = Arc::clone(&self.labels[step]);
        let index = self.next_index();
        self.context.send(Event::NodeStarted { index, node: Arc::clone(&label) });
        let Some(node) = self.context.deps.compile.node(&label.id) else {
            let fault = Diagnostic::error("run/unknown-node", format!("the project has no node `{}`", label.id));
            self.finish(step, index, bare(label, Status::Error, fault.message.clone(), vec![fault]));
            return;
        };
        let thread = self.free.pop().unwrap_or_default();
        let task = Task {
            context: Arc::clone(&self.context),
            node,
            label,
            step: self.plan.steps[step].clone(),
            thread: format!("Thread-{thread} (worker)"),
            comment: std::sync::OnceLock::new(),
        };
        let id = self.tasks.spawn(task.run()).id();
        self.running.insert(id, Running { step, index, thread, since: Instant::now() });
    }

    fn ended(&mut self, ended: Result<(Id, NodeResult), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(e) => e.id(),
        };
        let Some(running) = self.running.remove(&id) else { return };
        self.free.push(running.thread);
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        let result = match ended {
            Ok((_, result)) => result,
            Err(e) => {
                let label = Arc::clone(&self.labels[running.step]);
                let fault = broken(&label, e);
                NodeResult { elapsed: running.since.elapsed(), ..bare(label, Status::Error, fault.message.clone(), vec![fault]) }
            }
        };
        self.finish(running.step, running.index, result);
    }

    fn finish(&mut self, step: usize, index: usize, result: NodeResult) {
        let failed = result.failed();
        self.report(index, result);
        if !failed {
            self.schedule.succeeded(step);
            return;
        }
        let culprit = self.labels[step].name.clone();
        for skipped in self.schedule.failed(step) {
            // a test that the failed node was audited with has its verdict
            let told = self.context.audits.lock().remove(&self.labels[skipped].id);
            match told {
                Some(result) => {
                    let index = self.next_index();
                    self.report(index, NodeResult { node: Arc::clone(&self.labels[skipped]), ..result });
                }
                None => self.skip(skipped, format!("skipped because `{culprit}` failed")),
            }
        }
        if self.context.options.fail_fast {
            self.skip_rest(&format!("skipped because `{culprit}` failed and --fail-fast is on"));
        }
    }

    fn cancelling(&mut self) {
        if !self.cancelling {
            self.cancelling = true;
            self.context.send(Event::Cancelling);
            self.skip_rest("cancelled before it started");
        }
    }

    fn skip_rest(&mut self, message: &str) {
        for step in self.schedule.stop() {
            self.skip(step, message.to_owned());
        }
    }

    fn skip(&mut self, step: usize, message: String) {
        let index = self.next_index();
        self.report(index, bare(Arc::clone(&self.labels[step]), Status::Skipped, message, vec![]));
    }

    fn next_index(&mut self) -> usize {
        self.started += 1;
        self.started
    }

    fn report(&mut self, index: usize, result: NodeResult) {
        let result = Arc::new(result);
        self.context.send(Event::NodeFinished { index, result: Arc::clone(&result) });
        self.results.push(result);
    }

    /// Hooks are no steps: they are in the results, and on screen only when they fail. Says whether all went well.
    fn take_operations(&mut self, operations: Vec<NodeResult>) -> bool {
        let mut well = true;
        for result in operations {
            if result.status.is_failure() {
                well = false;
                let index = self.next_index();
                self.report(index, result);
            } else {
                self.results.push(Arc::new(result));
            }
        }
        well
    }

    fn schemas(&self) -> Vec<SchemaName> {
        schemas(&self.context, &self.plan)
    }
}

/// Schemas that the plan's nodes live in, each once, in order.
fn schemas(context: &Context, plan: &Plan) -> Vec<SchemaName> {
    let mut schemas: Vec<SchemaName> = vec![];
    let mut seen = std::collections::HashSet::new();
    for step in &plan.steps {
        let Some(node) = context.deps.compile.node(&step.id) else { continue };
        for relation in node.relation.iter() {
            let schema = relation.schema_name();
            if seen.insert(schema.clone()) {
                schemas.push(schema);
            }
        }
    }
    schemas
}

pub(super) async fn list_relations(context: &Context, plan: &Plan) {
    let mut wanted = schemas(context, plan);
    for step in &plan.steps {
        for parent in context.deps.compile.node(&step.id).iter().flat_map(|n| n.depends_on.iter()) {
            if let Some(relation) = context.deps.compile.node(parent).and_then(|n| n.relation.clone())
                && !wanted.contains(&relation.schema_name())
            {
                wanted.push(relation.schema_name());
            }
        }
    }
    if wanted.is_empty() {
        return;
    }
    if let Err(e) = context.catalog.list(context.deps.engine.as_ref(), &wanted).await {
        let message = format!("the warehouse could not be listed at the start: {e}");
        context.send(Event::Log { level: LogLevel::Debug, node: None, message });
    }
}

fn broken(label: &NodeLabel, error: JoinError) -> Diagnostic {
    match error.try_into_panic() {
        Ok(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Diagnostic::error("run/panic", format!("`{}` was ended by a fault in segue itself: {what}", label.name))
                .help("please report it with the SQL of this node; the other nodes are not affected")
        }
        Err(_) => Diagnostic::error("run/aborted", format!("`{}` was aborted", label.name))
            .help("its table is as it was before; run the command again to build it"),
    }
}

/// A result of a step that did no work.
pub(super) fn bare(node: Arc<NodeLabel>, status: Status, message: String, diagnostics: Vec<Diagnostic>) -> NodeResult {
    NodeResult {
        node,
        status,
        message,
        rows: None,
        failures: None,
        diagnostics,
        compiled_code: None,
        compiled_path: None,
        relation_name: None,
        thread: String::new(),
        timing: vec![],
        elapsed: std::time::Duration::ZERO,
        adapter_response: Map::new(),
        heading: None,
        batches: None,
        fresh: false,
    }
}

/// The message that stands for several faults.
pub(super) fn first_message(faults: &Diagnostics) -> String {
    faults.0.iter().find(|d| d.is_error()).or(faults.0.first()).map_or_else(String::new, |d| d.message.clone())
}
