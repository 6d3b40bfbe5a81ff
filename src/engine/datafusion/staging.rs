//! The local engine over a staged version: the same warehouse, in which one relation is where it is being made.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Inner, LocalEngine, catalog::view_version, fault};
use crate::{
    engine::{Engine, EngineError, Stage},
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
        let engine = LocalEngine { inner: Arc::new(Inner { lake: staging.lake().clone(), ..inner.clone() }) };
        Ok(Self { staging, engine, relation: relation.clone() })
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
                let table = self.staging.lake().table(&self.relation).await.map_err(fault::lake)?;
                Ok(table.map(|t| t.identity()).unwrap_or_default())
            }
        }
    }

    async fn keep(&self) -> Result<RelationName, EngineError> {
        self.staging.keep().map_err(fault::lake)
    }
}
