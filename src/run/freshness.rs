//! Whether a node has to be built: what it is made from now, held against what its table recorded (docs/freshness.md).
//!
//! Asked right before a node is built, when everything above it is done: what the nodes above are decides, not what was
//! planned for them. A doubt means building.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde_json::Value as Json;

use super::{
    compile::{CompiledNode, placed},
    materialize,
    step::Task,
    warehouse::Identity,
};
use crate::{
    diagnostic::Diagnostics,
    dialect::survey::survey,
    engine::{RelationInfo, RelationKind},
    graph::Node,
    names::{Identifier, RelationName, SchemaName},
    project::World,
    state::{self, Change, Inputs},
    template::Substitutes,
};

/// Why a node is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    FirstRun,
    /// `--force`.
    Forced,
    FullRefresh,
    /// The SQL answers differently every time, or the configuration says so.
    Volatile(String),
    /// The table exists, and nobody recorded what it was made from; or it was changed by hand since.
    NotRecorded,
    /// A view where a table is wanted, or the other way round.
    OtherKind,
    /// What it reads is not known well enough.
    Unknown(String),
    Changed(Change),
    /// It is one of those that are always run.
    Always(&'static str),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FirstRun => f.write_str("first run"),
            Self::Forced => f.write_str("forced"),
            Self::FullRefresh => f.write_str("full refresh"),
            Self::Volatile(what) => write!(f, "volatile: {what}"),
            Self::NotRecorded => f.write_str("nothing is recorded of what it was made from"),
            Self::OtherKind => f.write_str("another kind of relation has its name"),
            Self::Unknown(what) => write!(f, "{what}"),
            Self::Changed(change) => write!(f, "{change}"),
            Self::Always(what) => write!(f, "{what} are always run"),
        }
    }
}

/// The answer for one node.
#[derive(Clone, Debug, Default)]
pub struct Assessment {
    /// What a publish records.
    pub inputs: Inputs,
    /// Relations that a view reads.
    pub reads: Vec<RelationName>,
    /// Empty: the node is fresh.
    pub why: Vec<Why>,
    /// What the relation recorded, for those who tell a difference.
    pub before: Option<Inputs>,
    /// Why a node with changed inputs is fresh all the same: it is not due.
    pub not_due: Option<String>,
}

impl Assessment {
    pub fn is_fresh(&self) -> bool {
        self.why.is_empty()
    }

    /// What a publish records.
    pub(super) fn properties(&self) -> BTreeMap<String, String> {
        let mut properties = self.inputs.properties();
        properties.insert(state::BUILT_AT.to_owned(), Utc::now().to_rfc3339());
        if self.inputs.config.get("materialized").is_some_and(|m| m == "view") {
            let names: Vec<String> = self.reads.iter().map(ToString::to_string).collect();
            properties.insert(state::READS.to_owned(), names.join("\n"));
        }
        properties
    }
}

