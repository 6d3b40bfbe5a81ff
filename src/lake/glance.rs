//! What a table is and what its last publish recorded, from the end of its log alone: nothing of its files is loaded.
//!
//! A build asks this of every relation of the schemas it touches, and most of what it is told is "as it was". Whatever is not
//! plain to see here (a log that begins with a checkpoint, a line that is none) is left to [`Lake::table`].

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{Lake, LakeError, commit::Committed, warehouse::commit_version};
use crate::names::RelationName;

/// Commits that are looked back through for the last one that told of the table as a whole.
const FURTHEST: u64 = 64;

/// The answer for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glance {
    Missing,
    Table {
        /// As [`super::LakeTable::identity`].
        identity: String,
        /// As [`super::LakeTable::properties`].
        properties: BTreeMap<String, String>,
    },
    /// It has to be loaded to know.
    Unclear,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "metaData")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    id: String,
    #[serde(default)]
    configuration: BTreeMap<String, Option<String>>,
}

impl Lake {
    pub fn glance(&self, relation: &RelationName) -> Result<Glance, LakeError> {
        let log = self.table_folder(relation).join("_delta_log");
        let entries = match fs::read_dir(&log) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Glance::Missing),
            Err(e) => return Err(LakeError::storage("list", &log.display().to_string(), &e)),
        };
        let versions = entries.filter_map(Result::ok).filter_map(|e| commit_version(e.file_name().to_str()?));
        let Some(newest) = versions.max() else { return Ok(Glance::Missing) };
        Ok(self.told(&log, newest).unwrap_or(Glance::Unclear))
    }

    fn told(&self, log: &Path, newest: u64) -> Option<Glance> {
        for version in (newest.saturating_sub(FURTHEST)..=newest).rev() {
            let text = fs::read_to_string(log.join(format!("{version:020}.json"))).ok()?;
            let Some(line) = text.lines().find(|l| l.trim_start().starts_with("{\"metaData\"")) else { continue };
            let Metadata { id, configuration } = serde_json::from_str::<Line>(line).ok()?.metadata;
            let properties: BTreeMap<String, String> =
                configuration.into_iter().filter(|(k, _)| k.starts_with("segue.")).filter_map(|(k, v)| Some((k, v?))).collect();
            let version = super::commit::content_version(&properties, newest);
            return Some(Glance::Table { identity: Committed { table_id: id, version }.to_string(), properties });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
        record_batch::RecordBatch,
    };

    use super::*;
    use crate::lake::{Change, Commit, Removed, storage_schema, write_stream};

    #[tokio::test]
    async fn a_glance_tells_what_loading_tells() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open("w", folder.path()).expect("a lake");
        let relation = RelationName::parse_parts("D", "S", "T");
        assert_eq!(lake.glance(&relation).expect("it looks"), Glance::Missing);
        let schema = storage_schema(&Schema::new(vec![Field::new("A", DataType::Int64, true)])).expect("storable");
        for round in 0..12 {
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![round]))]).expect("a batch");
            let stream =
                datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(schema.clone(), futures::stream::iter([Ok(batch)]));
            let store = lake.table_store(&relation).expect("a store");
            let Ok(add) = write_stream(store, schema.clone(), &[], Box::pin(stream)).await else { panic!("not written") };
            let base = lake.table(&relation).await.expect("it looks");
            let commit = Commit {
                relation: relation.clone(),
                change: if round % 3 == 0 { Change::Replace } else { Change::Append },
                schema: schema.clone(),
                partition_by: vec![],
                add,
                remove: Removed::None,
                comment: None,
                column_comments: BTreeMap::new(),
                properties: if round % 4 == 0 { [("segue.round".to_owned(), round.to_string())].into() } else { BTreeMap::new() },
                application: None,
            };
            let made = lake.commit(base.as_ref(), commit).await.expect("it commits").to_string();
            let table = lake.table(&relation).await.expect("it looks").expect("it is there");
            assert_eq!(table.identity(), made);
            let expect = Glance::Table { identity: made, properties: table.properties() };
            assert_eq!(lake.glance(&relation).expect("it looks"), expect, "round {round}");
        }
        fs::write(lake.table_folder(&relation).join("_delta_log/00000000000000000099.json"), "{\"metaData\": nonsense").expect("written");
        assert_eq!(lake.glance(&relation).expect("it looks"), Glance::Unclear);
    }
}
