//! A catalog and a range of days to recorded responses of chart services, in each service's own shape.
//!
//! Layout: `OUT/<provider>/<date>.json|html`, `OUT/spotify_weekly/<country>/regional-<country>-weekly-<date>.csv`, and
//! look-ups as `LOOKUPS/<service>/<request>.jsonl`. What a day looks like does not depend on how many days are asked for.

mod domestic;
mod lookups;
mod ranking;
mod service;
mod spotify;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::NaiveDate;

use self::{ranking::History, service::Service};
use super::{SimulateError, catalog::Catalog};

/// What `segue simulate charts` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub out: PathBuf,
    /// Where recordings of look-ups go; `None` makes none.
    pub lookups_out: Option<PathBuf>,
    /// How many days, the last one included.
    pub days: u32,
    pub end: NaiveDate,
    pub seed: u64,
    /// Set from elsewhere to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Options {
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), lookups_out: None, days: 21, end: super::default_end(), seed: super::DEFAULT_SEED, cancel: Arc::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub files: u64,
    pub bytes: u64,
}

/// One recorded file: a path relative to its root, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub path: PathBuf,
    pub text: String,
}

/// Everything that [`run`] writes, as `(charts, look-ups)`; pure.
pub fn recordings(options: &Options) -> Result<(Vec<Recording>, Vec<Recording>), SimulateError> {
    if options.days == 0 || options.days > 3_660 {
        return Err(SimulateError::Options(format!("`days` is {}, but must be from 1 to 3660", options.days)));
    }
    let too_early = || SimulateError::Options(format!("no calendar day lies that long before `{}`", options.end));
    let catalog = Catalog::new(options.seed, options.end);
    let first = options.end.checked_sub_days(chrono::Days::new(u64::from(options.days - 1))).ok_or_else(too_early)?;
    let mut charts = vec![];
    let mut seen = lookups::Seen::default();
    for service in Service::ALL {
        stop_if(&options.cancel)?;
        let history = History::new(&catalog, options.seed, service, options.days).ok_or_else(too_early)?;
        for day in first.iter_days().take_while(|d| *d <= options.end) {
            match service {
                Service::Kr | Service::Global | Service::Us => {
                    if let Some(text) = spotify::weekly(&catalog, &history, service, day) {
                        let country = service.folder();
                        let path = format!("spotify_weekly/{country}/regional-{country}-weekly-{day}.csv");
                        charts.push(Recording { path: path.into(), text });
                    }
                }
                Service::Top50 => {
                    seen.spotify(&catalog, &history, day);
                    charts.push(Recording {
                        path: format!("{}/{day}.html", service.folder()).into(),
                        text: spotify::top50(&catalog, &history, day),
                    });
                }
                _ => {
                    let (document, artists) = domestic::document(&catalog, &history, service, day, options.seed);
                    seen.spellings(artists);
                    charts.push(Recording { path: format!("{}/{day}.json", service.folder()).into(), text: document.to_string() });
                }
            }
        }
    }
    let lookups = if options.lookups_out.is_some() { seen.recordings(&catalog, options.seed) } else { vec![] };
    Ok((charts, lookups))
}

/// Writes the recordings; files of the same name are replaced, others are left alone.
pub fn run(options: &Options) -> Result<Stats, SimulateError> {
    let (charts, lookups) = recordings(options)?;
    let mut stats = Stats::default();
    let roots =
        charts.iter().map(|r| (&options.out, r)).chain(options.lookups_out.iter().flat_map(|root| lookups.iter().map(move |r| (root, r))));
    for (root, recording) in roots {
        stop_if(&options.cancel)?;
        write(root, recording)?;
        stats.files += 1;
        stats.bytes += recording.text.len() as u64;
    }
    Ok(stats)
}

fn write(root: &Path, recording: &Recording) -> Result<(), SimulateError> {
    let path = root.join(&recording.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(SimulateError::io("create", folder))?;
    }
    fs::write(&path, &recording.text).map_err(SimulateError::io("write", &path))
}

