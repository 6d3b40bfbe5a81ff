//! A source with an adapter: what came since the last time -> landed rows, exactly once.
//!
//! Each piece of work is at most three commits, all with one sequence number: the raw responses to `<table>__raw`, the
//! rejects to `<table>__rejected`, the rows and the new position to the table. A commit whose sequence a table already
//! records does nothing, so after a crash at any moment the piece is finished, not repeated: when the raw table is one
//! sequence ahead of the rows, its responses are parsed again instead of being fetched again.
//!
//! `ingest --full-refresh` parses the raw responses again into one commit that replaces the table; of adapters without raw
//! responses it forgets the position, and the first new commit replaces the table.
//!
//! When a payload as a whole could not be used and nothing would be landed twice, the position is *not* advanced: the
//! next run asks again, so that a broken response never becomes a silent gap.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use datafusion::arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatch,
};

use futures::future::BoxFuture;

use super::{
    compile::whole,
    event::{Event, LogLevel, Status},
    materialize::no_relation,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::{EngineError, Landing, LandingState, Outcome, RelationKind, Replace, value},
    graph::AdapterConfig,
    ingest::{Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse, raw_from_batch, raw_schema, raw_to_batch},
    names::RelationName,
};

/// Every loop must end: an adapter that never says that nothing is new is at fault.
const MOST_PIECES: u64 = 1_000_000;

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let started = Utc::now();
    let ended = ingest(task, progress).await;
    progress.timing.push(("execute", started, Utc::now()));
    ended
}

async fn ingest(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let table = node.relation.clone().ok_or_else(|| no_relation(task))?;
    let config =
        node.source.as_ref().and_then(|s| s.adapter.as_ref()).ok_or_else(|| {
            Diagnostic::error("ingest/no-adapter", format!("the source `{}` has no adapter", node.name)).at(whole(node), "")
        })?;
    let adapter = (task.context.deps.adapters)(node, config)?;
    if let Some(files) = adapter.in_place() {
        return super::in_place::list(task, progress, config, files, table).await;
    }
    let follow = task.context.options.follow;
    let cx = FetchContext { now: task.context.options.now, keys: keys(task, config).await?, follow };
    let mut lane = Lane::open(task, config, adapter, table).await?;
    let result = lane.drain(&cx).await;
    progress.rows = Some(lane.landed);
    progress.message = lane.summary();
    progress.metrics = lane.adapter.metrics();
    if lane.rejected > 0 {
        progress.metrics.insert("rejected".into(), lane.rejected.into());
    }
    result?;
    Ok(if lane.landed == 0 && lane.rejected == 0 && lane.pieces == 0 { Status::NoOp } else { Status::Success })
}

/// One source on its way from position to position.
struct Lane<'a> {
    task: &'a Task,
    place: Place,
    adapter: Arc<dyn Adapter>,
    table: RelationName,
    raw: RelationName,
    state: LandingState,
    raw_state: LandingState,
    /// What the last commit added to the ledger is in it.
    ledger_sequence: u64,
    landed: u64,
    rejected: u64,
    pieces: u64,
    /// The next landing replaces the whole table.
    starts_over: bool,
    /// Rejects of a commit whose rows never came: a run was killed in between.
    orphans: Option<Orphans>,
}

struct Orphans {
    sequence: u64,
    /// There is no table: whatever was rejected is of a former life of it.
    all: bool,
}

impl<'a> Lane<'a> {
    async fn open(task: &'a Task, config: &AdapterConfig, adapter: Arc<dyn Adapter>, table: RelationName) -> Result<Self, Diagnostics> {
        let raw = table.with_suffix("__raw");
        let mut lane = Self {
            task,
            place: config.place.clone(),
            adapter,
            raw,
            table,
            state: LandingState::default(),
            raw_state: LandingState::default(),
            ledger_sequence: 0,
            landed: 0,
            rejected: 0,
            pieces: 0,
            starts_over: false,
            orphans: None,
        };
        lane.state = lane.landing(&lane.table).await?;
        lane.raw_state = lane.landing(&lane.raw).await?;
        lane.find_orphans().await?;
        lane.open_ledger().await?;
        Ok(lane)
    }

