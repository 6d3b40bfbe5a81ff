//! Look-ups against a server on the loopback interface and from recordings.

use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use super::*;
use crate::ingest::{FetchContext, Fetched, FetchedContent, http::ManualClock, registry, settings::tests::lookup_config};

fn context(now: &str, column: &str, keys: &[&str]) -> FetchContext {
    let row = |key: &&str| [(column.to_owned(), (!key.is_empty()).then(|| (*key).to_owned()))].into();
    FetchContext { now: now.parse().expect("a moment"), keys: keys.iter().map(row).collect(), ..Default::default() }
}

fn env(clock: &Arc<ManualClock>) -> AdapterEnv {
    AdapterEnv { clock: clock.clone(), ..AdapterEnv::new(".", None) }
}

fn adapter_in(env: &AdapterEnv, settings: Json) -> Box<dyn Adapter> {
    registry::adapter(&lookup_config("spotify_api", settings), env).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn responses(fetched: &Fetched) -> &[RawResponse] {
    let FetchedContent::Responses(responses) = &fetched.what else { panic!("look-ups give responses") };
    responses
}

async fn token_endpoint(server: &MockServer, token: &str, times: u64) {
    Mock::given(method("POST"))
        .and(path("/api/token"))
        .and(header("authorization", "Basic aWQ6c2VjcmV0"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": token, "expires_in": 3600})))
        .up_to_n_times(times)
        .mount(server)
        .await;
}

fn live(server: &MockServer, more: Json) -> Json {
    let mut settings = json!({"client_id": "id", "client_secret": "secret", "base_url": server.uri(), "rate_per_s": 0,
                              "token_url": format!("{}/api/token", server.uri()), "concurrency": 1});
    for (key, value) in more.as_object().expect("an object") {
        settings[key] = value.clone();
    }
    settings
}

#[tokio::test]
async fn tokens_are_renewed_before_expiry_and_when_refused() {
    let server = MockServer::start().await;
    for token in ["one", "two", "three"] {
        token_endpoint(&server, token, 1).await;
    }
    let artist = json!({"id": "A1", "name": "IVE", "genres": ["k-pop"], "popularity": 80});
    // `one` is good for one request, then revoked
    for (token, times) in [("one", 1), ("two", 10), ("three", 10)] {
        Mock::given(method("GET"))
            .and(path("/v1/artists/A1"))
            .and(header("authorization", format!("Bearer {token}").as_str()))
            .respond_with(ResponseTemplate::new(200).set_body_json(&artist))
            .up_to_n_times(times)
            .mount(&server)
            .await;
    }
    Mock::given(method("GET"))
        .and(header("authorization", "Bearer one"))
        .respond_with(ResponseTemplate::new(401).set_body_json(json!({"error": {"status": 401, "message": "The access token expired"}})))
        .mount(&server)
        .await;
    let clock = ManualClock::at("2025-02-27T02:00:00Z");
    let adapter = adapter_in(&env(&clock), live(&server, json!({"lookup": "artist"})));
    let cx = context("2025-02-27T02:00:00Z", "ARTIST_ID", &["A1"]);
    let asked = async || server.received_requests().await.expect("recorded").iter().filter(|r| r.url.path() == "/api/token").count();
    for (pass, tokens) in [(0, 1), (0, 2), (0, 2), (3539, 2), (2, 3)] {
        clock.advance(Duration::from_secs(pass));
        let fetched = adapter.fetch(None, &cx).await.unwrap_or_else(|e| panic!("{e}")).expect("an answer");
        assert!(adapter.parse(responses(&fetched)).error.is_none());
        assert_eq!(asked().await, tokens, "after {pass} s more");
    }
}

#[tokio::test]
async fn a_refused_fresh_token_and_bad_credentials_are_errors() {
    let server = MockServer::start().await;
    token_endpoint(&server, "t", 10).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401).set_body_json(json!({"error": {"message": "Bad token"}})))
        .mount(&server)
        .await;
    let clock = ManualClock::at("2025-02-27T02:00:00Z");
    let cx = context("2025-02-27T02:00:00Z", "ARTIST_ID", &["A1"]);
    let error = adapter_in(&env(&clock), live(&server, json!({"lookup": "artist"}))).fetch(None, &cx).await.expect_err("refused");
    assert!(error.message.ends_with("/v1/artists/A1`: Bad token"), "{error}");
    let settings = live(&server, json!({"lookup": "artist", "client_secret": "wrong"}));
    let error = adapter_in(&env(&clock), settings).fetch(None, &cx).await.expect_err("refused");
    assert_eq!(error.help.as_deref(), Some("check `client_id` and `client_secret` of the source's adapter"));
}

#[tokio::test]
async fn only_due_keys_are_asked_for_and_answers_before_a_failure_are_kept() {
    let server = MockServer::start().await;
    token_endpoint(&server, "t", 10).await;
    for (name, items) in [("IVE", json!([{"id": "A1", "name": "IVE", "genres": ["k-pop"], "popularity": 80}])), ("Nobody & Co", json!([]))]
    {
        Mock::given(method("GET"))
            .and(path("/v1/search"))
            .and(query_param("q", name))
            .and(query_param("type", "artist"))
            .and(query_param("limit", "1"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"artists": {"items": items}})))
            .mount(&server)
            .await;
    }
    Mock::given(method("GET"))
        .and(query_param("q", "Busy"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "5"))
        .mount(&server)
        .await;
    let clock = ManualClock::at("2025-02-27T02:00:00Z");
    let adapter = adapter_in(&env(&clock), live(&server, json!({"lookup": "search", "retries": 1, "batch_size": 2, "max_age_days": 7})));
    let keys = ["IVE", "", "Nobody & Co", "IVE", "Busy"];
    let cx = context("2025-02-27T02:00:00Z", "ARTIST", &keys);
    let fetched = adapter.fetch(None, &cx).await.expect("answers").expect("something");
    let parsed = adapter.parse(responses(&fetched));
    assert_eq!(parsed.replace, Some(("KEY".into(), vec!["IVE".into(), "Nobody & Co".into()])));
    insta::assert_snapshot!(pretty_format_batches(&parsed.batches).expect("text"), @r##"
    +-------------+-----------+--------+-----------+------------+---------------------+
    | KEY         | ARTIST_ID | ARTIST | GENRES    | POPULARITY | FETCHED_AT          |
    +-------------+-----------+--------+-----------+------------+---------------------+
    | IVE         | A1        | IVE    | ["k-pop"] | 80         | 2025-02-27T02:00:00 |
    | Nobody & Co |           |        | []        |            | 2025-02-27T02:00:00 |
    +-------------+-----------+--------+-----------+------------+---------------------+
    "##);
    let error = adapter.fetch(Some(&fetched.position), &cx).await.expect_err("busy");
    assert_eq!((error.code, error.transient, clock.slept()), ("ingest/rate-limited", true, vec![Duration::from_secs(5)]));
    // with more in a batch, what came before the failure is kept
    let adapter = adapter_in(&env(&clock), live(&server, json!({"lookup": "search", "retries": 0, "max_age_days": 7})));
    let kept = adapter.fetch(None, &cx).await.expect("answers").expect("something");
    assert_eq!(kept.position, fetched.position);
    // a week later they are due again
    for (now, due) in [("2025-03-05T02:00:00Z", 0), ("2025-03-06T02:00:00Z", 2)] {
        let fetched = adapter.fetch(Some(&kept.position), &context(now, "ARTIST", &keys[..3])).await.expect("answers");
        assert_eq!(fetched.map_or(0, |f| responses(&f).len()), due, "{now}");
    }
    let error = adapter.fetch(None, &context("2025-02-27T02:00:00Z", "NAME", &["IVE"])).await.expect_err("another column");
    assert_eq!(error.message, "the input of `spotify_api` has no column `ARTIST`");
}

