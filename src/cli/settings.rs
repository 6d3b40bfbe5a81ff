//! What the arguments mean together with the environment. The only place that reads the environment.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::args::{Format, Global, Level};
use crate::{
    names::RunId,
    project::{Files, LoadOptions},
    report::LogFormat,
    run::event::LogLevel,
};

/// Resolved global flags.
#[derive(Clone, Debug)]
pub struct Settings {
    pub project_dir: PathBuf,
    pub profiles_dir: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub profile: Option<String>,
    pub target: Option<String>,
    pub vars: Option<String>,
    pub threads: Option<usize>,
    pub target_path: Option<PathBuf>,
    pub local: bool,
    pub log_format: LogFormat,
    pub level: LogLevel,
    pub quiet: bool,
    pub warnings_are_errors: bool,
    /// Colours on standard output and on standard error.
    pub colour_out: bool,
    pub colour_err: bool,
    /// Whether progress may be drawn.
    pub progress: bool,
    pub width: usize,
    pub invocation: RunId,
    pub now: DateTime<Utc>,
    /// Values of secret variables: never shown.
    pub secrets: Vec<String>,
}

impl Settings {
    pub fn resolve(global: &Global) -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let truth = |name: &str| text(name).map(|v| matches!(v.to_lowercase().as_str(), "1" | "true" | "t" | "yes" | "on"));
        let project_dir =
            global.project_dir.clone().or_else(|| text("DBT_PROJECT_DIR").map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("."));
        let wanted = match (global.use_colors, global.no_use_colors) {
            (_, true) => Some(false),
            (true, _) => Some(true),
            _ if text("NO_COLOR").is_some() => Some(false),
            _ => truth("DBT_USE_COLORS"),
        };
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let level = if global.debug { Level::Debug } else { global.log_level.unwrap_or(Level::Info) };
        let secrets = std::env::vars()
            .filter(|(name, value)| (name.starts_with("DBT_ENV_SECRET") || name.starts_with("SEGUE_SECRET_")) && !value.trim().is_empty())
            .map(|(_, value)| value)
            .collect();
        Self {
            project_dir: std::path::absolute(&project_dir).unwrap_or(project_dir),
            profiles_dir: global.profiles_dir.clone().or_else(|| text("DBT_PROFILES_DIR").map(PathBuf::from)),
            home: text("HOME").map(PathBuf::from),
            profile: global.profile.clone().or_else(|| text("DBT_PROFILE")),
            target: global.target.clone().or_else(|| text("DBT_TARGET")),
            vars: global.vars.clone(),
            threads: global.threads,
            target_path: global.target_path.clone().or_else(|| text("DBT_TARGET_PATH").map(PathBuf::from)),
            local: global.local,
            log_format: match global.log_format {
                Some(Format::Json) => LogFormat::Json,
                Some(_) => LogFormat::Text,
                None if text("DBT_LOG_FORMAT").is_some_and(|f| f == "json") => LogFormat::Json,
                None => LogFormat::Text,
            },
            level: match level {
                Level::Debug => LogLevel::Debug,
                Level::Info => LogLevel::Info,
                Level::Warn => LogLevel::Warn,
                Level::Error | Level::None => LogLevel::Error,
            },
            quiet: global.quiet || truth("DBT_QUIET").unwrap_or(false),
            warnings_are_errors: global.warn_error || truth("DBT_WARN_ERROR").unwrap_or(false),
            colour_out: wanted.unwrap_or(out),
            colour_err: wanted.unwrap_or(err),
            progress: err && out,
            width: comfy_table::Table::new().width().map_or(100, usize::from).clamp(60, 160),
            invocation: RunId::random(),
            now: Utc::now(),
            secrets,
        }
    }

    /// What loading the project needs.
    pub fn load_options(&self, verb: &str, full_refresh: bool) -> LoadOptions {
        let mut options = LoadOptions::new(&self.project_dir);
        options.files = Files::Disk;
        options.profiles_dir = self.profiles_dir.clone();
        options.home = self.home.clone();
        options.profile = self.profile.clone();
        options.target = self.target.clone();
        options.vars = self.vars.clone();
        options.threads = self.threads;
        options.local = self.local;
        options.env = Arc::new(|name| std::env::var(name).ok());
        options.invocation_id = self.invocation.to_string();
        options.run_started_at = self.now;
        options.flags.insert("WHICH".into(), verb.into());
        options.flags.insert("FULL_REFRESH".into(), full_refresh.into());
        options
    }

    /// The nearest folder upwards that holds a project, when this one does not.
    pub fn project_above(&self) -> Option<&Path> {
        self.project_dir.ancestors().skip(1).find(|p| p.join("dbt_project.yml").is_file())
    }
}
