//! Listeners of an invented streaming service to a stream of Eventsim events in order of time.
//!
//! Users arrive as a Poisson process with a least gap between sessions, thinned by night and weekend; inside a session a
//! Markov chain over (page, auth, status, level) moves in log-normal steps, and songs take their length. Every user has a
//! stream of random numbers of their own, so the events depend on the seed alone, not on threads. Reads Eventsim's own
//! configuration files.

mod builtin;
mod columns;
mod config;
mod damping;
mod json_place;
mod line;
mod listener;
mod machine;
mod people;
mod population;
mod taste;

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use builtin::text as builtin_config;
use chrono::{DateTime, Days, NaiveTime, Utc};
pub(super) use columns::batch;
pub use columns::schema;
pub use config::{Config, Moment, Positive};
pub use population::Simulation;
use rayon::prelude::*;

use super::SimulateError;

/// What a configuration without a file is called in messages.
const BUILTIN: &str = "<built-in eventsim configuration>";
/// Events that are put into text at a time: bounds the memory of a window's text.
const PIECE: usize = 8_192;

/// What `segue simulate eventsim` was asked for. What is `None` comes from the configuration, then from defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: Config,
    pub seed: Option<u64>,
    /// The seed of the catalog, apart from that of the events: other listeners hear the same songs.
    pub catalog_seed: u64,
    pub start: Option<DateTime<Utc>>,
    /// Events are before this moment.
    pub end: Option<DateTime<Utc>>,
    /// Length of the range when there is no `start`.
    pub days: Option<u32>,
    /// Users at the start.
    pub users: Option<u64>,
    /// Roughly how many events; decides the number of users when that is not given. Slightly more are made.
    pub events: Option<u64>,
    pub first_user: Option<u64>,
    /// A year's new users, as a share.
    pub growth: Option<f64>,
    pub attrition: Option<f64>,
    pub tag: Option<String>,
    /// The day from which the catalog counts its releases back; the end's by default.
    pub anchor: Option<chrono::NaiveDate>,
    /// 0: as many as there are cores.
    pub threads: usize,
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::default(),
            seed: None,
            catalog_seed: super::DEFAULT_SEED,
            start: None,
            end: None,
            days: None,
            users: None,
            events: None,
            first_user: None,
            growth: None,
            attrition: None,
            tag: None,
            anchor: None,
            threads: 0,
            cancel: Arc::default(),
        }
    }
}

