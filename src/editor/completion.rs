//! What may be written at the cursor: models, sources, macros, columns, functions, keys of `config()`, tests in YAML.

use std::{ops::Range, path::Path};

use tower_lsp_server::ls_types::{
    CompletionItem, CompletionItemKind as Kind, CompletionTextEdit, Documentation, MarkupContent, MarkupKind, TextEdit,
};

use super::{
    cursor::{self, Spot},
    entry,
    functions::functions,
    position::span,
    scope::Scope,
    snapshot::{Known, Snapshot},
};
use crate::{
    graph::Node,
    names::{Identifier, ResourceType},
    template::context_names,
};

/// Names of generic tests that are built in begin so.
const TEST: &str = "test_";

/// What `config()` takes most often, and what each means.
const CONFIG: [(&str, &str); 14] = [
    ("materialized", "table, view, incremental, ephemeral"),
    ("unique_key", "columns that tell rows apart"),
    ("incremental_strategy", "append, delete+insert, merge, insert_overwrite, microbatch"),
    ("on_schema_change", "ignore, fail, append_new_columns, sync_all_columns"),
    ("schema", "the schema, as generate_schema_name makes it"),
    ("database", "the database"),
    ("alias", "the name of the table"),
    ("tags", "words to select it by"),
    ("enabled", "whether it is part of the project"),
    ("pre_hook", "SQL before it is built"),
    ("post_hook", "SQL after it is built"),
    ("full_refresh", "whether --full-refresh rebuilds it"),
    ("event_time", "the column that says when a row happened"),
    ("meta", "anything"),
];

/// Values of `config(key='...')`.
const VALUES: [(&str, &[&str]); 3] = [
    ("materialized", &["table", "view", "incremental", "ephemeral", "materialized_view"]),
    ("incremental_strategy", &["append", "delete+insert", "merge", "insert_overwrite", "microbatch"]),
    ("on_schema_change", &["ignore", "fail", "append_new_columns", "sync_all_columns"]),
];

/// One text and the place in it that an item replaces.
struct Writing<'a> {
    text: &'a str,
    range: Range<usize>,
    found: Vec<CompletionItem>,
}

impl Writing<'_> {
    fn add(&mut self, label: &str, kind: Kind, detail: Option<String>, documentation: &str) {
        let documentation = Some(documentation.trim())
            .filter(|d| !d.is_empty())
            .map(|d| Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value: d.to_owned() }));
        self.found.push(CompletionItem {
            label: label.to_owned(),
            kind: Some(kind),
            detail,
            documentation,
            text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(span(self.text, self.range.clone()), label.to_owned()))),
            ..CompletionItem::default()
        });
    }

    /// Later groups stand below earlier ones, whatever their names.
    fn rank(&mut self, from: usize, group: char) {
        for item in &mut self.found[from..] {
            item.sort_text = Some(format!("{group}{}", item.label));
        }
    }

    fn column(&mut self, known: &Known, snapshot: &Snapshot) {
        let of = known.node.as_ref().and_then(|id| snapshot.node(id)).map(|n| n.name.clone());
        let detail = match (&known.data_type, of) {
            (Some(data_type), Some(of)) => Some(format!("{data_type} of {of}")),
            (data_type, of) => data_type.clone().or(of),
        };
        self.add(&known.name, Kind::FIELD, detail, &known.description);
    }
}

pub(super) fn complete(path: &Path, text: &str, offset: usize, snapshot: &Snapshot) -> Vec<CompletionItem> {
    let is_yaml = path.extension().is_some_and(|e| e == "yml" || e == "yaml");
    let mut writing = Writing { text, range: offset..offset, found: vec![] };
    let spot = match is_yaml {
        true => match (cursor::in_yaml(text, offset), cursor::in_template(text, offset)) {
            (Some(spot), _) | (None, spot @ Spot::Template { .. }) => spot,
            _ => {
                in_entry(&mut writing, text, offset, snapshot);
                return writing.found;
            }
        },
        false => cursor::in_template(text, offset),
    };
    match spot {
        Spot::Argument { function, before, keyword, range } => {
            writing.range = range;
            argument(&mut writing, &function, &before, keyword.as_deref(), snapshot);
        }
        Spot::Template { qualifier, range, function } => {
            writing.range = range;
            template(&mut writing, qualifier.as_deref(), function.as_deref(), snapshot);
        }
        Spot::Sql { qualifier, range } => {
            writing.range = range;
            sql(&mut writing, qualifier.as_deref(), offset, snapshot);
        }
        Spot::Nothing => {}
    }
    writing.found
}

