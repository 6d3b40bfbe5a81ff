//! Rounding, signs, powers, logarithms and trigonometry, with Snowflake's types, domains and NULLs.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Float64Array, Int64Array},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    arithmetic::{floats, overflow, unscaled},
    cast::{Failure, number_array, rescale},
    json::integer,
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("round", Arity::Between(1, 3), |c| round_type(c, 2), |r| round(r, rounding_mode(r)?))
        .natively(|args, types| (types[0].is_int64() && args.len() == 1).then(|| args[0].clone())),
    Function::new("trunc", Arity::Between(1, 2), |c| round_type(c, 1), |r| round(r, Rounding::TowardsZero))
        .natively(|args, types| (types[0].is_int64() && args.len() == 1).then(|| args[0].clone())),
    Function::new("ceil", Arity::Between(1, 2), |c| round_type(c, 1), |r| round(r, Rounding::Up)),
    Function::new("floor", Arity::Between(1, 2), |c| round_type(c, 1), |r| round(r, Rounding::Down)),
    Function::new("abs", Arity::Exactly(1), |c| Ok(if c.types[0].is_numeric() { c.types[0] } else { Type::Float }.field(c.name)), abs),
    Function::new("sign", Arity::Exactly(1), integer, |r| {
        let values = floats(r, 0)?;
        let sign = |v: f64| if v > 0.0 { 1 } else { -i64::from(v < 0.0) };
        Ok(Arc::new(values.iter().map(|v| v.map(sign)).collect::<Int64Array>()))
    }),
    Function::new("random", Arity::Between(0, 1), integer, |r| {
        use rand::Rng;
        let mut rng = rand::rng();
        Ok(Arc::new((0..r.rows).map(|_| Some(rng.random::<i64>())).collect::<Int64Array>()))
    })
    .volatile(),
    Function::new("width_bucket", Arity::Exactly(4), integer, width_bucket),
    Function::new("factorial", Arity::Exactly(1), |c| Ok(Type::Number { precision: 37, scale: 0 }.field(c.name)), factorial),
    Function::new("sqrt", Arity::Exactly(1), float, |r| one(r, f64::sqrt)),
    Function::new("cbrt", Arity::Exactly(1), float, |r| one(r, f64::cbrt)),
    Function::new("exp", Arity::Exactly(1), float, |r| one(r, f64::exp)),
    Function::new("ln", Arity::Exactly(1), float, |r| one(r, |v| if v > 0.0 { v.ln() } else { f64::NAN })),
    Function::new("log", Arity::Exactly(2), float, |r| {
        two(r, |base, v| {
            if base <= 0.0 || v <= 0.0 || base == 1.0 {
                return f64::NAN;
            }
            // ln(8)/ln(2) is 2.0794415416798357/0.6931471805599453 = 3 exactly, ln(1000)/ln(10) is not
            if base == 10.0 { v.log10() } else { v.ln() / base.ln() }
        })
    }),
    Function::new("power", Arity::Exactly(2), float, |r| two(r, f64::powf)),
    Function::new("square", Arity::Exactly(1), float, |r| one(r, |v| v * v)),
    Function::new("sin", Arity::Exactly(1), float, |r| one(r, f64::sin)),
    Function::new("cos", Arity::Exactly(1), float, |r| one(r, f64::cos)),
    Function::new("tan", Arity::Exactly(1), float, |r| one(r, f64::tan)),
    Function::new("cot", Arity::Exactly(1), float, |r| one(r, |v| 1.0 / v.tan())),
    Function::new("asin", Arity::Exactly(1), float, |r| one(r, f64::asin)),
    Function::new("acos", Arity::Exactly(1), float, |r| one(r, f64::acos)),
    Function::new("atan", Arity::Exactly(1), float, |r| one(r, f64::atan)),
    Function::new("atan2", Arity::Exactly(2), float, |r| two(r, f64::atan2)),
    Function::new("sinh", Arity::Exactly(1), float, |r| one(r, f64::sinh)),
    Function::new("cosh", Arity::Exactly(1), float, |r| one(r, f64::cosh)),
    Function::new("tanh", Arity::Exactly(1), float, |r| one(r, f64::tanh)),
    Function::new("asinh", Arity::Exactly(1), float, |r| one(r, libm::asinh)),
    Function::new("acosh", Arity::Exactly(1), float, |r| one(r, libm::acosh)),
    Function::new("atanh", Arity::Exactly(1), float, |r| one(r, libm::atanh)),
    Function::new("degrees", Arity::Exactly(1), float, |r| one(r, f64::to_degrees)),
    Function::new("radians", Arity::Exactly(1), float, |r| one(r, f64::to_radians)),
    Function::new("pi", Arity::Exactly(0), float, |r| Ok(Arc::new(Float64Array::from(vec![std::f64::consts::PI; r.rows])))),
    Function::new("haversine", Arity::Exactly(4), float, haversine),
];

