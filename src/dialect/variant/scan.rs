//! Parts of a value as slices of its text: elements, members, paths.
//!
//! White space between tokens is passed over, so JSON that others wrote is read too. Text that is no JSON ends a walk
//! early; nothing panics.

use std::borrow::Cow;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key { name: String, quoted: String },
    Index(usize),
}

impl Step {
    pub fn key(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::Key { quoted: quote(&name), name }
    }
}

/// A string as JSON text. One that begins with the mark is tagged, so that it stays a string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(text, &mut out);
    out
}

pub fn quote_into(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    if text.starts_with(super::MARK) {
        out.push_str("\\u0001S");
    }
    let mut plain = 0;
    for (i, b) in text.bytes().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.push_str(&text[plain..i]);
        plain = i + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The content of a JSON string, tags left in place.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if inner.contains('\\') { serde_json::from_str::<String>(text).map_or(Cow::Borrowed(inner), Cow::Owned) } else { Cow::Borrowed(inner) }
}

/// The string that a VARCHAR in a value holds; `None` for other kinds.
pub fn string_of(text: &str) -> Option<Cow<'_, str>> {
    match super::tagged(text) {
        None if text.starts_with('"') => Some(unquote(text)),
        Some((super::Tag::Text, _)) => Some(Cow::Owned(unquote(text).chars().skip(2).collect())),
        _ => None,
    }
}

fn space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Behind the string that begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(b) = bytes.get(at) {
        match b {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind the value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            while let Some(b) = bytes.get(at) {
                match b {
                    b'"' => {
                        at = string_end(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            bytes.len()
        }
        _ => {
            while bytes.get(at).is_some_and(|b| !matches!(b, b',' | b']' | b'}') && !b.is_ascii_whitespace()) {
                at += 1;
            }
            at
        }
    }
}

/// The elements of an array; `None` when the value is something else.
pub fn elements(text: &str) -> Option<Elements<'_>> {
    let at = space(text.as_bytes(), 0);
    (text.as_bytes().get(at) == Some(&b'[')).then(|| Elements { text, at: at + 1 })
}

pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let mut start = space(bytes, self.at);
        if bytes.get(start) == Some(&b',') {
            start = space(bytes, start + 1);
        }
        if matches!(bytes.get(start), None | Some(b']')) {
            return None;
        }
        let end = value_end(bytes, start);
        // a stray byte must not stop the walk from moving on
        self.at = end.max(start + 1);
        self.text.get(start..end).filter(|t| !t.is_empty())
    }
}

/// The members of an object, keys as quoted text; `None` when the value is something else.
pub fn members(text: &str) -> Option<Members<'_>> {
    let at = space(text.as_bytes(), 0);
    (text.as_bytes().get(at) == Some(&b'{')).then(|| Members { text, at: at + 1 })
}

pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        let mut start = space(bytes, self.at);
        if bytes.get(start) == Some(&b',') {
            start = space(bytes, start + 1);
        }
        if bytes.get(start) != Some(&b'"') {
            return None;
        }
        let key_end = string_end(bytes, start);
        let colon = space(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let value = space(bytes, colon + 1);
        let end = value_end(bytes, value);
        self.at = end.max(value + 1);
        Some((self.text.get(start..key_end)?, self.text.get(value..end)?))
    }
}

/// The member of an object by its quoted key.
pub fn member<'a>(text: &'a str, quoted: &str) -> Option<&'a str> {
    members(text)?.find(|(k, _)| *k == quoted).map(|(_, v)| v)
}

/// The part that a path leads to.
pub fn find<'a>(mut text: &'a str, steps: &[Step]) -> Option<&'a str> {
    for step in steps {
        text = match step {
            Step::Key { quoted, .. } => member(text, quoted)?,
            Step::Index(i) => elements(text)?.nth(*i)?,
        };
    }
    Some(text)
}

