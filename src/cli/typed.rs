//! A project with its types, as several commands need it: loaded, its engine opened for planning only, every node typed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use serde_json::{Value as Json, json};
use tokio::runtime::{Handle, Runtime};

use super::{
    artifacts,
    command::adapters,
    config::Config,
    message::{self, Failure},
    workspace::{located, runtime},
};
use crate::{
    diagnostic::{Diagnostics, Place},
    engine::datafusion::{LocalEngine, LocalOptions},
    lineage::{Origin, Way},
    names::{NodeId, ResourceType},
    project::{self, LoadOptions, Project},
    run::Foresight,
    typing::{self, ColumnType, Memory, Rules, Tools, TypedNode, Typing},
};

pub(super) struct Typed {
    pub(super) project: Arc<Project>,
    pub(super) typing: Typing,
    /// Whatever was started for it ends with it.
    _runtime: Arc<Started>,
}

/// A runtime that may be dropped anywhere, within another runtime too: nobody waits for what it still does.
struct Started(Option<Runtime>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Loads and types. A project that cannot be loaded gives its faults.
pub(super) fn load(verb: &str, config: &Config) -> Result<Typed, Failure> {
    located(config)?;
    load_with(&config.load_options(verb, &[]))
}

pub(super) fn load_with(options: &LoadOptions) -> Result<Typed, Failure> {
    Typist::new()?.load(options, &Arc::default())
}

/// Types one project after the other: what is slow to start is started once.
pub(super) struct Typist {
    handle: Handle,
    runtime: Arc<Started>,
    engine: Option<(LocalOptions, LocalEngine)>,
    /// What was typed before and has not changed is not typed again.
    memory: Arc<Memory>,
}

impl Typist {
    pub(super) fn new() -> Result<Self, Failure> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        Ok(Self { handle, runtime: Arc::new(Started(Some(runtime))), engine: None, memory: Arc::default() })
    }

    /// Loads and types; once `cancelled` is set, what is not typed yet is left out.
    pub(super) fn load(&mut self, options: &LoadOptions, cancelled: &Arc<AtomicBool>) -> Result<Typed, Failure> {
        let project = Arc::new(project::load(options)?);
        let tools = self.tools(&project, cancelled)?;
        let rules = Rules::of(&project);
        let mut typing = typing::check(&project, &tools, &rules);
        typing.findings.0.splice(0..0, project.warnings.0.iter().cloned());
        Ok(Typed { project, typing, _runtime: Arc::clone(&self.runtime) })
    }

    fn tools(&mut self, project: &Arc<Project>, cancelled: &Arc<AtomicBool>) -> Result<Tools, Failure> {
        let profile = &project.profile;
        let is_local = project.engine == "datafusion";
        // elsewhere there is no folder of tables to look into: one that does not exist stands for it
        let path = if is_local { project.warehouse_root() } else { project.target_folder().join("typing").to_string_lossy().into_owned() };
        let options =
            LocalOptions { path, database: profile.database.clone(), schema: profile.schema.clone(), memory_limit: None, user: None };
        let open = |options: &LocalOptions| {
            LocalEngine::open(&project.root, options)
                .map_err(|e| Failure::from(message::of_engine(e).at(profile.place.clone(), "the warehouse of this target")))
        };
        let engine = match &self.engine {
            Some((known, engine)) if *known == options => engine,
            _ => &self.engine.insert((options.clone(), open(&options)?)).1,
        };
        Ok(Tools {
            drafting: engine.drafting(),
            runtime: self.handle.clone(),
            adapters: adapters(project),
            is_local,
            cancelled: Arc::clone(cancelled),
            memory: Arc::clone(&self.memory),
        })
    }
}

/// The types of a project that is loaded already. A warehouse that cannot be opened is its fault.
pub(super) fn of(project: &Arc<Project>) -> Result<Typing, Failure> {
    let mut typist = Typist::new()?;
    let tools = typist.tools(project, &Arc::default())?;
    Ok(typing::check(project, &tools, &Rules::of(project)))
}