    /// Responses that were kept are parsed again into the same rejects. What is fetched again may come in other pieces:
    /// then the rejects that are there are not those of the piece that comes next, and would be told twice.
    async fn find_orphans(&mut self) -> Result<(), Diagnostics> {
        let rejected = self.landing(&self.rejected_table()).await?;
        if rejected.sequence > self.state.sequence && self.raw_state.sequence <= self.state.sequence {
            self.orphans = Some(Orphans { sequence: rejected.sequence, all: !self.state.exists });
        }
        Ok(())
    }

    /// Of the next piece of work: above that of everything that has landed.
    fn next_sequence(&self) -> u64 {
        self.state.sequence.max(self.orphans.as_ref().map_or(0, |o| o.sequence)) + 1
    }

    fn rejected_table(&self) -> RelationName {
        self.table.with_suffix("__rejected")
    }

    /// The ledger as of the table's last commit: a run that was killed behind that commit did not get to write it.
    async fn open_ledger(&mut self) -> Result<(), Diagnostics> {
        let Some(keeper) = self.adapter.ledger() else { return Ok(()) };
        let recalls = keeper.recalls();
        let table = self.ledger_table();
        let ledger = self.landing(&table).await?;
        self.ledger_sequence = ledger.sequence;
        if ledger.exists && ledger.sequence > self.state.sequence {
            if self.state.exists {
                let message = format!("`{table}` is ahead of `{}`", self.table);
                return Err(self.fault(
                    IngestError::new("ingest/ledger-ahead", message).help(format!(
                        "the table was replaced or restored by hand; drop both tables to ingest from the beginning: {table}"
                    )),
                ));
            }
            // the table was dropped to take everything in anew
            self.execute(&format!("drop table if exists {table}")).await?;
            self.ledger_sequence = 0;
            return Ok(());
        }
        self.write_ledger().await?;
        let begun = self.state.position.as_deref().is_some_and(|p| !p.is_empty());
        if recalls && begun && !self.task.context.options.sources_anew && self.ledger_sequence > 0 {
            let outcome = self.execute(&format!("select * from {table}")).await?;
            let Some(keeper) = self.adapter.ledger() else { return Ok(()) };
            for batch in &outcome.batches {
                keeper.recall(batch).map_err(|e| self.fault(e))?;
            }
        }
        Ok(())
    }

    fn ledger_table(&self) -> RelationName {
        self.table.with_suffix("__files")
    }

    /// What the table's position adds to the ledger, unless the ledger has it. Always behind the table's commit: files that
    /// the ledger knows have landed.
    async fn write_ledger(&mut self) -> Result<(), Diagnostics> {
        let sequence = self.state.sequence;
        let Some(position) = self.state.position.clone().filter(|p| !p.is_empty() && sequence > self.ledger_sequence) else {
            return Ok(());
        };
        let Some(keeper) = self.adapter.ledger() else { return Ok(()) };
        if let Some(part) = keeper.part(&position, sequence).map_err(|e| self.fault(e))? {
            let mut landing = self.landing_of(self.ledger_table(), part.batch.schema(), vec![part.batch], sequence, "");
            landing.start_over = part.starts_over;
            self.commit(landing).await?;
            self.ledger_sequence = sequence;
        }
        Ok(())
    }

    async fn execute(&self, sql: &str) -> Result<Outcome, Diagnostics> {
        self.task.context.deps.engine.session().execute(sql).await.map_err(|e| self.engine_fault(e))
    }

