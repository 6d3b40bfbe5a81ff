//! Column types as tables hold them. Results of queries come in many Arrow layouts; storage has one per Snowflake type.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::LakeError;
use crate::names::SemiStructured;

const COMMENT_KEY: &str = "comment";

/// The stored form of a column: nullable, in one of the layouts that Delta keeps, with the metadata that carries a
/// Snowflake type or a comment.
pub fn storage_field(field: &Field) -> Result<Field, LakeError> {
    let mut metadata: HashMap<String, String> = field
        .metadata()
        .iter()
        .filter(|(k, _)| (k.starts_with("segue.") || *k == COMMENT_KEY) && !super::rules::OF_THE_TABLE.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let data_type = match field.data_type() {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            DataType::Decimal128((*p).min(38), (*s).max(0))
        }
        DataType::Decimal256(_, s) => DataType::Decimal128(38, (*s).clamp(0, 37)),
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        // Delta has no time of day: the fixed-width text of TIME columns
        DataType::Time32(_) | DataType::Time64(_) => {
            metadata.insert(SemiStructured::METADATA_KEY.into(), "TIME".into());
            DataType::Utf8
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => {
            return storage_field(&Field::new(field.name(), values.as_ref().clone(), true).with_metadata(field.metadata().clone()));
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => {
            metadata.insert(SemiStructured::METADATA_KEY.into(), SemiStructured::Array.as_str().into());
            DataType::Utf8
        }
        DataType::Struct(_) | DataType::Map(..) => {
            metadata.insert(SemiStructured::METADATA_KEY.into(), SemiStructured::Object.as_str().into());
            DataType::Utf8
        }
        other => return Err(LakeError::UnsupportedType { column: field.name().clone(), data_type: other.to_string() }),
    };
    Ok(Field::new(field.name(), data_type, true).with_metadata(metadata))
}

/// [`storage_field`] of each column.
pub fn storage_schema(schema: &Schema) -> Result<SchemaRef, LakeError> {
    let fields = schema.fields().iter().map(|f| storage_field(f)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The comment of a stored column.
pub fn comment_of(field: &Field) -> Option<&str> {
    field.metadata().get(COMMENT_KEY).map(String::as_str)
}

/// The field with another comment.
pub fn with_comment(field: &Field, comment: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(COMMENT_KEY.into(), comment.into());
    field.clone().with_metadata(metadata)
}
