//! States of approximate aggregates that can be kept and combined: HyperLogLog, percentiles, most frequent values.
//!
//! The layouts are our own: a state of Snowflake is not read. What is kept of percentiles and frequent values is exact
//! up to a number of entries, and thinned beyond it.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BinaryArray, Int64Array, StringArray, new_null_array},
        datatypes::{DataType, FieldRef},
    },
    common::Result,
};
use serde_json::{Value as Json, json};

use super::{
    super::{
        arithmetic::floats,
        encoding::hash,
        json::{object, semi},
        scalar::{Arity, CallTypes, Rows, fail},
        text::bytes,
        value::{canonical, json_at, parse},
    },
    gathered::Aggregate,
};
use crate::dialect::types::Type;

pub(super) const AGGREGATES: &[Aggregate] = &[
    Aggregate::new("hll_accumulate", Arity::AtLeast(1), binary, |r| {
        let columns = (0..r.args.len()).map(|a| Ok((r.types[a], bytes(r, a)?))).collect::<Result<Vec<_>>>()?;
        let mut registers = vec![0; REGISTERS];
        for i in (0..r.rows).filter(|i| !r.any_null(*i)) {
            record(&mut registers, hash(columns.iter().map(|(of, v)| (*of, Some(v.value(i))))));
        }
        Ok(Arc::new(BinaryArray::from_iter([Some(registers)])))
    }),
    Aggregate::new("hll_combine", Arity::Exactly(1), binary, |r| {
        let mut registers = vec![0; REGISTERS];
        for state in bytes(r, 0)?.iter().flatten() {
            check_registers(state)?;
            registers.iter_mut().zip(state).for_each(|(a, b)| *a = (*a).max(*b));
        }
        Ok(Arc::new(BinaryArray::from_iter([(r.rows > 0).then_some(registers)])))
    }),
    Aggregate::new("approx_percentile_accumulate", Arity::Exactly(1), object, |r| {
        let values = floats(r, 0)?;
        centroids(values.iter().flatten().map(|v| (v, 1.0)).collect())
    }),
    Aggregate::new("approx_percentile_combine", Arity::Exactly(1), object, |r| {
        let states = semi(r, 0)?;
        let mut all = vec![];
        for i in 0..r.rows {
            all.extend(read_centroids(&parsed(&states, i)?.unwrap_or(Json::Null))?);
        }
        centroids(all)
    }),
    Aggregate::new("approx_top_k_accumulate", Arity::Exactly(2), object, |r| {
        let mut counts: Counts = BTreeMap::new();
        for i in 0..r.rows {
            let value = json_at(&r.args[0], r.types[0], i)?;
            counts.entry(canonical(&value)).or_insert((value, 0)).1 += 1;
        }
        frequent(counts, if r.rows > 0 { r.integers(1)?.value(0) } else { 0 })
    }),
    Aggregate::new("approx_top_k_combine", Arity::Between(1, 2), object, |r| {
        let states = semi(r, 0)?;
        let mut counts: Counts = BTreeMap::new();
        let mut counters = if r.args.len() > 1 && r.rows > 0 { r.integers(1)?.value(0) } else { 0 };
        for i in 0..r.rows {
            let state = parsed(&states, i)?.unwrap_or(Json::Null);
            counters = counters.max(state["counters"].as_i64().unwrap_or_default());
            for (value, n) in read_frequent(&state)? {
                counts.entry(canonical(&value)).or_insert((value, 0)).1 += n;
            }
        }
        frequent(counts, counters)
    }),
];

fn parsed(values: &StringArray, row: usize) -> Result<Option<Json>> {
    if values.is_null(row) { Ok(None) } else { parse(values.value(row)).map(Some) }
}

type Counts = BTreeMap<String, (Json, u64)>;

/// 4096 registers: an error of 1.6 % (Snowflake documentation, "Estimating the number of distinct values").
const REGISTERS: usize = 4096;

/// Centroids that a state of percentiles keeps.
const CENTROIDS: usize = 2000;

/// The most counters of APPROX_TOP_K.
const COUNTERS: i64 = 100_000;

fn binary(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Binary.field(call.name))
}

