//! Ingest as a user waits for it, beside a bare client of the same broker in the same run:
//!
//! `cargo bench --bench ingest -- [kafka | objects | large | all] [size]`
//!
//! | what | measured | size (default) |
//! |---|---|---|
//! | `kafka` | `segue ingest` of a topic of simulated events, before and after it a librdkafka consumer that only counts | messages (5,000,000) |
//! | `objects` | `segue ingest` of JSON-lines objects of a bucket, and the look at it when nothing is new | objects (10,000) |
//! | `large` | `segue ingest` of one JSON-lines object | megabytes (2,048) |
//!
//! `SEGUE_BINARY` names the binary to be measured; without it, it is the one that cargo built. Broker (librdkafka's mock
//! cluster, which keeps 5 MiB a partition: messages are packed, partitions are many) and bucket (s3s) run in this process, so
//! both sides of the ratio share the machine with them. Memory is the greatest resident size of the ingesting process.

#[allow(dead_code)]
#[path = "../tests/it/bucket.rs"]
mod bucket;

use std::{
    error::Error,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bucket::Bucket;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    config::FromClientConfig,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use segue::simulate::eventsim;

type Any<T> = Result<T, Box<dyn Error>>;
type Cluster = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "events";
/// Lines that go to one partition before the next one's turn.
const TURN: u64 = 500;
const WAIT: Duration = Duration::from_secs(30);

fn main() -> Any<()> {
    let mut words = std::env::args().skip(1).filter(|a| a != "--bench");
    let what = words.next().unwrap_or_else(|| "all".into());
    let size: Option<u64> = words.next().map(|s| s.replace(['_', ','], "").parse()).transpose()?;
    if !["kafka", "objects", "large", "all"].contains(&what.as_str()) {
        return Err(format!("`{what}` is none of kafka, objects, large, all").into());
    }
    let is = |name: &str| what == name || what == "all";
    let of = |default: u64| size.filter(|_| what != "all").unwrap_or(default);
    if is("kafka") {
        kafka(of(5_000_000))?;
    }
    if is("objects") {
        objects(of(10_000))?;
    }
    if is("large") {
        large(of(2_048))?;
    }
    Ok(())
}

/// How long a process took, and the most memory that it had.
struct Cost {
    seconds: f64,
    megabytes: f64,
}

fn segue(folder: &Path, args: &[&str]) -> Any<Cost> {
    let binary = std::env::var_os("SEGUE_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_segue")), PathBuf::from);
    let told = folder.join("told.txt");
    let begun = Instant::now();
    let mut command = Command::new(binary);
    let output = fs::File::create(&told)?;
    let mut child = command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut kilobytes: f64 = 0.0;
    let code = loop {
        if let Some(code) = child.try_wait()? {
            break code;
        }
        // the high-water mark of the kernel: a look now and then misses only what the last moment added
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        kilobytes = kilobytes.max(mark.unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(10));
    };
    if !code.success() {
        return Err(format!("{command:?} failed: {}", fs::read_to_string(&told)?).into());
    }
    Ok(Cost { seconds: begun.elapsed().as_secs_f64(), megabytes: kilobytes / 1024.0 })
}

/// A project with one source.
fn project(adapter: &str) -> Any<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("dbt_project.yml", "name: bench\nversion: '1'\nprofile: bench\n")?;
    write(
        "profiles.yml",
        "bench:\n  target: local\n  outputs:\n    local: {type: datafusion, path: warehouse, database: D, schema: S, threads: 4, memory_limit: 1GB}\n",
    )?;
    write("sources.yml", &format!("sources:\n  - name: raw\n    schema: RAW\n    tables: [{{name: {TOPIC}, adapter: {{{adapter}}}}}]\n"))?;
    Ok(folder)
}

/// Rows that landed must be those that were sent.
fn expect(folder: &Path, rows: u64) -> Any<()> {
    segue(folder, &["sql", "--output", "json", &format!("select count(*) as c from raw.{TOPIC}")])?;
    let told = fs::read_to_string(folder.join("told.txt"))?;
    let counted: serde_json::Value = serde_json::from_str(&told)?;
    match counted[0]["C"].as_u64() {
        Some(landed) if landed == rows => Ok(()),
        landed => Err(format!("{landed:?} rows landed of {rows}").into()),
    }
}

const EVENT: &str = "ts: number, userId: varchar, sessionId: number, page: varchar, auth: varchar, method: varchar, status: number, \
                     level: varchar, itemInSession: number, location: varchar, userAgent: varchar, lastName: varchar, firstName: varchar, \
                     registration: number, gender: varchar, artist: varchar, song: varchar, length: float";

fn kafka(messages: u64) -> Any<()> {
    // half of what fits: some partitions pack worse than others
    let partitions = i32::try_from((messages / 15_000).clamp(4, 512))?;
    let cluster: Cluster = MockCluster::new(1)?;
    cluster.create_topic(TOPIC, partitions, 1)?;
    let brokers = cluster.bootstrap_servers();
    let (sent, bytes) = fill(&brokers, partitions, messages)?;
    println!("kafka: {sent} events, {:.0} MB, over {partitions} partitions", bytes as f64 / 1e6);
    let before = bare(&brokers, partitions, sent)?;
    let folder = project(&format!(
        "type: kafka, brokers: '{brokers}', topic: {TOPIC}, event_time: ts, partition_by: [event_date], columns: {{{EVENT}}}"
    ))?;
    let own = segue(folder.path(), &["ingest"])?;
    expect(folder.path(), sent)?;
    let after = bare(&brokers, partitions, sent)?;
    let best = before.min(after);
    let rate = |seconds: f64| sent as f64 / seconds;
    println!("  bare consumer  {before:>8.2} s, then {after:.2} s  {:>10.0} messages/s", rate(best));
    println!("  segue ingest   {:>8.2} s  {:>10.0} messages/s  {:.0} MB", own.seconds, rate(own.seconds), own.megabytes);
    println!("  ratio          {:>8.2}", best / own.seconds);
    Ok(())
}

