//! Plans to rows in memory, or to data files of a table.

use std::sync::Arc;

use ::datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        compute::cast,
        datatypes::{Field, Schema, SchemaRef},
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
    physical_plan::{collect, execute_stream, execute_stream_partitioned, stream::RecordBatchStreamAdapter},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use object_store::ObjectStore;

use super::{Inner, fault, planner::deep};
use crate::{
    dialect::{function::value::normalised, resolve::REPEATED, types::Type},
    engine::EngineError,
    lake::{ColumnRules, WriteError, WrittenFile, storage_schema, write_stream},
};

impl Inner {
    /// All rows of a plan, with the plan's fields (which carry semi-structured types).
    pub(super) async fn rows(&self, sql: &str, plan: LogicalPlan) -> Result<(SchemaRef, Vec<RecordBatch>), EngineError> {
        let fail = |e: DataFusionError| fault::plan(sql, &e);
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let physical = Deep(self.state.create_physical_plan(&plan).boxed()).await.map_err(fail)?;
        let batches = collect(physical, self.state.task_ctx()).await.map_err(fail)?;
        let batches = batches
            .into_iter()
            .map(|b| with_schema(&b, &schema, |array, _| Ok(array.clone())))
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        Ok((schema, batches))
    }

    /// The same, a batch at a time.
    pub(super) async fn stream(&self, sql: &str, plan: LogicalPlan) -> Result<SendableRecordBatchStream, EngineError> {
        let fail = |e: DataFusionError| fault::plan(sql, &e);
        let physical = Deep(self.state.create_physical_plan(&plan).boxed()).await.map_err(fail)?;
        execute_stream(physical, self.state.task_ctx()).map_err(fail)
    }

    /// Rows in the stored layout, written as files that nothing names yet. `schema` is [`storage_schema`] of the
    /// plan's, or a wider one of a table that takes them.
    pub(super) async fn write_plan(
        &self,
        sql: &str,
        plan: LogicalPlan,
        store: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        partition_by: &[String],
    ) -> Result<Vec<WrittenFile>, EngineError> {
        let fail = |e: DataFusionError| fault::plan(sql, &e);
        let physical = Deep(self.state.create_physical_plan(&plan).boxed()).await.map_err(fail)?;
        let streams = execute_stream_partitioned(physical, self.state.task_ctx()).map_err(fail)?;
        self.write_streams(sql, streams, store, schema, partition_by).await
    }

    pub(super) async fn write_batches(
        &self,
        batches: Vec<RecordBatch>,
        store: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        partition_by: &[String],
    ) -> Result<Vec<WrittenFile>, EngineError> {
        let stream = RecordBatchStreamAdapter::new(schema.clone(), futures::stream::iter(batches.into_iter().map(Ok)));
        self.write_streams("", vec![Box::pin(stream)], store, schema, partition_by).await
    }

    async fn write_streams(
        &self,
        sql: &str,
        streams: Vec<SendableRecordBatchStream>,
        store: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        partition_by: &[String],
    ) -> Result<Vec<WrittenFile>, EngineError> {
        // tasks, so that partitions run on all cores; aborted together when one fails
        let mut tasks: FuturesUnordered<_> = streams
            .into_iter()
            .map(|stream| {
                let (store, schema, partition_by) = (store.clone(), schema.clone(), partition_by.to_vec());
                let adapted = stored(stream, schema.clone());
                let task = tokio::spawn(async move { write_stream(store, schema, &partition_by, adapted).await });
                AbortOnDrop(task)
            })
            .collect();
        let mut files = vec![];
        while let Some(result) = tasks.next().await {
            match result {
                Ok(Ok(written)) => files.extend(written),
                Ok(Err(WriteError::Query(e))) => return Err(fault::plan(sql, &e)),
                Ok(Err(WriteError::Lake(e))) => return Err(fault::lake(e)),
                Err(e) if e.is_panic() => {
                    return Err(EngineError::new("engine/internal", "the engine failed while it ran the query")
                        .help("this is a fault of segue: please report it with the query"));
                }
                Err(_) => return Err(EngineError::new("engine/cancelled", "the query was cancelled")),
            }
        }
        Ok(files)
    }
}

