//! Statements chained by the flow operator: `SHOW TABLES ->> SELECT "name" FROM $1` (Snowflake documentation, "Flow
//! operators"). A chain becomes its statements; `$1` in FROM, the result of the statement before, becomes a scan of it.

use sqlparser::{
    dialect::SnowflakeDialect,
    tokenizer::{Token, Tokenizer, Whitespace},
};

use super::parse::LineOffsets;

/// The statements of a chain; `None` for a lone statement.
pub fn statements(sql: &str) -> Option<Vec<String>> {
    if !sql.contains("->>") {
        return None;
    }
    let tokens = Tokenizer::new(&SnowflakeDialect, sql).with_unescape(false).tokenize_with_location().ok()?;
    let mut offsets = LineOffsets::new(sql);
    let mut done = vec![];
    let (mut text, mut copied, mut reads) = (String::new(), 0, false);
    for token in &tokens {
        let (start, end) =
            (offsets.of(token.span.start.line, token.span.start.column), offsets.of(token.span.end.line, token.span.end.column));
        match &token.token {
            Token::LongArrow => {
                text.push_str(&sql[copied..start]);
                done.push(std::mem::take(&mut text));
                copied = end;
            }
            Token::Placeholder(name) if reads && result(name).is_some() => {
                text.push_str(&sql[copied..start]);
                text.push_str(&format!("TABLE(RESULT_SCAN(LAST_QUERY_ID(-{})))", result(name).unwrap_or(1)));
                copied = end;
            }
            _ => {}
        }
        match &token.token {
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab) => {}
            Token::Word(w) => reads = w.quote_style.is_none() && ["FROM", "JOIN"].iter().any(|x| w.value.eq_ignore_ascii_case(x)),
            _ => reads = false,
        }
    }
    if done.is_empty() {
        return None;
    }
    text.push_str(sql.get(copied..).unwrap_or_default());
    done.push(text);
    Some(done)
}

/// How many statements back the result is that a position names.
fn result(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_become_their_statements() {
        for (sql, wanted) in [
            ("select 1", None),
            ("select '->>'", None),
            (
                "show tables ->> select \"name\" from $1 where $1 = 'a'",
                Some(vec!["show tables ", " select \"name\" from TABLE(RESULT_SCAN(LAST_QUERY_ID(-1))) where $1 = 'a'"]),
            ),
            (
                "select 1 as a\n->> select 2 as b\n->> select * from $1 join $2 on true",
                Some(vec![
                    "select 1 as a\n",
                    " select 2 as b\n",
                    " select * from TABLE(RESULT_SCAN(LAST_QUERY_ID(-1))) join TABLE(RESULT_SCAN(LAST_QUERY_ID(-2))) on true",
                ]),
            ),
        ] {
            assert_eq!(statements(sql), wanted.map(|w: Vec<&str>| w.into_iter().map(str::to_owned).collect::<Vec<_>>()), "{sql}");
        }
    }
}
