//! Casts to structured types: `ARRAY(INT)`, `OBJECT(a INT, b VARCHAR)`, `MAP(VARCHAR, INT)`.
//!
//! The value stays text; each part is cast to the type declared for it, a column of parts at a time. NOT NULL is read
//! and not enforced.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, StringArray},
        datatypes::{Field, FieldRef},
    },
    common::{Result, plan_err},
};

use super::{
    cast::{Failure, convert},
    json::{ARRAY, OBJECT, VARIANT, semi},
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::{
    dialect::{
        types::Type,
        variant::{Kind, is_null, kind, limited, scalar, scan, show},
    },
    names::SemiStructured,
};

/// Metadata key of the declared structure of a semi-structured column.
pub const STRUCTURE_KEY: &str = "segue.structure";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__structure", Arity::Exactly(2), field, |r| structured(r, Failure::Error)),
    Function::new("__try_structure", Arity::Exactly(2), field, |r| structured(r, Failure::Null)),
];

#[derive(Clone, Debug, PartialEq)]
enum Structure {
    Scalar(Type),
    Array(Box<Structure>),
    Object(Vec<(String, Structure)>),
    Map(Box<Structure>),
    /// Of FLOAT or INT, and a dimension.
    Vector(Type, usize),
}

/// Which semi-structured type a structured type's text is; `None` if it is not one.
pub fn semi_of(text: &str) -> Option<SemiStructured> {
    match parse(text)? {
        Structure::Array(_) | Structure::Vector(..) => Some(SemiStructured::Array),
        Structure::Object(_) | Structure::Map(_) => Some(SemiStructured::Object),
        Structure::Scalar(_) => None,
    }
}

fn field(call: &CallTypes) -> Result<FieldRef> {
    let Some(text) = call.text(1) else { return plan_err!("the target of a cast is a type name") };
    let of = match parse(&text) {
        Some(Structure::Array(_) | Structure::Vector(..)) => ARRAY,
        Some(Structure::Object(_) | Structure::Map(_)) => OBJECT,
        _ => return plan_err!("there is no type `{text}`"),
    };
    let field = of.field(call.name);
    let mut metadata = field.metadata().clone();
    metadata.insert(STRUCTURE_KEY.to_owned(), text);
    Ok(Arc::new(Field::clone(&field).with_metadata(metadata)))
}

/// The parts between commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (vec![], 0_i32, 0);
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn parse(text: &str) -> Option<Structure> {
    let text = text.trim();
    let upper = text.to_uppercase();
    if let Some(without) = upper.strip_suffix("NOT NULL") {
        return parse(text.get(..without.len())?);
    }
    let (name, inner) = match text.split_once('(') {
        Some((name, rest)) => (name.trim().to_uppercase(), Some(rest.strip_suffix(')')?)),
        None => (upper, None),
    };
    Some(match (name.as_str(), inner) {
        ("ARRAY", Some(inner)) => Structure::Array(Box::new(parse(inner)?)),
        ("VECTOR", Some(inner)) => match split(inner).as_slice() {
            [of, dimension] => {
                let of = Type::parse(of).ok().filter(|t| *t == Type::Float || *t == Type::INTEGER)?;
                Structure::Vector(of, dimension.parse().ok().filter(|n| (1..=4096).contains(n))?)
            }
            _ => return None,
        },
        ("MAP", Some(inner)) => match split(inner).as_slice() {
            [_, value] => Structure::Map(Box::new(parse(value)?)),
            _ => return None,
        },
        ("OBJECT", Some(inner)) => {
            let fields = split(inner).into_iter().map(|f| {
                let (name, of) = match f.strip_prefix('"') {
                    Some(rest) => rest.split_once('"')?,
                    None => f.split_once(char::is_whitespace)?,
                };
                let name = if f.starts_with('"') { name.to_owned() } else { name.to_uppercase() };
                Some((name, parse(of)?))
            });
            Structure::Object(fields.collect::<Option<_>>()?)
        }
        _ => Structure::Scalar(Type::parse(text).ok()?),
    })
}

fn structured(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    let types = r.text(1)?;
    if types.is_empty() {
        return Ok(Arc::new(StringArray::from(Vec::<Option<&str>>::new())));
    }
    let Some(structure) = parse(types.value(0)) else { return fail(format!("there is no type `{}`", types.value(0))) };
    Ok(Arc::new(cast(&semi(r, 0)?, &structure, failure)?))
}

/// Parts of each value laid out as one column, with the number of parts per value.
struct Parts<'a> {
    counts: Vec<Option<usize>>,
    keys: Vec<&'a str>,
    texts: Vec<Option<&'a str>>,
}

