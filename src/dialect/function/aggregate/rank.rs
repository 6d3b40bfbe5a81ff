//! Aggregates of sorted or counted values: percentiles, the mode, extremes by a key.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array, new_null_array},
        compute::{SortOptions, sort_to_indices, take},
        datatypes::FieldRef,
        row::{RowConverter, SortField},
    },
    common::Result,
};

use super::{
    super::{
        arithmetic::{floats, unscaled},
        cast::{Failure, number_array, rescale},
        json::array,
        scalar::{Arity, CallTypes, Rows, fail},
        value::variant_at,
    },
    gathered::Aggregate,
};
use crate::dialect::{types::Type, variant::scan};

pub(super) const AGGREGATES: &[Aggregate] = &[
    Aggregate::new("median", Arity::Exactly(1), interpolated_type, |r| percentile(r, 0.5, false)),
    // value, fraction, whether the order is descending
    Aggregate::new("__percentile_cont", Arity::Exactly(3), interpolated_type, |r| {
        let fraction = fraction(r)?;
        percentile(r, fraction, r.rows > 0 && r.booleans(2)?.value(0))
    }),
    Aggregate::new("__percentile_disc", Arity::Exactly(3), of_first, |r| {
        let fraction = fraction(r)?;
        let descending = r.rows > 0 && r.booleans(2)?.value(0);
        let order = sort_to_indices(&r.args[0], Some(SortOptions { descending, nulls_first: false }), None)?;
        let at = ((fraction * r.rows as f64).ceil() as usize).clamp(1, r.rows.max(1)) - 1;
        picked(r, (at < r.rows).then(|| order.value(at)))
    }),
    Aggregate::new(
        "approx_percentile",
        Arity::Exactly(2),
        |c| Ok(Type::Float.field(c.name)),
        |r| {
            let fraction = fraction(r)?;
            let mut values: Vec<f64> = floats(r, 0)?.iter().flatten().collect();
            values.sort_by(f64::total_cmp);
            Ok(Arc::new(Float64Array::from(vec![between(&values, fraction)])))
        },
    ),
    Aggregate::new("mode", Arity::Exactly(1), of_first, |r| picked(r, most_frequent(r)?.first().map(|(row, _)| *row))),
    Aggregate::new("approx_top_k", Arity::Between(1, 3), array, |r| {
        let k = if r.args.len() > 1 && r.rows > 0 { r.integers(1)?.value(0).max(0) as usize } else { 1 };
        let top = most_frequent(r)?.into_iter().take(k);
        let items = top.map(|(row, n)| Ok(scan::array([variant_at(&r.args[0], r.types[0], row as usize)?, n.to_string()])));
        text(scan::array(items.collect::<Result<Vec<_>>>()?))
    }),
    Aggregate::new("__min_by_n", Arity::Exactly(3), array, |r| extremes(r, false)),
    Aggregate::new("__max_by_n", Arity::Exactly(3), array, |r| extremes(r, true)),
];

fn of_first(call: &CallTypes) -> Result<FieldRef> {
    Ok(call.types[0].field(call.name))
}

/// Three digits more than the values (Snowflake: `PERCENTILE_CONT` of NUMBER(10,2) is NUMBER(13,5)).
fn interpolated_type(call: &CallTypes) -> Result<FieldRef> {
    Ok(match call.types[0] {
        Type::Number { precision, scale } => Type::number(i32::from(precision) + 3, i32::from(scale) + 3),
        _ => Type::Float,
    }
    .field(call.name))
}

fn text(value: String) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![value])))
}

/// The value of one row, or NULL.
fn picked(r: &Rows, row: Option<u32>) -> Result<ArrayRef> {
    let values = super::super::value::normalised(&r.args[0], r.types[0])?;
    Ok(match row {
        Some(row) => take(&values, &UInt32Array::from(vec![row]), None)?,
        None => new_null_array(values.data_type(), 1),
    })
}

fn fraction(r: &Rows) -> Result<f64> {
    let fractions = floats(r, 1)?;
    match fractions.iter().flatten().next() {
        Some(f) if (0.0..=1.0).contains(&f) => Ok(f),
        Some(f) => fail(format!("a percentile is 0 to 1, not {f}")),
        None => Ok(0.5),
    }
}

/// Position between two neighbours: index and weight of the second.
fn position(count: usize, fraction: f64) -> (usize, f64) {
    let at = fraction * (count - 1) as f64;
    (at.floor() as usize, at - at.floor())
}

pub(super) fn between(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = *sorted.last()?;
    let (at, weight) = position(sorted.len(), fraction);
    let low = sorted[at];
    let high = sorted.get(at + 1).copied().unwrap_or(last);
    Some(if weight == 0.0 { low } else { low + (high - low) * weight })
}

fn percentile(r: &Rows, fraction: f64, descending: bool) -> Result<ArrayRef> {
    let fraction = if descending { 1.0 - fraction } else { fraction };
    let Type::Number { precision, scale } = r.result else {
        let mut values: Vec<f64> = floats(r, 0)?.iter().flatten().collect();
        values.sort_by(f64::total_cmp);
        return Ok(Arc::new(Float64Array::from(vec![between(&values, fraction)])));
    };
    let (values, from) = unscaled(&r.args[0], r.types[0])?;
    let mut values: Vec<i128> = values.iter().flatten().collect();
    values.sort_unstable();
    let result = match values.last() {
        None => None,
        Some(last) => {
            let (at, weight) = position(values.len(), fraction);
            let (low, high) = (values[at], values.get(at + 1).copied().unwrap_or(*last));
            let (Some(base), unit) = (rescale(low, from, scale), 10_f64.powi(i32::from(scale - from))) else {
                return fail("a percentile is out of range");
            };
            Some(base + ((high - low) as f64 * unit * weight).round() as i128)
        }
    };
    number_array(vec![result], precision, scale, Failure::Error)
}

/// First rows and counts of distinct values, the most frequent first; of equals the one that came first.
fn most_frequent(r: &Rows) -> Result<Vec<(u32, u64)>> {
    let converter = RowConverter::new(vec![SortField::new(r.args[0].data_type().clone())])?;
    let rows = converter.convert_columns(&r.args[..1])?;
    let mut counts: HashMap<_, (u32, u64)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        counts.entry(row).or_insert((i as u32, 0)).1 += 1;
    }
    let mut counts: Vec<(u32, u64)> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(counts)
}

/// Values of the rows with the n smallest or largest keys; the arguments are key, value, n.
fn extremes(r: &Rows, descending: bool) -> Result<ArrayRef> {
    if r.rows == 0 {
        return Ok(new_null_array(&datafusion::arrow::datatypes::DataType::Utf8, 1));
    }
    let n = match r.integers(2)?.value(0) {
        n @ 1..=1000 => n as usize,
        n => return fail(format!("the number of values is 1 to 1000, not {n}")),
    };
    let order = sort_to_indices(&r.args[0], Some(SortOptions { descending, nulls_first: false }), Some(n))?;
    let items = order.values().iter().map(|row| variant_at(&r.args[1], r.types[1], *row as usize));
    text(scan::array(items.collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let values: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(between(&values, 0.1), Some(1.0));
        assert_eq!(between(&values, 0.999), Some(9.99));
        assert_eq!(between(&values, 1.0), Some(10.0));
        assert_eq!(between(&[], 0.5), None);
    }
}
