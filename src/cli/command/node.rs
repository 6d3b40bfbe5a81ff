//! `build`, `run`, `test`, `seed`, `ingest`: a plan, executed.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, json};

use super::{chosen, introspection, load, open, runtime, target_folder};
use crate::{
    cli::{
        args::Running,
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::{Diagnostic, Diagnostics},
    graph::{AdapterConfig, Node},
    ingest::{
        Adapter,
        registry::{self, AdapterEnv},
    },
    plan::{Plan, PlanOptions, Verb},
    project::Project,
    report::{ReportOptions, Reporter, follow, run_results},
    run::{self, AdapterFactory, Cancellation, Deps, ProjectSource, Retry, RunOptions, RunReport},
    simulate,
    state::manifest::{self, DocEntry, MacroEntry, ManifestContext},
};

pub fn run(verb: Verb, running: &Running, settings: &Settings) -> Result<i32, Failure> {
    let project = load(verb.as_str(), running.full_refresh, settings)?;
    let selection = chosen(&project.graph, &running.selecting, &project.name, settings)?;
    let engine = open(&project)?;
    let runtime = runtime()?;
    let target = target_folder(&project, settings);

    let mut options = PlanOptions::new(verb);
    options.full_refresh = running.full_refresh;
    let selected = selection.nodes.iter().cloned().collect();
    let ordered = project.graph.order().iter().filter_map(|id| project.graph.node(id));
    let plan = Plan::new(ordered, &selected, &options);

    let deps = Deps {
        engine: engine.clone(),
        compile: Arc::new(ProjectSource::new(project.clone(), introspection(&engine, &runtime))),
        adapters: adapters(&project),
        on_run_start: project.on_run_start.clone(),
        on_run_end: project.on_run_end.clone(),
    };
    let run_options = RunOptions {
        project_dir: project.root.clone(),
        target_dir: target.clone(),
        target: project.profile.target_name.clone(),
        engine: project.engine.clone(),
        threads: project.profile.threads,
        fail_fast: running.fail_fast,
        full_refresh: running.full_refresh,
        store_failures: running.store_failures,
        warnings_are_errors: settings.warnings_are_errors,
        now: settings.now,
        invocation: settings.invocation,
        retry: Retry::default(),
    };
    if plan.is_empty() {
        message::note("Nothing to do: the selection has no nodes that this command runs.", settings);
    }
    let reporter = Reporter::new(
        ReportOptions {
            format: settings.log_format,
            quiet: settings.quiet,
            level: settings.level,
            width: settings.width,
            colour: settings.colour_out,
            progress: settings.progress && !settings.quiet,
            verb: verb.as_str().into(),
            invocation: settings.invocation.to_string(),
            secrets: settings.secrets.clone(),
            clock: chrono::Utc::now,
        },
        Box::new(super::Pipe),
    );
    let (events, received) = tokio::sync::mpsc::unbounded_channel();
    let printing = std::thread::spawn(move || follow(reporter, received));
    let report = runtime.block_on(async {
        let cancel = Cancellation::new();
        let _interrupts = cancel.on_ctrl_c();
        run::execute(plan, deps, run_options, events, cancel).await
    });
    // the run dropped its end of the channel: what is left to print is finite
    let _ = printing.join();
    let context = run_results::RunResultsContext {
        invocation: settings.invocation.to_string(),
        started_at: settings.now,
        generated_at: chrono::Utc::now(),
        env: Map::new(),
        args: arguments(verb, running, settings),
    };
    run_results::write(&target, &report, &context)?;
    write_manifest(&project, &report, &target, settings)?;
    // work that the engine still does in the background belongs to nodes that are over
    runtime.shutdown_background();
    Ok(report.exit_code)
}

fn arguments(verb: Verb, running: &Running, settings: &Settings) -> Map<String, serde_json::Value> {
    let value = json!({
        "which": verb.as_str(),
        "select": running.selecting.select,
        "exclude": running.selecting.exclude,
        "full_refresh": running.full_refresh,
        "fail_fast": running.fail_fast,
        "store_failures": running.store_failures,
        "vars": settings.vars,
        "target": settings.target,
        "project_dir": settings.project_dir,
        "quiet": settings.quiet,
    });
    match value {
        serde_json::Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Adapters of sources; simulations are made by a stage that the registry does not know.
fn adapters(project: &Arc<Project>) -> AdapterFactory {
    let run_date =
        project.environment.context().cli_vars.get("run_date").or_else(|| project.environment.context().vars.get("run_date")).and_then(
            |v| {
                let text = v.as_str()?;
                text.parse::<chrono::NaiveDate>().ok()
            },
        );
    let root = project.root.clone();
    let env = AdapterEnv::new(root.clone(), run_date).with_extra(
        vec!["simulate"],
        Arc::new(move |config: &AdapterConfig, _: &AdapterEnv| {
            (config.type_ == "simulate").then(|| simulate::adapter(&config.settings, &config.place, &root))
        }),
    );
    // one clock reading for the whole invocation comes through the fetch context
    let env = Mutex::new(env);
    Arc::new(move |_: &Node, config: &AdapterConfig| -> Result<Arc<dyn Adapter>, Diagnostic> {
        let env = env.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        registry::adapter(config, &env).map(Arc::from).map_err(first)
    })
}

/// The first fault, the others as its notes.
fn first(faults: Diagnostics) -> Diagnostic {
    let mut faults = faults.0.into_iter();
    let mut diagnostic = faults.next().unwrap_or_else(|| Diagnostic::error("ingest/adapter", "the adapter cannot be made"));
    diagnostic.notes.extend(faults.map(|d| d.message));
    diagnostic
}

/// `manifest.json` of the whole project, with the SQL that this run compiled.
fn write_manifest(project: &Project, report: &RunReport, target: &Path, settings: &Settings) -> Result<(), Diagnostic> {
    let compiled = report
        .results
        .iter()
        .filter_map(|r| r.compiled_code.clone().map(|sql| (r.node.id.clone(), (sql, r.compiled_path.clone()))))
        .collect();
    let context = ManifestContext {
        project: project.name.clone(),
        adapter: project.engine.clone(),
        invocation: settings.invocation.to_string(),
        started_at: settings.now,
        generated_at: chrono::Utc::now(),
        env: Map::new(),
        macros: macros(project),
        docs: project
            .docs
            .iter()
            .map(|(name, contents)| DocEntry {
                package: project.name.clone(),
                name: name.clone(),
                path: PathBuf::new(),
                contents: contents.clone(),
            })
            .collect(),
        compiled,
    };
    manifest::write(target, project.graph.nodes().chain(&project.disabled), &context)
}

fn macros(project: &Project) -> Vec<MacroEntry> {
    let described = |name: &str| project.macros.iter().find(|m| m.name == name).map(|m| m.description.text.clone()).unwrap_or_default();
    project
        .environment
        .macro_names()
        .into_iter()
        .filter_map(|full| {
            let place = project.environment.macro_place(&full)?;
            let (package, name) = full.split_once('.').unwrap_or((project.name.as_str(), full.as_str()));
            Some(MacroEntry {
                package: package.to_owned(),
                name: name.to_owned(),
                path: place.file.path().to_owned(),
                sql: place.file.text.get(place.range.clone()).unwrap_or_default().to_owned(),
                description: described(name),
                depends_on: vec![],
            })
        })
        .collect()
}
