//! Songs' heat to ranks: every day's order on one service, with last ranks and best ranks.
//!
//! The movement is autoregressive, written as the moving average that it equals: each day's push fades by a fixed factor
//! and is drawn by (song, day), so that a day's order needs no history and is the same whatever range is asked for. Only
//! peaks look back, over a fixed number of days.

use std::collections::HashMap;

use chrono::{Datelike, Days, NaiveDate};

use super::service::Service;
use crate::simulate::{catalog::Catalog, chance::Chance};

/// Days before the first whose ranks count towards peaks.
const LOOK_BACK: u64 = 32;
const SHORTEST: u64 = 28;
const FADE: f64 = 0.8;
const MEMORY: usize = 12;

pub(super) struct History {
    first: NaiveDate,
    /// By day: songs in order, best first, as far down as anyone looks.
    orders: Vec<Vec<usize>>,
    /// By day: rank (from 1) of the songs in the order.
    ranks: Vec<HashMap<usize, usize>>,
    /// By day: plays of every song, in the unit of [`crate::simulate::catalog::Song::appeal`]'s exponential.
    plays: Vec<Vec<f64>>,
}

/// How far down ranks are known: a song that was on 130 yesterday is no new entry.
const DEPTH: usize = 260;

impl History {
    /// `None` when the range leaves the calendar.
    pub(super) fn new(catalog: &Catalog, seed: u64, service: Service, days: u32) -> Option<Self> {
        let length = SHORTEST.max(u64::from(days)) + LOOK_BACK;
        let first = catalog.anchor.checked_sub_days(Days::new(length))?;
        let tastes: Vec<f64> = (0..catalog.songs.len()).map(|s| service.taste(catalog, s, seed)).collect();
        let mut history = Self { first, orders: vec![], ranks: vec![], plays: vec![] };
        let common = wander(seed, 0, tastes.len(), first, length as usize + 1);
        let own = wander(seed, 1 + service as u64, tastes.len(), first, length as usize + 1);
        for (t, day) in first.iter_days().take(length as usize + 1).enumerate() {
            let heat = |song: usize| {
                let base = catalog.songs[song].heat(day)?;
                Some(base + tastes[song] + common[song][t] * 0.05 + own[song][t] * 0.03)
            };
            let plays: Vec<f64> = (0..catalog.songs.len()).map(|s| heat(s).map_or(0.0, libm::exp)).collect();
            let mut order: Vec<usize> = (0..plays.len()).filter(|s| plays[*s] > 0.0).collect();
            order.sort_by(|a, b| plays[*b].total_cmp(&plays[*a]).then(a.cmp(b)));
            order.truncate(DEPTH);
            history.ranks.push(order.iter().enumerate().map(|(i, song)| (*song, i + 1)).collect());
            history.orders.push(order);
            history.plays.push(plays);
        }
        Some(history)
    }

    fn index(&self, day: NaiveDate) -> usize {
        ((day - self.first).num_days().max(0) as usize).min(self.orders.len() - 1)
    }

    /// Songs of a day, best first.
    pub(super) fn top(&self, day: NaiveDate, count: usize) -> &[usize] {
        let order = &self.orders[self.index(day)];
        &order[..count.min(order.len())]
    }

    /// The rank on the day before, as far as anyone looks.
    pub(super) fn last(&self, song: usize, day: NaiveDate) -> Option<usize> {
        self.ranks[self.index(day).checked_sub(1)?].get(&song).copied()
    }

    /// The best rank up to a day.
    pub(super) fn peak(&self, song: usize, day: NaiveDate) -> usize {
        let today = self.index(day);
        self.ranks[..=today].iter().filter_map(|r| r.get(&song)).min().copied().unwrap_or(DEPTH)
    }

    /// Plays in the seven days that end with `day`.
    pub(super) fn week(&self, day: NaiveDate) -> Vec<f64> {
        let today = self.index(day);
        let week = &self.plays[today.saturating_sub(6)..=today];
        (0..week[0].len()).map(|s| week.iter().map(|d| d[s]).sum()).collect()
    }
}

/// By song and day: the sum of the fading pushes of the days up to it.
fn wander(seed: u64, stream: u64, songs: usize, first: NaiveDate, days: usize) -> Vec<Vec<f64>> {
    let start = i64::from(first.num_days_from_ce()) - MEMORY as i64;
    (0..songs as u64)
        .map(|song| {
            let pushes: Vec<f64> =
                (0..(days + MEMORY) as i64).map(|t| Chance::of(seed, &[5, stream, song, (start + t) as u64]).normal()).collect();
            // oldest first: the same order of additions for a day in every range
            (0..days).map(|t| pushes[t + 1..=t + MEMORY].iter().fold(0.0, |sum, push| sum * FADE + push)).collect()
        })
        .collect()
}
