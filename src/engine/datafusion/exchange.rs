//! Rows out of the warehouse and into it as they come: the local end of a move between engines.

use std::collections::BTreeMap;

use ::datafusion::{
    arrow::{datatypes::SchemaRef, record_batch::RecordBatch},
    physical_plan::{execute_stream, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use super::{Inner, LocalEngine, execution::with_schema, fault, planner::Scope, publish::rows_of};
use crate::{
    engine::{EngineError, Published},
    lake::{Change, Commit, Removed, storage_schema},
    names::RelationName,
};

impl LocalEngine {
    /// A query's rows as they come, with the fields that tell their types.
    pub async fn stream(&self, sql: &str) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch, EngineError>>), EngineError> {
        let inner: &Inner = &self.inner;
        let plan = inner.plan_query(sql, &Scope::new(inner.default_schema.clone())).await?;
        let schema: SchemaRef = std::sync::Arc::new(plan.schema().as_arrow().clone());
        let text = sql.to_owned();
        let physical = inner.state.create_physical_plan(&plan).await.map_err(|e| fault::plan(sql, &e))?;
        let stream = execute_stream(physical, inner.state.task_ctx()).map_err(|e| fault::plan(sql, &e))?;
        let fields = SchemaRef::clone(&schema);
        let batches = stream.map(move |batch| {
            let batch = batch.and_then(|b| with_schema(&b, &fields, |array, _| Ok(array.clone())));
            batch.map_err(|e| fault::plan(&text, &e))
        });
        Ok((schema, batches.boxed()))
    }

    /// Rows into a table that replaces what has its name, in one commit.
    pub async fn load(
        &self,
        table: &RelationName,
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch, EngineError>>,
        properties: &BTreeMap<String, String>,
    ) -> Result<(Published, u64), EngineError> {
        let inner: &Inner = &self.inner;
        let base = inner.lake.table(table).await.map_err(fault::lake)?;
        let stored = storage_schema(&schema).map_err(fault::lake)?;
        let store = inner.lake.table_store(table).map_err(fault::lake)?;
        let stream = batches.map_err(|e| ::datafusion::error::DataFusionError::External(Box::new(e)));
        let stream = RecordBatchStreamAdapter::new(SchemaRef::clone(&stored), stream);
        let files = inner.write_streams("", vec![Box::pin(stream)], store, SchemaRef::clone(&stored), &[]).await?;
        let rows = rows_of(&files);
        let bytes = files.iter().map(|f| f.bytes).sum();
        let commit = Commit {
            relation: table.clone(),
            change: Change::Replace,
            schema: stored,
            partition_by: vec![],
            add: files,
            remove: Removed::All,
            comment: None,
            column_comments: BTreeMap::new(),
            properties: properties.clone(),
            application: None,
        };
        let version = inner.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
        inner.lake.drop_view(table).map_err(fault::lake)?;
        Ok((Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version: version.to_string() }, bytes))
    }
}
