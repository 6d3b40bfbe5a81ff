//! What a VARIANT holds: TYPEOF, the IS_ predicates, and the AS_ casts that take values of one kind only.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, StringArray},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    cast::{Failure, convert},
    json::{VARIANT, array, boolean, object, semi, varchar},
    scalar::{Arity, CallTypes, Function, Rows, texts},
};
use crate::dialect::{
    types::Type,
    variant::{Kind, kind},
};

const NUMBERS: &[Kind] = &[Kind::Integer, Kind::Decimal];
const FLOATS: &[Kind] = &[Kind::Integer, Kind::Decimal, Kind::Double];
const STAMPS: &[Kind] = &[Kind::TimestampNtz, Kind::TimestampLtz, Kind::TimestampTz];

macro_rules! is {
    ($name:literal, $kinds:expr) => {
        Function::new($name, Arity::Exactly(1), boolean, |r| is(r, $kinds))
    };
}

macro_rules! only {
    ($name:literal, $kinds:expr, $field:expr) => {
        Function::new($name, Arity::Exactly(1), $field, |r| only(r, $kinds))
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("typeof", Arity::Exactly(1), varchar, |r| {
        let values = semi(r, 0)?;
        Ok(Arc::new(values.iter().map(|v| v.map(|v| kind(v).name())).collect::<StringArray>()))
    }),
    is!("is_null_value", &[Kind::Null]),
    is!("is_array", &[Kind::Array]),
    is!("is_object", &[Kind::Object]),
    is!("is_boolean", &[Kind::Boolean]),
    is!("is_varchar", &[Kind::Varchar]),
    is!("is_char", &[Kind::Varchar]),
    is!("is_integer", &[Kind::Integer]),
    is!("is_decimal", NUMBERS),
    is!("is_double", FLOATS),
    is!("is_real", FLOATS),
    is!("is_binary", &[Kind::Binary]),
    is!("is_date", &[Kind::Date]),
    is!("is_date_value", &[Kind::Date]),
    is!("is_time", &[Kind::Time]),
    is!("is_timestamp_ntz", &[Kind::TimestampNtz]),
    is!("is_timestamp_ltz", &[Kind::TimestampLtz]),
    is!("is_timestamp_tz", &[Kind::TimestampTz]),
    only!("as_array", &[Kind::Array], array),
    only!("as_object", &[Kind::Object], object),
    only!("as_boolean", &[Kind::Boolean], boolean),
    only!("as_varchar", &[Kind::Varchar], varchar),
    only!("as_char", &[Kind::Varchar], varchar),
    only!("as_integer", &[Kind::Integer], super::json::integer),
    only!("as_double", FLOATS, |c| Ok(Type::Float.field(c.name))),
    only!("as_real", FLOATS, |c| Ok(Type::Float.field(c.name))),
    only!("as_binary", &[Kind::Binary], |c| Ok(Type::Binary.field(c.name))),
    only!("as_date", &[Kind::Date], |c| Ok(Type::Date.field(c.name))),
    only!("as_time", &[Kind::Time], |c| Ok(Type::Time.field(c.name))),
    only!("as_timestamp_ntz", STAMPS, |c| Ok(Type::TimestampNtz.field(c.name))),
    only!("as_timestamp_ltz", STAMPS, |c| stamp(c, "TIMESTAMP_LTZ")),
    only!("as_timestamp_tz", STAMPS, |c| stamp(c, "TIMESTAMP_TZ")),
    Function::new("as_decimal", Arity::Between(1, 3), decimal, |r| only(r, NUMBERS)),
    Function::new("as_number", Arity::Between(1, 3), decimal, |r| only(r, NUMBERS)),
];

fn stamp(call: &CallTypes, name: &str) -> Result<FieldRef> {
    let of = Type::parse(name).map_err(|e| datafusion::common::DataFusionError::Plan(e.message))?;
    Ok(of.field(call.name))
}

/// `AS_DECIMAL(v [, precision [, scale]])`
fn decimal(call: &CallTypes) -> Result<FieldRef> {
    let precision = call.integer(1).unwrap_or(38).clamp(1, 38) as u8;
    let scale = call.integer(2).unwrap_or(0).clamp(0, i64::from(precision).min(37)) as i8;
    Ok(Type::Number { precision, scale }.field(call.name))
}

fn is(r: &Rows, kinds: &[Kind]) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    Ok(Arc::new(values.iter().map(|v| v.map(|v| kinds.contains(&kind(v)))).collect::<BooleanArray>()))
}

/// Values of these kinds in the result's type; NULL for all others.
fn only(r: &Rows, kinds: &[Kind]) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    let kept = texts(r, |i| Ok((!values.is_null(i) && kinds.contains(&kind(values.value(i)))).then(|| values.value(i).to_owned())))?;
    convert(&kept, VARIANT, r.result, Failure::Error)
}
