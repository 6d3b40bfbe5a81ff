//! Python's `str()` and `repr()`.

use std::fmt::Write;

use super::{
    number::print_float,
    value::{MAX_NESTING, Value},
};

/// What `{{ value }}` prints.
pub fn display(value: &Value) -> String {
    match value {
        Value::Str(s) => s.to_string(),
        Value::Undefined(_) => String::new(),
        Value::Object(o) => o.display(),
        other => repr(other),
    }
}

/// What a value looks like inside a list.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, MAX_NESTING);
    out
}

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    let Some(deeper) = depth.checked_sub(1) else {
        out.push_str("...");
        return;
    };
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Float(f) => out.push_str(&print_float(*f)),
        Value::Str(s) => write_quoted(out, s),
        // a structure that is being changed while it is printed cannot happen; one that contains itself ends at the depth
        Value::List(items) => sequence(out, "[", "]", items.borrow().iter(), deeper),
        Value::Tuple(items) => sequence(out, "(", if items.len() == 1 { ",)" } else { ")" }, items.iter(), deeper),
        Value::Set(items) if items.borrow().is_empty() => out.push_str("set()"),
        Value::Set(items) => sequence(out, "{", "}", items.borrow().iter().map(|k| k.value()), deeper),
        Value::Dict(dict) => {
            out.push('{');
            for (i, (k, v)) in dict.borrow().iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, k.value(), deeper);
                out.push_str(": ");
                write_repr(out, v, deeper);
            }
            out.push('}');
        }
        Value::Macro(m) => {
            let _ = write!(out, "<Macro '{}'>", m.def.name);
        }
        Value::Function(name) => {
            let _ = write!(out, "<function {name}>");
        }
        Value::Module(name) => {
            let _ = write!(out, "<module '{name}'>");
        }
        Value::Method(m) => {
            let _ = write!(out, "<method '{}' of '{}' objects>", m.1, m.0.type_name());
        }
        Value::Object(o) => out.push_str(&o.repr()),
    }
}

fn sequence<'a>(out: &mut String, open: &str, close: &str, items: impl Iterator<Item = &'a Value>, depth: usize) {
    out.push_str(open);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, item, depth);
    }
    out.push_str(close);
}

/// Single quotes, unless the text holds some and no double ones.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}
