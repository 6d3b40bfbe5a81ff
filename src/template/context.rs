//! What a template may know: the project as a whole, and the node whose text is evaluated.
//!
//! Plain data filled by `project/` and `run/`. Nothing here evaluates.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::SourceFile,
    names::{RelationName, ResourceType},
};

/// One file of `macros/` or `tests/generic/` of a package.
#[derive(Clone, Debug)]
pub struct MacroFile {
    pub package: String,
    pub file: Arc<SourceFile>,
}

/// The only way a template reaches the process environment.
pub type EnvironmentLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The part of the context that is the same for every node of an invocation.
#[derive(Clone)]
pub struct ProjectContext {
    pub project_name: String,
    /// `target` as templates see it: `name`, `type`, `schema`, `database`, `threads`, `profile_name` and every key of the
    /// profile's output that is not secret.
    pub target: Map<String, Json>,
    /// `vars:` of the root project that hold for every package.
    pub vars: Map<String, Json>,
    /// `vars: {<package>: {...}}`, by package.
    pub package_vars: IndexMap<String, Map<String, Json>>,
    /// `--vars`, stronger than both.
    pub cli_vars: Map<String, Json>,
    pub env: EnvironmentLookup,
    pub invocation_id: String,
    pub run_started_at: DateTime<Utc>,
    /// `flags.FULL_REFRESH` and its like; keys in upper case.
    pub flags: Map<String, Json>,
    /// What `dbt_version` shows.
    pub dbt_version: String,
    /// `dispatch:` of `dbt_project.yml`: namespace to packages in search order.
    pub dispatch: IndexMap<String, Vec<String>>,
    /// The engine that runs the SQL: `datafusion` looks for `datafusion__x`, `snowflake__x`, `default__x`.
    pub engine: String,
    /// `{% docs %}` blocks, by name; filled by the project.
    pub docs: IndexMap<String, String>,
    /// `selected_resources`: known once the command line's selection was made.
    pub selected: Arc<OnceLock<Vec<String>>>,
}

impl ProjectContext {
    /// A context with dbt's defaults, an empty environment and nothing configured.
    pub fn new(project_name: impl Into<String>) -> Self {
        Self {
            project_name: project_name.into(),
            target: Map::new(),
            vars: Map::new(),
            package_vars: IndexMap::new(),
            cli_vars: Map::new(),
            env: Arc::new(|_| None),
            invocation_id: String::new(),
            run_started_at: DateTime::<Utc>::UNIX_EPOCH,
            flags: Map::new(),
            dbt_version: "1.11.0".into(),
            dispatch: IndexMap::new(),
            engine: "datafusion".into(),
            docs: IndexMap::new(),
            selected: Arc::default(),
        }
    }

    /// The engine that runs a node's SQL: its own `engine`, unless `--local` puts everything on one.
    pub fn engine_of<'a>(&'a self, own: Option<&'a Json>) -> &'a str {
        let local_by_flag = self.target.get("type").and_then(Json::as_str).is_some_and(|t| t != self.engine);
        own.and_then(Json::as_str).filter(|_| !local_by_flag).unwrap_or(&self.engine)
    }

    pub fn full_refresh(&self) -> bool {
        self.flags.get("FULL_REFRESH") == Some(&Json::Bool(true))
    }
}

impl fmt::Debug for ProjectContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectContext").field("project_name", &self.project_name).field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The part of the context that belongs to one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeContext {
    pub package: String,
    pub name: String,
    pub unique_id: String,
    pub kind: ResourceType,
    /// What `this` is; `None` prints as nothing.
    pub this: Option<RelationName>,
    /// What `config.get(...)` and `model.config` see: resolved on rendering, from YAML only while collecting.
    pub config: Arc<IndexMap<String, Json>>,
    /// Further keys of `model` (`columns`, `tags`, `meta`, `path`, ...); the keys above are added by the template stage.
    pub model: Arc<Map<String, Json>>,
    /// Names that exist in this evaluation alone: `sql` of a materialization, `results` of on-run-end.
    pub variables: Arc<Map<String, Json>>,
    /// Which rows of what is referred to are read.
    pub rows: Rows,
    /// What a unit test puts in the place of relations, macros, variables.
    pub substitutes: Option<Arc<Substitutes>>,
}

/// Which rows `ref()` and `source()` stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rows {
    #[default]
    All,
    /// `--empty`: the columns, no row.
    Nothing,
    /// A batch or a sample: of relations with an `event_time`, the rows from the first moment to before the second.
    Between(DateTime<Utc>, DateTime<Utc>),
}

/// A unit test's world: names that mean something else than in the project.
#[derive(Clone, Debug, Default)]
pub struct Substitutes {
    /// Unique name of what is referred to (`ref('a')`, `source('a', 'b')`, `this`) to the CTE that stands for it.
    pub relations: IndexMap<String, String>,
    /// `is_incremental` or `package.macro` to the value that a call gives.
    pub macros: Map<String, Json>,
    pub vars: Map<String, Json>,
    pub env_vars: Map<String, Json>,
}

impl NodeContext {
    pub fn new(kind: ResourceType, package: impl Into<String>, name: impl Into<String>) -> Self {
        let (package, name) = (package.into(), name.into());
        Self {
            unique_id: format!("{kind}.{package}.{name}"),
            package,
            name,
            kind,
            this: None,
            config: Arc::default(),
            model: Arc::default(),
            variables: Arc::default(),
            rows: Rows::All,
            substitutes: None,
        }
    }
}
