//! The field of an expression without its name.
//!
//! DataFusion computes name and type together, and the name of an operator is the text of everything below it: asked at
//! each node of a sum of a thousand terms, that is text by the cube of its length.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::{DFSchema, Result},
    logical_expr::{
        Expr, ExprSchemable, Operator, ReturnFieldArgs,
        expr::Alias,
        type_coercion::{binary::BinaryTypeCoercer, functions::fields_with_udf},
    },
};

fn is_condition(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::And
            | O::Or
            | O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
            | O::LikeMatch
            | O::ILikeMatch
            | O::NotLikeMatch
            | O::NotILikeMatch
    )
}

/// Type and metadata, as `to_field` gives them; the name is not meant for anything.
pub(super) fn field_of(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    match expr {
        Expr::Alias(Alias { expr, metadata: None, .. }) | Expr::Negative(expr) => field_of(expr, schema),
        Expr::BinaryExpr(b) if is_condition(b.op) => Ok(Arc::new(Field::new("", DataType::Boolean, true))),
        Expr::BinaryExpr(b) => {
            let (left, right) = (field_of(&b.left, schema)?, field_of(&b.right, schema)?);
            let result = BinaryTypeCoercer::new(left.data_type(), &b.op, right.data_type()).get_result_type()?;
            Ok(Arc::new(Field::new("", result, true)))
        }
        Expr::ScalarFunction(f) => {
            let fields = f.args.iter().map(|e| field_of(e, schema)).collect::<Result<Vec<_>>>()?;
            let fields = fields_with_udf(&fields, f.func.as_ref())?;
            let literals: Vec<_> = f
                .args
                .iter()
                .map(|e| match e {
                    Expr::Literal(value, _) => Some(value),
                    _ => None,
                })
                .collect();
            f.func.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals })
        }
        other => other.to_field(schema).map(|(_, field)| field),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn fields_are_those_of_the_slow_way() {
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let schema = DFSchema::try_from(schema).expect("a schema");
        for expr in [col("a"), col("a") + lit(1_i64), (col("a") * lit(2.5)).alias("x"), col("a").eq(lit(1_i64)).and(lit(true)), -col("a")] {
            let (_, slow) = expr.to_field(&schema).expect("typed");
            assert_eq!(field_of(&expr, &schema).expect("typed").data_type(), slow.data_type(), "{expr}");
        }
    }
}