/// What the inputs of unit tests look like before anything is built: typed at the first question, with all they are made from.
pub(super) fn foresight(project: &Arc<Project>) -> Foresight {
    let project = Arc::clone(project);
    let known: OnceLock<HashMap<NodeId, Arc<TypedNode>>> = OnceLock::new();
    Arc::new(move |id| {
        let known = known.get_or_init(|| foresee(&project).unwrap_or_default());
        let columns = &known.get(id)?.columns;
        Some(columns.iter().map(|c| (c.name.clone(), c.data_type.clone())).collect())
    })
}

/// `None` where the warehouse cannot be opened for planning.
fn foresee(project: &Arc<Project>) -> Option<HashMap<NodeId, Arc<TypedNode>>> {
    let mut typist = Typist::new().ok()?;
    let tools = typist.tools(project, &Arc::default()).ok()?;
    let tests = project.graph.nodes().filter(|n| n.kind == ResourceType::UnitTest);
    Some(typing::columns(project, &tools, tests.flat_map(|t| t.depends_on.clone())))
}

/// Column lineage of all typed nodes: `target/lineage.json`.
pub(super) fn lineage(typed: &Typed, config: &Config) -> Json {
    let nodes: BTreeMap<String, Json> = typed
        .typing
        .nodes
        .iter()
        .map(|(id, node)| {
            let column = |(i, c): (usize, &ColumnType)| json!({"name": c.name, "type": c.data_type, "from": origins(typed, node, i)});
            let filters = node.lineage.filters.iter().map(|(o, way)| origin(typed, o, *way));
            let entry = json!({
                "columns": node.columns.iter().enumerate().map(column).collect::<Vec<_>>(),
                "filters": filters.collect::<Vec<_>>(),
            });
            (id.to_string(), entry)
        })
        .collect();
    json!({
        "metadata": {
            "segue_version": env!("CARGO_PKG_VERSION"),
            "generated_at": config.now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            "invocation_id": config.invocation.to_string(),
            "project_name": typed.project.name,
        },
        "nodes": nodes,
    })
}

fn origin(typed: &Typed, origin: &Origin, way: Way) -> Json {
    let node = typed.typing.owner(&origin.relation).map(ToString::to_string);
    json!({"node": node, "relation": origin.relation.to_string(), "column": origin.column, "how": way.as_str()})
}

fn origins(typed: &Typed, node: &TypedNode, column: usize) -> Vec<Json> {
    node.lineage.columns.get(column).into_iter().flat_map(|(_, all)| all.iter().map(|(o, way)| origin(typed, o, *way))).collect()
}

/// The manifest with what typing tells of columns that YAML describes, as `segue: {type, from}`. dbt's schema has room for keys of
/// others there and nowhere else in a node; `lineage.json` has all columns.
pub(super) fn manifest(typed: &Typed, config: &Config) -> Json {
    let mut manifest = artifacts::manifest(&typed.project, HashMap::new(), config);
    for (id, node) in &typed.typing.nodes {
        let key = id.to_string();
        let Some(group) = ["nodes", "sources"].iter().find(|g| manifest.get(**g).is_some_and(|all| all.get(&key).is_some())) else {
            continue;
        };
        let Some(described) = manifest[group][&key].get_mut("columns").and_then(Json::as_object_mut) else { continue };
        for (name, entry) in described {
            let same = |c: &ColumnType| c.name == *name || c.name.eq_ignore_ascii_case(name);
            if let (Some(at), Json::Object(entry)) = (node.columns.iter().position(same), entry) {
                entry.insert("segue".into(), json!({"type": node.columns[at].data_type, "from": origins(typed, node, at)}));
            }
        }
    }
    manifest
}

/// Findings whose place is in one of the files.
pub(super) fn within(findings: &Diagnostics, keep: &dyn Fn(&Place) -> bool) -> Diagnostics {
    Diagnostics(findings.0.iter().filter(|d| d.place.as_ref().is_none_or(keep)).cloned().collect())
}
