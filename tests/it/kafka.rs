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
    configure(&sandbox, cluster, adapter);
    sandbox
}

fn configure(sandbox: &Sandbox, cluster: &Cluster, adapter: &str) {
    sandbox.write(
        "sources.yml",
        &format!(
            "version: 2\nsources:\n  - name: streams\n    schema: RAW\n    tables:\n      - name: events\n        adapter:\n          \
             type: kafka\n          brokers: '{}'\n          topic: events\n{adapter}",
            cluster.bootstrap_servers()
        ),
    );
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
                   columns: {ts: number, userId: varchar, page: varchar, song: varchar, length: float}\n        \
                   freshness: {error_after: {count: 1, period: day}}\n";
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
    let results = sandbox.json("target/run_results.json");
    assert_eq!(results["results"][0]["adapter_response"]["lag"], json!({"0": 0, "1": 0, "2": 0, "3": 0, "4": 0, "5": 0}));
    // without a field that says so it is the messages' own time that tells their age
    sandbox.run(&["source", "freshness"]).expect_code(0).expect_all(&["PASS     freshness of streams.events"]);
    // nothing new is nothing done
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    assert_eq!(sandbox.results(), [("streams".to_owned(), "no-op".to_owned())]);
    // the wrong address is a fault that says so
    let ran = sandbox.run(&["simulate", "eventsim", "--events", "10", "--to", "kafka://127.0.0.1:1/events"]).expect_code(1);
    ran.expect_all(&["no Kafka broker answers at `127.0.0.1:1`"]);
    sandbox.run(&["simulate", "eventsim", "--to", "kafka://nowhere"]).expect_code(2).expect_all(&["names no broker and topic"]);
}

/// Some cannot be taken: they are rejected with the rows of their commit, in a commit of their own before it.
fn is_bad(n: u64) -> bool {
    n.is_multiple_of(4_999)
}

/// Entries of the logs of the landing table and of its rejects.
fn commits(sandbox: &Sandbox) -> usize {
    let logs = ["EVENTS", "EVENTS__REJECTED"].map(|table| sandbox.path().join("warehouse/SHOP/RAW").join(table).join("_delta_log"));
    let entries = logs.iter().filter_map(|log| std::fs::read_dir(log).ok()).flatten().filter_map(Result::ok);
    entries.filter(|e| e.path().extension().is_some_and(|e| e == "json")).count()
}

