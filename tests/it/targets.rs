//! The reference project with its events from a topic and from a bucket, up to a gold table.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::mocking::MockCluster;
use serde_json::Value;

use crate::{
    bucket::Bucket,
    sandbox::{Ran, Sandbox},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    let output = |name: &str| {
        let path = sandbox.path().join("warehouse").display().to_string();
        format!("    {name}: {{type: datafusion, path: '{path}', database: S4TIFY, schema: DEV, threads: 2}}\n")
    };
    sandbox.write("profiles.yml", &format!("s4tify:\n  target: dev\n  outputs:\n{}{}{}", output("dev"), output("kafka"), output("s3")));
    sandbox
}

fn build(sandbox: &Sandbox, target: &str) -> Ran {
    sandbox.run(&[
        "build",
        "--project-dir",
        ROOT,
        "--profiles-dir",
        ".",
        "--target-path",
        &sandbox.path().join("target").display().to_string(),
        "--target",
        target,
        "--select",
        "+eventsim_song_counts",
        "eventsim_artist_counts",
    ])
}

fn plays(sandbox: &Sandbox, target: &str) -> Value {
    let sql = "select sum(song_count) as plays, count(*) as songs from analytics.eventsim_song_counts";
    let target_path = sandbox.path().join("target").display().to_string();
    let args =
        ["sql", "--project-dir", ROOT, "--profiles-dir", ".", "--target-path", &target_path, "--target", target, "--output", "json", sql];
    let ran = sandbox.run(&args).expect_code(0);
    serde_json::from_str(&ran.out).expect("rows")
}

/// Simulated events, a line each.
fn events(sandbox: &Sandbox) -> Vec<String> {
    sandbox.run(&["simulate", "eventsim", "--events", "4000", "--days", "3", "--seed", "7", "--out", "events.jsonl"]).expect_code(0);
    sandbox.read("events.jsonl").lines().map(str::to_owned).collect()
}

/// Plays, as the log tells them apart.
fn songs(events: &[String]) -> u64 {
    let event = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
    let plays = events.iter().map(event).filter(|e| e["song"].is_string());
    plays.map(|e| (e["userId"].to_string(), e["ts"].to_string(), e["song"].to_string())).collect::<BTreeSet<_>>().len() as u64
}

#[test]
fn events_of_a_topic_reach_the_gold_tables() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("eventsim_music_streaming", 4, 1).expect("a topic");
    let sandbox = sandbox().with_env("KAFKA_BROKERS", &cluster.bootstrap_servers());
    let events = events(&sandbox);
    let to = format!("kafka://{}/eventsim_music_streaming", cluster.bootstrap_servers());
    sandbox.run(&["simulate", "eventsim", "--events", "4000", "--days", "3", "--seed", "7", "--to", &to]).expect_code(0);
    build(&sandbox, "kafka").expect_code(0).expect_all(&["lag 0"]);
    assert_eq!(plays(&sandbox, "kafka")[0]["PLAYS"].as_u64(), Some(songs(&events)));
}

#[test]
fn events_of_a_bucket_reach_the_gold_tables() {
    let bucket = Bucket::new();
    let sandbox = sandbox()
        .with_env("S3_BUCKET", "data")
        .with_env("S3_PREFIX", "events")
        .with_env("S3_ENDPOINT", &bucket.endpoint())
        .with_env("S3_ALLOW_HTTP", "true")
        .with_env("AWS_ACCESS_KEY_ID", "key")
        .with_env("AWS_SECRET_ACCESS_KEY", "secret");
    let events = events(&sandbox);
    let mut days: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for line in &events {
        let ts = serde_json::from_str::<Value>(line).expect("JSON")["ts"].as_i64().expect("a moment");
        let day = chrono::DateTime::from_timestamp_millis(ts).expect("a moment").date_naive();
        days.entry(day.to_string()).or_default().push(line);
    }
    let mut days: Vec<(String, Vec<&String>)> = days.into_iter().collect();
    let (last, late) = days.pop().expect("a day");
    let text = |lines: &[&String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    for (day, lines) in &days {
        bucket.put(&format!("events/event_date={day}/a.jsonl"), text(lines));
    }
    build(&sandbox, "s3").expect_code(0);
    bucket.put(&format!("events/event_date={last}/a.jsonl"), text(&late));
    build(&sandbox, "s3").expect_code(0);
    assert_eq!(plays(&sandbox, "s3")[0]["PLAYS"].as_u64(), Some(songs(&events)));
}
