//! The one way a table changes: data files that were written, files that go, schema and properties, in one commit.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use deltalake::{
    kernel::{
        Action, MetadataExt, Protocol, StructField, StructType, Transaction,
        engine::arrow_conversion::TryIntoKernel,
        new_metadata,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::{DeltaOperation, SaveMode},
};

use super::{Lake, LakeError, LakeTable, WrittenFile, schema::with_comment};
use crate::{
    names::RelationName,
    state::{FINGERPRINT, PROMOTED, REUSED},
};

/// Which of the present files leave the table.
#[derive(Clone, Debug)]
pub enum Removed {
    None,
    All,
    /// By path, as the file column of a scan shows it (relative, or ending in the relative path).
    Files(Vec<String>),
}

/// What kind of change it is, for the table's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Replace,
    Append,
    Rewrite,
}

/// A commit to be made. Nothing is visible before [`Lake::commit`], everything after.
#[derive(Clone, Debug)]
pub struct Commit {
    pub relation: RelationName,
    pub change: Change,
    /// Stored layout (see `storage_schema`).
    pub schema: SchemaRef,
    pub partition_by: Vec<String>,
    pub add: Vec<WrittenFile>,
    pub remove: Removed,
    /// `None` keeps the table's own comment.
    pub comment: Option<String>,
    pub column_comments: BTreeMap<String, String>,
    /// Keys begin with `segue.`. Merged over the table's own; `Replace` starts from none.
    pub properties: BTreeMap<String, String>,
    /// `(application id, version)` of a Delta `txn` action.
    pub application: Option<(String, i64)>,
}

/// Whether a comment for the column as written is one for the stored column: a quoted name is exact, any other folds.
pub fn describes(written: &str, stored: &str) -> bool {
    match written.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(exact) => exact == stored,
        None => written.eq_ignore_ascii_case(stored),
    }
}

/// A commit that was made: which table, and which version of it. Its text is the same only for the same rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub table_id: String,
    pub version: u64,
}

impl std::fmt::Display for Committed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.table_id, self.version)
    }
}

/// Marks a commit that arranged a table's files anew and changed no row: `<its version>=<the version whose rows they are>`.
pub const SAME_ROWS: &str = "segue.same_rows";

/// The version that first had the rows which `version` has.
pub(super) fn content_version(properties: &BTreeMap<String, String>, version: u64) -> u64 {
    let told = properties.get(SAME_ROWS).and_then(|text| text.split_once('='));
    // of an earlier commit it says nothing about this one
    let same = told.filter(|(own, _)| own.parse() == Ok(version)).and_then(|(_, same)| same.parse().ok());
    same.unwrap_or(version)
}

