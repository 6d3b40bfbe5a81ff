//! Landing tables: rows of a source and its position, in one transaction.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use uuid::Uuid;

use super::{Inner, ledger::Entry, literal, publish::Work, quoted, stage::declarations};
use crate::{
    dialect::types::Type,
    engine::{ColumnInfo, EngineError, Landing, LandingState, Physical, Published, RelationKind},
    names::RelationName,
};

impl Inner {
    pub(super) async fn landing_state(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        let Some(entry) = self.ledger.entry(&self.link, table).await? else { return Ok(LandingState::default()) };
        // a table that somebody dropped begins anew
        if entry.sequence == 0 || self.columns(table).await?.is_none() {
            return Ok(LandingState::default());
        }
        Ok(LandingState { exists: true, sequence: entry.sequence, position: entry.position })
    }

    pub(super) async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        self.ledger.ready(&self.link).await?;
        let physical = Physical::default();
        let mut work = Work::begin(self, &physical).await?;
        let landed = self.land_with(&mut work, &landing).await;
        if landed.is_err() {
            if work.lease.in_transaction() && work.lease.run("rollback").await.is_err() {
                work.lease.keep_to_oneself();
            }
            self.known.forget_all();
        }
        work.end().await;
        landed
    }

    async fn land_with(&self, work: &mut Work<'_>, landing: &Landing) -> Result<Published, EngineError> {
        let table = &landing.table;
        self.schema_for(&mut work.lease, table).await?;
        let before = self.ledger.entry_now(&mut work.lease, table).await?;
        if let Some(done) = before.as_ref().filter(|e| e.sequence >= landing.sequence) {
            return Ok(Published { rows: Some(0), message: "SUCCESS 0".into(), version: done.version.clone() });
        }
        let columns = self.described(table).await?;
        // DDL commits by itself: all of it comes before the transaction, and harms nobody when that fails
        match (&columns, landing.start_over && !same_columns(columns.as_deref().unwrap_or_default(), landing)) {
            (None, _) => self.make_landing(work, landing).await?,
            (Some(_), true) => self.make_landing(work, landing).await?,
            (Some(present), false) => self.widen(work, landing, present).await?,
        }
        let mut batches = stream::iter(landing.batches.iter().cloned().map(Ok)).boxed();
        let staged = self.stage(work, table, &landing.schema, &mut batches).await?;
        let mut properties: BTreeMap<String, String> = landing.properties.clone();
        properties.insert("segue.ingest.sequence".into(), landing.sequence.to_string());
        let entry = Entry {
            version: Uuid::new_v4().to_string(),
            written_at: 0,
            properties,
            sequence: landing.sequence,
            position: Some(landing.position.clone()),
        };
        work.run("begin").await?;
        if landing.start_over {
            work.run(&format!("delete from {table}")).await?;
        } else if let Some(replace) = landing.replace.as_ref().filter(|r| !r.values.is_empty()) {
            let list = replace.values.iter().map(|v| literal(v)).collect::<Vec<_>>().join(", ");
            let column = quoted(&replace.column);
            work.run(&format!("delete from {table} where {column}::varchar in ({list})")).await?;
        }
        let mut rows = 0;
        if let Some((stage, loaded)) = &staged {
            self.copy_from(work, table, &landing.schema, stage).await?;
            rows = loaded.rows;
        }
        let recorded = self.ledger.replace(&mut work.lease, table, before.as_ref(), &entry).await?;
        if !recorded {
            work.run("rollback").await?;
            return Err(EngineError {
                transient: true,
                ..EngineError::new("engine/conflict", format!("another build landed rows in `{table}` meanwhile"))
            });
        }
        work.run("commit").await?;
        self.ledger.stamp(&mut work.lease, table, &entry.version).await?;
        if let Some((stage, _)) = &staged {
            match work.run(&format!("drop stage if exists {stage}")).await {
                Ok(_) => work.lease.is_clean(),
                Err(_) => work.lease.keep_to_oneself(),
            }
        }
        self.known.published(table, RelationKind::Table);
        let version = entry.version.clone();
        self.ledger.note(table, entry);
        Ok(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version })
    }

    async fn make_landing(&self, work: &mut Work<'_>, landing: &Landing) -> Result<(), EngineError> {
        let table = &landing.table;
        if self.known.kind(table) == Some(RelationKind::View) {
            work.run(&format!("drop view if exists {table}")).await?;
        }
        let comment = landing.comment.as_ref().map_or(String::new(), |c| format!(" comment = {}", literal(c)));
        work.run(&format!("create or replace table {table} ({}){comment}", declarations(&landing.schema, &[]))).await?;
        Ok(())
    }

    /// Columns that the adapter has more; another type is no change that can be made to what is stored.
    async fn widen(&self, work: &mut Work<'_>, landing: &Landing, present: &[ColumnInfo]) -> Result<(), EngineError> {
        let table = &landing.table;
        let gone = present.iter().find(|c| landing.schema.field_with_name(c.name.as_str()).is_err());
        if let Some(gone) = gone {
            let message =
                format!("the columns of the landing table `{table}` are not those of its adapter: `{}` differs", gone.name.as_str());
            return Err(EngineError::new("engine/landing-schema", message)
                .help("`segue ingest --full-refresh` ingests it anew with the new columns"));
        }
        for field in landing.schema.fields() {
            if !present.iter().any(|c| c.name.as_str() == field.name()) {
                work.run(&format!("alter table {table} add column {} {}", quoted(field.name()), Type::of(field))).await?;
            }
        }
        Ok(())
    }
}

fn same_columns(present: &[ColumnInfo], landing: &Landing) -> bool {
    let wanted = landing.schema.fields();
    present.len() == wanted.len()
        && present.iter().zip(wanted).all(|(c, f)| c.name.as_str() == f.name() && c.data_type == Type::of(f).to_string())
}
