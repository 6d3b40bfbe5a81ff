//! One node to its columns: sources from what describes them, seeds from their files, models from their queries.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::{ColumnType, State, Tools, TypedNode, column_place, described::Described, memory::Trace, unit_test};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    dialect::types::Type,
    engine::{
        EngineError,
        datafusion::{Drafted, OPAQUE, schema_of},
    },
    graph::Node,
    lineage::{self, Lineage},
    names::{Identifier, NodeId, ResourceType, SchemaName},
    project::{Project, World},
    run::{CompiledNode, contract_differences, placed, read_seed},
};

/// What the template of a node asked that only rows could answer.
const ASKED: [&str; 2] = ["template/query", "template/warehouse"];

const UNKNOWN_COLUMN: &str = "sql/unknown-column";

/// As many faults of one query are looked for.
const MOST_FAULTS: usize = 20;

/// What the local engine lacks, which another one may have.
const LACKING: [&str; 4] = ["sql/unsupported", "sql/unknown-function", "sql/unknown-table", "sql/syntax"];

pub(super) fn node(
    project: &Project,
    tools: &Tools,
    node: &Node,
    above: &dyn Fn(&NodeId) -> Option<State>,
    faults: &mut Diagnostics,
    trace: &mut Trace,
) -> State {
    match node.kind {
        ResourceType::Source => source(tools, node),
        ResourceType::Seed => seed(project, tools, node, faults),
        ResourceType::UnitTest => {
            unit_test::check(project, node, above, faults);
            State::Untyped(String::new())
        }
        _ => query(project, tools, node, above, faults, trace),
    }
}

fn stored(node: &Node, tools: &Tools, schema: SchemaRef, lineage: Lineage) -> State {
    let columns = columns(&schema);
    if let Some(relation) = &node.relation {
        tools.drafting.describe(relation, schema);
    }
    State::Typed(Arc::new(TypedNode { columns, lineage }))
}

fn columns(schema: &Schema) -> Vec<ColumnType> {
    schema.fields().iter().map(|f| ColumnType { name: f.name().clone(), data_type: Type::of(f).to_string() }).collect()
}

/// The columns that YAML describes, where it gives a type to each.
fn declared(node: &Node) -> Option<SchemaRef> {
    let column = |c: &crate::graph::Column| {
        let name = if c.quote == Some(true) { Identifier::exact(c.name.as_str()) } else { Identifier::parse(&c.name) };
        Some((name.as_str().to_owned(), c.data_type.clone()?))
    };
    let all: Option<Vec<(String, String)>> = node.columns.values().map(column).collect();
    schema_of(&all.filter(|a| !a.is_empty())?).ok()
}

fn existing(tools: &Tools, node: &Node) -> Option<SchemaRef> {
    let relation = node.relation.as_ref()?;
    // a table that cannot be read is told when it is needed
    tools.runtime.block_on(tools.drafting.existing(relation)).ok().flatten()
}

/// A landing table that exists, what the adapter lands, or what YAML says of every column.
fn source(tools: &Tools, node: &Node) -> State {
    let adapter = node.source.as_ref().and_then(|s| s.adapter.as_ref());
    let settled = || adapter.and_then(|a| (tools.adapters)(node, a).ok()).filter(|a| a.is_settled());
    let landed = || settled().map(|a| a.schema()).filter(|s| !s.fields().is_empty());
    match existing(tools, node).or_else(landed).or_else(|| declared(node)) {
        Some(schema) => stored(node, tools, schema, Lineage::default()),
        None => {
            let why = "no `data_type` is declared for all of its columns, and it is not in the warehouse";
            conceal(tools, node);
            State::Untyped(why.into())
        }
    }
}

fn seed(project: &Project, tools: &Tools, node: &Node, faults: &mut Diagnostics) -> State {
    let Ok(content) = project.files.read_bytes(&project.absolute_path(node)) else {
        conceal(tools, node);
        return State::Untyped("its file cannot be read".into());
    };
    match read_seed(node, &content) {
        Ok((schema, _)) => stored(node, tools, schema, Lineage::default()),
        Err(more) => {
            faults.extend(more);
            degrade(tools, node);
            State::Faulty
        }
    }
}

fn conceal(tools: &Tools, node: &Node) {
    if let Some(relation) = &node.relation {
        tools.drafting.conceal(relation);
    }
}

