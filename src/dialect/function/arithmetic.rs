//! `+ - * / %` over NUMBER and FLOAT: precision and scale of the result, and checked evaluation.
//!
//! The planner of operators computes a result type by the rules below and hands it over as the last argument, so that
//! no later rewrite of the operands (a folded constant, say) can change it. Nothing wraps: a value that does not fit
//! its result is an error.

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Decimal128Array, Float64Array},
        compute::kernels::{arity::try_binary, numeric},
        datatypes::{Decimal128Type, FieldRef, Float64Type, Int64Type, i256},
        error::ArrowError,
    },
    common::{DataFusionError, Result, plan_err},
};

use super::{
    cast::{Failure, convert, number_array},
    scalar::{Arity, CallTypes, Function, Rows},
    value::normalised,
};
use crate::dialect::{SqlError, types::Type};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__add", Arity::Exactly(3), result, |r| evaluate(r, Op::Add)),
    Function::new("__subtract", Arity::Exactly(3), result, |r| evaluate(r, Op::Subtract)),
    Function::new("__multiply", Arity::Exactly(3), result, |r| evaluate(r, Op::Multiply)),
    Function::new("__divide", Arity::Exactly(3), result, |r| evaluate(r, Op::Divide)),
    Function::new("__modulo", Arity::Exactly(3), result, |r| evaluate(r, Op::Modulo)),
    Function::new("__negate", Arity::Exactly(1), |c| Ok(negated(c.types[0]).field(c.name)), negate),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Op {
    pub fn function(self) -> &'static str {
        match self {
            Self::Add => "__add",
            Self::Subtract => "__subtract",
            Self::Multiply => "__multiply",
            Self::Divide => "__divide",
            Self::Modulo => "__modulo",
        }
    }

    /// Type of the result (Snowflake documentation, "Arithmetic operators", "Scale and precision in arithmetic
    /// operations"). Anything with a FLOAT is a FLOAT.
    pub fn result(self, left: Type, right: Type) -> Type {
        let (Type::Number { precision: p1, scale: s1 }, Type::Number { precision: p2, scale: s2 }) = (left, right) else {
            return Type::Float;
        };
        let (s1, s2) = (i32::from(s1), i32::from(s2));
        let (l1, l2) = (i32::from(p1) - s1, i32::from(p2) - s2);
        let (leading, scale) = match self {
            Self::Add | Self::Subtract => (l1.max(l2) + 1, s1.max(s2)),
            Self::Multiply => (l1 + l2, (s1 + s2).min(s1.max(s2).max(12))),
            Self::Divide => (l1 + s2, s1.max((s1 + 6).min(12))),
            Self::Modulo => (l1.max(l2), s1.max(s2)),
        };
        Type::number(leading + scale, scale)
    }
}

fn result(call: &CallTypes) -> Result<FieldRef> {
    match call.text(2).map(|t| Type::parse(&t)) {
        Some(Ok(t)) => Ok(t.field(call.name)),
        _ => plan_err!("the result of `{}` is a type name", call.name),
    }
}

/// A result that does not fit; the caller knows the place.
pub(super) fn overflow(of: Type) -> DataFusionError {
    let error = if of.is_int64() {
        SqlError::new("sql/overflow", "the result is out of range of 64-bit integers")
            .help("cast an operand to NUMBER(37,0), which has 37 digits, or to FLOAT")
    } else {
        SqlError::new("sql/overflow", format!("the result is out of range of {of}")).help("cast an operand to a smaller scale, or to FLOAT")
    };
    DataFusionError::External(Box::new(error))
}

pub(super) fn division_by_zero() -> DataFusionError {
    DataFusionError::External(Box::new(
        SqlError::new("sql/division-by-zero", "division by zero").help("guard the divisor: DIV0(a, b), or NULLIF(b, 0)"),
    ))
}

fn told(error: ArrowError, of: Type) -> DataFusionError {
    match error {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(_) | ArrowError::ComputeError(_) => overflow(of),
        other => other.into(),
    }
}

fn evaluate(r: &Rows, op: Op) -> Result<ArrayRef> {
    match r.result {
        Type::Number { precision, scale } => exact(r, op, precision, scale),
        _ => approximate(r, op),
    }
}

fn approximate(r: &Rows, op: Op) -> Result<ArrayRef> {
    let (a, b) = (floats(r, 0)?, floats(r, 1)?);
    if matches!(op, Op::Divide | Op::Modulo) && b.iter().zip(a.iter()).any(|(b, a)| b == Some(0.0) && a.is_some()) {
        return Err(division_by_zero());
    }
    Ok(match op {
        Op::Add => numeric::add(&a, &b)?,
        Op::Subtract => numeric::sub(&a, &b)?,
        Op::Multiply => numeric::mul(&a, &b)?,
        Op::Divide => numeric::div(&a, &b)?,
        Op::Modulo => numeric::rem(&a, &b)?,
    })
}