/// Of a model that segue materializes itself.
pub(super) async fn of_model(task: &Task, relation: &RelationName, compiled: &CompiledNode) -> Result<Assessment, Diagnostics> {
    let node = &task.node;
    let options = &task.context.options;
    let is_view = node.config.materialized == "view";
    let mut forms = vec![compiled.sql.clone()];
    if node.config.materialized == "incremental"
        && let Some(both) = continued(task, relation).await
    {
        forms = both;
    }
    let mut inputs = Inputs::new(&options.engine, forms.join("\n;\n"), &node.config);
    if let Some(header) = &compiled.header {
        inputs.config.insert("sql_header".into(), state::normalise(header));
    }
    if options.empty {
        inputs.config.insert("rows".into(), "none".into());
    }
    if super::microbatch::is_batched(node) {
        let column = node.config.all.get("event_time").map(ToString::to_string).unwrap_or_default();
        inputs.config.insert("event_time".into(), column);
    }
    describe(task, &mut inputs);
    let mut why = vec![];
    let mut names = std::collections::BTreeSet::new();
    let mut volatile = None;
    for form in forms.iter().filter(|f| !f.trim().is_empty()) {
        match survey(form) {
            Ok(found) => {
                names.extend(found.relations);
                volatile = volatile.or(found.volatile);
            }
            Err(_) => why.push(Why::Unknown("its SQL could not be read beforehand".into())),
        }
    }
    let home = home(task, relation);
    let mut reads = vec![];
    for parts in names {
        let Some(name) = full_name(&parts, &home).filter(|n| n != relation) else { continue };
        match task.context.catalog.identity(task.context.deps.engine.as_ref(), &name).await.map_err(|e| placed(e, node, None, 0))? {
            Identity::Missing => continue,
            Identity::Unknown => why.push(Why::Unknown(format!("{name} is not something whose changes are known"))),
            // a view is as fresh as what it reads: it is made again when its own text changes
            Identity::Known(_) if is_view => drop(inputs.reads.insert(name.to_string(), "view".into())),
            Identity::Known(identity) => drop(inputs.reads.insert(name.to_string(), identity)),
        }
        reads.push(name);
    }
    if is_view {
        why.clear();
    }
    match (node.config.all.get("volatile").and_then(Json::as_bool), volatile) {
        (Some(true), _) => why.push(Why::Volatile("its configuration says so".into())),
        (None, Some(what)) if !is_view => why.push(Why::Volatile(what)),
        _ => {}
    }
    let existing = task.context.catalog.find(task.context.deps.engine.as_ref(), relation).await.map_err(|e| placed(e, node, None, 0))?;
    if existing.is_some() && !node.config.unique_key.is_empty() && !has_columns(task, relation).await? {
        why.push(Why::Unknown("its unique key names columns that it does not have".into()));
    }
    let kind = if is_view { RelationKind::View } else { RelationKind::Table };
    Ok(conclude(task, inputs, reads, why, existing.as_ref(), kind))
}

/// Whether the table has the columns of its unique key; a key that is an expression is taken for one that it has.
async fn has_columns(task: &Task, relation: &RelationName) -> Result<bool, Diagnostics> {
    let Some(columns) = task.context.deps.engine.columns(relation).await.map_err(|e| placed(e, &task.node, None, 0))? else {
        return Ok(false);
    };
    let is_name = |key: &str| key.starts_with('"') || key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    let keys = task.node.config.unique_key.iter().filter(|key| is_name(key));
    Ok(keys.map(|key| Identifier::parse(key)).all(|key| columns.iter().any(|c| c.name == key)))
}

/// Of a seed, by the contents of its file.
pub(super) async fn of_seed(task: &Task, relation: &RelationName, content: &[u8]) -> Result<Assessment, Diagnostics> {
    let node = &task.node;
    let digest = crate::names::Fingerprint::of([("content", String::from_utf8_lossy(content).as_ref())]);
    let mut inputs = Inputs::new(&task.context.options.engine, digest.as_str(), &node.config);
    for key in ["delimiter", "quote_columns"] {
        if let Some(value) = node.config.all.get(key) {
            inputs.config.insert(key.to_owned(), value.to_string());
        }
    }
    if task.context.options.empty {
        inputs.config.insert("rows".into(), "none".into());
    }
    describe(task, &mut inputs);
    let existing = task.context.catalog.find(task.context.deps.engine.as_ref(), relation).await.map_err(|e| placed(e, node, None, 0))?;
    Ok(conclude(task, inputs, vec![], vec![], existing.as_ref(), RelationKind::Table))
}

