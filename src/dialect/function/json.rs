//! JSON text to values and back, and the way to parts of a value: paths, keys, indexes.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, StringArray, StringBuilder},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    array::text,
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    value::{normalised, to_text},
};
use crate::{
    dialect::{
        types::Type,
        variant::{
            Kind, kind, limited, order,
            parse::{self, Duplicates},
            scalar, scan,
            scan::Step,
            show,
        },
    },
    names::SemiStructured,
};

pub(super) const VARIANT: Type = Type::Semi(SemiStructured::Variant);
pub(super) const ARRAY: Type = Type::Semi(SemiStructured::Array);
pub(super) const OBJECT: Type = Type::Semi(SemiStructured::Object);

pub(super) fn variant(call: &CallTypes) -> Result<FieldRef> {
    Ok(VARIANT.field(call.name))
}

pub(super) fn array(call: &CallTypes) -> Result<FieldRef> {
    Ok(ARRAY.field(call.name))
}

pub(super) fn object(call: &CallTypes) -> Result<FieldRef> {
    Ok(OBJECT.field(call.name))
}

pub(super) fn varchar(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Varchar.field(call.name))
}

pub(super) fn boolean(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Boolean.field(call.name))
}

pub(super) fn integer(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::INTEGER.field(call.name))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("parse_json", Arity::Between(1, 2), variant, |r| parse_json(r, false)),
    Function::new("try_parse_json", Arity::Between(1, 2), variant, |r| parse_json(r, true)),
    Function::new("check_json", Arity::Exactly(1), varchar, |r| {
        let text = to_text(&r.args[0], r.types[0])?;
        texts(r, |i| Ok(if text.is_null(i) { None } else { parse::parse(text.value(i), Duplicates::Refuse).err() }))
    }),
    Function::new("to_json", Arity::Exactly(1), varchar, |r| {
        let values = semi(r, 0)?;
        Ok(Arc::new(values.iter().map(|v| v.map(show::show)).collect::<StringArray>()))
    }),
    Function::new("json_extract_path_text", Arity::Exactly(2), varchar, |r| {
        let (documents, paths) = (r.text(0)?, r.text(1)?);
        texts(r, |i| {
            if documents.is_null(i) || paths.is_null(i) {
                return Ok(None);
            }
            let steps = steps_of(paths.value(i))?;
            match parse::parse(documents.value(i), Duplicates::Refuse) {
                Ok(value) => Ok(value.as_deref().and_then(|v| scan::find(v, &steps)).and_then(show::varchar).map(|t| t.into_owned())),
                Err(e) => fail(format!("Error parsing JSON: {e}")),
            }
        })
    }),
    Function::new("__path", Arity::Exactly(2), variant, path),
    Function::new("get_path", Arity::Exactly(2), variant, path),
    Function::new("get", Arity::Exactly(2), variant, get),
    Function::new("get_ignore_case", Arity::Exactly(2), variant, |r| {
        let (values, keys) = (semi(r, 0)?, r.text(1)?);
        slices(r, |i| {
            if keys.is_null(i) {
                return None;
            }
            let wanted = keys.value(i);
            let found = scan::member(row(&values, i), &scan::quote(wanted));
            // without an exact match, the first of the keys in their order
            found.or_else(|| scan::members(row(&values, i))?.find(|(k, _)| same_letters(&scan::unquote(k), wanted)).map(|(_, v)| v))
        })
    }),
    Function::new("strip_null_value", Arity::Exactly(1), variant, |r| {
        let values = semi(r, 0)?;
        slices(r, |i| (!values.is_null(i) && values.value(i) != "null").then(|| values.value(i)))
    }),
    // bytes that sort, group and join as the values do
    Function::new(
        "__variant_key",
        Arity::Exactly(1),
        |c| Ok(Type::Binary.field(c.name)),
        |r| {
            let values = semi(r, 0)?;
            Ok(Arc::new(values.iter().map(|v| v.map(order::key)).collect::<BinaryArray>()))
        },
    ),
    Function::new("__list_to_array", Arity::Exactly(1), array, |r| {
        let json = normalised(&r.args[0], ARRAY)?;
        // an aggregate over no rows gives an empty array in Snowflake
        let strings = json.as_string::<i32>();
        let full = strings.iter().flatten().find(|v| v.len() > crate::dialect::variant::MAX_BYTES);
        if let Some(full) = full {
            limited(full.to_owned())?;
        }
        Ok(Arc::new(strings.iter().map(|v| Some(v.unwrap_or("[]"))).collect::<StringArray>()))
    }),
];

