//! An Eventsim configuration file (JSON, keys of the public Eventsim project) to a checked [`Config`].
//!
//! Every fault has its line and column. Holidays, song files and the empty `upgrades`/`downgrades` lists of the original
//! have no effect: levels change by transitions.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, de::IgnoredAny};

use super::{builtin, json_place};
use crate::{
    diagnostic::{Diagnostic, Place, SourceFile},
    names::nearest,
};

/// What a configuration file says; keys as in Eventsim, in kebab case.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    pub seed: Option<u64>,
    /// Mean seconds between events of a session.
    #[serde(default = "default_alpha")]
    pub alpha: Positive,
    /// Mean seconds between sessions, beyond the gap.
    #[serde(default = "default_beta")]
    pub beta: Positive,
    /// How much less arrives at the quietest hour: 0 is flat, 1 is nothing at 03:00 local time.
    #[serde(default)]
    pub damping: Share,
    /// How much less arrives at weekends.
    #[serde(default)]
    pub weekend_damping: Share,
    /// Minutes before midnight at which the weekend's change begins.
    #[serde(default = "default_offset")]
    pub weekend_damping_offset: i64,
    /// Minutes that the change takes.
    #[serde(default = "default_scale")]
    pub weekend_damping_scale: i64,
    /// Least seconds between sessions.
    #[serde(default = "default_gap")]
    pub session_gap: NotNegative,
    pub start_date: Option<Moment>,
    pub end_date: Option<Moment>,
    pub n_users: Option<u64>,
    #[serde(default = "default_first_user")]
    pub first_user_id: u64,
    /// New users in a year, as a share of those at the start.
    #[serde(default)]
    pub growth_rate: NotNegative,
    /// Users lost in a year, as a share.
    #[serde(default)]
    pub attrition_rate: NotNegative,
    pub tag: Option<String>,
    /// The `auth` whose users never come back.
    pub churned_state: Option<String>,
    /// The page that plays a song.
    #[serde(default = "default_song_state")]
    pub song_state: String,
    #[serde(default)]
    pub show_user_details: Vec<ShowUser>,
    #[serde(default)]
    pub levels: Vec<LevelWeight>,
    #[serde(default)]
    pub auths: Vec<AuthWeight>,
    #[serde(default)]
    pub genders: Vec<GenderWeight>,
    pub new_session: Vec<NewSession>,
    #[serde(default = "default_new_auth")]
    pub new_user_auth: String,
    #[serde(default = "default_new_level")]
    pub new_user_level: String,
    #[serde(default, rename = "upgrades")]
    _upgrades: Vec<IgnoredAny>,
    #[serde(default, rename = "downgrades")]
    _downgrades: Vec<IgnoredAny>,
    pub transitions: Vec<Transition>,
}

macro_rules! number {
    ($name:ident, $what:literal, $ok:expr) => {
        #[doc = concat!("A number that is ", $what, ".")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
        #[serde(try_from = "f64")]
        pub struct $name(pub f64);

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(value: f64) -> Result<Self, String> {
                let ok: fn(f64) -> bool = $ok;
                if ok(value) && value.is_finite() { Ok(Self(value)) } else { Err(format!(concat!("`{}` must be ", $what), value)) }
            }
        }
    };
}

number!(Positive, "greater than 0", |v| v > 0.0);
number!(NotNegative, "0 or more", |v| v >= 0.0);
number!(Share, "from 0 to 1", |v| (0.0..=1.0).contains(&v));

/// A date, or a date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(pub DateTime<Utc>);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let zoned = || DateTime::parse_from_rfc3339(&text).ok().map(|t| t.with_timezone(&Utc));
        let plain = || text.parse::<NaiveDateTime>().ok().map(|t| t.and_utc());
        let day = || text.parse::<NaiveDate>().ok().map(|d| d.and_time(chrono::NaiveTime::MIN).and_utc());
        zoned()
            .or_else(plain)
            .or_else(day)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no date such as `2025-02-27` or `2025-02-27T09:00:00`"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub page: String,
    pub auth: String,
    #[serde(default = "default_new_level")]
    pub level: String,
    #[serde(default = "default_status")]
    pub status: i64,
    #[serde(default = "default_method")]
    pub method: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    pub source: State,
    pub dest: State,
    pub p: Share,
}

