//! Words, names, literals and places, read from sqlparser's tokens.

use std::ops::Range;

use sqlparser::{
    ast::{DataType, Expr, Ident, ObjectName, Query, Statement},
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::super::{SqlError, error::byte_offset, indirection::Variable, parse};

pub(super) struct Grammar<'a> {
    pub sql: &'a str,
    p: Parser<'static>,
}

impl<'a> Grammar<'a> {
    pub fn new(sql: &'a str, variable: Variable<'_>) -> Result<Self, SqlError> {
        Ok(Self { sql, p: parse::parser_with(sql, variable)? })
    }

    /// Exactly one statement of those that sqlparser knows; nothing was consumed yet.
    pub fn statement(&mut self) -> Result<Statement, SqlError> {
        let mut statements = self.p.parse_statements().map_err(|e| parse::syntax_error(self.sql, &e))?;
        match statements.len() {
            1 => Ok(statements.remove(0)),
            0 => Err(SqlError::new("sql/empty", "there is no statement")),
            n => Err(SqlError::new("sql/several-statements", format!("one statement was expected, {n} were given"))),
        }
    }

    /// The word after `n` others, in upper case.
    pub fn nth_word(&self, n: usize) -> String {
        self.nth(n)
    }

    fn nth(&self, n: usize) -> String {
        match &self.p.peek_nth_token_ref(n).token {
            Token::Word(w) if w.quote_style.is_none() => w.value.to_uppercase(),
            _ => String::new(),
        }
    }

    /// The next word in upper case; empty when it is none.
    pub fn word(&self) -> String {
        self.nth(0)
    }

    /// Whether these words come next.
    pub fn is(&self, words: &str) -> bool {
        words.split(' ').enumerate().all(|(i, w)| self.nth(i) == w)
    }

    /// Whether after a word comes the end, or one of the given words.
    pub fn after(&self, word: &str, next: &[&str]) -> bool {
        let token = &self.p.peek_nth_token_ref(1).token;
        self.is(word) && (matches!(token, Token::EOF | Token::SemiColon) || next.contains(&self.nth(1).as_str()))
    }

    /// Consumes these words if they come next.
    pub fn take(&mut self, words: &str) -> bool {
        let found = self.is(words);
        if found {
            words.split(' ').for_each(|_| self.skip());
        }
        found
    }

    /// Consumes one of several words.
    pub fn take_one(&mut self, words: &[&str]) -> Option<String> {
        let word = self.word();
        words.contains(&word.as_str()).then(|| {
            self.skip();
            word
        })
    }

    pub fn expect(&mut self, words: &str) -> Result<(), SqlError> {
        if self.take(words) { Ok(()) } else { Err(self.expected(words)) }
    }

    pub fn skip(&mut self) {
        self.p.next_token();
    }

    pub fn at_symbol(&self, symbol: &str) -> bool {
        self.p.peek_token_ref().token.to_string() == symbol
    }

