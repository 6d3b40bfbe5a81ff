//! Moments and regressions. Variances of NUMBER are computed exactly, at twice the scale of the values and six digits
//! more, as Snowflake does; deviations are the square roots of those, as FLOAT.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, Float64Array, Int64Array},
        datatypes::{FieldRef, i256},
    },
    common::Result,
};

use super::{
    super::{
        arithmetic::{floats, unscaled, wide_quotient},
        cast::{Failure, number_array},
        json::integer,
        scalar::{Arity, CallTypes, Rows},
    },
    gathered::Aggregate,
};
use crate::dialect::types::Type;

pub(super) const AGGREGATES: &[Aggregate] = &[
    Aggregate::new("var_samp", Arity::Exactly(1), variance_type, |r| variance(r, 1)),
    Aggregate::new("var_pop", Arity::Exactly(1), variance_type, |r| variance(r, 0)),
    Aggregate::new("stddev_samp", Arity::Exactly(1), float, |r| deviation(r, 1)),
    Aggregate::new("stddev_pop", Arity::Exactly(1), float, |r| deviation(r, 0)),
    Aggregate::new("skew", Arity::Exactly(1), moment_type, |r| {
        moment(r, |n, m2, m3, _| {
            let s = (m2 / (n - 1.0)).sqrt();
            (n >= 3.0).then(|| n / ((n - 1.0) * (n - 2.0)) * m3 / s.powi(3))
        })
    }),
    Aggregate::new("kurtosis", Arity::Exactly(1), moment_type, |r| {
        moment(r, |n, m2, _, m4| {
            let variance = m2 / (n - 1.0);
            let scale = (n - 1.0) * (n - 2.0) * (n - 3.0);
            (n >= 4.0).then(|| n * (n + 1.0) / scale * m4 / variance.powi(2) - 3.0 * (n - 1.0).powi(2) / ((n - 2.0) * (n - 3.0)))
        })
    }),
    Aggregate::new("covar_pop", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.sxy / p.n))),
    Aggregate::new("covar_samp", Arity::Exactly(2), float, |r| pairs(r, |p| (p.n > 1.0).then(|| p.sxy / (p.n - 1.0)))),
    Aggregate::new("corr", Arity::Exactly(2), float, |r| {
        pairs(r, |p| (p.n > 1.0 && p.sxx > 0.0 && p.syy > 0.0).then(|| p.sxy / (p.sxx * p.syy).sqrt()))
    }),
    Aggregate::new("regr_slope", Arity::Exactly(2), float, |r| pairs(r, |p| (p.sxx > 0.0).then(|| p.sxy / p.sxx))),
    Aggregate::new("regr_intercept", Arity::Exactly(2), float, |r| pairs(r, |p| (p.sxx > 0.0).then(|| p.y - p.sxy / p.sxx * p.x))),
    Aggregate::new("regr_r2", Arity::Exactly(2), float, |r| {
        pairs(r, |p| match p {
            p if p.sxx <= 0.0 => None,
            p if p.syy <= 0.0 => Some(1.0),
            p => Some(p.sxy * p.sxy / (p.sxx * p.syy)),
        })
    }),
    Aggregate::new("regr_avgx", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.x))),
    Aggregate::new("regr_avgy", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.y))),
    Aggregate::new("regr_sxx", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.sxx))),
    Aggregate::new("regr_syy", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.syy))),
    Aggregate::new("regr_sxy", Arity::Exactly(2), float, |r| pairs(r, |p| Some(p.sxy))),
    Aggregate::new("regr_count", Arity::Exactly(2), integer, |r| {
        let count = (0..r.rows).filter(|i| !r.any_null(*i)).count();
        Ok(Arc::new(Int64Array::from(vec![count as i64])))
    }),
];

fn float(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Float.field(call.name))
}

fn variance_type(call: &CallTypes) -> Result<FieldRef> {
    Ok(match call.types[0] {
        Type::Number { scale, .. } => {
            let doubled = 2 * i32::from(scale);
            Type::number(38, doubled.max((doubled + 6).min(12)))
        }
        _ => Type::Float,
    }
    .field(call.name))
}

/// Third and fourth moments of NUMBER have twelve digits behind the point.
fn moment_type(call: &CallTypes) -> Result<FieldRef> {
    let exact = matches!(call.types[0], Type::Number { .. });
    Ok(if exact { Type::Number { precision: 38, scale: 12 } } else { Type::Float }.field(call.name))
}

