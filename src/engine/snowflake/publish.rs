//! Materializations by Snowflake's own means. A CREATE OR REPLACE is one commit; a change of rows is one statement, or one
//! transaction with what is recorded of it.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{Inner, fault, lease::Lease, ledger::Entry, literal, query::Statement, quoted, result::Reply};
use crate::{
    engine::{Content, EngineError, How, Physical, Publish, Published, RelationKind},
    names::{Identifier, RelationName},
};

/// The statements of one publish: each carries the project's comment and the node's tag.
pub(super) struct Work<'a> {
    pub(super) lease: Lease,
    physical: &'a Physical,
    parameters: Map<String, Json>,
    /// The warehouse to go back to.
    moved_from: Option<String>,
}

impl<'a> Work<'a> {
    pub(super) async fn begin(inner: &Inner, physical: &'a Physical) -> Result<Self, EngineError> {
        let mut parameters = Map::new();
        if let Some(tag) = physical.config.get("query_tag").and_then(Json::as_str) {
            parameters.insert("QUERY_TAG".into(), tag.into());
        }
        let mut work = Self { lease: Lease::new(&inner.link), physical, parameters, moved_from: None };
        if let Some(warehouse) = physical.config.get("snowflake_warehouse").and_then(Json::as_str) {
            let home = inner.link.settings.warehouse.clone();
            if home.as_deref().is_none_or(|h| !h.eq_ignore_ascii_case(warehouse)) {
                work.lease.run(&format!("use warehouse {}", Identifier::parse(warehouse))).await?;
                if home.is_none() {
                    // nobody knows the way back
                    work.lease.keep_to_oneself();
                }
                work.moved_from = home;
            }
        }
        Ok(work)
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<Reply, EngineError> {
        let head = self.physical.before.len();
        let statement = Statement {
            sql: format!("{}{sql}{}", self.physical.before, self.physical.after),
            describe_only: false,
            parameters: self.parameters.clone(),
        };
        self.lease.execute(&statement).await.map_err(|e| fault::within(e, head, sql.len()))
    }

    /// A statement around a query: a fault's place is within the query.
    pub(super) async fn around(&mut self, head: &str, query: &str, tail: &str) -> Result<Reply, EngineError> {
        self.run(&format!("{head}{query}{tail}")).await.map_err(|e| fault::within(e, head.len(), query.len()))
    }

    /// The columns that a query would have; nothing is run.
    pub(super) async fn describe(&mut self, query: &str) -> Result<Reply, EngineError> {
        let statement = Statement { sql: query.to_owned(), describe_only: true, parameters: self.parameters.clone() };
        self.lease.execute(&statement).await
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.physical.config.get(key).and_then(Json::as_str)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.physical.config.get(key).and_then(Json::as_bool)
    }

    pub(super) fn config(&self, key: &str) -> Option<&Json> {
        self.physical.config.get(key).filter(|v| !v.is_null())
    }

    /// The session is as it was, if it can be.
    pub(super) async fn end(mut self) {
        if let Some(home) = self.moved_from.take() {
            match self.lease.run(&format!("use warehouse {}", Identifier::parse(&home))).await {
                Ok(_) => self.lease.is_clean(),
                Err(_) => self.lease.keep_to_oneself(),
            }
        }
    }
}

/// A query without what would end the statement around it.
pub(super) fn bare(query: &str) -> &str {
    query.trim_end().trim_end_matches(';').trim_end()
}

pub(super) fn entry_of(publish: &Publish) -> Entry {
    Entry { version: Uuid::new_v4().to_string(), written_at: 0, properties: publish.properties.clone(), sequence: 0, position: None }
}

impl Inner {
    pub(super) async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        self.ledger.ready(&self.link).await?;
        let mut work = Work::begin(self, &publish.physical).await?;
        let made = self.make(&mut work, &publish).await;
        if made.is_err() {
            if work.lease.in_transaction() && work.lease.run("rollback").await.is_err() {
                work.lease.keep_to_oneself();
            }
            if work.moved_from.is_some() {
                work.lease.keep_to_oneself();
            }
            // half of it may be there: a view dropped, a column added
            self.known.forget_all();
        }
        let published = made?;
        work.end().await;
        Ok(published)
    }

