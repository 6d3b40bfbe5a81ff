//! The settings of a `type: kafka` source, checked.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Field};
use rdkafka::ClientConfig;
use serde_json::Value as Json;

use super::{decode::Layout, position::Offsets, schema_registry::SchemaRegistry};
use crate::{
    diagnostic::Diagnostic,
    ingest::{
        columns::{self, Unknown},
        http::HttpSettings,
        registry::AdapterEnv,
        rows::{column, semi_structured, timestamp},
        settings::{Settings, quoted},
    },
    names::SemiStructured,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Avro,
    String,
}

/// Where a table that has no position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(DateTime<Utc>),
}

/// Where a bounded ingest ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The high watermarks at its start.
    Latest,
    At(DateTime<Utc>),
    /// Exclusive; partitions that are not named are read to their high watermark.
    Offsets(Offsets),
}

#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub brokers: String,
    pub topic: String,
    pub format: Format,
    pub start: Start,
    pub until: Until,
    pub continue_on_data_loss: bool,
    pub keep_tombstones: bool,
    pub unknown: Unknown,
    /// Told of committed offsets; `None` tells nobody.
    pub group: Option<String>,
    /// Of one commit: bytes of payloads and keys, messages, time since the first of them.
    pub batch_bytes: usize,
    pub batch_messages: usize,
    pub batch_time: Duration,
    /// Without any answer of a broker.
    pub timeout: Duration,
    pub partition_by: Vec<String>,
    /// The field that tells when an event happened; without it, the message's own time does.
    pub event_time: Option<String>,
    /// Rows get the day of their event as `EVENT_DATE`.
    pub event_date: bool,
    /// Passed through to the client.
    pub properties: Vec<(String, String)>,
}

impl KafkaSettings {
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", self.group.as_deref().unwrap_or("segue"))
            .set("client.id", "segue")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // an offset that is gone is a fault to be told, not a place to jump from
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            // what waits in the client's queues is memory, too
            .set("queued.max.messages.kbytes", "32768")
            // a full queue is empty again in milliseconds, not in the second that the client would wait
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.message.max.bytes", "4194304");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }
}

/// The day of an event, UTC: what event tables are partitioned by.
pub const EVENT_DATE: &str = "EVENT_DATE";

/// What every row is given behind its own columns.
pub fn metadata(event_date: bool) -> Vec<Field> {
    let mut fields = if event_date { vec![column(EVENT_DATE, DataType::Date32)] } else { vec![] };
    fields.extend([
        column("_TOPIC", DataType::Utf8),
        column("_PARTITION", DataType::Int64),
        column("_OFFSET", DataType::Int64),
        timestamp("_TIMESTAMP"),
        column("_KEY", DataType::Utf8),
        semi_structured("_HEADERS", SemiStructured::Object),
    ]);
    fields
}

/// The one column of messages that land whole.
pub fn payload(format: Format) -> Field {
    match format {
        Format::String => column("PAYLOAD", DataType::Utf8),
        Format::Json | Format::Avro => semi_structured("PAYLOAD", SemiStructured::Variant),
    }
}

