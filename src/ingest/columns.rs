//! Columns of sources that land records (files, topics), and how texts and JSON values become their cells.
//!
//! Without `columns:` a record lands whole in `PAYLOAD`: a schema guessed from the first file would break on the second.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use serde_json::Value as Json;

use crate::{
    ingest::{
        IngestError,
        fields::{FieldOrder, FieldPlaces},
        rows::{Cell, RowBuilder, Slot, canonical, column, semi_structured, timestamp},
        settings::Settings,
    },
    names::{Identifier, SemiStructured},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Integer,
    Float,
    Decimal { precision: u8, scale: i8 },
    Boolean,
    Date,
    Timestamp,
    Semi(SemiStructured),
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub column_type: ColumnType,
}

pub struct Columns {
    pub own: Vec<Column>,
    /// From `key=value` folders.
    pub partitions: Vec<Column>,
    whole: bool,
    schema: SchemaRef,
    fields: FieldPlaces,
    kinds: Vec<ColumnType>,
}

impl std::fmt::Display for ColumnType {
    /// As [`ColumnType::parse`] reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text => f.write_str("varchar"),
            Self::Integer => f.write_str("integer"),
            Self::Float => f.write_str("float"),
            Self::Decimal { precision, scale } => write!(f, "number({precision},{scale})"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Semi(kind) => f.write_str(&kind.as_str().to_lowercase()),
        }
    }
}

impl ColumnType {
    /// Snowflake's names of types.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')')?)),
            None => (text.as_str(), None),
        };
        Some(match name {
            "varchar" | "string" | "text" | "char" => Self::Text,
            "number" | "decimal" | "numeric" => {
                let mut parts = arguments.unwrap_or("38,0").split(',').map(str::trim);
                let precision: u8 = parts.next()?.parse().ok().filter(|p| (1..=38).contains(p))?;
                let scale: u8 = parts.next().unwrap_or("0").parse().ok().filter(|s| *s <= precision)?;
                match scale {
                    0 if arguments.is_none() || precision <= 18 => Self::Integer,
                    scale => Self::Decimal { precision, scale: i8::try_from(scale).ok()? },
                }
            }
            "integer" | "int" | "bigint" | "smallint" | "tinyint" => Self::Integer,
            "float" | "double" | "double precision" | "real" => Self::Float,
            "boolean" | "bool" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" | "timestamp_ntz" | "datetime" => Self::Timestamp,
            "variant" => Self::Semi(SemiStructured::Variant),
            "array" => Self::Semi(SemiStructured::Array),
            "object" => Self::Semi(SemiStructured::Object),
            _ => return None,
        })
    }

    fn field(self, name: &str) -> Field {
        match self {
            Self::Text => column(name, DataType::Utf8),
            Self::Integer => column(name, DataType::Int64),
            Self::Float => column(name, DataType::Float64),
            Self::Decimal { precision, scale } => column(name, DataType::Decimal128(precision, scale)),
            Self::Boolean => column(name, DataType::Boolean),
            Self::Date => column(name, DataType::Date32),
            Self::Timestamp => timestamp(name),
            Self::Semi(kind) => semi_structured(name, kind),
        }
    }

    /// A text of a CSV field or a folder's name.
    pub fn cell(self, text: &str) -> Result<Cell, String> {
        let trimmed = text.trim();
        let wrong = |wanted: &str| format!("`{text}` is not {wanted}");
        Ok(match self {
            Self::Text => text.into(),
            Self::Integer => {
                // `1.0` is whole; what `1.5` was meant to be is not ours to say
                let whole = match trimmed.split_once('.') {
                    Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
                    _ => trimmed,
                };
                whole.parse::<i64>().map_err(|_| wrong("a whole number"))?.into()
            }
            Self::Float => trimmed.parse::<f64>().map_err(|_| wrong("a number"))?.into(),
            Self::Decimal { precision, scale } => {
                Cell::Decimal(decimal(trimmed, precision, scale).ok_or_else(|| wrong(&format!("a number({precision},{scale})")))?)
            }
            Self::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => true.into(),
                "false" | "f" | "no" | "n" | "0" => false.into(),
                _ => return Err(wrong("a boolean")),
            },
            Self::Date => trimmed.parse::<NaiveDate>().map_err(|_| wrong("a date such as 2025-02-27"))?.into(),
            Self::Timestamp => moment(trimmed).ok_or_else(|| wrong("a timestamp such as 2025-02-27 11:00:00"))?.into(),
            Self::Semi(kind) => {
                let value: Json = serde_json::from_str(trimmed).map_err(|e| format!("`{text}` is not JSON: {e}"))?;
                return semi(kind, &value);
            }
        })
    }

    /// The same as [`ColumnType::json_cell`].
    pub fn cell_of(self, value: Json) -> Result<Cell, String> {
        match (self, value) {
            (Self::Text, Json::String(text)) => Ok(text.into()),
            (_, value) => self.json_cell(&value),
        }
    }

    pub fn json_cell(self, value: &Json) -> Result<Cell, String> {
        match (self, value) {
            (_, Json::Null) => Ok(Cell::Null),
            (Self::Integer, Json::Number(number)) if number.is_i64() => Ok(number.as_i64().into()),
            (Self::Float, Json::Number(number)) => Ok(number.as_f64().into()),
            (Self::Semi(kind), value) => semi(kind, value),
            (Self::Text, Json::String(text)) => Ok(text.as_str().into()),
            (Self::Text, other) => Ok(canonical(other).into()),
            (_, Json::String(text)) => self.cell(text),
            (Self::Boolean, Json::Bool(value)) => Ok((*value).into()),
            // numbers of seconds, milliseconds... would have to be guessed: such columns land as integers
            (Self::Integer | Self::Decimal { .. }, Json::Number(number)) => self.cell(&number.to_string()),
            (_, other) => Err(format!("`{other}` does not fit the column")),
        }
    }
}