fn describe(node: &Node) -> String {
    match node.kind {
        ResourceType::Model => format!("{} model", node.config.materialized),
        kind => kind.to_string(),
    }
}

fn argument(writing: &mut Writing<'_>, function: &str, before: &[String], keyword: Option<&str>, snapshot: &Snapshot) {
    match (function, before) {
        ("ref", [] | [_]) if keyword.is_none() => {
            let mut packages: Vec<&str> = vec![];
            for node in snapshot.referable() {
                if before.first().is_none_or(|package| node.package == *package) {
                    writing.add(&node.name, Kind::CLASS, Some(describe(node)), &node.description);
                }
                if before.is_empty() && !packages.contains(&node.package.as_str()) {
                    packages.push(&node.package);
                }
            }
            writing.found.dedup_by(|b, a| a.label == b.label);
            if packages.len() > 1 {
                packages.iter().for_each(|p| writing.add(p, Kind::MODULE, Some("package".into()), ""));
            }
        }
        ("source", []) => {
            let mut seen: Vec<&str> = vec![];
            for source in snapshot.nodes().filter_map(|n| n.source.as_ref()) {
                if !seen.contains(&source.source_name.as_str()) {
                    seen.push(&source.source_name);
                    writing.add(&source.source_name, Kind::MODULE, Some("source".into()), "");
                }
            }
        }
        ("source", [source]) => {
            for node in snapshot.nodes() {
                if let Some(table) = node.source.as_ref().filter(|s| s.source_name == *source) {
                    writing.add(&table.table_name, Kind::CLASS, Some(format!("source {source}")), &node.description);
                }
            }
        }
        ("doc", _) => {
            for (name, body) in snapshot.project.iter().flat_map(|p| &p.docs) {
                writing.add(name, Kind::TEXT, None, body);
            }
        }
        ("var", []) => {
            if let Some(project) = &snapshot.project {
                let context = project.environment.context();
                let own = context.package_vars.get(&project.name);
                for (name, value) in context.vars.iter().chain(own.into_iter().flatten()).chain(&context.cli_vars) {
                    if !writing.found.iter().any(|f| f.label == *name) {
                        writing.add(name, Kind::VARIABLE, Some(value.to_string()), "");
                    }
                }
            }
        }
        ("function", []) => {
            for node in snapshot.nodes().filter(|n| n.kind == ResourceType::Function) {
                writing.add(&node.name, Kind::FUNCTION, None, &node.description);
            }
        }
        ("config", _) => {
            let values = keyword.and_then(|k| VALUES.iter().find(|(key, _)| *key == k));
            for value in values.iter().flat_map(|(_, values)| values.iter()) {
                writing.add(value, Kind::ENUM_MEMBER, None, "");
            }
        }
        _ => {}
    }
}

fn template(writing: &mut Writing<'_>, qualifier: Option<&str>, function: Option<&str>, snapshot: &Snapshot) {
    if qualifier.is_none() && function == Some("config") {
        for (key, what) in CONFIG {
            writing.add(key, Kind::PROPERTY, Some(what.to_owned()), "");
        }
        writing.rank(0, '0');
    }
    let start = writing.found.len();
    let root = snapshot.project.as_ref().map_or("", |p| p.name.as_str());
    for known in snapshot.macros.iter() {
        let wanted = match qualifier {
            Some(qualifier) => known.package == qualifier,
            None => known.package == root || known.is_builtin,
        };
        // materializations and tests are not called by their names
        let called = !known.name.starts_with(TEST) && !known.name.starts_with("materialization_") && !known.name.contains("__");
        if wanted && called {
            let signature = format!("{}({})", known.name, known.parameters.join(", "));
            writing.add(&known.name, Kind::FUNCTION, Some(signature), &super::hover::macro_description(known, snapshot));
        }
    }
    writing.rank(start, '1');
    if qualifier.is_some() {
        return;
    }
    let start = writing.found.len();
    let mut packages: Vec<&str> =
        snapshot.macros.iter().filter(|m| m.package != root && !m.is_builtin).map(|m| m.package.as_str()).collect();
    packages.sort_unstable();
    packages.dedup();
    packages.iter().for_each(|p| writing.add(p, Kind::MODULE, Some("package".into()), ""));
    let (functions, values) = context_names();
    functions.iter().for_each(|f| writing.add(f, Kind::FUNCTION, None, ""));
    values.iter().for_each(|v| writing.add(v, Kind::VARIABLE, None, ""));
    writing.rank(start, '2');
}