    async fn make(&self, work: &mut Work<'_>, publish: &Publish) -> Result<Published, EngineError> {
        self.schema_for(&mut work.lease, &publish.relation).await?;
        match &publish.how {
            How::View => self.publish_view(work, publish).await,
            How::Table => self.publish_table(work, publish).await,
            How::Incremental { strategy, on_schema_change } => match self.known.kind(&publish.relation) {
                Some(RelationKind::View) => self.publish_table(work, publish).await,
                _ => self.publish_increment(work, publish, strategy, *on_schema_change).await,
            },
        }
    }

    async fn publish_view(&self, work: &mut Work<'_>, publish: &Publish) -> Result<Published, EngineError> {
        let Content::Query(sql) = &publish.content else {
            return Err(EngineError::new("engine/view", "a view needs a query"));
        };
        let query = bare(sql);
        let relation = &publish.relation;
        let mut columns = String::new();
        if !publish.column_comments.is_empty() || work.config("column_masking").is_some() {
            let described = work.describe(query).await?;
            let list: Vec<String> = described
                .columns
                .iter()
                .map(|c| {
                    let comment = publish.column_comments.iter().find(|(n, _)| names_column(n, &c.name)).map(|(_, text)| text);
                    let name = quoted(&c.name);
                    comment.map_or_else(|| name.clone(), |text| format!("{name} comment {}", literal(text)))
                })
                .collect();
            columns = format!(" ({})", list.join(", "));
        }
        let secure = if work.flag("secure") == Some(true) { "secure " } else { "" };
        let grants = if work.flag("copy_grants") == Some(true) { " copy grants" } else { "" };
        let comment = publish.comment.as_ref().map_or(String::new(), |c| format!(" comment = {}", literal(c)));
        let policy = policies(work);
        self.make_room(work, relation, RelationKind::View).await?;
        let head = format!("create or replace {secure}view {relation}{columns}{grants}{comment}{policy} as (\n");
        work.around(&head, query, "\n)").await?;
        self.finish(work, publish, RelationKind::View, None).await
    }

    async fn publish_table(&self, work: &mut Work<'_>, publish: &Publish) -> Result<Published, EngineError> {
        let relation = &publish.relation;
        let query = match &publish.content {
            Content::Query(sql) => bare(sql),
            Content::Rows(batches, schema) => {
                let rows = self.load_rows(work, relation, schema, batches, &publish.not_null).await?;
                return self.finish(work, publish, RelationKind::Table, Some(rows)).await;
            }
        };
        let materialized = work.text("materialized").unwrap_or("table").to_owned();
        let grants = if work.flag("copy_grants") == Some(true) { " copy grants" } else { "" };
        let comment = publish.comment.as_ref().map_or(String::new(), |c| format!(" comment = {}", literal(c)));
        let policy = policies(work);
        let cluster = clustering(work).map_or(String::new(), |by| format!(" cluster by ({by})"));
        if materialized == "dynamic_table" {
            self.make_room(work, relation, RelationKind::Table).await?;
            let head = self.dynamic_table(work, relation, &format!("{cluster}{comment}"))?;
            work.around(&head, query, "\n)").await?;
            return self.finish(work, publish, RelationKind::Table, None).await;
        }
        // dbt's adapter makes tables transient unless told otherwise
        let transient = if work.flag("transient") == Some(false) { "" } else { "transient " };
        if let Some(from) = &publish.physical.clone_of {
            self.make_room(work, relation, RelationKind::Table).await?;
            work.run(&format!("create or replace {transient}table {relation} clone {from}{grants}")).await?;
            return self.finish(work, publish, RelationKind::Table, None).await;
        }
        let columns = match (&publish.physical.definitions, publish.not_null.is_empty()) {
            (Some(definitions), _) => format!(" (\n{definitions}\n)"),
            (None, true) => String::new(),
            (None, false) => {
                let described = work.describe(query).await?;
                let list: Vec<String> = described
                    .columns
                    .iter()
                    .map(|c| {
                        let not_null = if publish.not_null.iter().any(|n| names_column(n, &c.name)) { " not null" } else { "" };
                        format!("{} {}{not_null}", quoted(&c.name), c.declared())
                    })
                    .collect();
                format!(" ({})", list.join(", "))
            }
        };
        let other_kind = self.known.kind(relation) == Some(RelationKind::View);
        // a view stands there until the table is complete
        let target = if other_kind { temporary_name(relation) } else { relation.clone() };
        let order = match &cluster {
            by if by.is_empty() || work.flag("automatic_clustering") == Some(true) => (String::new(), "\n)".to_owned()),
            _ => ("select * from (\n".to_owned(), format!("\n) order by ({})\n)", clustering(work).unwrap_or_default())),
        };
        let head = format!("create or replace {transient}table {target}{columns}{cluster}{grants}{comment}{policy} as (\n{}", order.0);
        work.around(&head, query, &order.1).await?;
        if other_kind {
            work.run(&format!("drop view if exists {relation}")).await?;
            work.run(&format!("alter table {target} rename to {relation}")).await?;
        }
        if work.flag("automatic_clustering") == Some(true) && !cluster.is_empty() {
            work.run(&format!("alter table {relation} resume recluster")).await?;
        }
        self.finish(work, publish, RelationKind::Table, None).await
    }

