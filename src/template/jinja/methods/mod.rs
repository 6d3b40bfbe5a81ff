//! Python's methods of built-in types.

mod collections;
mod strings;

use super::{arguments::Args, fault::Eval, machine::Machine, value::Value};

pub(super) use collections::sort_by_key;
pub(in crate::template) use strings::{capitalize, title, trim};

const STRING: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const LIST: &[&str] = &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const TUPLE: &[&str] = &["count", "index"];
const DICT: &[&str] = &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const SET: &[&str] = &[
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "isdisjoint",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "union",
    "update",
];

pub(super) fn names(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Str(_) => STRING,
        Value::List(_) => LIST,
        Value::Tuple(_) => TUPLE,
        Value::Dict(_) => DICT,
        Value::Set(_) => SET,
        Value::Int(_) | Value::Float(_) => &["is_integer"],
        _ => &[],
    }
}

pub(super) fn exists(value: &Value, name: &str) -> bool {
    names(value).contains(&name)
}

/// `name` exists.
pub(super) fn call(machine: &mut Machine<'_>, value: &Value, name: &str, args: Args) -> Eval<Value> {
    match value {
        Value::Str(s) => strings::call(s, name, args),
        Value::List(items) => collections::list(machine, items, name, args),
        Value::Tuple(items) => collections::sequence(items, name, args),
        Value::Dict(dict) => collections::dict(dict, name, args),
        Value::Set(items) => collections::set(items, name, args),
        Value::Float(f) => Ok(Value::Bool(f.fract() == 0.0)),
        _ => Ok(Value::Bool(true)),
    }
}
