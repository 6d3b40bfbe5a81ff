//! Aggregates whose answer needs all values of a group: a table entry and its adapter to DataFusion.
//!
//! The values of a group are kept as Arrow arrays, handed on between partitions as lists, and given to the entry's
//! body in one piece: without the rows whose first argument is NULL, without duplicates under DISTINCT, in the order
//! of WITHIN GROUP.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_empty_array},
        compute::{SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices, take},
        datatypes::{DataType, Field, FieldRef},
        row::{RowConverter, SortField},
    },
    common::{Result, ScalarValue, plan_err, utils::SingleRowListArrayBuilder},
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
};

use super::super::scalar::{Arity, CallTypes, Rows, typed_nulls};
use crate::dialect::types::Type;

/// One entry of the table.
pub struct Aggregate {
    pub name: &'static str,
    pub arity: Arity,
    pub result: fn(&CallTypes) -> Result<FieldRef>,
    /// One value of the rows of a group.
    pub body: fn(&Rows) -> Result<ArrayRef>,
    pub nulls: Nulls,
}

/// What becomes of rows whose first argument is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    Skipped,
    Kept,
}

impl Aggregate {
    pub const fn new(
        name: &'static str,
        arity: Arity,
        result: fn(&CallTypes) -> Result<FieldRef>,
        body: fn(&Rows) -> Result<ArrayRef>,
    ) -> Self {
        Self { name, arity, result, body, nulls: Nulls::Skipped }
    }

    pub const fn with_nulls(mut self) -> Self {
        self.nulls = Nulls::Kept;
        self
    }
}

/// [`Aggregate`] for DataFusion.
pub(super) struct Gathered {
    aggregate: &'static Aggregate,
    signature: Signature,
}

impl Gathered {
    pub(super) fn new(aggregate: &'static Aggregate) -> Self {
        Self { aggregate, signature: signature(aggregate.arity) }
    }
}

pub(super) fn signature(arity: Arity) -> Signature {
    match arity {
        Arity::Exactly(n) => Signature::any(n, Volatility::Immutable),
        _ => Signature::variadic_any(Volatility::Immutable),
    }
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathered").field("name", &self.aggregate.name).finish()
    }
}

impl PartialEq for Gathered {
    fn eq(&self, other: &Self) -> bool {
        self.aggregate.name == other.aggregate.name
    }
}

impl Eq for Gathered {}

impl Hash for Gathered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.aggregate.name.hash(state);
    }
}

impl AggregateUDFImpl for Gathered {
    fn name(&self) -> &str {
        self.aggregate.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("`{}` is typed by its fields", self.aggregate.name)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.aggregate.arity.check(self.aggregate.name, fields.len())?;
        (self.aggregate.result)(&CallTypes::of_fields(self.aggregate.name, fields))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut arrows: Vec<DataType> = args.expr_fields.iter().map(|f| f.data_type().clone()).collect();
        for order in args.order_bys {
            arrows.push(order.expr.data_type(args.schema)?);
        }
        Ok(Box::new(Values {
            aggregate: self.aggregate,
            types: args.expr_fields.iter().map(|f| Type::of(f)).collect(),
            chunks: vec![vec![]; arrows.len()],
            arrows,
            order: args.order_bys.iter().map(|o| o.options).collect(),
            distinct: args.is_distinct,
            result: args.return_field,
            gone: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = args.input_fields.iter().chain(args.ordering_fields);
        let list = |(i, f): (usize, &FieldRef)| {
            let list = DataType::List(Arc::new(Field::new_list_field(f.data_type().clone(), true)));
            Arc::new(Field::new(format!("{}[{i}]", args.name), list, true))
        };
        Ok(fields.enumerate().map(list).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        // the values are sorted in any case: an input that is sorted already costs no more
        Ok(Some(self))
    }
}

#[derive(Debug)]
struct Values {
    aggregate: &'static Aggregate,
    types: Vec<Type>,
    /// Of the arguments and of the ordering expressions behind them.
    arrows: Vec<DataType>,
    chunks: Vec<Vec<ArrayRef>>,
    order: Vec<SortOptions>,
    distinct: bool,
    result: FieldRef,
    /// Rows at the front that left the frame of a window.
    gone: usize,
}

impl std::fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Values {
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        self.chunks
            .iter()
            .zip(&self.arrows)
            .map(|(chunks, arrow)| {
                let whole = match chunks.as_slice() {
                    [] => new_empty_array(arrow),
                    [one] => one.clone(),
                    many => concat(&many.iter().map(|a| a.as_ref()).collect::<Vec<_>>())?,
                };
                let gone = self.gone.min(whole.len());
                Ok(whole.slice(gone, whole.len() - gone))
            })
            .collect()
    }

    fn kept(&self, mut columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let pick = |columns: &[ArrayRef], rows: &BooleanArray| columns.iter().map(|c| Ok(filter(c, rows)?)).collect::<Result<Vec<_>>>();
        if self.aggregate.nulls == Nulls::Skipped
            && let Some(first) = columns.first()
            && (first.null_count() > 0 || first.data_type() == &DataType::Null)
        {
            let rows = match first.data_type() {
                DataType::Null => BooleanArray::from(vec![false; first.len()]),
                _ => is_not_null(first)?,
            };
            columns = pick(&columns, &rows)?;
        }
        let arguments = self.types.len();
        if self.distinct && arguments > 0 {
            let converter = RowConverter::new(columns[..arguments].iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
            let rows = converter.convert_columns(&columns[..arguments])?;
            let mut seen = HashSet::with_capacity(rows.num_rows());
            let first_times: BooleanArray = rows.iter().map(|row| Some(seen.insert(row.owned()))).collect();
            columns = pick(&columns, &first_times)?;
        }
        if !self.order.is_empty() {
            let keys: Vec<SortColumn> =
                columns[arguments..].iter().zip(&self.order).map(|(c, o)| SortColumn { values: c.clone(), options: Some(*o) }).collect();
            let order: UInt32Array = lexsort_to_indices(&keys, None)?;
            columns = columns[..arguments].iter().map(|c| Ok(take(c, &order, None)?)).collect::<Result<Vec<_>>>()?;
        }
        columns.truncate(arguments);
        Ok(columns)
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (chunks, array) in self.chunks.iter_mut().zip(values) {
            chunks.push(array.clone());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // frames lose rows in the order in which they got them
        self.gone += values.first().map_or(0, |a| a.len());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns: Vec<ArrayRef> = self.kept(self.columns()?)?.into_iter().map(typed_nulls).collect();
        let rows = columns.first().map_or(0, |c| c.len());
        let result = (self.aggregate.body)(&Rows {
            args: &columns,
            types: &self.types,
            rows,
            result: Type::of(&self.result),
            result_field: &self.result,
            settings: crate::dialect::settings::Settings::defaults(),
        })?;
        ScalarValue::try_from_array(&result, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.columns()?.into_iter().map(|c| SingleRowListArrayBuilder::new(c).with_nullable(true).build_list_scalar()).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (chunks, lists) in self.chunks.iter_mut().zip(states) {
            for list in lists.as_list::<i32>().iter().flatten() {
                chunks.push(list);
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.chunks.iter().flatten().map(|a| a.get_array_memory_size()).sum::<usize>()
    }
}