pub(super) fn float(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Float.field(call.name))
}

/// A function of one FLOAT. What is not a number although the argument is one, is outside the function's domain.
fn one(r: &Rows, f: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let values = floats(r, 0)?;
    let results = values.iter().map(|v| {
        let Some(v) = v else { return Ok(None) };
        let y = f(v);
        if y.is_nan() && !v.is_nan() { fail(format!("{v} is outside of the domain of the function")) } else { Ok(Some(y)) }
    });
    Ok(Arc::new(results.collect::<Result<Float64Array>>()?))
}

fn two(r: &Rows, f: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (a, b) = (floats(r, 0)?, floats(r, 1)?);
    let results = a.iter().zip(b.iter()).map(|(a, b)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let y = f(a, b);
        if y.is_nan() && !a.is_nan() && !b.is_nan() {
            fail(format!("({a}, {b}) is outside of the domain of the function"))
        } else {
            Ok(Some(y))
        }
    });
    Ok(Arc::new(results.collect::<Result<Float64Array>>()?))
}

fn abs(r: &Rows) -> Result<ArrayRef> {
    let Type::Number { precision, scale } = r.result else { return one(r, f64::abs) };
    let (values, _) = unscaled(&r.args[0], r.types[0])?;
    let values = values.iter().map(|v| v.map(i128::abs)).collect();
    number_array(values, precision, scale, Failure::Error).map_err(|_| overflow(r.result))
}

fn width_bucket(r: &Rows) -> Result<ArrayRef> {
    let (v, low, high, n) = (floats(r, 0)?, floats(r, 1)?, floats(r, 2)?, r.integers(3)?);
    let buckets = (0..r.rows).map(|i| {
        if v.is_null(i) || low.is_null(i) || high.is_null(i) || n.is_null(i) {
            return Ok(None);
        }
        let (v, low, high, n) = (v.value(i), low.value(i), high.value(i), n.value(i));
        if n <= 0 {
            return fail(format!("the number of buckets is positive, not {n}"));
        }
        if low == high {
            return fail("the bounds of WIDTH_BUCKET are equal");
        }
        // bounds may be given downwards
        let (v, low, high) = if low < high { (v, low, high) } else { (-v, -low, -high) };
        Ok(Some(if v < low {
            0
        } else if v >= high {
            n.saturating_add(1)
        } else {
            ((v - low) / (high - low) * n as f64) as i64 + 1
        }))
    });
    Ok(Arc::new(buckets.collect::<Result<Int64Array>>()?))
}

fn factorial(r: &Rows) -> Result<ArrayRef> {
    let values = r.integers(0)?;
    let factorials = values.iter().map(|v| match v {
        None => Ok(None),
        Some(v @ 0..=33) => Ok(Some((1..=i128::from(v)).product::<i128>())),
        Some(v) => fail(format!("the argument of FACTORIAL is 0 to 33, not {v}")),
    });
    number_array(factorials.collect::<Result<Vec<_>>>()?, 37, 0, Failure::Error)
}

