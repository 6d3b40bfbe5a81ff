//! Semi-structured values where another type is wanted, and the other way round (Snowflake documentation, "Data type
//! conversion").
//!
//! To DataFusion a VARIANT is text. Left alone, it would compare `"x"` with its quotes, and give them to UPPER. Here each
//! expression of a plan that mixes semi-structured values with others gets the cast that Snowflake's rules imply, before
//! DataFusion's own coercion sees it: the VARIANT takes the other side's type in comparisons; the other side becomes a
//! VARIANT where results meet (CASE, COALESCE).
//!
//! ORDER BY, MIN and MAX go by value. `OBJECT_CONSTRUCT(*)` gets its columns.

mod collated;
mod identity;
mod union;
mod wildcard;

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{
        Expr, ExprSchemable, LogicalPlan, Operator, Projection,
        expr::{
            AggregateFunction, AggregateFunctionParams, Between, BinaryExpr, Case, InList, InSubquery, Like, ScalarFunction,
            WindowFunctionParams,
        },
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    prelude::lit,
};

use super::{
    collation, function,
    retag::{semi_type, told_collation, told_type},
    types::Type,
};
use crate::names::SemiStructured;

const VARIANT: Type = Type::Semi(SemiStructured::Variant);

/// Functions whose result is one of their arguments.
const CHOICES: [&str; 7] = ["coalesce", "nvl", "ifnull", "nvl2", "nullif", "greatest", "least"];

/// One node of a plan, its inputs done.
pub(super) fn coerce(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let wildcards = wildcard::expand(plan)?;
    let changed = wildcards.transformed;
    let plan = wildcards.data;
    if let LogicalPlan::Union(union) = plan {
        return union::unite(union);
    }
    let has_semi = |schema: &DFSchema| {
        schema.fields().iter().any(|f| {
            matches!(Type::of(f), Type::Semi(_) | Type::TimestampLtz | Type::TimestampTz | Type::Time) || collation::of(f).is_some()
        })
    };
    // most nodes have nothing to do with any of it
    let concerned = has_semi(&schema) || plan.expressions().iter().any(|e| e.exists(|e| Ok(makes_semi(e))).unwrap_or(true));
    if !concerned {
        return Ok(Transformed { transformed: changed, ..Transformed::no(plan) });
    }
    let is_filter = matches!(plan, LogicalPlan::Filter(_));
    let is_sort = matches!(plan, LogicalPlan::Sort(_));
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|e| rewrite(e, &schema))?;
        let done = if is_filter {
            done.transform_data(|e| Ok(truth(e, &schema)))?
        } else if is_sort && is_semi(&done.data, &schema) {
            Transformed::yes(function::call("__variant_key", vec![done.data])?)
        } else if is_sort && let Some(key) = identity::collated(&done.data, &schema)? {
            Transformed::yes(key)
        } else {
            done
        };
        Ok(if is_sort { done } else { done.update_data(|e| name.restore(e)) })
    })?;
    let plan = tag_results(identity::grouped(done.data)?)?;
    Ok(Transformed { transformed: done.transformed || changed || plan.transformed, ..plan })
}

