//! Whole runs against the warehouse in memory.

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    fake::{FakeEngine, FakeProject},
    *,
};
use crate::{
    diagnostic::SourceFile,
    ingest::{FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse, Rejected},
    names::{NodeId, RelationName},
    plan::{
        Plan, PlanOptions, Verb,
        tests::{id, nodes},
    },
    run::event::{Event, Status},
};

struct World {
    engine: FakeEngine,
    folder: tempfile::TempDir,
    options: RunOptions,
    adapters: AdapterFactory,
    on_run: (Vec<RunHook>, Vec<RunHook>),
    cancel: Cancellation,
    nodes: Vec<Node>,
}

impl World {
    /// `sql` gives nodes another text than `select 1`.
    fn new(graph: &str, sql: &[(&str, &str)]) -> Self {
        let mut nodes = nodes(graph);
        for node in &mut nodes {
            if let Some((_, text)) = sql.iter().find(|(name, _)| *name == node.name) {
                node.raw_code = (*text).to_owned();
                node.file = SourceFile::new(node.original_file_path.clone(), *text);
            }
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = RunOptions {
            project_dir: folder.path().into(),
            target_dir: folder.path().join("target"),
            target: "dev".into(),
            engine: "datafusion".into(),
            crosses: false,
            threads: 4,
            fail_fast: false,
            force: false,
            home: None,
            full_refresh: false,
            sources_anew: false,
            follow: false,
            follow_pause: Duration::ZERO,
            store_failures: false,
            empty: false,
            event_time: (None, None),
            batches: Default::default(),
            clone_from: Default::default(),
            reuse: None,
            warnings_are_errors: false,
            now: chrono::DateTime::UNIX_EPOCH,
            invocation: RunId::random(),
            retry: Retry { attempts: 3, first: Duration::from_micros(10), longest: Duration::from_micros(20) },
        };
        let adapters: AdapterFactory = Arc::new(|_, _| Ok(Arc::new(ThreeDays { broken: None })));
        Self { engine: FakeEngine::default(), folder, options, adapters, on_run: Default::default(), cancel: Cancellation::new(), nodes }
    }

    fn start(&self) -> (impl Future<Output = RunReport> + use<>, UnboundedReceiver<Event>) {
        let selected: HashSet<NodeId> = self.nodes.iter().map(|n| n.id.clone()).collect();
        let plan = Plan::new(&self.nodes, &selected, &PlanOptions::new(Verb::Build));
        let deps = Deps {
            engine: Arc::new(self.engine.clone()),
            compile: Arc::new(FakeProject::new(self.nodes.clone(), self.folder.path().into())),
            adapters: Arc::clone(&self.adapters),
            on_run_start: self.on_run.0.clone(),
            foresight: None,
            on_run_end: self.on_run.1.clone(),
        };
        let (sender, receiver) = unbounded_channel();
        (execute(plan, deps, self.options.clone(), sender, self.cancel.clone()), receiver)
    }

    async fn run(&self) -> RunReport {
        self.start().0.await
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|n| n.name == name).expect("a node of the graph")
    }
}

fn run_hook(sql: &str) -> RunHook {
    let file = SourceFile::new("dbt_project.yml", format!("on-run-start: {sql}\n"));
    RunHook { package: "p".into(), sql: sql.into(), place: crate::diagnostic::Place::new(&file, 14..14 + sql.len()) }
}

