//! Last.fm's `track.getInfo` by artist and title: the tags that listeners give a song.
//!
//! Keys, batches and replay are `lookup`'s.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use serde_json::{Value as Json, json};

use super::{
    Adapter, IngestError, RawResponse,
    http::{Client, HttpSettings, Request},
    lookup::{LookupAdapter, LookupSettings, Question, Unusable},
    registry::AdapterEnv,
    replay::RecordedAnswer,
    rows::{Cell, column, semi_structured, timestamp},
    settings::Settings,
    spotify_api::needs_input,
};
use crate::{graph::AdapterConfig, names::SemiStructured};

const NAME: &str = "lastfm";
/// "The artist/track is not found" (Last.fm documentation, "track.getInfo", error 6).
const NOT_FOUND: i64 = 6;
/// Operation failed, service offline, temporarily unavailable, rate limit exceeded.
const TRANSIENT: [i64; 4] = [8, 11, 16, 29];

struct TrackInfo {
    base_url: String,
    key: Vec<String>,
    api_key: String,
    /// `None` in replay.
    client: Option<Client>,
}

/// From the settings of a `type: lastfm` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv, config: &AdapterConfig) -> Option<Box<dyn Adapter>> {
    needs_input(settings, config);
    let lookup = LookupSettings::read(settings, &env.project_root);
    let http = HttpSettings::read(settings, HttpSettings::default());
    let concurrency = http.concurrency;
    let key = [("artist_column", "ARTIST"), ("title_column", "TITLE")]
        .map(|(setting, default)| settings.text(setting).unwrap_or(default.into()).to_uppercase());
    let base_url = settings.text("base_url").unwrap_or("https://ws.audioscrobbler.com/2.0/".into());
    let (api_key, client) = if lookup.is_replay() {
        (settings.text("api_key").unwrap_or_default(), None)
    } else {
        let api_key = settings.required_text("api_key", "get one from Last.fm, or set `replay:` to run from recordings");
        (api_key, Some(env.client(http, settings)?))
    };
    Some(Box::new(LookupAdapter::new(TrackInfo { base_url, key: key.into(), api_key, client }, lookup, concurrency)))
}

#[async_trait]
impl Question for TrackInfo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            column("ARTIST", DataType::Utf8),
            column("TITLE", DataType::Utf8),
            semi_structured("TAGS", SemiStructured::Array),
            timestamp("FETCHED_AT"),
            // artist and title in one: what a later answer replaces
            column("KEY", DataType::Utf8),
        ]))
    }

    fn key_columns(&self) -> &[String] {
        &self.key
    }

    async fn ask(&self, subject: &str, now: DateTime<Utc>) -> Result<RawResponse, IngestError> {
        let Some(client) = &self.client else {
            return Err(IngestError::new("ingest/no-network", "`lastfm` runs from recordings and does not ask"));
        };
        let (artist, title) = subject.split_once('\t').unwrap_or((subject, ""));
        let request = Request::get(NAME, &self.base_url)
            .query("method", "track.getInfo")
            .secret_query("api_key", &self.api_key)
            .query("artist", artist)
            .query("track", title)
            .query("autocorrect", "1")
            .query("format", "json")
            // errors come with a status of their own and a body that says more
            .accept(400)
            .accept(403)
            .accept(404);
        let response = client.send(&request).await?.into_raw(subject, &request, now);
        match refused(&response) {
            Some(error) => Err(error),
            None => Ok(response),
        }
    }

    fn recording(&self) -> &'static str {
        "lastfm/track_info.jsonl"
    }

    fn not_found(&self) -> RecordedAnswer {
        RecordedAnswer { status: 200, payload: json!({"error": NOT_FOUND, "message": "Track not found", "links": []}).to_string() }
    }

    fn parse(&self, response: &RawResponse) -> Result<Vec<Vec<Cell>>, Unusable> {
        if let Some(error) = refused(response) {
            return Err(Unusable::Refused(error));
        }
        let (artist, title) = response.subject.split_once('\t').unwrap_or((&response.subject, ""));
        let body: Json = serde_json::from_str(&response.payload).map_err(|e| {
            format!("the answer for `{artist} - {title}` is not JSON (byte {} of {}): {e}", e.column(), response.payload.len())
        })?;
        let tags = match error_code(&body) {
            Some(_) => vec![],
            None => tags(&body)?,
        };
        Ok(vec![vec![artist.into(), title.into(), Cell::array(&tags), Cell::moment(response.fetched_at), response.subject.as_str().into()]])
    }

    fn replaces(&self, subject: &str) -> Option<(&'static str, String)> {
        Some(("KEY", subject.to_owned()))
    }
}

fn error_code(body: &Json) -> Option<i64> {
    let code = body.get("error")?;
    code.as_i64().or_else(|| code.as_str()?.parse().ok())
}

/// An error other than "not found", whatever the status.
fn refused(response: &RawResponse) -> Option<IngestError> {
    let body: Option<Json> = serde_json::from_str(&response.payload).ok();
    let code = body.as_ref().and_then(error_code);
    let what = match code {
        Some(NOT_FOUND) => return None,
        Some(code) => {
            let message = body.as_ref().and_then(|b| b.get("message")?.as_str()).unwrap_or("no message");
            format!("{message} (error {code})")
        }
        None if (200..300).contains(&response.status) => return None,
        None => format!("HTTP status {}", response.status),
    };
    let error = IngestError::new("ingest/provider-error", format!("`lastfm` refuses `{}`: {what}", response.url));
    Some(match code {
        Some(10 | 26) => error.help("check `api_key` of the source's adapter"),
        Some(code) if TRANSIENT.contains(&code) => error.transient(),
        _ => error,
    })
}

