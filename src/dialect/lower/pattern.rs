//! LIKE, ILIKE and RLIKE: lists of patterns, escape characters, subjects that are not text.
//!
//! A literal pattern without an escape character stays a LIKE of DataFusion's, which prunes files by it. DataFusion's
//! escape character is always the backslash, Snowflake's is none unless ESCAPE names one: patterns where that matters go
//! to a function of our own.

use sqlparser::ast::{BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value, ValueWithSpan};

use super::expression::{cast, function, string};
use crate::dialect::types::Type;

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// `x LIKE ANY (a, b)` to `x LIKE a OR x LIKE b`, ALL to AND. Before the patterns are lowered.
pub(super) fn spread(expr: &mut Expr) {
    let (Expr::Like { negated, any, expr: subject, pattern, escape_char }
    | Expr::ILike { negated, any, expr: subject, pattern, escape_char }) = &*expr
    else {
        return;
    };
    let ignore_case = matches!(expr, Expr::ILike { .. });
    let (patterns, joined) = match pattern.as_ref() {
        Expr::Tuple(patterns) if *any => (patterns.clone(), BinaryOperator::Or),
        Expr::Nested(pattern) if *any => (vec![pattern.as_ref().clone()], BinaryOperator::Or),
        _ if *any => (vec![pattern.as_ref().clone()], BinaryOperator::Or),
        Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("all") => match &f.args {
            FunctionArguments::List(list) => {
                let pattern = |a: &FunctionArg| match a {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                    _ => None,
                };
                (list.args.iter().filter_map(pattern).collect(), BinaryOperator::And)
            }
            _ => return,
        },
        _ => return,
    };
    let one = |pattern: Expr| {
        let (negated, any, expr, pattern, escape_char) = (false, false, subject.clone(), Box::new(pattern), escape_char.clone());
        if ignore_case {
            Expr::ILike { negated, any, expr, pattern, escape_char }
        } else {
            Expr::Like { negated, any, expr, pattern, escape_char }
        }
    };
    let all = patterns.into_iter().map(one).reduce(|a, b| Expr::BinaryOp { left: Box::new(a), op: joined.clone(), right: Box::new(b) });
    if let Some(all) = all {
        *expr = negation(Expr::Nested(Box::new(all)), *negated);
    }
}

fn negation(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}

/// A single pattern, after its parts were lowered.
pub(super) fn plain(expr: &mut Expr) {
    let ignore_case = matches!(expr, Expr::ILike { .. });
    match expr {
        Expr::RLike { negated, expr: subject, pattern, .. } => {
            let call = function("regexp_like", vec![take(subject), take(pattern)]);
            *expr = negation(call, *negated);
        }
        Expr::Like { negated, expr: subject, pattern, escape_char, .. }
        | Expr::ILike { negated, expr: subject, pattern, escape_char, .. } => {
            if escape_char.is_none() && is_simple(pattern) {
                **subject = as_text(take(subject));
                return;
            }
            let mut args = vec![take(subject), take(pattern), string(if ignore_case { "i" } else { "" })];
            if let Some(ValueWithSpan { value, .. }) = escape_char {
                args.push(Expr::Value(value.clone().into()));
            }
            *expr = negation(function("__like_regexp", args), *negated);
        }
        _ => {}
    }
}

/// A literal in which no backslash stands.
fn is_simple(pattern: &Expr) -> bool {
    match pattern {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(text) => !text.contains('\\'),
            Value::Null => true,
            _ => false,
        },
        _ => false,
    }
}

fn as_text(expr: Expr) -> Expr {
    match &expr {
        Expr::Function(f) if f.name.to_string() == "__cast" => expr,
        _ => cast(expr, Type::Varchar, false),
    }
}
