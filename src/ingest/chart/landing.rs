//! Chart responses to landing rows: the same columns for every provider, ranks checked, bad rows set aside.
//!
//! Pure. A day lands as a whole or, when its payload cannot be used, not at all.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use super::{
    payload::Fault,
    provider::{ChartRow, Page, Provider},
};
use crate::{
    ingest::{
        IngestError, Parsed, RawResponse, Rejected,
        rows::{Cell, RowBuilder, column, semi_structured, timestamp},
    },
    names::SemiStructured,
};

/// The common columns; Spotify's chart has two more.
pub fn schema(with_ids: bool) -> SchemaRef {
    let mut fields = vec![
        column("RANK", DataType::Int64),
        column("TITLE", DataType::Utf8),
        column("ARTIST", DataType::Utf8),
        semi_structured("ARTISTS", SemiStructured::Array),
        column("LAST_POS", DataType::Int64),
        column("PEAK_POS", DataType::Int64),
        column("IS_NEW", DataType::Boolean),
        column("IMAGE", DataType::Utf8),
        column("SOURCE", DataType::Utf8),
        timestamp("CHART_TIME"),
        column("DATE", DataType::Date32),
    ];
    if with_ids {
        fields.push(column("TRACK_ID", DataType::Utf8));
        fields.push(semi_structured("ARTIST_IDS", SemiStructured::Array));
    }
    Arc::new(Schema::new(fields))
}

/// All days of the responses. A day with a fault keeps its rejects, and its fault becomes [`Parsed::error`]; the
/// other days land all the same.
pub fn parse(provider: &dyn Provider, schema: &SchemaRef, responses: &[RawResponse]) -> Parsed {
    let mut days: BTreeMap<&str, Vec<&RawResponse>> = BTreeMap::new();
    for response in responses {
        days.entry(&response.subject).or_default().push(response);
    }
    let mut parsed = Parsed::default();
    let mut landed = vec![];
    let mut builder = RowBuilder::new(Arc::clone(schema));
    for (subject, pages) in days {
        match day(provider, subject, &pages, &mut builder, &mut parsed.rejected) {
            Ok(()) => landed.push(subject.to_owned()),
            Err(error) => parsed.error = parsed.error.or(Some(error)),
        }
    }
    match builder.finish() {
        Ok(batches) => parsed.batches = batches,
        Err(error) => parsed.error = parsed.error.or(Some(error)),
    }
    // an empty list would replace nothing; `None` appends, which is the same and says less
    parsed.replace = (!landed.is_empty()).then(|| ("DATE".to_owned(), landed));
    parsed
}

fn day(
    provider: &dyn Provider,
    subject: &str,
    pages: &[&RawResponse],
    builder: &mut RowBuilder,
    rejected: &mut Vec<Rejected>,
) -> Result<(), IngestError> {
    let name = provider.name();
    let mut whole = |response: &RawResponse, fault: Fault| {
        rejected.push(Rejected {
            reason: fault.reason.clone(),
            position: format!("{name} {subject}: {}", response.url),
            record: beginning(&response.payload),
        });
        IngestError::new(fault.code, format!("the chart of `{name}` for {subject} cannot be used: {} ({})", fault.reason, response.url))
            .help("the response is kept in the `__raw` table beside the landing table")
    };
    let Some(last) = pages.last() else { return Ok(()) };
    let date: NaiveDate = match subject.parse() {
        Ok(date) => date,
        Err(_) => return Err(whole(last, Fault::shape(format!("`{subject}` is not a day")))),
    };
    let (mut time, mut rows) = (None, vec![]);
    for response in pages {
        let page = Page { payload: &response.payload, day: date, fetched_at: response.fetched_at };
        let parsed = provider.parse(&page).map_err(|fault| whole(response, fault))?;
        time = time.or(parsed.time);
        rows.extend(parsed.rows);
    }
    if rows.is_empty() {
        let fault = Fault { code: "ingest/empty-chart", reason: "the chart is empty".into() };
        return Err(whole(last, fault));
    }
    let (good, bad) = checked(rows);
    let position = |at: &str| format!("{name} {subject}: {at}");
    if good.is_empty() {
        let first = bad.first().map(|bad| bad.reason.clone()).unwrap_or_default();
        let reason = format!("none of its {} rows can be read; the first: {first}", bad.len());
        return Err(whole(last, Fault::shape(reason)));
    }
    rejected.extend(bad.into_iter().map(|bad| Rejected {
        reason: bad.reason,
        position: position(&bad.origin.position),
        record: bad.origin.record,
    }));
    for row in good {
        builder.push([
            Cell::Int(row.rank),
            row.title.into(),
            row.artists.first().cloned().into(),
            Cell::array(&row.artists),
            row.last_pos.into(),
            row.peak_pos.into(),
            row.is_new.into(),
            row.image.into(),
            name.into(),
            time.into(),
            date.into(),
            row.track_id.into(),
            Cell::array(&row.artist_ids),
        ]);
    }
    Ok(())
}

/// Ranks of a chart of n rows are 1 to n, each once; what breaks that is set aside.
fn checked(rows: Vec<Result<ChartRow, super::provider::BadRow>>) -> (Vec<ChartRow>, Vec<super::provider::BadRow>) {
    let n = rows.len() as i64;
    let mut seen = HashSet::new();
    let (mut good, mut bad) = (vec![], vec![]);
    for row in rows {
        match row {
            Err(row) => bad.push(row),
            Ok(row) => {
                let reason = if !(1..=n).contains(&row.rank) {
                    Some(format!("rank {} in a chart of {n} rows", row.rank))
                } else if !seen.insert(row.rank) {
                    Some(format!("rank {} stands twice", row.rank))
                } else {
                    None
                };
                match reason {
                    None => good.push(row),
                    Some(reason) => bad.push(super::provider::BadRow { reason, origin: row.origin }),
                }
            }
        }
    }
    good.sort_by_key(|row| row.rank);
    (good, bad)
}

/// Of a payload, for a reject: the whole of it is in the raw table.
pub fn beginning(payload: &str) -> String {
    match payload.char_indices().nth(2000) {
        Some((end, _)) => format!("{}...", &payload[..end]),
        None => payload.to_owned(),
    }
}
