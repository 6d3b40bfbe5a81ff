//! `modules.datetime`, `modules.re`, `modules.itertools`, `modules.pytz`: what dbt lets templates use of Python's library.

mod datetime;
mod iteration;
mod regular;

pub(super) use datetime::{aware, date, datetime};

use super::jinja::{Args, Eval, Machine, Value};

/// Modules inside modules, e.g. `modules.datetime.date`.
pub(super) fn attribute(module: &'static str, name: &str) -> Option<Value> {
    Some(match (module, name) {
        ("modules", "datetime") => Value::Module("datetime"),
        ("modules", "re") => Value::Module("re"),
        ("modules", "itertools") => Value::Module("itertools"),
        ("modules", "pytz") => Value::Module("pytz"),
        ("datetime", "datetime") => Value::Module("datetime.datetime"),
        ("datetime", "date") => Value::Module("datetime.date"),
        ("datetime", "timezone") => Value::Module("datetime.timezone"),
        ("datetime.timezone" | "pytz", "utc" | "UTC") => datetime::zone("UTC")?,
        ("re", "IGNORECASE" | "I") => Value::Int(2),
        ("re", "MULTILINE" | "M") => Value::Int(8),
        ("re", "DOTALL" | "S") => Value::Int(16),
        _ => return None,
    })
}

/// `None` when the module has no such function.
pub(super) fn call(machine: &mut Machine<'_>, module: &'static str, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    match module {
        "datetime" | "datetime.datetime" | "datetime.date" | "pytz" => datetime::call(module, name, args),
        "re" => regular::call(machine, name, args),
        "itertools" => iteration::call(machine, name, args),
        _ => Ok(None),
    }
}