fn exact(r: &Rows, op: Op, precision: u8, scale: i8) -> Result<ArrayRef> {
    let fail = |e| told(e, r.result);
    if op != Op::Divide && r.result.is_int64() && r.types[0].is_int64() && r.types[1].is_int64() {
        let (a, b) = (normalised(&r.args[0], r.types[0])?, normalised(&r.args[1], r.types[1])?);
        return match op {
            Op::Add => numeric::add(&a, &b),
            Op::Subtract => numeric::sub(&a, &b),
            Op::Multiply => numeric::mul(&a, &b),
            _ => numeric::rem(&a, &b),
        }
        .map_err(fail);
    }
    let ((a, s1), (b, s2)) = (unscaled(&r.args[0], r.types[0])?, unscaled(&r.args[1], r.types[1])?);
    let limit = 10_i128.pow(u32::from(precision.min(38)));
    let within = |v: Option<i128>| match v {
        Some(v) if v.unsigned_abs() < limit.unsigned_abs() => Ok(v),
        _ => Err(ArrowError::ComputeError(String::new())),
    };
    // scales as powers of ten, looked up once per batch
    let up = |from: i8| 10_i128.checked_pow((scale - from).max(0) as u32).unwrap_or(i128::MAX);
    let (up1, up2) = (up(s1), up(s2));
    let values: Decimal128Array = match op {
        Op::Add => try_binary(&a, &b, |a, b| within(scaled(a, up1).zip(scaled(b, up2)).and_then(|(a, b)| a.checked_add(b)))),
        Op::Subtract => try_binary(&a, &b, |a, b| within(scaled(a, up1).zip(scaled(b, up2)).and_then(|(a, b)| a.checked_sub(b)))),
        Op::Multiply => {
            let cut = 10_i128.pow((s1 + s2 - scale).clamp(0, 38) as u32);
            try_binary(&a, &b, |a, b| within(product(a, b, cut)))
        }
        Op::Divide => {
            let shift = scale - s1 + s2;
            try_binary(&a, &b, |a, b| if b == 0 { Err(ArrowError::DivideByZero) } else { within(quotient(a, b, shift)) })
        }
        Op::Modulo => try_binary(&a, &b, |a, b| {
            if b == 0 {
                return Err(ArrowError::DivideByZero);
            }
            within(scaled(a, up1).zip(scaled(b, up2)).and_then(|(a, b)| a.checked_rem(b)))
        }),
    }
    .map_err(fail)?;
    stored(values, r.result)
}

/// Unscaled values in the layout of a NUMBER.
fn stored(values: Decimal128Array, of: Type) -> Result<ArrayRef> {
    let Type::Number { precision, scale } = of else { return super::scalar::fail("a number was expected") };
    if of.is_int64() {
        return number_array(values.iter().collect(), precision, scale, Failure::Error).map_err(|_| overflow(of));
    }
    Ok(std::sync::Arc::new(values.with_precision_and_scale(precision, scale)?))
}

fn scaled(value: i128, by: i128) -> Option<i128> {
    if by == 1 { Some(value) } else { value.checked_mul(by) }
}

/// `a * b / cut`, rounded half away from zero.
fn product(a: i128, b: i128, cut: i128) -> Option<i128> {
    match a.checked_mul(b) {
        Some(p) if cut == 1 => Some(p),
        Some(p) => Some(halves_away(p / cut, p % cut, cut, p < 0)),
        None if cut == 1 => None,
        None => wide_quotient(i256::from_i128(a).checked_mul(i256::from_i128(b))?, i256::from_i128(cut)),
    }
}

/// `a * 10^shift / b`, rounded half away from zero.
pub(super) fn quotient(a: i128, b: i128, shift: i8) -> Option<i128> {
    let unit = 10_i128.checked_pow(u32::from(shift.unsigned_abs()));
    if shift >= 0 {
        if let Some(dividend) = unit.and_then(|u| a.checked_mul(u)) {
            return Some(halves_away(dividend / b, dividend % b, b, (dividend < 0) != (b < 0)));
        }
        let mut dividend = i256::from_i128(a);
        for _ in 0..shift {
            dividend = dividend.checked_mul(i256::from_i128(10))?;
        }
        return wide_quotient(dividend, i256::from_i128(b));
    }
    let divisor = i256::from_i128(b).checked_mul(i256::from_i128(unit?))?;
    wide_quotient(i256::from_i128(a), divisor)
}

fn halves_away(quotient: i128, rest: i128, divisor: i128, negative: bool) -> i128 {
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        if negative { quotient - 1 } else { quotient + 1 }
    } else {
        quotient
    }
}

