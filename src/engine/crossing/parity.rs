//! One query on both engines over the same inputs: are the answers equal?
//!
//! Rows are compared as a bag: without an ORDER BY at its end a query promises no order. Numbers are equal when they have the same
//! value, floats in twelve digits, whatever their types; where one side has decimals of a scale and the other a float, in the digits
//! of that scale. Types are compared apart. Each side passes by once, as a count per row;
//! only when something differs are the rows asked for again, to show some.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use futures::{StreamExt, stream::BoxStream};

use super::{CrossingEngine, Side};
use crate::{
    dialect::types::Type,
    engine::{
        EngineError,
        value::{self, Value},
    },
};

/// Rows of a difference that are shown of each side.
const SHOWN: usize = 5;
/// Digits in which floats are compared.
const DIGITS: usize = 12;

/// How the answers compare.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub columns: Vec<String>,
    /// `[local, Snowflake]`
    pub rows: [u64; 2],
    /// Columns that only one side has, with the side.
    pub lone: Vec<(String, Side)>,
    /// Columns of other types: name, local type, Snowflake's.
    pub types: Vec<(String, String, String)>,
    /// How many rows only one side has, `[local, Snowflake]`, and some of them.
    pub extra: [u64; 2],
    pub examples: [Vec<Vec<String>>; 2],
}

impl Comparison {
    pub fn is_equal(&self) -> bool {
        self.lone.is_empty() && self.extra == [0, 0]
    }
}

type Rows = (SchemaRef, BoxStream<'static, Result<RecordBatch, EngineError>>);

impl CrossingEngine {
    /// Runs a query on both engines and compares. An error names the engine that it is of.
    pub async fn compare(&self, sql: &str) -> Result<Comparison, (Side, EngineError)> {
        let local = self.rows(sql, Side::Local).await?;
        let remote = self.rows(sql, Side::Snowflake).await?;
        let mut comparison = Comparison::default();
        let mut scales: Vec<Option<usize>> = vec![];
        let name = |f: &::datafusion::arrow::datatypes::Field| f.name().clone();
        for field in local.0.fields() {
            match remote.0.fields().iter().find(|f| f.name() == field.name()) {
                None => comparison.lone.push((name(field), Side::Local)),
                Some(other) => {
                    let types = (Type::of(field), Type::of(other));
                    if types.0 != types.1 {
                        comparison.types.push((name(field), types.0.to_string(), types.1.to_string()));
                    }
                    scales.push(match types {
                        (Type::Number { scale, .. }, Type::Float) | (Type::Float, Type::Number { scale, .. }) => {
                            usize::try_from(scale).ok()
                        }
                        _ => None,
                    });
                    comparison.columns.push(name(field));
                }
            }
        }
        let only_remote = remote.0.fields().iter().filter(|f| local.0.field_with_name(f.name()).is_err());
        comparison.lone.extend(only_remote.map(|f| (name(f), Side::Snowflake)));
        let mut counts: HashMap<u128, i64> = HashMap::new();
        comparison.rows[0] =
            pass(local, &comparison.columns, &scales, |key, _| *counts.entry(key).or_default() += 1).await.map_err(|e| (Side::Local, e))?;
        comparison.rows[1] = pass(remote, &comparison.columns, &scales, |key, _| *counts.entry(key).or_default() -= 1)
            .await
            .map_err(|e| (Side::Snowflake, e))?;
        counts.retain(|_, n| *n != 0);
        for n in counts.values() {
            let side = usize::from(*n < 0);
            comparison.extra[side] += n.unsigned_abs();
        }
        for (i, side) in [Side::Local, Side::Snowflake].into_iter().enumerate() {
            if comparison.extra[i] == 0 {
                continue;
            }
            let mut examples = vec![];
            let again = self.rows(sql, side).await?;
            let take = |key: u128, row: &dyn Fn() -> Vec<String>| {
                let differs = counts.get(&key).is_some_and(|n| (*n < 0) == (i == 1));
                if differs && examples.len() < SHOWN {
                    examples.push(row());
                }
            };
            pass(again, &comparison.columns, &scales, take).await.map_err(|e| (side, e))?;
            comparison.examples[i] = examples;
        }
        Ok(comparison)
    }

    async fn rows(&self, sql: &str, side: Side) -> Result<Rows, (Side, EngineError)> {
        let inner = &self.inner;
        inner.gather(sql, side).await.map_err(|e| (side, e))?;
        match side {
            Side::Local => inner.local.stream(sql).await,
            Side::Snowflake => inner.remote.stream(sql).await,
        }
        .map_err(|e| (side, e))
    }
}

/// Every row's key, in memory that does not grow; the number of rows.
async fn pass(
    rows: Rows,
    columns: &[String],
    scales: &[Option<usize>],
    mut take: impl FnMut(u128, &dyn Fn() -> Vec<String>),
) -> Result<u64, EngineError> {
    let (schema, mut batches) = rows;
    let at: Vec<usize> = columns.iter().filter_map(|c| schema.index_of(c).ok()).collect();
    let mut count = 0;
    while let Some(batch) = batches.next().await.transpose()? {
        count += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let cell = |i: &usize| value::of(batch.column(*i), schema.field(*i), row);
            let (mut first, mut second) = (DefaultHasher::new(), DefaultHasher::new());
            0_u8.hash(&mut first);
            1_u8.hash(&mut second);
            for (i, scale) in at.iter().zip(scales) {
                let text = canonical(cell(i), *scale);
                text.hash(&mut first);
                text.hash(&mut second);
            }
            let key = (u128::from(first.finish()) << 64) | u128::from(second.finish());
            take(key, &|| at.iter().map(|i| cell(i).text().unwrap_or_else(|| "NULL".into())).collect());
        }
    }
    Ok(count)
}

