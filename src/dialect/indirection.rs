//! Names that are given as text: `IDENTIFIER('db.schema.t')`, `IDENTIFIER($name)`, `TABLE('t')`, `TABLE($name)` become the
//! names themselves, in the token stream, so that they may stand wherever a name may (Snowflake documentation,
//! "Literals and variables as identifiers").
//!
//! Tokens of the name take the place of the call, so that messages point into the text as written.

use sqlparser::{
    dialect::SnowflakeDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace},
};

use super::{
    error::{SqlError, byte_range},
    literal,
};

/// The text that a session variable holds, by its upper-case name.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The tokens with names in place of calls that tell them.
pub fn rewrite(sql: &str, tokens: Vec<TokenWithSpan>, variable: Variable<'_>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let calls = |t: &TokenWithSpan| word(&t.token).is_some_and(|w| w == "IDENTIFIER" || w == "TABLE");
    if !tokens.iter().any(calls) {
        return Ok(tokens);
    }
    let mut done = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        match told(&tokens, at) {
            Some((argument, close)) => {
                let text = match &tokens[argument].token {
                    Token::SingleQuotedString(text) => literal::unescape(text),
                    Token::DollarQuotedString(text) => text.value.clone(),
                    Token::Placeholder(name) => {
                        let name = name.trim_start_matches('$');
                        variable(&name.to_uppercase()).ok_or_else(|| {
                            SqlError::new("sql/unknown-variable", format!("session variable `${name}` is not set"))
                                .help(format!("set it first: SET {name} = ..."))
                                .at(sql, tokens[argument].span)
                        })?
                    }
                    _ => String::new(),
                };
                let (from, to) = (token.span, tokens[close].span);
                let mut span = from;
                span.end = to.end;
                let name = name_tokens(&text).ok_or_else(|| {
                    let mut fault = SqlError::new("sql/name", format!("`{text}` is not a name"));
                    fault.at = byte_range(sql, tokens[argument].span);
                    fault
                })?;
                done.extend(name.into_iter().map(|token| TokenWithSpan { token, span }));
                at = close + 1;
            }
            None => {
                done.push(token.clone());
                at += 1;
            }
        }
    }
    Ok(done)
}

fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(w) if w.quote_style.is_none() => Some(w.value.to_uppercase()),
        _ => None,
    }
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// Where the argument and the closing parenthesis stand, if a call that tells a name begins here.
fn told(tokens: &[TokenWithSpan], at: usize) -> Option<(usize, usize)> {
    let name = word(&tokens[at].token)?;
    if name != "IDENTIFIER" && name != "TABLE" {
        return None;
    }
    let next = |from: usize| (from..tokens.len()).find(|i| !is_space(&tokens[*i].token));
    let open = next(at + 1).filter(|i| tokens[*i].token == Token::LParen)?;
    let argument = next(open + 1)?;
    let is_name = match &tokens[argument].token {
        Token::SingleQuotedString(_) | Token::DollarQuotedString(_) => true,
        // `$1` is a column
        Token::Placeholder(name) => name.starts_with('$') && !name[1..].starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    };
    let close = next(argument + 1).filter(|i| is_name && tokens[*i].token == Token::RParen)?;
    Some((argument, close))
}

/// The words and periods of a name of up to three parts.
fn name_tokens(text: &str) -> Option<Vec<Token>> {
    let tokens: Vec<Token> = Tokenizer::new(&SnowflakeDialect, text)
        .tokenize()
        .ok()?
        .into_iter()
        .filter(|t| !matches!(t, Token::EOF | Token::Whitespace(Whitespace::Space)))
        .collect();
    let alternates = tokens.iter().enumerate().all(|(i, t)| match t {
        Token::Word(_) => i % 2 == 0,
        Token::Period => i % 2 == 1,
        _ => false,
    });
    (alternates && tokens.len() % 2 == 1 && tokens.len() <= 5).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_place_of_what_tells_them() {
        let variable = |name: &str| (name == "T").then(|| "s.\"My table\"".to_owned());
        for (sql, wanted) in [
            ("select * from identifier('db.s.t') x", Ok("select * from db.s.t x")),
            ("select * from IDENTIFIER ( $t )", Ok("select * from s.\"My table\"")),
            ("select identifier('a') from table('t')", Ok("select a from t")),
            ("select * from table($t)", Ok("select * from s.\"My table\"")),
            ("select * from table(split_to_table('a', ','))", Ok("select * from table(split_to_table('a', ','))")),
            ("select \"IDENTIFIER\"('a')", Ok("select \"IDENTIFIER\"('a')")),
            ("drop table identifier('a b')", Err("sql/name")),
            ("drop table identifier($nothing)", Err("sql/unknown-variable")),
        ] {
            let tokens = Tokenizer::new(&SnowflakeDialect, sql).with_unescape(false).tokenize_with_location().expect(sql);
            let done = rewrite(sql, tokens, &variable)
                .map(|t| t.iter().filter(|t| t.token != Token::EOF).map(|t| t.token.to_string()).collect::<String>())
                .map_err(|e| e.code);
            assert_eq!(done.as_deref().map_err(|c| &**c), wanted, "{sql}");
        }
    }
}
