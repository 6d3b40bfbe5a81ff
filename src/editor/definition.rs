//! From a name to where it is defined, and from a definition to where it is used.

use std::{ops::Range, path::Path};

use super::{
    completion::{is_column, node_of},
    cursor::{self, Spot},
    entry,
    lexer::{Kind, is_word, tokens},
    scope::Scope,
    snapshot::Snapshot,
};
use crate::{
    diagnostic::{Place, SourceFile},
    graph::Node,
    names::{NodeId, ResourceType},
    template::MacroFacts,
    typing::column_place,
};

/// What the cursor is on.
enum Meant<'a> {
    Node(&'a Node),
    Column(&'a Node, String),
    Macro(&'a MacroFacts),
    Place(Place),
    /// In the text itself.
    Here(Range<usize>),
}

/// A place in a file of the project, or in the text that was asked about.
pub(super) enum Target {
    There(Place),
    Here(Range<usize>),
}

pub(super) fn definition(path: &Path, text: &str, offset: usize, snapshot: &Snapshot) -> Option<Target> {
    Some(match meant(path, text, offset, snapshot)? {
        // from the entry of a node one wants its SQL
        Meant::Node(node) => Target::There(node.declared_at()),
        Meant::Column(node, column) => Target::There(match (&node.patch, node.columns.keys().any(|c| c.eq_ignore_ascii_case(&column))) {
            (Some(_), true) => column_place(node, &column),
            _ => crate::typing::word_after(&Place::start_of(&node.file), &column).unwrap_or_else(|| node.declared_at()),
        }),
        Meant::Macro(known) if known.is_builtin => return None,
        Meant::Macro(known) => Target::There(known.place.clone()),
        Meant::Place(place) => Target::There(place),
        Meant::Here(range) => Target::Here(range),
    })
}

fn meant<'a>(path: &Path, text: &str, offset: usize, snapshot: &'a Snapshot) -> Option<Meant<'a>> {
    let is_yaml = path.extension().is_some_and(|e| e == "yml" || e == "yaml");
    let spot = match is_yaml {
        true => match (cursor::in_yaml(text, offset), cursor::in_template(text, offset)) {
            (Some(spot), _) | (None, spot @ Spot::Template { .. }) => spot,
            _ => return in_entry(text, offset, snapshot),
        },
        false => cursor::in_template(text, offset),
    };
    match spot {
        Spot::Argument { function, before, range, keyword: None } => {
            let word = text.get(range)?;
            match (function.as_str(), before.as_slice()) {
                ("ref", []) => snapshot.referenced(None, word).map(Meant::Node),
                ("ref", [package]) => snapshot.referenced(Some(package), word).map(Meant::Node),
                ("source", [source]) => snapshot.source(source, word).map(Meant::Node),
                ("source", []) => snapshot.nodes().find(|n| n.source.as_ref().is_some_and(|s| s.source_name == word)).map(Meant::Node),
                ("function", []) => snapshot.function(word).map(Meant::Node),
                ("doc", _) => snapshot.project.as_ref()?.doc_places.get(word).cloned().map(Meant::Place),
                _ => None,
            }
        }
        Spot::Template { qualifier, range, .. } => {
            let word = text.get(range)?;
            // `ref` itself leads where its argument does
            if qualifier.is_none() && matches!(word, "ref" | "source" | "doc" | "function") {
                let quote = offset + text.get(offset..)?.split('\n').next()?.find(['\'', '"'])?;
                let mut inner = quote + 1;
                if word == "source" {
                    let line_end = inner + text[inner..].find('\n').unwrap_or(text.len() - inner);
                    let quotes: Vec<usize> = text[inner..line_end].match_indices(['\'', '"']).map(|(i, _)| inner + i).collect();
                    inner = quotes.get(1).map_or(inner, |q| q + 1);
                }
                return match cursor::in_template(text, inner) {
                    Spot::Argument { .. } => meant(path, text, inner, snapshot),
                    _ => None,
                };
            }
            snapshot.find_macro(qualifier.as_deref(), word).map(Meant::Macro)
        }
        Spot::Sql { qualifier, range } => {
            let word = text.get(range).filter(|w| !w.is_empty())?;
            let scope = Scope::of(text);
            let columns = scope.columns(offset, qualifier.as_deref(), snapshot);
            if let Some(known) = columns.iter().find(|k| is_column(word, k))
                && let Some(node) = known.node.as_ref().and_then(|id| snapshot.node(id))
            {
                return Some(Meant::Column(node, known.name.trim_matches('"').to_owned()));
            }
            if let Some(cte) = scope.ctes.iter().find(|c| c.name.eq_ignore_ascii_case(word)).filter(|_| qualifier.is_none()) {
                return Some(Meant::Here(cte.place.clone()));
            }
            snapshot.table(word).map(Meant::Node)
        }
        _ => None,
    }
}

