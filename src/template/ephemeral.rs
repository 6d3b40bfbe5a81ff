//! Ephemeral models become CTEs in front of the statement that uses them.

use super::Rendered;

/// The name by which a text refers to an ephemeral model (dbt's).
pub fn cte_name(model: &str) -> String {
    format!("__dbt__cte__{model}")
}

/// Puts the CTEs, `(model, its SQL)` in the order they build on each other, in front of the statement; an existing leading
/// `WITH` or `WITH RECURSIVE` is continued. The source map moves along.
pub fn with_ctes(mut rendered: Rendered, ctes: &[(String, String)]) -> Rendered {
    if ctes.is_empty() {
        return rendered;
    }
    // a comment at the end of a model's last line must not swallow the parenthesis
    let list = ctes.iter().map(|(model, sql)| format!("{} as (\n{sql}\n)", cte_name(model))).collect::<Vec<_>>().join(", ");
    let sql = &rendered.sql;
    let start = skip_blank(sql, 0);
    let (at, inserted) = match keyword(sql, start, "with") {
        Some(end) => {
            let next = skip_blank(sql, end);
            let at = keyword(sql, next, "recursive").unwrap_or(end);
            (at, format!(" {list},"))
        }
        None => (0, format!("with {list}\n")),
    };
    rendered.map.insert(at, inserted.len());
    rendered.sql.insert_str(at, &inserted);
    rendered
}

/// Behind white space and comments.
fn skip_blank(sql: &str, mut at: usize) -> usize {
    loop {
        let rest = &sql[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("--") || trimmed.starts_with("//") {
            at += trimmed.find('\n').map_or(trimmed.len(), |i| i + 1);
        } else if trimmed.starts_with("/*") {
            at += trimmed.find("*/").map_or(trimmed.len(), |i| i + 2);
        } else {
            return at;
        }
    }
}

/// The end of the word at `at`, if it is this one.
fn keyword(sql: &str, at: usize, word: &str) -> Option<usize> {
    let end = at + word.len();
    let found = sql.get(at..end)?.eq_ignore_ascii_case(word);
    let ends = sql[end..].chars().next().is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '$'));
    (found && ends).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctes_go_in_front() {
        let ctes = [("a".to_owned(), "select 1 -- x".to_owned()), ("b".to_owned(), "select 2".to_owned())];
        let list = "__dbt__cte__a as (\nselect 1 -- x\n), __dbt__cte__b as (\nselect 2\n)";
        for (sql, expect) in [
            ("select 3", format!("with {list}\nselect 3")),
            ("with c as (x) select 3", format!("with {list}, c as (x) select 3")),
            ("-- with\n/* with */ WITH c as (x)", format!("-- with\n/* with */ WITH {list}, c as (x)")),
            ("with recursive c as (x)", format!("with recursive {list}, c as (x)")),
            ("with_x", format!("with {list}\nwith_x")),
            ("", format!("with {list}\n")),
        ] {
            let rendered = Rendered { sql: sql.to_owned(), ..Rendered::default() };
            assert_eq!(with_ctes(rendered, &ctes).sql, expect, "{sql}");
        }
    }
}
