//! Packages from folders, git repositories, archives and the package index, each put into a folder named after its project.
//!
//! The index is dbt's hub unless `DBT_PACKAGE_HUB_URL` names another one. Git is the user's own, with its credentials.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value as Json};

use super::requirement::{self, Requirement};
use crate::diagnostic::Diagnostic;

pub(super) type Vars = Map<String, Json>;

const HUB: &str = "https://hub.getdbt.com/";
/// Archives larger than this are no packages.
const LARGEST: usize = 512 << 20;

pub(super) struct Fetcher {
    root: PathBuf,
    vars: Vars,
    hub: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    /// Where downloads and clones wait; removed at the end.
    work: tempfile::TempDir,
}

impl Fetcher {
    pub(super) fn new(root: &Path, vars: Vars) -> Result<Self, Diagnostic> {
        let fault = |what: &str, e: &dyn std::fmt::Display| Diagnostic::error("deps/start", format!("cannot {what}: {e}"));
        Ok(Self {
            root: root.to_owned(),
            vars,
            hub: std::env::var("DBT_PACKAGE_HUB_URL").unwrap_or_else(|_| HUB.to_owned()),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| fault("start threads", &e))?,
            client: reqwest::Client::builder()
                .timeout(std::time::Duration::from_secs(120))
                .build()
                .map_err(|e| fault("set up HTTP", &e))?,
            work: tempfile::tempdir().map_err(|e| fault("make a temporary folder", &e))?,
        })
    }

    /// All versions of a package in the index.
    pub(super) fn versions(&self, package: &str) -> Result<Vec<String>, Diagnostic> {
        let index = self.index(package)?;
        Ok(index.get("versions").and_then(Json::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default())
    }

    fn index(&self, package: &str) -> Result<Json, Diagnostic> {
        let url = format!("{}/api/v1/{package}.json", self.hub.trim_end_matches('/'));
        let bytes = self.download(&url).map_err(|d| d.note(format!("while looking for the package {package}")))?;
        serde_json::from_slice(&bytes).map_err(|e| Diagnostic::error("deps/index", format!("`{url}` is no index of a package: {e}")))
    }

    fn download(&self, url: &str) -> Result<Vec<u8>, Diagnostic> {
        let fault = |e: String| Diagnostic::error("deps/download", format!("cannot fetch `{url}`: {e}"));
        if let Some(path) = url.strip_prefix("file://") {
            return std::fs::read(path).map_err(|e| fault(e.to_string()));
        }
        self.runtime.block_on(async {
            let response = self.client.get(url).send().await.map_err(|e| fault(plain(&e)))?;
            let response = response.error_for_status().map_err(|e| fault(plain(&e)))?;
            if response.content_length().is_some_and(|n| n > LARGEST as u64) {
                return Err(fault("it is too large for a package".into()));
            }
            response.bytes().await.map(|b| b.to_vec()).map_err(|e| fault(plain(&e)))
        })
    }

    /// What a package itself asks for.
    pub(super) fn requirements(&self, package: &Requirement) -> Result<Vec<Requirement>, Diagnostic> {
        let folder = self.folder(package)?;
        let inner = requirement::read(&folder, &self.vars)?;
        // a package's local packages lie beside it
        let beside = |r: Requirement| match (&r, package) {
            (Requirement::Local { path }, Requirement::Local { .. }) if !Path::new(path).is_absolute() => {
                Requirement::Local { path: folder.join(path).to_string_lossy().into_owned() }
            }
            _ => r,
        };
        Ok(inner.into_iter().map(beside).collect())
    }

    /// Puts the package below `install`; the name of its project.
    pub(super) fn install(&self, package: &Requirement, install: &Path) -> Result<String, Diagnostic> {
        let folder = self.folder(package)?;
        let name = project_name(&folder)?;
        let target = install.join(&name);
        if target.exists() {
            return Err(Diagnostic::error("deps/duplicate", format!("Found duplicate project \"{name}\""))
                .note(format!("from {}", package.shown())));
        }
        let fault = |e: std::io::Error| Diagnostic::error("deps/install", format!("`{name}` cannot be installed: {e}"));
        std::fs::create_dir_all(install).map_err(fault)?;
        match package {
            Requirement::Local { .. } => link(&folder, &target).map_err(fault)?,
            _ => copy(&folder, &target).map_err(fault)?,
        }
        Ok(name)
    }

    /// The package's files: where they lie, or where they were fetched to.
    fn folder(&self, package: &Requirement) -> Result<PathBuf, Diagnostic> {
        match package {
            Requirement::Local { path } => {
                let folder = self.root.join(path);
                match folder.join("dbt_project.yml").is_file() {
                    true => Ok(std::fs::canonicalize(&folder).unwrap_or(folder)),
                    false => Err(Diagnostic::error("deps/local", format!("there is no `dbt_project.yml` in `{}`", folder.display()))),
                }
            }
            Requirement::Git { url, revision, subdirectory } => {
                let cloned = self.clone(url, revision.as_deref())?;
                Ok(subdirectory.as_ref().map_or(cloned.clone(), |s| cloned.join(s)))
            }
            Requirement::Tarball { url, .. } => self.unpack(url),
            Requirement::Hub { package, versions, .. } => {
                let index = self.index(package)?;
                let version = versions.first().map(String::as_str).unwrap_or_default();
                let url = index
                    .get("versions")
                    .and_then(|v| v.get(version)?.get("downloads")?.get("tarball")?.as_str().map(str::to_owned))
                    .ok_or_else(|| Diagnostic::error("deps/index", format!("the index has no archive of {package} {version}")))?;
                self.unpack(&url)
            }
        }
    }

    fn place(&self, key: &str) -> PathBuf {
        self.work.path().join(crate::names::Fingerprint::of([("key", key)]).as_str())
    }

    fn clone(&self, url: &str, revision: Option<&str>) -> Result<PathBuf, Diagnostic> {
        let target = self.place(&format!("git {url} {}", revision.unwrap_or_default()));
        if target.exists() {
            return Ok(target);
        }
        let shown = target.to_string_lossy().into_owned();
        git(&["clone", "--quiet", "--", url, &shown], None)?;
        if let Some(revision) = revision {
            let fetched = git(&["checkout", "--quiet", revision], Some(&target));
            // a branch that the clone knows only as the remote's
            fetched.or_else(|_| git(&["checkout", "--quiet", &format!("origin/{revision}")], Some(&target)))?;
        }
        Ok(target)
    }

    fn unpack(&self, url: &str) -> Result<PathBuf, Diagnostic> {
        let target = self.place(url);
        if !target.exists() {
            let bytes = self.download(url)?;
            let fault = |e: std::io::Error| Diagnostic::error("deps/archive", format!("`{url}` cannot be unpacked: {e}"));
            std::fs::create_dir_all(&target).map_err(fault)?;
            // entries that would leave the folder are refused by the archive reader
            tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(&target).map_err(fault)?;
        }
        // archives hold one folder with the project
        if target.join("dbt_project.yml").is_file() {
            return Ok(target);
        }
        let inner = std::fs::read_dir(&target)
            .ok()
            .and_then(|mut entries| entries.find_map(|e| e.ok().map(|e| e.path()).filter(|p| p.join("dbt_project.yml").is_file())));
        inner.ok_or_else(|| Diagnostic::error("deps/archive", format!("the archive `{url}` holds no `dbt_project.yml`")))
    }
}