pub(super) fn wide_quotient(dividend: i256, divisor: i256) -> Option<i128> {
    let (q, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let two = i256::from_i128(2);
    let away = rest.wrapping_abs().checked_mul(two)? >= divisor.wrapping_abs();
    let negative = dividend.is_negative() != divisor.is_negative();
    let step = i256::from_i128(if !away {
        0
    } else if negative {
        -1
    } else {
        1
    });
    q.checked_add(step)?.to_i128()
}

pub(super) fn floats(r: &Rows, index: usize) -> Result<Float64Array> {
    let array = convert(&r.args[index], r.types[index], Type::Float, Failure::Error)?;
    Ok(array.as_primitive::<Float64Type>().clone())
}

/// Unscaled values with their scale.
pub(super) fn unscaled(array: &ArrayRef, of: Type) -> Result<(Decimal128Array, i8)> {
    let array = normalised(array, of)?;
    match of {
        Type::Number { .. } if of.is_int64() => Ok((array.as_primitive::<Int64Type>().unary(i128::from), 0)),
        Type::Number { scale, .. } => Ok((array.as_primitive::<Decimal128Type>().clone(), scale)),
        other => super::scalar::fail(format!("a number was expected, not {other}")),
    }
}

fn negated(of: Type) -> Type {
    if of.is_numeric() { of } else { Type::Float }
}

fn negate(r: &Rows) -> Result<ArrayRef> {
    if r.result == Type::Float {
        return Ok(numeric::neg(&floats(r, 0)?)?);
    }
    let array = normalised(&r.args[0], r.types[0])?;
    numeric::neg(array.as_ref()).map_err(|e| told(e, r.result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(p: u8, s: i8) -> Type {
        Type::Number { precision: p, scale: s }
    }

    /// Snowflake documentation, "Arithmetic operators": its rules, and its examples of multiplication and division.
    #[test]
    fn result_types_follow_the_documented_rules() {
        use Op::*;
        for (op, a, b, wanted) in [
            (Add, (10, 2), (10, 2), (11, 2)),
            (Add, (38, 0), (38, 0), (38, 0)),
            (Add, (5, 4), (10, 0), (15, 4)),
            (Subtract, (2, 1), (2, 2), (4, 2)),
            (Add, (38, 10), (38, 2), (38, 10)),
            (Multiply, (10, 2), (10, 2), (20, 4)),
            (Multiply, (16, 8), (16, 8), (28, 12)),
            (Multiply, (20, 13), (5, 1), (24, 13)),
            (Multiply, (20, 10), (20, 14), (30, 14)),
            (Multiply, (38, 0), (38, 0), (38, 0)),
            (Multiply, (1, 0), (10, 2), (11, 2)),
            (Divide, (1, 0), (1, 0), (7, 6)),
            (Divide, (38, 0), (38, 0), (38, 6)),
            (Divide, (10, 4), (10, 2), (18, 10)),
            (Divide, (10, 8), (5, 0), (14, 12)),
            (Divide, (20, 14), (5, 2), (22, 14)),
            (Modulo, (10, 2), (5, 3), (11, 3)),
            (Modulo, (38, 0), (1, 0), (38, 0)),
        ] {
            assert_eq!(op.result(number(a.0, a.1), number(b.0, b.1)), number(wanted.0, wanted.1), "{op:?} {a:?} {b:?}");
        }
        assert_eq!(Add.result(Type::Float, number(10, 2)), Type::Float);
    }

    /// Whatever the operands, the rules keep every type within NUMBER(38,37) and commutative where the operation is.
    #[test]
    fn result_types_are_types() {
        let all: Vec<Type> = (1..=38_u8).flat_map(|p| (0..=p.min(37)).map(move |s| number(p, s as i8))).collect();
        for a in &all {
            for b in all.iter().step_by(7) {
                for op in [Op::Add, Op::Subtract, Op::Multiply, Op::Divide, Op::Modulo] {
                    let Type::Number { precision, scale } = op.result(*a, *b) else { panic!("a number") };
                    assert!((1..=38).contains(&precision) && (0..=37).contains(&scale) && scale <= precision as i8, "{op:?} {a} {b}");
                    if op != Op::Divide {
                        assert_eq!(op.result(*a, *b), op.result(*b, *a), "{op:?} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_round_half_away_from_zero_and_never_wrap() {
        for (a, b, shift, wanted) in [
            (1, 3, 6, Some(333_333)),
            (2, 3, 6, Some(666_667)),
            (-2, 3, 6, Some(-666_667)),
            (105, 5, 5, Some(2_100_000)),
            (1, 2, 0, Some(1)),
            (-1, 2, 0, Some(-1)),
            (i128::MAX, 3, 2, None),
            (10_i128.pow(37), 10_i128.pow(30), 12, Some(10_i128.pow(19))),
            (125, 1, -1, Some(13)),
        ] {
            assert_eq!(quotient(a, b, shift), wanted, "{a} / {b} at {shift}");
        }
        assert_eq!(product(10_i128.pow(30), 10_i128.pow(20), 10_i128.pow(15)), Some(10_i128.pow(35)));
        assert_eq!(product(i128::MAX, 2, 1), None);
        assert_eq!(product(15, 1, 10), Some(2));
        assert_eq!(product(-15, 1, 10), Some(-2));
    }
}
