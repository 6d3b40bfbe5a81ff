//! Similarity of sets by MinHash: signatures that can be kept and combined, and what they estimate (Snowflake
//! documentation, "Estimating similarity of two or more sets").
//!
//! The hash functions are our own: a signature of Snowflake is not comparable.

use std::sync::Arc;

use datafusion::{
    arrow::array::{ArrayRef, Float64Array, StringArray},
    common::Result,
};
use serde_json::{Value as Json, json};

use super::{
    super::{
        encoding::hash,
        json::{object, semi},
        number::float,
        scalar::{Arity, Rows, fail},
        text::bytes,
        value::{canonical, parse},
    },
    gathered::Aggregate,
};

/// The most hash functions of a signature.
const MOST: i64 = 1024;

pub(super) const AGGREGATES: &[Aggregate] = &[
    Aggregate::new("minhash", Arity::AtLeast(2), object, |r| {
        if r.rows == 0 {
            return one(&Json::Null);
        }
        let k = match r.integers(0)?.value(0) {
            k @ 1..=MOST => k as u64,
            k => return fail(format!("the number of hash functions of MINHASH is 1 to {MOST}, not {k}")),
        };
        let columns = (1..r.args.len()).map(|a| Ok((r.types[a], bytes(r, a)?))).collect::<Result<Vec<_>>>()?;
        let mut least = vec![u64::MAX; k as usize];
        for row in (0..r.rows).filter(|i| !r.any_null(*i)) {
            let value = hash(columns.iter().map(|(of, v)| (*of, Some(v.value(row))))) as u64;
            for (i, least) in least.iter_mut().enumerate() {
                *least = (*least).min(mixed(value, i as u64));
            }
        }
        signature(&least)
    }),
    Aggregate::new("minhash_combine", Arity::Exactly(1), object, |r| {
        let mut signatures = read(r)?.into_iter();
        let Some(mut least) = signatures.next() else { return one(&Json::Null) };
        for other in signatures {
            if other.len() != least.len() {
                return fail("states of MINHASH with different numbers of hash functions cannot be combined");
            }
            least.iter_mut().zip(other).for_each(|(a, b)| *a = (*a).min(b));
        }
        signature(&least)
    }),
    Aggregate::new("approximate_similarity", Arity::Exactly(1), float, similarity),
    Aggregate::new("approximate_jaccard_index", Arity::Exactly(1), float, similarity),
];

/// One of the family of hash functions (the finalizer of SplitMix64, seeded by the number of the function).
fn mixed(value: u64, of: u64) -> u64 {
    let mut x = value ^ of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn similarity(r: &Rows) -> Result<ArrayRef> {
    let signatures = read(r)?;
    let Some((first, others)) = signatures.split_first() else { return Ok(Arc::new(Float64Array::from(vec![None]))) };
    if others.iter().any(|o| o.len() != first.len()) {
        return fail("states of MINHASH with different numbers of hash functions cannot be compared");
    }
    let equal = first.iter().enumerate().filter(|(i, v)| others.iter().all(|o| o[*i] == **v)).count();
    Ok(Arc::new(Float64Array::from(vec![Some(equal as f64 / first.len().max(1) as f64)])))
}

fn read(r: &Rows) -> Result<Vec<Vec<u64>>> {
    let states = semi(r, 0)?;
    let mut read = vec![];
    for state in states.iter().flatten() {
        let state = parse(state)?;
        let numbers = state["state"].as_array().map(|s| s.iter().map(Json::as_u64).collect::<Option<Vec<_>>>());
        match numbers {
            Some(Some(numbers)) if state["type"] == "minhash" => read.push(numbers),
            _ => return fail("the value is not a state of MINHASH"),
        }
    }
    Ok(read)
}

fn signature(least: &[u64]) -> Result<ArrayRef> {
    one(&json!({"state": least, "type": "minhash", "version": 1}))
}

fn one(value: &Json) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![(!value.is_null()).then(|| canonical(value))])))
}
