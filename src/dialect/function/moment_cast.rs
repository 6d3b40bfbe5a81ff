//! Casts to, from and among the date and time types (Snowflake documentation, "Data type conversion", "Date and time
//! input and output formats").

use chrono::{DateTime, NaiveDateTime};
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Decimal128Array, StringArray},
        compute::cast,
        datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
    },
    common::{DataFusionError, Result},
};

use super::{cast::Failure, scalar::fail};
use crate::dialect::{
    moment::{self, Format, Parsed, Stamp, parse_auto, parse_auto_time},
    settings::Settings,
    types::Type,
};

/// Among the date and time types.
pub(super) fn between(array: &ArrayRef, from: Type, to: Type, settings: &Settings) -> Result<ArrayRef> {
    match (from, to) {
        (Type::Time, Type::Date) | (Type::Date, Type::Time) => return fail(format!("a {from} cannot be cast to {to}")),
        (Type::Time, Type::TimestampNtz | Type::TimestampLtz | Type::TimestampTz) => return fail(format!("a TIME cannot be cast to {to}")),
        _ => {}
    }
    let zone = settings.timezone;
    let stamps = moment::read(array, from, zone)?;
    moment::write(stamps.into_iter().map(|s| s.map(|s| s.converted(from, to, zone))).collect(), to)
}

/// The format that text of this type is read with when none is given.
pub(super) fn input_format(to: Type, settings: &Settings) -> &Format {
    match to {
        Type::Date => &settings.date_input,
        Type::Time => &settings.time_input,
        _ => &settings.timestamp_input,
    }
}

/// The format that a value of this type is written with when none is given.
pub(super) fn output_format(of: Type, settings: &Settings) -> &Format {
    match of {
        Type::Date => &settings.date_output,
        Type::Time => &settings.time_output,
        Type::TimestampLtz => &settings.ltz_output,
        Type::TimestampTz => &settings.tz_output,
        _ => &settings.ntz_output,
    }
}

fn parse_one(text: &str, to: Type, format: &Format, settings: &Settings) -> Option<Stamp> {
    let zone = settings.timezone;
    match format {
        Format::Auto if to == Type::Time => {
            parse_auto_time(text).map(|t| Stamp::plain(NaiveDateTime::new(chrono::NaiveDate::default(), t)))
        }
        Format::Auto => {
            // seconds since the epoch are an instant
            if let Some(utc) = moment::epoch_text(text.trim()) {
                return Some(at_epoch(utc, to, settings));
            }
            parse_auto(text).map(|p: Parsed| p.stamp(to, zone))
        }
        Format::Elements(elements) => elements.read(text, settings.century).map(|p| p.stamp(to, zone)),
    }
}

/// An instant counted from the epoch: the wall clock in UTC where the type has no zone.
fn at_epoch(utc: NaiveDateTime, to: Type, settings: &Settings) -> Stamp {
    match to {
        Type::TimestampLtz | Type::TimestampTz => Stamp::at(utc, settings.timezone),
        _ => Stamp::plain(utc).converted(Type::TimestampNtz, to, settings.timezone),
    }
}

/// The range of years that the types hold.
fn holds(stamp: &Stamp) -> bool {
    use chrono::Datelike;
    (0..=9999).contains(&stamp.wall.year()) && (0..=9999).contains(&stamp.utc().year())
}

/// Text to values, each with the format of its row.
pub(super) fn parse_each<'a>(
    texts: &StringArray,
    to: Type,
    format: impl Fn(usize) -> Option<&'a Format>,
    failure: Failure,
    settings: &Settings,
) -> Result<ArrayRef> {
    let stamps = texts.iter().enumerate().map(|(i, text)| {
        let (Some(text), Some(format)) = (text, format(i)) else { return Ok(None) };
        match parse_one(text, to, format, settings).filter(holds) {
            None if failure == Failure::Error => {
                let what = match to {
                    Type::Date => "Date",
                    Type::Time => "Time",
                    _ => "Timestamp",
                };
                fail(format!("{what} '{}' is not recognized", super::cast::shorten(text)))
            }
            stamp => Ok(stamp),
        }
    });
    moment::write(stamps.collect::<Result<Vec<_>>>()?, to)
}

/// Text in the session's format for the type.
pub(super) fn parse(texts: &StringArray, to: Type, failure: Failure, settings: &Settings) -> Result<ArrayRef> {
    let format = input_format(to, settings);
    parse_each(texts, to, |_| Some(format), failure, settings)
}

