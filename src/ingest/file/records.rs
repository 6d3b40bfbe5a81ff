//! The content of one file to rows; a record that does not fit is rejected with its file and line, the others go on.

use std::io::{BufRead, BufReader, Read};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};

use super::discovery::{Found, unreadable};
use crate::ingest::{
    IngestError, Parsed, Rejected,
    columns::Columns,
    rows::{Cell, RowBuilder, canonical},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// A list of objects, or one object.
    Json,
}

impl Format {
    pub const ALL: [(&str, Self); 4] = [("csv", Self::Csv), ("jsonl", Self::JsonLines), ("ndjson", Self::JsonLines), ("json", Self::Json)];

    /// By the end of the name, `.gz` aside.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (_, extension) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
        match extension {
            "csv" | "tsv" => Some(Self::Csv),
            other => Self::ALL.iter().find(|(name, _)| *name == other).map(|(_, format)| *format),
        }
    }
}

/// How files are read.
pub struct Reading {
    pub columns: Columns,
    /// `None`: by each file's name.
    pub format: Option<Format>,
    pub delimiter: u8,
    pub header: bool,
    pub null_values: Vec<String>,
    /// JSON pointer to the list of records in a JSON file.
    pub records: String,
}

/// Rows of a batch; bounds what is in memory twice.
const ROWS_PER_BATCH: usize = 65_536;

/// Where rows and rejects of one file go.
struct Sink<'a> {
    file: &'a Found,
    columns: &'a Columns,
    partitions: Vec<Cell>,
    builder: RowBuilder,
    parsed: &'a mut Parsed,
}

impl Sink<'_> {
    fn push(&mut self, line: u64, cells: Result<Vec<Cell>, String>, record: impl FnOnce() -> String) -> Result<(), IngestError> {
        match cells {
            Ok(mut cells) => {
                cells.extend(self.partitions.iter().cloned());
                cells.push(self.file.shown.as_str().into());
                cells.push(Cell::Int(line as i64));
                self.builder.push(cells);
                if self.builder.len() >= ROWS_PER_BATCH {
                    self.flush()?;
                }
            }
            Err(reason) => self.parsed.rejected.push(Rejected { reason, position: self.at(line), record: record() }),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        self.parsed.batches.extend(self.builder.finish()?);
        Ok(())
    }

    fn at(&self, line: u64) -> String {
        format!("{}:{line}", self.file.shown)
    }
}

impl Reading {
    pub fn file(&self, file: &Found, content: impl Read, parsed: &mut Parsed) -> Result<(), IngestError> {
        let whole = |reason: String, parsed: &mut Parsed| {
            parsed.rejected.push(Rejected { reason, position: file.shown.clone(), record: String::new() });
        };
        let Some(format) = self.format.or_else(|| Format::of(&file.shown)) else {
            whole("its name does not tell its format (`csv`, `jsonl` or `json`), and the setting `format` is not given".into(), parsed);
            return Ok(());
        };
        let partitions = match self.partitions(&file.shown) {
            Ok(cells) => cells,
            Err(reason) => {
                whole(reason, parsed);
                return Ok(());
            }
        };
        let builder = RowBuilder::new(self.columns.schema());
        let mut sink = Sink { file, columns: &self.columns, partitions, builder, parsed };
        match format {
            Format::Csv => self.csv(content, &mut sink)?,
            Format::JsonLines => json_lines(content, &mut sink)?,
            Format::Json => self.json(content, &mut sink)?,
        }
        sink.flush()
    }