fn cast(values: &StringArray, structure: &Structure, failure: Failure) -> Result<StringArray> {
    let plain = |v: &str| !is_null(v);
    match structure {
        Structure::Scalar(of) => {
            let texts: StringArray = values.iter().map(|v| v.filter(|v| plain(v))).collect();
            scalar::texts(&convert(&(Arc::new(texts) as ArrayRef), VARIANT, *of, failure)?, *of)
        }
        Structure::Array(inner) => {
            let mut parts = Parts { counts: vec![], keys: vec![], texts: vec![] };
            for value in values.iter() {
                let Some(value) = value.filter(|v| plain(v)) else {
                    parts.counts.push(None);
                    continue;
                };
                let before = parts.texts.len();
                match scan::elements(value) {
                    Some(items) => parts.texts.extend(items.map(Some)),
                    None if failure == Failure::Null => {
                        parts.counts.push(None);
                        continue;
                    }
                    None => return mismatch(value, "an ARRAY"),
                }
                parts.counts.push(Some(parts.texts.len() - before));
            }
            let cast = cast(&parts.texts.iter().copied().collect(), inner, failure)?;
            let mut at = 0;
            let rows = parts.counts.iter().map(|count| {
                count.map(|count| {
                    at += count;
                    limited(scan::array((at - count..at).map(|i| if cast.is_null(i) { "null" } else { cast.value(i) })))
                })
            });
            rows.map(Option::transpose).collect()
        }
        Structure::Vector(of, dimension) => {
            let items = cast(values, &Structure::Array(Box::new(Structure::Scalar(*of))), failure)?;
            let rows = items.iter().map(|value| {
                let Some(value) = value.filter(|v| plain(v)) else { return Ok(None) };
                let parts: Vec<&str> = scan::elements(value).into_iter().flatten().collect();
                if parts.len() != *dimension || parts.contains(&"null") {
                    return match failure {
                        Failure::Null => Ok(None),
                        Failure::Error => mismatch(value, &format!("a vector of {dimension} numbers")),
                    };
                }
                let kept = |part: &str| match of {
                    Type::Float => part.parse().map_or_else(|_| part.to_owned(), super::vector::shown),
                    _ => part.to_owned(),
                };
                Ok(Some(scan::array(parts.into_iter().map(kept))))
            });
            rows.collect()
        }
        Structure::Map(inner) => {
            let mut parts = Parts { counts: vec![], keys: vec![], texts: vec![] };
            for value in values.iter() {
                let Some(value) = value.filter(|v| plain(v)) else {
                    parts.counts.push(None);
                    continue;
                };
                let before = parts.texts.len();
                let Some(members) = scan::members(value) else { return mismatch(value, "a MAP") };
                for (key, value) in members {
                    parts.keys.push(key);
                    parts.texts.push(Some(value));
                }
                parts.counts.push(Some(parts.texts.len() - before));
            }
            let cast = cast(&parts.texts.iter().copied().collect(), inner, failure)?;
            let mut at = 0;
            let rows = parts.counts.iter().map(|count| {
                count.map(|count| {
                    at += count;
                    let range = at - count..at;
                    limited(scan::object(range.map(|i| (parts.keys[i], if cast.is_null(i) { "null" } else { cast.value(i) }))))
                })
            });
            rows.map(Option::transpose).collect()
        }
        Structure::Object(fields) => {
            let mut columns = vec![];
            for (name, of) in fields {
                // keys are matched as written, and without regard to case for names in no quotes
                let column: StringArray = values.iter().map(|v| v.and_then(|v| member(v, name))).collect();
                columns.push(cast(&column, of, failure)?);
            }
            let rows = values.iter().enumerate().map(|(row, value)| {
                let Some(value) = value.filter(|v| plain(v)) else { return Ok(None) };
                if kind(value) != Kind::Object {
                    return mismatch(value, "an OBJECT");
                }
                let mut members = vec![];
                for ((name, _), column) in fields.iter().zip(&columns) {
                    let Some(key) = key_of(value, name) else {
                        return fail(format!("the object {} has no key `{name}`, which its type declares", show::show(value)));
                    };
                    members.push((key, if column.is_null(row) { "null" } else { column.value(row) }));
                }
                limited(scan::object(scan::sorted(members))).map(Some)
            });
            rows.collect()
        }
    }
}

fn key_of<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let quoted = scan::quote(name);
    let keys = || scan::members(object).into_iter().flatten().map(|(k, _)| k);
    keys().find(|k| *k == quoted).or_else(|| keys().find(|k| k.eq_ignore_ascii_case(&quoted)))
}

fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let key = key_of(object, name)?;
    scan::members(object)?.find(|(k, _)| *k == key).map(|(_, v)| v)
}

fn mismatch<T>(value: &str, wanted: &str) -> Result<T> {
    fail(format!("the value {} is not {wanted}", show::show(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_types_cast_their_parts() {
        for (of, value, wanted) in [
            ("ARRAY(INT)", "[\"1\",2.6,null]", "[1,3,null]"),
            ("ARRAY(NUMBER(10,1) NOT NULL)", "[1.25]", "[1.3]"),
            ("MAP(VARCHAR, INT)", "{\"a\":\"1\",\"b\":null}", "{\"a\":1,\"b\":null}"),
            ("OBJECT(a INT, b VARCHAR)", "{\"a\":\"7\",\"b\":1}", "{\"a\":7,\"b\":\"1\"}"),
            ("VECTOR(FLOAT, 2)", "[1,2.5]", "[1e0,2.5e0]"),
            ("VECTOR(INT, 2)", "[1,2]", "[1,2]"),
            ("OBJECT(\"x\" ARRAY(DOUBLE))", "{\"x\":[1]}", "{\"x\":[1e0]}"),
        ] {
            let structure = parse(of).expect(of);
            let cast = cast(&StringArray::from(vec![Some(value), None]), &structure, Failure::Error).expect(of);
            assert_eq!((cast.value(0), cast.is_null(1)), (wanted, true), "{of}");
        }
        assert_eq!(semi_of("MAP(VARCHAR, INT)"), Some(SemiStructured::Object));
        assert_eq!(semi_of("ARRAY(nonsense)"), None);
        assert_eq!(semi_of("VECTOR(VARCHAR, 3)"), None);
    }
}
