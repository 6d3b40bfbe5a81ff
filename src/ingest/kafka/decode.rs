//! Messages to record batches: bytes to cells, what does not fit to rejects, in parallel.
//!
//! Which columns there are is the [`Layout`]'s: declared in the project, or inferred from the first batch and then
//! frozen. A field that no column takes is ignored, rejected, or makes a column, as `on_schema_change` says; the
//! batch that brings a new column is decoded again with it, so that no value of it is lost.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use apache_avro::Schema as AvroSchema;
use chrono::{DateTime, NaiveDateTime};
use datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use indexmap::IndexMap;
use parking_lot::Mutex;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::{
    avro,
    consumer::{CHUNK, Message},
    schema_registry::{Known, SchemaRegistry},
    settings::{Format, KafkaSettings, metadata, payload},
};
use crate::{
    ingest::{
        IngestError, Parsed, Rejected,
        columns::{Column, ColumnType, Columns, Unknown, type_of, wider},
        fields::FieldOrder,
        rows::{Cell, RowBuilder, Slot, canonical},
    },
    names::Identifier,
};

/// The columns of the landing table.
pub struct Layout {
    columns: Columns,
    /// Names of the own columns as fields compare: upper case.
    names: HashSet<String>,
    /// Columns come from the messages.
    inferred: bool,
    /// Columns are more than the project declares.
    grown: bool,
}

impl Layout {
    /// Fails with the name of a column that is there twice.
    pub fn new(own: Option<Vec<Column>>, inferred: bool, settings: &KafkaSettings) -> Result<Self, String> {
        let inferred = inferred && own.is_none();
        Self::of(own.unwrap_or_default(), inferred, false, settings)
    }

    /// Columns as a position recorded them.
    pub fn frozen_from(frozen: &[(String, String)], settings: &KafkaSettings) -> Result<Self, IngestError> {
        let own: Option<Vec<Column>> =
            frozen.iter().map(|(name, t)| Some(Column { name: name.clone(), column_type: ColumnType::parse(t)? })).collect();
        own.and_then(|own| Self::of(own, true, true, settings).ok()).ok_or_else(|| {
            IngestError::new("ingest/position", "the recorded columns of the topic cannot be read")
                .help("`segue ingest --full-refresh` reads the topic from its beginning")
        })
    }

    fn of(own: Vec<Column>, inferred: bool, grown: bool, settings: &KafkaSettings) -> Result<Self, String> {
        let names = own.iter().map(|c| c.name.trim_matches('"').to_uppercase()).collect();
        let payload = (!inferred).then(|| payload(settings.format));
        Ok(Self { columns: Columns::new(own, vec![], payload, metadata(settings.event_date))?, names, inferred, grown })
    }

    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// What a position has to keep: columns that the project does not declare.
    pub fn frozen(&self) -> Option<Vec<(String, String)>> {
        let own = &self.columns.own;
        ((self.inferred || self.grown) && !own.is_empty())
            .then(|| own.iter().map(|c| (c.name.clone(), c.column_type.to_string())).collect())
    }

    fn takes(&self, field: &str) -> bool {
        self.names.contains(field) || self.names.contains(&field.to_uppercase())
    }

    /// The first messages have still to tell the columns.
    pub fn is_open(&self) -> bool {
        self.inferred && self.columns.own.is_empty()
    }

    /// Whether fields of messages may become columns now.
    fn grows(&self, unknown: Unknown) -> bool {
        self.is_open() || (unknown == Unknown::Evolve && !self.columns.is_payload())
    }

    fn with(&self, new: IndexMap<String, ColumnType>, settings: &KafkaSettings) -> Result<Self, IngestError> {
        let mut own = self.columns.own.clone();
        let mut names = self.names.clone();
        for (field, column_type) in new {
            if names.insert(field.to_uppercase()) {
                own.push(Column { name: Identifier::exact(field.to_uppercase()).to_string(), column_type });
            }
        }
        Self::of(own, self.inferred, true, settings).map_err(|name| {
            IngestError::new(
                "ingest/duplicate-column",
                format!("a field of the messages is named `{name}`, which is a column that is added to every row"),
            )
            .help("declare `columns` and give the field another name there")
        })
    }
}

