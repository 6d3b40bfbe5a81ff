//! A scalar function as a table entry, and its adapter to DataFusion.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, StringArray},
        compute::cast,
        datatypes::{DataType, FieldRef},
    },
    common::{DataFusionError, Result, ScalarValue, plan_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::dialect::{
    SqlError,
    collation::{self, Collation},
    error::Evaluation,
    settings::Settings,
    types::Type,
};

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    Between(usize, usize),
    AtLeast(usize),
}

impl Arity {
    /// A fault of the user's if `count` arguments are not what the function takes.
    pub fn check(self, name: &str, count: usize) -> Result<()> {
        let wanted = match self {
            Self::Exactly(n) if n != count => format!("{n}"),
            Self::Between(a, b) if !(a..=b).contains(&count) => format!("{a} to {b}"),
            Self::AtLeast(n) if count < n => format!("at least {n}"),
            _ => return Ok(()),
        };
        let plural = if wanted == "1" { "argument" } else { "arguments" };
        let given = if count == 1 { "was" } else { "were" };
        plan_err!("`{}` takes {wanted} {plural}, {count} {given} given", name.trim_start_matches('_').to_uppercase())
    }
}

/// What the planner knows of one call: types of the arguments and those that are literals.
pub struct CallTypes<'a> {
    pub name: &'static str,
    pub types: Vec<Type>,
    pub arrows: Vec<DataType>,
    /// Of the first argument that has one.
    pub collation: Option<String>,
    literals: &'a [Option<&'a ScalarValue>],
}

impl CallTypes<'_> {
    /// Without knowledge of literals.
    pub fn of_fields(name: &'static str, fields: &[FieldRef]) -> Self {
        Self {
            name,
            types: fields.iter().map(|f| Type::of(f)).collect(),
            arrows: fields.iter().map(|f| f.data_type().clone()).collect(),
            collation: fields.iter().find_map(|f| collation::of(f)).map(str::to_owned),
            literals: &[],
        }
    }

    /// The text of a literal argument.
    pub fn text(&self, index: usize) -> Option<String> {
        self.literals.get(index).copied().flatten().and_then(|v| v.try_as_str().flatten().map(str::to_owned))
    }

    pub fn integer(&self, index: usize) -> Option<i64> {
        match self.literals.get(index).copied().flatten()? {
            ScalarValue::Int64(v) => *v,
            ScalarValue::Int32(v) => v.map(i64::from),
            ScalarValue::UInt64(v) => v.map(|v| v as i64),
            _ => None,
        }
    }
}

/// One batch of a call: arguments as arrays of the same length.
pub struct Rows<'a> {
    pub args: &'a [ArrayRef],
    pub types: &'a [Type],
    pub rows: usize,
    pub result: Type,
    pub result_field: &'a FieldRef,
    /// Parameters of the session that runs the call.
    pub settings: &'a Settings,
}

impl Rows<'_> {
    /// An argument as text; numbers and dates in their default formats.
    pub fn text(&self, index: usize) -> Result<StringArray> {
        super::value::to_text_in(&self.args[index], self.types[index], self.settings)
    }

    /// An argument in an Arrow type that it is compatible with.
    pub fn as_arrow(&self, index: usize, to: &DataType) -> Result<ArrayRef> {
        Ok(cast(&self.args[index], to)?)
    }

    pub fn integers(&self, index: usize) -> Result<datafusion::arrow::array::Int64Array> {
        let array = super::cast::convert(&self.args[index], self.types[index], Type::INTEGER, super::cast::Failure::Error)?;
        Ok(array
            .as_any()
            .downcast_ref::<datafusion::arrow::array::Int64Array>()
            .ok_or_else(|| DataFusionError::Internal("an integer array was expected".into()))?
            .clone())
    }
}

/// A call as an expression of DataFusion's own, or `None` where that would answer differently for these types.
type Native = fn(&[Expr], &[Type]) -> Option<Expr>;

/// One entry of the library.
pub struct Function {
    pub name: &'static str,
    pub arity: Arity,
    pub result: fn(&CallTypes) -> Result<FieldRef>,
    pub body: fn(&Rows) -> Result<ArrayRef>,
    /// A call that DataFusion can evaluate natively, given types; keeps its optimisations (pruning, push-down).
    pub native: Option<Native>,
    pub volatile: bool,
}

impl Function {
    pub const fn new(
        name: &'static str,
        arity: Arity,
        result: fn(&CallTypes) -> Result<FieldRef>,
        body: fn(&Rows) -> Result<ArrayRef>,
    ) -> Self {
        Self { name, arity, result, body, native: None, volatile: false }
    }

    pub const fn natively(mut self, native: Native) -> Self {
        self.native = Some(native);
        self
    }

    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }
}

/// Where a call stands in the user's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub range: std::ops::Range<usize>,
    /// The text at that range.
    pub excerpt: String,
}

/// [`Function`] for DataFusion. The place is no part of its identity: `a + b` in SELECT is `a + b` in GROUP BY.
pub(super) struct Implementation {
    function: &'static Function,
    signature: Signature,
    place: Option<Place>,
}

