//! Texts to a snapshot and findings. A project with a fault cannot be loaded, but an editor shows one half of the time: files with
//! faults are then taken as they were when they were last well, so that all the others are still checked and known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Load, Loaded, snapshot::Snapshot};
use crate::{
    diagnostic::Diagnostics,
    project::{Files, Project},
};

/// Files that are taken in their earlier form may show that others need theirs; this often it is tried.
const ATTEMPTS: usize = 4;

/// Goes on from one version to the next.
pub(super) struct Analysis {
    load: Load,
    /// Texts of the last version that could be loaded, by path from the root.
    well: HashMap<PathBuf, String>,
    last: Arc<Snapshot>,
}

pub(super) struct Outcome {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) findings: Diagnostics,
}

impl Analysis {
    pub(super) fn new(load: Load) -> Self {
        Self { load, well: HashMap::new(), last: Arc::default() }
    }

    /// `texts`: of open documents, by absolute path. `None`: cancelled.
    pub(super) fn run(&mut self, root: &Path, texts: &BTreeMap<PathBuf, String>, cancelled: &Arc<AtomicBool>) -> Option<Outcome> {
        let mut texts = texts.clone();
        let mut findings = Diagnostics::default();
        // faults of these are told already
        let mut set_back: HashSet<PathBuf> = HashSet::new();
        for _ in 0..ATTEMPTS {
            let outcome = (self.load)(root, Files::Unsaved(Arc::new(texts.clone())), cancelled);
            if cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let faults = match outcome {
                Ok(loaded) => {
                    let own =
                        loaded.typing.findings.0.iter().filter(|d| d.place.as_ref().is_none_or(|p| !set_back.contains(p.file.path())));
                    findings.0.extend(own.cloned());
                    if set_back.is_empty() {
                        self.well = written(&loaded.project);
                    }
                    self.last = Arc::new(snapshot(root, loaded));
                    return Some(Outcome { snapshot: Arc::clone(&self.last), findings });
                }
                Err(faults) => faults,
            };
            let mut progress = false;
            for fault in faults.0 {
                let Some(place) = &fault.place else {
                    if set_back.is_empty() {
                        findings.push(fault);
                    }
                    continue;
                };
                let path = place.file.path().to_owned();
                // with another file in its earlier form this one may fit no more: that is no fault of what is written
                let told = set_back.is_empty() || !progress && findings.0.is_empty();
                if fault.is_error() && !set_back.contains(&path) && self.earlier(&path).is_some() {
                    progress = true;
                }
                if told || set_back.is_empty() {
                    findings.push(fault);
                }
            }
            if !progress {
                break;
            }
            let broken: Vec<PathBuf> =
                findings.0.iter().filter(|d| d.is_error()).filter_map(|d| Some(d.place.as_ref()?.file.path().to_owned())).collect();
            for path in broken {
                if let Some(text) = self.earlier(&path).filter(|_| set_back.insert(path.clone())) {
                    texts.insert(root.join(&path), text);
                }
            }
        }
        // nothing newer could be loaded: what was known stays known
        Some(Outcome { snapshot: Arc::clone(&self.last), findings })
    }

    /// The text of a file when it was last well; a model that never was is empty.
    fn earlier(&self, path: &Path) -> Option<String> {
        let known = self.well.get(path).cloned();
        known.or_else(|| matches!(path.extension()?.to_str()?, "sql" | "md").then(String::new))
    }
}

fn snapshot(root: &Path, loaded: Loaded) -> Snapshot {
    let macros = loaded.project.environment.macros().collect();
    Snapshot { root: root.to_owned(), project: Some(loaded.project), typing: Arc::new(loaded.typing), macros: Arc::new(macros) }
}

/// The texts that a project was made of, as far as its parts remember theirs.
fn written(project: &Project) -> HashMap<PathBuf, String> {
    let nodes = project.graph.nodes().flat_map(|n| [Some(&n.file), n.patch.as_ref().map(|p| &p.file)]).flatten();
    let macros: Vec<_> = project.environment.macros().filter(|m| !m.is_builtin).map(|m| m.place.file).collect();
    let docs = project.doc_places.values().map(|p| &p.file);
    let mut all = HashMap::new();
    for file in nodes.chain(docs).chain(&macros).chain(project.packages.iter().map(|p| &p.file.file)) {
        all.entry(file.path().to_owned()).or_insert_with(|| file.text.clone());
    }
    all
}
