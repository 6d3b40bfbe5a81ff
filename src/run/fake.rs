//! A warehouse in memory for tests of the scheduler: it records what it is asked, and fails, waits or panics on demand.
//!
//! It runs no SQL. Behaviour is written into the SQL itself: `FAIL`, `panic`, `slow`, `flaky`, `count N`.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use datafusion::arrow::{
    array::{BooleanArray, Int64Array},
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use parking_lot::Mutex;
use serde_json::{Map, Value as Json};

use super::{
    Compile, CompiledNode, Places,
    compile::{QueryComment, Text},
};
use crate::{
    diagnostic::{Diagnostics, Place},
    engine::{ColumnInfo, Engine, EngineError, Landing, LandingState, Outcome, Publish, Published, RelationInfo, RelationKind, Session},
    graph::Node,
    names::{NodeId, RelationName, SchemaName},
    project::World,
    template::{MacroCall, Returned},
};

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) published: Mutex<Vec<Publish>>,
    pub(crate) statements: Mutex<Vec<String>>,
    pub(crate) existing: Mutex<HashMap<RelationName, RelationKind>>,
    pub(crate) landings: Mutex<HashMap<RelationName, Vec<Landing>>>,
    running: AtomicUsize,
    pub(crate) most_running: AtomicUsize,
    flaked: AtomicUsize,
    /// The n-th landing from now on fails once, as a crash would.
    pub(crate) crash_at: Mutex<Option<usize>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeEngine(pub(crate) Arc<Shared>);

impl FakeEngine {
    async fn behave(&self, sql: &str) -> Result<(), EngineError> {
        let now = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_running.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(if sql.contains("slow") { 60 } else { 2 })).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        assert!(!sql.contains("panic"), "told to panic");
        if let Some(at) = sql.find("FAIL") {
            return Err(EngineError::new("engine/told", "told to fail").at(at..at + 4).help("do not"));
        }
        if sql.contains("flaky") && self.0.flaked.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(EngineError { transient: true, ..EngineError::new("engine/flaky", "lost the connection") });
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.published.lock().iter().map(|p| p.relation.name.as_str().to_lowercase()).collect()
    }

    /// All rows that are in a landing table, in order of landing.
    pub(crate) fn rows(&self, table: &RelationName) -> Option<RecordBatch> {
        let landings = self.0.landings.lock();
        let landings = landings.get(table)?;
        let schema = Arc::clone(&landings.first()?.schema);
        concat_batches(&schema, landings.iter().flat_map(|l| l.batches.iter())).ok()
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        let existing = self.0.existing.lock();
        let here = existing.iter().filter(|(name, _)| schemas.contains(&name.schema_name()));
        Ok(here
            .map(|(name, kind)| RelationInfo { name: name.clone(), kind: *kind, version: "1".into(), properties: BTreeMap::new() })
            .collect())
    }

    async fn columns(&self, _: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        Ok(None)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(FakeSession(self.clone()))
    }

    async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        if let crate::engine::Content::Query(sql) = &publish.content {
            self.behave(sql).await?;
        }
        self.0.published.lock().push(publish);
        Ok(Published { rows: Some(7), message: "SUCCESS 1".into(), version: "2".into() })
    }

    async fn landing(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        let landings = self.0.landings.lock();
        Ok(landings.get(table).and_then(|l| l.last()).map_or_else(LandingState::default, |l| LandingState {
            exists: true,
            sequence: l.sequence,
            position: Some(l.position.clone()),
        }))
    }

    async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        if let Some(left) = self.0.crash_at.lock().as_mut() {
            if *left == 0 {
                return Err(EngineError::new("engine/crash", "the process was killed"));
            }
            *left -= 1;
        }
        let mut landings = self.0.landings.lock();
        let done = landings.entry(landing.table.clone()).or_default();
        if done.last().is_none_or(|l| l.sequence < landing.sequence) {
            done.push(landing);
        }
        Ok(Published { rows: None, message: String::new(), version: done.len().to_string() })
    }
}

struct FakeSession(FakeEngine);