/// Decodes the messages of one source.
pub struct Decoder {
    settings: KafkaSettings,
    registry: Option<Arc<SchemaRegistry>>,
}

/// The messages of one batch on their way to rows: decoded while more of them come, as soon as it is settled which columns they have.
pub struct Decoding<'d> {
    decoder: &'d Decoder,
    layout: Arc<Layout>,
    /// Waiting for columns, or for a registry.
    messages: Vec<Message>,
    done: Vec<Result<Chunk, IngestError>>,
}

impl<'d> Decoding<'d> {
    pub fn new(decoder: &'d Decoder, layout: Arc<Layout>) -> Self {
        Self { decoder, layout, messages: vec![], done: vec![] }
    }

    /// `poll` gives chunks of messages to what it is given, in their order.
    pub fn taking<T>(&mut self, poll: impl FnOnce(&mut dyn FnMut(Vec<Message>)) -> T) -> T {
        let settled = self.decoder.settings.format != Format::Avro && !self.layout.grows(self.decoder.settings.unknown);
        if !settled {
            let messages = &mut self.messages;
            return poll(&mut |chunk| messages.extend(chunk));
        }
        let (decoder, layout) = (self.decoder, &*self.layout);
        let done = Mutex::new(vec![]);
        let polled = rayon::in_place_scope(|scope| {
            let (done, mut count) = (&done, 0);
            poll(&mut |chunk| {
                let at = count;
                count += 1;
                scope.spawn(move |_| {
                    let decoded = decoder.chunk(&chunk, layout, &HashMap::new());
                    done.lock().push((at, decoded));
                });
            })
        });
        let mut done = done.into_inner();
        done.sort_by_key(|(at, _)| *at);
        self.done.extend(done.into_iter().map(|(_, decoded)| decoded));
        polled
    }

    /// Rows in the order of the messages, and the layout that they have.
    pub fn finish(self) -> Result<(Parsed, Arc<Layout>), IngestError> {
        if !self.messages.is_empty() {
            return self.decoder.rows(&self.messages, self.layout);
        }
        Ok((parsed(self.done.into_iter().collect::<Result<_, _>>()?), self.layout))
    }
}

fn parsed(chunks: Vec<Chunk>) -> Parsed {
    let mut parsed = Parsed::default();
    for chunk in chunks {
        parsed.batches.extend(chunk.batches);
        parsed.rejected.extend(chunk.rejected);
    }
    parsed
}

/// What one task gives.
#[derive(Default)]
struct Chunk {
    batches: Vec<RecordBatch>,
    rejected: Vec<Rejected>,
    /// Fields without a column, with the type of their values.
    unknown: IndexMap<String, ColumnType>,
}

impl Decoder {
    pub fn new(settings: &KafkaSettings, registry: Option<Arc<SchemaRegistry>>) -> Self {
        Self { settings: settings.clone(), registry }
    }

    /// Rows in the order of the messages, and the layout that they have.
    fn rows(&self, messages: &[Message], layout: Arc<Layout>) -> Result<(Parsed, Arc<Layout>), IngestError> {
        let mut layout = layout;
        let schemas = self.schemas(messages)?;
        let of_schemas = self.columns_of(&schemas, &layout);
        if !of_schemas.is_empty() {
            layout = Arc::new(layout.with(of_schemas, &self.settings)?);
        }
        loop {
            let chunks: Vec<Chunk> =
                messages.par_chunks(CHUNK).map(|chunk| self.chunk(chunk, &layout, &schemas)).collect::<Result<_, _>>()?;
            let mut unknown: IndexMap<String, ColumnType> = IndexMap::new();
            if self.settings.format == Format::Json && layout.grows(self.settings.unknown) {
                for (field, column_type) in chunks.iter().flat_map(|c| &c.unknown) {
                    let known = unknown.entry(field.clone()).or_insert(*column_type);
                    *known = wider(*known, *column_type);
                }
            }
            if unknown.is_empty() {
                return Ok((parsed(chunks), layout));
            }
            layout = Arc::new(layout.with(unknown, &self.settings)?);
        }
    }

