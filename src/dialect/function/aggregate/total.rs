//! SUM and AVG, in one pass: exact over NUMBER, in 128 bits, so that no sum wraps.
//!
//! A sum has 12 digits more than its values; an average has the scale of a division (Snowflake documentation, "SUM",
//! "AVG"), or three digits more as a window function.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array},
        datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type},
    },
    common::{DataFusionError, Result, ScalarValue, plan_err},
    logical_expr::{
        Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
};

use super::{
    super::{
        arithmetic::{Op, overflow, unscaled},
        cast::{Failure, convert, number_array},
        scalar::{Arity, Place},
        value::normalised,
    },
    gathered::signature,
};
use crate::dialect::{SqlError, error::Evaluation, types::Type};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Sum,
    Average,
    WindowAverage,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Average => "avg",
            Self::WindowAverage => "__avg_over",
        }
    }

    pub(super) fn result(self, of: Type) -> Type {
        let Type::Number { precision, scale } = of else { return Type::Float };
        let (precision, scale) = (i32::from(precision), i32::from(scale));
        match self {
            Self::Sum => Type::number(precision + 12, scale),
            // the sum divided by a count
            Self::Average => Op::Divide.result(Type::number(precision + 12, scale), Type::Number { precision: 18, scale: 0 }),
            Self::WindowAverage => Type::number(38, scale.max((scale + 3).min(12))),
        }
    }
}

pub(super) struct Total {
    kind: Kind,
    signature: Signature,
    place: Option<Place>,
}

impl Total {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, signature: signature(), place: None }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Kind::Sum, Kind::Average, Kind::WindowAverage].into_iter().find(|k| k.name() == name).map(Self::new)
    }

    /// The same, with the place of its call.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl std::fmt::Debug for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Total({:?})", self.kind)
    }
}

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Total {}

