//! One criterion of a selection: `[@][n+][method:]value[+n]`, and which nodes its method and value mean.
//!
//! Methods and matching follow dbt's documentation "Node selector methods". Walking the graph is the caller's.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use super::{Changes, Facts, Graph, Node};
use crate::{
    diagnostic::Diagnostic,
    names::{ResourceType, nearest},
};

const METHODS: [&str; 19] = [
    "fqn",
    "tag",
    "source",
    "path",
    "file",
    "package",
    "config",
    "test_name",
    "test_type",
    "resource_type",
    "exposure",
    "group",
    "access",
    "unit_test",
    "version",
    "state",
    "result",
    "source_status",
    "selector",
];

#[derive(Debug)]
pub(super) struct Criterion {
    pub childrens_parents: bool,
    /// `Some(None)` is `+x`, `Some(Some(2))` is `2+x`.
    pub parents: Option<Option<usize>>,
    pub children: Option<Option<usize>>,
    method: Method,
    value: String,
    explicit: bool,
}

#[derive(Debug)]
enum Method {
    Fqn,
    Tag,
    Source,
    Path(Box<GlobMatcher>),
    File,
    Package,
    /// The path of keys below `config`.
    Config(Vec<String>),
    TestName,
    TestType,
    ResourceType(Option<ResourceType>),
    Exposure,
    Group,
    Access,
    UnitTest,
    Version,
    State,
    Result,
    SourceStatus,
    /// A selector of `selectors.yml`.
    Selector,
}

