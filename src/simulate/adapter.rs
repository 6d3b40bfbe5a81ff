//! A source's `adapter: {type: simulate}` to landed rows of simulated events.
//!
//! Settings: `simulation` (`eventsim`), `users` or `events`, `days`, `start`, `end`, `seed`, `catalog_seed`, `config` (a
//! file), `first_user_id`, `growth_rate`, `attrition_rate`. The position holds what decided the events so far, so that a
//! later end goes on with the same users.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    SimulateError,
    eventsim::{self, Config, Moment, Options, Simulation},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    ingest::{Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse},
    names::{Fingerprint, nearest},
};

/// Rows of one commit, roughly.
const COMMIT: usize = 900_000;
const SETTINGS: [&str; 12] = [
    "simulation",
    "users",
    "events",
    "days",
    "start",
    "end",
    "seed",
    "catalog_seed",
    "config",
    "first_user_id",
    "growth_rate",
    "attrition_rate",
];

/// Checks the settings; `place` is the mapping in the user's file, `root` the folder that a relative `config` starts from.
pub fn adapter(settings: &IndexMap<String, Json>, place: &Place, root: &Path) -> Result<Box<dyn Adapter>, Diagnostics> {
    let mut faults = Diagnostics::default();
    let mut fault = |key: &str, message: String, help: Option<String>| {
        let mut d = Diagnostic::error("simulate/settings", message).at(within(place, key), "here");
        d.help = help;
        faults.push(d);
    };
    for key in settings.keys().filter(|k| !SETTINGS.contains(&k.as_str())) {
        let help = nearest(key, SETTINGS).map(|n| format!("did you mean `{n}`?"));
        fault(key, format!("the simulation has no setting `{key}`"), help);
    }
    if let Some(name) = settings.get("simulation").filter(|n| n.as_str() != Some("eventsim")) {
        fault("simulation", format!("no simulation is named `{}`", shown(name)), Some("the one there is: `eventsim`".into()));
    }
    let mut number = |key: &str, low: u64, high: u64| -> Option<u64> {
        let value = settings.get(key).filter(|v| !v.is_null())?;
        let read = value.as_u64().or_else(|| value.as_str()?.trim().replace('_', "").parse().ok()).filter(|n| (low..=high).contains(n));
        if read.is_none() {
            fault(key, format!("`{key}` is `{}`, but must be a number from {low} to {high}", shown(value)), None);
        }
        read
    };
    let mut options = Options {
        users: number("users", 1, 50_000_000),
        events: number("events", 1, 100_000_000_000),
        days: number("days", 1, 36_500).map(|d| d as u32),
        seed: number("seed", 0, u64::MAX),
        first_user: number("first_user_id", 0, u64::MAX / 2),
        ..Options::default()
    };
    options.catalog_seed = number("catalog_seed", 0, u64::MAX).unwrap_or(options.catalog_seed);
    let mut share = |key: &str| -> Option<f64> {
        let value = settings.get(key).filter(|v| !v.is_null())?;
        let read = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|r| (0.0..=1_000.0).contains(r));
        if read.is_none() {
            fault(key, format!("`{key}` is `{}`, but must be a number from 0 to 1000", shown(value)), None);
        }
        read
    };
    (options.growth, options.attrition) = (share("growth_rate"), share("attrition_rate"));
    let mut moment = |key: &str, ends: bool| -> Option<DateTime<Utc>> {
        let value = settings.get(key).filter(|v| !v.is_null())?;
        let text = shown(value);
        // a day as the end is the last one
        let day = text.parse::<NaiveDate>().ok().and_then(|d| d.checked_add_days(Days::new(u64::from(ends))));
        match day.map(|d| Ok(d.and_time(NaiveTime::MIN).and_utc())).unwrap_or_else(|| Moment::try_from(text).map(|m| m.0)) {
            Ok(at) => Some(at),
            Err(message) => {
                fault(key, message, None);
                None
            }
        }
    };
    (options.start, options.end) = (moment("start", false), moment("end", true));
    let mut config_text = String::new();
    if let Some(value) = settings.get("config").filter(|v| !v.is_null()) {
        let path = root.join(shown(value));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                config_text.clone_from(&text);
                match Config::parse(&SourceFile::new(PathBuf::from(shown(value)), text)) {
                    Ok(config) => options.config = config,
                    Err(diagnostic) => faults.push(*diagnostic),
                }
            }
            Err(e) => fault("config", format!("cannot read `{}`: {e}", path.display()), None),
        }
    }
    if faults.has_errors() {
        return Err(faults);
    }
    options.range().map_err(|e| Diagnostic::from(e).at(place.clone(), "here"))?;
    let fingerprint = Fingerprint::of([
        ("config", config_text.as_str()),
        ("seed", &format!("{:?} {}", options.seed, options.catalog_seed)),
        ("users", &format!("{:?} {:?} {:?}", options.users, options.events, options.first_user)),
        ("rates", &format!("{:?} {:?}", options.growth, options.attrition)),
    ]);
    Ok(Box::new(EventsimAdapter { options, fingerprint: fingerprint.as_str().to_owned(), going: Mutex::new(None) }))
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The key inside the mapping, as far as the text tells; else the mapping.
fn within(place: &Place, key: &str) -> Place {
    let text = place.file.text.get(place.range.clone()).unwrap_or_default();
    let is_key = |at: &usize| {
        text[at + key.len()..].trim_start().starts_with(':')
            && text[..*at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_')
    };
    match text.match_indices(key).map(|m| m.0).find(is_key) {
        Some(at) => Place::new(&place.file, place.range.start + at..place.range.start + at + key.len()),
        None => place.clone(),
    }
}

struct EventsimAdapter {
    options: Options,
    fingerprint: String,
    /// The simulation that the last fetch left, so that the next need not make everything again.
    going: Mutex<Option<(i64, Simulation)>>,
}

/// What decided the events so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Position {
    /// Milliseconds: all events before are landed.
    until: i64,
    start: i64,
    users: u64,
    /// The day from which the catalog counts releases back.
    anchor: NaiveDate,
    settings: String,
}

