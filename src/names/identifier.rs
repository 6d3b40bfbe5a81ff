//! One part of an object name after Snowflake's folding: unquoted text in upper case, quoted text as written.

use std::fmt;

/// The stored form of an identifier (Snowflake documentation, "Identifier requirements").
///
/// `Display` writes it so that it reads back as itself: bare when it is upper case and needs no quotes,
/// otherwise in double quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(String);

impl Identifier {
    /// From text as a user types it in SQL: `abc` is `ABC`, `"abc"` is `abc`, `"a""b"` is `a"b`.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(inner) => Self(inner.replace("\"\"", "\"")),
            None => Self(text.to_uppercase()),
        }
    }

    /// From the stored form, kept as it is.
    pub fn exact(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it reads back as itself without quotes.
    pub fn is_bare(&self) -> bool {
        let mut chars = self.0.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_uppercase() || c == '_');
        first && chars.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '$')
    }

    /// Look-ups from the command line and YAML ignore case, as in dbt's Snowflake adapter.
    pub fn matches(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_bare() { f.write_str(&self.0) } else { write!(f, "\"{}\"", self.0.replace('"', "\"\"")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_and_quoting_follow_snowflake() {
        for (typed, stored, shown) in [
            ("abc", "ABC", "ABC"),
            ("\"abc\"", "abc", "\"abc\""),
            ("\"A\"\"b\"", "A\"b", "\"A\"\"b\""),
            ("a$1", "A$1", "A$1"),
            ("\"1A\"", "1A", "\"1A\""),
        ] {
            let id = Identifier::parse(typed);
            assert_eq!((id.as_str(), id.to_string().as_str()), (stored, shown));
            assert_eq!(Identifier::parse(&id.to_string()), id);
        }
    }
}