fn in_entry<'a>(text: &str, offset: usize, snapshot: &'a Snapshot) -> Option<Meant<'a>> {
    let entry = entry::at(text, offset)?;
    let inside = entry.value.contains(&offset) || entry.value.end == offset;
    if entry.key.is_empty() && inside && matches!(entry.list(), "tests" | "data_tests") {
        let (package, name) = text[entry.value].split_once('.').map_or((None, None), |(p, n)| (Some(p), Some(n)));
        let name = name.or_else(|| text.get(entry::at(text, offset)?.value))?;
        return snapshot.find_macro(package, &format!("test_{name}")).map(Meant::Macro);
    }
    if !inside || entry.key != "name" && entry.key != "model" {
        return None;
    }
    if entry.key == "model" {
        return snapshot.referenced(None, &text[entry.value]).map(Meant::Node);
    }
    let node = node_of(&entry, snapshot)?;
    match entry.column().filter(|_| entry.list() == "columns") {
        // the entry itself is the description: the SQL is where it comes from
        Some(column) if node.source.is_none() => {
            crate::typing::word_after(&Place::start_of(&node.file), column).map(Meant::Place).or(Some(Meant::Node(node)))
        }
        Some(_) => None,
        None => Some(Meant::Node(node)),
    }
}

/// Where what the cursor is on is used: references to a node, calls of a macro, uses of a CTE in its text.
pub(super) fn references(path: &Path, text: &str, offset: usize, declaration: bool, snapshot: &Snapshot) -> Vec<Target> {
    let asked = meant(path, text, offset, snapshot);
    let mut found: Vec<Target> = match &asked {
        Some(Meant::Node(node)) => uses(&node.id, snapshot).into_iter().map(Target::There).collect(),
        Some(Meant::Macro(known)) => calls(&known.name, snapshot).into_iter().map(Target::There).collect(),
        Some(Meant::Here(place)) => {
            let name = &text[place.clone()];
            let same = tokens(text).into_iter().filter(|t| t.is(text, name) && t.range != *place);
            same.map(|t| Target::Here(t.range)).collect()
        }
        Some(Meant::Column(..) | Meant::Place(_)) => vec![],
        // nothing under the cursor: who reads this file's node
        None => snapshot.of_file(path).map(|n| uses(&n.id, snapshot)).unwrap_or_default().into_iter().map(Target::There).collect(),
    };
    if declaration {
        found.extend(definition(path, text, offset, snapshot));
    }
    found
}

fn uses(id: &NodeId, snapshot: &Snapshot) -> Vec<Place> {
    let Some(project) = &snapshot.project else { return vec![] };
    let mut places = vec![];
    for child in project.graph.children(id) {
        for call in child.refs.iter().filter(|_| id.as_str().split('.').next() != Some("source")) {
            let target = snapshot.referenced(call.package.as_deref(), &call.name);
            if target.is_some_and(|n| n.id == *id) {
                places.push(call.place.clone());
            }
        }
        for call in &child.sources {
            if snapshot.source(&call.source, &call.table).is_some_and(|n| n.id == *id) {
                places.push(call.place.clone());
            }
        }
    }
    sorted(places)
}

/// `name(` in the Jinja of models, tests and macros.
fn calls(name: &str, snapshot: &Snapshot) -> Vec<Place> {
    let mut files: Vec<&std::sync::Arc<SourceFile>> = snapshot
        .nodes()
        .filter(|n| !matches!(n.kind, ResourceType::Seed | ResourceType::Source))
        .map(|n| &n.file)
        .chain(snapshot.macros.iter().filter(|m| !m.is_builtin).map(|m| &m.place.file))
        .collect();
    files.sort_by_key(|f| f.path());
    files.dedup_by_key(|f| f.path());
    let mut places = vec![];
    for file in files {
        let text = &file.text;
        for block in tokens(text).iter().filter(|t| matches!(t.kind, Kind::Expression | Kind::Statement)) {
            for (at, _) in text[block.range.clone()].match_indices(name) {
                let range = block.range.start + at..block.range.start + at + name.len();
                let before = text[..range.start].chars().next_back().is_some_and(is_word);
                let defined = text[block.range.start..range.start].trim_end().ends_with("macro");
                if !before && !defined && text[range.end..].starts_with('(') {
                    places.push(Place::new(file, range));
                }
            }
        }
    }
    sorted(places)
}

fn sorted(mut places: Vec<Place>) -> Vec<Place> {
    places.sort_by_key(|p| (p.file.path().to_owned(), p.range.start));
    places.dedup_by_key(|p| (p.file.path().to_owned(), p.range.start));
    places
}
