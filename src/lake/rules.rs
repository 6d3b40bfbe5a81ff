//! What a table demands of its columns, kept in the metadata of their fields: length, NOT NULL, default, identity; and
//! its constraints, kept as one property. Rules belong to a table: rows that a query takes out of it leave them behind.

use std::collections::HashMap;

use datafusion::arrow::datatypes::Field;
use serde::{Deserialize, Serialize};

pub(super) use crate::dialect::types::LENGTH;
pub(super) const NOT_NULL: &str = "segue.not_null";
pub(super) const DEFAULT: &str = "segue.default";
pub(super) const IDENTITY: &str = "segue.identity";
/// Keys that a query's result does not carry into another table. A length stays: CTAS keeps VARCHAR(n).
pub(super) const OF_THE_TABLE: &[&str] = &[NOT_NULL, DEFAULT, IDENTITY];

/// AUTOINCREMENT START .. INCREMENT ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub start: i64,
    pub increment: i64,
    pub ordered: bool,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IDENTITY START {} INCREMENT {} {}", self.start, self.increment, if self.ordered { "ORDER" } else { "NOORDER" })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnRules {
    /// Characters of a VARCHAR(n), bytes of a BINARY(n).
    pub length: Option<u64>,
    pub not_null: bool,
    /// SQL of the default.
    pub default: Option<String>,
    pub identity: Option<Identity>,
}

impl ColumnRules {
    pub fn of(field: &Field) -> Self {
        let get = |key: &str| field.metadata().get(key);
        let identity = get(IDENTITY).and_then(|text| {
            let mut parts = text.split(',');
            let mut number = || parts.next()?.parse().ok();
            Some(Identity { start: number()?, increment: number()?, ordered: text.ends_with("ORDER") && !text.ends_with("NOORDER") })
        });
        Self {
            length: get(LENGTH).and_then(|l| l.parse().ok()),
            not_null: get(NOT_NULL).is_some(),
            default: get(DEFAULT).cloned(),
            identity,
        }
    }

    /// The field with exactly these rules.
    pub fn apply(&self, field: &Field) -> Field {
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        let mut set = |key: &str, value: Option<String>| match value {
            Some(value) => drop(metadata.insert(key.to_owned(), value)),
            None => drop(metadata.remove(key)),
        };
        set(LENGTH, self.length.map(|l| l.to_string()));
        set(NOT_NULL, self.not_null.then(|| "true".to_owned()));
        set(DEFAULT, self.default.clone());
        let identity = self.identity.map(|i| format!("{},{},{}", i.start, i.increment, if i.ordered { "ORDER" } else { "NOORDER" }));
        set(IDENTITY, identity);
        field.clone().with_metadata(metadata)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConstraintKind {
    PrimaryKey,
    Unique,
    ForeignKey,
}

impl ConstraintKind {
    pub fn words(self) -> &'static str {
        match self {
            Self::PrimaryKey => "PRIMARY KEY",
            Self::Unique => "UNIQUE",
            Self::ForeignKey => "FOREIGN KEY",
        }
    }
}

/// Recorded and shown, not enforced, as in Snowflake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    pub name: String,
    pub kind: ConstraintKind,
    pub columns: Vec<String>,
    /// Of a foreign key: table and columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<(String, Vec<String>)>,
}

impl Constraint {
    /// Property of a table with its constraints as JSON.
    pub const PROPERTY: &'static str = "segue.constraints";

    pub fn list(properties: &std::collections::BTreeMap<String, String>) -> Vec<Self> {
        properties.get(Self::PROPERTY).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    pub fn to_property(constraints: &[Self]) -> String {
        serde_json::to_string(constraints).unwrap_or_else(|_| "[]".into())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn rules_survive_the_way_through_a_field() {
        let rules = ColumnRules {
            length: Some(3),
            not_null: true,
            default: Some("'x'".into()),
            identity: Some(Identity { start: 1, increment: 2, ordered: false }),
        };
        let field = rules.apply(&Field::new("a", DataType::Utf8, true));
        assert_eq!(ColumnRules::of(&field), rules);
        assert_eq!(ColumnRules::of(&ColumnRules::default().apply(&field)), ColumnRules::default());
    }
}
