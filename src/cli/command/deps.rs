//! `deps`: fetches the packages that `packages.yml` or `dependencies.yml` names into `packages-install-path`.

use std::path::Path;

use crate::{
    cli::{
        config::Config,
        message::{self, Failure},
    },
    diagnostic::Diagnostic,
};

mod fetch;
mod lock;
mod requirement;
mod resolve;

pub(super) fn run(upgrade: bool, lock_only: bool, config: &Config) -> Result<i32, Failure> {
    let root = &config.project_dir;
    if !root.join("dbt_project.yml").is_file() {
        let fault = Diagnostic::error("project/no-project", format!("there is no `dbt_project.yml` in `{}`", root.display()));
        return Err(fault.help("name the project's folder with `--project-dir`").into());
    }
    let (install, vars) = settings(root, config)?;
    let wanted = requirement::read(root, &vars)?;
    if wanted.is_empty() {
        message::note("No packages were found in packages.yml", config);
        return Ok(0);
    }
    let digest = lock::digest(&wanted);
    let locked = if upgrade || lock_only { None } else { lock::read(root, &digest)? };
    let fetcher = fetch::Fetcher::new(root, vars)?;
    let resolved = match locked {
        Some(locked) => locked,
        None => {
            let resolved = resolve::resolve(wanted, &fetcher)?;
            lock::write(root, &digest, &resolved)?;
            resolved
        }
    };
    if lock_only {
        message::note("Wrote package-lock.yml", config);
        return Ok(0);
    }
    // what was installed before belongs to what was asked for before
    let folder = root.join(&install);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| Diagnostic::error("deps/install", format!("`{install}` cannot be emptied: {e}")))?;
    }
    for package in &resolved {
        let name = fetcher.install(package, &folder)?;
        message::note(&format!("Installed {name} from {}", package.shown()), config);
    }
    Ok(0)
}

/// Where packages go, and the variables that package files may use.
fn settings(root: &Path, config: &Config) -> Result<(String, fetch::Vars), Failure> {
    let bad = |e: String| Diagnostic::error("project/unreadable", format!("cannot read `dbt_project.yml`: {e}"));
    let text = std::fs::read_to_string(root.join("dbt_project.yml")).map_err(|e| bad(e.to_string()))?;
    let yaml: serde_json::Value = serde_yaml_ng::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let install = yaml.get("packages-install-path").and_then(serde_json::Value::as_str).unwrap_or("dbt_packages").to_owned();
    let cli = match &config.vars {
        Some(text) => crate::project::project_file::command_line_vars(text)?,
        None => Default::default(),
    };
    Ok((install, cli))
}
