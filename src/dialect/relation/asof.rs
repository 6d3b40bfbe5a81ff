//! ASOF JOIN: each row of the left side with the closest row of the right side (Snowflake documentation, "ASOF JOIN").
//!
//! Left rows are numbered, joined to all right rows that the condition admits, and of these the closest one is kept.

use datafusion::{
    common::{Column, DFSchema, Result, plan_err},
    functions_window::expr_fn::row_number,
    logical_expr::{
        BinaryExpr, Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
        planner::{RelationPlannerContext, RelationPlanning},
    },
    prelude::lit,
};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

use super::planned;

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name()))).collect()
}

/// The columns and a number that a window function gives each row.
fn numbered(plan: LogicalPlan, number: Expr, name: &str) -> Result<LogicalPlan> {
    let mut exprs = columns(plan.schema());
    let plan = LogicalPlanBuilder::from(plan).window(vec![number])?.build()?;
    let Some((qualifier, field)) = plan.schema().iter().last() else { return plan_err!("a window has a column") };
    exprs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())).alias(name));
    LogicalPlanBuilder::from(plan.clone()).project(exprs)?.build()
}

pub(super) fn plan(tables: TableWithJoins, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
    let TableWithJoins { relation, mut joins } = tables;
    let Some(ast::Join { relation: right, join_operator: JoinOperator::AsOf { match_condition, constraint }, .. }) = joins.pop() else {
        return plan_err!("an ASOF JOIN was expected last");
    };
    let left = if joins.is_empty() {
        context.plan(relation)?
    } else {
        context.plan(TableFactor::NestedJoin { table_with_joins: Box::new(TableWithJoins { relation, joins }), alias: None })?
    };
    let right = context.plan(right)?;
    let both = left.schema().join(right.schema())?;
    let mut conditions = match constraint {
        JoinConstraint::On(on) => vec![context.sql_to_expr(on, &both)?],
        JoinConstraint::Using(names) => {
            let mut equal = vec![];
            for name in names {
                let name = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone()).unwrap_or_default();
                let find = |schema: &DFSchema| {
                    schema.qualified_field_with_unqualified_name(&name).map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name())))
                };
                equal.push(find(left.schema())?.eq(find(right.schema())?));
            }
            equal
        }
        JoinConstraint::None => vec![],
        JoinConstraint::Natural => return plan_err!("ASOF JOIN takes ON or USING"),
    };
    let closeness = context.sql_to_expr(match_condition, &both)?;
    let Expr::BinaryExpr(BinaryExpr { left: l, op, right: r }) = unwrapped(&closeness) else {
        return plan_err!("MATCH_CONDITION takes one comparison of the two sides: >=, >, <= or <");
    };
    let of_right = |e: &Expr| !e.column_refs().is_empty() && e.column_refs().iter().all(|c| right.schema().has_column(c));
    // seen from the left side: whether the right value is below it
    let (key, below) = match (of_right(r), of_right(l), op) {
        (true, false, Operator::GtEq | Operator::Gt) => (r, true),
        (true, false, Operator::LtEq | Operator::Lt) => (r, false),
        (false, true, Operator::GtEq | Operator::Gt) => (l, false),
        (false, true, Operator::LtEq | Operator::Lt) => (l, true),
        _ => return plan_err!("MATCH_CONDITION compares a column of each side with >=, >, <= or <"),
    };
    let key = key.as_ref().clone();
    conditions.push(closeness.clone());
    let depth = both.fields().len();
    let (row, rank) = (format!("__asof_row_{depth}"), format!("__asof_rank_{depth}"));
    let output = columns(&both);
    let left = numbered(left, row_number(), &row)?;
    let joined = LogicalPlanBuilder::from(left).join_on(right, JoinType::Left, conditions)?.build()?;
    let nearest = row_number().partition_by(vec![Expr::Column(Column::from_name(&row))]).order_by(vec![key.sort(!below, false)]).build()?;
    let ranked = numbered(joined, nearest, &rank)?;
    let plan = LogicalPlanBuilder::from(ranked).filter(Expr::Column(Column::from_name(&rank)).eq(lit(1_u64)))?.project(output)?.build()?;
    Ok(planned(plan))
}

fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unwrapped(&alias.expr),
        other => other,
    }
}
