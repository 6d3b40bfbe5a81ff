//! `build`, `run`, `test`, `seed`, `ingest`: the chosen nodes as a plan, executed and reported.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    cli::{
        args::Running,
        artifacts,
        config::Config,
        interrupt,
        message::Failure,
        workspace::{Workspace, chosen, load, target_folder},
    },
    diagnostic::{Diagnostic, Diagnostics},
    graph::AdapterConfig,
    ingest::registry::{self, AdapterEnv},
    plan::{Plan, PlanOptions, Verb},
    project::Project,
    report::{self, Reporter},
    run::{self, AdapterFactory, Cancellation, Deps, Retry, RunOptions},
    simulate,
};

/// Between two looks at a followed source that had nothing new.
const FOLLOW_PAUSE: Duration = Duration::from_secs(5);

/// `follow`: sources go on until they are stopped.
pub(super) fn run(verb: Verb, running: &Running, follow: bool, config: &Config) -> Result<i32, Failure> {
    let flags = [("FULL_REFRESH", running.full_refresh), ("STORE_FAILURES", running.store_failures)];
    let project = load(verb.as_str(), &flags, config)?;
    let selection = chosen(&project.graph, &running.selecting, &project.name, config)?;
    let target = target_folder(&project, config);
    let workspace = Workspace::open(Arc::clone(&project))?;

    let ordered = project.graph.order().iter().filter_map(|id| project.graph.node(id));
    let options = PlanOptions { full_refresh: running.full_refresh, ..PlanOptions::new(verb) };
    let plan = Plan::new(ordered, &selection.nodes.iter().cloned().collect(), &options);
    // hooks are for commands that do something
    let hooks = if plan.is_empty() { (vec![], vec![]) } else { (project.on_run_start.clone(), project.on_run_end.clone()) };
    let deps = Deps {
        engine: Arc::clone(&workspace.engine),
        compile: Arc::new(workspace.source()),
        adapters: adapters(&project),
        on_run_start: hooks.0,
        on_run_end: hooks.1,
    };
    let options = RunOptions {
        project_dir: project.root.clone(),
        target_dir: target.clone(),
        target: project.profile.target_name.clone(),
        engine: project.engine.clone(),
        // a followed source never gives its thread back
        threads: if follow { project.profile.threads.max(plan.steps.len()) } else { project.profile.threads },
        fail_fast: config.fail_fast,
        full_refresh: running.full_refresh,
        follow,
        follow_pause: FOLLOW_PAUSE,
        store_failures: running.store_failures,
        warnings_are_errors: config.warnings_are_errors,
        now: config.now,
        invocation: config.invocation,
        retry: Retry::default(),
    };

    // not the one that ends at a closed pipe: `build | head` builds to its end
    let reporter = Reporter::new(config.report_options(verb.as_str()), Box::new(std::io::stdout()));
    let (events, received) = tokio::sync::mpsc::unbounded_channel();
    let printing = std::thread::spawn(move || report::follow(reporter, received));
    let report = workspace.runtime.block_on(async {
        let cancellation = Cancellation::new();
        let signals = interrupt::cancel(&cancellation);
        let report = run::execute(plan, deps, options, events, cancellation).await;
        signals.abort();
        report
    });
    // the run has dropped its end of the channel, so what is left to print is finite
    let _ = printing.join();

    let more = json!({"full_refresh": running.full_refresh, "store_failures": running.store_failures});
    let args = artifacts::arguments(verb.as_str(), &running.selecting, more, config);
    artifacts::write(&target, &project, &report, args, config)?;
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
    workspace.runtime.shutdown_background();
    Ok(code)
}

/// Adapters of sources. Simulations are made by a stage that the registry does not know.
fn adapters(project: &Project) -> AdapterFactory {
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
