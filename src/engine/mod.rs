//! The one door to a warehouse. The scheduler, materializations, tests and commands know nothing else of an engine.
//!
//! Invariants every engine keeps: a publish is one atomic commit (a reader sees the old or the new table, never
//! neither); a missing schema is created by whoever publishes into it; errors carry a place in the SQL that was given.

pub mod crossing;
pub mod datafusion;
mod external;
pub mod snowflake;
pub mod value;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
pub use external::{Attachment, Externals, FilesInPlace, LAYOUT, ListedFile};
use indexmap::IndexMap;
use serde_json::Value as Json;

pub use crate::lake::{Upkeep, Upkept};
use crate::{
    graph::OnSchemaChange,
    names::{Identifier, RelationName, SchemaName},
};

/// A warehouse that runs Snowflake SQL.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Tables and views of the given schemas, in one sweep. A schema that does not exist holds nothing.
    async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError>;

    /// Columns in order, or `None` when there is no such relation.
    async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError>;

    /// Asks for the right to change a relation, without waiting. `holder` is what another build is told meanwhile.
    /// An engine that has its own way to keep two builds apart always gives it.
    async fn lock(&self, _relation: &RelationName, _holder: &str) -> Result<Lock, EngineError> {
        Ok(Lock::Held(Box::new(())))
    }

    /// Stretches of time, as seconds since 1970, in which a table has other rows than when its version was `since`, by a column
    /// that tells when a row happened. `None`: nobody knows.
    async fn touched(&self, _relation: &RelationName, _since: &str, _column: &str) -> Result<Option<Vec<(i64, i64)>>, EngineError> {
        Ok(None)
    }

    /// What was last remembered under a key, by any build on this warehouse: verdicts of tests.
    async fn recall(&self, _key: &str) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    /// Keeps a small text under a key. An engine without a place for it keeps nothing.
    async fn remember(&self, _key: &str, _text: &str) -> Result<(), EngineError> {
        Ok(())
    }

    /// Makes a relation the same rows as another table has at this version, without copying them, in one commit with these
    /// properties. `None`: the other table has another version by now, or the engine cannot.
    async fn adopt(
        &self,
        _relation: &RelationName,
        _from: &RelationName,
        _version: &str,
        _properties: BTreeMap<String, String>,
    ) -> Result<Option<Published>, EngineError> {
        Ok(None)
    }

    /// Looks after the files of a table; no row changes. `None` when there is no such table, or the engine does that by itself.
    async fn maintain(&self, _relation: &RelationName, _upkeep: &Upkeep) -> Result<Option<Upkept>, EngineError> {
        Ok(None)
    }

    /// A place in which the next version of one relation is made, seen by nobody else until it is published.
    async fn stage(&self, relation: &RelationName) -> Result<Box<dyn Stage>, EngineError> {
        Err(EngineError::new("engine/unsupported", format!("this engine cannot audit {relation} before it is published"))
            .help("set `+audit: false` for this target: the tests then run over the published relation"))
    }

    /// A new session: variables, transactions and temporary tables live in it.
    fn session(&self) -> Box<dyn Session>;

    /// A session for statements about a relation, where it matters which engine they run on.
    fn session_at(&self, _relation: &RelationName) -> Box<dyn Session> {
        self.session()
    }

    /// Whether the reader sees a copy of the other relation, made when the reader is built.
    fn is_apart(&self, _reader: &RelationName, _read: &RelationName) -> bool {
        false
    }

    /// Tables that were moved between engines since the last time this was asked.
    fn transfers(&self) -> Vec<crossing::Transfer> {
        vec![]
    }

    /// Builds or updates one relation in one commit.
    async fn publish(&self, publish: Publish) -> Result<Published, EngineError>;

    /// The ingest state of a landing table; the default (sequence 0) when it does not exist.
    async fn landing(&self, table: &RelationName) -> Result<LandingState, EngineError>;

    /// Adds landed rows and the new position to a landing table in one commit. When the table already records
    /// `landing.sequence` (or a later one) nothing happens: the commit was made before a crash.
    async fn land(&self, landing: Landing) -> Result<Published, EngineError>;

    /// Makes a relation of files that are read where they lie, or tells which they are by now.
    async fn attach(&self, attachment: Attachment) -> Result<Published, EngineError> {
        let message = format!("this engine cannot read the files of {} in place", attachment.table);
        Err(EngineError::new("engine/unsupported", message)
            .help("without `external: true` they are copied into a table; `+engine: datafusion` on the source reads them in place locally"))
    }

    /// What the statements of this invocation took, where the warehouse keeps account of it.
    async fn costs(&self) -> Result<Vec<StatementCost>, EngineError> {
        Ok(vec![])
    }

    /// The end of the invocation: what still runs is stopped, sessions are ended.
    async fn close(&self) {}
}

/// The answer to [`Engine::stage`]. What is neither published nor kept is gone when this is dropped.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The warehouse in which the staged version has the relation's name; at first it is what is published.
    fn engine(&self) -> std::sync::Arc<dyn Engine>;

    /// Makes the staged version the relation's, in one commit, and gives its version.
    async fn publish(&self) -> Result<String, EngineError>;

    /// Puts the staged version aside, under the name that this gives, until the relation is published again.
    async fn keep(&self) -> Result<RelationName, EngineError>;
}

/// Statements in order, sharing variables and temporary objects.
#[async_trait]
pub trait Session: Send {
    /// Runs exactly one statement.
    async fn execute(&mut self, sql: &str) -> Result<Outcome, EngineError>;

    /// Splits a script at its statement ends: `(byte range of the statement, its text)`, comments-only pieces left out.
    fn split(&self, script: &str) -> Vec<Range<usize>>;
}

