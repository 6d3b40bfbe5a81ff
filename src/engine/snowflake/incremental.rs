//! Changes of a table's rows.
//!
//! Where doing them twice would show (rows are appended, or deleted and inserted), the change and the record of it are one
//! transaction, which fails when somebody else changed the table meanwhile. A MERGE and an INSERT OVERWRITE are one statement, and
//! two builds at once end where one would: they commit by themselves, and the record follows.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Inner,
    ledger::Entry,
    publish::{Work, bare, entry_of},
    quoted,
};
use crate::{
    engine::{ColumnInfo, Content, EngineError, Publish, Published, RelationKind, Strategy},
    graph::OnSchemaChange,
    names::{Identifier, RelationName},
};

/// How the new rows and the table's are called in conditions, as dbt has it.
const NEW: &str = "DBT_INTERNAL_SOURCE";
const OLD: &str = "DBT_INTERNAL_DEST";

impl Inner {
    pub(super) async fn publish_increment(
        &self,
        work: &mut Work<'_>,
        publish: &Publish,
        strategy: &Strategy,
        rule: OnSchemaChange,
    ) -> Result<Published, EngineError> {
        let Content::Query(sql) = &publish.content else {
            return Err(EngineError::new("engine/incremental", "an incremental change needs a query"));
        };
        let (query, relation) = (bare(sql), &publish.relation);
        let before = self.ledger.entry(&self.link, relation).await?;
        let current = self.described(relation).await?.unwrap_or_default();
        let columns = self.evolve(work, relation, query, current, rule).await?;
        let entry = Entry {
            // a source's position outlives a change of its rows
            sequence: before.as_ref().map_or(0, |e| e.sequence),
            position: before.as_ref().and_then(|e| e.position.clone()),
            ..entry_of(publish)
        };
        // new rows that are used twice are computed once
        let staged = match strategy {
            Strategy::DeleteInsert { .. } | Strategy::Replace { .. } => Some(self.staged(work, query).await?),
            Strategy::Append | Strategy::InsertOverwrite | Strategy::Merge { .. } => None,
        };
        let by_itself = matches!(strategy, Strategy::Merge { .. } | Strategy::InsertOverwrite);
        if !by_itself {
            work.run("begin").await?;
        }
        let changed = self.change(work, relation, query, &columns, strategy, staged.as_deref()).await;
        let rows = match changed {
            Ok(rows) => rows,
            Err(e) => {
                drop_staged(work, staged.as_deref()).await;
                return Err(e);
            }
        };
        if by_itself {
            self.ledger.write(&mut work.lease, relation, &entry).await?;
        } else {
            if !self.ledger.replace(&mut work.lease, relation, before.as_ref(), &entry).await? {
                work.run("rollback").await?;
                drop_staged(work, staged.as_deref()).await;
                let theirs = self.ledger.entry_now(&mut work.lease, relation).await?;
                let who = theirs.and_then(|e| e.properties.get(crate::state::INVOCATION).cloned());
                let who = who.map_or(String::new(), |w| format!(" (run {w})"));
                self.known.forget_all();
                return Err(EngineError::new("engine/conflict", format!("another build changed `{relation}` meanwhile{who}"))
                    .help("nothing of this change was published; run it again"));
            }
            work.run("commit").await?;
            self.ledger.stamp(&mut work.lease, relation, &entry.version).await?;
        }
        drop_staged(work, staged.as_deref()).await;
        self.known.published(relation, RelationKind::Table);
        self.upkeep(work, publish, RelationKind::Table).await?;
        let version = entry.version.clone();
        self.ledger.note(relation, entry);
        let rows = rows.unwrap_or(0);
        Ok(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version })
    }

    /// The query's rows in a temporary table, which the server drops with the session if nobody else does.
    async fn staged(&self, work: &mut Work<'_>, query: &str) -> Result<String, EngineError> {
        let name = format!("SEGUE_TMP_{}", Uuid::new_v4().simple().to_string().to_uppercase());
        self.home(&mut work.lease).await?;
        work.around(&format!("create temporary table {name} as (\n"), query, "\n)").await?;
        Ok(name)
    }

    async fn change(
        &self,
        work: &mut Work<'_>,
        relation: &RelationName,
        query: &str,
        columns: &[Identifier],
        strategy: &Strategy,
        staged: Option<&str>,
    ) -> Result<Option<u64>, EngineError> {
        let list = columns.iter().map(|c| quoted(c.as_str())).collect::<Vec<_>>().join(", ");
        let insert = |overwrite: &str| format!("insert {overwrite}into {relation} ({list})\n(\nselect {list} from (\n");
        match strategy {
            Strategy::Append => Ok(work.around(&insert(""), query, "\n)\n)").await?.rows_affected()),
            Strategy::InsertOverwrite => Ok(work.around(&insert("overwrite "), query, "\n)\n)").await?.rows_affected()),
            Strategy::Merge { unique_key, update_columns, predicates } => {
                let on: Vec<String> = same(unique_key).into_iter().chain(predicates.iter().cloned()).map(|p| format!("({p})")).collect();
                let updated: Vec<Identifier> = match update_columns {
                    Some(some) => some.iter().map(|c| Identifier::parse(c)).collect(),
                    None => columns.to_vec(),
                };
                let set = updated.iter().map(|c| quoted(c.as_str())).map(|c| format!("{c} = {NEW}.{c}")).collect::<Vec<_>>().join(", ");
                let values = columns.iter().map(|c| format!("{NEW}.{}", quoted(c.as_str()))).collect::<Vec<_>>().join(", ");
                let update = if set.is_empty() { String::new() } else { format!("when matched then update set {set}\n") };
                let head = format!("merge into {relation} as {OLD}\nusing (\n");
                let tail =
                    format!("\n) as {NEW}\non {}\n{update}when not matched then insert ({list}) values ({values})", on.join(" and "));
                Ok(work.around(&head, query, &tail).await?.rows_affected())
            }
            Strategy::DeleteInsert { unique_key, predicates } => {
                let staged = staged.unwrap_or_default();
                // predicates name columns of the table without saying so
                let keys = unique_key.join(", ");
                let among = format!("({keys}) in (select distinct {keys} from {staged} as {NEW})");
                let on: Vec<String> = std::iter::once(among).chain(predicates.iter().map(|p| format!("({p})"))).collect();
                work.run(&format!("delete from {relation} as {OLD} where {}", on.join(" and "))).await?;
                Ok(work.run(&format!("insert into {relation} ({list}) (select {list} from {staged})")).await?.rows_affected())
            }
            Strategy::Replace { predicates } => {
                let staged = staged.unwrap_or_default();
                let on: Vec<String> = predicates.iter().map(|p| format!("({p})")).collect();
                work.run(&format!("delete from {relation} as {OLD} where {}", on.join(" and "))).await?;
                Ok(work.run(&format!("insert into {relation} ({list}) (select {list} from {staged})")).await?.rows_affected())
            }
        }
    }

    /// The table's columns as `on_schema_change` wants them, and those that are written (dbt documentation, "What if the columns
    /// of my incremental model change?").
    async fn evolve(
        &self,
        work: &mut Work<'_>,
        relation: &RelationName,
        query: &str,
        current: Vec<ColumnInfo>,
        rule: OnSchemaChange,
    ) -> Result<Vec<Identifier>, EngineError> {
        let present: Vec<Identifier> = current.into_iter().map(|c| c.name).collect();
        let described = work.describe(query).await?;
        let given: HashMap<Identifier, String> =
            described.columns.iter().map(|c| (Identifier::exact(c.name.as_str()), c.declared())).collect();
        let order: Vec<Identifier> = described.columns.iter().map(|c| Identifier::exact(c.name.as_str())).collect();
        let added: Vec<&Identifier> = order.iter().filter(|c| !present.contains(c)).collect();
        let missing: Vec<&Identifier> = present.iter().filter(|c| !given.contains_key(c)).collect();
        let names = |list: &[&Identifier]| list.iter().map(|c| format!("`{}`", c.as_str())).collect::<Vec<_>>().join(", ");
        let fault = |message: String| EngineError::new("engine/schema-change", message);
        match rule {
            OnSchemaChange::Ignore if !missing.is_empty() => {
                return Err(fault(format!("the query does not give the column {} of `{relation}`", names(&missing)))
                    .help("add the column, set `on_schema_change: sync_all_columns`, or run with --full-refresh"));
            }
            OnSchemaChange::Fail if !added.is_empty() || !missing.is_empty() => {
                let mut error = fault(format!("the columns of the query and of `{relation}` differ"));
                if !added.is_empty() {
                    error.notes.push(format!("only in the query: {}", names(&added)));
                }
                if !missing.is_empty() {
                    error.notes.push(format!("only in the table: {}", names(&missing)));
                }
                return Err(error.help("run with --full-refresh, or set `on_schema_change` to `append_new_columns` or `sync_all_columns`"));
            }
            OnSchemaChange::Ignore | OnSchemaChange::Fail => return Ok(present),
            OnSchemaChange::AppendNewColumns | OnSchemaChange::SyncAllColumns => {}
        }
        for column in &added {
            let kind = given.get(*column).map_or("VARCHAR", String::as_str);
            work.run(&format!("alter table {relation} add column {} {kind}", quoted(column.as_str()))).await?;
        }
        if rule == OnSchemaChange::SyncAllColumns {
            for column in &missing {
                work.run(&format!("alter table {relation} drop column {}", quoted(column.as_str()))).await?;
            }
        }
        self.known.published(relation, RelationKind::Table);
        // what the query no longer gives stays empty in new rows
        Ok(order)
    }
}

async fn drop_staged(work: &mut Work<'_>, staged: Option<&str>) {
    let Some(staged) = staged else { return };
    if work.lease.in_transaction() && work.run("rollback").await.is_err() {
        return work.lease.keep_to_oneself();
    }
    match work.run(&format!("drop table if exists {staged}")).await {
        Ok(_) => work.lease.is_clean(),
        Err(_) => work.lease.keep_to_oneself(),
    }
}

fn same(keys: &[String]) -> Vec<String> {
    keys.iter().map(|k| format!("{NEW}.{k} = {OLD}.{k}")).collect()
}
