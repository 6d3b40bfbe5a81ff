//! Python literals in text: dbt's native rendering turns what a template printed into a value where it reads as one.

use super::jinja::Value;

/// Numbers, booleans, `None`, lists, tuples and dicts; everything else is not a literal.
pub(super) fn native(text: &str) -> Option<Value> {
    let trimmed = text.trim();
    match trimmed {
        "True" | "true" => return Some(Value::Bool(true)),
        "False" | "false" => return Some(Value::Bool(false)),
        "None" | "none" | "null" => return Some(Value::None),
        _ => {}
    }
    if let Ok(i) = trimmed.parse::<i64>() {
        // `007` is a text: a number would not print the same
        return (i.to_string() == trimmed).then_some(Value::Int(i));
    }
    if trimmed.contains('.')
        && let Ok(f) = trimmed.parse::<f64>()
    {
        return Some(Value::Float(f));
    }
    if trimmed.starts_with(['[', '{']) {
        let json = trimmed.replace('\'', "\"").replace("True", "true").replace("False", "false").replace("None", "null");
        return serde_json::from_str(&json).ok().map(|json| Value::from_json(&json));
    }
    None
}
