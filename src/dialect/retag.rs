//! Semi-structured types through expressions that forget field metadata (CASE, COALESCE, NULLIF, MIN...), and other
//! repairs of a plan that need the types of its expressions.
//!
//! DataFusion computes a field for each projected expression; for some kinds it keeps only the Arrow type. Wherever
//! such an expression is projected, it is wrapped into an identity function that puts the metadata back.
//!
//! ORDER BY a semi-structured value sorts by the value, not by its text. `OBJECT_CONSTRUCT(*)` gets its columns.

use std::sync::Arc;

use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, ExprSchemable, LogicalPlan, Projection,
        expr::{Alias, ScalarFunction},
        expr_rewriter::NamePreserver,
    },
    prelude::lit,
};

use super::{function, types::Type};
use crate::names::SemiStructured;

/// The plan with metadata restored in all its projections, wildcards expanded and sorts by value.
pub fn retag(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let plan = expand_wildcards(plan)?;
        match plan.data {
            LogicalPlan::Projection(projection) => restore(projection).map(|t| Transformed { transformed: t.transformed || plan.transformed, ..t }),
            LogicalPlan::Sort(mut sort) => {
                let mut changed = plan.transformed;
                for key in &mut sort.expr {
                    if semi_type(&key.expr, sort.input.schema()).is_some() {
                        key.expr = function::call("__variant_key", vec![key.expr.clone()])?;
                        changed = true;
                    }
                }
                Ok(if changed { Transformed::yes(LogicalPlan::Sort(sort)) } else { Transformed::no(LogicalPlan::Sort(sort)) })
            }
            other => Ok(Transformed { data: other, transformed: plan.transformed, tnr: plan.tnr }),
        }
    })
    .and_then(|t| t.data.recompute_schema())
}

fn restore(projection: Projection) -> Result<Transformed<LogicalPlan>> {
    let schema = projection.input.schema().clone();
    let mut changed = false;
    let exprs = projection
        .expr
        .iter()
        .map(|expr| match wrap(expr, &schema)? {
            Some(wrapped) => {
                changed = true;
                Ok(wrapped)
            }
            None => Ok(expr.clone()),
        })
        .collect::<Result<Vec<_>>>()?;
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&projection.input))?)))
}

/// `OBJECT_CONSTRUCT(*)` and `OBJECT_CONSTRUCT(t.*)`: pairs of name and column.
#[expect(deprecated, reason = "the planner makes wildcards of the arguments")]
fn expand_wildcards(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let is_wildcard = |e: &Expr| matches!(e, Expr::Wildcard { .. });
    let has_one = |e: &Expr| {
        e.exists(|e| Ok(matches!(e, Expr::ScalarFunction(f) if f.name().starts_with("object_construct") && f.args.iter().any(is_wildcard))))
    };
    let mut found = false;
    for e in plan.expressions() {
        found |= has_one(&e)?;
    }
    if !found {
        return Ok(Transformed::no(plan));
    }
    let columns: Vec<_> = plan.inputs().iter().flat_map(|p| p.schema().columns()).collect();
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expanded = expr.transform_up(|e| match e {
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name().starts_with("object_construct") && args.iter().any(is_wildcard) => {
                let args = args.into_iter().flat_map(|arg| match arg {
                    Expr::Wildcard { qualifier, .. } => columns
                        .iter()
                        .filter(|c| qualifier.as_ref().is_none_or(|q| c.relation.as_ref().is_some_and(|r| r.table() == q.table())))
                        .flat_map(|c| [lit(c.name.clone()), Expr::Column(c.clone())])
                        .collect(),
                    other => vec![other],
                });
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: args.collect() })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(expanded.update_data(|e| name.restore(e)))
    })
}

fn wrap(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (_, field) = expr.to_field(schema)?;
    if field.metadata().contains_key(SemiStructured::METADATA_KEY) {
        return Ok(None);
    }
    let Some(semi) = semi_type(expr, schema) else { return Ok(None) };
    let (qualifier, name) = expr.qualified_name();
    let inner = match expr {
        Expr::Alias(Alias { expr, .. }) => expr.as_ref().clone(),
        other => other.clone(),
    };
    Ok(Some(function::tag(inner, semi).alias_qualified(qualifier, name)))
}

/// The semi-structured type of an expression, as far as it passes one of its arguments on.
fn semi_type(expr: &Expr, schema: &DFSchema) -> Option<SemiStructured> {
    let known = expr.to_field(schema).ok().map(|(_, f)| f);
    if let Some(field) = &known {
        match Type::of(field) {
            Type::Semi(semi) if field.metadata().contains_key(SemiStructured::METADATA_KEY) => return Some(semi),
            Type::Varchar => {}
            _ => return None,
        }
    }
    match expr {
        Expr::Alias(alias) => semi_type(&alias.expr, schema),
        Expr::Case(case) => {
            case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref()).find_map(|e| semi_type(e, schema))
        }
        Expr::ScalarFunction(f) if matches!(f.name(), "coalesce" | "nullif" | "nvl" | "greatest" | "least") => {
            f.args.iter().find_map(|e| semi_type(e, schema))
        }
        Expr::AggregateFunction(f) if matches!(f.func.name(), "first_value" | "last_value" | "min" | "max" | "any_value") => {
            f.params.args.first().and_then(|e| semi_type(e, schema))
        }
        Expr::WindowFunction(f) => f
            .params
            .args
            .first()
            .filter(|_| matches!(f.fun.name(), "first_value" | "last_value" | "lag" | "lead" | "nth_value"))
            .and_then(|e| semi_type(e, schema)),
        _ => None,
    }
}
