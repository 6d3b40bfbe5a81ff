//! Single values between Arrow arrays, JSON and text, in Snowflake's formats.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        compute::cast,
        datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
    },
    common::{DataFusionError, Result},
};
use serde_json::{Map, Value as Json};

use super::{binary, moment_cast};
use crate::dialect::{moment::stored_times, settings::Settings, types::Type};

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
                .map(|i| if array.is_null(i) { Ok(None) } else { nested(array, i).map(|v| Some(canonical(&v))) })
                .collect::<Result<Vec<_>>>()?;
            Ok(std::sync::Arc::new(StringArray::from(json)))
        }
        DataType::Time32(_) | DataType::Time64(_) if of == Type::Time => stored_times(array),
        t if *t == of.arrow() => Ok(array.clone()),
        _ => Ok(cast(array, &of.arrow())?),
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
        Type::Number { scale: 0, .. } => text(&|i| array.as_primitive::<Int64Type>().value(i).to_string()),
        Type::Number { scale, .. } => text(&|i| decimal_text(array.as_primitive::<Decimal128Type>().value(i), scale)),
        Type::Float => text(&|i| float_varchar(array.as_primitive::<Float64Type>().value(i))),
        Type::Boolean => text(&|i| array.as_boolean().value(i).to_string()),
        Type::Date | Type::Time | Type::TimestampNtz | Type::TimestampLtz | Type::TimestampTz => moment_cast::print(&array, of, settings)?,
        Type::Binary => binary::encode(&array, |_| Some(settings.binary_output))?,
        Type::Semi(_) => {
            let strings = array.as_string::<i32>();
            strings.iter().map(|v| v.map(variant_text).transpose().map(Option::flatten)).collect::<Result<Vec<Option<String>>>>()?.into()
        }
    })
}

/// The text of a VARIANT cast to VARCHAR.
pub fn variant_text(json: &str) -> Result<Option<String>> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => match parse(json)? {
            Json::String(s) => Some(s),
            other => Some(other.to_string()),
        },
        Some(b'n') if json == "null" => None,
        _ => Some(json.to_owned()),
    })
}

/// One value of an array as JSON (what TO_VARIANT makes of it). SQL NULL is JSON null.
pub fn json_at(array: &ArrayRef, of: Type, row: usize) -> Result<Json> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    Ok(match of {
        Type::Semi(_) if matches!(array.data_type(), DataType::Utf8) => parse(array.as_string::<i32>().value(row))?,
        Type::Semi(_) if !array.data_type().is_nested() => {
            let text = cast(&array.slice(row, 1), &DataType::Utf8)?;
            parse(text.as_string::<i32>().value(0))?
        }
        Type::Semi(_) => nested(array, row)?,
        _ => {
            let one = normalised(&array.slice(row, 1), of)?;
            scalar_json(&one, of)?
        }
    })
}

fn scalar_json(one: &ArrayRef, of: Type) -> Result<Json> {
    Ok(match of {
        Type::Varchar => Json::from(one.as_string::<i32>().value(0)),
        Type::Boolean => Json::from(one.as_boolean().value(0)),
        Type::Number { scale: 0, .. } => Json::from(one.as_primitive::<Int64Type>().value(0)),
        Type::Number { scale, .. } => decimal_json(one.as_primitive::<Decimal128Type>().value(0), scale),
        Type::Float => serde_json::Number::from_f64(one.as_primitive::<Float64Type>().value(0)).map_or(Json::Null, Json::Number),
        of if of.is_moment() => Json::from(moment_cast::exact(one, of)?.value(0)),
        _ => Json::from(to_text(one, of)?.value(0)),
    })
}

fn decimal_json(unscaled: i128, scale: i8) -> Json {
    let text = decimal_text(unscaled, scale);
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    serde_json::from_str(trimmed).unwrap_or(Json::Null)
}

/// A list or struct of DataFusion's own functions as JSON.
fn nested(array: &ArrayRef, row: usize) -> Result<Json> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    match array.data_type() {
        DataType::List(field) => {
            let items = array.as_list::<i32>().value(row);
            let of = Type::of(field);
            Ok(Json::Array((0..items.len()).map(|i| json_at(&items, of, i)).collect::<Result<_>>()?))
        }
        DataType::LargeList(field) => {
            let items = array.as_list::<i64>().value(row);
            let of = Type::of(field);
            Ok(Json::Array((0..items.len()).map(|i| json_at(&items, of, i)).collect::<Result<_>>()?))
        }
        DataType::Struct(fields) => {
            let values = array.as_struct();
            let mut map = Map::new();
            for (i, field) in fields.iter().enumerate() {
                map.insert(field.name().clone(), json_at(values.column(i), Type::of(field), row)?);
            }
            Ok(Json::Object(map))
        }
        other => Err(DataFusionError::Execution(format!("a value of type {other} has no JSON form"))),
    }
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
