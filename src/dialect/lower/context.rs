//! Context functions as values of the session (Snowflake documentation, "Context functions").
//!
//! What only a hosted account has (its region, its organization) has the one honest value of one machine, or is NULL.

use sqlparser::ast::{Expr, Value};

use super::{
    LowerContext,
    call::Call,
    expression::{cast, number, string},
};
use crate::dialect::{SqlError, types::Type};

fn text(value: Option<impl Into<String>>) -> Expr {
    match value {
        Some(text) => string(text),
        None => cast(Expr::Value(Value::Null.into()), Type::Varchar, false),
    }
}

fn boolean(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

/// The name in a string argument; `None` when it is no literal.
fn literal(c: &Call, index: usize) -> Option<String> {
    match c.args.get(index)? {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => Some(s.clone()),
            Value::Number(n, _) => Some(n.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(v) => match &v.value {
                Value::Number(n, _) => Some(format!("-{n}")),
                _ => None,
            },
            _ => None,
        },
        Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("__negate") => {
            let inner = f.args.to_string();
            let digits: String = inner.chars().filter(char::is_ascii_digit).collect();
            Some(format!("-{digits}"))
        }
        _ => None,
    }
}

fn json_list(names: &[String]) -> String {
    serde_json::Value::from(names.to_vec()).to_string()
}

/// The calls of this family; `None` for those of others.
pub(super) fn rewrite(name: &str, c: &mut Call, context: &LowerContext) -> Result<Option<Expr>, SqlError> {
    let facts = &context.facts;
    let role = || facts.read(|m| m.role.clone());
    let user = || facts.read(|m| m.user.clone()).unwrap_or_else(|| "LOCAL".into());
    let most = match name {
        "last_query_id"
        | "is_role_in_session"
        | "is_database_role_in_session"
        | "is_granted_to_invoker_role"
        | "is_instance_role_in_session"
        | "getvariable"
        | "random"
        | "is_application_role_in_session" => 1,
        _ => 0,
    };
    let value = match name {
        "current_account" | "current_account_name" | "current_region" | "current_organization_name" => {
            // one machine is no account: its own name stands for all of them
            text(Some("LOCAL"))
        }
        "current_organization_user" => text(None::<String>),
        "current_client" => text(Some(concat!("segue ", env!("CARGO_PKG_VERSION")))),
        "current_version" => text(Some(env!("CARGO_PKG_VERSION"))),
        "current_ip_address" => text(Some("127.0.0.1")),
        "current_database" => text(facts.read(|m| m.schema.as_ref().map(|s| s.database.as_str().to_owned()))),
        "current_schema" => text(facts.read(|m| m.schema.as_ref().map(|s| s.schema.as_str().to_owned()))),
        "current_schemas" => {
            let names = facts.read(|m| {
                m.schema.as_ref().map(|s| {
                    let of = |schema: &str| format!("{}.{schema}", s.database.as_str());
                    let mut names = vec![of(s.schema.as_str())];
                    if s.schema.as_str() != "PUBLIC" {
                        names.push(of("PUBLIC"));
                    }
                    names
                })
            });
            text(Some(json_list(&names.unwrap_or_default())))
        }
        "current_user" => text(Some(user())),
        "all_user_names" => text(Some(json_list(&[user()]))),
        "current_role" | "invoker_role" => text(role()),
        "current_role_type" => text(role().map(|_| "ROLE")),
        "current_available_roles" => text(Some(json_list(&role().into_iter().collect::<Vec<_>>()))),
        "current_secondary_roles" => {
            let value = facts.read(|m| m.secondary_roles.clone()).unwrap_or_default();
            text(Some(serde_json::json!({"roles": "", "value": value}).to_string()))
        }
        "invoker_share" => text(None::<String>),
        "is_role_in_session" | "is_granted_to_invoker_role" => {
            c.arity(name, 1..=1)?;
            match literal(c, 0) {
                Some(wanted) => boolean(role().is_some_and(|r| r == wanted)),
                None => return Err(SqlError::unsupported(format!("`{}` of anything but a string", name.to_uppercase()))),
            }
        }
        "is_database_role_in_session" | "is_instance_role_in_session" | "is_application_role_in_session" => {
            c.arity(name, 1..=1)?;
            boolean(false)
        }
        "current_warehouse" => text(facts.read(|m| m.warehouse.clone())),
        "current_session" => text(Some(facts.session.to_string())),
        "current_statement" => text(facts.read(|m| m.statement.clone())),
        "current_transaction" => text(facts.read(|m| m.transaction.clone())),
        "last_transaction" => text(facts.read(|m| m.last_transaction.clone())),
        "last_query_id" => {
            c.arity(name, 0..=1)?;
            let n = if c.args.is_empty() { Some(-1) } else { literal(c, 0).and_then(|n| n.parse::<i64>().ok()) };
            let Some(n) = n else { return Err(SqlError::new("sql/arguments", "`LAST_QUERY_ID` takes a whole number")) };
            // 1 is the session's first statement, -1 the one before this
            text(facts.read(|m| {
                let at = if n < 0 { i64::try_from(m.queries.len()).ok()? + n } else { n - 1 };
                usize::try_from(at).ok().and_then(|at| m.queries.get(at).cloned())
            }))
        }
        "getvariable" => {
            c.arity(name, 1..=1)?;
            let Some(variable) = literal(c, 0) else { return Err(SqlError::unsupported("`GETVARIABLE` of anything but a string")) };
            match context.variables.get(&variable.to_uppercase()) {
                Some(value) => cast(value.clone(), Type::Varchar, false),
                None => text(None::<String>),
            }
        }
        "seq1" | "seq2" | "seq4" | "seq8" => {
            // outside of TABLE(GENERATOR(...)): rows as they come
            c.arity(name, 0..=1)?;
            let sign = if c.args.is_empty() { number(0) } else { c.take(0) };
            return Ok(Some(super::generator::sequence(name, sign, super::generator::row_number())));
        }
        "random" if c.args.len() == 1 => super::expression::function("__seeded", vec![c.take(0), super::generator::row_number()]),
        _ => return Ok(None),
    };
    if c.args.len() > most {
        c.arity(name, 0..=most)?;
    }
    Ok(Some(value))
}
