//! Arrow as Snowflake sends it -> Arrow as segue holds it.
//!
//! Snowflake sends numbers as the smallest integers that hold them, without their point; times and timestamps as counts or as
//! structures of seconds and nanoseconds; semi-structured values as JSON text. The stream is read message by message, because
//! children of those structures hold NULL although their fields say that they do not.

use std::{collections::HashMap, sync::Arc};

use ::datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatchOptions, StringArray, StructArray,
        TimestampMicrosecondArray,
    },
    buffer::Buffer,
    compute::cast,
    datatypes::{DataType, Decimal128Type, Field, Fields, Int64Type, Schema, SchemaRef},
    ipc::{MessageHeader, convert::fb_to_schema, reader::read_record_batch, root_as_message},
    record_batch::RecordBatch,
};
use chrono::NaiveTime;

use super::{
    column::{ResultColumn, too_wide},
    result::broken,
};
use crate::{
    dialect::{
        moment::{Stamp, time_text, tz_text},
        types::Type,
        variant::parse::{Duplicates, parse},
    },
    engine::EngineError,
    names::SemiStructured,
};

const NANOS: i64 = 1_000_000_000;

/// Batches of an IPC stream, as `schema` wants them. No bytes are no rows.
pub(super) fn decode(bytes: &[u8], columns: &[ResultColumn], schema: &SchemaRef) -> Result<Vec<RecordBatch>, EngineError> {
    let mut batches = vec![];
    let mut sent: Option<SchemaRef> = None;
    let dictionaries = HashMap::new();
    let mut at = 0_usize;
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes);
    while let Some(mut length) = word(at) {
        at += 4;
        if length == -1 {
            length = word(at).ok_or_else(|| broken("it ends within a message"))?;
            at += 4;
        }
        if length == 0 {
            // several streams may stand behind one another
            continue;
        }
        let end = usize::try_from(length).ok().and_then(|l| at.checked_add(l)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| broken("it ends within a message"))?;
        let message = root_as_message(&bytes[at..end]).map_err(|e| broken(&e.to_string()))?;
        let body = usize::try_from(message.bodyLength()).ok().and_then(|l| end.checked_add(l)).filter(|e| *e <= bytes.len());
        let body = body.ok_or_else(|| broken("it ends within a message"))?;
        match message.header_type() {
            MessageHeader::Schema => {
                let given = message.header_as_schema().ok_or_else(|| broken("its schema"))?;
                let given = fb_to_schema(given);
                sent = Some(Arc::new(Schema::new(given.fields().iter().map(|f| nullable(f)).collect::<Vec<_>>())));
            }
            MessageHeader::RecordBatch => {
                let schema_sent = sent.clone().ok_or_else(|| broken("rows before their schema"))?;
                let header = message.header_as_record_batch().ok_or_else(|| broken("its rows"))?;
                let buffer = Buffer::from(&bytes[end..body]);
                let batch = read_record_batch(&buffer, header, schema_sent, &dictionaries, None, &message.version())
                    .map_err(|e| broken(&e.to_string()))?;
                batches.push(held(&batch, columns, schema)?);
            }
            other => return Err(broken(&format!("an unexpected message {other:?}"))),
        }
        at = body;
    }
    Ok(batches)
}

fn nullable(field: &Field) -> Field {
    let field = field.clone().with_nullable(true);
    match field.data_type() {
        DataType::Struct(children) => {
            let children: Fields = children.iter().map(|c| nullable(c)).collect();
            field.with_data_type(DataType::Struct(children))
        }
        _ => field,
    }
}

fn held(batch: &RecordBatch, columns: &[ResultColumn], schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    if batch.num_columns() != columns.len() {
        return Err(broken(&format!("{} columns came, {} were announced", batch.num_columns(), columns.len())));
    }
    let arrays = batch
        .columns()
        .iter()
        .zip(columns)
        .zip(schema.fields())
        .map(|((array, column), field)| column_of(array, column, field))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(|e| broken(&e.to_string()))
}

