//! Artists and tracks that were seen on charts to recorded look-ups, one JSON line per response.
//!
//! `{"subject": key, "status": 200, "body": ...}` with the body in the shape of Spotify's Web API or of Last.fm.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{
    Recording,
    ranking::History,
    service::Service,
    spotify::{credited, milliseconds},
};
use crate::simulate::{
    catalog::{Artist, Catalog, Song},
    chance::Chance,
};

#[derive(Default)]
pub(super) struct Seen {
    /// Spelling on a domestic chart to the artist.
    names: BTreeMap<String, usize>,
    artists: BTreeSet<usize>,
    songs: BTreeSet<usize>,
}

impl Seen {
    pub(super) fn spellings(&mut self, artists: Vec<(usize, String)>) {
        self.names.extend(artists.into_iter().map(|(artist, name)| (name, artist)));
    }

    pub(super) fn spotify(&mut self, catalog: &Catalog, history: &History, day: NaiveDate) {
        for song in history.top(day, Service::Top50.rows()) {
            self.songs.insert(*song);
            self.artists.extend(credited(&catalog.songs[*song]));
        }
    }

    pub(super) fn recordings(&self, catalog: &Catalog, seed: u64) -> Vec<Recording> {
        let search = self.names.iter().map(|(name, artist)| {
            // a few names are unknown to Spotify
            let known = !Chance::of(seed, &[9, *artist as u64]).happens(0.04);
            let items = if known { vec![artist_body(&catalog.artists[*artist])] } else { vec![] };
            let total = items.len();
            let body = json!({"artists": {"href": "https://api.spotify.com/v1/search", "items": items, "limit": 1, "next": null, "offset": 0, "previous": null, "total": total}});
            (name.clone(), body)
        });
        let artist = self.artists.iter().map(|a| &catalog.artists[*a]).map(|a| (a.id.clone(), artist_body(a)));
        let top_tracks = self.artists.iter().map(|number| {
            let mut songs: Vec<&Song> =
                catalog.songs.iter().filter(|s| s.released <= catalog.anchor && credited(s).any(|a| a == *number)).collect();
            songs.sort_by(|a, b| b.appeal.total_cmp(&a.appeal).then(a.id.cmp(&b.id)));
            let tracks: Vec<Value> = songs.into_iter().take(10).map(|s| track_body(catalog, s)).collect();
            (catalog.artists[*number].id.clone(), json!({"tracks": tracks}))
        });
        let track_info = self.songs.iter().flat_map(|number| {
            let song = &catalog.songs[*number];
            credited(song).map(move |a| {
                let artist = Service::Top50.spell(&catalog.artists[a]);
                let title = Service::Top50.title(catalog, song);
                (format!("{artist}\t{title}"), track_info(catalog, *number, &artist, &title, seed))
            })
        });
        vec![
            lines("spotify_api/search.jsonl", search),
            lines("spotify_api/artist.jsonl", artist),
            lines("spotify_api/artist_top_tracks.jsonl", top_tracks),
            lines("lastfm/track_info.jsonl", track_info),
        ]
    }
}

fn lines(path: &str, entries: impl Iterator<Item = (String, Value)>) -> Recording {
    let text = entries.map(|(subject, body)| format!("{}\n", json!({"subject": subject, "status": 200, "body": body}))).collect();
    Recording { path: path.into(), text }
}

fn artist_body(artist: &Artist) -> Value {
    json!({
        "external_urls": {"spotify": format!("https://open.spotify.com/artist/{}", artist.id)},
        "followers": {"href": null, "total": artist.followers},
        "genres": artist.genre_names().collect::<Vec<_>>(),
        "href": format!("https://api.spotify.com/v1/artists/{}", artist.id),
        "id": artist.id,
        "images": [],
        "name": Service::Top50.spell(artist),
        "popularity": artist.popularity,
        "type": "artist",
        "uri": format!("spotify:artist:{}", artist.id),
    })
}

fn track_body(catalog: &Catalog, song: &Song) -> Value {
    let album = &catalog.albums[song.album];
    let size = catalog.songs.iter().filter(|s| s.album == song.album).count();
    let artists: Vec<Value> = credited(song)
        .map(|a| &catalog.artists[a])
        .map(|a| json!({"id": a.id, "name": Service::Top50.spell(a), "type": "artist", "uri": format!("spotify:artist:{}", a.id)}))
        .collect();
    json!({
        "album": {
            "album_type": if size == 1 { "single" } else { "album" },
            "id": album.id,
            "name": album.name,
            "release_date": album.released.to_string(),
            "total_tracks": size,
            "type": "album",
        },
        "artists": artists,
        "duration_ms": milliseconds(song.length),
        "explicit": song.explicit,
        "id": song.id,
        "name": Service::Top50.title(catalog, song),
        "popularity": song.popularity,
        "type": "track",
        "uri": format!("spotify:track:{}", song.id),
    })
}

fn track_info(catalog: &Catalog, number: usize, artist: &str, title: &str, seed: u64) -> Value {
    const MOODS: [&str; 8] = ["catchy", "chill", "summer", "love", "dance", "2025", "sad", "female vocalists"];
    let song = &catalog.songs[number];
    let mut chance = Chance::of(seed, &[10, number as u64]);
    let mut tags: Vec<&str> = catalog.main_artist(song).genre_names().collect();
    tags.extend((0..chance.below(3)).map(|_| MOODS[chance.below(MOODS.len())]).collect::<BTreeSet<_>>());
    // Last.fm has songs that nobody has tagged
    if chance.happens(0.06) {
        tags.clear();
    }
    let listeners = (2_000_000.0 * libm::exp(song.appeal) * chance.log_normal(1.0, 0.3)) as u64 + 50;
    let address = |parts: &[&str]| {
        let encode = |p: &&str| percent_encoding::utf8_percent_encode(p, percent_encoding::NON_ALPHANUMERIC).to_string();
        format!("https://www.last.fm/{}", parts.iter().map(encode).collect::<Vec<_>>().join("/"))
    };
    json!({"track": {
        "name": title,
        "url": address(&["music", artist, "_", title]),
        "duration": milliseconds(song.length).to_string(),
        "listeners": listeners.to_string(),
        "playcount": (listeners * 7).to_string(),
        "artist": {"name": artist, "url": address(&["music", artist])},
        "toptags": {"tag": tags.iter().map(|t| json!({"name": t, "url": address(&["tag", t])})).collect::<Vec<_>>()},
    }})
}