/// Without the URL, which the message says already.
fn plain(error: &reqwest::Error) -> String {
    if let Some(status) = error.status() {
        return status.to_string();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

fn git(args: &[&str], folder: Option<&Path>) -> Result<(), Diagnostic> {
    let mut command = Command::new("git");
    // a question for a password would wait for ever where nobody looks
    command.args(args).env("GIT_TERMINAL_PROMPT", "0").stdin(std::process::Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = command.output().map_err(|e| Diagnostic::error("deps/git", format!("`git` cannot be run: {e}")).help("install git"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let what = args.iter().filter(|a| !a.starts_with('-')).take(2).copied().collect::<Vec<_>>().join(" ");
    Err(Diagnostic::error("deps/git", format!("`git {what}` failed: {}", said.trim().lines().last().unwrap_or("no message"))))
}

fn project_name(folder: &Path) -> Result<String, Diagnostic> {
    let path = folder.join("dbt_project.yml");
    let bad = |e: String| Diagnostic::error("deps/bad-package", format!("`{}`: {e}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
    let yaml: Json = serde_yaml_ng::from_str(&text).map_err(|e| bad(e.to_string()))?;
    yaml.get("name").and_then(Json::as_str).map(str::to_owned).ok_or_else(|| bad("it has no `name`".into()))
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() == ".git" {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name()))?,
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name()))?),
        }
    }
    Ok(())
}
