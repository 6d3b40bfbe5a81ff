//! Generated data: SEQ1 to SEQ8, RANDOM with a seed, UNIFORM, NORMAL, ZIPF, RANDSTR (Snowflake documentation, "Data
//! generation functions").
//!
//! A generator argument decides the value alone, as in Snowflake: the same number gives the same value. The values
//! themselves are not Snowflake's, whose generators are not public.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float64Array, Int64Array},
        datatypes::{FieldRef, Float64Type},
    },
    common::Result,
};
use rand::{Rng, RngCore};
use rand_distr::{Distribution, Normal, Zipf};

use super::{
    cast::{Failure, convert_in, number_array},
    json::{integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__seq", Arity::Exactly(3), integer, seq),
    Function::new("__seeded", Arity::Exactly(2), integer, |r| {
        let (seeds, rows) = (r.integers(0)?, r.integers(1)?);
        let values = (0..r.rows).map(|i| (!seeds.is_null(i)).then(|| mixed((seeds.value(i) as u64) ^ mixed(rows.value(i) as u64)) as i64));
        Ok(Arc::new(values.collect::<Int64Array>()))
    }),
    Function::new("uniform", Arity::Exactly(3), uniform_type, uniform),
    Function::new(
        "normal",
        Arity::Exactly(3),
        |c| Ok(Type::Float.field(c.name)),
        |r| {
            let (means, deviations, seeds) = (floats(r, 0)?, floats(r, 1)?, Seeds::of(r, 2)?);
            let values = (0..r.rows).map(|i| {
                let Some(mut source) = seeds.get(i).filter(|_| !means.is_null(i) && !deviations.is_null(i)) else { return Ok(None) };
                match Normal::new(means.value(i), deviations.value(i)) {
                    Ok(normal) => Ok(Some(normal.sample(&mut source))),
                    Err(_) => fail("the standard deviation of NORMAL is a number not below 0"),
                }
            });
            Ok(Arc::new(values.collect::<Result<Float64Array>>()?))
        },
    ),
    Function::new("zipf", Arity::Exactly(3), integer, |r| {
        let (exponents, counts, seeds) = (floats(r, 0)?, r.integers(1)?, Seeds::of(r, 2)?);
        let values = (0..r.rows).map(|i| {
            let Some(mut source) = seeds.get(i).filter(|_| !exponents.is_null(i) && !counts.is_null(i)) else { return Ok(None) };
            match Zipf::new(counts.value(i) as f64, exponents.value(i)) {
                Ok(zipf) if counts.value(i) > 0 => Ok(Some(zipf.sample(&mut source) as i64)),
                _ => fail("ZIPF takes an exponent not below 0 and a count above 0"),
            }
        });
        Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
    }),
    Function::new("randstr", Arity::Exactly(2), varchar, |r| {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let (lengths, seeds) = (r.integers(0)?, Seeds::of(r, 1)?);
        texts(r, |i| {
            let Some(mut source) = seeds.get(i).filter(|_| !lengths.is_null(i)) else { return Ok(None) };
            match lengths.value(i) {
                n @ 0..=16_777_216 => Ok(Some((0..n).map(|_| char::from(LETTERS[source.random_range(0..LETTERS.len())])).collect())),
                n => fail(format!("the length of RANDSTR is 0 to 16777216, not {n}")),
            }
        })
    }),
];

/// A well spread number for a number (SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The stream of random numbers that a generator value begins.
struct Source(u64);

impl RngCore for Source {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        let value = mixed(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        value
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let value = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

/// Generator values of a column; fractions of floats count.
struct Seeds(Vec<Option<u64>>);

impl Seeds {
    fn of(r: &Rows, index: usize) -> Result<Self> {
        Ok(Self(match r.types[index] {
            Type::Number { scale: 0, .. } => r.integers(index)?.iter().map(|v| v.map(|v| v as u64)).collect(),
            _ => floats(r, index)?.iter().map(|v| v.map(f64::to_bits)).collect(),
        }))
    }

    fn get(&self, row: usize) -> Option<Source> {
        self.0[row].map(|seed| Source(mixed(seed)))
    }
}

fn floats(r: &Rows, index: usize) -> Result<Float64Array> {
    let array = convert_in(&r.args[index], r.types[index], Type::Float, Failure::Error, r.settings)?;
    Ok(array.as_primitive::<Float64Type>().clone())
}

/// The row's number in so many bytes: with a sign it goes on at the smallest number, without at 0.
fn seq(r: &Rows) -> Result<ArrayRef> {
    let (widths, signs, rows) = (r.integers(0)?, r.integers(1)?, r.integers(2)?);
    let values = (0..r.rows).map(|i| {
        let (n, signed) = (rows.value(i), signs.value(i) != 0);
        Some(match (widths.value(i), signed) {
            (1, false) => i64::from(n as u8),
            (1, true) => i64::from(n as i8),
            (2, false) => i64::from(n as u16),
            (2, true) => i64::from(n as i16),
            (4, false) => i64::from(n as u32),
            (4, true) => i64::from(n as i32),
            _ => n,
        })
    });
    Ok(Arc::new(values.collect::<Int64Array>()))
}

/// Exact numbers give an exact number.
fn uniform_type(call: &CallTypes) -> Result<FieldRef> {
    let scale = |t: Type| match t {
        Type::Number { scale, .. } => Some(scale),
        _ => None,
    };
    Ok(match (scale(call.types[0]), scale(call.types[1])) {
        (Some(a), Some(b)) => Type::Number { precision: 38, scale: a.max(b) },
        _ => Type::Float,
    }
    .field(call.name))
}

fn uniform(r: &Rows) -> Result<ArrayRef> {
    let seeds = Seeds::of(r, 2)?;
    let Type::Number { scale, precision } = r.result else {
        let (low, high) = (floats(r, 0)?, floats(r, 1)?);
        let values = (0..r.rows).map(|i| {
            let mut source = seeds.get(i).filter(|_| !low.is_null(i) && !high.is_null(i))?;
            Some(low.value(i) + source.random::<f64>() * (high.value(i) - low.value(i)))
        });
        return Ok(Arc::new(values.collect::<Float64Array>()));
    };
    let bound = |index: usize| -> Result<Vec<Option<i128>>> {
        let wide = Type::Number { precision: 38, scale: scale.max(1) };
        let array = convert_in(&r.args[index], r.types[index], wide, Failure::Error, r.settings)?;
        let values = array.as_primitive::<datafusion::arrow::datatypes::Decimal128Type>();
        Ok(values.iter().map(|v| v.map(|v| if scale == 0 { v / 10 } else { v })).collect())
    };
    let (low, high) = (bound(0)?, bound(1)?);
    let values = (0..r.rows).map(|i| {
        let (Some(mut source), Some(low), Some(high)) = (seeds.get(i), low[i], high[i]) else { return Ok(None) };
        if low > high {
            return fail("the lower bound of UNIFORM is not above its upper bound");
        }
        Ok(Some(source.random_range(low..=high)))
    });
    number_array(values.collect::<Result<Vec<_>>>()?, precision, scale, Failure::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_begins_one_stream() {
        let draw = |seed| Source(mixed(seed)).next_u64();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut bytes = [0; 11];
        Source(5).fill_bytes(&mut bytes);
        assert_ne!(bytes, [0; 11]);
    }
}