/// Runs an ingest until `is_time`, then kills it; `false` when it has ended before.
fn killed(sandbox: &Sandbox, mut is_time: impl FnMut() -> bool) -> bool {
    let mut process =
        sandbox.command(&["ingest"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    loop {
        if let Some(status) = process.try_wait().expect("it can be asked") {
            assert_eq!(status.code(), Some(0), "an ingest that nobody killed failed");
            return false;
        }
        if is_time() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    process.kill().expect("it can be killed, or has ended");
    process.wait().expect("it ends").code().is_none()
}

/// Nothing is there twice, in the table or among its rejects.
#[track_caller]
fn expect_nothing_twice(sandbox: &Sandbox) -> u64 {
    let rows = sandbox.rows("select count(*) as c, count(distinct n) as d from raw.events");
    assert_eq!(rows[0]["C"], rows[0]["D"]);
    rows[0]["C"].as_u64().expect("a count")
}

/// Kills at every commit while three quarters of the messages are taken in, then at fifty random moments while the rest comes.
#[test]
fn each_message_is_there_once_after_kills_and_broker_errors() {
    const PARTITIONS: u64 = 16;
    const MESSAGES: u64 = 1_000_000;
    const AT_COMMITS: u64 = 750_000;
    const RANDOM: u64 = 50;
    let cluster = cluster("events", PARTITIONS as i32);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("queue.buffering.max.messages", "2000000")
        .set("linger.ms", "20")
        .create()
        .expect("a producer");
    let send = |numbers: std::ops::Range<u64>| {
        for n in numbers {
            let payload = if is_bad(n) { format!("{{\"n\":\"no {n}\"}}") } else { format!("{{\"n\":{n}}}") };
            let mut record: BaseRecord<'_, [u8], str> = BaseRecord::to("events").partition((n % PARTITIONS) as i32).payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(50));
            }
        }
        producer.flush(Duration::from_secs(60)).expect("delivered");
    };
    // the fetch of a broker that fails now and then; the client asks again
    let disturb = || {
        cluster.request_errors(
            RDKafkaApiKey::Fetch,
            &[E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, E::RD_KAFKA_RESP_ERR__TRANSPORT],
        );
    };
    let settings = |batch: u64| format!("          columns: {{n: number}}\n          batch_messages: {batch}\n          timeout_s: 20\n");
    let sandbox = project(&cluster, &settings(50_000));
    send(0..AT_COMMITS);
    let (mut at_commits, mut had) = (0, 0);
    loop {
        disturb();
        // behind the rejects of a commit, and behind its rows, in turns
        let enough = commits(&sandbox) + 1 + at_commits % 2;
        if !killed(&sandbox, || commits(&sandbox) >= enough) {
            break;
        }
        at_commits += 1;
        if at_commits % 10 == 0 {
            let has = expect_nothing_twice(&sandbox);
            assert!(has >= had, "{has} rows after {had}");
            had = has;
        }
    }
    assert!(at_commits + 2 >= 2 * AT_COMMITS as usize / 50_000, "{at_commits} kills at {} commits", commits(&sandbox));
    configure(&sandbox, &cluster, &settings(2_500));
    let mut chance = ChaCha8Rng::seed_from_u64(20_260_227);
    let (mut at_random, mut sent, mut longest) = (0, AT_COMMITS, Duration::from_secs(2));
    while at_random < RANDOM {
        let next = MESSAGES.min(sent + (MESSAGES - AT_COMMITS) / RANDOM);
        send(sent..next);
        sent = next;
        disturb();
        let (begun, moment) = (Instant::now(), longest.mul_f64(chance.random()));
        let mut is_down = false;
        let is_killed = killed(&sandbox, || {
            // a broker that is gone for a moment
            if at_random % 5 == 0 && !is_down && begun.elapsed() > moment / 2 {
                cluster.broker_down(1).expect("down");
                is_down = true;
            } else if is_down {
                cluster.broker_up(1).expect("up");
            }
            begun.elapsed() > moment
        });
        cluster.broker_up(1).expect("up");
        if is_killed {
            at_random += 1;
        } else {
            longest = begun.elapsed();
        }
    }
    expect_nothing_twice(&sandbox);
    send(sent..MESSAGES);
    sandbox.run(&["ingest"]).expect_code(0);
    let bad: u64 = (0..MESSAGES).filter(|n| is_bad(*n)).count() as u64;
    let sum: u64 = (0..MESSAGES).filter(|n| !is_bad(*n)).sum();
    let rows = MESSAGES - bad;
    let sql =
        "select count(*) as c, count(distinct n) as d, count(distinct _partition * 10000000 + _offset) as o, sum(n) as s from raw.events";
    assert_eq!(sandbox.rows(sql), json!([{"C": rows, "D": rows, "O": rows, "S": sum}]));
    let sql = "select count(*) as c, count(distinct position) as p, count(distinct record) as r from raw.events__rejected";
    assert_eq!(sandbox.rows(sql), json!([{"C": bad, "P": bad, "R": bad}]));
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
    let days: Vec<&str> = told.lines().filter(|line| line.contains("DEV.DAYS")).collect();
    assert!(days.len() >= 3, "{told}");
    assert!(!told.contains("nothing new"), "rounds without anything new are not told: {told}");
}

#[test]
fn a_followed_microbatch_computes_only_the_days_that_were_touched() {
    let cluster = cluster("events", 2);
    let sandbox = project(
        &cluster,
        "          columns: {n: number, ts: number}\n          event_time: ts\n          partition_by: [event_date]\n        \
         config: {event_time: event_date}\n",
    );
    let today = chrono::Utc::now().timestamp() / 86_400;
    let begin = chrono::DateTime::from_timestamp((today - 5) * 86_400, 0).expect("a day").format("%Y-%m-%d");
    sandbox.write(
        "models/days.sql",
        &format!(
            "{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='event_date', begin='{begin}',\n\
             batch_size='day', lookback=0, volatile=false) }}}}\n\
             select event_date, count(*) as plays, sum(n) as total, to_varchar(max(current_timestamp())) as made\n\
             from {{{{ source('streams', 'events') }}}} group by event_date\n"
        ),
    );
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
    let send = |days_ago: i64, numbers: std::ops::Range<u64>| {
        for n in numbers {
            let payload = format!("{{\"n\":{n},\"ts\":{}}}", (today - days_ago) * 86_400 + 3600);
            producer.send(BaseRecord::<(), _>::to("events").payload(&payload)).expect("sent");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
    };
    send(4, 0..10);
    send(3, 10..30);
    send(1, 30..60);
    let out = sandbox.path().join("out.txt");
    let mut process = sandbox
        .command(&["build", "--follow", "--every", "0.2"])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // plays of each day, and when the day was computed
    let holds = |expect: [u64; 3]| -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let ran = sandbox.run(&["sql", "--output", "json", "select plays, made from days order by event_date"]);
            if ran.code == Some(0) {
                let rows: Vec<Value> = serde_json::from_str(&ran.out).expect("JSON");
                if rows.iter().map(|r| r["PLAYS"].as_u64()).eq(expect.map(Some)) {
                    return rows.into_iter().map(|r| r["MADE"].clone()).collect();
                }
            }
            assert!(Instant::now() < deadline, "{expect:?}: {ran:?}\n{}", std::fs::read_to_string(&out).unwrap_or_default());
        }
    };
    let first = holds([10, 20, 30]);
    // two events that come late, of one day
    send(3, 60..62);
    let second = holds([10, 22, 30]);
    assert_eq!((&first[0], &first[2]), (&second[0], &second[2]), "days that nothing came for stay as they are");
    assert_ne!(first[1], second[1]);
    send(4, 62..63);
    let third = holds([11, 22, 30]);
    assert_eq!((&second[1], &second[2]), (&third[1], &third[2]));
    assert_ne!(second[0], third[0]);
    let interrupt = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("a signal");
    assert!(interrupt.success());
    assert_eq!(process.wait().expect("it ends").code(), Some(0));
}