/// Aggregates and window functions forget what their results are: a projection above them says so again.
fn tag_results(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    enum Found {
        Value(Type),
        Items,
        /// A text of a collation.
        Text(String),
    }
    let found = |exprs: &[Expr], input: &DFSchema| -> Vec<Option<Found>> {
        let one = |e: &Expr| {
            let e = match e {
                Expr::Alias(a) => a.expr.as_ref(),
                other => other,
            };
            let spec = matches!(e, Expr::AggregateFunction(_) | Expr::WindowFunction(_)).then(|| told_collation(e, input)).flatten();
            if let Some(spec) = spec {
                return Some(Found::Text(spec));
            }
            let first = match e {
                Expr::AggregateFunction(f) if f.func.name() == "array_agg" => f.params.args.first(),
                Expr::WindowFunction(f) if f.fun.name() == "array_agg" => f.params.args.first(),
                _ => None,
            };
            match first {
                Some(item) => semi_type(item, input).map(|_| Found::Items),
                None => told_type(e, input).map(Found::Value),
            }
        };
        exprs.iter().map(one).collect()
    };
    let results = match &plan {
        LogicalPlan::Aggregate(a) => found(&a.aggr_expr, a.input.schema()),
        LogicalPlan::Window(w) => found(&w.window_expr, w.input.schema()),
        _ => return Ok(Transformed::no(plan)),
    };
    if results.iter().all(Option::is_none) {
        return Ok(Transformed::no(plan));
    }
    let schema = plan.schema().clone();
    let before = schema.fields().len() - results.len();
    let mut results = std::iter::repeat_with(|| None).take(before).chain(results);
    let mut exprs = vec![];
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let named = |e: Expr| e.alias_qualified(qualifier.cloned(), field.name());
        exprs.push(match results.next().flatten() {
            Some(Found::Value(of)) if Type::of(field) != of => named(function::tag(column, of)),
            Some(Found::Items) => named(function::call("__semi_items", vec![column])?),
            Some(Found::Text(spec)) if collation::of(field) != Some(spec.as_str()) => {
                named(function::call("collate", vec![column, lit(spec)])?)
            }
            _ => column,
        });
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?)))
}

/// MIN and MAX by value: the first in the order of the keys.
fn extreme(mut f: AggregateFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let ascending = match f.func.name() {
        "min" => true,
        "max" => false,
        _ => return Ok(None),
    };
    let [value] = f.params.args.as_slice() else { return Ok(None) };
    let key = match is_semi(value, schema) {
        true => function::call("__variant_key", vec![value.clone()])?,
        false => match identity::collated(value, schema)? {
            Some(key) => key,
            None => return Ok(None),
        },
    };
    let present = value.clone().is_not_null();
    f.params.order_by = vec![key.sort(ascending, false)];
    f.params.filter = Some(Box::new(match f.params.filter.take() {
        Some(filter) => filter.and(present),
        None => present,
    }));
    f.params.distinct = false;
    f.func = first_value_udaf();
    Ok(Some(Expr::AggregateFunction(f)))
}

fn makes_semi(e: &Expr) -> bool {
    match e {
        Expr::ScalarFunction(f) if function::is_own(f.name()) => true,
        Expr::HigherOrderFunction(_) => true,
        // where values meet, their types may have to be made one
        Expr::Case(_) | Expr::Between(_) | Expr::InList(_) => true,
        Expr::ScalarFunction(f) if CHOICES.contains(&f.name()) => true,
        _ => false,
    }
}

fn is_semi(e: &Expr, schema: &DFSchema) -> bool {
    semi_type(e, schema).is_some()
}

fn is_null(e: &Expr) -> bool {
    match e {
        Expr::Literal(v, _) => v.is_null(),
        Expr::Alias(a) => is_null(&a.expr),
        Expr::Cast(c) => is_null(&c.expr),
        _ => false,
    }
}

/// The type of an expression that is not semi-structured.
fn plain_type(e: &Expr, schema: &DFSchema) -> Option<Type> {
    if is_null(e) || is_semi(e, schema) {
        return None;
    }
    e.to_field(schema).ok().map(|(_, f)| Type::of(&f))
}

/// What a VARIANT is cast to when it meets this type: numbers keep their fractions.
fn widened(of: Type) -> Type {
    match of {
        Type::Number { .. } => Type::Number { precision: 38, scale: 9 },
        other => other,
    }
}

fn truth(e: Expr, schema: &DFSchema) -> Transformed<Expr> {
    if is_semi(&e, schema) { Transformed::yes(function::cast(e, Type::Boolean)) } else { Transformed::no(e) }
}

/// Casts those of the expressions that are semi-structured.
fn cast_semi(e: Expr, to: Type, schema: &DFSchema, changed: &mut bool) -> Expr {
    if !is_semi(&e, schema) {
        return e;
    }
    *changed = true;
    function::cast(e, to)
}

fn boxed(e: Box<Expr>, to: Type, schema: &DFSchema, changed: &mut bool) -> Box<Expr> {
    Box::new(cast_semi(*e, to, schema, changed))
}

