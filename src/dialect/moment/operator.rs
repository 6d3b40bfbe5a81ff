//! Operators over dates and times, planned by the types of both sides: comparison on one scale, days added.

use datafusion::{
    common::{Result, plan_err},
    logical_expr::Expr,
    prelude::lit,
};
use sqlparser::ast::BinaryOperator as Op;

use crate::dialect::{function, types::Type};

/// What an operator over these types becomes.
pub enum Plan {
    /// None of this file's business.
    Other(Expr, Expr),
    /// The same operator over other expressions.
    Sides(Expr, Expr),
    Done(Expr),
}

/// Plans `left op right` where one side is a date or time.
pub fn plan(op: &Op, left: Expr, left_type: Type, right: Expr, right_type: Type) -> Result<Plan> {
    let null = |e: &Expr| matches!(e, Expr::Literal(v, _) if v.is_null());
    if !(left_type.is_moment() || right_type.is_moment()) || null(&left) || null(&right) {
        return Ok(Plan::Other(left, right));
    }
    Ok(match op {
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => {
            match comparable(left, left_type, right, right_type) {
                (l, r, true) => Plan::Sides(l, r),
                (l, r, false) => Plan::Other(l, r),
            }
        }
        Op::Plus if left_type.is_dated() && counts(right_type) => Plan::Done(days(right, left)?),
        Op::Plus if right_type.is_dated() && counts(left_type) => Plan::Done(days(left, right)?),
        Op::Minus if left_type.is_dated() && counts(right_type) => Plan::Done(days(Expr::Negative(Box::new(right)), left)?),
        Op::Minus if left_type == Type::Date && right_type == Type::Date => {
            Plan::Done(function::call("datediff", vec![lit("day"), right, left])?)
        }
        Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
            return plan_err!(
                "`{op}` has no meaning between {left_type} and {right_type}; use DATEADD or DATEDIFF, or cast to DATE for a difference in days"
            );
        }
        _ => Plan::Other(left, right),
    })
}

fn counts(of: Type) -> bool {
    matches!(of, Type::Number { .. } | Type::Float)
}

fn days(n: Expr, moment: Expr) -> Result<Expr> {
    function::call("dateadd", vec![lit("day"), n, moment])
}

/// Both sides on one scale, and whether that took a change: as soon as one has a zone, both are instants.
pub fn comparable(left: Expr, left_type: Type, right: Expr, right_type: Type) -> (Expr, Expr, bool) {
    let has_zone = |t: Type| matches!(t, Type::TimestampLtz | Type::TimestampTz);
    let instant = |e: Expr, t: Type| if t == Type::TimestampLtz { e } else { function::cast(e, Type::TimestampLtz) };
    let readable = |t: Type| t.is_dated() || matches!(t, Type::Varchar | Type::Semi(_));
    if (has_zone(left_type) && readable(right_type)) || (has_zone(right_type) && readable(left_type)) {
        return (instant(left, left_type), instant(right, right_type), true);
    }
    (left, right, false)
}
