//! ARRAY functions: elements are slices of the array's text (`dialect::variant`).
//!
//! An argument that is NULL makes the result NULL, as Snowflake documents for each of them; exceptions are named where
//! they are. Comparisons of whole arrays are in `array_set`.

use std::{cmp::Ordering, sync::Arc};

use datafusion::{
    arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray},
    common::Result,
};

use super::{
    json::{array, integer, object, semi, varchar, variant},
    scalar::{Arity, Function, Rows, fail, texts},
};
use crate::dialect::{
    types::Type,
    variant::{Kind, MAX_BYTES, kind, limited, order, scan, show},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("array_construct", Arity::AtLeast(0), array, |r| construct(r, false)),
    Function::new("array_construct_compact", Arity::AtLeast(0), array, |r| construct(r, true)),
    Function::new("array_size", Arity::Exactly(1), integer, |r| {
        let values = semi(r, 0)?;
        integers(r, |i| Ok(scan::elements(text(&values, i)?).map(|e| e.count() as i64)))
    }),
    Function::new("array_position", Arity::Exactly(2), integer, |r| {
        let (needles, arrays) = (semi(r, 0)?, semi(r, 1)?);
        integers(r, |i| {
            // a NULL needle finds a NULL element
            let needle = if needles.is_null(i) { "null" } else { needles.value(i) };
            Ok(scan::elements(text(&arrays, i)?).and_then(|mut e| e.position(|v| order::equal(v, needle))).map(|p| p as i64))
        })
    }),
    Function::new("array_append", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            list.push(text_or_null(&items, i));
            Ok(true)
        })
    }),
    Function::new("array_prepend", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            list.insert(0, text_or_null(&items, i));
            Ok(true)
        })
    }),
    Function::new("array_cat", Arity::Exactly(2), array, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &left, |i, list| {
            let Some(more) = scan::elements(text(&right, i)?) else { return Ok(false) };
            list.extend(more);
            Ok(true)
        })
    }),
    Function::new("array_compact", Arity::Exactly(1), array, |r| {
        edit(r, &semi(r, 0)?, |_, list| {
            list.retain(|v| *v != "null");
            Ok(true)
        })
    }),
    Function::new("array_slice", Arity::Exactly(3), array, |r| {
        let (arrays, from, to) = (semi(r, 0)?, r.integers(1)?, r.integers(2)?);
        edit(r, &arrays, |i, list| {
            if from.is_null(i) || to.is_null(i) {
                return Ok(false);
            }
            let (a, b) = (bound(from.value(i), list.len()), bound(to.value(i), list.len()));
            *list = if a < b { list[a..b].to_vec() } else { vec![] };
            Ok(true)
        })
    }),
    Function::new("array_insert", Arity::Exactly(3), array, |r| {
        let (arrays, at, items) = (semi(r, 0)?, r.integers(1)?, semi(r, 2)?);
        edit(r, &arrays, |i, list| {
            if at.is_null(i) {
                return Ok(false);
            }
            let length = list.len() as i64;
            let position = if at.value(i) < 0 { length.saturating_add(at.value(i)).max(0) } else { at.value(i) } as usize;
            if position > MAX_BYTES / 5 {
                return fail(format!("the position {position} of ARRAY_INSERT makes a value larger than {MAX_BYTES} bytes"));
            }
            while list.len() < position {
                list.push("null");
            }
            list.insert(position, text_or_null(&items, i));
            Ok(true)
        })
    }),
    Function::new("array_remove", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            if items.is_null(i) {
                return Ok(false);
            }
            list.retain(|v| !order::equal(v, items.value(i)));
            Ok(true)
        })
    }),
    Function::new("array_remove_at", Arity::Exactly(2), array, |r| {
        let (arrays, at) = (semi(r, 0)?, r.integers(1)?);
        edit(r, &arrays, |i, list| {
            if at.is_null(i) {
                return Ok(false);
            }
            let position = if at.value(i) < 0 { at.value(i).saturating_add(list.len() as i64) } else { at.value(i) };
            if let Some(position) = usize::try_from(position).ok().filter(|p| *p < list.len()) {
                list.remove(position);
            }
            Ok(true)
        })
    }),
    Function::new("array_reverse", Arity::Exactly(1), array, |r| {
        edit(r, &semi(r, 0)?, |_, list| {
            list.reverse();
            Ok(true)
        })
    }),
    Function::new("array_sort", Arity::Between(1, 3), array, sort),
    Function::new("array_min", Arity::Exactly(1), variant, |r| extreme(r, Ordering::Less)),
    Function::new("array_max", Arity::Exactly(1), variant, |r| extreme(r, Ordering::Greater)),
    Function::new("array_flatten", Arity::Exactly(1), array, |r| {
        edit(r, &semi(r, 0)?, |_, list| {
            if list.contains(&"null") {
                return Ok(false);
            }
            let mut flat = Vec::with_capacity(list.len());
            for item in list.iter() {
                match scan::elements(item) {
                    Some(items) => flat.extend(items),
                    None => {
                        return fail(format!(
                            "Not an array: 'Input argument to ARRAY_FLATTEN is not an array of arrays': {}",
                            show::show(item)
                        ));
                    }
                }
            }
            *list = flat;
            Ok(true)
        })
    }),
    Function::new("array_to_string", Arity::Exactly(2), varchar, |r| {
        let (arrays, separators) = (semi(r, 0)?, r.text(1)?);
        texts(r, |i| {
            let Some(items) = scan::elements(text(&arrays, i)?) else { return Ok(None) };
            if separators.is_null(i) {
                return Ok(None);
            }
            let parts: Vec<_> = items.map(|v| show::varchar(v).unwrap_or_default()).collect();
            limited(parts.join(separators.value(i))).map(Some)
        })
    }),
    Function::new("array_generate_range", Arity::Between(2, 3), array, generate_range),
    Function::new("arrays_to_object", Arity::Exactly(2), object, |r| {
        let (keys, values) = (semi(r, 0)?, semi(r, 1)?);
        texts(r, |i| {
            let (Some(keys), Some(values)) = (scan::elements(text(&keys, i)?), scan::elements(text(&values, i)?)) else {
                return Ok(None);
            };
            let (keys, values): (Vec<_>, Vec<_>) = (keys.collect(), values.collect());
            if keys.len() != values.len() {
                return fail(format!("Key and value arrays had unequal lengths: {} and {}", keys.len(), values.len()));
            }
            let pairs = keys.into_iter().zip(values).filter(|(k, _)| *k != "null");
            let named = pairs.map(|(k, v)| match kind(k) {
                Kind::Varchar => (k.to_owned(), v),
                _ => (scan::quote(&show::varchar(k).unwrap_or_default()), v),
            });
            let members = scan::sorted(named.collect());
            limited(scan::object(members.iter().map(|(k, v)| (k.as_str(), *v)))).map(Some)
        })
    }),
    Function::new("arrays_zip", Arity::AtLeast(1), array, |r| {
        let columns = (0..r.args.len()).map(|k| semi(r, k)).collect::<Result<Vec<_>>>()?;
        texts(r, |i| {
            let mut lists: Vec<Vec<&str>> = Vec::with_capacity(columns.len());
            for column in &columns {
                match scan::elements(text(column, i)?) {
                    Some(items) => lists.push(items.collect()),
                    None => return Ok(None),
                }
            }
            let rows = lists.iter().map(Vec::len).max().unwrap_or(0);
            let names: Vec<String> = (1..=lists.len()).map(|n| format!("\"${n}\"")).collect();
            let zipped = (0..rows).map(|row| {
                let members = names.iter().zip(&lists).map(|(n, l)| (n.as_str(), l.get(row).copied().unwrap_or("null")));
                let members = scan::sorted(members.collect());
                scan::object(members)
            });
            limited(scan::array(zipped)).map(Some)
        })
    }),
];

