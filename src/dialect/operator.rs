//! Operators whose answer depends on types that only the planner knows: arithmetic, date arithmetic, concatenation,
//! comparison with semi-structured values.

use datafusion::{
    arrow::datatypes::DataType,
    common::{DFSchema, Result, ScalarValue, plan_err},
    logical_expr::{
        Expr, WindowFunctionDefinition,
        planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr},
    },
    prelude::lit,
};
use sqlparser::ast::BinaryOperator as Op;

use super::{
    field::field_of,
    function::{self, Place, arithmetic::Op as Arithmetic},
    moment,
    retag::told_collation,
    types::Type,
};

/// Snowflake's operators over DataFusion expressions (Snowflake documentation, "Arithmetic operators", "Data type conversion").
#[derive(Debug)]
pub struct SnowflakeOperators;

impl ExprPlanner for SnowflakeOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if matches!(expr.op, Op::And | Op::Or) {
            return Ok(PlannerResult::Original(expr));
        }
        let type_of = |e: &Expr| field_of(e, schema).map(|f| (Type::of(&f), f.data_type().clone()));
        let RawBinaryExpr { op, left: l, right: r } = expr;
        let (op, place) = unplaced(op);
        let ((left, left_arrow), (right, right_arrow)) = match (type_of(&l), type_of(&r)) {
            (Ok(l), Ok(r)) => (l, r),
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r })),
        };
        let is_interval = |t: &DataType| matches!(t, DataType::Interval(_) | DataType::Duration(_));
        if is_interval(&left_arrow) || is_interval(&right_arrow) {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
        }
        if matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
            && let Some(spec) = told_collation(&l, schema).or_else(|| told_collation(&r, schema))
        {
            let key = |e: Expr, of: Type| function::call("__collation_key", vec![text(e, of), lit(spec.clone())]);
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left: key(l, left)?, right: key(r, right)? }));
        }
        let (l, r) = match moment::operator::plan(&op, l, left, r, right)? {
            moment::operator::Plan::Done(expr) => return Ok(PlannerResult::Planned(expr)),
            moment::operator::Plan::Sides(left, right) => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
            moment::operator::Plan::Other(l, r) => (l, r),
        };
        let planned = match (&op, left, right) {
            (Op::BitwiseXor, _, _) => return plan_err!("Snowflake has no operator `^`; use POWER(a, b) or BITXOR(a, b)"),
            (Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo, _, _) => {
                let Some(operation) = arithmetic(&op).filter(|_| counts(left) && counts(right)) else {
                    return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
                };
                let nulls = (left_arrow == DataType::Null, right_arrow == DataType::Null);
                let other = |t: Type, null: bool| if null || !t.is_numeric() { Type::INTEGER } else { t };
                let (l, left) = numeric(l, left, nulls.0, other(right, nulls.1));
                let (r, right) = numeric(r, right, nulls.1, other(left, nulls.0));
                function::arithmetic(operation, l, r, operation.result(left, right), place)?
            }
            (Op::StringConcat, Type::Binary, Type::Binary) => function::call("__concat_binary", vec![l, r])?,
            (Op::StringConcat, l_type, r_type) if l_type != Type::Varchar || r_type != Type::Varchar => {
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: text(l, l_type), right: text(r, r_type) }));
            }
            // by value: 5 and 5.0 are equal, 10 is more than 9
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, Type::Semi(_), Type::Semi(_)) => {
                let (l, r) = (function::call("__variant_key", vec![l])?, function::call("__variant_key", vec![r])?);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
            }
            // a number is true unless it is 0
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, Type::Boolean, r_type) if r_type.is_numeric() => {
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: function::cast(r, Type::Boolean) }));
            }
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, l_type, Type::Boolean) if l_type.is_numeric() => {
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: function::cast(l, Type::Boolean), right: r }));
            }
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, l_type, r_type) if comparable_differently(l_type, r_type) => {
                let (l, r) = align(l, l_type, r, r_type);
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }));
            }
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r })),
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if let Some(placed) = function::aggregate::unmark(&expr.func, &mut expr.args) {
            expr.func = placed;
        }
        Ok(PlannerResult::Original(expr))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if let WindowFunctionDefinition::AggregateUDF(func) = &expr.func_def
            && let Some(placed) = function::aggregate::unmark(func, &mut expr.args)
        {
            expr.func_def = WindowFunctionDefinition::AggregateUDF(placed);
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// An arithmetic operator that knows its place in the statement. sqlparser's syntax tree has no room for one that
/// reaches the planner, but it has operators of any name; the separator is in no operator's name.
pub fn placed(op: &Op, place: Place) -> Option<Op> {
    arithmetic(op)?;
    Some(Op::Custom(format!("{op}\0{}\0{}\0{}", place.range.start, place.range.end, place.excerpt)))
}

/// The operator without its place, for text that is parsed again.
pub fn plain(op: &mut Op) {
    if matches!(op, Op::Custom(_)) {
        *op = unplaced(op.clone()).0;
    }
}

/// The operator that [`placed`] wrapped, and its place.
fn unplaced(op: Op) -> (Op, Option<Place>) {
    let Op::Custom(text) = &op else { return (op, None) };
    let mut parts = text.splitn(4, '\0');
    let (Some(name), Some(Ok(start)), Some(Ok(end)), Some(excerpt)) =
        (parts.next(), parts.next().map(str::parse), parts.next().map(str::parse), parts.next())
    else {
        return (op, None);
    };
    let plain = match name {
        "+" => Op::Plus,
        "-" => Op::Minus,
        "*" => Op::Multiply,
        "/" => Op::Divide,
        "%" => Op::Modulo,
        _ => return (op, None),
    };
    (plain, Some(Place { range: start..end, excerpt: excerpt.to_owned() }))
}

fn arithmetic(op: &Op) -> Option<Arithmetic> {
    Some(match op {
        Op::Plus => Arithmetic::Add,
        Op::Minus => Arithmetic::Subtract,
        Op::Multiply => Arithmetic::Multiply,
        Op::Divide => Arithmetic::Divide,
        Op::Modulo => Arithmetic::Modulo,
        _ => return None,
    })
}

/// What arithmetic takes, if need be after a cast.
fn counts(of: Type) -> bool {
    matches!(of, Type::Number { .. } | Type::Float | Type::Varchar | Type::Semi(_) | Type::Boolean)
}

/// Strings, semi-structured values and booleans where a number is wanted; the type of a literal is as narrow as its digits.
fn numeric(expr: Expr, from: Type, null: bool, other: Type) -> (Expr, Type) {
    match from {
        _ if null => (function::cast(expr, other), other),
        Type::Varchar | Type::Semi(_) if other == Type::Float => (function::cast(expr, Type::Float), Type::Float),
        Type::Varchar | Type::Semi(_) => {
            let to = Type::Number { precision: 38, scale: 5 };
            (function::cast(expr, to), to)
        }
        Type::Boolean => (function::cast(expr, Type::INTEGER), Type::Number { precision: 1, scale: 0 }),
        Type::Number { .. } => {
            let narrow = match &expr {
                Expr::Literal(ScalarValue::Int64(Some(v)), _) => Type::number(v.unsigned_abs().max(1).ilog10() as i32 + 1, 0),
                _ => from,
            };
            (expr, narrow)
        }
        _ => (expr, from),
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
