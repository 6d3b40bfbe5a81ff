//! FILTER, TRANSFORM and REDUCE: functions that take a lambda expression.
//!
//! The lambda's body is an expression over columns like any other. FILTER and TRANSFORM lay the elements of all arrays
//! of a batch out as one column, with the outer columns repeated beside it, evaluate the body once and put the results
//! together again. REDUCE does so position by position: all first elements, all second ones...
//!
//! The lowering turns typed parameters (`x INT -> ...`) into arguments before the lambda: NULLs of those types.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, UInt64Array},
        compute::{interleave, take, take_arrays},
        datatypes::{DataType, FieldRef},
    },
    common::{DataFusionError, Result, plan_err},
    logical_expr::{
        ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF, HigherOrderUDFImpl,
        LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
    },
};

use super::{
    cast::{Failure, convert},
    json::{ARRAY, VARIANT},
};
use crate::dialect::{
    types::Type,
    variant::{limited, scalar, scan},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verb {
    Filter,
    Transform,
    Reduce,
}

pub(super) fn functions() -> impl Iterator<Item = Arc<HigherOrderUDF>> {
    [Verb::Filter, Verb::Transform, Verb::Reduce].into_iter().map(|verb| {
        Arc::new(HigherOrderUDF::new_from_impl(Implementation {
            verb,
            signature: HigherOrderSignature::variadic_any(Volatility::Immutable),
        }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Implementation {
    verb: Verb,
    signature: HigherOrderSignature,
}

/// The arguments by their meaning.
struct Shape<'a> {
    array: &'a FieldRef,
    initial: Option<&'a FieldRef>,
    /// Declared types of the lambda's parameters.
    declared: Vec<Type>,
}

impl Implementation {
    fn shape<'a, L>(&self, fields: &'a [ValueOrLambda<FieldRef, L>]) -> Result<Shape<'a>> {
        let name = self.name().to_uppercase();
        let values = fields.iter().filter_map(|f| match f {
            ValueOrLambda::Value(field) => Some(field),
            ValueOrLambda::Lambda(_) => None,
        });
        let values: Vec<&FieldRef> = values.collect();
        let lambdas = fields.len() - values.len();
        let before = if self.verb == Verb::Reduce { 2 } else { 1 };
        if lambdas != 1 || values.len() < before || !matches!(fields.last(), Some(ValueOrLambda::Lambda(_))) {
            return match self.verb {
                Verb::Reduce => plan_err!("`{name}` takes an array, an initial value and a lambda expression"),
                _ => plan_err!("`{name}` takes an array and a lambda expression"),
            };
        }
        let array = values[0];
        if !matches!(Type::of(array), Type::Semi(_)) && array.data_type() != &DataType::Null {
            return plan_err!("`{name}` takes an array, not a value of type {}", Type::of(array));
        }
        let declared = values[before..].iter().map(|f| Type::of(f)).collect();
        Ok(Shape { array, initial: (before == 2).then(|| values[1]), declared })
    }

    /// The accumulator's type: as declared, or that of the initial value. A number that the body makes a fraction of is
    /// a FLOAT from the start.
    fn accumulator(&self, shape: &Shape, body: Option<Type>) -> Type {
        match (shape.declared.first(), shape.initial, body) {
            (Some(declared), ..) => *declared,
            (None, Some(field), body) => match (Type::of(field), body) {
                (Type::Number { scale: 0, .. }, None | Some(Type::Number { scale: 0, .. })) => Type::INTEGER,
                (Type::Number { .. }, Some(Type::Number { .. } | Type::Float)) => Type::Float,
                (Type::Varchar, Some(body)) if field.data_type() == &DataType::Null => body,
                (of, _) => of,
            },
            (None, None, _) => VARIANT,
        }
    }
}

impl HigherOrderUDFImpl for Implementation {
    fn name(&self) -> &str {
        match self.verb {
            Verb::Filter => "filter",
            Verb::Transform => "transform",
            Verb::Reduce => "reduce",
        }
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(&self, _: usize, fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>]) -> Result<LambdaParametersProgress> {
        let shape = self.shape(fields)?;
        if self.verb != Verb::Reduce {
            let of = shape.declared.first().copied().unwrap_or(VARIANT);
            return Ok(LambdaParametersProgress::Complete(vec![vec![of.field("element")]]));
        }
        let body = fields.iter().find_map(|f| match f {
            ValueOrLambda::Lambda(body) => body.as_ref(),
            ValueOrLambda::Value(_) => None,
        });
        let of = self.accumulator(&shape, body.map(|f| Type::of(f)));
        let element = shape.declared.get(1).copied().unwrap_or(VARIANT);
        let parameters = vec![of.field("accumulator"), element.field("element")];
        Ok(match body {
            // the body tells the type of the next accumulator
            None => LambdaParametersProgress::Partial(vec![Some(parameters)]),
            Some(_) => LambdaParametersProgress::Complete(vec![parameters]),
        })
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let shape = self.shape(args.arg_fields)?;
        let of = match (self.verb, args.arg_fields.last()) {
            (Verb::Reduce, Some(ValueOrLambda::Lambda(body))) => self.accumulator(&shape, Some(Type::of(body))),
            _ => ARRAY,
        };
        Ok(of.field(self.name()))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let shape = self.shape(&args.arg_fields)?;
        let Some(ValueOrLambda::Lambda(lambda)) = args.args.last() else {
            return plan_err!("a lambda expression was expected last");
        };
        let Some(ValueOrLambda::Lambda(body)) = args.arg_fields.last() else {
            return plan_err!("a lambda expression was expected last");
        };
        let body = Type::of(body);
        let value = |index: usize| match args.args.get(index) {
            Some(ValueOrLambda::Value(v)) => v.to_array(args.number_rows),
            _ => plan_err!("a value was expected"),
        };
        let arrays = scalar::texts(&value(0)?, Type::of(shape.array))?;
        let lists = Lists::new(&arrays);
        let result = match self.verb {
            Verb::Reduce => {
                let of = self.accumulator(&shape, Some(body));
                let initial = match shape.initial {
                    Some(field) => convert(&value(1)?, Type::of(field), of, Failure::Error)?,
                    None => return plan_err!("REDUCE needs an initial value"),
                };
                let element = shape.declared.get(1).copied().unwrap_or(VARIANT);
                lists.reduce(lambda, initial, of, element, body)?
            }
            verb => {
                let element = shape.declared.first().copied().unwrap_or(VARIANT);
                let results = lists.evaluate(lambda, element)?;
                let rebuilt = if verb == Verb::Filter {
                    let kept = convert(&results, body, Type::Boolean, Failure::Error)?;
                    let kept = kept.as_boolean();
                    lists.rebuild(|i| (kept.is_valid(i) && kept.value(i)).then(|| lists.items[i]))?
                } else {
                    let texts = scalar::texts(&results, body)?;
                    lists.rebuild(|i| Some(if texts.is_null(i) { "null" } else { texts.value(i) }))?
                };
                Arc::new(rebuilt) as ArrayRef
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// All elements of a batch of arrays.
struct Lists<'a> {
    /// Per row: where its elements are in `items`; `None` for what is not an array.
    spans: Vec<Option<std::ops::Range<usize>>>,
    items: Vec<&'a str>,
}

impl<'a> Lists<'a> {
    fn new(arrays: &'a StringArray) -> Self {
        let mut items = vec![];
        let spans = arrays.iter().map(|text| {
            let start = items.len();
            items.extend(scan::elements(text?)?);
            Some(start..items.len())
        });
        Self { spans: spans.collect(), items }
    }

    /// Elements at these positions as the lambda's parameter. Nulls within an array are NULL.
    fn column(&self, positions: impl Iterator<Item = usize>, of: Type) -> Result<ArrayRef> {
        let texts: StringArray = positions.map(|i| Some(self.items[i]).filter(|t| *t != "null")).collect();
        convert(&(Arc::new(texts) as ArrayRef), VARIANT, of, Failure::Error)
    }

    /// The body's value for each element.
    fn evaluate(&self, lambda: &LambdaArgument, of: Type) -> Result<ArrayRef> {
        let elements = self.column(0..self.items.len(), of)?;
        let rows =
            self.spans.iter().enumerate().flat_map(|(row, span)| std::iter::repeat_n(row as u64, span.as_ref().map_or(0, |s| s.len())));
        let rows: UInt64Array = rows.collect();
        let parameter = || Ok(elements.clone());
        let result = lambda.evaluate(&[&parameter], |captured| Ok(take_arrays(captured, &rows, None)?))?;
        result.into_array(self.items.len())
    }

    fn rebuild<'t>(&self, item: impl Fn(usize) -> Option<&'t str>) -> Result<StringArray> {
        let mut out = StringBuilder::new();
        for span in &self.spans {
            match span {
                Some(span) => out.append_value(limited(scan::array(span.clone().filter_map(&item)))?),
                None => out.append_null(),
            }
        }
        Ok(out.finish())
    }

    fn reduce(&self, lambda: &LambdaArgument, initial: ArrayRef, of: Type, element: Type, body: Type) -> Result<ArrayRef> {
        let longest = self.spans.iter().flatten().map(|s| s.len()).max().unwrap_or(0);
        let mut accumulator = initial;
        for position in 0..longest {
            let active: Vec<(usize, usize)> = self
                .spans
                .iter()
                .enumerate()
                .filter_map(|(row, span)| span.as_ref().filter(|s| position < s.len()).map(|s| (row, s.start + position)))
                .collect();
            let rows: UInt64Array = active.iter().map(|(row, _)| *row as u64).collect();
            let current = take(&accumulator, &rows, None)?;
            let elements = self.column(active.iter().map(|(_, item)| *item), element)?;
            let (first, second) = (|| Ok(current.clone()), || Ok(elements.clone()));
            let next = lambda.evaluate(&[&first, &second], |captured| Ok(take_arrays(captured, &rows, None)?))?;
            let next = convert(&next.into_array(active.len())?, body, of, Failure::Error)?;
            if next.data_type() != accumulator.data_type() {
                return Err(DataFusionError::Internal("an accumulator changed its layout".into()));
            }
            // rows with an element at this position take the new value
            let mut source: Vec<(usize, usize)> = (0..accumulator.len()).map(|row| (0, row)).collect();
            for (i, (row, _)) in active.iter().enumerate() {
                source[*row] = (1, i);
            }
            accumulator = interleave(&[&accumulator, &next], &source)?;
        }
        // a NULL array has no result
        let valid: Vec<(usize, usize)> =
            self.spans.iter().enumerate().map(|(row, span)| if span.is_some() { (0, row) } else { (1, 0) }).collect();
        let null = datafusion::arrow::array::new_null_array(accumulator.data_type(), 1);
        Ok(interleave(&[&accumulator, &null], &valid)?)
    }
}
