//! Events to JSON lines, by hand: fixed parts are made once, an event copies them.

use super::{
    listener::NO_SONG,
    people::{LOCATIONS, USER_AGENTS},
    population::{Numbered, Simulation},
};

/// Prepared text of everything that repeats.
pub(super) struct Lines<'a> {
    simulation: &'a Simulation,
    /// `,"page":...` up to `,"level":...`
    states: Vec<String>,
    songs: Vec<String>,
    locations: Vec<String>,
    agents: Vec<String>,
    genders: Vec<String>,
    tag: String,
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'a> Lines<'a> {
    pub(super) fn new(simulation: &'a Simulation, tag: Option<&str>) -> Self {
        let world = &simulation.world;
        let state = |n: &super::machine::Node| {
            let s = &n.state;
            let (page, auth, method, level) = (quoted(&s.page), quoted(&s.auth), quoted(&s.method), quoted(&s.level));
            format!(r#","page":{page},"auth":{auth},"method":{method},"status":{},"level":{level},"itemInSession":"#, s.status)
        };
        let song = |s: &crate::simulate::catalog::Song| {
            let artist = &world.catalog.main_artist(s).name;
            format!(r#","artist":{},"song":{},"length":{}"#, quoted(artist), quoted(&s.title), serde_json::Value::from(s.length))
        };
        Self {
            simulation,
            states: world.machine.nodes.iter().map(state).collect(),
            songs: world.catalog.songs.iter().map(song).collect(),
            locations: LOCATIONS.iter().map(|l| format!(r#","location":{}"#, quoted(l.0))).collect(),
            agents: USER_AGENTS.iter().map(|a| format!(r#","userAgent":{}"#, quoted(a))).collect(),
            genders: world.genders.iter().map(|g| format!(r#","gender":{}"#, quoted(&g.0))).collect(),
            tag: tag.map_or(String::new(), |t| format!(r#","tag":{}"#, quoted(t))),
        }
    }

    pub(super) fn text(&self, events: &[Numbered]) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::with_capacity(events.len() * 420);
        let mut digits = itoa::Buffer::new();
        let world = &self.simulation.world;
        for Numbered { event, session } in events {
            let node = &world.machine.nodes[usize::from(event.state)];
            let listener = &self.simulation.listeners[event.user as usize];
            let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
            put(r#"{"ts":"#);
            put(digits.format(event.ts));
            put(r#","userId":""#);
            if node.shown {
                put(digits.format(self.simulation.first_user + u64::from(event.user)));
            }
            put(r#"","sessionId":"#);
            put(digits.format(*session));
            put(&self.states[usize::from(event.state)]);
            put(digits.format(event.item));
            if node.shown {
                let person = listener.person;
                put(&self.locations[usize::from(person.location)]);
                put(&self.agents[usize::from(person.agent)]);
                put(r#","lastName":""#);
                put(person.last_name());
                put(r#"","firstName":""#);
                put(person.first_name(&world.genders[usize::from(person.gender)].0));
                put(r#"","registration":"#);
                put(digits.format(listener.registration));
                put(&self.genders[usize::from(person.gender)]);
            }
            put(&self.tag);
            if event.song != NO_SONG {
                put(&self.songs[event.song as usize]);
            }
            put("}\n");
        }
        out
    }
}
