//! JSON as people write it to canonical text (Snowflake documentation, "PARSE_JSON").
//!
//! Beyond JSON: strings in single quotes, elements and values left out (`[1,,2]`, a comma at the end), `NaN` and
//! infinities. A number in plain notation is kept exactly; one with an exponent, or of more than 38 digits, is DOUBLE.

use super::{Tag, scan};

/// Deeper documents are refused: recursion here and in readers of the text must end.
const DEPTH: usize = 1000;

/// What to do about a key that an object has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    Refuse,
    KeepLast,
}

/// Canonical text; `None` for text of nothing but white space. The message of a fault ends with its position.
pub fn parse(text: &str, duplicates: Duplicates) -> Result<Option<String>, String> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, duplicates };
    reader.space();
    if reader.at == reader.bytes.len() {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    reader.value(&mut out, 0)?;
    reader.space();
    if reader.at < reader.bytes.len() {
        return reader.fail("unexpected characters after the value");
    }
    Ok(Some(out))
}

/// A number's text as a value: fixed-point where it can be.
pub fn number(text: &str) -> Option<String> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let plain = !digits.contains(['e', 'E']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if plain {
        if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.len() + fraction.len() <= 38 {
            let mut out = String::with_capacity(text.len() + 1);
            if negative && !(whole.is_empty() && fraction.is_empty()) {
                out.push('-');
            }
            out.push_str(if whole.is_empty() { "0" } else { whole });
            if !fraction.is_empty() {
                out.push('.');
                out.push_str(fraction);
            }
            return Some(out);
        }
    } else if !digits.as_bytes().first().is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse().ok().map(double)
}

/// A DOUBLE as text.
pub fn double(v: f64) -> String {
    if v.is_finite() { format!("{v:e}") } else { Tag::Float.text(&crate::dialect::function::value::float_text(v)) }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    duplicates: Duplicates,
}

