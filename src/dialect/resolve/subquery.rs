//! Subqueries in forms that the planner has no plan for: EXISTS as a value, and tuples IN a subquery.

use sqlparser::ast::{BinaryOperator, Expr, GroupByExpr, Query, SetExpr, Statement, TableAliasColumnDef, Value};

use super::{column, outside_queries, quoted};
use crate::dialect::{SqlError, parse};

/// `EXISTS (SELECT ...)` among the columns of a SELECT becomes `(SELECT COUNT(*) ...) > 0`.
pub(super) fn exists_as_value(expr: &mut Expr) -> Result<(), SqlError> {
    outside_queries(expr, &mut |e| {
        let Expr::Exists { subquery, negated } = e else { return Ok(()) };
        let Some(counted) = counted(subquery) else { return Ok(()) };
        let op = if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
        let zero = Expr::Value(Value::Number("0".into(), false).with_empty_span());
        *e = Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(Expr::Subquery(Box::new(counted))), op, right: Box::new(zero) }));
        Ok(())
    })
}

/// The number of rows of a plain SELECT; `None` where more than its rows decides.
fn counted(query: &Query) -> Option<Query> {
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let plain = query.limit_clause.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    if !plain {
        return None;
    }
    let Ok(Statement::Query(count)) = parse::parse_statement("select count(*) as \"N\"") else { return None };
    let SetExpr::Select(count) = *count.body else { return None };
    select.projection = count.projection;
    query.order_by = None;
    Some(query)
}

/// `(a, b) IN (SELECT c, d ...)` becomes `EXISTS (SELECT 1 FROM (...) WHERE c = a AND d = b)`. NOT IN has other answers
/// where a value is NULL and stays as it is.
pub(super) fn tuples_in(expr: &mut Expr) -> Result<(), SqlError> {
    outside_queries(expr, &mut |e| {
        let Expr::InSubquery { expr: left, subquery, negated: false } = e else { return Ok(()) };
        let Expr::Tuple(values) = left.as_ref() else { return Ok(()) };
        let Ok(Statement::Query(mut query)) = parse::parse_statement("select 1 as \"N\" from (select 1) as \"__IN\"") else {
            return Ok(());
        };
        let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
        let Some(from) = select.from.first_mut() else { return Ok(()) };
        let sqlparser::ast::TableFactor::Derived { subquery: inner, alias: Some(alias), .. } = &mut from.relation else { return Ok(()) };
        *inner = subquery.clone();
        alias.name = quoted("__IN");
        let names: Vec<String> = (1..=values.len()).map(|i| format!("__IN_{i}")).collect();
        alias.columns = names.iter().map(|n| TableAliasColumnDef { name: quoted(n), data_type: None }).collect();
        select.selection = values
            .iter()
            .zip(&names)
            .map(|(value, name)| Expr::BinaryOp {
                left: Box::new(column(Some("__IN"), name)),
                op: BinaryOperator::Eq,
                right: Box::new(Expr::Nested(Box::new(value.clone()))),
            })
            .reduce(super::join::and);
        *e = Expr::Exists { subquery: query, negated: false };
        Ok(())
    })
}

/// A lone VALUES, with the names COLUMN1, COLUMN2 and so on.
pub(super) fn named_values(query: &mut Query) {
    let SetExpr::Values(values) = query.body.as_ref() else { return };
    let width = values.rows.first().map_or(0, |r| r.content.len());
    let Ok(Statement::Query(mut outer)) = parse::parse_statement("select * from (select 1) as \"VALUES\"") else { return };
    let SetExpr::Select(select) = outer.body.as_mut() else { return };
    let Some(from) = select.from.first_mut() else { return };
    let sqlparser::ast::TableFactor::Derived { subquery, alias: Some(alias), .. } = &mut from.relation else { return };
    alias.columns = (1..=width).map(|i| TableAliasColumnDef { name: quoted(&format!("COLUMN{i}")), data_type: None }).collect();
    std::mem::swap(&mut subquery.body, &mut query.body);
    query.body = outer.body;
}
