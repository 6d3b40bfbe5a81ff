//! ARRAY functions that compare elements: membership, sets and multisets. `5`, `5.00` and `5::DOUBLE` are one element.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use datafusion::{
    arrow::array::{Array, ArrayRef, BooleanArray},
    common::Result,
};

use super::{
    array::text,
    json::{array, boolean, semi},
    scalar::{Arity, Function, Rows, texts},
};
use crate::dialect::variant::{Kind, is_null, kind, limited, order, parse, scan};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("array_contains", Arity::Exactly(2), boolean, |r| {
        let (needles, arrays) = (semi(r, 0)?, semi(r, 1)?);
        answers(r, |i| {
            let Some(mut items) = scan::elements(text(&arrays, i)?) else { return Ok(None) };
            // a NULL needle is found among NULL elements; without any, the answer is NULL
            Ok(if needles.is_null(i) { items.any(is_null).then_some(true) } else { Some(items.any(|v| order::equal(v, needles.value(i)))) })
        })
    }),
    Function::new("array_distinct", Arity::Exactly(1), array, |r| {
        let arrays = semi(r, 0)?;
        texts(r, |i| {
            let Some(items) = scan::elements(text(&arrays, i)?) else { return Ok(None) };
            let mut seen = HashSet::new();
            Ok(Some(scan::array(items.filter(|v| seen.insert(identity(v))))))
        })
    }),
    Function::new("array_intersection", Arity::Exactly(2), array, |r| multiset(r, true)),
    Function::new("array_except", Arity::Exactly(2), array, |r| multiset(r, false)),
    Function::new("arrays_overlap", Arity::Exactly(2), boolean, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        answers(r, |i| {
            let (Some(a), Some(b)) = (scan::elements(text(&left, i)?), scan::elements(text(&right, i)?)) else { return Ok(None) };
            let known: HashSet<Cow<'_, str>> = a.map(identity).collect();
            Ok(Some(b.map(identity).any(|v| known.contains(&v))))
        })
    }),
    Function::new("array_union", Arity::Exactly(2), array, |r| {
        let (left, right) = (semi(r, 0)?, semi(r, 1)?);
        texts(r, |i| {
            let (Some(a), Some(b)) = (scan::elements(text(&left, i)?), scan::elements(text(&right, i)?)) else { return Ok(None) };
            let mut seen = HashSet::new();
            limited(scan::array(a.chain(b).filter(|v| seen.insert(identity(v))))).map(Some)
        })
    }),
];

fn answers(r: &Rows, f: impl Fn(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
    Ok(Arc::new((0..r.rows).map(f).collect::<Result<BooleanArray>>()?))
}

/// Equal for equal elements. Doubles within containers are written as their text.
fn identity(value: &str) -> Cow<'_, str> {
    match kind(value) {
        Kind::Integer | Kind::Varchar | Kind::Array | Kind::Object | Kind::Boolean | Kind::Null => Cow::Borrowed(value),
        // a number that is whole has the text of the integer
        Kind::Decimal | Kind::Double => match value.parse::<f64>() {
            Ok(v) if kind(value) == Kind::Double => Cow::Owned(parse::number(&format!("{v}")).unwrap_or_else(|| value.to_owned())),
            _ => Cow::Borrowed(value),
        },
        _ => Cow::Owned(order::key(value)),
    }
}

/// Elements of the first array that have (or lack) a partner in the second, each partner used once (Snowflake
/// documentation, "ARRAY_INTERSECTION", "ARRAY_EXCEPT").
fn multiset(r: &Rows, keep_matched: bool) -> Result<ArrayRef> {
    let (left, right) = (semi(r, 0)?, semi(r, 1)?);
    texts(r, |i| {
        let (Some(a), Some(b)) = (scan::elements(text(&left, i)?), scan::elements(text(&right, i)?)) else { return Ok(None) };
        let mut partners: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for item in b {
            *partners.entry(identity(item)).or_default() += 1;
        }
        let kept = a.filter(|v| match partners.get_mut(&identity(v)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                keep_matched
            }
            _ => !keep_matched,
        });
        Ok(Some(scan::array(kept)))
    })
}
