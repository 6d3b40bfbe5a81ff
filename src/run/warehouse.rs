//! What the run knows of the warehouse: the relations of the schemas it touches, listed once, kept up to date by what
//! the run itself publishes.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;

use futures::future::BoxFuture;

use crate::{
    engine::{Engine, EngineError, RelationInfo, RelationKind},
    names::{Fingerprint, RelationName, SchemaName},
    state,
};

/// Views upon views, deeper than anyone builds them.
const DEEPEST: usize = 64;

/// What a relation is at the moment, as far as its rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The same text means the same rows.
    Known(String),
    Missing,
    /// A relation whose rows may change without a trace.
    Unknown,
}

#[derive(Default)]
pub(super) struct Catalog {
    /// Known without a look at its schema.
    certain: Option<RelationName>,
    relations: Mutex<HashMap<RelationName, RelationInfo>>,
    listed: Mutex<HashSet<SchemaName>>,
}

impl Catalog {
    /// Of one relation, which is this or does not exist.
    pub(super) fn of(relation: &RelationName, info: Option<RelationInfo>) -> Self {
        let relations = info.into_iter().map(|i| (relation.clone(), i)).collect();
        Self { certain: Some(relation.clone()), relations: Mutex::new(relations), listed: Mutex::default() }
    }

    /// Lists schemas in one sweep. After a failure each look-up lists its own schema, so that a fault in one schema
    /// is the fault of the nodes that need it.
    pub(super) async fn list(&self, engine: &dyn Engine, schemas: &[SchemaName]) -> Result<(), EngineError> {
        let found = engine.relations(schemas).await?;
        let mut relations = self.relations.lock();
        for info in found {
            relations.entry(info.name.clone()).or_insert(info);
        }
        self.listed.lock().extend(schemas.iter().cloned());
        Ok(())
    }

    pub(super) async fn find(&self, engine: &dyn Engine, name: &RelationName) -> Result<Option<RelationInfo>, EngineError> {
        let schema = name.schema_name();
        let listed = self.certain.as_ref() == Some(name) || self.listed.lock().contains(&schema);
        if !listed {
            self.list(engine, &[schema]).await?;
        }
        Ok(self.relations.lock().get(name).cloned())
    }

    pub(super) fn record(&self, name: &RelationName, kind: RelationKind, version: &str, properties: BTreeMap<String, String>) {
        let info = RelationInfo { name: name.clone(), kind, version: version.to_owned(), properties };
        self.relations.lock().insert(name.clone(), info);
    }

    /// Whether the relation is known to exist, without a look.
    pub(super) fn has(&self, name: &RelationName) -> bool {
        self.relations.lock().contains_key(name)
    }

    /// Something else than the run changed the relation, or may have: it is looked at again.
    pub(super) fn forget(&self, name: &RelationName) {
        self.relations.lock().remove(name);
        self.listed.lock().remove(&name.schema_name());
    }

    /// Others have been at work.
    pub(super) fn forget_all(&self) {
        self.relations.lock().clear();
        self.listed.lock().clear();
    }

    /// What decides whether a reader has to read again: of a table its version, of a view its text and all it reads.
    pub(super) async fn identity(&self, engine: &dyn Engine, name: &RelationName) -> Result<Identity, EngineError> {
        self.identity_at(engine, name, 0).await
    }

    fn identity_at<'a>(
        &'a self,
        engine: &'a dyn Engine,
        name: &'a RelationName,
        depth: usize,
    ) -> BoxFuture<'a, Result<Identity, EngineError>> {
        Box::pin(async move {
            if name.schema.as_str() == "INFORMATION_SCHEMA" || depth > DEEPEST {
                return Ok(Identity::Unknown);
            }
            let Some(info) = self.find(engine, name).await? else { return Ok(Identity::Missing) };
            // an engine that cannot tell whether something changed says nothing
            if info.version.is_empty() {
                return Ok(Identity::Unknown);
            }
            if info.kind == RelationKind::Table {
                return Ok(Identity::Known(info.version));
            }
            let Some(reads) = info.properties.get(state::READS) else { return Ok(Identity::Unknown) };
            let mut parts = vec![("view".to_owned(), info.version.clone())];
            for text in reads.lines() {
                let Some(read) = RelationName::parse(text) else { return Ok(Identity::Unknown) };
                match self.identity_at(engine, &read, depth + 1).await? {
                    Identity::Known(identity) => parts.push((text.to_owned(), identity)),
                    Identity::Missing => parts.push((text.to_owned(), "missing".into())),
                    Identity::Unknown => return Ok(Identity::Unknown),
                }
            }
            Ok(Identity::Known(Fingerprint::of(parts.iter().map(|(k, v)| (k.as_str(), v.as_str()))).to_string()))
        })
    }
}
