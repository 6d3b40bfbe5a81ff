//! What was fetched, as it came: one row per HTTP response (or replayed file).

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatch,
};

/// One response, kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResponse {
    /// What the response is about, for the parser: the chart's day (`2025-02-27`), the key that was looked up.
    pub subject: String,
    pub url: String,
    /// HTTP status; 200 for a replayed file.
    pub status: u16,
    pub fetched_at: chrono::DateTime<chrono::Utc>,
    /// JSON object of the headers that matter (content-type, etag, date, retry-after).
    pub headers: String,
    pub payload: String,
}

/// `SUBJECT, URL, STATUS, FETCHED_AT, HEADERS, PAYLOAD, SEQUENCE`.
pub fn raw_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("SUBJECT", DataType::Utf8, false),
        Field::new("URL", DataType::Utf8, false),
        Field::new("STATUS", DataType::Int64, false),
        Field::new("FETCHED_AT", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("HEADERS", DataType::Utf8, false),
        Field::new("PAYLOAD", DataType::Utf8, false),
        Field::new("SEQUENCE", DataType::Int64, false),
    ]))
}

/// Responses of one fetch; `sequence` is the landing commit that they belong to.
pub fn raw_to_batch(responses: &[RawResponse], sequence: u64) -> Result<RecordBatch, ArrowError> {
    let text = |f: fn(&RawResponse) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(responses.iter().map(f))) };
    RecordBatch::try_new(
        raw_schema(),
        vec![
            text(|r| &r.subject),
            text(|r| &r.url),
            Arc::new(Int64Array::from_iter_values(responses.iter().map(|r| i64::from(r.status)))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(responses.iter().map(|r| r.fetched_at.timestamp_micros()))),
            text(|r| &r.headers),
            text(|r| &r.payload),
            Arc::new(Int64Array::from_iter_values(responses.iter().map(|_| sequence as i64))),
        ],
    )
}

/// The reverse of [`raw_to_batch`], for rows read back from the table (any column order, any string layout).
pub fn raw_from_batch(batch: &RecordBatch) -> Result<Vec<RawResponse>, ArrowError> {
    use datafusion::arrow::compute::cast;
    let column = |name: &str, to: &DataType| -> Result<ArrayRef, ArrowError> {
        let array = batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
        cast(array, to)
    };
    let text = |name: &str| -> Result<Vec<String>, ArrowError> {
        let array = column(name, &DataType::Utf8)?;
        let array = array.as_any().downcast_ref::<StringArray>().ok_or_else(|| ArrowError::CastError(name.into()))?;
        Ok((0..array.len()).map(|i| array.value(i).to_owned()).collect())
    };
    let numbers = |name: &str, via: Option<DataType>| -> Result<Vec<i64>, ArrowError> {
        let array = column(name, via.as_ref().unwrap_or(&DataType::Int64))?;
        let array = cast(&array, &DataType::Int64)?;
        let array = array.as_any().downcast_ref::<Int64Array>().ok_or_else(|| ArrowError::CastError(name.into()))?;
        Ok(array.values().to_vec())
    };
    let (subject, url, headers, payload) = (text("SUBJECT")?, text("URL")?, text("HEADERS")?, text("PAYLOAD")?);
    let status = numbers("STATUS", None)?;
    let fetched = numbers("FETCHED_AT", Some(DataType::Timestamp(TimeUnit::Microsecond, None)))?;
    Ok(subject
        .into_iter()
        .zip(url)
        .zip(headers)
        .zip(payload)
        .zip(status.into_iter().zip(fetched))
        .map(|((((subject, url), headers), payload), (status, micros))| RawResponse {
            subject,
            url,
            status: u16::try_from(status).unwrap_or_default(),
            fetched_at: chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default(),
            headers,
            payload,
        })
        .collect())
}
