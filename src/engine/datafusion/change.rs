//! Changes of existing tables as copy-on-write: the new rows are staged as files, the files of the table that hold
//! affected rows are written anew without them, and one commit swaps them.
//!
//! Only touched files are rewritten. Statements are composed as Snowflake SQL over three local relations and planned
//! like any other.

use std::sync::Arc;

use ::datafusion::{
    arrow::{
        array::AsArray,
        datatypes::{Int64Type, SchemaRef},
    },
    catalog::TableProvider,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
};

use super::{Inner, fault, planner::Scope};
use crate::{
    engine::EngineError,
    lake::{LakeTable, Removed, WrittenFile},
    names::{Identifier, RelationName},
};

/// Names of the local relations; dbt's own, so that `incremental_predicates` can use them.
pub(super) const TARGET: &str = "DBT_INTERNAL_DEST";
pub(super) const SOURCE: &str = "DBT_INTERNAL_SOURCE";
/// Column with the file of each target row.
pub(super) const FILE_COLUMN: &str = "__SEGUE_FILE";

/// New rows, written as files of the table that nothing names yet.
pub(super) struct Staged<'a> {
    pub table: &'a LakeTable,
    pub files: Vec<WrittenFile>,
    /// Columns after the change.
    pub schema: &'a SchemaRef,
}

/// A column name in SQL, as stored.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The stored spelling of a configured column name.
fn stored_key(schema: &SchemaRef, key: &str) -> Result<String, EngineError> {
    let wanted = Identifier::parse(key);
    schema
        .fields()
        .iter()
        .find(|f| f.name() == wanted.as_str())
        .or_else(|| schema.fields().iter().find(|f| f.name().eq_ignore_ascii_case(wanted.as_str())))
        .map(|f| f.name().clone())
        .ok_or_else(|| {
            EngineError::new("engine/unique-key", format!("`unique_key` names the column `{key}`, which the model does not have")).help(
                format!("its columns are: {}", schema.fields().iter().map(|f| format!("`{}`", f.name())).collect::<Vec<_>>().join(", ")),
            )
        })
}

fn join_condition(schema: &SchemaRef, unique_key: &[String], predicates: &[String]) -> Result<String, EngineError> {
    let mut parts = unique_key
        .iter()
        .map(|k| stored_key(schema, k).map(|k| format!("{TARGET}.{0} = {SOURCE}.{0}", quoted(&k))))
        .collect::<Result<Vec<_>, _>>()?;
    parts.extend(predicates.iter().map(|p| format!("({p})")));
    if parts.is_empty() {
        return Err(EngineError::new("engine/unique-key", "this incremental strategy needs `unique_key`")
            .help("set `unique_key`, or use `incremental_strategy: append`"));
    }
    Ok(parts.join(" and "))
}

impl Inner {
    /// A scope in which the target (with its file column) and the staged rows have their local names.
    pub(super) async fn change_scope(&self, staged: &Staged<'_>) -> Result<Scope, EngineError> {
        let mut scope = Scope::new(staged.table.relation().schema_name());
        let target = staged.table.provider(&self.state, Some(FILE_COLUMN)).await.map_err(fault::lake)?;
        scope.local.insert(TARGET.into(), target);
        scope.local.insert(SOURCE.into(), self.staged_provider(staged.table.relation(), &staged.files, staged.schema)?);
        Ok(scope)
    }

    fn staged_provider(
        &self,
        relation: &RelationName,
        files: &[WrittenFile],
        schema: &SchemaRef,
    ) -> Result<Arc<dyn TableProvider>, EngineError> {
        if files.is_empty() {
            let empty = ::datafusion::datasource::MemTable::try_new(schema.clone(), vec![vec![]]).map_err(|e| fault::plan("", &e))?;
            return Ok(Arc::new(empty));
        }
        let root = self.lake.table_folder(relation);
        let urls = files
            .iter()
            .map(|f| ListingTableUrl::parse(root.join(f.path()).to_string_lossy()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fault::plan("", &e))?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
        let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema.clone());
        ListingTable::try_new(config).map(|t| Arc::new(t) as Arc<dyn TableProvider>).map_err(|e| fault::plan("", &e))
    }

    /// First column of the first row as a number.
    pub(super) async fn count(&self, sql: &str, scope: &Scope) -> Result<i64, EngineError> {
        let plan = self.plan_query(sql, scope).await.map_err(without_place)?;
        let (_, batches) = self.rows(sql, plan).await.map_err(without_place)?;
        Ok(batches.first().filter(|b| b.num_rows() > 0).and_then(|b| b.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |a| a.value(0)))
    }