/// An argument as canonical text, whatever its type.
pub(super) fn semi(r: &Rows, index: usize) -> Result<StringArray> {
    scalar::texts(&r.args[index], r.types[index])
}

/// The text of a row; that of NULL is no value.
fn row(values: &StringArray, i: usize) -> &str {
    text(values, i).unwrap_or_default()
}

/// A body whose results are slices of its arguments.
fn slices<'a>(r: &Rows, f: impl Fn(usize) -> Option<&'a str>) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(r.rows, r.rows * 8);
    for i in 0..r.rows {
        out.append_option(f(i));
    }
    Ok(Arc::new(out.finish()))
}

fn same_letters(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

fn parse_json(r: &Rows, lenient: bool) -> Result<ArrayRef> {
    let text = to_text(&r.args[0], r.types[0])?;
    let modes = if r.args.len() > 1 { Some(r.text(1)?) } else { None };
    texts(r, |i| {
        if text.is_null(i) {
            return Ok(None);
        }
        let duplicates = match modes.as_ref().map(|m| m.value(i)) {
            None | Some("s" | "S") => Duplicates::Refuse,
            Some("d" | "D") => Duplicates::KeepLast,
            Some(other) => return fail(format!("the parameter of PARSE_JSON is 's' or 'd', not '{other}'")),
        };
        match parse::parse(text.value(i), duplicates) {
            Ok(Some(v)) => limited(v).map(Some),
            Ok(None) => Ok(None),
            Err(_) if lenient => Ok(None),
            Err(e) => fail(format!("Error parsing JSON: {e}")),
        }
    })
}

pub(super) fn steps_of(path: &str) -> Result<Vec<Step>> {
    match scan::parse_path(path) {
        Some(steps) => Ok(steps),
        None => fail(format!("'{path}' is not a path")),
    }
}

fn path(r: &Rows) -> Result<ArrayRef> {
    let (values, paths) = (semi(r, 0)?, r.text(1)?);
    // paths are literals nearly always: each is read once
    let mut known: Option<(&str, Vec<Step>)> = None;
    let mut out = StringBuilder::with_capacity(r.rows, r.rows * 8);
    for i in 0..r.rows {
        if values.is_null(i) || paths.is_null(i) {
            out.append_null();
            continue;
        }
        let steps = match &known {
            Some((text, steps)) if *text == paths.value(i) => steps,
            _ => &known.insert((paths.value(i), steps_of(paths.value(i))?)).1,
        };
        out.append_option(scan::find(values.value(i), steps));
    }
    Ok(Arc::new(out.finish()))
}

/// A number is an index of an array, a string a key of an object.
fn get(r: &Rows) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    match r.types[1] {
        Type::Number { .. } | Type::Float => {
            let indexes = r.integers(1)?;
            slices(r, |i| {
                let index = (!indexes.is_null(i)).then(|| usize::try_from(indexes.value(i)).ok()).flatten()?;
                scan::elements(row(&values, i))?.nth(index)
            })
        }
        Type::Semi(_) => {
            let keys = semi(r, 1)?;
            slices(r, |i| match kind(row(&keys, i)) {
                Kind::Varchar => scan::member(row(&values, i), keys.value(i)),
                Kind::Integer => scan::elements(row(&values, i))?.nth(keys.value(i).parse().ok()?),
                _ => None,
            })
        }
        _ => {
            let keys = r.text(1)?;
            let mut last: Option<(&str, String)> = None;
            let mut out = StringBuilder::with_capacity(r.rows, r.rows * 8);
            for i in 0..r.rows {
                if keys.is_null(i) {
                    out.append_null();
                    continue;
                }
                let quoted = match &last {
                    Some((key, quoted)) if *key == keys.value(i) => quoted,
                    _ => &last.insert((keys.value(i), scan::quote(keys.value(i)))).1,
                };
                out.append_option(scan::member(row(&values, i), quoted));
            }
            Ok(Arc::new(out.finish()))
        }
    }
}