#[async_trait]
impl Session for FakeSession {
    async fn execute(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        self.0.0.statements.lock().push(sql.to_owned());
        self.0.behave(sql).await?;
        // the one query with a table that it must know: raw rows of a sequence
        if let Some((table, sequence)) = sql.strip_prefix("select * from ").and_then(|s| s.split_once(" where SEQUENCE = ")) {
            let rows = self.0.0.landings.lock().iter().find(|(name, _)| name.to_string() == table).and_then(|(_, l)| {
                let schema = Arc::clone(&l.first()?.schema);
                concat_batches(&schema, l.iter().flat_map(|l| l.batches.iter())).ok()
            });
            let rows = rows.ok_or_else(|| EngineError::new("engine/unknown-table", table))?;
            let wanted: i64 = sequence.parse().unwrap_or_default();
            let column = rows.column_by_name("SEQUENCE").and_then(|c| c.as_any().downcast_ref::<Int64Array>()).expect("a sequence");
            let mask = BooleanArray::from_iter(column.iter().map(|s| Some(s == Some(wanted))));
            let batch = filter_record_batch(&rows, &mask).expect("same length");
            return Ok(Outcome { schema: batch.schema(), batches: vec![batch], is_query: true, rows_affected: None });
        }
        let n = sql.split("count ").nth(1).and_then(|s| s.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let schema = Arc::new(Schema::new(vec![Field::new("FAILURES", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![n]))]).expect("one column");
        Ok(Outcome { schema, batches: vec![batch], is_query: true, rows_affected: None })
    }

    fn split(&self, script: &str) -> Vec<Range<usize>> {
        let mut from = 0;
        let mut pieces = vec![];
        for piece in script.split(';') {
            if !piece.trim().is_empty() {
                pieces.push(from..from + piece.len());
            }
            from += piece.len() + 1;
        }
        pieces
    }
}

/// Compiles every node to the SQL that it was given, and knows the place of each letter.
#[derive(Clone)]
pub(crate) struct FakeProject {
    nodes: HashMap<NodeId, Arc<Node>>,
    folder: PathBuf,
}

impl FakeProject {
    pub(crate) fn new(nodes: Vec<Node>, folder: PathBuf) -> Self {
        Self { nodes: nodes.into_iter().map(|n| (n.id.clone(), Arc::new(n))).collect(), folder }
    }
}

struct Same(Arc<Node>);

impl Places for Same {
    fn place_of(&self, range: Range<usize>) -> Option<(Place, Vec<(Place, String)>)> {
        Some((Place::new(&self.0.file, range), vec![]))
    }
}

impl Compile for FakeProject {
    fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.nodes.get(id).cloned()
    }

    fn over(&self, _: &Arc<dyn Engine>) -> Arc<dyn Compile> {
        Arc::new(self.clone())
    }

    fn compile_in(&self, id: &NodeId, _: &World) -> Result<CompiledNode, Diagnostics> {
        let node = Arc::clone(&self.nodes[id]);
        Ok(CompiledNode {
            sql: node.raw_code.clone(),
            places: Arc::new(Same(node)),
            logs: vec![],
            warnings: Diagnostics::default(),
            header: None,
        })
    }

    fn render(&self, _: Option<&NodeId>, template: &str, _: &Place, extra: &Map<String, Json>) -> Result<Text, Diagnostics> {
        let statuses = extra.get("results").and_then(Json::as_array).map_or(0, Vec::len);
        Ok(Text { sql: template.replace("{{ results | length }}", &statuses.to_string()), logs: vec![] })
    }

    fn call(&self, _: Option<&NodeId>, _: &MacroCall, _: &Map<String, Json>) -> Result<Returned, Diagnostics> {
        Ok(Returned::default())
    }

    fn materialization(&self, _: &Node) -> Option<String> {
        None
    }

    fn comment(&self, _: Option<&NodeId>) -> Result<Option<QueryComment>, Diagnostics> {
        Ok(None)
    }

    fn written(&self, schema: &SchemaName) -> (String, String) {
        (schema.database.as_str().to_owned(), schema.schema.as_str().to_owned())
    }

    fn seed_file(&self, node: &Node) -> PathBuf {
        self.folder.join(&node.original_file_path)
    }
}