fn semi(kind: SemiStructured, value: &Json) -> Result<Cell, String> {
    match (kind, value) {
        (SemiStructured::Array, Json::Array(_)) | (SemiStructured::Object, Json::Object(_)) | (SemiStructured::Variant, _) => {
            Ok(canonical(value).into())
        }
        (kind, _) => Err(format!("`{value}` is no {}", kind.as_str().to_lowercase())),
    }
}

/// Unscaled; further digits round half away from zero, as Snowflake's casts do.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(scale).collect();
    let mut value: i128 = format!("0{whole}{kept}").parse().ok()?;
    if fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5') {
        value = value.checked_add(1)?;
    }
    (value < 10i128.checked_pow(precision.into())?).then_some(sign * value)
}

/// ISO 8601 with `T` or a space, with or without a time and an offset; an offset is turned into UTC.
fn moment(text: &str) -> Option<NaiveDateTime> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.naive_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, format) {
            return Some(at);
        }
    }
    text.parse::<NaiveDate>().ok().map(Into::into)
}

impl Columns {
    /// `payload` is the one column of records that land whole, when there are no own columns; `None` where those come
    /// later. `metadata` is what every row is given behind its own columns. Fails with the name of a column that is
    /// there twice.
    pub fn new(own: Vec<Column>, partitions: Vec<Column>, payload: Option<Field>, metadata: Vec<Field>) -> Result<Self, String> {
        let whole = own.is_empty() && payload.is_some();
        let mut fields: Vec<Field> = match whole {
            true => payload.into_iter().collect(),
            false => own.iter().map(|c| c.column_type.field(Identifier::parse(&c.name).as_str())).collect(),
        };
        fields.extend(partitions.iter().map(|c| c.column_type.field(Identifier::parse(&c.name).as_str())));
        fields.extend(metadata);
        let mut seen = HashSet::new();
        if let Some(twice) = fields.iter().find(|f| !seen.insert(f.name().clone())) {
            return Err(twice.name().clone());
        }
        let places = FieldPlaces::new(own.iter().map(|c| c.name.trim_matches('"')));
        let kinds = own.iter().map(|c| c.column_type).collect();
        Ok(Self { own, partitions, whole, schema: Arc::new(Schema::new(fields)), fields: places, kinds })
    }

    pub fn is_payload(&self) -> bool {
        self.whole
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One row of the columns that folders give.
    pub fn partitions_row(&self, cells: &[Cell]) -> Result<RecordBatch, IngestError> {
        let fields: Vec<Field> = self.partitions.iter().map(|c| c.column_type.field(Identifier::parse(&c.name).as_str())).collect();
        if fields.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
        }
        let mut rows = RowBuilder::new(Arc::new(Schema::new(fields)));
        rows.push(cells.iter().cloned());
        Ok(rows.finish()?.pop().expect("one row is one batch"))
    }

