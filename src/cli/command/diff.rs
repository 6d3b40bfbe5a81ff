//! `diff`: this project against an earlier version of it (a manifest, a folder, a git revision), or one table against another.

mod rows;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command as Process,
};

use serde_json::Value as Json;

use super::LINEAGE;
use crate::{
    cli::{
        args::{DiffArgs, DiffOutput, FailOn},
        artifacts,
        config::Config,
        findings,
        message::{self, Failure},
        stdout::print,
        typed::{self, Typed},
    },
    diagnostic::Diagnostic,
    typing::difference::{Version, difference},
};

pub(super) fn run(args: &DiffArgs, config: &Config) -> Result<i32, Failure> {
    if let [a, b] = args.data.as_slice() {
        return rows::run(a, b, args, config);
    }
    let before = match (&args.state, &args.revision) {
        (Some(state), _) => of_folder(state, config)?,
        (None, Some(revision)) => of_revision(revision, config)?,
        (None, None) => of_revision("HEAD", config)?,
    };
    let after = version(&typed::load("diff", config)?, config);
    let found = difference(&before, &after);
    print(&match args.output {
        DiffOutput::Text => found.text(),
        DiffOutput::Markdown => found.markdown(),
        DiffOutput::Json => findings::pretty(&found.as_json()),
    });
    let failed = match args.fail_on {
        FailOn::Never => false,
        FailOn::Breaking => found.is_breaking(),
        FailOn::Any => !found.nodes.is_empty(),
    };
    Ok(i32::from(failed))
}

fn version(typed: &Typed, config: &Config) -> Version {
    Version::of(&typed.project, &typed.typing, &artifacts::manifest(&typed.project, HashMap::new(), config))
}

/// A folder of artifacts, or another copy of the project.
fn of_folder(folder: &Path, config: &Config) -> Result<Version, Failure> {
    let path = folder.join("manifest.json");
    if path.is_file() {
        let bad = |e: String| Diagnostic::error("cli/state", format!("`{}` is no artifact: {e}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
        let manifest: Json = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let known = std::fs::read_to_string(folder.join(LINEAGE)).ok().and_then(|text| serde_json::from_str(&text).ok());
        let version = Version::of_manifest(&manifest, &known.unwrap_or_default());
        if version.nodes.values().all(|n| n.columns.is_none()) {
            message::note("the other artifacts do not tell columns; `segue check` writes a `lineage.json` that does", config);
        }
        return Ok(version);
    }
    if folder.join("dbt_project.yml").is_file() {
        return of_project(folder, config);
    }
    let fault = Diagnostic::error("cli/state", format!("there is no `manifest.json` in `{}`", folder.display()));
    Err(fault.help("`--state` takes a folder with another run's artifacts, or with another copy of the project").into())
}

fn of_project(folder: &Path, config: &Config) -> Result<Version, Failure> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let own_profiles = folder.join("profiles.yml").is_file();
    // the same profile for both, wherever it is found
    let profiles = config.profiles_dir.clone().or_else(|| (!own_profiles).then(|| config.project_dir.clone()));
    let other = Config { project_dir: folder, profiles_dir: profiles, ..config.clone() };
    let typed = typed::load("diff", &other)?;
    Ok(version(&typed, &other))
}

/// The project as it was at a git revision, in a folder that goes again.
fn of_revision(revision: &str, config: &Config) -> Result<Version, Failure> {
    let prefix = git(&["rev-parse", "--show-prefix"], config)?;
    let prefix = String::from_utf8_lossy(&prefix).trim().to_owned();
    let tree = if prefix.is_empty() { revision.to_owned() } else { format!("{revision}:{prefix}") };
    let archive = git(&["archive", "--format=tar", &tree], config)?;
    let failed = |e: std::io::Error| Diagnostic::error("cli/git", format!("the revision `{revision}` cannot be unpacked: {e}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    tar::Archive::new(archive.as_slice()).unpack(folder.path()).map_err(failed)?;
    // packages are installed, not committed
    for packages in ["dbt_packages", "dbt_modules"] {
        let (from, to) = (config.project_dir.join(packages), folder.path().join(packages));
        if from.is_dir() && !to.exists() {
            copy(&from, &to).map_err(failed)?;
        }
    }
    of_project(folder.path(), config)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(std::io::Error::other)?;
        let below: PathBuf = entry.path().strip_prefix(from).unwrap_or(entry.path()).to_owned();
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(to.join(below))?;
        } else if entry.file_type().is_file() {
            std::fs::copy(entry.path(), to.join(below))?;
        }
    }
    Ok(())
}

fn git(args: &[&str], config: &Config) -> Result<Vec<u8>, Failure> {
    let output = Process::new("git").arg("-C").arg(&config.project_dir).args(args).output();
    let output = output.map_err(|e| Diagnostic::error("cli/git", format!("git cannot be started: {e}")).help("pass `--state` instead"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim_start_matches("fatal: ").to_owned();
    Err(Diagnostic::error("cli/git", format!("git says: {said}")).help("name a revision of this repository, or pass `--state`").into())
}