#[tokio::test]
async fn recordings_answer_like_the_api() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(root.path().join("r/spotify_api")).expect("made");
    let write = |name: &str, lines: &[Json]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(root.path().join("r/spotify_api").join(name), text).expect("written");
    };
    write("search.jsonl", &[json!({"subject": "아이브", "status": 200, "body": {"artists": {"items": [{"id": "A1", "name": "IVE"}]}}})]);
    write("artist.jsonl", &[json!({"subject": "A1", "body": {"id": "A1", "name": "IVE", "genres": ["k-pop", "\"x\""], "popularity": 80}})]);
    let tracks = json!([{"id": "S1", "name": "REBEL HEART", "album": {"name": "EMPATHY"}}, {"id": "S2", "name": "I AM"}]);
    write("artist_top_tracks.jsonl", &[json!({"subject": "A1", "status": 200, "body": {"tracks": tracks}})]);
    write("track.jsonl", &[json!({"subject": "A1", "body": {"id": "A1", "name": "t", "artists": [{"id": "X", "name": "x"}]}})]);
    let env = AdapterEnv::new(root.path(), None);
    let mut shown = String::new();
    for (lookup, column, keys) in [
        ("search", "ARTIST", ["아이브", "gone"]),
        ("artist", "ARTIST_ID", ["A1", "gone"]),
        ("artist_top_tracks", "ID", ["A1", "gone"]),
        ("track", "TRACK_ID", ["A1", "gone"]),
    ] {
        let adapter = adapter_in(&env, json!({"lookup": lookup, "replay": "r", "key": column.to_lowercase()}));
        let cx = context("2025-02-27T02:00:00Z", column, &keys);
        let fetched = adapter.fetch(None, &cx).await.unwrap_or_else(|e| panic!("{e}")).expect("answers");
        let parsed = adapter.parse(responses(&fetched));
        assert!(parsed.error.is_none() && parsed.rejected.is_empty(), "{parsed:?}");
        shown += &format!("{}\n", pretty_format_batches(&parsed.batches).expect("text"));
        assert!(adapter.fetch(Some(&fetched.position), &cx).await.expect("nothing new").is_none());
    }
    insta::assert_snapshot!(shown, @r##"
    +--------+-----------+--------+--------+------------+---------------------+
    | KEY    | ARTIST_ID | ARTIST | GENRES | POPULARITY | FETCHED_AT          |
    +--------+-----------+--------+--------+------------+---------------------+
    | 아이브 | A1        | IVE    | []     |            | 2025-02-27T02:00:00 |
    | gone   |           |        | []     |            | 2025-02-27T02:00:00 |
    +--------+-----------+--------+--------+------------+---------------------+
    +------+-----------+--------+-------------------+------------+---------------------+
    | KEY  | ARTIST_ID | ARTIST | GENRES            | POPULARITY | FETCHED_AT          |
    +------+-----------+--------+-------------------+------------+---------------------+
    | A1   | A1        | IVE    | ["k-pop","\"x\""] | 80         | 2025-02-27T02:00:00 |
    | gone |           |        | []                |            | 2025-02-27T02:00:00 |
    +------+-----------+--------+-------------------+------------+---------------------+
    +-----------+---------+---------+-------------+---------------------+
    | ARTIST_ID | ALBUM   | SONG_ID | SONG        | FETCHED_AT          |
    +-----------+---------+---------+-------------+---------------------+
    | A1        | EMPATHY | S1      | REBEL HEART | 2025-02-27T02:00:00 |
    | A1        |         | S2      | I AM        | 2025-02-27T02:00:00 |
    +-----------+---------+---------+-------------+---------------------+
    +------+----------+------+------------+---------+---------------------+
    | KEY  | TRACK_ID | SONG | ARTIST_IDS | ARTISTS | FETCHED_AT          |
    +------+----------+------+------------+---------+---------------------+
    | A1   | A1       | t    | ["X"]      | ["x"]   | 2025-02-27T02:00:00 |
    | gone |          |      | []         | []      | 2025-02-27T02:00:00 |
    +------+----------+------+------------+---------+---------------------+
    "##);
}

