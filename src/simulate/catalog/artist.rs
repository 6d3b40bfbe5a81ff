//! Invented artists: names in Latin letters, Hangul or both, a scene, genres, a standing.

use std::collections::HashSet;

use super::words;
use crate::simulate::chance::Chance;

/// Genres as Spotify's artists carry them. The position is the genre's number.
pub const GENRES: &[&str] = &[
    "k-pop",
    "k-ballad",
    "k-rap",
    "korean r&b",
    "k-indie",
    "k-rock",
    "trot",
    "soundtrack",
    "j-pop",
    "anime",
    "pop",
    "dance pop",
    "rock",
    "indie pop",
    "r&b",
    "hip hop",
    "latin",
    "reggaeton",
];

/// Where an artist is at home: decides the form of the name, genres and on which charts they do well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    Idol,
    Ballad,
    Rap,
    Soul,
    Band,
    Trot,
    Japan,
    West,
    Latin,
}

impl Scene {
    /// Share of the catalog's artists.
    const SHARES: [(Self, f64); 9] = [
        (Self::Idol, 0.28),
        (Self::Ballad, 0.14),
        (Self::Rap, 0.10),
        (Self::Soul, 0.08),
        (Self::Band, 0.10),
        (Self::Trot, 0.04),
        (Self::Japan, 0.06),
        (Self::West, 0.15),
        (Self::Latin, 0.05),
    ];

    /// The first genre is the scene's own; others may join it.
    fn genres(self) -> &'static [u8] {
        match self {
            Self::Idol => &[0, 11, 15, 7],
            Self::Ballad => &[1, 7, 3, 0],
            Self::Rap => &[2, 15, 3, 0],
            Self::Soul => &[3, 14, 4, 1],
            Self::Band => &[4, 5, 13, 1],
            Self::Trot => &[6, 1],
            Self::Japan => &[8, 9, 12],
            Self::West => &[10, 11, 12, 13, 14, 15],
            Self::Latin => &[16, 17, 10],
        }
    }

    pub fn is_korean(self) -> bool {
        !matches!(self, Self::Japan | Self::West | Self::Latin)
    }
}

#[derive(Clone, Debug)]
pub struct Artist {
    /// 22 letters and digits.
    pub id: String,
    /// As Melon spells it: `LUVEMI (루베미)`, `선우하린`, `Maren Locke`.
    pub name: String,
    pub latin: String,
    pub hangul: Option<String>,
    pub scene: Scene,
    /// Numbers of [`GENRES`], the main one first.
    pub genres: Vec<u8>,
    /// 0 is the best known.
    pub standing: usize,
    /// 0 to 100, as Spotify shows it.
    pub popularity: u8,
    pub followers: u64,
}

impl Artist {
    pub fn genre_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.genres.iter().map(|g| GENRES[usize::from(*g)])
    }
}

/// Artists in order of standing.
pub(super) fn artists(seed: u64, count: usize) -> Vec<Artist> {
    let mut taken: HashSet<String> = words::TAKEN.iter().map(|t| (*t).to_owned()).collect();
    (0..count)
        .map(|standing| {
            let mut chance = Chance::of(seed, &[1, standing as u64]);
            let scene = Scene::SHARES[chance.weighted(Scene::SHARES.iter().map(|s| s.1))].0;
            let (latin, hangul) = loop {
                let (latin, hangul) = name(scene, &mut chance);
                let fresh = !taken.contains(&latin.to_lowercase()) && hangul.as_ref().is_none_or(|h| !taken.contains(h));
                if fresh {
                    taken.insert(latin.to_lowercase());
                    taken.extend(hangul.clone());
                    break (latin, hangul);
                }
            };
            let name = match (&hangul, scene) {
                (None, _) => latin.clone(),
                // soloists and bands go by their Hangul name, some with the Latin one behind it
                (Some(h), Scene::Ballad | Scene::Trot | Scene::Band | Scene::Soul) => {
                    if chance.happens(0.25) {
                        format!("{h} ({latin})")
                    } else {
                        h.clone()
                    }
                }
                (Some(h), _) => match chance.below(10) {
                    0..=3 => format!("{latin} ({h})"),
                    4 => format!("{h} ({latin})"),
                    5 => h.clone(),
                    _ => latin.clone(),
                },
            };
            let own = scene.genres();
            let main = if scene == Scene::West { chance.below(own.len()) } else { 0 };
            let mut genres = vec![own[main]];
            for extra in own {
                if genres.len() < 4 && !genres.contains(extra) && chance.happens(0.35) {
                    genres.push(*extra);
                }
            }
            let share = 1.0 / (1.0 + standing as f64 / 12.0);
            Artist {
                id: chance.base62(22),
                name,
                latin,
                hangul,
                scene,
                genres,
                standing,
                popularity: (30.0 + 62.0 * libm::sqrt(share) + 3.0 * chance.normal()).clamp(5.0, 99.0) as u8,
                followers: (12_000_000.0 * share * chance.log_normal(1.0, 0.5)) as u64 + 900,
            }
        })
        .collect()
}

fn name(scene: Scene, chance: &mut Chance) -> (String, Option<String>) {
    let pair = |chance: &mut Chance, list: &[(&'static str, &'static str)]| list[chance.below(list.len())];
    match scene {
        Scene::Idol | Scene::Rap => {
            let count = 2 + usize::from(chance.happens(0.7));
            let parts: Vec<_> = (0..count).map(|_| pair(chance, words::SYLLABLES)).collect();
            let latin: String = parts.iter().map(|p| p.0).collect();
            let hangul: String = parts.iter().map(|p| p.1).collect();
            let latin = if scene == Scene::Idol || chance.happens(0.4) { latin.to_uppercase() } else { capitalised(&latin) };
            if scene == Scene::Rap && chance.happens(0.3) {
                (format!("{latin} J"), Some(format!("{hangul} 제이")))
            } else {
                (latin, Some(hangul))
            }
        }
        Scene::Ballad | Scene::Trot | Scene::Soul => {
            let (family, family_latin) = pair(chance, words::FAMILY);
            let (first, second) = (pair(chance, words::GIVEN), pair(chance, words::GIVEN));
            let given = format!("{}{}", first.1, second.1.to_lowercase());
            (format!("{family_latin} {given}"), Some(format!("{family}{}{}", first.0, second.0)))
        }
        Scene::Band => {
            let (first, second) = (pair(chance, words::BAND_FIRST), pair(chance, words::BAND_SECOND));
            (format!("{} {}", first.1, second.1), Some(format!("{}{}", first.0, second.0)))
        }
        Scene::Japan => (format!("{} {}", chance.pick(words::JAPANESE_FIRST), chance.pick(words::JAPANESE_SECOND)), None),
        Scene::West if chance.happens(0.2) => (format!("The {}", chance.pick(words::WESTERN_BAND)), None),
        Scene::West => (format!("{} {}", chance.pick(words::WESTERN_FIRST), chance.pick(words::WESTERN_LAST)), None),
        Scene::Latin => (format!("{} {}", chance.pick(words::LATIN_FIRST), chance.pick(words::LATIN_LAST)), None),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + chars.as_str())
}
