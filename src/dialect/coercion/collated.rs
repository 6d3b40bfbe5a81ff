//! Comparisons and patterns over texts of a collation (Snowflake documentation, "Collation support").

use std::sync::Arc;

use datafusion::{
    common::{DFSchema, DataFusionError, Result},
    logical_expr::{
        Expr, LogicalPlan, Projection, Subquery,
        expr::{Like, ScalarFunction},
    },
    prelude::lit,
};

use super::super::{collation::Collation, function, retag::told_collation, types::Type};

/// Where texts are compared, and one of them has a collation: all by their keys.
pub(super) fn compared(values: Vec<&mut Expr>, schema: &DFSchema) -> Result<bool> {
    let spec = values.iter().find_map(|e| told_collation(e, schema));
    let Some(spec) = spec else { return Ok(false) };
    for e in values {
        *e = function::call("__collation_key", vec![function::cast(e.clone(), Type::Varchar), lit(spec.clone())])?;
    }
    Ok(true)
}

/// A pattern beside a text of a collation: case is folded, alphabets are refused as Snowflake does.
pub(super) fn matched(like: &mut Like, schema: &DFSchema) -> Result<bool> {
    // the subject of a plain pattern was made a text on the way here
    let told = |e: &Expr| match e {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "__cast" => {
            args.first().and_then(|e| told_collation(e, schema))
        }
        other => told_collation(other, schema),
    };
    let Some(spec) = told(&like.expr).or_else(|| told(&like.pattern)) else { return Ok(false) };
    Collation::for_patterns(&spec).map_err(|e| DataFusionError::External(Box::new(e)))?;
    for e in [&mut like.expr, &mut like.pattern] {
        **e = function::call("__collation_key", vec![function::cast(e.as_ref().clone(), Type::Varchar), lit(spec.clone())])?;
    }
    Ok(true)
}

/// `x IN (SELECT ...)` over texts: both by their keys.
pub(super) fn within(expr: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let inner = subquery.subquery.schema();
    let column = inner.columns().swap_remove(0);
    let spec = told_collation(expr, schema).or_else(|| told_collation(&Expr::Column(column.clone()), inner));
    let Some(spec) = spec else { return Ok(false) };
    let keyed = |e: Expr| function::call("__collation_key", vec![e, lit(spec.clone())]);
    let key = keyed(Expr::Column(column.clone()))?.alias_qualified(column.relation, column.name);
    subquery.subquery = Arc::new(LogicalPlan::Projection(Projection::try_new(vec![key], Arc::clone(&subquery.subquery))?));
    *expr = keyed(expr.clone())?;
    Ok(true)
}
