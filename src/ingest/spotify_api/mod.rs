//! Spotify's Web API by key: artists by name, artists by id, top tracks of an artist, tracks by id.
//!
//! Requests and rows of each look-up; keys, batches and replay are `lookup`'s, the token is `token`'s.

#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use token::TokenSource;

use super::{
    Adapter, IngestError, RawResponse,
    http::{Client, HttpSettings, Request},
    lookup::{LookupAdapter, LookupSettings, Question, Unusable},
    registry::AdapterEnv,
    replay::RecordedAnswer,
    rows::{Cell, column, semi_structured, timestamp},
    settings::Settings,
};
use crate::{diagnostic::Diagnostic, graph::AdapterConfig, names::SemiStructured};

const NAME: &str = "spotify_api";

/// What is asked for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The best match for an artist's name.
    Search,
    Artist,
    ArtistTopTracks,
    /// Artists of a track: what the Top 50 page does not say.
    Track,
}

impl Lookup {
    const ALL: [(&str, Self); 4] =
        [("search", Self::Search), ("artist", Self::Artist), ("artist_top_tracks", Self::ArtistTopTracks), ("track", Self::Track)];

    fn default_key(self) -> &'static str {
        match self {
            Self::Search => "ARTIST",
            Self::Artist | Self::ArtistTopTracks => "ARTIST_ID",
            Self::Track => "TRACK_ID",
        }
    }
}

struct SpotifyQuestion {
    lookup: Lookup,
    key: Vec<String>,
    base_url: String,
    market: String,
    /// `None` in replay.
    live: Option<(Client, TokenSource)>,
}

/// From the settings of a `type: spotify_api` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv, config: &AdapterConfig) -> Option<Box<dyn Adapter>> {
    needs_input(settings, config);
    if settings.value("lookup").is_none() {
        settings.required_text("lookup", "one of `search`, `artist`, `artist_top_tracks`, `track`");
    }
    let lookup = settings.choice("lookup", &Lookup::ALL);
    let lookup_settings = LookupSettings::read(settings, &env.project_root);
    let http = HttpSettings::read(settings, HttpSettings::default());
    let concurrency = http.concurrency;
    let key = settings.text("key");
    let url = |key, default: &str| settings.text(key).unwrap_or(default.to_owned()).trim_end_matches('/').to_owned();
    let base_url = url("base_url", "https://api.spotify.com");
    let token_url = url("token_url", "https://accounts.spotify.com/api/token");
    let market = settings.text("market").unwrap_or("KR".into());
    let live = if lookup_settings.is_replay() {
        // a project that switches between both keeps its credentials
        settings.text("client_id");
        settings.text("client_secret");
        None
    } else {
        let help = "create an app in Spotify's developer dashboard, or set `replay:` to run from recordings";
        let client_id = settings.required_text("client_id", help);
        let client_secret = settings.required_text("client_secret", help);
        Some((env.client(http, settings)?, TokenSource { token_url, client_id, client_secret, current: Default::default() }))
    };
    let lookup = lookup?;
    let key = vec![key.unwrap_or(lookup.default_key().into()).to_uppercase()];
    Some(Box::new(LookupAdapter::new(SpotifyQuestion { lookup, key, base_url, market, live }, lookup_settings, concurrency)))
}

/// Look-ups are of the rows of a relation.
pub(super) fn needs_input(settings: &Settings<'_>, config: &AdapterConfig) {
    if config.input.is_none() {
        let message = format!("the `{}` adapter needs `input:`, the relation whose keys are looked up", config.type_);
        settings.fault(
            Diagnostic::error("ingest/missing-setting", message).at(config.place.clone(), "").help("for example `input: ref('artists')`"),
        );
    }
}