/// Optimizing walks expressions that nest as deep as users write them: each step of it gets the stack for that.
struct Deep<'a, T>(BoxFuture<'a, T>);

impl<T> std::future::Future for Deep<'_, T> {
    type Output = T;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        deep(|| self.0.poll_unpin(cx))
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> std::future::Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

/// The stored layout of a plan's columns; a name that occurs twice is the user's mistake.
pub(super) fn stored_schema(plan: &LogicalPlan) -> Result<SchemaRef, EngineError> {
    let schema = storage_schema(plan.schema().as_arrow()).map_err(fault::lake)?;
    let mut seen = std::collections::HashSet::new();
    for field in schema.fields() {
        let name = field.name().split(REPEATED).next().unwrap_or_default();
        if !seen.insert(name) {
            return Err(EngineError::new("sql/duplicate-column", format!("the column name `{name}` occurs twice"))
                .help("give one of them another alias"));
        }
    }
    if schema.fields().is_empty() {
        return Err(EngineError::new("sql/no-columns", "the query has no columns"));
    }
    Ok(schema)
}

fn stored(stream: SendableRecordBatchStream, schema: SchemaRef) -> SendableRecordBatchStream {
    let target = schema.clone();
    let adapted = stream.map(move |batch| {
        batch.and_then(|batch| {
            let from = batch.schema();
            with_schema(&batch, &target, |array, i| {
                let wanted = target.field(i).data_type();
                let array = if array.data_type() == wanted { array.clone() } else { normalised(array, Type::of(from.field(i)))? };
                let array = if array.data_type() == wanted { array } else { cast(&array, wanted)? };
                obey(&array, target.field(i))?;
                Ok(array)
            })
        })
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, adapted))
}

/// What the table demands of the column holds for these values (Snowflake's messages 100072 and 100078).
fn obey(array: &ArrayRef, field: &Field) -> Result<(), DataFusionError> {
    let rules = ColumnRules::of(field);
    if rules.not_null && array.null_count() > 0 {
        return Err(DataFusionError::Execution(format!("NULL result in the non-nullable column `{}`", field.name())));
    }
    let Some(limit) = rules.length.map(|l| l as usize) else { return Ok(()) };
    if let Some(texts) = array.as_string_opt::<i32>() {
        // bytes are at least as many as characters: only values with too many bytes are counted
        if let Some(long) = texts.iter().flatten().find(|t| t.len() > limit && t.chars().count() > limit) {
            let shown: String = long.chars().take(60).collect();
            return Err(DataFusionError::Execution(format!(
                "string '{shown}' is too long for the column `{}` of {limit} characters and would be truncated",
                field.name()
            )));
        }
    } else if let Some(values) = array.as_binary_opt::<i32>()
        && values.iter().flatten().any(|v| v.len() > limit)
    {
        return Err(DataFusionError::Execution(format!(
            "a binary value is too long for the column `{}` of {limit} bytes and would be truncated",
            field.name()
        )));
    }
    Ok(())
}

fn with_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
    column: impl Fn(&ArrayRef, usize) -> Result<ArrayRef, DataFusionError>,
) -> Result<RecordBatch, DataFusionError> {
    let columns = batch.columns().iter().enumerate().map(|(i, c)| column(c, i)).collect::<Result<Vec<_>, _>>()?;
    // types may differ in nullability of nested fields; the arrays are the truth
    let fields: Vec<_> =
        schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(f, c)| {
                if f.data_type() == c.data_type() { f.clone() } else { Arc::new(f.as_ref().clone().with_data_type(c.data_type().clone())) }
            })
            .map(|f| Arc::new(f.as_ref().clone().with_nullable(true)))
            .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}