    /// Every writer's schema that the messages name.
    fn schemas(&self, messages: &[Message]) -> Result<HashMap<u32, Known>, IngestError> {
        let Some(registry) = &self.registry else { return Ok(HashMap::new()) };
        let ids: HashSet<u32> = messages.iter().filter_map(|m| avro::frame(m.payload.as_deref()?).ok()).map(|(id, _)| id).collect();
        ids.into_iter().map(|id| Ok((id, registry.schema(id)?))).collect()
    }

    /// Columns that the writers' schemas add.
    fn columns_of(&self, schemas: &HashMap<u32, Known>, layout: &Layout) -> IndexMap<String, ColumnType> {
        let mut new = IndexMap::new();
        if !layout.grows(self.settings.unknown) {
            return new;
        }
        let ordered: BTreeMap<u32, &Known> = schemas.iter().map(|(id, known)| (*id, known)).collect();
        for schema in ordered.values().filter_map(|known| known.as_ref().ok()) {
            for (field, column_type) in avro::columns(schema) {
                if !layout.takes(&field) {
                    let known = new.entry(field).or_insert(column_type);
                    *known = wider(*known, column_type);
                }
            }
        }
        new
    }

    fn chunk(&self, messages: &[Message], layout: &Layout, schemas: &HashMap<u32, Known>) -> Result<Chunk, IngestError> {
        let mut chunk = Chunk::default();
        let mut rows = RowBuilder::with_rows(layout.schema(), messages.len());
        let mut order = FieldOrder::default();
        for message in messages {
            match self.cells(message, layout, schemas, &mut order, &mut chunk.unknown) {
                Ok(Some((cells, day))) => {
                    let at = moment(message);
                    let day = self.settings.event_date.then(|| Slot::Cell(day.or(at).map(|at| at.date()).into()));
                    rows.push(cells.into_iter().chain(day).chain(self.metadata(message, at)));
                }
                Ok(None) => {}
                Err(reason) => chunk.rejected.push(Rejected {
                    reason,
                    position: format!("{}[{}]@{}", self.settings.topic, message.partition, message.offset),
                    record: message.payload.as_deref().map(text).unwrap_or_default(),
                }),
            }
        }
        chunk.batches = rows.finish()?;
        Ok(chunk)
    }

