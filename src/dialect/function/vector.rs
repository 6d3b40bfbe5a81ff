//! Functions over VECTOR values: distances, products, the direction (Snowflake documentation, "Vector functions").
//!
//! A vector is kept as an ARRAY whose declared structure says element type and dimension. FLOAT elements have 32 bits,
//! as in Snowflake; sums are made in 64.

use std::sync::Arc;

use datafusion::{
    arrow::array::{Array, ArrayRef, Float64Array, StringArray},
    common::Result,
};

use super::{
    json::{array, semi},
    number::float,
    scalar::{Arity, Function, Rows, fail, texts},
};
use crate::dialect::variant::scan;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("vector_inner_product", Arity::Exactly(2), float, |r| pairs(r, |p| p.map(|(a, b)| a * b).sum())),
    Function::new("vector_l1_distance", Arity::Exactly(2), float, |r| pairs(r, |p| p.map(|(a, b)| (a - b).abs()).sum())),
    Function::new("vector_l2_distance", Arity::Exactly(2), float, |r| pairs(r, |p| p.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt())),
    Function::new("vector_cosine_similarity", Arity::Exactly(2), float, |r| {
        pairs(r, |p| {
            let (dot, a, b) = p.fold((0.0, 0.0, 0.0), |(dot, aa, bb), (a, b)| (dot + a * b, aa + a * a, bb + b * b));
            dot / (a.sqrt() * b.sqrt())
        })
    }),
    Function::new("vector_normalize", Arity::Exactly(1), array, |r| {
        let values = semi(r, 0)?;
        texts(r, |i| {
            let Some(vector) = elements(&values, i)? else { return Ok(None) };
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            if length == 0.0 {
                return fail("a vector of length 0 has no direction");
            }
            Ok(Some(scan::array(vector.iter().map(|v| shown(v / length)))))
        })
    }),
];

/// An element as the vector keeps it.
pub(super) fn shown(value: f64) -> String {
    let single = value as f32;
    format!("{single:e}")
}

fn elements(values: &StringArray, row: usize) -> Result<Option<Vec<f64>>> {
    if values.is_null(row) || values.value(row) == "null" {
        return Ok(None);
    }
    let numbers = scan::elements(values.value(row)).map(|items| items.map(|item| item.parse::<f64>().ok()).collect::<Option<Vec<_>>>());
    match numbers {
        Some(Some(numbers)) => Ok(Some(numbers)),
        _ => fail(format!("the value {} is not a vector", values.value(row))),
    }
}

type Pairs<'a> = std::iter::Zip<std::iter::Copied<std::slice::Iter<'a, f64>>, std::iter::Copied<std::slice::Iter<'a, f64>>>;

fn pairs(r: &Rows, f: impl Fn(Pairs<'_>) -> f64) -> Result<ArrayRef> {
    let (left, right) = (semi(r, 0)?, semi(r, 1)?);
    let mut results = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        results.push(match (elements(&left, i)?, elements(&right, i)?) {
            (Some(a), Some(b)) if a.len() == b.len() => Some(f(a.iter().copied().zip(b.iter().copied()))),
            (Some(a), Some(b)) => return fail(format!("the vectors have {} and {} dimensions", a.len(), b.len())),
            _ => None,
        });
    }
    Ok(Arc::new(Float64Array::from(results)))
}