    async fn drain(&mut self, cx: &FetchContext) -> Result<(), Diagnostics> {
        if self.task.context.options.sources_anew && self.state.exists {
            self.start_over().await?;
        } else {
            self.finish_interrupted().await?;
        }
        let mut ahead = None;
        for _ in 0..MOST_PIECES {
            if self.task.context.cancel.is_stopping() {
                return if cx.follow { self.make_table().await } else { Err(self.stopped()) };
            }
            let fetched = match ahead.take() {
                Some(fetched) => fetched,
                None => tokio::select! {
                    fetched = self.fetch(self.state.position.clone(), cx) => fetched?,
                    // nothing of an unfinished fetch was committed
                    () = self.task.context.cancel.stopping() => continue,
                },
            };
            match fetched {
                Some(fetched) => ahead = self.piece_and_next(fetched, cx).await?,
                None if cx.follow => self.wait().await,
                None => return self.make_table().await,
            }
        }
        Err(self.fault(IngestError::new("ingest/endless", format!("the adapter still had something new after {MOST_PIECES} pieces"))))
    }

    fn stopped(&self) -> Diagnostics {
        self.fault(IngestError::new("run/cancelled", "stopped between two commits; what was landed is kept"))
    }

    /// Between two looks at a source that has nothing new and does not wait by itself.
    async fn wait(&self) {
        self.task.progress(format!("{}; waiting for more", self.summary()));
        tokio::select! {
            () = tokio::time::sleep(self.task.context.options.follow_pause) => {}
            () = self.task.context.cancel.stopping() => {}
        }
    }

    /// Parses the responses that a former run kept but did not get to land.
    async fn finish_interrupted(&mut self) -> Result<(), Diagnostics> {
        let sequence = self.state.sequence + 1;
        if self.raw_state.sequence < sequence {
            return Ok(());
        }
        if self.raw_state.sequence > sequence {
            let message = format!("`{}` is ahead of `{}` by more than one commit", self.raw, self.table);
            return Err(self.fault(IngestError::new("ingest/raw-ahead", message).help(format!(
                "the table was replaced or restored by hand; drop both tables to ingest from the beginning: {}",
                self.raw
            ))));
        }
        self.task.progress("finishing what the last run began");
        let position = self.raw_state.position.clone().unwrap_or_default();
        for (_, responses) in self.kept(&format!("where SEQUENCE = {sequence}")).await? {
            let parsed = self.parse(responses).await;
            self.land(parsed, sequence, position.clone()).await?;
        }
        Ok(())
    }

    /// The raw responses that were kept, by the piece of work that fetched them.
    async fn kept(&self, filter: &str) -> Result<BTreeMap<i64, Vec<RawResponse>>, Diagnostics> {
        let sql = format!("select * from {} {filter}", self.raw);
        let outcome = self.execute(&sql).await?;
        let mut pieces: BTreeMap<i64, Vec<RawResponse>> = BTreeMap::new();
        for batch in &outcome.batches {
            let sequences = batch.column_by_name("SEQUENCE").and_then(|c| c.as_primitive_opt::<Int64Type>());
            for (row, response) in raw_from_batch(batch).map_err(|e| self.arrow_fault(e))?.into_iter().enumerate() {
                pieces.entry(sequences.map_or(0, |s| s.value(row))).or_default().push(response);
            }
        }
        Ok(pieces)
    }

    /// `ingest --full-refresh`. What was fetched over a network is parsed again, not fetched again: a chart of last week can no
    /// longer be asked for. All of it becomes one commit. Records that are not kept raw are read again from the beginning.
    async fn start_over(&mut self) -> Result<(), Diagnostics> {
        self.starts_over = true;
        if !self.raw_state.exists {
            self.state.position = None;
            return Ok(());
        }
        self.task.progress("parsing what was kept again");
        let interrupted = self.raw_state.sequence > self.state.sequence;
        let position = if interrupted { &self.raw_state.position } else { &self.state.position }.clone().unwrap_or_default();
        let sequence = self.raw_state.sequence.max(self.state.sequence + 1);
        let mut all = Parsed::default();
        for (_, responses) in self.kept("").await? {
            let parsed = self.parse(responses).await;
            if let Some((column, values)) = &parsed.replace {
                for batch in &mut all.batches {
                    *batch = without(batch, column, values).map_err(|e| self.arrow_fault(e))?;
                }
            }
            all.batches.extend(parsed.batches);
            all.rejected.extend(parsed.rejected);
        }
        self.land(all, sequence, position).await
    }

