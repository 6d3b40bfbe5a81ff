//! What counts as one value where rows are grouped: timestamps with a zone by their instant, VARIANTs by value (`5` and
//! `5.0` are one). Their texts differ, and DataFusion groups by texts.
//!
//! The group shows one of its values, as Snowflake does.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, JoinConstraint, Result},
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Projection},
    prelude::lit,
};

use super::super::{collation, function, retag::told_type, types::Type};
use crate::names::SemiStructured;

/// What two equal values have in common, where that is not the value itself.
pub(super) fn key(e: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    Ok(match told_type(e, schema) {
        Some(Type::TimestampTz) => Some(function::cast(e.clone(), Type::TimestampLtz)),
        Some(Type::Semi(SemiStructured::Variant)) => Some(function::call("__variant_key", vec![e.clone()])?),
        _ => collated(e, schema)?,
    })
}

/// What a text of a collation is sorted and compared by.
pub(super) fn collated(e: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Ok((_, field)) = e.to_field(schema) else { return Ok(None) };
    collation::of(&field).map(|spec| function::call("__collation_key", vec![e.clone(), lit(spec)])).transpose()
}

/// Columns that USING, NATURAL and INTERSECT compare, by their keys.
fn joined(mut join: Join) -> Result<LogicalPlan> {
    let mut changed = false;
    for (left, right) in &mut join.on {
        let (l, r) = (join.left.schema(), join.right.schema());
        let type_of = |e: &Expr, schema: &DFSchema| told_type(e, schema).or_else(|| e.to_field(schema).ok().map(|(_, f)| Type::of(&f)));
        let types = (type_of(left, l), type_of(right, r));
        let zone = |t: Option<Type>| matches!(t, Some(Type::TimestampTz | Type::TimestampLtz));
        let dated = |t: Option<Type>| t.is_some_and(|t| t.is_dated() || t == Type::Varchar);
        let variant = |t: Option<Type>| t == Some(Type::Semi(SemiStructured::Variant));
        let both = types == (Some(Type::TimestampLtz), Some(Type::TimestampLtz));
        if !both && (zone(types.0) || zone(types.1)) && dated(types.0) && dated(types.1) {
            *left = function::cast(left.clone(), Type::TimestampLtz);
            *right = function::cast(right.clone(), Type::TimestampLtz);
            changed = true;
            continue;
        }
        if variant(types.0) && variant(types.1) {
            *left = function::call("__variant_key", vec![left.clone()])?;
            *right = function::call("__variant_key", vec![right.clone()])?;
            changed = true;
            continue;
        }
        let spec = |e: &Expr, schema: &DFSchema| e.to_field(schema).ok().and_then(|(_, f)| collation::of(&f).map(str::to_owned));
        if let Some(spec) = spec(left, l).or_else(|| spec(right, r)) {
            *left = function::call("__collation_key", vec![left.clone(), lit(spec.clone())])?;
            *right = function::call("__collation_key", vec![right.clone(), lit(spec)])?;
            changed = true;
        }
    }
    if changed {
        // USING is a word for columns; these are expressions
        join.join_constraint = JoinConstraint::On;
    }
    Ok(LogicalPlan::Join(join))
}

/// What COUNT counts: a JSON null is not there (Snowflake documentation, "COUNT"). Whether anything changed.
pub(super) fn counted(args: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let mut changed = false;
    for e in args.iter_mut().filter(|e| told_type(e, schema) == Some(Type::Semi(SemiStructured::Variant))) {
        *e = function::call("strip_null_value", vec![e.clone()])?;
        changed = true;
    }
    Ok(changed)
}

/// GROUP BY and DISTINCT over such values, by their keys.
pub(super) fn grouped(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            let plain = columns.iter().map(|c| key(c, input.schema())).collect::<Result<Vec<_>>>()?.iter().all(Option::is_none);
            if plain {
                return Ok(LogicalPlan::Distinct(Distinct::All(input)));
            }
            by_keys(Aggregate::try_new(input, columns, vec![])?)
        }
        LogicalPlan::Aggregate(aggregate) => by_keys(aggregate),
        LogicalPlan::Join(join) => joined(join),
        other => Ok(other),
    }
}

fn by_keys(aggregate: Aggregate) -> Result<LogicalPlan> {
    let input = aggregate.input.schema().clone();
    if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let keys = aggregate.group_expr.iter().map(|e| key(e, &input)).collect::<Result<Vec<_>>>()?;
    if keys.iter().all(Option::is_none) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let output = aggregate.schema.clone();
    let width = aggregate.group_expr.len();
    let (mut groups, mut results) = (vec![], aggregate.aggr_expr.clone());
    for (at, (e, key)) in aggregate.group_expr.iter().zip(&keys).enumerate() {
        match key {
            Some(key) => {
                groups.push(key.clone().alias(format!("__KEY_{at}")));
                results.push(first_value_udaf().call(vec![e.clone()]).alias(format!("__SHOWN_{at}")));
            }
            None => groups.push(e.clone()),
        }
    }
    let inner = super::tag_results(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, groups, results)?))?.data;
    let made = inner.schema().columns();
    let mut shown = made.len() - keys.iter().flatten().count();
    let mut exprs = vec![];
    for (at, (qualifier, field)) in output.iter().enumerate() {
        let keyed = at < width && keys[at].is_some();
        let column = match keyed {
            true => {
                shown += 1;
                made[shown - 1].clone()
            }
            false => made[at].clone(),
        };
        let tagged = match keyed.then(|| told_type(&aggregate.group_expr[at], &input)).flatten() {
            Some(of) => function::tag(Expr::Column(column), of),
            None => Expr::Column(column),
        };
        let same = matches!(&tagged, Expr::Column(Column { relation, name, .. }) if relation.as_ref() == qualifier && name == field.name());
        exprs.push(if same { tagged } else { tagged.alias_qualified(qualifier.cloned(), field.name()) });
    }
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(inner))?))
}