/// Kilometres along a great circle of a sphere with the radius 6371 km.
fn haversine(r: &Rows) -> Result<ArrayRef> {
    let args = (0..4).map(|i| floats(r, i)).collect::<Result<Vec<_>>>()?;
    let distances = (0..r.rows).map(|i| {
        if args.iter().any(|a| a.is_null(i)) {
            return None;
        }
        let [lat1, lon1, lat2, lon2] = [0, 1, 2, 3].map(|a: usize| args[a].value(i).to_radians());
        let h = ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
        Some(2.0 * 6371.0 * h.sqrt().min(1.0).asin())
    });
    Ok(Arc::new(distances.collect::<Float64Array>()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    HalfAway,
    HalfEven,
    TowardsZero,
    Up,
    Down,
}

fn rounding_mode(r: &Rows) -> Result<Rounding> {
    if r.args.len() < 3 {
        return Ok(Rounding::HalfAway);
    }
    let modes = r.text(2)?;
    match modes.iter().flatten().next().map(str::to_uppercase).as_deref() {
        None | Some("HALF_AWAY_FROM_ZERO") => Ok(Rounding::HalfAway),
        Some("HALF_TO_EVEN") => Ok(Rounding::HalfEven),
        Some(other) => fail(format!("the rounding mode is 'HALF_AWAY_FROM_ZERO' or 'HALF_TO_EVEN', not '{other}'")),
    }
}

/// The scale of the result is the wanted one, where it is a literal not above the argument's; one more digit may
/// stand in front (99.9 is 100).
fn round_type(call: &CallTypes, most: usize) -> Result<FieldRef> {
    Ok(match call.types[0] {
        Type::Number { precision, scale } => {
            let wanted = if call.types.len() > 1 && most > 0 { call.integer(1).unwrap_or(i64::from(scale)) } else { 0 };
            let kept = wanted.clamp(0, i64::from(scale)) as i32;
            let cut = i32::from(scale) - kept;
            if cut == 0 { call.types[0] } else { Type::number(i32::from(precision) - cut + 1, kept) }
        }
        Type::Date | Type::TimestampNtz => call.types[0],
        _ => Type::Float,
    }
    .field(call.name))
}

fn round(r: &Rows, how: Rounding) -> Result<ArrayRef> {
    let places = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
    // a NULL scale makes the result NULL
    let place = |i: usize| match &places {
        None => Some(0),
        Some(p) => (!p.is_null(i)).then(|| p.value(i).clamp(-38, 38) as i32),
    };
    if let Type::Number { scale: to, precision } = r.result {
        let (values, from) = unscaled(&r.args[0], r.types[0])?;
        let values = values.iter().enumerate().map(|(i, v)| match v.zip(place(i)) {
            None => Ok(None),
            Some((v, place)) => round_unscaled(v, from, place, to, how).map(Some).ok_or_else(|| overflow(r.result)),
        });
        return number_array(values.collect::<Result<Vec<_>>>()?, precision, to, Failure::Error).map_err(|_| overflow(r.result));
    }
    let values = floats(r, 0)?;
    let rounded = values.iter().enumerate().map(|(i, v)| {
        v.zip(place(i)).map(|(v, place)| {
            let unit = 10_f64.powi(place);
            let scaled = v * unit;
            let whole = match how {
                Rounding::HalfAway => scaled.round(),
                Rounding::HalfEven => scaled.round_ties_even(),
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
    } else if cut > 38 {
        0
    } else {
        let unit = 10_i128.checked_pow(cut as u32)?;
        let (q, rest) = (v / unit, v % unit);
        let double = rest.unsigned_abs() * 2;
        let step = match how {
            Rounding::HalfAway if double >= unit.unsigned_abs() => v.signum(),
            Rounding::HalfEven if double > unit.unsigned_abs() || (double == unit.unsigned_abs() && q % 2 != 0) => v.signum(),
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
    fn rounding() {
        use Rounding::*;
        for (v, from, place, to, how, wanted) in [
            (12345, 3, 2, 2, HalfAway, 1235),
            (-12345, 3, 2, 2, HalfAway, -1235),
            (12345, 3, 2, 2, TowardsZero, 1234),
            (155, 0, -1, 0, HalfAway, 160),
            (25, 1, 0, 0, HalfEven, 2),
            (-35, 1, 0, 0, HalfEven, -4),
            (-975_975, 3, -1, 0, Down, -980),
            (-975_975, 3, -1, 0, Up, -970),
            (135_135, 3, 50, 3, HalfAway, 135_135),
            (5, 0, -38, 0, HalfAway, 0),
        ] {
            assert_eq!(round_unscaled(v, from, place, to, how), Some(wanted), "{v} {from} {place} {how:?}");
        }
    }
}