    /// The cells of an object and one more of its fields, straight from its text: values of fields that no column takes are not
    /// made. `None` of what is not as it should be; [`Columns::json_row`] says why.
    pub fn quick_row<'t>(&self, text: &'t [u8], more: Option<&str>, order: &mut FieldOrder) -> Option<(Vec<Slot<'t>>, Option<Json>)> {
        if self.whole { None } else { self.fields.row(text, &self.kinds, more, order) }
    }

    /// The cells of an object's own columns; names of fields compare without regard to case when none is equal.
    pub fn json_row(&self, record: &Json) -> Result<Vec<Cell>, String> {
        let Json::Object(object) = record else { return Err("not an object".into()) };
        if self.is_payload() {
            return Ok(vec![canonical(record).into()]);
        }
        let cells = self.own.iter().map(|column| {
            let name = column.name.trim_matches('"');
            let value = object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v));
            let cell = value.map_or(Ok(Cell::Null), |value| column.column_type.json_cell(value));
            cell.map_err(|why| format!("column `{}`: {why}", column.name))
        });
        cells.collect()
    }
}

/// A setting that maps names of columns to types.
pub fn read(settings: &Settings<'_>, key: &'static str) -> Option<Vec<Column>> {
    let pairs = settings.mapping(key, "varchar")?;
    let columns = pairs.into_iter().map(|(name, type_)| match ColumnType::parse(&type_) {
        Some(column_type) => Some(Column { name, column_type }),
        None => settings.wrong(key, "a mapping of names to types such as `varchar`, `integer` or `timestamp`", &type_.into()),
    });
    columns.collect()
}

/// What becomes of a field that no column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Ignore,
    Evolve,
    Reject,
}

/// The column type that a value asks for; a null asks for none.
pub fn type_of(value: &Json) -> Option<ColumnType> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(_) => ColumnType::Boolean,
        Json::Number(n) if n.is_i64() => ColumnType::Integer,
        Json::Number(_) => ColumnType::Float,
        Json::String(_) => ColumnType::Text,
        Json::Array(_) => ColumnType::Semi(SemiStructured::Array),
        Json::Object(_) => ColumnType::Semi(SemiStructured::Object),
    })
}

/// A type that holds the values of both.
pub fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    use ColumnType::{Float, Integer, Semi, Text};
    match (a, b) {
        (a, b) if a == b => a,
        (Integer, Float) | (Float, Integer) => Float,
        (Semi(_), _) | (_, Semi(_)) => Semi(SemiStructured::Variant),
        _ => Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_cells() {
        let at = |text: &str| Cell::Timestamp(text.parse().expect("a moment"));
        for (type_, text, expect) in [
            ("varchar(10)", " a ", Some(Cell::from(" a "))),
            ("integer", " 12 ", Some(Cell::Int(12))),
            ("number", "12", Some(Cell::Int(12))),
            ("integer", "1.5", None),
            ("integer", "-7.00", Some(Cell::Int(-7))),
            ("number(5,2)", "-1.005", Some(Cell::Decimal(-101))),
            ("number(5,2)", "1000", None),
            ("number(38,0)", "12345678901234567890123", Some(Cell::Decimal(12_345_678_901_234_567_890_123))),
            ("decimal(4,1)", ".5", Some(Cell::Decimal(5))),
            ("decimal(4,1)", "--5", None),
            ("boolean", "Yes", Some(Cell::Bool(true))),
            ("boolean", "maybe", None),
            ("date", "2025-02-30", None),
            ("timestamp_ntz(9)", "2025-02-27 11:00:00.5", Some(at("2025-02-27T11:00:00.5"))),
            ("timestamp", "2025-02-27T11:00:00+09:00", Some(at("2025-02-27T02:00:00"))),
            ("timestamp", "2025-02-27", Some(at("2025-02-27T00:00:00"))),
            ("object", r#"{"b":1,"a":[]}"#, Some(Cell::from(r#"{"a":[],"b":1}"#))),
            ("array", "{}", None),
        ] {
            let column_type = ColumnType::parse(type_).unwrap_or_else(|| panic!("{type_}"));
            assert_eq!(column_type.cell(text).ok(), expect, "{type_} {text}");
        }
        for wrong in ["interval", "number(40)", "number(2,3)", "number(2"] {
            assert_eq!(ColumnType::parse(wrong), None, "{wrong}");
        }
    }
}
