//! Aggregates of bits, truths, hashes and semi-structured values.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, StringArray},
        compute::{SortColumn, SortOptions, lexsort_to_indices},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    super::{
        bits::{pack_bitmap, unpack_bitmap},
        encoding::hash,
        json::{array, boolean, integer, semi},
        scalar::{Arity, CallTypes, Rows, fail},
        text::bytes,
        value::variant_at,
    },
    gathered::Aggregate,
};
use crate::dialect::{
    types::Type,
    variant::{order, scan},
};

pub(super) const AGGREGATES: &[Aggregate] = &[
    Aggregate::new("bitand_agg", Arity::Exactly(1), of_first, |r| bits(r, |a, b| a & b, |a, b| a & b)),
    Aggregate::new("bitor_agg", Arity::Exactly(1), of_first, |r| bits(r, |a, b| a | b, |a, b| a | b)),
    Aggregate::new("bitxor_agg", Arity::Exactly(1), of_first, |r| bits(r, |a, b| a ^ b, |a, b| a ^ b)),
    Aggregate::new("booland_agg", Arity::Exactly(1), boolean, |r| truths(r, |t, n| t == n)),
    Aggregate::new("boolor_agg", Arity::Exactly(1), boolean, |r| truths(r, |t, _| t > 0)),
    // exactly one
    Aggregate::new("boolxor_agg", Arity::Exactly(1), boolean, |r| truths(r, |t, _| t == 1)),
    Aggregate::new("hash_agg", Arity::AtLeast(1), integer, |r| {
        let columns = (0..r.args.len()).map(|a| Ok((r.types[a], bytes(r, a)?))).collect::<Result<Vec<_>>>()?;
        // a sum, so that the order of rows does not matter; here wrapping is the point
        let total = (0..r.rows)
            .fold(0_i64, |sum, i| sum.wrapping_add(hash(columns.iter().map(|(of, v)| (*of, (!v.is_null(i)).then(|| v.value(i)))))));
        Ok(Arc::new(Int64Array::from(vec![total])))
    })
    .with_nulls(),
    Aggregate::new("bitmap_construct_agg", Arity::Exactly(1), binary, |r| {
        let positions = r.integers(0)?;
        let positions = positions.iter().flatten().map(|p| match u16::try_from(p) {
            Ok(p @ 0..=32_767) => Ok(p),
            _ => fail(format!("the position of a bit is 0 to 32767, not {p}; use BITMAP_BIT_POSITION")),
        });
        let positions = positions.collect::<Result<Vec<u16>>>()?;
        Ok(Arc::new(BinaryArray::from_iter([(r.rows > 0).then(|| pack_bitmap(positions))])))
    }),
    Aggregate::new("bitmap_or_agg", Arity::Exactly(1), binary, |r| {
        let mut positions = vec![];
        for bitmap in bytes(r, 0)?.iter().flatten() {
            positions.extend(unpack_bitmap(bitmap)?);
        }
        Ok(Arc::new(BinaryArray::from_iter([(r.rows > 0).then(|| pack_bitmap(positions))])))
    }),
    Aggregate::new("array_union_agg", Arity::Exactly(1), array, |r| {
        // each value as often as in the array that has it most often
        let arrays = semi(r, 0)?;
        let mut most: HashMap<Vec<u8>, (usize, usize, &str)> = HashMap::new();
        for value in arrays.iter().flatten().filter(|v| *v != "null") {
            let Some(items) = scan::elements(value) else { return fail("ARRAY_UNION_AGG takes arrays") };
            let mut here: HashMap<Vec<u8>, usize> = HashMap::new();
            for item in items {
                let key = order::key(item);
                let count = here.entry(key.clone()).or_default();
                *count += 1;
                let place = most.len();
                let entry = most.entry(key).or_insert((place, 0, item));
                entry.1 = entry.1.max(*count);
            }
        }
        let mut entries: Vec<_> = most.into_values().collect();
        entries.sort_by_key(|(place, ..)| *place);
        one(scan::array(entries.into_iter().flat_map(|(_, n, item)| std::iter::repeat_n(item, n))))
    }),
    // LISTAGG and ARRAY_AGG as window functions: behind the arguments triples of key, descending, NULLs first
    Aggregate::new(
        "__listagg_over",
        Arity::AtLeast(2),
        |c| Ok(Type::Varchar.field(c.name)),
        |r| {
            let (values, delimiters, order) = (r.text(0)?, r.text(1)?, sorted(r, 2)?);
            let delimiter = if r.rows > 0 && !delimiters.is_null(0) { delimiters.value(0) } else { "" };
            one(order.into_iter().map(|row| values.value(row)).collect::<Vec<_>>().join(delimiter))
        },
    ),
    Aggregate::new("__array_agg_over", Arity::AtLeast(1), array, |r| {
        let items = sorted(r, 1)?.into_iter().map(|row| variant_at(&r.args[0], r.types[0], row));
        one(scan::array(items.collect::<Result<Vec<_>>>()?))
    }),
];

/// Row numbers in the order of the keys that begin at an argument.
fn sorted(r: &Rows, from: usize) -> Result<Vec<usize>> {
    let mut keys = vec![];
    for at in (from..r.args.len().saturating_sub(2)).step_by(3) {
        let flag = |index: usize| Ok::<bool, datafusion::common::DataFusionError>(r.rows > 0 && r.booleans(index)?.value(0));
        let options = SortOptions { descending: flag(at + 1)?, nulls_first: flag(at + 2)? };
        keys.push(SortColumn { values: r.args[at].clone(), options: Some(options) });
    }
    if keys.is_empty() {
        return Ok((0..r.rows).collect());
    }
    Ok(lexsort_to_indices(&keys, None)?.values().iter().map(|row| *row as usize).collect())
}

fn of_first(call: &CallTypes) -> Result<FieldRef> {
    Ok(if call.types[0] == Type::Binary { Type::Binary } else { Type::INTEGER }.field(call.name))
}

fn binary(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Binary.field(call.name))
}

fn one(text: String) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(vec![text])))
}

fn bits(r: &Rows, f: fn(i64, i64) -> i64, g: fn(u8, u8) -> u8) -> Result<ArrayRef> {
    if r.result != Type::Binary {
        return Ok(Arc::new(Int64Array::from(vec![r.integers(0)?.iter().flatten().reduce(f)])));
    }
    let values = bytes(r, 0)?;
    let mut result: Option<Vec<u8>> = None;
    for value in values.iter().flatten() {
        result = Some(match result {
            None => value.to_vec(),
            Some(all) if all.len() == value.len() => all.into_iter().zip(value).map(|(a, b)| g(a, *b)).collect(),
            Some(_) => return fail("the binaries of a group differ in length"),
        });
    }
    Ok(Arc::new(BinaryArray::from_iter([result])))
}

/// A judgement of the number of truths among all that are known; NULL without any.
fn truths(r: &Rows, f: fn(usize, usize) -> bool) -> Result<ArrayRef> {
    let values = if r.rows == 0 { BooleanArray::from(Vec::<bool>::new()) } else { r.booleans(0)? };
    let known = values.len() - values.null_count();
    Ok(Arc::new(BooleanArray::from(vec![(known > 0).then(|| f(values.true_count(), known))])))
}
