//! `dbt_project.yml`: names, folders, variables and configuration trees of one package.
//!
//! Read in two steps, because configuration may ask for `target`, which needs the profile, which this file names:
//! [`ProjectFile::read`] takes all but the configuration trees, [`ProjectFile::read_configs`] those.

use std::{path::Path, sync::Arc};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::{
    config::ConfigTree,
    yaml::{At, Fields, Value, Yaml},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    names::ResourceType,
};

/// What is never rendered in this file: hooks are rendered when they run, variables when they are read.
pub const UNRENDERED: &[&str] = &["on-run-start", "on-run-end", "query-comment", "vars", "pre-hook", "post-hook", "pre_hook", "post_hook"];

/// Blocks that hold configuration by folder.
const BLOCKS: [(&str, ResourceType); 9] = [
    ("models", ResourceType::Model),
    ("seeds", ResourceType::Seed),
    ("snapshots", ResourceType::Snapshot),
    ("sources", ResourceType::Source),
    ("data_tests", ResourceType::Test),
    ("tests", ResourceType::Test),
    ("analyses", ResourceType::Analysis),
    ("exposures", ResourceType::Exposure),
    ("functions", ResourceType::Function),
];

/// Configured folders of one kind, relative to the package's root.
#[derive(Clone, Debug)]
pub struct Folders {
    pub models: Vec<String>,
    pub seeds: Vec<String>,
    pub tests: Vec<String>,
    pub macros: Vec<String>,
    pub snapshots: Vec<String>,
    pub analyses: Vec<String>,
    pub functions: Vec<String>,
    /// Where `{% docs %}` blocks are looked for besides.
    pub docs: Vec<String>,
    pub assets: Vec<String>,
    pub packages: String,
    pub target: String,
    pub clean: Vec<String>,
}

/// A statement that runs before or after everything.
#[derive(Clone, Debug)]
pub struct RunHook {
    pub package: String,
    pub sql: String,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct ProjectFile {
    pub file: Arc<SourceFile>,
    pub name: String,
    pub name_place: Place,
    pub version: Option<String>,
    pub profile: Option<(String, Place)>,
    pub folders: Folders,
    /// As written: a mapping under a package's name holds for that package.
    pub vars: Map<String, Json>,
    pub dispatch: IndexMap<String, Vec<String>>,
    pub on_run_start: Vec<RunHook>,
    pub on_run_end: Vec<RunHook>,
    pub quoting: Quoting,
    pub flags: Map<String, Json>,
    /// How bad what `segue check` finds is: `rule: off | warn | error`, as written.
    pub checks: Vec<(String, String, Place)>,
    /// `None`: dbt's default comment; `Some(Null)`: none.
    pub query_comment: Option<Json>,
    /// `restrict-access`: protected models are for this package alone.
    pub restrict_access: bool,
    /// `require-dbt-version`: bounds as written.
    pub required_version: Vec<(String, Place)>,
    pub configs: IndexMap<ResourceType, ConfigTree>,
}

/// Which parts of a relation keep their case. `None`: the level above decides; nothing said means folding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quoting {
    pub database: Option<bool>,
    pub schema: Option<bool>,
    pub identifier: Option<bool>,
}

impl Quoting {
    pub fn read(at: At<'_>, faults: &mut Diagnostics) -> Self {
        let Some(mut fields) = Fields::of(at, "`quoting`", faults) else { return Self::default() };
        let quoting =
            Self { database: fields.boolean("database"), schema: fields.boolean("schema"), identifier: fields.boolean("identifier") };
        fields.accept(&["snowflake_ignore_case", "column"]);
        fields.finish();
        quoting
    }

    /// `self` where it says something, else `above`.
    pub fn over(self, above: Self) -> Self {
        Self {
            database: self.database.or(above.database),
            schema: self.schema.or(above.schema),
            identifier: self.identifier.or(above.identifier),
        }
    }
}