impl Options {
    /// `[start, end)`.
    pub fn range(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), SimulateError> {
        let last = super::default_end();
        let midnight = last.checked_add_days(Days::new(1)).unwrap_or(last).and_time(NaiveTime::MIN).and_utc();
        let configured_start = self.start.or(self.config.start_date.filter(|_| self.days.is_none()).map(|m| m.0));
        let end = self.end.or(self.config.end_date.map(|m| m.0)).or_else(|| {
            let days = Days::new(u64::from(self.days.unwrap_or(14)));
            configured_start.and_then(|s| s.checked_add_days(days))
        });
        let end = end.unwrap_or(midnight);
        let start = configured_start.or_else(|| end.checked_sub_days(Days::new(u64::from(self.days.unwrap_or(14)))));
        match start {
            Some(start) if start < end => Ok((start, end)),
            Some(start) => {
                Err(SimulateError::Options(format!("the start `{}` is not before the end `{}`", start.to_rfc3339(), end.to_rfc3339())))
            }
            None => Err(SimulateError::Options("the range leaves the calendar".into())),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub events: u64,
    pub bytes: u64,
    pub sessions: u64,
    /// Users at the start and those who came.
    pub users: u64,
    pub elapsed: Duration,
}

/// Writes the events as JSON lines. `progress` gets the number of events written so far.
pub fn run(options: &Options, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<Stats, SimulateError> {
    let begun = Instant::now();
    let pool = pool(options.threads)?;
    let mut simulation = pool.install(|| Simulation::new(options))?;
    let mut stats = Stats::default();
    while let Some(window) = pool.install(|| simulation.window())? {
        let lines = line::Lines::new(&simulation, options.tag.as_deref().or(options.config.tag.as_deref()));
        // as many pieces at a time as there are threads to make them
        for pieces in window.chunks(PIECE * pool.current_num_threads().max(1) * 2) {
            let texts: Vec<Vec<u8>> = pool.install(|| pieces.par_chunks(PIECE).map(|piece| lines.text(piece)).collect());
            for text in texts {
                if options.cancel.load(Ordering::Relaxed) {
                    return Err(SimulateError::Cancelled);
                }
                out.write_all(&text).map_err(SimulateError::output)?;
                stats.bytes += text.len() as u64;
            }
            stats.events += pieces.len() as u64;
            progress(stats.events);
        }
    }
    out.flush().map_err(SimulateError::output)?;
    stats.sessions = simulation.sessions();
    stats.users = simulation.users() as u64;
    stats.elapsed = begun.elapsed();
    Ok(stats)
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, SimulateError> {
    let fault = |e: rayon::ThreadPoolBuildError| SimulateError::Options(format!("cannot start `{threads}` threads: {e}"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(fault)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    fn text(options: &Options) -> String {
        let mut out = vec![];
        run(options, &mut out, &mut |_| {}).expect("it runs");
        String::from_utf8(out).expect("UTF-8")
    }

    fn small() -> Options {
        Options { users: Some(150), days: Some(7), ..Options::default() }
    }

    #[test]
    fn threads_do_not_change_a_byte_and_seeds_do() {
        let one = text(&Options { threads: 1, ..small() });
        assert_eq!(one, text(&Options { threads: 3, ..small() }));
        assert_ne!(one, text(&Options { seed: Some(1), ..small() }));
        assert!(one.lines().count() > 5_000, "{}", one.lines().count());
    }

    #[test]
    fn events_are_in_order_and_obey_the_state_machine() {
        let config = Config::default();
        let options = small();
        let (start, end) = options.range().expect("a range");
        let known: HashSet<_> = config.transitions.iter().flat_map(|t| [&t.source, &t.dest]).chain([]).cloned().collect();
        let moves: HashSet<_> = config.transitions.iter().map(|t| (t.source.clone(), t.dest.clone())).collect();
        let mut last: HashMap<i64, (config::State, i64, i64)> = HashMap::new();
        let (mut before, mut sessions) = (0, 0);
        for line in text(&options).lines() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let text = |key: &str| event[key].as_str().unwrap_or_else(|| panic!("{key} in {line}")).to_owned();
            let number = |key: &str| event[key].as_i64().unwrap_or_else(|| panic!("{key} in {line}"));
            let state = config::State {
                page: text("page"),
                auth: text("auth"),
                level: text("level"),
                status: number("status"),
                method: text("method"),
            };
            let (ts, session, item) = (number("ts"), number("sessionId"), number("itemInSession"));
            assert!(ts >= before && ts >= start.timestamp_millis() && ts < end.timestamp_millis());
            before = ts;
            assert!(known.contains(&state), "{state:?}");
            let shown = matches!(state.auth.as_str(), "Logged In" | "Cancelled");
            assert_eq!(!text("userId").is_empty(), shown, "{line}");
            for key in ["location", "userAgent", "lastName", "firstName", "registration", "gender"] {
                assert_eq!(event.get(key).is_some(), shown, "{line}");
            }
            if shown {
                assert!(number("registration") <= ts);
            }
            for key in ["artist", "song", "length"] {
                assert_eq!(event.get(key).is_some(), state.page == "NextSong", "{line}");
            }
            match last.get(&session) {
                Some((from, was, at)) => {
                    assert_eq!(item, was + 1);
                    assert!(ts > *at && moves.contains(&(from.clone(), state.clone())), "{from:?} to {state:?}");
                }
                None => {
                    sessions += 1;
                    assert_eq!((item, session), (0, sessions), "sessions are numbered as they begin");
                }
            }
            last.insert(session, (state, item, ts));
        }
        assert!(sessions > 300, "{sessions}");
    }

    #[test]
    fn nights_are_quieter_than_days() {
        let options = Options { users: Some(400), days: Some(14), ..Options::default() };
        let offsets: HashMap<&str, i64> = people::LOCATIONS.iter().map(|l| (l.0, i64::from(l.1))).collect();
        let mut hours = [0u32; 24];
        for line in text(&options).lines().filter(|l| l.contains("\"itemInSession\":0,")) {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let Some(offset) = event["location"].as_str().map(|l| offsets[l]) else { continue };
            let local = event["ts"].as_i64().expect("ts") + offset * 3_600_000;
            hours[(local.rem_euclid(86_400_000) / 3_600_000) as usize] += 1;
        }
        let (night, day): (u32, u32) = (hours[1..5].iter().sum(), hours[13..17].iter().sum());
        assert!(night * 2 < day, "{hours:?}");
    }

    #[test]
    fn a_number_of_events_is_met() {
        let options = Options { events: Some(30_000), ..Options::default() };
        let count = text(&options).lines().count();
        assert!((30_000..34_000).contains(&count), "{count}");
    }

    #[test]
    fn songs_are_those_of_the_charts_and_sessions_have_a_mood() {
        let catalog = crate::simulate::catalog::Catalog::new(42, crate::simulate::default_end());
        let songs: HashMap<(&str, &str), usize> =
            catalog.songs.iter().enumerate().map(|(i, s)| ((s.title.as_str(), catalog.main_artist(s).name.as_str()), i)).collect();
        let mut sessions: HashMap<i64, Vec<usize>> = HashMap::new();
        for line in text(&small()).lines().filter(|l| l.contains("\"song\":")) {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let key = (event["song"].as_str().expect("a song"), event["artist"].as_str().expect("an artist"));
            sessions.entry(event["sessionId"].as_i64().expect("an id")).or_default().push(songs[&key]);
        }
        let same = |sessions: &mut dyn Iterator<Item = (usize, usize)>| {
            let (mut same, mut all) = (0, 0);
            for (a, b) in sessions {
                all += 1;
                same += usize::from(catalog.songs[a].artists[0] == catalog.songs[b].artists[0]);
            }
            same as f64 / f64::from(all)
        };
        let within = same(&mut sessions.values().flat_map(|s| s.windows(2).map(|w| (w[0], w[1]))));
        let firsts: Vec<usize> = sessions.values().map(|s| s[0]).collect();
        let between = same(&mut firsts.windows(2).map(|w| (w[0], w[1])));
        assert!(within > 3.0 * between && within > 0.15, "{within} within, {between} between");
    }

    #[test]
    fn cancellation_full_disks_and_bad_ranges_are_errors() {
        let cancelled = Options { cancel: Arc::new(AtomicBool::new(true)), ..small() };
        assert!(matches!(run(&cancelled, &mut vec![], &mut |_| {}), Err(SimulateError::Cancelled)));
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let full = run(&small(), &mut Full, &mut |_| {}).expect_err("nothing fits");
        let diagnostic = crate::diagnostic::Diagnostic::from(full);
        assert_eq!((diagnostic.code, diagnostic.help.as_deref()), ("simulate/io", Some("free some space, or simulate fewer events")));
        let end = small().range().expect("a range").0;
        assert!(matches!(Options { start: Some(end), end: Some(end), ..small() }.range(), Err(SimulateError::Options(_))));
    }
}
