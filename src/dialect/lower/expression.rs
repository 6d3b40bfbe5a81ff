//! Expressions: identifiers, casts, path access, literals of semi-structured values, session variables.

use sqlparser::{
    ast::{
        AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DictionaryField, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArgumentList, FunctionArguments, Ident, JsonPathElem, ObjectName, OneOrManyWithParens, Subscript, TrimWhereField,
        UnaryOperator, Value,
    },
    tokenizer::Span,
};

use super::{LowerContext, call, identifier::fold, moment, pattern};
use crate::dialect::{SqlError, structured, types::Type};

/// Before the children are visited: what must not be folded or what replaces the whole expression.
pub(super) fn before(expr: &mut Expr, context: &LowerContext) -> Result<(), SqlError> {
    tighten(expr);
    match expr {
        Expr::Value(value) => {
            if let Value::Placeholder(name) = &value.value
                && let Some(variable) = name.strip_prefix('$')
            {
                if variable.chars().all(|c| c.is_ascii_digit()) {
                    // a column by its position: the columns decide
                    return Ok(());
                }
                match context.variables.get(&variable.to_uppercase()) {
                    Some(v) => *expr = v.clone(),
                    None => {
                        return Err(SqlError::new("sql/unknown-variable", format!("session variable `{name}` is not set"))
                            .help(format!("set it first: SET {variable} = ...")));
                    }
                }
            }
            Ok(())
        }
        Expr::Extract { field, expr: inner, .. } => {
            let part = moment::field_name(field);
            let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            *expr = function("date_part", vec![string(part), inner]);
            Ok(())
        }
        Expr::JsonAccess { value, path } => {
            let mut value = std::mem::replace(value.as_mut(), Expr::Value(Value::Null.into()));
            // steps that are known go into one path, which is read once; others are looked up by value
            let mut text = String::new();
            for element in std::mem::take(&mut path.path) {
                let key = match element {
                    JsonPathElem::Dot { key, .. } => {
                        text.push_str(&format!("[{}]", serde_json::Value::from(key.as_str())));
                        continue;
                    }
                    JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => key,
                };
                match &key {
                    Expr::Value(v) => match &v.value {
                        Value::Number(n, _) => text.push_str(&format!("[{n}]")),
                        Value::SingleQuotedString(s) => text.push_str(&format!("[{}]", serde_json::Value::from(s.as_str()))),
                        other => return Err(SqlError::unsupported(format!("`{other}` in a path"))),
                    },
                    _ => {
                        if !text.is_empty() {
                            value = function("__path", vec![value, string(std::mem::take(&mut text))]);
                        }
                        value = function("get", vec![value, key]);
                    }
                }
            }
            *expr = if text.is_empty() { value } else { function("__path", vec![value, string(text)]) };
            Ok(())
        }
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                // a key keeps its case; a column would be folded
                if let AccessExpr::Dot(e) = access
                    && let Expr::Identifier(ident) = e
                {
                    *e = string(ident.value.clone());
                }
            }
            Ok(())
        }
        Expr::Like { .. } | Expr::ILike { .. } => {
            pattern::spread(expr);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `a IS DISTINCT FROM b OR c` is read by the parser as though the right side were `b OR c`: AND and OR bind less tightly.
fn tighten(expr: &mut Expr) {
    let right = match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => right,
        _ => return,
    };
    let is_loose = |e: &Expr| matches!(e, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. });
    if !is_loose(right) {
        return;
    }
    let mut whole = take(right);
    // the leftmost operand is the comparison's; the comparison takes its place
    let mut leftmost = &mut whole;
    while is_loose(leftmost) {
        let Expr::BinaryOp { left, .. } = leftmost else { return };
        leftmost = left;
    }
    **right = take(leftmost);
    *leftmost = take(expr);
    *expr = whole;
}

