//! OBJECT and MAP functions: members are slices of the object's text (`dialect::variant`). A MAP is kept as an object
//! whose keys are the texts of its keys.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray},
    common::Result,
};

use super::{
    array::{flag, integers, text, text_or_null},
    json::{array, boolean, integer, object, semi, varchar},
    scalar::{Arity, Function, Rows, fail, texts},
    value::normalised,
};
use crate::dialect::{
    types::Type,
    variant::{limited, scan, show},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("object_construct", Arity::AtLeast(0), object, |r| construct(r, false)),
    Function::new("object_construct_keep_null", Arity::AtLeast(0), object, |r| construct(r, true)),
    Function::new("object_keys", Arity::Exactly(1), array, keys),
    Function::new("map_keys", Arity::Exactly(1), array, keys),
    Function::new("map_size", Arity::Exactly(1), integer, |r| {
        let values = semi(r, 0)?;
        integers(r, |i| Ok(scan::members(text(&values, i)?).map(|m| m.count() as i64)))
    }),
    Function::new("map_contains_key", Arity::Exactly(2), boolean, |r| {
        let (keys, values) = (r.text(0)?, semi(r, 1)?);
        let found = (0..r.rows).map(|i| {
            let Some(mut members) = scan::members(text(&values, i)?) else { return Ok(None) };
            if keys.is_null(i) {
                return Ok(None);
            }
            let key = scan::quote(keys.value(i));
            Ok(Some(members.any(|(k, _)| k == key)))
        });
        Ok(Arc::new(found.collect::<Result<BooleanArray>>()?))
    }),
    Function::new("map_cat", Arity::Exactly(2), object, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        texts(r, |i| {
            let (Some(a), Some(b)) = (scan::members(text(&left, i)?), scan::members(text(&right, i)?)) else { return Ok(None) };
            limited(scan::object(scan::sorted(a.chain(b).collect()))).map(Some)
        })
    }),
    Function::new("object_insert", Arity::Between(3, 4), object, |r| insert(r, true)),
    Function::new("map_insert", Arity::Between(3, 4), object, |r| insert(r, false)),
    Function::new("object_delete", Arity::AtLeast(2), object, |r| select(r, false)),
    Function::new("map_delete", Arity::AtLeast(2), object, |r| select(r, false)),
    Function::new("object_pick", Arity::AtLeast(2), object, |r| select(r, true)),
    Function::new("map_pick", Arity::AtLeast(2), object, |r| select(r, true)),
    // OBJECT_AGG is ARRAY_AGG of members, put together here
    Function::new("__member", Arity::Exactly(2), varchar, |r| {
        let (keys, values) = (r.text(0)?, semi(r, 1)?);
        texts(r, |i| Ok((!keys.is_null(i) && !values.is_null(i)).then(|| format!("{}:{}", scan::quote(keys.value(i)), values.value(i)))))
    }),
    Function::new("__object_of_members", Arity::Exactly(1), object, |r| {
        // a list of strings of members is read as an array of strings
        let lists = normalised(&r.args[0], Type::Semi(crate::names::SemiStructured::Array))?;
        let lists = lists.as_string::<i32>();
        texts(r, |i| {
            let mut text = String::from("{");
            for member in scan::elements(self::text(lists, i)?).into_iter().flatten() {
                if member == "null" {
                    continue;
                }
                if text.len() > 1 {
                    text.push(',');
                }
                text.push_str(&scan::unquote(member));
            }
            text.push('}');
            let members: Vec<_> = scan::members(&text).into_iter().flatten().collect();
            distinct(&members)?;
            limited(scan::object(scan::sorted(members))).map(Some)
        })
    }),
];

fn distinct<V>(members: &[(&str, V)]) -> Result<()> {
    let mut seen = HashSet::with_capacity(members.len());
    match members.iter().find(|(k, _)| !seen.insert(*k)) {
        Some((key, _)) => fail(format!("Duplicate field key '{}'", scan::unquote(key))),
        None => Ok(()),
    }
}

fn construct(r: &Rows, keep_null: bool) -> Result<ArrayRef> {
    if !r.args.len().is_multiple_of(2) {
        return fail("OBJECT_CONSTRUCT takes pairs of key and value");
    }
    let keys = (0..r.args.len()).step_by(2).map(|k| r.text(k)).collect::<Result<Vec<_>>>()?;
    let values = (0..r.args.len()).skip(1).step_by(2).map(|k| semi(r, k)).collect::<Result<Vec<_>>>()?;
    texts(r, |i| {
        let present = keys.iter().zip(&values).filter(|(k, v)| !k.is_null(i) && (keep_null || !v.is_null(i)));
        let members: Vec<(String, &str)> = present.map(|(k, v)| (scan::quote(k.value(i)), text_or_null(v, i))).collect();
        distinct(&members.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>())?;
        let members = scan::sorted(members);
        limited(scan::object(members.iter().map(|(k, v)| (k.as_str(), *v)))).map(Some)
    })
}

fn keys(r: &Rows) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    texts(r, |i| Ok(scan::members(text(&values, i)?).map(|m| scan::array(m.map(|(k, _)| k)))))
}

/// A key that is there already is an error unless the fourth argument is TRUE. A NULL value leaves the key out of an
/// object (Snowflake documentation, "OBJECT_INSERT"), and is kept in a map.
fn insert(r: &Rows, null_removes: bool) -> Result<ArrayRef> {
    let (values, keys, items) = (semi(r, 0)?, r.text(1)?, semi(r, 2)?);
    let update = if r.args.len() > 3 { Some(flag(r, 3)?) } else { None };
    texts(r, |i| {
        let Some(members) = scan::members(text(&values, i)?) else { return Ok(None) };
        if keys.is_null(i) {
            return if null_removes { Ok(Some(values.value(i).to_owned())) } else { fail("the key of a map is NULL") };
        }
        let key = scan::quote(keys.value(i));
        let mut list: Vec<(&str, &str)> = members.collect();
        let present = list.iter().any(|(k, _)| *k == key);
        if present && !update.as_ref().is_some_and(|u| !u.is_null(i) && u.value(i)) {
            return fail(format!("Duplicate field key '{}'", keys.value(i)));
        }
        list.retain(|(k, _)| *k != key);
        if !(null_removes && items.is_null(i)) {
            list.push((key.as_str(), text_or_null(&items, i)));
        }
        limited(scan::object(scan::sorted(list))).map(Some)
    })
}

/// The members with (or without) the keys that follow; keys may come in one array.
fn select(r: &Rows, wanted: bool) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    enum Keys {
        One(StringArray),
        List(StringArray),
    }
    let keys = (1..r.args.len())
        .map(|k| if matches!(r.types[k], Type::Semi(_)) { semi(r, k).map(Keys::List) } else { r.text(k).map(Keys::One) })
        .collect::<Result<Vec<_>>>()?;
    texts(r, |i| {
        let Some(members) = scan::members(text(&values, i)?) else { return Ok(None) };
        let mut named: HashSet<String> = HashSet::new();
        for key in &keys {
            match key {
                Keys::One(key) if !key.is_null(i) => {
                    named.insert(scan::quote(key.value(i)));
                }
                Keys::List(list) => match scan::elements(text(list, i)?) {
                    Some(items) => named.extend(items.filter_map(|v| show::varchar(v).map(|v| scan::quote(&v)))),
                    None => named.extend(show::varchar(text(list, i)?).filter(|k| !k.is_empty()).map(|k| scan::quote(&k))),
                },
                Keys::One(_) => {}
            }
        }
        Ok(Some(scan::object(members.filter(|(k, _)| named.contains(*k) == wanted))))
    })
}