    fn dynamic_table(&self, work: &Work<'_>, relation: &RelationName, more: &str) -> Result<String, EngineError> {
        let missing = |key: &str| {
            EngineError::new("engine/dynamic-table", format!("the dynamic table `{relation}` has no `{key}`"))
                .help(format!("set `{key}` in its configuration"))
        };
        let lag = work.text("target_lag").ok_or_else(|| missing("target_lag"))?;
        let warehouse = work
            .text("snowflake_warehouse")
            .map(str::to_owned)
            .or_else(|| self.link.settings.warehouse.clone())
            .ok_or_else(|| missing("snowflake_warehouse"))?;
        let lag = if lag.eq_ignore_ascii_case("downstream") { "downstream".to_owned() } else { literal(lag) };
        let word = |key: &str| work.text(key).map_or(String::new(), |v| format!(" {key} = {v}"));
        let transient = if work.flag("transient") == Some(true) { "transient " } else { "" };
        Ok(format!(
            "create or replace {transient}dynamic table {relation} target_lag = {lag} warehouse = {}{}{}{more} as (\n",
            Identifier::parse(&warehouse),
            word("refresh_mode"),
            word("initialize"),
        ))
    }

    /// A relation of the other kind makes room: neither kind replaces the other.
    async fn make_room(&self, work: &mut Work<'_>, relation: &RelationName, kind: RelationKind) -> Result<(), EngineError> {
        let word = match (self.known.kind(relation), kind) {
            (Some(RelationKind::View), RelationKind::Table) => "view",
            (Some(RelationKind::Table), RelationKind::View) => "table",
            _ => return Ok(()),
        };
        work.run(&format!("drop {word} if exists {relation}")).await?;
        Ok(())
    }

    /// After a CREATE, which has committed: what goes with the relation, then the record of it.
    pub(super) async fn finish(
        &self,
        work: &mut Work<'_>,
        publish: &Publish,
        kind: RelationKind,
        rows: Option<u64>,
    ) -> Result<Published, EngineError> {
        self.known.published(&publish.relation, kind);
        self.upkeep(work, publish, kind).await?;
        let entry = entry_of(publish);
        self.ledger.write(&mut work.lease, &publish.relation, &entry).await?;
        let version = entry.version.clone();
        self.ledger.note(&publish.relation, entry);
        let message = rows.map_or("SUCCESS 1".to_owned(), |n| format!("SUCCESS {n}"));
        Ok(Published { rows, message, version })
    }
}

/// Beside the relation, for as long as it is made.
pub(super) fn temporary_name(relation: &RelationName) -> RelationName {
    relation.with_suffix("__dbt_tmp")
}

/// `cluster_by`: a column, an expression or a list of them.
fn clustering(work: &Work<'_>) -> Option<String> {
    match work.config("cluster_by")? {
        Json::String(one) => Some(one.clone()),
        Json::Array(many) => {
            let parts: Vec<&str> = many.iter().filter_map(Json::as_str).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        _ => None,
    }
}

/// `row_access_policy` and `table_tag` of dbt's adapter.
fn policies(work: &Work<'_>) -> String {
    let mut text = String::new();
    if let Some(policy) = work.text("row_access_policy") {
        text += &format!(" with row access policy {policy}");
    }
    if let Some(tag) = work.text("table_tag") {
        text += &format!(" with tag ({tag})");
    }
    text
}

/// A name as YAML or a user writes it, and a stored one.
pub(super) fn names_column(written: &str, stored: &str) -> bool {
    match written.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(exact) => exact.replace("\"\"", "\"") == stored,
        None => written.eq_ignore_ascii_case(stored),
    }
}