/// The same text for equal values.
fn canonical(value: Value, scale: Option<usize>) -> Option<String> {
    match (value, scale) {
        (Value::Float(f), Some(scale)) if f.is_finite() => Some(plain(&format!("{f:.scale$}"))),
        (value, _) => exact(value),
    }
}

fn exact(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Boolean(b) => Some(b.to_string()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Number(digits) => Some(plain(&digits)),
        Value::Float(f) if f.is_finite() => Some(plain(&rounded(f))),
        Value::Float(f) => Some(value::float(f)),
        Value::Text(text) | Value::Json(text) => Some(text),
    }
}

fn rounded(f: f64) -> String {
    // in scientific form the digits that count stand in front
    let text = format!("{f:.*e}", DIGITS - 1);
    let value: f64 = text.parse().unwrap_or(f);
    format!("{value}")
}

fn plain(digits: &str) -> String {
    if !digits.contains('.') {
        return digits.to_owned();
    }
    match digits.trim_end_matches('0').trim_end_matches('.') {
        "-0" | "" => "0".into(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_beside_decimals_has_their_digits() {
        let decimal = canonical(Value::Number("16.333333".into()), Some(6));
        assert_eq!(canonical(Value::Float(16.333333333333332), Some(6)), decimal);
        assert_ne!(canonical(Value::Float(16.3334), Some(6)), decimal);
    }

    #[test]
    fn equal_values_have_one_text() {
        for (a, b, same) in [
            (Value::Integer(2), Value::Number("2.000".into()), true),
            (Value::Float(0.1 + 0.2), Value::Number("0.3".into()), true),
            (Value::Float(2.0), Value::Integer(2), true),
            (Value::Number("-0.00".into()), Value::Integer(0), true),
            (Value::Float(0.30001), Value::Number("0.3".into()), false),
            (Value::Text("2".into()), Value::Text("2.0".into()), false),
            (Value::Null, Value::Text("NULL".into()), false),
        ] {
            assert_eq!(canonical(a.clone(), None) == canonical(b.clone(), None), same, "{a:?} {b:?}");
        }
    }
}
