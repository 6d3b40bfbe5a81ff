//! `value is name(args)`.

use super::{
    arguments::Args,
    ast::Comparison,
    fault::{Eval, Fault},
    functions,
    machine::Machine,
    number, operators,
    value::Value,
};
use crate::names::nearest;

const NAMES: &[&str] = &[
    "defined",
    "undefined",
    "none",
    "boolean",
    "true",
    "false",
    "integer",
    "float",
    "number",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "callable",
    "sameas",
    "odd",
    "even",
    "divisibleby",
    "in",
    "eq",
    "equalto",
    "ne",
    "lt",
    "lessthan",
    "le",
    "gt",
    "greaterthan",
    "ge",
    "lower",
    "upper",
    "startingwith",
    "endingwith",
    "escaped",
    "filter",
    "test",
];

pub(super) fn check(machine: &mut Machine<'_>, name: &str, value: &Value, args: &mut Args) -> Eval<bool> {
    let mut other = || args.single(&format!("is {name}"), "other");
    let order = |machine: &mut Machine<'_>, comparison, other: Eval<Value>| {
        let _ = machine;
        operators::compare(comparison, value, &other?)
    };
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => value.is_none(),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => number::as_float(value).is_some(),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => match value {
            Value::Dict(_) => true,
            Value::Object(o) => o.is_mapping(),
            _ => false,
        },
        "iterable" => value.iterate().is_some(),
        "sequence" => match value {
            Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Undefined(_) => true,
            Value::Object(o) => o.items().is_some(),
            _ => false,
        },
        "callable" => value.is_callable(),
        "escaped" => false,
        "sameas" => functions::same(value, &other()?),
        "odd" | "even" => {
            let Some(i) = number::as_int(value) else {
                return Err(Fault::kind(format!("`is {name}` needs an integer, not `{}`", value.type_name())));
            };
            (i % 2 != 0) == (name == "odd")
        }
        "divisibleby" => match (number::as_int(value), number::as_int(&other()?)) {
            (_, Some(0)) => return Err(Fault::kind("`is divisibleby` zero")),
            (Some(a), Some(b)) => a.checked_rem(b).unwrap_or(0) == 0,
            _ => return Err(Fault::kind("`is divisibleby` needs integers")),
        },
        "in" => operators::contains(&other()?, value)?,
        "eq" | "equalto" | "==" => *value == other()?,
        "ne" | "!=" => *value != other()?,
        "lt" | "lessthan" | "<" => order(machine, Comparison::Lt, other())?,
        "le" | "<=" => order(machine, Comparison::Le, other())?,
        "gt" | "greaterthan" | ">" => order(machine, Comparison::Gt, other())?,
        "ge" | ">=" => order(machine, Comparison::Ge, other())?,
        "lower" => value.as_str().is_some_and(|s| s == s.to_lowercase() && s != s.to_uppercase()),
        "upper" => value.as_str().is_some_and(|s| s == s.to_uppercase() && s != s.to_lowercase()),
        "startingwith" | "endingwith" => {
            let other = other()?;
            match (value.as_str(), other.as_str()) {
                (Some(s), Some(part)) if name == "startingwith" => s.starts_with(part),
                (Some(s), Some(part)) => s.ends_with(part),
                _ => false,
            }
        }
        "filter" => value.as_str().is_some_and(super::filters::exists),
        "test" => value.as_str().is_some_and(|n| NAMES.contains(&n)),
        other => {
            let fault = Fault::new("template/undefined", format!("there is no test `is {other}`"));
            return Err(match nearest(other, NAMES.iter().copied()) {
                Some(known) => fault.help(format!("there is `is {known}`")),
                None => fault,
            });
        }
    })
}
