//! A folder of dbt-format files to a checked [`Project`]: configuration resolved, references bound, graph built.
//!
//! | step | turns | into |
//! |---|---|---|
//! | [`files`], `package` | a folder | texts, sorted by what they are for |
//! | [`yaml`], [`project_file`], [`profile`], [`properties`] | YAML | what it says, with places |
//! | `harvest`, `cache` | what changed, what did not | what is drafted anew, what is read back |
//! | `draft`, `declared` | files and YAML entries | nodes with configuration, references by name |
//! | [`reference`], `load` | names | edges, and the [`Graph`] |
//! | `compile` | a node | its SQL, with the CTEs of ephemeral models |
//!
//! Files are read in [`files`] and nowhere else; nothing here runs SQL.

mod access;
mod cache;
mod compile;
pub mod config;
mod data_test;
mod declared;
mod deferral;
mod draft;
pub mod files;
mod fixture;
mod harvest;
mod load;
mod package;
pub mod profile;
pub mod project_file;
pub mod properties;
mod query_comment;
pub mod reference;
mod relation;
mod required_version;
mod unused;
mod version;
pub mod yaml;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

pub use cache::CacheOptions;
pub use compile::{Compiled, World};
pub use deferral::Deferral;
pub use files::Files;
use indexmap::IndexMap;
pub use load::{LoadOptions, load};
pub use package::Package;
pub use profile::Profile;
pub use project_file::RunHook;
pub use properties::MacroProperties;
use serde_json::Value as Json;

use self::{draft::Body, reference::References};
use crate::{
    diagnostic::{Diagnostics, Place},
    graph::{Graph, Node},
    names::NodeId,
    template::{Environment, Rows},
};

/// A project without faults. Immutable.
pub struct Project {
    pub name: String,
    /// The folder of `dbt_project.yml`.
    pub root: PathBuf,
    pub profile: Profile,
    /// The engine that runs the SQL: the profile's type, or `datafusion` with `--local`.
    pub engine: String,
    pub graph: Graph,
    pub environment: Arc<Environment>,
    pub warnings: Diagnostics,
    /// Of all packages, the root project's first; unrendered.
    pub on_run_start: Vec<RunHook>,
    pub on_run_end: Vec<RunHook>,
    /// The root project first.
    pub packages: Vec<Package>,
    /// `{% docs %}` blocks by name.
    pub docs: IndexMap<String, String>,
    /// Where the name of each of them stands.
    pub doc_places: HashMap<String, Place>,
    /// What YAML says of macros.
    pub macros: Vec<MacroProperties>,
    /// `groups:` by name.
    pub groups: IndexMap<String, Json>,
    /// What YAML says of dbt's semantic layer.
    pub semantic: Vec<Semantic>,
    /// Nodes that configuration switched off; for the manifest.
    pub disabled: Vec<Node>,
    /// Where files (seeds) are read from.
    pub files: Files,
    /// Which rows of what they refer to models read: all, none, a sample.
    pub rows: Rows,
    /// Relations of another run that stand in for what this one does not build; set once, after the selection.
    pub deferred: OnceLock<Deferral>,
    references: References,
    bodies: HashMap<NodeId, Body>,
}

/// One entry of dbt's semantic layer.
#[derive(Clone, Debug)]
pub struct Semantic {
    /// `semantic_models`, `metrics` or `saved_queries`.
    pub key: &'static str,
    pub name: String,
    pub package: String,
    /// Relative to its resource folder.
    pub path: PathBuf,
    /// Relative to the package.
    pub original_path: PathBuf,
    pub value: Json,
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project")
            .field("name", &self.name)
            .field("root", &self.root)
            .field("nodes", &self.graph.len())
            .finish_non_exhaustive()
    }
}

impl Project {
    pub fn root_package(&self) -> &Package {
        &self.packages[0]
    }

    /// `target-path`, absolute.
    pub fn target_folder(&self) -> PathBuf {
        self.root.join(&self.root_package().file.folders.target)
    }

    /// What `segue clean` removes, absolute.
    pub fn clean_targets(&self) -> Vec<PathBuf> {
        self.root_package().file.folders.clean.iter().map(|p| self.root.join(p)).collect()
    }

    /// The warehouse root of the profile: a URL, or a path that is absolute or below the project.
    pub fn warehouse_root(&self) -> String {
        let root = self.profile.warehouse_root();
        if root.contains("://") { root } else { self.root.join(root).to_string_lossy().into_owned() }
    }

    /// The file of a node on disk: a seed's CSV.
    pub fn absolute_path(&self, node: &Node) -> PathBuf {
        let package = self.packages.iter().find(|p| p.name() == node.package).unwrap_or(self.root_package());
        package.root.join(&node.original_file_path)
    }
}

#[cfg(test)]
mod tests;