impl ProjectFile {
    /// Everything but configuration trees. `yaml` is rendered with a context that knows no target yet.
    pub fn read(file: &Arc<SourceFile>, yaml: &Yaml, faults: &mut Diagnostics) -> Option<Self> {
        let at = At { file, yaml };
        let mut fields = Fields::of(at, "`dbt_project.yml`", faults)?;
        let name = fields.required("name");
        let name_place = at.get("name").map_or_else(|| Place::start_of(file), At::place);
        if let Some(name) = &name
            && (name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') || name.starts_with(|c: char| c.is_ascii_digit()))
        {
            fields.faults.push(
                Diagnostic::error("project/bad-name", format!("`{name}` is not a project name"))
                    .at(name_place.clone(), "letters, digits and underscores only"),
            );
        }
        let profile = fields.string("profile").and_then(|p| Some((p, at.get("profile")?.place())));
        let mut paths =
            |key: &'static str, default: &[&str]| fields.strings(key).unwrap_or_else(|| default.iter().map(|s| (*s).to_owned()).collect());
        let mut folders = Folders {
            models: paths("model-paths", &["models"]),
            seeds: paths("seed-paths", &["seeds"]),
            tests: paths("test-paths", &["tests"]),
            macros: paths("macro-paths", &["macros"]),
            snapshots: paths("snapshot-paths", &["snapshots"]),
            analyses: paths("analysis-paths", &["analyses"]),
            functions: paths("function-paths", &["functions"]),
            docs: paths("docs-paths", &[]),
            assets: paths("asset-paths", &[]),
            packages: String::new(),
            target: String::new(),
            clean: paths("clean-targets", &["target"]),
        };
        folders.packages = fields.string("packages-install-path").unwrap_or_else(|| "dbt_packages".into());
        folders.target = fields.string("target-path").unwrap_or_else(|| "target".into());
        for path in
            [&folders.models, &folders.seeds, &folders.tests, &folders.macros, &folders.snapshots, &folders.analyses].into_iter().flatten()
        {
            if Path::new(path).is_absolute() || path.split(['/', '\\']).any(|p| p == "..") {
                let fault = Diagnostic::error("project/bad-path", format!("`{path}` leaves the project folder"));
                fields.faults.push(fault.at(Place::start_of(file), "in this file"));
            }
        }
        for (old, new) in [("source-paths", "model-paths"), ("data-paths", "seed-paths")] {
            if let Some(value) = fields.take(old) {
                let fault =
                    Diagnostic::error("project/renamed-key", format!("`{old}` is called `{new}` now")).at(value.place(), "not read");
                fields.faults.push(fault.help(format!("rename the key to `{new}`")));
            }
        }
        let vars = fields.mapping("vars").into_iter().collect();
        let flags = fields.mapping("flags").into_iter().collect();
        let checks = fields.take("checks").map(|at| rules(at, fields.faults)).unwrap_or_default();
        let version = fields.string("version");
        let restrict_access = fields.boolean("restrict-access").unwrap_or_default();
        let required_version = match fields.take("require-dbt-version") {
            Some(list) if matches!(list.yaml.value, Value::List(_)) => list.items().collect(),
            one => Vec::from_iter(one),
        };
        let required_version = required_version.into_iter().filter_map(|b| Some((b.as_text()?, b.place()))).collect();
        let query_comment = at.get("query-comment").map(|v| v.yaml.to_json());
        fields.accept(&[
            "query-comment",
            "config-version",
            "packages-install-path",
            "log-path",
            "dbt-cloud",
            "semantic-models",
            "metrics",
            "saved-queries",
            "saved_queries",
            "semantic_models",
            "unit_tests",
            "macros",
            "groups",
        ]);
        fields.accept(&BLOCKS.map(|(key, _)| key));
        let dispatch = fields.list("dispatch").into_iter().filter_map(|entry| {
            let mut fields = Fields::of(entry, "an entry of `dispatch`", fields.faults)?;
            let namespace = fields.required("macro_namespace")?;
            let order = fields.strings("search_order").unwrap_or_default();
            fields.finish();
            Some((namespace, order))
        });
        let dispatch = dispatch.collect();
        let quoting = fields.map_at("quoting").map_or_else(Quoting::default, |q| Quoting::read(q, fields.faults));
        let mut hooks = |key: &'static str| {
            let Some(value) = fields.take(key) else { return vec![] };
            let all: Vec<At<'_>> = if let Value::List(_) = value.yaml.value { value.items().collect() } else { vec![value] };
            let package = name.clone().unwrap_or_default();
            let mut read = vec![];
            for item in all {
                match item.as_text() {
                    Some(sql) => read.push(RunHook { package: package.clone(), sql, place: item.place() }),
                    None => fields.wrong(item, key, "a statement or a list of statements"),
                }
            }
            read
        };
        let (on_run_start, on_run_end) = (hooks("on-run-start"), hooks("on-run-end"));
        fields.finish();
        Some(Self {
            file: file.clone(),
            name: name?,
            name_place,
            version,
            profile,
            folders,
            vars,
            dispatch,
            on_run_start,
            on_run_end,
            quoting,
            flags,
            checks,
            query_comment,
            restrict_access,
            required_version,
            configs: IndexMap::new(),
        })
    }