impl Reader<'_> {
    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn fail<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("{message}, pos {}", self.at.min(self.bytes.len()) + 1))
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return self.fail("the document is nested too deeply");
        }
        self.space();
        match self.bytes.get(self.at) {
            None => self.fail("incomplete value"),
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(quote @ (b'"' | b'\'')) => {
                let text = self.string(*quote)?;
                scan::quote_into(&text, out);
                Ok(())
            }
            Some(_) => self.word(out),
        }
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        self.at += 1;
        out.push('[');
        let mut first = true;
        loop {
            self.space();
            match self.bytes.get(self.at) {
                None => return self.fail("incomplete array value"),
                Some(b']') if first => break,
                // an element left out, also behind the last comma
                Some(b']' | b',') => {
                    if !first {
                        out.push(',');
                    }
                    out.push_str("null");
                }
                Some(_) => {
                    if !first {
                        out.push(',');
                    }
                    self.value(out, depth + 1)?;
                }
            }
            first = false;
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                None => return self.fail("incomplete array value"),
                Some(_) => return self.fail("missing comma"),
            }
        }
        self.at += 1;
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        self.at += 1;
        let mut list: Vec<(String, String)> = vec![];
        loop {
            self.space();
            match self.bytes.get(self.at) {
                None => return self.fail("incomplete object value"),
                Some(b'}') => break,
                Some(b',') => {
                    self.at += 1;
                    continue;
                }
                Some(quote @ (b'"' | b'\'')) => {
                    let start = self.at;
                    let key = scan::quote(&self.string(*quote)?);
                    self.space();
                    match self.bytes.get(self.at) {
                        Some(b':') => self.at += 1,
                        None => return self.fail("incomplete object value"),
                        Some(_) => return self.fail("missing colon"),
                    }
                    self.space();
                    let mut value = String::new();
                    if matches!(self.bytes.get(self.at), Some(b'}' | b',')) {
                        return self.fail(&format!("misplaced {}", char::from(self.bytes[self.at])));
                    }
                    self.value(&mut value, depth + 1)?;
                    if self.duplicates == Duplicates::Refuse && list.iter().any(|(k, _)| *k == key) {
                        self.at = start;
                        return self.fail(&format!("duplicate object attribute {key}"));
                    }
                    list.push((key, value));
                    self.space();
                    match self.bytes.get(self.at) {
                        Some(b',') => self.at += 1,
                        Some(b'}') => break,
                        None => return self.fail("incomplete object value"),
                        Some(_) => return self.fail("missing comma"),
                    }
                }
                Some(_) => return self.fail("missing attribute name"),
            }
        }
        self.at += 1;
        let list = scan::sorted(list);
        out.push_str(&scan::object(list.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        let mut plain = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => return self.fail("unfinished string"),
                Some(b) if *b == quote => {
                    out.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    out.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    self.escape(&mut out)?;
                    plain = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Behind the backslash.
    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let Some(b) = self.bytes.get(self.at) else { return self.fail("unfinished string") };
        out.push(match b {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'0' => '\0',
            b'x' => {
                let Some(code) = self.hex(2) else { return self.fail("an escape is not complete") };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                self.at += 3;
                return Ok(());
            }
            b'u' => {
                let Some(mut code) = self.hex(4) else { return self.fail("an escape is not complete") };
                self.at += 5;
                if (0xd800..0xdc00).contains(&code) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
                    self.at += 1;
                    let Some(low) = self.hex(4) else { return self.fail("an escape is not complete") };
                    self.at += 5;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return Ok(());
            }
            _ => {
                // any other character stands for itself
                let Some(c) = self.text.get(self.at..).and_then(|t| t.chars().next()) else {
                    return self.fail("unfinished string");
                };
                out.push(c);
                self.at += c.len_utf8();
                return Ok(());
            }
        });
        self.at += 1;
        Ok(())
    }

    fn hex(&self, digits: usize) -> Option<u32> {
        u32::from_str_radix(self.text.get(self.at + 1..self.at + 1 + digits)?, 16).ok()
    }

    fn word(&mut self, out: &mut String) -> Result<(), String> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_')) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        match word {
            "null" | "undefined" => out.push_str("null"),
            "true" | "false" => out.push_str(word),
            "NaN" => out.push_str(&double(f64::NAN)),
            "Infinity" | "inf" | "+Infinity" => out.push_str(&double(f64::INFINITY)),
            "-Infinity" | "-inf" => out.push_str(&double(f64::NEG_INFINITY)),
            _ => match number(word) {
                Some(text) => out.push_str(&text),
                None => {
                    self.at = start;
                    if word.is_empty() {
                        let found = self.text[start..].chars().next().unwrap_or(' ');
                        return self.fail(&format!("misplaced {found}"));
                    }
                    return self.fail(&format!("unknown keyword \"{word}\""));
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_canonical() {
        for (text, wanted) in [
            (r#" { "x" : "abc", "y" : false, "b": [ 1 , 2.50 ] } "#, r#"{"b":[1,2.5],"x":"abc","y":false}"#),
            ("[-1, 12, 289, 2188, false,]", "[-1,12,289,2188,false,null]"),
            ("1.912e2", "1.912e2"),
            ("100", "100"),
            ("-0.0", "0"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
            ("'it\\'s'", "\"it's\""),
            (r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\""),
            ("[]", "[]"),
            ("{}", "{}"),
            ("[1,,2]", "[1,null,2]"),
        ] {
            assert_eq!(parse(text, Duplicates::Refuse), Ok(Some(wanted.to_owned())), "{text}");
        }
        assert_eq!(parse("  ", Duplicates::Refuse), Ok(None));
    }

    #[test]
    fn faults_have_positions() {
        for (text, wanted) in [
            ("{\"a\":1,\"a\":2}", "duplicate object attribute \"a\", pos 8"),
            ("{\"a\": }", "misplaced }, pos 7"),
            ("{\"a\" 1}", "missing colon, pos 6"),
            ("[1 2]", "missing comma, pos 4"),
            ("{\"a\":1", "incomplete object value, pos 7"),
            ("abc", "unknown keyword \"abc\", pos 1"),
            ("1 2", "unexpected characters after the value, pos 3"),
            ("\"abc", "unfinished string, pos 5"),
        ] {
            assert_eq!(parse(text, Duplicates::Refuse), Err(wanted.to_owned()), "{text}");
        }
        assert!(parse(&"[".repeat(100_000), Duplicates::Refuse).is_err());
        assert_eq!(parse("{\"a\":1,\"a\":2}", Duplicates::KeepLast), Ok(Some("{\"a\":2}".into())));
    }
}
