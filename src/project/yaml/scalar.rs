//! Plain scalars to values by PyYAML's resolver, except sexagesimal numbers and dates, which only surprise.

use serde_json::Number;

use super::Value;

pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => Value::Number(number, text.to_owned()),
        None => Value::String(text.to_owned()),
    }
}

pub(super) fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let clean: String = unsigned.chars().filter(|c| *c != '_').collect();
    let negative = text.starts_with('-');
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(p, r)| Some((clean.strip_prefix(p)?, r)));
    if let Some((digits, radix)) = radix {
        let value = i64::from_str_radix(digits, radix).ok()?;
        return Some(Number::from(if negative { -value } else { value }));
    }
    if clean.bytes().all(|b| b.is_ascii_digit()) {
        // YAML 1.1: a leading zero is octal; what is not octal (08) stays text there
        if clean.len() > 1 && clean.starts_with('0') {
            let value = i64::from_str_radix(&clean, 8).ok()?;
            return Some(Number::from(if negative { -value } else { value }));
        }
        let signed = if negative { format!("-{clean}") } else { clean };
        return signed.parse::<i64>().map(Number::from).or_else(|_| signed.parse::<u64>().map(Number::from)).ok();
    }
    // YAML 1.1 wants a point in a float; `1e3` is text in PyYAML
    let float = clean.contains('.') && clean.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !float {
        return None;
    }
    let value: f64 = clean.parse().ok()?;
    Number::from_f64(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_in_pyyaml() {
        for (text, expect) in [
            ("yes", "true"),
            ("Off", "false"),
            ("~", "null"),
            ("12", "12"),
            ("-1_000", "-1000"),
            ("0x1F", "31"),
            ("010", "8"),
            ("08", "\"08\""),
            ("1.50", "1.5"),
            ("1e3", "\"1e3\""),
            ("1.0.0", "\"1.0.0\""),
            ("2025-02-27", "\"2025-02-27\""),
            ("12:30", "\"12:30\""),
            ("4GB", "\"4GB\""),
            (".", "\".\""),
        ] {
            let yaml = super::super::Yaml { range: 0..0, value: resolve(text) };
            assert_eq!(yaml.to_json().to_string(), expect, "{text}");
        }
    }
}
