//! A node of the graph: what later stages know about a model, seed, snapshot, source, test or analysis.
//!
//! Plain data, filled by `project/` (files and YAML) and `template/` (the collect pass). Nothing here renders SQL.

use std::{path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::{
    diagnostic::{Place, SourceFile},
    names::{NodeId, RelationName, ResourceType},
};

/// One vertex. Fields that do not apply to a resource type are empty.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub kind: ResourceType,
    pub name: String,
    pub package: String,
    /// `[package, folder, ..., name]`, the base of selection by fully qualified name.
    pub fqn: Vec<String>,
    /// Relative to its resource folder (`staging/a.sql`) and to the project root (`models/staging/a.sql`).
    pub path: PathBuf,
    pub original_file_path: PathBuf,
    /// The file that holds `raw_code`; of a generic test the YAML file that declares it.
    pub file: Arc<SourceFile>,
    pub raw_code: String,
    /// Where the YAML entry stands, if there is one.
    pub patch: Option<Place>,
    pub description: String,
    pub columns: IndexMap<String, Column>,
    pub config: NodeConfig,
    pub tags: Vec<String>,
    pub meta: IndexMap<String, Json>,
    /// `None` for tests without stored failures, analyses, operations and ephemeral models.
    pub relation: Option<RelationName>,
    /// What templates call `this`: the relation, or the name that it would have.
    pub this: Option<RelationName>,
    /// dbt's `alias`, as configured (before folding).
    pub alias: String,
    /// What `ref()` and `source()` named, in order of appearance, with their places.
    pub refs: Vec<RefCall>,
    pub sources: Vec<SourceCall>,
    /// What `function()` named.
    pub functions: Vec<RefCall>,
    /// Resolved from `refs` and `sources` (and of adapters' `input:`), without duplicates, in order of appearance.
    pub depends_on: Vec<NodeId>,
    pub test: Option<TestInfo>,
    pub source: Option<SourceInfo>,
    /// Every other key of the YAML entry that artifacts must carry.
    pub extra: IndexMap<String, Json>,
}

impl Node {
    /// Materializations that leave no relation behind are compiled into their users.
    pub fn is_ephemeral(&self) -> bool {
        self.kind == ResourceType::Model && self.config.materialized == "ephemeral"
    }

    /// Whether `build` does something for it.
    pub fn is_executable(&self) -> bool {
        match self.kind {
            // a model whose file is empty is there, but is never built
            ResourceType::Model => !self.is_ephemeral() && !self.raw_code.trim().is_empty(),
            ResourceType::Source => self.source.as_ref().is_some_and(|s| s.adapter.is_some()),
            ResourceType::Seed | ResourceType::Snapshot | ResourceType::Test | ResourceType::UnitTest | ResourceType::Function => true,
            ResourceType::Analysis | ResourceType::Operation | ResourceType::Exposure => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct RefCall {
    pub package: Option<String>,
    pub name: String,
    pub version: Option<String>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct SourceCall {
    pub source: String,
    pub table: String,
    pub place: Place,
}

#[derive(Clone, Debug, Default)]
pub struct Column {
    pub name: String,
    pub description: String,
    pub data_type: Option<String>,
    pub quote: Option<bool>,
    pub tags: Vec<String>,
    pub meta: IndexMap<String, Json>,
    /// Other keys: constraints, granularity...
    pub extra: IndexMap<String, Json>,
}

/// Resolved configuration: `dbt_project.yml` folders, then YAML, then `config()` in the file; later wins, tags and
/// meta add up (dbt documentation, "Defining configurations and properties").
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub enabled: bool,
    pub materialized: String,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub alias: Option<String>,
    pub full_refresh: Option<bool>,
    /// A list, or the single column as a list of one.
    pub unique_key: Vec<String>,
    pub incremental_strategy: Option<String>,
    pub on_schema_change: OnSchemaChange,
    pub column_types: IndexMap<String, String>,
    pub pre_hook: Vec<Hook>,
    pub post_hook: Vec<Hook>,
    /// Tests: `ERROR` or `WARN`.
    pub severity: TestSeverity,
    pub warn_if: String,
    pub error_if: String,
    pub fail_calc: String,
    pub limit: Option<u64>,
    pub where_: Option<String>,
    pub store_failures: Option<bool>,
    /// All keys as written, the typed ones included: what `config.get(...)` and the manifest show.
    pub all: IndexMap<String, Json>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            materialized: "view".into(),
            database: None,
            schema: None,
            alias: None,
            full_refresh: None,
            unique_key: vec![],
            incremental_strategy: None,
            on_schema_change: OnSchemaChange::Ignore,
            column_types: IndexMap::new(),
            pre_hook: vec![],
            post_hook: vec![],
            severity: TestSeverity::Error,
            warn_if: "!= 0".into(),
            error_if: "!= 0".into(),
            fail_calc: "count(*)".into(),
            limit: None,
            where_: None,
            store_failures: None,
            all: IndexMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub sql: String,
    pub transaction: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestSeverity {
    Error,
    Warn,
}

/// dbt's `on_schema_change`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSchemaChange {
    Ignore,
    Fail,
    AppendNewColumns,
    SyncAllColumns,
}

#[derive(Clone, Debug)]
pub struct TestInfo {
    /// `None` for singular tests.
    pub generic: Option<GenericTest>,
    /// The node whose children wait for this test; `None` for singular tests over several nodes.
    pub attached_to: Option<NodeId>,
    pub column: Option<String>,
}

/// `{{ test_<name>(model, column_name, ...) }}` with the YAML's arguments.
#[derive(Clone, Debug)]
pub struct GenericTest {
    /// `not_null`, or `package.name`.
    pub name: String,
    pub arguments: IndexMap<String, Json>,
}

#[derive(Clone, Debug)]
pub struct SourceInfo {
    pub source_name: String,
    pub table_name: String,
    pub loader: String,
    pub loaded_at_field: Option<String>,
    pub freshness: Option<Json>,
    /// The `adapter:` mapping with all templates rendered, except `input:`, which is a dependency of the node.
    pub adapter: Option<AdapterConfig>,
}

/// A source that segue ingests by itself.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    /// `chart`, `simulate`, `spotify_api`, `lastfm`, `file`, `s3`, `kafka`
    pub type_: String,
    /// Every key but `type` and `input`.
    pub settings: IndexMap<String, Json>,
    /// `input: ref('...')`: the relation whose keys are looked up.
    pub input: Option<NodeId>,
    /// The mapping in the YAML file, for diagnostics.
    pub place: Place,
}
