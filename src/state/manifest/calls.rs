//! Which macros a template's text calls: `depends_on.macros` of nodes and macros, which `state:modified.macros` follows.
//!
//! The text is read, not rendered: a call in a branch that is not taken counts too, as it does for dbt where it looks at
//! macros. Macros that have no entry in the manifest, the built-in ones, are not told.

use std::collections::{HashMap, HashSet};

use super::{MacroEntry, ManifestContext};

/// The macros by package, and the order in which names are looked up.
pub(super) struct Callable<'a> {
    project: &'a str,
    adapter: &'a str,
    macros: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'a> Callable<'a> {
    pub(super) fn of(context: &'a ManifestContext) -> Self {
        Self::new(&context.project, &context.adapter, &context.macros)
    }

    fn new(project: &'a str, adapter: &'a str, entries: &'a [MacroEntry]) -> Self {
        let mut macros: HashMap<&str, HashSet<&str>> = HashMap::new();
        for entry in entries {
            macros.entry(&entry.package).or_default().insert(&entry.name);
        }
        Self { project, adapter, macros }
    }

    /// Unique ids in the order of the first calls.
    pub(super) fn by(&self, package: &str, text: &str) -> Vec<String> {
        let mut found: Vec<String> = vec![];
        if self.macros.is_empty() {
            return found;
        }
        for call in calls(text) {
            let id = match &call {
                Call::Plain(name) => self.first(&[package, self.project], name),
                Call::Within(namespace, name) => self.first(&[*namespace], name),
                Call::Dispatch(name, namespace) => {
                    let packages = [self.project, namespace.unwrap_or(package)];
                    let adapters = [self.adapter, "default"];
                    adapters.iter().find_map(|prefix| self.first(&packages, &format!("{prefix}__{name}")))
                }
            };
            if let Some(id) = id
                && !found.contains(&id)
            {
                found.push(id);
            }
        }
        found
    }

    fn first(&self, packages: &[&str], name: &str) -> Option<String> {
        let package = packages.iter().find(|p| self.macros.get(**p).is_some_and(|names| names.contains(name)))?;
        Some(format!("macro.{package}.{name}"))
    }
}

#[derive(Debug, PartialEq)]
enum Call<'t> {
    Plain(&'t str),
    Within(&'t str, &'t str),
    Dispatch(&'t str, Option<&'t str>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece<'t> {
    Name(&'t str),
    Text(&'t str),
    Mark(char),
}

/// The calls between `{{ }}` and `{% %}`.
fn calls(text: &str) -> Vec<Call<'_>> {
    let mut calls = vec![];
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        let close = match rest.as_bytes().first() {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                rest = rest.find("#}").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            _ => continue,
        };
        let (pieces, length) = pieces(&rest[1..], close);
        calls_of(&pieces, &mut calls);
        rest = &rest[1 + length..];
    }
    calls
}

fn calls_of<'t>(pieces: &[Piece<'t>], calls: &mut Vec<Call<'t>>) {
    use Piece::{Mark, Name, Text};
    for at in 0..pieces.len() {
        let Name(name) = pieces[at] else { continue };
        if pieces.get(at + 1) != Some(&Mark('(')) {
            continue;
        }
        let namespace = match (at.checked_sub(1).map(|i| pieces[i]), at.checked_sub(2).map(|i| pieces[i])) {
            (Some(Mark('.')), Some(Name(namespace))) => Some(namespace),
            (Some(Mark('.')), _) => continue,
            // the definition of a macro is no call of it
            (Some(Name("macro" | "test" | "data_test" | "materialization")), _) => continue,
            _ => None,
        };
        calls.push(match (namespace, name) {
            (Some("adapter"), "dispatch") => {
                let mut texts = pieces[at + 2..].iter().take_while(|p| **p != Mark(')')).filter_map(|p| match p {
                    Text(text) => Some(*text),
                    _ => None,
                });
                match texts.next() {
                    Some(wanted) => Call::Dispatch(wanted, texts.next()),
                    None => continue,
                }
            }
            (Some(namespace), name) => Call::Within(namespace, name),
            (None, name) => Call::Plain(name),
        });
    }
}

/// The names, texts and marks up to the closing delimiter, and where that ends.
fn pieces<'t>(text: &'t str, close: &str) -> (Vec<Piece<'t>>, usize) {
    let mut pieces = vec![];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with(close) {
            return (pieces, at + close.len());
        }
        let mut length = c.len_utf8();
        if c == '\'' || c == '"' {
            let mut escaped = false;
            let end = text[at + 1..].find(|d: char| {
                let ends = d == c && !escaped;
                escaped = d == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or(text.len() - at - 1);
            pieces.push(Piece::Text(&text[at + 1..at + 1 + end]));
            length = (end + 2).min(text.len() - at);
        } else if c.is_alphabetic() || c == '_' {
            length = text[at..].find(|d: char| !(d.is_alphanumeric() || d == '_')).unwrap_or(text.len() - at);
            pieces.push(Piece::Name(&text[at..at + length]));
        } else if !c.is_whitespace() {
            pieces.push(Piece::Mark(c));
        }
        at += length;
    }
    (pieces, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_resolved_as_dbt_resolves_them() {
        let entry = |package: &str, name: &str| MacroEntry {
            package: package.into(),
            name: name.into(),
            path: "m.sql".into(),
            sql: String::new(),
            description: String::new(),
        };
        let entries = [
            entry("shop", "cents"),
            entry("tools", "cents"),
            entry("tools", "default__key"),
            entry("tools", "own"),
            entry("shop", "test_a"),
        ];
        let callable = Callable::new("shop", "datafusion", &entries);
        for (package, text, expected) in [
            ("shop", "{{ cents('a') }} {{ cents(1) }}", vec!["macro.shop.cents"]),
            ("tools", "{% set x = cents(1) %}", vec!["macro.tools.cents"]),
            ("shop", "select {{ tools.cents(own(1)) }}", vec!["macro.tools.cents"]),
            ("shop", "{{ return(adapter.dispatch('key', 'tools')(x)) }}", vec!["macro.tools.default__key"]),
            ("shop", "{# cents(1) #} cents(1) {{ 'cents(1) }}' }} {{ ref('cents') }}", vec![]),
            ("shop", "{% macro cents(a) %}{% endmacro %}", vec![]),
            ("shop", "{{ test_a(**kwargs) }} {{ unfinished('", vec!["macro.shop.test_a"]),
        ] {
            assert_eq!(callable.by(package, text), expected, "{text}");
        }
    }
}
