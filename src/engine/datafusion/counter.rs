//! Numbers that each row gets once: AUTOINCREMENT columns while an INSERT writes, and `sequence.NEXTVAL`.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ::datafusion::{
    arrow::{
        array::Int64Array,
        datatypes::{DataType, SchemaRef},
    },
    common::{DataFusionError, Result},
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use crate::{
    lake::{ColumnRules, Lake, LakeTable},
    names::RelationName,
};

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
struct Counter {
    next: AtomicI64,
    step: i64,
}

impl Counter {
    fn new(next: i64, step: i64) -> Self {
        Self { next: AtomicI64::new(next), step }
    }

    fn next(&self) -> i64 {
        self.next.load(Ordering::SeqCst)
    }

    /// An expression that gives each row the next number.
    fn call(self: &Arc<Self>) -> Expr {
        ScalarUDF::new_from_impl(Numbers { source: Source::Memory(self.clone()), signature: signature(), name: "__identity".into() })
            .call(vec![])
    }
}

/// The counters of a table's AUTOINCREMENT columns for one statement.
pub(super) struct Counters(Vec<(String, Arc<Counter>)>);

impl Counters {
    pub(super) fn of(table: &LakeTable, schema: &SchemaRef) -> Self {
        let properties = table.properties();
        let counters = schema.fields().iter().filter_map(|f| {
            let identity = ColumnRules::of(f).identity?;
            let next = properties.get(&key(f.name())).and_then(|n| n.parse().ok()).unwrap_or(identity.start);
            Some((f.name().clone(), Arc::new(Counter::new(next, identity.increment))))
        });
        Self(counters.collect())
    }

    /// The next number of a column.
    pub(super) fn call(&self, column: &str) -> Option<Expr> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, counter)| counter.call())
    }

    /// What the table remembers after the statement.
    pub(super) fn properties(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, counter)| (key(name), counter.next().to_string())).collect()
    }
}

/// The table's property with the next number of a column.
fn key(column: &str) -> String {
    format!("segue.identity.{column}")
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
