//! Where a key of a JSON object, or an element of its list, stands in the text.
//!
//! Only for text that has parsed: the scan trusts the syntax.

use std::ops::Range;

/// The value of the top-level `key`, or the element `index` of that list; the start of the text when it is not there.
pub(super) fn find(text: &str, key: &str, index: Option<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut i, mut element) = (0usize, 0, 0usize);
    let mut inside = false; // the wanted list
    let mut element_start = None;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                let end = string_end(bytes, i);
                let is_key = depth == 1 && text[end..].trim_start().starts_with(':');
                if is_key {
                    inside = text.get(i + 1..end - 1) == Some(key);
                    if inside && index.is_none() {
                        return i..end;
                    }
                }
                i = end;
                continue;
            }
            b'{' | b'[' => {
                if inside && depth == 2 {
                    element_start = Some(i);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if inside && depth == 2 {
                    if Some(element) == index {
                        return element_start.unwrap_or(i)..i + 1;
                    }
                    element += 1;
                }
                if depth <= 1 {
                    inside = false;
                }
            }
            _ => {}
        }
        i += 1;
    }
    0..0
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn finds_keys_and_elements() {
        let text = r#"{"a": {"list": [1]}, "x\"": "list", "list": [{"p": 1}, {"p": [2]}], "b": 3}"#;
        for (key, index, expect) in
            [("list", Some(0), r#"{"p": 1}"#), ("list", Some(1), r#"{"p": [2]}"#), ("b", None, r#""b""#), ("none", None, "")]
        {
            assert_eq!(&text[find(text, key, index)], expect);
        }
    }
}
