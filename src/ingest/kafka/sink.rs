//! Lines to a topic: what `simulate --to kafka://...` writes.
//!
//! The producer is idempotent: a line that was retried is in the topic once. Makes the topic when it is missing and the
//! broker lets it; existing topics keep their partitions.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};

use crate::ingest::IngestError;

/// `kafka://host:port[,host:port]/topic?partitions=6&replication=1&key=userId&<property>=<value>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkAddress {
    pub brokers: String,
    pub topic: String,
    pub partitions: i32,
    pub replication: i32,
    /// A field of the JSON lines whose value is the key: one key's lines stay in order.
    pub key: Option<String>,
    pub properties: Vec<(String, String)>,
}

impl SinkAddress {
    /// Fails with what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = "an address has the shape `kafka://host:port/topic?partitions=6`";
        let rest = text.strip_prefix("kafka://").ok_or_else(|| format!("`{text}` is no address of a topic: {shape}"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (brokers, topic) = path
            .split_once('/')
            .filter(|(b, t)| !b.is_empty() && !t.is_empty())
            .ok_or_else(|| format!("`{text}` names no broker and topic: {shape}"))?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.len() > 249 || !topic.chars().all(legal) {
            return Err(format!("`{topic}` cannot name a topic: letters, digits, `.`, `_` and `-` can"));
        }
        let mut address = Self {
            brokers: brokers.into(),
            topic: topic.into(),
            partitions: 6,
            replication: 1,
            key: Some("userId".into()),
            properties: vec![],
        };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let number = || {
                value
                    .parse()
                    .ok()
                    .filter(|n| (1..=10_000).contains(n))
                    .ok_or_else(|| format!("`{key}` must be a number from 1 to 10000, not `{value}`"))
            };
            match key.as_ref() {
                "partitions" => address.partitions = number()?,
                "replication" => address.replication = number()?,
                "key" => address.key = (!value.is_empty()).then(|| value.into_owned()),
                _ => address.properties.push((key.into_owned(), value.into_owned())),
            }
        }
        Ok(address)
    }
}

/// What the broker said of messages, in counts.
#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
    first_fault: Mutex<Option<KafkaError>>,
}

struct Listener(Arc<Deliveries>);

impl ClientContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
            self.0.first_fault.lock().get_or_insert_with(|| error.clone());
        }
    }
}

/// A writer whose every line becomes a message. [`Sink::finish`] waits until all are delivered.
pub struct Sink {
    producer: BaseProducer<Listener>,
    deliveries: Arc<Deliveries>,
    address: SinkAddress,
    /// `"field":`, as it stands in a line.
    key: Option<Vec<u8>>,
    /// The beginning of a line whose end has not come.
    open: Vec<u8>,
    sent: u64,
}

/// Lines between two looks at what was delivered.
const LOOK: u64 = 512;
const FLUSH: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(15);