#[async_trait]
impl Adapter for EventsimAdapter {
    fn schema(&self) -> SchemaRef {
        eventsim::schema()
    }

    fn partition_by(&self) -> Vec<String> {
        vec!["EVENT_DATE".into()]
    }

    async fn fetch(&self, position: Option<&str>, _: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        // a commit's worth is made in a fraction of a second: not worth a thread of its own
        self.next(position)
    }

    fn parse(&self, _: &[RawResponse]) -> Parsed {
        Parsed::default()
    }
}

impl EventsimAdapter {
    fn next(&self, position: Option<&str>) -> Result<Option<Fetched>, IngestError> {
        let failed = |e: SimulateError| IngestError::new("ingest/simulation", e.to_string());
        let known: Option<Position> = position.map(serde_json::from_str).transpose().map_err(|e| {
            IngestError::new("ingest/position", format!("the position of the simulation cannot be read: {e}"))
                .help("build the source with `--full-refresh`")
        })?;
        if known.as_ref().is_some_and(|k| k.settings != self.fingerprint) {
            return Err(IngestError::new(
                "ingest/simulation-changed",
                "the settings of the simulation differ from those that made the landed events",
            )
            .help("build the source with `--full-refresh` to simulate anew"));
        }
        let mut options = self.options.clone();
        let (_, end) = options.range().map_err(failed)?;
        if let Some(known) = &known {
            if known.until >= end.timestamp_millis() {
                return Ok(None);
            }
            options.users = Some(known.users);
            options.start = DateTime::from_timestamp_millis(known.start);
            options.end = Some(end);
            options.anchor = Some(known.anchor);
        }
        let from = known.as_ref().map(|k| k.until);
        let mut going = self.going.lock();
        let mut simulation = match going.take() {
            Some((at, simulation)) if from == Some(at) => simulation,
            _ => Simulation::new(&options).map_err(failed)?,
        };
        // windows differ between simulations: what is landed is left out by time
        let mut batches = vec![];
        let mut rows = 0;
        while let Some(window) = simulation.window().map_err(failed)? {
            let new = window.partition_point(|e| from.is_some_and(|f| e.ts() < f));
            if new < window.len() {
                let batch =
                    eventsim::batch(&simulation, &window[new..]).map_err(|e| IngestError::new("ingest/simulation", e.to_string()))?;
                rows += batch.num_rows();
                batches.push(batch);
            }
            if rows >= COMMIT {
                break;
            }
        }
        let position = Position {
            until: simulation.now(),
            start: simulation.start().timestamp_millis(),
            users: simulation.initial_users(),
            anchor: simulation.anchor(),
            settings: self.fingerprint.clone(),
        };
        let text = serde_json::to_string(&position).map_err(|e| IngestError::new("ingest/position", e.to_string()))?;
        *going = Some((position.until, simulation));
        Ok(Some(Fetched { what: FetchedContent::Rows(Parsed { batches, ..Parsed::default() }), position: text }))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{AsArray, RecordBatch},
        datatypes::Int64Type,
    };

