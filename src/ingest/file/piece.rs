//! Rows of several files, or a part of one, on their way into one commit.

use std::{collections::HashSet, sync::Arc};

use datafusion::arrow::{array::new_null_array, record_batch::RecordBatch};
use indexmap::IndexMap;
use serde_json::Value as Json;
use tokio::runtime::Handle;

use super::{
    layout::Layout,
    parquet::{self, Columnar},
    position::Entry,
    records::{Data, Reading, Records, json},
    store::Troubles,
};
use crate::ingest::{
    IngestError, Parsed, Rejected,
    columns::{Unknown, type_of, wider},
    fields::FieldOrder,
    rows::{Cell, RowBuilder, Slot, canonical},
};

const ROWS_PER_BATCH: usize = 65_536;
const BYTES_PER_BATCH: usize = 8 << 20;

pub struct Piece {
    pub layout: Arc<Layout>,
    builder: RowBuilder,
    order: FieldOrder,
    /// In the builder, roughly.
    pending: usize,
    batches: Vec<RecordBatch>,
    pub rejected: Vec<Rejected>,
    /// What the rows take in memory, roughly.
    pub bytes: usize,
    pub replaced: Vec<String>,
    pub landed: Vec<Entry>,
    /// Columns that a reader in place wants of files that are kept by columns, in upper case; others may be null.
    pub only: Option<Arc<HashSet<String>>>,
}

/// A file between its first and its last record.
pub struct Open {
    pub entry: Entry,
    pub content: Content,
    /// Values of the `key=value` folders.
    pub partitions: Vec<Cell>,
    /// Records that were taken.
    pub taken: u64,
    /// Records that a former commit has.
    pub skip: u64,
    pub troubles: Troubles,
}

#[allow(clippy::large_enum_variant)] // one of them per open file
pub enum Content {
    Records {
        records: Records,
        /// Of each column its place in a record of fields.
        places: Vec<Option<usize>>,
        /// Fields of a record.
        width: usize,
    },
    Columnar(Columnar),
}

impl Piece {
    pub fn new(layout: Arc<Layout>) -> Self {
        let builder = RowBuilder::new(layout.schema());
        Self {
            layout,
            builder,
            order: FieldOrder::default(),
            pending: 0,
            batches: vec![],
            rejected: vec![],
            bytes: 0,
            replaced: vec![],
            landed: vec![],
            only: None,
        }
    }

    pub fn reject(&mut self, reason: String, position: String, record: String) {
        self.bytes += reason.len() + position.len() + record.len();
        self.rejected.push(Rejected { reason, position, record });
    }

    pub fn flush(&mut self) -> Result<(), IngestError> {
        for batch in self.builder.finish()? {
            self.bytes += batch.get_array_memory_size();
            self.batches.push(batch);
        }
        self.pending = 0;
        Ok(())
    }

    /// From here on rows have the columns of `layout`.
    pub fn relayout(&mut self, layout: Layout) -> Result<(), IngestError> {
        self.flush()?;
        self.layout = Arc::new(layout);
        self.builder = RowBuilder::new(self.layout.schema());
        self.order = FieldOrder::default();
        Ok(())
    }

    /// Batches from before the last new column have nulls in it.
    pub fn finish(mut self) -> Result<(Parsed, Vec<Entry>, Arc<Layout>), IngestError> {
        self.flush()?;
        let schema = self.layout.schema();
        let padded = |batch: RecordBatch| {
            if batch.schema() == schema {
                return Ok(batch);
            }
            let columns = schema.fields().iter().map(|field| {
                let own = batch.column_by_name(field.name()).cloned();
                own.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
            });
            RecordBatch::try_new(Arc::clone(&schema), columns.collect())
        };
        let batches = self.batches.into_iter().map(padded).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(|e| IngestError::new("ingest/rows", format!("the rows do not fit the landing table: {e}")))?;
        self.replaced.sort();
        self.replaced.dedup();
        let replace = (!self.replaced.is_empty()).then(|| ("_FILE".to_owned(), self.replaced));
        Ok((Parsed { batches, replace, rejected: self.rejected, error: None }, self.landed, self.layout))
    }

    /// Reads on until the file ends (`true`) or the piece holds `most` bytes.
    pub fn read(&mut self, open: &mut Open, reading: &Reading, handle: &Handle, most: usize) -> Result<bool, IngestError> {
        let whole = loop {
            if self.bytes + self.pending >= most {
                break false;
            }
            let more = match &open.content {
                Content::Records { .. } => self.record(open, reading)?,
                Content::Columnar(_) => self.batch(open, handle)?,
            };
            if !more {
                break true;
            }
        };
        Ok(whole)
    }

