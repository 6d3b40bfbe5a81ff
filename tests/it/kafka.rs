//! Through a topic of librdkafka's mock cluster: simulated events, kills, broker errors, following.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
    types::{RDKafkaApiKey, RDKafkaRespErr as E},
};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str, partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(topic, partitions, 1).expect("a topic");
    cluster
}

fn project(cluster: &Cluster, adapter: &str) -> Sandbox {
    let sandbox = Sandbox::new("");
    sandbox.write(
        "sources.yml",
        &format!(
            "version: 2\nsources:\n  - name: streams\n    schema: RAW\n    tables:\n      - name: events\n        adapter:\n          \
             type: kafka\n          brokers: '{}'\n          topic: events\n{adapter}",
            cluster.bootstrap_servers()
        ),
    );
    sandbox
}

/// Lines of numbers, one message each.
fn produce(cluster: &Cluster, partitions: i32, numbers: std::ops::Range<u64>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("queue.buffering.max.messages", "2000000")
        .set("linger.ms", "20")
        .create()
        .expect("a producer");
    for n in numbers {
        let payload = format!("{{\"n\":{n}}}");
        let mut record: BaseRecord<'_, [u8], str> = BaseRecord::to("events").partition((n % partitions as u64) as i32).payload(&payload);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(50));
        }
    }
    producer.flush(Duration::from_secs(60)).expect("delivered");
}

/// Each number once and nothing else: count, distinct, sum.
#[track_caller]
fn expect_each_once(sandbox: &Sandbox, numbers: u64) {
    let sql =
        "select count(*) as c, count(distinct n) as d, count(distinct _partition || '@' || _offset) as o, sum(n) as s from raw.events";
    assert_eq!(sandbox.rows(sql), json!([{"C": numbers, "D": numbers, "O": numbers, "S": numbers * (numbers - 1) / 2}]));
}

#[test]
fn simulated_events_go_through_a_topic_as_they_go_into_a_file() {
    let cluster = cluster("events", 6);
    let columns = "          event_time: ts\n          partition_by: [event_date]\n          \
                   columns: {ts: number, userId: varchar, page: varchar, song: varchar, length: float}\n";
    let sandbox = project(&cluster, columns);
    let to = format!("kafka://{}/events", cluster.bootstrap_servers());
    let simulate = |out: [&str; 2]| {
        sandbox.run(&["simulate", "eventsim", "--events", "20000", "--days", "3", "--seed", "7", out[0], out[1]]).expect_code(0)
    };
    simulate(["--to", &to]);
    simulate(["--out", "events.jsonl"]);
    let lines: Vec<Value> = sandbox.read("events.jsonl").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(lines.len() > 10_000, "{}", lines.len());
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["rows, lag 0"]);
    let plays = lines.iter().filter(|l| l["page"] == "NextSong").count();
    let ts: i64 = lines.iter().map(|l| l["ts"].as_i64().expect("a moment")).sum();
    let sql = "select count(*) as c, count_if(page = 'NextSong') as p, sum(ts) as t, count(distinct event_date) as d,
               count_if(event_date <> to_timestamp(ts, 3)::date) as w, count_if(_key <> userid) as k from raw.events";
    assert_eq!(sandbox.rows(sql), json!([{"C": lines.len(), "P": plays, "T": ts, "D": 3, "W": 0, "K": 0}]));
    // nothing new is nothing done
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    assert_eq!(sandbox.results(), [("streams".to_owned(), "no-op".to_owned())]);
    // the wrong address is a fault that says so
    let ran = sandbox.run(&["simulate", "eventsim", "--events", "10", "--to", "kafka://127.0.0.1:1/events"]).expect_code(1);
    ran.expect_all(&["no Kafka broker answers at `127.0.0.1:1`"]);
    sandbox.run(&["simulate", "eventsim", "--to", "kafka://nowhere"]).expect_code(2).expect_all(&["names no broker and topic"]);
}