    /// The own cells of a message and when its event was, as far as it says; `None` of one that is left out.
    fn cells<'m>(
        &self,
        message: &'m Message,
        layout: &Layout,
        schemas: &HashMap<u32, Known>,
        order: &mut FieldOrder,
        unknown: &mut IndexMap<String, ColumnType>,
    ) -> Result<Option<(Vec<Slot<'m>>, Option<NaiveDateTime>)>, String> {
        let columns = &layout.columns;
        let Some(payload) = &message.payload else {
            let width = if columns.is_payload() { 1 } else { columns.own.len() };
            return Ok(self.settings.keep_tombstones.then(|| (vec![Slot::Cell(Cell::Null); width], None)));
        };
        let record = match self.settings.format {
            Format::String => {
                let text = std::str::from_utf8(payload).map_err(|_| "not UTF-8".to_owned())?;
                return Ok(Some((vec![Slot::Text(text)], None)));
            }
            Format::Json => {
                let minds = layout.grows(self.settings.unknown) || self.settings.unknown == Unknown::Reject;
                let time = self.settings.event_time.as_deref();
                if let Some((cells, at)) = (!minds).then(|| columns.quick_row(payload, time, order)).flatten() {
                    return Ok(Some((cells, at.as_ref().and_then(event_time))));
                }
                serde_json::from_slice::<Json>(payload).map_err(|e| format!("not JSON: {e}"))?
            }
            Format::Avro => {
                let (id, datum) = avro::frame(payload)?;
                let schema = match schemas.get(&id) {
                    Some(Ok(schema)) => schema,
                    Some(Err(why)) => return Err(why.clone()),
                    None => return Err(format!("the schema {id} is not in the registry")),
                };
                self.refuse_unknown_fields(schema, layout)?;
                avro::record(schema, datum)?
            }
        };
        let at = self.settings.event_time.as_ref().and_then(|field| event_time(record.get(field)?));
        if columns.is_payload() {
            return Ok(Some((vec![Slot::Cell(canonical(&record).into())], at)));
        }
        if self.settings.format == Format::Json
            && (layout.grows(self.settings.unknown) || self.settings.unknown == Unknown::Reject)
            && let Json::Object(object) = &record
        {
            for (field, value) in object.iter().filter(|(field, _)| !layout.takes(field)) {
                if self.settings.unknown == Unknown::Reject && !layout.grows(Unknown::Reject) {
                    return Err(format!("the field `{field}` has no column"));
                }
                if let Some(column_type) = type_of(value) {
                    let known = unknown.entry(field.clone()).or_insert(column_type);
                    *known = wider(*known, column_type);
                }
            }
        }
        columns.json_row(&record).map(|cells| Some((cells.into_iter().map(Slot::Cell).collect(), at)))
    }

    fn refuse_unknown_fields(&self, schema: &AvroSchema, layout: &Layout) -> Result<(), String> {
        if self.settings.unknown != Unknown::Reject || layout.columns.is_payload() {
            return Ok(());
        }
        match avro::columns(schema).into_iter().find(|(field, _)| !layout.takes(field)) {
            Some((field, _)) => Err(format!("the field `{field}` has no column")),
            None => Ok(()),
        }
    }

    fn metadata<'m>(&'m self, message: &'m Message, at: Option<NaiveDateTime>) -> [Slot<'m>; 6] {
        [
            Slot::Text(&self.settings.topic),
            Slot::Cell(Cell::Int(message.partition.into())),
            Slot::Cell(Cell::Int(message.offset)),
            Slot::Cell(at.into()),
            message.key.as_deref().map_or(Slot::Cell(Cell::Null), slot),
            if message.headers.is_empty() { Slot::Text("{}") } else { Slot::Cell(headers(message).into()) },
        ]
    }
}

fn moment(message: &Message) -> Option<NaiveDateTime> {
    message.timestamp.and_then(DateTime::from_timestamp_millis).map(|at| at.naive_utc())
}

/// ISO 8601, or a number of seconds or milliseconds since 1970: seconds reach the year 5138 before they look like
/// milliseconds.
fn event_time(value: &Json) -> Option<NaiveDateTime> {
    if let Ok(Cell::Timestamp(at)) = ColumnType::Timestamp.json_cell(value) {
        return Some(at);
    }
    let number = value.as_i64().or_else(|| value.as_f64().map(|f| f as i64)).or_else(|| value.as_str()?.trim().parse().ok())?;
    let at = if number.abs() < 100_000_000_000 { DateTime::from_timestamp(number, 0) } else { DateTime::from_timestamp_millis(number) };
    at.map(|at| at.naive_utc())
}

/// Text as it is, other bytes in hexadecimal digits.
fn slot(bytes: &[u8]) -> Slot<'_> {
    let is_binary = |c: char| c.is_control() && !c.is_whitespace();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_binary) => Slot::Text(text),
        _ => Slot::Cell(avro::hexadecimal(bytes).into()),
    }
}

fn text(bytes: &[u8]) -> String {
    match slot(bytes) {
        Slot::Text(text) => text.to_owned(),
        Slot::Cell(Cell::Text(text)) => text,
        Slot::Cell(_) => String::new(),
    }
}

/// An object; a header that comes several times is a list.
fn headers(message: &Message) -> String {
    let mut map: Map<String, Json> = Map::new();
    for (name, value) in &message.headers {
        let value = value.as_deref().map_or(Json::Null, |v| text(v).into());
        match map.get_mut(name) {
            None => {
                map.insert(name.clone(), value);
            }
            Some(Json::Array(list)) => list.push(value),
            Some(one) => *one = Json::Array(vec![one.take(), value]),
        }
    }
    canonical(&Json::Object(map))
}
