//! A Kafka topic to rows, each message exactly once.
//!
//! The position (next offset per partition) is committed with the rows, never first in the broker; a consumer group is
//! told afterwards, for the tools that watch lag. An ingest is bounded by the high watermarks seen at its start, so that
//! it ends while producers go on. Messages are their own raw copy: they are not kept a second time.
//!
//! Settings are `settings`', the wire `consumer`'s, bytes to cells `decode`'s.

pub(super) mod avro;
mod consumer;
mod decode;
mod position;
mod schema_registry;
mod settings;
mod sink;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use parking_lot::{Mutex, RwLock};
use position::{Offsets, Position};
use serde_json::{Map, Value as Json};
pub use sink::{Sink, SinkAddress};

use self::{
    consumer::{Flow, Reader},
    decode::{Decoder, Decoding, Layout},
    settings::{KafkaSettings, Start},
};
use super::{Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse, registry::AdapterEnv, settings::Settings};

struct KafkaAdapter {
    inner: Arc<Inner>,
}

struct Inner {
    settings: KafkaSettings,
    decoder: Decoder,
    /// Columns as they are frozen; what infers or evolves them is a batch.
    layout: RwLock<Arc<Layout>>,
    reader: Mutex<Option<Reader>>,
    /// What the last look at the watermarks said.
    lag: Mutex<Option<Offsets>>,
    begun: AtomicBool,
}

/// From the settings of a `type: kafka` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv) -> Option<Box<dyn Adapter>> {
    let (settings, layout, registry) = settings::read(settings, env)?;
    let decoder = Decoder::new(&settings, registry);
    let inner = Inner {
        settings,
        decoder,
        layout: RwLock::new(Arc::new(layout)),
        reader: Mutex::default(),
        lag: Mutex::default(),
        begun: AtomicBool::new(false),
    };
    Some(Box::new(KafkaAdapter { inner: Arc::new(inner) }))
}

/// Tells the thread that polls when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Adapter for KafkaAdapter {
    fn schema(&self) -> SchemaRef {
        self.inner.layout.read().schema()
    }

    fn is_settled(&self) -> bool {
        !self.inner.layout.read().is_open()
    }

    fn partition_by(&self) -> Vec<String> {
        self.inner.settings.partition_by.clone()
    }

    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let position = position.map(|text| Position::read(text, &self.inner.settings.topic)).transpose()?;
        let stop = Arc::new(AtomicBool::new(false));
        let _guard = StopOnDrop(Arc::clone(&stop));
        let inner = Arc::clone(&self.inner);
        let follow = cx.follow;
        // the client blocks: not on the threads of the runtime
        let done = tokio::task::spawn_blocking(move || inner.next(position, follow, &stop)).await;
        done.map_err(|e| IngestError::new("ingest/interrupted", format!("reading the topic ended early: {e}")))?
    }

    async fn committed(&self, position: &str) {
        let inner = Arc::clone(&self.inner);
        let Ok(position) = Position::read(position, &inner.settings.topic) else { return };
        if inner.settings.group.is_some() {
            let tell = move || inner.reader.lock().as_mut().map(|reader| reader.tell_group(&position.offsets));
            // a group is for tools that watch: that it was not told is no fault
            let _ = tokio::task::spawn_blocking(tell).await;
        }
    }

    fn parse(&self, _responses: &[RawResponse]) -> Parsed {
        Parsed::default()
    }

    /// `lag 120 (0: 100, 3: 20)`
    fn status(&self) -> Option<String> {
        let lag = self.inner.lag.lock();
        let behind: Vec<String> = lag.as_ref()?.iter().filter(|(_, n)| **n > 0).map(|(p, n)| format!("{p}: {n}")).collect();
        let total: i64 = lag.as_ref()?.values().sum();
        Some(if total == 0 { "lag 0".into() } else { format!("lag {total} ({})", behind.join(", ")) })
    }

    fn metrics(&self) -> Map<String, Json> {
        let lag = self.inner.lag.lock();
        let each = |lag: &Offsets| lag.iter().map(|(p, n)| (p.to_string(), Json::from(*n))).collect::<Map<_, _>>();
        lag.as_ref().map(|lag| ("lag".to_owned(), each(lag).into())).into_iter().collect()
    }
}

impl Inner {
    fn next(&self, position: Option<Position>, follow: bool, stop: &AtomicBool) -> Result<Option<Fetched>, IngestError> {
        if let Some(frozen) = position.as_ref().and_then(|p| p.columns.as_ref()) {
            self.layout.write_with(frozen, &self.settings)?;
        }
        let first = position.is_none();
        let position = position.unwrap_or_else(|| Position::new(&self.settings.topic));
        let mut slot = self.reader.lock();
        // a reader that stands elsewhere belongs to a position that was not committed
        if slot.as_ref().is_none_or(|r| r.offsets() != &position.offsets || r.follows() != follow || r.has_ended()) {
            *slot = None;
            let mut reader = Reader::open(&self.settings, &position, first, follow)?;
            // where a run begins is committed, whatever became of the one before
            if !self.begun.swap(true, Ordering::Relaxed) {
                reader.tell_group(&position.offsets);
            }
            *slot = Some(reader);
        }
        let Some(reader) = slot.as_mut() else { return Ok(None) };
        let layout = Arc::clone(&self.layout.read());
        let mut decoding = Decoding::new(&self.decoder, layout);
        let polled = decoding.taking(|taken| reader.poll(stop, taken));
        let flow = match polled {
            Ok(flow) => flow,
            Err(error) => {
                *slot = None;
                return Err(error);
            }
        };
        if flow == Flow::Drained {
            *self.lag.lock() = reader.lag();
            // where a table began that did not begin at the beginning must be remembered, even when nothing came yet
            if first && self.settings.start != Start::Earliest && reader.offsets() != &position.offsets {
                let position = Position { offsets: reader.offsets().clone(), ..position };
                return Ok(Some(Fetched { what: FetchedContent::Rows(Parsed::default()), position: position.write() }));
            }
            reader.end();
            return Ok(None);
        }
        let lost = reader.take_lost();
        let offsets = reader.offsets().clone();
        let (mut parsed, layout) = match decoding.finish() {
            Ok(decoded) => decoded,
            Err(error) => {
                *slot = None;
                return Err(error);
            }
        };
        parsed.rejected.splice(0..0, lost);
        let columns = layout.frozen();
        *self.layout.write() = layout;
        let position = Position { topic: position.topic, offsets, marks: reader.marks().clone(), columns };
        Ok(Some(Fetched { what: FetchedContent::Rows(parsed), position: position.write() }))
    }
}

/// Restores frozen columns.
trait Restore {
    fn write_with(&self, frozen: &[(String, String)], settings: &KafkaSettings) -> Result<(), IngestError>;
}

impl Restore for RwLock<Arc<Layout>> {
    fn write_with(&self, frozen: &[(String, String)], settings: &KafkaSettings) -> Result<(), IngestError> {
        if self.read().frozen().as_deref() != Some(frozen) {
            *self.write() = Arc::new(Layout::frozen_from(frozen, settings)?);
        }
        Ok(())
    }
}
