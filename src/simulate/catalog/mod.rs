//! A seed to an invented music catalog: artists, albums and songs, from which charts and events both draw.
//!
//! Names and tastes depend on the seed alone; release days are counted back from `anchor`, the last simulated day, so
//! that a simulation of any time has new releases.

mod artist;
mod song;
mod words;

pub use artist::{Artist, GENRES, Scene};
use chrono::NaiveDate;
pub(in crate::simulate) use song::with_guests;
pub use song::{Album, Song};

const ARTISTS: usize = 400;

#[derive(Clone, Debug)]
pub struct Catalog {
    pub artists: Vec<Artist>,
    pub albums: Vec<Album>,
    pub songs: Vec<Song>,
    pub anchor: NaiveDate,
}

impl Catalog {
    pub fn new(seed: u64, anchor: NaiveDate) -> Self {
        let artists = artist::artists(seed, ARTISTS);
        let (albums, songs) = song::songs(seed, anchor, &artists);
        Self { artists, albums, songs, anchor }
    }

    /// The first credited artist.
    pub fn main_artist(&self, song: &Song) -> &Artist {
        &self.artists[song.artists[0]]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::simulate::default_end;

    #[test]
    fn the_catalog_is_deterministic_varied_and_without_duplicates() {
        let catalog = Catalog::new(42, default_end());
        let again = Catalog::new(42, default_end());
        assert_eq!(format!("{catalog:?}"), format!("{again:?}"));
        assert_ne!(catalog.songs[0].title, Catalog::new(43, default_end()).songs[0].title);
        assert_eq!(catalog.artists.len(), 400);
        assert!((2_200..2_900).contains(&catalog.songs.len()), "{}", catalog.songs.len());
        let distinct = |items: Vec<&String>| items.iter().collect::<HashSet<_>>().len();
        assert_eq!(distinct(catalog.artists.iter().map(|a| &a.name).collect()), 400);
        assert_eq!(distinct(catalog.songs.iter().map(|s| &s.title).collect()), catalog.songs.len());
        assert_eq!(distinct(catalog.songs.iter().map(|s| &s.id).collect()), catalog.songs.len());
        let hangul = |s: &str| s.chars().any(|c| ('가'..='힣').contains(&c));
        let share = |f: &dyn Fn(&Song) -> bool| catalog.songs.iter().filter(|s| f(s)).count() * 100 / catalog.songs.len();
        assert!((25..75).contains(&share(&|s| hangul(&s.title))));
        assert!((3..30).contains(&share(&|s| s.title.contains("(feat. "))));
        assert!(catalog.artists.iter().all(|a| a.id.len() == 22 && (1..=4).contains(&a.genres.len())));
        assert!(catalog.albums.iter().all(|a| !a.name.is_empty() && a.released <= default_end()));
    }
}
