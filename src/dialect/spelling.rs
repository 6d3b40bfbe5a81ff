//! Spellings of Snowflake for which the parser has no grammar at all, rewritten in the token stream to ones that it reads:
//! `FROM FIRST` and `FROM LAST` of window functions, the spread operator, PRIOR among the columns of a SELECT, ALL BY NAME of MERGE.
//!
//! Only what a lone look at the tokens decides; types and wildcards are in `structured.rs`. Tokens keep their places.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Whitespace, Word},
};

/// The column that stands for all columns, matched by their names, in the clauses of a MERGE.
pub const ALL_BY_NAME: &str = "__ALL_BY_NAME";
/// The function that `NTH_VALUE(...) FROM LAST` becomes.
pub const NTH_FROM_LAST: &str = "__nth_value_from_last";
/// The function that PRIOR becomes where it stands among the columns of a SELECT.
pub const PRIOR: &str = "__PRIOR";

/// The tokens in forms that the parser takes.
pub fn rewrite(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    from_first(&mut tokens);
    spreads(&mut tokens);
    priors(&mut tokens);
    by_name(&mut tokens);
    tokens
}

fn is(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && words.iter().any(|x| w.value.eq_ignore_ascii_case(x)))
}

/// Positions of what is no white space.
fn solid(tokens: &[TokenWithSpan]) -> Vec<usize> {
    (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect()
}

fn name(value: &str, quoted: bool) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: quoted.then_some('"'), keyword: Keyword::NoKeyword })
}

/// `NTH_VALUE(x, 2) FROM FIRST` is the default; FROM LAST is a function of its own, [`NTH_FROM_LAST`].
fn from_first(tokens: &mut Vec<TokenWithSpan>) {
    let solid = solid(tokens);
    let found = solid.windows(4).enumerate().filter(|(_, w)| {
        tokens[w[0]].token == Token::RParen
            && is(&tokens[w[1]].token, &["FROM"])
            && is(&tokens[w[2]].token, &["FIRST", "LAST"])
            && is(&tokens[w[3]].token, &["OVER", "IGNORE", "RESPECT"])
    });
    let (mut superfluous, mut named) = (vec![], vec![]);
    for (at, w) in found {
        superfluous.extend([w[1], w[2]]);
        if is(&tokens[w[2]].token, &["LAST"]) {
            named.extend(opening(tokens, &solid[..=at]).and_then(|open| open.checked_sub(1)).map(|at| solid[at]));
        }
    }
    for at in named {
        if is(&tokens[at].token, &["NTH_VALUE"]) {
            tokens[at].token = name(NTH_FROM_LAST, false);
        }
    }
    while let Some(at) = superfluous.pop() {
        tokens.remove(at);
    }
}

