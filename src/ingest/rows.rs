//! Cells to Arrow: rows of a landing table, one after the other, into a record batch of its schema.
//!
//! Does not convert between kinds: adapters make the cells that their schema asks for.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
        TimestampMicrosecondBuilder, make_builder,
    },
    datatypes::{DataType, Field, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use serde_json::Value as Json;

use super::IngestError;
use crate::names::SemiStructured;

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Unscaled.
    Decimal(i128),
    Date(chrono::NaiveDate),
    Timestamp(chrono::NaiveDateTime),
}

/// A cell whose text may still stand where it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Slot<'a> {
    Text(&'a str),
    Cell(Cell),
}

impl From<Cell> for Slot<'_> {
    fn from(cell: Cell) -> Self {
        Self::Cell(cell)
    }
}

impl From<Slot<'_>> for Cell {
    fn from(slot: Slot<'_>) -> Self {
        match slot {
            Slot::Text(text) => text.into(),
            Slot::Cell(cell) => cell,
        }
    }
}

impl Cell {
    /// A list of texts as an ARRAY.
    pub fn array(items: &[String]) -> Self {
        Self::Text(Json::from(items).to_string())
    }

    pub fn moment(at: chrono::DateTime<chrono::Utc>) -> Self {
        Self::Timestamp(at.naive_utc())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T> From<Option<T>> for Cell
where
    Cell: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Cell::from)
    }
}

macro_rules! from {
    ($($type:ty => $kind:ident),*) => {$(
        impl From<$type> for Cell {
            fn from(value: $type) -> Self {
                Self::$kind(value)
            }
        }
    )*};
}
from!(String => Text, i64 => Int, f64 => Float, bool => Bool, chrono::NaiveDate => Date, chrono::NaiveDateTime => Timestamp);

/// A column of a landing table, nullable unless it is a key.
pub fn column(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub fn timestamp(name: &str) -> Field {
    column(name, DataType::Timestamp(TimeUnit::Microsecond, None))
}

pub fn semi_structured(name: &str, kind: SemiStructured) -> Field {
    column(name, DataType::Utf8).with_metadata([(SemiStructured::METADATA_KEY.to_owned(), kind.as_str().to_owned())].into())
}

/// JSON text as VARIANT columns hold it: compact, keys of objects sorted.
pub fn canonical(value: &Json) -> String {
    fn sorted(value: &Json) -> Json {
        match value {
            Json::Object(map) => {
                let mut pairs: Vec<_> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                Json::Object(pairs.into_iter().collect())
            }
            Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Collects rows of one schema.
pub struct RowBuilder {
    schema: SchemaRef,
    columns: Vec<Box<dyn ArrayBuilder>>,
    rows: usize,
    /// Rows that will come, as far as that is known.
    expected: usize,
}

/// Rows that tell how long the texts of a column are.
const SAMPLE: usize = 256;

impl RowBuilder {
    pub fn new(schema: SchemaRef) -> Self {
        Self::with_rows(schema, 0)
    }

    /// Memory for this many rows is taken at once, not by doubling.
    pub fn with_rows(schema: SchemaRef, rows: usize) -> Self {
        let columns = schema.fields().iter().map(|f| make_builder(f.data_type(), rows)).collect();
        Self { schema, columns, rows: 0, expected: rows }
    }

    /// Builders of texts, with room for the texts to come after those of the first rows.
    fn widen(&mut self) {
        for builder in &mut self.columns {
            let Some(texts) = builder.as_any_mut().downcast_mut::<StringBuilder>() else { continue };
            let bytes = texts.values_slice().len() * self.expected / self.rows;
            let mut wide = StringBuilder::with_capacity(self.expected, bytes + bytes / 8);
            for text in texts.finish().iter() {
                wide.append_option(text);
            }
            *texts = wide;
        }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One cell per column, in the schema's order.
    pub fn push<'a, S: Into<Slot<'a>>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells = cells.into_iter();
        for (builder, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let slot = cells.next().map_or(Slot::Cell(Cell::Null), Into::into);
            append(builder.as_mut(), field.data_type(), slot);
        }
        self.rows += 1;
        if self.rows == SAMPLE && self.expected > 2 * SAMPLE {
            self.widen();
        }
    }

    /// The batch, or none of no rows; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<Vec<RecordBatch>, IngestError> {
        if self.is_empty() {
            return Ok(vec![]);
        }
        self.rows = 0;
        let arrays = self.columns.iter_mut().zip(self.schema.fields()).map(|(builder, field)| {
            let array = builder.finish();
            // precision and scale are not the builder's
            datafusion::arrow::compute::cast(&array, field.data_type())
        });
        let batch = arrays.collect::<Result<_, _>>().and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays));
        match batch {
            Ok(batch) => Ok(vec![batch]),
            Err(e) => Err(IngestError::new("ingest/rows", format!("the parsed rows do not fit the landing table: {e}"))),
        }
    }
}

/// Columns of landing tables are nullable: a cell of another kind than the column's is no value of it.
fn append(builder: &mut dyn ArrayBuilder, data_type: &DataType, slot: Slot<'_>) {
    fn to<B: 'static>(builder: &mut dyn ArrayBuilder) -> &mut B {
        builder.as_any_mut().downcast_mut().expect("make_builder gives the builder of the type")
    }
    let cell = match (data_type, slot) {
        (DataType::Utf8, Slot::Text(text)) => return to::<StringBuilder>(builder).append_value(text),
        (_, slot) => Cell::from(slot),
    };
    match (data_type, cell) {
        (DataType::Utf8, Cell::Text(text)) => to::<StringBuilder>(builder).append_value(text),
        (DataType::Utf8, _) => to::<StringBuilder>(builder).append_null(),
        (DataType::Int64, Cell::Int(value)) => to::<Int64Builder>(builder).append_value(value),
        (DataType::Int64, _) => to::<Int64Builder>(builder).append_null(),
        (DataType::Float64, Cell::Float(value)) => to::<Float64Builder>(builder).append_value(value),
        (DataType::Float64, _) => to::<Float64Builder>(builder).append_null(),
        (DataType::Boolean, Cell::Bool(value)) => to::<BooleanBuilder>(builder).append_value(value),
        (DataType::Boolean, _) => to::<BooleanBuilder>(builder).append_null(),
        (DataType::Decimal128(..), Cell::Decimal(value)) => to::<Decimal128Builder>(builder).append_value(value),
        (DataType::Decimal128(..), _) => to::<Decimal128Builder>(builder).append_null(),
        (DataType::Date32, Cell::Date(date)) => to::<Date32Builder>(builder).append_value(days(date)),
        (DataType::Date32, _) => to::<Date32Builder>(builder).append_null(),
        (DataType::Timestamp(TimeUnit::Microsecond, None), Cell::Timestamp(at)) => {
            to::<TimestampMicrosecondBuilder>(builder).append_value(at.and_utc().timestamp_micros());
        }
        (DataType::Timestamp(TimeUnit::Microsecond, None), _) => to::<TimestampMicrosecondBuilder>(builder).append_null(),
        (other, _) => unreachable!("landing tables have no column of type {other}"),
    }
}

