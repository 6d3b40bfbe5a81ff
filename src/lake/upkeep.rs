//! Looking after a table: small files put together, files that no version needs any more removed, the log kept short.
//!
//! None of it changes a row. A table whose files were put together keeps its identity (`commit::SAME_ROWS`), so nothing that
//! reads it becomes stale. Readers that began before go on reading: files leave the disk only when the versions that need them
//! are older than the retention. A commit that another writer makes meanwhile wins; what was put together is then thrown away.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use datafusion::{
    arrow::{
        array::{ArrayRef, new_null_array},
        compute::cast,
        datatypes::{Schema, SchemaRef},
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    error::DataFusionError,
    parquet::arrow::ParquetRecordBatchStreamBuilder,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use deltalake::{
    kernel::{
        Action, Add, MetadataExt, Remove, StructField, StructType,
        engine::arrow_conversion::TryIntoKernel,
        new_metadata,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::DeltaOperation,
};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;

use super::{
    Lake, LakeError, LakeTable, WriteError, WrittenFile,
    commit::{SAME_ROWS, content_version},
    write_stream,
};
use crate::names::RelationName;

/// A file of at least this size is left as it is.
const SMALL: u64 = 64 << 20;
/// What files are put together to.
const TARGET: u64 = 256 << 20;
/// As many small files in one partition make a table worth the work, unasked.
const EARNED: usize = 32;
/// Commits since the last checkpoint that make another one worth the work.
const COMMITS: u64 = 20;

/// What is to be done, and how carefully.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// Older versions than this cannot be read afterwards.
    pub retention: Duration,
    /// Nothing is changed; what would be is told.
    pub dry_run: bool,
    pub now: SystemTime,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkept {
    /// Small files that were put together, and into how many.
    pub joined: usize,
    pub joined_into: usize,
    /// Files that no version needs any more.
    pub removed: usize,
    pub removed_bytes: u64,
    /// Entries of the log that a checkpoint stands for.
    pub log_entries: usize,
    pub checkpoint: bool,
    /// Another writer was at work: the table was left alone.
    pub busy: bool,
}

impl Upkept {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Small files of one partition that become one.
struct Bundle {
    files: Vec<Add>,
}

impl Lake {
    /// All three, in the order in which each makes the next one's work smaller; `None` when there is no such table.
    pub async fn maintain(&self, relation: &RelationName, upkeep: &Upkeep) -> Result<Option<Upkept>, LakeError> {
        let Some(table) = self.table(relation).await? else { return Ok(None) };
        let mut done = self.join_files(&table, upkeep, 2).await?;
        let Some(table) = self.table(relation).await? else { return Ok(None) };
        self.checkpoint(&table, upkeep, &mut done).await?;
        self.remove_unneeded(&table, upkeep, &mut done).await?;
        Ok(Some(done))
    }

    /// After a change that added files: puts them together when there are many by now.
    pub async fn join_if_earned(&self, relation: &RelationName) -> Result<Upkept, LakeError> {
        let Some(table) = self.table(relation).await? else { return Ok(Upkept::default()) };
        let upkeep = Upkeep { retention: Duration::MAX, dry_run: false, now: SystemTime::now() };
        self.join_files(&table, &upkeep, EARNED).await
    }

    async fn join_files(&self, table: &LakeTable, upkeep: &Upkeep, least: usize) -> Result<Upkept, LakeError> {
        let mut done = Upkept::default();
        let bundles = bundles(table.adds().await?, least);
        if bundles.is_empty() {
            return Ok(done);
        }
        done.joined = bundles.iter().map(|b| b.files.len()).sum();
        done.joined_into = bundles.len();
        if upkeep.dry_run {
            return Ok(done);
        }
        let schema = table.schema()?;
        let store = self.table_store(&table.relation)?;
        let partition_by = table.partition_columns();
        let (mut added, mut gone) = (vec![], vec![]);
        for bundle in bundles {
            added.extend(joined(&store, &schema, &partition_by, &bundle, table).await?);
            gone.extend(bundle.files);
        }
        done.joined_into = added.len();
        let paths: Vec<String> = added.iter().map(|f| f.path().to_owned()).collect();
        match self.commit_joined(table, &schema, &partition_by, added, gone).await {
            Ok(()) => Ok(done),
            Err(fault) => {
                for path in paths {
                    let _ = std::fs::remove_file(table.folder().join(path));
                }
                match fault {
                    LakeError::Conflict { .. } => Ok(Upkept { busy: true, ..Upkept::default() }),
                    other => Err(other),
                }
            }
        }
    }

    async fn commit_joined(
        &self,
        table: &LakeTable,
        schema: &SchemaRef,
        partition_by: &[String],
        added: Vec<WrittenFile>,
        gone: Vec<Add>,
    ) -> Result<(), LakeError> {
        let place = table.relation.to_string();
        let damaged = |e: &dyn std::fmt::Display| LakeError::Damaged { place: place.clone(), cause: e.to_string() };
        let fail = |e| LakeError::delta("commit to", &place, e);
        let fields: Result<Vec<StructField>, _> = schema.fields().iter().map(|f| f.as_ref().try_into_kernel()).collect();
        let fields = fields.map_err(|e| damaged(&e))?;
        let mut properties: BTreeMap<String, String> = table.properties();
        let (own, same) = (table.version() + 1, content_version(&properties, table.version()));
        properties.insert(SAME_ROWS.to_owned(), format!("{own}={same}"));
        let kernel = StructType::try_new(fields).map_err(|e| damaged(&e))?;
        let mut metadata = new_metadata(&kernel, partition_by.to_vec(), properties).map_err(|e| damaged(&e))?;
        if let Some(id) = table.table_id() {
            metadata = metadata.with_table_id(id).map_err(|e| damaged(&e))?;
        }
        if let Some(comment) = table.comment() {
            metadata = metadata.with_description(comment).map_err(|e| damaged(&e))?;
        }
        let now = chrono::Utc::now().timestamp_millis();
        let mut actions = vec![Action::Metadata(metadata)];
        actions.extend(gone.into_iter().map(|add| {
            Action::Remove(Remove {
                path: add.path,
                data_change: false,
                deletion_timestamp: Some(now),
                extended_file_metadata: Some(true),
                partition_values: Some(add.partition_values),
                size: Some(add.size),
                ..Remove::default()
            })
        }));
        actions.extend(added.into_iter().map(|file| Action::Add(Add { data_change: false, ..file.add })));
        let snapshot = table.delta.snapshot().map_err(fail)?;
        // no further try: rows that somebody changed meanwhile are not in the files that were put together
        let builder = CommitBuilder::from(CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false)));
        let operation = DeltaOperation::Optimize { predicate: None, target_size: TARGET as i64 };
        let committed =
            builder.with_actions(actions).build(Some(snapshot as &dyn TableReference), table.delta.log_store(), operation).await;
        self.forget(&table.relation);
        committed.map(drop).map_err(fail)
    }

    /// A checkpoint when many commits came since the last one; commits older than the retention that it stands for go.
    async fn checkpoint(&self, table: &LakeTable, upkeep: &Upkeep, done: &mut Upkept) -> Result<(), LakeError> {
        let log = table.folder().join("_delta_log");
        let mut last = None;
        let mut old = 0;
        let cutoff = upkeep.now.checked_sub(upkeep.retention);
        let mut commits: Vec<(u64, bool)> = vec![];
        for entry in entries(&log)? {
            let Some(name) = entry.file_name().and_then(|n| n.to_str()) else { continue };
            let Some(version) = name.get(..20).and_then(|n| n.parse::<u64>().ok()) else { continue };
            if name.contains(".checkpoint") {
                last = last.max(Some(version));
            } else if name.ends_with(".json") {
                commits.push((version, cutoff.is_some_and(|c| modified(&entry).is_some_and(|m| m < c))));
            }
        }
        let since = table.version() - last.unwrap_or(0).min(table.version());
        let due = since >= COMMITS;
        let stands_for = if due { Some(table.version()) } else { last };
        if let Some(checkpoint) = stands_for {
            old = commits.iter().filter(|(version, is_old)| *is_old && *version < checkpoint).count();
        }
        done.checkpoint = due;
        if upkeep.dry_run {
            done.log_entries = old;
            return Ok(());
        }
        let fail = |e| LakeError::delta("maintain the log of", &table.relation.to_string(), e);
        if due {
            deltalake::checkpoints::create_checkpoint(&table.delta, None).await.map_err(fail)?;
        }
        if let (true, Some(cutoff)) = (old > 0, cutoff) {
            let millis = cutoff.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
            let store = table.delta.log_store();
            let cleaned = deltalake::checkpoints::cleanup_expired_logs_for(table.version(), store.as_ref(), millis, None);
            done.log_entries = cleaned.await.map_err(fail)?;
            self.forget(&table.relation);
        }
        Ok(())
    }

    /// Data files that neither the newest version nor one within the retention names, and that are older than it: those of
    /// replaced versions, and what builds that were killed left behind.
    async fn remove_unneeded(&self, table: &LakeTable, upkeep: &Upkeep, done: &mut Upkept) -> Result<(), LakeError> {
        let folder = table.folder();
        let Some(cutoff) = upkeep.now.checked_sub(upkeep.retention) else { return Ok(()) };
        // by name, which is unique: a path may be spelt in the log in another way than on the disk
        let mut needed: HashSet<String> = table.adds().await?.iter().map(|a| last(&a.path).to_owned()).collect();
        needed.extend(recently_removed(&folder.join("_delta_log"), cutoff)?);
        let mut open = vec![folder.clone()];
        let mut files: Vec<PathBuf> = vec![];
        while let Some(next) = open.pop() {
            for path in entries(&next)? {
                let hidden = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(['.', '_']));
                match path.is_dir() {
                    true if hidden => {}
                    true => open.push(path),
                    false => files.push(path),
                }
            }
        }
        for path in files {
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let is_old = modified(&path).is_some_and(|m| m < cutoff);
            if !is_old || !name.ends_with(".parquet") || needed.contains(name) {
                continue;
            }
            done.removed += 1;
            done.removed_bytes += std::fs::metadata(&path).map_or(0, |m| m.len());
            if !upkeep.dry_run {
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(LakeError::storage("remove", &path.display().to_string(), &e));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn entries(folder: &FsPath) -> Result<Vec<PathBuf>, LakeError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).map(|e| e.path()).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(e) => Err(LakeError::storage("list", &folder.display().to_string(), &e)),
    }
}

fn modified(path: &FsPath) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// Names of files that left the table within the retention: versions that may still be read name them.
fn recently_removed(log: &FsPath, cutoff: SystemTime) -> Result<HashSet<String>, LakeError> {
    let mut names = HashSet::new();
    for commit in entries(log)? {
        if commit.extension().is_none_or(|e| e != "json") || modified(&commit).is_none_or(|m| m < cutoff) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&commit) else { continue };
        for line in text.lines().filter(|l| l.contains("\"remove\"")) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if let Some(path) = value.get("remove").and_then(|r| r.get("path")).and_then(serde_json::Value::as_str) {
                names.insert(last(path).to_owned());
            }
        }
    }
    Ok(names)
}