fn sql(writing: &mut Writing<'_>, qualifier: Option<&str>, offset: usize, snapshot: &Snapshot) {
    let scope = Scope::of(writing.text);
    for known in scope.columns(offset, qualifier, snapshot) {
        writing.column(&known, snapshot);
    }
    writing.rank(0, '0');
    if qualifier.is_some() {
        return;
    }
    let start = writing.found.len();
    for cte in &scope.ctes {
        writing.add(&cte.name, Kind::STRUCT, Some("CTE".into()), "");
    }
    for alias in scope.relations.iter().filter_map(|r| r.alias.as_ref()) {
        if !writing.found.iter().any(|f| f.label == *alias) {
            writing.add(alias, Kind::STRUCT, Some("alias".into()), "");
        }
    }
    writing.rank(start, '1');
    let start = writing.found.len();
    let typed = writing.text[writing.range.clone()].to_uppercase();
    // the whole list is long: it comes with the first letter
    for function in functions().iter().filter(|f| !typed.is_empty() && f.local && f.name.starts_with(&typed)) {
        writing.add(&function.name.to_lowercase(), Kind::FUNCTION, Some(function.signature.to_owned()), function.category);
    }
    writing.rank(start, '2');
}

fn in_entry(writing: &mut Writing<'_>, text: &str, offset: usize, snapshot: &Snapshot) {
    let Some(entry) = entry::at(text, offset) else { return };
    // what stands behind the cursor on the line is replaced with what stands before it
    writing.range = if entry.value.contains(&offset) || entry.value.end == offset { entry.value.clone() } else { offset..offset };
    match (entry.key.as_str(), entry.list()) {
        ("name", "columns") => {
            let Some(node) = node_of(&entry, snapshot) else { return };
            for known in snapshot.columns(node) {
                // of a stored name that is no plain one YAML has the letters without quotes
                let name = known.name.trim_matches('"').to_owned();
                writing.column(&known.renamed(name), snapshot);
            }
        }
        ("name", list @ ("models" | "seeds" | "snapshots")) => {
            let kind = list.trim_end_matches('s');
            for node in snapshot.nodes().filter(|n| n.kind.as_str() == kind) {
                writing.add(&node.name, Kind::CLASS, Some(describe(node)), &node.description);
            }
        }
        ("", "tests" | "data_tests") => {
            for known in snapshot.macros.iter() {
                if let Some(name) = known.name.strip_prefix(TEST) {
                    let root = snapshot.project.as_ref().is_some_and(|p| p.name == known.package);
                    let name = if root || known.is_builtin { name.to_owned() } else { format!("{}.{name}", known.package) };
                    writing.add(&name, Kind::FUNCTION, Some(format!("data test ({})", known.parameters.join(", "))), "");
                }
            }
        }
        ("materialized" | "+materialized", _) => VALUES[0].1.iter().for_each(|v| writing.add(v, Kind::ENUM_MEMBER, None, "")),
        _ => {}
    }
}

/// The node that a properties entry describes.
pub(super) fn node_of<'a>(entry: &entry::Entry, snapshot: &'a Snapshot) -> Option<&'a Node> {
    match entry.node()? {
        ("tables", table, Some(source)) => snapshot.source(source, table),
        ("tables", ..) => None,
        (list, name, _) => {
            let kind = if list == "analyses" { "analysis" } else { list.trim_end_matches('s') };
            snapshot.nodes().find(|n| n.kind.as_str() == kind && n.name == name)
        }
    }
}

/// Whether two spellings mean one column.
pub(super) fn is_column(written: &str, known: &Known) -> bool {
    known.is_called(written) || Identifier::parse(written).as_str() == known.name
}