impl Lake {
    /// Makes the commit on top of `base` (the version that the change was computed from; `None`: a new table) and
    /// gives the new version. A conflicting commit made since is an error, never a silent overwrite of its rows.
    pub async fn commit(&self, base: Option<&LakeTable>, commit: Commit) -> Result<Committed, LakeError> {
        self.mark().await?;
        let place = commit.relation.to_string();
        let fail = |e| LakeError::delta("commit to", &place, e);
        let damaged = |e: &dyn std::fmt::Display| LakeError::Damaged { place: place.clone(), cause: e.to_string() };

        let fields = commit
            .schema
            .fields()
            .iter()
            .map(|f| {
                let field = match commit.column_comments.iter().find(|(name, _)| describes(name, f.name())) {
                    Some((_, text)) if !text.is_empty() => with_comment(f, text),
                    _ => f.as_ref().clone(),
                };
                TryIntoKernel::<StructField>::try_into_kernel(&field).map_err(|e| damaged(&e))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let schema = StructType::try_new(fields).map_err(|e| damaged(&e))?;

        let mut properties: BTreeMap<String, String> = match (commit.change, base) {
            (Change::Replace, _) | (_, None) => BTreeMap::new(),
            (_, Some(table)) => table.properties(),
        };
        properties.remove(SAME_ROWS);
        let changes_rows = !commit.add.is_empty() || !matches!(commit.remove, Removed::None);
        if changes_rows {
            // what a build recorded holds no longer
            for key in [FINGERPRINT, REUSED, PROMOTED] {
                properties.remove(key);
            }
        }
        properties.extend(commit.properties.clone());
        let comment = commit.comment.clone().or_else(|| base.and_then(LakeTable::comment));
        let mut metadata = new_metadata(&schema, commit.partition_by.clone(), properties.clone()).map_err(|e| damaged(&e))?;
        if let Some(id) = base.and_then(LakeTable::table_id) {
            metadata = metadata.with_table_id(id).map_err(|e| damaged(&e))?;
        }
        if let Some(comment) = comment {
            metadata = metadata.with_description(comment).map_err(|e| damaged(&e))?;
        }

        let table_id = metadata.id().to_owned();
        let needs_ntz = commit.schema.fields().iter().any(|f| matches!(f.data_type(), DataType::Timestamp(TimeUnit::Microsecond, None)));
        let mut actions = vec![];
        match base {
            None => actions.push(Action::Protocol(protocol(needs_ntz).map_err(|e| damaged(&e))?)),
            Some(table) => {
                let had_ntz = table.schema()?.fields().iter().any(|f| matches!(f.data_type(), DataType::Timestamp(_, None)));
                if needs_ntz && !had_ntz {
                    actions.push(Action::Protocol(protocol(true).map_err(|e| damaged(&e))?));
                }
            }
        }
        let schema_changed = match base {
            None => true,
            Some(table) => {
                table.schema()? != commit.schema
                    || table.partition_columns() != commit.partition_by
                    || table.properties() != properties
                    || commit.comment.is_some()
                    || !commit.column_comments.is_empty()
            }
        };
        if schema_changed {
            actions.push(Action::Metadata(metadata.clone()));
        }
        if let Some(table) = base {
            let wanted = |path: &str| match &commit.remove {
                Removed::None => false,
                Removed::All => true,
                Removed::Files(files) => files.iter().any(|f| f == path || f.ends_with(&format!("/{path}"))),
            };
            if !matches!(commit.remove, Removed::None) {
                actions.extend(table.removes().await?.into_iter().filter(|r| wanted(&r.path)).map(Action::Remove));
            }
        }
        actions.extend(commit.add.iter().map(|f| Action::Add(f.add.clone())));

        let log_store = match base {
            Some(table) => table.delta.log_store(),
            None => self.delta_table(&commit.relation)?.log_store(),
        };
        let operation = match base {
            None => DeltaOperation::Create {
                mode: SaveMode::ErrorIfExists,
                location: log_store.root_url().clone(),
                protocol: protocol(needs_ntz).map_err(|e| damaged(&e))?,
                metadata,
            },
            Some(_) => DeltaOperation::Write {
                mode: if commit.change == Change::Append { SaveMode::Append } else { SaveMode::Overwrite },
                partition_by: (!commit.partition_by.is_empty()).then(|| commit.partition_by.clone()),
                predicate: None,
            },
        };
        // a commit made since `base` is a conflict, whatever it changed: files were computed from `base`, and two
        // builds that both append what they found missing would append it twice
        let mut commit_properties = CommitProperties::default()
            .with_max_retries(0)
            // a look at the whole log after each commit: `segue maintain` shortens it
            .with_cleanup_expired_logs(Some(false))
            .with_metadata(commit.properties.iter().map(|(k, v)| (k.clone(), serde_json::Value::String(v.clone()))));
        if let Some((app_id, version)) = &commit.application {
            commit_properties = commit_properties.with_application_transaction(Transaction::new(app_id, *version));
        }
        let builder = CommitBuilder::from(commit_properties).with_actions(actions);
        let state = match base {
            Some(table) => Some(table.delta.snapshot().map_err(fail)?),
            None => None,
        };
        let finished = builder.build(state.map(|s| s as &dyn TableReference), log_store, operation).await.map_err(fail)?;
        // who reads the new version next need not read its log
        let mut delta = match base {
            Some(table) => table.delta.clone(),
            None => self.delta_table(&commit.relation)?,
        };
        delta.state = Some(finished.snapshot());
        self.keep_open(LakeTable { relation: commit.relation.clone(), delta });
        Ok(Committed { table_id, version: finished.version() })
    }
}

/// Reader and writer versions; `timestampNtz` is a table feature of its own (Delta protocol, "Timestamp without timezone").
fn protocol(timestamp_ntz: bool) -> Result<Protocol, serde_json::Error> {
    serde_json::from_value(if timestamp_ntz {
        serde_json::json!({"minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz", "appendOnly", "invariants"]})
    } else {
        serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2})
    })
}
