//! Charts from real contents, from servers on the loopback interface, and from replay folders.

use std::{fmt::Write as _, path::Path};

use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
    util::pretty::pretty_format_batches,
};
use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string, header, method, path, query_param},
};

use super::*;
use crate::ingest::{FetchedContent, registry, settings::tests::config};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/charts/2025-02-27");

fn adapter_on(root: &Path, run_date: Option<&str>, settings: serde_json::Value) -> Box<dyn Adapter> {
    let env = registry::AdapterEnv::new(root, run_date.map(|d| d.parse().expect("a date")));
    registry::adapter(&config("chart", settings), &env).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn at(now: &str) -> FetchContext {
    FetchContext { now: now.parse().expect("a moment"), keys: vec![], ..Default::default() }
}

/// What one fetch gives and the new position.
async fn step(adapter: &dyn Adapter, position: Option<&str>, now: &str) -> Option<(Vec<RawResponse>, String)> {
    let fetched = adapter.fetch(position, &at(now)).await.unwrap_or_else(|e| panic!("{e}"))?;
    let FetchedContent::Responses(responses) = fetched.what else { panic!("charts give responses") };
    Some((responses, fetched.position))
}

fn raw(subject: &str, payload: &str) -> RawResponse {
    RawResponse {
        subject: subject.into(),
        url: "u".into(),
        status: 200,
        fetched_at: "2025-02-27T02:10:00Z".parse().expect("a moment"),
        headers: "{}".into(),
        payload: payload.into(),
    }
}

/// Landing rows in the shape of the CSV beside each recording.
fn to_csv(parsed: &Parsed, columns: &str) -> String {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(columns.split(',')).expect("written");
    for batch in &parsed.batches {
        for row in 0..batch.num_rows() {
            let record = columns.split(',').map(|name| {
                let name = name.chars().fold(String::new(), |mut upper, c| {
                    if c.is_uppercase() {
                        upper.push('_');
                    }
                    upper.extend(c.to_uppercase());
                    upper
                });
                let column = batch.column_by_name(&name).expect("a column");
                let genie = batch.column_by_name("SOURCE").expect("there").as_string::<i32>().value(row) == "genie";
                if column.is_null(row) {
                    // Genie leaves the best rank out where it has none; the CSV says 0
                    return if genie { "0".to_owned() } else { String::new() };
                }
                match name.as_str() {
                    "RANK" | "LAST_POS" | "PEAK_POS" => column.as_primitive::<Int64Type>().value(row).to_string(),
                    "IS_NEW" if column.as_boolean().value(row) => "True".into(),
                    "IS_NEW" => "False".into(),
                    _ => column.as_string::<i32>().value(row).to_owned(),
                }
            });
            writer.write_record(record).expect("written");
        }
    }
    String::from_utf8(writer.into_inner().expect("flushed")).expect("UTF-8")
}

#[tokio::test]
async fn real_charts_give_exactly_their_csv() {
    for (provider, time) in [
        ("melon", "2025-02-27T11:00:00"),
        ("bugs", "2025-02-27T11:00:00"),
        ("genie", "2025-02-27T11:00:00"),
        ("flo", "2025-02-26T22:00:00"),
        ("vibe", "2025-02-27T07:00:00"),
    ] {
        let adapter = adapter_on(Path::new("/"), Some("2025-02-27"), json!({"provider": provider, "replay": FIXTURES}));
        let (responses, position) = step(&*adapter, None, "2026-01-01T00:00:00Z").await.expect("a chart");
        let parsed = adapter.parse(&responses);
        assert!(parsed.error.is_none() && parsed.rejected.is_empty(), "{provider}: {:?} {:?}", parsed.error, parsed.rejected);
        assert_eq!(parsed.replace, Some(("DATE".into(), vec!["2025-02-27".into()])));
        let expect = std::fs::read_to_string(format!("{FIXTURES}/{provider}_chart_2025-02-27.csv")).expect("the expectation");
        let columns = expect.lines().next().expect("a header");
        assert_eq!(to_csv(&parsed, columns), expect, "{provider}");
        let batch = &parsed.batches[0];
        assert_eq!(batch.schema(), adapter.schema());
        let shown = pretty_format_batches(&[batch.slice(0, 1)]).expect("text").to_string();
        assert!(shown.contains(time) && shown.contains("2025-02-27 "), "{shown}");
        assert!(step(&*adapter, Some(&position), "2026-01-01T00:00:00Z").await.is_none());
    }
}

#[tokio::test]
async fn requests_are_what_the_sites_expect() {
    let server = MockServer::start().await;
    let read = |provider: &str| std::fs::read_to_string(format!("{FIXTURES}/{provider}.json")).expect("a recording");
    let answer = |provider: &str| ResponseTemplate::new(200).set_body_string(read(provider));
    Mock::given(method("GET"))
        .and(path("/m6/chart/ent/songChartList.json"))
        .and(query_param("cpId", "AS40"))
        .and(query_param("cpKey", "k3y"))
        .and(header("user-agent", "app"))
        .respond_with(answer("melon"))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/api/getChartTrack"))
        .and(body_string("period_tp=day&svc_type=20152&size=100"))
        .respond_with(answer("bugs"))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/chart/j_RealTimeRankSongList.json"))
        .and(body_string("pgSize=200"))
        .respond_with(answer("genie"))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/chart/j_RankSongList.json"))
        .and(body_string("pgSize=200&ditc=W"))
        .respond_with(answer("genie"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/display/v1/browser/chart/1/list"))
        .and(query_param("mixYn", "N"))
        .and(header("x-gm-app-name", "FLO"))
        .respond_with(answer("flo"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/vibeWeb/musicapiweb/vibe/v1/chart/track/total"))
        .and(query_param("start", "1"))
        .and(query_param("display", "100"))
        .respond_with(answer("vibe"))
        .mount(&server)
        .await;
    for (rows, settings) in [
        (100, json!({"provider": "melon", "cp_key": "k3y", "user_agent": "app"})),
        (100, json!({"provider": "bugs", "period": "day", "svc_type": "domestic"})),
        (200, json!({"provider": "genie"})),
        (200, json!({"provider": "genie", "kind": "weekly"})),
        (100, json!({"provider": "flo"})),
        (100, json!({"provider": "vibe"})),
    ] {
        let mut settings = settings;
        settings["base_url"] = format!("{}/", server.uri()).into();
        settings["rate_per_s"] = 0.into();
        let adapter = adapter_on(Path::new("."), None, settings);
        // 01:10 of the 27th in Seoul
        let now = "2025-02-26T16:10:00Z";
        let (responses, position) = step(&*adapter, None, now).await.expect("a chart");
        assert!(responses.iter().all(|r| r.subject == "2025-02-27" && !r.url.contains("k3y")), "{}", responses[0].url);
        let parsed = adapter.parse(&responses);
        assert!(parsed.error.is_none() && parsed.rejected.is_empty());
        assert_eq!(parsed.batches[0].num_rows(), rows);
        // asked once in an invocation; in the next the same content is nothing new, a day later it is
        assert!(step(&*adapter, Some(&position), now).await.is_none());
        assert!(step(&*adapter, Some(&position), "2025-02-26T16:20:00Z").await.is_none());
        assert!(step(&*adapter, Some(&position), "2025-02-27T16:20:00Z").await.is_some());
    }
}

/// Tracks `from..=to` of a VIBE chart of `total`.
fn vibe(ranks: impl Iterator<Item = usize>, total: usize) -> String {
    let tracks: Vec<_> = ranks
        .map(|rank| {
            json!({"trackTitle": format!("t{rank}"), "artists": [{"artistName": "a"}, {"artistName": "b"}],
                   "rank": {"currentRank": rank, "rankVariation": 0, "isNew": false}})
        })
        .collect();
    json!({"response": {"result": {"chart": {"date": 1740607200000i64, "chartTotalCount": total, "items": {"tracks": tracks}}}}})
        .to_string()
}

#[tokio::test]
async fn pages_follow_until_the_count_and_failures_are_retried() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(503)).up_to_n_times(1).mount(&server).await;
    for (start, ranks) in [("1", 1..=100), ("101", 101..=150)] {
        Mock::given(method("GET"))
            .and(query_param("start", start))
            .respond_with(ResponseTemplate::new(200).set_body_string(vibe(ranks, 150)))
            .expect(1)
            .mount(&server)
            .await;
    }
    let settings = json!({"provider": "vibe", "base_url": server.uri(), "backoff_s": 0.001, "rate_per_s": 0});
    let adapter = adapter_on(Path::new("."), Some("2025-02-27"), settings);
    let (responses, _) = step(&*adapter, None, "2025-02-27T02:00:00Z").await.expect("a chart");
    assert_eq!(responses.len(), 2);
    let parsed = adapter.parse(&responses);
    assert_eq!((parsed.batches[0].num_rows(), parsed.rejected.len()), (150, 0));
    assert!(pretty_format_batches(&parsed.batches).expect("text").to_string().contains(r#"["a","b"]"#));
}

#[test]
fn unusable_payloads_are_rejected_with_their_reason() {
    for (provider, payload, code, reason) in [
        ("melon", r#"{"response": {"SONGLIST": []}}"#, "ingest/empty-chart", "the chart is empty"),
        ("melon", r#"{"response": {}}"#, "ingest/changed-shape", "`/response/SONGLIST` is missing"),
        (
            "melon",
            r#"{"response": {"SONGLIST": [{}]}}"#,
            "ingest/changed-shape",
            "none of its 1 rows can be read; the first: `/CURRANK` is missing or empty",
        ),
        ("bugs", r#"{"ret_code": 300, "ret_msg": "닫힘"}"#, "ingest/provider-error", "it says `닫힘` (ret_code 300)"),
        ("genie", r#"{"Result": {"RetCode": "9", "RetMsg": "closed"}}"#, "ingest/provider-error", "it says `closed` (RetCode 9)"),
        (
            "vibe",
            r#"{"response": {"resu"#,
            "ingest/broken-json",
            "the JSON breaks off at byte 19 of 19: EOF while parsing a string at line 1 column 19",
        ),
        ("flo", "<html>", "ingest/broken-json", "the response is not JSON at byte 1 of 6: expected value at line 1 column 1"),
    ] {
        let adapter = adapter_on(Path::new("."), None, json!({"provider": provider, "replay": "r"}));
        let parsed = adapter.parse(&[raw("2025-02-27", payload)]);
        let error = parsed.error.expect("an error");
        assert_eq!(error.message, format!("the chart of `{provider}` for 2025-02-27 cannot be used: {reason} (u)"));
        assert_eq!((error.code, parsed.rejected[0].reason.as_str()), (code, reason));
        assert_eq!((parsed.rejected[0].record.as_str(), parsed.batches.len(), parsed.replace), (payload, 0, None));
    }
}

#[test]
fn bad_ranks_and_rows_are_set_aside_and_good_days_land() {
    let adapter = adapter_on(Path::new("."), None, json!({"provider": "vibe", "replay": "r"}));
    let mut bad: serde_json::Value = serde_json::from_str(&vibe([1, 2, 2, 9, 5].into_iter(), 5)).expect("JSON");
    bad["response"]["result"]["chart"]["items"]["tracks"][4]["trackTitle"] = json!(7);
    let parsed = adapter.parse(&[raw("2025-02-27", &bad.to_string()), raw("2025-02-28", "{"), raw("2025-03-01", &vibe(1..=3, 3))]);
    let mut shown = String::new();
    for reject in &parsed.rejected {
        writeln!(shown, "{} | {}", reject.position, reject.reason).expect("text");
    }
    insta::assert_snapshot!(shown, @r##"
    vibe 2025-02-27: /response/result/chart/items/tracks/2 | rank 2 stands twice
    vibe 2025-02-27: /response/result/chart/items/tracks/3 | rank 9 in a chart of 5 rows
    vibe 2025-02-27: /response/result/chart/items/tracks/4 | `/trackTitle` is a number, not a text
    vibe 2025-02-28: u | the JSON breaks off at byte 1 of 1: EOF while parsing an object at line 1 column 1
    "##);
    assert_eq!(parsed.replace, Some(("DATE".into(), vec!["2025-02-27".into(), "2025-03-01".into()])));
    assert_eq!(parsed.batches[0].num_rows(), 5);
    assert_eq!(parsed.error.expect("of the 28th").code, "ingest/broken-json");
}

#[tokio::test]
async fn days_of_a_replay_folder_land_once() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |day: &str, rows: usize| {
        std::fs::create_dir_all(root.path().join("r/vibe")).expect("made");
        std::fs::write(root.path().join(format!("r/vibe/{day}.json")), vibe(1..=rows, rows)).expect("written");
    };
    let subjects = |step: Option<(Vec<RawResponse>, String)>| {
        step.map(|(responses, position)| (responses.iter().map(|r| r.subject[8..].to_owned()).collect::<Vec<_>>(), position))
    };
    for day in ["2025-02-25", "2025-02-26", "2025-02-27", "2025-02-28"] {
        write(day, 3);
    }
    let settings = json!({"provider": "vibe", "replay": "r"});
    let all = adapter_on(root.path(), None, settings.clone());
    let until = adapter_on(root.path(), Some("2025-02-27"), settings.clone());
    let now = "2026-01-01T00:00:00Z";
    let (days, position) = subjects(step(&*until, None, now).await).expect("days");
    assert_eq!(days, ["25", "26", "27"]);
    assert!(step(&*until, Some(&position), now).await.is_none());
    write("2025-02-26", 2); // a landed day that is not asked for
    write("2025-02-27", 2); // the day of the run has changed
    let (days, position) = subjects(step(&*until, Some(&position), now).await).expect("the changed day");
    assert_eq!(days, ["27"]);
    let (days, position) = subjects(step(&*all, Some(&position), now).await).expect("the rest");
    assert_eq!(days, ["28"]);
    assert!(step(&*all, Some(&position), now).await.is_none());

    let early = adapter_on(root.path(), Some("2025-01-01"), settings);
    let error = early.fetch(None, &at(now)).await.expect_err("nothing so early");
    assert_eq!(error.message, "the replay folder `r` has recordings of `vibe` only after 2025-01-01");
    let missing = adapter_on(root.path(), None, json!({"provider": "flo", "replay": "r"}));
    assert_eq!(missing.fetch(None, &at(now)).await.expect_err("none").message, "the replay folder `r` has no recording of `flo`");
    let skipped = adapter_on(root.path(), None, json!({"provider": "flo", "replay": "r", "on_missing": "skip"}));
    assert!(step(&*skipped, None, now).await.is_none());
    assert_eq!(all.fetch(Some("{"), &at(now)).await.expect_err("broken").code, "ingest/position");
}

#[tokio::test]
async fn weekly_files_land_by_week() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |country: &str, week: &str, text: &str| {
        let folder = root.path().join("r/spotify_weekly").join(country);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join(format!("regional-{country}-weekly-{week}.csv")), text).expect("written");
    };
    let head = "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,weeks_on_chart,streams\n";
    write("kr", "2025-02-20", &format!("{head}1,spotify:track:A,\"ROSÉ, Bruno Mars\",APT.,Atlantic,1,1,18,2000\n"));
    write("kr", "2025-02-27", &format!("{head}1,spotify:track:A,ROSÉ,APT.,,1,-1,19,2100\n1,spotify:track:B,B,B,L,1,1,1,1\nx,y\n"));
    write("us", "2025-02-27", &format!("{head}1,spotify:track:C,C,\"C \"\"x\"\"\",L,1,1,1,\n"));
    write("us", "2025-03-06", head);
    let adapter = adapter_on(root.path(), Some("2025-03-01"), json!({"provider": "spotify_weekly", "replay": "r"}));
    let (responses, position) = step(&*adapter, None, "2026-01-01T00:00:00Z").await.expect("weeks");
    let subjects: Vec<&str> = responses.iter().map(|r| r.subject.as_str()).collect();
    assert_eq!(subjects, ["kr/2025-02-20", "kr/2025-02-27", "us/2025-02-27"]);
    let parsed = adapter.parse(&responses);
    assert!(parsed.error.is_none());
    insta::assert_snapshot!(pretty_format_batches(&parsed.batches).expect("text"), @r##"
    +------+-----------------+----------+------------------+-----------------------+------------+----------+-----------+---------------+----------------+---------+---------+------------+
    | RANK | URI             | TRACK_ID | ARTIST_NAMES     | ARTISTS               | TRACK_NAME | LABEL    | PEAK_RANK | PREVIOUS_RANK | WEEKS_ON_CHART | STREAMS | COUNTRY | WEEK       |
    +------+-----------------+----------+------------------+-----------------------+------------+----------+-----------+---------------+----------------+---------+---------+------------+
    | 1    | spotify:track:A | A        | ROSÉ, Bruno Mars | ["ROSÉ","Bruno Mars"] | APT.       | Atlantic | 1         | 1             | 18             | 2000    | kr      | 2025-02-20 |
    | 1    | spotify:track:A | A        | ROSÉ             | ["ROSÉ"]              | APT.       |          | 1         | -1            | 19             | 2100    | kr      | 2025-02-27 |
    | 1    | spotify:track:C | C        | C                | ["C"]                 | C "x"      | L        | 1         | 1             | 1              |         | us      | 2025-02-27 |
    +------+-----------------+----------+------------------+-----------------------+------------+----------+-----------+---------------+----------------+---------+---------+------------+
    "##);
    let rejects: Vec<String> = parsed.rejected.iter().map(|r| format!("{} {}", r.position, r.reason)).collect();
    assert_eq!(
        rejects,
        [
            "replay:r/spotify_weekly/kr/regional-kr-weekly-2025-02-27.csv:3 rank 1 stands twice",
            "replay:r/spotify_weekly/kr/regional-kr-weekly-2025-02-27.csv:4 2 fields under 9 columns",
        ]
    );
    assert!(step(&*adapter, Some(&position), "2026-01-01T00:00:00Z").await.is_none());
    // a country that comes later brings its whole week again
    write("global", "2025-02-20", &format!("{head}1,spotify:track:A,A,A,L,1,1,1,1\n"));
    let (responses, _) = step(&*adapter, Some(&position), "2026-01-01T00:00:00Z").await.expect("a week");
    assert_eq!(responses.iter().map(|r| r.subject.as_str()).collect::<Vec<_>>(), ["global/2025-02-20", "kr/2025-02-20"]);
    // an empty file keeps its week from landing
    let late = adapter_on(root.path(), None, json!({"provider": "spotify_weekly", "replay": "r"}));
    let (responses, _) = step(&*late, None, "2026-01-01T00:00:00Z").await.expect("weeks");
    let parsed = late.parse(&responses);
    assert_eq!(parsed.replace, Some(("WEEK".into(), vec!["2025-02-20".into(), "2025-02-27".into()])));
    assert!(parsed.error.expect("of the empty file").message.contains("`us` for 2025-03-06 cannot be used: the chart is empty"));
}