/// `a success; b error: message`, in the order of names.
fn show(report: &RunReport) -> String {
    let mut lines: Vec<String> = report
        .results
        .iter()
        .map(|r| {
            let name = r.node.id.as_str().rsplit('.').next().unwrap_or_default();
            match r.status {
                Status::Success | Status::Pass | Status::NoOp => format!("{name} {}", r.status.as_str()),
                _ => format!("{name} {}: {}", r.status.as_str(), r.message),
            }
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_permits_run_at_once_and_parents_come_first() {
    let world = World::new("a; b; c; d; e; f; g < a b; h < g", &[]);
    let mut options = world.options.clone();
    options.threads = 3;
    let world = World { options, ..world };
    let report = world.run().await;
    assert_eq!((report.exit_code, report.results.len()), (0, 8));
    assert!(world.engine.0.most_running.load(Ordering::SeqCst) <= 3);
    let order = world.engine.names();
    let at = |name: &str| order.iter().position(|n| n == name).expect("published");
    assert!(at("g") > at("a") && at("g") > at("b") && at("h") > at("g"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_way_starts_first() {
    let mut world = World::new("z; a; b < a; c < b", &[]);
    world.options.threads = 1;
    world.run().await;
    assert_eq!(world.engine.names()[0], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_skips_what_is_below_and_nothing_else() {
    let world = World::new("a; b < a; c < b; x; y < x", &[("a", "select\n FAIL")]);
    let report = world.run().await;
    insta::assert_snapshot!(show(&report), @r"
    a error: told to fail
    b skipped: skipped because `S.A` failed
    c skipped: skipped because `S.A` failed
    x success
    y success
    ");
    assert_eq!(report.exit_code, 1);
    let fault = &report.results.iter().find(|r| r.status == Status::Error).expect("failed").diagnostics[0];
    assert_eq!(fault.place.as_ref().expect("placed").to_string(), "models/a.sql:2:2");
    assert_eq!(std::fs::read_to_string(world.folder.path().join("target/compiled/p/models/a.sql")).expect("written"), "select\n FAIL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_the_failure_of_one_node() {
    let report = World::new("a; b < a; x", &[("a", "panic")]).run().await;
    insta::assert_snapshot!(show(&report), @r"
    a error: `S.A` was ended by a fault in segue itself: told to panic
    b skipped: skipped because `S.A` failed
    x success
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_faults_are_tried_again() {
    let report = World::new("a", &[("a", "flaky")]).run().await;
    assert_eq!(show(&report), "a success");
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_fast_starts_nothing_more() {
    let mut world = World::new("a; b; c", &[("a", "FAIL")]);
    world.options.threads = 1;
    world.options.fail_fast = true;
    insta::assert_snapshot!(show(&world.run().await), @r"
    a error: told to fail
    b skipped: skipped because `S.A` failed and --fail-fast is on
    c skipped: skipped because `S.A` failed and --fail-fast is on
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_interrupt_lets_commits_happen() {
    let mut world = World::new("a; b < a; c", &[("a", "slow")]);
    world.options.threads = 1;
    let (run, mut events) = world.start();
    let run = tokio::spawn(run);
    while let Some(event) = events.recv().await {
        if matches!(event, Event::NodeStarted { .. }) {
            world.cancel.interrupt();
            break;
        }
    }
    let report = run.await.expect("no panic");
    insta::assert_snapshot!(show(&report), @r"
    a success
    b skipped: cancelled before it started
    c skipped: cancelled before it started
    ");
    assert_eq!((report.exit_code, report.cancelled), (1, true));
    assert_eq!(world.engine.names(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_interrupt_drops_what_runs() {
    let world = World::new("a", &[("a", "slow")]);
    let (run, mut events) = world.start();
    let run = tokio::spawn(run);
    while let Some(event) = events.recv().await {
        if matches!(event, Event::NodeStarted { .. }) {
            world.cancel.interrupt();
            world.cancel.interrupt();
            break;
        }
    }
    assert_eq!(show(&run.await.expect("no panic")), "a error: `S.A` was aborted");
    assert!(world.engine.names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tests_block_children() {
    let world = World::new("a; test_a < a; b < a; test_w < a", &[("test_a", "select count 3 "), ("test_w", "select count 0 ")]);
    let report = world.run().await;
    insta::assert_snapshot!(show(&report), @r"
    a success
    b skipped: skipped because `test_a` failed
    test_a fail: Got 3 results, configured to fail if != 0
    test_w pass
    ");
    let test = report.results.iter().find(|r| r.status == Status::Fail).expect("failed");
    assert_eq!(test.failures, Some(3));
    let fault = &test.diagnostics[0];
    assert_eq!(fault.help.as_deref(), Some("`segue show --select test_a` shows the failing rows"));
    assert_eq!(fault.notes, ["compiled SQL: target/compiled/p/models/test_a.sql"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rows_are_stored_in_the_audit_schema() {
    let mut world = World::new("a; test_a < a", &[("test_a", "select count 3 ")]);
    world.options.store_failures = true;
    world.run().await;
    let stored = world.engine.0.published.lock().iter().map(|p| p.relation.to_string()).collect::<Vec<_>>();
    assert_eq!(stored, ["DB.S.A", "DB.S_DBT_TEST__AUDIT.TEST_A"]);
    let asked = world.engine.0.statements.lock().last().cloned().expect("asked");
    assert_eq!(asked, "select\n  count(*) as failures\nfrom (\nselect * from DB.S_DBT_TEST__AUDIT.TEST_A\n) dbt_internal_test");
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_models_replace_views_and_missing_tables() {
    for (existing, full, expect) in [
        (None, false, "Table"),
        (Some(crate::engine::RelationKind::View), false, "Table"),
        (Some(crate::engine::RelationKind::Table), true, "Table"),
        (Some(crate::engine::RelationKind::Table), false, "Incremental { strategy: Append, on_schema_change: Ignore }"),
    ] {
        let mut world = World::new("a", &[]);
        world.node("a").config.materialized = "incremental".into();
        world.options.full_refresh = full;
        if let Some(kind) = existing {
            world.engine.0.existing.lock().insert(RelationName::parse_parts("db", "s", "a"), kind);
        }
        assert_eq!(show(&world.run().await), "a success");
        assert_eq!(format!("{:?}", world.engine.0.published.lock()[0].how), expect);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_materializations_have_a_hint() {
    let mut world = World::new("a", &[]);
    world.node("a").config.materialized = "tabel".into();
    let report = world.run().await;
    let fault = &report.results[0].diagnostics[0];
    assert_eq!(
        (fault.message.as_str(), fault.help.as_deref()),
        (
            "No materialization 'tabel' was found for adapter datafusion! (searched types 'datafusion', 'snowflake', 'default')",
            Some("did you mean `table`?"),
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_a_node_and_around_the_run() {
    let mut world = World::new("a", &[]);
    world.on_run = (vec![run_hook("set x = 1; set y = 2")], vec![run_hook("insert {{ results | length }}")]);
    let hook = |sql: &str| crate::graph::Hook { sql: sql.into(), transaction: true };
    world.node("a").config.pre_hook = vec![hook("before")];
    world.node("a").config.post_hook = vec![hook("after")];
    let report = world.run().await;
    let statements = world.engine.0.statements.lock().iter().map(|s| s.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(statements, ["set x = 1", "set y = 2", "before", "after", "insert 2"]);
    assert_eq!(show(&report), "a success\np-on-run-end-0 success\np-on-run-start-0 success");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_hook_skips_all() {
    let mut world = World::new("a", &[]);
    world.on_run.0 = vec![run_hook("FAIL")];
    insta::assert_snapshot!(show(&world.run().await), @r"
    a skipped: skipped because an on-run-start hook failed
    p-on-run-start-0 error: told to fail
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_are_read_from_the_project() {
    let mut world = World::new("seed_x; seed_y", &[]);
    std::fs::create_dir(world.folder.path().join("seeds")).expect("made");
    std::fs::write(world.folder.path().join("seeds/x.csv"), "a,b\n1,x\n2,y\n").expect("written");
    world.node("seed_x").original_file_path = "seeds/x.csv".into();
    world.node("seed_y").original_file_path = "seeds/y.csv".into();
    let report = world.run().await;
    assert!(show(&report).starts_with("seed_x success\nseed_y error: `seeds/y.csv` cannot be read"), "{}", show(&report));
    let x = report.results.iter().find(|r| r.status == Status::Success).expect("one");
    assert_eq!((x.rows, x.message.as_str()), (Some(2), "INSERT 2"));
}

/// Three pieces, `d1` to `d3`; each payload is one row and, of `d2`, one reject.
struct ThreeDays {
    broken: Option<(&'static str, bool)>,
}

#[async_trait::async_trait]
impl Adapter for ThreeDays {
    fn schema(&self) -> datafusion::arrow::datatypes::SchemaRef {
        use datafusion::arrow::datatypes::{DataType, Field, Schema};
        Arc::new(Schema::new(vec![Field::new("PAYLOAD", DataType::Utf8, true)]))
    }

    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let next = position.map_or(1, |p| p.trim_start_matches('d').parse::<u32>().expect("a day") + 1);
        if next > 3 {
            return Ok(None);
        }
        let day = format!("d{next}");
        let response = RawResponse {
            subject: day.clone(),
            url: String::new(),
            status: 200,
            fetched_at: cx.now,
            headers: "{}".into(),
            payload: format!("payload of {day}"),
        };
        Ok(Some(Fetched { what: FetchedContent::Responses(vec![response]), position: day }))
    }

    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        use datafusion::arrow::{array::StringArray, record_batch::RecordBatch};
        let day = &responses[0].subject;
        if let Some((broken, partial)) = self.broken
            && broken == day
        {
            let error = Some(IngestError::new("ingest/shape", "no list"));
            if !partial {
                return Parsed { error, ..Parsed::default() };
            }
            return Parsed { error, ..ThreeDays { broken: None }.parse(responses) };
        }
        let rows = Arc::new(StringArray::from_iter_values(responses.iter().map(|r| &r.payload)));
        let rejected = match day.as_str() {
            "d2" => vec![Rejected { reason: "no rank".into(), position: "$.list[1]".into(), record: "{}".into() }],
            _ => vec![],
        };
        let batch = RecordBatch::try_new(self.schema(), vec![rows]).expect("one column");
        Parsed { batches: vec![batch], replace: None, rejected, error: None }
    }
}

fn landed(world: &World, suffix: &str) -> Vec<String> {
    let table = RelationName::parse_parts("db", "s", &format!("src_x{suffix}"));
    let Some(rows) = world.engine.rows(&table) else { return vec![] };
    let column = if suffix == "__rejected" { "REASON" } else { "PAYLOAD" };
    let column = rows.column_by_name(column).expect("there");
    let texts = column.as_any().downcast_ref::<datafusion::arrow::array::StringArray>().expect("text");
    texts.iter().map(|t| t.unwrap_or_default().replace("payload of ", "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_lands_rows_raw_and_rejects_once() {
    let world = World::new("src_x; a < src_x", &[]);
    let report = world.run().await;
    assert_eq!(show(&report), "a success\nsrc_x success");
    assert_eq!(report.results[0].message, "3 rows, 1 rejected");
    assert_eq!(landed(&world, ""), ["d1", "d2", "d3"]);
    assert_eq!(landed(&world, "__raw"), ["d1", "d2", "d3"]);
    assert_eq!(landed(&world, "__rejected"), ["no rank"]);
    let again = world.run().await;
    assert_eq!(show(&again), "a success\nsrc_x no-op");
    assert_eq!(landed(&world, ""), ["d1", "d2", "d3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_commits_loses_and_doubles_nothing() {
    // 3 raw + 3 rows + 1 rejects
    for crash in 0..7 {
        let world = World::new("src_x", &[]);
        *world.engine.0.crash_at.lock() = Some(crash);
        let report = world.run().await;
        assert_eq!(show(&report), "src_x error: the process was killed", "crash at {crash}");
        *world.engine.0.crash_at.lock() = None;
        world.run().await;
        assert_eq!(landed(&world, ""), ["d1", "d2", "d3"], "crash at {crash}");
        assert_eq!(landed(&world, "__raw"), ["d1", "d2", "d3"], "crash at {crash}");
        assert_eq!(landed(&world, "__rejected"), ["no rank"], "crash at {crash}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_payload_is_asked_for_again() {
    let mut world = World::new("src_x", &[]);
    world.adapters = Arc::new(|_, _| Ok(Arc::new(ThreeDays { broken: Some(("d2", false)) })));
    assert_eq!(show(&world.run().await), "src_x error: no list");
    assert_eq!((landed(&world, ""), landed(&world, "__raw")), (vec!["d1".to_owned()], vec!["d1".to_owned(), "d2".to_owned()]));
    world.adapters = Arc::new(|_, _| Ok(Arc::new(ThreeDays { broken: None })));
    assert_eq!(show(&world.run().await), "src_x success");
    assert_eq!(landed(&world, ""), ["d1", "d2", "d3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_rows_of_a_broken_payload_land_once() {
    let mut world = World::new("src_x", &[]);
    world.adapters = Arc::new(|_, _| Ok(Arc::new(ThreeDays { broken: Some(("d2", true)) })));
    assert_eq!(show(&world.run().await), "src_x error: no list");
    assert_eq!(landed(&world, ""), ["d1", "d2"]);
    world.run().await;
    assert_eq!(landed(&world, ""), ["d1", "d2", "d3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_input_are_asked_for_before_the_fetch() {
    let mut world = World::new("a; src_x < a", &[]);
    let input = id("a");
    let source = world.node("src_x").source.as_mut().expect("a source");
    source.adapter.as_mut().expect("an adapter").input = Some(input);
    world.run().await;
    assert!(world.engine.0.statements.lock().iter().any(|s| s == "select distinct * from DB.S.A"));
}
