//! A package's files: what there is, read once and in parallel, sorted by what it is for.
//!
//! The root project is a package; those that were installed below `packages-install-path` are others. Nothing is parsed here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    cache::Cache,
    files::{Files, Ignore, Stamp},
    project_file::ProjectFile,
    yaml::{self, Yaml},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, SourceFile},
    names::ResourceType,
    template::MacroFile,
};

/// A folder with a `dbt_project.yml`.
#[derive(Clone, Debug)]
pub struct Package {
    pub root: PathBuf,
    /// Where it lies in the root project, for messages; empty for the root project itself.
    pub shown: PathBuf,
    pub file: ProjectFile,
    /// The whole of `dbt_project.yml` before rendering.
    pub yaml: Yaml,
}

impl Package {
    pub fn name(&self) -> &str {
        &self.file.name
    }
}

/// A file that is a node, or holds some.
#[derive(Clone, Debug)]
pub struct ResourceFile {
    pub kind: ResourceType,
    /// Relative to its resource folder.
    pub path: PathBuf,
    /// Relative to the package.
    pub original_path: PathBuf,
    /// The text of seeds is not read here: they may be large, and only `run/` wants the rows.
    pub file: Arc<SourceFile>,
    /// When it was read, if the system tells enough to know the file again.
    pub stamp: Option<Stamp>,
}

#[derive(Clone, Debug, Default)]
pub struct PackageFiles {
    /// Models, singular tests, snapshots, analyses, seeds.
    pub resources: Vec<ResourceFile>,
    pub properties: Vec<ResourceFile>,
    pub macros: Vec<MacroFile>,
    pub docs: Vec<Arc<SourceFile>>,
    /// Rows of unit tests.
    pub fixtures: Vec<ResourceFile>,
}

/// Reads `dbt_project.yml` of a folder without its configuration trees.
pub fn read_project_file(
    files: &Files,
    root: &Path,
    shown: &Path,
    render: &mut dyn FnMut(&mut Yaml, &Arc<SourceFile>, &mut Diagnostics),
    faults: &mut Diagnostics,
) -> Option<Package> {
    let path = root.join("dbt_project.yml");
    let text = match files.read(&path) {
        Ok(text) => text,
        Err(error) => {
            let fault = Diagnostic::error("project/no-project", format!("cannot read `{}`: {error}", path.display()));
            faults.push(fault.help("run segue in a project folder, or pass `--project-dir`; `segue init` makes a project"));
            return None;
        }
    };
    let file = SourceFile::new(shown.join("dbt_project.yml"), text);
    let yaml = match yaml::parse(&file) {
        Ok(yaml) => yaml,
        Err(more) => {
            faults.extend(more);
            return None;
        }
    };
    let mut early = yaml.clone();
    render(&mut early, &file, faults);
    let file = ProjectFile::read(&file, &early, faults)?;
    Some(Package { root: root.to_owned(), shown: shown.to_owned(), file, yaml })
}

/// One file to be read.
struct Found {
    path: PathBuf,
    folder: PathBuf,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Resource(ResourceType),
    Properties,
    Macro,
    Docs,
    Fixture,
}

/// Lists the package's files and reads them; what the cache knows to be the same is not read again.
pub fn read_package(files: &Files, package: &Package, cache: Option<&Cache>, faults: &mut Diagnostics) -> PackageFiles {
    let ignore = files.read(&package.root.join(".dbtignore")).map(|t| Ignore::parse(&package.root, &t)).unwrap_or_default();
    let found = list(files, package, &ignore, faults);
    let read: Vec<Result<(Role, ResourceFile), Box<Diagnostic>>> = found.into_par_iter().map(|f| read(files, package, cache, f)).collect();
    let mut sorted = PackageFiles::default();
    for result in read {
        match result {
            Ok((Role::Resource(_), file)) => sorted.resources.push(file),
            Ok((Role::Properties, file)) => sorted.properties.push(file),
            Ok((Role::Macro, file)) => sorted.macros.push(MacroFile { package: package.name().to_owned(), file: file.file }),
            Ok((Role::Docs, file)) => sorted.docs.push(file.file),
            Ok((Role::Fixture, file)) => sorted.fixtures.push(file),
            Err(fault) => faults.push(*fault),
        }
    }
    sorted
}

