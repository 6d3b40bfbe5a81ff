//! A fault in a statement, with its place in the text that was given.

use std::ops::Range;

use sqlparser::{ast::Ident, tokenizer::Span};

/// What is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// `sql/<kebab-case>`
    pub code: &'static str,
    pub message: String,
    pub at: Option<Range<usize>>,
    pub help: Option<String>,
}

impl SqlError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None, help: None }
    }

    /// A construct that the local engine does not run.
    pub fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new("sql/unsupported", format!("the local engine does not support {what}"))
    }

    pub fn at(mut self, sql: &str, span: Span) -> Self {
        if self.at.is_none() {
            self.at = byte_range(sql, span);
        }
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

/// A fault of evaluation with the text of the expression that it came from. The expression may stand in a view's
/// definition: the range is a place in the statement at hand only where the same text stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub error: SqlError,
    pub excerpt: String,
}

impl Evaluation {
    /// The fault, its place left out where `sql` reads differently.
    pub fn in_statement(&self, sql: &str) -> SqlError {
        let mut error = self.error.clone();
        error.at = error.at.filter(|at| sql.get(at.clone()) == Some(self.excerpt.as_str()));
        error
    }
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Evaluation {}

/// Byte range of sqlparser's 1-based lines and columns (in characters); `None` for the empty span.
pub fn byte_range(sql: &str, span: Span) -> Option<Range<usize>> {
    let start = byte_offset(sql, span.start.line, span.start.column)?;
    let end = byte_offset(sql, span.end.line, span.end.column).unwrap_or(start);
    Some(start..end.max(start))
}

/// Byte offset of a 1-based line and column (in characters).
pub fn byte_offset(sql: &str, line: u64, column: u64) -> Option<usize> {
    if line == 0 {
        return None;
    }
    let mut start = 0;
    for _ in 1..line {
        start += sql[start..].find('\n')? + 1;
    }
    let rest = &sql[start..];
    Some(start + rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(i, _)| i))
}

/// Where an identifier stands.
pub fn place_of(ident: &Ident) -> Span {
    ident.span
}
