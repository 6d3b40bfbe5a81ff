//! `warn_if` and `error_if`: `!= 0`, `> 10`, `between 1 and 5`, or any SQL that follows a number.

/// A condition on the number of failures. What is not one of the simple forms goes to the engine as SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Compare(Comparison, f64),
    Between(f64, f64),
    /// Put behind the failure calculation in the counting query.
    Sql(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    pub fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        Self::simple(trimmed).unwrap_or_else(|| Self::Sql(trimmed.to_owned()))
    }

    fn simple(text: &str) -> Option<Self> {
        use Comparison as C;
        // two-character operators first: `>` is a prefix of `>=`
        let operators = [
            ("!=", C::NotEqual),
            ("<>", C::NotEqual),
            (">=", C::GreaterOrEqual),
            ("<=", C::LessOrEqual),
            ("==", C::Equal),
            (">", C::Greater),
            ("<", C::Less),
            ("=", C::Equal),
        ];
        for (sign, comparison) in operators {
            if let Some(rest) = text.strip_prefix(sign) {
                return rest.trim().parse().ok().map(|n| Self::Compare(comparison, n));
            }
        }
        let lower = text.to_lowercase();
        let (low, high) = lower.strip_prefix("between")?.split_once(" and ")?;
        Some(Self::Between(low.trim().parse().ok()?, high.trim().parse().ok()?))
    }

    /// `None` when only the engine can tell.
    pub fn holds(&self, failures: f64) -> Option<bool> {
        use Comparison as C;
        match self {
            Self::Compare(C::Equal, n) => Some(failures == *n),
            Self::Compare(C::NotEqual, n) => Some(failures != *n),
            Self::Compare(C::Less, n) => Some(failures < *n),
            Self::Compare(C::LessOrEqual, n) => Some(failures <= *n),
            Self::Compare(C::Greater, n) => Some(failures > *n),
            Self::Compare(C::GreaterOrEqual, n) => Some(failures >= *n),
            Self::Between(low, high) => Some(failures >= *low && failures <= *high),
            Self::Sql(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, failures, holds) in [
            ("!= 0", 0.0, Some(false)),
            ("!=0", 3.0, Some(true)),
            ("<> 2", 2.0, Some(false)),
            (">10", 10.0, Some(false)),
            ("> 10", 11.0, Some(true)),
            (">= 10", 10.0, Some(true)),
            ("<= 0.5", 0.4, Some(true)),
            ("< 1", 1.0, Some(false)),
            ("= 5", 5.0, Some(true)),
            ("between 1 and 5", 5.0, Some(true)),
            ("BETWEEN 1 AND 5", 6.0, Some(false)),
            ("in (1, 2)", 1.0, None),
            ("> (select 1)", 1.0, None),
        ] {
            assert_eq!(Condition::parse(text).holds(failures), holds, "{text} on {failures}");
        }
    }
}