/// The text of a row; that of NULL is no array and no object.
pub(super) fn text(values: &StringArray, row: usize) -> Result<&str> {
    Ok(if values.is_null(row) { "" } else { values.value(row) })
}

pub(super) fn text_or_null(values: &StringArray, row: usize) -> &str {
    if values.is_null(row) { "null" } else { values.value(row) }
}

pub(super) fn integers(r: &Rows, f: impl Fn(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    Ok(Arc::new((0..r.rows).map(f).collect::<Result<Int64Array>>()?))
}

/// A BOOLEAN argument, NULL where it is.
pub(super) fn flag(r: &Rows, index: usize) -> Result<BooleanArray> {
    let array = super::cast::convert(&r.args[index], r.types[index], Type::Boolean, super::cast::Failure::Error)?;
    Ok(array.as_boolean().clone())
}

/// A position from the start or, negative, from the end, within the list.
fn bound(n: i64, length: usize) -> usize {
    let length = length as i64;
    (if n < 0 { length.saturating_add(n).max(0) } else { n.min(length) }) as usize
}

fn construct(r: &Rows, compact: bool) -> Result<ArrayRef> {
    let columns = (0..r.args.len()).map(|k| semi(r, k)).collect::<Result<Vec<_>>>()?;
    texts(r, |i| limited(scan::array(columns.iter().filter(|c| !compact || !c.is_null(i)).map(|c| text_or_null(c, i)))).map(Some))
}

/// The array after a change of its list of elements; NULL when it is none or the change says so.
fn edit<'a>(r: &Rows, arrays: &'a StringArray, f: impl Fn(usize, &mut Vec<&'a str>) -> Result<bool>) -> Result<ArrayRef> {
    texts(r, |i| {
        let Some(items) = scan::elements(text(arrays, i)?) else { return Ok(None) };
        let mut list: Vec<&str> = items.collect();
        if !f(i, &mut list)? {
            return Ok(None);
        }
        limited(scan::array(list)).map(Some)
    })
}

/// Nulls last when ascending, first when descending, unless told otherwise (Snowflake documentation, "ARRAY_SORT").
fn sort(r: &Rows) -> Result<ArrayRef> {
    let arrays = semi(r, 0)?;
    let ascending = if r.args.len() > 1 { Some(flag(r, 1)?) } else { None };
    let nulls_first = if r.args.len() > 2 { Some(flag(r, 2)?) } else { None };
    edit(r, &arrays, |i, list| {
        let given = |flags: &Option<BooleanArray>| flags.as_ref().map(|f| (!f.is_null(i)).then(|| f.value(i)));
        let (ascending, nulls_first) = match (given(&ascending), given(&nulls_first)) {
            (Some(None), _) | (_, Some(None)) => return Ok(false),
            (a, n) => {
                let ascending = a.flatten().unwrap_or(true);
                (ascending, n.flatten().unwrap_or(!ascending))
            }
        };
        let (nulls, mut values): (Vec<&str>, Vec<&str>) = list.drain(..).partition(|v| *v == "null");
        values.sort_by(|a, b| if ascending { order::compare(a, b) } else { order::compare(b, a) });
        if nulls_first {
            list.extend(nulls);
            list.extend(values);
        } else {
            list.extend(values);
            list.extend(nulls);
        }
        Ok(true)
    })
}

fn extreme(r: &Rows, wanted: Ordering) -> Result<ArrayRef> {
    let arrays = semi(r, 0)?;
    texts(r, |i| {
        let Some(items) = scan::elements(text(&arrays, i)?) else { return Ok(None) };
        let found = items.filter(|v| *v != "null").reduce(|a, b| if order::compare(b, a) == wanted { b } else { a });
        Ok(found.map(str::to_owned))
    })
}

fn generate_range(r: &Rows) -> Result<ArrayRef> {
    let (from, to) = (r.integers(0)?, r.integers(1)?);
    let step = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
    texts(r, |i| {
        if from.is_null(i) || to.is_null(i) || step.as_ref().is_some_and(|s| s.is_null(i)) {
            return Ok(None);
        }
        let step = step.as_ref().map_or(1, |s| s.value(i));
        if step == 0 {
            return fail("the step of ARRAY_GENERATE_RANGE is 0");
        }
        let (mut at, end) = (from.value(i), to.value(i));
        let mut out = String::from("[");
        while (step > 0 && at < end) || (step < 0 && at > end) {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&at.to_string());
            if out.len() > MAX_BYTES {
                return limited(out).map(Some);
            }
            let Some(next) = at.checked_add(step) else { break };
            at = next;
        }
        out.push(']');
        limited(out).map(Some)
    })
}