/// `track.toptags.tag[].name`; one tag comes without its list, none as an empty text.
fn tags(body: &Json) -> Result<Vec<String>, String> {
    if body.get("track").is_none() {
        return Err("`/track` is missing".into());
    }
    let name = |tag: &Json| {
        tag.pointer("/name").and_then(Json::as_str).map(str::to_owned).ok_or("a tag of `/track/toptags/tag` has no `name`".to_owned())
    };
    match body.pointer("/track/toptags/tag") {
        Some(Json::Array(tags)) => tags.iter().map(name).collect(),
        Some(tag @ Json::Object(_)) => Ok(vec![name(tag)?]),
        _ => Ok(vec![]),
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{method, query_param},
    };

    use super::*;
    use crate::ingest::{Adapter, FetchContext, FetchedContent, registry, settings::tests::lookup_config};

    fn context(keys: &[(&str, &str)]) -> FetchContext {
        let row = |(artist, title): &(&str, &str)| {
            [("ARTIST".to_owned(), Some((*artist).to_owned())), ("TITLE".to_owned(), Some((*title).to_owned()))].into()
        };
        FetchContext { now: "2025-02-27T02:00:00Z".parse().expect("a moment"), keys: keys.iter().map(row).collect(), ..Default::default() }
    }

    fn adapter(settings: Json) -> Box<dyn Adapter> {
        registry::adapter(&lookup_config("lastfm", settings), &registry::AdapterEnv::new(".", None)).unwrap_or_else(|e| panic!("{e:?}"))
    }

    #[tokio::test]
    async fn tags_not_found_and_refusals() {
        let server = MockServer::start().await;
        for (track, status, body) in [
            ("APT.", 200, json!({"track": {"toptags": {"tag": [{"name": "pop"}, {"name": "k-pop"}]}}})),
            ("One", 200, json!({"track": {"toptags": {"tag": {"name": "rock"}}}})),
            ("None", 200, json!({"track": {"toptags": ""}})),
            ("Gone", 404, json!({"error": 6, "message": "Track not found"})),
            ("Bad", 403, json!({"error": 10, "message": "Invalid API key"})),
        ] {
            Mock::given(method("GET"))
                .and(query_param("track", track))
                .and(query_param("api_key", "s3cret"))
                .respond_with(ResponseTemplate::new(status).set_body_json(body))
                .mount(&server)
                .await;
        }
        let adapter = adapter(json!({"base_url": server.uri(), "api_key": "s3cret", "rate_per_s": 0}));
        let cx = context(&[("ROSÉ", "APT."), ("A", "One"), ("A", "None"), ("A", "Gone"), ("", "skipped"), ("A", "One")]);
        let fetched = adapter.fetch(None, &cx).await.expect("answers").expect("something");
        let FetchedContent::Responses(responses) = fetched.what else { panic!("responses") };
        assert!(responses.iter().all(|r| !r.url.contains("s3cret")));
        let parsed = adapter.parse(&responses);
        assert!(parsed.error.is_none() && parsed.rejected.is_empty());
        let table = datafusion::arrow::util::pretty::pretty_format_batches(&parsed.batches).expect("text");
        insta::assert_snapshot!(table.to_string().replace('\t', "<tab>"), @r##"
        +--------+-------+-----------------+---------------------+-----------+
        | ARTIST | TITLE | TAGS            | FETCHED_AT          | KEY       |
        +--------+-------+-----------------+---------------------+-----------+
        | ROSÉ   | APT.  | ["pop","k-pop"] | 2025-02-27T02:00:00 | ROSÉ<tab>APT. |
        | A      | One   | ["rock"]        | 2025-02-27T02:00:00 | A<tab>One     |
        | A      | None  | []              | 2025-02-27T02:00:00 | A<tab>None    |
        | A      | Gone  | []              | 2025-02-27T02:00:00 | A<tab>Gone    |
        +--------+-------+-----------------+---------------------+-----------+
        "##);
        assert!(adapter.fetch(Some(&fetched.position), &cx).await.expect("nothing new").is_none());
        let error = adapter.fetch(None, &context(&[("A", "Bad")])).await.expect_err("refused");
        assert!(error.message.ends_with("Invalid API key (error 10)"), "{error}");
        assert!(!error.message.contains("s3cret") && !error.transient);
    }

    #[test]
    fn other_bodies_are_rejected_or_refused() {
        let adapter = adapter(json!({"replay": "r"}));
        let response = |subject: &str, payload: &str| RawResponse {
            subject: subject.into(),
            url: "u".into(),
            status: 200,
            fetched_at: Default::default(),
            headers: "{}".into(),
            payload: payload.into(),
        };
        let parsed = adapter.parse(&[response("A\tB", "{}"), response("A\tC", r#"{"track":{}}"#), response("A\tD", "{\"tr")]);
        assert!(parsed.error.is_none());
        let reasons: Vec<&str> = parsed.rejected.iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(reasons[0], "`/track` is missing");
        assert!(reasons[1].starts_with("the answer for `A - D` is not JSON (byte 4 of 4)"), "{}", reasons[1]);
        assert!(adapter.parse(&[response("A\tB", "{}")]).error.is_some());
        let error = adapter.parse(&[response("A\tB", r#"{"error": 29, "message": "Rate limit"}"#)]).error.expect("refused");
        assert!(error.transient);
    }
}
