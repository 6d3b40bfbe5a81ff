//! The configuration of a simulation that names none: a streaming service with free and paid listeners.
//!
//! Written as a table of moves instead of a file with a hundred repeated states: listeners of both levels move alike, but
//! free ones see adverts and may upgrade, paid ones may downgrade.

use super::config::Config;
use crate::diagnostic::SourceFile;

/// `(page, moves)`: where listeners who are logged in go next; what is missing to 1 ends the session.
type Moves = (&'static str, &'static [(&'static str, f64)]);

const LISTENER: &[Moves] = &[
    (
        "Home",
        &[
            ("NextSong", 0.83),
            ("Settings", 0.02),
            ("About", 0.01),
            ("Help", 0.02),
            ("Add Friend", 0.02),
            ("Logout", 0.03),
            ("Error", 0.001),
        ],
    ),
    (
        "NextSong",
        &[
            ("NextSong", 0.855),
            ("Thumbs Up", 0.035),
            ("Thumbs Down", 0.008),
            ("Add to Playlist", 0.02),
            ("Home", 0.02),
            ("Settings", 0.003),
            ("Logout", 0.008),
            ("Error", 0.001),
        ],
    ),
    ("Thumbs Up", &[("NextSong", 0.93), ("Add to Playlist", 0.03), ("Home", 0.02)]),
    ("Thumbs Down", &[("NextSong", 0.88), ("Home", 0.04), ("Logout", 0.03)]),
    ("Add to Playlist", &[("NextSong", 0.92), ("Home", 0.04)]),
    ("Add Friend", &[("NextSong", 0.5), ("Home", 0.35), ("Add Friend", 0.1)]),
    ("Settings", &[("Save Settings", 0.3), ("NextSong", 0.3), ("Home", 0.25), ("Cancel", 0.01)]),
    ("Save Settings", &[("Settings", 0.1), ("Home", 0.9)]),
    ("About", &[("Home", 0.4), ("NextSong", 0.4)]),
    ("Help", &[("Home", 0.4), ("NextSong", 0.35), ("About", 0.05), ("Error", 0.002)]),
    ("Error", &[("Home", 0.6), ("NextSong", 0.2), ("Help", 0.1)]),
];
const GUEST: &[Moves] = &[
    ("Home", &[("Register", 0.35), ("About", 0.1), ("Help", 0.08), ("Home", 0.1), ("Error", 0.002)]),
    ("About", &[("Home", 0.4), ("Register", 0.2), ("Help", 0.05)]),
    ("Help", &[("Home", 0.3), ("Register", 0.15), ("About", 0.05)]),
    ("Error", &[("Home", 0.6), ("Help", 0.1)]),
    ("Register", &[("Home", 0.1), ("Help", 0.03), ("Register", 0.05), ("Error", 0.002)]),
];
const LOGGED_OUT: &[Moves] = &[
    ("Home", &[("Login", 0.8), ("About", 0.03), ("Help", 0.04), ("Error", 0.002)]),
    ("About", &[("Home", 0.5), ("Login", 0.2)]),
    ("Help", &[("Home", 0.4), ("Login", 0.3)]),
    ("Error", &[("Home", 0.7), ("Login", 0.1)]),
];

fn state(page: &str, auth: &str, level: &str) -> serde_json::Value {
    let (method, status) = match page {
        "NextSong" => ("PUT", 200),
        "Login"
        | "Logout"
        | "Save Settings"
        | "Submit Registration"
        | "Submit Upgrade"
        | "Submit Downgrade"
        | "Cancel"
        | "Thumbs Up"
        | "Thumbs Down"
        | "Add to Playlist"
        | "Add Friend" => ("PUT", 307),
        "Error" => ("GET", 404),
        _ => ("GET", 200),
    };
    serde_json::json!({"page": page, "auth": auth, "level": level, "method": method, "status": status})
}

/// The built-in configuration as an Eventsim file, to start one's own from.
pub fn text() -> String {
    let mut transitions = vec![];
    let mut add =
        |from: serde_json::Value, to: serde_json::Value, p: f64| transitions.push(serde_json::json!({"source": from, "dest": to, "p": p}));
    let (inside, outside) = ("Logged In", "Logged Out");
    for level in ["free", "paid"] {
        for (auth, table) in [(inside, LISTENER), (outside, LOGGED_OUT), ("Guest", if level == "free" { GUEST } else { &[] })] {
            for (page, moves) in table {
                for (to, p) in *moves {
                    // logging in already knows the account; logging out and cancelling still do
                    let to_auth = if *to == "Login" { inside } else { auth };
                    add(state(page, auth, level), state(to, to_auth, level), *p);
                }
            }
        }
        add(state("Login", inside, level), state("Home", inside, level), 1.0);
        add(state("Logout", inside, level), state("Home", outside, level), 0.9);
        add(state("Cancel", inside, level), state("Cancellation Confirmation", "Cancelled", level), 1.0);
        let (submit, other, ask) =
            if level == "free" { ("Submit Upgrade", "paid", "Upgrade") } else { ("Submit Downgrade", "free", "Downgrade") };
        add(state("Settings", inside, level), state(ask, inside, level), 0.06);
        add(state(ask, inside, level), state(submit, inside, level), if level == "free" { 0.25 } else { 0.1 });
        add(state(ask, inside, level), state("NextSong", inside, level), 0.5);
        add(state(ask, inside, level), state("Home", inside, level), 0.2);
        add(state(submit, inside, level), state("Home", inside, other), 1.0);
    }
    add(state("NextSong", inside, "free"), state("Roll Advert", inside, "free"), 0.02);
    add(state("Roll Advert", inside, "free"), state("NextSong", inside, "free"), 0.88);
    add(state("Roll Advert", inside, "free"), state("Upgrade", inside, "free"), 0.03);
    add(state("Register", "Guest", "free"), state("Submit Registration", inside, "free"), 0.75);
    add(state("Submit Registration", inside, "free"), state("Home", inside, "free"), 1.0);

    let session = |page: &str, auth: &str, level: &str, weight: u32| {
        let mut entry = state(page, auth, level);
        entry["weight"] = weight.into();
        entry
    };
    let mut sessions =
        vec![session("Home", "Guest", "free", 100), session("About", "Guest", "free", 15), session("Register", "Guest", "free", 25)];
    for level in ["free", "paid"] {
        sessions.extend([
            session("Home", inside, level, 1_000),
            session("NextSong", inside, level, 1_500),
            session("Help", inside, level, 8),
        ]);
        sessions.extend([session("Home", outside, level, 1_000), session("Help", outside, level, 10)]);
    }
    let config = serde_json::json!({
        "alpha": 60.0,
        "beta": 172_800.0,
        "damping": 0.75,
        "weekend-damping": 0.3,
        "weekend-damping-offset": 180,
        "weekend-damping-scale": 360,
        "session-gap": 1_800,
        "growth-rate": 0.3,
        "attrition-rate": 0.1,
        "churned-state": "Cancelled",
        "song-state": "NextSong",
        "show-user-details": [
            {"auth": "Guest", "show": false},
            {"auth": "Logged In", "show": true},
            {"auth": "Logged Out", "show": false},
            {"auth": "Cancelled", "show": true},
        ],
        "levels": [{"level": "free", "weight": 7}, {"level": "paid", "weight": 3}],
        "auths": [{"auth": "Guest", "weight": 0}, {"auth": inside, "weight": 10}, {"auth": outside, "weight": 1}],
        "genders": [{"gender": "F", "weight": 52}, {"gender": "M", "weight": 48}],
        "new-session": sessions,
        "new-user-auth": "Guest",
        "new-user-level": "free",
        "transitions": transitions,
    });
    serde_json::to_string_pretty(&config).unwrap_or_default()
}

pub(super) fn config() -> Config {
    let file = SourceFile::new(super::BUILTIN, text());
    Config::parse(&file).unwrap_or_else(|d| unreachable!("the built-in configuration is valid: {}", d.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_configuration_passes_the_checks_of_a_users_file() {
        let parsed = Config::parse(&SourceFile::new("builtin.json", text()));
        assert!(parsed.is_ok(), "{:?}", parsed.err());
    }
}
