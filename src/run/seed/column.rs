//! Types of seed columns by Snowflake's names, and texts -> Arrow arrays of these types.

use std::{fmt, sync::Arc};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, Time64NanosecondArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, TimeUnit},
};

use crate::names::SemiStructured;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ColumnType {
    Integer,
    Number(u8, i8),
    Float,
    Boolean,
    Date,
    Time,
    Timestamp,
    /// With the greatest number of characters, if there is one.
    Text(Option<usize>),
    Binary,
    Semi(SemiStructured),
}

impl ColumnType {
    /// From a name as in `create table`: `varchar(20)`, `number(10, 2)`, `timestamp_ntz`...
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')')?.split(',').map(str::trim).collect()),
            None => (lower.as_str(), vec![]),
        };
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let number = |i: usize| arguments.get(i).and_then(|a| a.parse::<u8>().ok());
        Some(match name.as_str() {
            "number" | "numeric" | "decimal" | "dec" => match (number(0), number(1)) {
                _ if arguments.is_empty() => Self::Integer,
                (Some(38), None | Some(0)) => Self::Integer,
                (Some(p @ 1..=38), scale) if scale.unwrap_or(0) <= p => Self::Number(p, i8::try_from(scale.unwrap_or(0)).ok()?),
                _ => return None,
            },
            "int" | "integer" | "bigint" | "smallint" | "tinyint" | "byteint" => Self::Integer,
            "float" | "float4" | "float8" | "double" | "double precision" | "real" => Self::Float,
            "boolean" | "bool" => Self::Boolean,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" | "timestamp_ntz" | "timestampntz" | "datetime" | "timestamp without time zone" => Self::Timestamp,
            // the wall clock is what a file can say; offsets in the values are resolved to UTC
            "timestamp_tz" | "timestamp_ltz" | "timestamptz" | "timestampltz" | "timestamp with time zone" => Self::Timestamp,
            "varchar" | "text" | "string" | "char" | "character" | "nvarchar" | "nchar" | "character varying" => {
                let most = match arguments.first() {
                    Some(n) => Some(n.parse::<usize>().ok()?),
                    None => None,
                };
                Self::Text(most.or_else(|| (matches!(name.as_str(), "char" | "character" | "nchar")).then_some(1)))
            }
            "binary" | "varbinary" => Self::Binary,
            "variant" => Self::Semi(SemiStructured::Variant),
            "array" => Self::Semi(SemiStructured::Array),
            "object" => Self::Semi(SemiStructured::Object),
            _ => return None,
        })
    }

    pub(super) fn field(&self, name: &str) -> Field {
        let arrow = match self {
            Self::Integer => DataType::Int64,
            Self::Number(p, s) => DataType::Decimal128(*p, *s),
            Self::Float => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Nanosecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Text(_) | Self::Semi(_) => DataType::Utf8,
            Self::Binary => DataType::Binary,
        };
        let field = Field::new(name, arrow, true);
        match self {
            Self::Semi(kind) => field.with_metadata([(SemiStructured::METADATA_KEY.to_owned(), kind.as_str().to_owned())].into()),
            _ => field,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer => f.write_str("integer"),
            Self::Number(p, s) => write!(f, "number({p},{s})"),
            Self::Float => f.write_str("float"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Text(Some(n)) => write!(f, "varchar({n})"),
            Self::Text(None) => f.write_str("varchar"),
            Self::Binary => f.write_str("binary"),
            Self::Semi(kind) => f.write_str(&kind.as_str().to_lowercase()),
        }
    }
}

