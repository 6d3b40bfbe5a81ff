//! The topic's wire: from offsets to a batch of messages and the offsets behind it.
//!
//! Never commits for its own sake, never jumps: an offset that is gone is told as lost. Transport faults are the
//! client's to mend; only when no broker answers for the time-out do they become an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::Headers as _,
    topic_partition_list::TopicPartitionListElem,
};

use sha2::{Digest, Sha256};

use super::{
    position::{Marks, Offsets, Position},
    settings::{KafkaSettings, Start, Until},
};
use crate::{
    ingest::{IngestError, Rejected},
    names::nearest,
};

/// One message, taken out of the client's memory.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, when the broker says.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// At least one message was taken, or offsets moved over lost ones.
    More,
    /// Up to the end of what was asked for.
    Drained,
}

/// Messages that are handed on together: small enough to share between cores, large enough for a batch of rows.
pub const CHUNK: usize = 8192;
/// Messages between two looks at the clock.
const LOOK: usize = 64;

/// A topic that is being read.
pub struct Reader {
    consumer: BaseConsumer,
    settings: KafkaSettings,
    next: Offsets,
    /// Digest of the message before each of them.
    marks: Marks,
    /// Partitions whose last message that was taken is read once more.
    unproven: BTreeSet<i32>,
    lows: Offsets,
    /// Exclusive ends of a bounded ingest.
    targets: Offsets,
    open: BTreeSet<i32>,
    follow: bool,
    lost: Vec<Rejected>,
    told: Offsets,
    ended: bool,
}

const POLL: Duration = Duration::from_millis(100);
const EMPTY: Duration = Duration::from_millis(0);

impl Reader {
    /// `first`: the table has no position yet.
    pub fn open(settings: &KafkaSettings, position: &Position, first: bool, follow: bool) -> Result<Self, IngestError> {
        let consumer: BaseConsumer = settings.client().create().map_err(|e| unusable(settings, &e))?;
        let partitions = partitions(&consumer, settings)?;
        let mut reader = Self {
            consumer,
            settings: settings.clone(),
            next: position.offsets.clone(),
            marks: position.marks.clone(),
            unproven: BTreeSet::new(),
            lows: Offsets::new(),
            targets: Offsets::new(),
            open: BTreeSet::new(),
            follow,
            lost: vec![],
            told: Offsets::new(),
            ended: false,
        };
        let starts = match (first, settings.start) {
            (true, Start::At(at)) => reader.offsets_at(&partitions, at.timestamp_millis())?,
            _ => BTreeMap::new(),
        };
        let ends = match &settings.until {
            Until::At(at) if !follow => reader.offsets_at(&partitions, at.timestamp_millis())?,
            _ => BTreeMap::new(),
        };
        for (partition, (low, high)) in reader.all_watermarks(&partitions)? {
            reader.lows.insert(partition, low);
            let start = match reader.next.get(&partition) {
                Some(&next) => {
                    let start = reader.still_there(partition, next, low, high)?;
                    if start == next && low < next && reader.marks.contains_key(&partition) {
                        reader.unproven.insert(partition);
                    }
                    start
                }
                // a partition that came later is read from its beginning: nothing of it is in the table
                None => match settings.start {
                    Start::Latest if first => high,
                    Start::At(_) if first => starts.get(&partition).copied().unwrap_or(high),
                    _ => low,
                },
            };
            reader.next.insert(partition, start);
            let target = match &settings.until {
                _ if follow => i64::MAX,
                Until::Latest => high,
                Until::At(_) => ends.get(&partition).copied().unwrap_or(high).min(high),
                Until::Offsets(offsets) => offsets.get(&partition).copied().unwrap_or(high).min(high),
            };
            if start < target {
                reader.targets.insert(partition, target);
                reader.open.insert(partition);
            }
        }
        reader.assign()?;
        Ok(reader)
    }

    /// From where each open partition stands; from one message before, where that has to be the one that was taken.
    fn assign(&self) -> Result<(), IngestError> {
        let from = |p: &i32| (*p, self.next[p] - i64::from(self.unproven.contains(p)));
        self.consumer.assign(&self.list(self.open.iter().map(from))).map_err(|e| unusable(&self.settings, &e))
    }

    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    pub fn offsets(&self) -> &Offsets {
        &self.next
    }

