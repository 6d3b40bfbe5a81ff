//! Snowflake as an engine: the SQL of the project goes there as it is, and the same promises are kept with Snowflake's means.
//!
//! | file | what it does |
//! |---|---|
//! | `settings.rs` | a target's keys, typed |
//! | `transport.rs` | HTTP requests that are tried again under one id |
//! | `login.rs` | sessions: begun, renewed, ended |
//! | `query.rs` | one statement: sent once, waited for, aborted |
//! | `result.rs` | its answer, chunk by chunk |
//! | `column.rs`, `arrow.rs`, `text.rs` | the server's columns and rows in segue's Arrow |
//! | `lease.rs` | sessions that wait for work, and who has one |
//! | `session.rs` | statements of a script |
//! | `catalog.rs` | relations and columns, asked for once |
//! | `ledger.rs` | what segue knows of relations, kept in a table beside them |
//! | `publish.rs`, `incremental.rs` | materializations |
//! | `upkeep.rs` | comments, grants, tags of what was published |
//! | `stage.rs`, `upload.rs` | rows to Snowflake: Parquet, PUT, COPY INTO |
//! | `landing.rs` | rows of sources with their positions |
//! | `cost.rs` | what statements took, from the account's history |
//! | `fault.rs` | Snowflake's errors in the user's terms |

mod arrow;
mod catalog;
mod column;
mod cost;
mod fault;
mod incremental;
mod landing;
mod lease;
mod ledger;
mod login;
mod publish;
mod query;
mod result;
mod session;
mod settings;
mod stage;
mod text;
mod together;
mod transport;
mod upkeep;
mod upload;

use std::{
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use futures::stream::BoxStream;
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio_util::task::TaskTracker;

use self::{catalog::Known, lease::Pool, ledger::Ledger, settings::Settings, transport::Transport};
use super::{ColumnInfo, Engine, EngineError, Landing, LandingState, Publish, Published, RelationInfo, Session};
use crate::names::{RelationName, SchemaName};

/// How long the end of a command waits for aborts and logouts.
const FAREWELL: Duration = Duration::from_secs(5);

/// The way to one account, shared by all sessions.
pub(super) struct Link {
    transport: Transport,
    settings: Settings,
    background: TaskTracker,
    pool: Pool,
    statements: AtomicU64,
    queries: Mutex<Vec<String>>,
}

impl Link {
    fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    fn note_query(&self, id: &str) {
        if !id.is_empty() {
            self.queries.lock().push(id.to_owned());
        }
    }

    /// Work that nobody waits for until the engine closes.
    fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.background.spawn_on(work, &runtime);
        }
    }
}

/// An account, opened for one target. Nothing is asked of it before the first statement. Cheap to share.
#[derive(Clone)]
pub struct SnowflakeEngine {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    link: Arc<Link>,
    known: Known,
    ledger: Ledger,
}

impl SnowflakeEngine {
    /// `settings` are the keys of the target; paths in them are relative to `root`.
    pub fn open(settings: &IndexMap<String, Json>, root: &Path) -> Result<Self, EngineError> {
        let settings = Settings::read(settings, root)?;
        let link = Arc::new(Link {
            transport: Transport::new(&settings)?,
            background: TaskTracker::new(),
            pool: Pool::default(),
            statements: AtomicU64::new(0),
            queries: Mutex::default(),
            settings,
        });
        let ledger = Ledger::new(&link);
        Ok(Self { inner: Arc::new(Inner { link, known: Known::default(), ledger }) })
    }

    /// A query's rows as they come, for results that are larger than memory.
    pub async fn stream(&self, sql: &str) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch, EngineError>>), EngineError> {
        self.inner.stream(sql).await
    }

    /// Rows into a new or replaced table, uploaded piece by piece.
    pub async fn load(
        &self,
        table: &RelationName,
        schema: SchemaRef,
        batches: BoxStream<'_, Result<RecordBatch, EngineError>>,
        properties: &std::collections::BTreeMap<String, String>,
    ) -> Result<Loaded, EngineError> {
        self.inner.load_table(table, schema, batches, properties).await
    }

    /// Whether the account can be reached and lets segue in: who it is there, and in which version.
    pub async fn greet(&self) -> Result<String, EngineError> {
        self.inner.greet().await
    }

    /// Ends statements and sessions; waits a little for the server to hear of it.
    pub async fn close(&self) {
        let link = &self.inner.link;
        link.pool.end_all(link);
        link.background.close();
        let _ = tokio::time::timeout(FAREWELL, link.background.wait()).await;
        link.background.reopen();
    }
}

/// What an upload moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    pub rows: u64,
    pub bytes: u64,
}

#[async_trait]
impl Engine for SnowflakeEngine {
    async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        self.inner.relations(schemas).await
    }

    async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        self.inner.columns(relation).await
    }

    async fn recall(&self, key: &str) -> Result<Option<String>, EngineError> {
        self.inner.ledger.recall(&self.inner.link, key).await
    }

    async fn remember(&self, key: &str, text: &str) -> Result<(), EngineError> {
        self.inner.ledger.remember(&self.inner.link, key, text).await
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(session::SnowflakeSession::new(Arc::clone(&self.inner)))
    }

    async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        self.inner.publish(publish).await
    }

    async fn landing(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        self.inner.landing_state(table).await
    }

    async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        self.inner.land(landing).await
    }

    async fn costs(&self) -> Result<Vec<super::StatementCost>, EngineError> {
        self.inner.costs().await
    }

    async fn close(&self) {
        SnowflakeEngine::close(self).await;
    }
}

/// A text as a literal of Snowflake SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A stored column name as SQL writes it: always in quotes, since it may be a reserved word.
pub(super) fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
