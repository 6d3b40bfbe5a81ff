//! Conversions with a format or a scale: TO_DATE, TO_TIME, TO_TIMESTAMP and their TRY_ forms, TO_VARCHAR (Snowflake
//! documentation, "Conversion functions").

use std::sync::Arc;

use datafusion::{
    arrow::array::{Array, ArrayRef, StringArray},
    common::Result,
};

use super::{
    binary,
    cast::{Failure, convert_in},
    json::varchar,
    moment_cast::{from_numbers, input_format, parse_each, print_each},
    number_format,
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::{moment::Format, types::Type};

macro_rules! conversion {
    ($name:literal, $type:expr, $failure:expr) => {
        Function::new($name, Arity::Exactly(2), |c: &CallTypes| Ok($type.field(c.name)), |r| with_format(r, $failure))
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    conversion!("to_date", Type::Date, Failure::Error),
    conversion!("try_to_date", Type::Date, Failure::Null),
    conversion!("to_time", Type::Time, Failure::Error),
    conversion!("try_to_time", Type::Time, Failure::Null),
    conversion!("to_timestamp_ntz", Type::TimestampNtz, Failure::Error),
    conversion!("try_to_timestamp_ntz", Type::TimestampNtz, Failure::Null),
    conversion!("to_timestamp_ltz", Type::TimestampLtz, Failure::Error),
    conversion!("try_to_timestamp_ltz", Type::TimestampLtz, Failure::Null),
    conversion!("to_timestamp_tz", Type::TimestampTz, Failure::Error),
    conversion!("try_to_timestamp_tz", Type::TimestampTz, Failure::Null),
    Function::new("to_varchar", Arity::Exactly(2), varchar, to_varchar),
];

/// The formats that an argument names, compiled once for the rows that share one.
pub(super) struct Formats {
    texts: StringArray,
    compiled: Vec<Format>,
    /// Index into `compiled`, by row.
    of_row: Vec<usize>,
}

impl Formats {
    pub(super) fn of(r: &Rows, index: usize) -> Result<Self> {
        let texts = r.text(index)?;
        let (mut compiled, mut known): (Vec<Format>, Vec<&str>) = (vec![], vec![]);
        let of_row = texts
            .iter()
            .map(|text| {
                let text = text.unwrap_or("AUTO");
                known.iter().rposition(|k| *k == text).unwrap_or_else(|| {
                    known.push(text);
                    compiled.push(Format::parse(text));
                    compiled.len() - 1
                })
            })
            .collect();
        Ok(Self { texts: texts.clone(), compiled, of_row })
    }

    pub(super) fn get(&self, row: usize) -> Option<&Format> {
        (!self.texts.is_null(row)).then(|| &self.compiled[self.of_row[row]])
    }
}

fn with_format(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    match r.types[0] {
        // a number takes a scale: 0 seconds, 3 milliseconds, 6 microseconds, 9 nanoseconds
        of @ (Type::Number { .. } | Type::Float) => {
            let scales = r.integers(1)?;
            let array = super::value::normalised(&r.args[0], of)?;
            from_numbers(&array, of, |i| (!scales.is_null(i)).then(|| scales.value(i)), r.result, failure, r.settings)
        }
        Type::Varchar | Type::Semi(_) => {
            let (texts, formats) = (r.text(0)?, Formats::of(r, 1)?);
            let own = input_format(r.result, r.settings);
            let format = |i: usize| formats.get(i).map(|f| if *f == Format::Auto { own } else { f });
            parse_each(&texts, r.result, format, failure, r.settings)
        }
        of if of.is_moment() => convert_in(&r.args[0], of, r.result, failure, r.settings),
        of => fail(format!("a {of} cannot be converted to {}", r.result)),
    }
}

fn to_varchar(r: &Rows) -> Result<ArrayRef> {
    match r.types[0] {
        Type::Number { .. } | Type::Float => number_format::print(r),
        Type::Binary => {
            let formats = binary::formats(r, 1, Failure::Error)?;
            let array = super::value::normalised(&r.args[0], Type::Binary)?;
            Ok(Arc::new(binary::encode(&array, |i| formats.as_ref().and_then(|f| f[i]))?))
        }
        of => {
            // text, too: it is read as a timestamp
            let moment = if of.is_moment() { of } else { Type::TimestampNtz };
            let array = convert_in(&r.args[0], of, moment, Failure::Error, r.settings)?;
            let formats = Formats::of(r, 1)?;
            Ok(Arc::new(print_each(&array, moment, |i| formats.get(i), r.settings)?))
        }
    }
}
