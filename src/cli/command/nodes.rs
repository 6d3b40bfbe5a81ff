//! `build`, `run`, `test`, `seed`, `ingest`: the chosen nodes as a plan, executed and reported.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::{
    cli::{
        args::Running,
        artifacts,
        config::Config,
        environment, interrupt,
        message::{self, Failure},
        sampling, stateful, typed,
        workspace::{Workspace, chosen, load_rows, target_folder},
    },
    diagnostic::{Diagnostic, Diagnostics},
    graph::{AdapterConfig, Selection},
    ingest::registry::{self, AdapterEnv},
    names::{Identifier, NodeId, ResourceType, SchemaName},
    plan::{Plan, PlanOptions, Verb},
    project::Project,
    report::{self, Reporter},
    run::{
        self, AdapterFactory, Cancellation, Deps, Forecast, Retry, RunOptions, StatementListener,
        event::{Batch, Event, LogLevel, NodeLabel},
    },
    simulate,
};

/// What only some invocations have.
#[derive(Default)]
pub(super) struct Extra {
    /// `retry`: exactly these nodes, whatever the arguments select.
    pub(super) only: Option<Vec<NodeId>>,
    pub(super) batches: HashMap<NodeId, Vec<Batch>>,
    /// Sources go on until they are stopped.
    pub(super) follow: bool,
    /// A run in which nothing happened tells nothing.
    pub(super) only_changes: bool,
}

/// How long the end of a run waits for the warehouse's account of it.
const LONGEST_ACCOUNT: Duration = Duration::from_secs(10);
/// Between two looks at a followed source that had nothing new.
const FOLLOW_PAUSE: Duration = Duration::from_secs(5);

pub(super) fn run(verb: Verb, running: &Running, config: &Config) -> Result<i32, Failure> {
    run_with(verb, running, Extra::default(), config)
}

/// All that a run needs, before it begins.
pub(super) struct Prepared {
    pub(super) project: Arc<Project>,
    pub(super) workspace: Workspace,
    pub(super) plan: Plan,
    pub(super) deps: Deps,
    pub(super) options: RunOptions,
    target: std::path::PathBuf,
    events: UnboundedSender<Event>,
    received: UnboundedReceiver<Event>,
}

/// What a run would do with each node, and why; nothing is done.
pub(super) fn forecast(verb: Verb, running: &Running, extra: Extra, config: &Config) -> Result<(Arc<Project>, Vec<Forecast>), Failure> {
    let p = prepare(verb, running, extra, config)?;
    let forecasts = p.workspace.runtime.block_on(run::preview(&p.plan, p.deps, p.options));
    p.workspace.end();
    Ok((p.project, forecasts))
}

pub(super) fn prepare(verb: Verb, running: &Running, extra: Extra, config: &Config) -> Result<Prepared, Failure> {
    let flags = [
        ("FULL_REFRESH", running.full_refresh),
        ("STORE_FAILURES", running.store_failures),
        ("EMPTY", running.empty),
        ("DEFER", running.selecting.defer),
        ("FAVOR_STATE", running.selecting.favor_state),
    ];
    let follow = extra.follow;
    let (rows, event_time) = (sampling::rows(running, config)?, sampling::event_time(running)?);
    let project = load_rows(verb.as_str(), &flags, rows, config)?;
    let selection = match extra.only {
        Some(only) => Selection { nodes: only.into_iter().filter(|id| project.graph.node(id).is_some()).collect(), ..Selection::default() },
        None => chosen(&project, &running.selecting, config)?,
    };
    let target = target_folder(&project, config);
    // a comment that no statement could carry fails the invocation, not each node
    project.query_comment(None)?;
    let workspace = Workspace::open(Arc::clone(&project))?;
    let clone_from = match verb {
        Verb::Clone => stateful::clones(&running.selecting, &target, config)?,
        _ => HashMap::new(),
    };
    stateful::defer(&project, &running.selecting, &selection.nodes, config)?;
    let selected: Vec<String> = selection.nodes.iter().map(ToString::to_string).collect();
    // set once: a project is loaded for one invocation
    let _ = project.environment.context().selected.set(selected);

    let ordered = project.graph.order().iter().filter_map(|id| project.graph.node(id));
    let options = PlanOptions { full_refresh: running.full_refresh, ..PlanOptions::new(verb) };
    let plan = Plan::new(ordered, &selection.nodes.iter().cloned().collect(), &options);
    // hooks are for commands that do something
    let hooks = if plan.is_empty() { (vec![], vec![]) } else { (project.on_run_start.clone(), project.on_run_end.clone()) };
    let (events, received) = tokio::sync::mpsc::unbounded_channel();
    let deps = Deps {
        engine: Arc::clone(&workspace.engine),
        compile: Arc::new(workspace.source().with_listener(listener(&project, events.clone()))),
        adapters: adapters(&project),
        on_run_start: hooks.0,
        on_run_end: hooks.1,
        foresight: Some(typed::foresight(&project)),
    };
    let options = RunOptions {
        project_dir: project.root.clone(),
        target_dir: target.clone(),
        target: project.profile.target_name.clone(),
        engine: project.engine.clone(),
        crosses: crate::cli::crossing::crosses(&project),
        // a followed source never gives its thread back
        threads: if follow { project.profile.threads.max(plan.steps.len()) } else { project.profile.threads },
        fail_fast: config.fail_fast,
        full_refresh: running.full_refresh,
        sources_anew: running.full_refresh && verb == Verb::Ingest,
        force: running.force,
        home: Some(SchemaName::new(Identifier::parse(&project.profile.database), Identifier::parse(&project.profile.schema))),
        follow,
        follow_pause: FOLLOW_PAUSE,
        store_failures: running.store_failures,
        empty: running.empty,
        event_time,
        batches: extra.batches,
        clone_from,
        reuse: environment::twins(&project, config)?,
        warnings_are_errors: config.warnings_are_errors,
        now: config.now,
        invocation: config.invocation,
        retry: Retry::default(),
    };
    Ok(Prepared { project, workspace, plan, deps, options, target, events, received })
}

