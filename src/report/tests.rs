//! What a small run looks like in each form.

use std::{io::Write, path::PathBuf, sync::Arc, time::Duration};

use datafusion::arrow::{
    array::{Decimal128Array, Float64Array, Int64Array, StringArray},
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use parking_lot::Mutex;

use super::*;
use crate::{
    diagnostic::{Diagnostic, Place, SourceFile},
    engine::Outcome,
    names::{NodeId, ResourceType, SemiStructured},
    run::{
        RunReport,
        event::{NodeLabel, NodeResult, Status},
    },
};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn label(kind: ResourceType, what: &str, name: &str) -> Arc<NodeLabel> {
    let id = NodeId::of(kind, "p", &name.rsplit('.').next().unwrap_or(name).to_lowercase());
    Arc::new(NodeLabel { id, kind, what: what.into(), name: name.into() })
}

fn result(node: Arc<NodeLabel>, status: Status, message: &str, rows: Option<u64>) -> NodeResult {
    NodeResult {
        node,
        status,
        message: message.into(),
        rows,
        failures: None,
        diagnostics: vec![],
        compiled_code: None,
        compiled_path: None,
        relation_name: None,
        thread: "Thread-1 (worker)".into(),
        timing: vec![],
        elapsed: Duration::from_millis(420),
        adapter_response: serde_json::Map::new(),
        heading: None,
        batches: None,
        fresh: false,
    }
}

fn results() -> Vec<NodeResult> {
    let file = SourceFile::new("models/b.sql", "select\n  1 / 0\n");
    let fault = Diagnostic::error("engine/division-by-zero", "division by zero").at(Place::new(&file, 9..14), "").help("use `div0`");
    vec![
        result(label(ResourceType::Source, "source chart", "RAW.MELON"), Status::Success, "2100 rows", Some(2100)),
        result(label(ResourceType::Model, "model view", "S.가나"), Status::Success, "SUCCESS 1", None),
        NodeResult {
            diagnostics: vec![fault],
            compiled_path: Some(PathBuf::from("target/compiled/p/models/b.sql")),
            ..result(label(ResourceType::Model, "model table", "S.B"), Status::Error, "division by zero", None)
        },
        result(label(ResourceType::Model, "model table", "S.C"), Status::Skipped, "skipped because `S.B` failed", None),
        NodeResult {
            failures: Some(3),
            ..result(label(ResourceType::Test, "test", "unique_b_id"), Status::Warn, "Got 3 results, configured to warn if != 0", None)
        },
    ]
}

fn events() -> Vec<Event> {
    let results = results();
    let mut events = vec![Event::Started {
        counts: vec![(ResourceType::Source, 1), (ResourceType::Model, 3), (ResourceType::Test, 1)],
        total: 5,
        threads: 4,
        target: "dev".into(),
    }];
    events.push(Event::Log { level: LogLevel::Debug, node: None, message: "hidden".into() });
    events.push(Event::Log { level: LogLevel::Info, node: None, message: "password is hunter2".into() });
    for (i, result) in results.into_iter().enumerate() {
        events.push(Event::NodeStarted { index: i + 1, node: Arc::clone(&result.node) });
        events.push(Event::NodeFinished { index: i + 1, result: Arc::new(result) });
    }
    events.push(Event::Finished { elapsed: Duration::from_millis(3210), cancelled: false });
    events
}

fn show(options: ReportOptions) -> String {
    let page = Page::default();
    let secrets = vec!["hunter2".to_owned()];
    let options = ReportOptions { secrets, width: 80, invocation: "i".into(), clock: || DateTime::<Utc>::UNIX_EPOCH, ..options };
    let mut reporter = Reporter::new(options, Box::new(page.clone()));
    for event in events() {
        reporter.event(&event);
    }
    let bytes = page.0.lock().clone();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_run_in_plain_lines() {
    let text = show(ReportOptions::default());
    assert!(!text.contains('\u{1b}'));
    insta::assert_snapshot!(text, @r#"
    Found 1 source, 3 models and 1 test; target `dev`, 4 threads

    password is *****
    1 of 5 OK    source chart RAW.MELON ........................ 2,100 rows    0.42s
    2 of 5 OK    model view S.가나 ........................................    0.42s
    3 of 5 ERROR model table S.B ..........................................    0.42s
    4 of 5 SKIP  model table S.C .............................. because `S.B` failed
    5 of 5 WARN  test unique_b_id ............................... 3 results    0.42s

    Failure in model table S.B
    error[engine/division-by-zero]: division by zero
     --> models/b.sql:2:3
      |
    2 |   1 / 0
      |   ^^^^^
      |
      = help: use `div0`
    compiled SQL: target/compiled/p/models/b.sql

    Warning in test unique_b_id
    Got 3 results, configured to warn if != 0

    Finished 1 source, 3 models and 1 test in 3.21s.
    Done. PASS=2 WARN=1 ERROR=1 SKIP=1 NO-OP=0 TOTAL=5
    After mending: segue build --select b+
    "#);
}

#[test]
fn quiet_says_only_what_failed() {
    insta::assert_snapshot!(show(ReportOptions { quiet: true, ..ReportOptions::default() }), @r#"
    3 of 5 ERROR model table S.B ..........................................    0.42s

    Failure in model table S.B
    error[engine/division-by-zero]: division by zero
     --> models/b.sql:2:3
      |
    2 |   1 / 0
      |   ^^^^^
      |
      = help: use `div0`
    compiled SQL: target/compiled/p/models/b.sql
    "#);
}

#[test]
fn colour_is_only_there_when_asked_for() {
    assert!(show(ReportOptions { colour: true, ..ReportOptions::default() }).contains("\u{1b}["));
}

#[test]
fn json_lines_have_the_names_of_the_structured_log() {
    let text = show(ReportOptions { format: LogFormat::Json, ..ReportOptions::default() });
    let names: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["info"]["ts"], "1970-01-01T00:00:00.000000Z");
            assert!(line["data"].is_object());
            format!("{} {}", line["info"]["level"].as_str().unwrap_or_default(), line["info"]["name"].as_str().unwrap_or_default())
        })
        .collect();
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(names.join("\n"), @r#"
    info ConcurrencyLine
    info JinjaLogInfo
    info LogStartLine
    info LogIngestResult
    info LogStartLine
    info LogModelResult
    info LogStartLine
    error LogModelResult
    info LogStartLine
    info SkippingDetails
    info LogStartLine
    warn LogTestResult
    info FinishedRunningStats
    error RunResultError
    warn RunResultWarning
    info StatsLine
    info Advice
    "#);
}

fn outcome() -> Outcome {
    let json = [(SemiStructured::METADATA_KEY.to_owned(), "ARRAY".to_owned())].into();
    let schema = Arc::new(Schema::new(vec![
        Field::new("N", DataType::Int64, true),
        Field::new("D", DataType::Decimal128(10, 2), true),
        Field::new("F", DataType::Float64, true),
        Field::new("T", DataType::Utf8, true),
        Field::new("A", DataType::Utf8, true).with_metadata(json),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(Decimal128Array::from(vec![1050, -5]).with_precision_and_scale(10, 2).expect("fits")),
            Arc::new(Float64Array::from(vec![0.5, f64::INFINITY])),
            Arc::new(StringArray::from(vec![Some("a,\"b\""), Some("")])),
            Arc::new(StringArray::from(vec![Some("[1]"), None])),
        ],
    )
    .expect("columns fit");
    Outcome { schema, batches: vec![batch], is_query: true, rows_affected: None }
}

#[test]
fn results_as_table_csv_and_json() {
    let o = outcome();
    insta::assert_snapshot!(table::table(&o, Some(60)), @r#"
    ┌──────┬───────┬─────┬───────┬──────┐
    │    N ┆     D ┆   F ┆ T     ┆ A    │
    ╞══════╪═══════╪═════╪═══════╪══════╡
    │    1 ┆ 10.50 ┆ 0.5 ┆ a,"b" ┆ [1]  │
    │ NULL ┆ -0.05 ┆ inf ┆       ┆ NULL │
    └──────┴───────┴─────┴───────┴──────┘
    "#);
    insta::assert_snapshot!(table::csv(&o), @r#"
    N,D,F,T,A
    1,10.50,0.5,"a,""b""",[1]
    ,-0.05,inf,"",
    "#);
    insta::assert_snapshot!(table::json(&o), @r#"
    [
      {"N": 1, "D": 10.50, "F": 0.5, "T": "a,\"b\"", "A": [1]},
      {"N": null, "D": -0.05, "F": "inf", "T": "", "A": null}
    ]
    "#);
    insta::assert_snapshot!(table::json_line(&o), @r#"
    {"columns": ["N", "D", "F", "T", "A"], "types": ["NUMBER(38,0)", "NUMBER(10,2)", "FLOAT", "VARCHAR", "ARRAY"], "rows": [[1, "10.50", 0.5, "a,\"b\"", "[1]"], [null, "-0.05", "inf", "", null]]}
    "#);
    let _: serde_json::Value = serde_json::from_str(&table::json(&o)).expect("JSON");
    assert_eq!(table::json_line_error("a \"b\""), r#"{"error": "a \"b\""}"#);
}

#[test]
fn run_results_have_every_key() {
    let report = RunReport {
        results: results().into_iter().map(Arc::new).collect(),
        exit_code: 1,
        elapsed: Duration::from_secs(3),
        cancelled: false,
        fatal: None,
    };
    let context = run_results::RunResultsContext {
        invocation: "i".into(),
        started_at: DateTime::<Utc>::UNIX_EPOCH,
        generated_at: DateTime::<Utc>::UNIX_EPOCH,
        env: serde_json::Map::new(),
        args: serde_json::Map::new(),
    };
    let written = run_results::of(&report, &context);
    let keys: Vec<&String> = written["results"][0].as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "status",
            "timing",
            "thread_id",
            "execution_time",
            "adapter_response",
            "message",
            "failures",
            "unique_id",
            "compiled",
            "compiled_code",
            "relation_name",
            "batch_results"
        ]
    );
    assert!(written["results"][2]["message"].as_str().expect("text").contains("models/b.sql:2:3"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    run_results::write(folder.path(), &report, &context).expect("written");
    assert!(folder.path().join("run_results.json").exists());
}