    fn record(&mut self, open: &mut Open, reading: &Reading) -> Result<bool, IngestError> {
        let Content::Records { records, places, width } = &mut open.content else { return Ok(false) };
        let next = records.next();
        // a decoder tells a broken network as a broken file
        if let Some(trouble) = open.troubles.take() {
            return Err(trouble);
        }
        let Some(record) = next? else { return Ok(false) };
        open.taken += 1;
        if open.taken <= open.skip {
            return Ok(true);
        }
        let layout = Arc::clone(&self.layout);
        let quick = match &record.data {
            Ok(Data::Line) if !layout.minds() => layout.columns.quick_row(records.line(), None, &mut self.order),
            _ => None,
        };
        let data = match record.data {
            Ok(Data::Line) if quick.is_none() => json(records.line()).map(Data::Json),
            other => other,
        };
        let mut tree = None;
        let slots = |cells: Vec<Cell>| cells.into_iter().map(Slot::Cell).collect::<Vec<_>>();
        let cells = match data {
            Err(reason) => Err(reason),
            Ok(Data::Line) => Ok(quick.unwrap_or_default().0),
            Ok(Data::Json(value)) => {
                let cells = match self.grown(&value) {
                    Ok(Some(layout)) => {
                        self.relayout(layout?)?;
                        self.layout.columns.json_row(&value)
                    }
                    Ok(None) => self.layout.columns.json_row(&value),
                    Err(reason) => Err(reason),
                };
                tree = Some(value);
                cells.map(slots)
            }
            Ok(Data::Fields) => match records.fields() {
                Some(fields) => self.fields(fields, records.header().unwrap_or_default(), places, *width, reading).map(slots),
                None => Err("a record without fields".into()),
            },
        };
        match cells {
            Ok(mut cells) => {
                cells.extend(open.partitions.iter().cloned().map(Slot::Cell));
                cells.push(Slot::Text(&open.entry.file));
                cells.push(Slot::Cell(Cell::Int(record.line as i64)));
                let size = |slot: &Slot<'_>| match slot {
                    Slot::Text(text) => text.len() + 8,
                    Slot::Cell(Cell::Text(text)) => text.len() + 8,
                    Slot::Cell(_) => 8,
                };
                self.pending += cells.iter().map(size).sum::<usize>();
                self.builder.push(cells);
                open.entry.rows += 1;
                if self.builder.len() >= ROWS_PER_BATCH || self.pending >= BYTES_PER_BATCH {
                    self.flush()?;
                }
            }
            Err(reason) => {
                let mut text = records.text();
                if let (true, Some(tree)) = (text.is_empty(), tree) {
                    text = tree.to_string();
                }
                open.entry.rejected += 1;
                self.reject(reason, format!("{}:{}", open.entry.file, record.line), text);
            }
        }
        Ok(true)
    }

    fn fields(
        &self,
        fields: &csv::ByteRecord,
        header: &[String],
        places: &[Option<usize>],
        width: usize,
        reading: &Reading,
    ) -> Result<Vec<Cell>, String> {
        if fields.len() != width {
            return Err(format!("{} fields under {width} columns", fields.len()));
        }
        let text = |place: usize| fields.get(place).and_then(|f| std::str::from_utf8(f).ok()).unwrap_or_default();
        let is_null = |field: &str| reading.null_values.iter().any(|null| null == field);
        let columns = &self.layout.columns;
        if columns.is_payload() {
            let value = |field: &str| if is_null(field) { Json::Null } else { field.into() };
            let object = header.iter().enumerate().map(|(place, name)| (name.clone(), value(text(place)))).collect();
            return Ok(vec![canonical(&Json::Object(object)).into()]);
        }
        // a column that another file brought is not in this one
        let places = places.iter().copied().chain(std::iter::repeat(None));
        let own = columns.own.iter().zip(places);
        own.map(|(column, place)| match place.map(text) {
            None => Ok(Cell::Null),
            Some(field) if is_null(field) => Ok(Cell::Null),
            Some(field) => column.column_type.cell(field).map_err(|why| format!("column `{}`: {why}", column.name)),
        })
        .collect()
    }

    /// The layout that takes a record's fields too, when its policy makes columns of them.
    #[allow(clippy::type_complexity)]
    fn grown(&self, record: &Json) -> Result<Option<Result<Layout, IngestError>>, String> {
        let (true, Json::Object(object)) = (self.layout.minds(), record) else { return Ok(None) };
        let mut new = IndexMap::new();
        for (field, value) in object.iter().filter(|(field, _)| !self.layout.takes(field)) {
            if self.layout.unknown == Unknown::Reject {
                return Err(format!("the field `{field}` has no column"));
            }
            if let Some(column_type) = type_of(value) {
                let known = new.entry(field.clone()).or_insert(column_type);
                *known = wider(*known, column_type);
            }
        }
        Ok((!new.is_empty()).then(|| self.layout.with(new)))
    }

    fn batch(&mut self, open: &mut Open, handle: &Handle) -> Result<bool, IngestError> {
        let Content::Columnar(columnar) = &mut open.content else { return Ok(false) };
        let (mut batch, mut first) = match columnar.next(handle)? {
            None => return Ok(false),
            Some(Ok(next)) => next,
            Some(Err(reason)) => {
                open.entry.rejected += 1;
                self.reject(reason, format!("{}:{}", open.entry.file, open.taken + 1), String::new());
                return Ok(false);
            }
        };
        let rows = batch.num_rows() as u64;
        open.taken += rows;
        if open.taken <= open.skip {
            return Ok(true);
        }
        let before = open.skip.saturating_sub(open.taken - rows);
        if before > 0 {
            batch = batch.slice(before as usize, (rows - before) as usize);
            first += before;
        }
        let partitions = self.layout.columns.partitions_row(&open.partitions)?;
        let had = self.rejected.len();
        let made = parquet::aligned(&batch, first, &self.layout, &open.entry.file, &partitions, &mut self.rejected)?;
        let refused = &self.rejected[had..];
        self.bytes += refused.iter().map(|r| r.reason.len() + r.record.len() + r.position.len()).sum::<usize>();
        open.entry.rejected += refused.len() as u64;
        open.entry.rows += made.num_rows() as u64;
        self.bytes += made.get_array_memory_size();
        if made.num_rows() > 0 {
            self.batches.push(made);
        }
        Ok(true)
    }
}