/// The type that results of these types meet in, where DataFusion's own choice would be another: all become VARIANTs
/// beside one, instants beside a timestamp with a zone. `None`: DataFusion decides.
fn meeting(types: &[Type]) -> Option<Type> {
    let first = types.first()?;
    if types.iter().all(|t| t == first) {
        return None;
    }
    if types.iter().any(|t| matches!(t, Type::Semi(_))) {
        return Some(VARIANT);
    }
    // text becomes what it meets; of dates and timestamps the one that says most
    let weight = |of: Type| match of {
        Type::Date => 1,
        Type::TimestampNtz => 2,
        Type::TimestampLtz => 3,
        Type::TimestampTz => 4,
        _ => 0,
    };
    let all = |wanted: &dyn Fn(Type) -> bool| types.iter().all(|t| wanted(*t) || *t == Type::Varchar);
    if all(&Type::is_dated) {
        return types.iter().copied().max_by_key(|t| weight(*t));
    }
    [Type::Time, Type::Boolean].into_iter().find(|of| all(&|t| t == *of))
}

/// Where values are compared, and one of them has a zone: all are instants.
fn instants(values: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let type_of = |e: &Expr| told_type(e, schema).or_else(|| e.to_field(schema).ok().map(|(_, f)| Type::of(&f)));
    let types: Vec<Type> = values.iter().filter(|e| !is_null(e)).filter_map(|e| type_of(e)).collect();
    let has_zone = types.iter().any(|t| matches!(t, Type::TimestampLtz | Type::TimestampTz));
    if !has_zone || types.iter().all(|t| *t == Type::TimestampLtz) || !types.iter().all(|t| t.is_dated() || *t == Type::Varchar) {
        return false;
    }
    for e in values {
        if !is_null(e) && type_of(e) != Some(Type::TimestampLtz) {
            *e = function::cast(e.clone(), Type::TimestampLtz);
        }
    }
    true
}

/// Whether instants are compared, and one of the two has a zone.
fn has_zone(a: Option<Type>, b: Option<Type>) -> bool {
    let zone = |t| matches!(t, Some(Type::TimestampTz | Type::TimestampLtz));
    let fits = |t: Option<Type>| t.is_some_and(|t| t.is_dated() || t == Type::Varchar);
    (zone(a) || zone(b)) && fits(a) && fits(b) && !(a == b && a == Some(Type::TimestampLtz))
}

/// Where results meet: one type for all of them.
fn unite(results: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let type_of = |e: &Expr| told_type(e, schema).or_else(|| e.to_field(schema).ok().map(|(_, f)| Type::of(&f)));
    let types: Vec<Type> = results.iter().filter(|e| !is_null(e)).filter_map(|e| type_of(e)).collect();
    let Some(target) = meeting(&types) else { return false };
    let mut changed = false;
    for e in results {
        let stays = match target {
            Type::Semi(_) => is_semi(e, schema),
            _ => type_of(e) == Some(target),
        };
        if !is_null(e) && !stays {
            *e = function::cast(e.clone(), target);
            changed = true;
        }
    }
    changed
}

