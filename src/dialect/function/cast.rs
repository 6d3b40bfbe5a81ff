//! CAST and TRY_CAST between all of Snowflake's types (Snowflake documentation, "Data type conversion").

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray},
        compute::{CastOptions, cast_with_options},
        datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type},
    },
    common::{DataFusionError, Result, plan_err},
    logical_expr::{Cast, Expr},
};

use super::{
    binary, moment_cast,
    scalar::{Arity, CallTypes, Function, fail},
    value::{normalised, to_text, to_text_in},
};
use crate::{
    dialect::{
        settings::Settings,
        types::Type,
        variant::{Kind, kind, scalar, scan, show},
    },
    names::SemiStructured,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__cast", Arity::Exactly(2), target, |r| convert_in(&r.args[0], r.types[0], r.result, Failure::Error, r.settings))
        .natively(native),
    Function::new("__try_cast", Arity::Exactly(2), target, |r| convert_in(&r.args[0], r.types[0], r.result, Failure::Null, r.settings))
        .natively(native),
    Function::new("__tag", Arity::Exactly(2), target, |r| normalised(&r.args[0], r.result)),
];

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Error,
    Null,
}

fn target(call: &CallTypes) -> Result<FieldRef> {
    match call.text(1).map(|t| Type::parse(&t)) {
        Some(Ok(t)) => Ok(t.field(call.name)),
        _ => plan_err!("the target of a cast is a type name"),
    }
}

/// Casts that Arrow does with the same result; they keep predicates prunable.
fn native(args: &[Expr], types: &[Type]) -> Option<Expr> {
    let Expr::Literal(target, _) = &args[1] else { return None };
    let target = Type::parse(target.try_as_str().flatten()?).ok()?;
    let from = types[0];
    let plain = match (from, target) {
        (Type::Number { .. }, Type::Float) => from.is_int64(),
        (Type::Date, Type::TimestampNtz) | (Type::TimestampNtz, Type::Date) => true,
        _ => false,
    };
    plain.then(|| Expr::Cast(Cast::new(Box::new(args[0].clone()), target.arrow())))
}

/// The array as `to`, dates and times by Snowflake's default session parameters.
pub fn convert(array: &ArrayRef, from: Type, to: Type, failure: Failure) -> Result<ArrayRef> {
    convert_in(array, from, to, failure, Settings::defaults())
}

/// The array as `to`.
pub fn convert_in(array: &ArrayRef, from: Type, to: Type, failure: Failure, settings: &Settings) -> Result<ArrayRef> {
    let array = &normalised(array, from)?;
    match (from, to) {
        _ if array.data_type() == &DataType::Null => Ok(datafusion::arrow::array::new_null_array(&to.arrow(), array.len())),
        (Type::Semi(a), Type::Semi(b)) => between_semi(array, a, b, failure),
        (_, Type::Semi(b)) => to_semi(array, from, b, settings),
        (a, b) if a == b => Ok(array.clone()),
        (_, Type::Varchar) => Ok(Arc::new(to_text_in(array, from, settings)?)),
        (Type::Semi(_), _) => {
            let to_number = matches!(to, Type::Number { .. } | Type::Float);
            let values = array.as_string::<i32>();
            from_text(&values.iter().map(|v| v.and_then(|v| show::cast_text(v, to_number))).collect(), to, failure, settings)
        }
        (Type::Varchar, _) => from_text(&to_text(array, from)?, to, failure, settings),
        (Type::Boolean, Type::Number { .. } | Type::Float) => arrow_cast(array, &to.arrow(), failure),
        (Type::Number { .. } | Type::Float, Type::Boolean) => {
            let floats = arrow_cast(array, &DataType::Float64, failure)?;
            Ok(Arc::new(floats.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v != 0.0)).collect::<BooleanArray>()))
        }
        (Type::Float, Type::Number { scale, precision }) => {
            let floats = array.as_primitive::<Float64Type>();
            let decimals = floats.iter().map(|v| v.map(|v| float_to_unscaled(v, scale))).map(|v| match (v, failure) {
                (Some(None), Failure::Error) => fail("a number is out of range").map(|()| None),
                (v, _) => Ok(v.flatten()),
            });
            number_array(decimals.collect::<Result<Vec<_>>>()?, precision, scale, failure)
        }
        (Type::Number { scale: from_scale, .. }, Type::Number { precision, scale }) => {
            let unscaled: Vec<Option<i128>> = if from.is_int64() {
                array.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from)).collect()
            } else {
                array.as_primitive::<Decimal128Type>().iter().collect()
            };
            let rescaled = unscaled.into_iter().map(|v| v.map(|v| rescale(v, from_scale, scale))).map(|v| match v {
                Some(None) if failure == Failure::Error => fail("a number is out of range"),
                v => Ok(v.flatten()),
            });
            number_array(rescaled.collect::<Result<Vec<_>>>()?, precision, scale, failure)
        }
        (Type::Number { .. } | Type::Float, to) if to.is_moment() => {
            moment_cast::from_numbers(array, from, |_| Some(0), to, failure, settings)
        }
        (from, to) if from.is_moment() && to.is_moment() => moment_cast::between(array, from, to, settings),
        (Type::Number { .. }, Type::Float) => arrow_cast(array, &DataType::Float64, failure),
        (a, b) => fail(format!("a value of type {a} cannot be cast to {b}")),
    }
}