/// Of a test whose verdict is remembered: SQL, verdict-relevant configuration and everything it reads.
pub(super) async fn of_test(task: &Task, sql: &str) -> Result<Option<Inputs>, Diagnostics> {
    let node = &task.node;
    let mut inputs = Inputs::new(&task.context.options.engine, sql, &node.config);
    for key in ["severity", "warn_if", "error_if", "fail_calc", "limit", "where"] {
        if let Some(value) = node.config.all.get(key) {
            inputs.config.insert(key.to_owned(), value.to_string());
        }
    }
    let Ok(found) = survey(sql) else { return Ok(None) };
    if found.volatile.is_some() && node.config.all.get("volatile").and_then(Json::as_bool) != Some(false) {
        return Ok(None);
    }
    let parent = node.depends_on.iter().find_map(|id| task.context.deps.compile.node(id)?.relation.clone());
    let Some(home) = parent.map(|p| p.schema_name()) else { return Ok(None) };
    for parts in found.relations {
        let Some(name) = full_name(&parts, &home) else { continue };
        match task.context.catalog.identity(task.context.deps.engine.as_ref(), &name).await.map_err(|e| placed(e, node, None, 0))? {
            Identity::Missing => {}
            Identity::Unknown => return Ok(None),
            Identity::Known(identity) => drop(inputs.reads.insert(name.to_string(), identity)),
        }
    }
    Ok(Some(inputs))
}

/// Both forms of an incremental model, the one that makes the table and the one that goes on from it, where the second
/// only continues the first: it is the same query, or it reads the table itself to see how far that has come. Over the
/// same inputs there is nothing to continue. Another branch is another query, and runs when its turn comes.
async fn continued(task: &Task, relation: &RelationName) -> Option<Vec<String>> {
    let mut forms = vec![];
    for incremental in [false, true] {
        // a template that asks its own table cannot be told before there is one
        forms.push(task.compile_quietly(&task.node.id, as_incremental(incremental)).await.ok()?.sql);
    }
    if state::normalise(&forms[0]) == state::normalise(&forms[1]) {
        return Some(forms);
    }
    let home = home(task, relation);
    let reads = survey(&forms[1]).ok()?.relations;
    let asks_itself = reads.iter().any(|parts| full_name(parts, &home).as_ref() == Some(relation));
    (asks_itself && is_filtered(&forms[0], &forms[1])).then_some(forms)
}

/// Whether `filtered` is `whole` with something put in: conditions, CTEs that they ask; but no columns.
fn is_filtered(whole: &str, filtered: &str) -> bool {
    let (whole, filtered) = (state::normalise(whole), state::normalise(filtered));
    let (whole, filtered) = (words(&whole), words(&filtered));
    let mut longer = false;
    let only_more = similar::capture_diff_slices(similar::Algorithm::Myers, &whole, &filtered).into_iter().all(|op| match op {
        similar::DiffOp::Equal { .. } => true,
        similar::DiffOp::Insert { new_index, new_len, .. } => {
            longer = true;
            // `, landed as (...)` before a comma is `landed as (...),` behind one; a lone `, x` is one more column
            filtered[new_index] != "," || filtered.get(new_index + new_len) == Some(&",")
        }
        similar::DiffOp::Delete { .. } | similar::DiffOp::Replace { .. } => false,
    });
    only_more && longer
}

/// Names and numbers as wholes, everything else by the character.
fn words(text: &str) -> Vec<&str> {
    let mut words = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
        let length = if is_word(c) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { c.len_utf8() };
        let (word, more) = rest.split_at(length);
        if !c.is_whitespace() {
            words.push(word);
        }
        rest = more;
    }
    words
}

fn as_incremental(incremental: bool) -> World {
    let mut substitutes = Substitutes::default();
    substitutes.macros.insert("is_incremental".into(), Json::Bool(incremental));
    World { substitutes: Some(std::sync::Arc::new(substitutes)), ..World::default() }
}

/// What the relation's description is, where it is published with the rows; columns that a contract promises.
fn describe(task: &Task, inputs: &mut Inputs) {
    let (comment, columns) = materialize::comments(task);
    if let Some(comment) = comment {
        inputs.config.insert("comment".into(), comment);
    }
    inputs.config.extend(columns.into_iter().map(|(name, text)| (format!("comment.{name}"), text)));
    if task.node.config.all.get("contract").and_then(|c| c.get("enforced")).and_then(Json::as_bool) == Some(true) {
        for (name, column) in &task.node.columns {
            inputs.config.insert(format!("contract.{name}"), format!("{:?} {:?}", column.data_type, column.extra));
        }
    }
}