/// What stands below goes on with what is known of the node from elsewhere.
fn degrade(tools: &Tools, node: &Node) {
    match (&node.relation, existing(tools, node).or_else(|| declared(node))) {
        (Some(relation), Some(schema)) => tools.drafting.describe(relation, schema),
        _ => conceal(tools, node),
    }
}

/// A model, snapshot, test or analysis.
fn query(
    project: &Project,
    tools: &Tools,
    node: &Node,
    above: &dyn Fn(&NodeId) -> Option<State>,
    faults: &mut Diagnostics,
    trace: &mut Trace,
) -> State {
    if node.kind == ResourceType::Model && node.raw_code.trim().is_empty() {
        conceal(tools, node);
        return State::Untyped("its file is empty".into());
    }
    // the SQL of an ephemeral model stands in this one's
    let broken = node
        .depends_on
        .iter()
        .filter_map(|id| project.graph.node(id))
        .find(|p| p.is_ephemeral() && !matches!(above(&p.id), Some(State::Typed(_))) || p.kind == ResourceType::Function);
    if let Some(broken) = broken {
        degrade(tools, node);
        return State::Untyped(format!("`{}` in it is not typed", broken.name));
    }
    let home = SchemaName::new(Identifier::parse(&project.profile.database), Identifier::parse(&project.profile.schema));
    let drafted = match plan(project, tools, node, &home, faults, trace) {
        Ok(drafted) => drafted,
        Err(Unplanned::Faulty(more)) => {
            faults.extend(more);
            degrade(tools, node);
            return State::Faulty;
        }
        Err(Unplanned::Open(why)) => {
            degrade(tools, node);
            return State::Untyped(why);
        }
    };
    let traced = lineage::of(&drafted.plan, &home);
    match node.kind {
        ResourceType::Model => {
            contract(node, &drafted, faults);
            let state = stored(node, tools, drafted.schema, traced);
            // what runs on top of its own table is another query
            if node.config.materialized == "incremental"
                && let Err(Unplanned::Faulty(more)) = plan(project, tools, node, &home, faults, trace)
            {
                let noted = more.0.into_iter().map(|d| d.note("in the incremental run, where `is_incremental()` is true"));
                faults.0.extend(noted);
            }
            state
        }
        ResourceType::Snapshot => {
            let schema = existing(tools, node).unwrap_or_else(|| recorded(node, &drafted.schema));
            stored(node, tools, schema, traced)
        }
        _ => State::Typed(Arc::new(TypedNode { columns: columns(&drafted.schema), lineage: traced })),
    }
}

enum Unplanned {
    Faulty(Diagnostics),
    Open(String),
}

fn plan(
    project: &Project,
    tools: &Tools,
    node: &Node,
    home: &SchemaName,
    faults: &mut Diagnostics,
    trace: &mut Trace,
) -> Result<Drafted, Unplanned> {
    let asked = Mutex::default();
    let described = Described { drafting: &tools.drafting, asked: &asked };
    let compiled = project.compile_in(&node.id, &World::default(), &described);
    trace.asked.extend(asked.into_inner());
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(faults) if faults.0.iter().any(|d| ASKED.contains(&d.code)) => {
            return Err(Unplanned::Open("its template asks the warehouse".into()));
        }
        Err(faults) => return Err(Unplanned::Faulty(faults)),
    };
    if compiled.sql.trim().is_empty() {
        return Err(Unplanned::Open("it compiles to no SQL".into()));
    }
    trace.macros.extend(compiled.macros.iter().filter(|m| !trace.macros.contains(m)).cloned().collect::<Vec<_>>());
    let sql = compiled.sql.trim_end().trim_end_matches(';').to_owned();
    let compiled = CompiledNode {
        sql: compiled.sql,
        places: Arc::new(compiled.map),
        logs: vec![],
        warnings: Diagnostics::default(),
        header: compiled.header,
    };
    let drafted = match tools.runtime.block_on(tools.drafting.query(&sql, home)) {
        Ok(drafted) => drafted,
        Err(error) => return Err(all_refused(error, sql, home, tools, node, &compiled)),
    };
    trace.plan(&drafted.plan, home);
    let constants = tools.drafting.constants(&sql, &drafted.plan).into_iter().map(|e| placed(e, node, Some(&compiled), 0));
    faults.0.extend(constants);
    Ok(drafted)
}

