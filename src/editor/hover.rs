//! A look at what stands under the cursor: nodes with their columns, types and documentation; macros, functions, columns.

use std::{ops::Range, path::Path};

use super::{
    completion::{is_column, node_of},
    cursor::{self, Spot},
    entry,
    functions::function,
    scope::Scope,
    snapshot::{Known, Snapshot},
};
use crate::{
    graph::Node,
    names::ResourceType,
    template::{MacroFacts, context_names},
};

/// Longer tables are cut: a look is not a page.
const MOST_COLUMNS: usize = 60;

/// Markdown, and the text that it is about.
pub(super) fn hover(path: &Path, text: &str, offset: usize, snapshot: &Snapshot) -> Option<(String, Range<usize>)> {
    let is_yaml = path.extension().is_some_and(|e| e == "yml" || e == "yaml");
    let spot = match is_yaml {
        true => match (cursor::in_yaml(text, offset), cursor::in_template(text, offset)) {
            (Some(spot), _) | (None, spot @ Spot::Template { .. }) => spot,
            _ => return in_entry(text, offset, snapshot),
        },
        false => cursor::in_template(text, offset),
    };
    match spot {
        Spot::Argument { function, before, range, keyword } => {
            let word = text.get(range.clone())?;
            let shown = match (function.as_str(), before.as_slice()) {
                ("ref", []) if keyword.is_none() => node(snapshot.referenced(None, word)?, snapshot),
                ("ref", [package]) if keyword.is_none() => node(snapshot.referenced(Some(package), word)?, snapshot),
                ("source", [source]) => node(snapshot.source(source, word)?, snapshot),
                ("source", []) => source(word, snapshot)?,
                ("doc", _) => snapshot.project.as_ref()?.docs.get(word)?.clone(),
                ("function", []) => node(snapshot.function(word)?, snapshot),
                ("var", []) => {
                    let project = snapshot.project.as_ref()?;
                    let context = project.environment.context();
                    let own = context.package_vars.get(&project.name).and_then(|own| own.get(word));
                    let value = context.cli_vars.get(word).or(own).or_else(|| context.vars.get(word))?;
                    format!("variable `{word}`\n\n```json\n{value}\n```")
                }
                _ => return None,
            };
            Some((shown, range))
        }
        Spot::Template { qualifier, range, .. } => {
            let word = text.get(range.clone()).filter(|w| !w.is_empty())?;
            match snapshot.find_macro(qualifier.as_deref(), word) {
                Some(known) => Some((describe_macro(known, snapshot), range)),
                None if word == "this" => snapshot.of_file(path).map(|n| (node(n, snapshot), range)),
                None => {
                    let (functions, values) = context_names();
                    let known = qualifier.is_none() && (functions.contains(&word) || values.contains(&word));
                    known.then(|| (format!("`{word}` of dbt's template context"), range.clone()))
                }
            }
        }
        Spot::Sql { qualifier, range } => {
            let word = text.get(range.clone()).filter(|w| !w.is_empty())?;
            let scope = Scope::of(text);
            let columns = scope.columns(offset, qualifier.as_deref(), snapshot);
            if let Some(known) = columns.iter().find(|k| is_column(word, k)) {
                return Some((column(known, snapshot), range));
            }
            // a column that this model itself gives
            let own = snapshot.of_file(path).filter(|_| qualifier.is_none());
            if let Some(known) = own.and_then(|n| snapshot.columns(n).into_iter().find(|k| is_column(word, k))) {
                return Some((column(&known, snapshot), range));
            }
            if qualifier.is_none()
                && let Some(columns) = scope.named(word, snapshot)
            {
                return Some((format!("`{word}`\n\n{}", table(&columns)), range));
            }
            let known = function(word).filter(|_| text[range.end..].trim_start().starts_with('('))?;
            let engines = if known.local { "both engines" } else { "Snowflake only" };
            Some((format!("```sql\n{}\n```\n\n{} function, {engines}", known.signature, known.category), range))
        }
        Spot::Nothing => None,
    }
}

