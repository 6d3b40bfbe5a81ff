//! Numbers: Snowflake's division and average (scales of the result), rounding, random.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array},
        compute::cast,
        datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type},
    },
    common::Result,
};

use super::{
    cast::{Failure, convert, rescale},
    json::integer,
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("div", Arity::Exactly(2), |c| Ok(quotient_type(c.types[0], c.types[1]).field(c.name)), |r| divide(r, false)),
    Function::new("__avg", Arity::Exactly(2), |c| Ok(average_type(c.types[0]).field(c.name)), |r| divide(r, true)),
    Function::new("round", Arity::Between(1, 3), round_type, |r| round(r, Rounding::HalfAway))
        .natively(|args, types| matches!(types[0], Type::Number { scale: 0, .. }).then(|| args[0].clone()).filter(|_| args.len() == 1)),
    Function::new("trunc", Arity::Between(1, 2), round_type, |r| round(r, Rounding::TowardsZero))
        .natively(|args, types| (matches!(types[0], Type::Number { scale: 0, .. }) && args.len() == 1).then(|| args[0].clone())),
    Function::new("ceil", Arity::Between(1, 2), round_type, |r| round(r, Rounding::Up)),
    Function::new("floor", Arity::Between(1, 2), round_type, |r| round(r, Rounding::Down)),
    Function::new("sign", Arity::Exactly(1), integer, |r| {
        let floats = floats(r, 0)?;
        Ok(Arc::new(
            floats
                .iter()
                .map(|v| {
                    v.map(|v| {
                        if v > 0.0 {
                            1
                        } else if v < 0.0 {
                            -1
                        } else {
                            0
                        }
                    })
                })
                .collect::<Int64Array>(),
        ))
    }),
    Function::new("random", Arity::Between(0, 1), integer, |r| {
        use rand::Rng;
        let mut rng = rand::rng();
        Ok(Arc::new((0..r.rows).map(|_| Some(rng.random::<i64>())).collect::<Int64Array>()))
    })
    .volatile(),
    Function::new("width_bucket", Arity::Exactly(4), integer, |r| {
        let (v, low, high, n) = (floats(r, 0)?, floats(r, 1)?, floats(r, 2)?, r.integers(3)?);
        let buckets = (0..r.rows).map(|i| {
            if v.is_null(i) || low.is_null(i) || high.is_null(i) || n.is_null(i) {
                return None;
            }
            let (v, low, high, n) = (v.value(i), low.value(i), high.value(i), n.value(i));
            Some(if v < low {
                0
            } else if v >= high {
                n + 1
            } else {
                ((v - low) / (high - low) * n as f64) as i64 + 1
            })
        });
        Ok(Arc::new(buckets.collect::<Int64Array>()))
    }),
];

fn scale_of(t: Type) -> Option<i8> {
    match t {
        Type::Number { scale, .. } => Some(scale),
        _ => None,
    }
}

/// Scale of a division: the dividend's plus 6, at most 12 unless the dividend's is larger (Snowflake documentation,
/// "Arithmetic operators").
fn quotient_type(dividend: Type, divisor: Type) -> Type {
    match (scale_of(dividend), scale_of(divisor)) {
        (Some(s), Some(_)) => Type::Number { precision: 38, scale: s.max((s + 6).min(12)) },
        _ => Type::Float,
    }
}

fn average_type(sum: Type) -> Type {
    match scale_of(sum) {
        Some(s) => Type::Number { precision: 38, scale: s.max((s + 6).min(12)) },
        None => Type::Float,
    }
}

fn floats(r: &Rows, index: usize) -> Result<Float64Array> {
    let array = convert(&r.args[index], r.types[index], Type::Float, Failure::Error)?;
    Ok(array.as_primitive::<Float64Type>().clone())
}

/// Unscaled values with their scale.
fn unscaled(array: &ArrayRef, of: Type) -> Result<Vec<Option<i128>>> {
    Ok(match of {
        Type::Number { scale: 0, .. } => {
            let array = cast(array, &DataType::Int64)?;
            array.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from)).collect()
        }
        Type::Number { precision, scale } => {
            let array = cast(array, &DataType::Decimal128(precision, scale))?;
            array.as_primitive::<Decimal128Type>().iter().collect()
        }
        _ => return fail("a number was expected"),
    })
}

fn divide(r: &Rows, empty_is_null: bool) -> Result<ArrayRef> {
    let Type::Number { scale, .. } = r.result else {
        let (a, b) = (floats(r, 0)?, floats(r, 1)?);
        let quotients = a.iter().zip(b.iter()).map(|(a, b)| match (a, b) {
            (Some(_), Some(b)) if b == 0.0 && !empty_is_null => fail("Division by zero"),
            (Some(_), Some(0.0)) => Ok(None),
            (Some(a), Some(b)) => Ok(Some(a / b)),
            _ => Ok(None),
        });
        return Ok(Arc::new(quotients.collect::<Result<Float64Array>>()?));
    };
    let (a, b) = (unscaled(&r.args[0], r.types[0])?, unscaled(&r.args[1], r.types[1])?);
    let (a_scale, b_scale) = (scale_of(r.types[0]).unwrap_or(0), scale_of(r.types[1]).unwrap_or(0));
    let quotients = a.into_iter().zip(b).map(|(a, b)| match (a, b) {
        (Some(_), Some(0)) if empty_is_null => Ok(None),
        (Some(_), Some(0)) => fail("Division by zero"),
        (Some(a), Some(b)) => match quotient(a, a_scale, b, b_scale, scale) {
            Some(q) => Ok(Some(q)),
            None => fail("the result of a division is out of range"),
        },
        _ => Ok(None),
    });
    Ok(Arc::new(quotients.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(38, scale)?))
}