fn stop_if(cancel: &AtomicBool) -> Result<(), SimulateError> {
    if cancel.load(Ordering::Relaxed) { Err(SimulateError::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;

    use super::*;

    fn made(days: u32) -> (HashMap<String, String>, HashMap<String, String>) {
        let options = Options { days, lookups_out: Some("l".into()), ..Options::new("o") };
        let (charts, lookups) = recordings(&options).expect("options are fine");
        let by_path = |list: Vec<Recording>| list.into_iter().map(|r| (r.path.display().to_string().replace('\\', "/"), r.text)).collect();
        (by_path(charts), by_path(lookups))
    }

    #[test]
    fn a_day_does_not_depend_on_the_range() {
        let (long, _) = made(9);
        for (path, text) in made(2).0 {
            assert_eq!(Some(&text), long.get(&path), "{path}");
        }
    }

    #[test]
    fn shapes_counts_and_last_ranks_agree_with_the_day_before() {
        let (charts, _) = made(3);
        let json = |path: &str| serde_json::from_str::<Value>(&charts[path]).expect("valid JSON");
        let rows = |provider: &str, day: &str| {
            let document = json(&format!("{provider}/2025-02-{day}.json"));
            let pointer = match provider {
                "melon" => "/response/SONGLIST",
                "bugs" => "/list",
                "genie" => "/DataSet/DATA",
                "flo" => "/data/trackList",
                _ => "/response/result/chart/items/tracks",
            };
            document.pointer(pointer).and_then(Value::as_array).cloned().expect("rows")
        };
        // (key, rank, last rank)
        let fields = |provider: &str, position: usize, row: &Value| -> (String, i64, i64) {
            let number = |p: &str| row.pointer(p).map_or(0, |v| v.as_i64().or_else(|| v.as_str()?.parse().ok()).unwrap_or(-999));
            let text = |p: &str| row.pointer(p).and_then(Value::as_str).unwrap_or("?").to_owned();
            let rank = position as i64 + 1;
            match provider {
                "melon" => (text("/SONGNAME"), number("/CURRANK"), number("/PASTRANK")),
                "bugs" => (text("/track_title"), number("/list_attr/rank"), number("/list_attr/rank_last")),
                "genie" => (text("/SONG_NAME"), number("/RANK_NO"), number("/PRE_RANK_NO")),
                "flo" => (text("/name"), rank, if row["rank"]["newYn"] == "Y" { 0 } else { rank + number("/rank/rankBadge") }),
                _ => {
                    let last = number("/rank/currentRank") + number("/rank/rankVariation");
                    (text("/trackTitle"), number("/rank/currentRank"), if row["rank"]["isNew"] == true { 0 } else { last })
                }
            }
        };
        for (provider, count) in [("melon", 100), ("bugs", 100), ("genie", 200), ("flo", 100), ("vibe", 100)] {
            let before: HashMap<String, i64> =
                rows(provider, "26").iter().enumerate().map(|(i, r)| fields(provider, i, r)).map(|(key, rank, _)| (key, rank)).collect();
            let today = rows(provider, "27");
            assert_eq!((today.len(), before.len()), (count, count), "{provider}");
            let mut moved = 0;
            for (i, row) in today.iter().enumerate() {
                let (key, rank, last) = fields(provider, i, row);
                assert_eq!(rank, i as i64 + 1);
                match before.get(&key) {
                    Some(was) => assert_eq!(*was, last, "{provider} {key}"),
                    None => assert!(last == 0 || last > count as i64, "{provider} {key} {last}"),
                }
                moved += usize::from(rank != last);
                if provider == "bugs" {
                    assert!(row["list_attr"]["rank_peak"].as_i64() <= Some(rank.min(if last == 0 { rank } else { last })));
                }
            }
            assert!((count / 4..count).contains(&moved), "{provider}: {moved} of {count} moved");
        }
    }

    #[test]
    fn new_entries_appear() {
        let (charts, _) = made(21);
        let new = charts.iter().filter(|(p, _)| p.starts_with("melon/")).map(|(_, t)| t.matches("\"NEW\"").count()).sum::<usize>();
        assert!((10..400).contains(&new), "{new} new entries in 21 days");
    }

    #[test]
    fn spotify_pages_hold_fifty_tracks_and_weeks_two_hundred_rows() {
        let (charts, lookups) = made(21);
        let page = &charts["spotify_top50/2025-02-27.html"];
        let start = page.find("type=\"application/json\">").expect("the state") + "type=\"application/json\">".len();
        let end = start + page[start..].find("</script>").expect("the end of the state");
        let state: Value = serde_json::from_str(&page[start..end]).expect("valid JSON");
        let tracks = state.pointer("/props/pageProps/state/data/entity/trackList").and_then(Value::as_array).expect("tracks");
        assert_eq!(tracks.len(), 50);
        let ids = |file: &str| -> std::collections::HashSet<String> {
            let subject = |l: &str| serde_json::from_str::<Value>(l).expect("a line")["subject"].as_str().map(str::to_owned);
            lookups[file].lines().filter_map(subject).collect()
        };
        let (artists, tops, infos) =
            (ids("spotify_api/artist.jsonl"), ids("spotify_api/artist_top_tracks.jsonl"), ids("lastfm/track_info.jsonl"));
        for track in tracks {
            for artist in track["artists"].as_array().expect("artists") {
                let id = artist["uri"].as_str().and_then(|u| u.strip_prefix("spotify:artist:")).expect("an artist uri");
                assert!(artists.contains(id) && tops.contains(id));
                assert!(infos.contains(&format!("{}\t{}", artist["name"].as_str().unwrap_or(""), track["title"].as_str().unwrap_or(""))));
            }
        }
        let weeks: Vec<_> = charts.iter().filter(|(path, _)| path.starts_with("spotify_weekly/")).collect();
        assert_eq!(weeks.len(), 9);
        for (path, text) in weeks {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            assert_eq!(
                reader.headers().map(|h| h.iter().collect::<Vec<_>>().join(",")).ok().as_deref(),
                Some(spotify::WEEKLY_HEADER),
                "{path}"
            );
            let streams: Vec<u64> = reader.records().map(|r| r.expect("a row")[8].parse().expect("streams")).collect();
            assert_eq!(streams.len(), 200);
            assert!(streams.windows(2).all(|w| w[0] >= w[1]), "{path}");
        }
    }

    #[test]
    fn cancellation_and_bad_options_are_errors() {
        let options = Options { cancel: Arc::new(AtomicBool::new(true)), ..Options::new("o") };
        assert!(matches!(recordings(&options), Err(SimulateError::Cancelled)));
        assert!(matches!(recordings(&Options { days: 0, ..Options::new("o") }), Err(SimulateError::Options(_))));
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = run(&Options { days: 1, ..Options::new(file.path().join("below")) }).expect_err("a file is no folder");
        assert!(error.to_string().contains("cannot create `"), "{error}");
    }
}
