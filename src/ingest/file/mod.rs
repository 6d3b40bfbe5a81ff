//! Local folders of CSV, JSON lines and JSON files to rows, each file exactly once.
//!
//! Finding files is `discovery`'s, reading records `records`', types `columns`'. The files are their own raw copy: they
//! are not kept a second time, so this adapter gives rows at once. A file whose content changed replaces its rows.

mod discovery;
mod records;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use discovery::{Discovery, Found, Position};
use records::{Format, Reading};

use super::{
    Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse,
    columns::{self, Columns},
    registry::AdapterEnv,
    rows::{column, semi_structured},
    settings::{Settings, quoted},
};
use crate::{diagnostic::Diagnostic, names::SemiStructured};

/// Many small files in one commit, but not more than memory likes.
const BYTES_PER_FETCH: u64 = 128 << 20;

struct FileAdapter {
    inner: Arc<Inner>,
    partition_by: Vec<String>,
}

struct Inner {
    discovery: Discovery,
    reading: Reading,
}

/// From the settings of a `type: file` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv) -> Option<Box<dyn Adapter>> {
    let path = settings.required_text("path", "the folder that holds the files, relative to the project");
    let glob = settings.text("glob").unwrap_or("**/*".into());
    let discovery = match Discovery::new(env.project_root.join(&path), &path, &glob) {
        Ok(discovery) => Some(discovery),
        Err(why) => settings.wrong("glob", &format!("a pattern of file names ({why})"), &glob.into()),
    };
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
    let (own, partitions) = (columns::read(settings, "columns"), columns::read(settings, "partition_columns"));
    let partition_by: Vec<String> = settings.list("partition_by").unwrap_or_default().iter().map(|name| name.to_uppercase()).collect();
    let metadata = vec![column("_FILE", DataType::Utf8), column("_LINE", DataType::Int64)];
    let payload = semi_structured("PAYLOAD", SemiStructured::Object);
    let columns = match Columns::new(own.unwrap_or_default(), partitions.unwrap_or_default(), Some(payload), metadata) {
        Ok(columns) => columns,
        Err(name) => {
            settings.fault(
                Diagnostic::error("ingest/duplicate-column", format!("the column `{name}` is given twice"))
                    .at(settings.place_of("columns"), "")
                    .help("`_FILE` and `_LINE` are added to every row"),
            );
            return None;
        }
    };
    if !header && columns.is_payload() {
        settings.fault(
            Diagnostic::error("ingest/missing-setting", "files without a header need `columns`").at(settings.place_of("header"), ""),
        );
    }
    let names: Vec<String> = columns.schema().fields().iter().map(|f| f.name().clone()).collect();
    if let Some(unknown) = partition_by.iter().find(|name| !names.contains(name)) {
        settings.fault(
            Diagnostic::error("ingest/unknown-column", format!("`partition_by` names `{unknown}`, which is no column"))
                .at(settings.place_of("partition_by"), "")
                .help(format!("the columns are {}", quoted(&names))),
        );
    }
    let reading = Reading { columns, format, delimiter, header, null_values, records };
    Some(Box::new(FileAdapter { inner: Arc::new(Inner { discovery: discovery?, reading }), partition_by }))
}

#[async_trait]
impl Adapter for FileAdapter {
    fn schema(&self) -> SchemaRef {
        self.inner.reading.columns.schema()
    }

    fn partition_by(&self) -> Vec<String> {
        self.partition_by.clone()
    }

    async fn fetch(&self, position: Option<&str>, _cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let position = Position::read(position)?;
        let inner = Arc::clone(&self.inner);
        // files are read in blocks by ordinary calls: not on the threads of the runtime
        let done = tokio::task::spawn_blocking(move || inner.next(position)).await;
        done.map_err(|e| IngestError::new("ingest/interrupted", format!("reading files ended early: {e}")))?
    }

    /// Of the text of a file under its path as the subject: the same reading as [`Adapter::fetch`]'s.
    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        let mut parsed = Parsed::default();
        for response in responses {
            let found = Found { shown: response.subject.clone(), path: PathBuf::from(&response.subject) };
            if let Err(error) = self.inner.reading.file(&found, response.payload.as_bytes(), &mut parsed) {
                parsed.error = parsed.error.or(Some(error));
            }
        }
        parsed
    }
}

impl Inner {
    fn next(&self, mut position: Position) -> Result<Option<Fetched>, IngestError> {
        let mut parsed = Parsed::default();
        let mut replaced = vec![];
        let (mut bytes, mut any) = (0, false);
        for found in self.discovery.files()? {
            let Some(state) = position.changed(&found)? else { continue };
            let content = discovery::open(&found)?;
            self.reading.file(&found, content, &mut parsed)?;
            bytes += state.size;
            if position.files.insert(found.shown.clone(), state).is_some() {
                replaced.push(found.shown);
            }
            any = true;
            if bytes > BYTES_PER_FETCH {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        parsed.replace = (!replaced.is_empty()).then(|| ("_FILE".to_owned(), replaced));
        Ok(Some(Fetched { what: FetchedContent::Rows(parsed), position: position.write() }))
    }
}
