//! Rows as Snowflake sends them in JSON (statuses, SHOW, results without Arrow) -> Arrow as segue holds it.

use std::sync::Arc;

use ::datafusion::arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatchOptions, StringArray,
        TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Field, SchemaRef},
    record_batch::RecordBatch,
};
use serde_json::Value as Json;

use super::{
    arrow::{semi, time_at},
    column::{ResultColumn, too_wide},
    result::broken,
};
use crate::{
    dialect::{
        moment::{Stamp, tz_text},
        types::Type,
    },
    engine::EngineError,
};

/// The rows of a chunk: lists with commas between them, and nothing around.
pub(super) fn rows(bytes: &[u8]) -> Result<Vec<Json>, EngineError> {
    let mut list = Vec::with_capacity(bytes.len() + 2);
    list.push(b'[');
    list.extend_from_slice(bytes);
    list.push(b']');
    serde_json::from_slice(&list).map_err(|e| broken(&e.to_string()))
}

pub(super) fn decode(rows: &[Json], columns: &[ResultColumn], schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    let arrays = columns
        .iter()
        .zip(schema.fields())
        .enumerate()
        .map(|(i, (column, field))| {
            let cells: Vec<Option<String>> = rows.iter().map(|row| cell(row.get(i))).collect();
            array(&cells, column, field)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(|e| broken(&e.to_string()))
}

fn cell(value: Option<&Json>) -> Option<String> {
    match value? {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn array(cells: &[Option<String>], column: &ResultColumn, field: &Field) -> Result<ArrayRef, EngineError> {
    let texts = || cells.iter().map(|c| c.as_deref());
    let bad = |text: &str| broken(&format!("`{text}` in the column `{}`", column.name));
    /// Every cell by a rule that may fail.
    fn each<T>(cells: &[Option<String>], rule: impl Fn(&str) -> Result<T, EngineError>) -> Result<Vec<Option<T>>, EngineError> {
        cells.iter().map(|c| c.as_deref().map(&rule).transpose()).collect()
    }
    Ok(match column.type_() {
        Type::Number { .. } => match field.data_type() {
            DataType::Int64 => {
                let whole = |t: &str| match t.parse::<i64>() {
                    Ok(n) => Ok(n),
                    Err(_) if t.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => Err(too_wide(&column.name)),
                    Err(_) => t.parse::<f64>().map(|f| f as i64).map_err(|_| bad(t)),
                };
                Arc::new(Int64Array::from(each(cells, whole)?))
            }
            DataType::Decimal128(precision, scale) => {
                let digits = each(cells, |t| unscaled(t, *scale).ok_or_else(|| bad(t)))?;
                let array = Decimal128Array::from(digits).with_precision_and_scale(*precision, *scale);
                Arc::new(array.map_err(|e| broken(&e.to_string()))?)
            }
            other => return Err(broken(&format!("a number as {other}"))),
        },
        Type::Float => Arc::new(Float64Array::from(each(cells, |t| match t.to_lowercase().as_str() {
            "inf" | "infinity" => Ok(f64::INFINITY),
            "-inf" | "-infinity" => Ok(f64::NEG_INFINITY),
            _ => t.parse::<f64>().map_err(|_| bad(t)),
        })?)),
        Type::Boolean => Arc::new(texts().map(|t| t.map(|t| matches!(t.to_lowercase().as_str(), "1" | "true"))).collect::<BooleanArray>()),
        Type::Date => {
            let days = each(cells, |t| match t.parse::<i32>() {
                Ok(days) => Ok(days),
                Err(_) => t.parse::<chrono::NaiveDate>().map(crate::dialect::moment::days).map_err(|_| bad(t)),
            })?;
            Arc::new(Date32Array::from(days))
        }
        Type::Time => {
            let times = each(cells, |t| nanos(t).and_then(|n| time_at(i64::try_from(n).ok()?)).ok_or_else(|| bad(t)))?;
            Arc::new(StringArray::from(times))
        }
        Type::TimestampNtz | Type::TimestampLtz => {
            let micros = each(cells, |t| nanos(t).and_then(|n| i64::try_from(n.div_euclid(1000)).ok()).ok_or_else(|| bad(t)))?;
            let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros));
            cast(&stamps, field.data_type()).map_err(|e| broken(&e.to_string()))?
        }
        Type::TimestampTz => {
            let texts = each(cells, |t| zoned(t).ok_or_else(|| bad(t)))?;
            Arc::new(StringArray::from(texts))
        }
        Type::Binary => {
            let bytes = each(cells, |t| hex(t).ok_or_else(|| bad(t)))?;
            Arc::new(bytes.iter().map(|b| b.as_deref()).collect::<BinaryArray>())
        }
        Type::Semi(kind) => Arc::new(texts().map(|t| t.and_then(|t| semi(t, kind))).collect::<StringArray>()),
        Type::Varchar => Arc::new(texts().collect::<StringArray>()),
    })
}

/// Digits of a decimal text at a scale, further ones cut off: the server sends no others.
fn unscaled(text: &str, scale: i8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let wanted = usize::try_from(scale).ok()?;
    let mut all = String::with_capacity(whole.len() + wanted);
    all.push_str(whole);
    all.push_str(&part[..part.len().min(wanted)]);
    all.extend(std::iter::repeat_n('0', wanted.saturating_sub(part.len())));
    let value: i128 = if all.is_empty() { 0 } else { all.parse().ok()? };
    Some(if negative { -value } else { value })
}

/// Seconds, a blank, minutes of the offset and 1440.
fn zoned(text: &str) -> Option<String> {
    let (epoch, zone) = text.split_once(' ').unwrap_or((text, "1440"));
    let nanos = nanos(epoch)?;
    let minutes = zone.trim().parse::<i32>().ok()? - 1440;
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let utc = chrono::DateTime::from_timestamp(seconds, u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?)?;
    Some(tz_text(Stamp::with_offset(utc.naive_utc(), minutes * 60)))
}

/// `1700000000.123456789`: seconds since the epoch or midnight.
fn nanos(text: &str) -> Option<i128> {
    unscaled(text, 9)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (text.len().is_multiple_of(2) && text.is_ascii())
        .then(|| (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{snowflake::column::schema, value};

    #[test]
    fn cells_of_every_type() {
        for (kind, precision, scale, text, expect) in [
            ("fixed", Some(38), 0, "-7", "-7"),
            ("fixed", Some(10), 3, "1.5", "1.500"),
            ("fixed", Some(30), 0, "123456789012345678901234567890", "123456789012345678901234567890"),
            ("real", None, 0, "1.5e3", "1500"),
            ("boolean", None, 0, "1", "true"),
            ("date", None, 0, "19000", "2022-01-08"),
            ("time", None, 9, "3600.5", "01:00:00.5"),
            ("timestamp_ntz", None, 9, "-1.500000000", "1969-12-31 23:59:58.500"),
            ("timestamp_tz", None, 9, "1700000000.000000000 960", "2023-11-14 14:13:20.000 -0800"),
            ("binary", None, 0, "4142", "4142"),
            ("variant", None, 0, "{ \"b\": 1, \"a\": 2 }", "{\"a\":2,\"b\":1}"),
            ("text", None, 0, "x", "x"),
        ] {
            let columns = [ResultColumn { name: "C".into(), kind: kind.into(), precision, scale, length: None, nullable: true }];
            let schema = schema(&columns, false);
            let batch = decode(&[serde_json::json!([text]), serde_json::json!([null])], &columns, &schema).expect("decoded");
            assert_eq!(value::of(batch.column(0), schema.field(0), 0).text().as_deref(), Some(expect), "{kind}");
            assert_eq!(value::of(batch.column(0), schema.field(0), 1), value::Value::Null);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_ask_for_more_room() {
        let columns =
            [ResultColumn { name: "C".into(), kind: "fixed".into(), precision: Some(38), scale: 0, length: None, nullable: true }];
        let row = [serde_json::json!(["99999999999999999999"])];
        let fault = decode(&row, &columns, &schema(&columns, false)).expect_err("too wide");
        assert_eq!(fault.code, super::super::column::TOO_WIDE);
        let wide = schema(&columns, true);
        let batch = decode(&row, &columns, &wide).expect("fits");
        assert_eq!(value::of(batch.column(0), wide.field(0), 0).text().as_deref(), Some("99999999999999999999"));
    }
}
