//! Two engines behind one door: each relation lives on one of them, and what a query reads from the other one is moved first.
//!
//! Names are the same on both sides, so no query changes. A copy records what it is a copy of; while that is so, nothing is moved
//! again. Where a statement runs is decided by what it changes, else by what it reads; a query over relations of both sides runs
//! at home, the engine of the target.

mod parity;
mod pull;
mod session;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{
    Attachment, ColumnInfo, Content, Engine, EngineError, Landing, LandingState, Lock, Publish, Published, RelationInfo, RelationKind,
    Session, StatementCost, datafusion::LocalEngine, snowflake::SnowflakeEngine,
};
use crate::{
    dialect::survey::survey,
    names::{Fingerprint, Identifier, RelationName, SchemaName},
    state,
};

pub use parity::Comparison;

/// Of a copy: the identity of what it was made from.
const COPY_OF: &str = "segue.copy_of";
/// Views upon views, deeper than anyone builds them.
const DEEPEST: usize = 64;

/// One of the two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Local,
    Snowflake,
}

impl Side {
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_lowercase().as_str() {
            "datafusion" => Some(Self::Local),
            "snowflake" => Some(Self::Snowflake),
            _ => None,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Local => Self::Snowflake,
            Self::Snowflake => Self::Local,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "the local engine",
            Self::Snowflake => "Snowflake",
        }
    }
}

/// A table that was moved.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub relation: RelationName,
    pub to: Side,
    pub rows: u64,
    /// Of the files that were written for it.
    pub bytes: u64,
    pub took: Duration,
}

impl std::fmt::Display for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (to, seconds) = (self.to.name(), self.took.as_secs_f64());
        write!(f, "moved {} to {to}: {} rows, {} bytes in {seconds:.2} s", self.relation, self.rows, self.bytes)
    }
}

/// Both engines, and which relation is whose.
#[derive(Clone)]
pub struct CrossingEngine {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    local: LocalEngine,
    remote: SnowflakeEngine,
    home: Side,
    places: HashMap<RelationName, Side>,
    /// Of unqualified names.
    schema: SchemaName,
    /// What was heard of both sides.
    heard: Mutex<HashMap<(Side, RelationName), RelationInfo>>,
    /// One move of a relation at a time.
    moving: Mutex<HashMap<RelationName, Arc<tokio::sync::Mutex<()>>>>,
    moved: Mutex<Vec<Transfer>>,
}

impl CrossingEngine {
    /// `places` are the relations of the project; all others are the home engine's. `schema` is that of unqualified names.
    pub fn new(local: LocalEngine, remote: SnowflakeEngine, home: Side, places: HashMap<RelationName, Side>, schema: SchemaName) -> Self {
        let inner =
            Inner { local, remote, home, places, schema, heard: Mutex::default(), moving: Mutex::default(), moved: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn side(&self, relation: &RelationName) -> Side {
        self.places.get(relation).copied().unwrap_or(self.home)
    }

    fn engine(&self, side: Side) -> &dyn Engine {
        match side {
            Side::Local => &self.local,
            Side::Snowflake => &self.remote,
        }
    }

    /// Relations that a query reads, by their full names. What cannot be read names nothing.
    fn reads(&self, sql: &str) -> Vec<RelationName> {
        let Ok(found) = survey(sql) else { return vec![] };
        let id = |s: &String| Identifier::exact(s.clone());
        let full = |parts: &Vec<String>| match parts.as_slice() {
            [name] => Some(self.schema.relation(id(name))),
            [s, name] => Some(RelationName::new(self.schema.database.clone(), id(s), id(name))),
            [d, s, name] => Some(RelationName::new(id(d), id(s), id(name))),
            _ => None,
        };
        found.relations.iter().filter_map(full).filter(|r| self.places.contains_key(r)).collect()
    }

    /// Everything that a query reads is on this side afterwards.
    async fn gather(&self, sql: &str, side: Side) -> Result<(), EngineError> {
        for relation in self.reads(sql) {
            if self.side(&relation) != side {
                self.bring(&relation, side).await?;
            }
        }
        Ok(())
    }

    async fn bring(&self, relation: &RelationName, to: Side) -> Result<(), EngineError> {
        let one = Arc::clone(self.moving.lock().entry(relation.clone()).or_default());
        let _moving = one.lock().await;
        let from = to.other();
        let identity = self.identity(relation, 0).await?;
        let copy = self.info(to, relation).await?;
        let current = copy.as_ref().and_then(|c| c.properties.get(COPY_OF));
        if identity.is_some() && current == identity.as_ref() {
            return Ok(());
        }
        let began = Instant::now();
        let sql = format!("select * from {relation}");
        let mut properties = BTreeMap::new();
        // without an identity nobody can tell later whether the copy is current
        if let Some(identity) = identity {
            properties.insert(COPY_OF.to_owned(), identity);
        }
        let fault = |e: EngineError| {
            let message = format!("`{relation}` could not be moved from {} to {}: {}", from.name(), to.name(), e.message);
            EngineError { message, at: None, ..e }
        };
        let (rows, bytes) = match to {
            Side::Snowflake => {
                let (schema, rows) = self.local.stream(&sql).await.map_err(fault)?;
                let loaded = self.remote.load(relation, schema, rows, &properties).await.map_err(fault)?;
                (loaded.rows, loaded.bytes)
            }
            Side::Local => {
                let (schema, rows) = self.remote.stream(&sql).await.map_err(fault)?;
                let (published, bytes) = self.local.load(relation, schema, rows, &properties).await.map_err(fault)?;
                (published.rows.unwrap_or(0), bytes)
            }
        };
        let info = RelationInfo { name: relation.clone(), kind: RelationKind::Table, version: String::new(), properties };
        self.heard.lock().insert((to, relation.clone()), info);
        self.moved.lock().push(Transfer { relation: relation.clone(), to, rows, bytes, took: began.elapsed() });
        Ok(())
    }

    /// What was heard of a relation on a side, asked for if nothing was.
    async fn info(&self, side: Side, relation: &RelationName) -> Result<Option<RelationInfo>, EngineError> {
        if let Some(info) = self.heard.lock().get(&(side, relation.clone())) {
            return Ok(Some(info.clone()));
        }
        let found = self.engine(side).relations(&[relation.schema_name()]).await?;
        let mut heard = self.heard.lock();
        for info in found {
            heard.entry((side, info.name.clone())).or_insert(info);
        }
        Ok(heard.get(&(side, relation.clone())).cloned())
    }

    /// What the rows of a relation depend on, `None` where that cannot be known: of a table its version, of a view its text and
    /// what it reads.
    fn identity<'a>(&'a self, relation: &'a RelationName, depth: usize) -> BoxFuture<'a, Result<Option<String>, EngineError>> {
        Box::pin(async move {
            let Some(info) = self.info(self.side(relation), relation).await? else { return Ok(None) };
            if info.version.is_empty() || depth > DEEPEST {
                return Ok(None);
            }
            if info.kind == RelationKind::Table {
                return Ok(Some(info.version));
            }
            let Some(reads) = info.properties.get(state::READS) else { return Ok(None) };
            let mut parts = vec![("view".to_owned(), info.version.clone())];
            for text in reads.lines() {
                let Some(read) = RelationName::parse(text) else { return Ok(None) };
                let Some(identity) = self.identity(&read, depth + 1).await? else { return Ok(None) };
                parts.push((text.to_owned(), identity));
            }
            Ok(Some(Fingerprint::of(parts.iter().map(|(k, v)| (k.as_str(), v.as_str()))).to_string()))
        })
    }

    fn changed(&self, relation: &RelationName, kind: RelationKind, version: &str, properties: &BTreeMap<String, String>) {
        let info = RelationInfo { name: relation.clone(), kind, version: version.to_owned(), properties: properties.clone() };
        self.heard.lock().insert((self.side(relation), relation.clone()), info);
    }

    /// Something changed a relation in a way that nobody told.
    fn forget(&self, relation: &RelationName) {
        self.heard.lock().remove(&(self.side(relation), relation.clone()));
    }
}

#[async_trait]
impl Engine for CrossingEngine {
    async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        let inner = &self.inner;
        let (local, remote) = futures::try_join!(inner.local.relations(schemas), inner.remote.relations(schemas))?;
        let mut heard = inner.heard.lock();
        let mut found = vec![];
        for (side, infos) in [(Side::Local, local), (Side::Snowflake, remote)] {
            for info in infos {
                heard.insert((side, info.name.clone()), info.clone());
                // copies are nobody's business
                if inner.side(&info.name) == side {
                    found.push(info);
                }
            }
        }
        Ok(found)
    }

    async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        self.inner.engine(self.inner.side(relation)).columns(relation).await
    }

