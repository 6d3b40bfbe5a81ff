//! One file per command; what they share: the loaded project, the opened engine, the runtime.

mod clean;
mod compile;
mod debug;
mod init;
mod list;
mod node;
mod show;
mod simulate;
mod sql;

use std::{path::PathBuf, sync::Arc};

use clap::CommandFactory;

use super::{
    args::{Arguments, Command, Selecting},
    message::{self, Failure},
    settings::Settings,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{
        Engine,
        datafusion::{LocalEngine, LocalOptions},
    },
    graph::{Graph, IndirectSelection, Selection, SelectionArgs, select},
    names::{ResourceType, nearest},
    plan::Verb,
    project::{self, Project},
    run::Introspection,
};

/// Stack of worker threads: planning recurses over expressions, deeper in builds without optimisation.
const STACK_BYTES: usize = 32 << 20;

pub fn run(command: Command, settings: &Settings) -> Result<i32, Failure> {
    match command {
        Command::Build(running) => node::run(Verb::Build, &running, settings),
        Command::Run(running) => node::run(Verb::Run, &running, settings),
        Command::Test(running) => node::run(Verb::Test, &running, settings),
        Command::Seed(running) => node::run(Verb::Seed, &running, settings),
        Command::Ingest(running) => node::run(Verb::Ingest, &running, settings),
        Command::Compile { selecting, inline, full_refresh } => compile::run(&selecting, inline.as_deref(), full_refresh, settings),
        Command::Parse => {
            let project = load("parse", false, settings)?;
            message::note(&format!("{} nodes, no faults", project.graph.nodes().count()), settings);
            Ok(0)
        }
        Command::Ls { selecting, output, output_keys } => list::run(&selecting, output, &output_keys, settings),
        Command::Show { selecting, inline, limit, output } => show::run(&selecting, inline.as_deref(), limit, output, settings),
        Command::Sql { statements, file, output, keep_going } => sql::run(&statements, file.as_deref(), output, keep_going, settings),
        Command::Simulate(what) => simulate::run(what, settings),
        Command::Clean => clean::run(settings),
        Command::Debug { connection } => debug::run(connection, settings),
        Command::Init { name, .. } => init::run(name.as_deref(), settings),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "segue", &mut Pipe);
            Ok(0)
        }
    }
}

/// Standard output that ends quietly when its reader has gone (`segue ls | head`).
pub(super) struct Pipe;

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match std::io::stdout().write(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match std::io::stdout().flush() {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other,
        }
    }
}

/// Writes data to standard output.
pub(super) fn print(text: &str) {
    use std::io::Write;
    let mut out = Pipe;
    let ending = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    // other errors of standard output leave nobody to tell
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(ending.as_bytes())).and_then(|()| out.flush());
}

/// The project, warnings shown. A missing one gets the advice that fits.
pub(super) fn load(verb: &str, full_refresh: bool, settings: &Settings) -> Result<Arc<Project>, Failure> {
    if !settings.project_dir.join("dbt_project.yml").is_file() {
        let mut fault =
            Diagnostic::error("project/missing", format!("there is no `dbt_project.yml` in `{}`", settings.project_dir.display()));
        fault = match settings.project_above() {
            Some(above) => fault.help(format!("there is one in `{}`: go there, or say `--project-dir {0}`", above.display())),
            None => fault.help("start a project with `segue init NAME`, or name its folder with `--project-dir`"),
        };
        return Err(fault.into());
    }
    let project = project::load(&settings.load_options(verb, full_refresh))?;
    message::show(&project.warnings, settings);
    if settings.warnings_are_errors && !project.warnings.0.is_empty() {
        return Err(Failure { diagnostics: Diagnostics::default(), exit_code: 2 });
    }
    Ok(Arc::new(project))
}

/// Where artifacts go, absolute.
pub(super) fn target_folder(project: &Project, settings: &Settings) -> PathBuf {
    match &settings.target_path {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        None => project.target_folder(),
    }
}

/// The engine of the profile's target.
pub(super) fn open(project: &Project) -> Result<Arc<dyn Engine>, Failure> {
    let profile = &project.profile;
    if project.engine != "datafusion" {
        return Err(Diagnostic::error(
            "engine/unsupported",
            format!("this build cannot run the target `{}` of type `{}`", profile.target_name, profile.type_),
        )
        .at(profile.place.clone(), "configured here")
        .help("add `--local` to run it on the local engine")
        .into());
    }
    let options = LocalOptions {
        path: project.warehouse_root(),
        database: profile.database.clone(),
        schema: profile.schema.clone(),
        memory_limit: profile.memory_limit.map(|b| usize::try_from(b).unwrap_or(usize::MAX)),
    };
    let engine = LocalEngine::open(&project.root, &options).map_err(|e| {
        let diagnostic = message::of_engine(e);
        Failure::from(diagnostic.at(profile.place.clone(), "the warehouse of this target"))
    })?;
    Ok(Arc::new(engine))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|e| Diagnostic::error("cli/runtime", format!("cannot start threads: {e}")).into())
}

/// What templates may ask of the warehouse; only for threads that may block.
pub(super) fn introspection(engine: &Arc<dyn Engine>, runtime: &tokio::runtime::Runtime) -> Introspection {
    Introspection::new(engine.clone(), runtime.handle().clone())
}

/// What `--select` and its kin choose; warnings shown.
pub(super) fn chosen(graph: &Graph, selecting: &Selecting, package: &str, settings: &Settings) -> Result<Selection, Failure> {
    let types = |words: &[String]| -> Result<Vec<ResourceType>, Failure> {
        let mut found = vec![];
        for word in words.iter().flat_map(|w| w.split_whitespace()).filter(|w| *w != "all") {
            match ResourceType::parse(word) {
                Some(t) => found.push(t),
                None => {
                    let known = ResourceType::ALL.map(ResourceType::as_str);
                    let mut fault = Diagnostic::error("selection/resource-type", format!("there is no resource type `{word}`"));
                    fault = match nearest(word, known) {
                        Some(near) => fault.help(format!("did you mean `{near}`?")),
                        None => fault.help(format!("there are: {}", known.join(", "))),
                    };
                    return Err(fault.into());
                }
            }
        }
        Ok(found)
    };
    let indirect = match &selecting.indirect_selection {
        None => IndirectSelection::default(),
        Some(text) => IndirectSelection::parse(text).ok_or_else(|| {
            Failure::from(
                Diagnostic::error("selection/indirect", format!("`{text}` is not a mode of indirect selection"))
                    .help("there are: eager, cautious, buildable, empty"),
            )
        })?,
    };
    let args = SelectionArgs {
        select: selecting.select.clone(),
        exclude: selecting.exclude.clone(),
        resource_types: types(&selecting.resource_type)?,
        exclude_resource_types: types(&selecting.exclude_resource_type)?,
        indirect,
        root_package: Some(package.to_owned()),
    };
    let selection = select(graph, &args)?;
    message::show(&selection.warnings, settings);
    Ok(selection)
}
