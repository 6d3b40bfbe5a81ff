//! Text to statements, with sqlparser's Snowflake dialect.

use std::ops::Range;

use sqlparser::{
    ast::Statement,
    dialect::SnowflakeDialect,
    parser::{Parser, ParserError, ParserOptions},
    tokenizer::{Token, Tokenizer, Whitespace},
};

use super::{
    error::{SqlError, byte_offset},
    indirection::{self, Variable},
    literal, script, spelling, structured,
};

/// Deep enough for generated SQL, shallow enough for the stack.
const RECURSION_LIMIT: usize = 120;

/// Parses exactly one statement (a semicolon at its end is fine).
pub fn parse_statement(sql: &str) -> Result<Statement, SqlError> {
    let mut statements = parse_script(sql)?;
    match statements.len() {
        1 => Ok(statements.remove(0)),
        0 => Err(SqlError::new("sql/empty", "there is no statement")),
        n => Err(SqlError::new("sql/several-statements", format!("one statement was expected, {n} were given"))),
    }
}

/// Parses one expression.
pub fn parse_expression(sql: &str) -> Result<sqlparser::ast::Expr, SqlError> {
    let mut p = parser(sql)?;
    let parsed = p.parse_expr().and_then(|e| p.expect_token(&Token::EOF).map(|_| e));
    parsed.map_err(|e| syntax_error(sql, &e))
}

/// Parses a type.
pub fn parse_type(sql: &str) -> Result<sqlparser::ast::DataType, SqlError> {
    let mut p = parser(sql)?;
    let parsed = p.parse_data_type().and_then(|t| p.expect_token(&Token::EOF).map(|_| t));
    parsed.map_err(|_| SqlError::new("sql/type", format!("there is no type `{sql}`")))
}

/// A parser as all statements are read with, over the tokens of a text.
pub(super) fn parser(sql: &str) -> Result<Parser<'static>, SqlError> {
    parser_with(sql, &|_| None)
}

/// The same where the session has variables, which may hold names.
pub(super) fn parser_with(sql: &str, variable: Variable<'_>) -> Result<Parser<'static>, SqlError> {
    let options = ParserOptions::new().with_trailing_commas(true);
    // escapes are Snowflake's, not sqlparser's
    let mut tokens = Tokenizer::new(&SnowflakeDialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|e| syntax_error(sql, &ParserError::TokenizerError(e.to_string())))?;
    tokens = indirection::rewrite(sql, tokens, variable)?;
    tokens = spelling::rewrite(tokens);
    for token in &mut tokens {
        if let Token::SingleQuotedString(text) = &mut token.token {
            *text = literal::unescape(text);
        }
    }
    Ok(Parser::new(&SnowflakeDialect)
        .with_options(options)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(structured::rewrite(tokens)))
}

fn parse_script(sql: &str) -> Result<Vec<Statement>, SqlError> {
    parser(sql)?.parse_statements().map_err(|e| syntax_error(sql, &e))
}

pub(super) fn syntax_error(sql: &str, error: &ParserError) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => return SqlError::new("sql/too-deep", "the statement is nested too deeply"),
    };
    // sqlparser ends its messages with "at Line: 1, Column: 8"
    let (message, place) = match text.rfind(" at Line: ") {
        Some(cut) => {
            let numbers: Vec<u64> = text[cut..].split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            (text[..cut].to_owned(), numbers.first().copied().zip(numbers.get(1).copied()))
        }
        None => (text, None),
    };
    let mut fault = SqlError::new("sql/syntax", format!("SQL syntax: {}", lower_first(&message)));
    if let Some(start) = place.and_then(|(line, column)| byte_offset(sql, line, column)) {
        let word = sql[start..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(sql.len() - start);
        fault.at = Some(start..start + word.max(1).min(sql.len() - start));
    } else {
        fault.at = Some(sql.len()..sql.len());
    }
    fault
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Statement ends of a script: strings, quoted identifiers, `$$` bodies and comments are not looked into.
/// Pieces without anything but white space and comments are left out. A block of Snowflake Scripting is one statement.
pub fn split(script: &str) -> Vec<Range<usize>> {
    let Ok(tokens) = Tokenizer::new(&SnowflakeDialect, script).tokenize_with_location() else {
        return std::iter::once(0..script.len()).collect();
    };
    let mut pieces = vec![];
    let mut offsets = LineOffsets::new(script);
    let (mut start, mut seen) = (None, false);
    let mut end = 0;
    let mut block_end = 0;
    for token in &tokens {
        let at = offsets.of(token.span.start.line, token.span.start.column);
        if at < block_end {
            end = offsets.of(token.span.end.line, token.span.end.column);
            continue;
        }
        if let Token::Word(word) = &token.token
            && !seen
            && ["BEGIN", "DECLARE"].iter().any(|w| word.value.eq_ignore_ascii_case(w))
            && let Some(length) = script::block_length(&script[at..])
        {
            block_end = at + length;
        }
        match &token.token {
            Token::SemiColon => {
                if seen {
                    pieces.push(start.unwrap_or(at)..at);
                }
                (start, seen) = (None, false);
            }
            Token::EOF | Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab) => {}
            other => {
                start.get_or_insert(at);
                seen |= !matches!(other, Token::Whitespace(_));
                end = offsets.of(token.span.end.line, token.span.end.column);
            }
        }
    }
    if seen {
        pieces.push(start.unwrap_or(0)..end.max(start.unwrap_or(0)).min(script.len()));
    }
    pieces
}

pub(super) struct LineOffsets<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineOffsets<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, starts: std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect() }
    }

    pub(super) fn of(&mut self, line: u64, column: u64) -> usize {
        let Some(start) = (line as usize).checked_sub(1).and_then(|l| self.starts.get(l)).copied() else { return self.text.len() };
        let rest = &self.text[start..];
        start + rest.char_indices().nth((column as usize).saturating_sub(1)).map_or(rest.len(), |(i, _)| i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_split_at_statement_ends_only() {
        let script = "select ';' ; -- a;b\n\nselect 2 /* ; */ ;\n;-- end\n create view v as select \"a;\" from t";
        let pieces: Vec<&str> = split(script).into_iter().map(|r| &script[r]).collect();
        assert_eq!(pieces.len(), 3, "{pieces:?}");
        assert_eq!(pieces[0], "select ';' ");
        assert!(pieces[2].ends_with("from t"));
    }

    #[test]
    fn blocks_are_one_statement() {
        let script = "begin; select 1; commit; begin let x := 1; if (x = 1) then return 2; end if; end; declare y int; begin return 3; end;\nselect 4";
        let pieces: Vec<&str> = split(script).into_iter().map(|r| &script[r]).collect();
        assert_eq!(
            pieces,
            [
                "begin",
                "select 1",
                "commit",
                "begin let x := 1; if (x = 1) then return 2; end if; end",
                "declare y int; begin return 3; end",
                "select 4"
            ]
        );
    }

    #[test]
    fn syntax_errors_point_at_the_word() {
        let sql = "select a\nfrom t whre x = 1 y";
        let e = parse_statement(sql).expect_err("wrong");
        assert_eq!(e.code, "sql/syntax");
        assert!(e.at.is_some(), "{e:?}");
    }
}