pub(super) fn run_with(verb: Verb, running: &Running, extra: Extra, config: &Config) -> Result<i32, Failure> {
    let (follow, only_changes) = (extra.follow, extra.only_changes);
    let Prepared { project, workspace, plan, deps, options, target, events, received } = prepare(verb, running, extra, config)?;

    // not the one that ends at a closed pipe: `build | head` builds to its end
    let reporter = Reporter::new(config.report_options(verb.as_str()), Box::new(std::io::stdout()));
    let printing = std::thread::spawn(move || match only_changes {
        true => report::follow_changes(reporter, received),
        false => report::follow(reporter, received),
    });
    let mut report = workspace.runtime.block_on(async {
        let cancellation = Cancellation::new();
        let signals = interrupt::cancel(&cancellation);
        let report = run::execute(plan, deps, options, events, cancellation).await;
        signals.abort();
        report
    });
    // the run has dropped its end of the channel, so what is left to print is finite
    let told = printing.join().unwrap_or(true);
    if only_changes && !told && report.fatal.is_none() {
        workspace.end();
        return Ok(if report.cancelled { interrupt::EXIT_CODE } else { 0 });
    }
    // an account that does not tell is no fault of the run
    let costs = workspace.runtime.block_on(async {
        let asked = tokio::time::timeout(LONGEST_ACCOUNT, workspace.engine.costs()).await;
        asked.ok().and_then(Result::ok).unwrap_or_default()
    });
    if let Some(line) = crate::cli::cost::account(&mut report, &costs) {
        message::note(&line, config);
    }

    if verb == Verb::Seed && running.show {
        sampling::show_seeds(&workspace, &report, config)?;
    }
    let more = json!({
        "full_refresh": running.full_refresh,
        "store_failures": running.store_failures,
        "empty": running.empty,
        "sample": running.sample,
        "event_time_start": running.event_time_start,
        "event_time_end": running.event_time_end,
        "defer": running.selecting.defer,
        "favor_state": running.selecting.favor_state,
        "resource_types": running.selecting.resource_type,
        "exclude_resource_types": running.selecting.exclude_resource_type,
        "indirect_selection": running.selecting.indirect_selection,
        "show": running.show,
        "state": running.selecting.state,
    });
    let args = artifacts::arguments(verb.as_str(), &running.selecting, more, config);
    artifacts::write(&target, &project, &report, args, config)?;
    if let Some(faults) = report.fatal {
        workspace.end();
        return Err(faults.into());
    }
    // a stop is the way that following ends
    let failed = report.results.iter().any(|r| r.status.is_failure());
    let code = if report.cancelled && follow && !failed {
        0
    } else if report.cancelled {
        interrupt::EXIT_CODE
    } else {
        report.exit_code
    };
    // work that still goes on behind belongs to nodes that are over
    workspace.end();
    Ok(code)
}

/// Statements that templates send, as events of their nodes.
fn listener(project: &Project, events: UnboundedSender<Event>) -> StatementListener {
    let kinds: HashMap<NodeId, (ResourceType, String)> =
        project.graph.nodes().map(|n| (n.id.clone(), (n.kind, n.config.materialized.clone()))).collect();
    Arc::new(move |node, sql| {
        let label = node.and_then(|id| {
            let (kind, what) = kinds.get(id)?;
            Some(Arc::new(NodeLabel { id: id.clone(), kind: *kind, what: format!("{kind} {what}"), name: id.to_string() }))
        });
        // nobody listening is no reason to stop
        let _ = events.send(Event::Log { level: LogLevel::Debug, node: label, message: sql.to_owned() });
    })
}

/// Adapters of sources. Simulations are made by a stage that the registry does not know.
pub(in crate::cli) fn adapters(project: &Project) -> AdapterFactory {
    let context = project.environment.context();
    let run_date = context.cli_vars.get("run_date").or_else(|| context.vars.get("run_date"));
    let run_date = run_date.and_then(|v| v.as_str()?.trim().parse().ok());
    let simulated = Arc::new(|config: &AdapterConfig, env: &AdapterEnv| {
        (config.type_ == "simulate").then(|| simulate::adapter(&config.settings, &config.place, &env.project_root))
    });
    let env = AdapterEnv::new(&project.root, run_date).with_extra(vec!["simulate"], simulated);
    Arc::new(move |_, config| registry::adapter(config, &env).map(Arc::from).map_err(one))
}

/// The first fault; the others as its notes.
fn one(faults: Diagnostics) -> Diagnostic {
    let mut faults = faults.0.into_iter();
    let first = faults.next().unwrap_or_else(|| Diagnostic::error("ingest/adapter", "the adapter cannot be made"));
    faults.fold(first, |first, other| match &other.place {
        Some(place) => first.note(format!("{} ({place})", other.message)),
        None => first.note(other.message),
    })
}