fn in_entry(text: &str, offset: usize, snapshot: &Snapshot) -> Option<(String, Range<usize>)> {
    let entry = entry::at(text, offset)?;
    if entry.key != "name" || !(entry.value.contains(&offset) || entry.value.end == offset) {
        return None;
    }
    let described = node_of(&entry, snapshot)?;
    let shown = match entry.column().filter(|_| entry.list() == "columns") {
        Some(name) => column(&snapshot.columns(described).into_iter().find(|k| is_column(name, k))?, snapshot),
        None => node(described, snapshot),
    };
    Some((shown, entry.value))
}

fn source(name: &str, snapshot: &Snapshot) -> Option<String> {
    let tables: Vec<String> = snapshot
        .nodes()
        .filter_map(|n| n.source.as_ref().filter(|s| s.source_name == name).map(|s| format!("- `{}`", s.table_name)))
        .collect();
    if tables.is_empty() { None } else { Some(format!("source `{name}`\n\n{}", tables.join("\n"))) }
}

fn node(node: &Node, snapshot: &Snapshot) -> String {
    let kind = match node.kind {
        ResourceType::Model => format!("model, {}", node.config.materialized),
        kind => kind.to_string(),
    };
    let mut text = format!("**{}** ({kind})", node.name);
    if let Some(relation) = &node.relation {
        text.push_str(&format!("\n\n`{relation}`"));
    }
    if !node.description.trim().is_empty() {
        text.push_str(&format!("\n\n{}", node.description.trim()));
    }
    let columns = snapshot.columns(node);
    if !columns.is_empty() {
        text.push_str(&format!("\n\n{}", table(&columns)));
    }
    if let Some(why) = snapshot.typing.untyped.get(&node.id).filter(|why| !why.is_empty()) {
        text.push_str(&format!("\n\n*types are not known before it is built: {why}*"));
    }
    text
}

fn table(columns: &[Known]) -> String {
    let cell = |text: &str| text.trim().replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut text = "| column | type | description |\n|---|---|---|".to_owned();
    for known in columns.iter().take(MOST_COLUMNS) {
        let data_type = known.data_type.as_deref().unwrap_or_default();
        text.push_str(&format!("\n| `{}` | {} | {} |", cell(&known.name), cell(data_type), cell(&known.description)));
    }
    if columns.len() > MOST_COLUMNS {
        text.push_str(&format!("\n\nand {} more", columns.len() - MOST_COLUMNS));
    }
    text
}

fn column(known: &Known, snapshot: &Snapshot) -> String {
    let mut text = format!("`{}` {}", known.name, known.data_type.as_deref().unwrap_or_default()).trim_end().to_owned();
    if let Some(of) = known.node.as_ref().and_then(|id| snapshot.node(id)) {
        text.push_str(&format!("\n\ncolumn of **{}**", of.name));
        let origins = snapshot.origins(&of.id, known);
        if !origins.is_empty() {
            text.push_str(&format!(", from {}", origins.join(", ")));
        }
    }
    if !known.description.trim().is_empty() {
        text.push_str(&format!("\n\n{}", known.description.trim()));
    }
    text
}

fn describe_macro(known: &MacroFacts, snapshot: &Snapshot) -> String {
    let mut text = format!("```jinja\n{}({})\n```", known.name, known.parameters.join(", "));
    let place = if known.is_builtin { "built in".to_owned() } else { format!("{}, {}", known.package, known.place.file.path().display()) };
    text.push_str(&format!("\n\nmacro ({place})"));
    let description = macro_description(known, snapshot);
    if !description.is_empty() {
        text.push_str(&format!("\n\n{description}"));
    }
    text
}

/// What YAML says of a macro and its arguments.
pub(super) fn macro_description(known: &MacroFacts, snapshot: &Snapshot) -> String {
    let described = snapshot.project.as_ref().and_then(|p| p.macros.iter().find(|m| m.name == known.name)).filter(|_| !known.is_builtin);
    let Some(described) = described else { return String::new() };
    let mut text = described.description.text.trim().to_owned();
    for argument in described.extra.get("arguments").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let word = |key: &str| argument.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        text.push_str(&format!("\n- `{}` {} {}", word("name"), word("type"), word("description")));
    }
    text
}