fn arrow_cast(array: &ArrayRef, to: &DataType, failure: Failure) -> Result<ArrayRef> {
    Ok(cast_with_options(array, to, &CastOptions { safe: failure == Failure::Null, ..CastOptions::default() })?)
}

/// Half away from zero, as Snowflake rounds; `None` on overflow.
pub(super) fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    match to.cmp(&from) {
        std::cmp::Ordering::Equal => Some(value),
        std::cmp::Ordering::Greater => value.checked_mul(10_i128.checked_pow((to - from) as u32)?),
        std::cmp::Ordering::Less => {
            let unit = 10_i128.checked_pow((from - to) as u32)?;
            let (quotient, rest) = (value / unit, value % unit);
            Some(if rest.abs() * 2 >= unit { quotient + value.signum() } else { quotient })
        }
    }
}

/// The exact value of the float, rounded half away from zero: `1.1` at 18 digits is 1.100000000000000089.
fn float_to_unscaled(v: f64, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    if !v.is_finite() || v.abs() >= 1e38 {
        return None;
    }
    // a float's digits end at last; what is cut here is far behind the one that decides
    let text = format!("{:.*}", scale + 60, v.abs());
    let (whole, fraction) = text.split_once('.')?;
    let kept: i128 = format!("{whole}{}", &fraction[..scale]).parse().ok()?;
    let rounded = if fraction.as_bytes()[scale] >= b'5' { kept.checked_add(1)? } else { kept };
    Some(if v < 0.0 { -rounded } else { rounded })
}

/// Unscaled values in the layout of NUMBER(precision, scale), checked against the precision.
pub(super) fn number_array(values: Vec<Option<i128>>, precision: u8, scale: i8, failure: Failure) -> Result<ArrayRef> {
    let limit = 10_i128.pow(u32::from(precision.min(38)));
    let narrow = Type::Number { precision, scale }.is_int64();
    let checked = values.into_iter().map(|v| match v {
        Some(v) if v.abs() >= limit || (narrow && i64::try_from(v).is_err()) => match failure {
            Failure::Null => Ok(None),
            Failure::Error => {
                fail(format!("numeric value {} is out of range for NUMBER({precision},{scale})", super::value::decimal_text(v, scale)))
            }
        },
        v => Ok(v),
    });
    let values = checked.collect::<Result<Vec<_>>>()?;
    if narrow {
        return Ok(Arc::new(values.into_iter().map(|v| v.map(|v| v as i64)).collect::<Int64Array>()));
    }
    Ok(Arc::new(values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(precision, scale)?))
}

/// A decimal number in text: optional sign, digits, point, exponent. Unscaled at `scale`.
fn parse_number(text: &str, scale: i8) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(i) => (&text[..i], text[i + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(60)];
    let value: i128 = format!("0{whole}{}", &fraction[..fraction.len().min(38_usize.saturating_sub(whole.len()))]).parse().ok()?;
    let kept = fraction.len().min(38_usize.saturating_sub(whole.len())) as i32;
    let from = i8::try_from(kept - exponent).ok()?;
    let value = if from < 0 { value.checked_mul(10_i128.checked_pow(u32::from(from.unsigned_abs()))?)? } else { value };
    let value = rescale(value, from.max(0), scale)?;
    Some(if negative { -value } else { value })
}

pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        other => parse_number(other, 9).map(|n| n != 0),
    }
}

fn from_text(texts: &StringArray, to: Type, failure: Failure, settings: &Settings) -> Result<ArrayRef> {
    if to.is_moment() {
        return moment_cast::parse(texts, to, failure, settings);
    }
    fn each<T>(
        texts: &StringArray,
        failure: Failure,
        message: impl Fn(&str) -> String,
        f: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>> {
        texts
            .iter()
            .map(|t| match t {
                None => Ok(None),
                Some(t) => match (f(t), failure) {
                    (None, Failure::Error) => Err(DataFusionError::Execution(message(t))),
                    (v, _) => Ok(v),
                },
            })
            .collect()
    }
    let not_recognized = |what: &'static str| move |t: &str| format!("{what} '{}' is not recognized", shorten(t));
    Ok(match to {
        Type::Number { precision, scale } => {
            number_array(each(texts, failure, not_recognized("Numeric value"), |t| parse_number(t, scale))?, precision, scale, failure)?
        }
        Type::Float => Arc::new(Float64Array::from(each(texts, failure, not_recognized("Numeric value"), |t| t.trim().parse().ok())?)),
        Type::Boolean => Arc::new(BooleanArray::from(each(texts, failure, not_recognized("Boolean value"), parse_boolean)?)),
        Type::Binary => binary::decode(texts, |_| Some(settings.binary_input), failure)?,
        _ => Arc::new(texts.clone()),
    })
}

pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() > 60 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text.to_owned() }
}

/// TO_VARIANT, TO_ARRAY, TO_OBJECT of a plain value.
fn to_semi(array: &ArrayRef, from: Type, to: SemiStructured, settings: &Settings) -> Result<ArrayRef> {
    let values = scalar::texts_in(array, from, settings)?;
    match to {
        SemiStructured::Variant => Ok(Arc::new(values)),
        SemiStructured::Array => Ok(Arc::new(values.iter().map(|v| v.map(|v| scan::array([v]))).collect::<StringArray>())),
        SemiStructured::Object if values.null_count() == values.len() => Ok(Arc::new(values)),
        SemiStructured::Object => fail(format!("a value of type {from} cannot be cast to OBJECT")),
    }
}

fn between_semi(array: &ArrayRef, from: SemiStructured, to: SemiStructured, failure: Failure) -> Result<ArrayRef> {
    if from == to || to == SemiStructured::Variant {
        return Ok(array.clone());
    }
    let texts = array.as_string::<i32>();
    let values = texts.iter().map(|t| {
        let Some(t) = t else { return Ok(None) };
        match (to, kind(t)) {
            (SemiStructured::Array, Kind::Array) | (SemiStructured::Object, Kind::Object) => Ok(Some(t.to_owned())),
            (_, Kind::Null) => Ok(None),
            (SemiStructured::Array, _) => Ok(Some(scan::array([t]))),
            _ if failure == Failure::Null => Ok(None),
            _ => fail(format!("Failed to cast variant value {} to {}", shorten(&show::show(t)), to.as_str())),
        }
    });
    Ok(Arc::new(StringArray::from(values.collect::<Result<Vec<_>>>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_exact() {
        assert_eq!(float_to_unscaled(1.1, 18), Some(1_100_000_000_000_000_089));
        assert_eq!(float_to_unscaled(-0.5, 0), Some(-1));
        assert_eq!(float_to_unscaled(2.5, 0), Some(3));
        assert_eq!(float_to_unscaled(1e40, 0), None);
    }

    #[test]
    fn numbers_in_text() {
        for (text, scale, wanted) in [
            ("1", 0, Some(1)),
            ("1.5", 0, Some(2)),
            ("-1.5", 0, Some(-2)),
            ("1.005", 2, Some(101)),
            ("1e3", 0, Some(1000)),
            ("12.5e-1", 2, Some(125)),
            (" 7 ", 0, Some(7)),
            ("", 0, None),
            (".", 0, None),
            ("abc", 0, None),
            ("1x", 0, None),
        ] {
            assert_eq!(parse_number(text, scale), wanted, "{text}");
        }
    }
}
