//! Arrow values to canonical text, keeping Snowflake's types.

use std::fmt::Write;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
        datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
    },
    common::Result,
};

use super::{Tag, parse, scan};
use crate::dialect::{
    function::{
        moment_text,
        value::{decimal_text, normalised, to_text},
    },
    settings::Settings,
    types::Type,
};

/// Each row as a value; SQL NULL stays NULL.
pub fn texts(array: &ArrayRef, of: Type) -> Result<StringArray> {
    texts_in(array, of, Settings::defaults())
}

/// The same in the time zone of a session.
pub fn texts_in(array: &ArrayRef, of: Type, settings: &Settings) -> Result<StringArray> {
    let array = normalised(array, of)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut each = |f: &mut dyn FnMut(usize, &mut String)| {
        let mut buffer = String::new();
        for row in 0..array.len() {
            if array.is_null(row) {
                out.append_null();
                continue;
            }
            buffer.clear();
            f(row, &mut buffer);
            out.append_value(&buffer);
        }
    };
    match (of, array.data_type()) {
        (Type::Semi(_), DataType::Utf8) => return Ok(array.as_string::<i32>().clone()),
        (of, _) if of.is_moment() => {
            let strings = moment_text(&array, of, settings)?;
            let tag = match of {
                Type::Date => Tag::Date,
                Type::Time => Tag::Time,
                Type::TimestampLtz => Tag::TimestampLtz,
                Type::TimestampTz => Tag::TimestampTz,
                _ => Tag::TimestampNtz,
            };
            each(&mut |i, b| b.push_str(&tag.text(strings.value(i))));
        }
        (_, DataType::Utf8) => {
            let strings = array.as_string::<i32>();
            each(&mut |i, b| scan::quote_into(strings.value(i), b));
        }
        (_, DataType::Boolean) => {
            let values = array.as_boolean();
            each(&mut |i, b| b.push_str(if values.value(i) { "true" } else { "false" }));
        }
        (_, DataType::Int64) => {
            let values = array.as_primitive::<Int64Type>();
            each(&mut |i, b| {
                let _ = write!(b, "{}", values.value(i));
            });
        }
        (_, DataType::Decimal128(_, scale)) => {
            let values = array.as_primitive::<Decimal128Type>();
            each(&mut |i, b| {
                let text = decimal_text(values.value(i), *scale);
                b.push_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text });
            });
        }
        (_, DataType::Float64) => {
            let values = array.as_primitive::<Float64Type>();
            each(&mut |i, b| b.push_str(&parse::double(values.value(i))));
        }
        (Type::Binary, DataType::Binary) => {
            let values = array.as_binary::<i32>();
            each(&mut |i, b| {
                let hex = values.value(i).iter().fold(String::new(), |mut out, byte| {
                    let _ = write!(out, "{byte:02X}");
                    out
                });
                b.push_str(&Tag::Binary.text(&hex));
            });
        }
        _ => {
            let strings = to_text(&array, of)?;
            each(&mut |i, b| scan::quote_into(strings.value(i), b));
        }
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{BinaryArray, Date32Array, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::dialect::variant::kind;

    #[test]
    fn scalars_keep_their_types() {
        let decimals = Decimal128Array::from(vec![1230]).with_precision_and_scale(6, 3).expect("fits");
        let cases: Vec<(ArrayRef, Type, &str, &str)> = vec![
            (Arc::new(decimals), Type::Number { precision: 6, scale: 3 }, "1.23", "DECIMAL"),
            (Arc::new(Float64Array::from(vec![3.0])), Type::Float, "3e0", "DOUBLE"),
            (Arc::new(StringArray::from(vec!["a\"b"])), Type::Varchar, "\"a\\\"b\"", "VARCHAR"),
            (Arc::new(Date32Array::from(vec![0])), Type::Date, "\"\\u0001D1970-01-01\"", "DATE"),
            (Arc::new(BinaryArray::from(vec![b"Bo".as_slice()])), Type::Binary, "\"\\u0001B426F\"", "BINARY"),
            (
                Arc::new(TimestampMicrosecondArray::from(vec![1_500_000])),
                Type::TimestampNtz,
                "\"\\u0001N1970-01-01 00:00:01.5\"",
                "TIMESTAMP_NTZ",
            ),
        ];
        for (array, of, text, name) in cases {
            let values = texts(&array, of).expect("a value");
            assert_eq!((values.value(0), kind(values.value(0)).name()), (text, name));
        }
    }
}