#[test]
fn each_message_is_there_once_after_kills_and_broker_errors() {
    const MESSAGES: u64 = 200_000;
    let cluster = cluster("events", 16);
    let sandbox = project(&cluster, "          columns: {n: number}\n          batch_messages: 7000\n          timeout_s: 20\n");
    produce(&cluster, 16, 0..MESSAGES);
    let mut chance = ChaCha8Rng::seed_from_u64(20_260_227);
    let (mut killed, mut seen) = (0, 0);
    for round in 0..50_u64 {
        // the fetch of a broker that fails now and then; the client asks again
        cluster.request_errors(
            RDKafkaApiKey::Fetch,
            &[E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, E::RD_KAFKA_RESP_ERR__TRANSPORT],
        );
        let mut process =
            sandbox.command(&["ingest"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let moment = Duration::from_millis(chance.random_range(300..2_500));
        let begun = Instant::now();
        let ended = loop {
            if let Some(status) = process.try_wait().expect("it can be asked") {
                break Some(status);
            }
            if begun.elapsed() >= moment {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if ended.is_some() {
            break;
        }
        process.kill().expect("it can be killed, or has ended");
        process.wait().expect("it ends");
        killed += 1;
        // what is there is a prefix of every partition, each message once
        if round % 10 == 0 {
            let ran = sandbox.run(&["sql", "--output", "json", "select count(*) as c, count(distinct n) as d from raw.events"]);
            if ran.code == Some(0) {
                let rows: Value = serde_json::from_str(&ran.out).expect("JSON");
                assert_eq!(rows[0]["C"], rows[0]["D"], "after {killed} kills");
                let now = rows[0]["C"].as_u64().expect("a count");
                assert!(now >= seen, "{now} rows after {seen}");
                seen = now;
            }
        }
    }
    assert!(killed > 0, "no ingest was disturbed");
    sandbox.run(&["ingest"]).expect_code(0);
    expect_each_once(&sandbox, MESSAGES);
}

#[test]
fn following_commits_what_comes_until_it_is_stopped() {
    let cluster = cluster("events", 2);
    let sandbox = project(&cluster, "          columns: {n: number}\n          batch_s: 0.2\n");
    produce(&cluster, 2, 0..100);
    let mut process = sandbox
        .command(&["ingest", "--follow"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let holds = |rows: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ran = sandbox.run(&["sql", "--output", "json", "select count(*) as c from raw.events"]);
            if ran.code == Some(0) && serde_json::from_str::<Value>(&ran.out).expect("JSON")[0]["C"] == json!(rows) {
                return;
            }
            assert!(Instant::now() < deadline, "{ran:?}");
        }
    };
    holds(100);
    produce(&cluster, 2, 100..250);
    holds(250);
    let interrupt = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("a signal");
    assert!(interrupt.success());
    assert_eq!(process.wait().expect("it ends").code(), Some(0));
    expect_each_once(&sandbox, 250);
}

#[test]
fn a_followed_build_takes_what_comes_through_the_models() {
    let cluster = cluster("events", 2);
    let sandbox =
        project(&cluster, "          columns: {n: number, ts: number}\n          event_time: ts\n          partition_by: [event_date]\n");
    sandbox.write(
        "models/days.sql",
        "{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='event_date') }}\n\
         select event_date, count(*) as plays, sum(n) as total from {{ source('streams', 'events') }}\n\
         {% if is_incremental() %}where event_date in (select event_date from {{ source('streams', 'events') }} e\n\
         left join {{ this }} d using (event_date) group by event_date having count(*) <> coalesce(max(d.plays), 0)){% endif %}\n\
         group by event_date\n",
    );
    let send = |numbers: std::ops::Range<u64>, day: u64| {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
        for n in numbers {
            let payload = format!("{{\"n\":{n},\"ts\":{}}}", day * 86_400);
            producer.send(BaseRecord::<(), _>::to("events").payload(&payload)).expect("sent");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
    };
    send(0..10, 20_000);
    let out = sandbox.path().join("out.txt");
    let mut process = sandbox
        .command(&["build", "--follow", "--every", "0.2"])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let holds = |expect: Value| {
        let deadline = Instant::now() + Duration::from_secs(120);
        let sql = "select plays, total from days order by event_date";
        loop {
            let ran = sandbox.run(&["sql", "--output", "json", sql]);
            if ran.code == Some(0) && serde_json::from_str::<Value>(&ran.out).expect("JSON") == expect {
                return;
            }
            assert!(Instant::now() < deadline, "{expect}: {ran:?}\n{}", std::fs::read_to_string(&out).unwrap_or_default());
        }
    };
    holds(json!([{"PLAYS": 10, "TOTAL": 45}]));
    send(10..12, 20_001);
    holds(json!([{"PLAYS": 10, "TOTAL": 45}, {"PLAYS": 2, "TOTAL": 21}]));
    // an event that comes late is one of its own day
    send(100..101, 20_000);
    holds(json!([{"PLAYS": 11, "TOTAL": 145}, {"PLAYS": 2, "TOTAL": 21}]));
    let interrupt = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("a signal");
    assert!(interrupt.success());
    assert_eq!(process.wait().expect("it ends").code(), Some(0));
    let told = std::fs::read_to_string(&out).expect("the lines");
    assert!(!told.contains("nothing new"), "rounds without anything new are not told: {told}");
}