    async fn lock(&self, relation: &RelationName, holder: &str) -> Result<Lock, EngineError> {
        self.inner.engine(self.inner.side(relation)).lock(relation, holder).await
    }

    async fn recall(&self, key: &str) -> Result<Option<String>, EngineError> {
        self.inner.engine(self.inner.home).recall(key).await
    }

    async fn remember(&self, key: &str, text: &str) -> Result<(), EngineError> {
        self.inner.engine(self.inner.home).remember(key, text).await
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(session::CrossingSession::new(Arc::clone(&self.inner), self.inner.home))
    }

    fn session_at(&self, relation: &RelationName) -> Box<dyn Session> {
        Box::new(session::CrossingSession::new(Arc::clone(&self.inner), self.inner.side(relation)))
    }

    async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        let inner = &self.inner;
        let side = inner.side(&publish.relation);
        if let Content::Query(sql) = &publish.content {
            inner.gather(sql, side).await?;
        }
        let (relation, properties) = (publish.relation.clone(), publish.properties.clone());
        let kind = if matches!(publish.how, super::How::View) { RelationKind::View } else { RelationKind::Table };
        let published = inner.engine(side).publish(publish).await?;
        inner.changed(&relation, kind, &published.version, &properties);
        Ok(published)
    }

    async fn landing(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        self.inner.engine(self.inner.side(table)).landing(table).await
    }

    async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        let inner = &self.inner;
        let (table, properties) = (landing.table.clone(), landing.properties.clone());
        let published = inner.engine(inner.side(&table)).land(landing).await?;
        inner.changed(&table, RelationKind::Table, &published.version, &properties);
        Ok(published)
    }

    async fn attach(&self, attachment: Attachment) -> Result<Published, EngineError> {
        let inner = &self.inner;
        let (table, properties) = (attachment.table.clone(), attachment.properties.clone());
        let published = inner.engine(inner.side(&table)).attach(attachment).await?;
        inner.changed(&table, RelationKind::Table, &published.version, &properties);
        Ok(published)
    }

    fn is_apart(&self, reader: &RelationName, read: &RelationName) -> bool {
        self.inner.side(reader) != self.inner.side(read)
    }

    fn transfers(&self) -> Vec<Transfer> {
        std::mem::take(&mut *self.inner.moved.lock())
    }

    async fn costs(&self) -> Result<Vec<StatementCost>, EngineError> {
        self.inner.remote.costs().await
    }

    async fn close(&self) {
        SnowflakeEngine::close(&self.inner.remote).await;
    }
}
