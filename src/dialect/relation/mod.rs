//! Table functions over the relations before them: LATERAL FLATTEN, SPLIT_TO_TABLE, STRTOK_SPLIT_TO_TABLE, GENERATOR.
//!
//! The lowering hands over `left JOIN f(...)` as a nested join; here it becomes projection (the function's list of
//! rows beside the left columns), unnest, projection (the rows' fields as columns of the alias). Arguments may be any
//! expression over the left side. No decorrelation is needed.

mod asof;
mod pivot;
mod row;

use datafusion::{
    common::{Column, DFSchema, Result, ScalarValue, TableReference, UnnestOptions, plan_err},
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    prelude::lit,
};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, JoinConstraint, JoinOperator, TableAlias, TableFactor, TableWithJoins};

pub use pivot::pivot_column;

use super::{function, lower::is_lateral_row};

/// The columns of a table function, in order; `None` when there is no such function.
pub fn table_function_columns(name: &str) -> Option<Vec<String>> {
    let fields: &[&str] = match name.to_lowercase().trim_matches('"') {
        "flatten" => &["SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS"],
        "split_to_table" | "strtok_split_to_table" => &["SEQ", "INDEX", "VALUE"],
        "generator" => &[],
        _ => return None,
    };
    Some(fields.iter().map(|f| (*f).to_owned()).collect())
}

/// Snowflake's table functions (Snowflake documentation, "FLATTEN", "SPLIT_TO_TABLE", "GENERATOR").
#[derive(Debug)]
pub struct SnowflakeRelations;

impl RelationPlanner for SnowflakeRelations {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        match relation {
            TableFactor::Function { name, args, alias, .. } => {
                let left = LogicalPlanBuilder::empty(true).build()?;
                let plan = apply(left, &name.to_string(), &args, alias.as_ref(), false, context)?;
                Ok(planned(plan))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None }
                if matches!(table_with_joins.joins.last().map(|j| &j.relation), Some(TableFactor::Function { .. })) =>
            {
                let TableWithJoins { relation, mut joins } = *table_with_joins;
                let Some(ast::Join { relation: TableFactor::Function { name, args, alias, .. }, join_operator, .. }) = joins.pop() else {
                    return plan_err!("a lateral function was expected last in its join");
                };
                let left = if joins.is_empty() {
                    context.plan(relation)?
                } else {
                    context.plan(TableFactor::NestedJoin { table_with_joins: Box::new(TableWithJoins { relation, joins }), alias: None })?
                };
                let (outer, on) = match join_operator {
                    JoinOperator::CrossJoin(_) => (false, None),
                    JoinOperator::Join(c) | JoinOperator::Inner(c) => (false, condition(c)?),
                    JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (true, condition(c)?),
                    _ => return plan_err!("only inner and left joins with a lateral table function are supported"),
                };
                let is_true = matches!(&on, Some(ast::Expr::Value(v)) if matches!(v.value, ast::Value::Boolean(true)));
                if outer && on.is_some() && !is_true {
                    return plan_err!("a left join with a lateral table function takes ON TRUE only");
                }
                let plan = apply(left, &name.to_string(), &args, alias.as_ref(), outer, context)?;
                let plan = match on.filter(|_| !is_true) {
                    Some(on) => {
                        let filter = context.sql_to_expr(on, plan.schema())?;
                        LogicalPlanBuilder::from(plan).filter(filter)?.build()?
                    }
                    None => plan,
                };
                Ok(planned(plan))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None }
                if table_with_joins.joins.last().is_some_and(|j| is_lateral_row(&j.relation)) =>
            {
                row::plan(*table_with_joins, context)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None }
                if matches!(table_with_joins.joins.last().map(|j| &j.join_operator), Some(JoinOperator::AsOf { .. })) =>
            {
                asof::plan(*table_with_joins, context)
            }
            TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null, alias } => {
                let plan = pivot::pivot(*table, aggregate_functions, value_column, value_source, default_on_null, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } => {
                let plan = pivot::unpivot(*table, value, &name, columns, null_inclusion, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn planned(plan: LogicalPlan) -> RelationPlanning {
    RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None)))
}

fn condition(constraint: JoinConstraint) -> Result<Option<ast::Expr>> {
    match constraint {
        JoinConstraint::On(e) => Ok(Some(e)),
        JoinConstraint::None => Ok(None),
        _ => plan_err!("USING cannot name columns of a lateral table function"),
    }
}

struct Arguments<'a> {
    args: &'a [FunctionArg],
}

impl Arguments<'_> {
    fn named(&self, name: &str) -> Option<ast::Expr> {
        self.args.iter().find_map(|a| match a {
            FunctionArg::Named { name: n, arg: FunctionArgExpr::Expr(e), .. } if n.value.eq_ignore_ascii_case(name) => Some(e.clone()),
            FunctionArg::ExprNamed { name: ast::Expr::Identifier(n), arg: FunctionArgExpr::Expr(e), .. }
                if n.value.eq_ignore_ascii_case(name) =>
            {
                Some(e.clone())
            }
            _ => None,
        })
    }

    /// Names that the function does not have are mistakes, not nothing.
    fn check(&self, function: &str) -> Result<()> {
        let known: &[&str] = match function.to_lowercase().trim_matches('"') {
            "flatten" => &["input", "path", "outer", "recursive", "mode"],
            "generator" => &["rowcount", "timelimit"],
            _ => return Ok(()),
        };
        for arg in self.args {
            let (FunctionArg::Named { name, .. } | FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), .. }) = arg else {
                continue;
            };
            if !known.iter().any(|k| name.value.eq_ignore_ascii_case(k)) {
                return plan_err!("there is no argument `{}` of {}", name.value, function.to_uppercase());
            }
        }
        Ok(())
    }

    fn unnamed(&self, position: usize) -> Option<ast::Expr> {
        self.args
            .iter()
            .filter_map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                _ => None,
            })
            .nth(position)
    }

    /// By name, or by position among the unnamed.
    fn get(&self, name: &str, position: usize) -> Option<ast::Expr> {
        self.named(name).or_else(|| self.unnamed(position))
    }
}