/// The name of a file, without its folders.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Small files of one partition, in the order in which they came, as many together as the target holds. Files with rows that a
/// deletion vector hides are left to whoever wrote them.
fn bundles(files: Vec<Add>, least: usize) -> Vec<Bundle> {
    let mut by_partition: BTreeMap<Vec<(String, Option<String>)>, Vec<Add>> = BTreeMap::new();
    for file in files {
        if (file.size.max(0) as u64) < SMALL && file.deletion_vector.is_none() {
            let mut partition: Vec<_> = file.partition_values.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            partition.sort();
            by_partition.entry(partition).or_default().push(file);
        }
    }
    let mut bundles = vec![];
    for (_, mut small) in by_partition.into_iter().filter(|(_, small)| small.len() >= least) {
        small.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        let (mut bundle, mut bytes) = (Bundle { files: vec![] }, 0);
        for file in small {
            let size = file.size.max(0) as u64;
            if bytes + size > TARGET && !bundle.files.is_empty() {
                bundles.push(std::mem::replace(&mut bundle, Bundle { files: vec![] }));
                bytes = 0;
            }
            bytes += size;
            bundle.files.push(file);
        }
        bundles.push(bundle);
    }
    bundles.retain(|b| b.files.len() > 1);
    bundles
}

/// The rows of a bundle in new files that nothing names yet.
async fn joined(
    store: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    partition_by: &[String],
    bundle: &Bundle,
    table: &LakeTable,
) -> Result<Vec<WrittenFile>, LakeError> {
    // values of partition columns stand in the log as text, and go back as they are
    let data: SchemaRef =
        Arc::new(Schema::new(schema.fields().iter().filter(|f| !partition_by.contains(f.name())).cloned().collect::<Vec<_>>()));
    let (folder, target) = (table.folder(), data.clone());
    let spelt = |path: &str| match folder.join(path) {
        written if written.exists() => written,
        _ => folder.join(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()),
    };
    let files: Vec<PathBuf> = bundle.files.iter().map(|f| spelt(&f.path)).collect();
    let rows = futures::stream::iter(files).then(move |path| {
        let schema = target.clone();
        async move {
            let file = tokio::fs::File::open(path).await?;
            let stream = ParquetRecordBatchStreamBuilder::new(file).await?.build()?;
            Ok::<_, DataFusionError>(stream.map(move |batch| fitted(&batch?, &schema)))
        }
    });
    let stream = Box::pin(RecordBatchStreamAdapter::new(data.clone(), rows.try_flatten()));
    let mut written = match write_stream(store.clone(), data, &[], stream).await {
        Ok(written) => written,
        Err(WriteError::Lake(e)) => return Err(e),
        Err(WriteError::Query(e)) => return Err(LakeError::storage("read", &table.relation.to_string(), &e)),
    };
    let values = bundle.files.first().map(|f| f.partition_values.clone()).unwrap_or_default();
    written.iter_mut().for_each(|f| f.add.partition_values.clone_from(&values));
    Ok(written)
}

