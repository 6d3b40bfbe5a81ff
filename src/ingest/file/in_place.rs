//! Files that are not copied: which there are and what their columns are, and their rows when a query asks for them.
//!
//! Read by the same readers and typed as files that are copied. What differs: a record that does not fit fails the query, for
//! there is no table of rejects that a query could write; and a file is known by its name, size and ETag (of a folder its
//! size and time), never by its content, which would have to be read.

use std::{
    collections::{HashSet, VecDeque},
    io::{Cursor, Read},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use datafusion::arrow::{
    array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use futures::stream::BoxStream;
use hyper::body::Bytes;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    layout::Layout,
    parquet::Columnar,
    piece::Piece,
    position::Entry,
    reader::Reader,
    records::{Format, Packing, Records, sample},
    store::{Found, Troubles},
};
use crate::{
    engine::{EngineError, FilesInPlace, ListedFile},
    ingest::{
        InPlace, IngestError, Listed,
        columns::{ColumnType, Unknown},
        rows::{RowBuilder, column},
        settings::Settings,
    },
};

/// Settings of the table that files are copied into.
pub const MEANINGLESS: [&str; 4] = ["on_overwrite", "ordered", "partition_by", "batch_mb"];

/// Settings by which a file is reached, not what is read of it.
const OF_THE_WAY: [&str; 10] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "anonymous",
    "requester_pays",
    "virtual_hosted",
    "allow_http",
    "timeout_s",
    "retries",
];

/// Bytes of rows in memory of one share of the files.
const ROWS_AT_ONCE: usize = 4 << 20;
/// Objects asked for at the same time by one share, and how small they have to be.
const AHEAD: usize = 8;
const SMALL: u64 = 4 << 20;

/// Where files are waited for. A query may end while one of its shares still waits, and with it the runtime that it ran on; a
/// thread that waits on that one then would fall.
fn outside() -> Handle {
    static OUTSIDE: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("files in place").build().ok();
    OUTSIDE.get_or_init(make).as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
}

pub struct FolderInPlace {
    reader: Arc<Reader>,
    /// Changes with every setting that decides what is read.
    settings: String,
    /// Where the project declares it.
    place: String,
}

/// What columns there are; the rest of a layout is the project's.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Inferred or evolved columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<(String, String)>>,
    /// The newest file that was looked into.
    #[serde(default)]
    newest: i64,
    /// Another mapping of settings infers its columns anew.
    #[serde(default)]
    settings: String,
}

impl FolderInPlace {
    pub fn new(reader: Arc<Reader>, settings: &Settings<'_>) -> Self {
        let (all, place) = settings.given();
        let mut hash = Sha256::new();
        for (key, value) in all.iter().filter(|(key, _)| !OF_THE_WAY.contains(&key.as_str())) {
            hash.update(format!("{key}={value}\n"));
        }
        let settings = hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect();
        Self { reader, settings, place: place.to_string() }
    }

    fn layout(&self, kept: &Kept) -> Result<Layout, IngestError> {
        match &kept.columns {
            Some(columns) => self.reader.base.restored(columns),
            None => self.reader.base.restored_empty(),
        }
    }

