//! The outline of a file: CTEs of a model, blocks of a macro file, entries of YAML; and nodes and macros of the project by name.

use std::{ops::Range, path::Path};

use tower_lsp_server::ls_types::{DocumentSymbol, SymbolKind};

use super::{
    lexer::{Kind, is_word, tokens},
    position::span,
    scope::Scope,
    snapshot::Snapshot,
};
use crate::{diagnostic::Place, names::ResourceType};

/// Jinja blocks with a name.
const BLOCKS: [(&str, SymbolKind); 5] = [
    ("macro", SymbolKind::FUNCTION),
    ("test", SymbolKind::METHOD),
    ("materialization", SymbolKind::CLASS),
    ("snapshot", SymbolKind::CLASS),
    ("docs", SymbolKind::STRING),
];

pub(super) fn outline(path: &Path, text: &str) -> Vec<DocumentSymbol> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("yml" | "yaml") => entries(text),
        Some("md") => blocks(text),
        _ => {
            let mut all = blocks(text);
            all.extend(
                Scope::of(text).ctes.iter().map(|c| symbol(text, &c.name, "CTE", SymbolKind::STRUCT, c.place.clone(), c.place.clone())),
            );
            all.sort_by_key(|s| (s.range.start.line, s.range.start.character));
            all
        }
    }
}

#[allow(deprecated)] // the field has no constructor without it
fn symbol(text: &str, name: &str, detail: &str, kind: SymbolKind, whole: Range<usize>, place: Range<usize>) -> DocumentSymbol {
    DocumentSymbol {
        name: if name.is_empty() { "?".to_owned() } else { name.to_owned() },
        detail: Some(detail.to_owned()),
        kind,
        tags: None,
        deprecated: None,
        range: span(text, whole),
        selection_range: span(text, place),
        children: None,
    }
}

fn blocks(text: &str) -> Vec<DocumentSymbol> {
    let statements: Vec<Range<usize>> = tokens(text).into_iter().filter(|t| t.kind == Kind::Statement).map(|t| t.range).collect();
    let inner = |range: &Range<usize>| text[range.clone()].trim_start_matches("{%").trim_start_matches(['-', '+']).trim_start();
    let mut found = vec![];
    for (i, range) in statements.iter().enumerate() {
        let body = inner(range);
        let word = body.split(|c| !is_word(c)).next().unwrap_or_default();
        let Some((tag, kind)) = BLOCKS.iter().find(|(tag, _)| *tag == word) else { continue };
        let rest = body[word.len()..].trim_start();
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let start = name.as_ptr() as usize - text.as_ptr() as usize;
        let closing = format!("end{tag}");
        let end = statements[i + 1..].iter().find(|r| inner(r).starts_with(&closing)).map_or(range.end, |r| r.end);
        found.push(symbol(text, name, tag, *kind, range.start..end, start..start + name.len()));
    }
    found
}

/// `name:` of every entry, columns below their node.
fn entries(text: &str) -> Vec<DocumentSymbol> {
    let mut found: Vec<(usize, DocumentSymbol)> = vec![];
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '-', '{']);
        if let Some(value) = content.strip_prefix("name:").filter(|_| line.trim_start().starts_with('-')) {
            let name = value.split(['#', ',', '}']).next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            if !name.is_empty() {
                let start = name.as_ptr() as usize - text.as_ptr() as usize;
                let indent = line.len() - line.trim_start().len();
                let list = super::entry::at(text, start).map(|e| e.list().to_owned()).unwrap_or_default();
                let kind = match list.as_str() {
                    "columns" => SymbolKind::FIELD,
                    "sources" => SymbolKind::MODULE,
                    "macros" => SymbolKind::FUNCTION,
                    _ => SymbolKind::CLASS,
                };
                let place = start..start + name.len();
                found.push((indent, symbol(text, name, list.trim_end_matches('s'), kind, offset..offset + line.trim_end().len(), place)));
            }
        }
        offset += line.len();
    }
    // an entry holds what follows it and is indented deeper
    let mut done: Vec<(usize, DocumentSymbol)> = vec![];
    while let Some((indent, mut symbol)) = found.pop() {
        let mut children = vec![];
        while done.last().is_some_and(|(below, _)| *below > indent) {
            children.extend(done.pop().map(|(_, s)| s));
        }
        if let Some(last) = children.last() {
            symbol.range.end = last.range.end;
            symbol.children = Some(children);
        }
        done.push((indent, symbol));
    }
    done.reverse();
    done.into_iter().map(|(_, s)| s).collect()
}

/// Nodes and macros whose names hold the query.
pub(super) fn workspace(query: &str, snapshot: &Snapshot) -> Vec<(String, SymbolKind, String, Place)> {
    let wanted = query.to_lowercase();
    let meant = |name: &str| name.to_lowercase().contains(&wanted);
    let nodes = snapshot.nodes().filter(|n| !matches!(n.kind, ResourceType::Test | ResourceType::UnitTest | ResourceType::Operation));
    let nodes = nodes.filter(|n| meant(&n.name)).map(|n| (n.name.clone(), SymbolKind::CLASS, n.kind.to_string(), n.declared_at()));
    let macros = snapshot.macros.iter().filter(|m| !m.is_builtin && meant(&m.name));
    nodes.chain(macros.map(|m| (m.name.clone(), SymbolKind::FUNCTION, m.package.clone(), m.place.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, text: &str) -> Vec<String> {
        fn shown(s: &DocumentSymbol) -> String {
            let inner: Vec<String> = s.children.iter().flatten().map(shown).collect();
            if inner.is_empty() { s.name.clone() } else { format!("{}({})", s.name, inner.join(" ")) }
        }
        outline(Path::new(path), text).iter().map(shown).collect()
    }

    #[test]
    fn files_have_an_outline() {
        assert_eq!(names("a.sql", "with a as (select 1), b as (select 2) select * from a"), ["a", "b"]);
        assert_eq!(names("m.sql", "{% macro x(a) %}1{% endmacro %}\n{%- test y(model) %}{% endtest %}{% macro"), ["x", "y", "?"]);
        let yaml = "models:\n  - name: a\n    columns:\n      - name: b\n      - {name: c, x: 1}\n  - name: d\nsources:\n- name: e\n  tables:\n  - name: f\n";
        assert_eq!(names("s.yml", yaml), ["a(b c)", "d", "e(f)"]);
    }
}
