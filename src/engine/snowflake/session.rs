//! Statements of a script, on one session of the server.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{
    Inner, column,
    lease::{Lease, words},
    query::Statement,
    result::Reply,
};
use crate::{
    dialect::parse,
    engine::{EngineError, Outcome, Session},
};

pub(super) struct SnowflakeSession {
    inner: Arc<Inner>,
    lease: Lease,
}

impl SnowflakeSession {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let lease = Lease::new(&inner.link);
        Self { inner, lease }
    }
}

#[async_trait]
impl Session for SnowflakeSession {
    async fn execute(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        let statement = Statement::new(sql.trim_end().trim_end_matches(';'));
        let changes_objects = changes_objects(sql);
        let reply = self.lease.execute(&statement).await;
        if changes_objects {
            // whatever it was, and whether or not it said that it failed
            self.inner.known.forget_all();
        }
        collect(reply?, sql).await
    }

    fn split(&self, script: &str) -> Vec<Range<usize>> {
        parse::split(script)
    }
}

impl Inner {
    pub(super) async fn stream(&self, sql: &str) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch, EngineError>>), EngineError> {
        let mut lease = Lease::new(&self.link);
        let reply = lease.run(sql.trim_end().trim_end_matches(';')).await?;
        let (schema, batches) = reply.stream(false);
        Ok((schema, batches.boxed()))
    }

    pub(super) async fn greet(&self) -> Result<String, EngineError> {
        let outcome = collect(Lease::new(&self.link).run("select current_version()").await?, "select").await?;
        let batch = outcome.batches.iter().find(|b| b.num_rows() > 0);
        let version = batch.and_then(|b| crate::engine::value::of(b.column(0), outcome.schema.field(0), 0).text());
        Ok(version.unwrap_or_default())
    }
}

/// All rows of an answer.
pub(super) async fn collect(reply: Reply, sql: &str) -> Result<Outcome, EngineError> {
    let is_query = reply.is_query || answers_with_rows(sql);
    let rows_affected = reply.rows_affected();
    let columns = Arc::clone(&reply.columns);
    let (schema, stream) = reply.stream(has_large_numbers(&columns));
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let outcome = Outcome { schema, batches, is_query: is_query && rows_affected.is_none(), rows_affected };
    narrowed(outcome, &columns)
}

/// Whole numbers are read with room for all of them, and put into 64 bits where all of a column's fit.
fn has_large_numbers(columns: &[column::ResultColumn]) -> bool {
    columns.iter().any(|c| c.type_() == crate::dialect::types::Type::INTEGER)
}

fn narrowed(outcome: Outcome, columns: &[column::ResultColumn]) -> Result<Outcome, EngineError> {
    use ::datafusion::arrow::{
        array::{AsArray, RecordBatchOptions},
        compute::cast,
        datatypes::{DataType, Decimal128Type, Schema},
    };
    let narrow = column::schema(columns, false);
    let fits = |i: usize| {
        outcome.batches.iter().all(|b| b.column(i).as_primitive::<Decimal128Type>().iter().flatten().all(|v| i64::try_from(v).is_ok()))
    };
    let changed: Vec<usize> =
        (0..columns.len()).filter(|i| outcome.schema.field(*i).data_type() != narrow.field(*i).data_type()).filter(|i| fits(*i)).collect();
    if changed.is_empty() {
        return Ok(outcome);
    }
    let fields: Vec<_> = (0..columns.len())
        .map(|i| if changed.contains(&i) { Arc::clone(&narrow.fields()[i]) } else { Arc::clone(&outcome.schema.fields()[i]) })
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let batches = outcome
        .batches
        .iter()
        .map(|batch| {
            let arrays = batch
                .columns()
                .iter()
                .enumerate()
                .map(|(i, a)| if changed.contains(&i) { cast(a, &DataType::Int64) } else { Ok(Arc::clone(a)) })
                .collect::<Result<Vec<_>, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| super::result::broken(&e.to_string()))?;
    Ok(Outcome { schema, batches, ..outcome })
}

fn answers_with_rows(sql: &str) -> bool {
    words(sql).next().is_some_and(|w| {
        matches!(w.as_str(), "SELECT" | "WITH" | "SHOW" | "DESC" | "DESCRIBE" | "LIST" | "LS" | "CALL" | "EXPLAIN" | "VALUES" | "TABLE")
    })
}

/// Statements after which the catalog is another one.
fn changes_objects(sql: &str) -> bool {
    words(sql).next().is_some_and(|w| {
        matches!(w.as_str(), "CREATE" | "DROP" | "ALTER" | "UNDROP" | "CALL" | "EXECUTE" | "BEGIN" | "DECLARE" | "COMMENT")
    })
}