/// Days since 1970-01-01.
pub fn days(date: chrono::NaiveDate) -> i32 {
    i32::try_from((date - chrono::NaiveDate::default()).num_days()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{datatypes::Schema, util::pretty::pretty_format_batches};

    use super::*;

    #[test]
    fn cells_land_in_their_columns() {
        let schema = Arc::new(Schema::new(vec![
            column("T", DataType::Utf8),
            column("I", DataType::Int64),
            column("F", DataType::Float64),
            column("B", DataType::Boolean),
            column("N", DataType::Decimal128(5, 2)),
            column("D", DataType::Date32),
            timestamp("S"),
        ]));
        let mut rows = RowBuilder::new(schema);
        let day: chrono::NaiveDate = "2025-02-27".parse().expect("a date");
        rows.push([Cell::from("a"), 1.into(), 0.5.into(), true.into(), Cell::Decimal(123), day.into(), day.and_hms_opt(11, 0, 0).into()]);
        rows.push::<Cell>([]);
        let batches = rows.finish().expect("a batch");
        assert!(rows.finish().expect("nothing").is_empty());
        insta::assert_snapshot!(pretty_format_batches(&batches).expect("text"), @r"
        +---+---+-----+------+------+------------+---------------------+
        | T | I | F   | B    | N    | D          | S                   |
        +---+---+-----+------+------+------------+---------------------+
        | a | 1 | 0.5 | true | 1.23 | 2025-02-27 | 2025-02-27T11:00:00 |
        |   |   |     |      |      |            |                     |
        +---+---+-----+------+------+------------+---------------------+
        ");
        let json = serde_json::json!({"b": [{"z": 1, "a": "é"}], "a": null});
        assert_eq!(canonical(&json), r#"{"a":null,"b":[{"a":"é","z":1}]}"#);
    }
}