    /// Values of the `key=value` folders.
    fn partitions(&self, shown: &str) -> Result<Vec<Cell>, String> {
        let folders: Vec<(&str, &str)> = shown.split('/').filter_map(|part| part.split_once('=')).collect();
        let cells = self.columns.partitions.iter().map(|column| {
            let found = folders.iter().find(|(key, _)| key.eq_ignore_ascii_case(&column.name));
            let Some((_, value)) = found else { return Err(format!("its path has no folder `{}=...`", column.name)) };
            if *value == "__HIVE_DEFAULT_PARTITION__" {
                return Ok(Cell::Null);
            }
            let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("its folder `{value}` is not UTF-8"))?;
            column.column_type.cell(&value).map_err(|why| format!("its folder `{}`: {why}", column.name))
        });
        cells.collect()
    }

    fn csv(&self, content: impl Read, sink: &mut Sink<'_>) -> Result<(), IngestError> {
        let tab = sink.file.shown.trim_end_matches(".gz").ends_with(".tsv") && self.delimiter == b',';
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(if tab { b'\t' } else { self.delimiter })
            .from_reader(BufReader::new(content));
        let mut record = csv::ByteRecord::new();
        // of each column of ours, its place in the file
        let mut places: Option<(Vec<usize>, Vec<String>)> = None;
        if !self.header {
            places = Some(((0..sink.columns.own.len()).collect(), sink.columns.own.iter().map(|c| c.name.clone()).collect()));
        }
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(e) => match e.into_kind() {
                    csv::ErrorKind::Io(e) => return broken(sink, &e, record.position().map_or(0, csv::Position::line)),
                    other => {
                        let line = reader.position().line();
                        sink.push(line, Err(format!("{other:?}")), String::new)?;
                        continue;
                    }
                },
            }
            let line = record.position().map_or(0, csv::Position::line);
            let fields: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
            let text = || record.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
            let Ok(mut fields) = fields else {
                sink.push(line, Err("not UTF-8".into()), text)?;
                continue;
            };
            let Some((places, header)) = &places else {
                if let Some(first) = fields.first_mut() {
                    *first = first.trim_start_matches('\u{feff}');
                }
                match header_places(sink.columns, &fields) {
                    Ok(found) => places = Some((found, fields.iter().map(|f| f.trim().to_owned()).collect())),
                    Err(reason) => {
                        sink.push(line, Err(reason), text)?;
                        return Ok(()); // without its header no row of the file means anything
                    }
                }
                continue;
            };
            let cells = if fields.len() != header.len() {
                Err(format!("{} fields under {} columns", fields.len(), header.len()))
            } else if sink.columns.is_payload() {
                let object: Map<String, Json> =
                    header.iter().zip(&fields).map(|(name, field)| (name.clone(), self.csv_json(field))).collect();
                Ok(vec![canonical(&Json::Object(object)).into()])
            } else {
                let own = sink.columns.own.iter().zip(places);
                own.map(|(column, place)| match fields[*place] {
                    field if self.null_values.iter().any(|null| null == field) => Ok(Cell::Null),
                    field => column.column_type.cell(field).map_err(|why| format!("column `{}`: {why}", column.name)),
                })
                .collect()
            };
            sink.push(line, cells, text)?;
        }
    }

    fn csv_json(&self, field: &str) -> Json {
        if self.null_values.iter().any(|null| null == field) { Json::Null } else { field.into() }
    }

    fn json(&self, mut content: impl Read, sink: &mut Sink<'_>) -> Result<(), IngestError> {
        let mut bytes = vec![];
        if let Err(e) = content.read_to_end(&mut bytes) {
            return broken(sink, &e, 0);
        }
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let value: Json = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(e) => {
                let beginning = || String::from_utf8_lossy(&text[..text.len().min(2000)]).into_owned();
                return sink.push(e.line() as u64, Err(format!("not JSON: {e}")), beginning);
            }
        };
        let records = match value.pointer(&self.records) {
            Some(Json::Array(records)) => records.as_slice(),
            Some(one @ Json::Object(_)) => std::slice::from_ref(one),
            _ => {
                let reason = format!("`{}` is neither a list nor an object", self.records);
                return sink.push(1, Err(reason), String::new);
            }
        };
        for (index, record) in records.iter().enumerate() {
            // a list has no lines of its own: its records are counted
            sink.push(index as u64 + 1, sink.columns.json_row(record), || record.to_string())?;
        }
        Ok(())
    }
}

fn json_lines(content: impl Read, sink: &mut Sink<'_>) -> Result<(), IngestError> {
    let mut reader = BufReader::with_capacity(1 << 18, content);
    let mut bytes = vec![];
    for line in 1.. {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) => return broken(sink, &e, line),
        }
        let text = if line == 1 { bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes) } else { &bytes };
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let cells = match serde_json::from_slice::<Json>(text) {
            Ok(record) => sink.columns.json_row(&record),
            Err(e) => Err(format!("not JSON: {e}")),
        };
        sink.push(line, cells, || String::from_utf8_lossy(text).into_owned())?;
    }
    Ok(())
}

/// A file whose bytes end in the middle (a truncated archive): what was read counts, the rest is a reject. An error
/// of the disk is not the file's and fails the source.
fn broken(sink: &mut Sink<'_>, error: &std::io::Error, line: u64) -> Result<(), IngestError> {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    if matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) {
        return sink.push(line, Err(format!("the file breaks off: {error}")), String::new);
    }
    Err(unreadable(sink.file, error))
}

fn header_places(columns: &Columns, header: &[&str]) -> Result<Vec<usize>, String> {
    let place = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name.trim_matches('"')));
    columns.own.iter().map(|c| place(&c.name).ok_or_else(|| format!("the header has no column `{}`", c.name))).collect()
}