impl Criterion {
    pub fn parse(text: &str) -> Result<Self, Box<Diagnostic>> {
        let mut rest = text;
        let childrens_parents = rest.strip_prefix('@').inspect(|r| rest = r).is_some();
        let parents = depth_before(rest).map(|(depth, r)| {
            rest = r;
            depth
        });
        let children = depth_after(rest).map(|(depth, r)| {
            rest = r;
            depth
        });
        if childrens_parents && (parents.is_some() || children.is_some()) {
            return Err(Box::new(
                Diagnostic::error("graph/bad-selector", format!("`{text}` mixes `@` with `+`"))
                    .help("`@x` already takes the children of x and all that these need"),
            ));
        }
        if rest.is_empty() {
            return Err(Box::new(Diagnostic::error("graph/bad-selector", format!("`{text}` names no node"))));
        }
        let split = rest.split_once(':').filter(|(m, _)| !m.is_empty() && m.chars().all(|c| c.is_alphanumeric() || "_.".contains(c)));
        let (method, value) = match split {
            Some((method, value)) => (Method::parse(method, value)?, value),
            None => (Method::implied(rest)?, rest),
        };
        Ok(Self { childrens_parents, parents, children, method, value: value.to_owned(), explicit: split.is_some() })
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value, when it stands alone as a name.
    pub fn bare_name(&self) -> Option<&str> {
        (!self.explicit && matches!(self.method, Method::Fqn)).then_some(self.value.as_str())
    }

    /// Values that would have matched, for the nearest match.
    pub fn known(&self, graph: &Graph) -> Vec<String> {
        let nodes = graph.nodes();
        match &self.method {
            Method::Fqn => nodes.filter(|n| n.kind != ResourceType::Test).map(|n| n.name.clone()).collect(),
            Method::Tag => nodes.flat_map(|n| n.tags.iter().cloned()).collect(),
            Method::Source => nodes
                .filter_map(|n| n.source.as_ref())
                .flat_map(|s| [s.source_name.clone(), format!("{}.{}", s.source_name, s.table_name)])
                .collect(),
            Method::Path(_) => nodes
                .flat_map(|n| [n.folder().to_string_lossy().into_owned(), n.original_file_path.to_string_lossy().into_owned()])
                .collect(),
            Method::File => nodes.filter_map(|n| file_name(n).map(str::to_owned)).collect(),
            Method::Package => nodes.map(|n| n.package.clone()).collect(),
            Method::TestName => nodes.filter_map(|n| Some(n.test.as_ref()?.generic.as_ref()?.name.clone())).collect(),
            Method::Exposure | Method::UnitTest => nodes.filter(|n| Some(n.kind) == self.kind()).map(|n| n.name.clone()).collect(),
            Method::TestType => ["generic", "singular", "unit", "data"].map(String::from).to_vec(),
            Method::Config(_)
            | Method::ResourceType(_)
            | Method::Group
            | Method::Access
            | Method::Version
            | Method::State
            | Method::Result
            | Method::SourceStatus
            | Method::Selector => vec![],
        }
    }

    /// The name after `selector:`.
    pub fn selector(&self) -> Option<&str> {
        matches!(self.method, Method::Selector).then_some(self.value.as_str())
    }

    /// Whether what the criterion compares with is there.
    pub fn provided(&self, facts: &Facts) -> Result<(), Box<Diagnostic>> {
        let (what, there) = match self.method {
            Method::State => ("manifest.json", facts.changes.is_some()),
            Method::Result => ("run_results.json", facts.results.is_some()),
            Method::SourceStatus => ("sources.json", facts.fresher.is_some()),
            _ => return Ok(()),
        };
        if there {
            return Ok(());
        }
        let fault =
            Diagnostic::error("graph/no-state", format!("`{}` compares with `{what}` of another run, and there is none", self.value));
        Err(Box::new(fault.help("pass its folder with `--state`")))
    }

    fn kind(&self) -> Option<ResourceType> {
        match self.method {
            Method::Exposure => Some(ResourceType::Exposure),
            Method::UnitTest => Some(ResourceType::UnitTest),
            _ => None,
        }
    }

    pub fn matches(&self, node: &Node, root_package: Option<&str>, facts: &Facts) -> bool {
        let value = self.value.as_str();
        match &self.method {
            Method::Fqn => {
                let (source, exposure) = (node.kind == ResourceType::Source, node.kind == ResourceType::Exposure);
                // `fqn:*` is everything in dbt; a name never means a source, which has a method of its own
                if source || exposure {
                    value == "*"
                } else {
                    (node.extra.contains_key("version") && node.name == value)
                        || fqn_matches(&node.fqn, value)
                        || fqn_matches(node.fqn.get(1..).unwrap_or(&[]), value)
                }
            }
            Method::Tag => node.tags.iter().any(|t| wildcard(value, t)),
            Method::Source => node.source.as_ref().is_some_and(|s| {
                let package = |p: &str| wildcard(p, &node.package) || (p == "this" && root_package == Some(node.package.as_str()));
                match value.split('.').collect::<Vec<_>>()[..] {
                    [source] => wildcard(source, &s.source_name),
                    [source, table] => wildcard(source, &s.source_name) && wildcard(table, &s.table_name),
                    [p, source, table] => package(p) && wildcard(source, &s.source_name) && wildcard(table, &s.table_name),
                    _ => false,
                }
            }),
            Method::Path(glob) => {
                let patch = node.patch.as_ref().map(|p| p.file.path());
                node.original_file_path.ancestors().any(|p| glob.is_match(p)) || patch.is_some_and(|p| glob.is_match(p))
            }
            Method::File => file_name(node).is_some_and(|f| {
                wildcard(value, f) || Path::new(f).file_stem().and_then(|s| s.to_str()).is_some_and(|s| wildcard(value, s))
            }),
            Method::Package => {
                let wanted = if value == "this" { root_package.unwrap_or(value) } else { value };
                wildcard(wanted, &node.package)
            }
            Method::Config(path) => config_value(node, path).is_some_and(|v| config_matches(v, value)),
            Method::TestName => {
                let generic = node.test.as_ref().and_then(|t| t.generic.as_ref());
                // unit tests and singular tests go by their own name
                if generic.is_none() && matches!(node.kind, ResourceType::UnitTest | ResourceType::Test) {
                    return wildcard(value, &node.name);
                }
                generic.is_some_and(|g| wildcard(value, &g.name) || g.name.rsplit_once('.').is_some_and(|(_, n)| wildcard(value, n)))
            }
            Method::TestType => match (&node.test, value) {
                (Some(_), "data") => true,
                (Some(t), "generic" | "schema") => t.generic.is_some(),
                (Some(t), "singular") => t.generic.is_none(),
                (None, "unit") => node.kind == ResourceType::UnitTest,
                _ => false,
            },
            Method::ResourceType(kind) => kind.is_none_or(|k| k == node.kind),
            Method::Exposure | Method::UnitTest => {
                Some(node.kind) == self.kind() && (wildcard(value, &node.name) || fqn_matches(&node.fqn, value))
            }
            Method::Group => text_of(node, "group").is_some_and(|g| g == value),
            Method::Version => node.kind == ResourceType::Model && version_matches(node, value),
            Method::State => {
                facts.changes.as_ref().is_some_and(|all| all.get(&node.id).copied().unwrap_or_default().meets(value) == Some(true))
            }
            Method::Result => facts.results.as_ref().and_then(|all| all.get(&node.id)).is_some_and(|status| status == value),
            Method::SourceStatus => value == "fresher" && facts.fresher.as_ref().is_some_and(|all| all.contains(&node.id)),
            Method::Selector => false,
            Method::Access => node.kind == ResourceType::Model && text_of(node, "access").unwrap_or("protected") == value,
        }
    }
}

impl Method {
    fn parse(method: &str, value: &str) -> Result<Self, Box<Diagnostic>> {
        Ok(match method.split_once('.').map_or((method, ""), |(m, rest)| (m, rest)) {
            ("fqn", "") => Self::Fqn,
            ("tag", "") => Self::Tag,
            ("source", "") => Self::Source,
            ("path", "") => Self::path(value)?,
            ("file", "") => Self::File,
            ("package", "") => Self::Package,
            ("config", path) if !path.is_empty() => Self::Config(path.split('.').map(str::to_owned).collect()),
            ("config", _) => {
                return Err(Diagnostic::error("graph/bad-selector", "`config:` names no key")
                    .help("write `config.materialized:incremental`")
                    .into());
            }
            ("test_name", "") => Self::TestName,
            ("test_type", "") => match value {
                "data" | "generic" | "schema" | "singular" | "unit" => Self::TestType,
                _ => {
                    return Err(Box::new(
                        Diagnostic::error("graph/bad-selector", format!("there is no test type `{value}`"))
                            .help("test types are `generic`, `singular`, `unit` and `data`"),
                    ));
                }
            },
            ("resource_type", "") if value == "all" => Self::ResourceType(None),
            ("resource_type", "") => match ResourceType::parse(value) {
                Some(kind) => Self::ResourceType(Some(kind)),
                None => {
                    let names = ResourceType::ALL.map(ResourceType::as_str);
                    let fault = Diagnostic::error("graph/bad-selector", format!("there is no resource type `{value}`"));
                    return Err(Box::new(match nearest(value, names) {
                        Some(near) => fault.help(format!("did you mean `{near}`?")),
                        None => fault.help(format!("resource types are `{}`", names.join("`, `"))),
                    }));
                }
            },
            ("exposure", "") => Self::Exposure,
            ("group", "") => Self::Group,
            ("access", "") => Self::Access,
            ("unit_test", "") => Self::UnitTest,
            ("version", "") => Self::Version,
            ("state", "") => match Changes::default().meets(value) {
                Some(_) => Self::State,
                None => {
                    let fault = Diagnostic::error("graph/bad-selector", format!("there is no state `{value}`"));
                    return Err(Box::new(fault.help("states are `new`, `old`, `modified`, `unmodified` and `modified.<part>`")));
                }
            },
            ("result", "") => Self::Result,
            ("source_status", "") => Self::SourceStatus,
            ("selector", "") => Self::Selector,
            _ => {
                let fault = Diagnostic::error("graph/unknown-method", format!("there is no selection method `{method}:`"));
                return Err(Box::new(match nearest(method, METHODS) {
                    Some(near) => fault.help(format!("did you mean `{near}:{value}`?")),
                    None => fault.help(format!("methods are `{}`", METHODS.join("`, `"))),
                }));
            }
        })
    }

