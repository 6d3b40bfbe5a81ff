//! `a, LATERAL (SELECT a.x * 2 AS y) l`: a projection beside the columns of the left side. The planner's own way, to
//! decorrelate a subquery, has no plan for values without a relation.

use datafusion::{
    common::{Column, Result, TableReference, plan_err},
    logical_expr::{
        Expr, LogicalPlanBuilder,
        planner::{RelationPlannerContext, RelationPlanning},
    },
};
use sqlparser::ast::{self, JoinOperator, SelectItem, SetExpr, TableFactor, TableWithJoins};

use super::planned;

pub(super) fn plan(tables: TableWithJoins, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
    let TableWithJoins { relation, mut joins } = tables;
    let Some(ast::Join { relation: TableFactor::Derived { subquery, alias, .. }, join_operator, .. }) = joins.pop() else {
        return plan_err!("a lateral subquery was expected last in its join");
    };
    let is_true = |c: &ast::JoinConstraint| match c {
        ast::JoinConstraint::None => true,
        ast::JoinConstraint::On(ast::Expr::Value(v)) => v.value == ast::Value::Boolean(true),
        _ => false,
    };
    let every_row = match &join_operator {
        JoinOperator::CrossJoin(c)
        | JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c) => is_true(c),
        _ => false,
    };
    if !every_row {
        return plan_err!("a lateral subquery without FROM takes no condition but ON TRUE");
    }
    let left = if joins.is_empty() {
        context.plan(relation)?
    } else {
        context.plan(TableFactor::NestedJoin { table_with_joins: Box::new(TableWithJoins { relation, joins }), alias: None })?
    };
    let SetExpr::Select(select) = *subquery.body else { return plan_err!("a lateral SELECT was expected") };
    let schema = left.schema().clone();
    let mut exprs: Vec<Expr> = schema.iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name()))).collect();
    let qualifier = alias.as_ref().map(|a| TableReference::bare(a.name.value.clone()));
    for (i, item) in select.projection.into_iter().enumerate() {
        let (value, own) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value),
            SelectItem::UnnamedExpr(expr) => {
                let own = match &expr {
                    ast::Expr::Identifier(i) => i.value.clone(),
                    ast::Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.clone()).unwrap_or_default(),
                    other => other.to_string(),
                };
                (expr, own)
            }
            _ => return plan_err!("a lateral subquery without FROM lists values"),
        };
        let name = alias.as_ref().and_then(|a| a.columns.get(i)).map_or(own, |c| c.name.value.clone());
        exprs.push(context.sql_to_expr(value, &schema)?.alias_qualified(qualifier.clone(), name));
    }
    Ok(planned(LogicalPlanBuilder::from(left).project(exprs)?.build()?))
}
