//! `debug`: what runs, what it found, and whether the warehouse answers.

use super::{load, open, print, runtime};
use crate::cli::{
    message::{self, Failure},
    settings::Settings,
};

pub fn run(connection_only: bool, settings: &Settings) -> Result<i32, Failure> {
    let mut lines = vec![format!("segue version: {}", env!("CARGO_PKG_VERSION"))];
    if !connection_only {
        lines.push(format!("system: {} {}", std::env::consts::OS, std::env::consts::ARCH));
        lines.push(format!("project folder: {}", settings.project_dir.display()));
    }
    let project = match load("debug", false, settings) {
        Ok(project) => project,
        Err(failure) => {
            lines.push("project: ERROR invalid".into());
            print(&lines.join("\n"));
            message::failure(&failure, settings);
            print("\n1 check failed:");
            return Ok(1);
        }
    };
    let profile = &project.profile;
    lines.push(format!("dbt_project.yml file [OK found and valid]: {} ({} nodes)", project.name, project.graph.nodes().count()));
    lines.push(format!("profiles.yml file [OK found and valid]: profile {}, target {}", profile.name, profile.target_name));
    lines.push("Connection:".into());
    for (key, value) in profile.target() {
        if matches!(key.as_str(), "type" | "path" | "database" | "schema" | "threads" | "account" | "user" | "warehouse" | "role") {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("  {key}: {shown}"));
        }
    }
    let tried = open(&project).and_then(|engine| {
        let runtime = runtime()?;
        runtime.block_on(engine.session().execute("select 1 as id")).map_err(Failure::from)
    });
    match tried {
        Ok(_) => {
            lines.push("  Connection test: [OK connection ok]".into());
            lines.push("All checks passed!".into());
            print(&lines.join("\n"));
            Ok(0)
        }
        Err(failure) => {
            lines.push("  Connection test: [ERROR]".into());
            print(&lines.join("\n"));
            message::failure(&failure, settings);
            print("\n1 check failed:");
            Ok(1)
        }
    }
}
