//! ARRAY functions over canonical JSON text.

use std::sync::Arc;

use datafusion::{
    arrow::array::{Array, ArrayRef, BooleanArray, Int64Array},
    common::Result,
};
use serde_json::Value as Json;

use super::{
    json::{array, boolean, integer, json, semi, varchar, variant},
    scalar::{Arity, Function, Rows, fail, texts},
    value::{canonical, json_at, variant_text},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("array_construct", Arity::AtLeast(0), array, |r| construct(r, false)),
    Function::new("array_construct_compact", Arity::AtLeast(0), array, |r| construct(r, true)),
    Function::new("array_size", Arity::Exactly(1), integer, |r| {
        let values = semi(r, 0)?;
        integers(r, |i| {
            Ok(match json(&values, i)? {
                Some(Json::Array(items)) => Some(items.len() as i64),
                _ => None,
            })
        })
    }),
    Function::new("array_contains", Arity::Exactly(2), boolean, |r| {
        let (needles, arrays) = (semi(r, 0)?, semi(r, 1)?);
        Ok(Arc::new(
            (0..r.rows)
                .map(|i| {
                    let (Some(needle), Some(Json::Array(items))) = (json(&needles, i)?, json(&arrays, i)?) else { return Ok(None) };
                    Ok(Some(items.contains(&needle)))
                })
                .collect::<Result<BooleanArray>>()?,
        ))
    }),
    Function::new("array_position", Arity::Exactly(2), integer, |r| {
        let (needles, arrays) = (semi(r, 0)?, semi(r, 1)?);
        integers(r, |i| {
            let (Some(needle), Some(Json::Array(items))) = (json(&needles, i)?, json(&arrays, i)?) else { return Ok(None) };
            Ok(items.iter().position(|v| *v == needle).map(|p| p as i64))
        })
    }),
    Function::new("array_append", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            list.push(json(&items, i)?.unwrap_or(Json::Null));
            Ok(())
        })
    }),
    Function::new("array_prepend", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            list.insert(0, json(&items, i)?.unwrap_or(Json::Null));
            Ok(())
        })
    }),
    Function::new("array_cat", Arity::Exactly(2), array, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        pair(r, &left, &right, |a, b| a.iter().chain(b).cloned().collect())
    }),
    Function::new("array_compact", Arity::Exactly(1), array, |r| {
        let arrays = semi(r, 0)?;
        edit(r, &arrays, |_, list| {
            list.retain(|v| !v.is_null());
            Ok(())
        })
    }),
    Function::new("array_distinct", Arity::Exactly(1), array, |r| {
        let arrays = semi(r, 0)?;
        edit(r, &arrays, |_, list| {
            let mut seen = std::collections::HashSet::new();
            list.retain(|v| seen.insert(canonical(v)));
            Ok(())
        })
    }),
    Function::new("array_intersection", Arity::Exactly(2), array, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        pair(r, &left, &right, |a, b| multiset(a, b, true))
    }),
    Function::new("array_except", Arity::Exactly(2), array, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        pair(r, &left, &right, |a, b| multiset(a, b, false))
    }),
    Function::new("arrays_overlap", Arity::Exactly(2), boolean, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        Ok(Arc::new(
            (0..r.rows)
                .map(|i| {
                    let (Some(Json::Array(a)), Some(Json::Array(b))) = (json(&left, i)?, json(&right, i)?) else { return Ok(None) };
                    Ok(Some(a.iter().any(|v| b.contains(v))))
                })
                .collect::<Result<BooleanArray>>()?,
        ))
    }),
    Function::new("array_slice", Arity::Exactly(3), array, |r| {
        let (arrays, from, to) = (semi(r, 0)?, r.integers(1)?, r.integers(2)?);
        edit(r, &arrays, |i, list| {
            let length = list.len() as i64;
            let at = |n: i64| if n < 0 { (length + n).max(0) } else { n.min(length) } as usize;
            let (a, b) = (at(from.value(i)), at(to.value(i)));
            *list = if a < b { list[a..b].to_vec() } else { vec![] };
            Ok(())
        })
    }),
    Function::new("array_insert", Arity::Exactly(3), array, |r| {
        let (arrays, at, items) = (semi(r, 0)?, r.integers(1)?, semi(r, 2)?);
        edit(r, &arrays, |i, list| {
            let length = list.len() as i64;
            let position = if at.value(i) < 0 { (length + at.value(i)).max(0) } else { at.value(i) } as usize;
            if position > 1_000_000 {
                return fail("the position of ARRAY_INSERT is too large");
            }
            while list.len() < position {
                list.push(Json::Null);
            }
            list.insert(position, json(&items, i)?.unwrap_or(Json::Null));
            Ok(())
        })
    }),
    Function::new("array_remove", Arity::Exactly(2), array, |r| {
        let (arrays, items) = (semi(r, 0)?, semi(r, 1)?);
        edit(r, &arrays, |i, list| {
            let item = json(&items, i)?;
            list.retain(|v| Some(v) != item.as_ref());
            Ok(())
        })
    }),
    Function::new("array_reverse", Arity::Exactly(1), array, |r| {
        let arrays = semi(r, 0)?;
        edit(r, &arrays, |_, list| {
            list.reverse();
            Ok(())
        })
    }),
    Function::new("array_sort", Arity::Between(1, 3), array, |r| {
        let arrays = semi(r, 0)?;
        edit(r, &arrays, |_, list| {
            list.sort_by(compare);
            Ok(())
        })
    }),
    Function::new("array_min", Arity::Exactly(1), variant, |r| extreme(r, std::cmp::Ordering::Less)),
    Function::new("array_max", Arity::Exactly(1), variant, |r| extreme(r, std::cmp::Ordering::Greater)),
    Function::new("array_flatten", Arity::Exactly(1), array, |r| {
        let arrays = semi(r, 0)?;
        edit(r, &arrays, |_, list| {
            *list = list.drain(..).flat_map(|v| if let Json::Array(items) = v { items } else { vec![v] }).collect();
            Ok(())
        })
    }),
    Function::new("array_to_string", Arity::Exactly(2), varchar, |r| {
        let (arrays, separators) = (semi(r, 0)?, r.text(1)?);
        texts(r, |i| {
            let Some(Json::Array(items)) = json(&arrays, i)? else { return Ok(None) };
            if separators.is_null(i) {
                return Ok(None);
            }
            let parts = items.iter().map(|v| Ok(variant_text(&canonical(v))?.unwrap_or_default())).collect::<Result<Vec<_>>>()?;
            Ok(Some(parts.join(separators.value(i))))
        })
    }),
    Function::new("array_generate_range", Arity::Between(2, 3), array, |r| {
        let (from, to) = (r.integers(0)?, r.integers(1)?);
        let step = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        texts(r, |i| {
            let step = step.as_ref().map_or(1, |s| s.value(i));
            if step == 0 {
                return fail("the step of ARRAY_GENERATE_RANGE is 0");
            }
            let (mut at, end) = (from.value(i), to.value(i));
            let mut items = vec![];
            while (step > 0 && at < end) || (step < 0 && at > end) {
                items.push(Json::from(at));
                at += step;
                if items.len() > 10_000_000 {
                    return fail("ARRAY_GENERATE_RANGE would make more than 10,000,000 elements");
                }
            }
            Ok(Some(canonical(&Json::Array(items))))
        })
    }),
];

