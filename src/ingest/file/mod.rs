//! Folders and buckets of files to rows, each file exactly once: CSV, JSON lines, JSON, Avro, Parquet.
//!
//! Where files lie is `store`'s (a bucket's settings `bucket`'s), which of them are new and in what pieces they land
//! `reader`'s, reading without copying `in_place`'s, what has landed `position`'s, reading records `records`' and `parquet`'s, columns `layout`'s. The files are
//! their own raw copy: they are not kept a second time, so this adapter gives rows at once. A file whose content changed
//! replaces its rows. A file that was deleted keeps its rows.

mod bucket;
mod in_place;
mod layout;
mod parquet;
mod piece;
mod position;
mod reader;
mod records;
mod store;
#[cfg(test)]
mod tests;

use std::{io::Cursor, sync::Arc};

use async_trait::async_trait;
pub use bucket::store as bucket_store;
use datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use in_place::FolderInPlace;
use layout::Layout;
use parking_lot::{Mutex, RwLock};
use piece::Piece;
use position::{Entry, Position};
use reader::{Overwritten, Reader, State};
use records::{Format, Reading};
use serde_json::Value as Json;
pub use store::fault as store_fault;
use store::{Found, Store, Troubles, matcher};

use super::{
    Adapter, FetchContext, Fetched, InPlace, IngestError, LedgerKeeper, LedgerPart, Parsed, RawResponse,
    columns::{self, Unknown},
    registry::AdapterEnv,
    settings::{Settings, quoted},
};
use crate::diagnostic::Diagnostic;

struct FileAdapter {
    reader: Arc<Reader>,
    partition_by: Vec<String>,
    /// Files are not copied.
    in_place: Option<Arc<FolderInPlace>>,
}

/// From the settings of a `type: file` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv) -> Option<Box<dyn Adapter>> {
    let path = settings.required_text("path", "the folder that holds the files, relative to the project");
    let glob = glob(settings);
    make(settings, |_| Some(Store::folder(env.project_root.join(&path), &path, glob?)))
}

/// From the settings of a `type: s3` source.
pub fn bucket_adapter(settings: &Settings<'_>) -> Option<Box<dyn Adapter>> {
    let bucket = bucket::read(settings);
    let glob = glob(settings);
    make(settings, |format| {
        let bucket = bucket?;
        Some(Store::bucket(bucket.objects, &bucket.name, &bucket.prefix, glob?, format.is_some()))
    })
}

fn glob(settings: &Settings<'_>) -> Option<globset::GlobMatcher> {
    let glob = settings.text("glob").unwrap_or("**/*".into());
    matcher(&glob).map_err(|why| settings.wrong::<()>("glob", &format!("a pattern of file names ({why})"), &glob.as_str().into())).ok()
}

fn make(settings: &Settings<'_>, store: impl FnOnce(Option<Format>) -> Option<Store>) -> Option<Box<dyn Adapter>> {
    let format = settings.choice("format", &Format::ALL);
    let delimiter = match settings.text("delimiter") {
        None => b',',
        Some(text) => match text.as_str() {
            "\\t" | "tab" => b'\t',
            one if one.len() == 1 => one.as_bytes()[0],
            _ => settings.wrong("delimiter", "one character, or `\\t`", &text.into()).unwrap_or(b','),
        },
    };
    let header = settings.flag("header").unwrap_or(true);
    let null_values = settings.list("null_values").unwrap_or_else(|| vec![String::new()]);
    let records = settings.text("records").unwrap_or_default();
    let inferred = settings.value("columns").and_then(Json::as_str).is_some_and(|text| text.eq_ignore_ascii_case("infer"));
    let own = if inferred { None } else { Some(columns::read(settings, "columns").unwrap_or_default()) };
    let partitions = columns::read(settings, "partition_columns").unwrap_or_default();
    let unknown = settings
        .choice("on_schema_change", &[("ignore", Unknown::Ignore), ("evolve", Unknown::Evolve), ("reject", Unknown::Reject)])
        .unwrap_or(Unknown::Ignore);
    let overwritten = settings
        .choice("on_overwrite", &[("reingest", Overwritten::Reingest), ("ignore", Overwritten::Ignore), ("fail", Overwritten::Fail)])
        .unwrap_or(Overwritten::Reingest);
    let ordered = settings.flag("ordered").unwrap_or(false);
    let megabytes = |key, default: u64| settings.integer(key, 1).unwrap_or(default).saturating_mul(1 << 20);
    let (piece_bytes, largest_document) = (megabytes("batch_mb", 64), megabytes("max_document_mb", 256));
    let partition_by: Vec<String> = settings.list("partition_by").unwrap_or_default().iter().map(|name| name.to_uppercase()).collect();
    let is_external = settings.flag("external").unwrap_or(false);
    if is_external {
        for key in in_place::MEANINGLESS.iter().filter(|key| settings.value(key).is_some()) {
            settings.fault(
                Diagnostic::error("ingest/unknown-setting", format!("`{key}` means nothing where files are read in place"))
                    .at(settings.place_of(key), "")
                    .help("it is about the table that files are copied into: leave it out, or leave out `external`"),
            );
        }
    }
    let layouts = Layout::new(own.clone(), partitions.clone(), unknown).and_then(|a| Ok((a, Layout::new(own, partitions, unknown)?)));
    let (base, layout) = match layouts {
        Ok(layouts) => layouts,
        Err(name) => {
            settings.fault(
                Diagnostic::error("ingest/duplicate-column", format!("the column `{name}` is given twice"))
                    .at(settings.place_of("columns"), "")
                    .help("`_FILE` and `_LINE` are added to every row"),
            );
            return None;
        }
    };
    if !header && (base.columns.is_payload() || inferred) {
        settings.fault(
            Diagnostic::error("ingest/missing-setting", "files without a header need `columns`").at(settings.place_of("header"), ""),
        );
    }
    let names: Vec<String> = base.schema().fields().iter().map(|f| f.name().clone()).collect();
    if let Some(unknown) = partition_by.iter().find(|name| !names.contains(name)).filter(|_| !inferred) {
        settings.fault(
            Diagnostic::error("ingest/unknown-column", format!("`partition_by` names `{unknown}`, which is no column"))
                .at(settings.place_of("partition_by"), "")
                .help(format!("the columns are {}", quoted(&names))),
        );
    }
    let reader = Reader {
        store: store(format)?,
        reading: Reading { format, delimiter, header, null_values, records, largest_document },
        base,
        layout: RwLock::new(Arc::new(layout)),
        overwritten,
        ordered,
        piece_bytes: usize::try_from(piece_bytes).unwrap_or(usize::MAX),
        state: Mutex::new(State::default()),
    };
    let reader = Arc::new(reader);
    let in_place = is_external.then(|| Arc::new(FolderInPlace::new(Arc::clone(&reader), settings)));
    Some(Box::new(FileAdapter { reader, partition_by, in_place }))
}

