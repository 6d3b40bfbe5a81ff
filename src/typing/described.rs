//! What templates are told while a project is typed: relations exist with the columns that they will have; there are no rows,
//! so a query cannot be answered and its node is left untyped.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::{
    dialect::types::Type,
    engine::datafusion::Drafting,
    names::{RelationName, SchemaName},
    template::{ColumnFacts, RelationFacts, ResultTable, Warehouse},
};

/// Asked by the template of one node.
pub(super) struct Described<'a> {
    pub drafting: &'a Drafting,
    /// Whose existence or columns were asked for.
    pub asked: &'a Mutex<HashSet<RelationName>>,
}

impl Warehouse for Described<'_> {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String> {
        self.asked.lock().insert(name.clone());
        Ok(self.drafting.columns(name).map(|_| RelationFacts { kind: "table".into() }))
    }

    fn relations(&self, _: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        Err("listing a schema depends on what is built".into())
    }

    fn columns(&self, name: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        self.asked.lock().insert(name.clone());
        let Some(schema) = self.drafting.columns(name) else { return Err(format!("the columns of `{name}` are not known")) };
        let fact = |f: &datafusion::arrow::datatypes::FieldRef| ColumnFacts { name: f.name().clone(), data_type: Type::of(f).to_string() };
        Ok(schema.fields().iter().map(fact).collect())
    }

    fn query(&self, _: &str) -> Result<ResultTable, String> {
        Err("the answer depends on rows".into())
    }
}
