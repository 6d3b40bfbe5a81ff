//! Snowflake's errors -> the same kinds of faults that the local engine has, with their place in the SQL.

use std::ops::Range;

use serde_json::Value as Json;

use crate::engine::EngineError;

/// `code` is Snowflake's own number.
pub(super) fn of_answer(answer: &Json, code: &str, sql: &str) -> EngineError {
    let message = answer.get("message").and_then(Json::as_str).unwrap_or("no reason was given");
    let number = code.trim_start_matches('0');
    let (kind, help) = match number {
        "1003" | "1007" | "1044" => ("sql/syntax", None),
        "2003" | "2043" => ("engine/unknown-table", Some("check the name, and whether the role of this target may see it")),
        "904" => ("sql/unknown-column", None),
        "630" => ("engine/timeout", Some("`statement_timeout` of the target, or the account's STATEMENT_TIMEOUT_IN_SECONDS, ended it")),
        "604" | "57014" => ("engine/cancelled", None),
        "100069" | "100090" => ("engine/duplicate-merge", Some("make `unique_key` unique in the new rows")),
        "606" | "607" => ("engine/statement", Some("the target names no `warehouse` that this role may use")),
        "3001" => ("engine/rights", Some("the role of this target lacks a right on the object")),
        "625" | "200004" | "300002" | "604000" => ("engine/statement", Some("Snowflake gave up on the statement; it may be run again")),
        _ => ("engine/statement", None),
    };
    let (text, at) = placed(message, sql);
    let mut fault = EngineError::new(kind, text);
    fault.at = at;
    fault.help = help.map(str::to_owned);
    if !number.is_empty() {
        fault.notes.push(format!(
            "Snowflake's error {code}{}",
            answer.pointer("/data/queryId").and_then(Json::as_str).map(|q| format!(", query {q}")).unwrap_or_default()
        ));
    }
    fault
}

/// `SQL compilation error: error line 2 at position 7\ninvalid identifier 'X'`: the place goes, what is wrong stays.
fn placed(message: &str, sql: &str) -> (String, Option<Range<usize>>) {
    let mut lines: Vec<&str> = message.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let mut at = None;
    lines.retain(|line| {
        let bare = line.strip_prefix("SQL compilation error:").unwrap_or(line).trim();
        if let Some((row, column)) = position(bare) {
            at = at.clone().or_else(|| range(sql, row, column));
            // a syntax error says more on the same line
            return bare.contains("unexpected");
        }
        !bare.is_empty()
    });
    let cleaned: Vec<String> = lines
        .iter()
        .map(|line| {
            let line = line.strip_prefix("SQL compilation error:").unwrap_or(line).trim();
            match line.strip_prefix("syntax error line").and_then(|rest| rest.split_once("unexpected")) {
                Some((_, what)) => format!("syntax error: unexpected{}", what.trim_end_matches('.')),
                None => line.trim_end_matches('.').to_owned(),
            }
        })
        .collect();
    let text = if cleaned.is_empty() { message.trim().to_owned() } else { cleaned.join("; ") };
    (text, at)
}

fn position(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix("error line").or_else(|| line.strip_prefix("syntax error line"))?;
    let (row, rest) = rest.split_once("at position")?;
    let digits: String = rest.trim().chars().take_while(char::is_ascii_digit).collect();
    Some((row.trim().parse().ok()?, digits.parse().ok()?))
}

/// Lines from 1, positions from 0; the word that begins there.
fn range(sql: &str, row: usize, column: usize) -> Option<Range<usize>> {
    let line = sql.split_inclusive('\n').nth(row.checked_sub(1)?)?;
    let before: usize = sql.split_inclusive('\n').take(row - 1).map(str::len).sum();
    let start = line.char_indices().nth(column).map_or(line.trim_end().len(), |(i, _)| i);
    let word = line[start..].find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '"'))).unwrap_or(line.len() - start);
    Some(before + start..before + start + word.max(1).min(line.len() - start))
}

/// An error of a statement that wraps the query at `offset`: its place within the query, if it is there.
pub(super) fn within(mut error: EngineError, offset: usize, length: usize) -> EngineError {
    error.at = error.at.and_then(|at| {
        let range = at.start.checked_sub(offset)?..at.end.checked_sub(offset)?;
        (range.end <= length).then_some(range)
    });
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_lose_their_place_and_keep_their_reason() {
        let sql = "select a,\n  missing\nfrom t";
        for (message, code, kind, text, at) in [
            (
                "SQL compilation error: error line 2 at position 2\ninvalid identifier 'MISSING'",
                "000904",
                "sql/unknown-column",
                "invalid identifier 'MISSING'",
                Some("missing"),
            ),
            (
                "SQL compilation error:\nsyntax error line 3 at position 0 unexpected 'from'.",
                "001003",
                "sql/syntax",
                "syntax error: unexpected 'from'",
                Some("from"),
            ),
            (
                "SQL compilation error:\nObject 'DB.S.T' does not exist or not authorized.",
                "002003",
                "engine/unknown-table",
                "Object 'DB.S.T' does not exist or not authorized",
                None,
            ),
            ("Division by zero", "100051", "engine/statement", "Division by zero", None),
        ] {
            let fault = of_answer(&json!({"message": message}), code, sql);
            assert_eq!((fault.code, fault.message.as_str()), (kind, text));
            assert_eq!(fault.at.map(|r| &sql[r]), at, "{message}");
        }
    }
}
