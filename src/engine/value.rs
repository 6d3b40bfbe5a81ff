//! One cell of a result as Snowflake shows it, and the names that Snowflake gives to the types.
//!
//! The one place where Arrow values become text: tables, CSV, JSON, keys of look-ups.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Date64Type, Decimal128Type, Field, Float64Type, Int64Type, Time64NanosecondType, TimeUnit, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{
    dialect::{
        moment::{TIME_TAG, TZ_TAG, time_of, tz_of},
        variant::show::show,
    },
    names::SemiStructured,
};

/// A cell, as far as JSON and text tell kinds apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    /// NUMBER with a scale of 0 that fits 64 bits.
    Integer(i64),
    /// NUMBER with all its digits.
    Number(String),
    Float(f64),
    Text(String),
    /// VARIANT, ARRAY, OBJECT: canonical JSON.
    Json(String),
}

impl Value {
    /// For people: tables and CSV. `None` is NULL.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Boolean(b) => Some(b.to_string()),
            Self::Integer(n) => Some(n.to_string()),
            Self::Number(text) | Self::Text(text) | Self::Json(text) => Some(text),
            Self::Float(f) => Some(float(f)),
        }
    }

    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Number(_) | Self::Float(_))
    }
}

/// Shortest text that reads back as the same number; `inf`, `-inf` and `NaN` by name.
pub fn float(f: f64) -> String {
    if f.is_nan() {
        "NaN".into()
    } else if f.is_infinite() {
        if f > 0.0 { "inf".into() } else { "-inf".into() }
    } else if f != 0.0 && !(1e-5..1e16).contains(&f.abs()) {
        format!("{f:e}")
    } else {
        f.to_string()
    }
}

