//! What a session ran: ids of its statements and their results, for LAST_QUERY_ID and RESULT_SCAN.

use std::sync::Arc;

use ::datafusion::{
    arrow::{
        datatypes::{Field, Schema, SchemaRef},
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    datasource::MemTable,
};
use parking_lot::Mutex;

use super::planner::Scope;
use crate::{dialect::resolve::REPEATED, engine::Outcome};

/// Results that are kept; a script may run many thousand statements.
const KEPT_RESULTS: usize = 16;

struct Past {
    id: String,
    result: Option<Arc<MemTable>>,
}

/// Shared by the scopes of one session.
#[derive(Clone, Default)]
pub(super) struct History(Arc<Mutex<Vec<Past>>>);

impl History {
    /// Adds a statement that ran; without an outcome it failed.
    pub(super) fn record(scope: &Scope, _sql: &str, outcome: Option<&Outcome>) {
        let result = outcome.and_then(|o| {
            let schema = distinct(&o.schema);
            let batches = o.batches.iter().map(|b| renamed(b, &schema)).collect::<Option<Vec<_>>>()?;
            MemTable::try_new(schema, vec![batches]).ok().map(Arc::new)
        });
        let mut past = scope.history.0.lock();
        past.push(Past { id: uuid::Uuid::new_v4().to_string(), result });
        let old = past.len().saturating_sub(KEPT_RESULTS);
        past[..old].iter_mut().for_each(|p| p.result = None);
    }

    /// LAST_QUERY_ID(n): 1 is the first statement, -1 the last one.
    pub(super) fn id(&self, n: i64) -> Option<String> {
        let past = self.0.lock();
        let at = if n > 0 { usize::try_from(n - 1).ok()? } else { past.len().checked_sub(usize::try_from(-n).ok()?)? };
        past.get(at).map(|p| p.id.clone())
    }

    /// The result of a statement.
    pub(super) fn result(&self, id: &str) -> Option<Arc<MemTable>> {
        self.0.lock().iter().find(|p| p.id == id).and_then(|p| p.result.clone())
    }
}

/// Column names made different, as a table needs them.
fn distinct(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> = vec![];
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut n = 1;
        while fields.iter().any(|f| *f.name() == name) {
            n += 1;
            name = format!("{}_{n}", field.name());
        }
        fields.push(field.as_ref().clone().with_name(name).with_nullable(true));
    }
    Arc::new(Schema::new(fields))
}

fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(f, c)| f.as_ref().clone().with_data_type(::datafusion::arrow::array::Array::data_type(c).clone()))
        .collect();
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), batch.columns().to_vec(), &options).ok()
}

/// A result with the names that its query wrote, also where one occurs twice.
pub(super) fn unique_names(outcome: Outcome) -> Outcome {
    if !outcome.schema.fields().iter().any(|f| f.name().contains(REPEATED)) {
        return outcome;
    }
    let plain = |schema: &Schema| -> SchemaRef {
        let fields: Vec<Field> =
            schema.fields().iter().map(|f| f.as_ref().clone().with_name(f.name().split(REPEATED).next().unwrap_or_default())).collect();
        Arc::new(Schema::new(fields))
    };
    let batches = outcome
        .batches
        .iter()
        .map(|b| {
            let options = RecordBatchOptions::new().with_row_count(Some(b.num_rows()));
            RecordBatch::try_new_with_options(plain(&b.schema()), b.columns().to_vec(), &options).unwrap_or_else(|_| b.clone())
        })
        .collect();
    Outcome { schema: plain(&outcome.schema), batches, ..outcome }
}
