//! Invented songs: titles, guests, albums, release days, lengths, and how well they do.

use std::collections::HashSet;

use chrono::{Days, NaiveDate};

use super::{Artist, Scene, words};
use crate::simulate::chance::Chance;

#[derive(Clone, Debug)]
pub struct Album {
    pub id: String,
    pub name: String,
    pub released: NaiveDate,
    /// Numbers of which the services make the addresses of cover pictures.
    pub number: u64,
}

#[derive(Clone, Debug)]
pub struct Song {
    /// 22 letters and digits.
    pub id: String,
    /// Without guests.
    pub bare_title: String,
    /// As Melon spells it, with guests: `푸른 바다 (feat. LUVEMI)`.
    pub title: String,
    /// Numbers of artists: who is credited, the main one first.
    pub artists: Vec<usize>,
    /// Numbers of artists named in the title.
    pub guests: Vec<usize>,
    pub album: usize,
    pub released: NaiveDate,
    /// Seconds, with five decimals as Eventsim has them.
    pub length: f64,
    pub explicit: bool,
    /// Natural logarithm of a share of plays, without the boost of a release.
    pub appeal: f64,
    /// How much a release adds to `appeal` at first, and the days after which a third of it is left.
    pub boost: f64,
    pub fade: f64,
    pub popularity: u8,
}

impl Song {
    /// Logarithm of the plays on a day; `None` before the release.
    pub fn heat(&self, day: NaiveDate) -> Option<f64> {
        let age = (day - self.released).num_days();
        (age >= 0).then(|| self.appeal + self.boost * libm::exp(-(age as f64) / self.fade))
    }
}

pub(super) fn songs(seed: u64, anchor: NaiveDate, artists: &[Artist]) -> (Vec<Album>, Vec<Song>) {
    let (mut albums, mut songs) = (Vec::new(), Vec::new());
    let mut titles = HashSet::new();
    for (number, artist) in artists.iter().enumerate() {
        let mut chance = Chance::of(seed, &[2, number as u64]);
        let mut left = 3 + (10.0 / (1.0 + number as f64 / 60.0)) as usize;
        let mut rank_within = 0;
        let mut newest = true;
        while left > 0 {
            let size = left.min(1 + chance.below(if newest { 4 } else { 6 }));
            left -= size;
            let age = match newest {
                true if chance.happens(0.4) => chance.between(0, 40),
                _ => chance.between(41, 2_400),
            };
            newest = false;
            let album = albums.len();
            let released = anchor.checked_sub_days(Days::new(age as u64)).unwrap_or(anchor);
            albums.push(Album { id: chance.base62(22), name: String::new(), released, number: 8_500_000 + chance.below(3_400_000) as u64 });
            for track in 0..size {
                let bare_title = loop {
                    let title = title(artist.scene, &mut chance);
                    if titles.insert(title.clone()) {
                        break title;
                    }
                };
                let mut other = || {
                    let n = chance.below(artists.len().min(number + 80));
                    (n != number && artists[n].scene.is_korean() == artist.scene.is_korean()).then_some(n)
                };
                let (mut credited, mut guests) = (vec![number], vec![]);
                match (other(), other()) {
                    (Some(a), _) if chance.happens(0.04) => credited.push(a),
                    (Some(a), Some(b)) if a != b && chance.happens(0.03) => guests.extend([a, b]),
                    (Some(a), _) if chance.happens(0.16) => guests.push(a),
                    _ => {}
                }
                let title = with_guests(&bare_title, &guests, artists, "feat. ", ", ");
                if track == 0 {
                    albums[album].name = if size == 1 || chance.happens(0.5) { bare_title.clone() } else { format!("{bare_title} EP") };
                }
                rank_within += 1;
                // Zipf over artists, and over the songs of each
                let appeal = -0.85 * libm::log(3.0 + number as f64) - 0.75 * libm::log(f64::from(rank_within)) + 0.45 * chance.normal();
                songs.push(Song {
                    id: chance.base62(22),
                    bare_title,
                    title,
                    artists: credited,
                    guests,
                    album,
                    released,
                    length: (chance.log_normal(200.0, 0.16) * 100_000.0).round() / 100_000.0,
                    explicit: chance.happens(if artist.scene == Scene::Rap { 0.3 } else { 0.04 }),
                    appeal,
                    boost: 0.6 + 1.6 * chance.unit() * if track == 0 { 1.3 } else { 0.8 },
                    fade: 6.0 + 22.0 * chance.unit(),
                    popularity: (96.0 + 11.0 * appeal).clamp(1.0, 97.0) as u8,
                });
            }
        }
    }
    (albums, songs)
}

/// `title (feat. A, B)` with the service's own words.
pub(in crate::simulate) fn with_guests(bare: &str, guests: &[usize], artists: &[Artist], word: &str, joint: &str) -> String {
    if guests.is_empty() {
        return bare.to_owned();
    }
    let short = |n: &usize| artists[*n].name.split(" (").next().unwrap_or_default().to_owned();
    format!("{bare} ({word}{})", guests.iter().map(short).collect::<Vec<_>>().join(joint))
}

fn title(scene: Scene, chance: &mut Chance) -> String {
    let korean_share = match scene {
        Scene::Idol => 0.45,
        Scene::Rap => 0.5,
        Scene::Soul => 0.6,
        Scene::Ballad | Scene::Trot => 0.95,
        Scene::Band => 0.8,
        _ => 0.0,
    };
    let fill = |phrase: &str, noun: &str| {
        // Korean particles depend on whether the noun ends in a consonant: every 28th syllable of the block has none
        let open = noun.chars().next_back().is_some_and(|c| ('가'..='힣').contains(&c) && (c as u32 - '가' as u32).is_multiple_of(28));
        let phrase = if open { phrase.replace("{n}을", "{n}를").replace("{n}이 ", "{n}가 ") } else { phrase.to_owned() };
        phrase.replace("{n}", noun)
    };
    if chance.happens(korean_share) {
        let noun = chance.pick(words::KOREAN_NOUN);
        return match chance.below(10) {
            0..=3 => format!("{} {noun}", chance.pick(words::KOREAN_MODIFIER)),
            4..=6 => fill(chance.pick(words::KOREAN_PHRASE), noun),
            7 => format!("{noun}, {}", chance.pick(words::KOREAN_NOUN)),
            8 => format!("{noun} ({})", chance.pick(words::ENGLISH_NOUN)),
            _ => format!("{} {} {noun}", chance.pick(words::KOREAN_MODIFIER), chance.pick(words::KOREAN_NOUN)),
        };
    }
    // a part in English, so that the few Spanish words never run out of new titles
    if scene == Scene::Latin && chance.happens(0.8) {
        let noun = chance.pick(words::SPANISH_NOUN);
        return match chance.happens(0.5) {
            true => fill(chance.pick(words::SPANISH_PHRASE), noun),
            false => format!("{noun} y {}", chance.pick(words::SPANISH_NOUN)),
        };
    }
    let (adjective, noun) = (chance.pick(words::ENGLISH_ADJECTIVE), chance.pick(words::ENGLISH_NOUN));
    match chance.below(10) {
        0..=3 => format!("{adjective} {noun}"),
        4..=6 => fill(chance.pick(words::ENGLISH_PHRASE), noun),
        7 if scene == Scene::Idol => format!("{adjective} {noun}").to_uppercase(),
        7 => format!("{noun} {}", chance.between(1, 99)),
        8 => format!("{adjective} {} {noun}", chance.pick(words::ENGLISH_ADJECTIVE)),
        _ => format!("{noun} / {}", chance.pick(words::ENGLISH_NOUN)),
    }
}