/// A file of an older version may lack columns that came later, or have narrower types.
fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let column = |field: &Arc<datafusion::arrow::datatypes::Field>| -> Result<ArrayRef, DataFusionError> {
        Ok(match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(array) if array.data_type() == field.data_type() => array.clone(),
            Some(array) => cast(array, field.data_type())?,
        })
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{Int64Array, StringArray},
        datatypes::{DataType, Field},
    };

    use super::*;
    use crate::lake::{Change, Commit, Removed, storage_schema};

    const LATER: Duration = Duration::from_secs(3600);

    async fn append(lake: &Lake, relation: &RelationName, wide: bool, n: i64) {
        let mut fields = vec![Field::new("DAY", DataType::Utf8, true), Field::new("N", DataType::Int64, true)];
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec![Some(format!("d {}", n % 2)), None])), Arc::new(Int64Array::from(vec![Some(n), None]))];
        if wide {
            fields.push(Field::new("MORE", DataType::Int64, true));
            columns.push(Arc::new(Int64Array::from(vec![n, n])));
        }
        let schema = storage_schema(&Schema::new(fields)).expect("storable");
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("a batch");
        let stream = RecordBatchStreamAdapter::new(schema.clone(), futures::stream::iter([Ok(batch)]));
        let partition_by = vec!["DAY".to_owned()];
        let store = lake.table_store(relation).expect("a store");
        let Ok(add) = write_stream(store, schema.clone(), &partition_by, Box::pin(stream)).await else { panic!("not written") };
        let base = lake.table(relation).await.expect("it looks");
        let commit = Commit {
            relation: relation.clone(),
            change: Change::Append,
            schema,
            partition_by,
            add,
            remove: Removed::None,
            comment: None,
            column_comments: BTreeMap::new(),
            properties: [("segue.n".to_owned(), n.to_string())].into(),
            application: Some(("app".into(), n)),
        };
        lake.commit(base.as_ref(), commit).await.expect("it commits");
    }

    /// All rows, sorted.
    async fn rows(table: &LakeTable) -> Vec<String> {
        let context = datafusion::prelude::SessionContext::new();
        let provider = table.provider(&context.state(), None).await.expect("a provider");
        let batches = context.read_table(provider).expect("a table").collect().await.expect("rows");
        let mut rows = vec![];
        for batch in batches {
            for row in 0..batch.num_rows() {
                let value = |c: &ArrayRef| datafusion::arrow::util::display::array_value_to_string(c, row).expect("a text");
                rows.push(batch.columns().iter().map(value).collect::<Vec<_>>().join("|"));
            }
        }
        rows.sort();
        rows
    }

    #[tokio::test]
    async fn rows_partitions_and_identity_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open("w", folder.path()).expect("a lake");
        let relation = RelationName::parse_parts("D", "S", "T");
        for n in 0..6 {
            append(&lake, &relation, n > 3, n).await;
        }
        let before = lake.table(&relation).await.expect("it looks").expect("a table");
        let upkeep = Upkeep { retention: Duration::ZERO, dry_run: false, now: SystemTime::now() + LATER };
        let done = lake.maintain(&relation, &upkeep).await.expect("it works").expect("a table");
        assert_eq!((done.joined, done.joined_into, done.removed), (12, 3, 12), "{done:?}");
        let after = lake.table(&relation).await.expect("it looks").expect("a table");
        assert_eq!(rows(&after).await, {
            let fresh = Lake::open("w", folder.path()).expect("a lake").table(&relation).await.expect("it looks").expect("a table");
            rows(&fresh).await
        });
        assert_eq!(after.identity(), before.identity());
        assert_eq!(after.version(), before.version() + 1);
        assert_eq!(after.properties().get("segue.n").map(String::as_str), Some("5"));
        assert_eq!(after.application_version("app").await.expect("it looks"), Some(5));
        assert_eq!(after.size().await.expect("it looks").0, 12);
        let shown = rows(&after).await;
        assert!(shown.contains(&"d 1|1|".to_owned()) && shown.contains(&"||".to_owned()), "{shown:?}");
        append(&lake, &relation, true, 6).await;
        let next = lake.table(&relation).await.expect("it looks").expect("a table");
        assert_ne!(next.identity(), before.identity(), "a change of rows is one");
    }

    #[tokio::test]
    async fn another_writer_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open("w", folder.path()).expect("a lake");
        let relation = RelationName::parse_parts("D", "S", "T");
        append(&lake, &relation, true, 0).await;
        append(&lake, &relation, true, 2).await;
        let old = lake.table(&relation).await.expect("it looks").expect("a table");
        append(&lake, &relation, true, 4).await;
        let upkeep = Upkeep { retention: LATER, dry_run: false, now: SystemTime::now() };
        let done = lake.join_files(&old, &upkeep, 2).await.expect("it works");
        assert!(done.busy && done.joined == 0, "{done:?}");
        let table = lake.table(&relation).await.expect("it looks").expect("a table");
        assert_eq!((table.version(), rows(&table).await.len()), (2, 6));
        let mut left = 0;
        for path in entries(&lake.table_folder(&relation)).expect("listed") {
            left += if path.is_dir() { 0 } else { 1 };
        }
        assert_eq!(left, 0, "what was put together in vain is gone");
    }

    #[tokio::test]
    async fn files_of_versions_that_may_be_read_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open("w", folder.path()).expect("a lake");
        let relation = RelationName::parse_parts("D", "S", "T");
        for n in 0..4 {
            append(&lake, &relation, true, n).await;
        }
        let upkeep = Upkeep { retention: LATER, dry_run: false, now: SystemTime::now() };
        let done = lake.maintain(&relation, &upkeep).await.expect("it works").expect("a table");
        assert_eq!((done.joined, done.removed), (8, 0), "{done:?}");
        let table = lake.table(&relation).await.expect("it looks").expect("a table");
        let old = table.at_version(3).await.expect("it is there");
        assert_eq!(rows(&old).await, rows(&table).await);
    }
}