    fn fetch<'b>(&self, position: Option<String>, cx: &'b FetchContext) -> BoxFuture<'b, Result<Option<Fetched>, Diagnostics>>
    where
        'a: 'b,
    {
        let (task, adapter, place) = (self.task, Arc::clone(&self.adapter), self.place.clone());
        Box::pin(async move {
            let (context, position) = (&task.context, position.as_deref().filter(|p| !p.is_empty()));
            let told = |e: &IngestError, pause| again(task, e, pause);
            let fetched = context.options.retry.run(&context.cancel, || adapter.fetch(position, cx), told).await;
            fetched.map_err(|e| fault(&place, e))
        })
    }

    /// Lands what was fetched; what comes behind it is fetched meanwhile, where nothing about the landing decides what that is.
    /// `None` when it was not.
    async fn piece_and_next(&mut self, fetched: Fetched, cx: &FetchContext) -> Result<Option<Option<Fetched>>, Diagnostics> {
        let is_certain = matches!(&fetched.what, FetchedContent::Rows(parsed) if parsed.error.is_none());
        if cx.follow || !is_certain {
            return self.piece(fetched).await.map(|()| None);
        }
        let next = self.fetch(Some(fetched.position.clone()), cx);
        let cancel = Arc::clone(&self.task.context);
        let next = async {
            tokio::select! {
                next = next => Some(next),
                () = cancel.cancel.stopping() => None,
            }
        };
        let (landed, next) = tokio::join!(self.piece(fetched), next);
        landed?;
        next.transpose()
    }

    async fn piece(&mut self, fetched: Fetched) -> Result<(), Diagnostics> {
        let sequence = self.next_sequence();
        let parsed = match fetched.what {
            FetchedContent::Rows(parsed) => parsed,
            FetchedContent::Responses(responses) => {
                let batch = raw_to_batch(&responses, sequence).map_err(|e| self.arrow_fault(e))?;
                let landing = self.landing_of(self.raw.clone(), raw_schema(), vec![batch], sequence, &fetched.position);
                self.commit(landing).await?;
                self.raw_state = LandingState { exists: true, sequence, position: Some(fetched.position.clone()) };
                self.parse(responses).await
            }
        };
        self.land(parsed, sequence, fetched.position).await
    }

    async fn parse(&self, responses: Vec<RawResponse>) -> Parsed {
        let adapter = Arc::clone(&self.adapter);
        super::step::blocking(move || adapter.parse(&responses)).await
    }

    async fn land(&mut self, parsed: Parsed, sequence: u64, position: String) -> Result<(), Diagnostics> {
        let rejected = self.rejected_table();
        let orphans = self.orphans.take();
        if !parsed.rejected.is_empty() || orphans.is_some() || (self.starts_over && self.landing(&rejected).await?.exists) {
            let batch = rejects(&parsed, sequence, self.task.context.options.now).map_err(|e| self.arrow_fault(e))?;
            let mut landing = self.landing_of(rejected.clone(), rejected_schema(), vec![batch], sequence, &position);
            landing.start_over = self.starts_over || orphans.as_ref().is_some_and(|o| o.all);
            landing.replace = orphans.map(|o| Replace { column: "SEQUENCE".into(), values: vec![o.sequence.to_string()] });
            self.commit(landing).await?;
            self.rejected += parsed.rejected.len() as u64;
        }
        if !parsed.rejected.is_empty() {
            self.warn_rejected(&parsed, &rejected);
        }
        let rows: u64 = parsed.batches.iter().map(|b| b.num_rows() as u64).sum();
        let can_repeat = rows == 0 || parsed.replace.is_some();
        let position = match &parsed.error {
            Some(_) if can_repeat => self.state.position.clone().unwrap_or_default(),
            _ => position,
        };
        // the adapter may be ahead of these rows, with columns that they do not have
        let schema = parsed.batches.first().map_or_else(|| self.adapter.schema(), RecordBatch::schema);
        let mut landing = self.landing_of(self.table.clone(), schema, parsed.batches, sequence, &position);
        landing.partition_by = self.adapter.partition_by();
        landing.replace = parsed.replace.map(|(column, values)| Replace { column, values });
        landing.comment = super::materialize::comments(self.task).0;
        landing.start_over = self.starts_over;
        self.commit(landing).await?;
        self.starts_over = false;
        self.adapter.committed(&position).await;
        self.state = LandingState { exists: true, sequence, position: Some(position) };
        self.write_ledger().await?;
        self.landed += rows;
        self.pieces += 1;
        self.task.progress(self.summary());
        match parsed.error {
            Some(e) => Err(self.fault(e)),
            None => Ok(()),
        }
    }

    /// A source that has nothing yet is an empty table, so that its models can be built.
    async fn make_table(&mut self) -> Result<(), Diagnostics> {
        if self.state.exists && !self.starts_over {
            return Ok(());
        }
        let sequence = self.next_sequence();
        let mut landing = self.landing_of(self.table.clone(), self.adapter.schema(), vec![], sequence, "");
        landing.partition_by = self.adapter.partition_by();
        landing.start_over = self.starts_over;
        self.commit(landing).await?;
        self.starts_over = false;
        self.state = LandingState { exists: true, sequence, position: None };
        Ok(())
    }

    fn landing_of(&self, table: RelationName, schema: SchemaRef, batches: Vec<RecordBatch>, sequence: u64, position: &str) -> Landing {
        Landing {
            table,
            schema,
            batches,
            partition_by: vec![],
            replace: None,
            sequence,
            start_over: false,
            position: position.to_owned(),
            comment: None,
            properties: self.task.properties(),
        }
    }

    async fn commit(&self, landing: Landing) -> Result<(), Diagnostics> {
        let context = &self.task.context;
        let published = context
            .options
            .retry
            .run(&context.cancel, || context.deps.engine.land(landing.clone()), |e: &EngineError, pause| again(self.task, e, pause))
            .await
            .map_err(|e| self.engine_fault(e))?;
        context.catalog.record(&landing.table, RelationKind::Table, &published.version, landing.properties);
        Ok(())
    }

    async fn landing(&self, table: &RelationName) -> Result<LandingState, Diagnostics> {
        self.task.context.deps.engine.landing(table).await.map_err(|e| self.engine_fault(e))
    }

    fn warn_rejected(&self, parsed: &Parsed, table: &RelationName) {
        let n = parsed.rejected.len();
        let records = if n == 1 { "record was" } else { "records were" };
        let mut diagnostic = Diagnostic::warning("ingest/rejected", format!("{n} {records} rejected by `{}`", self.task.node.name))
            .at(self.place.clone(), "");
        for r in parsed.rejected.iter().take(3) {
            diagnostic = diagnostic.note(format!("{}: {}", r.position, r.reason));
        }
        let diagnostic = diagnostic.help(format!("they are kept in {table}"));
        self.task.context.send(Event::Warning { node: Some(Arc::clone(&self.task.label)), diagnostic });
    }

    fn summary(&self) -> String {
        let rows = |n: u64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        let landed = match (self.pieces, self.rejected) {
            (0, _) => "nothing new".into(),
            (_, 0) => rows(self.landed),
            (_, n) => format!("{}, {n} rejected", rows(self.landed)),
        };
        match self.adapter.status() {
            Some(status) => format!("{landed}, {status}"),
            None => landed,
        }
    }

    fn fault(&self, e: IngestError) -> Diagnostics {
        fault(&self.place, e)
    }

    fn engine_fault(&self, e: EngineError) -> Diagnostics {
        let mut diagnostic = Diagnostic::error(e.code, e.message).at(self.place.clone(), "ingested by this adapter");
        diagnostic.notes = e.notes;
        diagnostic.help = e.help;
        diagnostic.into()
    }

    fn arrow_fault(&self, e: ArrowError) -> Diagnostics {
        self.fault(IngestError::new("ingest/batch", format!("the rows of `{}` do not fit together: {e}", self.task.node.name)))
    }
}

