//! PIVOT and UNPIVOT (Snowflake documentation).
//!
//! PIVOT groups by every column that it does not name and aggregates once per listed value, over the rows of that value.
//! UNPIVOT makes a row of each listed column, by two lists that are unnested side by side.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        Column, Result, UnnestOptions, plan_err,
        tree_node::{Transformed, TreeNode},
    },
    functions::expr_fn::coalesce,
    functions_nested::expr_fn::make_array,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunction, planner::RelationPlannerContext},
    prelude::lit,
};
use sqlparser::ast::{self, ExprWithAlias, Ident, NullInclusion, PivotValueSource, TableFactor, Value};

use crate::{
    dialect::{function, lower::stored, types::Type},
    names::SemiStructured,
};

/// The name of the column for a value: its alias, or the value as it is written (`'JAN'`, quotes included).
pub fn pivot_column(value: &ExprWithAlias, aggregate: Option<&Ident>) -> String {
    let name = match &value.alias {
        Some(alias) => stored(alias),
        None => literal(&value.expr),
    };
    match aggregate {
        Some(alias) => format!("{name}_{}", stored(alias)),
        None => name,
    }
}

fn literal(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => format!("'{s}'"),
            other => other.to_string(),
        },
        // a lowered cast: __cast('2024-01-01', 'DATE')
        ast::Expr::Function(f) => match &f.args {
            ast::FunctionArguments::List(list) => match list.args.first() {
                Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e))) => literal(e),
                _ => expr.to_string(),
            },
            _ => expr.to_string(),
        },
        other => other.to_string(),
    }
}

/// Columns of the input that expressions do not name.
fn others(plan: &LogicalPlan, used: &[&Expr]) -> Vec<Expr> {
    let named: Vec<Column> = used.iter().flat_map(|e| e.column_refs().into_iter().cloned()).collect();
    plan.schema()
        .iter()
        .map(|(qualifier, field)| Column::new(qualifier.cloned(), field.name()))
        .filter(|c| !named.contains(c))
        .map(Expr::Column)
        .collect()
}

pub(super) fn pivot(
    table: TableFactor,
    aggregates: Vec<ExprWithAlias>,
    value_column: Vec<ast::Expr>,
    source: PivotValueSource,
    default_on_null: Option<ast::Expr>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let input = context.plan(table)?;
    let schema = input.schema().clone();
    let [value_column] = value_column.as_slice() else { return plan_err!("PIVOT takes one column after FOR") };
    let value_column = context.sql_to_expr(value_column.clone(), &schema)?;
    let PivotValueSource::List(values) = source else { return plan_err!("the values of PIVOT are not listed") };
    let mut planned = vec![];
    for aggregate in &aggregates {
        planned.push((context.sql_to_expr(aggregate.expr.clone(), &schema)?, aggregate.alias.clone()));
    }
    let mut used: Vec<&Expr> = planned.iter().map(|(e, _)| e).collect();
    used.push(&value_column);
    let groups = others(&input, &used);
    let default = default_on_null.map(|e| context.sql_to_expr(e, &schema)).transpose()?;
    let (mut exprs, mut output) = (vec![], groups.clone());
    for (aggregate, alias) in &planned {
        for value in &values {
            let wanted = context.sql_to_expr(value.expr.clone(), &schema)?;
            let is_value = value_column.clone().eq(wanted);
            let filtered = aggregate
                .clone()
                .transform(|e| {
                    Ok(match e {
                        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
                            let filter = match params.filter.take() {
                                Some(own) => own.and(is_value.clone()),
                                None => is_value.clone(),
                            };
                            params.filter = Some(Box::new(filter));
                            Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
                        }
                        other => Transformed::no(other),
                    })
                })?
                .data;
            let inner = find_aggregate(&filtered);
            let Some(inner) = inner else { return plan_err!("PIVOT needs an aggregate function") };
            let name = format!("__pivot_{}", exprs.len());
            exprs.push(inner.clone().alias(&name));
            let mut result = filtered
                .transform(|e| Ok(if e == inner { Transformed::yes(Expr::Column(Column::from_name(&name))) } else { Transformed::no(e) }))?
                .data;
            if let Some(default) = &default {
                result = coalesce(vec![result, default.clone()]);
            }
            output.push(result.alias(pivot_column(value, alias.as_ref())));
        }
    }
    LogicalPlanBuilder::from(input).aggregate(groups, exprs)?.project(output)?.build()
}

fn find_aggregate(expr: &Expr) -> Option<Expr> {
    let mut found = None;
    let _ = expr.apply(|e| {
        if matches!(e, Expr::AggregateFunction(_)) && found.is_none() {
            found = Some(e.clone());
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

pub(super) fn unpivot(
    table: TableFactor,
    value: ast::Expr,
    name: &Ident,
    columns: Vec<ExprWithAlias>,
    nulls: Option<NullInclusion>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let input = context.plan(table)?;
    let schema = input.schema().clone();
    let value = match &value {
        ast::Expr::Identifier(i) => stored(i),
        other => return plan_err!("UNPIVOT takes one value column, not `{other}`"),
    };
    let (mut values, mut names, mut semi) = (vec![], vec![], None::<SemiStructured>);
    for column in &columns {
        let expr = context.sql_to_expr(column.expr.clone(), &schema)?;
        if let Type::Semi(of) = Type::of(&expr.to_field(&schema)?.1) {
            semi = Some(of);
        }
        let own = match &expr {
            Expr::Column(c) => c.name.clone(),
            other => other.to_string(),
        };
        names.push(lit(column.alias.as_ref().map_or(own, |a| a.value.clone())));
        values.push(expr);
    }
    let kinds: Vec<DataType> = values.iter().map(|v| v.get_type(&schema)).collect::<Result<_>>()?;
    if let Some(other) = kinds.iter().find(|k| **k != kinds[0] && !k.is_null() && !(k.is_numeric() && kinds[0].is_numeric())) {
        return plan_err!("the columns of UNPIVOT have different types: {} and {other}; cast them to one", kinds[0]);
    }
    let used: Vec<&Expr> = values.iter().collect();
    let mut exprs = others(&input, &used);
    let mut output = exprs.clone();
    let depth = schema.fields().len();
    let (values_column, names_column) = (format!("__values_{depth}"), format!("__names_{depth}"));
    exprs.push(make_array(values).alias(&values_column));
    exprs.push(make_array(names).alias(&names_column));
    let mut plan = LogicalPlanBuilder::from(input).project(exprs)?.unnest_columns_with_options(
        vec![Column::from_name(&values_column), Column::from_name(&names_column)],
        UnnestOptions::new().with_preserve_nulls(false),
    )?;
    let own = || Expr::Column(Column::from_name(&values_column));
    if !matches!(nulls, Some(NullInclusion::IncludeNulls)) {
        plan = plan.filter(own().is_not_null())?;
    }
    output.push(Expr::Column(Column::from_name(&names_column)).alias(stored(name)));
    let result = match semi {
        Some(semi) => function::tag(own(), Type::Semi(semi)),
        None => own(),
    };
    output.push(result.alias(value));
    plan.project(output)?.build()
}