/// The array, with null for every value that does not fit; `fault` hears of those: row and what a value should be.
pub(super) fn build<'a>(kind: &ColumnType, values: impl Iterator<Item = Option<&'a str>>, mut fault: impl FnMut(usize, &str)) -> ArrayRef {
    match kind {
        ColumnType::Integer => {
            Arc::new(Int64Array::from_iter(convert(values, "a whole number of at most 64 bits", &mut fault, as_integer)))
        }
        ColumnType::Number(p, s) => {
            let (p, s) = (*p, *s);
            let expected = format!("at most {} digits before the point", i16::from(p) - i16::from(s));
            let array = Decimal128Array::from_iter(convert(values, &expected, &mut fault, |t| as_decimal(t, p, s)));
            // the precision was checked when the type was parsed
            Arc::new(array.with_precision_and_scale(p, s).unwrap_or_else(|_| Decimal128Array::from(Vec::<i128>::new())))
        }
        ColumnType::Float => Arc::new(Float64Array::from_iter(convert(values, "a number", &mut fault, as_number))),
        ColumnType::Boolean => Arc::new(BooleanArray::from_iter(convert(values, "true or false", &mut fault, as_declared_boolean))),
        ColumnType::Date => {
            Arc::new(Date32Array::from_iter(convert(values, "a date such as 2024-01-31", &mut fault, |t| as_date(t).map(days))))
        }
        ColumnType::Time => Arc::new(Time64NanosecondArray::from_iter(convert(values, "a time such as 13:30:00", &mut fault, as_time))),
        ColumnType::Timestamp => {
            let micros = |t: &str| as_timestamp(t).map(|t| t.and_utc().timestamp_micros());
            Arc::new(TimestampMicrosecondArray::from_iter(convert(values, "a timestamp such as 2024-01-31 13:30:00", &mut fault, micros)))
        }
        ColumnType::Text(most) => {
            let most = *most;
            let fits = |t: &str| most.is_none_or(|most| t.chars().count() <= most).then(|| t.to_owned());
            let expected = format!("at most {} characters", most.unwrap_or_default());
            Arc::new(StringArray::from_iter(convert(values, &expected, &mut fault, fits)))
        }
        ColumnType::Binary => Arc::new(BinaryArray::from_iter(convert(values, "pairs of hexadecimal digits", &mut fault, as_binary))),
        ColumnType::Semi(kind) => {
            let kind = *kind;
            Arc::new(StringArray::from_iter(convert(values, "JSON of that kind", &mut fault, |t| as_json(t, kind))))
        }
    }
}

fn convert<'a, T>(
    values: impl Iterator<Item = Option<&'a str>>,
    expected: &str,
    fault: &mut dyn FnMut(usize, &str),
    one: impl Fn(&str) -> Option<T>,
) -> Vec<Option<T>> {
    let mut converted = vec![];
    for (row, value) in values.enumerate() {
        let result = value.and_then(&one);
        if value.is_some() && result.is_none() {
            fault(row, expected);
        }
        converted.push(result);
    }
    converted
}

pub(super) fn as_integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Plain and scientific decimals; not `inf`, `nan` or hexadecimal, which a float parser would take.
pub(super) fn as_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    (number && text.bytes().any(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

pub(super) fn as_boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Where the type is declared, Snowflake's other spellings count too.
fn as_declared_boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

pub(super) fn as_date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    // the year in four digits: `1-2-3` is no date
    (text.find('-') == Some(4)).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

fn days(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or_default()
}

fn as_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M")).ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000))
}

/// ISO 8601 with a blank or a `T`; an offset is resolved to UTC; a date alone is its midnight.
pub(super) fn as_timestamp(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    if let Some(date) = as_date(text) {
        return date.and_hms_opt(0, 0, 0);
    }
    if text.find('-') != Some(4) {
        return None;
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
            return Some(t);
        }
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"] {
        if let Ok(t) = DateTime::parse_from_str(text, format) {
            return Some(t.naive_utc());
        }
    }
    None
}

/// Rounded half away from zero to the scale, as a cast does; `None` when it does not fit the precision.
fn as_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = text.trim();
    as_number(text)?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    // position of the last digit that is kept, counted from the start of `digits`
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let digits = digits.as_bytes();
    let mut value: i128 = 0;
    for i in 0..kept.max(0) {
        let digit = usize::try_from(i).ok().and_then(|i| digits.get(i)).map_or(0, |b| i128::from(b - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    if kept >= 0 && usize::try_from(kept).ok().and_then(|i| digits.get(i)).is_some_and(|b| *b >= b'5') {
        value = value.checked_add(1)?;
    }
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

fn as_binary(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    (text.len().is_multiple_of(2) && text.is_ascii())
        .then(|| (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect())
        .flatten()
}

/// Canonical: compact, keys sorted. Text that is no JSON is a string in a VARIANT.
fn as_json(text: &str, kind: SemiStructured) -> Option<String> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
    match (kind, parsed) {
        (SemiStructured::Variant, Ok(mut v)) => {
            v.sort_all_objects();
            Some(v.to_string())
        }
        (SemiStructured::Variant, Err(_)) => Some(serde_json::Value::from(text).to_string()),
        (SemiStructured::Array, Ok(v)) if v.is_array() => sorted(v),
        (SemiStructured::Object, Ok(v)) if v.is_object() => sorted(v),
        _ => None,
    }
}

fn sorted(mut value: serde_json::Value) -> Option<String> {
    value.sort_all_objects();
    Some(value.to_string())
}
