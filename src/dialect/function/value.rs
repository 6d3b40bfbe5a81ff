//! Single values between Arrow arrays, JSON and text, in Snowflake's formats.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        compute::{CastOptions, cast, cast_with_options},
        datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
    },
    common::{DataFusionError, Result},
};
use serde_json::Value as Json;

use super::{binary, moment_cast};
use crate::dialect::{
    moment::stored_times,
    settings::Settings,
    types::Type,
    variant::{scalar, scan, show},
};

/// Compact JSON with sorted object keys: equal values are equal texts.
pub fn canonical(value: &Json) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Json, out: &mut String) {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&map[key], out);
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The text of a canonical value that one of our own functions made.
pub fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| DataFusionError::Execution(format!("the value is not valid JSON: {e}")))
}

/// A float as Snowflake prints it: `1`, `1.5`, `1e+20`, `inf`, `NaN`.
pub fn float_text(v: f64) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if v == 0.0 {
        return "0".into();
    }
    let magnitude = v.abs();
    if (1e-5..1e15).contains(&magnitude) { format!("{v}") } else { exponent(v) }
}

/// A float as text of ten significant digits, as a cast to VARCHAR gives it.
pub fn float_varchar(v: f64) -> String {
    if !v.is_finite() || v == 0.0 {
        return float_text(v);
    }
    // the digits that count, then the shortest text of that number
    format!("{v:.9e}").parse().map_or_else(|_| float_text(v), float_text)
}

fn exponent(v: f64) -> String {
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((mantissa, exp)) => {
            let (sign, digits) = exp.strip_prefix('-').map_or(('+', exp), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A decimal's unscaled value as text with all digits of its scale.
pub fn decimal_text(unscaled: i128, scale: i8) -> String {
    if scale <= 0 {
        return unscaled.to_string();
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

/// An array in the layout that its Snowflake type has.
pub fn normalised(array: &ArrayRef, of: Type) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Null => Ok(cast(array, &of.arrow())?),
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) | DataType::FixedSizeList(..) => {
            let json = (0..array.len())
                .map(|i| if array.is_null(i) { Ok(None) } else { nested(array, i).map(Some) })
                .collect::<Result<Vec<_>>>()?;
            Ok(std::sync::Arc::new(StringArray::from(json)))
        }
        DataType::Time32(_) | DataType::Time64(_) if of == Type::Time => stored_times(array),
        t if *t == of.arrow() => Ok(array.clone()),
        // a wider decimal of the same scale: its values may have more digits than the type of the column
        DataType::Decimal128(_, scale) if matches!(of, Type::Number { scale: s, .. } if s == *scale && !of.is_int64()) => Ok(array.clone()),
        // not leniently: a value that does not fit is an error, not NULL
        _ => Ok(cast_with_options(array, &of.arrow(), &CastOptions { safe: false, ..CastOptions::default() })?),
    }
}

/// Any array as text in default formats; VARIANT strings without quotes, JSON null as NULL.
pub fn to_text(array: &ArrayRef, of: Type) -> Result<StringArray> {
    to_text_in(array, of, Settings::defaults())
}

/// The same in the formats of a session.
pub fn to_text_in(array: &ArrayRef, of: Type, settings: &Settings) -> Result<StringArray> {
    let array = normalised(array, of)?;
    let text = |f: &dyn Fn(usize) -> String| -> StringArray { (0..array.len()).map(|i| (!array.is_null(i)).then(|| f(i))).collect() };
    Ok(match of {
        Type::Varchar => array.as_string::<i32>().clone(),
        Type::Number { .. } if of.is_int64() => text(&|i| array.as_primitive::<Int64Type>().value(i).to_string()),
        Type::Number { scale, .. } => text(&|i| decimal_text(array.as_primitive::<Decimal128Type>().value(i), scale)),
        Type::Float => text(&|i| float_varchar(array.as_primitive::<Float64Type>().value(i))),
        Type::Boolean => text(&|i| array.as_boolean().value(i).to_string()),
        Type::Date | Type::Time | Type::TimestampNtz | Type::TimestampLtz | Type::TimestampTz => moment_cast::print(&array, of, settings)?,
        Type::Binary => binary::encode(&array, |_| Some(settings.binary_output))?,
        Type::Semi(_) => {
            let strings = array.as_string::<i32>();
            strings.iter().map(|v| v.and_then(show::varchar)).collect()
        }
    })
}

/// One value of an array as JSON (what TO_VARIANT makes of it). SQL NULL is JSON null.
pub fn json_at(array: &ArrayRef, of: Type, row: usize) -> Result<Json> {
    parse(&variant_at(array, of, row)?)
}

/// One value of an array as canonical text. SQL NULL is JSON null.
pub fn variant_at(array: &ArrayRef, of: Type, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok("null".into());
    }
    if array.data_type().is_nested() {
        return nested(array, row);
    }
    let one = scalar::texts(&array.slice(row, 1), of)?;
    Ok(one.value(0).to_owned())
}

/// A list or struct of DataFusion's own functions as canonical text.
fn nested(array: &ArrayRef, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok("null".into());
    }
    match array.data_type() {
        DataType::List(field) => elements(&array.as_list::<i32>().value(row), Type::of(field)),
        DataType::LargeList(field) => elements(&array.as_list::<i64>().value(row), Type::of(field)),
        DataType::Struct(fields) => {
            let values = array.as_struct();
            let mut members = Vec::with_capacity(fields.len());
            for (i, field) in fields.iter().enumerate() {
                members.push((scan::quote(field.name()), variant_at(values.column(i), Type::of(field), row)?));
            }
            let members = scan::sorted(members);
            Ok(scan::object(members.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
        }
        other => Err(DataFusionError::Execution(format!("a value of type {other} has no JSON form"))),
    }
}

fn elements(items: &ArrayRef, of: Type) -> Result<String> {
    if items.data_type().is_nested() {
        return Ok(scan::array((0..items.len()).map(|i| nested(items, i)).collect::<Result<Vec<_>>>()?));
    }
    let texts = scalar::texts(items, of)?;
    Ok(scan::array(texts.iter().map(|t| t.unwrap_or("null"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_snowflake_prints_them() {
        assert_eq!(decimal_text(-105, 2), "-1.05");
        assert_eq!(decimal_text(5, 3), "0.005");
        assert_eq!(float_text(1.0), "1");
        assert_eq!(float_text(1e20), "1e+20");
        assert_eq!(canonical(&serde_json::json!({"b": 1, "a": [true, null]})), r#"{"a":[true,null],"b":1}"#);
    }
}
