//! What is played: songs by their heat on the day, bent by a listener's likes and the mood of a session.
//!
//! A session has a mood, one genre and one artist that its listener likes, and most of its songs come from there. Songs of
//! one mood therefore meet in sessions far more often than their popularity explains, which is what item-to-item
//! recommendations find.

use chrono::NaiveDate;

use crate::simulate::{
    catalog::{Catalog, GENRES},
    chance::{Chance, Lottery},
};

/// Likes of a listener: genres, and an artist for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likes {
    genres: [u8; 3],
    artists: [u16; 3],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Mood {
    genre: u8,
    artist: u16,
}

const FROM_ARTIST: f64 = 0.45;
const FROM_GENRE: f64 = 0.40;

/// Songs to draw from on one day.
#[derive(Debug)]
pub(super) struct Shelf {
    all: Lottery,
    /// By genre and by artist: songs, and how to draw them.
    genres: Vec<(Vec<u32>, Lottery)>,
    artists: Vec<(Vec<u32>, Lottery)>,
}

impl Shelf {
    pub(super) fn new(catalog: &Catalog, day: NaiveDate) -> Self {
        let weights: Vec<f64> = catalog.songs.iter().map(|s| s.heat(day).map_or(0.0, libm::exp)).collect();
        let mut genres = vec![vec![]; GENRES.len()];
        let mut artists = vec![vec![]; catalog.artists.len()];
        for (number, song) in (0u32..).zip(&catalog.songs) {
            // a genre is where its main artists are: one genre per song keeps the moods apart
            genres[usize::from(catalog.main_artist(song).genres[0])].push(number);
            artists[song.artists[0]].push(number);
        }
        let drawn = |songs: Vec<u32>| {
            let lottery = Lottery::new(&songs.iter().map(|s| weights[*s as usize]).collect::<Vec<_>>());
            (songs, lottery)
        };
        Self {
            all: Lottery::new(&weights),
            genres: genres.into_iter().map(drawn).collect(),
            artists: artists.into_iter().map(drawn).collect(),
        }
    }

    /// `None` only when nothing has been released yet.
    pub(super) fn song(&self, mood: Mood, chance: &mut Chance) -> Option<u32> {
        let from = |(songs, lottery): &(Vec<u32>, Lottery), chance: &mut Chance| lottery.draw(chance).map(|i| songs[i]);
        let roll = chance.unit();
        let picked = if roll < FROM_ARTIST {
            from(&self.artists[usize::from(mood.artist)], chance)
        } else if roll < FROM_ARTIST + FROM_GENRE {
            from(&self.genres[usize::from(mood.genre)], chance)
        } else {
            None
        };
        picked.or_else(|| self.all.draw(chance).map(|i| i as u32))
    }
}

/// How likely a listener likes a genre or an artist, fixed for a simulation.
#[derive(Debug)]
pub(super) struct Crowd {
    genres: Lottery,
    /// By genre: artists, and how to draw them.
    artists: Vec<(Vec<u16>, Lottery)>,
}

impl Crowd {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let mut artists: Vec<Vec<u16>> = vec![vec![]; GENRES.len()];
        for (number, artist) in (0u16..).zip(&catalog.artists) {
            artists[usize::from(artist.genres[0])].push(number);
        }
        let weight = |a: &u16| 1.0 / (8.0 + f64::from(*a));
        let sums: Vec<f64> = artists.iter().map(|list| libm::sqrt(list.iter().map(weight).sum())).collect();
        Self {
            genres: Lottery::new(&sums),
            artists: artists
                .into_iter()
                .map(|list| {
                    let lottery = Lottery::new(&list.iter().map(weight).collect::<Vec<_>>());
                    (list, lottery)
                })
                .collect(),
        }
    }

    pub(super) fn likes(&self, chance: &mut Chance) -> Likes {
        let mut likes = Likes { genres: [0; 3], artists: [0; 3] };
        for i in 0..3 {
            let genre = self.genres.draw(chance).unwrap_or(0);
            let (list, lottery) = &self.artists[genre];
            likes.genres[i] = genre as u8;
            likes.artists[i] = lottery.draw(chance).map_or(0, |a| list[a]);
        }
        likes
    }
}

impl Likes {
    /// The first liked genre comes most often.
    pub(super) fn mood(self, chance: &mut Chance) -> Mood {
        let i = match chance.unit() {
            r if r < 0.55 => 0,
            r if r < 0.85 => 1,
            _ => 2,
        };
        Mood { genre: self.genres[i], artist: self.artists[i] }
    }
}
