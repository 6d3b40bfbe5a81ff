//! Which files have landed: with the rows only those of their own commit, all others in the ledger `<table>__files`.
//!
//! A position that held them all would be written anew with every commit and grow with the bucket. So the ledger is a table
//! of its own that gets a commit's files after the rows; a run that was killed in between is finished by the next one,
//! for the position still holds them.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ingest::{IngestError, LedgerPart};

/// One file that has landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub file: String,
    pub size: u64,
    /// Microseconds since 1970.
    pub modified: i64,
    /// ETag of an object, digest of a local file's content.
    pub version: String,
    pub rows: u64,
    pub rejected: u64,
}

/// A file of which not all records have landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    pub entry: Entry,
    /// Records that were taken, rejected ones with them.
    pub records: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    /// Of this commit.
    #[serde(default)]
    pub landed: Vec<Entry>,
    /// The table began with this commit: the ledger does so too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// The last file, where keys are ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    /// Names and types of inferred or evolved columns; declared ones are the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<(String, String)>>,
    /// All files, as releases before the ledger wrote them.
    #[serde(default, skip_serializing)]
    pub(super) files: HashMap<String, Former>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Former {
    size: u64,
    modified: i64,
    digest: String,
}

impl Position {
    pub fn read(text: &str) -> Result<Self, IngestError> {
        let mut position: Self = serde_json::from_str(text).map_err(|e| {
            IngestError::new("ingest/position", format!("the recorded position of the source cannot be read: {e}"))
                .help("`--full-refresh` of the source begins anew")
        })?;
        let former = std::mem::take(&mut position.files).into_iter().map(|(file, f)| Entry {
            file,
            size: f.size,
            modified: f.modified,
            version: f.digest,
            rows: 0,
            rejected: 0,
        });
        position.landed.extend(former);
        Ok(position)
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("lists of texts and numbers are JSON")
    }

    pub fn ledger(&self, sequence: u64) -> Option<LedgerPart> {
        if self.landed.is_empty() && !self.first {
            return None;
        }
        let all = &self.landed;
        let number = |of: fn(&Entry) -> u64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(all.iter().map(|e| of(e) as i64))) };
        let text = |of: fn(&Entry) -> &String| -> ArrayRef { Arc::new(StringArray::from_iter_values(all.iter().map(of))) };
        let columns: Vec<ArrayRef> = vec![
            text(|e| &e.file),
            number(|e| e.size),
            Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|e| e.modified))),
            text(|e| &e.version),
            number(|e| e.rows),
            number(|e| e.rejected),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|_| sequence as i64))),
        ];
        let batch = RecordBatch::try_new(schema(), columns).expect("the columns are those of the schema");
        Some(LedgerPart { batch, starts_over: self.first })
    }
}

fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        Field::new("FILE", DataType::Utf8, false),
        number("SIZE"),
        Field::new("MODIFIED", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("VERSION", DataType::Utf8, false),
        number("ROWS"),
        number("REJECTED"),
        number("SEQUENCE"),
    ]))
}

/// Files by a digest of their name: a million of them take some fifty megabytes.
#[derive(Default)]
pub struct Known(HashMap<[u8; 16], State>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    modified: i64,
    version: [u8; 8],
    sequence: u64,
}

fn short<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&Sha256::digest(text.as_bytes())[..N]);
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Never,
    /// Size and time, or the ETag, are those that landed.
    Same,
    /// Something differs; `same_size` leaves open whether the content does.
    Differs,
}

impl Known {
    pub fn insert(&mut self, entry: &Entry, sequence: u64) {
        let state = State { size: entry.size, modified: entry.modified, version: short(&entry.version), sequence };
        let known = self.0.entry(short(&entry.file)).or_insert(state);
        if known.sequence <= sequence {
            *known = state;
        }
    }

    pub fn seen(&self, file: &str, size: u64, modified: i64, tag: Option<&str>) -> Seen {
        match (self.0.get(&short(file)), tag) {
            (None, _) => Seen::Never,
            (Some(known), Some(tag)) if known.version == short(tag) && known.size == size => Seen::Same,
            (Some(known), None) if known.size == size && known.modified == modified => Seen::Same,
            _ => Seen::Differs,
        }
    }

    pub fn has_content(&self, file: &str, version: &str) -> bool {
        self.0.get(&short(file)).is_some_and(|known| known.version == short(version))
    }

    /// Rows of the ledger; the last one of a file counts.
    pub fn recall(&mut self, batch: &RecordBatch) -> Option<()> {
        let column = |name: &str, to: DataType| cast(batch.column_by_name(name)?, &to).ok();
        let files = column("FILE", DataType::Utf8)?;
        let versions = column("VERSION", DataType::Utf8)?;
        let (sizes, sequences) = (column("SIZE", DataType::Int64)?, column("SEQUENCE", DataType::Int64)?);
        let modified = column("MODIFIED", DataType::Timestamp(TimeUnit::Microsecond, None))?;
        for row in 0..batch.num_rows() {
            let entry = Entry {
                file: files.as_string::<i32>().value(row).to_owned(),
                size: sizes.as_primitive::<Int64Type>().value(row) as u64,
                modified: modified.as_primitive::<TimestampMicrosecondType>().value(row),
                version: versions.as_string::<i32>().value(row).to_owned(),
                rows: 0,
                rejected: 0,
            };
            self.insert(&entry, sequences.as_primitive::<Int64Type>().value(row) as u64);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_tells_what_positions_told() {
        let former = r#"{"files":{"in/a.csv":{"size":3,"modified":7,"digest":"d1"}}}"#;
        let position = Position::read(former).expect("as releases before the ledger wrote it");
        let part = position.ledger(4).expect("a part").expect_rows(1);
        let mut known = Known::default();
        known.recall(&part).expect("its columns");
        assert_eq!(known.seen("in/a.csv", 3, 7, None), Seen::Same);
        assert_eq!(known.seen("in/a.csv", 3, 8, None), Seen::Differs);
        assert!(known.has_content("in/a.csv", "d1") && !known.has_content("in/a.csv", "d2"));
        assert_eq!(known.seen("in/b.csv", 3, 7, None), Seen::Never);
        // the last commit of a file counts, whatever the order of the rows
        let entry = Entry { file: "s3://b/k".into(), size: 1, modified: 1, version: "new".into(), rows: 1, rejected: 0 };
        known.insert(&entry, 9);
        known.insert(&Entry { version: "old".into(), ..entry.clone() }, 8);
        assert_eq!(known.seen("s3://b/k", 1, 99, Some("new")), Seen::Same);
        assert_eq!(known.seen("s3://b/k", 1, 1, Some("old")), Seen::Differs);
        // what is written is read back, and nothing is nothing
        let position = Position { landed: vec![entry], after: Some("s3://b/k".into()), ..Position::default() };
        let again = Position::read(&position.write()).expect("a position");
        assert_eq!((again.landed, again.after), (position.landed, position.after));
        assert!(Position::default().ledger(1).is_none());
        assert!(Position { first: true, ..Position::default() }.ledger(1).expect("a part").starts_over);
        assert!(Position::read("[").is_err());
    }

    impl LedgerPart {
        fn expect_rows(self, rows: usize) -> RecordBatch {
            assert_eq!(self.batch.num_rows(), rows);
            self.batch
        }
    }
}
