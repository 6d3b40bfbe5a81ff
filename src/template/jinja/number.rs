//! Arithmetic and comparison of numbers as in Python: true division gives floats, `//` and `%` round down. Integers have 64 bits;
//! what does not fit is an error, never a wrong number.

use std::cmp::Ordering;

use super::{
    ast::Operator,
    fault::{Eval, Fault},
    value::Value,
};

pub(super) fn as_int(v: &Value) -> Option<i64> {
    match v {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}

pub(super) fn as_float(v: &Value) -> Option<f64> {
    match v {
        Value::Float(f) => Some(*f),
        other => as_int(other).map(|i| i as f64),
    }
}

pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (as_int(a), as_int(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => as_float(a)?.partial_cmp(&as_float(b)?),
    }
}

/// `None` when one side is not a number.
pub(super) fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Option<Eval<Value>> {
    if let (Some(x), Some(y)) = (as_int(a), as_int(b)) {
        return Some(integer(operator, x, y));
    }
    Some(float(operator, as_float(a)?, as_float(b)?))
}

fn integer(operator: Operator, x: i64, y: i64) -> Eval<Value> {
    let overflow = || Fault::kind(format!("`{x} {} {y}` does not fit into 64 bits", operator.symbol()));
    let by_zero = || Fault::kind(format!("`{x} {} {y}` divides by zero", operator.symbol()));
    let result = match operator {
        Operator::Add => x.checked_add(y),
        Operator::Subtract => x.checked_sub(y),
        Operator::Multiply => x.checked_mul(y),
        Operator::Divide if y == 0 => return Err(by_zero()),
        Operator::Divide => return Ok(Value::Float(x as f64 / y as f64)),
        Operator::FloorDivide | Operator::Remainder if y == 0 => return Err(by_zero()),
        Operator::FloorDivide => x.checked_div(y).map(|q| if x.wrapping_rem(y) != 0 && (x < 0) != (y < 0) { q - 1 } else { q }),
        Operator::Remainder => {
            let r = x.wrapping_rem(y);
            Some(if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
        }
        Operator::Power => match u32::try_from(y) {
            Ok(y) => x.checked_pow(y),
            Err(_) if y < 0 => return float(operator, x as f64, y as f64),
            Err(_) => None,
        },
        Operator::Concat => None,
    };
    result.map(Value::Int).ok_or_else(overflow)
}

fn float(operator: Operator, x: f64, y: f64) -> Eval<Value> {
    let by_zero = || Fault::kind(format!("`{x} {} {y}` divides by zero", operator.symbol()));
    Ok(Value::Float(match operator {
        Operator::Add => x + y,
        Operator::Subtract => x - y,
        Operator::Multiply => x * y,
        Operator::Divide | Operator::FloorDivide | Operator::Remainder if y == 0.0 => return Err(by_zero()),
        Operator::Divide => x / y,
        Operator::FloorDivide => (x / y).floor(),
        Operator::Remainder => x - y * (x / y).floor(),
        Operator::Power if x == 0.0 && y < 0.0 => return Err(by_zero()),
        Operator::Power => x.powf(y),
        Operator::Concat => return Err(Fault::kind("numbers cannot be concatenated")),
    }))
}

/// Python's `repr` of a float: the shortest digits that read back, with `.0`, and exponents outside `1e-4..1e16`.
pub(super) fn print_float(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if f != 0.0 && !(1e-4..1e16).contains(&f.abs()) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let text = format!("{f}");
    if text.contains('.') { text } else { text + ".0" }
}

/// Python's `round`: half to even, on the decimal digits asked for.
pub(super) fn round(f: f64, digits: i64) -> f64 {
    match usize::try_from(digits) {
        Ok(digits) if digits <= 17 => format!("{f:.digits$}").parse().unwrap_or(f),
        Ok(_) => f,
        Err(_) => {
            let scale = 10f64.powi(digits.unsigned_abs().min(300) as i32);
            (f / scale).round_ties_even() * scale
        }
    }
}