fn fault(place: &Place, e: IngestError) -> Diagnostics {
    let mut diagnostic = Diagnostic::error(e.code, e.message).at(place.clone(), "ingested by this adapter");
    diagnostic.help = e.help;
    diagnostic.into()
}

/// Tells that something is tried once more.
pub(super) fn again(task: &Task, e: &dyn std::fmt::Display, pause: Duration) {
    let message = format!("{}: {e}; trying again in {:.1} s", task.node.name, pause.as_secs_f64());
    task.context.send(Event::Log { level: LogLevel::Warn, node: Some(Arc::clone(&task.label)), message });
}

/// The distinct rows of `input: ref(...)`, sorted, so that a replayed run asks in the same order.
async fn keys(task: &Task, config: &AdapterConfig) -> Result<Vec<BTreeMap<String, Option<String>>>, Diagnostics> {
    let Some(input) = &config.input else { return Ok(vec![]) };
    let relation = task.context.deps.compile.node(input).and_then(|n| n.relation.clone()).ok_or_else(|| {
        Diagnostic::error("ingest/input", format!("`{input}` cannot be an adapter's input: it has no table"))
            .at(config.place.clone(), "")
            .help("an input is a model that is not ephemeral, a seed, or a source")
    })?;
    let sql = format!("select distinct * from {relation}");
    task.log_sql(&sql);
    let outcome = task.context.deps.engine.session().execute(&sql).await.map_err(|e| {
        let mut d =
            Diagnostic::error(e.code, e.message).at(config.place.clone(), "").note(format!("while the keys were read from {relation}"));
        d.help = e.help;
        d
    })?;
    let mut keys = vec![];
    for batch in &outcome.batches {
        for row in 0..batch.num_rows() {
            let fields = outcome.schema.fields().iter().zip(batch.columns());
            keys.push(fields.map(|(f, column)| (f.name().to_uppercase(), value::of(column, f, row).text())).collect::<BTreeMap<_, _>>());
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// The rows whose column, as text, is none of the values.
fn without(batch: &RecordBatch, column: &str, values: &[String]) -> Result<RecordBatch, ArrowError> {
    let Some(cells) = batch.column_by_name(column) else { return Ok(batch.clone()) };
    let text = cast(cells, &DataType::Utf8)?;
    let keep: BooleanArray =
        text.as_string::<i32>().iter().map(|cell| Some(cell.is_none_or(|cell| !values.iter().any(|v| v == cell)))).collect();
    filter_record_batch(batch, &keep)
}

/// `REASON, POSITION, RECORD, SEQUENCE, REJECTED_AT`.
pub(super) fn rejected_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("REASON", DataType::Utf8, false),
        Field::new("POSITION", DataType::Utf8, false),
        Field::new("RECORD", DataType::Utf8, false),
        Field::new("SEQUENCE", DataType::Int64, false),
        Field::new("REJECTED_AT", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ]))
}

fn rejects(parsed: &Parsed, sequence: u64, now: chrono::DateTime<Utc>) -> Result<RecordBatch, ArrowError> {
    let all = &parsed.rejected;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all.iter().map(|r| &r.reason))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|r| &r.position))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|r| &r.record))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|_| sequence as i64))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|_| now.timestamp_micros()))),
    ];
    RecordBatch::try_new(rejected_schema(), columns)
}