/// Where the parenthesis opens that the last of these closes.
fn opening(tokens: &[TokenWithSpan], solid: &[usize]) -> Option<usize> {
    let mut depth = 0_usize;
    (0..solid.len()).rev().find(|at| {
        match tokens[solid[*at]].token {
            Token::RParen => depth += 1,
            Token::LParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// `IN (** [1, 2])` becomes `IN (1, 2)` (Snowflake documentation, "Expansion operators").
fn spreads(tokens: &mut Vec<TokenWithSpan>) {
    let solid = solid(tokens);
    let found = solid.windows(3).filter(|w| {
        tokens[w[0]].token == Token::Mul && tokens[w[1]].token == Token::Mul && tokens[w[2]].token == Token::LBracket && w[1] == w[0] + 1
    });
    let mut superfluous = vec![];
    for w in found {
        let mut depth = 0_usize;
        let close = (w[2]..tokens.len()).find(|i| {
            match tokens[*i].token {
                Token::LBracket => depth += 1,
                Token::RBracket => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        superfluous.extend(close.into_iter().flat_map(|close| [w[0], w[1], w[2], close]));
    }
    superfluous.sort_unstable();
    while let Some(at) = superfluous.pop() {
        tokens.remove(at);
    }
}

/// `SELECT PRIOR e.name ... CONNECT BY` becomes `SELECT __PRIOR(e.name) ... CONNECT BY`.
fn priors(tokens: &mut Vec<TokenWithSpan>) {
    if !tokens.iter().any(|t| is(&t.token, &["CONNECT"])) {
        return;
    }
    let solid = solid(tokens);
    // by depth of parentheses: whether the columns of a SELECT are being read
    let mut selects: Vec<bool> = vec![false];
    let mut found = vec![];
    for (n, at) in solid.iter().enumerate() {
        match &tokens[*at].token {
            Token::LParen => selects.push(selects.last().copied().unwrap_or(false)),
            Token::RParen if selects.len() > 1 => drop(selects.pop()),
            word if is(word, &["SELECT", "FROM"]) => {
                if let Some(last) = selects.last_mut() {
                    *last = is(word, &["SELECT"]);
                }
            }
            word if is(word, &["PRIOR"]) && selects.last() == Some(&true) => {
                let mut end = n + 1;
                let column = solid.get(end).map(|i| &tokens[*i].token);
                if !matches!(column, Some(Token::Word(_))) || column.is_some_and(|t| is(t, &["FROM", "AS"])) {
                    continue;
                }
                while matches!(solid.get(end + 1).map(|i| &tokens[*i].token), Some(Token::Period)) {
                    end += 2;
                }
                if let Some(last) = solid.get(end) {
                    found.push((*at, *last));
                }
            }
            _ => {}
        }
    }
    while let Some((prior, last)) = found.pop() {
        let (from, to) = (tokens[prior].span, tokens[last].span);
        tokens.insert(last + 1, TokenWithSpan { token: Token::RParen, span: to });
        tokens.splice(prior..=prior, [name(PRIOR, false), Token::LParen].map(|token| TokenWithSpan { token, span: from }));
    }
}

/// `UPDATE ALL BY NAME` and `INSERT ALL BY NAME` of a MERGE name one column that stands for all.
fn by_name(tokens: &mut Vec<TokenWithSpan>) {
    let solid = solid(tokens);
    if !solid.first().is_some_and(|i| is(&tokens[*i].token, &["MERGE"])) {
        return;
    }
    let mut found: Vec<(usize, usize, bool)> = solid
        .windows(4)
        .filter(|w| {
            is(&tokens[w[0]].token, &["UPDATE", "INSERT"])
                && is(&tokens[w[1]].token, &["ALL"])
                && is(&tokens[w[2]].token, &["BY"])
                && is(&tokens[w[3]].token, &["NAME"])
        })
        .map(|w| (w[1], w[3], is(&tokens[w[0]].token, &["UPDATE"])))
        .collect();
    while let Some((start, end, update)) = found.pop() {
        let span = tokens[start].span;
        let one = || Token::Number("1".into(), false);
        let space = || Token::Whitespace(Whitespace::Space);
        let all = || name(ALL_BY_NAME, true);
        let made = if update {
            vec![name_of(Keyword::SET, "SET"), space(), all(), Token::Eq, one()]
        } else {
            vec![
                Token::LParen,
                all(),
                Token::RParen,
                space(),
                name_of(Keyword::VALUES, "VALUES"),
                space(),
                Token::LParen,
                one(),
                Token::RParen,
            ]
        };
        tokens.splice(start..=end, made.into_iter().map(|token| TokenWithSpan { token, span }));
    }
}

fn name_of(keyword: Keyword, value: &str) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}

#[cfg(test)]
mod tests {
    use sqlparser::{dialect::SnowflakeDialect, tokenizer::Tokenizer};

    use super::*;

    #[test]
    fn spellings_take_a_form_that_parses() {
        for (sql, wanted) in [
            ("nth_value(x, 2) from first over (order by y)", "nth_value(x, 2)   over (order by y)"),
            ("x in (** [1, [2]])", "x in ( 1, [2])"),
            ("2 * [1]", "2 * [1]"),
            (
                "select prior a, prior e.b x from t start with prior is null connect by prior id = mgr",
                "select __PRIOR( a), __PRIOR( e.b) x from t start with prior is null connect by prior id = mgr",
            ),
            ("select prior name from t", "select prior name from t"),
            ("insert all by name", "insert all by name"),
            (
                "merge into t using s on a = b when matched then update all by name when not matched then insert all by name",
                "merge into t using s on a = b when matched then update SET \"__ALL_BY_NAME\"=1 when not matched then insert (\"__ALL_BY_NAME\") VALUES (1)",
            ),
        ] {
            let tokens = Tokenizer::new(&SnowflakeDialect, sql).tokenize_with_location().expect(sql);
            let text: String = rewrite(tokens).iter().filter(|t| t.token != Token::EOF).map(|t| t.token.to_string()).collect();
            assert_eq!(text, wanted);
        }
    }
}
