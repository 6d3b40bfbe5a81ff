//! `clean`: removes the folders of `clean-targets`. Never anything outside of the project, never what it is made of.

use std::path::{Path, PathBuf};

use crate::{
    cli::{
        config::Config,
        message::{self, Failure},
        workspace::load,
    },
    diagnostic::Diagnostic,
    project::Project,
};

pub(super) fn run(config: &Config) -> Result<i32, Failure> {
    let project = load("clean", &[], config)?;
    let fault = |path: &Path, e: &std::io::Error| Diagnostic::error("cli/clean", format!("cannot remove `{}`: {e}", path.display()));
    let root = project.root.canonicalize().map_err(|e| fault(&project.root, &e))?;
    let sources = sources(&project, &root);
    // all are looked at before one is removed
    let mut folders = vec![];
    for folder in project.clean_targets() {
        let Ok(real) = folder.canonicalize() else { continue };
        let holds_sources = sources.iter().any(|s| s.starts_with(&real) || real.starts_with(s));
        if !real.starts_with(&root) || real == root || holds_sources {
            let fault = Diagnostic::error("cli/clean", format!("`{}` is not a folder that may be removed", folder.display()));
            return Err(fault.help("`clean-targets` names folders inside of the project that hold nothing you wrote").into());
        }
        folders.push(real);
    }
    for folder in &folders {
        let removed = if folder.is_dir() { std::fs::remove_dir_all(folder) } else { std::fs::remove_file(folder) };
        removed.map_err(|e| fault(folder, &e))?;
        message::note(&format!("Removed {}", folder.strip_prefix(&root).unwrap_or(folder).display()), config);
    }
    if folders.is_empty() {
        message::note("Nothing to remove", config);
    }
    Ok(0)
}

/// Folders and files that a user wrote.
fn sources(project: &Project, root: &Path) -> Vec<PathBuf> {
    let folders = &project.root_package().file.folders;
    [&folders.models, &folders.seeds, &folders.tests, &folders.macros, &folders.snapshots, &folders.analyses]
        .into_iter()
        .flatten()
        .map(|f| root.join(f))
        .chain([root.join("dbt_project.yml")])
        .filter_map(|p| p.canonicalize().ok())
        .collect()
}
