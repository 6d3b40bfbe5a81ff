//! String literals: escape sequences to the characters that they stand for, and back.
//!
//! sqlparser knows MySQL's escapes; Snowflake has code points (`\\u2744`, `\\x41`, `\\101`) too, and others stand for
//! themselves (Snowflake documentation, "String & binary data types", "Escape sequences").

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Value, ValueWithSpan, VisitMut, VisitorMut};

use super::structured::TYPE_NAME;

/// Makes a tree one whose text is read back as the same tree: literals get the escapes that the parser took off.
/// A tree so changed is for printing only.
pub fn printable<T: VisitMut>(node: &mut T) {
    struct Escaping;
    impl VisitorMut for Escaping {
        type Break = ();

        fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            if let Value::SingleQuotedString(text) = &mut value.value
                && text.contains(['\\', '\''])
            {
                *text = text.replace('\\', "\\\\").replace('\'', "\\'");
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { data_type: DataType::Custom(name, modifiers), .. } = expr
                && name.to_string() == TYPE_NAME
            {
                modifiers.iter_mut().filter(|m| !m.starts_with('\'')).for_each(|m| *m = format!("'{m}'"));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = node.visit(&mut Escaping);
}

/// The text of a tree, which is read back as the same tree.
pub fn print<T: VisitMut + Clone + std::fmt::Display>(node: &T) -> String {
    let mut node = node.clone();
    printable(&mut node);
    node.to_string()
}

/// The text of a literal between its quotes.
pub fn unescape(raw: &str) -> String {
    if !raw.contains(['\\', '\'']) {
        return raw.to_owned();
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => {
                // a quote is written twice
                rest = rest.strip_prefix('\'').unwrap_or(rest);
                out.push('\'');
            }
            '\\' => {
                let Some(next) = rest.chars().next() else { break };
                let (character, length) = escaped(next, rest);
                out.push(character);
                rest = &rest[length..];
            }
            c => out.push(c),
        }
    }
    out
}

/// The character behind a backslash and the number of bytes that name it.
fn escaped(next: char, rest: &str) -> (char, usize) {
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = rest.get(from..from + count)?;
        let code = digits.bytes().all(|b| char::from(b).is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok())??;
        Some((char::from_u32(code)?, from + count))
    };
    let code_point = match next {
        'u' => digits(1, 4, 16),
        'x' => digits(1, 2, 16),
        '0'..='7' => digits(0, 3, 8),
        _ => None,
    };
    if let Some(found) = code_point {
        return found;
    }
    let character = match next {
        '0' => '\0',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    };
    (character, next.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::parse;

    #[test]
    fn printed_text_is_read_back_as_the_same() {
        for sql in [
            r"x = 'a\\b'",
            r"x = 'it''s'",
            r"x = 'it''''s'",
            r"x = 'a\nb\\'",
            r"f('\\''', $$it's \ $$)",
            "x::ARRAY(INT)",
            r"x like 'a\\_b' escape '\\'",
        ] {
            let expr = parse::parse_expression(sql).expect(sql);
            let text = print(&expr);
            assert_eq!(parse::parse_expression(&text).expect(&text), expr, "{sql} as {text}");
        }
    }

    #[test]
    fn escapes() {
        for (raw, text) in [
            ("plain", "plain"),
            ("it''s", "it's"),
            (r"it\'s", "it's"),
            (r"a\\b", r"a\b"),
            (r"\u2744\x41\101\n\0", "\u{2744}AA\n\0"),
            (r"\%\_\d\/", "%_d/"),
            (r"\ué", "ué"),
        ] {
            assert_eq!(unescape(raw), text, "{raw}");
        }
    }
}