    use super::*;

    fn made(yaml: &str) -> Result<Box<dyn Adapter>, Diagnostics> {
        let settings: IndexMap<String, Json> = serde_yaml_ng::from_str(yaml).expect("YAML");
        let file = SourceFile::new("sources.yml", yaml);
        adapter(&settings, &Place::new(&file, 0..yaml.len()), Path::new("."))
    }

    async fn fetched(adapter: &dyn Adapter, position: Option<&str>) -> Option<(Vec<RecordBatch>, String)> {
        let cx = FetchContext { now: Utc::now(), keys: vec![], ..Default::default() };
        let fetched = adapter.fetch(position, &cx).await.expect("it fetches")?;
        match fetched.what {
            FetchedContent::Rows(parsed) => Some((parsed.batches, fetched.position)),
            FetchedContent::Responses(_) => None,
        }
    }

    fn times(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn rows_come_once_and_a_later_end_goes_on() {
        let first = made("simulation: eventsim\nusers: 100\nstart: 2025-02-20\nend: 2025-02-24\n").expect("settings are fine");
        let (batches, position) = fetched(first.as_ref(), None).await.expect("rows");
        assert!(batches.iter().all(|b| b.schema() == first.schema()));
        assert!(fetched(first.as_ref(), Some(&position)).await.is_none());
        let later = made("simulation: eventsim\nusers: 100\nstart: 2025-02-20\nend: 2025-02-26\n").expect("settings are fine");
        let (more, end) = fetched(later.as_ref(), Some(&position)).await.expect("new rows");
        let (old, new) = (times(&batches), times(&more));
        assert!(!old.is_empty() && !new.is_empty() && old.last() < new.first());
        assert!(new.is_sorted() && old.is_sorted());
        assert!(fetched(later.as_ref(), Some(&end)).await.is_none());
        let other = made("users: 101\nstart: 2025-02-20\nend: 2025-02-24\n").expect("settings are fine");
        let error = other
            .fetch(Some(&position), &FetchContext { now: Utc::now(), keys: vec![], ..Default::default() })
            .await
            .expect_err("other users");
        assert_eq!(error.code, "ingest/simulation-changed");
    }

    #[test]
    fn all_faults_are_reported_at_their_keys() {
        let faults = made("simulation: evensim\nuser: 3\ndays: many\nend: soon\n").err().expect("faults");
        let got: Vec<_> = faults.0.iter().map(|d| (d.message.as_str(), d.place.as_ref().map(Place::line_column))).collect();
        assert_eq!(
            got,
            [
                ("the simulation has no setting `user`", Some((2, 1))),
                ("no simulation is named `evensim`", Some((1, 1))),
                ("`days` is `many`, but must be a number from 1 to 36500", Some((3, 1))),
                ("`soon` is no date such as `2025-02-27` or `2025-02-27T09:00:00`", Some((4, 1))),
            ]
        );
    }
}
