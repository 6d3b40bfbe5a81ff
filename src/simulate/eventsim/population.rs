//! All listeners together: windows of events in order of time, with bounded memory.
//!
//! Each window is simulated by users in parallel and then sorted. How long a window is follows the rate of events and has
//! no effect on what is in it.

use std::{collections::HashMap, sync::atomic::Ordering};

use chrono::{DateTime, NaiveDate, Utc};
use rayon::prelude::*;

use super::{
    Options, SimulateError,
    config::Config,
    damping::Damping,
    listener::{Event, Listener, World},
    machine::Machine,
    taste::{Crowd, Shelf},
};
use crate::simulate::{catalog::Catalog, chance::Chance};

const DAY: i64 = 86_400_000;
/// Events of a window, roughly; 32 bytes each.
const WINDOW: usize = 400_000;
/// Users of a parallel piece.
const PARTITION: usize = 1_024;
/// Up to this many events the number of users is counted out, beyond it is estimated.
const COUNTED: u64 = 2_000_000;
const SAMPLE: u64 = 6_000;

/// A simulation in progress.
#[derive(Debug)]
pub struct Simulation {
    pub(super) world: World,
    pub(super) listeners: Vec<Listener>,
    /// By user: the number of the session that is going on.
    pub(super) open_sessions: Vec<u64>,
    pub(super) first_user: u64,
    sessions: u64,
    /// When each newcomer comes, in order; those before are in `listeners`.
    arrivals: std::vec::IntoIter<i64>,
    next_arrival: Option<i64>,
    initial_users: u64,
    shelf: (i64, Shelf),
    now: i64,
    length: i64,
    cancel: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// One event and the number of its session.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    pub(super) event: Event,
    pub(super) session: u64,
}

impl Numbered {
    /// Milliseconds, UTC.
    pub fn ts(&self) -> i64 {
        self.event.ts
    }
}

fn day_of(ts: i64) -> NaiveDate {
    DateTime::from_timestamp_millis(ts).unwrap_or_default().date_naive()
}

impl Simulation {
    pub fn new(options: &Options) -> Result<Self, SimulateError> {
        let (start, end) = options.range()?;
        let config: &Config = &options.config;
        let anchor = options.anchor.unwrap_or_else(|| day_of(end.timestamp_millis() - 1));
        let catalog = Catalog::new(options.catalog_seed, anchor);
        let machine = Machine::new(config).ok_or_else(|| SimulateError::Options("the configuration has more than 65535 states".into()))?;
        let genders: Vec<(String, f64)> =
            config.genders.iter().filter(|g| g.weight.0 > 0.0).map(|g| (g.gender.clone(), g.weight.0)).collect();
        let rate = |name: &str, value: f64| match value {
            v if v.is_finite() && (0.0..=1_000.0).contains(&v) => Ok(v),
            v => Err(SimulateError::Options(format!("the {name} rate is `{v}`, but must be from 0 to 1000"))),
        };
        let growth = rate("growth", options.growth.unwrap_or(config.growth_rate.0))?;
        let seed = options.seed.or(config.seed).unwrap_or(crate::simulate::DEFAULT_SEED);
        let world = World {
            crowd: Crowd::new(&catalog),
            damping: Damping::new(config),
            genders: if genders.is_empty() { vec![("F".into(), 1.0), ("M".into(), 1.0)] } else { genders },
            seed,
            alpha: config.alpha.0,
            beta: config.beta.0,
            gap: config.session_gap.0,
            attrition: rate("attrition", options.attrition.unwrap_or(config.attrition_rate.0))?,
            start: start.timestamp_millis(),
            end: end.timestamp_millis(),
            machine,
            catalog,
        };
        let users = match (options.users, options.events) {
            (Some(users), _) => users,
            (None, Some(events)) => users_for(&world, events)?,
            (None, None) => config.n_users.unwrap_or(1_000),
        };
        if users == 0 || users > 50_000_000 {
            return Err(SimulateError::Options(format!("`{users}` users cannot be simulated: give 1 to 50 million")));
        }
        let listeners: Vec<Listener> = (0..users).into_par_iter().map(|n| Listener::new(&world, n, None)).collect();
        let mut arrivals = newcomers(seed, users, growth, world.start, world.end).into_iter();
        Ok(Self {
            open_sessions: vec![0; listeners.len()],
            first_user: options.first_user.unwrap_or(config.first_user_id),
            sessions: 0,
            next_arrival: arrivals.next(),
            arrivals,
            initial_users: users,
            shelf: (world.start.div_euclid(DAY), Shelf::new(&world.catalog, day_of(world.start))),
            now: world.start,
            length: (3_600_000 * 20_000 / (users as i64 + 1)).clamp(1_000, 3_600_000),
            listeners,
            world,
            cancel: options.cancel.clone(),
        })
    }

