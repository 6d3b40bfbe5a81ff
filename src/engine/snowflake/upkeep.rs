//! What belongs to a relation beside its rows: comments of columns, rights.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{
    Inner,
    ledger::rows,
    literal,
    publish::{Work, names_column},
    quoted,
    session::collect,
};
use crate::{
    engine::{EngineError, Publish, RelationKind},
    names::Identifier,
};

impl Inner {
    pub(super) async fn upkeep(&self, work: &mut Work<'_>, publish: &Publish, kind: RelationKind) -> Result<(), EngineError> {
        if kind == RelationKind::Table && !publish.column_comments.is_empty() {
            self.describe_columns(work, publish).await?;
        }
        self.grants(work, publish, kind).await
    }

    /// Comments of a table's columns; those of a view were given when it was made.
    async fn describe_columns(&self, work: &mut Work<'_>, publish: &Publish) -> Result<(), EngineError> {
        let relation = &publish.relation;
        let columns = self.described(relation).await?.unwrap_or_default();
        let changes: Vec<String> = columns
            .iter()
            .filter_map(|c| {
                let (_, text) = publish.column_comments.iter().find(|(n, _)| names_column(n, c.name.as_str()))?;
                Some(format!("{} comment {}", quoted(c.name.as_str()), literal(text)))
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        work.run(&format!("alter table {relation} alter {}", changes.join(", "))).await?;
        Ok(())
    }

    /// `grants`: those that are missing are given, those of the same kinds that are not named are taken away (dbt
    /// documentation, "grants").
    async fn grants(&self, work: &mut Work<'_>, publish: &Publish, kind: RelationKind) -> Result<(), EngineError> {
        let Some(Json::Object(wanted)) = work.config("grants") else { return Ok(()) };
        let wanted: BTreeSet<(String, String)> = wanted
            .iter()
            .flat_map(|(right, to)| {
                let to: Vec<String> = match to {
                    Json::String(one) => vec![one.clone()],
                    Json::Array(many) => many.iter().filter_map(|g| g.as_str().map(str::to_owned)).collect(),
                    _ => vec![],
                };
                to.into_iter().map(|g| (right.to_uppercase(), grantee(&g))).collect::<Vec<_>>()
            })
            .collect();
        let relation = &publish.relation;
        let noun = if kind == RelationKind::View { "view" } else { "table" };
        let sql = format!("show grants on {noun} {relation}");
        let reply = work.run(&sql).await?;
        let outcome = collect(reply, &sql).await?;
        let at = |name: &str| outcome.schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name));
        let mut present = BTreeSet::new();
        if let (Some(right), Some(to), Some(name)) = (at("privilege"), at("granted_to"), at("grantee_name")) {
            for row in rows(&outcome) {
                let cell = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
                // who owns it owns it
                if cell(right) != "OWNERSHIP" {
                    let holder = format!("{} {}", cell(to).replace('_', " ").to_lowercase(), Identifier::exact(cell(name)));
                    present.insert((cell(right).to_uppercase(), holder));
                }
            }
        }
        for (right, to) in present.difference(&wanted) {
            work.run(&format!("revoke {right} on {relation} from {to}")).await?;
        }
        for (right, to) in wanted.difference(&present) {
            work.run(&format!("grant {right} on {noun} {relation} to {to}")).await?;
        }
        Ok(())
    }
}

/// `analyst`, `role analyst`, `database role r`, `share s`.
fn grantee(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    for kind in ["database role ", "application role ", "role ", "share "] {
        if let Some(rest) = lower.strip_prefix(kind) {
            let name = text.trim()[kind.len()..].trim();
            let _ = rest;
            return format!("{}{}", kind, Identifier::parse(name));
        }
    }
    format!("role {}", Identifier::parse(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grantees_are_roles_unless_they_say() {
        for (text, expect) in [("analyst", "role ANALYST"), ("ROLE \"x\"", "role \"x\""), ("database role r", "database role R")] {
            assert_eq!(grantee(text), expect);
        }
    }
}
