//! Single values between Arrow arrays, JSON and text, in Snowflake's formats.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        compute::{CastOptions, cast, cast_with_options},
        datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType},
    },
    common::{DataFusionError, Result},
};
use serde_json::Value as Json;

use crate::dialect::{
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

/// `2024-01-31 13:30:00.123`; the fraction has three digits, or as many as it needs.
pub fn timestamp_text(micros: i64) -> String {
    let Some(t) = chrono::DateTime::from_timestamp_micros(micros) else { return micros.to_string() };
    let fraction = micros.rem_euclid(1_000_000);
    let base = t.format("%Y-%m-%d %H:%M:%S");
    if fraction % 1000 == 0 { format!("{base}.{:03}", fraction / 1000) } else { format!("{base}.{fraction:06}") }
}

pub fn date_text(days: i32) -> String {
    chrono::NaiveDate::from_num_days_from_ce_opt(days.saturating_add(719_163))
        .map_or_else(|| days.to_string(), |d| d.format("%Y-%m-%d").to_string())
}

pub fn time_text(micros: i64) -> String {
    let (s, f) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let base = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if f == 0 { base } else { format!("{base}.{f:06}") }
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
        t if *t == of.arrow() => Ok(array.clone()),
        // a wider decimal of the same scale: its values may have more digits than the type of the column
        DataType::Decimal128(_, scale) if matches!(of, Type::Number { scale: s, .. } if s == *scale && !of.is_int64()) => Ok(array.clone()),
        // not leniently: a value that does not fit is an error, not NULL
        _ => Ok(cast_with_options(array, &of.arrow(), &CastOptions { safe: false, ..CastOptions::default() })?),
    }
}

/// Any array as text in default formats; VARIANT strings without quotes, JSON null as NULL.
pub fn to_text(array: &ArrayRef, of: Type) -> Result<StringArray> {
    let array = normalised(array, of)?;
    let text = |f: &dyn Fn(usize) -> String| -> StringArray { (0..array.len()).map(|i| (!array.is_null(i)).then(|| f(i))).collect() };
    Ok(match of {
        Type::Varchar => array.as_string::<i32>().clone(),
        Type::Number { .. } if of.is_int64() => text(&|i| array.as_primitive::<Int64Type>().value(i).to_string()),
        Type::Number { scale, .. } => text(&|i| decimal_text(array.as_primitive::<Decimal128Type>().value(i), scale)),
        Type::Float => text(&|i| float_text(array.as_primitive::<Float64Type>().value(i))),
        Type::Boolean => text(&|i| array.as_boolean().value(i).to_string()),
        Type::Date => text(&|i| date_text(array.as_primitive::<Date32Type>().value(i))),
        Type::Time => text(&|i| time_text(array.as_primitive::<Time64MicrosecondType>().value(i))),
        Type::TimestampNtz => text(&|i| timestamp_text(array.as_primitive::<TimestampMicrosecondType>().value(i))),
        Type::TimestampTz => text(&|i| format!("{} Z", timestamp_text(array.as_primitive::<TimestampMicrosecondType>().value(i)))),
        Type::Binary => text(&|i| array.as_binary::<i32>().value(i).iter().map(|b| format!("{b:02X}")).collect()),
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

/// Text to a date, in the formats that Snowflake's AUTO detects.
pub fn parse_date(text: &str) -> Option<i32> {
    let text = text.trim();
    if let Some(micros) = text.parse::<i64>().ok().filter(|_| text.len() > 4) {
        return epoch(micros).map(|m| m.div_euclid(86_400_000_000) as i32);
    }
    for format in ["%Y-%m-%d", "%d-%b-%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%B-%Y"] {
        if let Ok(date) = chrono::NaiveDate::parse_from_str(text, format) {
            return days(date);
        }
    }
    parse_timestamp(text).map(|m| m.div_euclid(86_400_000_000) as i32)
}

pub fn days(date: chrono::NaiveDate) -> Option<i32> {
    use chrono::Datelike;
    date.num_days_from_ce().checked_sub(719_163)
}

/// An integer string: seconds, milliseconds, microseconds or nanoseconds by magnitude (Snowflake documentation,
/// "Date and time input and output formats").
fn epoch(n: i64) -> Option<i64> {
    match n.unsigned_abs() {
        0..31_536_000_000 => n.checked_mul(1_000_000),
        31_536_000_000..31_536_000_000_000 => n.checked_mul(1000),
        31_536_000_000_000..31_536_000_000_000_000 => Some(n),
        _ => Some(n / 1000),
    }
}

/// Text to microseconds since the epoch. An offset is applied (the result is UTC).
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(n) = text.parse::<i64>() {
        return epoch(n);
    }
    if let Ok(t) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(t.timestamp_micros());
    }
    for format in [
        "%Y-%m-%d %H:%M:%S%.f%:z",
        "%Y-%m-%d %H:%M:%S%.f %z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%a, %d %b %Y %H:%M:%S %z",
        "%Y-%m-%d %H:%M:%S%.f%z",
    ] {
        if let Ok(t) = chrono::DateTime::parse_from_str(text, format) {
            return Some(t.timestamp_micros());
        }
    }
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text).trim_end();
    for format in
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S"]
    {
        if let Ok(t) = chrono::NaiveDateTime::parse_from_str(text, format) {
            return Some(t.and_utc().timestamp_micros());
        }
    }
    for format in ["%Y-%m-%d", "%d-%b-%Y", "%m/%d/%Y", "%Y/%m/%d"] {
        if let Ok(d) = chrono::NaiveDate::parse_from_str(text, format) {
            return d.and_hms_opt(0, 0, 0).map(|t| t.and_utc().timestamp_micros());
        }
    }
    None
}

/// Text to microseconds since midnight.
pub fn parse_time(text: &str) -> Option<i64> {
    use chrono::Timelike;
    ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"]
        .iter()
        .find_map(|f| chrono::NaiveTime::parse_from_str(text.trim(), f).ok())
        .map(|t| i64::from(t.num_seconds_from_midnight()) * 1_000_000 + i64::from(t.nanosecond() / 1000))
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
        assert_eq!(timestamp_text(1_706_707_800_123_000), "2024-01-31 13:30:00.123");
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(canonical(&serde_json::json!({"b": 1, "a": [true, null]})), r#"{"a":[true,null],"b":1}"#);
    }

    #[test]
    fn dates_are_detected() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("02-Jan-1970"), Some(1));
        assert_eq!(parse_timestamp("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_timestamp("31536001"), Some(31_536_001_000_000));
        assert_eq!(parse_timestamp("nonsense"), None);
    }
}