/// Numbers counted from the epoch; `scale`: 0 seconds, 3 milliseconds, 6 microseconds, 9 nanoseconds, for each row.
pub(super) fn from_numbers(
    array: &ArrayRef,
    from: Type,
    scale: impl Fn(usize) -> Option<i64>,
    to: Type,
    failure: Failure,
    settings: &Settings,
) -> Result<ArrayRef> {
    if matches!(to, Type::Date | Type::Time) {
        return fail(format!("a number cannot be cast to {to}"));
    }
    let (unscaled, decimals): (Decimal128Array, i32) = match from {
        Type::Number { scale, precision } => {
            let array = if array.data_type().is_integer() {
                let wide = array.as_primitive_opt::<Int64Type>().map(|a| a.iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>());
                wide.ok_or_else(|| DataFusionError::Internal("whole numbers were expected".into()))?
            } else {
                cast(array, &DataType::Decimal128(precision.max(scale as u8), scale))?.as_primitive::<Decimal128Type>().clone()
            };
            (array, i32::from(scale))
        }
        _ => {
            let floats = cast(array, &DataType::Float64)?;
            let nanos = floats.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| (v * 1e9).round() as i128));
            (nanos.collect(), 9)
        }
    };
    let stamps = unscaled.iter().enumerate().map(|(i, v)| {
        let (Some(v), Some(scale)) = (v, scale(i)) else { return Ok(None) };
        let moment = i32::try_from(scale).ok().filter(|s| (0..=9).contains(s)).and_then(|scale| {
            let exponent = 9 - scale - decimals;
            let nanos = if exponent >= 0 {
                v.checked_mul(10_i128.checked_pow(exponent as u32)?)?
            } else {
                v.div_euclid(10_i128.checked_pow(exponent.unsigned_abs())?)
            };
            let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
            DateTime::from_timestamp(seconds, nanos.rem_euclid(1_000_000_000) as u32)
        });
        match moment.map(|t| at_epoch(t.naive_utc(), to, settings)).filter(holds) {
            None if failure == Failure::Error => fail("a number of seconds since 1970 is out of the range of timestamps"),
            stamp => Ok(stamp),
        }
    });
    moment::write(stamps.collect::<Result<Vec<_>>>()?, to)
}

/// Values as text in a format of each row; AUTO is the session's.
pub(super) fn print_each<'a>(
    array: &ArrayRef,
    of: Type,
    format: impl Fn(usize) -> Option<&'a Format>,
    settings: &'a Settings,
) -> Result<StringArray> {
    let own = output_format(of, settings);
    let fallback = output_format(of, Settings::defaults());
    let stamps = moment::read(array, of, settings.timezone)?;
    Ok(stamps
        .into_iter()
        .enumerate()
        .map(|(i, stamp)| {
            let (stamp, format) = (stamp?, format(i)?);
            [format, own, fallback].into_iter().find_map(|f| match f {
                Format::Elements(elements) => Some(elements.print(stamp, of)),
                Format::Auto => None,
            })
        })
        .collect())
}

/// In the session's output format.
pub(super) fn print(array: &ArrayRef, of: Type, settings: &Settings) -> Result<StringArray> {
    print_each(array, of, |_| Some(&Format::Auto), settings)
}

/// As a VARIANT keeps it: the digits of the fraction that are not zero, the offset in the session's zone or the value's.
pub(in crate::dialect) fn exact(array: &ArrayRef, of: Type, settings: &Settings) -> Result<StringArray> {
    use chrono::Timelike;
    let stamps = moment::read(array, of, settings.timezone)?;
    let written = ["YYYY-MM-DD", "HH24:MI:SS", "YYYY-MM-DD HH24:MI:SS", "TZHTZM"].map(Format::parse);
    let print = |i: usize, stamp| match &written[i] {
        Format::Elements(elements) => elements.print(stamp, of),
        Format::Auto => String::new(),
    };
    Ok(stamps
        .into_iter()
        .map(|stamp| {
            let stamp = stamp?;
            let fraction = match stamp.wall.nanosecond() % 1_000_000_000 {
                0 => String::new(),
                nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
            };
            Some(match of {
                Type::Date => print(0, stamp),
                Type::Time => format!("{}{fraction}", print(1, stamp)),
                Type::TimestampNtz => format!("{}{fraction}", print(2, stamp)),
                _ => format!("{}{fraction} {}", print(2, stamp), print(3, stamp)),
            })
        })
        .collect())
}
