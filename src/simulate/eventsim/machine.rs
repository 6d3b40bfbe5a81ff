//! A [`Config`]'s states and transitions to numbered states with cumulative probabilities.

use std::collections::HashMap;

use super::config::{Config, State};
use crate::simulate::chance::Chance;

/// What the simulation asks of a state at every step.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub state: State,
    /// `(sum of the probabilities up to here, next)`; beyond the last the session ends.
    moves: Vec<(f64, u16)>,
    /// Where sessions begin for who was left in this state's auth and level.
    entries: Vec<(f64, u16)>,
    pub plays: bool,
    /// The browser follows at once.
    pub redirects: bool,
    pub shown: bool,
    pub churned: bool,
    /// Number of the `auth`, to see when somebody registers.
    pub guest: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub nodes: Vec<Node>,
    /// Weighted first states of those who are there at the start: sessions by auth and level.
    starts: Vec<(f64, Vec<(f64, u16)>)>,
    arrivals: Vec<(f64, u16)>,
}

impl Machine {
    /// `None` when there are more states than can be numbered.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let mut numbers: HashMap<State, u16> = HashMap::new();
        let mut states: Vec<State> = vec![];
        let mut number = |state: &State| -> Option<u16> {
            if let Some(n) = numbers.get(state) {
                return Some(*n);
            }
            let n = u16::try_from(states.len()).ok()?;
            numbers.insert(state.clone(), n);
            states.push(state.clone());
            Some(n)
        };
        let mut moves: Vec<(u16, u16, f64)> = vec![];
        for t in &config.transitions {
            moves.push((number(&t.source)?, number(&t.dest)?, t.p.0));
        }
        let mut sessions: Vec<(u16, f64)> = vec![];
        for s in &config.new_session {
            sessions.push((number(&s.state())?, s.weight.0));
        }
        let entries = |auth: &str, level: &str| -> Vec<(f64, u16)> {
            let fits = |n: &u16| states[usize::from(*n)].auth == auth && states[usize::from(*n)].level == level;
            cumulative(sessions.iter().filter(|(n, w)| fits(n) && *w > 0.0).map(|(n, w)| (*w, *n)))
        };
        // without the lists, who can begin a session begins by its weight
        let weights = |listed: Vec<(String, f64)>, of: fn(&State) -> &String| -> Vec<(String, f64)> {
            if listed.iter().any(|(_, w)| *w > 0.0) {
                return listed;
            }
            let mut seen: indexmap::IndexMap<String, f64> = indexmap::IndexMap::new();
            sessions.iter().for_each(|(n, w)| *seen.entry(of(&states[usize::from(*n)]).clone()).or_default() += w);
            seen.into_iter().collect()
        };
        let levels = weights(config.levels.iter().map(|l| (l.level.clone(), l.weight.0)).collect(), |s| &s.level);
        let auths = weights(config.auths.iter().map(|a| (a.auth.clone(), a.weight.0)).collect(), |s| &s.auth);
        let mut starts = vec![];
        for (level, level_weight) in &levels {
            for (auth, auth_weight) in &auths {
                let list = entries(auth, level);
                if level_weight * auth_weight > 0.0 && !list.is_empty() {
                    starts.push((level_weight * auth_weight, list));
                }
            }
        }
        let arrivals = entries(&config.new_user_auth, &config.new_user_level);
        let shown = |auth: &str| config.show_user_details.iter().find(|s| s.auth == auth).is_none_or(|s| s.show);
        let nodes = (0u16..)
            .zip(&states)
            .map(|(n, state)| Node {
                moves: running(moves.iter().filter(|m| m.0 == n).map(|m| (m.2, m.1))),
                entries: entries(&state.auth, &state.level),
                plays: state.page == config.song_state,
                redirects: (300..400).contains(&state.status),
                shown: shown(&state.auth),
                churned: config.churned_state.as_deref() == Some(state.auth.as_str()),
                guest: state.auth == config.new_user_auth,
                state: state.clone(),
            })
            .collect();
        Some(Self { nodes, starts, arrivals })
    }

    pub(super) fn next(&self, state: u16, chance: &mut Chance) -> Option<u16> {
        let roll = chance.unit();
        self.nodes[usize::from(state)].moves.iter().find(|(sum, _)| roll < *sum).map(|m| m.1)
    }

    /// Where the next session begins for who was last seen in `state`; `None` when there is no way back.
    pub(super) fn session(&self, state: u16, chance: &mut Chance) -> Option<u16> {
        draw(&self.nodes[usize::from(state)].entries, chance)
    }

    /// The first state of a user who was there before the start.
    pub(super) fn start(&self, chance: &mut Chance) -> Option<u16> {
        let i = chance.weighted(self.starts.iter().map(|s| s.0));
        draw(&self.starts.get(i)?.1, chance)
    }

    /// The first state of a new user; of any user, when newcomers have no entry.
    pub(super) fn arrival(&self, chance: &mut Chance) -> Option<u16> {
        draw(&self.arrivals, chance).or_else(|| self.start(chance))
    }
}

fn running(weights: impl Iterator<Item = (f64, u16)>) -> Vec<(f64, u16)> {
    let mut sum = 0.0;
    weights
        .map(|(w, n)| {
            sum += w;
            (sum, n)
        })
        .collect()
}

/// Like [`running`], scaled to end at 1.
fn cumulative(weights: impl Iterator<Item = (f64, u16)>) -> Vec<(f64, u16)> {
    let mut list = running(weights);
    let total = list.last().map_or(1.0, |l| l.0);
    list.iter_mut().for_each(|l| l.0 /= total);
    list
}

fn draw(list: &[(f64, u16)], chance: &mut Chance) -> Option<u16> {
    let roll = chance.unit();
    list.iter().find(|(sum, _)| roll < *sum).or(list.last()).map(|l| l.1)
}
