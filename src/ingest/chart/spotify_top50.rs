//! Spotify's Top 50 playlist from the JSON state inside its public embed page.
//!
//! The page lists tracks with artist names; ids of artists only where it offers them. What it lacks, the Web API's
//! track look-up (adapter `spotify_api`) adds in a later step.

use serde_json::Value as Json;

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct SpotifyTop50 {
    pub base_url: String,
    pub playlist: String,
}

impl SpotifyTop50 {
    pub const BASE_URL: &str = "https://open.spotify.com";
    /// Top 50 - Global.
    pub const PLAYLIST: &str = "37i9dQZEVXbMDoHDwVN2tF";
}

impl Provider for SpotifyTop50 {
    fn name(&self) -> &'static str {
        "spotify_top50"
    }

    fn extension(&self) -> &'static str {
        "html"
    }

    fn request(&self, _start: usize) -> Request {
        Request::get(self.name(), format!("{}/embed/playlist/{}", self.base_url, self.playlist)).header("accept", "text/html")
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        let state = embedded_state(page.payload)?;
        let (pointer, rows) = track_list(&state)?;
        Ok(ParsedPage {
            time: None,
            rows: read_rows(rows, &pointer, |index, row| {
                Ok(ChartRow {
                    rank: index as i64 + 1,
                    title: payload::text(row, "/title")?,
                    artists: artists(row)?,
                    image: image(row),
                    track_id: Some(id(&payload::text(row, "/uri")?, "track")?),
                    artist_ids: artist_ids(row)?,
                    ..ChartRow::default()
                })
            }),
        })
    }
}

/// The content of `<script id="__NEXT_DATA__" type="application/json">`. A page that is JSON itself is taken as it is.
fn embedded_state(page: &str) -> Result<Json, Fault> {
    if page.trim_start().starts_with('{') {
        return payload::json(page);
    }
    let state = page.split_once("__NEXT_DATA__").and_then(|(_, rest)| rest.split_once('>')).map(|(_, rest)| rest);
    let Some(state) = state else { return Err(Fault::shape("the page has no script `__NEXT_DATA__`")) };
    let Some((state, _)) = state.split_once("</script") else {
        return Err(Fault {
            code: "ingest/broken-json",
            reason: format!("the page breaks off inside the script `__NEXT_DATA__` at byte {}", page.len()),
        });
    };
    payload::json(state)
}

/// The first `trackList` wherever it stands: its place has moved between releases of the page.
fn track_list(state: &Json) -> Result<(String, &[Json]), Fault> {
    fn find<'a>(value: &'a Json, at: &str) -> Option<(String, &'a [Json])> {
        match value {
            Json::Object(map) => map.iter().find_map(|(key, value)| match (key.as_str(), value) {
                ("trackList", Json::Array(rows)) => Some((format!("{at}/{key}"), rows.as_slice())),
                _ => find(value, &format!("{at}/{key}")),
            }),
            Json::Array(items) => items.iter().enumerate().find_map(|(i, value)| find(value, &format!("{at}/{i}"))),
            _ => None,
        }
    }
    find(state, "").ok_or_else(|| Fault::shape("the page's state has no list `trackList`"))
}

/// `artists[].name` when the page offers it; else the subtitle, in which names are joined by a comma and a no-break
/// space, while a comma inside a name ("Tyler, The Creator") is followed by a plain one.
fn artists(row: &Json) -> Result<Vec<String>, String> {
    if row.pointer("/artists").is_some_and(Json::is_array) {
        return payload::names(row, "/artists", "/name");
    }
    let subtitle = payload::text(row, "/subtitle")?;
    let names: Vec<String> = subtitle.split(",\u{a0}").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() { Err("`/subtitle` names no artist".into()) } else { Ok(names) }
}

fn artist_ids(row: &Json) -> Result<Vec<String>, String> {
    let Some(Json::Array(artists)) = row.pointer("/artists") else { return Ok(vec![]) };
    let uris = artists.iter().filter_map(|artist| artist.pointer("/uri").and_then(Json::as_str));
    uris.map(|uri| id(uri, "artist")).collect()
}

/// `spotify:<kind>:<id>`
pub(super) fn id(uri: &str, kind: &str) -> Result<String, String> {
    match uri.strip_prefix("spotify:").and_then(|rest| rest.strip_prefix(kind)).and_then(|rest| rest.strip_prefix(':')) {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(format!("`{uri}` is not a uri such as `spotify:{kind}:...`")),
    }
}

fn image(row: &Json) -> Option<String> {
    ["/image", "/imageUrl", "/coverArt/sources/0/url", "/album/images/0/url"]
        .iter()
        .find_map(|pointer| row.pointer(pointer).and_then(Json::as_str).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(page: &str) -> Result<Vec<Result<ChartRow, String>>, Fault> {
        let provider = SpotifyTop50 { base_url: String::new(), playlist: String::new() };
        let page = Page { payload: page, day: Default::default(), fetched_at: Default::default() };
        Ok(provider.parse(&page)?.rows.into_iter().map(|row| row.map_err(|bad| bad.reason)).collect())
    }

    #[test]
    fn tracks_are_found_in_the_page() {
        let page = concat!(
            r#"<html><body><script id="__NEXT_DATA__" type="application/json">{"props":{"pageProps":{"state":{"data":{"entity":{"#,
            r#""trackList":[{"uri":"spotify:track:T1","title":"Die With A Smile","subtitle":"Lady Gaga,"#,
            "\u{a0}",
            r#"Bruno Mars"},{"uri":"spotify:track:T2","title":"x","subtitle":"Tyler, The Creator"},"#,
            r#"{"uri":"spotify:track:T3","title":"APT.","artists":[{"name":"ROSÉ","uri":"spotify:artist:A1"}]},"#,
            r#"{"uri":"spotify:episode:E","title":"talk","subtitle":"s"}]}}}}}}</script></body></html>"#
        );
        let rows = parse(page).expect("rows");
        let row = |i: usize| rows[i].as_ref().expect("a row");
        assert_eq!((row(0).rank, row(0).track_id.as_deref(), row(0).artists.len()), (1, Some("T1"), 2));
        assert_eq!(row(1).artists, ["Tyler, The Creator"]);
        assert_eq!((row(2).artists[0].as_str(), row(2).artist_ids[0].as_str()), ("ROSÉ", "A1"));
        assert_eq!(rows[3], Err("`spotify:episode:E` is not a uri such as `spotify:track:...`".into()));
    }

    #[test]
    fn other_pages_are_faults() {
        for (page, code) in [
            ("<html>sign in</html>", "ingest/changed-shape"),
            ("<script id=\"__NEXT_DATA__\">{\"a\":", "ingest/broken-json"),
            ("<script id=\"__NEXT_DATA__\">{\"a\":</script>", "ingest/broken-json"),
            ("<script id=\"__NEXT_DATA__\">{\"a\": []}</script>", "ingest/changed-shape"),
        ] {
            assert_eq!(parse(page).expect_err("no chart").code, code, "{page}");
        }
    }
}