fn record(registers: &mut [u8], hash: i64) {
    let bits = hash as u64;
    let register = (bits >> 52) as usize;
    let rank = ((bits << 12).leading_zeros() + 1).min(53) as u8;
    registers[register] = registers[register].max(rank);
}

pub(in super::super) fn check_registers(state: &[u8]) -> Result<()> {
    if state.len() == REGISTERS { Ok(()) } else { fail("the value is not a state of HLL_ACCUMULATE") }
}

/// A state as Snowflake exports it: few registers by their numbers, many in a row (Snowflake documentation,
/// "HLL_EXPORT").
fn exported(registers: &[u8]) -> Json {
    let used: Vec<usize> = (0..registers.len()).filter(|i| registers[*i] > 0).collect();
    let precision = registers.len().ilog2();
    if used.len() * 4 > registers.len() {
        return json!({"version": 4, "precision": precision, "dense": registers});
    }
    let counts: Vec<u8> = used.iter().map(|i| registers[*i]).collect();
    json!({"version": 4, "precision": precision, "sparse": {"indices": used, "maxLzCounts": counts}})
}

/// The registers of an exported state.
fn imported(state: &Json) -> Result<Vec<u8>> {
    let numbers =
        |of: &Json| -> Option<Vec<usize>> { of.as_array()?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect() };
    let read = || {
        if let Some(dense) = numbers(&state["dense"]) {
            return dense.into_iter().map(|n| u8::try_from(n).ok()).collect::<Option<Vec<u8>>>();
        }
        let (indices, counts) = (numbers(&state["sparse"]["indices"])?, numbers(&state["sparse"]["maxLzCounts"])?);
        let mut registers = vec![0; REGISTERS];
        for (index, count) in indices.into_iter().zip(counts) {
            *registers.get_mut(index)? = u8::try_from(count).ok()?;
        }
        Some(registers)
    };
    match read().filter(|registers| registers.len() == REGISTERS) {
        Some(registers) => Ok(registers),
        None => fail("the value is not a state of HLL_EXPORT"),
    }
}

/// The number of distinct values that registers stand for.
pub(in super::super) fn estimate(registers: &[u8]) -> i64 {
    let m = registers.len() as f64;
    let sum: f64 = registers.iter().map(|r| 2_f64.powi(-i32::from(*r))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|r| **r == 0).count();
    // few values are counted better by the registers that are still empty
    let count = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
    count.round() as i64
}

fn centroids(mut all: Vec<(f64, f64)>) -> Result<ArrayRef> {
    if all.is_empty() {
        return Ok(new_null_array(&DataType::Utf8, 1));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    while all.len() > CENTROIDS {
        // neighbours become their mean
        all = all
            .chunks(2)
            .map(|pair| {
                let weight: f64 = pair.iter().map(|p| p.1).sum();
                (pair.iter().map(|p| p.0 * p.1).sum::<f64>() / weight, weight)
            })
            .collect();
    }
    let state: Vec<f64> = all.iter().flat_map(|(v, w)| [*v, *w]).collect();
    one(&json!({"type": "tdigest", "version": 1, "state": state}))
}

fn read_centroids(state: &Json) -> Result<Vec<(f64, f64)>> {
    let numbers = state["state"].as_array().map(|items| items.iter().filter_map(Json::as_f64).collect::<Vec<_>>());
    match numbers {
        Some(numbers) if numbers.len() % 2 == 0 => Ok(numbers.chunks(2).map(|p| (p[0], p[1])).collect()),
        _ => fail("the value is not a state of APPROX_PERCENTILE_ACCUMULATE"),
    }
}

/// The value at a fraction of a state of percentiles.
pub(in super::super) fn percentile_of(state: &Json, fraction: f64) -> Result<Option<f64>> {
    let centroids = read_centroids(state)?;
    let total: f64 = centroids.iter().map(|c| c.1).sum();
    let wanted = fraction * (total - 1.0);
    // a centroid stands for the ranks about its middle
    let mut before = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (value, weight) in centroids {
        let rank = before + (weight - 1.0) / 2.0;
        if rank >= wanted {
            return Ok(Some(match last {
                Some((low_rank, low)) if rank > low_rank => low + (value - low) * ((wanted - low_rank) / (rank - low_rank)).max(0.0),
                _ => value,
            }));
        }
        last = Some((rank, value));
        before += weight;
    }
    Ok(last.map(|(_, value)| value))
}

fn frequent(counts: Counts, counters: i64) -> Result<ArrayRef> {
    let mut entries: Vec<(Json, u64)> = counts.into_values().collect();
    entries.sort_by_key(|e| std::cmp::Reverse(e.1));
    entries.truncate(counters.clamp(1, COUNTERS) as usize);
    let state: Vec<Json> = entries.into_iter().map(|(value, n)| json!([value, n])).collect();
    one(&json!({"type": "topk", "version": 1, "counters": counters, "state": state}))
}

pub(in super::super) fn read_frequent(state: &Json) -> Result<Vec<(Json, u64)>> {
    let Some(items) = state["state"].as_array() else { return fail("the value is not a state of APPROX_TOP_K_ACCUMULATE") };
    Ok(items.iter().filter_map(|i| Some((i.get(0)?.clone(), i.get(1)?.as_u64()?))).collect())
}

fn one(value: &Json) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![canonical(value)])))
}

