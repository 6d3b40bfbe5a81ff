//! Semi-structured values where another type is wanted, and the other way round (Snowflake documentation, "Data type
//! conversion").
//!
//! To DataFusion a VARIANT is text. Left alone, it would compare `"x"` with its quotes, and give them to UPPER. Here each
//! expression of a plan that mixes semi-structured values with others gets the cast that Snowflake's rules imply, before
//! DataFusion's own coercion sees it: the VARIANT takes the other side's type in comparisons; the other side becomes a
//! VARIANT where results meet (CASE, COALESCE).
//!
//! ORDER BY, MIN and MAX go by value. `OBJECT_CONSTRUCT(*)` gets its columns.

use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, ExprSchemable, LogicalPlan, Operator,
        expr::{AggregateFunctionParams, Between, BinaryExpr, Case, InList, Like, ScalarFunction, WindowFunctionParams},
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    prelude::lit,
};

use super::{function, retag::semi_type, types::Type};
use crate::names::SemiStructured;

const VARIANT: Type = Type::Semi(SemiStructured::Variant);

/// Functions whose result is one of their arguments.
const CHOICES: [&str; 7] = ["coalesce", "nvl", "ifnull", "nvl2", "nullif", "greatest", "least"];

/// One node of a plan, its inputs done.
pub(super) fn coerce(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let wildcards = expand_wildcards(plan)?;
    let changed = wildcards.transformed;
    let plan = wildcards.data;
    let has_semi = |schema: &DFSchema| schema.fields().iter().any(|f| matches!(Type::of(f), Type::Semi(_)));
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
        } else {
            done
        };
        Ok(if is_sort { done } else { done.update_data(|e| name.restore(e)) })
    })?;
    Ok(Transformed { transformed: done.transformed || changed, ..done })
}

fn makes_semi(e: &Expr) -> bool {
    match e {
        Expr::ScalarFunction(f) => function::is_own(f.name()),
        Expr::HigherOrderFunction(_) => true,
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

/// Where results meet: if one is semi-structured, all are.
fn unite(results: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    if !results.iter().any(|e| is_semi(e, schema)) {
        return false;
    }
    let mut changed = false;
    for e in results {
        if !is_null(e) && !is_semi(e, schema) {
            *e = function::cast(e.clone(), VARIANT);
            changed = true;
        }
    }
    changed
}

fn rewrite(e: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let done = match e {
        Expr::InList(InList { expr, list, negated }) => {
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
        Expr::Between(Between { expr, negated, low, high }) => {
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
        Expr::Like(like) => Expr::Like(Like {
            expr: boxed(like.expr, Type::Varchar, schema, &mut changed),
            pattern: boxed(like.pattern, Type::Varchar, schema, &mut changed),
            ..like
        }),
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
            changed = unite(args.iter_mut().skip(skipped).collect(), schema);
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if !function::is_own(func.name()) && reads_text(func.name()) => {
            let args = args.into_iter().map(|e| cast_semi(e, Type::Varchar, schema, &mut changed)).collect();
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        Expr::AggregateFunction(mut f) => {
            let AggregateFunctionParams { args, .. } = &mut f.params;
            if is_numeric_aggregate(f.func.name()) {
                for e in args.iter_mut() {
                    *e = cast_semi(e.clone(), Type::Float, schema, &mut changed);
                }
            }
            Expr::AggregateFunction(f)
        }
        Expr::WindowFunction(mut f) => {
            let is_numeric = is_numeric_aggregate(f.fun.name());
            let WindowFunctionParams { args, order_by, .. } = &mut f.params;
            for e in args.iter_mut().filter(|_| is_numeric) {
                *e = cast_semi(e.clone(), Type::Float, schema, &mut changed);
            }
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
    Ok(if changed { Transformed::yes(done) } else { Transformed::no(done) })
}

fn rewrite_case(mut case: Case, schema: &DFSchema, changed: &mut bool) -> Case {
    match &mut case.expr {
        Some(operand) => {
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

/// `OBJECT_CONSTRUCT(*)` and `OBJECT_CONSTRUCT(t.*)`: pairs of name and column.
#[expect(deprecated, reason = "the planner makes wildcards of the arguments")]
fn expand_wildcards(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    fn is_wildcard(e: &Expr) -> bool {
        matches!(e, Expr::Wildcard { .. })
    }
    let asks =
        |e: &Expr| matches!(e, Expr::ScalarFunction(f) if f.name().starts_with("object_construct") && f.args.iter().any(is_wildcard));
    let mut found = false;
    for e in plan.expressions() {
        found |= e.exists(|e| Ok(asks(e)))?;
    }
    if !found {
        return Ok(Transformed::no(plan));
    }
    let columns: Vec<_> = plan.inputs().iter().flat_map(|p| p.schema().columns()).collect();
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expanded = expr.transform_up(|e| match e {
            Expr::ScalarFunction(ScalarFunction { func, args })
                if func.name().starts_with("object_construct") && args.iter().any(is_wildcard) =>
            {
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
