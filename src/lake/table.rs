//! One Delta table at one version.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    catalog::{Session, TableProvider},
};
use deltalake::{DeltaTable, kernel::engine::arrow_conversion::TryIntoArrow};
use futures::TryStreamExt;

use super::{
    LakeError,
    commit::Committed,
    scan::{self, FileScan},
};
use crate::names::RelationName;

/// A table that was found, with its state loaded.
#[derive(Clone)]
pub struct LakeTable {
    pub(super) relation: RelationName,
    pub(super) delta: DeltaTable,
}

impl LakeTable {
    pub fn relation(&self) -> &RelationName {
        &self.relation
    }

    pub fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    fn fail(&self, action: &'static str, e: deltalake::DeltaTableError) -> LakeError {
        LakeError::delta(action, &self.relation.to_string(), e)
    }

    /// Columns in order with their metadata (`segue.type`, `comment`).
    pub fn schema(&self) -> Result<SchemaRef, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|e| self.fail("read", e))?;
        let fields = snapshot
            .schema()
            .fields()
            .map(TryIntoArrow::<Field>::try_into_arrow)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| LakeError::Damaged { place: self.relation.to_string(), cause: e.to_string() })?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Table configuration whose keys begin with `segue.`: what the last publish recorded.
    pub fn properties(&self) -> BTreeMap<String, String> {
        self.delta.snapshot().map_or_else(
            |_| BTreeMap::new(),
            |s| s.metadata().configuration().iter().filter(|(k, _)| k.starts_with("segue.")).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    }

    pub fn comment(&self) -> Option<String> {
        self.delta.snapshot().ok().and_then(|s| s.metadata().description().map(str::to_owned))
    }

    pub fn partition_columns(&self) -> Vec<String> {
        self.delta.snapshot().map_or_else(|_| vec![], |s| s.metadata().partition_columns().to_vec())
    }

    /// For DataFusion; `file_column` adds a column with the path of each row's file.
    pub async fn provider(&self, session: &dyn Session, file_column: Option<&str>) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.delta.update_datafusion_session(session).map_err(|e| self.fail("read", e))?;
        if file_column.is_none()
            && let Some(scan) = self.file_scan().await?
        {
            return Ok(Arc::new(scan));
        }
        let mut builder = self.delta.table_provider();
        if let Some(name) = file_column {
            builder = builder.with_file_column(name);
        }
        let provider = builder.build().await.map_err(|e| LakeError::storage("read", &self.relation.to_string(), &e))?;
        Ok(Arc::new(provider))
    }

    /// `None` for a table whose rows are not those of its files as they are.
    async fn file_scan(&self) -> Result<Option<FileScan>, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|e| self.fail("read", e))?;
        let metadata = snapshot.metadata();
        let mapped = metadata.configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none");
        if !scan::is_plain(snapshot.protocol(), !metadata.partition_columns().is_empty(), mapped) {
            return Ok(None);
        }
        Ok(FileScan::new(&*self.schema()?, self.delta.log_store().root_url(), self.adds().await?))
    }

    /// Paths (relative to the table) and row counts of the live files.
    pub(super) async fn removes(&self) -> Result<Vec<deltalake::kernel::Remove>, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|e| self.fail("read", e))?;
        snapshot
            .snapshot()
            .file_views(&self.delta.log_store(), None)
            .map_ok(|f| f.remove_action(true))
            .try_collect()
            .await
            .map_err(|e| self.fail("read", e))
    }

    /// The live files.
    #[allow(deprecated)] // whole actions are wanted here: they are written into another log
    pub(super) async fn adds(&self) -> Result<Vec<deltalake::kernel::Add>, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|e| self.fail("read", e))?;
        snapshot
            .snapshot()
            .file_views(&self.delta.log_store(), None)
            .map_ok(|f| f.add_action())
            .try_collect()
            .await
            .map_err(|e| self.fail("read", e))
    }

    /// Files that this version has and the other has not, and the other way round.
    pub async fn differing_files(&self, other: &Self) -> Result<(Vec<String>, Vec<String>), LakeError> {
        let paths = |adds: Vec<deltalake::kernel::Add>| adds.into_iter().map(|a| a.path).collect::<std::collections::BTreeSet<String>>();
        let (own, others) = (paths(self.adds().await?), paths(other.adds().await?));
        Ok((own.difference(&others).cloned().collect(), others.difference(&own).cloned().collect()))
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> std::path::PathBuf {
        self.delta.log_store().root_url().to_file_path().unwrap_or_default()
    }

    /// The table as it was at a version.
    pub async fn at_version(&self, version: u64) -> Result<Self, LakeError> {
        let mut delta = self.delta.clone();
        delta.load_version(version).await.map_err(|e| self.fail("read an older version of", e))?;
        Ok(Self { relation: self.relation.clone(), delta })
    }

    /// The last version committed at or before a time (milliseconds since 1970), or strictly before it; `None` when the
    /// table is younger.
    pub fn version_at(&self, millis: i64, strictly_before: bool) -> Option<u64> {
        let folder = self.folder().join("_delta_log");
        let mut found = None;
        for version in 0..=self.version() {
            let Ok(text) = std::fs::read_to_string(folder.join(format!("{version:020}.json"))) else { continue };
            let stamp = text
                .lines()
                .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
                .find_map(|v| v.get("commitInfo")?.get("timestamp")?.as_i64());
            if stamp.is_some_and(|t| if strictly_before { t < millis } else { t <= millis }) {
                found = Some(version);
            }
        }
        found
    }

    /// Rows and bytes of the live files, as the log tells them.
    pub async fn size(&self) -> Result<(u64, u64), LakeError> {
        let files: Vec<super::WrittenFile> = self.adds().await?.into_iter().map(super::WrittenFile::of).collect();
        Ok((files.iter().map(|f| f.rows).sum(), files.iter().map(|f| f.bytes).sum()))
    }

    /// Milliseconds since 1970 of the first and the last commit that the log still has.
    pub fn times(&self) -> (Option<i64>, Option<i64>) {
        let created = self.delta.snapshot().ok().and_then(|s| s.metadata().created_time());
        let folder = self.delta.log_store().root_url().to_file_path().ok();
        let newest = folder.map(|f| f.join("_delta_log").join(format!("{:020}.json", self.version())));
        let altered = newest
            .and_then(|p| std::fs::metadata(p).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok())
            .map(|d| d.as_millis() as i64);
        (created, altered.or(created))
    }

    /// The last version that an application recorded with a `txn` action.
    pub async fn application_version(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|e| self.fail("read", e))?;
        snapshot.transaction_version(self.delta.log_store().as_ref(), app_id).await.map_err(|e| self.fail("read", e))
    }

    /// The same text means the same rows, whatever was dropped and made again under the name; files that were put together
    /// hold the same rows.
    pub fn identity(&self) -> String {
        let version = super::commit::content_version(&self.properties(), self.version());
        Committed { table_id: self.table_id().unwrap_or_default(), version }.to_string()
    }

    pub(super) fn table_id(&self) -> Option<String> {
        self.delta.snapshot().ok().map(|s| s.metadata().id().to_owned())
    }
}