/// After the children were lowered.
pub(super) fn after(expr: &mut Expr, context: &LowerContext) -> Result<(), SqlError> {
    match expr {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(fold),
        Expr::Cast { kind, expr: inner, data_type, .. } => {
            let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            *expr = match structure_of(data_type) {
                Some(text) => function(if lenient { "__try_structure" } else { "__structure" }, vec![inner, string(text)]),
                None => moment::cast_to(inner, data_type, lenient, &context.settings)?,
            };
        }
        Expr::TypedString(typed) => {
            let text = match &typed.value.value {
                Value::SingleQuotedString(s) => s.clone(),
                other => other.to_string(),
            };
            *expr = moment::cast_to(string(text), &typed.data_type, false, &context.settings)?;
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut value = std::mem::replace(root.as_mut(), Expr::Value(Value::Null.into()));
            for access in std::mem::take(access_chain) {
                let key = match access {
                    AccessExpr::Subscript(Subscript::Index { index }) => index,
                    AccessExpr::Subscript(slice) => {
                        return Err(SqlError::unsupported(format!("the slice `{slice}`")).help("use ARRAY_SLICE"));
                    }
                    AccessExpr::Dot(key @ Expr::Value(_)) => key,
                    AccessExpr::Dot(other) => return Err(SqlError::unsupported(format!("the access `.{other}`"))),
                };
                value = function("get", vec![value, key]);
            }
            *expr = value;
        }
        Expr::Array(array) => *expr = function("array_construct", std::mem::take(&mut array.elem)),
        Expr::Dictionary(fields) => {
            let mut args = vec![];
            for DictionaryField { key, value } in std::mem::take(fields) {
                args.push(string(key.value));
                args.push(*value);
            }
            *expr = function("object_construct", args);
        }
        Expr::Lambda(lambda) => match &mut lambda.params {
            OneOrManyWithParens::One(p) => fold(&mut p.name),
            OneOrManyWithParens::Many(ps) => ps.iter_mut().for_each(|p| fold(&mut p.name)),
        },
        Expr::Function(_) => {
            let Expr::Function(f) = std::mem::replace(expr, Expr::Value(Value::Null.into())) else { return Ok(()) };
            *expr = call::after(f, context)?;
        }
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            for side in [left, right].into_iter().filter(|side| is_countable(side, false)) {
                **side = cast(take(side), Type::Boolean, false);
            }
        }
        Expr::InList { expr: value, list, negated } if matches!(value.as_ref(), Expr::Tuple(_)) => {
            let Some(spelled) = tuple_in(value, list) else { return Ok(()) };
            *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(spelled) } } else { spelled };
        }
        Expr::BinaryOp { left, op, right } => {
            if let Some(moved) = moment::interval(left, op, right)? {
                *expr = moved;
            }
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } if is_part(inner) || is_countable(inner, true) => {
            let value = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            **inner = cast(value, Type::Boolean, false);
        }
        Expr::Like { .. } | Expr::ILike { .. } | Expr::RLike { .. } => pattern::plain(expr),
        Expr::Position { expr: needle, r#in: hay } => {
            *expr = function("__position", vec![take(needle), take(hay)]);
        }
        Expr::Substring { expr: text, substring_from, substring_for, .. } => {
            let from = match substring_from.as_mut() {
                Some(from) => take(from),
                None if substring_for.is_some() => number(1),
                None => return Err(SqlError::new("sql/arguments", "`SUBSTR` takes 2 to 3 arguments, 1 were given")),
            };
            let mut args = vec![take(text), from];
            args.extend(substring_for.as_mut().map(|e| take(e)));
            *expr = function("substr", args);
        }
        Expr::Trim { trim_where, trim_what, expr: text, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "trim",
            };
            let mut args = vec![take(text)];
            args.extend(trim_what.as_mut().map(|e| take(e)));
            args.extend(trim_characters.take().unwrap_or_default());
            *expr = function(name, args);
        }
        Expr::Ceil { field, expr: inner } | Expr::Floor { field, expr: inner } => {
            let scale = match field {
                CeilFloorKind::Scale(scale) => Some(Expr::Value(scale.clone())),
                CeilFloorKind::DateTimeField(_) => None,
            };
            let args = std::iter::once(take(inner)).chain(scale).collect();
            let name = if matches!(expr, Expr::Ceil { .. }) { "ceil" } else { "floor" };
            *expr = function(name, args);
        }
        Expr::Collate { expr: text, collation } => {
            let spec = collation.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.as_str()).collect::<Vec<_>>().join(".");
            *expr = function("collate", vec![take(text), string(spec)]);
        }
        Expr::Between { .. } | Expr::InList { .. } | Expr::Case { operand: Some(_), .. } => collated(expr),
        // integers beyond 64 bits; numbers with an exponent are floats
        Expr::Value(value) => {
            if let Value::Number(digits, _) = &value.value
                && digits.contains(['e', 'E'])
            {
                *expr = cast(string(digits.clone()), Type::Float, false);
            } else if let Value::Number(digits, _) = &value.value
                && digits.len() >= 19
                && digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<i64>().is_err()
            {
                let precision = digits.trim_start_matches('0').len().min(38) as u8;
                *expr = cast(string(digits.clone()), Type::Number { precision: precision.clamp(19, 38), scale: 0 }, false);
            }
        }
        // a signed text is a number
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if matches!(inner.as_ref(), Expr::Value(v) if matches!(v.value, Value::SingleQuotedString(_))) =>
        {
            *expr = function("__negate", vec![cast(take(inner), Type::Number { precision: 38, scale: 5 }, false)]);
        }
        // a literal's sign belongs to the literal
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if !matches!(inner.as_ref(), Expr::Value(_) | Expr::Interval(_)) => {
            let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            *expr = function("__negate", vec![inner]);
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
            *expr = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()))
        }
        _ => {}
    }
    Ok(())
}

