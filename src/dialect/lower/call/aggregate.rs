//! Calls of aggregate and window functions: WITHIN GROUP, default frames, other names.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, OrderByExpr,
    OrderByOptions, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::{Call, case};
use crate::dialect::{
    SqlError,
    function::{Place, aggregate::mark},
    lower::expression::{cast, function, number, string},
    spelling,
    types::Type,
};

/// The call in the library's words, or as it was.
pub(super) fn rewrite(name: &str, mut c: Call) -> Result<Result<Expr, Call>, SqlError> {
    Ok(Ok(match name {
        "count" if c.distinct && c.args.len() > 1 => {
            let key = function("__row_key", std::mem::take(&mut c.args));
            c.args = vec![key];
            c.named("count")
        }
        "avg" if c.function.over.is_some() => c.named("__avg_over"),
        "boolor_agg" | "booland_agg" | "boolxor_agg" => {
            c.arity(name, 1..=1)?;
            c.named(name)
        }
        "approx_count_distinct" | "hll" => {
            if c.args.len() > 1 {
                let key = function("__row_key", std::mem::take(&mut c.args));
                c.args = vec![key];
            }
            c.named("approx_distinct")
        }
        "approximate_count_distinct" => c.named("approx_distinct"),
        "variance" | "variance_samp" | "var_samp" => c.named("var_samp"),
        "variance_pop" => c.named("var_pop"),
        "stddev" | "stddev_samp" => c.named("stddev_samp"),
        "bit_and_agg" | "bitandagg" | "bit_andagg" => c.named("bitand_agg"),
        "bit_or_agg" | "bitoragg" | "bit_oragg" => c.named("bitor_agg"),
        "bit_xor_agg" | "bitxoragg" | "bit_xoragg" => c.named("bitxor_agg"),
        "grouping_id" => c.named("grouping"),
        "percentile_cont" | "percentile_disc" => {
            c.arity(name, 1..=1)?;
            let [key] = std::mem::take(&mut c.order_by).try_into().map_err(|_| {
                SqlError::new("sql/arguments", format!("`{}` takes one expression in WITHIN GROUP (ORDER BY ...)", name.to_uppercase()))
            })?;
            c.function.within_group.clear();
            let descending = key.options.asc == Some(false);
            let fraction = c.take(0);
            c.args = vec![key.expr, fraction, boolean(descending)];
            c.named(if name == "percentile_cont" { "__percentile_cont" } else { "__percentile_disc" })
        }
        "min_by" | "max_by" => {
            c.arity(name, 2..=3)?;
            if c.args.len() == 3 {
                c.args.swap(0, 1);
                return Ok(Ok(c.named(if name == "min_by" { "__min_by_n" } else { "__max_by_n" })));
            }
            if let Some(WindowType::WindowSpec(spec)) = &mut c.function.over
                && spec.order_by.is_empty()
            {
                // the first value of the whole partition in the key's order, if any row has a key
                let key = c.args.pop().unwrap_or_else(|| Expr::Value(Value::Null.into()));
                let value = c.args.pop().unwrap_or_else(|| Expr::Value(Value::Null.into()));
                spec.order_by = vec![OrderByExpr {
                    expr: key.clone(),
                    options: sqlparser::ast::OrderByOptions { asc: Some(name == "min_by"), nulls_first: Some(false) },
                    with_fill: None,
                }];
                c.args = vec![case(vec![(Expr::IsNotNull(Box::new(key)), value)], None)];
                whole_partition(&mut c.function);
                return Ok(Ok(c.named("first_value")));
            }
            // the value at the extreme key: FIRST_VALUE in that key's order, rows without a key left out
            let key = c.args.pop().unwrap_or_else(|| Expr::Value(Value::Null.into()));
            c.order_by = vec![OrderByExpr {
                expr: key.clone(),
                options: sqlparser::ast::OrderByOptions { asc: Some(name == "min_by"), nulls_first: Some(false) },
                with_fill: None,
            }];
            c.order_inside();
            c.function.filter = Some(Box::new(Expr::IsNotNull(Box::new(key))));
            c.named("first_value")
        }
        "first_value" | "last_value" | "nth_value" => {
            let FunctionArguments::List(list) = &mut c.function.args else { return Ok(Err(c)) };
            list.clauses.retain(|clause| !matches!(clause, FunctionArgumentClause::OrderBy(_)));
            whole_partition(&mut c.function);
            c.named(name)
        }
        spelling::NTH_FROM_LAST => {
            // the order turned around
            if let Some(WindowType::WindowSpec(spec)) = &mut c.function.over {
                for key in &mut spec.order_by {
                    let ascending = key.options.asc.unwrap_or(true);
                    let nulls_first = key.options.nulls_first.unwrap_or(!ascending);
                    key.options = OrderByOptions { asc: Some(!ascending), nulls_first: Some(!nulls_first) };
                }
                if let Some(frame) = &mut spec.window_frame {
                    let turned = |bound: WindowFrameBound| match bound {
                        WindowFrameBound::Preceding(n) => WindowFrameBound::Following(n),
                        WindowFrameBound::Following(n) => WindowFrameBound::Preceding(n),
                        WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
                    };
                    let end = frame.end_bound.take().unwrap_or(WindowFrameBound::CurrentRow);
                    let start = std::mem::replace(&mut frame.start_bound, turned(end));
                    frame.end_bound = Some(turned(start));
                }
            }
            whole_partition(&mut c.function);
            c.named("nth_value")
        }
        "interpolate_linear" => {
            c.arity(name, 1..=1)?;
            let key = match &c.function.over {
                Some(WindowType::WindowSpec(spec)) if spec.order_by.len() == 1 => spec.order_by[0].expr.clone(),
                _ => {
                    return Err(SqlError::new("sql/window-order", "`INTERPOLATE_LINEAR` needs one expression in the ORDER BY of its OVER"));
                }
            };
            c.args.push(key);
            c.named(name)
        }
        "interpolate_ffill" | "interpolate_bfill" => {
            c.arity(name, 1..=1)?;
            let forwards = name == "interpolate_ffill";
            let (start, end) = if forwards {
                (WindowFrameBound::Preceding(None), WindowFrameBound::CurrentRow)
            } else {
                (WindowFrameBound::CurrentRow, WindowFrameBound::Following(None))
            };
            frame(&mut c.function, start, end);
            c.function.null_treatment = Some(sqlparser::ast::NullTreatment::IgnoreNulls);
            c.named(if forwards { "last_value" } else { "first_value" })
        }
        "count_if" | "countif" => {
            c.arity(name, 1..=1)?;
            let condition = c.take(0);
            c.args = vec![case(vec![(condition, number(1))], None)];
            c.named("count")
        }
        _ => return Ok(Err(c)),
    }))
}