    /// A bounded ingest is over; the next one looks at the watermarks again.
    pub fn end(&mut self) {
        self.ended = !self.follow;
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn follows(&self) -> bool {
        self.follow
    }

    pub fn take_lost(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.lost)
    }

    /// Tells the consumer group what the table holds. A group is for monitoring: that it cannot be told is no fault.
    pub fn tell_group(&mut self, offsets: &Offsets) {
        if self.settings.group.is_none() || offsets.is_empty() || *offsets == self.told {
            return;
        }
        let list = self.list(offsets.iter().map(|(p, o)| (*p, *o)));
        if self.consumer.commit(&list, CommitMode::Sync).is_ok() {
            self.told.clone_from(offsets);
        }
    }

    /// The next batch, handed on chunk by chunk. Ends early when `stop` is set; what was polled then is read again by the next run.
    pub fn poll(&mut self, stop: &AtomicBool, mut taken: impl FnMut(Vec<Message>)) -> Result<Flow, IngestError> {
        let mut chunk: Vec<Message> = vec![];
        let (mut bytes, mut count) = (0, 0);
        let mut now = Instant::now();
        let (opened, mut first, mut heard, mut fault) = (now, None, now, None);
        let mut looked = 0;
        while !self.open.is_empty() && bytes < self.settings.batch_bytes && count < self.settings.batch_messages {
            if looked % LOOK == 0 {
                now = Instant::now();
                if stop.load(Ordering::Relaxed) {
                    return Ok(Flow::Drained);
                }
                let since: Instant = first.unwrap_or(opened);
                if (first.is_some() || self.follow) && now.saturating_duration_since(since) >= self.settings.batch_time {
                    break;
                }
            }
            looked += 1;
            match self.consumer.poll(if count == 0 { POLL } else { POLL.min(self.settings.batch_time) }) {
                None => {
                    looked = 0;
                    if !self.follow && heard.elapsed() > self.settings.timeout {
                        return Err(silent(&self.settings, fault.as_ref()));
                    }
                }
                Some(Ok(message)) => {
                    // no older than the last look
                    heard = now;
                    let (partition, offset) = (message.partition(), message.offset());
                    if !self.unproven.is_empty() && self.unproven.remove(&partition) && offset < self.next[&partition] {
                        let message = owned(&message);
                        self.prove(partition, &message)?;
                        continue;
                    }
                    let target = self.targets.get(&partition).copied().unwrap_or(0);
                    if offset >= target {
                        drop(message);
                        self.close(partition);
                        continue;
                    }
                    let message = owned(&message);
                    bytes += message.size();
                    count += 1;
                    first = first.or_else(|| Some(Instant::now()));
                    chunk.push(message);
                    self.next.insert(partition, offset + 1);
                    if offset + 1 >= target {
                        self.close(partition);
                    }
                    if chunk.len() >= CHUNK {
                        self.mark(&chunk);
                        taken(std::mem::take(&mut chunk));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = now;
                    if !self.follow {
                        self.close(partition);
                    }
                }
                Some(Err(error)) => {
                    if let Some(error) = self.fatal(&error) {
                        return Err(error);
                    }
                    fault = Some(error);
                }
            }
        }
        if !chunk.is_empty() {
            self.mark(&chunk);
            taken(chunk);
        }
        Ok(if count == 0 && self.lost.is_empty() { Flow::Drained } else { Flow::More })
    }

    /// Remembers the last message of each partition.
    fn mark(&mut self, messages: &[Message]) {
        let mut seen = BTreeSet::new();
        for message in messages.iter().rev() {
            if seen.insert(message.partition) {
                self.marks.insert(message.partition, message.mark());
                if seen.len() == self.next.len() {
                    return;
                }
            }
        }
    }

    /// Messages behind the table, of each partition; nothing when no broker answers.
    pub fn lag(&self) -> Option<Offsets> {
        let partitions: Vec<i32> = self.next.keys().copied().collect();
        let marks = self.all_watermarks(&partitions).ok()?;
        Some(marks.into_iter().map(|(partition, (_, high))| (partition, (high - self.next[&partition]).max(0))).collect())
    }

    /// No more of this partition; the others go on.
    fn close(&mut self, partition: i32) {
        self.open.remove(&partition);
        let list = self.list(std::iter::once((partition, 0)));
        // a message that comes all the same is beyond its target and dropped
        let _ = self.consumer.pause(&list);
    }

    fn list(&self, offsets: impl Iterator<Item = (i32, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            // fails only for offsets that are no offsets
            let _ = list.add_partition_offset(&self.settings.topic, partition, Offset::Offset(offset));
        }
        list
    }

    /// The first offset of each partition and the one behind its last: two questions, however many partitions there are.
    fn all_watermarks(&self, partitions: &[i32]) -> Result<BTreeMap<i32, (i64, i64)>, IngestError> {
        let ends = |at: Offset| -> BTreeMap<i32, i64> {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                // fails only for offsets that are no offsets
                let _ = list.add_partition_offset(&self.settings.topic, *partition, at);
            }
            let Ok(found) = self.consumer.offsets_for_times(list, self.settings.timeout) else { return BTreeMap::new() };
            let offset = |e: &TopicPartitionListElem<'_>| match (e.error(), e.offset()) {
                (Ok(()), Offset::Offset(offset)) => Some((e.partition(), offset)),
                _ => None,
            };
            found.elements().iter().filter_map(offset).collect()
        };
        let (lows, highs) = (ends(Offset::Beginning), ends(Offset::End));
        let of = |partition: i32| match (lows.get(&partition), highs.get(&partition)) {
            (Some(low), Some(high)) => Ok((*low, *high)),
            // alone, which waits for a leader
            _ => self.watermarks(partition),
        };
        partitions.iter().map(|p| Ok((*p, of(*p)?))).collect()
    }

    fn watermarks(&self, partition: i32) -> Result<(i64, i64), IngestError> {
        let settings = &self.settings;
        self.consumer.fetch_watermarks(&settings.topic, partition, settings.timeout).map_err(|e| unreachable(settings, &e))
    }

    /// The first offsets at or behind a moment; partitions that end before it are left out.
    fn offsets_at(&self, partitions: &[i32], milliseconds: i64) -> Result<Offsets, IngestError> {
        let list = self.list(partitions.iter().map(|p| (*p, milliseconds)));
        let found = self.consumer.offsets_for_times(list, self.settings.timeout).map_err(|e| unreachable(&self.settings, &e))?;
        let offset = |o: Offset| match o {
            Offset::Offset(o) => Some(o),
            _ => None,
        };
        Ok(found.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect())
    }

    /// Where to go on: at the recorded offset, unless the broker no longer has it.
    fn still_there(&mut self, partition: i32, next: i64, low: i64, high: i64) -> Result<i64, IngestError> {
        let topic = self.settings.topic.clone();
        if (low..=high).contains(&next) {
            return Ok(next);
        }
        let (code, what, reason) = if next < low {
            let what = format!("messages {next} to {} of partition {partition} of `{topic}` are no longer there", low - 1);
            ("ingest/data-lost", what, "the topic's retention removed them before they were ingested")
        } else {
            let what = format!("partition {partition} of `{topic}` ends at offset {high}, but the table was filled up to {next}");
            ("ingest/topic-recreated", what, "the topic was deleted and made anew, or its log was truncated")
        };
        if !self.settings.continue_on_data_loss {
            return Err(IngestError::new(code, format!("{what}: {reason}"))
                .help("`on_data_loss: continue` goes on with what is there and records the gap in `<table>__rejected`"));
        }
        let record = String::new();
        self.lost.push(Rejected { reason: format!("{what}: {reason}"), position: format!("{topic}[{partition}]@{next}"), record });
        Ok(low)
    }

    /// The message before the recorded offset is the one that was taken. A topic that was made anew under its name may be as long
    /// as the old one by now, so that its offsets tell nothing. One whose last message was compacted away cannot be told.
    fn prove(&mut self, partition: i32, message: &Message) -> Result<(), IngestError> {
        if self.marks.get(&partition).is_none_or(|mark| *mark == message.mark()) {
            return Ok(());
        }
        let topic = self.settings.topic.clone();
        let what =
            format!("message {} of partition {partition} of `{topic}` is another one than the table was filled with", message.offset);
        let reason = "the topic was deleted and made anew, or its log was truncated";
        if !self.settings.continue_on_data_loss {
            return Err(IngestError::new("ingest/topic-recreated", format!("{what}: {reason}"))
                .help("`on_data_loss: continue` reads the partition from its beginning and records that in `<table>__rejected`"));
        }
        let position = format!("{topic}[{partition}]@{}", message.offset);
        self.lost.push(Rejected { reason: format!("{what}: {reason}"), position, record: String::new() });
        self.next.insert(partition, self.lows.get(&partition).copied().unwrap_or(0));
        self.assign()
    }

    /// What no patience mends.
    fn fatal(&self, error: &KafkaError) -> Option<IngestError> {
        let topic = &self.settings.topic;
        let code = error.rdkafka_error_code()?;
        Some(match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                let message = format!("messages of `{topic}` were removed while they were read: {error}");
                IngestError::new("ingest/data-lost", message).transient()
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic => {
                IngestError::new("ingest/no-topic", format!("the topic `{topic}` is no longer there"))
                    .help("it was deleted while it was read")
            }
            Code::Authentication | Code::SaslAuthenticationFailed => denied(&self.settings, error),
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                IngestError::new("ingest/not-authorized", format!("the broker does not let this user read `{topic}`: {code}"))
                    .help("ask for the `READ` permission on the topic")
            }
            _ => return None,
        })
    }
}