/// A number or a text where a truth is wanted (0 is false), or what may be one.
fn is_countable(expr: &Expr, columns: bool) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => columns,
        Expr::Value(v) => matches!(v.value, Value::Number(..) | Value::SingleQuotedString(_)),
        Expr::Nested(inner) => is_countable(inner, columns),
        _ => false,
    }
}

/// `(a, b) IN ((1, 2), (3, NULL))` value by value: a tuple that cannot be told apart makes the answer unknown.
fn tuple_in(value: &Expr, list: &[Expr]) -> Option<Expr> {
    let Expr::Tuple(values) = value else { return None };
    let join =
        |op: BinaryOperator| move |left: Expr, right: Expr| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
    let same = |item: &Expr| {
        let Expr::Tuple(items) = item else { return None };
        let equal = |(a, b): (&Expr, &Expr)| join(BinaryOperator::Eq)(a.clone(), b.clone());
        let all = (items.len() == values.len()).then(|| values.iter().zip(items).map(equal).reduce(join(BinaryOperator::And)))??;
        Some(Expr::Nested(Box::new(all)))
    };
    let any = list.iter().map(same).collect::<Option<Vec<_>>>()?.into_iter().reduce(join(BinaryOperator::Or))?;
    Some(Expr::Nested(Box::new(any)))
}

/// Whether a lowered expression is a part of a semi-structured value.
pub(super) fn is_part(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_part(inner),
        Expr::Function(f) => matches!(f.name.to_string().as_str(), "__path" | "get" | "get_path" | "get_ignore_case" | "parse_json"),
        _ => false,
    }
}

/// Comparisons that hide in BETWEEN, IN and CASE, spelled out where one side is a COLLATE: operators heed collations.
fn collated(expr: &mut Expr) {
    let is_collated = |e: &Expr| matches!(e, Expr::Function(f) if f.name.to_string() == "collate");
    let compare =
        |left: &Expr, op: BinaryOperator, right: &Expr| Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) };
    let join = |left: Expr, op: BinaryOperator, right: Expr| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    let (condition, negated) = match expr {
        Expr::Between { expr: value, negated, low, high } if [&*value, &*low, &*high].into_iter().any(|e| is_collated(e)) => {
            // the collation of a bound counts for the value too
            let (above, below) = (compare(value, BinaryOperator::GtEq, low), compare(value, BinaryOperator::LtEq, high));
            (join(above, BinaryOperator::And, below), *negated)
        }
        Expr::InList { expr: value, list, negated } if is_collated(value) || list.iter().any(is_collated) => {
            let Some(any) = list.iter().map(|item| compare(value, BinaryOperator::Eq, item)).reduce(|a, b| join(a, BinaryOperator::Or, b))
            else {
                return;
            };
            (any, *negated)
        }
        Expr::Case { operand, conditions, .. } => {
            if let Some(value) = operand.as_deref()
                && (is_collated(value) || conditions.iter().any(|c| is_collated(&c.condition)))
            {
                for when in conditions {
                    when.condition = compare(value, BinaryOperator::Eq, &when.condition);
                }
                *operand = None;
            }
            return;
        }
        _ => return,
    };
    let condition = Expr::Nested(Box::new(condition));
    *expr = if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(condition) } } else { condition };
}

/// A text that sorts as its collation wants, where a sort key is a COLLATE.
pub(super) fn sort_key(expr: &mut Expr) {
    if let Expr::Function(f) = expr
        && f.name.to_string() == "collate"
    {
        f.name = ObjectName::from(vec![Ident::new("__collation_key")]);
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// The text of a structured type.
fn structure_of(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Custom(name, modifiers) if name.to_string() == structured::TYPE_NAME => modifiers.first().cloned(),
        _ => None,
    }
}

/// `name(args...)`, the name as the function library registers it.
pub(super) fn function(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

pub(super) fn string(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).with_span(Span::empty()))
}

pub(super) fn number(n: i64) -> Expr {
    Expr::Value(Value::Number(n.to_string(), false).with_span(Span::empty()))
}

pub(super) fn cast(expr: Expr, target: Type, lenient: bool) -> Expr {
    function(if lenient { "__try_cast" } else { "__cast" }, vec![expr, string(target.to_string())])
}
