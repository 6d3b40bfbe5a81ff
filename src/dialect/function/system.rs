//! What the planner knows of an expression, as text: SYSTEM$TYPEOF (Snowflake documentation).

use std::sync::Arc;

use datafusion::arrow::{array::StringArray, datatypes::DataType};

use super::scalar::{Arity, Function};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "system$typeof",
    Arity::Exactly(1),
    |call| Ok(Type::Varchar.field(call.name)),
    |r| {
        let text = if r.args[0].data_type() == &DataType::Null { "NULL[LOB]".to_owned() } else { shown(r.types[0]) };
        Ok(Arc::new(StringArray::from(vec![text; r.rows])))
    },
)];

/// The type, and how many bytes hold it.
fn shown(of: Type) -> String {
    let physical = match of {
        Type::Number { precision, .. } => match precision {
            0..=2 => "SB1",
            3..=4 => "SB2",
            5..=9 => "SB4",
            10..=18 => "SB8",
            _ => "SB16",
        },
        Type::Float => "DOUBLE",
        Type::Boolean => "SB1",
        Type::Date => "SB4",
        Type::Varchar => return "VARCHAR[LOB]".into(),
        Type::Binary => return "BINARY(8388608)[LOB]".into(),
        Type::Semi(_) => "LOB",
        _ => "SB8",
    };
    format!("{of}[{physical}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_say_how_they_are_held() {
        assert_eq!(shown(Type::Number { precision: 5, scale: 2 }), "NUMBER(5,2)[SB4]");
        assert_eq!(shown(Type::Varchar), "VARCHAR[LOB]");
    }
}
