//! What a template may ask a warehouse while it renders: relations, columns, results of queries.
//!
//! Synchronous on purpose: this half of segue has no async; the caller bridges.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::names::{RelationName, SchemaName};

/// What exists under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationFacts {
    /// `table` or `view`.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnFacts {
    pub name: String,
    /// As the warehouse spells it: `NUMBER(38,0)`, `VARCHAR`...
    pub data_type: String,
}

/// One value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Digits as the warehouse prints them; arithmetic in templates happens in floating point.
    Decimal(String),
    Text(String),
    Date(NaiveDate),
    Time(NaiveTime),
    Timestamp(NaiveDateTime),
}

/// The rows of a query, small enough to hold in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultTable {
    pub columns: Vec<String>,
    /// As the warehouse spells them; may be absent.
    pub types: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// `SUCCESS 3`: what the warehouse says of a statement.
    pub message: String,
    pub rows_affected: Option<u64>,
}

/// Errors are texts for the user; the template stage adds the place.
pub trait Warehouse {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String>;

    fn relations(&self, schema: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String>;

    fn columns(&self, name: &RelationName) -> Result<Vec<ColumnFacts>, String>;

    /// Takes a line that the template logs, where somebody waits for it; `false`: it is kept until the end. `info`: for the user.
    fn tell(&self, _message: &str, _info: bool) -> bool {
        false
    }

    /// Any statement; one without rows gives an empty table.
    fn query(&self, sql: &str) -> Result<ResultTable, String>;
}

/// For `compile` and tests without a warehouse: nothing exists, queries fail.
#[derive(Clone, Copy, Debug)]
pub struct NoWarehouse;

impl Warehouse for NoWarehouse {
    fn relation(&self, _: &RelationName) -> Result<Option<RelationFacts>, String> {
        Ok(None)
    }

    fn relations(&self, _: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        Ok(vec![])
    }

    fn columns(&self, _: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        Ok(vec![])
    }

    fn query(&self, _: &str) -> Result<ResultTable, String> {
        Err("there is no warehouse to ask here".into())
    }
}
