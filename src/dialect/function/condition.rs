//! Truth: what CASE does not express.

use std::sync::Arc;

use datafusion::arrow::array::BooleanArray;

use super::{
    json::boolean,
    scalar::{Arity, Function},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("boolxor", Arity::Exactly(2), boolean, |r| {
        let (a, b) = (r.booleans(0)?, r.booleans(1)?);
        Ok(Arc::new(a.iter().zip(b.iter()).map(|(a, b)| a.zip(b).map(|(a, b)| a != b)).collect::<BooleanArray>()))
    }),
    // TRUE or NULL: what COUNT(t.*) counts
    Function::new("__all_present", Arity::AtLeast(1), boolean, |r| {
        Ok(Arc::new((0..r.rows).map(|i| (!r.any_null(i)).then_some(true)).collect::<BooleanArray>()))
    }),
];
