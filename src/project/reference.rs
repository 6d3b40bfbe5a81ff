//! What `ref()` and `source()` mean: names of all nodes, and the fault when there is no such node.
//!
//! A name is looked for in the root project, then in the referring node's package, then anywhere, as in dbt.

use std::{collections::HashMap, path::PathBuf};

use crate::{
    diagnostic::{Diagnostic, Place},
    graph::{Node, RefCall, SourceCall},
    names::{NodeId, ResourceType, nearest},
};

/// Whether a named thing can be built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Enabled,
    Disabled,
    /// Its own faults are reported; a reference to it is not one more.
    Broken,
}

#[derive(Clone, Debug)]
pub struct Named {
    pub id: NodeId,
    pub package: String,
    pub state: State,
    /// Of a model with versions.
    pub version: Option<String>,
    /// Whether a reference without a version means this one.
    pub latest: bool,
    pub path: PathBuf,
    pub place: Place,
}

/// Names of what can be referred to.
#[derive(Clone, Debug, Default)]
pub struct References {
    root: String,
    /// Models, seeds and snapshots share one space of names.
    nodes: HashMap<String, Vec<Named>>,
    sources: HashMap<(String, String), Vec<Named>>,
    functions: HashMap<String, Vec<Named>>,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Lookup<'a> {
    Found(&'a Named),
    Disabled(&'a Named),
    Broken,
    Unknown,
}

impl References {
    pub fn new(root: &str) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    /// Notes a node; the answer is an enabled one of the same name and package, if there is one of another kind.
    pub fn add(&mut self, node: &Node, state: State) -> Option<&Named> {
        let text = |key: &str| node.extra.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let version = text("version");
        let named = Named {
            latest: version.is_none() || version == text("latest_version"),
            version,
            id: node.id.clone(),
            package: node.package.clone(),
            state,
            path: node.original_file_path.clone(),
            place: node.declared_at(),
        };
        let slot = match (&node.source, node.kind) {
            (Some(source), _) => self.sources.entry((source.source_name.clone(), source.table_name.clone())).or_default(),
            (None, ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot) => self.nodes.entry(node.name.clone()).or_default(),
            (None, ResourceType::Function) => self.functions.entry(node.name.clone()).or_default(),
            _ => return None,
        };
        slot.push(named);
        let (last, before) = slot.split_last()?;
        // one file's node may be planned twice; a table of a source is declared
        let other = |n: &&Named| n.id != last.id || node.source.is_some();
        before
            .iter()
            .filter(other)
            .find(|n| n.package == last.package && n.version == last.version && n.state == State::Enabled && state == State::Enabled)
    }

    pub fn node(&self, package: Option<&str>, name: &str, version: Option<&str>, from: &str) -> Lookup<'_> {
        choose(self.nodes.get(name), package, version, &self.root, from)
    }

    pub fn function(&self, package: Option<&str>, name: &str, from: &str) -> Lookup<'_> {
        choose(self.functions.get(name), package, None, &self.root, from)
    }

    pub fn unknown_function(&self, name: &str) -> (String, Option<String>) {
        let help = nearest(name, self.functions.keys().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        (format!("no function is named `{name}`"), help)
    }

    pub fn source(&self, source: &str, table: &str, from: &str) -> Lookup<'_> {
        choose(self.sources.get(&(source.to_owned(), table.to_owned())), None, None, &self.root, from)
    }

    pub fn unknown_ref(&self, call: &RefCall) -> Diagnostic {
        let (message, help) = self.explain_ref(call.package.as_deref(), &call.name);
        let fault = Diagnostic::error("graph/unknown-ref", message).at(call.place.clone(), "referenced here");
        Diagnostic { help, ..fault }
    }

    pub fn explain_ref(&self, package: Option<&str>, name: &str) -> (String, Option<String>) {
        let within = package.map(|p| format!(" in the package `{p}`")).unwrap_or_default();
        let message = format!("no model or seed is named `{name}`{within}");
        if let Some(elsewhere) = self.nodes.get(name).and_then(|all| all.first()) {
            return (message, Some(format!("the package `{}` has one", elsewhere.package)));
        }
        let help = nearest(name, self.nodes.keys().map(String::as_str)).and_then(|near| {
            let named = self.nodes.get(near)?.first()?;
            let folder = named.path.parent().map(|p| p.display().to_string()).unwrap_or_default();
            let kind = named.id.as_str().split('.').next().unwrap_or("model");
            Some(format!("a {kind} named `{near}` exists in {folder}"))
        });
        let as_source = || {
            let found = self.sources.keys().filter(|(_, table)| table.eq_ignore_ascii_case(name)).min()?;
            Some(format!("a source table has this name: `source('{}', '{}')`", found.0, found.1))
        };
        (message, help.or_else(as_source))
    }

