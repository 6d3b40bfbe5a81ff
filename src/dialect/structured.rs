//! Spellings of Snowflake that the parser does not know, rewritten in the token stream before it sees them:
//! structured types, `{*}`, lambda parameters of a type with parentheses.
//!
//! Tokens keep their places, so that messages point into the text as written.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// The type name that stands for a structured type; its modifier is the type's text.
pub const TYPE_NAME: &str = "__STRUCTURED";

/// Words that a name, not a column or parameter, follows.
const BEFORE_NAMES: [&str; 14] =
    ["INTO", "TABLE", "WITH", "FROM", "JOIN", "UPDATE", "VIEW", "EXISTS", "USING", "RECURSIVE", "REFERENCES", "CALL", "FUNCTION", "SELECT"];

/// The tokens with these constructs in forms that the parser takes.
pub fn rewrite(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let needed = tokens.iter().any(|t| match &t.token {
        Token::Word(w) => is_container(w),
        Token::LBrace | Token::Arrow => true,
        _ => false,
    });
    if !needed {
        return tokens;
    }
    types(&mut tokens);
    wildcards(&mut tokens);
    lambdas(&mut tokens);
    tokens
}

/// An expression's text with structured types as they were written.
pub fn shown(text: String) -> String {
    let Some(at) = text.find(TYPE_NAME) else { return text };
    let rest = &text[at + TYPE_NAME.len()..];
    let mut depth = 0_i32;
    for (i, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return format!("{}{}{}", &text[..at], &rest[1..i], shown(rest[i + 1..].to_owned()));
        }
    }
    text
}

fn is_container(word: &Word) -> bool {
    word.quote_style.is_none() && ["ARRAY", "OBJECT", "MAP", "VECTOR"].iter().any(|n| word.value.eq_ignore_ascii_case(n))
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// The next token from `at` that is no white space.
fn next(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    (at..tokens.len()).find(|i| !is_space(&tokens[*i].token))
}

fn previous(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    (0..at).rev().find(|i| !is_space(&tokens[*i].token))
}

/// The parenthesis that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// `ARRAY(INT)` becomes `__STRUCTURED('ARRAY(INT)')` where a type may stand.
fn types(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let here = at;
        at += 1;
        let Token::Word(word) = &tokens[here].token else { continue };
        if !is_container(word) {
            continue;
        }
        let Some(open) = next(tokens, here + 1).filter(|i| tokens[*i].token == Token::LParen) else { continue };
        let typed = match previous(tokens, here).map(|i| &tokens[i].token) {
            Some(Token::DoubleColon) => true,
            Some(Token::Word(w)) => w.quote_style.is_some() || !BEFORE_NAMES.iter().any(|n| w.value.eq_ignore_ascii_case(n)),
            _ => false,
        };
        let Some(close) = closing(tokens, open).filter(|_| typed) else { continue };
        let text: String =
            tokens[here..=close].iter().map(|t| if is_space(&t.token) { " ".to_owned() } else { t.token.to_string() }).collect();
        let span = tokens[here].span;
        let name = Token::Word(Word { value: TYPE_NAME.to_owned(), quote_style: None, keyword: Keyword::NoKeyword });
        let replacement = [name, Token::LParen, Token::SingleQuotedString(text), Token::RParen].map(|token| TokenWithSpan { token, span });
        tokens.splice(here..=close, replacement);
        at = here + 4;
    }
}

