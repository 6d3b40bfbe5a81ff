//! What segue knows of the relations it made, and what its tests said: two small tables in a schema of their own.
//!
//! `RELATIONS` has one row per relation: the version that segue published, when that was, what it was made from, and of a source
//! its position. A change of rows and its row here are one transaction. A CREATE commits by itself in Snowflake; its row here
//! follows, and until it has, the relation is newer than what is recorded: nothing recorded counts, and it is built again.
//! `MEMORY` has the verdicts of tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ::datafusion::arrow::{array::AsArray, compute::cast, datatypes::DataType};
use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Link, lease::Lease, literal, session::collect, together::Together};
use crate::{
    engine::{EngineError, Outcome, value},
    names::{Identifier, RelationName, SchemaName},
};

/// What is recorded of one relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: String,
    /// Microseconds since the epoch, by the server's clock.
    pub(super) written_at: i64,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) sequence: u64,
    pub(super) position: Option<String>,
}

pub(super) struct Ledger {
    schema: SchemaName,
    made: OnceCell<()>,
    entries: Mutex<Option<HashMap<RelationName, Entry>>>,
    memory: OnceCell<Mutex<HashMap<String, String>>>,
    records: Together<(RelationName, Entry)>,
    verdicts: Together<(String, String)>,
}

impl Ledger {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        let settings = &link.settings;
        let schema = SchemaName::new(Identifier::parse(&settings.database), Identifier::parse(&settings.state_schema));
        Self {
            schema,
            made: OnceCell::new(),
            entries: Mutex::new(None),
            memory: OnceCell::new(),
            records: Together::default(),
            verdicts: Together::default(),
        }
    }

    fn relations(&self) -> RelationName {
        self.schema.relation(Identifier::exact("RELATIONS"))
    }

    fn memory(&self) -> RelationName {
        self.schema.relation(Identifier::exact("MEMORY"))
    }

    /// Makes both tables where they are missing; once per invocation, and only by those who write.
    pub(super) async fn ready(&self, link: &Arc<Link>) -> Result<(), EngineError> {
        let make = || async {
            let mut lease = Lease::new(link);
            for sql in [
                format!("create schema if not exists {}", self.schema),
                format!(
                    "create table if not exists {} (RELATION varchar, VERSION varchar, WRITTEN_AT timestamp_ltz, PROPERTIES varchar, SEQUENCE number(38,0), POSITION varchar)",
                    self.relations()
                ),
                format!("create table if not exists {} (KEY varchar, VERDICT varchar)", self.memory()),
            ] {
                lease.run(&sql).await.map_err(|e| {
                    e.help(format!(
                        "segue keeps what it knows of relations in the schema {}; `state_schema` of the target names another one",
                        self.schema
                    ))
                })?;
            }
            Ok::<(), EngineError>(())
        };
        self.made.get_or_try_init(make).await.map(|_| ())
    }

    /// Everything recorded, read anew.
    pub(super) async fn read(&self, link: &Arc<Link>) -> Result<HashMap<RelationName, Entry>, EngineError> {
        let sql = format!("select RELATION, VERSION, WRITTEN_AT, PROPERTIES, SEQUENCE, POSITION from {}", self.relations());
        let entries = match Lease::new(link).run(&sql).await {
            Ok(reply) => entries(&collect(reply, &sql).await?),
            Err(e) if is_missing(&e) => HashMap::new(),
            Err(e) => return Err(e),
        };
        *self.entries.lock() = Some(entries.clone());
        Ok(entries)
    }

    /// What is recorded of one relation, as it was when it was last read or written.
    pub(super) async fn entry(&self, link: &Arc<Link>, relation: &RelationName) -> Result<Option<Entry>, EngineError> {
        let known = self.entries.lock().as_ref().map(|e| e.get(relation).cloned());
        match known {
            Some(entry) => Ok(entry),
            None => Ok(self.read(link).await?.remove(relation)),
        }
    }

    /// The same, asked of the server now.
    pub(super) async fn entry_now(&self, lease: &mut Lease, relation: &RelationName) -> Result<Option<Entry>, EngineError> {
        let sql = format!(
            "select RELATION, VERSION, WRITTEN_AT, PROPERTIES, SEQUENCE, POSITION from {} where RELATION = {}",
            self.relations(),
            literal(&relation.to_string())
        );
        match lease.run(&sql).await {
            Ok(reply) => Ok(entries(&collect(reply, &sql).await?).remove(relation)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Records a relation, whatever was recorded before. Not within a transaction: the statement may be another node's.
    pub(super) async fn write(&self, lease: &mut Lease, relation: &RelationName, entry: &Entry) -> Result<(), EngineError> {
        let row = (relation.clone(), entry.clone());
        let write = |rows: Vec<(RelationName, Entry)>| async move {
            let given: Vec<String> = newest(rows).iter().map(|(relation, entry)| selected(relation, entry)).collect();
            let sql = format!(
                "merge into {} as d using ({}) as s on d.RELATION = s.RELATION \
                 when matched then update set VERSION = s.VERSION, WRITTEN_AT = current_timestamp(), PROPERTIES = s.PROPERTIES, \
                 SEQUENCE = s.SEQUENCE, POSITION = s.POSITION \
                 when not matched then insert (RELATION, VERSION, WRITTEN_AT, PROPERTIES, SEQUENCE, POSITION) \
                 values (s.RELATION, s.VERSION, current_timestamp(), s.PROPERTIES, s.SEQUENCE, s.POSITION)",
                self.relations(),
                given.join(" union all ")
            );
            lease.run(&sql).await.map(|_| ())
        };
        self.records.write(row, write).await
    }

    /// Records a relation within a transaction, if it is still what `before` says; else somebody else changed it meanwhile.
    pub(super) async fn replace(
        &self,
        lease: &mut Lease,
        relation: &RelationName,
        before: Option<&Entry>,
        entry: &Entry,
    ) -> Result<bool, EngineError> {
        let (values, name, table) = (values(entry), literal(&relation.to_string()), self.relations());
        let Some(before) = before else {
            // whoever else does so at the same time waits here
            let others = lease.run(&format!("delete from {table} where RELATION = {name}")).await?.rows_affected();
            let insert = format!(
                "insert into {table} (RELATION, VERSION, WRITTEN_AT, PROPERTIES, SEQUENCE, POSITION) \
                 select {name}, {}, current_timestamp(), {}, {}, {}",
                values[0], values[1], values[2], values[3]
            );
            lease.run(&insert).await?;
            return Ok(others.unwrap_or(0) == 0);
        };
        let sql = format!(
            "update {table} set VERSION = {}, WRITTEN_AT = current_timestamp(), PROPERTIES = {}, SEQUENCE = {}, POSITION = {} \
             where RELATION = {name} and VERSION = {}",
            values[0],
            values[1],
            values[2],
            values[3],
            literal(&before.version),
        );
        Ok(lease.run(&sql).await?.rows_affected() != Some(0))
    }

    /// The time of a record that was written in a transaction, which ends later than its statements.
    pub(super) async fn stamp(&self, lease: &mut Lease, relation: &RelationName, version: &str) -> Result<(), EngineError> {
        let sql = format!(
            "update {} set WRITTEN_AT = current_timestamp() where RELATION = {} and VERSION = {}",
            self.relations(),
            literal(&relation.to_string()),
            literal(version)
        );
        lease.run(&sql).await.map(|_| ())
    }

    /// What this process has written is known without another look.
    pub(super) fn note(&self, relation: &RelationName, entry: Entry) {
        if let Some(entries) = self.entries.lock().as_mut() {
            entries.insert(relation.clone(), entry);
        }
    }

    async fn remembered(&self, link: &Arc<Link>) -> Result<&Mutex<HashMap<String, String>>, EngineError> {
        let read = || async {
            let sql = format!("select KEY, VERDICT from {}", self.memory());
            let outcome = match Lease::new(link).run(&sql).await {
                Ok(reply) => collect(reply, &sql).await?,
                Err(e) if is_missing(&e) => return Ok(Mutex::default()),
                Err(e) => return Err(e),
            };
            let rows = rows(&outcome).filter_map(|row| Some((row.first()?.clone()?, row.get(1)?.clone()?)));
            Ok(Mutex::new(rows.collect()))
        };
        self.memory.get_or_try_init(read).await
    }

    pub(super) async fn recall(&self, link: &Arc<Link>, key: &str) -> Result<Option<String>, EngineError> {
        Ok(self.remembered(link).await?.lock().get(key).cloned())
    }

    pub(super) async fn remember(&self, link: &Arc<Link>, key: &str, text: &str) -> Result<(), EngineError> {
        let known = self.remembered(link).await?;
        if known.lock().get(key).is_some_and(|k| k == text) {
            return Ok(());
        }
        self.ready(link).await?;
        let write = |rows: Vec<(String, String)>| async move {
            let rows: BTreeMap<String, String> = rows.into_iter().collect();
            let given: Vec<String> =
                rows.iter().map(|(key, text)| format!("select {} as KEY, {} as VERDICT", literal(key), literal(text))).collect();
            let sql = format!(
                "merge into {} as d using ({}) as s on d.KEY = s.KEY when matched then update set VERDICT = s.VERDICT \
                 when not matched then insert (KEY, VERDICT) values (s.KEY, s.VERDICT)",
                self.memory(),
                given.join(" union all ")
            );
            Lease::new(link).run(&sql).await.map(|_| ())
        };
        self.verdicts.write((key.to_owned(), text.to_owned()), write).await?;
        known.lock().insert(key.to_owned(), text.to_owned());
        Ok(())
    }

    /// A relation of segue's own is nothing that a project sees.
    pub(super) fn is_own(&self, relation: &RelationName) -> bool {
        relation.schema_name() == self.schema
    }
}

pub(super) fn is_missing(error: &EngineError) -> bool {
    error.code == "engine/unknown-table"
}

/// A MERGE takes one row per key: the last one counts.
fn newest(rows: Vec<(RelationName, Entry)>) -> IndexMap<RelationName, Entry> {
    rows.into_iter().collect()
}

fn selected(relation: &RelationName, entry: &Entry) -> String {
    let [version, properties, sequence, position] = values(entry);
    format!(
        "select {} as RELATION, {version} as VERSION, {properties} as PROPERTIES, {sequence} as SEQUENCE, {position}::varchar as POSITION",
        literal(&relation.to_string())
    )
}

fn values(entry: &Entry) -> [String; 4] {
    let properties = serde_json::to_string(&entry.properties).unwrap_or_default();
    let position = entry.position.as_ref().map_or("null".to_owned(), |p| literal(p));
    [literal(&entry.version), literal(&properties), entry.sequence.to_string(), position]
}

fn entries(outcome: &Outcome) -> HashMap<RelationName, Entry> {
    let times: Vec<i64> = outcome.batches.iter().flat_map(|b| micros(b.column(2))).collect();
    rows(outcome)
        .zip(times)
        .filter_map(|(row, written_at)| {
            let cell = |i: usize| row.get(i).cloned().flatten();
            let relation = RelationName::parse(&cell(0)?)?;
            let entry = Entry {
                version: cell(1)?,
                written_at,
                properties: cell(3).and_then(|p| serde_json::from_str(&p).ok()).unwrap_or_default(),
                sequence: cell(4).and_then(|s| s.parse().ok()).unwrap_or(0),
                position: cell(5),
            };
            Some((relation, entry))
        })
        .collect()
}

/// Rows as texts.
pub(super) fn rows(outcome: &Outcome) -> impl Iterator<Item = Vec<Option<String>>> + '_ {
    let fields = outcome.schema.fields();
    outcome.batches.iter().flat_map(move |batch| {
        (0..batch.num_rows()).map(move |row| fields.iter().zip(batch.columns()).map(|(f, c)| value::of(c, f, row).text()).collect())
    })
}

/// A column of moments as microseconds since the epoch; 0 for none.
pub(super) fn micros(array: &::datafusion::arrow::array::ArrayRef) -> Vec<i64> {
    use crate::dialect::moment::tz_of;
    if let Some(texts) = array.as_string_opt::<i32>() {
        return texts.iter().map(|t| t.and_then(tz_of).map_or(0, |s| s.utc().and_utc().timestamp_micros())).collect();
    }
    let Ok(counts) = cast(array, &DataType::Int64) else { return vec![0; array.len()] };
    counts.as_primitive::<::datafusion::arrow::datatypes::Int64Type>().iter().map(Option::unwrap_or_default).collect()
}