impl Implementation {
    pub(super) fn new(function: &'static Function) -> Self {
        let volatility = if function.volatile { Volatility::Volatile } else { Volatility::Immutable };
        let signature = match function.arity {
            Arity::Exactly(0) => Signature::nullary(volatility),
            Arity::Exactly(n) => Signature::any(n, volatility),
            _ => Signature::variadic_any(volatility),
        };
        // zero arguments are allowed where the arity says so
        let signature = match function.arity {
            Arity::Between(0, n) => {
                let mut options = vec![datafusion::logical_expr::TypeSignature::Nullary];
                options.extend((1..=n).map(datafusion::logical_expr::TypeSignature::Any));
                Signature::one_of(options, volatility)
            }
            Arity::AtLeast(0) => Signature::one_of(
                vec![datafusion::logical_expr::TypeSignature::Nullary, datafusion::logical_expr::TypeSignature::VariadicAny],
                volatility,
            ),
            _ => signature,
        };
        Self { function, signature, place: None }
    }

    pub(super) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// A fault of evaluation at the place of this call.
    fn placed(&self, error: DataFusionError) -> DataFusionError {
        let Some(place) = &self.place else { return error };
        let DataFusionError::External(inner) = &error else { return error };
        match inner.downcast_ref::<SqlError>() {
            Some(fault) if fault.at.is_none() => DataFusionError::External(Box::new(Evaluation {
                error: SqlError { at: Some(place.range.clone()), ..fault.clone() },
                excerpt: place.excerpt.clone(),
            })),
            _ => error,
        }
    }
}

impl std::fmt::Debug for Implementation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Implementation").field("name", &self.function.name).finish()
    }
}

impl PartialEq for Implementation {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Implementation {}

impl Hash for Implementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Implementation {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("`{}` is typed by its fields", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.arity.check(self.function.name, args.arg_fields.len())?;
        (self.function.result)(&CallTypes {
            name: self.function.name,
            types: args.arg_fields.iter().map(|f| Type::of(f)).collect(),
            arrows: args.arg_fields.iter().map(|f| f.data_type().clone()).collect(),
            collation: args.arg_fields.iter().find_map(|f| collation::of(f)).map(str::to_owned),
            literals: args.scalar_arguments,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar =
            !args.args.is_empty() && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) && !self.function.volatile;
        let rows = if all_scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows).map(typed_nulls)).collect::<Result<Vec<_>>>()?;
        let types: Vec<Type> = args.arg_fields.iter().map(|f| Type::of(f)).collect();
        let result = (self.function.body)(&Rows {
            args: &arrays,
            types: &types,
            rows,
            result: Type::of(&args.return_field),
            result_field: &args.return_field,
            settings: Settings::of(&args.config_options),
        })
        .map_err(|e| self.placed(e))?;
        if all_scalar { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        use datafusion::logical_expr::ExprSchemable;
        let Some(native) = self.function.native else { return Ok(ExprSimplifyResult::Original(args)) };
        let fields = args.iter().map(|a| a.to_field(info.schema().as_ref()).map(|(_, f)| f)).collect::<Result<Vec<_>>>();
        let Ok(fields) = fields else { return Ok(ExprSimplifyResult::Original(args)) };
        let types: Vec<Type> = fields.iter().map(|f| Type::of(f)).collect();
        if matches!(self.function.name, "__cast" | "__try_cast")
            && let Some(target) = literal_type(&args[1])
            && target == types[0]
            && target.arrow() == *fields[0].data_type()
        {
            return Ok(ExprSimplifyResult::Simplified(args[0].clone()));
        }
        Ok(match native(&args, &types) {
            Some(expr) => ExprSimplifyResult::Simplified(expr),
            None => ExprSimplifyResult::Original(args),
        })
    }
}

fn literal_type(expr: &Expr) -> Option<Type> {
    let Expr::Literal(value, _) = expr else { return None };
    Type::parse(value.try_as_str().flatten()?).ok()
}

/// An untyped NULL column has no validity bits; a text column of NULLs has.
pub(super) fn typed_nulls(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Null => datafusion::arrow::array::new_null_array(&DataType::Utf8, array.len()),
        _ => array,
    }
}

impl Rows<'_> {
    /// Whether an argument of this row is NULL; most functions are NULL then.
    pub fn any_null(&self, row: usize) -> bool {
        self.args.iter().any(|a| a.is_null(row))
    }

    /// The collation that the result's field carries: of the arguments, where the function heeds it.
    pub fn collation(&self) -> Result<Option<Collation>> {
        collation::of(self.result_field).map(Collation::parse).transpose().map_err(|e| DataFusionError::External(Box::new(e)))
    }

    pub fn booleans(&self, index: usize) -> Result<datafusion::arrow::array::BooleanArray> {
        use datafusion::arrow::array::AsArray;
        let array = super::cast::convert(&self.args[index], self.types[index], Type::Boolean, super::cast::Failure::Error)?;
        Ok(array.as_boolean().clone())
    }
}

/// A body that maps each row to optional text.
pub(super) fn texts(rows: &Rows, f: impl Fn(usize) -> Result<Option<String>>) -> Result<ArrayRef> {
    let values = (0..rows.rows).map(f).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StringArray::from(values)))
}

/// An execution error told to the user as it is.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(message.into()))
}