impl SpotifyQuestion {
    fn request(&self, subject: &str) -> Request {
        let id = utf8_percent_encode(subject.trim(), NON_ALPHANUMERIC);
        match self.lookup {
            Lookup::Search => {
                Request::get(NAME, format!("{}/v1/search", self.base_url)).query("q", subject).query("type", "artist").query("limit", "1")
            }
            Lookup::Artist => Request::get(NAME, format!("{}/v1/artists/{id}", self.base_url)),
            Lookup::ArtistTopTracks => {
                Request::get(NAME, format!("{}/v1/artists/{id}/top-tracks", self.base_url)).query("market", &self.market)
            }
            Lookup::Track => Request::get(NAME, format!("{}/v1/tracks/{id}", self.base_url)),
        }
    }

    fn is_by_id(&self) -> bool {
        self.lookup != Lookup::Search
    }
}

#[async_trait]
impl Question for SpotifyQuestion {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> SchemaRef {
        let text = |name| column(name, DataType::Utf8);
        let mut fields = match self.lookup {
            Lookup::Search | Lookup::Artist => vec![
                text("KEY"),
                text("ARTIST_ID"),
                text("ARTIST"),
                semi_structured("GENRES", SemiStructured::Array),
                column("POPULARITY", DataType::Int64),
            ],
            Lookup::ArtistTopTracks => vec![text("ARTIST_ID"), text("ALBUM"), text("SONG_ID"), text("SONG")],
            Lookup::Track => vec![
                text("KEY"),
                text("TRACK_ID"),
                text("SONG"),
                semi_structured("ARTIST_IDS", SemiStructured::Array),
                semi_structured("ARTISTS", SemiStructured::Array),
            ],
        };
        fields.push(timestamp("FETCHED_AT"));
        Arc::new(Schema::new(fields))
    }

    fn key_columns(&self) -> &[String] {
        &self.key
    }

    async fn ask(&self, subject: &str, now: DateTime<Utc>) -> Result<RawResponse, IngestError> {
        let Some((client, tokens)) = &self.live else {
            return Err(IngestError::new("ingest/no-network", "`spotify_api` runs from recordings and does not ask"));
        };
        let token = tokens.token(client, None).await?;
        let mut request = self.request(subject).accept(401);
        if self.is_by_id() {
            // an id that never was is "invalid id" (400), one that is gone 404
            request = request.accept(400).accept(404);
        }
        let with = |token: &str| request.clone().secret_header("authorization", format!("Bearer {token}"));
        let mut response = client.send(&with(&token)).await?;
        if response.status == 401 {
            // expired early or revoked: one new token, then it is a refusal
            let token = tokens.token(client, Some(&token)).await?;
            response = client.send(&with(&token)).await?;
        }
        if response.status == 401 {
            let message = format!("`spotify_api` refuses a fresh token for `{}`: {}", request.shown(), api_message(&response.body));
            return Err(IngestError::new("ingest/not-authorized", message));
        }
        Ok(response.into_raw(subject, &request, now))
    }

