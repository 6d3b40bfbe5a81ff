//! Bytes -> header and records, each value with its place in the file.

use std::{path::Path, sync::Arc};

use super::MOST_FAULTS;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceFile};

/// A well-formed file: every record has as many values as the header.
pub(super) struct CsvFile {
    pub(super) header: Vec<String>,
    records: Vec<csv::StringRecord>,
    /// Byte offsets of the header and the records in `file`.
    starts: Vec<usize>,
    file: Arc<SourceFile>,
    delimiter: u8,
}

impl CsvFile {
    pub(super) fn parse(path: &Path, content: &[u8], delimiter: u8) -> Result<Self, Diagnostics> {
        let text = match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(e) => {
                let good = e.valid_up_to();
                // up to the fault the lossy text has the same offsets
                let file = SourceFile::new(path, String::from_utf8_lossy(content));
                return Err(Diagnostic::error("seed/not-utf-8", format!("byte 0x{:02X} is not UTF-8", content[good]))
                    .at(Place::new(&file, good..good + 1), "here")
                    .help("save the file as UTF-8")
                    .into());
            }
        };
        // the mark stays out of the text, so that columns of the first line count from its first letter
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = SourceFile::new(path, text);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut faults = Diagnostics::default();
        let mut this = Self { header: vec![], records: vec![], starts: vec![], file, delimiter };
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    let at = e.position().map_or(0, |p| p.byte() as usize);
                    faults.push(
                        Diagnostic::error("seed/malformed", format!("the file is no CSV: {e}")).at(Place::new(&this.file, at..at), "here"),
                    );
                    break;
                }
            }
            let reported = record.position().map_or(0, |p| p.byte() as usize);
            let start = this.skip_line_breaks(reported);
            this.starts.push(start);
            if this.starts.len() == 1 {
                this.header = record.iter().map(str::to_owned).collect();
                continue;
            }
            if record.len() != this.header.len() {
                faults.push(this.wrong_width(start, record.len()));
                if faults.0.len() >= MOST_FAULTS {
                    break;
                }
                // keeps the records and their offsets in step
                this.starts.pop();
                continue;
            }
            this.records.push(record.clone());
        }
        if let Some(open) = this.starts.last().and_then(|start| this.fields(*start).1) {
            faults.push(
                Diagnostic::error("seed/open-quote", "a quote is opened and never closed")
                    .at(Place::new(&this.file, open..open + 1), "opened here")
                    .help("within a quoted value `\"\"` stands for a quote"),
            );
        }
        if this.header.is_empty() {
            faults.push(
                Diagnostic::error("seed/empty", "the file has no header").at(this.start(), "").help("the first line names the columns"),
            );
        }
        for i in (0..this.header.len()).filter(|&i| this.header[i].trim().is_empty()) {
            faults.push(Diagnostic::error("seed/unnamed-column", format!("column {} has no name", i + 1)).at(this.place(0, i), "here"));
        }
        if faults.has_errors() { Err(faults) } else { Ok(this) }
    }

    /// Records, without the header.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// `None` for null: an empty value or the word `null`, as dbt's reader has it.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&str> {
        let text = self.records.get(row)?.get(column)?;
        let trimmed = text.trim();
        (!trimmed.is_empty() && !trimmed.eq_ignore_ascii_case("null")).then_some(text)
    }

    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(move |row| self.value(row, column))
    }

    /// Line 0 is the header.
    pub(super) fn place(&self, line: usize, column: usize) -> Place {
        let start = self.starts.get(line).copied().unwrap_or_default();
        let (fields, _) = self.fields(start);
        let (from, to) = fields.get(column).or(fields.last()).copied().unwrap_or((start, start));
        Place::new(&self.file, from..to)
    }

    pub(super) fn start(&self) -> Place {
        Place::start_of(&self.file)
    }

    /// The reader reports where it began to look, which is before the blank lines that it skips.
    fn skip_line_breaks(&self, start: usize) -> usize {
        let rest = self.file.text.get(start..).unwrap_or_default();
        start + (rest.len() - rest.trim_start_matches(['\r', '\n']).len())
    }

    /// Byte ranges of the values of the record at `start`, quotes included, and where a quote is opened and never
    /// closed. Only asked for when something is wrong, and of the last record.
    fn fields(&self, start: usize) -> (Vec<(usize, usize)>, Option<usize>) {
        let bytes = self.file.text.as_bytes();
        let (mut fields, mut from, mut in_quotes, mut at) = (vec![], start, false, start);
        while at < bytes.len() {
            match bytes[at] {
                // a quote within a value that does not begin with one is a letter like others (`5"`)
                b'"' if in_quotes || at == from => in_quotes = !in_quotes,
                b'"' if bytes.get(from) == Some(&b'"') && at > 0 && bytes[at - 1] == b'"' => in_quotes = true,
                b'\r' | b'\n' if !in_quotes => break,
                b if b == self.delimiter && !in_quotes => {
                    fields.push((from, at));
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        fields.push((from, at));
        (fields, in_quotes.then_some(from))
    }

    fn wrong_width(&self, start: usize, got: usize) -> Diagnostic {
        let want = self.header.len();
        let values = |n: usize| if n == 1 { "1 value".to_owned() } else { format!("{n} values") };
        let (fields, open) = self.fields(start);
        let end = fields.last().map_or(start, |f| f.1);
        let (range, label) = match fields.get(want) {
            Some(first_extra) => (first_extra.0..end, "the header has no column for this"),
            None => (start..end, "this row"),
        };
        let fault = Diagnostic::error("seed/wrong-width", format!("a row has {}, the header {}", values(got), values(want)))
            .at(Place::new(&self.file, range.clone()), label);
        if open.is_some() || self.file.text.get(start..end).is_some_and(|t| t.contains('\n')) {
            fault.help("a quote is opened and not closed; within a quoted value `\"\"` stands for a quote")
        } else {
            fault.help("put a value that contains the delimiter in double quotes")
        }
    }
}