fn home(task: &Task, relation: &RelationName) -> SchemaName {
    task.context.options.home.clone().unwrap_or_else(|| relation.schema_name())
}

fn full_name(parts: &[String], home: &SchemaName) -> Option<RelationName> {
    let id = |s: &String| Identifier::exact(s.clone());
    match parts {
        [name] => Some(home.relation(id(name))),
        [s, name] => Some(RelationName::new(home.database.clone(), id(s), id(name))),
        [d, s, name] => Some(RelationName::new(id(d), id(s), id(name))),
        _ => None,
    }
}

fn conclude(
    task: &Task,
    inputs: Inputs,
    reads: Vec<RelationName>,
    mut why: Vec<Why>,
    existing: Option<&RelationInfo>,
    kind: RelationKind,
) -> Assessment {
    let node = &task.node;
    let options = &task.context.options;
    let before = existing.and_then(|e| Inputs::recorded(&e.properties));
    let mut not_due = None;
    let mut first = vec![];
    match existing {
        None => first.push(Why::FirstRun),
        Some(info) if info.kind != kind => first.push(Why::OtherKind),
        Some(_) if options.force => first.push(Why::Forced),
        Some(_) if node.config.full_refresh.unwrap_or(options.full_refresh) => first.push(Why::FullRefresh),
        Some(info) => match &before {
            None => first.push(Why::NotRecorded),
            Some(before) => {
                let changes = inputs.changes(before);
                let only_rows = why.is_empty() && !changes.is_empty() && changes.iter().all(|c| matches!(c, Change::Input { .. }));
                not_due = if only_rows { waits(node, info, options.now, &changes, &inputs) } else { None };
                if not_due.is_none() {
                    first.extend(changes.into_iter().map(Why::Changed));
                }
            }
        },
    }
    first.append(&mut why);
    Assessment { inputs, reads, why: first, before, not_due }
}

/// `freshness: {build_after: {count, period, updates_on}}`: new rows above are no reason before that time (dbt
/// documentation, "freshness").
fn waits(node: &Node, info: &RelationInfo, now: DateTime<Utc>, changes: &[Change], inputs: &Inputs) -> Option<String> {
    let rule = node.config.all.get("freshness")?.get("build_after")?;
    let count = rule.get("count").and_then(Json::as_i64)?;
    let length = match rule.get("period").and_then(Json::as_str)? {
        "minute" => Duration::try_minutes(count)?,
        "hour" => Duration::try_hours(count)?,
        "day" => Duration::try_days(count)?,
        _ => return None,
    };
    let built: DateTime<Utc> = info.properties.get(state::BUILT_AT)?.parse().ok()?;
    let due = built.checked_add_signed(length)?;
    if now < due {
        return Some(format!("not due before {}", due.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    let all = rule.get("updates_on").and_then(Json::as_str) == Some("all");
    (all && changes.len() < inputs.reads.len()).then(|| "waits for new rows in all of its inputs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_filtered;

    #[test]
    fn a_filter_is_something_more() {
        const WHOLE: &str = "select a, sum(b) as b from t group by a";
        for (filtered, expect) in [
            ("select a, sum(b) as b from t\nwhere d > (select max(d) from m) group by a", true),
            ("select a, sum(b) as b from t group by a having a > (select max(a) from m)", true),
            ("select a from t where d > 1 group by a", false),
            ("select a, sum(b) as b, 1 as c from t where a > (select max(a) from m) group by a", false),
            (WHOLE, false),
        ] {
            assert_eq!(is_filtered(WHOLE, filtered), expect, "{filtered}");
        }
        assert!(is_filtered("select a from t where b", "select a from t where b and c > (select 1 from m)"));
        assert!(is_filtered(
            "with x as (select 1), y as (select 2) select * from y",
            "with x as (select 1), held as (select a, b from m), y as (select 2) select * from y join held on a = b"
        ));
    }
}