/// `NUMBER(38,0)`, `VARCHAR`, `TIMESTAMP_NTZ(9)`, `ARRAY`...
pub fn type_name(field: &Field) -> String {
    if let Some(semi) = semi_structured(field) {
        return semi.as_str().into();
    }
    match tag(field) {
        Some(TIME_TAG) => return "TIME(9)".into(),
        Some(TZ_TAG) => return "TIMESTAMP_TZ(9)".into(),
        _ => {}
    }
    match field.data_type() {
        t if t.is_integer() => "NUMBER(38,0)".into(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            format!("NUMBER({p},{s})")
        }
        t if t.is_floating() => "FLOAT".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME(9)".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ(9)".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ(9)".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BINARY".into(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => "ARRAY".into(),
        DataType::Struct(_) | DataType::Map(..) => "OBJECT".into(),
        DataType::Dictionary(_, values) => type_name(&Field::new("", values.as_ref().clone(), true)),
        _ => "VARCHAR".into(),
    }
}

/// One cell. Never fails: what has no rule of its own is shown as Arrow shows it.
pub fn of(array: &ArrayRef, field: &Field, row: usize) -> Value {
    if array.is_null(row) || matches!(array.data_type(), DataType::Null) {
        return Value::Null;
    }
    typed(array, field, row).unwrap_or_else(|| Value::Text(fallback(array, row)))
}

fn typed(array: &ArrayRef, field: &Field, row: usize) -> Option<Value> {
    let one = || array.slice(row, 1);
    let as_type = |to: &DataType| cast(&one(), to).ok();
    let value = match array.data_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean_opt()?.value(row)),
        DataType::Int64 => Value::Integer(array.as_primitive_opt::<Int64Type>()?.value(row)),
        DataType::UInt64 => match i64::try_from(array.as_primitive_opt::<UInt64Type>()?.value(row)) {
            Ok(n) => Value::Integer(n),
            Err(_) => Value::Number(array.as_primitive_opt::<UInt64Type>()?.value(row).to_string()),
        },
        t if t.is_integer() => Value::Integer(as_type(&DataType::Int64)?.as_primitive_opt::<Int64Type>()?.value(0)),
        DataType::Decimal128(_, scale) => Value::Number(decimal(array.as_primitive_opt::<Decimal128Type>()?.value(row), *scale)),
        t if t.is_decimal() => Value::Number(fallback(array, row)),
        t if t.is_floating() => Value::Float(as_type(&DataType::Float64)?.as_primitive_opt::<Float64Type>()?.value(0)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = match array.data_type() {
                DataType::Utf8 => array.as_string_opt::<i32>()?.value(row),
                DataType::LargeUtf8 => array.as_string_opt::<i64>()?.value(row),
                _ => array.as_string_view_opt()?.value(row),
            };
            match tag(field) {
                Some(TIME_TAG) => {
                    let time = time_of(text)?;
                    return Some(Value::Text(format!("{}{}", time.format("%H:%M:%S"), fraction(time.nanosecond() % 1_000_000_000, 0))));
                }
                Some(TZ_TAG) => {
                    let stamp = tz_of(text)?;
                    let offset = FixedOffset::east_opt(stamp.offset)?.to_string().replace(':', "");
                    let nanos = stamp.wall.nanosecond() % 1_000_000_000;
                    return Some(Value::Text(format!("{}{} {offset}", stamp.wall.format("%Y-%m-%d %H:%M:%S"), fraction(nanos, 3))));
                }
                _ => {}
            }
            if semi_structured(field).is_some() { Value::Json(show(text).into_owned()) } else { Value::Text(text.to_owned()) }
        }
        DataType::Date32 => {
            let days = array.as_primitive_opt::<Date32Type>()?.value(row);
            Value::Text(NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(TimeDelta::try_days(days.into())?)?.to_string())
        }
        DataType::Date64 => {
            Value::Text(DateTime::from_timestamp_millis(array.as_primitive_opt::<Date64Type>()?.value(row))?.date_naive().to_string())
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let nanos = as_type(&DataType::Time64(TimeUnit::Nanosecond))?.as_primitive_opt::<Time64NanosecondType>()?.value(0);
            let nanos = u64::try_from(nanos).ok()?;
            let time = NaiveTime::from_num_seconds_from_midnight_opt((nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32)?;
            Value::Text(format!("{}{}", time.format("%H:%M:%S"), fraction((nanos % 1_000_000_000) as u32, 0)))
        }
        DataType::Timestamp(unit, zone) => Value::Text(timestamp(ticks(array, row)?, *unit, zone.as_deref())?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let bytes = as_type(&DataType::Binary)?;
            Value::Text(bytes.as_binary_opt::<i32>()?.value(0).iter().map(|b| format!("{b:02X}")).collect())
        }
        DataType::Dictionary(_, values) => of(&as_type(values)?, field, 0),
        t if t.is_nested() => Value::Json(nested(&one())?),
        _ => return None,
    };
    Some(value)
}

fn ticks(array: &ArrayRef, row: usize) -> Option<i64> {
    let numbers = cast(&array.slice(row, 1), &DataType::Int64).ok()?;
    Some(numbers.as_primitive_opt::<Int64Type>()?.value(0))
}

/// `2024-01-31 13:30:00.123`: at least milliseconds, more digits where there are any; an offset where there is a zone.
fn timestamp(ticks: i64, unit: TimeUnit, zone: Option<&str>) -> Option<String> {
    let (per_second, nanos_per_tick) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    let nanos = u32::try_from(ticks.rem_euclid(per_second) * nanos_per_tick).ok()?;
    let utc = DateTime::from_timestamp(ticks.div_euclid(per_second), nanos)?;
    let show = |local: NaiveDateTime| format!("{}{}", local.format("%Y-%m-%d %H:%M:%S"), fraction(nanos, 3));
    let Some(zone) = zone else { return Some(show(utc.naive_utc())) };
    let (local, offset) = if let Ok(fixed) = zone.parse::<chrono::FixedOffset>() {
        (utc.with_timezone(&fixed).naive_local(), fixed)
    } else {
        use chrono::Offset;
        let tz: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
        let local = utc.with_timezone(&tz);
        (local.naive_local(), local.offset().fix())
    };
    Some(format!("{} {}", show(local), offset.to_string().replace(':', "")))
}