/// Lines as messages.
struct Lines {
    producer: BaseProducer,
    partitions: u64,
    rest: Vec<u8>,
    sent: u64,
    bytes: u64,
    most: u64,
}

impl Lines {
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if self.sent == self.most {
            return Ok(());
        }
        let partition = (self.sent / TURN % self.partitions) as i32;
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(TOPIC).partition(partition).payload(line);
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                return Err(io::Error::other(error));
            }
            record = back;
            self.producer.poll(Duration::from_millis(20));
        }
        self.sent += 1;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut from = 0;
        for end in text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at) {
            if self.rest.is_empty() {
                self.send(&text[from..end])?;
            } else {
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(&text[from..end]);
                self.send(&line)?;
            }
            from = end + 1;
        }
        self.rest.extend_from_slice(&text[from..]);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Messages and bytes that the topic holds.
fn fill(brokers: &str, partitions: i32, messages: u64) -> Any<(u64, u64)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("compression.type", "zstd").set("linger.ms", "200");
    config.set("batch.num.messages", "100000").set("queue.buffering.max.messages", "400000");
    let producer = BaseProducer::from_config(&config)?;
    let mut lines = Lines { producer, partitions: partitions.unsigned_abs().into(), rest: vec![], sent: 0, bytes: 0, most: messages };
    // a few more are made than were asked for, or a few less
    let options = eventsim::Options { events: Some(messages + messages / 20 + 1000), ..eventsim::Options::default() };
    eventsim::run(&options, &mut lines, &mut |_| {})?;
    lines.producer.flush(WAIT * 10)?;
    Ok((lines.sent, lines.bytes))
}

/// Seconds of a client that does nothing but count.
fn bare(brokers: &str, partitions: i32, messages: u64) -> Any<f64> {
    let begun = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(TOPIC, partition, Offset::Offset(0))?;
    }
    consumer.assign(&list)?;
    let (mut count, mut heard) = (0, Instant::now());
    while count < messages {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => {
                count += 1;
                heard = Instant::now();
            }
            Some(Err(error)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::AutoOffsetReset) => {
                return Err("the mock cluster has dropped messages: more partitions are needed".into());
            }
            _ if heard.elapsed() > WAIT => return Err(format!("{count} of {messages} messages came").into()),
            _ => {}
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn row(out: &mut impl Write, n: u64) -> io::Result<()> {
    writeln!(
        out,
        r#"{{"n":{n},"song":"Song {} of the year","artist":"Artist {}","length":{}.5,"at":"2025-02-{:02} 10:00:00","tags":["k-pop","{}"]}}"#,
        n % 5000,
        n % 700,
        100 + n % 200,
        1 + n % 28,
        n % 13
    )
}

const ROW: &str = "n: integer, song: varchar, artist: varchar, length: float, at: timestamp, tags: array";

fn of_bucket(bucket: &Bucket) -> Any<tempfile::TempDir> {
    project(&format!("type: s3, bucket: data, endpoint: '{}', allow_http: true, {}, columns: {{{ROW}}}", bucket.endpoint(), bucket.keys()))
}

fn objects(count: u64) -> Any<()> {
    const ROWS: u64 = 50;
    let bucket = Bucket::new();
    let mut bytes = 0;
    for object in 0..count {
        let mut text = vec![];
        for n in object * ROWS..(object + 1) * ROWS {
            row(&mut text, n)?;
        }
        bytes += text.len();
        bucket.put(&format!("day={:02}/{object:07}.jsonl", object % 28 + 1), text);
    }
    println!("objects: {count} objects, {:.0} MB", bytes as f64 / 1e6);
    let folder = of_bucket(&bucket)?;
    let own = segue(folder.path(), &["ingest"])?;
    expect(folder.path(), count * ROWS)?;
    println!("  segue ingest   {:>8.2} s  {:>10.0} objects/s  {:.0} MB", own.seconds, count as f64 / own.seconds, own.megabytes);
    let again = segue(folder.path(), &["ingest"])?;
    println!("  nothing new    {:>8.2} s  {:>10.0} objects/s  {:.0} MB", again.seconds, count as f64 / again.seconds, again.megabytes);
    Ok(())
}

fn large(megabytes: u64) -> Any<()> {
    let bucket = Bucket::new();
    let mut file = BufWriter::new(fs::File::create(bucket.path("large.jsonl"))?);
    let (mut bytes, mut n) = (0, 0);
    while bytes < megabytes << 20 {
        let mut line = vec![];
        row(&mut line, n)?;
        file.write_all(&line)?;
        bytes += line.len() as u64;
        n += 1;
    }
    file.into_inner()?;
    println!("large: one object of {:.0} MB, {n} rows", bytes as f64 / 1e6);
    let folder = of_bucket(&bucket)?;
    let own = segue(folder.path(), &["ingest"])?;
    expect(folder.path(), n)?;
    println!("  segue ingest   {:>8.2} s  {:>10.1} MB/s  {:.0} MB", own.seconds, bytes as f64 / 1e6 / own.seconds, own.megabytes);
    Ok(())
}