    /// dbt's defaults for a value without a method: what looks like a path is one.
    fn implied(value: &str) -> Result<Self, Box<Diagnostic>> {
        let is_file = [".sql", ".csv", ".yml", ".yaml"].iter().any(|end| value.to_lowercase().ends_with(end));
        match value {
            _ if value.contains(['/', '\\']) => Self::path(value),
            _ if is_file => Ok(Self::File),
            _ => Ok(Self::Fqn),
        }
    }

    /// As a shell: `*` stays within a folder, `**` does not.
    fn path(value: &str) -> Result<Self, Box<Diagnostic>> {
        let clean = value.replace('\\', "/");
        let clean = clean.trim_start_matches("./").trim_end_matches('/');
        let glob = GlobBuilder::new(clean).literal_separator(true).build();
        let glob = glob.map_err(|e| Diagnostic::error("graph/bad-selector", format!("`{value}` is not a path pattern: {}", e.kind())))?;
        Ok(Self::Path(Box::new(glob.compile_matcher())))
    }
}

/// `+x`, `2+x`.
fn depth_before(text: &str) -> Option<(Option<usize>, &str)> {
    let (digits, rest) = text.split_once('+')?;
    depth(digits).map(|d| (d, rest))
}

/// `x+`, `x+2`.
fn depth_after(text: &str) -> Option<(Option<usize>, &str)> {
    let (rest, digits) = text.rsplit_once('+')?;
    depth(digits).map(|d| (d, rest))
}

fn depth(digits: &str) -> Option<Option<usize>> {
    match digits {
        "" => Some(None),
        d if d.bytes().all(|b| b.is_ascii_digit()) => d.parse().ok().map(Some),
        _ => None,
    }
}

fn file_name(node: &Node) -> Option<&str> {
    node.original_file_path.file_name().and_then(|f| f.to_str())
}

/// `version:latest`, `prerelease`, `old` and `none` (dbt documentation, "The version method").
fn version_matches(node: &Node, wanted: &str) -> bool {
    let number = |key: &str| node.extra.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let (version, latest) = (number("version"), number("latest_version"));
    let order = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal),
        _ => a.cmp(b),
    };
    match (version, latest) {
        (None, _) => wanted == "none",
        (Some(version), Some(latest)) => match wanted {
            "latest" => version == latest,
            "prerelease" => order(&version, &latest).is_gt(),
            "old" => order(&version, &latest).is_lt(),
            other => version == other,
        },
        (Some(_), None) => wanted == "latest",
    }
}