    fn kept(text: &str) -> Kept {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn list(&self, layout: Option<&str>, handle: &Handle) -> Result<Listed, IngestError> {
        let mut listing = self.reader.store.list(None)?;
        let mut found = vec![];
        while let Some(file) = self.reader.store.next(&mut listing, handle)? {
            if self.format(&file).is_none() {
                let message = format!("the name of `{}` does not tell its format", file.shown);
                return Err(IngestError::new("ingest/unknown-format", message)
                    .help("it is `csv`, `jsonl`, `json`, `avro` or `parquet`; set `format`, or a `glob` that leaves the file out"));
            }
            self.reader
                .partitions(&file.shown)
                .map_err(|reason| IngestError::new("ingest/partition", format!("`{}`: {reason}", file.shown)))?;
            found.push(file);
        }
        found.sort_by(|a, b| a.shown.cmp(&b.shown));
        let kept = layout.map(Self::kept).filter(|kept| kept.settings == self.settings).unwrap_or_default();
        let mut columns = self.layout(&kept)?;
        let newest = found.iter().map(|f| f.modified).max().unwrap_or(0);
        let evolves = columns.minds() && columns.unknown == Unknown::Evolve;
        for file in &found {
            if columns.is_open() || (evolves && file.modified >= kept.newest) {
                columns = columns.with(self.columns(file, handle)?)?;
            }
        }
        let kept = Kept { columns: columns.frozen(), newest: if evolves { newest } else { 0 }, settings: self.settings.clone() };
        let version_of = |f: &Found| f.tag.clone().unwrap_or_else(|| format!("{}@{}", f.size, f.modified));
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{:?}\n", self.settings, kept.columns));
        for file in &found {
            hash.update(format!("{}\n{}\n{}\n", file.shown, file.size, version_of(file)));
        }
        let version: String = hash.finalize()[..16].iter().map(|b| format!("{b:02x}")).collect();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(found.iter().map(|f| &f.shown))),
            Arc::new(Int64Array::from_iter_values(found.iter().map(|f| f.size as i64))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(found.iter().map(|f| f.modified))),
            Arc::new(StringArray::from_iter_values(found.iter().map(version_of))),
        ];
        let files = RecordBatch::try_new(schema(), arrays).expect("the columns are those of the schema");
        let layout = serde_json::to_string(&kept).expect("texts and numbers are JSON");
        Ok(Listed {
            schema: columns.schema(),
            files,
            bytes: found.iter().map(|f| f.size).sum(),
            version: format!("external:{version}"),
            layout,
        })
    }

    fn format(&self, file: &Found) -> Option<Format> {
        self.reader.reading.format.or_else(|| Format::of(&file.shown))
    }

    /// The columns that the beginning of a file asks for.
    fn columns(&self, file: &Found, handle: &Handle) -> Result<IndexMap<String, ColumnType>, IngestError> {
        let refused = |line: u64, reason: String| {
            let at = if line == 0 { String::new() } else { format!(":{line}") };
            IngestError::new("ingest/unreadable", format!("`{}{at}` cannot be read: {reason}", file.shown))
        };
        let Some(format) = self.format(file) else { return Ok(IndexMap::new()) };
        if format == Format::Parquet {
            return match Columnar::open(file, &self.reader.store, handle, None)? {
                Ok(columnar) => Ok(columnar.columns()),
                Err(reason) => Err(refused(0, reason)),
            };
        }
        let troubles = Troubles::default();
        let content = self.reader.store.open(file, handle, &troubles)?;
        let content = Packing::of(&file.shown).unpacked(content).map_err(|e| super::store::unreadable(&file.shown, &e))?;
        let begun = Records::open(&file.shown, content, format, &self.reader.reading, &[]);
        if let Some(trouble) = troubles.take() {
            return Err(trouble);
        }
        let mut records = begun?.map_err(|(line, reason, _)| refused(line, reason))?;
        let columns = sample(&mut records, &self.reader.reading.null_values);
        troubles.take().map_or(columns, Err)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("FILE", DataType::Utf8, false),
        Field::new("SIZE", DataType::Int64, false),
        Field::new("MODIFIED", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("VERSION", DataType::Utf8, false),
    ]))
}

#[async_trait]
impl InPlace for FolderInPlace {
    async fn look(&self, layout: Option<&str>) -> Result<Listed, IngestError> {
        let own = Self { reader: Arc::clone(&self.reader), settings: self.settings.clone(), place: self.place.clone() };
        let (layout, handle) = (layout.map(str::to_owned), Handle::current());
        let done = spawn_blocking(move || own.list(layout.as_deref(), &handle)).await;
        done.map_err(|e| IngestError::new("ingest/interrupted", format!("listing files ended early: {e}")))?
    }
}

impl FilesInPlace for FolderInPlace {
    fn told_by_names(&self, files: &[ListedFile]) -> Result<RecordBatch, EngineError> {
        let of_folders = &self.reader.base.columns.partitions;
        let none = vec![crate::ingest::rows::Cell::Null; of_folders.len()];
        let mut fields: Vec<Field> =
            self.reader.base.columns.partitions_row(&none)?.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(column("_FILE", DataType::Utf8));
        let schema = Arc::new(Schema::new(fields));
        let mut rows = RowBuilder::new(Arc::clone(&schema));
        for file in files {
            let cells = self.reader.partitions(&file.name);
            let mut cells = cells.map_err(|reason| IngestError::new("ingest/partition", format!("`{}`: {reason}", file.name)))?;
            cells.push(file.name.as_str().into());
            rows.push(cells);
        }
        Ok(rows.finish()?.pop().unwrap_or_else(|| RecordBatch::new_empty(schema)))
    }

    fn read(
        &self,
        files: Vec<ListedFile>,
        layout: &str,
        schema: SchemaRef,
        wanted: Vec<usize>,
    ) -> BoxStream<'static, Result<RecordBatch, EngineError>> {
        let layout = match self.layout(&Self::kept(layout)) {
            Ok(layout) => Arc::new(layout),
            Err(e) => return Box::pin(futures::stream::iter([Err(e.into())])),
        };
        let handle = outside();
        let (to, from) = mpsc::channel(2);
        let names: Vec<String> = wanted.iter().map(|place| schema.field(*place).name().clone()).collect();
        let only = (!layout.columns.is_payload()).then(|| Arc::new(names.iter().map(|name| name.to_uppercase()).collect::<HashSet<_>>()));
        let mut reading = InTurn { reader: Arc::clone(&self.reader), layout, names, only, handle, to, queue: VecDeque::new() };
        let place = self.place.clone();
        let worker = spawn_blocking(move || {
            if let Err(error) = reading.files(files) {
                let mut error = EngineError::from(error);
                error.notes.push(format!("its files are read in place, as {place} says"));
                // nobody listening is no reason to stop
                let _ = reading.to.blocking_send(Err(error));
            }
        });
        Box::pin(futures::stream::unfold((from, Some(worker)), |(mut from, worker)| async move {
            if let Some(batch) = from.recv().await {
                return Some((batch, (from, worker)));
            }
            // a thread that fell must not look like the end of the files
            let e = worker?.await.err()?;
            Some((Err(EngineError::new("ingest/interrupted", format!("reading files ended early: {e}"))), (from, None)))
        }))
    }
}