fn literal_bool(e: Option<ast::Expr>) -> Result<bool> {
    match e {
        None => Ok(false),
        Some(ast::Expr::Value(v)) if matches!(v.value, ast::Value::Boolean(_)) => Ok(v.value == ast::Value::Boolean(true)),
        Some(other) => plan_err!("TRUE or FALSE was expected instead of `{other}`"),
    }
}

fn literal_text(e: Option<ast::Expr>, default: &str) -> Result<String> {
    match e {
        None => Ok(default.to_owned()),
        Some(ast::Expr::Value(v)) => match v.value {
            ast::Value::SingleQuotedString(s) => Ok(s),
            other => plan_err!("a string was expected instead of `{other}`"),
        },
        Some(other) => plan_err!("a string was expected instead of `{other}`"),
    }
}

fn apply(
    left: LogicalPlan,
    name: &str,
    args: &[FunctionArg],
    alias: Option<&TableAlias>,
    outer_join: bool,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let arguments = Arguments { args };
    arguments.check(name)?;
    let mut outer = outer_join;
    let (rows, fields): (Expr, &[&str]) = match name.to_lowercase().trim_matches('"') {
        "flatten" => {
            let Some(input) = arguments.get("input", 0) else { return plan_err!("FLATTEN needs INPUT => expression") };
            let input = context.sql_to_expr(input, left.schema())?;
            let path = literal_text(arguments.get("path", 1), "")?;
            outer |= literal_bool(arguments.get("outer", 2))?;
            let recursive = literal_bool(arguments.get("recursive", 3))?;
            let mode = literal_text(arguments.get("mode", 4), "BOTH")?.to_uppercase();
            (
                function::call("__flatten", vec![input, lit(path), lit(outer), lit(recursive), lit(mode)])?,
                &["SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS"],
            )
        }
        "split_to_table" => {
            let (Some(text), Some(separator)) = (arguments.get("string", 0), arguments.get("delimiter", 1)) else {
                return plan_err!("SPLIT_TO_TABLE takes a string and a separator");
            };
            let (text, separator) = (context.sql_to_expr(text, left.schema())?, context.sql_to_expr(separator, left.schema())?);
            (function::call("__split_to_table", vec![text, separator])?, &["SEQ", "INDEX", "VALUE"])
        }
        "strtok_split_to_table" => {
            let Some(text) = arguments.get("string", 0) else {
                return plan_err!("STRTOK_SPLIT_TO_TABLE takes a string and its separators");
            };
            let text = context.sql_to_expr(text, left.schema())?;
            let separators = match arguments.get("delimiter_list", 1).or_else(|| arguments.get("delimiter", 1)) {
                Some(separators) => context.sql_to_expr(separators, left.schema())?,
                None => lit(" "),
            };
            (function::call("__strtok_split_to_table", vec![text, separators])?, &["SEQ", "INDEX", "VALUE"])
        }
        "generator" => {
            let mut given = |name: &str, position: usize| match arguments.get(name, position) {
                Some(count) => context.sql_to_expr(count, left.schema()),
                None => Ok(lit(ScalarValue::Int64(None))),
            };
            let (count, seconds) = (given("rowcount", 0)?, given("timelimit", 1)?);
            (function::call("__generator", vec![count, seconds])?, &[])
        }
        other => return plan_err!("there is no table function `{other}`"),
    };
    unnest(left, rows, fields, alias, name, outer)
}

fn unnest(left: LogicalPlan, rows: Expr, fields: &[&str], alias: Option<&TableAlias>, name: &str, outer: bool) -> Result<LogicalPlan> {
    let schema: DFSchema = left.schema().as_ref().clone();
    // unique among nested applications: each adds at least one column
    let rows_column = format!("__rows_{}", schema.fields().len());
    let left_columns = || schema.iter().map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
    let mut exprs: Vec<Expr> = left_columns().collect();
    exprs.push(rows.alias(&rows_column));
    let plan = LogicalPlanBuilder::from(left)
        .project(exprs)?
        .unnest_column_with_options(Column::from_name(&rows_column), UnnestOptions::new().with_preserve_nulls(outer))?
        .build()?;
    let qualifier = TableReference::bare(alias.map_or_else(|| name.to_uppercase(), |a| a.name.value.clone()));
    let names: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(i, f)| alias.and_then(|a| a.columns.get(i)).map_or_else(|| (*f).to_owned(), |c| c.name.value.clone()))
        .collect();
    let row = || Expr::Column(Column::from_name(&rows_column));
    let mut output: Vec<Expr> = left_columns().collect();
    for (field, name) in fields.iter().zip(names) {
        output.push(function::row_field(row(), field)?.alias_qualified(Some(qualifier.clone()), name));
    }
    if fields.is_empty() {
        output.push(row().alias_qualified(Some(qualifier), "__ROW"));
    }
    LogicalPlanBuilder::from(plan).project(output)?.build()
}
