//! What an invocation takes from another run's artifacts: selection by state and result, deferral, clones; and `selectors.yml`.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use indexmap::IndexSet;
use serde_json::Value as Json;

use super::{args::Selecting, artifacts, config::Config, message::Failure, workspace::target_folder};
use crate::{
    diagnostic::Diagnostic,
    graph::{Definition, Facts, Named},
    names::{Identifier, NodeId, RelationName},
    project::{Deferral, Project},
    state::comparison,
};

/// As dbt, relative to the current folder, or to the project.
fn folder(path: &Path, config: &Config) -> PathBuf {
    if path.is_absolute() || path.is_dir() { path.to_owned() } else { config.project_dir.join(path) }
}

fn read(folder: &Path, name: &str) -> Result<Option<Json>, Diagnostic> {
    let path = folder.join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Diagnostic::error("cli/state", format!("cannot read `{}`: {e}", path.display()))),
    };
    let json =
        serde_json::from_str(&text).map_err(|e| Diagnostic::error("cli/state", format!("`{}` is no artifact: {e}", path.display())))?;
    Ok(Some(json))
}

/// What selection may compare with; read only where a criterion asks for it.
pub(super) fn facts(project: &Project, selecting: &Selecting, config: &Config) -> Result<Facts, Failure> {
    let words = selecting.select.iter().chain(&selecting.exclude);
    let asks = |method: &str| words.clone().any(|w| w.contains(method)) || selecting.selector.is_some();
    let Some(state) = &selecting.state else { return Ok(Facts::default()) };
    let folder = folder(state, config);
    let mut facts = Facts::default();
    if asks("state:")
        && let Some(before) = read(&folder, "manifest.json")?
    {
        let now = artifacts::manifest(project, HashMap::new(), config);
        facts.changes = Some(comparison::changes(&before, &now));
    }
    if asks("result:")
        && let Some(results) = read(&folder, "run_results.json")?
    {
        facts.results = Some(comparison::statuses(&results));
    }
    if asks("source_status:")
        && let Some(before) = read(&folder, "sources.json")?
    {
        let now = read(&target_folder(project, config), "sources.json")?.unwrap_or(Json::Null);
        facts.fresher = Some(comparison::fresher(&before, &now));
    }
    Ok(facts)
}

/// `selectors.yml`, and the selector that this invocation means.
pub(super) fn selectors(project: &Project, selecting: &Selecting) -> Result<Named, Diagnostic> {
    let path = project.root.join("selectors.yml");
    let mut named = Named::default();
    let mut default = None;
    if let Ok(text) = std::fs::read_to_string(&path) {
        let bad = |message: String| Diagnostic::error("project/bad-selectors", format!("`selectors.yml`: {message}"));
        let yaml: Json = serde_yaml_ng::from_str(&text).map_err(|e| bad(e.to_string()))?;
        for entry in yaml.get("selectors").and_then(Json::as_array).into_iter().flatten() {
            let name = entry.get("name").and_then(Json::as_str).ok_or_else(|| bad("a selector has no `name`".into()))?;
            let definition = entry.get("definition").ok_or_else(|| bad(format!("the selector `{name}` has no `definition`")))?;
            let definition = Definition::read(definition).map_err(|e| bad(format!("in `{name}`: {e}")))?;
            if entry.get("default").and_then(Json::as_bool) == Some(true) {
                default = Some(name.to_owned());
            }
            named.definitions.insert(name.to_owned(), definition);
        }
    }
    named.chosen = match &selecting.selector {
        Some(name) if named.definitions.contains_key(name) => Some(name.clone()),
        Some(name) => {
            let fault = Diagnostic::error("cli/selector", format!("Could not find selector named `{name}`"));
            let known: Vec<&str> = named.definitions.keys().map(String::as_str).collect();
            return Err(fault.help(match known.is_empty() {
                true => "the project has no selectors.yml with selectors".to_owned(),
                false => format!("there are `{}`", known.join("`, `")),
            }));
        }
        None => default.filter(|_| selecting.select.is_empty() && selecting.exclude.is_empty()),
    };
    Ok(named)
}

/// Where the other run put its nodes.
pub(super) fn relations(selecting: &Selecting, config: &Config) -> Result<HashMap<NodeId, RelationName>, Diagnostic> {
    let Some(state) = selecting.defer_state.as_ref().or(selecting.state.as_ref()) else {
        // dbt's sentence: programs look for it
        let message = "Got a state selector method, but no comparison manifest: --state or --defer-state are required for deferral, but neither was provided";
        return Err(Diagnostic::error("cli/state", message).help("pass the folder of another run's artifacts with `--state`"));
    };
    let folder = folder(state, config);
    let Some(manifest) = read(&folder, "manifest.json")? else {
        let fault = Diagnostic::error("cli/state", format!("there is no `manifest.json` in `{}`", folder.display()));
        return Err(fault.help("`--state` takes the folder that holds another run's artifacts"));
    };
    let part = |entry: &Json, key: &str| entry.get(key).and_then(Json::as_str).map(Identifier::parse);
    let nodes = manifest.get("nodes").and_then(Json::as_object);
    let found = nodes.into_iter().flatten().filter_map(|(id, entry)| {
        entry.get("relation_name").and_then(Json::as_str)?;
        let name = RelationName::new(part(entry, "database")?, part(entry, "schema")?, part(entry, "alias")?);
        Some((NodeId::new(id.as_str()), name))
    });
    Ok(found.collect())
}

/// What `clone` copies from: another run's relations, never this one's own.
pub(super) fn clones(selecting: &Selecting, target: &Path, config: &Config) -> Result<HashMap<NodeId, RelationName>, Failure> {
    if let Some(state) = &selecting.state {
        let same = |a: &Path, b: &Path| matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b);
        if same(&folder(state, config), target) {
            let message = format!(
                "The state and target directories are the same: '{}'. This could lead to missing changes due to overwritten state",
                state.display()
            );
            return Err(Failure::of_work(
                Diagnostic::error("cli/state", message).help("keep the other run's artifacts in a folder of their own"),
            ));
        }
    }
    Ok(relations(selecting, config)?)
}

/// `--defer`: set once, when the selection is known.
pub(super) fn defer(project: &Project, selecting: &Selecting, selected: &IndexSet<NodeId>, config: &Config) -> Result<(), Diagnostic> {
    if !selecting.defer {
        return Ok(());
    }
    let deferral = Deferral {
        relations: relations(selecting, config)?,
        selected: selected.iter().cloned().collect::<HashSet<_>>(),
        favoured: selecting.favor_state,
    };
    let _ = project.deferred.set(deferral);
    Ok(())
}