/// One way in which a session may begin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    pub page: String,
    pub auth: String,
    #[serde(default = "default_new_level")]
    pub level: String,
    #[serde(default = "default_status")]
    pub status: i64,
    #[serde(default = "default_method")]
    pub method: String,
    pub weight: NotNegative,
}

impl NewSession {
    pub fn state(&self) -> State {
        let Self { page, auth, level, status, method, .. } = self.clone();
        State { page, auth, level, status, method }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowUser {
    pub auth: String,
    pub show: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelWeight {
    pub level: String,
    pub weight: NotNegative,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthWeight {
    pub auth: String,
    pub weight: NotNegative,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenderWeight {
    pub gender: String,
    pub weight: NotNegative,
}

fn default_alpha() -> Positive {
    Positive(90.0)
}
fn default_beta() -> Positive {
    Positive(604_800.0)
}
fn default_offset() -> i64 {
    180
}
fn default_scale() -> i64 {
    360
}
fn default_gap() -> NotNegative {
    NotNegative(1_800.0)
}
fn default_first_user() -> u64 {
    1
}
fn default_song_state() -> String {
    "NextSong".into()
}
fn default_new_auth() -> String {
    "Guest".into()
}
fn default_new_level() -> String {
    "free".into()
}
fn default_status() -> i64 {
    200
}
fn default_method() -> String {
    "GET".into()
}

impl Default for Config {
    fn default() -> Self {
        builtin::config()
    }
}

impl Config {
    /// From a file's text; the first fault, with its place.
    pub fn parse(file: &Arc<SourceFile>) -> Result<Self, Box<Diagnostic>> {
        let config: Self = serde_json::from_str(&file.text).map_err(|e| Box::new(syntax(file, &e)))?;
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Arc<SourceFile>) -> Result<(), Box<Diagnostic>> {
        let fault = |key: &str, index: Option<usize>, message: String, label: &str| {
            let place = Place::new(file, json_place::find(&file.text, key, index));
            Diagnostic::error("simulate/config", message).at(place, label)
        };
        let mut sums: indexmap::IndexMap<&State, f64> = indexmap::IndexMap::new();
        for (i, t) in self.transitions.iter().enumerate() {
            let sum = sums.entry(&t.source).or_default();
            *sum += t.p.0;
            if *sum > 1.0 + 1e-6 {
                let message =
                    format!("the transitions from page `{}` ({}, {}) add up to {sum:.4}", t.source.page, t.source.auth, t.source.level);
                return Err(Box::new(
                    fault("transitions", Some(i), message, "this one goes beyond 1")
                        .help("lower `p`; what is missing to 1 ends the session"),
                ));
            }
        }
        let auths = || self.new_session.iter().map(|n| n.auth.as_str());
        for (i, a) in self.auths.iter().enumerate().filter(|(_, a)| a.weight.0 > 0.0) {
            if !auths().any(|known| known == a.auth) {
                let mut d = fault("auths", Some(i), format!("no `new-session` entry has the auth `{}`", a.auth), "users start with this");
                d.help = nearest(&a.auth, auths()).map(|n| format!("did you mean `{n}`?"));
                return Err(Box::new(d));
            }
        }
        if self.new_session.iter().all(|n| n.weight.0 <= 0.0) {
            return Err(Box::new(fault("new-session", None, "no session can begin".into(), "give an entry with a `weight` above 0")));
        }
        if !(0..=1_440).contains(&self.weekend_damping_offset) {
            let message = format!("`weekend-damping-offset` is {}, but is counted in minutes before midnight", self.weekend_damping_offset);
            return Err(Box::new(fault("weekend-damping-offset", None, message, "from 0 to 1440")));
        }
        if !(0..=1_440).contains(&self.weekend_damping_scale) {
            let message = format!("`weekend-damping-scale` is {}, but is a number of minutes", self.weekend_damping_scale);
            return Err(Box::new(fault("weekend-damping-scale", None, message, "from 0 to 1440")));
        }
        if let (Some(start), Some(end)) = (self.start_date, self.end_date)
            && start.0 >= end.0
        {
            return Err(Box::new(fault("end-date", None, "`end-date` is not after `start-date`".into(), "must be later")));
        }
        Ok(())
    }
}

/// A message of the JSON reader, as a diagnostic at its place.
fn syntax(file: &Arc<SourceFile>, error: &serde_json::Error) -> Diagnostic {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    // the reader counts columns in bytes, up to and with the last that it took
    let behind = file.text.floor_char_boundary(file.offset(error.line().max(1), 1) + error.column());
    let mut range = file.text.floor_char_boundary(behind.saturating_sub(1))..behind;
    if error.is_data() {
        let before = file.text[..behind].trim_end_matches([',', '}', ']', ' ', '\n', '\r', '\t']);
        let start = match before.strip_suffix('"') {
            Some(inside) => inside.rfind('"'),
            None => before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).map(|i| i + 1),
        };
        range = start.unwrap_or(0)..before.len();
    }
    let mut help = None;
    if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next()) {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        help = nearest(unknown, known).map(|n| format!("did you mean `{n}`?"));
        let quoted = format!("\"{unknown}\"");
        if let Some(start) = file.text[..behind].rfind(&quoted) {
            range = start..start + quoted.len();
        }
    }
    let message = message.split(", expected one of").next().unwrap_or(&message).replace("unknown field", "unknown key");
    let mut diagnostic = Diagnostic::error("simulate/config", message).at(Place::new(file, range), "here");
    diagnostic.help = help;
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{
 "alpha": 60,
 "start-date": "2025-01-01",
 "auths": [{"auth": "Logged In", "weight": 1}],
 "new-session": [{"page": "Home", "auth": "Logged In", "status": 200, "weight": 1}],
 "upgrades": [],
 "transitions": [
  {"source": {"page": "Home", "auth": "Logged In"}, "dest": {"page": "NextSong", "auth": "Logged In", "method": "PUT"}, "p": 0.9},
  {"source": {"page": "NextSong", "auth": "Logged In", "method": "PUT"}, "dest": {"page": "NextSong", "auth": "Logged In", "method": "PUT"}, "p": 0.8}
 ]
}"#;

    #[test]
    fn reads_the_public_keys() {
        let config = Config::parse(&SourceFile::new("c.json", MINIMAL)).expect("it is valid");
        assert_eq!((config.alpha.0, config.beta.0, config.transitions.len()), (60.0, 604_800.0, 2));
        assert_eq!(config.start_date.map(|m| m.0.to_rfc3339()).as_deref(), Some("2025-01-01T00:00:00+00:00"));
    }

    #[test]
    fn faults_have_a_place() {
        for (from, to, message, line, column) in [
            ("\"alpha\": 60", "\"alhpa\": 60", "unknown key `alhpa`", 2, 2),
            ("\"alpha\": 60", "\"alpha\": -1", "`-1` must be greater than 0", 2, 11),
            ("\"alpha\": 60,", "\"alpha\": 60", "expected `,` or `}`", 3, 2),
            ("2025-01-01", "yesterday", "`yesterday` is no date such as `2025-02-27` or `2025-02-27T09:00:00`", 3, 16),
            ("\"p\": 0.8", "\"p\": 1.8", "`1.8` must be from 0 to 1", 9, 147),
            ("\"Logged In\", \"weight\"", "\"Loged In\", \"weight\"", "no `new-session` entry has the auth `Loged In`", 4, 12),
            (
                "\"source\": {\"page\": \"NextSong\", \"auth\": \"Logged In\", \"method\": \"PUT\"}",
                "\"source\": {\"page\": \"Home\", \"auth\": \"Logged In\"}",
                "the transitions from page `Home` (Logged In, free) add up to 1.7000",
                9,
                3,
            ),
        ] {
            let text = MINIMAL.replacen(from, to, 1);
            let error = Config::parse(&SourceFile::new("c.json", text)).expect_err(message);
            assert_eq!(error.message, message);
            let place = error.place.as_ref().map(Place::line_column);
            assert_eq!(place.map(|p| p.0), Some(line), "{message}");
            assert_eq!(place.map(|p| p.1), Some(column), "{message}");
        }
    }
}
