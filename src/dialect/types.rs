//! Snowflake's type names and the Arrow fields that hold them.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use sqlparser::ast::{DataType as SqlType, ExactNumberInfo, TimezoneInfo};

use super::{
    SqlError,
    moment::{TIME_TAG, TZ_TAG},
};
use crate::names::SemiStructured;

/// The metadata key of a VARCHAR field that holds so many characters at most.
pub const LENGTH: &str = "segue.length";

/// A Snowflake type as far as it decides values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    Number { precision: u8, scale: i8 },
    Float,
    Varchar,
    Boolean,
    Date,
    Time,
    TimestampNtz,
    TimestampLtz,
    TimestampTz,
    Binary,
    Semi(SemiStructured),
}

/// Metadata key of the precision of an integer column that is not NUMBER(38,0).
const PRECISION_KEY: &str = "segue.precision";

/// The largest precision of a whole number that is kept in 128 bits; NUMBER(38,0), the type of every undeclared
/// integer, is kept in 64 bits, and arithmetic over it is checked.
const WIDEST_INTEGER: u8 = 37;

/// The largest precision of which every value fits 64 bits.
const NARROW_INTEGER: u8 = 18;

impl Type {
    pub const INTEGER: Self = Self::Number { precision: 38, scale: 0 };

    /// From a parsed type name.
    pub fn from_sql(sql: &SqlType) -> Result<Self, SqlError> {
        use SqlType as T;
        let exact = |info: &ExactNumberInfo| {
            let (p, s) = match info {
                ExactNumberInfo::None => (38, 0),
                ExactNumberInfo::Precision(p) => (*p as i64, 0),
                ExactNumberInfo::PrecisionAndScale(p, s) => (*p as i64, *s),
            };
            if !(1..=38).contains(&p) || !(0..=37).contains(&s) || s > p {
                return Err(SqlError::new(
                    "sql/type",
                    format!("`{sql}` is not a type: precision is 1 to 38, scale 0 to 37 and not above the precision"),
                ));
            }
            Ok(Self::Number { precision: p as u8, scale: s as i8 })
        };
        Ok(match sql {
            T::Numeric(i) | T::Decimal(i) | T::Dec(i) => exact(i)?,
            T::Int(_)
            | T::Integer(_)
            | T::BigInt(_)
            | T::SmallInt(_)
            | T::TinyInt(_)
            | T::Int64
            | T::Int8(_)
            | T::Int4(_)
            | T::Int2(_)
            | T::Int32
            | T::Int16 => Self::INTEGER,
            T::Float(_) | T::Float4 | T::Float8 | T::Float64 | T::Float32 | T::Double(_) | T::DoublePrecision | T::Real => Self::Float,
            T::Varchar(_)
            | T::Char(_)
            | T::Character(_)
            | T::CharacterVarying(_)
            | T::CharVarying(_)
            | T::Nvarchar(_)
            | T::Text
            | T::String(_) => Self::Varchar,
            T::Boolean | T::Bool => Self::Boolean,
            T::Date => Self::Date,
            T::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => Self::TimestampTz,
            T::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Self::Time,
            T::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | T::Datetime(_) | T::TimestampNtz(_) => Self::TimestampNtz,
            T::Binary(_) | T::Varbinary(_) | T::Bytes(_) => Self::Binary,
            T::Array(_) => Self::Semi(SemiStructured::Array),
            T::Custom(name, modifiers) => {
                let name = name.to_string().to_uppercase();
                if name == super::structured::TYPE_NAME {
                    let text = modifiers.first().map(String::as_str).unwrap_or_default();
                    return super::function::semi_of(text)
                        .map(Self::Semi)
                        .ok_or_else(|| SqlError::new("sql/type", format!("there is no type `{text}`")));
                }
                return Self::parse_name(&name, modifiers).ok_or_else(|| SqlError::new("sql/type", format!("there is no type `{sql}`")));
            }
            other => {
                let text = other.to_string().to_uppercase();
                let base = text.split('(').next().unwrap_or_default().trim().to_owned();
                return Self::parse_name(&base, &[]).ok_or_else(|| SqlError::new("sql/type", format!("there is no type `{sql}`")));
            }
        })
    }

