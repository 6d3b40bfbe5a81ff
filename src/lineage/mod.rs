//! A typed plan to the lineage of its columns: which columns of which relations each one comes from, and how.
//!
//! Follows the planner's own names, so stars, CTEs, subqueries, unions, windows and FLATTEN need no second opinion of what a
//! name means. Knows nothing of nodes: relations are names. Rows are never looked at.

mod walk;

use std::{collections::BTreeMap, sync::Arc};

use datafusion::logical_expr::LogicalPlan;

use crate::names::{RelationName, SchemaName};

/// How a column comes from another one; the later of two wins where both hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// It decides which rows there are, or their order within a window; its values are not in the column.
    Filter,
    /// The same values.
    Copy,
    /// Computed from values of the same row.
    Transform,
    /// Computed from values of several rows.
    Aggregate,
}

impl Way {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Copy => "copy",
            Self::Transform => "transform",
            Self::Aggregate => "aggregate",
        }
    }

    /// Of a value that came this way and then goes on the other.
    pub fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Filter, _) | (_, Self::Filter) => Self::Filter,
            (first, next) => first.max(next),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub relation: RelationName,
    /// As it is stored.
    pub column: String,
}

pub type Origins = BTreeMap<Origin, Way>;

#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// In the order of the query.
    pub columns: Vec<(String, Arc<Origins>)>,
    /// What decides which rows the query gives: conditions, keys of joins. It holds for every column.
    pub filters: Origins,
}

/// The lineage of a query's columns. `schema` is where unqualified names are.
pub fn of(plan: &LogicalPlan, schema: &SchemaName) -> Lineage {
    walk::walk(plan, schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_add_up() {
        for (first, next, expect) in [
            (Way::Copy, Way::Copy, Way::Copy),
            (Way::Copy, Way::Transform, Way::Transform),
            (Way::Aggregate, Way::Transform, Way::Aggregate),
            (Way::Transform, Way::Aggregate, Way::Aggregate),
            (Way::Filter, Way::Aggregate, Way::Filter),
            (Way::Copy, Way::Filter, Way::Filter),
        ] {
            assert_eq!(first.then(next), expect, "{first:?} {next:?}");
        }
    }
}
