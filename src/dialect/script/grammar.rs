//! The text of a block to its steps. Statements of SQL are cut out by their ends, not read.

use std::ops::Range;

use sqlparser::{
    dialect::SnowflakeDialect,
    tokenizer::{Token, Tokenizer},
};

use super::{Block, Declaration, Declared, Handler, Loop, Step};
use crate::dialect::{SqlError, literal, parse};

/// Blocks within blocks; deeper than anybody writes, shallow enough for the stack.
const DEEPEST: usize = 40;

/// Whether a statement is an anonymous block: DECLARE, or a BEGIN that starts no transaction.
pub fn is_block(sql: &str) -> bool {
    let starts = |word: &str| sql.trim_start().get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if !(starts("begin") || starts("declare") || sql.trim_start().starts_with(['-', '/'])) {
        return false;
    }
    let Ok(reader) = Reader::new(sql) else { return false };
    match reader.word(0).as_str() {
        "DECLARE" => true,
        "BEGIN" => !(reader.at_end(1) || ["TRANSACTION", "WORK", "NAME"].contains(&reader.word(1).as_str())),
        _ => false,
    }
}

/// How much of a text the block is that it begins with.
pub fn block_length(text: &str) -> Option<usize> {
    if !is_block(text) {
        return None;
    }
    let mut reader = Reader::new(text).ok()?;
    reader.block(0).ok()?;
    reader.tokens.get(reader.at.checked_sub(1)?).map(|(_, range)| range.end)
}

/// The block that the whole text is.
pub fn parse_block(sql: &str) -> Result<Block, SqlError> {
    let mut reader = Reader::new(sql)?;
    let block = reader.block(0)?;
    while reader.symbol(&Token::SemiColon) {}
    if reader.at < reader.tokens.len() {
        return Err(reader.expected("the end of the block"));
    }
    Ok(block)
}

/// The statement and the bound values of `EXECUTE IMMEDIATE ... USING (...)`, if the text is that.
pub fn parse_immediate(text: &str) -> Result<Option<(String, Vec<String>)>, SqlError> {
    let mut reader = Reader::new(text)?;
    if !reader.take("EXECUTE IMMEDIATE") {
        return Ok(None);
    }
    let statement = reader.until("a statement", |r| r.word(0) == "USING")?;
    let using = if reader.take("USING") { reader.arguments()? } else { vec![] };
    if !reader.at_end(0) {
        return Err(reader.expected("the end of EXECUTE IMMEDIATE"));
    }
    Ok(Some((statement, using)))
}

struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(sql: &'a str) -> Result<Self, SqlError> {
        Ok(Self { sql, tokens: tokens(sql)?, at: 0 })
    }

    fn token(&self, n: usize) -> Option<&Token> {
        self.tokens.get(self.at + n).map(|(token, _)| token)
    }

    /// The unquoted word after `n` tokens, in upper case.
    fn word(&self, n: usize) -> String {
        match self.token(n) {
            Some(Token::Word(w)) if w.quote_style.is_none() => w.value.to_uppercase(),
            _ => String::new(),
        }
    }

    fn at_end(&self, n: usize) -> bool {
        matches!(self.token(n), None | Some(Token::SemiColon))
    }

    fn take(&mut self, words: &str) -> bool {
        let found = words.split(' ').enumerate().all(|(n, w)| self.word(n) == w);
        if found {
            self.at += words.split(' ').count();
        }
        found
    }

    fn need(&mut self, words: &str) -> Result<(), SqlError> {
        if self.take(words) { Ok(()) } else { Err(self.expected(&format!("`{words}`"))) }
    }

    fn symbol(&mut self, wanted: &Token) -> bool {
        let found = self.token(0) == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn end_of_statement(&mut self) -> Result<(), SqlError> {
        if self.symbol(&Token::SemiColon) { Ok(()) } else { Err(self.expected("`;`")) }
    }

    fn here(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.sql.len()..self.sql.len(), |(_, range)| range.clone())
    }

    fn expected(&self, what: &str) -> SqlError {
        let found = self.token(0).map_or("the end".to_owned(), |t| format!("`{t}`"));
        let mut error = SqlError::new("sql/script", format!("a block has {found} where {what} was expected"));
        error.at = Some(self.here());
        error
    }

    /// An identifier, folded.
    fn name(&mut self) -> Result<String, SqlError> {
        self.symbol(&Token::Colon);
        let name = match self.token(0) {
            Some(Token::Word(w)) if w.quote_style.is_some() => w.value.clone(),
            Some(Token::Word(w)) => w.value.to_uppercase(),
            _ => return Err(self.expected("a name")),
        };
        self.at += 1;
        Ok(name)
    }

    fn names(&mut self) -> Result<Vec<String>, SqlError> {
        let mut names = vec![self.name()?];
        while self.symbol(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// The text up to where `stop` holds outside of parentheses and CASE expressions, or to a semicolon.
    fn until(&mut self, what: &str, stop: impl Fn(&Self) -> bool) -> Result<String, SqlError> {
        let start = self.here().start;
        let (mut parentheses, mut cases) = (0_usize, 0_usize);
        let mut end = start;
        loop {
            if parentheses == 0 && cases == 0 && (self.at_end(0) || stop(self)) {
                break;
            }
            match self.token(0) {
                None => return Err(self.expected("`;`")),
                Some(Token::LParen) => parentheses += 1,
                Some(Token::RParen) => parentheses = parentheses.saturating_sub(1),
                _ if self.word(0) == "CASE" => cases += 1,
                _ if self.word(0) == "END" => cases = cases.saturating_sub(1),
                _ => {}
            }
            end = self.here().end;
            self.at += 1;
        }
        if end == start {
            return Err(self.expected(what));
        }
        Ok(self.sql[start..end].to_owned())
    }

    fn expression(&mut self) -> Result<String, SqlError> {
        self.until("an expression", |_| false)
    }

    /// The expressions of `(a, b)`.
    fn arguments(&mut self) -> Result<Vec<String>, SqlError> {
        if !self.symbol(&Token::LParen) {
            return Err(self.expected("`(`"));
        }
        let mut values = vec![];
        loop {
            values.push(self.until("an expression", |r| matches!(r.token(0), Some(Token::Comma | Token::RParen)))?);
            if self.symbol(&Token::RParen) {
                return Ok(values);
            }
            if !self.symbol(&Token::Comma) {
                return Err(self.expected("`)`"));
            }
        }
    }

    fn block(&mut self, depth: usize) -> Result<Block, SqlError> {
        if depth > DEEPEST {
            return Err(SqlError::new("sql/too-deep", "the statement is nested too deeply"));
        }
        let mut block = Block::default();
        if self.take("DECLARE") {
            while self.word(0) != "BEGIN" {
                let declaration = self.declaration()?;
                block.declarations.push(declaration);
                self.end_of_statement()?;
            }
        }
        self.need("BEGIN")?;
        block.steps = self.steps(depth, &["EXCEPTION", "END"])?;
        if self.take("EXCEPTION") {
            while self.take("WHEN") {
                let mut names = vec![self.name()?];
                while self.take("OR") {
                    names.push(self.name()?);
                }
                if self.take("EXIT") || self.take("CONTINUE") {
                    // EXIT is what a handler does anyway
                    if self.word(0) != "THEN" || self.sql[..self.here().start].trim_end().to_uppercase().ends_with("CONTINUE") {
                        return Err(SqlError::unsupported("CONTINUE handlers of blocks"));
                    }
                }
                self.need("THEN")?;
                names.retain(|n| n != "OTHER");
                let steps = self.steps(depth, &["WHEN", "END"])?;
                block.handlers.push(Handler { names, steps });
            }
        }
        self.need("END")?;
        Ok(block)
    }

    /// Steps up to one of the words, which stays.
    fn steps(&mut self, depth: usize, ends: &[&str]) -> Result<Vec<Step>, SqlError> {
        let mut steps = vec![];
        loop {
            let word = self.word(0);
            if ends.contains(&word.as_str()) {
                return Ok(steps);
            }
            if self.token(0).is_none() {
                return Err(self.expected(&format!("`{}`", ends.join("` or `"))));
            }
            let step = self.step(&word, depth)?;
            steps.push(step);
            self.end_of_statement()?;
        }
    }

    /// As [`Self::steps`], where a body may not be empty.
    fn some_steps(&mut self, depth: usize, ends: &[&str]) -> Result<Vec<Step>, SqlError> {
        let steps = self.steps(depth, ends)?;
        if steps.is_empty() { Err(self.expected("a statement")) } else { Ok(steps) }
    }

    fn step(&mut self, word: &str, depth: usize) -> Result<Step, SqlError> {
        if depth > DEEPEST {
            return Err(SqlError::new("sql/too-deep", "the statement is nested too deeply"));
        }
        if matches!(self.token(1), Some(Token::Assignment)) {
            let name = self.name()?;
            self.at += 1;
            return Ok(Step::Assign { name, value: self.expression()? });
        }
        // only these are words of the language where they stand alone
        let bare = self.at_end(1);
        match word {
            "NULL" if bare => {
                self.at += 1;
                Ok(Step::Null)
            }
            "LET" => {
                self.at += 1;
                Ok(Step::Declare(self.declaration()?))
            }
            "DECLARE" => self.block(depth + 1).map(Step::Block),
            "BEGIN" if !(bare || ["TRANSACTION", "WORK", "NAME"].contains(&self.word(1).as_str())) => {
                self.block(depth + 1).map(Step::Block)
            }
            "IF" => self.branches(depth),
            "CASE" => self.cases(depth),
            "FOR" | "WHILE" | "REPEAT" | "LOOP" => self.repetition(depth),
            "BREAK" | "EXIT" | "CONTINUE" | "ITERATE" => {
                self.at += 1;
                let label = if self.at_end(0) { None } else { Some(self.name()?) };
                Ok(if matches!(word, "BREAK" | "EXIT") { Step::Break(label) } else { Step::Continue(label) })
            }
            "RETURN" => {
                self.at += 1;
                if self.at_end(0) {
                    return Ok(Step::Return(None));
                }
                if self.word(0) == "TABLE" && self.token(1) == Some(&Token::LParen) {
                    self.at += 1;
                    let mut of = self.arguments()?;
                    return Ok(Step::ReturnTable(of.swap_remove(0)));
                }
                Ok(Step::Return(Some(self.expression()?)))
            }
            "RAISE" => {
                self.at += 1;
                Ok(Step::Raise(if self.at_end(0) { None } else { Some(self.name()?) }))
            }
            "OPEN" => {
                self.at += 1;
                let cursor = self.name()?;
                let using = if self.take("USING") { self.arguments()? } else { vec![] };
                Ok(Step::Open { cursor, using })
            }
            "FETCH" => {
                self.at += 1;
                let cursor = self.name()?;
                self.need("INTO")?;
                Ok(Step::Fetch { cursor, into: self.names()? })
            }
            "CLOSE" => {
                self.at += 1;
                Ok(Step::Close(self.name()?))
            }
            "EXECUTE" if self.word(1) == "IMMEDIATE" => {
                self.at += 2;
                let text = self.until("a statement", |r| ["USING", "INTO"].contains(&r.word(0).as_str()))?;
                let mut using = vec![];
                if self.take("USING") {
                    using = self.arguments()?;
                }
                let into = if self.take("INTO") { self.names()? } else { vec![] };
                Ok(Step::Execute { text, using, into })
            }
            "AWAIT" | "CANCEL" | "CALL" | "ASYNC" => {
                let mut error = SqlError::unsupported(format!("{word} in blocks"));
                error.at = Some(self.here());
                Err(error)
            }
            _ => self.statement(),
        }
    }

    /// SQL, with INTO taken out of it.
    fn statement(&mut self) -> Result<Step, SqlError> {
        let is_query = matches!(self.word(0).as_str(), "SELECT" | "WITH");
        if !is_query {
            let text = self.until("a statement", |_| false)?;
            return Ok(Step::Sql { text, into: vec![] });
        }
        let mut text = self.until("a statement", |r| r.word(0) == "INTO")?;
        let mut into = vec![];
        if self.take("INTO") {
            into = self.names()?;
            if !self.at_end(0) {
                text.push(' ');
                text.push_str(&self.expression()?);
            }
        }
        Ok(Step::Sql { text, into })
    }

    /// What follows LET, or stands in DECLARE.
    fn declaration(&mut self) -> Result<Declaration, SqlError> {
        let name = self.name()?;
        let is_value = |r: &Self| r.word(0) == "DEFAULT" || r.token(0) == Some(&Token::Assignment);
        let what = if self.take("CURSOR") {
            self.need("FOR")?;
            Declared::Cursor(self.expression()?)
        } else if self.take("RESULTSET") {
            let value = is_value(self);
            self.at += usize::from(value);
            Declared::Rows(if value { Some(self.expression()?) } else { None })
        } else if self.take("EXCEPTION") {
            let (mut number, mut message) = (-20_000, String::new());
            if self.token(0) == Some(&Token::LParen) {
                let arguments = self.arguments()?;
                let wrong = || self.expected("an exception's number and message");
                number = arguments[0].replace(' ', "").parse().map_err(|_| wrong())?;
                if let Some(text) = arguments.get(1) {
                    let text = text.trim().strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).ok_or_else(wrong)?;
                    message = literal::unescape(text);
                }
            }
            Declared::Exception { number, message }
        } else {
            let of = if self.at_end(0) || is_value(self) { None } else { Some(self.until("a type", is_value)?) };
            let value = is_value(self);
            self.at += usize::from(value);
            Declared::Variable { of, value: if value { Some(self.expression()?) } else { None } }
        };
        Ok(Declaration { name, what })
    }

    fn branches(&mut self, depth: usize) -> Result<Step, SqlError> {
        let mut branches = vec![];
        self.at += 1;
        loop {
            if self.token(0) != Some(&Token::LParen) {
                return Err(self.expected("`(` of a condition"));
            }
            let condition = self.until("a condition", |r| r.word(0) == "THEN")?;
            self.need("THEN")?;
            branches.push((Some(condition), self.some_steps(depth + 1, &["ELSEIF", "ELSE", "END"])?));
            if self.take("ELSEIF") {
                continue;
            }
            if self.take("ELSE") {
                branches.push((None, self.some_steps(depth + 1, &["END"])?));
            }
            self.need("END IF")?;
            return Ok(Step::If(branches));
        }
    }

    fn cases(&mut self, depth: usize) -> Result<Step, SqlError> {
        self.at += 1;
        let operand = if self.word(0) == "WHEN" { None } else { Some(self.until("an expression", |r| r.word(0) == "WHEN")?) };
        let mut branches = vec![];
        while self.take("WHEN") {
            let condition = self.until("a condition", |r| r.word(0) == "THEN")?;
            self.need("THEN")?;
            let condition = operand.as_ref().map_or(condition.clone(), |o| format!("({o}) = ({condition})"));
            branches.push((Some(condition), self.steps(depth + 1, &["WHEN", "ELSE", "END"])?));
        }
        if self.take("ELSE") {
            branches.push((None, self.steps(depth + 1, &["END"])?));
        }
        self.need("END")?;
        self.take("CASE");
        Ok(Step::If(branches))
    }

    fn repetition(&mut self, depth: usize) -> Result<Step, SqlError> {
        let word = self.word(0);
        self.at += 1;
        let body = |r: &Self| ["DO", "LOOP"].contains(&r.word(0).as_str());
        let mut kind = match word.as_str() {
            "WHILE" => Loop::While(self.until("a condition", body)?),
            "FOR" => {
                let name = self.name()?;
                self.need("IN")?;
                let reverse = self.take("REVERSE");
                let from = self.until("a range or a cursor", |r| r.word(0) == "TO" || body(r))?;
                if self.take("TO") {
                    Loop::Counter { name, from, to: self.until("the end of the range", body)?, reverse }
                } else {
                    Loop::Rows { name, source: from.trim_start_matches(':').to_owned() }
                }
            }
            _ => Loop::Forever,
        };
        let closing = match word.as_str() {
            "REPEAT" | "LOOP" => word.clone(),
            _ => {
                let with_loop = self.take("LOOP");
                if !with_loop {
                    self.need("DO")?;
                }
                if with_loop { "LOOP".to_owned() } else { word.clone() }
            }
        };
        let steps = self.steps(depth + 1, if word == "REPEAT" { &["UNTIL"] } else { &["END"] })?;
        if word == "REPEAT" {
            self.need("UNTIL")?;
            kind = Loop::Until(self.until("a condition", |r| r.word(0) == "END" && r.word(1) == "REPEAT")?);
        }
        self.need("END")?;
        self.need(&closing)?;
        let label = if self.at_end(0) { None } else { Some(self.name()?) };
        Ok(Step::Loop { kind, label, steps })
    }
}

