//! What the run knows of the warehouse: the relations of the schemas it touches, listed once, kept up to date by what
//! the run itself publishes.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;

use crate::{
    engine::{Engine, EngineError, RelationInfo, RelationKind},
    names::{RelationName, SchemaName},
};

#[derive(Default)]
pub(super) struct Catalog {
    relations: Mutex<HashMap<RelationName, RelationInfo>>,
    listed: Mutex<HashSet<SchemaName>>,
}

impl Catalog {
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
        let listed = self.listed.lock().contains(&schema);
        if !listed {
            self.list(engine, &[schema]).await?;
        }
        Ok(self.relations.lock().get(name).cloned())
    }

    pub(super) fn record(&self, name: &RelationName, kind: RelationKind, version: &str, properties: BTreeMap<String, String>) {
        let info = RelationInfo { name: name.clone(), kind, version: version.to_owned(), properties };
        self.relations.lock().insert(name.clone(), info);
    }

    /// Versions of those that are known.
    pub(super) fn versions(&self, names: impl IntoIterator<Item = RelationName>) -> Vec<(RelationName, String)> {
        let relations = self.relations.lock();
        names.into_iter().filter_map(|n| relations.get(&n).map(|info| info.version.clone()).map(|v| (n, v))).collect()
    }
}