impl Hash for Total {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("`{}` is typed by its fields", self.kind.name())
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let name = self.kind.name();
        Arity::Exactly(1).check(name, fields.len())?;
        match Type::of(&fields[0]) {
            of @ (Type::Number { .. } | Type::Float | Type::Varchar | Type::Semi(_)) => Ok(self.kind.result(of).field(name)),
            other => plan_err!("`{}` takes numbers, not {other}", name.trim_start_matches('_').trim_end_matches("_over").to_uppercase()),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let sums = self.sums(&args);
        Ok(Box::new(One { sums, seen: args.is_distinct.then(HashSet::new) }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let of = Type::of(&args.input_fields[0]);
        if args.is_distinct {
            let list = DataType::List(Arc::new(Field::new_list_field(state_type(of), true)));
            return Ok(vec![Arc::new(Field::new(format!("{}[values]", args.name), list, true))]);
        }
        Ok(vec![
            Arc::new(Field::new(format!("{}[sum]", args.name), state_type(of), true)),
            Arc::new(Field::new(format!("{}[count]", args.name), DataType::Int64, true)),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.sums(&args)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

impl Total {
    fn sums(&self, args: &AccumulatorArgs) -> Sums {
        let of = args.expr_fields.first().map_or(Type::Float, |f| Type::of(f));
        let values = if matches!(of, Type::Number { .. }) { Running::Exact(vec![]) } else { Running::Float(vec![]) };
        Sums {
            kind: self.kind,
            of,
            result: Type::of(&args.return_field),
            place: self.place.clone(),
            values,
            counts: vec![],
            all_seen: true,
        }
    }
}

/// How a sum travels between partitions.
fn state_type(of: Type) -> DataType {
    match of {
        Type::Number { scale, .. } => DataType::Decimal128(38, scale),
        _ => DataType::Float64,
    }
}

#[derive(Debug)]
enum Running {
    Exact(Vec<i128>),
    Float(Vec<f64>),
}

/// Sums and counts by group.
#[derive(Debug)]
struct Sums {
    kind: Kind,
    of: Type,
    result: Type,
    place: Option<Place>,
    values: Running,
    counts: Vec<i64>,
    /// Every group had a value so far: of a sum, more of them need not be counted.
    all_seen: bool,
}

/// A batch of arguments or of sums.
enum Batch {
    /// Integers stay as narrow as they are stored: no sum of them fills 128 bits.
    Whole(Int64Array),
    Exact(Decimal128Array),
    Float(Float64Array),
}

impl Batch {
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Whole(a) => a.is_null(row),
            Self::Exact(a) => a.is_null(row),
            Self::Float(a) => a.is_null(row),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(a) => a.len(),
            Self::Exact(a) => a.len(),
            Self::Float(a) => a.len(),
        }
    }
}

impl Sums {
    fn out_of_range(&self) -> DataFusionError {
        let error = overflow(self.result);
        let Some(place) = &self.place else { return error };
        let DataFusionError::External(inner) = &error else { return error };
        match inner.downcast_ref::<SqlError>() {
            Some(fault) => DataFusionError::External(Box::new(Evaluation {
                error: SqlError { at: Some(place.range.clone()), ..fault.clone() },
                excerpt: place.excerpt.clone(),
            })),
            None => error,
        }
    }

    fn batch(&self, values: &ArrayRef) -> Result<Batch> {
        if values.data_type() == &DataType::Null {
            return Ok(match self.values {
                Running::Exact(_) => Batch::Exact(Decimal128Array::from(vec![None; values.len()])),
                Running::Float(_) => Batch::Float(Float64Array::from(vec![None; values.len()])),
            });
        }
        Ok(match self.values {
            Running::Exact(_) if self.of.is_int64() => Batch::Whole(normalised(values, self.of)?.as_primitive::<Int64Type>().clone()),
            Running::Exact(_) => Batch::Exact(unscaled(values, self.of)?.0),
            Running::Float(_) => {
                let floats = convert(values, self.of, Type::Float, Failure::Error)?;
                Batch::Float(floats.as_primitive::<Float64Type>().clone())
            }
        })
    }

    fn merged(&self, sums: &ArrayRef) -> Batch {
        match self.values {
            Running::Exact(_) => Batch::Exact(sums.as_primitive::<Decimal128Type>().clone()),
            Running::Float(_) => Batch::Float(sums.as_primitive::<Float64Type>().clone()),
        }
    }

    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match &mut self.values {
            Running::Exact(v) => v.resize(groups, 0),
            Running::Float(v) => v.resize(groups, 0.0),
        }
    }

    fn add(
        &mut self,
        batch: &Batch,
        groups: impl Iterator<Item = usize>,
        filter: Option<&BooleanArray>,
        counts: Option<&Int64Array>,
    ) -> Result<()> {
        let takes = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        match (&mut self.values, batch) {
            (Running::Exact(sums), Batch::Whole(array)) => {
                let numbers = array.values();
                if filter.is_none() && counts.is_none() && array.null_count() == 0 {
                    for (group, number) in groups.zip(numbers) {
                        sums[group] += i128::from(*number);
                        self.counts[group] += 1;
                    }
                    return Ok(());
                }
                for (row, group) in groups.enumerate() {
                    if array.is_valid(row) && takes(row) {
                        sums[group] += i128::from(numbers[row]);
                        self.counts[group] += counts.map_or(1, |c| c.value(row));
                    }
                }
            }
            (Running::Exact(sums), Batch::Exact(array)) => {
                let whole = filter.is_none() && array.null_count() == 0;
                let numbers = array.values();
                let mut overflowed = false;
                for (row, group) in groups.enumerate() {
                    if whole || (array.is_valid(row) && takes(row)) {
                        match sums[group].checked_add(numbers[row]) {
                            Some(sum) => sums[group] = sum,
                            None => overflowed = true,
                        }
                        self.counts[group] += counts.map_or(1, |c| c.value(row));
                    }
                }
                if overflowed {
                    return Err(self.out_of_range());
                }
            }
            (Running::Float(sums), Batch::Float(array)) => {
                for (row, group) in groups.enumerate() {
                    if array.is_valid(row) && takes(row) {
                        sums[group] += array.value(row);
                        self.counts[group] += counts.map_or(1, |c| c.value(row));
                    }
                }
            }
            _ => return plan_err!("the values of an aggregate changed their type"),
        }
        Ok(())
    }

    /// The results of groups; `None` without values.
    fn results(&self, values: Running, counts: &[i64]) -> Result<ArrayRef> {
        match values {
            Running::Float(sums) => {
                let results =
                    sums.iter().zip(counts).map(|(sum, n)| (*n > 0).then(|| if self.kind == Kind::Sum { *sum } else { *sum / *n as f64 }));
                Ok(Arc::new(results.collect::<Float64Array>()))
            }
            Running::Exact(sums) => {
                let (Type::Number { precision, scale }, Type::Number { scale: from, .. }) = (self.result, self.of) else {
                    return plan_err!("the sum of numbers is a number");
                };
                let results = sums.iter().zip(counts).map(|(sum, n)| match (self.kind, *n) {
                    (_, ..=0) => Ok(None),
                    (Kind::Sum, _) => Ok(Some(*sum)),
                    (_, n) => mean(*sum, i128::from(n), (scale - from).max(0)).map(Some).ok_or_else(|| self.out_of_range()),
                });
                number_array(results.collect::<Result<Vec<_>>>()?, precision, scale, Failure::Error).map_err(|_| self.out_of_range())
            }
        }
    }

    fn take(&mut self, emit: EmitTo) -> (Running, Vec<i64>) {
        let counts = emit.take_needed(&mut self.counts);
        let values = match &mut self.values {
            Running::Exact(v) => Running::Exact(emit.take_needed(v)),
            Running::Float(v) => Running::Float(emit.take_needed(v)),
        };
        (values, counts)
    }

    fn states(&self, values: Running, counts: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let present = |i: usize| counts[i] > 0;
        let sums: ArrayRef = match (values, self.of) {
            (Running::Exact(v), Type::Number { scale, .. }) => {
                let sums: Decimal128Array = v.into_iter().enumerate().map(|(i, v)| present(i).then_some(v)).collect();
                Arc::new(sums.with_precision_and_scale(38, scale)?)
            }
            (Running::Float(v), _) => Arc::new(v.into_iter().enumerate().map(|(i, v)| present(i).then_some(v)).collect::<Float64Array>()),
            _ => return plan_err!("the sum of numbers is a number"),
        };
        Ok(vec![sums, Arc::new(Int64Array::from(counts))])
    }
}

/// `sum / n` with more digits, rounded half away from zero.
fn mean(sum: i128, n: i128, more: i8) -> Option<i128> {
    super::super::arithmetic::quotient(sum, n, more)
}

impl GroupsAccumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let batch = self.batch(&values[0])?;
        if let (Kind::Sum, Running::Exact(sums), Batch::Whole(array), None) = (self.kind, &mut self.values, &batch, filter)
            && self.all_seen
            && array.null_count() == 0
        {
            // a group that is new here has a row here
            self.counts.resize(total, 1);
            sums.resize(total, 0);
            for (group, number) in groups.iter().zip(array.values()) {
                sums[*group] += i128::from(*number);
            }
            return Ok(());
        }
        self.all_seen = false;
        self.grow(total);
        self.add(&batch, groups.iter().copied(), filter, None)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.all_seen = false;
        self.grow(total);
        let batch = self.merged(&values[0]);
        self.add(&batch, groups.iter().copied(), None, Some(values[1].as_primitive::<Int64Type>()))
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (values, counts) = self.take(emit);
        self.results(values, &counts)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, counts) = self.take(emit);
        self.states(values, counts)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let batch = self.batch(&values[0])?;
        let rows = batch.len();
        let mut each = Self {
            values: if matches!(self.values, Running::Exact(_)) { Running::Exact(vec![]) } else { Running::Float(vec![]) },
            counts: vec![],
            place: None,
            ..*self
        };
        each.grow(rows);
        each.add(&batch, 0..rows, filter, None)?;
        let (values, counts) = each.take(EmitTo::All);
        each.states(values, counts)
    }