/// `a / b` at `scale`, rounded half away from zero.
fn quotient(a: i128, a_scale: i8, b: i128, b_scale: i8, scale: i8) -> Option<i128> {
    let shift = scale - a_scale + b_scale;
    let (dividend, divisor) = if shift >= 0 {
        (a.checked_mul(10_i128.checked_pow(shift as u32)?)?, b)
    } else {
        (a, b.checked_mul(10_i128.checked_pow((-shift) as u32)?)?)
    };
    let (q, rest) = (dividend / divisor, dividend % divisor);
    let away = rest.unsigned_abs() * 2 >= divisor.unsigned_abs();
    Some(if away && rest != 0 { q + dividend.signum() * divisor.signum() } else { q })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    HalfAway,
    TowardsZero,
    Up,
    Down,
}

/// The scale of the result is the wanted one, where it is a literal not above the argument's.
fn round_type(call: &CallTypes) -> Result<FieldRef> {
    Ok(match call.types[0] {
        Type::Number { precision, scale } => {
            let wanted = if call.types.len() > 1 { call.integer(1).unwrap_or(i64::from(scale)) } else { 0 };
            Type::Number { precision, scale: wanted.clamp(0, i64::from(scale)) as i8 }
        }
        Type::Date | Type::TimestampNtz => call.types[0],
        _ => Type::Float,
    }
    .field(call.name))
}

fn round(r: &Rows, how: Rounding) -> Result<ArrayRef> {
    let places = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
    let place = |i: usize| places.as_ref().map_or(0, |p| p.value(i)).clamp(-38, 38) as i32;
    if let Type::Number { scale: to, precision } = r.result {
        let from = scale_of(r.types[0]).unwrap_or(0);
        let values = unscaled(&r.args[0], r.types[0])?.into_iter().enumerate().map(|(i, v)| match v {
            None => Ok(None),
            Some(v) => {
                round_unscaled(v, from, place(i), to, how).map_or_else(|| fail("the result of rounding is out of range"), |v| Ok(Some(v)))
            }
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        return Ok(if to == 0 {
            Arc::new(values.into_iter().map(|v| v.map(|v| v as i64)).collect::<Int64Array>())
        } else {
            Arc::new(values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(precision.max(to as u8 + 1).min(38), to)?)
        });
    }
    let values = floats(r, 0)?;
    let rounded = values.iter().enumerate().map(|(i, v)| {
        v.map(|v| {
            let unit = 10_f64.powi(place(i));
            let scaled = v * unit;
            let whole = match how {
                Rounding::HalfAway => scaled.round(),
                Rounding::TowardsZero => scaled.trunc(),
                Rounding::Up => scaled.ceil(),
                Rounding::Down => scaled.floor(),
            };
            if whole.is_finite() && unit.is_finite() { whole / unit } else { v }
        })
    });
    Ok(Arc::new(rounded.collect::<Float64Array>()))
}

fn round_unscaled(v: i128, from: i8, place: i32, to: i8, how: Rounding) -> Option<i128> {
    let cut = i32::from(from) - place;
    let kept = if cut <= 0 {
        v
    } else {
        let unit = 10_i128.checked_pow(cut.min(38) as u32)?;
        let (q, rest) = (v / unit, v % unit);
        let step = match how {
            Rounding::HalfAway if rest.abs() * 2 >= unit => v.signum(),
            Rounding::Up if rest > 0 => 1,
            Rounding::Down if rest < 0 => -1,
            _ => 0,
        };
        (q + step).checked_mul(unit)?
    };
    rescale(kept, from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_round_half_away_from_zero() {
        assert_eq!(quotient(1, 0, 3, 0, 6), Some(333_333));
        assert_eq!(quotient(2, 0, 3, 0, 6), Some(666_667));
        assert_eq!(quotient(-2, 0, 3, 0, 6), Some(-666_667));
        assert_eq!(quotient(105, 2, 5, 1, 8), Some(210_000_000));
        assert_eq!(quotient_type(Type::INTEGER, Type::INTEGER).to_string(), "NUMBER(38,6)");
    }

    #[test]
    fn rounding() {
        assert_eq!(round_unscaled(12345, 3, 2, 2, Rounding::HalfAway), Some(1235));
        assert_eq!(round_unscaled(-12345, 3, 2, 2, Rounding::HalfAway), Some(-1235));
        assert_eq!(round_unscaled(12345, 3, 2, 2, Rounding::TowardsZero), Some(1234));
        assert_eq!(round_unscaled(155, 0, -1, 0, Rounding::HalfAway), Some(160));
    }
}
