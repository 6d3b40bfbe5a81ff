//! The SQL of a test: the failing rows, and one row that counts them.

use std::ops::Range;

use super::Condition;
use crate::graph::NodeConfig;

/// The failing rows, at most `limit` of them, and where the compiled SQL stands in the text.
pub fn failing_rows(compiled: &str, limit: Option<u64>) -> (String, Range<usize>) {
    // a trailing semicolon is legal in a test's file but not inside of parentheses
    let body = compiled.trim_end().trim_end_matches(';');
    match limit {
        None => (body.to_owned(), 0..body.len()),
        Some(limit) => {
            let head = "select * from (\n";
            (format!("{head}{body}\n) dbt_limit_subq limit {limit}"), head.len()..head.len() + body.len())
        }
    }
}

/// One row: the failures, and a boolean for each condition that only the engine can evaluate.
#[derive(Clone, Debug)]
pub struct CountQuery {
    pub sql: String,
    /// Byte offset in `sql` of the rows' query.
    pub offset: usize,
    pub warn_if: Condition,
    pub error_if: Condition,
}

impl CountQuery {
    /// `rows` is [`failing_rows`] or a `select *` from where they were stored.
    pub fn new(rows: &str, config: &NodeConfig) -> Self {
        let (warn_if, error_if) = (Condition::parse(&config.warn_if), Condition::parse(&config.error_if));
        let calc = config.fail_calc.trim();
        let mut head = format!("select\n  {calc} as failures");
        for (condition, name) in [(&warn_if, "should_warn"), (&error_if, "should_error")] {
            if let Condition::Sql(sql) = condition {
                head.push_str(&format!(",\n  {calc} {sql} as {name}"));
            }
        }
        head.push_str("\nfrom (\n");
        Self { sql: format!("{head}{rows}\n) dbt_internal_test"), offset: head.len(), warn_if, error_if }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_gets_only_what_it_must_evaluate() {
        let config = NodeConfig { error_if: "in (1, 2)".into(), fail_calc: "sum(n)".into(), ..NodeConfig::default() };
        let (rows, at) = failing_rows("select 1 as n;\n", Some(5));
        assert_eq!(&rows[at], "select 1 as n");
        let query = CountQuery::new(&rows, &config);
        insta::assert_snapshot!(query.sql, @r"
        select
          sum(n) as failures,
          sum(n) in (1, 2) as should_error
        from (
        select * from (
        select 1 as n
        ) dbt_limit_subq limit 5
        ) dbt_internal_test
        ");
        assert!(query.sql[query.offset..].starts_with("select * from"));
    }
}
