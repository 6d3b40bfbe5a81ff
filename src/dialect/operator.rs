//! Operators whose answer depends on types that only the planner knows: division, date arithmetic, concatenation,
//! comparison with semi-structured values.

use datafusion::{
    arrow::datatypes::DataType,
    common::{DFSchema, Result, plan_err},
    logical_expr::{
        Expr, ExprSchemable,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    prelude::lit,
};
use sqlparser::ast::BinaryOperator as Op;

use super::{function, types::Type};

/// Snowflake's operators over DataFusion expressions (Snowflake documentation, "Arithmetic operators", "Data type conversion").
#[derive(Debug)]
pub struct SnowflakeOperators;

impl ExprPlanner for SnowflakeOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let type_of = |e: &Expr| e.to_field(schema).map(|(_, f)| (Type::of(&f), f.data_type().clone()));
        let ((left, left_arrow), (right, right_arrow)) = match (type_of(&expr.left), type_of(&expr.right)) {
            (Ok(l), Ok(r)) => (l, r),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let RawBinaryExpr { op, left: l, right: r } = expr;
        let number = |t: Type| matches!(t, Type::Number { .. } | Type::Float);
        let is_interval = |t: &DataType| matches!(t, DataType::Interval(_) | DataType::Duration(_));
        if is_interval(&left_arrow) || is_interval(&right_arrow) {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
        }
        let planned = match (&op, left, right) {
            (Op::BitwiseXor, _, _) => return plan_err!("Snowflake has no operator `^`; use POWER(a, b) or BITXOR(a, b)"),
            (Op::Divide, _, _) if left_arrow != DataType::Null || right_arrow != DataType::Null => {
                function::call("div", vec![numeric(l, left), numeric(r, right)])?
            }
            (Op::Plus, Type::Date, Type::Number { .. }) => function::call("dateadd", vec![lit("day"), r, l])?,
            (Op::Plus, Type::Number { .. }, Type::Date) => function::call("dateadd", vec![lit("day"), l, r])?,
            (Op::Minus, Type::Date, Type::Number { .. }) => function::call("dateadd", vec![lit("day"), Expr::Negative(Box::new(r)), l])?,
            (Op::Minus, Type::Date, Type::Date) => function::call("datediff", vec![lit("day"), r, l])?,
            (Op::Plus | Op::Minus | Op::Multiply | Op::Modulo, l_type, r_type) if !number(l_type) || !number(r_type) => {
                let (l, r) = (numeric(l, l_type), numeric(r, r_type));
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
            }
            (Op::StringConcat, l_type, r_type) if l_type != Type::Varchar || r_type != Type::Varchar => {
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: text(l, l_type), right: text(r, r_type) }));
            }
            // by value: 5 and 5.0 are equal, 10 is more than 9
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, Type::Semi(_), Type::Semi(_)) => {
                let (l, r) = (function::call("__variant_key", vec![l])?, function::call("__variant_key", vec![r])?);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
            }
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, l_type, r_type) if comparable_differently(l_type, r_type) => {
                let (l, r) = align(l, l_type, r, r_type);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
            }
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r })),
        };
        Ok(PlannerResult::Planned(planned))
    }
}

/// Strings, semi-structured values and booleans where a number is wanted.
fn numeric(expr: Expr, from: Type) -> Expr {
    match from {
        Type::Varchar | Type::Semi(_) => function::cast(expr, Type::Number { precision: 38, scale: 5 }),
        Type::Boolean => function::cast(expr, Type::INTEGER),
        _ => expr,
    }
}

fn text(expr: Expr, from: Type) -> Expr {
    if from == Type::Varchar { expr } else { function::cast(expr, Type::Varchar) }
}

fn comparable_differently(left: Type, right: Type) -> bool {
    matches!((left, right), (Type::Semi(_), other) | (other, Type::Semi(_)) if !matches!(other, Type::Semi(_)))
        || matches!((left, right), (Type::Varchar, other) | (other, Type::Varchar) if other != Type::Varchar)
}

/// The side that is text or semi-structured takes the other side's type.
fn align(l: Expr, l_type: Type, r: Expr, r_type: Type) -> (Expr, Expr) {
    let widen = |t: Type| match t {
        Type::Number { .. } => Type::Number { precision: 38, scale: 9 },
        t => t,
    };
    let is_null = |e: &Expr| matches!(e, Expr::Literal(v, _) if v.is_null());
    if is_null(&l) || is_null(&r) {
        return (l, r);
    }
    match (l_type, r_type) {
        (Type::Semi(_), other) => (function::cast(l, widen(other)), r),
        (other, Type::Semi(_)) => (l, function::cast(r, widen(other))),
        (Type::Varchar, other) => (function::cast(l, widen(other)), r),
        (other, Type::Varchar) => (l, function::cast(r, widen(other))),
        _ => (l, r),
    }
}