#[async_trait]
impl Adapter for FileAdapter {
    fn schema(&self) -> SchemaRef {
        self.reader.layout.read().schema()
    }

    fn partition_by(&self) -> Vec<String> {
        self.partition_by.clone()
    }

    async fn fetch(&self, position: Option<&str>, _cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let reader = Arc::clone(&self.reader);
        let position = position.map(str::to_owned);
        let handle = tokio::runtime::Handle::current();
        // files are read in blocks by ordinary calls: not on the threads of the runtime
        let done = tokio::task::spawn_blocking(move || reader.next(position.as_deref(), &handle)).await;
        done.map_err(|e| IngestError::new("ingest/interrupted", format!("reading files ended early: {e}")))?
    }

    /// Of the text of a file under its path as the subject: the same reading as [`Adapter::fetch`]'s.
    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        let handle = tokio::runtime::Handle::current();
        let mut piece = Piece::new(Arc::clone(&self.reader.layout.read()));
        let mut error = None;
        for response in responses {
            let found = Found::named(&response.subject);
            let entry = Entry { file: found.shown.clone(), size: 0, modified: 0, version: String::new(), rows: 0, rejected: 0 };
            let content = Box::new(Cursor::new(response.payload.clone().into_bytes()));
            let begun = self.reader.begin(&found, entry, content, Troubles::default(), &mut piece, &handle);
            let read = begun.and_then(|begun| match begun {
                Ok(mut open) => piece.read(&mut open, &self.reader.reading, &handle, usize::MAX).map(|_| ()),
                Err((line, reason, record)) => {
                    piece.reject(reason, format!("{}:{line}", found.shown), record);
                    Ok(())
                }
            });
            error = error.or(read.err());
        }
        match piece.finish() {
            Ok((parsed, ..)) => Parsed { error, ..parsed },
            Err(e) => Parsed { error: Some(e), ..Parsed::default() },
        }
    }

    fn is_settled(&self) -> bool {
        !self.reader.layout.read().is_open()
    }

    fn in_place(&self) -> Option<Arc<dyn InPlace>> {
        self.in_place.clone().map(|files| files as Arc<dyn InPlace>)
    }

    fn ledger(&self) -> Option<&dyn LedgerKeeper> {
        Some(self)
    }
}

impl LedgerKeeper for FileAdapter {
    fn part(&self, position: &str, sequence: u64) -> Result<Option<LedgerPart>, IngestError> {
        Ok(Position::read(position)?.ledger(sequence))
    }

    /// Where keys are ordered, the last one says it all.
    fn recalls(&self) -> bool {
        !self.reader.ordered
    }

    fn recall(&self, ledger: &RecordBatch) -> Result<(), IngestError> {
        self.reader.state.lock().known.recall(ledger).ok_or_else(|| {
            IngestError::new("ingest/ledger", "the table of the files that have landed has other columns than segue gave it")
                .help("`segue ingest --full-refresh` takes all files in anew")
        })
    }
}
