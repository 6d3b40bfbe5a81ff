//! One node from start to result: chooses the action, keeps the clock, turns failures into diagnostics.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Cancellation, Compile, CompiledNode, Deps, RunOptions, audit, clone,
    compile::QueryComment,
    data_test,
    event::{Batches, Event, LogLevel, NodeLabel, NodeResult, Status},
    export, ingest, materialize, seed, snapshot, unit_test,
    warehouse::Catalog,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, kind_of},
    engine::{Lock, Physical},
    graph::Node,
    names::{NodeId, ResourceType},
    plan::{Action, Step},
    project::World,
    state,
    template::{LogLine, MacroCall, Returned},
};

/// Between two looks at a lock that another build holds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What all steps of a run share.
pub(super) struct Context {
    pub(super) deps: Deps,
    pub(super) options: RunOptions,
    pub(super) cancel: Cancellation,
    pub(super) events: UnboundedSender<Event>,
    pub(super) catalog: Catalog,
    /// What audits have said of tests whose own steps are still to come.
    pub(super) audits: parking_lot::Mutex<audit::Verdicts>,
    /// Whether this is the world of a staged version: nothing that is seen here is worth remembering.
    pub(super) staged: bool,
}

impl Context {
    /// Nobody listening is no reason to stop.
    pub(super) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// What templates said by `log(...)` and `print(...)`.
    pub(super) fn log_lines(&self, lines: &[LogLine]) {
        for line in lines {
            let level = if line.info { LogLevel::Info } else { LogLevel::Debug };
            // without the node: at debug level a node's messages are its SQL
            self.send(Event::Log { level, node: None, message: line.message.clone() });
        }
    }
}

/// One node at work.
pub(super) struct Task {
    pub(super) context: Arc<Context>,
    pub(super) node: Arc<Node>,
    pub(super) label: Arc<NodeLabel>,
    pub(super) step: Step,
    pub(super) thread: String,
    /// What its statements carry; set when it begins.
    pub(super) comment: OnceLock<QueryComment>,
}

/// What a step has found out so far; kept when it fails.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) message: String,
    pub(super) rows: Option<u64>,
    pub(super) failures: Option<u64>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) compiled_code: Option<String>,
    pub(super) compiled_path: Option<PathBuf>,
    pub(super) relation_name: Option<String>,
    pub(super) timing: Vec<(&'static str, DateTime<Utc>, DateTime<Utc>)>,
    pub(super) batches: Option<Batches>,
    /// What tools read beside the number of rows.
    pub(super) metrics: Map<String, Json>,
    /// Nothing had to be done: what it is made from is what it was.
    pub(super) fresh: bool,
}

impl Progress {
    /// Nothing has to be done; the reason where it is not the usual one.
    pub(super) fn fresh(&mut self, reason: Option<String>) {
        self.fresh = true;
        self.message = reason.map_or_else(|| "fresh".to_owned(), |r| format!("fresh: {r}"));
    }
}