/// What a statement gave. A statement without rows has a schema of status columns as Snowflake prints them.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// Whether this is a result set of a query (not a status row).
    pub is_query: bool,
    /// Rows inserted, updated and deleted, together.
    pub rows_affected: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    View,
}

#[derive(Clone, Debug)]
pub struct RelationInfo {
    pub name: RelationName,
    pub kind: RelationKind,
    /// Of a table its id and Delta version (`id@7`), another with every commit; of a view a digest of its SQL.
    /// Empty where the warehouse does not tell.
    pub version: String,
    /// What [`Publish::properties`] of the last publish said.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    pub name: Identifier,
    /// Snowflake's spelling: `NUMBER(38,0)`, `VARCHAR`, `TIMESTAMP_NTZ(9)`, `ARRAY`...
    pub data_type: String,
    pub nullable: bool,
}

/// The answer to [`Engine::lock`].
pub enum Lock {
    /// Given back when this is dropped.
    Held(Box<dyn Send + Sync>),
    /// Who has it.
    Busy(String),
}

/// One relation to be built.
#[derive(Clone, Debug)]
pub struct Publish {
    pub relation: RelationName,
    pub content: Content,
    pub how: How,
    pub comment: Option<String>,
    /// Stored column name (any case) to comment.
    pub column_comments: BTreeMap<String, String>,
    /// Columns in which a NULL fails the publish (a contract's `not_null`); any case.
    pub not_null: Vec<String>,
    /// Recorded in the commit: fingerprint, node id, invocation id...
    pub properties: BTreeMap<String, String>,
    pub physical: Physical,
}

/// What of a node is an engine's own business: how the relation is kept, what its statements carry.
#[derive(Clone, Debug, Default)]
pub struct Physical {
    /// The node's configuration: `transient`, `cluster_by`, `copy_grants`, `grants`, `query_tag`, `snowflake_warehouse`, `target_lag`...
    pub config: Arc<IndexMap<String, Json>>,
    /// Stand before and behind every statement: the project's query comment.
    pub before: String,
    pub after: String,
    /// Columns of a contract with their constraints, as CREATE TABLE has them.
    pub definitions: Option<String>,
    /// The relation is to be a copy of this one, which an engine may make without copying rows.
    pub clone_of: Option<RelationName>,
}

/// What one statement took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementCost {
    pub query_id: String,
    pub text: String,
    pub warehouse: Option<String>,
    pub bytes_scanned: u64,
    pub seconds: f64,
    pub queued_seconds: f64,
    /// An estimate: of the warehouse's price for the time, as if it did nothing else.
    pub credits: f64,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// A query in Snowflake SQL.
    Query(String),
    /// Rows that are already there (seeds).
    Rows(Vec<RecordBatch>, SchemaRef),
}

#[derive(Clone, Debug)]
pub enum How {
    /// Create or replace as a table, whatever was there.
    Table,
    /// Create or replace as a view.
    View,
    /// Change the existing table; creates it when missing.
    Incremental { strategy: Strategy, on_schema_change: OnSchemaChange },
}

#[derive(Clone, Debug)]
pub enum Strategy {
    Append,
    /// Matching rows are updated, others inserted. `update_columns: None` means all columns.
    Merge {
        unique_key: Vec<String>,
        update_columns: Option<Vec<String>>,
        predicates: Vec<String>,
    },
    /// Rows whose key is among the new rows' keys are deleted, then all new rows inserted, in one commit.
    DeleteInsert {
        unique_key: Vec<String>,
        predicates: Vec<String>,
    },
    /// Rows that meet all conditions are deleted, then all new rows inserted, in one commit.
    Replace {
        predicates: Vec<String>,
    },
    /// All rows are replaced, the table (its history, its properties) stays.
    InsertOverwrite,
}

/// What a publish or a landing did.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Rows written, inserted or merged; `None` for views.
    pub rows: Option<u64>,
    /// `SUCCESS 1`, as dbt shows it.
    pub message: String,
    pub version: String,
}

/// Rows of a source with an adapter, and the position that goes with them.
#[derive(Clone, Debug)]
pub struct Landing {
    pub table: RelationName,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// Delta partition columns, used when the table is made.
    pub partition_by: Vec<String>,
    /// Rows of the table that equal one of these values in this column are replaced by the batches.
    pub replace: Option<Replace>,
    /// 1 for the first commit of the adapter; consecutive.
    pub sequence: u64,
    /// All rows of the table, its columns and its partitioning are replaced by this landing.
    pub start_over: bool,
    /// What the adapter needs to go on from here; opaque to the engine.
    pub position: String,
    pub comment: Option<String>,
    pub properties: BTreeMap<String, String>,
}

/// `column in (values)`, values compared as text.
#[derive(Clone, Debug)]
pub struct Replace {
    pub column: String,
    pub values: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct LandingState {
    pub exists: bool,
    pub sequence: u64,
    pub position: Option<String>,
}

/// A failed statement, before it is placed in the user's template.
#[derive(Clone, Debug)]
pub struct EngineError {
    /// `engine/<kebab-case>`
    pub code: &'static str,
    pub message: String,
    /// Byte range in the SQL that was given.
    pub at: Option<Range<usize>>,
    pub help: Option<String>,
    pub notes: Vec<String>,
    /// Whether trying again could help (a lost connection, a conflicting commit).
    pub transient: bool,
}

impl EngineError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None, help: None, notes: vec![], transient: false }
    }

    pub fn at(mut self, range: Range<usize>) -> Self {
        self.at = Some(range);
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}