    fn size(&self) -> usize {
        self.counts.capacity() * 8
            + match &self.values {
                Running::Exact(v) => v.capacity() * 16,
                Running::Float(v) => v.capacity() * 8,
            }
    }
}

/// One group: without GROUP BY, under DISTINCT, and in windows.
#[derive(Debug)]
struct One {
    sums: Sums,
    /// Values under DISTINCT, by their bits.
    seen: Option<HashSet<i128>>,
}

impl One {
    fn key(batch: &Batch, row: usize) -> i128 {
        match batch {
            Batch::Whole(a) => i128::from(a.value(row)),
            Batch::Exact(a) => a.value(row),
            Batch::Float(a) => i128::from((a.value(row) + 0.0).to_bits()),
        }
    }

    fn remember(&mut self, batch: &Batch) {
        if let Some(seen) = &mut self.seen {
            seen.extend((0..batch.len()).filter(|row| !batch.is_null(*row)).map(|row| Self::key(batch, row)));
        }
    }

    /// The distinct values as an array.
    fn distinct(&self) -> Result<Option<ArrayRef>> {
        let Some(seen) = &self.seen else { return Ok(None) };
        // sorted: sums of floats depend on the order
        let mut keys: Vec<i128> = seen.iter().copied().collect();
        keys.sort_unstable();
        Ok(Some(match self.sums.of {
            Type::Number { scale, .. } => Arc::new(Decimal128Array::from(keys).with_precision_and_scale(38, scale)?),
            _ => Arc::new(Float64Array::from_iter_values(keys.into_iter().map(|k| f64::from_bits(k as u64)))),
        }))
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let batch = self.sums.batch(&values[0])?;
        if self.seen.is_some() {
            self.remember(&batch);
            return Ok(());
        }
        self.sums.grow(1);
        self.sums.add(&batch, std::iter::repeat_n(0, batch.len()), None, None)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let batch = self.sums.batch(&values[0])?;
        self.sums.grow(1);
        match (&mut self.sums.values, &batch) {
            (Running::Exact(sums), Batch::Whole(array)) => array.iter().flatten().for_each(|v| sums[0] -= i128::from(v)),
            (Running::Exact(sums), Batch::Exact(array)) => array.iter().flatten().for_each(|v| sums[0] = sums[0].wrapping_sub(v)),
            (Running::Float(sums), Batch::Float(array)) => array.iter().flatten().for_each(|v| sums[0] -= v),
            _ => {}
        }
        self.sums.counts[0] -= (0..batch.len()).filter(|row| !batch.is_null(*row)).count() as i64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        // what is taken off a sum of floats leaves rounding errors behind
        self.seen.is_none() && matches!(self.sums.values, Running::Exact(_))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if let Some(values) = self.distinct()? {
            let mut sums = Sums {
                values: if matches!(self.sums.of, Type::Number { .. }) { Running::Exact(vec![]) } else { Running::Float(vec![]) },
                counts: vec![],
                place: self.sums.place.clone(),
                ..self.sums
            };
            sums.grow(1);
            let batch = sums.merged(&values);
            sums.add(&batch, std::iter::repeat_n(0, batch.len()), None, None)?;
            let (values, counts) = sums.take(EmitTo::All);
            return ScalarValue::try_from_array(&sums.results(values, &counts)?, 0);
        }
        self.sums.grow(1);
        let values = match &self.sums.values {
            Running::Exact(v) => Running::Exact(v.clone()),
            Running::Float(v) => Running::Float(v.clone()),
        };
        ScalarValue::try_from_array(&self.sums.results(values, &self.sums.counts)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if let Some(values) = self.distinct()? {
            return Ok(vec![datafusion::common::utils::SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar()]);
        }
        self.sums.grow(1);
        let (values, counts) = self.sums.take(EmitTo::All);
        self.sums.states(values, counts)?.iter().map(|a| ScalarValue::try_from_array(a, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if self.seen.is_some() {
            for list in states[0].as_list::<i32>().iter().flatten() {
                let batch = self.sums.merged(&list);
                self.remember(&batch);
            }
            return Ok(());
        }
        self.sums.grow(1);
        let batch = self.sums.merged(&states[0]);
        self.sums.add(&batch, std::iter::repeat_n(0, batch.len()), None, Some(states[1].as_primitive::<Int64Type>()))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.seen.as_ref().map_or(0, |s| s.capacity() * 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_types() {
        let number = |p, s| Type::Number { precision: p, scale: s };
        for (kind, of, wanted) in [
            (Kind::Sum, number(10, 2), number(22, 2)),
            (Kind::Sum, number(38, 0), number(38, 0)),
            (Kind::Sum, number(5, 0), number(17, 0)),
            (Kind::Average, number(38, 0), number(38, 6)),
            (Kind::Average, number(10, 5), number(28, 11)),
            (Kind::Average, number(20, 14), number(32, 14)),
            (Kind::WindowAverage, number(38, 0), number(38, 3)),
            (Kind::Average, Type::Float, Type::Float),
            (Kind::Sum, Type::Varchar, Type::Float),
        ] {
            assert_eq!(kind.result(of), wanted, "{kind:?} {of}");
        }
    }
}