impl Task {
    /// Boxed: an audit runs the tasks of tests within that of their node.
    pub(super) fn run(self) -> BoxFuture<'static, NodeResult> {
        Box::pin(self.run_it())
    }

    async fn run_it(self) -> NodeResult {
        let (began, node) = (Instant::now(), Arc::clone(&self.node));
        let mut progress = Progress { relation_name: self.node.relation.as_ref().map(ToString::to_string), ..Progress::default() };
        let mut cause = None;
        let ready = match self.find_comment() {
            Err(faults) => Err(faults),
            Ok(()) => self.lock().await,
        };
        let ended = match ready {
            Err(faults) => Err(faults),
            Ok(_held) => match self.step.action {
                Action::Materialize => materialize::run(&self, &mut progress).await,
                Action::Seed => seed::run(&self, &mut progress).await,
                Action::Ingest => ingest::run(&self, &mut progress).await,
                Action::Test if self.node.kind == ResourceType::UnitTest => unit_test::run(&self, &mut progress).await,
                Action::Test => data_test::run(&self, &mut progress).await,
                Action::Snapshot => snapshot::run(&self, &mut progress).await,
                Action::Clone => clone::run(&self, &mut progress).await,
            },
        };
        let ended = match ended {
            Ok(status @ (Status::Success | Status::NoOp)) if self.exports() => export::run(&self, &mut progress).await.map(|()| status),
            ended => ended,
        };
        let status = match ended {
            Ok(status) => status,
            Err(Diagnostics(faults)) => {
                progress.message = faults.iter().find(|d| d.is_error()).map_or_else(String::new, |d| d.message.clone());
                let caused = self.ephemeral_cause(&faults);
                progress.diagnostics.extend(faults);
                match caused {
                    // the fault is the ephemeral model's: what selects from it is skipped, as in dbt
                    Some(heading) => {
                        progress.message = format!("{heading}\n{}", progress.message);
                        cause = Some(heading);
                        Status::Skipped
                    }
                    None => Status::Error,
                }
            }
        };
        let mut adapter_response = Map::new();
        if matches!(status, Status::Success | Status::PartialSuccess) {
            adapter_response.insert("_message".into(), progress.message.clone().into());
            if let Some(rows) = progress.rows {
                adapter_response.insert("rows_affected".into(), rows.into());
            }
        }
        adapter_response.extend(std::mem::take(&mut progress.metrics));
        let heading = progress.diagnostics.iter().find(|d| d.is_error() && status == Status::Error).map(|d| {
            let path = node.original_file_path.display();
            format!("{} in {} {} ({path})", kind_of(d.code), node.kind, node.name)
        });
        let heading = cause.or(heading);
        NodeResult {
            node: self.label,
            status,
            message: progress.message,
            rows: progress.rows,
            failures: progress.failures,
            diagnostics: progress.diagnostics,
            compiled_code: progress.compiled_code,
            compiled_path: progress.compiled_path,
            relation_name: progress.relation_name,
            thread: self.thread,
            timing: progress.timing,
            elapsed: began.elapsed(),
            adapter_response,
            heading,
            batches: progress.batches,
            fresh: progress.fresh,
        }
    }

    fn exports(&self) -> bool {
        matches!(self.step.action, Action::Materialize | Action::Seed | Action::Ingest | Action::Snapshot)
            && self.node.kind != ResourceType::Function
    }

    /// dbt's first line of a fault that is an ephemeral parent's own.
    fn ephemeral_cause(&self, faults: &[Diagnostic]) -> Option<String> {
        let fault = faults.iter().find(|d| d.is_error() && d.code.starts_with("template/"))?;
        let file = &fault.place.as_ref()?.file.path;
        let compile = &self.context.deps.compile;
        let (mut open, mut seen) = (self.node.depends_on.clone(), std::collections::HashSet::new());
        while let Some(id) = open.pop() {
            let Some(parent) = compile.node(&id).filter(|n| n.is_ephemeral() && seen.insert(n.id.clone())) else { continue };
            if parent.file.path == *file {
                let path = parent.original_file_path.display();
                return Some(format!("{} in model {} ({path})", kind_of(fault.code), parent.name));
            }
            open.extend(parent.depends_on.iter().cloned());
        }
        None
    }

    fn find_comment(&self) -> Result<(), Diagnostics> {
        if let Some(comment) = self.context.deps.compile.comment(Some(&self.node.id))? {
            let _ = self.comment.set(comment);
        }
        Ok(())
    }

    /// A statement as it is sent: with the project's query comment.
    pub(super) fn commented(&self, sql: &str) -> String {
        self.comment.get().map_or_else(|| sql.to_owned(), |c| c.with(sql))
    }

    pub(super) fn log_lines(&self, lines: &[LogLine]) {
        self.context.log_lines(lines);
    }

    /// Calls a macro in the node's context, on a blocking thread.
    pub(super) async fn call(&self, call: MacroCall, variables: Map<String, Json>) -> Result<Returned, Diagnostics> {
        let (compile, id) = (Arc::clone(&self.context.deps.compile), self.node.id.clone());
        let returned = blocking(move || compile.call(Some(&id), &call, &variables)).await?;
        self.log_lines(&returned.logs);
        for diagnostic in &returned.warnings {
            self.context.send(Event::Warning { node: Some(Arc::clone(&self.label)), diagnostic: diagnostic.clone() });
        }
        Ok(returned)
    }

    /// Waits until no other build works on the node's relation. Tests change nothing that others build.
    async fn lock(&self) -> Result<Option<Box<dyn Send + Sync>>, Diagnostics> {
        let Some(relation) = self.node.relation.as_ref().filter(|_| self.step.action != Action::Test) else { return Ok(None) };
        let context = &self.context;
        let holder = format!("process {}, run {}", std::process::id(), context.options.invocation);
        let mut told = false;
        loop {
            let fault = |e: crate::engine::EngineError| {
                let mut diagnostic = Diagnostic::error(e.code, e.message).at(super::compile::whole(&self.node), "");
                diagnostic.help = e.help;
                Diagnostics::from(diagnostic)
            };
            let who = match context.deps.engine.lock(relation, &holder).await.map_err(fault)? {
                Lock::Held(lock) => {
                    // another build has made what this one was going to make, and what it reads: while this one waited, or
                    // before it came here. Rows that only go on with a table must never take its place
                    let missed = !told && !context.catalog.has(relation) && {
                        context.deps.engine.columns(relation).await.map_err(fault)?.is_some()
                    };
                    if told || missed {
                        context.catalog.forget_all();
                    }
                    return Ok(Some(lock));
                }
                Lock::Busy(who) => who,
            };
            if !told {
                told = true;
                let message = format!("{}: waiting for another build that works on {relation} ({who})", self.node.name);
                context.send(Event::Log { level: LogLevel::Warn, node: Some(Arc::clone(&self.label)), message });
                self.progress("waiting for another build");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = context.cancel.stopping() => {
                    let message = format!("`{}` was cancelled while another build worked on it ({who})", self.node.name);
                    return Err(Diagnostic::error("run/cancelled", message).at(super::compile::whole(&self.node), "").into());
                }
            }
        }
    }

    /// Compiles on a blocking thread and writes the result below `target/compiled`.
    pub(super) async fn compile(&self, progress: &mut Progress) -> Result<CompiledNode, Diagnostics> {
        self.compile_in(progress, &self.node.id, World::default()).await
    }

    /// Another form of the node's SQL: nothing is written or logged.
    pub(super) async fn compile_quietly(&self, id: &NodeId, world: World) -> Result<CompiledNode, Diagnostics> {
        let (compile, id) = (Arc::clone(&self.context.deps.compile), id.clone());
        blocking(move || compile.compile_in(&id, &world)).await
    }

    /// The same of a node (a unit test compiles its model) in a world of its own.
    pub(super) async fn compile_in(&self, progress: &mut Progress, id: &NodeId, world: World) -> Result<CompiledNode, Diagnostics> {
        let started = Utc::now();
        let compile = Arc::clone(&self.context.deps.compile);
        let id = id.clone();
        let compiled = blocking(move || compile.compile_in(&id, &world)).await;
        progress.timing.push(("compile", started, Utc::now()));
        let compiled = compiled?;
        self.log_lines(&compiled.logs);
        for diagnostic in &compiled.warnings.0 {
            self.context.send(Event::Warning { node: Some(Arc::clone(&self.label)), diagnostic: diagnostic.clone() });
        }
        let path = self.artifact("compiled");
        state::write_if_changed(&path, compiled.sql.as_bytes())?;
        progress.compiled_code = Some(compiled.sql.clone());
        progress.compiled_path = Some(path.strip_prefix(&self.context.options.project_dir).map_or(path.clone(), PathBuf::from));
        Ok(compiled)
    }

    /// What was run, below `target/run`.
    pub(super) fn write_executed(&self, sql: &str) -> Result<(), Diagnostics> {
        Ok(state::write_if_changed(&self.artifact("run"), sql.as_bytes())?)
    }

    /// `target/<kind>/<package>/<original file path>`; generic tests, of which one YAML file declares many, go into a
    /// folder named after that file, as in dbt.
    fn artifact(&self, kind: &str) -> PathBuf {
        let node = &self.node;
        let mut path = self.context.options.target_dir.join(kind).join(&node.package).join(&node.original_file_path);
        if node.kind == ResourceType::UnitTest {
            // beside the tests that the same file declares: its path is a folder of them
            path.push(format!("{}.sql", node.name));
        } else if node.original_file_path.file_name() != node.path.file_name()
            && let Some(name) = node.path.file_name()
        {
            path.push(name);
        }
        path
    }

    pub(super) fn log_sql(&self, sql: &str) {
        self.context.send(Event::Log { level: LogLevel::Debug, node: Some(Arc::clone(&self.label)), message: self.commented(sql) });
    }

    pub(super) fn progress(&self, message: impl Into<String>) {
        self.context.send(Event::NodeProgress { node: Arc::clone(&self.label), message: message.into() });
    }

    /// A session where the node is built.
    pub(super) fn session(&self) -> Box<dyn crate::engine::Session> {
        let engine = &self.context.deps.engine;
        self.node.relation.as_ref().map_or_else(|| engine.session(), |relation| engine.session_at(relation))
    }

    /// The engine that builds the node: its own `engine`, where the run has more than one.
    pub(super) fn engine(&self) -> &str {
        let options = &self.context.options;
        let own = self.node.config.all.get("engine").and_then(Json::as_str).filter(|_| options.crosses);
        own.unwrap_or(&options.engine)
    }

    /// What an engine may want to know of the node beside its rows.
    pub(super) fn physical(&self) -> Physical {
        let mut config = self.node.config.all.clone();
        config.insert("materialized".into(), self.node.config.materialized.as_str().into());
        let (before, after) = self.comment.get().map_or_else(Default::default, QueryComment::around);
        Physical { config: Arc::new(config), before, after, ..Physical::default() }
    }

    pub(super) fn properties(&self) -> std::collections::BTreeMap<String, String> {
        [
            (state::NODE.to_owned(), self.node.id.to_string()),
            (state::INVOCATION.to_owned(), self.context.options.invocation.to_string()),
            ("segue.reason".to_owned(), self.step.reason.as_str().to_owned()),
        ]
        .into()
    }
}

/// Runs on a thread that may block; a panic there is a panic here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // only a runtime that shuts down cancels blocking work that it has not begun
            Err(_) => std::future::pending().await,
        },
    }
}

/// How a node is named on screen.
pub(super) fn label(compile: &dyn Compile, step: &Step) -> NodeLabel {
    let (what, name) = match compile.node(&step.id) {
        None => (step.kind.to_string(), step.id.to_string()),
        Some(node) => {
            let what = match node.kind {
                ResourceType::Model => format!("model {}", node.config.materialized),
                ResourceType::Source => match node.source.as_ref().and_then(|s| s.adapter.as_ref()) {
                    Some(adapter) => format!("source {}", adapter.type_),
                    None => "source".into(),
                },
                kind => kind.to_string(),
            };
            let name = match &node.relation {
                Some(relation) if node.kind != ResourceType::Test => format!("{}.{}", relation.schema, relation.name),
                _ => node.name.clone(),
            };
            (what, name)
        }
    };
    NodeLabel { id: step.id.clone(), kind: step.kind, what, name }
}
