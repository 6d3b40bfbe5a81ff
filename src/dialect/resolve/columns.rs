//! Which relations stand in a FROM, and which columns each has.

use sqlparser::ast::{Expr, Function, ObjectName, PivotValueSource, TableAlias, TableFactor, TableWithJoins};

use super::{Resolver, quoted};
use crate::dialect::{
    SqlError,
    lower::stored,
    relation::{pivot_column, table_function_columns},
};

/// A relation of a FROM as names see it.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub name: Option<String>,
    pub columns: Option<Vec<String>>,
}

impl Resolver<'_> {
    /// The relations of a FROM item, from the left; their queries are resolved on the way.
    pub(super) fn relations(&mut self, from: &mut TableWithJoins) -> Result<Vec<Relation>, SqlError> {
        let mut found = self.factor(&mut from.relation)?;
        for join in &mut from.joins {
            found.extend(self.factor(&mut join.relation)?);
            self.subqueries(&mut join.join_operator)?;
        }
        Ok(found)
    }

    pub(super) fn factor(&mut self, factor: &mut TableFactor) -> Result<Vec<Relation>, SqlError> {
        Ok(match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let columns = match self.cte(name) {
                    Some(columns) => columns.clone(),
                    None => self.catalog.columns(name),
                };
                if columns.is_none() && self.cte(name).is_none() && is_dual(name) {
                    *factor = dual(alias.take());
                    return Ok(vec![Relation { name: Some("DUAL".into()), columns: Some(vec!["DUMMY".into()]) }]);
                }
                let own = name.0.last().and_then(|p| p.as_ident()).map(stored);
                vec![aliased(own, columns, alias.as_ref())]
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let columns = self.query(subquery)?;
                vec![aliased(None, columns, alias.as_ref())]
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.relations(table_with_joins)?;
                match alias {
                    None => inner,
                    Some(_) => {
                        let columns: Option<Vec<Vec<String>>> = inner.into_iter().map(|r| r.columns).collect();
                        vec![aliased(None, columns.map(|c| c.concat()), alias.as_ref())]
                    }
                }
            }
            TableFactor::Function { name, alias, .. } => {
                let own = Some(name.to_string().to_uppercase());
                vec![aliased(own, table_function_columns(&name.to_string()), alias.as_ref())]
            }
            TableFactor::TableFunction { expr, alias } => {
                self.subqueries(expr)?;
                let name = match expr {
                    Expr::Function(Function { name, .. }) => Some(name.to_string()),
                    _ => None,
                };
                let columns = name.as_deref().and_then(table_function_columns);
                vec![aliased(name.map(|n| n.to_uppercase()), columns, alias.as_ref())]
            }
            TableFactor::Pivot { table, aggregate_functions, value_column, value_source, alias, .. } => {
                let inner = self.factor(table)?;
                let used: Vec<String> = value_column.iter().chain(aggregate_functions.iter().map(|a| &a.expr)).flat_map(names_in).collect();
                let values = match value_source {
                    PivotValueSource::List(values) => Some(values),
                    _ => None,
                };
                let mut columns = all_columns(&inner);
                if let (Some(columns), Some(values)) = (&mut columns, values) {
                    columns.retain(|c| !used.contains(c));
                    for aggregate in aggregate_functions.iter() {
                        columns.extend(values.iter().map(|v| pivot_column(v, aggregate.alias.as_ref())));
                    }
                } else {
                    columns = None;
                }
                vec![aliased(None, columns, alias.as_ref())]
            }
            TableFactor::Unpivot { table, value, name, columns: listed, alias, .. } => {
                let inner = self.factor(table)?;
                let used: Vec<String> = listed.iter().flat_map(|c| names_in(&c.expr)).collect();
                let mut columns = all_columns(&inner);
                if let Some(columns) = &mut columns {
                    columns.retain(|c| !used.contains(c));
                    columns.push(stored(name));
                    columns.extend(names_in(value));
                }
                vec![aliased(None, columns, alias.as_ref())]
            }
            _ => vec![Relation { name: None, columns: None }],
        })
    }
}

fn all_columns(relations: &[Relation]) -> Option<Vec<String>> {
    relations.iter().map(|r| r.columns.clone()).collect::<Option<Vec<_>>>().map(|c| c.concat())
}

/// Last parts of the column names in an expression.
fn names_in(expr: &Expr) -> Vec<String> {
    let mut names = vec![];
    let _ = sqlparser::ast::visit_expressions(expr, |e| {
        match e {
            Expr::Identifier(i) => names.push(stored(i)),
            Expr::CompoundIdentifier(parts) => names.extend(parts.last().map(stored)),
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    names
}

fn aliased(own: Option<String>, columns: Option<Vec<String>>, alias: Option<&TableAlias>) -> Relation {
    let Some(alias) = alias else { return Relation { name: own, columns } };
    let listed: Vec<String> = alias.columns.iter().map(|c| stored(&c.name)).collect();
    let columns = match columns {
        _ if listed.is_empty() => columns,
        // a list may name the first columns only
        Some(columns) => Some(listed.iter().cloned().chain(columns.into_iter().skip(listed.len())).collect()),
        None => Some(listed),
    };
    Relation { name: Some(stored(&alias.name)), columns }
}

fn is_dual(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|i| i.value == "DUAL"))
}

/// A relation of one row.
fn dual(alias: Option<TableAlias>) -> TableFactor {
    let text = "SELECT NULL AS \"DUMMY\"";
    let subquery = match crate::dialect::parse::parse_statement(text) {
        Ok(sqlparser::ast::Statement::Query(query)) => query,
        _ => unreachable!("a constant query"),
    };
    let alias = alias.unwrap_or_else(|| TableAlias { explicit: true, name: quoted("DUAL"), columns: vec![], at: None });
    TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None }
}
