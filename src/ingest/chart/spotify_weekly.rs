//! Spotify's weekly top 200 of a country: CSV files that a user downloads, to rows of their own shape.
//!
//! There is no request: the files lie in a folder (`<country>/regional-<country>-weekly-<date>.csv`). A week lands as
//! a whole with all its countries, so that a corrected file replaces its week in one commit.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use super::{
    OnMissing,
    position::{Position, digest},
    spotify_top50::id,
};
use crate::{
    diagnostic::Diagnostic,
    ingest::{
        Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse, Rejected,
        registry::AdapterEnv,
        replay::{ReplayFolder, list},
        rows::{Cell, RowBuilder, column, semi_structured},
        settings::Settings,
    },
    names::SemiStructured,
};

struct WeeklyAdapter {
    folder: ReplayFolder,
    countries: Vec<String>,
    run_date: Option<NaiveDate>,
    on_missing: OnMissing,
}

pub fn adapter(
    settings: &Settings<'_>,
    env: &AdapterEnv,
    replay: Option<ReplayFolder>,
    run_date: Option<NaiveDate>,
    on_missing: OnMissing,
) -> Option<Box<dyn Adapter>> {
    let path = settings.text("path");
    let folder = match (replay, path) {
        (Some(replay), _) => ReplayFolder::new(replay.root(), "spotify_weekly").named(format!("{}/spotify_weekly", replay.shown())),
        (None, Some(path)) => ReplayFolder::new(&env.project_root, &path),
        (None, None) => {
            settings.fault(
                Diagnostic::error("ingest/missing-setting", "the chart `spotify_weekly` needs `path`: the folder of its CSV files")
                    .at(settings.place_of("provider"), "")
                    .help("it holds `<country>/regional-<country>-weekly-<date>.csv`"),
            );
            return None;
        }
    };
    let countries = settings.list("countries").unwrap_or_else(|| ["global", "kr", "us"].map(str::to_owned).into());
    Some(Box::new(WeeklyAdapter { folder, countries, run_date, on_missing }))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        column("RANK", DataType::Int64),
        column("URI", DataType::Utf8),
        column("TRACK_ID", DataType::Utf8),
        column("ARTIST_NAMES", DataType::Utf8),
        semi_structured("ARTISTS", SemiStructured::Array),
        column("TRACK_NAME", DataType::Utf8),
        column("LABEL", DataType::Utf8),
        column("PEAK_RANK", DataType::Int64),
        column("PREVIOUS_RANK", DataType::Int64),
        column("WEEKS_ON_CHART", DataType::Int64),
        column("STREAMS", DataType::Int64),
        column("COUNTRY", DataType::Utf8),
        column("WEEK", DataType::Date32),
    ]))
}

impl WeeklyAdapter {
    /// Files by week, those of a week in the order of `countries`.
    fn weeks(&self) -> Result<BTreeMap<NaiveDate, Vec<(String, PathBuf)>>, IngestError> {
        let mut weeks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for country in &self.countries {
            let folder = self.folder.root().join(country);
            if !folder.is_dir() {
                continue;
            }
            let paths = list(&folder).map_err(|e| {
                IngestError::new("ingest/unreadable", format!("the folder `{}` cannot be listed: {e}", self.folder.shown_path(&folder)))
            })?;
            for path in paths {
                let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let date = name.strip_prefix(&format!("regional-{country}-weekly-")).and_then(|rest| rest.strip_suffix(".csv"));
                if let Some(Ok(week)) = date.map(str::parse::<NaiveDate>)
                    && self.run_date.is_none_or(|run_date| week <= run_date)
                {
                    weeks.entry(week).or_default().push((country.clone(), path));
                }
            }
        }
        Ok(weeks)
    }
}

