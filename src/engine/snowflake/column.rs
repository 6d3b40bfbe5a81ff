//! Columns of a result as the server describes them, and the Arrow fields that segue holds them in.

use std::sync::Arc;

use ::datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use serde_json::Value as Json;

use crate::{dialect::types::Type, engine::EngineError, names::SemiStructured};

/// The code of an error that a wider schema mends.
pub(super) const TOO_WIDE: &str = "engine/number-range";

/// `rowtype` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultColumn {
    pub(super) name: String,
    /// `fixed`, `text`, `timestamp_ntz`..., in lower case.
    pub(super) kind: String,
    pub(super) precision: Option<u8>,
    pub(super) scale: i8,
    pub(super) length: Option<u64>,
    pub(super) nullable: bool,
}

impl ResultColumn {
    pub(super) fn read(json: &Json) -> Self {
        let number = |key: &str| json.get(key).and_then(Json::as_i64);
        Self {
            name: json.get("name").and_then(Json::as_str).unwrap_or_default().to_owned(),
            kind: json.get("type").and_then(Json::as_str).unwrap_or("text").to_lowercase(),
            precision: number("precision").and_then(|p| u8::try_from(p).ok()).filter(|p| (1..=38).contains(p)),
            scale: number("scale").and_then(|s| i8::try_from(s).ok()).unwrap_or(0),
            length: number("length").and_then(|l| u64::try_from(l).ok()),
            nullable: json.get("nullable").and_then(Json::as_bool).unwrap_or(true),
        }
    }

    pub(super) fn type_(&self) -> Type {
        match self.kind.as_str() {
            "fixed" => Type::number(i32::from(self.precision.unwrap_or(38)), i32::from(self.scale)),
            "real" => Type::Float,
            "boolean" => Type::Boolean,
            "date" => Type::Date,
            "time" => Type::Time,
            "timestamp_ntz" => Type::TimestampNtz,
            "timestamp_ltz" => Type::TimestampLtz,
            "timestamp_tz" => Type::TimestampTz,
            "binary" => Type::Binary,
            "variant" => Type::Semi(SemiStructured::Variant),
            "array" => Type::Semi(SemiStructured::Array),
            "object" | "map" => Type::Semi(SemiStructured::Object),
            // places come as GeoJSON, vectors as arrays
            "geography" | "geometry" => Type::Semi(SemiStructured::Object),
            "vector" => Type::Semi(SemiStructured::Array),
            _ => Type::Varchar,
        }
    }

    /// Snowflake's spelling, as a declaration of the column needs it.
    pub(super) fn declared(&self) -> String {
        match self.type_() {
            Type::Varchar => match self.length {
                Some(n) if n < 16_777_216 => format!("VARCHAR({n})"),
                _ => "VARCHAR".into(),
            },
            other => other.to_string(),
        }
    }

    fn field(&self, wide: bool) -> FieldRef {
        let type_ = self.type_();
        if wide && type_ == Type::INTEGER {
            return Arc::new(Field::new(&self.name, DataType::Decimal128(38, 0), true));
        }
        type_.field(&self.name)
    }
}

pub(super) fn schema(columns: &[ResultColumn], wide: bool) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| c.field(wide)).collect::<Vec<_>>()))
}

pub(super) fn too_wide(column: &str) -> EngineError {
    EngineError::new(TOO_WIDE, format!("the column `{column}` has a whole number of more than 64 bits"))
        .help("cast it in the query: to NUMBER(37,0), FLOAT or VARCHAR")
}