    pub fn start(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.world.start).unwrap_or_default()
    }

    /// The day from which the catalog counts its releases back.
    pub fn anchor(&self) -> NaiveDate {
        self.world.catalog.anchor
    }

    /// Users at the start.
    pub fn initial_users(&self) -> u64 {
        self.initial_users
    }

    pub fn users(&self) -> usize {
        self.listeners.len()
    }

    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Everything before this moment (milliseconds) has been given.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The next events in order, perhaps none; `None` after the end. A window never holds two days.
    pub fn window(&mut self) -> Result<Option<Vec<Numbered>>, SimulateError> {
        if self.now >= self.world.end {
            return Ok(None);
        }
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SimulateError::Cancelled);
        }
        let day = self.now.div_euclid(DAY);
        let until = (self.now + self.length).min((day + 1) * DAY).min(self.world.end);
        if self.shelf.0 != day {
            self.shelf = (day, Shelf::new(&self.world.catalog, day_of(self.now)));
        }
        while let Some(at) = self.next_arrival.filter(|at| *at < until) {
            let number = self.listeners.len() as u64;
            self.listeners.push(Listener::new(&self.world, number, Some(at)));
            self.open_sessions.push(0);
            self.next_arrival = self.arrivals.next();
        }
        let (world, shelf) = (&self.world, &self.shelf.1);
        let parts: Vec<Vec<Event>> = self
            .listeners
            .par_chunks_mut(PARTITION)
            .enumerate()
            .map(|(part, listeners)| {
                let mut out = vec![];
                for (i, listener) in listeners.iter_mut().enumerate() {
                    listener.advance(world, shelf, (part * PARTITION + i) as u32, until, &mut out);
                }
                out
            })
            .collect();
        let mut events: Vec<Event> = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        parts.into_iter().for_each(|part| events.extend(part));
        // stable: a user's own events are in order already
        events.par_sort_by_key(|e| (e.ts, e.user));
        let numbered = events
            .into_iter()
            .map(|event| {
                let open = &mut self.open_sessions[event.user as usize];
                if event.item == 0 {
                    self.sessions += 1;
                    *open = self.sessions;
                }
                Numbered { event, session: *open }
            })
            .collect::<Vec<_>>();
        let factor = (WINDOW as f64 / (numbered.len() as f64 + 1.0)).clamp(0.1, 4.0);
        self.length = ((self.length as f64 * factor) as i64).clamp(100, DAY);
        self.now = until;
        Ok(Some(numbered))
    }
}

/// Poisson arrivals at `growth * users` a year.
fn newcomers(seed: u64, users: u64, growth: f64, start: i64, end: i64) -> Vec<i64> {
    let per_year = growth * users as f64;
    if per_year <= 0.0 {
        return vec![];
    }
    let mut chance = Chance::of(seed, &[21]);
    let mean = 365.0 * DAY as f64 / per_year;
    let mut at = start as f64;
    std::iter::from_fn(|| {
        at += chance.exponential(mean);
        Some(at as i64)
    })
    .take_while(|at| *at < end)
    .collect()
}

/// The least number of users who make `events` between them. Simulates them once, without keeping anything.
fn users_for(world: &World, events: u64) -> Result<u64, SimulateError> {
    if events == 0 {
        return Err(SimulateError::Options("`events` is 0".into()));
    }
    let shelves: HashMap<i64, Shelf> =
        (world.start.div_euclid(DAY)..=(world.end - 1).div_euclid(DAY)).map(|d| (d, Shelf::new(&world.catalog, day_of(d * DAY)))).collect();
    let count = |n: u64| -> u64 {
        let mut listener = Listener::new(world, n, None);
        let mut out = vec![];
        let mut made = 0;
        let mut day = world.start.div_euclid(DAY);
        while let Some(shelf) = shelves.get(&day) {
            listener.advance(world, shelf, 0, ((day + 1) * DAY).min(world.end), &mut out);
            made += out.len() as u64;
            out.clear();
            day += 1;
        }
        made
    };
    let (mut users, mut made) = (0, 0);
    let mut idle = 0;
    loop {
        let counts: Vec<u64> = (users..users + 500).into_par_iter().map(count).collect();
        let before = made;
        for c in counts {
            users += 1;
            made += c;
            if made >= events {
                return Ok(users);
            }
        }
        idle = if made == before { idle + 1 } else { 0 };
        if idle >= 20 {
            return Err(SimulateError::Options(format!(
                "`{users}` users make {made} events in this range, too few for `{events}`: give a longer range"
            )));
        }
        if events > COUNTED && users >= SAMPLE {
            // a sample knows the mean to about one part in a hundred; three are added to be safe
            return Ok((events as f64 * users as f64 / made.max(1) as f64 * 1.03).ceil() as u64);
        }
    }
}
