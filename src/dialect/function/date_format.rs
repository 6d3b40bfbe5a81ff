//! Dates and times with a format or a scale: TO_DATE, TO_TIMESTAMP, TO_CHAR with Snowflake's format elements.

use std::sync::Arc;

use chrono::NaiveDateTime;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray},
        compute::cast,
        datatypes::{FieldRef, TimestampMicrosecondType},
    },
    common::Result,
};

use super::{
    cast::{Failure, convert, rescale},
    json::varchar,
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    value::{days, parse_date, parse_timestamp},
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("to_date", Arity::Exactly(2), |c| Ok(Type::Date.field(c.name)), |r| to_date(r, Failure::Error)),
    Function::new("try_to_date", Arity::Exactly(2), |c| Ok(Type::Date.field(c.name)), |r| to_date(r, Failure::Null)),
    Function::new("to_timestamp", Arity::Exactly(2), timestamp, |r| to_timestamp(r, Failure::Error)),
    Function::new("try_to_timestamp", Arity::Exactly(2), timestamp, |r| to_timestamp(r, Failure::Null)),
    Function::new("to_varchar", Arity::Exactly(2), varchar, to_varchar),
];

fn timestamp(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::TimestampNtz.field(call.name))
}

/// Snowflake's format as chrono's; `None` for AUTO.
fn format_of(text: &str) -> Option<String> {
    if text.eq_ignore_ascii_case("auto") {
        return None;
    }
    const ELEMENTS: [(&str, &str); 23] = [
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("MMMM", "%B"),
        ("MON", "%b"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("DY", "%a"),
        ("HH24", "%H"),
        ("HH12", "%I"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("MI", "%M"),
        ("SS", "%S"),
        ("FF0", ""),
        ("FF3", "%3f"),
        ("FF6", "%6f"),
        ("FF9", "%9f"),
        ("FF", "%9f"),
        ("TZH:TZM", "%:z"),
        ("TZHTZM", "%z"),
        ("TZH", "%z"),
        ("UUUU", "%Y"),
        ("HH", "%H"),
    ];
    let mut out = String::new();
    let mut rest = text;
    'outer: while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(&quoted[..end].replace('%', "%%"));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        for (element, chrono) in &ELEMENTS {
            if rest.len() >= element.len() && rest.is_char_boundary(element.len()) && rest[..element.len()].eq_ignore_ascii_case(element) {
                out.push_str(chrono);
                rest = &rest[element.len()..];
                continue 'outer;
            }
        }
        let Some(c) = rest.chars().next() else { break };
        out.push_str(&if c == '%' { "%%".to_owned() } else { c.to_string() });
        rest = &rest[c.len_utf8()..];
    }
    Some(out)
}

fn parse_with(text: &str, format: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    NaiveDateTime::parse_from_str(text, format)
        .ok()
        .or_else(|| chrono::NaiveDate::parse_from_str(text, format).ok().and_then(|d| d.and_hms_opt(0, 0, 0)))
        .or_else(|| {
            chrono::NaiveDate::parse_from_str(&format!("{text} 01"), &format!("{format} %d")).ok().and_then(|d| d.and_hms_opt(0, 0, 0))
        })
}

fn to_date(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    let (text, formats) = (r.text(0)?, r.text(1)?);
    let values = (0..r.rows).map(|i| {
        if text.is_null(i) || formats.is_null(i) {
            return Ok(None);
        }
        let value = match format_of(formats.value(i)) {
            None => parse_date(text.value(i)),
            Some(format) => parse_with(text.value(i), &format).and_then(|t| days(t.date())),
        };
        match (value, failure) {
            (None, Failure::Error) => fail(format!("'{}' is not a date in the format '{}'", text.value(i), formats.value(i))),
            (v, _) => Ok(v),
        }
    });
    Ok(Arc::new(values.collect::<Result<Date32Array>>()?))
}

fn to_timestamp(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    // a number with a scale: 0 seconds, 3 milliseconds, 6 microseconds, 9 nanoseconds
    if let Type::Number { scale: 0, .. } = r.types[0] {
        let (numbers, scales) = (r.integers(0)?, r.integers(1)?);
        let values = (0..r.rows).map(|i| {
            if numbers.is_null(i) || scales.is_null(i) {
                return Ok(None);
            }
            let micros = i8::try_from(scales.value(i))
                .ok()
                .filter(|s| (0..=9).contains(s))
                .and_then(|s| {
                    if s <= 6 {
                        rescale(i128::from(numbers.value(i)), s, 6)
                    } else {
                        Some(i128::from(numbers.value(i)).div_euclid(10_i128.pow((s - 6) as u32)))
                    }
                })
                .and_then(|v| i64::try_from(v).ok());
            match (micros, failure) {
                (None, Failure::Error) => fail(format!("{} at scale {} is not a timestamp", numbers.value(i), scales.value(i))),
                (v, _) => Ok(v),
            }
        });
        return Ok(Arc::new(TimestampMicrosecondArray::from(values.collect::<Result<Vec<_>>>()?)));
    }
    let (text, formats) = (r.text(0)?, r.text(1)?);
    let values = (0..r.rows).map(|i| {
        if text.is_null(i) || formats.is_null(i) {
            return Ok(None);
        }
        let value = match format_of(formats.value(i)) {
            None => parse_timestamp(text.value(i)),
            Some(format) => parse_with(text.value(i), &format).map(|t| t.and_utc().timestamp_micros()),
        };
        match (value, failure) {
            (None, Failure::Error) => fail(format!("'{}' is not a timestamp in the format '{}'", text.value(i), formats.value(i))),
            (v, _) => Ok(v),
        }
    });
    Ok(Arc::new(TimestampMicrosecondArray::from(values.collect::<Result<Vec<_>>>()?)))
}

fn to_varchar(r: &Rows) -> Result<ArrayRef> {
    let formats = r.text(1)?;
    if matches!(r.types[0], Type::Number { .. } | Type::Float) {
        let all_plain = (0..r.rows).all(|i| formats.is_null(i) || formats.value(i).is_empty());
        if !all_plain {
            return fail("TO_VARCHAR of a number with a format is not supported by the local engine");
        }
        return Ok(Arc::new(r.text(0)?));
    }
    let stamps = match r.types[0] {
        Type::TimestampNtz => r.args[0].clone(),
        of => convert(&r.args[0], of, Type::TimestampNtz, Failure::Error)?,
    };
    let stamps = cast(&stamps, &Type::TimestampNtz.arrow())?;
    let stamps = stamps.as_primitive::<TimestampMicrosecondType>();
    texts(r, |i| {
        if stamps.is_null(i) || formats.is_null(i) {
            return Ok(None);
        }
        let Some(t) = chrono::DateTime::from_timestamp_micros(stamps.value(i)) else { return fail("a timestamp is out of range") };
        Ok(Some(match format_of(formats.value(i)) {
            Some(format) => t.naive_utc().and_utc().format(&format).to_string(),
            None => super::value::timestamp_text(stamps.value(i)),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (snowflake, chrono) in [("YYYY-MM-DD", "%Y-%m-%d"), ("DD/MON/YY hh24:mi:ss", "%d/%b/%y %H:%M:%S"), ("YYYY\"T\"MM", "%YT%m")] {
            assert_eq!(format_of(snowflake).as_deref(), Some(chrono));
        }
        assert_eq!(format_of("auto"), None);
    }
}
