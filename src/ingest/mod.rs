//! Source adapters: outside records to Arrow batches and a new position. They never write tables.
//!
//! An adapter works in two steps, so that nothing that was fetched is lost and a parser fix is a re-parse, not a
//! re-scrape: [`Adapter::fetch`] gives raw responses, which the caller commits to `<table>__raw`; [`Adapter::parse`]
//! turns raw responses into landed rows and rejects. Adapters whose records are made rather than fetched
//! (`simulate`) give rows at once.

pub mod chart;
pub mod columns;
mod fields;
pub mod file;
pub mod http;
pub mod kafka;
pub mod lastfm;
mod lookup;
mod raw;
pub mod registry;
pub mod replay;
mod rows;
pub mod settings;
pub mod spotify_api;

use std::sync::Arc;

use crate::engine::{EngineError, FilesInPlace};
use async_trait::async_trait;
use datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
pub use raw::{RawResponse, raw_from_batch, raw_schema, raw_to_batch};

/// What an adapter asks of the outside at one moment. The clock is injected, so that tests are deterministic.
#[derive(Clone, Debug, Default)]
pub struct FetchContext {
    /// The moment of the invocation, UTC.
    pub now: chrono::DateTime<chrono::Utc>,
    /// Keys of `input: ref(...)`, one row per key: column name (upper case) to value. Empty without `input`.
    pub keys: Vec<std::collections::BTreeMap<String, Option<String>>>,
    /// Do not end at what is there now: wait a while for more. `None` then says that nothing came meanwhile.
    pub follow: bool,
}

/// One source table's way to the outside.
#[async_trait]
pub trait Adapter: Send + Sync {
    /// Columns of the landing table, names in upper case.
    fn schema(&self) -> SchemaRef;

    fn partition_by(&self) -> Vec<String> {
        vec![]
    }

    /// The next piece of work after `position` (`None`: from the beginning), or `None` when there is nothing new.
    /// Called again with the new position until it says `None`. An error that trying again could mend is transient;
    /// retries of single requests are the adapter's own.
    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError>;

    /// What a fetch gave up to `position` is in the table. The next fetch may have begun before that.
    async fn committed(&self, _position: &str) {}

    /// What a person should know beside the rows, after a fetch: how far behind the table is.
    fn status(&self) -> Option<String> {
        None
    }

    /// The same as numbers, for tools: `{"lag": {"0": 120}}`.
    fn metrics(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }

    /// Adapters whose position would grow with what has landed keep it in a table of its own.
    fn ledger(&self) -> Option<&dyn LedgerKeeper> {
        None
    }

    /// Whether [`Adapter::schema`] has all columns; where they are inferred, the first look tells them.
    fn is_settled(&self) -> bool {
        true
    }

    /// Of files that are not copied. Nothing is fetched then.
    fn in_place(&self) -> Option<Arc<dyn InPlace>> {
        None
    }

    /// Pure: the same responses always give the same rows. Never called by adapters that fetch rows.
    fn parse(&self, responses: &[RawResponse]) -> Parsed;
}

/// Files that are read where they lie: a look tells which they are.
#[async_trait]
pub trait InPlace: FilesInPlace {
    /// `layout` is what the last look gave; `None` where columns are to be inferred anew.
    async fn look(&self, layout: Option<&str>) -> Result<Listed, IngestError>;
}

/// The answer to [`InPlace::look`].
#[derive(Clone, Debug)]
pub struct Listed {
    pub schema: SchemaRef,
    /// `FILE, SIZE, MODIFIED, VERSION`
    pub files: RecordBatch,
    pub bytes: u64,
    /// Another text with every change of the files, of the columns and of how files are read.
    pub version: String,
    /// What the next look and every reading need to know.
    pub layout: String,
}

/// What has landed, in `<table>__files`: a commit's part of it stands in its position until the ledger has it.
pub trait LedgerKeeper: Send + Sync {
    /// The rows that a committed position adds.
    fn part(&self, position: &str, sequence: u64) -> Result<Option<LedgerPart>, IngestError>;

    /// Whether the adapter has to see the ledger before it fetches.
    fn recalls(&self) -> bool;

    /// Rows of the ledger, before the first fetch.
    fn recall(&self, ledger: &RecordBatch) -> Result<(), IngestError>;
}

pub struct LedgerPart {
    pub batch: RecordBatch,
    /// Rows that the ledger has are of a former life of the table.
    pub starts_over: bool,
}

/// One commit's worth.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub what: FetchedContent,
    /// Opaque to the caller; comes back in the next [`Adapter::fetch`].
    pub position: String,
}

#[derive(Clone, Debug)]
pub enum FetchedContent {
    Responses(Vec<RawResponse>),
    Rows(Parsed),
}

/// Landed rows and what could not be landed.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    pub batches: Vec<RecordBatch>,
    /// Rows of the landing table to be replaced: those whose `column` is one of the values. `None` appends.
    pub replace: Option<(String, Vec<String>)>,
    pub rejected: Vec<Rejected>,
    /// A payload as a whole could not be used (changed shape, empty chart): the source's build fails with this,
    /// after the raw responses and rejects are kept.
    pub error: Option<IngestError>,
}

/// A record that went to `<table>__rejected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub reason: String,
    /// Where it stands: a JSON path, a line, an offset.
    pub position: String,
    pub record: String,
}

/// Why an adapter could not go on. The message says what was asked of whom and what came back.
#[derive(Clone, Debug)]
pub struct IngestError {
    /// `ingest/<kebab-case>`
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
    pub transient: bool,
}

impl IngestError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, transient: false }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }
}

impl std::fmt::Display for IngestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for IngestError {}

impl From<IngestError> for EngineError {
    fn from(e: IngestError) -> Self {
        Self { help: e.help, transient: e.transient, ..Self::new(e.code, e.message) }
    }
}
