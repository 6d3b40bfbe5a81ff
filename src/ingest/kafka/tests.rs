//! A topic of librdkafka's mock cluster (real protocol over TCP) to rows.

use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use serde_json::{Value as Json, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use super::*;
use crate::ingest::{registry, settings::tests::config};

struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn with(topic: &str, partitions: i32) -> Self {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic(topic, partitions, 1).expect("a topic");
        let producer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
        Self { cluster, producer }
    }

    fn send(&self, topic: &str, partition: i32, key: Option<&str>, payload: Option<&[u8]>) {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).partition(partition).timestamp(1_740_621_600_000);
        record.key = key;
        record.payload = payload;
        record = record.headers(OwnedHeaders::new().insert(Header { key: "origin", value: Some("test") }));
        self.producer.send(record).map_err(|(e, _)| e).expect("queued");
        self.producer.flush(Duration::from_secs(10)).expect("delivered");
    }

    fn settings(&self, more: Json) -> Json {
        let mut all = json!({"brokers": self.cluster.bootstrap_servers(), "topic": "events", "batch_s": 0.3, "timeout_s": 5});
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    }
}

fn adapter_of(settings: Json) -> Box<dyn Adapter> {
    registry::adapter(&config("kafka", settings), &registry::AdapterEnv::new(".", None)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// A position without the digests of messages.
fn plain(position: Option<&String>) -> Option<String> {
    let mut position: Json = serde_json::from_str(position?).expect("JSON");
    position.as_object_mut().expect("an object").remove("marks");
    let position: Position = serde_json::from_value(position).expect("a position");
    Some(position.write())
}

async fn step(adapter: &dyn Adapter, position: Option<&str>) -> Option<(Parsed, String)> {
    let fetched = adapter.fetch(position, &FetchContext::default()).await.unwrap_or_else(|e| panic!("{e}"))?;
    let FetchedContent::Rows(parsed) = fetched.what else { panic!("topics give rows") };
    Some((parsed, fetched.position))
}

/// All that is there, as one; the position behind it.
async fn drain(adapter: &dyn Adapter, position: Option<String>) -> (Parsed, Option<String>) {
    let (mut all, mut position) = (Parsed::default(), position);
    while let Some((parsed, next)) = step(adapter, position.as_deref()).await {
        all.batches.extend(parsed.batches);
        all.rejected.extend(parsed.rejected);
        position = Some(next);
    }
    (all, position)
}

fn shown(parsed: &Parsed) -> String {
    let mut text = pretty_format_batches(&parsed.batches).expect("text").to_string();
    for reject in &parsed.rejected {
        text += &format!("\n{} | {} | {}", reject.position, reject.reason, reject.record);
    }
    text
}

#[tokio::test]
async fn messages_land_once_with_what_the_broker_knows_of_them() {
    let broker = Broker::with("events", 1);
    broker.send("events", 0, Some("k"), Some(br#"{"title": "REBEL HEART", "rank": 1, "other": true}"#));
    broker.send("events", 0, None, Some(br#"{"TITLE": "x", "rank": "one"}"#));
    broker.send("events", 0, Some("k"), None);
    broker.send("events", 0, None, Some(b"{"));
    let columns = json!({"columns": {"title": "varchar", "rank": "integer"}});
    let adapter = adapter_of(broker.settings(columns.clone()));
    let (parsed, position) = drain(adapter.as_ref(), None).await;
    insta::assert_snapshot!(shown(&parsed), @r#"
    +-------------+------+--------+------------+---------+---------------------+------+-------------------+
    | TITLE       | RANK | _TOPIC | _PARTITION | _OFFSET | _TIMESTAMP          | _KEY | _HEADERS          |
    +-------------+------+--------+------------+---------+---------------------+------+-------------------+
    | REBEL HEART | 1    | events | 0          | 0       | 2025-02-27T02:00:00 | k    | {"origin":"test"} |
    |             |      | events | 0          | 2       | 2025-02-27T02:00:00 | k    | {"origin":"test"} |
    +-------------+------+--------+------------+---------+---------------------+------+-------------------+
    events[0]@1 | column `rank`: `one` is not a whole number | {"TITLE": "x", "rank": "one"}
    events[0]@3 | not JSON: EOF while parsing an object at line 1 column 1 | {
    "#);
    assert_eq!(plain(position.as_ref()).as_deref(), Some(r#"{"topic":"events","offsets":{"0":4}}"#));
    assert_eq!(adapter.status().as_deref(), Some("lag 0"));
    // another process goes on where this one ended
    broker.send("events", 0, None, Some(br#"{"rank": 2}"#));
    let again = adapter_of(broker.settings(columns));
    let (parsed, position) = drain(again.as_ref(), position).await;
    assert_eq!(parsed.batches.iter().map(|b| b.num_rows()).sum::<usize>(), 1);
    assert_eq!(plain(position.as_ref()).as_deref(), Some(r#"{"topic":"events","offsets":{"0":5}}"#));
}

#[tokio::test]
async fn columns_are_inferred_once_and_then_grow_as_the_project_says() {
    let broker = Broker::with("events", 1);
    broker.send("events", 0, None, Some(br#"{"a": 1, "b": null}"#));
    broker.send("events", 0, None, Some(br#"{"a": 1.5, "c": [1]}"#));
    let names = |parsed: &Parsed| {
        let schema = parsed.batches[0].schema();
        schema.fields().iter().filter(|f| !f.name().starts_with('_')).map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>()
    };
    let first = adapter_of(broker.settings(json!({"columns": "infer"})));
    let (parsed, position) = drain(first.as_ref(), None).await;
    assert_eq!(names(&parsed), ["A Float64", "C Utf8"]);
    assert_eq!(
        plain(position.as_ref()).as_deref(),
        Some(r#"{"topic":"events","offsets":{"0":2},"columns":[["A","float"],["C","array"]]}"#)
    );
    broker.send("events", 0, None, Some(br#"{"a": 2, "new": "x"}"#));
    for (rule, expect, rejected) in
        [("ignore", vec!["A Float64", "C Utf8"], 0), ("evolve", vec!["A Float64", "C Utf8", "NEW Utf8"], 0), ("reject", vec![], 1)]
    {
        let adapter = adapter_of(broker.settings(json!({"columns": "infer", "on_schema_change": rule})));
        let (parsed, _) = drain(adapter.as_ref(), position.clone()).await;
        assert_eq!(parsed.rejected.len(), rejected, "{rule}: {:?}", parsed.rejected);
        if rejected == 0 {
            assert_eq!(names(&parsed), expect, "{rule}");
        } else {
            assert_eq!(parsed.rejected[0].reason, "the field `new` has no column");
        }
    }
}

#[tokio::test]
async fn offsets_that_are_gone_are_told_never_jumped() {
    let broker = Broker::with("events", 2);
    broker.send("events", 0, None, Some(b"{}"));
    let ahead = r#"{"topic":"events","offsets":{"0":7,"1":0}}"#;
    let fails = adapter_of(broker.settings(json!({})));
    let error = fails.fetch(Some(ahead), &FetchContext::default()).await.expect_err("the topic is shorter");
    assert_eq!(error.code, "ingest/topic-recreated");
    assert_eq!(
        error.message,
        "partition 0 of `events` ends at offset 1, but the table was filled up to 7: the topic was deleted and made anew, or its log was truncated"
    );
    let goes_on = adapter_of(broker.settings(json!({"on_data_loss": "continue"})));
    let (parsed, position) = drain(goes_on.as_ref(), Some(ahead.into())).await;
    assert_eq!(parsed.rejected.len(), 1);
    assert_eq!(parsed.batches.len(), 1);
    assert_eq!(plain(position.as_ref()).as_deref(), Some(r#"{"topic":"events","offsets":{"0":1,"1":0}}"#));
    // the mock keeps 5 MiB of a partition and drops the oldest
    let large = vec![b'"'; 1].into_iter().chain(vec![b'x'; 900_000]).chain([b'"']).collect::<Vec<_>>();
    for _ in 0..8 {
        broker.send("events", 1, None, Some(&large));
    }
    let error = fails.fetch(position.as_deref(), &FetchContext::default()).await.expect_err("the first messages are gone");
    assert_eq!(error.code, "ingest/data-lost", "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_the_topic_is_said() {
    let broker = Broker::with("events", 1);
    let error = |settings: Json| async move {
        let error = adapter_of(settings).fetch(None, &FetchContext::default()).await.expect_err("a fault");
        (error.code, error.help.unwrap_or_default())
    };
    assert_eq!(error(broker.settings(json!({"topic": "event"}))).await, ("ingest/no-topic", "did you mean `events`?".into()));
    let (code, _) = error(json!({"brokers": "127.0.0.1:1", "topic": "events", "timeout_s": 1})).await;
    assert_eq!(code, "ingest/unreachable");
    let other = adapter_of(broker.settings(json!({})));
    let error = other.fetch(Some(r#"{"topic":"songs","offsets":{}}"#), &FetchContext::default()).await.expect_err("another topic");
    assert_eq!(error.message, "the table was filled from the topic `songs`, not from `events`");
}

#[tokio::test]
async fn an_ingest_ends_at_the_watermarks_of_its_start_or_before() {
    let broker = Broker::with("events", 1);
    for n in 0..10 {
        broker.send("events", 0, None, Some(format!("{n}").as_bytes()));
    }
    let rows = |parsed: &Parsed| parsed.batches.iter().map(|b| b.num_rows()).sum::<usize>();
    let bounded = adapter_of(broker.settings(json!({"batch_messages": 4})));
    let (first, position) = step(bounded.as_ref(), None).await.expect("messages");
    assert_eq!(rows(&first), 4);
    broker.send("events", 0, None, Some(b"late"));
    let (rest, position) = drain(bounded.as_ref(), Some(position)).await;
    assert_eq!((rows(&rest), plain(position.as_ref()).as_deref()), (6, Some(r#"{"topic":"events","offsets":{"0":10}}"#)));
    let until = adapter_of(broker.settings(json!({"until": {"0": 3}})));
    let (some, _) = drain(until.as_ref(), None).await;
    assert_eq!(rows(&some), 3);
    // a table that begins at the end remembers where that was
    let latest = adapter_of(broker.settings(json!({"start": "latest", "format": "string"})));
    let (none, position) = drain(latest.as_ref(), None).await;
    assert_eq!((rows(&none), plain(position.as_ref()).as_deref()), (0, Some(r#"{"topic":"events","offsets":{"0":11}}"#)));
}

#[tokio::test]
async fn following_waits_for_messages_and_stops_when_nobody_waits() {
    let broker = Broker::with("events", 1);
    let adapter = adapter_of(broker.settings(json!({"format": "string"})));
    let cx = FetchContext { follow: true, ..FetchContext::default() };
    assert!(adapter.fetch(None, &cx).await.expect("an answer").is_none());
    broker.send("events", 0, None, Some(b"one"));
    let fetched = adapter.fetch(None, &cx).await.expect("an answer").expect("a message");
    assert_eq!(plain(Some(&fetched.position)).as_deref(), Some(r#"{"topic":"events","offsets":{"0":1}}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_is_read_with_the_schema_that_wrote_it() {
    let registry = MockServer::start().await;
    let schema = |fields: Json| json!({"type": "record", "name": "Event", "fields": fields});
    let first = schema(json!([
        {"name": "id", "type": "long"},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]));
    let second = schema(json!([{"name": "id", "type": "long"}, {"name": "tags", "type": {"type": "array", "items": "string"}}]));
    for (id, schema) in [(1, &first), (2, &second)] {
        let answer = ResponseTemplate::new(200).set_body_json(json!({"schema": schema.to_string()}));
        Mock::given(method("GET")).and(path(format!("/schemas/ids/{id}"))).respond_with(answer).expect(1).mount(&registry).await;
    }
    let message = |id: u8, schema: &Json, value: apache_avro::types::Value| {
        let schema = apache_avro::Schema::parse_str(&schema.to_string()).expect("a schema");
        let datum = apache_avro::to_avro_datum(&schema, value).expect("a datum");
        [vec![0, 0, 0, 0, id], datum].concat()
    };
    use apache_avro::types::Value;
    let price = Value::Union(1, Box::new(Value::Decimal(apache_avro::Decimal::from(&(-12345i32).to_be_bytes()[..]))));
    let one = message(
        1,
        &first,
        Value::Record(vec![
            ("id".into(), Value::Long(1)),
            ("price".into(), price),
            ("at".into(), Value::TimestampMillis(1_740_621_600_123)),
        ]),
    );
    let two = message(
        2,
        &second,
        Value::Record(vec![("id".into(), Value::Long(2)), ("tags".into(), Value::Array(vec![Value::String("a".into())]))]),
    );
    let broker = Broker::with("events", 1);
    for payload in [one.as_slice(), &two, b"{}", &[0, 0, 0, 0, 9, 2], &one[..7]] {
        broker.send("events", 0, None, Some(payload));
    }
    let settings =
        |rule: &str| broker.settings(json!({"format": "avro", "schema_registry": registry.uri(), "on_schema_change": rule, "retries": 0}));
    let adapter = adapter_of(settings("evolve"));
    let (parsed, _) = drain(adapter.as_ref(), None).await;
    insta::assert_snapshot!(shown(&parsed), @r#"
    +----+---------+-------------------------+-------+--------+------------+---------+---------------------+------+-------------------+
    | ID | PRICE   | AT                      | TAGS  | _TOPIC | _PARTITION | _OFFSET | _TIMESTAMP          | _KEY | _HEADERS          |
    +----+---------+-------------------------+-------+--------+------------+---------+---------------------+------+-------------------+
    | 1  | -123.45 | 2025-02-27T02:00:00.123 |       | events | 0          | 0       | 2025-02-27T02:00:00 |      | {"origin":"test"} |
    | 2  |         |                         | ["a"] | events | 0          | 1       | 2025-02-27T02:00:00 |      | {"origin":"test"} |
    +----+---------+-------------------------+-------+--------+------------+---------+---------------------+------+-------------------+
    events[0]@2 | not an Avro message of a schema registry: its first byte is 123, not 0 | {}
    events[0]@3 | the schema 9 is not in the registry | 000000000902
    events[0]@4 | not of its schema: Failed to read bytes for decoding variable length integer: failed to fill whole buffer | 00000000010202
    "#);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_told_by_its_messages() {
    let former = Broker::with("events", 2);
    for n in 0..5 {
        former.send("events", n % 2, Some("k"), Some(format!("{{\"n\":{n}}}").as_bytes()));
    }
    let (_, position) = drain(adapter_of(former.settings(json!({}))).as_ref(), None).await;
    // the same topic with more messages: nothing is amiss
    former.send("events", 0, None, Some(b"{}"));
    let (more, position) = drain(adapter_of(former.settings(json!({}))).as_ref(), position).await;
    assert_eq!((more.batches.len(), more.rejected.len()), (1, 0));
    // another one under the name, longer than the old one was
    let anew = Broker::with("events", 2);
    for n in 0..20 {
        anew.send("events", n % 2, Some("k"), Some(format!("{{\"m\":{n}}}").as_bytes()));
    }
    let error = adapter_of(anew.settings(json!({}))).fetch(position.as_deref(), &FetchContext::default()).await.expect_err("another topic");
    assert_eq!(error.code, "ingest/topic-recreated");
    assert!(
        error
            .message
            .ends_with("is another one than the table was filled with: the topic was deleted and made anew, or its log was truncated"),
        "{error}"
    );
    let goes_on = adapter_of(anew.settings(json!({"on_data_loss": "continue"})));
    let (all, position) = drain(goes_on.as_ref(), position).await;
    assert_eq!(all.batches.iter().map(|b| b.num_rows()).sum::<usize>(), 20, "{}", shown(&all));
    assert_eq!(all.rejected.len(), 2);
    assert_eq!(plain(position.as_ref()).as_deref(), Some(r#"{"topic":"events","offsets":{"0":10,"1":10}}"#));
    let (none, _) = drain(goes_on.as_ref(), position).await;
    assert!(none.batches.is_empty() && none.rejected.is_empty());
}

#[tokio::test]
async fn tombstones_are_rows_of_nulls_with_their_key_or_left_out() {
    let broker = Broker::with("events", 1);
    for (key, payload) in [("a", Some(&b"{\"n\":1}"[..])), ("a", None), ("b", Some(b""))] {
        broker.send("events", 0, Some(key), payload);
    }
    let rows = |parsed: &Parsed| parsed.batches.iter().map(|b| b.num_rows()).sum::<usize>();
    for (rule, format, expect) in [("keep", "json", 2), ("ignore", "json", 1), ("keep", "string", 3), ("ignore", "string", 2)] {
        let adapter = adapter_of(broker.settings(json!({"tombstones": rule, "format": format})));
        let (parsed, position) = drain(adapter.as_ref(), None).await;
        assert_eq!(rows(&parsed), expect, "{rule} {format}: {}", shown(&parsed));
        // an empty text is no tombstone, and no JSON
        assert_eq!(parsed.rejected.len(), usize::from(format == "json"));
        assert_eq!(plain(position.as_ref()).as_deref(), Some(r#"{"topic":"events","offsets":{"0":3}}"#), "left out is taken, too");
    }
}

#[test]
fn properties_are_the_clients_own() {
    let faults = |properties: Json| {
        let config = config("kafka", json!({"brokers": "localhost:9", "topic": "t", "properties": properties}));
        let made = registry::adapter(&config, &registry::AdapterEnv::new(".", None));
        made.err().map(|faults| faults.0.iter().map(|d| format!("{}: {}", d.code, d.message)).collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(faults(json!({"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p", "fetch.wait.max.ms": 10})), [""; 0]);
    for (wrong, expect) in [
        (json!({"sasl.mechanisme": "PLAIN"}), "ingest/kafka-property: the client does not take the property `sasl.mechanisme`"),
        (json!({"security.protocol": "tls"}), "ingest/kafka-property: the client does not take the property `security.protocol`"),
        (json!(["a"]), "ingest/wrong-type: `properties` must be a mapping of the client's property names to values"),
    ] {
        let told = faults(wrong);
        assert!(told.len() == 1 && told[0].starts_with(expect), "{told:?}");
    }
}

/// A broker that asks who is there, hears how that will be proven, and hangs up.
#[tokio::test]
async fn properties_reach_the_broker_and_its_refusal_the_user() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = std::sync::Arc::new(Mutex::new(Vec::<u8>::new()));
    let hearing = std::sync::Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut frame = || -> std::io::Result<(std::net::TcpStream, Vec<u8>)> {
                let mut size = [0; 4];
                stream.read_exact(&mut size)?;
                let mut body = vec![0; u32::from_be_bytes(size).min(1 << 16) as usize];
                stream.read_exact(&mut body)?;
                Ok((stream.try_clone()?, body))
            };
            // what it can: the versions of the handshake (17) and of this question (18), in their oldest forms
            let versions = [&[0, 0, 0, 2, 0, 17, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0][..], &[0, 0, 0, 0, 0, 1, 0, 5], b"PLAIN"];
            let mut is_named = false;
            while let (false, Ok((mut back, request))) = (is_named, frame()) {
                is_named = request[1] == 17;
                let body = match (request[1], request[3]) {
                    (18, 0) => [&[0, 0][..], versions[0]].concat(),
                    // of a newer form: an error that says to ask in the oldest
                    (18, _) => [&[0, 35][..], versions[0]].concat(),
                    _ => [versions[1], versions[2]].concat(),
                };
                let answer = [&request[4..8], body.as_slice()].concat();
                let _ = back.write_all(&[&(answer.len() as u32).to_be_bytes()[..], &answer].concat());
                hearing.lock().extend(request);
            }
        }
    });
    let properties = json!({
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": "wonder",
        "client.id": "jukebox",
    });
    let settings = json!({"brokers": address.to_string(), "topic": "events", "timeout_s": 5, "properties": properties});
    let error = adapter_of(settings).fetch(None, &FetchContext::default()).await.expect_err("refused");
    assert!(["ingest/not-authenticated", "ingest/unreachable"].contains(&error.code), "{} {error}", error.code);
    assert!(!error.message.contains("wonder"), "{error}");
    let heard = String::from_utf8_lossy(&heard.lock()).into_owned();
    assert!(heard.contains("PLAIN") && heard.contains("jukebox"), "{heard:?}");
}