/// dbt's `is_selected_node`: the name itself, or the leading parts of the dotted path with wildcards from some part on.
fn fqn_matches(fqn: &[String], selector: &str) -> bool {
    let Some(name) = fqn.last() else { return false };
    if name == selector || (!selector.contains('.') && wildcard(selector, name)) {
        return true;
    }
    let parts: Vec<&str> = selector.split('.').collect();
    let flat: Vec<&str> = fqn.iter().flat_map(|f| f.split('.')).collect();
    if flat.len() < parts.len() {
        return false;
    }
    match parts.iter().position(|p| p.contains(['*', '?', '[', ']'])) {
        Some(at) => flat[..at] == parts[..at] && wildcard(&parts[at..].join("."), &flat[at..].join(".")),
        None => flat[..parts.len()] == parts[..],
    }
}

fn text_of<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.extra.get(key).or_else(|| node.config.all.get(key)).and_then(|v| v.as_str())
}

fn config_value<'a>(node: &'a Node, path: &[String]) -> Option<&'a serde_json::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(node.config.all.get(first)?, |value, key| value.get(key))
}

fn config_matches(value: &serde_json::Value, wanted: &str) -> bool {
    use serde_json::Value as V;
    match value {
        V::String(s) => wildcard(&wanted.to_lowercase(), &s.to_lowercase()),
        V::Array(items) => items.iter().any(|v| config_matches(v, wanted)),
        V::Object(map) => map.contains_key(wanted),
        V::Null => wanted.eq_ignore_ascii_case("none") || wanted.eq_ignore_ascii_case("null"),
        other => other.to_string().eq_ignore_ascii_case(wanted),
    }
}

/// Python's `fnmatch`: `*`, `?`, `[abc]`, `[!abc]`; none of them stops at a separator.
pub(super) fn wildcard(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?', '[']) {
        return pattern == text;
    }
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // where to go on when a `*` must take one more character
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], text[t]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                None => (text[t] == '[').then_some(p + 1),
            },
            Some(c) => (*c == text[t]).then_some(p + 1),
            None => None,
        };
        match (step, retry) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((star, from))) => {
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether `[...]` at the start of `pattern` takes `c`, and its length; `None` when the bracket is never closed.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let set = &pattern[start..end];
    let mut inside = false;
    let mut i = 0;
    while i < set.len() {
        if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
            inside |= (set[i]..=set[i + 2]).contains(&c);
            i += 3;
        } else {
            inside |= set[i] == c;
            i += 1;
        }
    }
    Some((inside != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::wildcard;

    #[test]
    fn wildcards_are_those_of_fnmatch() {
        for (pattern, text, expect) in [
            ("abc", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("*", "", true),
            ("a?c", "ac", false),
            ("[ab]x", "bx", true),
            ("[!ab]x", "bx", false),
            ("[a-c]*", "cats/and", true),
            ("[a", "[a", true),
            ("*.b*.d", "a.bx.c.d", true),
        ] {
            assert_eq!(wildcard(pattern, text), expect, "{pattern} over {text}");
        }
    }
}