/// `{*}` becomes `OBJECT_CONSTRUCT(*)`.
fn wildcards(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let here = at;
        at += 1;
        if tokens[here].token != Token::LBrace {
            continue;
        }
        // also {t.*}
        let Some(first) = next(tokens, here + 1) else { continue };
        let mut star = first;
        while matches!(tokens.get(star).map(|t| &t.token), Some(Token::Word(_) | Token::Period)) {
            star += 1;
        }
        if tokens.get(star).map(|t| &t.token) != Some(&Token::Mul) {
            continue;
        }
        // EXCLUDE or ILIKE may follow
        let Some(close) = (star + 1..tokens.len()).find(|i| matches!(tokens[*i].token, Token::RBrace | Token::LBrace)) else { continue };
        if tokens[close].token != Token::RBrace {
            continue;
        }
        let (from, to) = (tokens[here].span, tokens[close].span);
        tokens[close] = TokenWithSpan { token: Token::RParen, span: to };
        let name = Token::Word(Word { value: "OBJECT_CONSTRUCT".to_owned(), quote_style: None, keyword: Keyword::NoKeyword });
        tokens.splice(here..=here, [name, Token::LParen].map(|token| TokenWithSpan { token, span: from }));
        at = here + 2;
    }
}

/// `x NUMBER(10,2) -> ...` becomes `(x NUMBER(10,2)) -> ...`.
fn lambdas(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let here = at;
        at += 1;
        if tokens[here].token != Token::Arrow {
            continue;
        }
        let Some(close) = previous(tokens, here).filter(|i| tokens[*i].token == Token::RParen) else { continue };
        let Some(open) = opening(tokens, close) else { continue };
        let word = |i: Option<usize>| i.filter(|i| matches!(tokens[*i].token, Token::Word(_)));
        let Some(type_name) = word(previous(tokens, open)) else { continue };
        let Some(parameter) = word(previous(tokens, type_name)) else { continue };
        if !matches!(previous(tokens, parameter).map(|i| &tokens[i].token), Some(Token::Comma | Token::LParen)) {
            continue;
        }
        let (from, to) = (tokens[parameter].span, tokens[close].span);
        tokens.insert(close + 1, TokenWithSpan { token: Token::RParen, span: to });
        tokens.insert(parameter, TokenWithSpan { token: Token::LParen, span: from });
        at = here + 3;
    }
}

fn opening(tokens: &[TokenWithSpan], close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for i in (0..=close).rev() {
        match tokens[i].token {
            Token::RParen => depth += 1,
            Token::LParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sqlparser::{dialect::SnowflakeDialect, tokenizer::Tokenizer};

    use super::*;

    #[test]
    fn types_are_shown_as_written() {
        assert_eq!(
            shown("X::__STRUCTURED(ARRAY(INT)) + Y::__STRUCTURED(MAP(VARCHAR, INT))".into()),
            "X::ARRAY(INT) + Y::MAP(VARCHAR, INT)"
        );
    }

    #[test]
    fn constructs_take_a_form_that_parses() {
        for (sql, wanted) in [
            ("x::ARRAY(INT)", "x::__STRUCTURED('ARRAY(INT)')"),
            ("cast(x as MAP(VARCHAR, ARRAY(INT)))", "cast(x as __STRUCTURED('MAP(VARCHAR, ARRAY(INT))'))"),
            ("create table t (a OBJECT(b INT))", "create table t (a __STRUCTURED('OBJECT(b INT)'))"),
            ("insert into map (a) values (1)", "insert into map (a) values (1)"),
            ("select {*}, {t.*}, {'a': 1}", "select OBJECT_CONSTRUCT(*), OBJECT_CONSTRUCT(t.*), {'a': 1}"),
            ("select {* exclude (a, b)}", "select OBJECT_CONSTRUCT(* exclude (a, b))"),
            ("f(a, x NUMBER(10,2) -> x)", "f(a, (x NUMBER(10,2)) -> x)"),
            ("f(a, (x, y) -> x)", "f(a, (x, y) -> x)"),
            ("x::array, y::object", "x::array, y::object"),
        ] {
            let tokens = Tokenizer::new(&SnowflakeDialect, sql).tokenize_with_location().expect(sql);
            let text: String = rewrite(tokens).iter().filter(|t| t.token != Token::EOF).map(|t| t.token.to_string()).collect();
            assert_eq!(text, wanted);
        }
    }
}