fn list(files: &Files, package: &Package, ignore: &Ignore, faults: &mut Diagnostics) -> Vec<Found> {
    let folders = &package.file.folders;
    let mut all: Vec<Found> = vec![];
    let mut add = |folder: &str, extensions: &[&str], role: &dyn Fn(&Path) -> Option<Role>| {
        let folder = package.root.join(folder.trim_end_matches('/'));
        match files.list(&folder, extensions, ignore) {
            Ok(paths) => all.extend(paths.into_iter().filter_map(|path| {
                let role = role(path.strip_prefix(&folder).unwrap_or(&path))?;
                Some(Found { path, folder: folder.clone(), role })
            })),
            Err(error) => faults.push(Diagnostic::error("project/unreadable", format!("cannot list `{}`: {error}", folder.display()))),
        }
    };
    let by_end = |path: &Path, role: Role| match path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase().as_str() {
        "yml" | "yaml" => Some(Role::Properties),
        "md" => Some(Role::Docs),
        _ => Some(role),
    };
    const TEXTS: &[&str] = &["sql", "yml", "yaml", "md"];
    for folder in &folders.models {
        add(folder, TEXTS, &|p| by_end(p, Role::Resource(ResourceType::Model)));
    }
    for folder in &folders.snapshots {
        add(folder, TEXTS, &|p| by_end(p, Role::Resource(ResourceType::Snapshot)));
    }
    for folder in &folders.analyses {
        add(folder, TEXTS, &|p| by_end(p, Role::Resource(ResourceType::Analysis)));
    }
    for folder in &folders.functions {
        add(folder, &["sql", "py", "js", "yml", "yaml", "md"], &|p| by_end(p, Role::Resource(ResourceType::Function)));
    }
    for folder in &folders.seeds {
        add(folder, &["csv", "yml", "yaml", "md"], &|p| by_end(p, Role::Resource(ResourceType::Seed)));
    }
    for folder in &folders.macros {
        add(folder, TEXTS, &|p| by_end(p, Role::Macro));
    }
    for folder in &folders.tests {
        // `tests/generic` holds macros, `tests/fixtures` rows; the rest are singular tests
        let role = |p: &Path| match p.components().next().and_then(|c| c.as_os_str().to_str()) {
            Some("generic") => Some(Role::Macro),
            Some("fixtures") => Some(Role::Fixture),
            _ if p.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) => None,
            _ => Some(Role::Resource(ResourceType::Test)),
        };
        add(folder, &["sql", "yml", "yaml", "csv"], &|p| by_end(p, role(p)?));
    }
    for folder in &folders.docs {
        add(folder, &["md"], &|_| Some(Role::Docs));
    }
    for name in ["sources.yml", "sources.yaml"] {
        let path = package.root.join(name);
        if files.is_file(&path) {
            all.push(Found { path, folder: package.root.clone(), role: Role::Properties });
        }
    }
    // folders may overlap (`model-paths: [models, models/marts]`): the outermost one names the file
    let mut seen = std::collections::HashSet::new();
    all.retain(|f| seen.insert((f.path.clone(), f.role == Role::Docs)));
    all
}

fn read(files: &Files, package: &Package, cache: Option<&Cache>, found: Found) -> Result<(Role, ResourceFile), Box<Diagnostic>> {
    let original_path = found.path.strip_prefix(&package.root).unwrap_or(&found.path).to_owned();
    let is_seed = found.role == Role::Resource(ResourceType::Seed);
    let shown = package.shown.join(&original_path);
    // before the text: a change between the two shows the next time
    let stamp = if is_seed || cache.is_none() { None } else { files.stamp(&found.path) };
    let text = match cache.and_then(|c| c.text(&shown, stamp.as_ref())) {
        Some(text) => Ok(text),
        None if is_seed => Ok(String::new()),
        None => files.read(&found.path),
    };
    let text = text.map_err(|e| Diagnostic::error("project/unreadable", format!("cannot read `{}`: {e}", shown.display())))?;
    let path = found.path.strip_prefix(&found.folder).unwrap_or(&found.path).to_owned();
    let kind = if let Role::Resource(kind) = found.role { kind } else { ResourceType::Operation };
    Ok((found.role, ResourceFile { kind, path, original_path, file: SourceFile::new(shown, text), stamp }))
}

/// `[package, folder, ..., name]`.
pub fn fqn(package: &str, path: &Path, name: &[&str]) -> Vec<String> {
    let folders = path.parent().into_iter().flat_map(Path::components).map(|c| c.as_os_str().to_string_lossy().into_owned());
    std::iter::once(package.to_owned()).chain(folders).chain(name.iter().map(|n| (*n).to_owned())).collect()
}
