//! A unit test before it runs: its inputs are what the model reads, its rows name columns that are there.

use serde_json::Value as Json;

use super::{ColumnType, State, word_after};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::Node,
    names::{NodeId, ResourceType, nearest},
    project::Project,
};

pub(super) fn check(project: &Project, test: &Node, above: &dyn Fn(&NodeId) -> Option<State>, faults: &mut Diagnostics) {
    let Some(model) = test.depends_on.iter().filter_map(|id| project.graph.node(id)).find(|n| n.kind == ResourceType::Model) else {
        return;
    };
    let columns_of = |node: &Node| match above(&node.id) {
        Some(State::Typed(typed)) => Some(typed.columns.clone()),
        _ => None,
    };
    for given in test.extra.get("given").and_then(Json::as_array).into_iter().flatten() {
        let written = given.get("input").and_then(Json::as_str).unwrap_or_default();
        let input = written.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
        if input == "this" {
            continue;
        }
        let Some(node) = model.depends_on.iter().filter_map(|id| project.graph.node(id)).find(|n| names(n, input)) else {
            let fault = Diagnostic::error("check/unit-test", format!("`{}` does not read `{input}`", model.name))
                .at(find(test, written), format!("an input of the unit test `{}`", test.name));
            let known: Vec<String> = model.depends_on.iter().filter_map(|id| project.graph.node(id)).map(reference).collect();
            faults.push(match nearest(input, known.iter().map(String::as_str)) {
                Some(near) => fault.help(format!("it reads `{near}`")),
                None => fault.help(format!("it reads `{}`", known.join("`, `"))),
            });
            continue;
        };
        if let Some(columns) = columns_of(node) {
            rows(test, given, &columns, &format!("`{input}`"), faults);
        }
    }
    if let (Some(expect), Some(columns)) = (test.extra.get("expect"), columns_of(model)) {
        rows(test, expect, &columns, &format!("the model `{}`", model.name), faults);
    }
}

fn reference(node: &Node) -> String {
    match &node.source {
        Some(s) => format!("source('{}', '{}')", s.source_name, s.table_name),
        None => format!("ref('{}')", node.name),
    }
}

fn names(node: &Node, input: &str) -> bool {
    let words: Vec<&str> = input.split(['\'', '"']).skip(1).step_by(2).collect();
    match (&node.source, words.as_slice()) {
        (Some(s), [source, table]) => s.source_name == *source && s.table_name == *table,
        (None, [name] | [_, name]) => node.name == *name,
        _ => false,
    }
}

/// The word in the test's entry, else the entry.
fn find(test: &Node, word: &str) -> Place {
    let whole = test.declared_at();
    let Some(at) = whole.file.text.get(whole.range.start..).and_then(|t| t.find(word)).filter(|_| !word.is_empty()) else { return whole };
    let start = whole.range.start + at;
    Place::new(&whole.file, start..start + word.len())
}

/// Columns that rows name and the relation lacks; each is told once.
fn rows(test: &Node, entry: &Json, columns: &[ColumnType], what: &str, faults: &mut Diagnostics) {
    let mut told: Vec<String> = vec![];
    let mut named: Vec<String> = match (entry.get("format").and_then(Json::as_str).unwrap_or("dict"), entry.get("rows")) {
        ("dict" | "csv", Some(Json::Array(rows))) => rows.iter().filter_map(Json::as_object).flat_map(|r| r.keys().cloned()).collect(),
        ("csv", Some(Json::String(text))) => {
            text.trim().lines().next().unwrap_or_default().split(',').map(|n| n.trim().trim_matches('"').to_owned()).collect()
        }
        _ => vec![],
    };
    named.retain(|n| !n.is_empty() && !columns.iter().any(|c| c.name.eq_ignore_ascii_case(n)));
    for name in named {
        if told.contains(&name) {
            continue;
        }
        let place = word_after(&test.declared_at(), &name).unwrap_or_else(|| test.declared_at());
        let fault = Diagnostic::error("check/unit-test", format!("{what} has no column `{name}`"))
            .at(place, format!("in the unit test `{}`", test.name));
        let known: Vec<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
        faults.push(match nearest(&name.to_lowercase(), known.iter().map(String::as_str)) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("there are: `{}`", known.join("`, `"))),
        });
        told.push(name);
    }
}