    /// The configuration trees; `yaml` is rendered with the full context.
    pub fn read_configs(&mut self, yaml: &Yaml, faults: &mut Diagnostics) {
        let file = self.file.clone();
        let at = At { file: &file, yaml };
        for (key, kind) in BLOCKS {
            let Some(block) = at.get(key).filter(|b| !b.is_null()) else { continue };
            let tree = ConfigTree::read(block, faults);
            match self.configs.get_mut(&kind) {
                // `tests:` is the old name of `data_tests:`
                Some(first) => {
                    first.own.extend(tree.own);
                    first.children.extend(tree.children);
                }
                None => drop(self.configs.insert(kind, tree)),
            }
        }
    }

    /// `vars:` that hold everywhere, and those of single packages.
    pub fn split_vars(&self, packages: &[&str]) -> (Map<String, Json>, IndexMap<String, Map<String, Json>>) {
        let (mut global, mut scoped) = (Map::new(), IndexMap::new());
        for (key, value) in &self.vars {
            match value {
                Json::Object(map) if packages.contains(&key.as_str()) => drop(scoped.insert(key.clone(), map.clone())),
                _ => drop(global.insert(key.clone(), value.clone())),
            }
        }
        (global, scoped)
    }
}

/// `checks:`: rules and how bad a finding is.
fn rules(at: At<'_>, faults: &mut Diagnostics) -> Vec<(String, String, Place)> {
    if !matches!(at.yaml.value, Value::Map(_)) {
        faults.push(super::yaml::wrong_type(at, "`checks`", "a mapping of rules to `off`, `warn` or `error`"));
        return vec![];
    }
    let rule = |entry: &super::yaml::Entry| {
        let value = at.with(&entry.value);
        // YAML reads `off` as a boolean
        let text = match &entry.value.value {
            Value::Bool(false) => Some("off".to_owned()),
            _ => value.as_text(),
        };
        (entry.key.clone(), text.unwrap_or_default().trim().to_lowercase(), Place::new(at.file, entry.key_range.clone()))
    };
    at.entries().iter().map(rule).collect()
}

/// `--vars`: a YAML mapping.
pub fn command_line_vars(text: &str) -> Result<Map<String, Json>, Diagnostics> {
    let file = SourceFile::new("--vars", text);
    let yaml = super::yaml::parse(&file)?;
    match yaml.to_json() {
        Json::Object(map) => Ok(map),
        Json::Null => Ok(Map::new()),
        _ => {
            let fault = Diagnostic::error("project/bad-vars", format!("`--vars` must be a mapping, not {}", yaml.value.kind()));
            Err(fault.at(Place::new(&file, yaml.range), "here").help("write it as YAML: `--vars '{key: value}'`").into())
        }
    }
}
