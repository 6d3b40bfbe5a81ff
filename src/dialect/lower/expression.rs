//! Expressions: identifiers, casts, path access, literals of semi-structured values, session variables.

use sqlparser::{
    ast::{
        AccessExpr, CastKind, DataType, DictionaryField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
        FunctionArguments, Ident, JsonPathElem, ObjectName, OneOrManyWithParens, Subscript, UnaryOperator, Value,
    },
    tokenizer::Span,
};

use super::{LowerContext, call, identifier::fold};
use crate::dialect::{SqlError, structured, types::Type};

/// Before the children are visited: what must not be folded or what replaces the whole expression.
pub(super) fn before(expr: &mut Expr, context: &LowerContext) -> Result<(), SqlError> {
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
            let part = field.to_string().to_lowercase();
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
        _ => Ok(()),
    }
}

/// After the children were lowered.
pub(super) fn after(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(fold),
        Expr::Cast { kind, expr: inner, data_type, .. } => {
            let target = Type::from_sql(data_type)?;
            let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            *expr = match structure_of(data_type) {
                Some(text) => function(if lenient { "__try_structure" } else { "__structure" }, vec![inner, string(text)]),
                None => cast(inner, target, lenient),
            };
        }
        Expr::TypedString(typed) => {
            let target = Type::from_sql(&typed.data_type)?;
            let text = match &typed.value.value {
                Value::SingleQuotedString(s) => s.clone(),
                other => other.to_string(),
            };
            *expr = cast(string(text), target, false);
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
            *expr = call::after(f)?;
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
            *expr = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()))
        }
        _ => {}
    }
    Ok(())
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
