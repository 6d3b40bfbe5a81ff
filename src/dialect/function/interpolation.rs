//! INTERPOLATE_LINEAR: gaps between known values filled along a straight line (Snowflake documentation,
//! "INTERPOLATE_BFILL, INTERPOLATE_FFILL, INTERPOLATE_LINEAR").
//!
//! The lowering gives the key of the window's order as a second argument; the line runs over its numbers. The other two
//! functions are LAST_VALUE and FIRST_VALUE without NULLs, and no functions of their own.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float64Array, new_null_array},
        compute::cast,
        datatypes::{DataType, FieldRef, Float64Type},
    },
    common::{Result, plan_err},
    logical_expr::{
        LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
    physical_expr::PhysicalExpr,
};

use super::cast::{Failure, convert};
use crate::dialect::types::Type;

pub(super) static FUNCTION: LazyLock<Arc<WindowUDF>> =
    LazyLock::new(|| Arc::new(WindowUDF::new_from_impl(Line { signature: Signature::any(2, Volatility::Immutable) })));

#[derive(Debug)]
struct Line {
    signature: Signature,
}

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

impl Hash for Line {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl WindowUDFImpl for Line {
    fn name(&self) -> &str {
        "interpolate_linear"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let of = |index: usize| args.input_fields().get(index).map_or(Type::Varchar, |f| Type::of(f));
        Ok(Box::new(Filling { value: of(0), key: of(1) }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let of = |index: usize| args.get_input_field(index).map_or(Type::Varchar, |f| Type::of(&f));
        if !of(0).is_numeric() {
            return plan_err!("`INTERPOLATE_LINEAR` takes a number, not a value of type {}", of(0));
        }
        if !of(1).is_numeric() && !of(1).is_dated() {
            return plan_err!("`INTERPOLATE_LINEAR` is ordered by a number, a date or a timestamp, not by a value of type {}", of(1));
        }
        Ok(of(0).field(args.name()))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Filling {
    value: Type,
    key: Type,
}

impl PartitionEvaluator for Filling {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [values, keys] = values else { return plan_err!("`INTERPOLATE_LINEAR` takes a value and a key") };
        if values.data_type() == &DataType::Null {
            return Ok(new_null_array(&self.value.arrow(), rows));
        }
        let numbers = convert(values, self.value, Type::Float, Failure::Error)?;
        let keys = numbers_of(keys, self.key)?;
        let filled = Float64Array::from(fill(numbers.as_primitive::<Float64Type>(), keys.as_primitive::<Float64Type>()));
        let filled = convert(&(Arc::new(filled) as ArrayRef), Type::Float, self.value, Failure::Error)?;
        // what was known stays to its last digit
        let known = datafusion::arrow::compute::is_not_null(values)?;
        datafusion::arrow::compute::kernels::zip::zip(&known, values, &filled).map_err(Into::into)
    }
}

/// Keys as numbers that keep their distances.
fn numbers_of(keys: &ArrayRef, of: Type) -> Result<ArrayRef> {
    let plain = match of {
        Type::Date => cast(keys, &DataType::Int32)?,
        Type::TimestampNtz | Type::TimestampLtz => cast(keys, &DataType::Int64)?,
        Type::TimestampTz => cast(&convert(keys, of, Type::TimestampLtz, Failure::Error)?, &DataType::Int64)?,
        _ => convert(keys, of, Type::Float, Failure::Error)?,
    };
    Ok(cast(&plain, &DataType::Float64)?)
}

/// Gaps with a known value on both sides.
fn fill(values: &Float64Array, keys: &Float64Array) -> Vec<Option<f64>> {
    let known: Vec<usize> = (0..values.len()).filter(|i| values.is_valid(*i) && keys.is_valid(*i)).collect();
    let mut filled: Vec<Option<f64>> = values.iter().collect();
    for pair in known.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (from, to) = (keys.value(a), keys.value(b));
        for (i, slot) in filled.iter_mut().enumerate().take(b).skip(a + 1) {
            if slot.is_none() && keys.is_valid(i) {
                let share = if to == from { 0.0 } else { (keys.value(i) - from) / (to - from) };
                *slot = Some(values.value(a) + (values.value(b) - values.value(a)) * share);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_between_known_values_only() {
        for (values, keys, wanted) in [
            (vec![Some(1.0), None, Some(3.0)], vec![0.0, 1.0, 2.0], vec![Some(1.0), Some(2.0), Some(3.0)]),
            (vec![None, Some(1.0), None], vec![0.0, 1.0, 2.0], vec![None, Some(1.0), None]),
            (vec![Some(0.0), None, None, Some(10.0)], vec![0.0, 1.0, 5.0, 10.0], vec![Some(0.0), Some(1.0), Some(5.0), Some(10.0)]),
            (vec![Some(4.0), None, Some(0.0)], vec![9.0, 8.0, 5.0], vec![Some(4.0), Some(3.0), Some(0.0)]),
            (vec![None, None], vec![0.0, 1.0], vec![None, None]),
        ] {
            assert_eq!(fill(&Float64Array::from(values.clone()), &Float64Array::from(keys)), wanted, "{values:?}");
        }
    }
}
