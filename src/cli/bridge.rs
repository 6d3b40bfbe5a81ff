//! Between stages that do not know each other: the project's templates ask the engine, the run asks the project.

use std::{ops::Range, sync::Arc};

use datafusion::arrow::datatypes::DataType;
use serde_json::{Map, Value as Json};
use tokio::runtime::Handle;

use crate::{
    diagnostic::{Diagnostics, Place},
    engine::{Engine, RelationKind, value::Value},
    graph::Node,
    names::{NodeId, RelationName, SchemaName},
    project::{Compiled, Project},
    run::{Compile, CompiledNode, Places},
    template::{Cell, ColumnFacts, RelationFacts, ResultTable, SourceMap, Warehouse},
};

/// The engine as templates see it. Calls block: never from an async task.
pub struct EngineWarehouse {
    pub engine: Arc<dyn Engine>,
    pub handle: Handle,
}

fn facts(kind: RelationKind) -> RelationFacts {
    RelationFacts { kind: if kind == RelationKind::View { "view" } else { "table" }.into() }
}

impl Warehouse for EngineWarehouse {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String> {
        Ok(self.relations(&name.schema_name())?.into_iter().find(|(n, _)| n == name).map(|(_, f)| f))
    }

    fn relations(&self, schema: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        let found = self.handle.block_on(self.engine.relations(std::slice::from_ref(schema))).map_err(|e| e.message)?;
        Ok(found.into_iter().map(|r| (r.name, facts(r.kind))).collect())
    }

    fn columns(&self, name: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        let columns = self.handle.block_on(self.engine.columns(name)).map_err(|e| e.message)?;
        Ok(columns.unwrap_or_default().into_iter().map(|c| ColumnFacts { name: c.name.as_str().to_owned(), data_type: c.data_type }).collect())
    }

    fn query(&self, sql: &str) -> Result<ResultTable, String> {
        let mut session = self.engine.session();
        let mut last = ResultTable::default();
        for range in session.split(sql) {
            let outcome = self.handle.block_on(session.execute(&sql[range])).map_err(|e| e.message)?;
            let columns = outcome.schema.fields().iter().map(|f| f.name().clone()).collect();
            let rows: Vec<Vec<Cell>> = crate::report::table::rows(&outcome)
                .map(|row| row.into_iter().zip(outcome.schema.fields()).map(|(v, f)| cell(v, f.data_type())).collect())
                .collect();
            let affected = outcome.rows_affected;
            last = ResultTable { columns, message: format!("SUCCESS {}", affected.unwrap_or(rows.len() as u64)), rows, rows_affected: affected };
        }
        Ok(last)
    }
}

/// Dates and timestamps come as text; the column's type says what they are.
fn cell(value: Value, of: &DataType) -> Cell {
    match (value, of) {
        (Value::Null, _) => Cell::Null,
        (Value::Boolean(b), _) => Cell::Bool(b),
        (Value::Integer(n), _) => Cell::Int(n),
        (Value::Number(text), _) => Cell::Decimal(text),
        (Value::Float(f), _) => Cell::Float(f),
        (Value::Text(text), DataType::Date32) => text.parse().map_or(Cell::Text(text), Cell::Date),
        (Value::Text(text), DataType::Timestamp(..)) => {
            chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").map_or(Cell::Text(text), Cell::Timestamp)
        }
        (Value::Text(text) | Value::Json(text), _) => Cell::Text(text),
    }
}

/// A loaded project as the run sees it.
pub struct ProjectCompiler {
    pub project: Arc<Project>,
    pub warehouse: EngineWarehouse,
}

struct Mapped(SourceMap);

impl Places for Mapped {
    fn place_of(&self, range: Range<usize>) -> Option<(Place, Vec<(Place, String)>)> {
        self.0.place(range)
    }
}

/// Compiled SQL with its way back to the user's files.
pub fn compiled(compiled: Compiled) -> CompiledNode {
    CompiledNode { sql: compiled.sql, places: Arc::new(Mapped(compiled.map)) }
}

impl Compile for ProjectCompiler {
    fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.project.graph.node(id).cloned().map(Arc::new)
    }

    fn compile(&self, id: &NodeId) -> Result<CompiledNode, Diagnostics> {
        self.project.compile(id, &self.warehouse).map(compiled)
    }

    fn render(&self, id: Option<&NodeId>, template: &str, _extra: &Map<String, Json>) -> Result<String, Diagnostics> {
        let place = match id.and_then(|id| self.project.graph.node(id)) {
            Some(node) => Place::start_of(&node.file),
            None => Place::start_of(&self.project.root_package().file.file),
        };
        self.project.render_text(template, &place, id, &self.warehouse).map(|r| r.sql)
    }
}