/// Window functions that say nothing without an order are refused, as Snowflake does; so are frames that it lacks.
pub(super) fn check_window(name: &str, spec: &WindowSpec, distinct: bool) -> Result<(), SqlError> {
    const ORDERED: [&str; 13] = [
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "nth_value",
        "conditional_change_event",
        "conditional_true_event",
    ];
    if spec.order_by.is_empty() && spec.window_name.is_none() && ORDERED.contains(&name) {
        return Err(SqlError::new("sql/window-order", format!("`{}` needs ORDER BY in its OVER", name.to_uppercase())));
    }
    if distinct && !(spec.order_by.is_empty() && spec.window_frame.is_none()) {
        return Err(SqlError::new(
            "sql/window-order",
            format!("`{}(DISTINCT ...)` takes no ORDER BY and no frame in its OVER", name.to_uppercase()),
        ));
    }
    if matches!(&spec.window_frame, Some(frame) if frame.units == WindowFrameUnits::Groups) {
        return Err(SqlError::unsupported("GROUPS in a window frame").help("use ROWS or RANGE"));
    }
    Ok(())
}

fn boolean(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

/// FIRST_VALUE, LAST_VALUE and NTH_VALUE look at the whole partition unless a frame is written (Snowflake
/// documentation, "Window function syntax and usage").
fn whole_partition(f: &mut Function) {
    frame(f, WindowFrameBound::Preceding(None), WindowFrameBound::Following(None));
}

fn frame(f: &mut Function, start_bound: WindowFrameBound, end_bound: WindowFrameBound) {
    if let Some(WindowType::WindowSpec(spec)) = &mut f.over
        && spec.window_frame.is_none()
    {
        spec.window_frame = Some(WindowFrame { units: WindowFrameUnits::Rows, start_bound, end_bound: Some(end_bound) });
    }
}

/// An ordered aggregate over a window: the keys become arguments.
pub(super) fn ordered_window(mut c: Call, name: &str) -> Expr {
    if name == "__listagg_over"
        && let Some(first) = c.args.first_mut()
    {
        *first = cast(first.clone(), Type::Varchar, false);
    }
    for key in std::mem::take(&mut c.order_by) {
        let descending = key.options.asc == Some(false);
        c.args.push(key.expr);
        c.args.push(boolean(descending));
        c.args.push(boolean(key.options.nulls_first.unwrap_or(descending)));
    }
    c.function.within_group.clear();
    let call = c.named(name);
    if name == "__listagg_over" { function("coalesce", vec![call, string("")]) } else { call }
}

/// A sum that overflows is told at its call.
pub(in super::super) fn place(f: &mut Function, place: &Place) {
    let name = f.name.to_string();
    if !matches!(name.as_str(), "sum" | "avg" | "__avg_over") {
        return;
    }
    if let FunctionArguments::List(list) = &mut f.args
        && list.args.len() == 1
        && !matches!(list.duplicate_treatment, Some(DuplicateTreatment::All))
    {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(string(mark(place)))));
    }
}
