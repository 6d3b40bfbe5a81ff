//! What commands share: the loaded project, the opened engine, the runtime, the chosen nodes.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use indexmap::IndexMap;
use serde_json::Value as Json;
use tokio::runtime::{Handle, Runtime};

use super::{
    args::Selecting,
    command::adapters,
    config::Config,
    crossing,
    message::{self, Failure},
    stateful,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{
        Engine, EngineError, Externals, FilesInPlace,
        datafusion::{LocalEngine, LocalOptions},
        snowflake::SnowflakeEngine,
    },
    graph::{IndirectSelection, Node, Selection, SelectionArgs, select},
    names::{RelationName, ResourceType, nearest},
    project::{self, LoadOptions, Project},
    run::{Introspection, ProjectSource},
    template::Rows,
};

/// Stack of worker threads: planning recurses over expressions, deeper in builds without optimisation.
const STACK_BYTES: usize = 32 << 20;

/// A project with its warehouse. The runtime is started here, so commands that ask no warehouse never start one.
pub(super) struct Workspace {
    pub(super) project: Arc<Project>,
    pub(super) engine: Arc<dyn Engine>,
    /// Before the runtime, which it needs.
    farewell: Farewell,
    pub(super) runtime: Runtime,
}

impl Workspace {
    pub(super) fn open(project: Arc<Project>) -> Result<Self, Failure> {
        let engine = engine(&project)?;
        Self::over(project, engine)
    }

    /// Over an engine that the command chose itself.
    pub(super) fn over(project: Arc<Project>, engine: Arc<dyn Engine>) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let farewell = Farewell(Some((Arc::clone(&engine), runtime.handle().clone())));
        Ok(Self { project, engine, farewell, runtime })
    }

    /// The end of a command that does not wait for work it has left behind.
    pub(super) fn end(self) {
        drop(self.farewell);
        self.runtime.shutdown_background();
    }

    /// The warehouse as templates ask it.
    pub(super) fn introspection(&self) -> Introspection {
        Introspection::new(Arc::clone(&self.engine), self.runtime.handle().clone())
    }

    /// The project as a run asks it.
    pub(super) fn source(&self) -> ProjectSource {
        ProjectSource::new(Arc::clone(&self.project), self.introspection())
    }
}

/// Ends an engine's sessions when its user is done.
pub(super) struct Farewell(Option<(Arc<dyn Engine>, Handle)>);

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some((engine, runtime)) = self.0.take() {
            runtime.block_on(engine.close());
        }
    }
}

/// The project, its warnings shown. A missing one gets the advice that fits.
pub(super) fn load(verb: &str, flags: &[(&str, bool)], config: &Config) -> Result<Arc<Project>, Failure> {
    load_rows(verb, flags, Rows::All, config)
}

/// The same for an invocation that reads only some rows.
pub(super) fn load_rows(verb: &str, flags: &[(&str, bool)], rows: Rows, config: &Config) -> Result<Arc<Project>, Failure> {
    located(config)?;
    let project = project::load(&LoadOptions { rows, ..config.load_options(verb, flags) })?;
    run_date(&project)?;
    warn(&project.warnings, config)?;
    Ok(Arc::new(project))
}

/// `run_date`, where charts are fetched, is a day: another text would silently mean today.
fn run_date(project: &Project) -> Result<(), Diagnostic> {
    let context = project.environment.context();
    let Some(value) = context.cli_vars.get("run_date").or_else(|| context.vars.get("run_date")) else { return Ok(()) };
    let text = value.as_str().map_or_else(|| value.to_string(), |t| t.trim().to_owned());
    let dated = |n: &Node| n.source.as_ref().and_then(|s| s.adapter.as_ref()).is_some_and(|a| a.type_ == "chart");
    if value.is_null() || text.is_empty() || text.parse::<chrono::NaiveDate>().is_ok() || !project.graph.nodes().any(dated) {
        return Ok(());
    }
    let fault = Diagnostic::error("ingest/run-date", format!("the variable `run_date` is no date: `{text}`"));
    Err(fault.help("write it as `2025-02-27`"))
}

/// There is a project where one is looked for.
pub(super) fn located(config: &Config) -> Result<(), Failure> {
    if !config.project_dir.join("dbt_project.yml").is_file() {
        let fault = Diagnostic::error("project/no-project", format!("there is no `dbt_project.yml` in `{}`", config.project_dir.display()));
        let help = match config.project_above() {
            Some(above) => format!("there is one in `{0}`: go there, or pass `--project-dir {0}`", above.display()),
            None => "start a project with `segue init NAME`, or name its folder with `--project-dir`".to_owned(),
        };
        return Err(fault.help(help).into());
    }
    Ok(())
}

/// Shows warnings; with `--warn-error` they end the command.
pub(super) fn warn(warnings: &Diagnostics, config: &Config) -> Result<(), Failure> {
    if !config.warnings_are_errors {
        message::show(warnings, config);
        return Ok(());
    }
    let errors: Vec<Diagnostic> = warnings
        .0
        .iter()
        .map(|d| {
            Diagnostic { severity: crate::diagnostic::Severity::Error, ..d.clone() }.note("a warning, made an error by `--warn-error`")
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors).into()) }
}

/// Where artifacts go, absolute.
pub(super) fn target_folder(project: &Project, config: &Config) -> PathBuf {
    match &config.target_path {
        // as dbt: relative to the project
        Some(path) => project.root.join(path),
        None => project.target_folder(),
    }
}

