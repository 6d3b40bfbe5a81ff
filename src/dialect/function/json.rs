//! Semi-structured values: parsing, paths, predicates, conversion of lists.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, StringArray},
        datatypes::FieldRef,
    },
    common::Result,
};
use serde_json::Value as Json;

use super::{
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    value::{canonical, normalised, parse, to_text},
};
use crate::{dialect::types::Type, names::SemiStructured};

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
        let text = r.text(0)?;
        texts(r, |i| Ok(if text.is_null(i) { None } else { serde_json::from_str::<Json>(text.value(i)).err().map(|e| e.to_string()) }))
    }),
    Function::new("to_json", Arity::Exactly(1), varchar, |r| normalised(&r.args[0], r.types[0])),
    Function::new("__path", Arity::Exactly(2), variant, path),
    Function::new("get_path", Arity::Exactly(2), variant, path),
    Function::new("get", Arity::Exactly(2), variant, get),
    Function::new("get_ignore_case", Arity::Exactly(2), variant, |r| {
        let (values, keys) = (semi(r, 0)?, r.text(1)?);
        texts(r, |i| {
            let Some(Json::Object(map)) = json(&values, i)? else { return Ok(None) };
            Ok(map.iter().find(|(k, _)| k.eq_ignore_ascii_case(keys.value(i))).map(|(_, v)| canonical(v)))
        })
    }),
    Function::new("typeof", Arity::Exactly(1), varchar, |r| {
        let values = semi(r, 0)?;
        texts(r, |i| Ok(json(&values, i)?.map(|v| type_name(&v).to_owned())))
    }),
    Function::new("strip_null_value", Arity::Exactly(1), variant, |r| {
        let values = semi(r, 0)?;
        texts(r, |i| Ok((!values.is_null(i) && values.value(i) != "null").then(|| values.value(i).to_owned())))
    }),
    Function::new("is_null_value", Arity::Exactly(1), boolean, |r| is(r, Json::is_null)),
    Function::new("is_array", Arity::Exactly(1), boolean, |r| is(r, Json::is_array)),
    Function::new("is_object", Arity::Exactly(1), boolean, |r| is(r, Json::is_object)),
    Function::new("is_boolean", Arity::Exactly(1), boolean, |r| is(r, Json::is_boolean)),
    Function::new("is_varchar", Arity::Exactly(1), boolean, |r| is(r, Json::is_string)),
    Function::new("is_char", Arity::Exactly(1), boolean, |r| is(r, Json::is_string)),
    Function::new("is_integer", Arity::Exactly(1), boolean, |r| is(r, |v| v.is_i64() || v.is_u64())),
    Function::new("is_decimal", Arity::Exactly(1), boolean, |r| is(r, Json::is_number)),
    Function::new("is_double", Arity::Exactly(1), boolean, |r| is(r, Json::is_number)),
    Function::new("is_real", Arity::Exactly(1), boolean, |r| is(r, Json::is_number)),
    Function::new("as_array", Arity::Exactly(1), array, |r| only(r, b'[')),
    Function::new("as_object", Arity::Exactly(1), object, |r| only(r, b'{')),
    Function::new("__list_to_array", Arity::Exactly(1), array, |r| {
        let json = normalised(&r.args[0], ARRAY)?;
        // an aggregate over no rows gives an empty array in Snowflake
        let strings = json.as_string::<i32>();
        Ok(Arc::new(strings.iter().map(|v| Some(v.unwrap_or("[]"))).collect::<StringArray>()))
    }),
];

/// An argument as canonical JSON text, whatever its type.
pub(super) fn semi(r: &Rows, index: usize) -> Result<StringArray> {
    let of = r.types[index];
    let array = match of {
        Type::Semi(_) => normalised(&r.args[index], of)?,
        _ => super::cast::convert(&r.args[index], of, VARIANT, super::cast::Failure::Error)?,
    };
    Ok(array.as_string::<i32>().clone())
}

pub(super) fn json(values: &StringArray, row: usize) -> Result<Option<Json>> {
    if values.is_null(row) { Ok(None) } else { parse(values.value(row)).map(Some) }
}

fn is(r: &Rows, f: impl Fn(&Json) -> bool) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    Ok(Arc::new((0..r.rows).map(|i| Ok(json(&values, i)?.map(|v| f(&v)))).collect::<Result<BooleanArray>>()?))
}