impl Message {
    /// Another text for another message, but for chance.
    fn mark(&self) -> String {
        let mut hash = Sha256::new();
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| b.len());
        hash.update(format!("{:?} {:?} {:?}\n", self.timestamp, part(&self.key), part(&self.payload)));
        hash.update(self.key.as_deref().unwrap_or_default());
        hash.update(self.payload.as_deref().unwrap_or_default());
        hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
    }

    fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum();
        64 + self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len) + headers
    }
}

fn owned(message: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    let headers = message.headers().map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
    Message {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

fn partitions(consumer: &BaseConsumer, settings: &KafkaSettings) -> Result<Vec<i32>, IngestError> {
    let topic = &settings.topic;
    let deadline = Instant::now() + settings.timeout;
    let metadata = loop {
        // also serves the client's queue, where faults of authentication come in
        if let Some(Err(error)) = consumer.poll(EMPTY)
            && matches!(error.rdkafka_error_code(), Some(Code::Authentication | Code::SaslAuthenticationFailed))
        {
            return Err(denied(settings, &error));
        }
        match consumer.fetch_metadata(None, Duration::from_secs(2).min(settings.timeout)) {
            Ok(metadata) => break metadata,
            Err(e) if Instant::now() >= deadline => return Err(unreachable(settings, &e)),
            Err(_) => {}
        }
    };
    let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
    match found {
        Some(found) if !found.partitions().is_empty() => Ok(found.partitions().iter().map(|p| p.id()).collect()),
        _ => {
            let names: Vec<&str> = metadata.topics().iter().map(|t| t.name()).filter(|n| !n.starts_with("__")).collect();
            let help = match nearest(topic, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "the cluster has no topics".into(),
                None => format!("the cluster has {}", crate::ingest::settings::quoted(&names[..names.len().min(10)])),
            };
            Err(IngestError::new("ingest/no-topic", format!("there is no topic `{topic}` at `{}`", settings.brokers)).help(help))
        }
    }
}

fn unusable(settings: &KafkaSettings, error: &KafkaError) -> IngestError {
    IngestError::new("ingest/kafka-client", format!("a client for `{}` cannot be made: {error}", settings.brokers))
        .help("check `brokers` and `properties` of the source's adapter")
}

fn unreachable(settings: &KafkaSettings, error: &KafkaError) -> IngestError {
    let seconds = settings.timeout.as_secs_f64();
    let why = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    IngestError::new("ingest/unreachable", format!("no Kafka broker answers at `{}` within {seconds} s: {why}", settings.brokers))
        .help("check `brokers` of the source's adapter and that the cluster runs; `timeout_s` waits longer")
}

fn silent(settings: &KafkaSettings, last: Option<&KafkaError>) -> IngestError {
    let seconds = settings.timeout.as_secs_f64();
    let why = last.and_then(KafkaError::rdkafka_error_code).map(|code| format!(": {code}")).unwrap_or_default();
    IngestError::new("ingest/unreachable", format!("no message of `{}` came for {seconds} s{why}", settings.topic))
        .help("what was committed is kept; the next run goes on there")
        .transient()
}

fn denied(settings: &KafkaSettings, error: &KafkaError) -> IngestError {
    IngestError::new("ingest/not-authenticated", format!("`{}` refuses the credentials: {error}", settings.brokers))
        .help("check `sasl.username` and `sasl.password` in `properties` of the source's adapter")
}