/// The engine of the profile's target, or both where nodes have one of their own.
fn engine(project: &Project) -> Result<Arc<dyn Engine>, Failure> {
    if crossing::crosses(project) {
        return crossing::engine(project);
    }
    match project.engine.as_str() {
        "snowflake" => Ok(Arc::new(snowflake(project, &project.profile.settings)?)),
        _ => Ok(Arc::new(local(project)?)),
    }
}

/// An account by the keys of a target.
pub(super) fn snowflake(project: &Project, settings: &IndexMap<String, Json>) -> Result<SnowflakeEngine, Failure> {
    SnowflakeEngine::open(settings, &project.root)
        .map_err(|e| Failure::from(message::of_engine(e).at(project.profile.place.clone(), "this target")))
}

/// The embedded engine over the target's `path`.
pub(super) fn local(project: &Project) -> Result<LocalEngine, Failure> {
    let profile = &project.profile;
    let options = LocalOptions {
        path: project.warehouse_root(),
        database: profile.database.clone(),
        schema: profile.schema.clone(),
        memory_limit: profile.memory_limit.map(|b| usize::try_from(b).unwrap_or(usize::MAX)),
        user: user(),
    };
    let engine = LocalEngine::open(&project.root, &options)
        .map_err(|e| Failure::from(message::of_engine(e).at(profile.place.clone(), "the warehouse of this target")))?;
    Ok(match externals(project) {
        Some(externals) => engine.with_externals(externals),
        None => engine,
    })
}

/// How the files of sources that are read in place are read; made when one is asked for, for that may take a look at credentials.
fn externals(project: &Project) -> Option<Arc<Externals>> {
    let is_external = |n: &&Node| {
        let adapter = n.source.as_ref().and_then(|s| s.adapter.as_ref());
        adapter.is_some_and(|a| a.settings.get("external").is_some_and(|e| !matches!(e, Json::Null | Json::Bool(false))))
    };
    let nodes: HashMap<RelationName, Node> =
        project.graph.nodes().filter(is_external).filter_map(|n| Some((n.relation.clone()?, n.clone()))).collect();
    let adapters = adapters(project);
    (!nodes.is_empty()).then(|| -> Arc<Externals> {
        Arc::new(move |relation| {
            let node = nodes.get(relation)?;
            let config = node.source.as_ref()?.adapter.as_ref()?;
            match adapters(node, config) {
                Ok(adapter) => Some(Ok(adapter.in_place()? as Arc<dyn FilesInPlace>)),
                Err(fault) => {
                    let notes = vec![format!("its files are read in place, as {} says", config.place)];
                    Some(Err(EngineError { help: fault.help, notes, ..EngineError::new(fault.code, fault.message) }))
                }
            }
        })
    })
}

/// Who runs segue, as an identifier: what CURRENT_USER says.
fn user() -> Option<String> {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()))?;
    Some(name.to_uppercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect())
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // templates see it as `thread_id`
        .thread_name_fn(|| {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            format!("Thread-{} (worker)", COUNT.fetch_add(1, Ordering::Relaxed) + 1)
        })
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|e| Diagnostic::error("cli/runtime", format!("cannot start threads: {e}")).into())
}

/// What `--select` and its kin choose; warnings shown.
pub(super) fn chosen(project: &Project, selecting: &Selecting, config: &Config) -> Result<Selection, Failure> {
    let indirect = match &selecting.indirect_selection {
        None => IndirectSelection::default(),
        Some(text) => IndirectSelection::parse(text).ok_or_else(|| {
            Diagnostic::error("cli/indirect-selection", format!("`{text}` is no mode of indirect selection"))
                .help("there are `eager`, `cautious`, `buildable` and `empty`")
        })?,
    };
    let args = SelectionArgs {
        select: selecting.select.clone(),
        exclude: selecting.exclude.clone(),
        resource_types: resource_types(&selecting.resource_type)?,
        exclude_resource_types: resource_types(&selecting.exclude_resource_type)?,
        indirect,
        root_package: Some(project.name.clone()),
        facts: stateful::facts(project, selecting, config)?,
        named: stateful::selectors(project, selecting)?,
    };
    let selection = select(&project.graph, &args)?;
    warn(&selection.warnings, config)?;
    Ok(selection)
}

/// Several words may stand in one argument; `all` and `default` limit nothing.
fn resource_types(words: &[String]) -> Result<Vec<ResourceType>, Diagnostic> {
    words
        .iter()
        .flat_map(|w| w.split_whitespace())
        .filter(|w| !matches!(*w, "all" | "default"))
        .map(|word| {
            ResourceType::parse(word).ok_or_else(|| {
                let known = ResourceType::ALL.map(ResourceType::as_str);
                let help = match nearest(word, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("types are `{}`", known.join("`, `")),
                };
                Diagnostic::error("cli/resource-type", format!("there is no resource type `{word}`")).help(help)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_types_are_words() {
        let parse = |text: &str| resource_types(&[text.to_owned()]);
        assert_eq!(parse("model test").expect("known"), [ResourceType::Model, ResourceType::Test]);
        assert_eq!(parse("all").expect("known"), []);
        let fault = parse("modle").expect_err("unknown");
        assert_eq!((fault.message.as_str(), fault.help.as_deref()), ("there is no resource type `modle`", Some("did you mean `model`?")));
    }
}