fn only(r: &Rows, first: u8) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    texts(r, |i| Ok((!values.is_null(i) && values.value(i).as_bytes().first() == Some(&first)).then(|| values.value(i).to_owned())))
}

fn parse_json(r: &Rows, lenient: bool) -> Result<ArrayRef> {
    let text = to_text(&r.args[0], r.types[0])?;
    texts(r, |i| {
        if text.is_null(i) || text.value(i).trim().is_empty() {
            return Ok(None);
        }
        match serde_json::from_str::<Json>(text.value(i)) {
            Ok(v) => Ok(Some(canonical(&v))),
            Err(_) if lenient => Ok(None),
            Err(e) => fail(format!("Error parsing JSON: {e}")),
        }
    })
}

fn type_name(v: &Json) -> &'static str {
    match v {
        Json::Null => "NULL_VALUE",
        Json::Bool(_) => "BOOLEAN",
        Json::Number(n) if n.is_f64() => "DECIMAL",
        Json::Number(_) => "INTEGER",
        Json::String(_) => "VARCHAR",
        Json::Array(_) => "ARRAY",
        Json::Object(_) => "OBJECT",
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// `a.b[0]["c d"]`, or the form that the lowering writes: `["a"]["b"][0]`.
pub(super) fn parse_path(text: &str) -> Option<Vec<Step>> {
    let mut steps = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '.' => rest = &rest[1..],
            '[' => {
                rest = &rest[1..];
                if let Some(quote) = rest.chars().next().filter(|q| *q == '"' || *q == '\'') {
                    let mut end = 1;
                    let bytes = rest.as_bytes();
                    while end < bytes.len() && bytes[end] != quote as u8 {
                        end += if bytes[end] == b'\\' { 2 } else { 1 };
                    }
                    let inner = rest.get(1..end)?;
                    let key = if quote == '"' { serde_json::from_str(&format!("\"{inner}\"")).ok()? } else { inner.to_owned() };
                    steps.push(Step::Key(key));
                    rest = rest.get(end + 1..)?.strip_prefix(']')?;
                } else {
                    let end = rest.find(']')?;
                    steps.push(Step::Index(rest[..end].trim().parse().ok()?));
                    rest = &rest[end + 1..];
                }
            }
            '"' => {
                let end = rest[1..].find('"')? + 1;
                steps.push(Step::Key(rest[1..end].to_owned()));
                rest = &rest[end + 1..];
            }
            _ => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(Step::Key(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
    }
    Some(steps)
}

pub(super) fn walk<'a>(mut value: &'a Json, steps: &[Step]) -> Option<&'a Json> {
    for step in steps {
        value = match step {
            Step::Key(key) => value.as_object()?.get(key)?,
            Step::Index(i) => value.as_array()?.get(*i)?,
        };
    }
    Some(value)
}

fn path(r: &Rows) -> Result<ArrayRef> {
    let (values, paths) = (semi(r, 0)?, r.text(1)?);
    // paths are literals nearly always: parse the text once per change
    let mut last: (String, Vec<Step>) = (String::new(), vec![]);
    let mut out = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        if values.is_null(i) || paths.is_null(i) {
            out.push(None);
            continue;
        }
        if paths.value(i) != last.0 {
            let Some(steps) = parse_path(paths.value(i)) else { return fail(format!("'{}' is not a path", paths.value(i))) };
            last = (paths.value(i).to_owned(), steps);
        }
        let value = parse(values.value(i))?;
        out.push(walk(&value, &last.1).map(canonical));
    }
    Ok(Arc::new(StringArray::from(out)))
}

fn get(r: &Rows) -> Result<ArrayRef> {
    let (values, keys) = (semi(r, 0)?, r.text(1)?);
    texts(r, |i| {
        if keys.is_null(i) {
            return Ok(None);
        }
        Ok(match json(&values, i)? {
            Some(Json::Object(map)) => map.get(keys.value(i)).map(canonical),
            Some(Json::Array(items)) => keys.value(i).parse::<usize>().ok().and_then(|k| items.get(k)).map(canonical),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let key = |k: &str| Step::Key(k.into());
        for (text, wanted) in [
            ("a.b[0]", Some(vec![key("a"), key("b"), Step::Index(0)])),
            ("[\"a b\"][\"c\"]", Some(vec![key("a b"), key("c")])),
            ("['x']", Some(vec![key("x")])),
            ("", Some(vec![])),
            ("a[", None),
        ] {
            assert_eq!(parse_path(text), wanted, "{text}");
        }
    }
}
