//! A sample of a relation of the other side, kept in the lake: what `--local` builds from.

use std::{collections::BTreeMap, time::Instant};

use super::{CrossingEngine, Side, Transfer};
use crate::{
    engine::{Engine, EngineError},
    names::RelationName,
};

/// What was pulled: the query.
const PULLED: &str = "segue.pulled";

impl CrossingEngine {
    /// The rows of `select * from relation [where ...] [limit n]`, once: `None` when exactly these are here already.
    pub async fn pull(
        &self,
        relation: &RelationName,
        condition: Option<&str>,
        limit: Option<u64>,
        again: bool,
    ) -> Result<Option<Transfer>, EngineError> {
        let inner = &self.inner;
        let mut sql = format!("select * from {relation}");
        if let Some(condition) = condition {
            sql += &format!(" where {condition}");
        }
        if let Some(limit) = limit {
            sql += &format!(" limit {limit}");
        }
        let here = inner.local.relations(&[relation.schema_name()]).await?.into_iter().find(|i| i.name == *relation);
        if !again && here.is_some_and(|i| i.properties.get(PULLED) == Some(&sql)) {
            return Ok(None);
        }
        let began = Instant::now();
        let (schema, rows) = inner.remote.stream(&sql).await?;
        let properties = BTreeMap::from([(PULLED.to_owned(), sql)]);
        let (published, bytes) = inner.local.load(relation, schema, rows, &properties).await?;
        let rows = published.rows.unwrap_or(0);
        Ok(Some(Transfer { relation: relation.clone(), to: Side::Local, rows, bytes, took: began.elapsed() }))
    }
}
