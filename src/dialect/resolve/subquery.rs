//! Subqueries in forms that the planner has no plan for: EXISTS and IN as values, tuples IN a subquery, and comparisons with ANY
//! and ALL of a subquery, which it plans wrongly.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, SetExpr, Statement, TableAlias, TableAliasColumnDef, TableFactor, Value, VisitMut, VisitorMut,
};

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

/// `x > ANY (SELECT ...)` and its kin, by the smallest and the largest of the values (Snowflake documentation, "Subquery
/// operators"). NULLs among the values leave open what the others do not decide.
pub(super) fn quantified(expr: &mut Expr) -> Result<(), SqlError> {
    use BinaryOperator as B;
    outside_queries(expr, &mut |e| {
        let (left, op, right, any) = match e {
            Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, true),
            Expr::AllOp { left, compare_op, right } => (left, compare_op, right, false),
            _ => return Ok(()),
        };
        let Expr::Subquery(query) = right.as_ref() else {
            return Err(SqlError::unsupported(format!("{} of anything but a subquery", if any { "ANY" } else { "ALL" })));
        };
        let (query, left) = (query.clone(), left.clone());
        let condition = match (&*op, any) {
            (B::Eq, true) | (B::NotEq, false) => {
                *e = Expr::InSubquery { expr: left, subquery: query, negated: !any };
                return Ok(());
            }
            (B::Eq, false) => "(__X = (select min(\"__V\") from __Q) and __X = (select max(\"__V\") from __Q))".to_owned(),
            (B::NotEq, true) => "(__X <> (select min(\"__V\") from __Q) or __X <> (select max(\"__V\") from __Q))".to_owned(),
            (op @ (B::Gt | B::GtEq), any) => format!("__X {op} (select {}(\"__V\") from __Q)", if any { "min" } else { "max" }),
            (op @ (B::Lt | B::LtEq), any) => format!("__X {op} (select {}(\"__V\") from __Q)", if any { "max" } else { "min" }),
            (op, _) => return Err(SqlError::unsupported(format!("`{op}` with ANY or ALL"))),
        };
        // what decides alone, and what an empty subquery answers
        let decides = if any { condition.clone() } else { format!("not ({condition})") };
        let text = format!(
            "case when {decides} then {any} when (select count(*) from __Q) = 0 then {} \
             when (select count(*) - count(\"__V\") from __Q) > 0 then null else {condition} end",
            !any
        );
        let mut filled = parse::parse_expression(&text)?;
        let _ = filled.visit(&mut Blanks { value: &left, query: &query });
        *e = Expr::Nested(Box::new(filled));
        Ok(())
    })
}

/// `x IN (SELECT ...)` among the columns of a SELECT: whether the subquery has such a value, NULL where it cannot be told.
pub(super) fn in_as_value(expr: &mut Expr) -> Result<(), SqlError> {
    outside_queries(expr, &mut |e| {
        let Expr::InSubquery { expr: value, subquery, negated } = e else { return Ok(()) };
        if matches!(value.as_ref(), Expr::Tuple(_)) {
            return Err(SqlError::unsupported("a tuple IN a subquery among the columns of a SELECT").help("compare it in WHERE, or join"));
        }
        let text = format!(
            "case when (select count(*) from __Q where \"__V\" = __X) > 0 then {} when (select count(*) from __Q) = 0 then {negated} \
             when __X is null or (select count(*) - count(\"__V\") from __Q) > 0 then null else {negated} end",
            !*negated
        );
        let mut filled = parse::parse_expression(&text)?;
        let _ = filled.visit(&mut Blanks { value, query: subquery });
        *e = Expr::Nested(Box::new(filled));
        Ok(())
    })
}

/// Puts a value where `__X` stands and a query, with its column named `__V`, where `__Q` does.
struct Blanks<'a> {
    value: &'a Expr,
    query: &'a Query,
}

impl VisitorMut for Blanks<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(i) if i.value == "__X") {
            *expr = Expr::Nested(Box::new(self.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && name.to_string() == "__Q"
        {
            let columns = vec![TableAliasColumnDef { name: quoted("__V"), data_type: None }];
            let alias = TableAlias { explicit: true, name: quoted("__Q"), columns, at: None };
            let subquery = Box::new(self.query.clone());
            *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
        }
        ControlFlow::Continue(())
    }
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
        let TableFactor::Derived { subquery: inner, alias: Some(alias), .. } = &mut from.relation else { return Ok(()) };
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
    let TableFactor::Derived { subquery, alias: Some(alias), .. } = &mut from.relation else { return };
    alias.columns = (1..=width).map(|i| TableAliasColumnDef { name: quoted(&format!("COLUMN{i}")), data_type: None }).collect();
    std::mem::swap(&mut subquery.body, &mut query.body);
    query.body = outer.body;
}