fn one(value: Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

/// A FLOAT in the type of the result.
fn rounded(r: &Rows, value: Option<f64>) -> Result<ArrayRef> {
    let Type::Number { precision, scale } = r.result else { return Ok(one(value)) };
    let unit = 10_f64.powi(i32::from(scale));
    let unscaled = value.map(|v| (v * unit).round()).filter(|v| v.is_finite() && v.abs() < 1e38).map(|v| v as i128);
    number_array(vec![unscaled], precision, scale, Failure::Error)
}

fn values(r: &Rows) -> Result<Vec<f64>> {
    Ok(floats(r, 0)?.iter().flatten().collect())
}

/// Sum of squares about the mean.
fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum()
}

/// `less` is 1 of a sample, 0 of a population.
fn variance(r: &Rows, less: usize) -> Result<ArrayRef> {
    if r.rows <= less {
        return rounded(r, None);
    }
    if let Type::Number { precision, scale } = r.result
        && let Some(exact) = exact_variance(r, less, scale)?
    {
        return number_array(vec![Some(exact)], precision, scale, Failure::Error);
    }
    let values = values(r)?;
    rounded(r, Some(spread(&values) / (values.len() - less) as f64))
}

/// `(n * sum of squares - square of the sum) / (n * (n - less))` at `to` digits; `None` beyond 256 bits.
fn exact_variance(r: &Rows, less: usize, to: i8) -> Result<Option<i128>> {
    let (values, scale) = unscaled(&r.args[0], r.types[0])?;
    Ok((|| {
        let (mut sum, mut squares) = (0_i128, i256::ZERO);
        for v in values.iter().flatten() {
            sum = sum.checked_add(v)?;
            squares = squares.checked_add(i256::from_i128(v).checked_mul(i256::from_i128(v))?)?;
        }
        let n = i256::from_i128(r.rows as i128);
        let square = i256::from_i128(sum).checked_mul(i256::from_i128(sum))?;
        let mut dividend = n.checked_mul(squares)?.checked_sub(square)?;
        for _ in 0..(to - 2 * scale).max(0) {
            dividend = dividend.checked_mul(i256::from_i128(10))?;
        }
        wide_quotient(dividend, n.checked_mul(i256::from_i128((r.rows - less) as i128))?)
    })())
}

fn deviation(r: &Rows, less: usize) -> Result<ArrayRef> {
    if r.rows <= less {
        return Ok(one(None));
    }
    if let Type::Number { scale, .. } = r.types[0] {
        let scale = 2 * scale.min(18);
        let scale = scale.max((scale + 6).min(12));
        if let Some(exact) = exact_variance(r, less, scale)? {
            return Ok(one(Some((exact as f64 / 10_f64.powi(i32::from(scale))).sqrt())));
        }
    }
    let values = values(r)?;
    Ok(one(Some((spread(&values) / (values.len() - less) as f64).sqrt())))
}

/// A function of the count and the sums of second, third and fourth powers about the mean.
fn moment(r: &Rows, f: impl Fn(f64, f64, f64, f64) -> Option<f64>) -> Result<ArrayRef> {
    let values = values(r)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let power = |p: i32| values.iter().map(|v| (v - mean).powi(p)).sum::<f64>();
    let m2 = power(2);
    rounded(r, if m2 > 0.0 { f(n, m2, power(3), power(4)) } else { None })
}

/// Means of x and y and the sums of products about them. The dependent variable y is the first argument.
struct Pairs {
    n: f64,
    x: f64,
    y: f64,
    sxx: f64,
    syy: f64,
    sxy: f64,
}

fn pairs(r: &Rows, f: impl Fn(Pairs) -> Option<f64>) -> Result<ArrayRef> {
    let (ys, xs) = (floats(r, 0)?, floats(r, 1)?);
    let both: Vec<(f64, f64)> = xs.iter().zip(ys.iter()).filter_map(|(x, y)| x.zip(y)).collect();
    if both.is_empty() {
        return Ok(one(None));
    }
    let n = both.len() as f64;
    let (x, y) = (both.iter().map(|p| p.0).sum::<f64>() / n, both.iter().map(|p| p.1).sum::<f64>() / n);
    let products = |g: fn(f64, f64) -> f64| both.iter().map(|(a, b)| g(a - x, b - y)).sum::<f64>();
    Ok(one(f(Pairs { n, x, y, sxx: products(|a, _| a * a), syy: products(|_, b| b * b), sxy: products(|a, b| a * b) })))
}