impl Sink {
    pub fn open(address: SinkAddress) -> Result<Self, IngestError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &address.brokers)
            .set("client.id", "segue")
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("compression.type", "lz4")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "131072");
        for (key, value) in &address.properties {
            config.set(key, value);
        }
        let deliveries = Arc::new(Deliveries::default());
        let producer: BaseProducer<Listener> = config.create_with_context(Listener(Arc::clone(&deliveries))).map_err(|e| {
            IngestError::new("simulate/kafka", format!("a producer for `{}` cannot be made: {e}", address.brokers))
                .help("the settings behind `?` are librdkafka's properties")
        })?;
        let key = address.key.as_ref().map(|field| format!("\"{field}\":").into_bytes());
        let sink = Self { producer, deliveries, address, key, open: vec![], sent: 0 };
        sink.make_topic(&config)?;
        Ok(sink)
    }

    fn make_topic(&self, config: &ClientConfig) -> Result<(), IngestError> {
        let SinkAddress { brokers, topic, .. } = &self.address;
        let exists = || -> Result<bool, KafkaError> {
            let metadata = self.producer.client().fetch_metadata(Some(topic), Duration::from_secs(3))?;
            Ok(metadata.topics().iter().any(|t| t.name() == topic && t.error().is_none() && !t.partitions().is_empty()))
        };
        let deadline = Instant::now() + TIMEOUT;
        let mut there = exists();
        while there.is_err() && Instant::now() < deadline {
            there = exists();
        }
        let there = there.map_err(|e| {
            let why = e.rdkafka_error_code().map_or_else(|| e.to_string(), |code| code.to_string());
            IngestError::new("simulate/kafka", format!("no Kafka broker answers at `{brokers}`: {why}"))
                .help("check host and port, and that the cluster runs")
        })?;
        if there {
            return Ok(());
        }
        let refused = |why: String| {
            IngestError::new("simulate/kafka", format!("the topic `{topic}` cannot be made at `{brokers}`: {why}"))
                .help("make it with the cluster's own tools, then run this again")
        };
        let admin: AdminClient<DefaultClientContext> = config.create().map_err(|e| refused(e.to_string()))?;
        let new = NewTopic::new(topic, self.address.partitions, TopicReplication::Fixed(self.address.replication));
        let asked = futures::executor::block_on(admin.create_topics([&new], &AdminOptions::new().request_timeout(Some(TIMEOUT))));
        match asked {
            // a broker without this request may still make a topic when it is asked for: what counts is that it comes
            Err(_) => {}
            Ok(results) => match results.into_iter().next() {
                Some(Err((_, code))) if code != Code::TopicAlreadyExists => return Err(refused(code.to_string())),
                _ => {}
            },
        }
        while Instant::now() < deadline {
            if exists().unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(refused("it did not appear".into()))
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let key = self.key.as_deref().and_then(|name| value_behind(line, name));
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.address.topic).payload(line);
        if let Some(key) = key {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                // the queue is bounded: waiting here is what keeps memory bounded
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(20));
                    self.fault()?;
                }
                Err((error, _)) => return Err(io::Error::other(format!("`{}` does not take messages: {error}", self.address.topic))),
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(LOOK) {
            self.producer.poll(Duration::ZERO);
            self.fault()?;
        }
        Ok(())
    }

    fn fault(&self) -> io::Result<()> {
        match self.deliveries.first_fault.lock().as_ref() {
            None => Ok(()),
            Some(error) => {
                let failed = self.deliveries.failed.load(Ordering::Relaxed);
                Err(io::Error::other(format!("{failed} messages were not delivered to `{}`: {error}", self.address.topic)))
            }
        }
    }

    /// Waits until every line is delivered; gives their number.
    pub fn finish(&mut self) -> io::Result<u64> {
        let deadline = Instant::now() + FLUSH;
        while self.producer.in_flight_count() > 0 {
            // an error here is a time-out, and what is left tells
            let _ = self.producer.flush(Duration::from_millis(500));
            self.fault()?;
            if Instant::now() > deadline {
                let left = self.producer.in_flight_count();
                return Err(io::Error::other(format!("{left} messages were not acknowledged by `{}` in time", self.address.brokers)));
            }
        }
        self.fault()?;
        Ok(self.sent)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            if self.open.is_empty() {
                self.send(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.open);
                whole.extend_from_slice(line);
                self.send(&whole)?;
                whole.clear();
                self.open = whole;
            }
            rest = behind;
        }
        self.open.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.producer.poll(Duration::ZERO);
        self.fault()
    }
}

/// The scalar behind `"field":` in a line of JSON, quotes aside.
fn value_behind<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = line.windows(name.len()).position(|w| w == name)? + name.len();
    let rest = line.get(at..)?.trim_ascii_start();
    let value = match rest.strip_prefix(b"\"") {
        Some(text) => &text[..text.iter().position(|b| *b == b'"')?],
        None => rest[..rest.iter().position(|b| matches!(b, b',' | b'}'))?].trim_ascii_end(),
    };
    (!value.is_empty() && value != b"null").then_some(value)
}
