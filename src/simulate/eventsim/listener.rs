//! One user's life: sessions that arrive, songs that play, and the moment when they are gone.

use super::{
    damping::Damping,
    machine::Machine,
    people::Person,
    taste::{Crowd, Likes, Mood, Shelf},
};
use crate::simulate::{catalog::Catalog, chance::Chance};

/// One event, small enough to sort by the million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Event {
    /// Milliseconds, UTC.
    pub ts: i64,
    pub user: u32,
    pub item: u32,
    /// Song number, [`NO_SONG`] when none plays.
    pub song: u32,
    pub state: u16,
}

pub(super) const NO_SONG: u32 = u32::MAX;
const NEVER: i64 = i64::MAX;
const YEAR: f64 = 365.0 * 86_400.0;

/// What all listeners share.
#[derive(Debug)]
pub(super) struct World {
    pub machine: Machine,
    pub damping: Damping,
    pub catalog: Catalog,
    pub crowd: Crowd,
    pub genders: Vec<(String, f64)>,
    pub seed: u64,
    pub alpha: f64,
    pub beta: f64,
    pub gap: f64,
    /// Share of users lost in a year.
    pub attrition: f64,
    pub start: i64,
    pub end: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Listener {
    chance: Chance,
    /// When `state` happens; [`NEVER`] when they are gone.
    next: i64,
    state: u16,
    item: u32,
    alpha: f32,
    beta: f32,
    likes: Likes,
    mood: Mood,
    pub person: Person,
    /// Milliseconds; of a guest 0.
    pub registration: i64,
    leaves: i64,
}

impl Listener {
    /// `arrival`: when a new user comes for the first time, `None` for those who were there before.
    pub(super) fn new(world: &World, number: u64, arrival: Option<i64>) -> Self {
        let mut chance = Chance::of(world.seed, &[20, number]);
        let person = Person::draw(&mut chance, &world.genders);
        let likes = world.crowd.likes(&mut chance);
        let mood = likes.mood(&mut chance);
        let alpha = chance.log_normal(world.alpha, 0.3) as f32;
        let beta = chance.log_normal(world.beta, 0.5) as f32;
        let first = arrival.unwrap_or(world.start);
        let leaves = match world.attrition {
            rate if rate > 0.0 => first.saturating_add((chance.exponential(YEAR / rate) * 1_000.0) as i64),
            _ => NEVER,
        };
        let state = if arrival.is_some() { world.machine.arrival(&mut chance) } else { world.machine.start(&mut chance) };
        let guest = state.is_none_or(|s| world.machine.nodes[usize::from(s)].guest);
        let before = (chance.exponential(150.0 * 86_400_000.0) as i64).min(6 * 365 * 86_400_000);
        let registration = if guest { 0 } else { first - 3_600_000 - before };
        let mut listener = Self { chance, next: NEVER, state: 0, item: 0, alpha, beta, likes, mood, person, registration, leaves };
        if let Some(state) = state {
            listener.state = state;
            listener.next = if arrival.is_some() { first } else { listener.arrive(world, first) };
        }
        listener
    }

    /// The next moment of the thinned Poisson process after `from`.
    fn arrive(&mut self, world: &World, from: i64) -> i64 {
        let mut at = from;
        while at < world.end {
            at = at.saturating_add((self.chance.exponential(f64::from(self.beta)) * 1_000.0) as i64 + 1);
            if self.chance.happens(world.damping.share(at + self.person.offset())) {
                return at;
            }
        }
        NEVER
    }

    /// Events before `until`, in order, onto `out`.
    pub(super) fn advance(&mut self, world: &World, shelf: &Shelf, user: u32, until: i64, out: &mut Vec<Event>) {
        while self.next < until {
            let node = &world.machine.nodes[usize::from(self.state)];
            let ts = self.next;
            let song = match node.plays {
                true => shelf.song(self.mood, &mut self.chance).unwrap_or(NO_SONG),
                false => NO_SONG,
            };
            out.push(Event { ts, user, item: self.item, song, state: self.state });
            self.item += 1;
            if node.churned || ts >= self.leaves {
                self.next = NEVER;
                return;
            }
            match world.machine.next(self.state, &mut self.chance) {
                Some(next) => {
                    let wait = match world.catalog.songs.get(song as usize) {
                        // most hear a song out
                        Some(song) if !self.chance.happens(0.12) => song.length,
                        Some(song) => song.length * self.chance.unit(),
                        None if node.redirects => 1.0,
                        None => self.chance.log_normal(f64::from(self.alpha), 0.9),
                    };
                    self.next = ts.saturating_add(((wait * 1_000.0) as i64).max(1));
                    if node.guest && !world.machine.nodes[usize::from(next)].guest && self.registration == 0 {
                        self.registration = self.next;
                    }
                    self.state = next;
                }
                None => {
                    let from = ts.saturating_add((world.gap * 1_000.0) as i64);
                    match world.machine.session(self.state, &mut self.chance) {
                        Some(state) => {
                            self.next = self.arrive(world, from);
                            if self.next >= self.leaves {
                                self.next = NEVER;
                            }
                            self.state = state;
                            self.item = 0;
                            self.mood = self.likes.mood(&mut self.chance);
                        }
                        None => self.next = NEVER,
                    }
                }
            }
        }
    }
}