fn column_of(array: &ArrayRef, column: &ResultColumn, field: &Field) -> Result<ArrayRef, EngineError> {
    let as_type = |to: &DataType| cast(array, to).map_err(|e| broken(&format!("column `{}`: {e}", column.name)));
    match column.type_() {
        _ if matches!(array.data_type(), DataType::Null) => as_type(field.data_type()),
        Type::Number { .. } => number(array, column, field),
        Type::Time => match array.data_type() {
            t if t.is_integer() => {
                let unit = 10_i64.pow(u32::try_from(9 - column.scale.clamp(0, 9)).unwrap_or(0));
                let counts = as_type(&DataType::Int64)?;
                let texts = counts.as_primitive::<Int64Type>().iter().map(|n| n.and_then(|n| time_at(n.checked_mul(unit)?)));
                Ok(Arc::new(texts.collect::<StringArray>()))
            }
            _ => crate::dialect::moment::stored_times(array).map_err(|e| broken(&e.to_string())),
        },
        Type::TimestampNtz | Type::TimestampLtz => {
            let micros =
                moments(array, column)?.into_iter().map(|m| m.map(|(nanos, _)| i64::try_from(nanos.div_euclid(1000)).unwrap_or(0)));
            let stamps: TimestampMicrosecondArray = micros.collect();
            cast(&(Arc::new(stamps) as ArrayRef), field.data_type()).map_err(|e| broken(&e.to_string()))
        }
        Type::TimestampTz => {
            let texts = moments(array, column)?.into_iter().map(|m| {
                let (nanos, offset) = m?;
                let seconds = i64::try_from(nanos.div_euclid(i128::from(NANOS))).ok()?;
                let rest = u32::try_from(nanos.rem_euclid(i128::from(NANOS))).ok()?;
                let utc = chrono::DateTime::from_timestamp(seconds, rest)?.naive_utc();
                Some(tz_text(Stamp::with_offset(utc, offset * 60)))
            });
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        Type::Semi(kind) => {
            let texts = as_type(&DataType::Utf8)?;
            let canonical = texts.as_string::<i32>().iter().map(|t| t.and_then(|t| semi(t, kind)));
            Ok(Arc::new(canonical.collect::<StringArray>()))
        }
        Type::Boolean if array.data_type().is_integer() => {
            let counts = as_type(&DataType::Int64)?;
            Ok(Arc::new(counts.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| n != 0)).collect::<BooleanArray>()))
        }
        _ => as_type(field.data_type()),
    }
}

/// Canonical text. What is no JSON at all is a string, as a VARIANT has it.
pub(super) fn semi(text: &str, kind: SemiStructured) -> Option<String> {
    match parse(text, Duplicates::KeepLast) {
        Ok(found) => found,
        Err(_) if kind == SemiStructured::Variant => Some(crate::dialect::variant::scan::quote(text)),
        Err(_) => Some(text.to_owned()),
    }
}

fn number(array: &ArrayRef, column: &ResultColumn, field: &Field) -> Result<ArrayRef, EngineError> {
    let failed = |e: ::datafusion::arrow::error::ArrowError| broken(&format!("column `{}`: {e}", column.name));
    let wanted = field.data_type();
    match array.data_type() {
        t if t.is_integer() && column.scale == 0 => cast(array, wanted).map_err(failed),
        t if t.is_integer() => {
            // digits without their point
            let whole = cast(array, &DataType::Int64).map_err(failed)?;
            let digits = whole.as_primitive::<Int64Type>().iter().map(|n| n.map(i128::from));
            let DataType::Decimal128(precision, scale) = wanted else { return cast(array, wanted).map_err(failed) };
            let decimals: Decimal128Array = digits.collect();
            Ok(Arc::new(decimals.with_precision_and_scale(*precision, *scale).map_err(failed)?))
        }
        DataType::Decimal128(_, sent) if matches!(wanted, DataType::Int64) => {
            let unit = 10_i128.pow(u32::try_from(*sent).unwrap_or(0));
            let values = array.as_primitive::<Decimal128Type>().iter();
            let values: Result<Int64Array, EngineError> =
                values.map(|v| v.map(|v| i64::try_from(v / unit).map_err(|_| too_wide(&column.name))).transpose()).collect();
            Ok(Arc::new(values?))
        }
        _ => cast(array, wanted).map_err(failed),
    }
}

/// Nanoseconds since the epoch, and minutes of the offset from UTC.
fn moments(array: &ArrayRef, column: &ResultColumn) -> Result<Vec<Option<(i128, i32)>>, EngineError> {
    let unit = 10_i128.pow(u32::try_from(9 - column.scale.clamp(0, 9)).unwrap_or(0));
    let failed = |e: ::datafusion::arrow::error::ArrowError| broken(&format!("column `{}`: {e}", column.name));
    if let Some(parts) = array.as_any().downcast_ref::<StructArray>() {
        let part = |name: &str| -> Result<Option<Int64Array>, EngineError> {
            let Some(child) = parts.column_by_name(name) else { return Ok(None) };
            Ok(Some(cast(child, &DataType::Int64).map_err(failed)?.as_primitive::<Int64Type>().clone()))
        };
        let epoch = part("epoch")?.ok_or_else(|| broken("a timestamp without its seconds"))?;
        let (fraction, zone) = (part("fraction")?, part("timezone")?);
        let of = |array: &Option<Int64Array>, row: usize| array.as_ref().filter(|a| !a.is_null(row)).map(|a| a.value(row));
        return Ok((0..parts.len())
            .map(|row| {
                if parts.is_null(row) || epoch.is_null(row) {
                    return None;
                }
                let seconds = i128::from(epoch.value(row));
                let nanos = match &fraction {
                    Some(_) => seconds * i128::from(NANOS) + i128::from(of(&fraction, row).unwrap_or(0)),
                    // without a fraction the count is in units of the scale
                    None => seconds * unit,
                };
                let minutes = of(&zone, row).map_or(0, |z| i32::try_from(z - 1440).unwrap_or(0));
                Some((nanos, minutes))
            })
            .collect());
    }
    match array.data_type() {
        t if t.is_integer() => {
            let counts = cast(array, &DataType::Int64).map_err(failed)?;
            Ok(counts.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| (i128::from(n) * unit, 0))).collect())
        }
        DataType::Timestamp(..) => {
            let nanos = cast(array, &DataType::Timestamp(::datafusion::arrow::datatypes::TimeUnit::Microsecond, None)).map_err(failed)?;
            let micros = nanos.as_primitive::<::datafusion::arrow::datatypes::TimestampMicrosecondType>();
            Ok(micros.iter().map(|n| n.map(|n| (i128::from(n) * 1000, 0))).collect())
        }
        other => Err(broken(&format!("a timestamp as {other}"))),
    }
}

