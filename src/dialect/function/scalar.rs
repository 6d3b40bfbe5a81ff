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

use crate::dialect::{settings::Settings, types::Type};

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    Between(usize, usize),
    AtLeast(usize),
}

/// What the planner knows of one call: types of the arguments and those that are literals.
pub struct CallTypes<'a> {
    pub name: &'static str,
    pub types: Vec<Type>,
    pub arrows: Vec<DataType>,
    literals: &'a [Option<&'a ScalarValue>],
}

impl CallTypes<'_> {
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

/// [`Function`] for DataFusion.
pub(super) struct Implementation {
    function: &'static Function,
    signature: Signature,
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
        Self { function, signature }
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
        let count = args.arg_fields.len();
        let shown = self.function.name.trim_start_matches('_').to_uppercase();
        let wanted = match self.function.arity {
            Arity::Exactly(n) if n != count => format!("{n}"),
            Arity::Between(a, b) if !(a..=b).contains(&count) => format!("{a} to {b}"),
            Arity::AtLeast(n) if count < n => format!("at least {n}"),
            _ => String::new(),
        };
        if !wanted.is_empty() {
            return plan_err!("`{shown}` takes {wanted} arguments, {count} were given");
        }
        (self.function.result)(&CallTypes {
            name: self.function.name,
            types: args.arg_fields.iter().map(|f| Type::of(f)).collect(),
            arrows: args.arg_fields.iter().map(|f| f.data_type().clone()).collect(),
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
        })?;
        if all_scalar { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        use datafusion::logical_expr::ExprSchemable;
        let Some(native) = self.function.native else { return Ok(ExprSimplifyResult::Original(args)) };
        let types = args.iter().map(|a| a.to_field(info.schema().as_ref()).map(|(_, f)| Type::of(&f))).collect::<Result<Vec<_>>>();
        let Ok(types) = types else { return Ok(ExprSimplifyResult::Original(args)) };
        Ok(match native(&args, &types) {
            Some(expr) => ExprSimplifyResult::Simplified(expr),
            None => ExprSimplifyResult::Original(args),
        })
    }
}

/// An untyped NULL column has no validity bits; a text column of NULLs has.
fn typed_nulls(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Null => datafusion::arrow::array::new_null_array(&DataType::Utf8, array.len()),
        _ => array,
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