/// `a.b[0]["c d"]`, or the form that the lowering writes: `["a"]["b"][0]`. `None` if it is not a path.
pub fn parse_path(text: &str) -> Option<Vec<Step>> {
    let mut steps = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '.' | ':' => rest = &rest[1..],
            '[' => {
                rest = rest[1..].trim_start();
                if let Some(quote) = rest.chars().next().filter(|q| *q == '"' || *q == '\'') {
                    let bytes = rest.as_bytes();
                    let mut end = 1;
                    while end < bytes.len() && bytes[end] != quote as u8 {
                        end += if bytes[end] == b'\\' { 2 } else { 1 };
                    }
                    let inner = rest.get(1..end)?;
                    let key = if quote == '"' { serde_json::from_str(&format!("\"{inner}\"")).ok()? } else { inner.to_owned() };
                    steps.push(Step::key(key));
                    rest = rest.get(end + 1..)?.trim_start().strip_prefix(']')?;
                } else {
                    let end = rest.find(']')?;
                    steps.push(Step::Index(rest[..end].trim().parse().ok()?));
                    rest = &rest[end + 1..];
                }
            }
            '"' => {
                let end = rest[1..].find('"')? + 1;
                steps.push(Step::key(&rest[1..end]));
                rest = &rest[end + 1..];
            }
            _ => {
                let end = rest.find(['.', '[', ':']).unwrap_or(rest.len());
                steps.push(Step::key(&rest[..end]));
                rest = &rest[end..];
            }
        }
    }
    Some(steps)
}

/// Slices as an array.
pub fn array<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
    out
}

/// Members, keys quoted and sorted already, as an object.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

/// A list of quoted keys and values in the order of an object. Of equal keys the last one counts.
pub fn sorted<K: AsRef<str>, V>(mut list: Vec<(K, V)>) -> Vec<(K, V)> {
    // stable: equal keys stay in their order
    list.sort_by(|(a, _), (b, _)| compare_keys(a.as_ref(), b.as_ref()));
    let mut out: Vec<(K, V)> = Vec::with_capacity(list.len());
    for (key, value) in list {
        match out.last_mut() {
            Some(last) if last.0.as_ref() == key.as_ref() => last.1 = value,
            _ => out.push((key, value)),
        }
    }
    out
}

/// By the characters of the keys, not by their escapes.
pub fn compare_keys(a: &str, b: &str) -> std::cmp::Ordering {
    if a.contains('\\') || b.contains('\\') { unquote(a).cmp(&unquote(b)) } else { a[..a.len() - 1].cmp(&b[..b.len() - 1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (text, wanted) in [
            ("a.b[0]", Some(vec![Step::key("a"), Step::key("b"), Step::Index(0)])),
            ("[\"a b\"][\"c\"]", Some(vec![Step::key("a b"), Step::key("c")])),
            ("['x']", Some(vec![Step::key("x")])),
            ("\"a b\".c", Some(vec![Step::key("a b"), Step::key("c")])),
            ("", Some(vec![])),
            ("a[", None),
            ("a[x]", None),
        ] {
            assert_eq!(parse_path(text), wanted, "{text}");
        }
    }

    #[test]
    fn parts_are_slices() {
        let text = r#"{"a":[1,"x,]",{"b":[]}],"c\"":null}"#;
        let keys: Vec<_> = members(text).expect("an object").collect();
        assert_eq!(keys, [("\"a\"", r#"[1,"x,]",{"b":[]}]"#), ("\"c\\\"\"", "null")]);
        assert_eq!(find(text, &parse_path("a[2].b").expect("a path")), Some("[]"));
        assert_eq!(find(text, &parse_path("a[1]").expect("a path")), Some("\"x,]\""));
        assert_eq!(find(text, &parse_path("a.b").expect("a path")), None);
        assert_eq!(elements(" [ 1 , 2 ] ").expect("an array").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(elements("[]").expect("an array").count(), 0);
        for broken in ["[1,", "[}", "{\"a\"", "{\"a\":", "[\"", "{,}", "[\\"] {
            elements(broken).into_iter().flatten().for_each(drop);
            members(broken).into_iter().flatten().for_each(drop);
        }
    }

    #[test]
    fn strings_come_back() {
        for text in ["", "a\"b\\c", "\u{1}D2024", "line\nbreak\u{7f}아이브"] {
            assert_eq!(string_of(&quote(text)).as_deref(), Some(text));
        }
    }
}
