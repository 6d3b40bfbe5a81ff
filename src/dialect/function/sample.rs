//! The number that SAMPLE compares with its fraction: between 0 and 1, decided by a seed and the number of the row.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float64Array},
        compute::cast,
        datatypes::{DataType, Int64Type},
    },
    common::Result,
};

use super::scalar::{Arity, Function, Rows};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] =
    &[Function::new("__fraction", Arity::Exactly(2), |call| Ok(Type::Float.field(call.name)), fraction)];

/// Bits spread evenly (splitmix64).
fn mixed(seed: i64, row: i64) -> f64 {
    let mut z = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

fn fraction(r: &Rows) -> Result<ArrayRef> {
    let (seeds, rows) = (cast(&r.args[0], &DataType::Int64)?, cast(&r.args[1], &DataType::Int64)?);
    let (seeds, rows) = (seeds.as_primitive::<Int64Type>(), rows.as_primitive::<Int64Type>());
    let values: Float64Array =
        (0..r.rows).map(|i| (!seeds.is_null(i) && !rows.is_null(i)).then(|| mixed(seeds.value(i), rows.value(i)))).collect();
    Ok(Arc::new(values))
}

#[cfg(test)]
mod tests {
    use super::mixed;

    #[test]
    fn numbers_are_spread_and_repeatable() {
        let below = (0..10_000).filter(|n| mixed(42, *n) < 0.1).count();
        assert!((900..1100).contains(&below), "{below}");
        assert!((mixed(1, 7) - mixed(1, 7)).abs() < f64::EPSILON);
        assert!((mixed(1, 7) - mixed(2, 7)).abs() > f64::EPSILON);
    }
}
