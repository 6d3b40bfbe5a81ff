//! Statements of a script, each on the side where it belongs. Variables and temporary objects stay where they were made.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;

use super::{Inner, Side};
use crate::{
    dialect::parse,
    engine::{EngineError, Outcome, Session},
    names::RelationName,
};

pub(super) struct CrossingSession {
    inner: Arc<Inner>,
    /// Where statements run that name no relation of the project.
    otherwise: Side,
    local: Option<Box<dyn Session>>,
    remote: Option<Box<dyn Session>>,
}

impl CrossingSession {
    pub(super) fn new(inner: Arc<Inner>, otherwise: Side) -> Self {
        Self { inner, otherwise, local: None, remote: None }
    }

    fn on(&mut self, side: Side) -> &mut Box<dyn Session> {
        let inner = &self.inner;
        let open = match side {
            Side::Local => &mut self.local,
            Side::Snowflake => &mut self.remote,
        };
        open.get_or_insert_with(|| inner.engine(side).session())
    }
}

#[async_trait]
impl Session for CrossingSession {
    async fn execute(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        let target = changed_relation(&self.inner, sql);
        let side = match &target {
            Some(target) => self.inner.side(target),
            None => side_of_query(&self.inner, sql, self.otherwise),
        };
        let inner = Arc::clone(&self.inner);
        inner.gather(sql, side).await?;
        let outcome = self.on(side).execute(sql).await;
        if let Some(target) = target {
            inner.forget(&target);
        }
        outcome
    }

    fn split(&self, script: &str) -> Vec<Range<usize>> {
        parse::split(script)
    }
}

/// The relation that a statement changes: the first of the project's that it names.
fn changed_relation(inner: &Inner, sql: &str) -> Option<RelationName> {
    let first = sql.split(|c: char| !c.is_alphabetic()).find(|w| !w.is_empty())?.to_uppercase();
    let comment_first = sql.trim_start().starts_with("/*") || sql.trim_start().starts_with("--");
    let changes = ["MERGE", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "ALTER", "DROP", "COMMENT", "COPY", "GRANT", "REVOKE"];
    let words: &[&str] = &changes;
    let is_change = if comment_first {
        let body = sql.trim_start().trim_start_matches("/*").split_once("*/").map_or(sql, |(_, rest)| rest);
        let word = body.split(|c: char| !c.is_alphabetic()).find(|w| !w.is_empty()).unwrap_or_default().to_uppercase();
        words.contains(&word.as_str())
    } else {
        words.contains(&first.as_str())
    };
    if !is_change {
        return None;
    }
    let upper = sql.to_uppercase();
    let found = inner.places.keys().filter_map(|r| Some((whole_word(&upper, &r.to_string().to_uppercase())?, r)));
    found.min_by_key(|(at, _)| *at).map(|(_, r)| r.clone())
}

/// Where a name stands, not within a longer one.
fn whole_word(text: &str, name: &str) -> Option<usize> {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '.'));
    text.match_indices(name)
        .map(|(at, _)| at)
        .find(|at| !part(text[..*at].chars().next_back()) && !part(text[at + name.len()..].chars().next()))
}

fn side_of_query(inner: &Inner, sql: &str, otherwise: Side) -> Side {
    let mut sides = inner.reads(sql).into_iter().map(|r| inner.side(&r));
    let Some(first) = sides.next() else { return otherwise };
    if sides.all(|s| s == first) { first } else { inner.home }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_wholes() {
        for (text, at) in [
            ("DROP TABLE D.S.T", Some(11)),
            ("DROP TABLE D.S.TT", None),
            ("DROP TABLE X.D.S.T; D.S.T", Some(20)),
            ("MERGE INTO D.S.T AS X", Some(11)),
        ] {
            assert_eq!(whole_word(text, "D.S.T"), at, "{text}");
        }
    }
}
