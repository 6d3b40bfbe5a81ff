//! Landing tables: rows of a source and its position, in one commit.

use std::sync::Arc;

use ::datafusion::arrow::{
    datatypes::{Schema, SchemaRef},
    record_batch::RecordBatch,
};

use super::{Inner, fault, publish::rows_of};
use crate::{
    engine::{EngineError, Landing, LandingState, Published},
    lake::{Change, Commit, Removed, storage_schema},
    names::RelationName,
};

/// Application id of the Delta `txn` action whose version is the landing's sequence.
const APPLICATION: &str = "segue-ingest";
const POSITION: &str = "segue.ingest.position";
const SEQUENCE: &str = "segue.ingest.sequence";

impl Inner {
    pub(super) async fn landing_state(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        let Some(found) = self.lake.table(table).await.map_err(fault::lake)? else { return Ok(LandingState::default()) };
        let sequence = found.application_version(APPLICATION).await.map_err(fault::lake)?.unwrap_or(0);
        Ok(LandingState { exists: true, sequence: sequence.max(0) as u64, position: found.properties().get(POSITION).cloned() })
    }

    pub(super) async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        let mut schema = storage_schema(&landing.schema).map_err(fault::lake)?;
        let base = self.lake.table(&landing.table).await.map_err(fault::lake)?;
        if let Some(table) = &base {
            let done = self.landing_state(&landing.table).await?.sequence;
            if done >= landing.sequence {
                return Ok(Published { rows: Some(0), message: "SUCCESS 0".into(), version: table.identity() });
            }
            if !landing.start_over {
                let current = table.schema().map_err(fault::lake)?;
                schema = widened(&landing.table, &current, &schema)?;
            }
        }
        let store = self.lake.table_store(&landing.table).map_err(fault::lake)?;
        let partition_by = match &base {
            Some(table) if !landing.start_over => table.partition_columns(),
            _ => landing.partition_by.clone(),
        };
        let mut files = self.write_batches(fitted(landing.batches, &schema)?, store, schema.clone(), &partition_by).await?;
        let rows = rows_of(&files);
        let mut remove = Removed::None;
        if landing.start_over {
            remove = Removed::All;
        } else if let (Some(table), Some(replace)) = (&base, &landing.replace) {
            let (kept, touched) = self.without(table, &schema, &replace.column, &replace.values).await?;
            files.extend(kept);
            remove = Removed::Files(touched);
        }
        let mut properties = landing.properties;
        properties.insert(POSITION.into(), landing.position);
        properties.insert(SEQUENCE.into(), landing.sequence.to_string());
        let commit = Commit {
            relation: landing.table,
            change: if matches!(remove, Removed::None) { Change::Append } else { Change::Rewrite },
            schema,
            partition_by,
            add: files,
            remove,
            comment: landing.comment,
            column_comments: Default::default(),
            properties,
            application: Some((APPLICATION.into(), landing.sequence as i64)),
        };
        let relation = commit.relation.clone();
        let version = self.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
        // files that were read in place until now hid the table
        self.lake.drop_view(&relation).map_err(fault::lake)?;
        self.look_after(&relation).await;
        Ok(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version: version.to_string() })
    }

    /// Files holding rows whose column has one of the values, and what is left of them.
    async fn without(
        &self,
        table: &crate::lake::LakeTable,
        schema: &::datafusion::arrow::datatypes::SchemaRef,
        column: &str,
        values: &[String],
    ) -> Result<(Vec<crate::lake::WrittenFile>, Vec<String>), EngineError> {
        use super::change::{Staged, TARGET, in_files, quoted, select_list};
        if values.is_empty() {
            return Ok((vec![], vec![]));
        }
        let staged = Staged { table, files: vec![], schema };
        let scope = self.change_scope(&staged).await?;
        let list = values.iter().map(|v| format!("'{}'", v.replace('\\', "\\\\").replace('\'', "''"))).collect::<Vec<_>>().join(", ");
        let matched = format!("{TARGET}.{}::varchar in ({list})", quoted(column));
        let touched = self.touched(&matched, &scope).await?;
        if touched.is_empty() {
            return Ok((vec![], vec![]));
        }
        let columns: Vec<(String, String)> =
            schema.fields().iter().map(|f| (f.name().clone(), format!("{TARGET}.{}", quoted(f.name())))).collect();
        let sql = format!("select {} from {TARGET} where {} and not coalesce({matched}, false)", select_list(&columns), in_files(&touched));
        Ok((self.rewrite(&sql, &scope, &staged).await?, touched))
    }
}

/// The table's columns and behind them those that its adapter has more. Columns that went, or have another type, are no
/// change that can be made to what is stored.
fn widened(table: &RelationName, current: &SchemaRef, wanted: &SchemaRef) -> Result<SchemaRef, EngineError> {
    let missing = current.fields().iter().find(|f| wanted.field_with_name(f.name()).map_or(true, |w| w.data_type() != f.data_type()));
    if let Some(missing) = missing {
        let message = format!("the columns of the landing table `{table}` are not those of its adapter: `{}` differs", missing.name());
        return Err(
            EngineError::new("engine/landing-schema", message).help("`segue ingest --full-refresh` ingests it anew with the new columns")
        );
    }
    let added = wanted.fields().iter().filter(|f| current.field_with_name(f.name()).is_err());
    Ok(Arc::new(Schema::new(current.fields().iter().chain(added).cloned().collect::<Vec<_>>())))
}

/// Batches with the columns in the table's order.
fn fitted(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>, EngineError> {
    let fit = |batch: RecordBatch| {
        let places: Result<Vec<usize>, _> = schema.fields().iter().map(|f| batch.schema().index_of(f.name())).collect();
        places.and_then(|places| batch.project(&places))
    };
    let fitted: Result<_, _> = batches.into_iter().map(fit).collect();
    fitted.map_err(|e| EngineError::new("engine/landing-schema", format!("the landed rows do not fit their table: {e}")))
}
