//! A project with its types, as several commands need it: loaded, its engine opened for planning only, every node typed.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

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
    project::{self, LoadOptions, Project},
    typing::{self, ColumnType, Rules, Tools, Typing},
};

pub(super) struct Typed {
    pub(super) project: Arc<Project>,
    pub(super) typing: Typing,
    /// Whatever was started for it ends with it.
    _runtime: Arc<Runtime>,
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
    runtime: Arc<Runtime>,
    engine: Option<(LocalOptions, LocalEngine)>,
}

impl Typist {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { runtime: Arc::new(runtime()?), engine: None })
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
            runtime: self.runtime.handle().clone(),
            adapters: adapters(project),
            is_local,
            cancelled: Arc::clone(cancelled),
        })
    }
}

/// The manifest with what typing tells: of each node `segue: {columns: [{name, type, from}], filters}`.
pub(super) fn manifest(typed: &Typed, config: &Config) -> Json {
    let mut manifest = artifacts::manifest(&typed.project, HashMap::new(), config);
    let origin = |(origin, way): (&Origin, &Way)| {
        let node = typed.typing.owner(&origin.relation).map(ToString::to_string);
        json!({"node": node, "relation": origin.relation.to_string(), "column": origin.column, "how": way.as_str()})
    };
    for (id, node) in &typed.typing.nodes {
        let key = id.to_string();
        let Some(entry) = ["nodes", "sources"].iter().find_map(|g| manifest.get(*g)?.get(&key).map(|_| *g)) else { continue };
        let column = |(i, c): (usize, &ColumnType)| {
            let from: Vec<Json> = node.lineage.columns.get(i).into_iter().flat_map(|(_, o)| o.iter().map(origin)).collect();
            json!({"name": c.name, "type": c.data_type, "from": from})
        };
        manifest[entry][&key]["segue"] = json!({
            "columns": node.columns.iter().enumerate().map(column).collect::<Vec<_>>(),
            "filters": node.lineage.filters.iter().map(origin).collect::<Vec<_>>(),
        });
    }
    manifest
}

/// Findings whose place is in one of the files.
pub(super) fn within(findings: &Diagnostics, keep: &dyn Fn(&Place) -> bool) -> Diagnostics {
    Diagnostics(findings.0.iter().filter(|d| d.place.as_ref().is_none_or(keep)).cloned().collect())
}