    pub fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.skip();
        }
        found
    }

    pub fn expect_symbol(&mut self, symbol: &str) -> Result<(), SqlError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    /// Place of the next token.
    pub fn here(&self) -> Range<usize> {
        let span = self.p.peek_token_ref().span;
        let at = |line, column| byte_offset(self.sql, line, column);
        let start = at(span.start.line, span.start.column).unwrap_or(self.sql.len());
        start..at(span.end.line, span.end.column).unwrap_or(start).max(start)
    }

    /// Where the last consumed token ends.
    pub fn consumed(&self) -> usize {
        let end = self.p.get_current_token().span.end;
        byte_offset(self.sql, end.line, end.column).unwrap_or(self.sql.len())
    }

    pub fn expected(&self, what: &str) -> SqlError {
        let found = self.p.peek_token_ref().token.to_string();
        let found = if found == "EOF" { "the end of the statement".to_owned() } else { format!("`{found}`") };
        let mut error = SqlError::new("sql/syntax", format!("SQL syntax: {what} was expected, not {found}"));
        error.at = Some(self.here());
        error
    }

    pub fn unsupported(&self, what: impl std::fmt::Display) -> SqlError {
        let mut error = SqlError::unsupported(what);
        error.at = Some(self.here());
        error
    }

    fn fail(&self, error: &ParserError) -> SqlError {
        parse::syntax_error(self.sql, error)
    }

    pub fn name(&mut self) -> Result<ObjectName, SqlError> {
        self.p.parse_object_name(false).map_err(|e| self.fail(&e))
    }

    pub fn ident(&mut self) -> Result<Ident, SqlError> {
        self.p.parse_identifier().map_err(|e| self.fail(&e))
    }

    /// `(a, b, c)`
    pub fn idents(&mut self) -> Result<Vec<Ident>, SqlError> {
        self.list(Self::ident)
    }

    pub fn exprs(&mut self) -> Result<Vec<Expr>, SqlError> {
        self.list(Self::expr)
    }

    /// `(item, ...)`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        self.expect_symbol("(")?;
        let mut items = vec![];
        while !self.symbol(")") {
            items.push(item(self)?);
            if !self.symbol(",") && !self.at_symbol(")") {
                return Err(self.expected("`,` or `)`"));
            }
        }
        Ok(items)
    }

    pub fn expr(&mut self) -> Result<Expr, SqlError> {
        self.p.parse_expr().map_err(|e| self.fail(&e))
    }

    pub fn query(&mut self) -> Result<Box<Query>, SqlError> {
        self.p.parse_query().map_err(|e| self.fail(&e))
    }

    pub fn data_type(&mut self) -> Result<DataType, SqlError> {
        self.p.parse_data_type().map_err(|e| self.fail(&e))
    }

    pub fn string(&mut self) -> Result<String, SqlError> {
        match &self.p.peek_token_ref().token {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.skip();
                Ok(text)
            }
            Token::DollarQuotedString(text) => {
                let text = text.value.clone();
                self.skip();
                Ok(text)
            }
            _ => Err(self.expected("a string")),
        }
    }

    /// A whole number with its sign.
    pub fn integer(&mut self) -> Result<i64, SqlError> {
        let negative = self.symbol("-");
        match &self.p.peek_token_ref().token {
            Token::Number(digits, _) => {
                let digits = if negative { format!("-{digits}") } else { digits.clone() };
                let Ok(n) = digits.parse() else { return Err(self.expected("a whole number")) };
                self.skip();
                Ok(n)
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// Text of the statement from `start` to what was consumed.
    pub fn text_from(&self, start: usize) -> String {
        self.sql.get(start..self.consumed()).unwrap_or_default().trim().to_owned()
    }

    /// Everything from here to the end, without a semicolon.
    pub fn rest(&mut self) -> String {
        let start = self.here().start;
        while !matches!(self.p.peek_token_ref().token, Token::EOF | Token::SemiColon) {
            self.skip();
        }
        self.text_from(start)
    }

    pub fn at_end(&self) -> bool {
        matches!(self.p.peek_token_ref().token, Token::EOF | Token::SemiColon)
    }

    pub fn end(&mut self) -> Result<(), SqlError> {
        while self.symbol(";") {}
        if matches!(self.p.peek_token_ref().token, Token::EOF) { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// `COMMENT [=] 'text'`
    pub fn comment(&mut self) -> Result<Option<String>, SqlError> {
        if !self.take("COMMENT") {
            return Ok(None);
        }
        self.symbol("=");
        self.string().map(Some)
    }

    /// `IF NOT EXISTS`
    pub fn if_not_exists(&mut self) -> bool {
        self.take("IF NOT EXISTS")
    }

    pub fn if_exists(&mut self) -> bool {
        self.take("IF EXISTS")
    }

    /// Passes `NAME = value` or `NAME = (...)`, the name already consumed.
    pub fn skip_value(&mut self) -> Result<(), SqlError> {
        self.symbol("=");
        if self.at_symbol("(") {
            self.skip_parentheses();
            Ok(())
        } else if self.at_end() {
            Err(self.expected("a value"))
        } else {
            self.symbol("-");
            self.skip();
            Ok(())
        }
    }

    /// Passes a balanced `(...)`.
    pub fn skip_parentheses(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.at_end() {
                return;
            }
            if self.at_symbol("(") {
                depth += 1;
            } else if self.at_symbol(")") {
                depth = depth.saturating_sub(1);
            }
            self.skip();
            if depth == 0 {
                return;
            }
        }
    }

    /// Argument types of a function in DROP, COMMENT, ...: `(NUMBER, VARCHAR)`.
    pub fn argument_types(&mut self) -> Result<Vec<String>, SqlError> {
        if !self.at_symbol("(") {
            return Ok(vec![]);
        }
        self.list(|g| g.data_type().map(|t| t.to_string()))
    }
}
