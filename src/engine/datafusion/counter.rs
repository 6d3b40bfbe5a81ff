//! Numbers that each row gets once: AUTOINCREMENT columns while an INSERT writes, and `sequence.NEXTVAL`.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ::datafusion::{
    arrow::{array::Int64Array, datatypes::DataType},
    common::{DataFusionError, Result},
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use crate::{lake::Lake, names::RelationName};

/// Where the numbers come from.
#[derive(Clone)]
enum Source {
    Memory(Arc<Counter>),
    Sequence(Lake, RelationName),
}

impl Source {
    /// The first of `count` numbers, and the step.
    fn take(&self, count: i64) -> Result<(i64, i64)> {
        match self {
            Self::Memory(counter) => Ok((counter.next.fetch_add(counter.step.wrapping_mul(count), Ordering::SeqCst), counter.step)),
            Self::Sequence(lake, name) => match lake.advance_sequence(name, count) {
                Ok(Some(taken)) => Ok(taken),
                Ok(None) => Err(DataFusionError::Execution(format!("there is no sequence `{name}`"))),
                Err(e) => Err(DataFusionError::External(Box::new(e))),
            },
        }
    }
}

/// The next number of a column while one statement inserts.
pub(super) struct Counter {
    next: AtomicI64,
    step: i64,
}

impl Counter {
    pub(super) fn new(next: i64, step: i64) -> Self {
        Self { next: AtomicI64::new(next), step }
    }

    pub(super) fn next(&self) -> i64 {
        self.next.load(Ordering::SeqCst)
    }

    /// An expression that gives each row the next number.
    pub(super) fn call(self: &Arc<Self>) -> Expr {
        ScalarUDF::new_from_impl(Numbers { source: Source::Memory(self.clone()), signature: signature(), name: "__identity".into() })
            .call(vec![])
    }
}

fn signature() -> Signature {
    Signature::nullary(Volatility::Volatile)
}

/// `NEXTVAL` of a sequence as a function without arguments.
pub(super) fn next_value(lake: &Lake, sequence: &RelationName) -> ScalarUDF {
    let source = Source::Sequence(lake.clone(), sequence.clone());
    ScalarUDF::new_from_impl(Numbers { source, signature: signature(), name: format!("__nextval {sequence}") })
}

struct Numbers {
    source: Source,
    signature: Signature,
    name: String,
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Numbers {}

impl Hash for Numbers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Numbers {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (first, step) = self.source.take(args.number_rows as i64)?;
        let numbers: Int64Array = (0..args.number_rows as i64).map(|i| first.wrapping_add(i.wrapping_mul(step))).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}