fn integers(r: &Rows, f: impl Fn(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    Ok(Arc::new((0..r.rows).map(f).collect::<Result<Int64Array>>()?))
}

fn construct(r: &Rows, compact: bool) -> Result<ArrayRef> {
    texts(r, |i| {
        let mut items = vec![];
        for (argument, of) in r.args.iter().zip(r.types) {
            if compact && argument.is_null(i) {
                continue;
            }
            items.push(json_at(argument, *of, i)?);
        }
        Ok(Some(canonical(&Json::Array(items))))
    })
}

fn edit(r: &Rows, arrays: &datafusion::arrow::array::StringArray, f: impl Fn(usize, &mut Vec<Json>) -> Result<()>) -> Result<ArrayRef> {
    texts(r, |i| {
        let Some(Json::Array(mut list)) = json(arrays, i)? else { return Ok(None) };
        f(i, &mut list)?;
        Ok(Some(canonical(&Json::Array(list))))
    })
}

fn pair(
    r: &Rows,
    left: &datafusion::arrow::array::StringArray,
    right: &datafusion::arrow::array::StringArray,
    f: impl Fn(&[Json], &[Json]) -> Vec<Json>,
) -> Result<ArrayRef> {
    texts(r, |i| {
        let (Some(Json::Array(a)), Some(Json::Array(b))) = (json(left, i)?, json(right, i)?) else { return Ok(None) };
        Ok(Some(canonical(&Json::Array(f(&a, &b)))))
    })
}

/// Elements of `a` that have (or lack) a partner in `b`, duplicates counted (Snowflake documentation, "ARRAY_INTERSECTION").
fn multiset(a: &[Json], b: &[Json], keep_matched: bool) -> Vec<Json> {
    let mut partners: Vec<&Json> = b.iter().collect();
    a.iter()
        .filter(|v| match partners.iter().position(|p| p == v) {
            Some(i) => {
                partners.swap_remove(i);
                keep_matched
            }
            None => !keep_matched,
        })
        .cloned()
        .collect()
}

fn compare(a: &Json, b: &Json) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        _ => match (a.is_null(), b.is_null()) {
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            _ => match (a.as_str(), b.as_str()) {
                (Some(x), Some(y)) => x.cmp(y),
                _ => canonical(a).cmp(&canonical(b)),
            },
        },
    }
}

fn extreme(r: &Rows, wanted: std::cmp::Ordering) -> Result<ArrayRef> {
    let arrays = semi(r, 0)?;
    texts(r, |i| {
        let Some(Json::Array(items)) = json(&arrays, i)? else { return Ok(None) };
        Ok(items.iter().filter(|v| !v.is_null()).reduce(|a, b| if compare(b, a) == wanted { b } else { a }).map(canonical))
    })
}