/// `.123`, `.123456`, with at least `least` digits and no zeros behind them; empty for none.
fn fraction(nanos: u32, least: usize) -> String {
    let digits = format!("{nanos:09}");
    let kept = digits.trim_end_matches('0').len().max(least);
    if kept == 0 { String::new() } else { format!(".{}", &digits[..kept]) }
}

/// All `scale` digits: `10.50`.
fn decimal(unscaled: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else { return format!("{unscaled}{}", "0".repeat(usize::from(scale.unsigned_abs()))) };
    if scale == 0 {
        return unscaled.to_string();
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{part}", if unscaled < 0 { "-" } else { "" })
}

fn nested(one: &ArrayRef) -> Option<String> {
    let field = Field::new("v", one.data_type().clone(), true);
    Some(json_of(one, &field, 0))
}

/// Arrow's own lists and structs as JSON; keys of structs in their order.
fn json_of(array: &ArrayRef, field: &Field, row: usize) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    match array.data_type() {
        DataType::List(item) => {
            let Some(values) = array.as_list_opt::<i32>().map(|l| l.value(row)) else { return "null".into() };
            let items: Vec<String> = (0..values.len()).map(|i| json_of(&values, item, i)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::LargeList(item) => {
            let Some(values) = array.as_list_opt::<i64>().map(|l| l.value(row)) else { return "null".into() };
            let items: Vec<String> = (0..values.len()).map(|i| json_of(&values, item, i)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(fields) => {
            let Some(values) = array.as_struct_opt() else { return "null".into() };
            let items: Vec<String> =
                fields.iter().zip(values.columns()).map(|(f, c)| format!("{}:{}", string(f.name()), json_of(c, f, row))).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => json(&of(array, field, row), true),
    }
}

/// A value as JSON text. `inline` puts semi-structured values in as JSON, otherwise they are strings of JSON; numbers
/// with a scale stay exact: inline as JSON numbers, otherwise as strings with all their digits.
pub fn json(value: &Value, inline: bool) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Number(digits) if inline => digits.clone(),
        Value::Number(text) | Value::Text(text) => string(text),
        Value::Float(f) if f.is_finite() => serde_json::Number::from_f64(*f).map_or_else(|| "null".into(), |n| n.to_string()),
        Value::Float(f) => string(&float(*f)),
        Value::Json(text) if inline => text.clone(),
        Value::Json(text) => string(text),
    }
}

pub fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn tag(field: &Field) -> Option<&str> {
    field.metadata().get(SemiStructured::METADATA_KEY).map(String::as_str)
}

fn semi_structured(field: &Field) -> Option<SemiStructured> {
    field.metadata().get(SemiStructured::METADATA_KEY).and_then(|t| SemiStructured::parse(t))
}

fn fallback(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array.as_ref(), &options).map(|f| f.value(row).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
        StringViewArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    };

    use super::*;

    #[test]
    fn values_and_types() {
        let semi = |t: &str| [(SemiStructured::METADATA_KEY.to_owned(), t.to_owned())].into();
        let plain = |a: &ArrayRef| Field::new("x", a.data_type().clone(), true);
        let check = |array: ArrayRef, field: Option<Field>, name: &str, shown: &str| {
            let field = field.unwrap_or_else(|| plain(&array));
            assert_eq!(type_name(&field), name);
            assert_eq!(json(&of(&array, &field, 0), false), shown, "{name}");
        };
        check(Arc::new(Int64Array::from(vec![1])), None, "NUMBER(38,0)", "1");
        check(Arc::new(Int32Array::from(vec![-7])), None, "NUMBER(38,0)", "-7");
        check(Arc::new(Int64Array::from(vec![None])), None, "NUMBER(38,0)", "null");
        let decimals = |v: i128, p, s| Arc::new(Decimal128Array::from(vec![v]).with_precision_and_scale(p, s).expect("fits")) as ArrayRef;
        check(decimals(1050, 10, 2), None, "NUMBER(10,2)", "\"10.50\"");
        check(decimals(-5, 10, 2), None, "NUMBER(10,2)", "\"-0.05\"");
        check(decimals(12, 38, 0), None, "NUMBER(38,0)", "\"12\"");
        for (f, shown) in [(1.5, "1.5"), (f64::INFINITY, "\"inf\""), (f64::NEG_INFINITY, "\"-inf\""), (f64::NAN, "\"NaN\""), (3.0, "3.0")] {
            check(Arc::new(Float64Array::from(vec![f])), None, "FLOAT", shown);
        }
        check(Arc::new(StringArray::from(vec!["a\"b"])), None, "VARCHAR", "\"a\\\"b\"");
        check(Arc::new(StringViewArray::from(vec!["x"])), None, "VARCHAR", "\"x\"");
        check(Arc::new(BooleanArray::from(vec![true])), None, "BOOLEAN", "true");
        check(Arc::new(Date32Array::from(vec![19753])), None, "DATE", "\"2024-01-31\"");
        check(Arc::new(BinaryArray::from(vec![b"Bo".as_slice()])), None, "BINARY", "\"426F\"");
        check(Arc::new(Time64NanosecondArray::from(vec![48_600_000_000_000])), None, "TIME(9)", "\"13:30:00\"");
        check(Arc::new(Time64NanosecondArray::from(vec![48_600_123_456_789])), None, "TIME(9)", "\"13:30:00.123456789\"");
        let micros = 1_706_707_800_000_000;
        let ntz = |v| Arc::new(TimestampMicrosecondArray::from(vec![v])) as ArrayRef;
        check(ntz(micros), None, "TIMESTAMP_NTZ(9)", "\"2024-01-31 13:30:00.000\"");
        check(ntz(micros + 123_400), None, "TIMESTAMP_NTZ(9)", "\"2024-01-31 13:30:00.1234\"");
        check(ntz(-1), None, "TIMESTAMP_NTZ(9)", "\"1969-12-31 23:59:59.999999\"");
        let zoned = |zone: &str| Arc::new(TimestampNanosecondArray::from(vec![micros * 1000]).with_timezone(zone)) as ArrayRef;
        check(zoned("America/Los_Angeles"), None, "TIMESTAMP_LTZ(9)", "\"2024-01-31 05:30:00.000 -0800\"");
        check(zoned("-08:00"), None, "TIMESTAMP_LTZ(9)", "\"2024-01-31 05:30:00.000 -0800\"");
        let json = Arc::new(StringArray::from(vec!["{\"a\":1}"])) as ArrayRef;
        let object = Field::new("x", DataType::Utf8, true).with_metadata(semi("OBJECT"));
        check(json, Some(object), "OBJECT", "\"{\\\"a\\\":1}\"");
        let tz = Arc::new(StringArray::from(vec!["2024-01-31T21:30:00.123000Z-0800"])) as ArrayRef;
        let field = Field::new("x", DataType::Utf8, true).with_metadata(semi("TIMESTAMP_TZ"));
        check(tz, Some(field), "TIMESTAMP_TZ(9)", "\"2024-01-31 13:30:00.123 -0800\"");
        let time = Arc::new(StringArray::from(vec!["13:30:00.500000000"])) as ArrayRef;
        check(time, Some(Field::new("x", DataType::Utf8, true).with_metadata(semi("TIME"))), "TIME(9)", "\"13:30:00.5\"");
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])]);
        check(Arc::new(list), None, "ARRAY", "\"[1,null]\"");
    }

    #[test]
    fn floats_read_back() {
        for (f, shown) in [(0.1, "0.1"), (1e20, "1e20"), (6.1e-17, "6.1e-17"), (100000.0, "100000"), (0.0, "0")] {
            assert_eq!(float(f), shown);
        }
    }
}