/// The scalar functions that read states.
pub(in super::super) const ESTIMATES: &[super::super::scalar::Function] = &[
    super::super::scalar::Function::new("hll_estimate", Arity::Exactly(1), super::super::json::integer, |r| {
        let states = bytes(r, 0)?;
        let counts = states.iter().map(|s| s.map(|s| check_registers(s).map(|()| estimate(s))).transpose());
        Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
    }),
    super::super::scalar::Function::new("hll_export", Arity::Exactly(1), object, |r| {
        let states = bytes(r, 0)?;
        super::super::scalar::texts(r, |i| {
            if states.is_null(i) {
                return Ok(None);
            }
            check_registers(states.value(i))?;
            Ok(Some(canonical(&exported(states.value(i)))))
        })
    }),
    super::super::scalar::Function::new("hll_import", Arity::Exactly(1), binary, |r| {
        let states = semi(r, 0)?;
        let registers = (0..r.rows).map(|i| parsed(&states, i)?.map(|state| imported(&state)).transpose());
        Ok(Arc::new(BinaryArray::from_iter(registers.collect::<Result<Vec<_>>>()?)))
    }),
    super::super::scalar::Function::new(
        "approx_percentile_estimate",
        Arity::Exactly(2),
        |c| Ok(Type::Float.field(c.name)),
        |r: &Rows| {
            let (states, fractions) = (semi(r, 0)?, floats(r, 1)?);
            let values = (0..r.rows).map(|i| match parsed(&states, i)? {
                Some(state) if !fractions.is_null(i) => percentile_of(&state, fractions.value(i)),
                _ => Ok(None),
            });
            Ok(Arc::new(values.collect::<Result<datafusion::arrow::array::Float64Array>>()?))
        },
    ),
    super::super::scalar::Function::new("approx_top_k_estimate", Arity::Between(1, 2), super::super::json::array, |r| {
        let states = semi(r, 0)?;
        let k = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
        super::super::scalar::texts(r, |i| {
            let Some(state) = parsed(&states, i)? else { return Ok(None) };
            let k = k.as_ref().map_or(1, |k| k.value(i)).max(0) as usize;
            let items = read_frequent(&state)?.into_iter().take(k).map(|(value, n)| json!([value, n])).collect();
            Ok(Some(canonical(&Json::Array(items))))
        })
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_estimate_within_five_percent() {
        for wanted in [0, 10, 1000, 100_000_i64] {
            let mut registers = vec![0; REGISTERS];
            for i in 0..wanted {
                record(&mut registers, hash([(Type::INTEGER, Some(i.to_string().as_bytes()))].into_iter()));
            }
            let found = estimate(&registers);
            assert!((found - wanted).abs() <= wanted / 20, "{found} of {wanted}");
        }
    }

    #[test]
    fn percentiles_of_states() {
        let state = json!({"state": [0.0, 1.0, 10.0, 1.0, 20.0, 1.0]});
        assert_eq!(percentile_of(&state, 0.25).expect("a state"), Some(5.0));
        assert_eq!(percentile_of(&state, 1.0).expect("a state"), Some(20.0));
        assert!(percentile_of(&json!({}), 0.5).is_err());
    }
}
