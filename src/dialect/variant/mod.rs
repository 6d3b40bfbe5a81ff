//! VARIANT, ARRAY and OBJECT values as text, without a tree in memory.
//!
//! A value is **canonical JSON**: no white space, object keys sorted, fixed-point numbers without superfluous zeros. So
//! equal values are equal texts, and a part of a value is a slice of its text: functions over arrays and objects move
//! slices ([`scan`]), a path is one pass over the text.
//!
//! Snowflake's scalars that JSON does not know are kept within that text, in a form that is never shown:
//!
//! | scalar | text |
//! |---|---|
//! | DOUBLE | a number with an exponent: `1.912e2`, `3e0` |
//! | DATE, TIME, TIMESTAMP_*, BINARY, infinities | a string that begins with U+0001 and the letter of a [`Tag`] |
//! | a VARCHAR that itself begins with U+0001 | the same, with the letter `S` |
//!
//! [`show`] makes plain JSON of it for results, TO_JSON and VARCHAR; the tables keep the tagged text, so a DATE in a
//! VARIANT is a DATE when it is read back. `value::parse` and `value::canonical` carry tags through untouched.
//!
//! An element that is missing (`undefined`) and JSON null are one thing here: `null`.

pub mod order;
pub mod parse;
pub mod scalar;
pub mod scan;
pub mod show;

use datafusion::common::{DataFusionError, Result};

/// Largest value, as in Snowflake: 16 MiB of text.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The character that no tagged string lacks.
pub const MARK: char = '\u{1}';

/// How a marked string begins in JSON text.
pub const MARKED: &str = "\"\\u0001";

/// What follows the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `2024-01-31`
    Date,
    /// `13:30:00.5`
    Time,
    /// `2024-01-31 13:30:00`
    TimestampNtz,
    /// `2024-01-31 13:30:00 -0800`: local time and offset of the session that made it.
    TimestampLtz,
    /// The same, in the value's own offset.
    TimestampTz,
    /// Hexadecimal digits in upper case.
    Binary,
    /// `NaN`, `inf`, `-inf`
    Float,
    /// A plain string that begins with the mark.
    Text,
}

impl Tag {
    const LETTERS: [(u8, Self); 8] = [
        (b'D', Self::Date),
        (b'T', Self::Time),
        (b'N', Self::TimestampNtz),
        (b'L', Self::TimestampLtz),
        (b'Z', Self::TimestampTz),
        (b'B', Self::Binary),
        (b'F', Self::Float),
        (b'S', Self::Text),
    ];

    fn of(letter: u8) -> Option<Self> {
        Self::LETTERS.iter().find(|(l, _)| *l == letter).map(|(_, tag)| *tag)
    }

    fn letter(self) -> char {
        Self::LETTERS.iter().find(|(_, t)| *t == self).map_or('S', |(l, _)| char::from(*l))
    }

    /// The marked string with this content, which needs no escapes.
    pub fn text(self, content: &str) -> String {
        format!("{MARKED}{}{content}\"", self.letter())
    }
}

/// TYPEOF of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Boolean,
    Integer,
    Decimal,
    Double,
    Varchar,
    Date,
    Time,
    TimestampNtz,
    TimestampLtz,
    TimestampTz,
    Binary,
    Array,
    Object,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "NULL_VALUE",
            Self::Boolean => "BOOLEAN",
            Self::Integer => "INTEGER",
            Self::Decimal => "DECIMAL",
            Self::Double => "DOUBLE",
            Self::Varchar => "VARCHAR",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::TimestampNtz => "TIMESTAMP_NTZ",
            Self::TimestampLtz => "TIMESTAMP_LTZ",
            Self::TimestampTz => "TIMESTAMP_TZ",
            Self::Binary => "BINARY",
            Self::Array => "ARRAY",
            Self::Object => "OBJECT",
        }
    }
}

/// The tag and content of a marked string's text.
pub fn tagged(text: &str) -> Option<(Tag, &str)> {
    let rest = text.strip_prefix(MARKED)?;
    let tag = Tag::of(*rest.as_bytes().first()?)?;
    Some((tag, rest.get(1..rest.len().checked_sub(1)?)?))
}

/// What a value is, from its first characters.
pub fn kind(text: &str) -> Kind {
    match text.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'"') => match tagged(text) {
            None | Some((Tag::Text, _)) => Kind::Varchar,
            Some((Tag::Date, _)) => Kind::Date,
            Some((Tag::Time, _)) => Kind::Time,
            Some((Tag::TimestampNtz, _)) => Kind::TimestampNtz,
            Some((Tag::TimestampLtz, _)) => Kind::TimestampLtz,
            Some((Tag::TimestampTz, _)) => Kind::TimestampTz,
            Some((Tag::Binary, _)) => Kind::Binary,
            Some((Tag::Float, _)) => Kind::Double,
        },
        Some(b'-' | b'0'..=b'9') if text.contains(['e', 'E']) => Kind::Double,
        Some(b'-' | b'0'..=b'9') if text.contains('.') => Kind::Decimal,
        Some(b'-' | b'0'..=b'9') => Kind::Integer,
        _ => Kind::Null,
    }
}

/// The value if it is not larger than Snowflake allows.
pub fn limited(text: String) -> Result<String> {
    if text.len() <= MAX_BYTES {
        return Ok(text);
    }
    Err(DataFusionError::Execution(format!("Max LOB size ({MAX_BYTES}) exceeded, actual size of parsed column is {}", text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_seen_in_the_text() {
        for (text, wanted) in [
            ("null", "NULL_VALUE"),
            ("true", "BOOLEAN"),
            ("-17", "INTEGER"),
            ("123.12", "DECIMAL"),
            ("1.912e2", "DOUBLE"),
            ("\"x\"", "VARCHAR"),
            ("\"\"", "VARCHAR"),
            ("[1]", "ARRAY"),
            ("{}", "OBJECT"),
            (&Tag::Date.text("2024-01-31"), "DATE"),
            (&Tag::Binary.text("FF"), "BINARY"),
        ] {
            assert_eq!(kind(text).name(), wanted, "{text}");
        }
        assert_eq!(tagged(&Tag::Time.text("12:00:00")), Some((Tag::Time, "12:00:00")));
    }
}
