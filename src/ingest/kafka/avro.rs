//! Avro in Confluent's framing: a zero byte, the writer's schema id in four bytes, the datum.
//!
//! Values become JSON as columns read it: moments as ISO 8601, decimals and bytes as text, a union as its branch.

use apache_avro::{Schema, schema::RecordSchema, types::Value};
use chrono::{DateTime, NaiveDate, TimeDelta};
use serde_json::{Map, Value as Json};

use crate::{ingest::columns::ColumnType, names::SemiStructured};

/// The writer's schema id and the bytes behind it.
pub fn frame(payload: &[u8]) -> Result<(u32, &[u8]), String> {
    match payload {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [0, ..] | [] => Err("too short for an Avro message of a schema registry".into()),
        [first, ..] => Err(format!("not an Avro message of a schema registry: its first byte is {first}, not 0")),
    }
}

/// One datum as JSON.
pub fn record(writer: &Schema, mut datum: &[u8]) -> Result<Json, String> {
    let value = apache_avro::from_avro_datum(writer, &mut datum, None).map_err(|e| format!("not of its schema: {e}"))?;
    if !datum.is_empty() {
        return Err(format!("{} bytes are left behind the record", datum.len()));
    }
    Ok(json(value, Some(writer)))
}

/// The columns that a record's schema asks for; none of a schema that is no record.
pub fn columns(schema: &Schema) -> Vec<(String, ColumnType)> {
    match schema {
        Schema::Record(RecordSchema { fields, .. }) => fields.iter().map(|f| (f.name.clone(), column_type(&f.schema))).collect(),
        _ => vec![],
    }
}

fn column_type(schema: &Schema) -> ColumnType {
    let semi = ColumnType::Semi;
    match schema {
        Schema::Boolean => ColumnType::Boolean,
        Schema::Int | Schema::Long => ColumnType::Integer,
        Schema::Float | Schema::Double => ColumnType::Float,
        Schema::Date => ColumnType::Date,
        Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => ColumnType::Timestamp,
        Schema::Decimal(d) => match (u8::try_from(d.precision), i8::try_from(d.scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) => ColumnType::Decimal { precision, scale },
            _ => ColumnType::Text,
        },
        Schema::Array(_) => semi(SemiStructured::Array),
        Schema::Map(_) | Schema::Record(_) => semi(SemiStructured::Object),
        Schema::Union(union) => {
            let mut branches = union.variants().iter().filter(|v| !matches!(v, Schema::Null));
            match (branches.next(), branches.next()) {
                (Some(one), None) => column_type(one),
                _ => semi(SemiStructured::Variant),
            }
        }
        // a reference to a type that was named before: a record in all but odd schemas
        Schema::Ref { .. } => semi(SemiStructured::Variant),
        _ => ColumnType::Text,
    }
}

/// `schema` is the value's own where it is known: a decimal's scale stands only there.
pub fn json(value: Value, schema: Option<&Schema>) -> Json {
    let moment =
        |at: Option<DateTime<chrono::Utc>>| at.map_or(Json::Null, |at| at.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string().into());
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => b.into(),
        Value::Int(n) => n.into(),
        Value::Long(n) => n.into(),
        Value::Float(n) => f64::from(n).into(),
        Value::Double(n) => n.into(),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => hexadecimal(&bytes).into(),
        Value::String(text) | Value::Enum(_, text) => text.into(),
        Value::Union(branch, inner) => {
            let schema = match schema {
                Some(Schema::Union(union)) => union.variants().get(branch as usize),
                _ => None,
            };
            json(*inner, schema)
        }
        Value::Array(items) => {
            let schema = match schema {
                Some(Schema::Array(array)) => Some(array.items.as_ref()),
                _ => None,
            };
            items.into_iter().map(|item| json(item, schema)).collect()
        }
        Value::Map(map) => {
            let schema = match schema {
                Some(Schema::Map(map)) => Some(map.types.as_ref()),
                _ => None,
            };
            Json::Object(map.into_iter().map(|(k, v)| (k, json(v, schema))).collect())
        }
        Value::Record(fields) => {
            let of = |index: usize| match schema {
                Some(Schema::Record(record)) => record.fields.get(index).map(|f| &f.schema),
                _ => None,
            };
            Json::Object(fields.into_iter().enumerate().map(|(i, (k, v))| (k, json(v, of(i)))).collect::<Map<_, _>>())
        }
        Value::Date(days) => {
            NaiveDate::default().checked_add_signed(TimeDelta::days(days.into())).map_or(Json::Null, |d| d.to_string().into())
        }
        Value::TimeMillis(ms) => time(i64::from(ms) * 1000),
        Value::TimeMicros(us) => time(us),
        Value::TimestampMillis(ms) | Value::LocalTimestampMillis(ms) => moment(DateTime::from_timestamp_millis(ms)),
        Value::TimestampMicros(us) | Value::LocalTimestampMicros(us) => moment(DateTime::from_timestamp_micros(us)),
        Value::TimestampNanos(ns) | Value::LocalTimestampNanos(ns) => moment(Some(DateTime::from_timestamp_nanos(ns))),
        Value::Uuid(id) => id.to_string().into(),
        Value::BigDecimal(n) => n.to_string().into(),
        Value::Decimal(n) => {
            let scale = match schema {
                Some(Schema::Decimal(d)) => d.scale,
                _ => 0,
            };
            <Vec<u8>>::try_from(&n).ok().and_then(|bytes| decimal(&bytes, scale)).map_or(Json::Null, Json::from)
        }
        Value::Duration(d) => {
            let (months, days, ms): (u32, u32, u32) = (d.months().into(), d.days().into(), d.millis().into());
            serde_json::json!({"months": months, "days": days, "milliseconds": ms})
        }
    }
}

fn time(microseconds: i64) -> Json {
    chrono::NaiveTime::MIN.overflowing_add_signed(TimeDelta::microseconds(microseconds)).0.to_string().into()
}

/// Big-endian two's complement to a text with `scale` digits behind the point; `None` of more than 128 bits.
fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 16];
    let at = 16usize.checked_sub(bytes.len())?;
    wide[at..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(wide);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Digits of the bytes, upper case, as Snowflake shows BINARY.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