/// A share of the files on its way to a query.
struct InTurn {
    reader: Arc<Reader>,
    layout: Arc<Layout>,
    names: Vec<String>,
    only: Option<Arc<HashSet<String>>>,
    handle: Handle,
    to: mpsc::Sender<Result<RecordBatch, EngineError>>,
    queue: VecDeque<(Found, Option<JoinHandle<Result<Bytes, IngestError>>>)>,
}

impl Drop for InTurn {
    fn drop(&mut self) {
        for body in self.queue.drain(..).filter_map(|(_, body)| body) {
            body.abort();
        }
    }
}

impl InTurn {
    fn files(&mut self, files: Vec<ListedFile>) -> Result<(), IngestError> {
        let mut rest = files.into_iter();
        loop {
            while self.queue.len() < AHEAD
                && let Some(file) = rest.next()
            {
                let Some(found) = self.reader.store.listed(&file) else {
                    let message = format!("`{}` does not lie where the project reads by now", file.name);
                    return Err(IngestError::new("ingest/changed", message).help("`segue build` or `segue ingest` lists the files anew"));
                };
                let format = self.reader.reading.format.or_else(|| Format::of(&found.shown));
                let is_ahead = self.reader.store.is_remote() && found.size <= SMALL && format.is_some_and(|f| f != Format::Parquet);
                let body = is_ahead.then(|| self.handle.spawn(self.reader.store.whole(&found)));
                self.queue.push_back((found, body));
            }
            let Some((found, body)) = self.queue.pop_front() else { return Ok(()) };
            match self.file(&found, body) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(self.changed(&found).unwrap_or(error)),
            }
        }
    }

    /// Why a file that was there a moment ago cannot be read.
    fn changed(&self, found: &Found) -> Option<IngestError> {
        let now = self.reader.store.find(&found.shown, &self.handle).ok()?;
        let what = match now {
            None => "is gone since the files were listed",
            Some(now) if now.size != found.size || now.modified != found.modified => "was changed since the files were listed",
            Some(_) => return None,
        };
        let error = IngestError::new("ingest/changed", format!("`{}` {what}", found.shown));
        Some(error.help("`segue build` or `segue ingest` lists them anew"))
    }

    /// `false` when nobody wants more.
    fn file(&mut self, found: &Found, body: Option<JoinHandle<Result<Bytes, IngestError>>>) -> Result<bool, IngestError> {
        let troubles = Troubles::default();
        let format = self.reader.reading.format.or_else(|| Format::of(&found.shown));
        let content: Box<dyn Read + Send> = match body {
            Some(body) => {
                let bytes = self.handle.block_on(body);
                Box::new(Cursor::new(
                    bytes.map_err(|e| IngestError::new("ingest/interrupted", format!("reading `{}` ended early: {e}", found.shown)))??,
                ))
            }
            None if format == Some(Format::Parquet) => Box::new(std::io::empty()),
            None => self.reader.store.open(found, &self.handle, &troubles)?,
        };
        let entry =
            Entry { file: found.shown.clone(), size: found.size, modified: found.modified, version: String::new(), rows: 0, rejected: 0 };
        let unfit = |at: &str, reason: &str| IngestError::new("ingest/unreadable", format!("`{at}` cannot be read in place: {reason}"));
        let mut piece = self.piece();
        let begun = self.reader.begin(found, entry, content, troubles, &mut piece, &self.handle)?;
        let mut open = begun.map_err(|(line, reason, _)| match line {
            0 => unfit(&found.shown, &reason),
            line => unfit(&format!("{}:{line}", found.shown), &reason),
        })?;
        loop {
            let is_whole = piece.read(&mut open, &self.reader.reading, &self.handle, ROWS_AT_ONCE)?;
            let (parsed, ..) = piece.finish()?;
            for batch in parsed.batches {
                let batch = self.wanted(&batch)?;
                if self.to.blocking_send(Ok(batch)).is_err() {
                    return Ok(false);
                }
            }
            if let Some(first) = parsed.rejected.first() {
                return Err(unfit(&first.position, &first.reason)
                    .help("where files are copied (without `external`), such a record goes to `__rejected`"));
            }
            if is_whole {
                return Ok(true);
            }
            piece = self.piece();
        }
    }

    fn piece(&self) -> Piece {
        let mut piece = Piece::new(Arc::clone(&self.layout));
        piece.only.clone_from(&self.only);
        piece
    }

    fn wanted(&self, batch: &RecordBatch) -> Result<RecordBatch, IngestError> {
        let schema = batch.schema();
        let places = self.names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>();
        let wanted = places.and_then(|places| batch.project(&places));
        wanted.map_err(|e| IngestError::new("ingest/rows", format!("the rows do not have the columns that were listed: {e}")))
    }
}
