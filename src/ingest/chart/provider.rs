//! What a chart provider is: which request gives its chart, and how a response reads.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::Value as Json;

use super::payload::Fault;
use crate::ingest::http::Request;

/// One provider of the reference pipeline. Parsing is pure.
pub trait Provider: Send + Sync {
    /// As in `provider:`; also the value of `SOURCE` and the name of recordings.
    fn name(&self) -> &'static str;

    /// Of recordings.
    fn extension(&self) -> &'static str {
        "json"
    }

    /// The request for the rows from place `start` (1 is the first) on.
    fn request(&self, start: usize) -> Request;

    /// Where the next page starts, when `payload`, which started at `start`, is not the last one.
    fn next_start(&self, _payload: &str, _start: usize) -> Option<usize> {
        None
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault>;
}

/// One response of a day's chart.
pub struct Page<'a> {
    pub payload: &'a str,
    pub day: NaiveDate,
    pub fetched_at: DateTime<Utc>,
}

pub struct ParsedPage {
    /// Wall clock of the source; `None` when the payload does not say.
    pub time: Option<NaiveDateTime>,
    pub rows: Vec<Result<ChartRow, BadRow>>,
}

/// A row as the provider gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartRow {
    pub rank: i64,
    pub title: String,
    /// At least one, the main artist first.
    pub artists: Vec<String>,
    pub last_pos: Option<i64>,
    pub peak_pos: Option<i64>,
    pub is_new: Option<bool>,
    pub image: Option<String>,
    /// Spotify only.
    pub track_id: Option<String>,
    pub artist_ids: Vec<String>,
    /// Where it stands in the payload and as what, for rejects.
    pub origin: Origin,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub position: String,
    pub record: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    pub reason: String,
    pub origin: Origin,
}

/// Reads each row of the list at `pointer`; a row that does not read is set aside with its position.
pub fn read_rows(rows: &[Json], pointer: &str, read: impl Fn(usize, &Json) -> Result<ChartRow, String>) -> Vec<Result<ChartRow, BadRow>> {
    let rows = rows.iter().enumerate();
    rows.map(|(index, row)| {
        let origin = Origin { position: format!("{pointer}/{index}"), record: row.to_string() };
        match read(index, row) {
            Ok(row) => Ok(ChartRow { origin, ..row }),
            Err(reason) => Err(BadRow { reason, origin }),
        }
    })
    .collect()
}
