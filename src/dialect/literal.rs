//! String literals: escape sequences to the characters that they stand for, and back.
//!
//! sqlparser knows MySQL's escapes; Snowflake has code points (`\\u2744`, `\\x41`, `\\101`) too, and others stand for
//! themselves (Snowflake documentation, "String & binary data types", "Escape sequences").

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
