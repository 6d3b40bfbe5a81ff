//! The chart services: which songs their listeners like, and how each writes names and titles.

use crate::simulate::{
    catalog::{Artist, Catalog, Scene, Song, with_guests},
    chance::Chance,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Melon,
    Bugs,
    Genie,
    Flo,
    Vibe,
    Top50,
    /// Weekly charts of Spotify.
    Kr,
    Global,
    Us,
}

impl Service {
    pub(super) const ALL: [Self; 9] =
        [Self::Melon, Self::Bugs, Self::Genie, Self::Flo, Self::Vibe, Self::Top50, Self::Kr, Self::Global, Self::Us];

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Melon => "melon",
            Self::Bugs => "bugs",
            Self::Genie => "genie",
            Self::Flo => "flo",
            Self::Vibe => "vibe",
            Self::Top50 => "spotify_top50",
            Self::Kr => "kr",
            Self::Global => "global",
            Self::Us => "us",
        }
    }

    /// How many rows a chart has.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Genie | Self::Kr | Self::Global | Self::Us => 200,
            Self::Top50 => 50,
            _ => 100,
        }
    }

    /// What this service's listeners add to a song's appeal: by scene, and a taste of their own for each genre and song.
    pub(super) fn taste(self, catalog: &Catalog, song: usize, seed: u64) -> f64 {
        let artist = catalog.main_artist(&catalog.songs[song]);
        let scene = match (self, artist.scene) {
            (Self::Top50 | Self::Global, Scene::Idol) => -0.4,
            (Self::Top50 | Self::Global, Scene::Latin) => 0.8,
            (Self::Us, Scene::Idol) => -1.6,
            (Self::Us, Scene::Latin) => 0.2,
            (Self::Top50 | Self::Global | Self::Us, Scene::West) => 1.2,
            (Self::Top50 | Self::Global | Self::Us, Scene::Japan) => -0.9,
            (Self::Top50 | Self::Global | Self::Us, _) => -2.4,
            (Self::Kr, Scene::West | Scene::Japan) => -0.5,
            (_, Scene::West | Scene::Japan) => -1.3,
            (_, Scene::Latin) => -2.6,
            (Self::Melon | Self::Genie, Scene::Trot) => 0.5,
            (Self::Bugs | Self::Flo, Scene::Trot) => -0.8,
            _ => 0.0,
        };
        let kind = match self {
            Self::Top50 => Self::Global, // one audience
            other => other,
        } as u64;
        let genre = Chance::of(seed, &[3, kind, u64::from(artist.genres[0])]).normal() * 0.2;
        scene + genre + Chance::of(seed, &[4, kind, song as u64]).normal() * 0.18
    }

    /// The artist's name as this service writes it.
    pub(super) fn spell(self, artist: &Artist) -> String {
        let Some(hangul) = &artist.hangul else { return artist.name.clone() };
        match self {
            Self::Melon | Self::Flo => artist.name.clone(),
            // Bugs puts the Hangul behind a Latin name, some without the space
            Self::Bugs if artist.name == artist.latin => {
                if artist.standing.is_multiple_of(3) {
                    format!("{}({hangul})", artist.latin)
                } else {
                    format!("{} ({hangul})", artist.latin)
                }
            }
            Self::Genie if artist.name == artist.latin && artist.standing.is_multiple_of(2) => format!("{} ({hangul})", artist.latin),
            Self::Bugs | Self::Genie => artist.name.clone(),
            Self::Vibe => artist.name.replacen(" (", "(", 1),
            // Spotify has the Latin name of those who are known abroad
            Self::Top50 | Self::Kr | Self::Global | Self::Us => match artist.scene {
                Scene::Idol | Scene::Rap => artist.latin.clone(),
                _ if artist.standing.is_multiple_of(2) => artist.latin.clone(),
                _ => hangul.clone(),
            },
        }
    }

    pub(super) fn title(self, catalog: &Catalog, song: &Song) -> String {
        match self {
            Self::Genie => with_guests(&song.bare_title, &song.guests, &catalog.artists, "Feat. ", " & "),
            _ => song.title.clone(),
        }
    }
}
