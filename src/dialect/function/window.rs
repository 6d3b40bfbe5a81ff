//! Window functions that DataFusion lacks: numbers of the session that a row belongs to.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array},
        datatypes::{DataType, FieldRef},
        row::{RowConverter, SortField},
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

static LIBRARY: LazyLock<Vec<Arc<WindowUDF>>> =
    LazyLock::new(|| [Kind::Change, Kind::Truth].into_iter().map(|kind| Arc::new(WindowUDF::new_from_impl(Event::new(kind)))).collect());

pub(super) fn all() -> impl Iterator<Item = &'static Arc<WindowUDF>> {
    LIBRARY.iter().chain(std::iter::once(&*super::interpolation::FUNCTION))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// CONDITIONAL_CHANGE_EVENT: one more whenever the value differs from that of the row before.
    Change,
    /// CONDITIONAL_TRUE_EVENT: one more whenever the condition holds.
    Truth,
}

#[derive(Debug)]
struct Event {
    kind: Kind,
    signature: Signature,
}

impl Event {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Event {}

impl Hash for Event {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl WindowUDFImpl for Event {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Change => "conditional_change_event",
            Kind::Truth => "conditional_true_event",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Counter { kind: self.kind, of: args.input_fields().first().map_or(Type::Varchar, |f| Type::of(f)) }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let of = args.get_input_field(0).map(|f| Type::of(&f));
        if self.kind == Kind::Truth && !matches!(of, Some(Type::Boolean | Type::Number { .. } | Type::Float | Type::Varchar)) {
            return plan_err!("`CONDITIONAL_TRUE_EVENT` takes a condition");
        }
        Ok(Type::INTEGER.field(args.name()))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

#[derive(Debug)]
struct Counter {
    kind: Kind,
    of: Type,
}

impl PartitionEvaluator for Counter {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Some(values) = values.first() else { return plan_err!("a condition is missing") };
        let mut count = 0;
        let happens: Vec<bool> = match self.kind {
            Kind::Truth => {
                let truths = convert(values, self.of, Type::Boolean, Failure::Error)?;
                truths.as_boolean().iter().map(|t| t == Some(true)).collect()
            }
            Kind::Change if values.data_type() == &DataType::Null => vec![false; rows],
            Kind::Change => {
                let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
                let keys = converter.convert_columns(std::slice::from_ref(values))?;
                // from NULL to a value, and back, is no change
                (0..rows).map(|i| i > 0 && values.is_valid(i) && values.is_valid(i - 1) && keys.row(i) != keys.row(i - 1)).collect()
            }
        };
        let counts = happens.into_iter().map(|h| {
            count += i64::from(h);
            count
        });
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }
}
