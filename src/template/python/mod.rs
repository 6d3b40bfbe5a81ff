//! `modules.datetime`, `modules.re`, `modules.itertools`, `modules.pytz`: what dbt lets templates use of Python's library.

mod datetime;
mod iteration;
mod regular;

pub(super) use datetime::{aware, date, datetime};

use std::rc::Rc;

use super::jinja::{Args, Eval, Machine, Value, ast::Name};

/// Functions that may be handed on as values, as `try_or_compiler_error` is given them.
const FUNCTIONS: [(&str, &[&str]); 6] = [
    ("datetime", &["timedelta"]),
    ("datetime.datetime", &["now", "today", "utcnow", "strptime", "fromisoformat", "fromtimestamp", "utcfromtimestamp", "combine"]),
    ("datetime.date", &["today", "fromisoformat"]),
    ("pytz", &["timezone"]),
    ("re", &["match", "search", "fullmatch", "findall", "finditer", "sub", "split", "compile", "escape"]),
    ("itertools", &["chain", "product", "combinations", "permutations", "accumulate", "islice", "repeat", "zip_longest"]),
];

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
        _ => {
            FUNCTIONS.iter().find(|(known, functions)| *known == module && functions.contains(&name))?;
            Value::Method(Rc::new((Value::Module(module), Name::from(name))))
        }
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
