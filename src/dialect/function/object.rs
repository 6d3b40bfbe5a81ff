//! OBJECT functions over canonical JSON text.

use datafusion::{
    arrow::array::{Array, ArrayRef},
    common::Result,
};
use serde_json::{Map, Value as Json};

use super::{
    json::{array, json, object, semi},
    scalar::{Arity, Function, Rows, fail, texts},
    value::{canonical, json_at},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("object_construct", Arity::AtLeast(0), object, |r| construct(r, false)),
    Function::new("object_construct_keep_null", Arity::AtLeast(0), object, |r| construct(r, true)),
    Function::new("object_keys", Arity::Exactly(1), array, |r| {
        let values = semi(r, 0)?;
        texts(r, |i| {
            let Some(Json::Object(map)) = json(&values, i)? else { return Ok(None) };
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Ok(Some(canonical(&Json::Array(keys.into_iter().map(|k| Json::from(k.as_str())).collect()))))
        })
    }),
    Function::new("object_insert", Arity::Between(3, 4), object, |r| {
        let (values, keys) = (semi(r, 0)?, r.text(1)?);
        let update = if r.args.len() > 3 {
            Some(super::cast::convert(&r.args[3], r.types[3], crate::dialect::types::Type::Boolean, super::cast::Failure::Error)?)
        } else {
            None
        };
        texts(r, |i| {
            let Some(Json::Object(mut map)) = json(&values, i)? else { return Ok(None) };
            if keys.is_null(i) {
                return Ok(None);
            }
            let may_update = update.as_ref().is_some_and(|u| datafusion::arrow::array::AsArray::as_boolean(u.as_ref()).value(i));
            if map.contains_key(keys.value(i)) && !may_update {
                return fail(format!("the object has a key '{}' already", keys.value(i)));
            }
            if r.args[2].is_null(i) {
                map.remove(keys.value(i));
            } else {
                map.insert(keys.value(i).to_owned(), json_at(&r.args[2], r.types[2], i)?);
            }
            Ok(Some(canonical(&Json::Object(map))))
        })
    }),
    Function::new("object_delete", Arity::AtLeast(2), object, |r| {
        let values = semi(r, 0)?;
        let keys = (1..r.args.len()).map(|k| r.text(k)).collect::<Result<Vec<_>>>()?;
        texts(r, |i| {
            let Some(Json::Object(mut map)) = json(&values, i)? else { return Ok(None) };
            for key in &keys {
                if !key.is_null(i) {
                    map.remove(key.value(i));
                }
            }
            Ok(Some(canonical(&Json::Object(map))))
        })
    }),
    Function::new("object_pick", Arity::AtLeast(2), object, |r| {
        let values = semi(r, 0)?;
        let keys = (1..r.args.len()).map(|k| r.text(k)).collect::<Result<Vec<_>>>()?;
        texts(r, |i| {
            let Some(Json::Object(map)) = json(&values, i)? else { return Ok(None) };
            let mut picked = Map::new();
            for key in keys.iter().filter(|k| !k.is_null(i)) {
                if let Some(v) = map.get(key.value(i)) {
                    picked.insert(key.value(i).to_owned(), v.clone());
                }
            }
            Ok(Some(canonical(&Json::Object(picked))))
        })
    }),
];

fn construct(r: &Rows, keep_null: bool) -> Result<ArrayRef> {
    if !r.args.len().is_multiple_of(2) {
        return fail("OBJECT_CONSTRUCT takes pairs of key and value");
    }
    let keys = (0..r.args.len()).step_by(2).map(|k| r.text(k)).collect::<Result<Vec<_>>>()?;
    texts(r, |i| {
        let mut map = Map::new();
        for (pair, key) in keys.iter().enumerate() {
            let argument = &r.args[2 * pair + 1];
            if key.is_null(i) || (argument.is_null(i) && !keep_null) {
                continue;
            }
            map.insert(key.value(i).to_owned(), json_at(argument, r.types[2 * pair + 1], i)?);
        }
        Ok(Some(canonical(&Json::Object(map))))
    })
}
