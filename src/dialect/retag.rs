//! Types that field metadata tells (semi-structured ones, TIME, TIMESTAMP_TZ) through expressions that forget it: CASE,
//! COALESCE, NULLIF, MIN...
//!
//! DataFusion computes a field for each projected expression; for some kinds it keeps only the Arrow type. Wherever
//! such an expression is projected, it is wrapped into an identity function that puts the metadata back. On the way up,
//! [`super::coercion`] sees each node.

use std::sync::Arc;

use datafusion::{
    common::{DFSchema, Result, tree_node::Transformed},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, expr::Alias},
};

use super::{coercion::coerce, collation, function, types::Type};
use crate::names::SemiStructured;

/// The plan with metadata restored in all its projections.
pub fn retag(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let Transformed { data: plan, transformed, .. } = coerce(plan)?;
        let LogicalPlan::Projection(projection) = plan else {
            return Ok(if transformed { Transformed::yes(plan) } else { Transformed::no(plan) });
        };
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
        if !changed && !transformed {
            return Ok(Transformed::no(LogicalPlan::Projection(projection)));
        }
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&projection.input))?)))
    })
    .and_then(|t| t.data.recompute_schema())
}

fn wrap(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (_, field) = expr.to_field(schema)?;
    if field.metadata().contains_key(SemiStructured::METADATA_KEY) {
        return Ok(None);
    }
    let Some(of) = told_type(expr, schema) else { return Ok(None) };
    let (qualifier, name) = expr.qualified_name();
    let inner = match expr {
        Expr::Alias(Alias { expr, .. }) => expr.as_ref().clone(),
        other => other.clone(),
    };
    Ok(Some(function::tag(inner, of).alias_qualified(qualifier, name)))
}

/// The semi-structured type of an expression.
pub(super) fn semi_type(expr: &Expr, schema: &DFSchema) -> Option<SemiStructured> {
    match told_type(expr, schema) {
        Some(Type::Semi(semi)) => Some(semi),
        _ => None,
    }
}

/// The type of an expression that metadata would have to tell, as far as it passes one of its arguments on.
pub(super) fn told_type(expr: &Expr, schema: &DFSchema) -> Option<Type> {
    let known = expr.to_field(schema).ok().map(|(_, f)| f);
    if let Some(field) = &known {
        match Type::of(field) {
            of if of.tag().is_some() && field.metadata().contains_key(SemiStructured::METADATA_KEY) => return Some(of),
            Type::Varchar => {}
            _ => return None,
        }
    }
    match expr {
        Expr::Alias(alias) => told_type(&alias.expr, schema),
        Expr::Case(case) => {
            case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref()).find_map(|e| told_type(e, schema))
        }
        Expr::ScalarFunction(f) if matches!(f.name(), "coalesce" | "nullif" | "nvl" | "greatest" | "least") => {
            f.args.iter().find_map(|e| told_type(e, schema))
        }
        Expr::AggregateFunction(f) if matches!(f.func.name(), "first_value" | "last_value" | "min" | "max" | "any_value" | "mode") => {
            f.params.args.first().and_then(|e| told_type(e, schema))
        }
        Expr::WindowFunction(f) => f
            .params
            .args
            .first()
            .filter(|_| {
                matches!(f.fun.name(), "first_value" | "last_value" | "lag" | "lead" | "nth_value" | "min" | "max" | "any_value" | "mode")
            })
            .and_then(|e| told_type(e, schema)),
        _ => None,
    }
}

/// What these give is one of the values that they are given.
const PICKED: [&str; 9] = ["min", "max", "first_value", "last_value", "nth_value", "lag", "lead", "any_value", "mode"];

/// The collation of a text, also where one of several collated values is picked.
pub(super) fn told_collation(expr: &Expr, schema: &DFSchema) -> Option<String> {
    let picked = match expr {
        Expr::Alias(alias) => return told_collation(&alias.expr, schema),
        Expr::AggregateFunction(f) if PICKED.contains(&f.func.name()) => f.params.args.first(),
        Expr::WindowFunction(f) if PICKED.contains(&f.fun.name()) => f.params.args.first(),
        _ => None,
    };
    let of = |e: &Expr| e.to_field(schema).ok().and_then(|(_, f)| collation::of(&f).map(str::to_owned));
    picked.and_then(|e| told_collation(e, schema)).or_else(|| of(expr))
}