/// The planner ends at its first fault. A column that is not there is told and taken out of the text, which shows the next one.
fn all_refused(error: EngineError, mut sql: String, home: &SchemaName, tools: &Tools, node: &Node, compiled: &CompiledNode) -> Unplanned {
    let mut names: Vec<String> = vec![];
    let mut next = error.clone();
    let mut all = match refused(error, tools, node, compiled) {
        Unplanned::Faulty(all) => all,
        open => return open,
    };
    for _ in 0..MOST_FAULTS {
        let Some(range) = next.at.clone().filter(|_| next.code == UNKNOWN_COLUMN) else { break };
        let Some(name) = sql.get(range.clone()).map(str::to_lowercase).filter(|n| !n.is_empty()) else { break };
        names.push(name);
        blank(&mut sql, range);
        match tools.runtime.block_on(tools.drafting.query(&sql, home)) {
            // what the mended text leads to is no fault of the user's
            Err(e) if e.code == UNKNOWN_COLUMN => {
                let name = e.at.clone().and_then(|at| sql.get(at)).map(str::to_lowercase);
                if name.is_some_and(|n| !names.contains(&n)) {
                    all.push(placed(e.clone(), node, Some(compiled), 0));
                }
                next = e;
            }
            _ => break,
        }
    }
    Unplanned::Faulty(all)
}

/// Puts a constant of the same length into the place of a column, with the relation's name in front of it.
fn blank(sql: &mut String, range: std::ops::Range<usize>) {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '.');
    let start = sql[..range.start].rfind(|c| !is_name(c)).map_or(0, |at| at + sql[at..].chars().next().map_or(1, char::len_utf8));
    let length = range.end - start;
    let constant = if length >= 4 { "NULL" } else { "1" };
    sql.replace_range(start..range.end, &format!("{constant:<length$}"));
}

fn refused(error: EngineError, tools: &Tools, node: &Node, compiled: &CompiledNode) -> Unplanned {
    if error.code == OPAQUE {
        return Unplanned::Open(error.message);
    }
    let lacking = LACKING.contains(&error.code);
    let prepared = compiled.header.is_some() || !node.config.pre_hook.is_empty();
    if lacking && (!tools.is_local || prepared) {
        return Unplanned::Open(error.message);
    }
    Unplanned::Faulty(placed(error, node, Some(compiled), 0).into())
}

/// The columns that a snapshot adds (dbt documentation, "Snapshot meta-fields").
fn recorded(node: &Node, schema: &Schema) -> SchemaRef {
    let names = node.config.all.get("snapshot_meta_column_names");
    let name = |key: &str| {
        let custom = names.and_then(|n| n.get(key)).and_then(Json::as_str);
        Identifier::parse(custom.unwrap_or(key)).as_str().to_owned()
    };
    let updated = node.config.all.get("updated_at").and_then(Json::as_str);
    let moment = updated
        .and_then(|column| schema.fields().iter().find(|f| f.name().eq_ignore_ascii_case(column)))
        .map_or(Type::TimestampNtz, |f| Type::of(f));
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Type::Varchar.field(name("dbt_scd_id")));
    for key in ["dbt_updated_at", "dbt_valid_from", "dbt_valid_to"] {
        fields.push(moment.field(name(key)));
    }
    if node.config.all.get("hard_deletes").and_then(Json::as_str) == Some("new_record") {
        fields.push(Type::Varchar.field(name("dbt_is_deleted")));
    }
    Arc::new(Schema::new(fields))
}

fn contract(node: &Node, drafted: &Drafted, faults: &mut Diagnostics) {
    let given: Vec<(String, String)> = columns(&drafted.schema).into_iter().map(|c| (c.name, c.data_type)).collect();
    for [column, actual, promised, _] in contract_differences(node, &given) {
        let fault = match (actual.is_empty(), promised.is_empty()) {
            (true, _) => {
                Diagnostic::error("check/contract", format!("the contract of `{}` has a column `{column}` that its query lacks", node.name))
                    .at(column_place(node, &column), "promised here")
            }
            (_, true) => Diagnostic::error(
                "check/contract",
                format!("the query of `{}` gives a column `{column}` that its contract lacks", node.name),
            )
            .at(node.patch.clone().unwrap_or_else(|| node.declared_at()), "this contract")
            .help(format!("add `- name: {}` with `data_type: {actual}`", column.to_lowercase())),
            _ => Diagnostic::error(
                "check/contract",
                format!("the contract of `{}` says that `{column}` is {promised}, its query gives {actual}", node.name),
            )
            .at(column_place(node, &column), "promised here"),
        };
        faults.push(fault);
    }
}
