//! Values of variables in place of their names: `:name` in SQL; the bare name too in expressions of the language, but not
//! within their subqueries, where a bare name is a column.

use sqlparser::tokenizer::Token;

use super::grammar::tokens;
use crate::dialect::SqlError;

/// The SQL of a variable's value, or of a field of a row.
pub trait Values {
    fn variable(&self, name: &str) -> Option<String>;
    fn field(&self, row: &str, name: &str) -> Option<String>;
}

/// A statement of SQL.
pub fn in_statement(sql: &str, values: &dyn Values, bound: &[String]) -> Result<String, SqlError> {
    put(sql, values, bound, false)
}

/// An expression.
pub fn in_expression(sql: &str, values: &dyn Values) -> Result<String, SqlError> {
    put(sql, values, &[], true)
}

fn put(sql: &str, values: &dyn Values, bound: &[String], bare: bool) -> Result<String, SqlError> {
    let tokens = tokens(sql)?;
    let folded = |at: usize| match tokens.get(at) {
        Some((Token::Word(w), _)) if w.quote_style.is_some() => Some(w.value.clone()),
        Some((Token::Word(w), _)) => Some(w.value.to_uppercase()),
        _ => None,
    };
    let is = |at: usize, wanted: &Token| tokens.get(at).is_some_and(|(t, _)| t == wanted);
    let mut out = String::with_capacity(sql.len());
    let (mut copied, mut at, mut question) = (0, 0, 0);
    // how many parentheses deep a subquery began
    let (mut depth, mut query) = (0_usize, None);
    while at < tokens.len() {
        let (token, range) = &tokens[at];
        match token {
            Token::LParen => {
                depth += 1;
                if query.is_none() && matches!(folded(at + 1).as_deref(), Some("SELECT" | "WITH")) {
                    query = Some(depth);
                }
            }
            Token::RParen => {
                if query == Some(depth) {
                    query = None;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        let colon = matches!(token, Token::Colon);
        // `column:path` has no space before it
        let path = at > 0
            && matches!(tokens[at - 1].0, Token::Word(_) | Token::RParen | Token::RBracket | Token::Number(..))
            && tokens[at - 1].1.end == range.start;
        let named = match token {
            Token::Colon if !path => Some(at + 1),
            Token::Word(_) if bare && query.is_none() && (at == 0 || !(is(at - 1, &Token::Period) || is(at - 1, &Token::Colon))) => {
                Some(at)
            }
            _ => None,
        };
        let mut found = None;
        if let Some((name_at, name)) = named.and_then(|n| folded(n).map(|name| (n, name))) {
            if is(name_at + 1, &Token::Period)
                && let Some(field) = folded(name_at + 2)
                && let Some(value) = values.field(&name, &field)
            {
                found = Some((value, name_at + 2));
            } else if !is(name_at + 1, &Token::LParen) || colon {
                found = values.variable(&name).map(|value| (value, name_at));
            }
        } else if matches!(token, Token::Placeholder(p) if p == "?")
            && let Some(value) = bound.get(question)
        {
            question += 1;
            found = Some((value.clone(), at));
        }
        if let Some((value, last)) = found {
            out.push_str(&sql[copied..range.start]);
            out.push_str(&value);
            copied = tokens[last].1.end;
            at = last;
        }
        at += 1;
    }
    out.push_str(&sql[copied..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Values for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "X").then(|| "7".to_owned())
        }
        fn field(&self, row: &str, name: &str) -> Option<String> {
            (row == "R" && name == "A").then(|| "'a'".to_owned())
        }
    }

    #[test]
    fn names_become_values() {
        for (sql, expected) in [
            ("x + 1", "7 + 1"),
            (":x || 'x'", "7 || 'x'"),
            ("x(1) + t.x", "x(1) + t.x"),
            ("r.a || x", "'a' || 7"),
            ("(select max(x) from t where y = :x) + x", "(select max(x) from t where y = 7) + 7"),
            ("v:x", "v:x"),
        ] {
            assert_eq!(in_expression(sql, &Fixed).expect("tokens"), expected, "{sql}");
        }
        let sql = "insert into t select x, ?, :x, v:x from t where a = ?";
        let bound = ["1".to_owned(), "'b'".to_owned()];
        assert_eq!(in_statement(sql, &Fixed, &bound).expect("tokens"), "insert into t select x, 1, 7, v:x from t where a = 'b'");
    }
}