    fn recording(&self) -> &'static str {
        match self.lookup {
            Lookup::Search => "spotify_api/search.jsonl",
            Lookup::Artist => "spotify_api/artist.jsonl",
            Lookup::ArtistTopTracks => "spotify_api/artist_top_tracks.jsonl",
            Lookup::Track => "spotify_api/track.jsonl",
        }
    }

    fn not_found(&self) -> RecordedAnswer {
        match self.lookup {
            Lookup::Search => {
                RecordedAnswer { status: 200, payload: json!({"artists": {"items": [], "limit": 1, "offset": 0, "total": 0}}).to_string() }
            }
            _ => RecordedAnswer { status: 404, payload: json!({"error": {"status": 404, "message": "Resource not found"}}).to_string() },
        }
    }

    fn parse(&self, response: &RawResponse) -> Result<Vec<Vec<Cell>>, Unusable> {
        let key = Cell::from(response.subject.as_str());
        let fetched_at = Cell::moment(response.fetched_at);
        let missing = |key: Cell, lists: usize| -> Vec<Cell> {
            let mut cells = vec![key, Cell::Null, Cell::Null];
            cells.extend(std::iter::repeat_n(Cell::array(&[]), lists));
            cells.resize(5, Cell::Null);
            cells.push(fetched_at.clone());
            cells
        };
        if self.is_by_id() && matches!(response.status, 400 | 404) {
            // a row without an id says "asked, not there"; top tracks have no column for that, the position remembers
            return Ok(match self.lookup {
                Lookup::Search | Lookup::Artist => vec![missing(key, 1)],
                Lookup::Track => vec![missing(key, 2)],
                Lookup::ArtistTopTracks => vec![],
            });
        }
        let body: Json = serde_json::from_str(&response.payload).map_err(|e| {
            format!("the answer for `{}` is not JSON (byte {} of {}): {e}", response.subject, e.column(), response.payload.len())
        })?;
        if !(200..300).contains(&response.status) {
            let message =
                format!("`spotify_api` answered {} for `{}`: {}", response.status, response.subject, api_message(&response.payload));
            return Err(Unusable::Refused(IngestError::new("ingest/provider-error", message)));
        }
        let artist = |key: Cell, artist: &Json| -> Result<Vec<Cell>, Unusable> {
            Ok(vec![
                key,
                text(artist, "/id")?.into(),
                text(artist, "/name")?.into(),
                Cell::array(&texts(artist, "/genres", "")?),
                artist.pointer("/popularity").and_then(Json::as_i64).into(),
                fetched_at.clone(),
            ])
        };
        match self.lookup {
            Lookup::Search => match list(&body, "/artists/items")?.first() {
                None => Ok(vec![missing(key, 1)]),
                Some(found) => Ok(vec![artist(key, found)?]),
            },
            Lookup::Artist => Ok(vec![artist(key, &body)?]),
            Lookup::ArtistTopTracks => list(&body, "/tracks")?
                .iter()
                .map(|track| {
                    Ok(vec![
                        key.clone(),
                        track.pointer("/album/name").and_then(Json::as_str).map(str::to_owned).into(),
                        text(track, "/id")?.into(),
                        text(track, "/name")?.into(),
                        fetched_at.clone(),
                    ])
                })
                .collect(),
            Lookup::Track => Ok(vec![vec![
                key,
                text(&body, "/id")?.into(),
                text(&body, "/name")?.into(),
                Cell::array(&texts(&body, "/artists", "/id")?),
                Cell::array(&texts(&body, "/artists", "/name")?),
                fetched_at,
            ]]),
        }
    }

    fn replaces(&self, subject: &str) -> Option<(&'static str, String)> {
        let column = if self.lookup == Lookup::ArtistTopTracks { "ARTIST_ID" } else { "KEY" };
        Some((column, subject.to_owned()))
    }
}

/// `error.message` of the API's error object, or the beginning of what came instead.
fn api_message(body: &str) -> String {
    let message = serde_json::from_str::<Json>(body).ok().and_then(|b| b.pointer("/error/message")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| body.chars().take(200).collect())
}

fn list<'a>(body: &'a Json, pointer: &str) -> Result<&'a Vec<Json>, String> {
    body.pointer(pointer).and_then(Json::as_array).ok_or_else(|| format!("`{pointer}` is missing or no list"))
}

fn text(body: &Json, pointer: &str) -> Result<String, String> {
    body.pointer(pointer).and_then(Json::as_str).map(str::to_owned).ok_or_else(|| format!("`{pointer}` is missing or no text"))
}

/// Texts at `inner` of each item of a list; a list that is absent is empty (the API is about to drop `genres`).
fn texts(body: &Json, pointer: &str, inner: &str) -> Result<Vec<String>, String> {
    match body.pointer(pointer) {
        None | Some(Json::Null) => Ok(vec![]),
        Some(_) => list(body, pointer)?.iter().map(|item| text(item, inner)).collect(),
    }
}
