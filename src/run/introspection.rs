//! What templates ask while they render (`run_query`, `adapter.get_relation`, `is_incremental`), put to an engine.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::datatypes::DataType;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    dialect::types::Type,
    engine::{Engine, EngineError, Outcome, RelationKind, value, value::Value},
    names::{RelationName, SchemaName},
    template::{Cell, ColumnFacts, RelationFacts, ResultTable, Warehouse},
};

/// Waits for the engine's answers, so it may be asked only from threads that may block; the executor compiles on such.
///
/// Schemas are listed once. What is not in the list is looked for again, since an earlier node may have built it.
pub struct Introspection {
    engine: Arc<dyn Engine>,
    runtime: Handle,
    cache: Mutex<Cache>,
    listener: Option<Listener>,
}

/// Who hears what templates log, as they log it: the text, and whether it is for the user.
pub type Listener = Box<dyn Fn(&str, bool) + Send + Sync>;

/// What was heard of the warehouse, and how often it may have changed since the beginning: an answer that was asked for before
/// a change is not kept after it.
#[derive(Default)]
struct Cache {
    known: HashMap<RelationName, RelationKind>,
    listed: HashSet<SchemaName>,
    changes: u64,
}

impl Introspection {
    pub fn new(engine: Arc<dyn Engine>, runtime: Handle) -> Self {
        Self { engine, runtime, cache: Mutex::default(), listener: None }
    }

    pub fn telling(self, listener: Listener) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// Asks another engine.
    pub(super) fn over(&self, engine: Arc<dyn Engine>) -> Self {
        Self::new(engine, self.runtime.clone())
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, EngineError>>) -> Result<T, String> {
        self.runtime.block_on(answer).map_err(|e| match e.help {
            Some(help) => format!("{} ({help})", e.message),
            None => e.message,
        })
    }

    fn list(&self, schema: &SchemaName) -> Result<Vec<(RelationName, RelationKind)>, String> {
        let before = self.cache.lock().changes;
        let found = self.wait(self.engine.relations(std::slice::from_ref(schema)))?;
        let found: Vec<(RelationName, RelationKind)> = found.into_iter().map(|info| (info.name, info.kind)).collect();
        let mut cache = self.cache.lock();
        if cache.changes == before {
            cache.known.extend(found.iter().cloned());
            cache.listed.insert(schema.clone());
        }
        Ok(found)
    }
}

fn facts(kind: RelationKind) -> RelationFacts {
    let kind = match kind {
        RelationKind::Table => "table",
        RelationKind::View => "view",
    };
    RelationFacts { kind: kind.into() }
}

impl Warehouse for Introspection {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String> {
        let schema = name.schema_name();
        let (known, listed) = {
            let cache = self.cache.lock();
            (cache.known.get(name).copied(), cache.listed.contains(&schema))
        };
        if let Some(kind) = known {
            return Ok(Some(facts(kind)));
        }
        // opening one table is cheaper than listing its schema again
        if listed && self.wait(self.engine.columns(name))?.is_none() {
            return Ok(None);
        }
        Ok(self.list(&schema)?.into_iter().find(|(found, _)| found == name).map(|(_, kind)| facts(kind)))
    }

    fn relations(&self, schema: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        Ok(self.list(schema)?.into_iter().map(|(name, kind)| (name, facts(kind))).collect())
    }

    fn columns(&self, name: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        let columns = self.wait(self.engine.columns(name))?.unwrap_or_default();
        Ok(columns.into_iter().map(|c| ColumnFacts { name: c.name.as_str().to_owned(), data_type: c.data_type }).collect())
    }

    fn tell(&self, message: &str, info: bool) -> bool {
        self.listener.as_ref().is_some_and(|listener| {
            listener(message, info);
            true
        })
    }

    fn query(&self, sql: &str) -> Result<ResultTable, String> {
        let mut session = self.engine.session();
        let outcome = self.wait(session.execute(sql))?;
        // a statement may have made or dropped anything
        if !outcome.is_query {
            let mut cache = self.cache.lock();
            cache.known.clear();
            cache.listed.clear();
            cache.changes += 1;
        }
        Ok(cells(&outcome))
    }
}

fn cells(outcome: &Outcome) -> ResultTable {
    let fields = outcome.schema.fields();
    let rows: Vec<Vec<Cell>> = outcome
        .batches
        .iter()
        .flat_map(|b| {
            (0..b.num_rows())
                .map(move |row| fields.iter().zip(b.columns()).map(|(f, c)| cell(value::of(c, f, row), f.data_type())).collect())
        })
        .collect();
    let count = outcome.rows_affected.unwrap_or(rows.len() as u64);
    ResultTable {
        columns: fields.iter().map(|f| f.name().clone()).collect(),
        types: fields.iter().map(|f| Type::of(f).to_string()).collect(),
        rows,
        message: format!("SUCCESS {count}"),
        rows_affected: Some(count),
    }
}

fn cell(value: Value, kind: &DataType) -> Cell {
    match (value, kind) {
        (Value::Null, _) => Cell::Null,
        (Value::Boolean(b), _) => Cell::Bool(b),
        (Value::Integer(n), _) => Cell::Int(n),
        (Value::Float(f), _) => Cell::Float(f),
        (Value::Number(digits), _) => Cell::Decimal(digits),
        (Value::Text(text), DataType::Date32 | DataType::Date64) => text.parse::<NaiveDate>().map(Cell::Date).unwrap_or(Cell::Text(text)),
        (Value::Text(text), DataType::Time32(_) | DataType::Time64(_)) => {
            text.parse::<NaiveTime>().map(Cell::Time).unwrap_or(Cell::Text(text))
        }
        (Value::Text(text), DataType::Timestamp(_, None)) => {
            NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").map(Cell::Timestamp).unwrap_or(Cell::Text(text))
        }
        (Value::Text(text) | Value::Json(text), _) => Cell::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fake::FakeEngine;

    #[test]
    fn cells_keep_their_kind() {
        let timestamp = DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, None);
        for (value, kind, expect) in [
            (Value::Null, DataType::Int64, "Null"),
            (Value::Integer(1), DataType::Int64, "Int(1)"),
            (Value::Number("1.50".into()), DataType::Decimal128(10, 2), "Decimal(\"1.50\")"),
            (Value::Text("2024-01-31".into()), DataType::Date32, "Date(2024-01-31)"),
            (Value::Text("2024-01-31".into()), DataType::Utf8, "Text(\"2024-01-31\")"),
            (Value::Text("2024-01-31 10:00:00.000".into()), timestamp, "Timestamp(2024-01-31T10:00:00)"),
        ] {
            assert_eq!(format!("{:?}", cell(value, &kind)), expect);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn relations_are_found_and_queries_answered() {
        let engine = FakeEngine::default();
        let here = RelationName::parse_parts("d", "s", "here");
        engine.0.existing.lock().insert(here.clone(), RelationKind::View);
        let asked = Introspection::new(Arc::new(engine), Handle::current());
        let answers = tokio::task::spawn_blocking(move || {
            let absent = RelationName::parse_parts("d", "s", "absent");
            (asked.relation(&here), asked.relation(&absent), asked.query("select count 3 "))
        });
        let (here, absent, rows) = answers.await.expect("no panic");
        assert_eq!(here, Ok(Some(RelationFacts { kind: "view".into() })));
        assert_eq!(absent, Ok(None));
        assert_eq!(rows.expect("rows").rows, [[Cell::Int(3)]]);
    }
}