    /// NUMBER of any precision and scale, both brought into their ranges.
    pub fn number(precision: i32, scale: i32) -> Self {
        let scale = scale.clamp(0, 37);
        Self::Number { precision: precision.clamp(scale.max(1), 38) as u8, scale: scale as i8 }
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Number { .. } | Self::Float)
    }

    /// Whole numbers in 64 bits.
    pub fn is_int64(self) -> bool {
        self.arrow() == DataType::Int64
    }

    /// From text such as `number(10,2)`, as YAML and seeds write it.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        if let Some(number) = Self::parse_shown_number(text) {
            return Ok(number);
        }
        let parsed = sqlparser::parser::Parser::new(&sqlparser::dialect::SnowflakeDialect)
            .try_with_sql(text)
            .and_then(|mut p| {
                let t = p.parse_data_type()?;
                p.expect_token(&sqlparser::tokenizer::Token::EOF)?;
                Ok(t)
            })
            .map_err(|_| SqlError::new("sql/type", format!("there is no type `{text}`")))?;
        Self::from_sql(&parsed)
    }

    /// `NUMBER(38,0)` as [`Display`](std::fmt::Display) writes it: casts name their target so, and are many.
    fn parse_shown_number(text: &str) -> Option<Self> {
        let (precision, scale) = text.strip_prefix("NUMBER(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale) = (precision.parse::<u8>().ok()?, scale.parse::<i8>().ok()?);
        ((1..=38).contains(&precision) && (0..=37).contains(&scale) && scale <= precision as i8)
            .then_some(Self::Number { precision, scale })
    }

    fn parse_name(name: &str, modifiers: &[String]) -> Option<Self> {
        let number = |i: usize, default: i64| modifiers.get(i).map_or(Some(default), |m| m.parse().ok());
        Some(match name {
            "NUMBER" | "DECIMAL" | "NUMERIC" => {
                let (precision, scale) = (number(0, 38)?, number(1, 0)?);
                if !(1..=38).contains(&precision) || scale > 37 || scale > precision {
                    return None;
                }
                Self::Number { precision: precision as u8, scale: scale as i8 }
            }
            "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT" => Self::INTEGER,
            "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "REAL" | "DOUBLE PRECISION" => Self::Float,
            "VARCHAR" | "STRING" | "TEXT" | "CHAR" | "NCHAR" | "CHARACTER" | "NVARCHAR" | "NVARCHAR2" => Self::Varchar,
            "BOOLEAN" => Self::Boolean,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP_NTZ" | "TIMESTAMPNTZ" | "TIMESTAMP WITHOUT TIME ZONE" => Self::TimestampNtz,
            "TIMESTAMP_TZ" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Self::TimestampTz,
            "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" | "TIMESTAMP WITH LOCAL TIME ZONE" => Self::TimestampLtz,
            "BINARY" | "VARBINARY" => Self::Binary,
            "VARIANT" => Self::Semi(SemiStructured::Variant),
            "ARRAY" => Self::Semi(SemiStructured::Array),
            "OBJECT" => Self::Semi(SemiStructured::Object),
            _ => return None,
        })
    }

    /// What a column of this Arrow field is. List and struct layouts of DataFusion's own functions count as ARRAY and OBJECT.
    pub fn of(field: &Field) -> Self {
        match field.metadata().get(SemiStructured::METADATA_KEY).map(String::as_str) {
            Some(TIME_TAG) => return Self::Time,
            Some(TZ_TAG) => return Self::TimestampTz,
            Some(tag) => {
                if let Some(semi) = SemiStructured::parse(tag) {
                    return Self::Semi(semi);
                }
            }
            None => {}
        }
        match field.data_type() {
            DataType::Boolean => Self::Boolean,
            t if t.is_integer() => {
                Self::Number { precision: field.metadata().get(PRECISION_KEY).and_then(|p| p.parse().ok()).unwrap_or(38), scale: 0 }
            }
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
                let widest = if *s == 0 { WIDEST_INTEGER } else { 38 };
                Self::Number { precision: (*p).min(widest), scale: *s }
            }
            t if t.is_floating() => Self::Float,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::TimestampNtz,
            DataType::Timestamp(_, Some(_)) => Self::TimestampLtz,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::Binary,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::Semi(SemiStructured::Array),
            DataType::Struct(_) | DataType::Map(..) => Self::Semi(SemiStructured::Object),
            DataType::Dictionary(_, value) => Self::of(&Field::new("", value.as_ref().clone(), true)),
            _ => Self::Varchar,
        }
    }

    /// The Arrow layout that holds it.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Number { precision, scale: 0 } if !(NARROW_INTEGER + 1..=WIDEST_INTEGER).contains(&precision) => DataType::Int64,
            Self::Number { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Float => DataType::Float64,
            Self::Varchar | Self::Semi(_) | Self::Time | Self::TimestampTz => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::TimestampNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampLtz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Binary => DataType::Binary,
        }
    }

    /// What the metadata of a column says where the Arrow layout does not tell the type.
    pub fn tag(self) -> Option<&'static str> {
        match self {
            Self::Semi(semi) => Some(semi.as_str()),
            Self::Time => Some(TIME_TAG),
            Self::TimestampTz => Some(TZ_TAG),
            _ => None,
        }
    }

    /// A date, a time or a timestamp.
    pub fn is_moment(self) -> bool {
        self.is_dated() || self == Self::Time
    }

    /// A date or a timestamp.
    pub fn is_dated(self) -> bool {
        self == Self::Date || self.is_timestamp()
    }

    pub fn is_timestamp(self) -> bool {
        matches!(self, Self::TimestampNtz | Self::TimestampLtz | Self::TimestampTz)
    }

    /// A nullable field of it.
    pub fn field(self, name: impl Into<String>) -> FieldRef {
        let mut metadata = HashMap::new();
        if let Some(tag) = self.tag() {
            metadata.insert(SemiStructured::METADATA_KEY.to_owned(), tag.to_owned());
        }
        match self {
            Self::Number { precision, scale: 0 } if self.is_int64() && precision != 38 => {
                metadata.insert(PRECISION_KEY.to_owned(), precision.to_string());
            }
            _ => {}
        }
        Arc::new(Field::new(name, self.arrow(), true).with_metadata(metadata))
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number { precision, scale } => write!(f, "NUMBER({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Varchar => f.write_str("VARCHAR"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Date => f.write_str("DATE"),
            Self::Time => f.write_str("TIME(9)"),
            Self::TimestampNtz => f.write_str("TIMESTAMP_NTZ(9)"),
            Self::TimestampLtz => f.write_str("TIMESTAMP_LTZ(9)"),
            Self::TimestampTz => f.write_str("TIMESTAMP_TZ(9)"),
            Self::Binary => f.write_str("BINARY"),
            Self::Semi(semi) => f.write_str(semi.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_are_snowflakes() {
        for (text, shown) in [
            ("int", "NUMBER(38,0)"),
            ("number(10, 2)", "NUMBER(10,2)"),
            ("number(5)", "NUMBER(5,0)"),
            ("string", "VARCHAR"),
            ("varchar(20)", "VARCHAR"),
            ("double", "FLOAT"),
            ("variant", "VARIANT"),
            ("array", "ARRAY"),
            ("timestamp_ntz", "TIMESTAMP_NTZ(9)"),
            ("timestamp", "TIMESTAMP_NTZ(9)"),
            ("datetime", "TIMESTAMP_NTZ(9)"),
            ("boolean", "BOOLEAN"),
            ("date", "DATE"),
            ("time", "TIME(9)"),
            ("timestamp_ltz(3)", "TIMESTAMP_LTZ(9)"),
            ("timestamp_tz(9)", "TIMESTAMP_TZ(9)"),
            ("timestamp with time zone", "TIMESTAMP_TZ(9)"),
            ("object", "OBJECT"),
        ] {
            let t = Type::parse(text).expect(text);
            assert_eq!(t.to_string(), shown, "{text}");
            assert_eq!(Type::of(&t.field("x")), t);
        }
        assert!(Type::parse("nonsense").is_err());
    }
}