pub(super) fn time_at(nanos: i64) -> Option<String> {
    let nanos = u64::try_from(nanos).ok()?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(
        u32::try_from(nanos / NANOS as u64).ok()?,
        u32::try_from(nanos % NANOS as u64).ok()?,
    )?;
    Some(time_text(time))
}

#[cfg(test)]
mod tests {
    use ::datafusion::arrow::{array::Int32Array, ipc::writer::StreamWriter};

    use super::*;
    use crate::engine::{snowflake::column::schema, value};

    fn column(name: &str, kind: &str, precision: Option<u8>, scale: i8) -> ResultColumn {
        ResultColumn { name: name.into(), kind: kind.into(), precision, scale, length: None, nullable: true }
    }

    #[test]
    fn values_arrive_as_snowflake_shows_them() {
        let child = |name: &str, t: DataType| Arc::new(Field::new(name, t, false));
        let timestamp = StructArray::from(vec![
            (child("epoch", DataType::Int64), Arc::new(Int64Array::from(vec![1_700_000_000, 0])) as ArrayRef),
            (child("fraction", DataType::Int32), Arc::new(Int32Array::from(vec![123_456_789, 0])) as ArrayRef),
        ]);
        let zoned = StructArray::from(vec![
            (child("epoch", DataType::Int64), Arc::new(Int64Array::from(vec![1_700_000_000_123, 0])) as ArrayRef),
            (child("timezone", DataType::Int32), Arc::new(Int32Array::from(vec![1440 - 480, 1440])) as ArrayRef),
        ]);
        let arrays: Vec<(ResultColumn, ArrayRef)> = vec![
            (column("N", "FIXED", Some(10), 2), Arc::new(::datafusion::arrow::array::Int16Array::from(vec![Some(150), None]))),
            (column("I", "FIXED", Some(38), 0), Arc::new(::datafusion::arrow::array::Int8Array::from(vec![1, -2]))),
            (column("T", "TIME", None, 9), Arc::new(Int64Array::from(vec![Some(3_600_000_000_001), None]))),
            (column("NTZ", "TIMESTAMP_NTZ", None, 9), Arc::new(timestamp)),
            (column("MS", "TIMESTAMP_NTZ", None, 3), Arc::new(Int64Array::from(vec![Some(1_700_000_000_123), None]))),
            (column("TZ", "TIMESTAMP_TZ", None, 3), Arc::new(zoned)),
            (column("V", "VARIANT", None, 0), Arc::new(StringArray::from(vec![Some("{\n  \"b\": 1,\n  \"a\": [1, 2]\n}"), None]))),
            (column("D", "DATE", None, 0), Arc::new(::datafusion::arrow::array::Date32Array::from(vec![0, 19_000]))),
        ];
        let columns: Vec<ResultColumn> = arrays.iter().map(|(c, _)| ResultColumn { kind: c.kind.to_lowercase(), ..c.clone() }).collect();
        let sent = Schema::new(arrays.iter().map(|(c, a)| Field::new(&c.name, a.data_type().clone(), true)).collect::<Vec<_>>());
        let batch = RecordBatch::try_new(Arc::new(sent.clone()), arrays.into_iter().map(|(_, a)| a).collect()).expect("a batch");
        let mut bytes = vec![];
        let mut writer = StreamWriter::try_new(&mut bytes, &sent).expect("a writer");
        writer.write(&batch).expect("written");
        writer.finish().expect("finished");
        drop(writer);
        let schema = schema(&columns, false);
        let batches = decode(&bytes, &columns, &schema).expect("decoded");
        let row = |row: usize| {
            let cells = schema.fields().iter().zip(batches[0].columns());
            cells.map(|(f, c)| value::of(c, f, row).text().unwrap_or("NULL".into())).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(
            row(0),
            "1.50 | 1 | 01:00:00.000000001 | 2023-11-14 22:13:20.123456 | 2023-11-14 22:13:20.123 | 2023-11-14 14:13:20.123 -0800 | {\"a\":[1,2],\"b\":1} | 1970-01-01"
        );
        assert_eq!(row(1), "NULL | -2 | NULL | 1970-01-01 00:00:00.000 | NULL | 1970-01-01 00:00:00.000 +0000 | NULL | 2022-01-08");
    }

    #[test]
    fn cut_off_streams_are_faults() {
        let columns = [column("I", "fixed", Some(38), 0)];
        let schema = schema(&columns, false);
        assert!(decode(&[], &columns, &schema).expect("no rows").is_empty());
        assert!(decode(&[255, 255, 255, 255, 100, 0, 0, 0, 1, 2], &columns, &schema).is_err());
    }
}
