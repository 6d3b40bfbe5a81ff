//! `debug`: versions, and whether project, profile and warehouse are well. The checks in dbt's words.

use std::sync::Arc;

use crate::{
    cli::{
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, load},
    },
    diagnostic::Diagnostic,
    project::{Profile, Project},
    state::manifest::DBT_VERSION,
};

/// Settings of a target that help to find a fault and are no secrets.
const SHOWN: [&str; 11] =
    ["type", "path", "database", "schema", "threads", "memory_limit", "account", "user", "warehouse", "role", "endpoint"];

pub(super) fn run(connection_only: bool, config: &Config) -> Result<i32, Failure> {
    if !connection_only {
        let (version, os, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
        print(&format!(
            "segue version: {version} (follows dbt {DBT_VERSION})\nsystem: {os} {arch}\nproject folder: {}",
            config.project_dir.display()
        ));
        print("Configuration:");
    } else {
        print("Skipping steps before connection verification");
    }
    match load("debug", &[], config) {
        Ok(project) => {
            if !connection_only {
                print("  profiles.yml file [OK found and valid]");
                print("  dbt_project.yml file [OK found and valid]");
                print(&format!("  project [OK {} nodes]", project.graph.len()));
            }
            connection(project, config)
        }
        Err(failure) => {
            print(&checks(&failure));
            for line in explained(&failure, config) {
                print(&line);
            }
            if let Some(line) = unknown_target(&failure, config) {
                print(&line);
            }
            message::failure(&failure, config);
            print("1 check failed");
            Ok(1)
        }
    }
}

fn connection(project: Arc<Project>, config: &Config) -> Result<i32, Failure> {
    print(&format!("Connection:\n{}", settings(&project.profile)));
    let tried = Workspace::open(project)
        .and_then(|w| w.runtime.block_on(w.engine.session().execute("select 1 as id")).map_err(|e| message::of_engine(e).into()));
    match tried {
        Ok(_) => {
            print("  Connection test: [OK connection ok]\n\nAll checks passed!");
            Ok(0)
        }
        Err(failure) => {
            print("  Connection test: [ERROR]");
            message::failure(&failure, config);
            print("1 check failed");
            Ok(1)
        }
    }
}

fn settings(profile: &Profile) -> String {
    let mut lines = vec![format!("  profile: {}", profile.name), format!("  target: {}", profile.target_name)];
    lines.extend(profile.target().iter().filter(|(key, _)| SHOWN.contains(&key.as_str())).map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("  {key}: {value}")
    }));
    lines.join("\n")
}

/// Which of the two files is to blame.
fn checks(failure: &Failure) -> String {
    let errors = || failure.diagnostics.0.iter().filter(|d| d.is_error());
    let in_profile = |d: &Diagnostic| {
        matches!(
            d.code,
            "project/no-profiles" | "project/no-profile" | "project/unknown-profile" | "project/unknown-target" | "project/no-target"
        ) || is_in(d, "profiles.yml")
    };
    let in_project = |d: &Diagnostic| d.code == "project/no-project" || is_in(d, "dbt_project.yml");
    let line = |file: &str, bad: bool, missing: bool| match (bad, missing) {
        (_, true) => format!("  {file} file [ERROR not found]"),
        (true, _) => format!("  {file} file [ERROR invalid]"),
        _ => format!("  {file} file [OK found and valid]"),
    };
    let has = |code: &str| errors().any(|d| d.code == code);
    let mut lines = vec![
        line("profiles.yml", errors().any(in_profile), has("project/no-profiles")),
        line("dbt_project.yml", errors().any(|d| in_project(d) && !in_profile(d)), has("project/no-project")),
    ];
    let others = errors().filter(|d| !in_profile(d) && !in_project(d)).count();
    if others > 0 {
        lines.push(format!("  project [ERROR {others} faults]"));
    }
    lines.join("\n")
}

fn is_in(diagnostic: &Diagnostic, file: &str) -> bool {
    diagnostic.place.as_ref().is_some_and(|p| p.file.path().file_name().is_some_and(|name| name == file))
}

/// Why the profile could not be read, in dbt's words.
fn explained(failure: &Failure, config: &Config) -> Vec<String> {
    let has = |code: &str| failure.diagnostics.0.iter().any(|d| d.code == code);
    let mut lines = vec![];
    if has("project/unknown-profile") {
        let name = config.profile.as_deref().unwrap_or("the project's");
        lines.push(format!("Profile loading failed for the following reason:\nRuntime Error\n  Could not find profile named '{name}'"));
    }
    if has("project/no-profiles") {
        // as it was typed, where that is a folder below this one
        let here = std::env::current_dir().unwrap_or_default();
        let folder = config.profiles_dir.as_ref().map(|p| p.strip_prefix(&here).unwrap_or(p).display().to_string()).unwrap_or_default();
        lines.push(format!("dbt looked for a profiles.yml file in {folder}, but could not find one"));
    }
    lines
}

/// dbt's sentence, which scripts look for.
fn unknown_target(failure: &Failure, config: &Config) -> Option<String> {
    let fault = failure.diagnostics.0.iter().find(|d| d.code == "project/unknown-target")?;
    let name = config.target.clone().or_else(|| fault.message.rsplit('`').nth(1).map(str::to_owned))?;
    let profile = fault.message.split('`').nth(1)?;
    Some(format!("The profile '{profile}' does not have a target named '{name}'."))
}
