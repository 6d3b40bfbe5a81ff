//! The content of one file to records, one after the other: CSV, JSON lines, JSON documents, Avro. No more of a file is in
//! memory than the record, a JSON document excepted, which has no end before its end.

use std::io::{BufRead, BufReader, Read};

use apache_avro::Schema as AvroSchema;
use flate2::read::MultiGzDecoder;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::store::unreadable;
use crate::ingest::{
    IngestError,
    columns::{ColumnType, type_of, wider},
    kafka::avro,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// A list of objects, or one object.
    Json,
    Avro,
    Parquet,
}

impl Format {
    pub const ALL: [(&str, Self); 6] = [
        ("csv", Self::Csv),
        ("jsonl", Self::JsonLines),
        ("ndjson", Self::JsonLines),
        ("json", Self::Json),
        ("avro", Self::Avro),
        ("parquet", Self::Parquet),
    ];

    /// By the end of the name, that of the compression aside.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (_, extension) = name.strip_suffix(Packing::of(&name).suffix(&name)).unwrap_or(&name).rsplit_once('.')?;
        match extension {
            "csv" | "tsv" => Some(Self::Csv),
            other => Self::ALL.iter().find(|(name, _)| *name == other).map(|(_, format)| *format),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".gz") {
            Self::Gzip
        } else if name.ends_with(".zst") || name.ends_with(".zstd") {
            Self::Zstd
        } else {
            Self::None
        }
    }

    fn suffix(self, name: &str) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd if name.ends_with(".zst") => ".zst",
            Self::Zstd => ".zstd",
        }
    }

    pub fn unpacked(self, content: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => content,
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, content))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(content)?),
        })
    }
}

/// How files are read.
pub struct Reading {
    /// `None`: by each file's name.
    pub format: Option<Format>,
    pub delimiter: u8,
    pub header: bool,
    pub null_values: Vec<String>,
    /// JSON pointer to the list of records in a JSON file.
    pub records: String,
    /// Bytes of a JSON document, which is read as a whole.
    pub largest_document: u64,
}

/// A line that has no end within this many bytes is none.
const LONGEST_LINE: u64 = 64 << 20;

/// Records that a guess of columns looks at.
const SAMPLE: usize = 1000;

pub enum Data {
    Json(Json),
    /// See [`Records::line`].
    Line,
    /// See [`Records::fields`].
    Fields,
}

pub struct Record {
    /// Counted from one; of formats without lines the number of the record.
    pub line: u64,
    pub data: Result<Data, String>,
}

pub struct Records {
    shown: String,
    source: Source,
}

/// Why a file could not be begun: line, reason, text.
pub type Refused = (u64, String, String);

type Bytes = Box<dyn Read + Send>;

#[allow(clippy::large_enum_variant)] // one of them per open file
enum Source {
    Csv { reader: csv::Reader<BufReader<Bytes>>, record: csv::ByteRecord, header: Vec<String> },
    Lines { reader: BufReader<Bytes>, line: u64, text: Vec<u8> },
    Document { records: std::vec::IntoIter<Json>, line: u64, last: String },
    Avro { reader: apache_avro::Reader<'static, Bytes>, schema: Box<AvroSchema>, line: u64 },
    Ended { text: String },
}

impl Records {
    /// `names` are the columns of CSV files without a header.
    pub fn open(
        shown: &str,
        content: Bytes,
        format: Format,
        reading: &Reading,
        names: &[String],
    ) -> Result<Result<Self, Refused>, IngestError> {
        let source = match format {
            Format::Csv => csv_source(shown, content, reading, names)?,
            Format::JsonLines => Ok(Source::Lines { reader: BufReader::with_capacity(1 << 18, content), line: 0, text: vec![] }),
            Format::Json => document(shown, content, reading)?,
            Format::Avro => match apache_avro::Reader::new(content) {
                Ok(reader) => {
                    let schema = Box::new(reader.writer_schema().clone());
                    Ok(Source::Avro { reader, schema, line: 0 })
                }
                Err(e) => Err((0, format!("not an Avro file: {e}"), String::new())),
            },
            Format::Parquet => Err((0, "read by columns, not by records".into(), String::new())),
        };
        Ok(source.map(|source| Self { shown: shown.to_owned(), source }))
    }

    pub fn header(&self) -> Option<&[String]> {
        match &self.source {
            Source::Csv { header, .. } => Some(header),
            _ => None,
        }
    }

    pub fn avro_schema(&self) -> Option<&AvroSchema> {
        match &self.source {
            Source::Avro { schema, .. } => Some(schema),
            _ => None,
        }
    }

    /// Of the last record, when it is [`Data::Fields`].
    pub fn fields(&self) -> Option<&csv::ByteRecord> {
        match &self.source {
            Source::Csv { record, .. } => Some(record),
            _ => None,
        }
    }

    /// Of the last record, when it is [`Data::Line`].
    pub fn line(&self) -> &[u8] {
        match &self.source {
            Source::Lines { text, line, .. } => trimmed(text, *line),
            _ => &[],
        }
    }

