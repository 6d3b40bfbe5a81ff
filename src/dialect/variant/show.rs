//! A value for people: plain JSON, and the text of a VARIANT cast to VARCHAR.

use std::borrow::Cow;

use super::{Tag, scan};
use crate::dialect::function::value::float_text;

/// Plain JSON, as Snowflake prints it: `1.912000000000000e+02`, dates as strings.
pub fn show(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(b) = bytes.get(at) {
        let start = at;
        let replacement = match b {
            b'"' => {
                at += 1;
                while let Some(b) = bytes.get(at) {
                    match b {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
                at = (at + 1).min(bytes.len());
                text.get(start..at).and_then(shown_string)
            }
            b'-' | b'0'..=b'9' => {
                while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
                    at += 1;
                }
                text.get(start..at).filter(|n| n.contains(['e', 'E'])).and_then(|n| n.parse().ok()).map(shown_double)
            }
            _ => {
                at += 1;
                None
            }
        };
        if let Some(replacement) = replacement {
            out.push_str(text.get(copied..start).unwrap_or_default());
            out.push_str(&replacement);
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

fn shown_string(text: &str) -> Option<String> {
    let (tag, content) = super::tagged(text)?;
    Some(match tag {
        Tag::Text => {
            let mut out = String::from("\"");
            out.push_str(content);
            out.push('"');
            out
        }
        other => format!("\"{}\"", content_of(other, content)),
    })
}

/// Fifteen decimals and a signed exponent of two digits.
fn shown_double(v: f64) -> String {
    let text = format!("{v:.15e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// In the default output formats: times to seconds, timestamps to milliseconds.
fn content_of(tag: Tag, content: &str) -> String {
    match tag {
        Tag::Time => content.get(..8).unwrap_or(content).to_owned(),
        Tag::TimestampNtz | Tag::TimestampLtz | Tag::TimestampTz => {
            let (clock, zone) = match content.get(19..).and_then(|rest| rest.find(' ')) {
                Some(space) => content.split_at(19 + space),
                None => (content, ""),
            };
            let (seconds, fraction) = clock.split_at_checked(19).unwrap_or((clock, ""));
            let digits: String = fraction.trim_start_matches('.').chars().chain("000".chars()).take(3).collect();
            format!("{seconds}.{digits}{zone}")
        }
        _ => content.to_owned(),
    }
}

/// The text of a VARIANT cast to VARCHAR: strings without quotes, JSON null as NULL.
pub fn varchar(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first() {
        Some(b'"') => Some(match super::tagged(text) {
            None => scan::unquote(text),
            Some((Tag::Text, _)) => scan::string_of(text)?,
            Some((tag, content)) => Cow::Owned(content_of(tag, content)),
        }),
        Some(b'n') if text == "null" => None,
        Some(b'-' | b'0'..=b'9') if text.contains(['e', 'E']) => {
            Some(text.parse().map_or(Cow::Borrowed(text), |v| Cow::Owned(float_text(v))))
        }
        _ => Some(show(text)),
    }
}

/// What a cast to a type other than VARCHAR reads: like [`varchar`] with all digits kept, booleans as numbers where
/// numbers are wanted.
pub fn cast_text(text: &str, to_number: bool) -> Option<Cow<'_, str>> {
    match (text, super::tagged(text)) {
        ("true", _) if to_number => Some(Cow::Borrowed("1")),
        ("false", _) if to_number => Some(Cow::Borrowed("0")),
        (_, Some((tag, content))) if tag != Tag::Text => Some(Cow::Borrowed(content)),
        _ if super::kind(text) == super::Kind::Double => Some(Cow::Borrowed(text)),
        _ => varchar(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_show_as_plain_json() {
        let date = Tag::Date.text("2024-01-31");
        let stamp = Tag::TimestampNtz.text("1999-01-01 00:00:00");
        let zoned = Tag::TimestampTz.text("2020-02-24 15:00:00.1234 +0100");
        let marked = scan::quote("\u{1}x");
        for (text, json, plain) in [
            ("1.912e2", "1.912000000000000e+02", Some("191.2")),
            ("{\"e\":true,\"n\":-5e-1}", "{\"e\":true,\"n\":-5.000000000000000e-01}", Some("{\"e\":true,\"n\":-5.000000000000000e-01}")),
            ("null", "null", None),
            ("\"a\\\"b\"", "\"a\\\"b\"", Some("a\"b")),
            ("12.5", "12.5", Some("12.5")),
            (date.as_str(), "\"2024-01-31\"", Some("2024-01-31")),
            (stamp.as_str(), "\"1999-01-01 00:00:00.000\"", Some("1999-01-01 00:00:00.000")),
            (zoned.as_str(), "\"2020-02-24 15:00:00.123 +0100\"", Some("2020-02-24 15:00:00.123 +0100")),
            (marked.as_str(), "\"\\u0001x\"", Some("\u{1}x")),
        ] {
            assert_eq!(show(text), json);
            assert_eq!(varchar(text).as_deref(), plain);
        }
        assert_eq!(show(&format!("[{date},1]")), "[\"2024-01-31\",1]");
    }
}
