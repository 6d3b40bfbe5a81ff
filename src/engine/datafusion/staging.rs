//! The local engine over a staged version: the same warehouse, in which one relation is where it is being made. And tables that
//! become what others are, by their files.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{Inner, LocalEngine, catalog::view_version, fault};
use crate::{
    engine::{Engine, EngineError, Published, Stage},
    lake::{Staged, Staging},
    names::RelationName,
};

pub(super) struct LocalStage {
    staging: Staging,
    engine: LocalEngine,
    relation: RelationName,
}

impl LocalStage {
    pub(super) async fn new(inner: &Inner, relation: &RelationName) -> Result<Self, EngineError> {
        let staging = inner.lake.stage(relation).await.map_err(fault::lake)?;
        let engine = LocalEngine { inner: Arc::new(Inner { lake: staging.staged().clone(), ..inner.clone() }) };
        Ok(Self { staging, engine, relation: relation.clone() })
    }
}

impl Inner {
    pub(super) async fn adopt(
        &self,
        relation: &RelationName,
        from: &RelationName,
        version: &str,
        properties: BTreeMap<String, String>,
    ) -> Result<Option<Published>, EngineError> {
        let lake = &self.lake;
        let Some(other) = lake.table(from).await.map_err(fault::lake)?.filter(|t| t.identity() == version) else { return Ok(None) };
        let base = lake.table(relation).await.map_err(fault::lake)?;
        let committed = lake.take_over(base.as_ref(), &other, relation, properties).await.map_err(fault::lake)?;
        let (rows, _) = other.size().await.map_err(fault::lake)?;
        Ok(Some(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version: committed.to_string() }))
    }
}

#[async_trait]
impl Stage for LocalStage {
    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.engine.clone())
    }

    async fn publish(&self) -> Result<String, EngineError> {
        match self.staging.publish().await.map_err(fault::lake)? {
            Staged::Table(committed) => Ok(committed.to_string()),
            Staged::View(view) => Ok(view_version(&view)),
            Staged::Unchanged => {
                let table = self.staging.staged().table(&self.relation).await.map_err(fault::lake)?;
                Ok(table.map(|t| t.identity()).unwrap_or_default())
            }
        }
    }

    async fn keep(&self) -> Result<RelationName, EngineError> {
        self.staging.keep().map_err(fault::lake)
    }
}