    /// Files of the target with rows that a condition selects.
    pub(super) async fn touched(&self, condition: &str, scope: &Scope) -> Result<Vec<String>, EngineError> {
        let sql = format!("select distinct {TARGET}.{FILE_COLUMN} from {TARGET} where {condition}");
        let plan = self.plan_query(&sql, scope).await.map_err(without_place)?;
        let (_, batches) = self.rows(&sql, plan).await.map_err(without_place)?;
        let mut files = vec![];
        for batch in batches {
            let column = ::datafusion::arrow::compute::cast(batch.column(0), &::datafusion::arrow::datatypes::DataType::Utf8)
                .map_err(|e| EngineError::new("engine/internal", e.to_string()))?;
            files.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        Ok(files)
    }

    /// Runs a composed query and writes its rows as new files of the table.
    pub(super) async fn rewrite(&self, sql: &str, scope: &Scope, staged: &Staged<'_>) -> Result<Vec<WrittenFile>, EngineError> {
        let plan = self.plan_query(sql, scope).await.map_err(without_place)?;
        let plan = super::publish::fitted(sql, plan, staged.schema)?;
        let store = self.lake.table_store(staged.table.relation()).map_err(fault::lake)?;
        self.write_plan(sql, plan, store, staged.schema.clone(), &staged.table.partition_columns()).await.map_err(without_place)
    }

    /// Columns of the target as they are; NULL for those that the change adds.
    pub(super) fn target_columns(&self, staged: &Staged<'_>) -> Result<Vec<(String, String)>, EngineError> {
        let current = staged.table.schema().map_err(fault::lake)?;
        Ok(staged
            .schema
            .fields()
            .iter()
            .map(|f| {
                let has = current.fields().iter().any(|c| c.name() == f.name());
                (f.name().clone(), if has { format!("{TARGET}.{}", quoted(f.name())) } else { "null".into() })
            })
            .collect())
    }

    /// delete+insert: rows of the target whose key occurs among the new rows go, all new rows come.
    pub(super) async fn replace_staged(
        &self,
        staged: Staged<'_>,
        unique_key: &[String],
        predicates: &[String],
    ) -> Result<(Vec<WrittenFile>, Removed), EngineError> {
        let condition = join_condition(staged.schema, unique_key, predicates)?;
        let scope = self.change_scope(&staged).await?;
        let matched = format!("exists (select 1 from {SOURCE} where {condition})");
        let touched = self.touched(&matched, &scope).await?;
        let mut add = vec![];
        if !touched.is_empty() {
            let columns = select_list(&self.target_columns(&staged)?);
            let sql = format!("select {columns} from {TARGET} where {} and not {matched}", in_files(&touched));
            add = self.rewrite(&sql, &scope, &staged).await?;
        }
        add.extend(staged.files);
        Ok((add, Removed::Files(touched)))
    }

    /// MERGE on the key: matching rows take the new values, other new rows are inserted.
    pub(super) async fn merge_staged(
        &self,
        staged: Staged<'_>,
        unique_key: &[String],
        update_columns: Option<&[String]>,
        predicates: &[String],
    ) -> Result<(Vec<WrittenFile>, Removed), EngineError> {
        let condition = join_condition(staged.schema, unique_key, predicates)?;
        let keys = unique_key.iter().map(|k| stored_key(staged.schema, k).map(|k| quoted(&k))).collect::<Result<Vec<_>, _>>()?.join(", ");
        let scope = self.change_scope(&staged).await?;
        let matched = format!("exists (select 1 from {SOURCE} where {condition})");
        let touched = self.touched(&matched, &scope).await?;
        if touched.is_empty() {
            return Ok((staged.files, Removed::None));
        }
        let duplicates = format!(
            "select count(*) from (select {keys} from {SOURCE} where exists (select 1 from {TARGET} where {condition}) group by {keys} having count(*) > 1)"
        );
        let repeated = self.count(&duplicates, &scope).await?;
        if repeated > 0 {
            return Err(EngineError::new(
                "engine/duplicate-merge",
                format!("{repeated} keys ({keys}) occur more than once among the new rows and match rows of the table"),
            )
            .help("make the key unique in the model's query, e.g. with QUALIFY ROW_NUMBER() OVER (PARTITION BY key ORDER BY ...) = 1"));
        }
        let columns = self.target_columns(&staged)?;
        let files = in_files(&touched);
        let Some(update_columns) = update_columns else {
            let list = select_list(&columns);
            let sql = format!("select {list} from {TARGET} where {files} and not {matched}");
            let mut add = self.rewrite(&sql, &scope, &staged).await?;
            add.extend(staged.files);
            return Ok((add, Removed::Files(touched)));
        };
        let updated: Vec<String> = update_columns.iter().map(|c| stored_key(staged.schema, c)).collect::<Result<_, _>>()?;
        let merged: Vec<(String, String)> = columns
            .into_iter()
            .map(|(name, old)| {
                let value =
                    if updated.contains(&name) { format!("iff({SOURCE}.__SEGUE_HIT, {SOURCE}.{0}, {old})", quoted(&name)) } else { old };
                (name, value)
            })
            .collect();
        let kept = format!(
            "select {} from {TARGET} left join (select *, true as __SEGUE_HIT from {SOURCE}) as {SOURCE} on {condition} where {files}",
            select_list(&merged)
        );
        let inserted = format!("select * from {SOURCE} where not exists (select 1 from {TARGET} where {condition})");
        let mut add = self.rewrite(&kept, &scope, &staged).await?;
        add.extend(self.rewrite(&inserted, &scope, &staged).await?);
        Ok((add, Removed::Files(touched)))
    }
}

pub(super) fn in_files(files: &[String]) -> String {
    let list = files.iter().map(|f| format!("'{}'", f.replace('\\', "\\\\").replace('\'', "''"))).collect::<Vec<_>>().join(", ");
    format!("{TARGET}.{FILE_COLUMN} in ({list})")
}

pub(super) fn select_list(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, value)| format!("{value} as {}", quoted(name))).collect::<Vec<_>>().join(", ")
}

/// Places in composed SQL mean nothing to the user.
fn without_place(error: EngineError) -> EngineError {
    EngineError { at: None, ..error }
}
