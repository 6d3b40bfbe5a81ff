//! `parity`: the selected models on both engines over the same inputs, and whether the answers are equal.

use std::{io::IsTerminal, sync::Arc};

use serde_json::{Map, Value as Json, json};

use crate::{
    cli::{
        args::{ParityOutput, Selecting},
        config::Config,
        crossing,
        message::{self, Failure},
        stdout::print,
        workspace::{self, Workspace},
    },
    engine::{
        Engine, EngineError,
        crossing::{Comparison, Side},
    },
    graph::Node,
    names::ResourceType,
    project::World,
    run::Compile,
    template::Substitutes,
};

/// What came of one node.
enum Verdict {
    Compared(Comparison),
    /// It belongs to one engine, and somebody said why.
    Pinned(String),
    Failed(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Compared(c) if !c.is_equal() => "differs",
            Self::Compared(c) if !c.types.is_empty() => "types",
            Self::Compared(_) => "equal",
            Self::Pinned(_) => "pinned",
            Self::Failed(_) => "failed",
        }
    }

    fn is_fault(&self) -> bool {
        matches!(self.word(), "differs" | "failed")
    }
}

/// 0 when all answers are equal, 1 when some are not.
pub(super) fn run(selecting: &Selecting, output: ParityOutput, config: &Config) -> Result<i32, Failure> {
    let project = workspace::load("parity", &[], config)?;
    let selection = workspace::chosen(&project, selecting, config)?;
    let engine = crossing::open(&project)?;
    let shared: Arc<dyn Engine> = Arc::new(engine.clone());
    let workspace = Workspace::over(Arc::clone(&project), shared)?;
    let source = workspace.source();
    let mut verdicts: Vec<(Node, Verdict)> = vec![];
    for id in project.graph.order() {
        let Some(node) = project.graph.node(id).filter(|n| selection.nodes.contains(&n.id) && is_compared(n)) else { continue };
        if std::io::stderr().is_terminal() {
            message::note(&format!("comparing {}", node.name), config);
        }
        let verdict = match node.config.all.get("engine_reason").and_then(Json::as_str) {
            Some(reason) => Verdict::Pinned(reason.to_owned()),
            None => match source.compile_in(&node.id, &from_the_beginning()) {
                Err(faults) => Verdict::Failed(faults.0.first().map_or_else(String::new, |d| d.message.clone())),
                Ok(compiled) => {
                    let sql = compiled.sql.trim_end().trim_end_matches(';').to_owned();
                    match workspace.runtime.block_on(engine.compare(&sql)) {
                        Ok(comparison) => Verdict::Compared(comparison),
                        Err((side, e)) => Verdict::Failed(failed(side, &e)),
                    }
                }
            },
        };
        if output == ParityOutput::Text {
            print(&told(node, &verdict));
        }
        verdicts.push((node.clone(), verdict));
    }
    let transfers = engine.transfers();
    let failed = verdicts.iter().any(|(_, v)| v.is_fault());
    match output {
        ParityOutput::Text => {
            let count = |word: &str| verdicts.iter().filter(|(_, v)| v.word() == word).count();
            let parts: Vec<String> = ["equal", "types", "differs", "failed", "pinned"]
                .into_iter()
                .map(|word| (word, count(word)))
                .filter(|(_, n)| *n > 0)
                .map(|(word, n)| match word {
                    "types" => format!("{n} equal but for types"),
                    "differs" => format!("{n} differ"),
                    _ => format!("{n} {word}"),
                })
                .collect();
            let moved: u64 = transfers.iter().map(|t| t.rows).sum();
            let moves =
                if transfers.is_empty() { String::new() } else { format!("; {} tables with {moved} rows were moved", transfers.len()) };
            let head = if parts.is_empty() { "no model is selected".to_owned() } else { parts.join(", ") };
            print(&format!("\n{head}{moves}."));
        }
        ParityOutput::Json => {
            let nodes: Vec<Json> = verdicts.iter().map(|(node, verdict)| json_of(node, verdict)).collect();
            let moved: Vec<Json> = transfers
                .iter()
                .map(|t| json!({"relation": t.relation.to_string(), "to": t.to.name(), "rows": t.rows, "bytes": t.bytes}))
                .collect();
            let text = serde_json::to_string_pretty(&json!({"nodes": nodes, "transfers": moved})).unwrap_or_default();
            print(&text);
        }
    }
    Ok(i32::from(failed))
}

/// Models whose rows are a query's.
fn is_compared(node: &Node) -> bool {
    node.kind == ResourceType::Model && !node.is_ephemeral()
}

/// As if no incremental model were there yet: what a table holds is no input.
fn from_the_beginning() -> World {
    let mut substitutes = Substitutes::default();
    substitutes.macros.insert("is_incremental".into(), Json::Bool(false));
    World { substitutes: Some(Arc::new(substitutes)), ..World::default() }
}

fn failed(side: Side, error: &EngineError) -> String {
    format!("{}: {}", side.name(), error.message)
}

fn told(node: &Node, verdict: &Verdict) -> String {
    let mut lines = vec![];
    let head = format!("{:<8} {}", verdict.word(), node.name);
    match verdict {
        Verdict::Pinned(reason) => lines.push(format!("{head}: {reason}")),
        Verdict::Failed(message) => lines.push(format!("{head}: {message}")),
        Verdict::Compared(c) => {
            let rows = if c.rows[0] == c.rows[1] {
                format!("{} rows", c.rows[0])
            } else {
                format!("{} rows here, {} on Snowflake", c.rows[0], c.rows[1])
            };
            lines.push(format!("{head}  {rows}"));
            for (column, side) in &c.lone {
                lines.push(format!("         the column {column} is only known to {}", side.name()));
            }
            for (column, here, there) in &c.types {
                lines.push(format!("         {column} is {here} here, {there} on Snowflake"));
            }
            for (i, place) in ["only here", "only on Snowflake"].into_iter().enumerate() {
                if c.extra[i] > 0 {
                    lines.push(format!("         {} rows {place}, such as", c.extra[i]));
                    for row in &c.examples[i] {
                        let cells: Vec<String> = c.columns.iter().zip(row).map(|(name, cell)| format!("{name}={cell}")).collect();
                        lines.push(format!("           {}", cells.join(" ")));
                    }
                }
            }
        }
    }
    lines.join("\n")
}

fn json_of(node: &Node, verdict: &Verdict) -> Json {
    let mut object =
        Map::from_iter([("unique_id".to_owned(), Json::from(node.id.to_string())), ("verdict".to_owned(), Json::from(verdict.word()))]);
    match verdict {
        Verdict::Pinned(reason) => drop(object.insert("reason".into(), reason.as_str().into())),
        Verdict::Failed(message) => drop(object.insert("message".into(), message.as_str().into())),
        Verdict::Compared(c) => {
            object.insert("rows".into(), json!({"local": c.rows[0], "snowflake": c.rows[1]}));
            object.insert("columns".into(), json!(c.columns));
            object.insert(
                "only".into(),
                c.lone.iter().map(|(column, side)| json!({"column": column, "engine": side.name()})).collect::<Vec<_>>().into(),
            );
            object.insert(
                "types".into(),
                c.types.iter().map(|(column, l, r)| json!({"column": column, "local": l, "snowflake": r})).collect::<Vec<_>>().into(),
            );
            object.insert("extra".into(), json!({"local": c.extra[0], "snowflake": c.extra[1]}));
            object.insert("examples".into(), json!({"local": c.examples[0], "snowflake": c.examples[1]}));
        }
    }
    Json::Object(object)
}