    /// The last record as it stands in the file.
    pub fn text(&self) -> String {
        match &self.source {
            Source::Csv { record, .. } => record.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(","),
            Source::Lines { text, .. } => String::from_utf8_lossy(text.trim_ascii()).into_owned(),
            Source::Document { last, .. } => last.clone(),
            Source::Avro { .. } => String::new(),
            Source::Ended { text } => text.clone(),
        }
    }

    /// The next record. One that cannot be read is told with its reason; a file that breaks off ends with one.
    pub fn next(&mut self) -> Result<Option<Record>, IngestError> {
        match &mut self.source {
            Source::Csv { reader, record, .. } => match reader.read_byte_record(record) {
                Ok(true) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    let is_text = record.iter().all(|field| std::str::from_utf8(field).is_ok());
                    Ok(Some(Record { line, data: if is_text { Ok(Data::Fields) } else { Err("not UTF-8".into()) } }))
                }
                Ok(false) => Ok(None),
                Err(e) => match e.into_kind() {
                    csv::ErrorKind::Io(e) => {
                        let line = record.position().map_or(0, csv::Position::line);
                        self.breaks_off(&e, line)
                    }
                    other => Ok(Some(Record { line: reader.position().line(), data: Err(format!("{other:?}")) })),
                },
            },
            Source::Lines { reader, line, text } => loop {
                text.clear();
                *line += 1;
                match (&mut *reader).take(LONGEST_LINE).read_until(b'\n', text) {
                    Ok(0) => return Ok(None),
                    Ok(n) if n as u64 == LONGEST_LINE && text.last() != Some(&b'\n') => {
                        let e = std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a line of more than {LONGEST_LINE} bytes"));
                        let line = *line;
                        return self.breaks_off(&e, line);
                    }
                    Ok(_) => {}
                    Err(e) => {
                        let line = *line;
                        return self.breaks_off(&e, line);
                    }
                }
                if !trimmed(text, *line).is_empty() {
                    return Ok(Some(Record { line: *line, data: Ok(Data::Line) }));
                }
            },
            // a list has no lines of its own: its records are counted
            Source::Document { records, line, last } => Ok(records.next().map(|record| {
                *line += 1;
                *last = if record.is_object() { String::new() } else { record.to_string() };
                Record { line: *line, data: Ok(Data::Json(record)) }
            })),
            Source::Avro { reader, schema, line } => match reader.next() {
                None => Ok(None),
                Some(Ok(value)) => {
                    *line += 1;
                    Ok(Some(Record { line: *line, data: Ok(Data::Json(avro::json(value, Some(schema)))) }))
                }
                Some(Err(e)) => {
                    let line = *line + 1;
                    self.source = Source::Ended { text: String::new() };
                    Ok(Some(Record { line, data: Err(format!("the file breaks off: {e}")) }))
                }
            },
            Source::Ended { .. } => Ok(None),
        }
    }

    /// A file whose bytes end in the middle (a truncated archive): what was read counts, the rest is a reject. An error of
    /// the disk is not the file's and fails the source.
    fn breaks_off(&mut self, error: &std::io::Error, line: u64) -> Result<Option<Record>, IngestError> {
        let reason = broken(&self.shown, error)?;
        self.source = Source::Ended { text: String::new() };
        Ok(Some(Record { line, data: Err(reason) }))
    }
}

/// A line without its end; the first without the mark of its encoding.
fn trimmed(text: &[u8], line: u64) -> &[u8] {
    match line {
        1 => text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text),
        _ => text,
    }
    .trim_ascii()
}

/// A line as a tree.
pub fn json(line: &[u8]) -> Result<Json, String> {
    serde_json::from_slice(line).map_err(|e| format!("not JSON: {e}"))
}

fn broken(shown: &str, error: &std::io::Error) -> Result<String, IngestError> {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        // of these the archive's decoders make their faults
        InvalidData | InvalidInput | UnexpectedEof | Other => Ok(format!("the file breaks off: {error}")),
        _ => Err(unreadable(shown, error)),
    }
}

fn csv_source(shown: &str, content: Bytes, reading: &Reading, names: &[String]) -> Result<Result<Source, Refused>, IngestError> {
    let bare = shown.to_ascii_lowercase();
    let bare = bare.strip_suffix(Packing::of(&bare).suffix(&bare)).unwrap_or(&bare).to_owned();
    let tab = bare.ends_with(".tsv") && reading.delimiter == b',';
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(if tab { b'\t' } else { reading.delimiter })
        .from_reader(BufReader::new(content));
    let mut record = csv::ByteRecord::new();
    let mut header = names.to_vec();
    if reading.header {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(Source::Ended { text: String::new() })),
            Err(e) => {
                return match e.into_kind() {
                    csv::ErrorKind::Io(e) => Ok(Err((1, broken(shown, &e)?, String::new()))),
                    other => Ok(Err((1, format!("{other:?}"), String::new()))),
                };
            }
        }
        let fields: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        let Ok(fields) = fields else { return Ok(Err((1, "the header is not UTF-8".into(), String::new()))) };
        header = fields.iter().map(|f| f.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    }
    Ok(Ok(Source::Csv { reader, record, header }))
}