#[test]
fn unusable_answers_are_rejected_or_refused() {
    let adapter = adapter_in(&AdapterEnv::new(".", None), json!({"lookup": "artist", "replay": "r"}));
    let answer = |status: u16, payload: &str| RawResponse {
        subject: "A1".into(),
        url: "u".into(),
        status,
        fetched_at: Default::default(),
        headers: "{}".into(),
        payload: payload.into(),
    };
    let parsed = adapter.parse(&[answer(200, r#"{"id": 1}"#), answer(200, r#"{"id": "A", "na"#), answer(404, "")]);
    let reasons: Vec<&str> = parsed.rejected.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons[0], "`/id` is missing or no text");
    assert!(reasons[1].starts_with("the answer for `A1` is not JSON (byte 15 of 15)"), "{}", reasons[1]);
    assert!(parsed.error.is_none());
    let error = adapter.parse(&[answer(403, r#"{"error": {"message": "no"}}"#)]).error.expect("refused");
    assert_eq!(error.message, "`spotify_api` answered 403 for `A1`: no");
    assert_eq!(adapter.parse(&[answer(200, "[]")]).error.expect("none readable").code, "ingest/changed-shape");
}

#[test]
fn settings_say_what_is_missing() {
    let config = crate::ingest::settings::tests::config("spotify_api", json!({"client_id": "x", "lookup": "album"}));
    let Err(faults) = registry::adapter(&config, &AdapterEnv::new(".", None)) else { panic!("faulty") };
    let messages: Vec<&str> = faults.0.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the `spotify_api` adapter needs `input:`, the relation whose keys are looked up",
            "`lookup` cannot be `album`",
            "the `spotify_api` adapter needs the setting `client_secret`",
        ]
    );
}