fn rewrite(e: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let done = match e {
        Expr::InList(InList { mut expr, mut list, negated }) => {
            changed |= instants(std::iter::once(expr.as_mut()).chain(&mut list).collect(), schema);
            changed |= collated::compared(std::iter::once(expr.as_mut()).chain(&mut list).collect(), schema)?;
            let wanted = std::iter::once(expr.as_ref()).chain(&list).find_map(|e| plain_type(e, schema));
            let (expr, list) = match wanted {
                Some(to) => {
                    let to = widened(to);
                    let list = list.into_iter().map(|e| cast_semi(e, to, schema, &mut changed)).collect();
                    (boxed(expr, to, schema, &mut changed), list)
                }
                None => (expr, list),
            };
            Expr::InList(InList { expr, list, negated })
        }
        Expr::Between(Between { mut expr, negated, mut low, mut high }) => {
            changed |= instants(vec![expr.as_mut(), low.as_mut(), high.as_mut()], schema);
            changed |= collated::compared(vec![expr.as_mut(), low.as_mut(), high.as_mut()], schema)?;
            let wanted = [&expr, &low, &high].into_iter().find_map(|e| plain_type(e, schema));
            match wanted {
                Some(to) => {
                    let to = widened(to);
                    let mut cast = |e| boxed(e, to, schema, &mut changed);
                    Expr::Between(Between { expr: cast(expr), negated, low: cast(low), high: cast(high) })
                }
                None => Expr::Between(Between { expr, negated, low, high }),
            }
        }
        Expr::Like(mut like) => {
            changed |= collated::matched(&mut like, schema)?;
            Expr::Like(Like {
                expr: boxed(like.expr, Type::Varchar, schema, &mut changed),
                pattern: boxed(like.pattern, Type::Varchar, schema, &mut changed),
                ..like
            })
        }
        Expr::InSubquery(InSubquery { mut expr, mut subquery, negated }) => {
            let mut of = subquery.subquery.schema().fields().first().map(|f| Type::of(f));
            let own = told_type(&expr, schema).or_else(|| expr.to_field(schema).ok().map(|(_, f)| Type::of(&f)));
            if has_zone(own, of) {
                let column = subquery.subquery.schema().columns().swap_remove(0);
                let instant =
                    function::cast(Expr::Column(column.clone()), Type::TimestampLtz).alias_qualified(column.relation, column.name);
                subquery.subquery = Arc::new(LogicalPlan::Projection(Projection::try_new(vec![instant], subquery.subquery)?));
                expr = Box::new(function::cast(*expr, Type::TimestampLtz));
                of = Some(Type::TimestampLtz);
                changed = true;
            }
            changed |= of == Some(Type::Varchar) && collated::within(&mut expr, &mut subquery, schema)?;
            let expr = match of {
                Some(Type::Semi(_)) | None => expr,
                Some(of) => boxed(expr, widened(of), schema, &mut changed),
            };
            Expr::InSubquery(InSubquery { expr, subquery, negated })
        }
        Expr::Not(inner) => Expr::Not(boxed(inner, Type::Boolean, schema, &mut changed)),
        Expr::Negative(inner) => Expr::Negative(boxed(inner, Type::Float, schema, &mut changed)),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (boxed(left, Type::Boolean, schema, &mut changed), boxed(right, Type::Boolean, schema, &mut changed));
            Expr::BinaryExpr(BinaryExpr { left, op, right })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::IsDistinctFrom | Operator::IsNotDistinctFrom), right }) => {
            let wanted = [&left, &right].into_iter().find_map(|e| plain_type(e, schema)).map(widened);
            match wanted {
                Some(to) => {
                    let (left, right) = (boxed(left, to, schema, &mut changed), boxed(right, to, schema, &mut changed));
                    Expr::BinaryExpr(BinaryExpr { left, op, right })
                }
                None => Expr::BinaryExpr(BinaryExpr { left, op, right }),
            }
        }
        Expr::Case(case) => Expr::Case(rewrite_case(case, schema, &mut changed)),
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if CHOICES.contains(&func.name()) => {
            // the first argument of NVL2 is only asked whether it is NULL
            let skipped = usize::from(func.name() == "nvl2");
            if func.name() == "nullif" {
                changed |= instants(args.iter_mut().collect(), schema);
            }
            changed |= unite(args.iter_mut().skip(skipped).collect(), schema);
            // who takes the result is told that it is a VARIANT, not its text
            let semi = args.iter().skip(skipped).find_map(|e| semi_type(e, schema)).filter(|_| func.name() == "coalesce");
            let chosen = Expr::ScalarFunction(ScalarFunction { func, args });
            match semi {
                Some(semi) if Type::of(&chosen.to_field(schema)?.1) == Type::Varchar => {
                    changed = true;
                    function::tag(chosen, Type::Semi(semi))
                }
                _ => chosen,
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if !function::is_own(func.name()) && reads_text(func.name()) => {
            let args = args.into_iter().map(|e| cast_semi(e, Type::Varchar, schema, &mut changed)).collect();
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        Expr::AggregateFunction(mut f) => {
            if let Some(by_value) = extreme(f.clone(), schema)? {
                return Ok(Transformed::yes(by_value));
            }
            let AggregateFunctionParams { args, order_by, distinct, .. } = &mut f.params;
            // DISTINCT wants the order of its argument, which stays as it is
            for key in order_by.iter_mut().filter(|_| !*distinct) {
                if is_semi(&key.expr, schema) {
                    key.expr = function::call("__variant_key", vec![key.expr.clone()])?;
                    changed = true;
                }
            }
            if is_numeric_aggregate(f.func.name()) {
                for e in args.iter_mut() {
                    *e = cast_semi(e.clone(), Type::Float, schema, &mut changed);
                }
            }
            if f.func.name() == "count" {
                changed |= identity::counted(&mut f.params.args, schema)?;
            }
            if f.params.distinct && matches!(f.func.name(), "count" | "approx_distinct") {
                for e in &mut f.params.args {
                    if let Some(key) = identity::key(e, schema)? {
                        *e = key;
                        changed = true;
                    }
                }
            }
            Expr::AggregateFunction(f)
        }
        Expr::WindowFunction(mut f) => {
            let is_numeric = is_numeric_aggregate(f.fun.name());
            let WindowFunctionParams { args, .. } = &mut f.params;
            for e in args.iter_mut().filter(|_| is_numeric) {
                *e = cast_semi(e.clone(), Type::Float, schema, &mut changed);
            }
            for part in &mut f.params.partition_by {
                if let Some(key) = identity::key(part, schema)? {
                    *part = key;
                    changed = true;
                }
            }
            let WindowFunctionParams { order_by, .. } = &mut f.params;
            for key in order_by.iter_mut() {
                if is_semi(&key.expr, schema) {
                    key.expr = function::call("__variant_key", vec![key.expr.clone()])?;
                    changed = true;
                }
            }
            Expr::WindowFunction(f)
        }
        other => other,
    };
    // a choice forgets what its results are, and whoever takes it as an argument has to know
    let is_choice = matches!(&done, Expr::Case(_)) || matches!(&done, Expr::ScalarFunction(f) if CHOICES.contains(&f.name()));
    let done = match told_type(&done, schema).filter(|of| is_choice && matches!(of, Type::TimestampTz | Type::Time)) {
        Some(of) => {
            changed = true;
            function::tag(done, of)
        }
        None => done,
    };
    Ok(if changed { Transformed::yes(done) } else { Transformed::no(done) })
}

fn rewrite_case(mut case: Case, schema: &DFSchema, changed: &mut bool) -> Case {
    match &mut case.expr {
        Some(operand) => {
            let values = std::iter::once(operand.as_mut()).chain(case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut()));
            *changed |= instants(values.collect(), schema);
            let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
            let wanted = std::iter::once(operand.as_ref()).chain(whens).find_map(|e| plain_type(e, schema)).map(widened);
            if let Some(to) = wanted {
                *operand = boxed(operand.clone(), to, schema, changed);
                for (when, _) in &mut case.when_then_expr {
                    *when = boxed(when.clone(), to, schema, changed);
                }
            }
        }
        None => {
            for (when, _) in &mut case.when_then_expr {
                *when = boxed(when.clone(), Type::Boolean, schema, changed);
            }
        }
    }
    let results = case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut()).chain(case.else_expr.as_deref_mut());
    *changed |= unite(results.collect(), schema);
    case
}

/// Functions of DataFusion that take any layout as it is.
fn reads_text(name: &str) -> bool {
    !matches!(name, "named_struct" | "struct" | "make_array" | "arrow_cast" | "arrow_typeof" | "get_field" | "array_element" | "nanvl")
}

fn is_numeric_aggregate(name: &str) -> bool {
    matches!(
        name,
        "sum"
            | "avg"
            | "median"
            | "stddev"
            | "stddev_samp"
            | "stddev_pop"
            | "var"
            | "var_samp"
            | "var_pop"
            | "corr"
            | "covar_samp"
            | "covar_pop"
            | "approx_percentile_cont"
            | "percentile_cont"
            | "regr_slope"
            | "regr_intercept"
    )
}