/// Faults are collected in `settings`.
pub fn read(settings: &Settings<'_>, env: &AdapterEnv) -> Option<(KafkaSettings, Layout, Option<Arc<SchemaRegistry>>)> {
    let brokers = match settings.list("brokers") {
        Some(list) => list.join(","),
        None => settings.required_text("brokers", "host and port of one or more brokers, such as `localhost:9092`"),
    };
    let topic = settings.required_text("topic", "the name of the topic to read");
    let format =
        settings.choice("format", &[("json", Format::Json), ("avro", Format::Avro), ("string", Format::String)]).unwrap_or(Format::Json);
    let start = match settings.text("start").as_deref() {
        None | Some("earliest") => Start::Earliest,
        Some("latest") => Start::Latest,
        Some(text) => moment(text)
            .map(Start::At)
            .or_else(|| settings.wrong("start", "`earliest`, `latest` or a moment such as `2025-02-27T00:00:00Z`", &text.into()))?,
    };
    let until = match settings.value("until") {
        None => Until::Latest,
        Some(Json::Object(map)) => {
            let offsets: Option<Offsets> =
                map.iter().map(|(k, v)| Some((k.parse().ok()?, v.as_i64().or_else(|| v.as_str()?.parse().ok())?))).collect();
            Until::Offsets(offsets.or_else(|| settings.wrong("until", "a mapping of partitions to offsets", &Json::Object(map.clone())))?)
        }
        Some(Json::String(text)) if text == "latest" => Until::Latest,
        Some(value) => {
            let found = value.as_str().and_then(moment).map(Until::At);
            found
                .or_else(|| settings.wrong("until", "`latest`, a moment such as `2025-02-27T00:00:00Z`, or offsets by partition", value))?
        }
    };
    let unknown = settings
        .choice("on_schema_change", &[("ignore", Unknown::Ignore), ("evolve", Unknown::Evolve), ("reject", Unknown::Reject)])
        .unwrap_or(Unknown::Ignore);
    let inferred = settings.value("columns").and_then(Json::as_str).is_some_and(|text| text.eq_ignore_ascii_case("infer"));
    let own = if inferred { None } else { columns::read(settings, "columns") };
    if format == Format::String && (inferred || own.is_some()) {
        settings.fault(
            Diagnostic::error("ingest/unknown-setting", "messages of the format `string` have no columns of their own")
                .at(settings.place_of("columns"), "")
                .help("leave `columns` out: the text lands in `PAYLOAD`; or set `format: json`"),
        );
    }
    let whole = |key, default: u64| settings.integer(key, 1).unwrap_or(default);
    let seconds = |key, default: f64| Duration::from_secs_f64(settings.number(key, 0.001).unwrap_or(default).min(86_400.0));
    let partition_by: Vec<String> = settings.list("partition_by").unwrap_or_default().iter().map(|name| name.to_uppercase()).collect();
    let event_time = settings.text("event_time");
    let declared = own.iter().flatten().any(|c| c.name.eq_ignore_ascii_case(EVENT_DATE));
    let event_date = !declared && (event_time.is_some() || partition_by.iter().any(|name| name == EVENT_DATE));
    let kafka = KafkaSettings {
        event_time,
        event_date,
        brokers,
        topic,
        format,
        start,
        until,
        continue_on_data_loss: settings.choice("on_data_loss", &[("fail", false), ("continue", true)]).unwrap_or(false),
        keep_tombstones: settings.choice("tombstones", &[("keep", true), ("ignore", false)]).unwrap_or(true),
        unknown,
        group: settings.text("group"),
        batch_bytes: usize::try_from(whole("batch_mb", 48).saturating_mul(1 << 20)).unwrap_or(usize::MAX),
        batch_messages: usize::try_from(whole("batch_messages", 1_000_000)).unwrap_or(usize::MAX),
        batch_time: seconds("batch_s", 10.0),
        timeout: seconds("timeout_s", 30.0),
        partition_by,
        properties: properties(settings),
    };
    let registry = schema_registry(settings, env, format);
    let layout = match Layout::new(own, inferred || format == Format::Avro, &kafka) {
        Ok(layout) => layout,
        Err(name) => {
            settings.fault(
                Diagnostic::error("ingest/duplicate-column", format!("the column `{name}` is given twice"))
                    .at(settings.place_of("columns"), "")
                    .help("`_TOPIC`, `_PARTITION`, `_OFFSET`, `_TIMESTAMP`, `_KEY` and `_HEADERS` are added to every row"),
            );
            return None;
        }
    };
    let names: Vec<String> = layout.schema().fields().iter().map(|f| f.name().clone()).collect();
    if !inferred
        && format != Format::Avro
        && let Some(unknown) = kafka.partition_by.iter().find(|name| !names.contains(name))
    {
        settings.fault(
            Diagnostic::error("ingest/unknown-column", format!("`partition_by` names `{unknown}`, which is no column"))
                .at(settings.place_of("partition_by"), "")
                .help(format!("the columns are {}", quoted(&names))),
        );
    }
    Some((kafka, layout, registry))
}

/// `properties:`; every scalar is a text to the client.
fn properties(settings: &Settings<'_>) -> Vec<(String, String)> {
    let Some(value) = settings.value("properties") else { return vec![] };
    let scalar = |v: &Json| match v {
        Json::String(text) => Some(text.clone()),
        Json::Number(n) => Some(n.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    };
    let pairs: Option<Vec<(String, String)>> =
        value.as_object().and_then(|map| map.iter().map(|(k, v)| Some((k.clone(), scalar(v)?))).collect());
    let Some(pairs) = pairs else {
        return settings.wrong("properties", "a mapping of the client's property names to values", value).unwrap_or_default();
    };
    // the client names the property that it does not know; a value may be a secret
    let mut config = ClientConfig::new();
    for (key, text) in &pairs {
        config.set(key, text);
    }
    if let Err(rdkafka::error::KafkaError::ClientConfig(_, why, key, _)) = config.create_native_config() {
        settings.fault(
            Diagnostic::error("ingest/kafka-property", format!("the client does not take the property `{key}`: {why}"))
                .at(settings.place_of(&key), "")
                .help("the names are librdkafka's, for example `security.protocol`, `sasl.mechanism`, `ssl.ca.location`"),
        );
    }
    pairs
}

fn schema_registry(settings: &Settings<'_>, env: &AdapterEnv, format: Format) -> Option<Arc<SchemaRegistry>> {
    let url = settings.text("schema_registry");
    let user = settings.text("schema_registry_user");
    let password = settings.text("schema_registry_password");
    let http = HttpSettings::read(settings, HttpSettings { rate_per_s: 0.0, ..HttpSettings::default() });
    if format != Format::Avro {
        return None;
    }
    let Some(url) = url else {
        settings.fault(
            Diagnostic::error("ingest/missing-setting", "messages of the format `avro` need the setting `schema_registry`")
                .at(settings.place_of("format"), "")
                .help("the URL of a Confluent-compatible schema registry, such as `http://localhost:8081`"),
        );
        return None;
    };
    let client = env.client(http, settings)?;
    Some(Arc::new(SchemaRegistry::new(client, &url, user.map(|user| (user, password.unwrap_or_default())))))
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .ok()
        .or_else(|| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok().map(|at| at.and_utc()))
        .or_else(|| text.parse::<chrono::NaiveDate>().ok().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc()))
}
