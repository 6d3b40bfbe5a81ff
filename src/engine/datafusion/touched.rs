//! Which stretches of time two versions of a table differ in, by a column that tells when a row happened.
//!
//! Only the files that came and went are read. Rows that were merely written anew cancel out: per hour the rows that came are
//! counted and their digests added, those that went subtracted, and an hour is touched where something is left.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use ::datafusion::arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
    row::{RowConverter, SortField},
};
use futures::StreamExt;

use super::{
    Inner,
    change::{FILE_COLUMN, TARGET, in_files, quoted},
    fault,
    planner::Scope,
};
use crate::{engine::EngineError, lake::LakeTable, names::RelationName};

const HOUR: i64 = 3600;

/// What is left of an hour: rows, and the sum of their digests.
type Hours = BTreeMap<i64, (i64, u64)>;

impl Inner {
    /// Hours, as seconds since 1970, from the first to before the second; `None` where it cannot be told.
    pub(super) async fn touched_hours(
        &self,
        relation: &RelationName,
        since: &str,
        column: &str,
    ) -> Result<Option<Vec<(i64, i64)>>, EngineError> {
        if self.lake.view(relation).map_err(fault::lake)?.is_some() {
            return Ok(None);
        }
        let Some(now) = self.lake.table(relation).await.map_err(fault::lake)? else { return Ok(None) };
        let Some(version) = since.rsplit_once('@').and_then(|(_, v)| v.parse::<u64>().ok()) else { return Ok(None) };
        // another table under the name has another id
        let Ok(before) = now.at_version(version).await else { return Ok(None) };
        if before.identity() != since {
            return Ok(None);
        }
        let (came, went) = now.differing_files(&before).await.map_err(fault::lake)?;
        let mut hours = Hours::new();
        for (table, files, sign) in [(&now, came, 1), (&before, went, -1)] {
            // files that are gone, a column that the other version does not have: then nobody knows
            if !files.is_empty() && self.add_hours(table, &files, column, sign, &mut hours).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(hours.into_iter().filter(|(_, left)| *left != (0, 0)).map(|(hour, _)| (hour, hour + HOUR)).collect()))
    }

    async fn add_hours(&self, table: &LakeTable, files: &[String], column: &str, sign: i64, hours: &mut Hours) -> Result<(), EngineError> {
        let mut scope = Scope::new(table.relation().schema_name());
        scope.local.insert(TARGET.into(), table.provider(&self.state, Some(FILE_COLUMN)).await.map_err(fault::lake)?);
        // as a scan shows them
        let shown = self.touched("true", &scope).await?;
        let wanted: std::collections::HashSet<&str> = files.iter().map(String::as_str).collect();
        let is_one = |path: &str| wanted.contains(path) || files.iter().any(|f| path.ends_with(&format!("/{f}")));
        let shown: Vec<String> = shown.into_iter().filter(|path| is_one(path)).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = table.schema().map_err(fault::lake)?.fields().iter().map(|f| quoted(f.name())).collect();
        let sql = format!(
            "select date_part('epoch_second', convert_timezone('UTC', {TARGET}.{column}::timestamp_tz)::timestamp_ntz), {} from {TARGET} where {}",
            columns.join(", "),
            in_files(&shown)
        );
        let plan = self.plan_query(&sql, &scope).await?;
        let mut stream = self.stream(&sql, plan).await?;
        let internal = |e: ::datafusion::arrow::error::ArrowError| EngineError::new("engine/internal", e.to_string());
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|e| fault::plan(&sql, &e))?;
            let moments = cast(batch.column(0), &DataType::Int64).map_err(internal)?;
            let moments = moments.as_primitive::<Int64Type>();
            let columns = &batch.columns()[1..];
            let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
            let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(columns)).map_err(internal)?;
            for (i, row) in rows.iter().enumerate().filter(|(i, _)| !moments.is_null(*i)) {
                let mut hasher = DefaultHasher::new();
                row.as_ref().hash(&mut hasher);
                let left = hours.entry(moments.value(i).div_euclid(HOUR) * HOUR).or_default();
                left.0 += sign;
                left.1 = if sign > 0 { left.1.wrapping_add(hasher.finish()) } else { left.1.wrapping_sub(hasher.finish()) };
            }
        }
        Ok(())
    }
}