#[async_trait]
impl Adapter for WeeklyAdapter {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let mut position = Position::read(position)?;
        let weeks = self.weeks()?;
        if weeks.is_empty() && self.on_missing == OnMissing::Error {
            let shown = self.folder.shown();
            return Err(IngestError::new("ingest/no-recording", format!("the folder `{shown}` has no weekly chart of Spotify")).help(
                "it may hold `<country>/regional-<country>-weekly-<date>.csv` for each of `countries`; `on_missing: skip` makes do without",
            ));
        }
        let mut responses = vec![];
        for (week, files) in weeks {
            let contents = files.iter().map(|(_, path)| self.folder.read(path)).collect::<Result<Vec<_>, _>>()?;
            // the names of the countries too: one that is dropped in later changes the week
            let digest = digest(files.iter().map(|(country, _)| country.as_str()).chain(contents.iter().map(String::as_str)));
            if position.holds(&week.to_string(), &digest) {
                continue;
            }
            for ((country, path), payload) in files.iter().zip(contents) {
                responses.push(self.folder.raw(format!("{country}/{week}"), path, payload, cx.now));
            }
            position.days.insert(week.to_string(), digest);
        }
        if responses.is_empty() {
            return Ok(None);
        }
        Ok(Some(Fetched { what: FetchedContent::Responses(responses), position: position.write() }))
    }

    /// A week with a file that cannot be used does not land: its rows would replace those of a better file.
    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        let mut weeks: BTreeMap<&str, Vec<(&str, &RawResponse)>> = BTreeMap::new();
        for response in responses {
            let (country, week) = response.subject.split_once('/').unwrap_or(("", &response.subject));
            weeks.entry(week).or_default().push((country, response));
        }
        let mut parsed = Parsed::default();
        let mut builder = RowBuilder::new(schema());
        let mut landed = vec![];
        for (week, files) in weeks {
            let (mut rows, mut whole) = (vec![], true);
            for (country, response) in files {
                if let Err(reason) = file(country, week, response, &mut rows, &mut parsed.rejected) {
                    let message = format!("the weekly chart of `{country}` for {week} cannot be used: {reason} ({})", response.url);
                    parsed.rejected.push(Rejected {
                        reason,
                        position: response.url.clone(),
                        record: super::landing::beginning(&response.payload),
                    });
                    parsed.error = parsed.error.or(Some(IngestError::new("ingest/changed-shape", message)));
                    whole = false;
                }
            }
            if whole {
                rows.into_iter().for_each(|row| builder.push(row));
                landed.push(week.to_owned());
            }
        }
        match builder.finish() {
            Ok(batches) => parsed.batches = batches,
            Err(error) => parsed.error = Some(error),
        }
        parsed.replace = (!landed.is_empty()).then(|| ("WEEK".to_owned(), landed));
        parsed
    }
}

const COLUMNS: [&str; 9] =
    ["rank", "uri", "artist_names", "track_name", "source", "peak_rank", "previous_rank", "weeks_on_chart", "streams"];

fn file(country: &str, week: &str, response: &RawResponse, rows: &mut Vec<Vec<Cell>>, rejected: &mut Vec<Rejected>) -> Result<(), String> {
    let week: NaiveDate = week.parse().map_err(|_| format!("`{week}` is not a day"))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(response.payload.as_bytes());
    let header = reader.headers().map_err(|e| e.to_string())?.clone();
    let mut at = [0; COLUMNS.len()];
    for (slot, name) in at.iter_mut().zip(COLUMNS) {
        *slot = header
            .iter()
            .position(|h| h.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("it has no column `{name}`"))?;
    }
    let mut seen = HashSet::new();
    let mut landed = 0;
    let records: Vec<Result<csv::StringRecord, csv::Error>> = reader.records().collect();
    for record in &records {
        let (line, text) = match record {
            Ok(record) => (record.position().map_or(0, csv::Position::line), record.iter().collect::<Vec<_>>().join(",")),
            Err(e) => (e.position().map_or(0, csv::Position::line), String::new()),
        };
        let cells = match record {
            Ok(record) if record.len() != header.len() => Err(format!("{} fields under {} columns", record.len(), header.len())),
            Ok(record) => row(&at.map(|i| record.get(i).unwrap_or_default().trim()), country, week).and_then(|(rank, cells)| {
                if !(1..=records.len() as i64).contains(&rank) {
                    return Err(format!("rank {rank} in a chart of {} rows", records.len()));
                }
                if seen.insert(rank) { Ok(cells) } else { Err(format!("rank {rank} stands twice")) }
            }),
            Err(e) => Err(e.to_string()),
        };
        match cells {
            Ok(cells) => {
                rows.push(cells);
                landed += 1;
            }
            Err(reason) => rejected.push(Rejected { reason, position: format!("{}:{line}", response.url), record: text }),
        }
    }
    match (landed, records.len()) {
        (0, 0) => Err("the chart is empty".into()),
        (0, n) => Err(format!("none of its {n} rows can be read")),
        _ => Ok(()),
    }
}

fn row(fields: &[&str; COLUMNS.len()], country: &str, week: NaiveDate) -> Result<(i64, Vec<Cell>), String> {
    let [rank, uri, artist_names, track_name, label, peak, previous, weeks, streams] = *fields;
    let number = |name: &str, text: &str| -> Result<Option<i64>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| format!("`{name}` is `{text}`, not a whole number"))
    };
    let rank = number("rank", rank)?.ok_or("`rank` is empty")?;
    if track_name.is_empty() || artist_names.is_empty() {
        return Err("`track_name` or `artist_names` is empty".into());
    }
    // the file joins names by a comma and a space; it has no other mark of where a name ends
    let artists: Vec<String> = artist_names.split(", ").map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let cells = vec![
        rank.into(),
        uri.into(),
        id(uri, "track")?.into(),
        artist_names.into(),
        Cell::array(&artists),
        track_name.into(),
        Some(label).filter(|l| !l.is_empty()).map(str::to_owned).into(),
        number("peak_rank", peak)?.into(),
        number("previous_rank", previous)?.into(),
        number("weeks_on_chart", weeks)?.into(),
        number("streams", streams)?.into(),
        country.into(),
        week.into(),
    ];
    Ok((rank, cells))
}