fn document(shown: &str, content: Bytes, reading: &Reading) -> Result<Result<Source, Refused>, IngestError> {
    let mut bytes = vec![];
    if let Err(e) = content.take(reading.largest_document + 1).read_to_end(&mut bytes) {
        return Ok(Err((0, broken(shown, &e)?, String::new())));
    }
    if bytes.len() as u64 > reading.largest_document {
        let limit = reading.largest_document >> 20;
        return Ok(Err((0, format!("a JSON document of more than {limit} MB: JSON lines are read piece by piece"), String::new())));
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut value: Json = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(e) => {
            let beginning = String::from_utf8_lossy(&text[..text.len().min(2000)]).into_owned();
            return Ok(Err((e.line() as u64, format!("not JSON: {e}"), beginning)));
        }
    };
    let records = match value.pointer_mut(&reading.records).map(Json::take) {
        Some(Json::Array(records)) => records,
        Some(one @ Json::Object(_)) => vec![one],
        _ => return Ok(Err((1, format!("`{}` is neither a list nor an object", reading.records), String::new()))),
    };
    Ok(Ok(Source::Document { records: records.into_iter(), line: 0, last: String::new() }))
}

/// The columns that the first records ask for, in the order in which they come.
pub fn sample(records: &mut Records, null_values: &[String]) -> Result<IndexMap<String, ColumnType>, IngestError> {
    let mut found: IndexMap<String, Option<ColumnType>> = IndexMap::new();
    if let Some(schema) = records.avro_schema() {
        return Ok(avro::columns(schema).into_iter().collect());
    }
    let header: Vec<String> = records.header().unwrap_or_default().to_vec();
    for name in &header {
        found.insert(name.clone(), None);
    }
    for _ in 0..SAMPLE {
        let Some(record) = records.next()? else { break };
        let data = match record.data {
            Ok(Data::Line) => json(records.line()).map(Data::Json),
            other => other,
        };
        match data {
            Ok(Data::Json(Json::Object(object))) => {
                for (field, value) in &object {
                    let known = found.entry(field.clone()).or_insert(None);
                    *known = joined(*known, type_of(value));
                }
            }
            Ok(Data::Fields) => {
                for (name, field) in header.iter().zip(records.fields().into_iter().flatten()) {
                    let text = String::from_utf8_lossy(field);
                    if !null_values.iter().any(|null| *null == text)
                        && let Some(known) = found.get_mut(name)
                    {
                        *known = joined(*known, Some(type_of_text(text.trim())));
                    }
                }
            }
            _ => {}
        }
    }
    // what was null in all of them may become anything
    Ok(found.into_iter().map(|(name, t)| (name, t.unwrap_or(ColumnType::Text))).collect())
}

fn joined(a: Option<ColumnType>, b: Option<ColumnType>) -> Option<ColumnType> {
    match (a, b) {
        (Some(ColumnType::Date), Some(ColumnType::Timestamp)) | (Some(ColumnType::Timestamp), Some(ColumnType::Date)) => {
            Some(ColumnType::Timestamp)
        }
        (Some(a), Some(b)) => Some(wider(a, b)),
        (a, b) => a.or(b),
    }
}

/// Numbers with leading zeros are codes, not numbers.
fn type_of_text(text: &str) -> ColumnType {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if is_code || text.is_empty() {
        return ColumnType::Text;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i64>().is_ok() {
        return ColumnType::Integer;
    }
    if digits.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok() {
        return ColumnType::Float;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return ColumnType::Boolean;
    }
    for guess in [ColumnType::Date, ColumnType::Timestamp] {
        if digits.starts_with(|c: char| c.is_ascii_digit()) && guess.cell(text).is_ok() {
            return guess;
        }
    }
    ColumnType::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats_and_texts_tell_types() {
        for (name, format) in [
            ("a/b.CSV", Some(Format::Csv)),
            ("b.tsv.gz", Some(Format::Csv)),
            ("b.jsonl.zst", Some(Format::JsonLines)),
            ("b.json.zstd", Some(Format::Json)),
            ("b.parquet", Some(Format::Parquet)),
            ("b.avro", Some(Format::Avro)),
            ("b.gz", None),
            ("b", None),
        ] {
            assert_eq!(Format::of(name), format, "{name}");
        }
        for (text, expect) in [
            ("12", ColumnType::Integer),
            ("-3", ColumnType::Integer),
            ("007", ColumnType::Text),
            ("0.5", ColumnType::Float),
            ("1e3", ColumnType::Float),
            ("nan", ColumnType::Text),
            ("TRUE", ColumnType::Boolean),
            ("2025-02-27", ColumnType::Date),
            ("2025-02-27 10:00:00", ColumnType::Timestamp),
            ("", ColumnType::Text),
        ] {
            assert_eq!(type_of_text(text), expect, "{text}");
        }
    }
}