/// The tokens of a text with their places, without white space.
pub(super) fn tokens(sql: &str) -> Result<Vec<(Token, Range<usize>)>, SqlError> {
    let tokens = Tokenizer::new(&SnowflakeDialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|e| parse::syntax_error(sql, &sqlparser::parser::ParserError::TokenizerError(e.to_string())))?;
    let mut offsets = parse::LineOffsets::new(sql);
    Ok(tokens
        .into_iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
        .map(|t| {
            let start = offsets.of(t.span.start.line, t.span.start.column);
            let end = offsets.of(t.span.end.line, t.span.end.column);
            (t.token, start..end)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_from_transactions() {
        for (sql, block) in [
            ("begin", false),
            ("BEGIN;", false),
            ("begin transaction", false),
            ("begin name x", false),
            ("begin return 1; end", true),
            ("-- a\ndeclare x int; begin end", true),
            ("select 1", false),
        ] {
            assert_eq!(is_block(sql), block, "{sql}");
        }
    }

    #[test]
    fn steps_end_where_they_end() {
        let block = parse_block(
            "declare a int default 1; b cursor for select case when 1=1 then 2 end; e exception (-20001, 'it''s');
             begin
               let c := a + 1;
               if (c > 1) then return case when true then 1 else 2 end; elseif (c = 0) then null; else a := 3; end if;
               for i in reverse 1 to 3 do select i into :c from t; end for;
               while (a < 3) loop break; end loop done;
             exception when e or other then return sqlerrm; end;",
        )
        .expect("a block");
        assert_eq!(block.declarations.len(), 3);
        assert_eq!(block.declarations[2].what, Declared::Exception { number: -20001, message: "it's".into() });
        assert_eq!(block.steps.len(), 4);
        assert_eq!(block.handlers[0].names, ["E"]);
        let Step::Loop { steps, .. } = &block.steps[2] else { panic!("{block:?}") };
        assert_eq!(steps[0], Step::Sql { text: "select i from t".into(), into: vec!["C".into()] });
        for wrong in ["begin return 1 end", "begin if x then end if; end", "declare begin", "begin end end", "begin raise 1; end"] {
            assert!(parse_block(wrong).is_err(), "{wrong}");
        }
    }
}