    pub fn unknown_source(&self, call: &SourceCall) -> Diagnostic {
        let (message, help) = self.explain_source(&call.source, &call.table);
        let fault = Diagnostic::error("graph/unknown-source", message).at(call.place.clone(), "referenced here");
        Diagnostic { help, ..fault }
    }

    pub fn explain_source(&self, source: &str, table: &str) -> (String, Option<String>) {
        let mut tables: Vec<&str> = self.sources.keys().filter(|(s, _)| s == source).map(|(_, t)| t.as_str()).collect();
        tables.sort_unstable();
        if tables.is_empty() {
            let message = format!("there is no source `{source}`");
            let mut sources: Vec<&str> = self.sources.keys().map(|(s, _)| s.as_str()).collect();
            sources.sort_unstable();
            sources.dedup();
            let help = match nearest(source, sources.iter().copied()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if sources.is_empty() => Some("sources are declared in YAML files under `sources:`".into()),
                None => Some(format!("sources are `{}`", sources.join("`, `"))),
            };
            return (message, help);
        }
        let message = format!("the source `{source}` has no table `{table}`");
        let help = match nearest(table, tables.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its tables are `{}`", tables.join("`, `")),
        };
        (message, Some(help))
    }
}

pub fn disabled(node: &Named, place: Place) -> Diagnostic {
    Diagnostic::error("graph/disabled-ref", format!("`{}` is disabled", node.id))
        .at(place, "referenced here")
        .related(node.place.clone(), "it is here, with `enabled: false`")
        .help("enable it, or remove the reference")
}

fn choose<'a>(all: Option<&'a Vec<Named>>, package: Option<&str>, version: Option<&str>, root: &str, from: &str) -> Lookup<'a> {
    let Some(all) = all else { return Lookup::Unknown };
    let meant = |n: &&Named| match version {
        Some(version) => n.version.as_deref() == Some(version),
        None => n.latest,
    };
    let all: Vec<&'a Named> = all.iter().filter(meant).collect();
    let within = |p: &str, state: State| all.iter().copied().find(|n| n.package == p && n.state == state);
    let pick = |state: State| match package {
        Some(package) => within(package, state),
        None => within(root, state).or_else(|| within(from, state)).or_else(|| all.iter().copied().find(|n| n.state == state)),
    };
    match (pick(State::Enabled), pick(State::Broken), pick(State::Disabled)) {
        (Some(found), ..) => Lookup::Found(found),
        (None, Some(_), _) => Lookup::Broken,
        (None, None, Some(found)) => Lookup::Disabled(found),
        _ => Lookup::Unknown,
    }
}

/// `ref('x')`, `ref('p', 'x')` or `source('a', 'b')` as one whole text, with or without braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Ref { package: Option<String>, name: String },
    Source { source: String, table: String },
}

impl Call {
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).unwrap_or(text).trim();
        let (function, rest) = text.split_once('(')?;
        let arguments = rest.trim_end().strip_suffix(')')?;
        let mut texts = vec![];
        for argument in arguments.split(',') {
            let argument = argument.trim();
            let quote = argument.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let inner = argument.strip_prefix(quote)?.strip_suffix(quote)?;
            if inner.contains(['\'', '"', '\\']) {
                return None;
            }
            texts.push(inner.to_owned());
        }
        match (function.trim(), &texts[..]) {
            ("ref", [name]) => Some(Self::Ref { package: None, name: name.clone() }),
            ("ref", [package, name]) => Some(Self::Ref { package: Some(package.clone()), name: name.clone() }),
            ("source", [source, table]) => Some(Self::Source { source: source.clone(), table: table.clone() }),
            _ => None,
        }
    }

    /// Adds the call to a node's references.
    pub fn note(self, place: Place, node: &mut Node) {
        match self {
            Self::Ref { package, name } => node.refs.push(RefCall { package, name, version: None, place }),
            Self::Source { source, table } => node.sources.push(SourceCall { source, table, place }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn calls_are_read_as_a_whole() {
        let one = |name: &str| Some(Call::Ref { package: None, name: name.into() });
        for (text, expect) in [
            ("ref('a')", one("a")),
            ("{{ ref( \"a\" ) }}", one("a")),
            ("ref('p', 'a')", Some(Call::Ref { package: Some("p".into()), name: "a".into() })),
            ("source('s','t')", Some(Call::Source { source: "s".into(), table: "t".into() })),
            ("ref(a)", None),
            ("ref('a') + 1", None),
            ("a", None),
            ("ref('a", None),
        ] {
            assert_eq!(Call::parse(text), expect, "{text}");
        }
    }
}
