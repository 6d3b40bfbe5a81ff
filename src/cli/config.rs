//! What the arguments mean together with the environment. The only place that reads the environment.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json};

use super::args::{Format, Global, Level};
use crate::{
    names::RunId,
    project::{CacheOptions, LoadOptions},
    report::{LogFormat, ReportOptions},
    run::event::LogLevel,
};

/// Resolved global flags.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) project_dir: PathBuf,
    pub(super) profiles_dir: Option<PathBuf>,
    pub(super) home: Option<PathBuf>,
    pub(super) profile: Option<String>,
    pub(super) target: Option<String>,
    pub(super) vars: Option<String>,
    pub(super) threads: Option<usize>,
    pub(super) target_path: Option<PathBuf>,
    pub(super) local: bool,
    /// Whether what was parsed is kept for the next time.
    pub(super) partial_parse: bool,
    /// `None`: as the project says.
    pub(super) version_check: Option<bool>,
    pub(super) fail_fast: bool,
    pub(super) warnings_are_errors: bool,
    pub(super) log_format: LogFormat,
    pub(super) level: LogLevel,
    pub(super) quiet: bool,
    /// Colours on standard output and on standard error.
    pub(super) colour_out: bool,
    pub(super) colour_err: bool,
    /// Whether a progress line may be drawn: standard error is a terminal.
    pub(super) progress: bool,
    /// Columns of the terminal; `None` when standard output is none.
    pub(super) width: Option<u16>,
    pub(super) invocation: RunId,
    pub(super) now: DateTime<Utc>,
    /// Values of secret variables: never shown.
    pub(super) secrets: Vec<String>,
    /// `DBT_ENV_CUSTOM_ENV_*`, without the prefix; for artifacts.
    pub(super) custom_env: Map<String, Json>,
}

/// Secrets shorter than this would blacken ordinary words.
const SHORTEST_SECRET: usize = 4;

impl Config {
    pub(super) fn resolve(global: &Global) -> Self {
        let env: Vec<(String, String)> =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let text = |name: &str| env.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.clone());
        Self::from(global, &text, &env)
    }

    fn from(global: &Global, text: &dyn Fn(&str) -> Option<String>, env: &[(String, String)]) -> Self {
        let path = |name: &str| text(name).map(PathBuf::from);
        let flag = |name: &str| text(name).map(|v| matches!(v.to_lowercase().as_str(), "1" | "true" | "t" | "yes" | "y" | "on"));
        let project_dir = global.project_dir.clone().or_else(|| path("DBT_PROJECT_DIR")).unwrap_or_else(|| PathBuf::from("."));
        let colours = match (global.use_colors, global.no_use_colors) {
            (_, true) => Some(false),
            (true, _) => Some(true),
            _ if text("NO_COLOR").is_some() => Some(false),
            _ => flag("DBT_USE_COLORS"),
        };
        let terminal = |is: bool| is && text("TERM").as_deref() != Some("dumb");
        let (out, err) = (terminal(std::io::stdout().is_terminal()), terminal(std::io::stderr().is_terminal()));
        let level = match global.log_level {
            _ if global.debug || flag("DBT_DEBUG") == Some(true) => Level::Debug,
            Some(level) => level,
            None => text("DBT_LOG_LEVEL").and_then(|l| clap::ValueEnum::from_str(&l, true).ok()).unwrap_or(Level::Info),
        };
        let format = global.log_format.or_else(|| text("DBT_LOG_FORMAT").and_then(|f| clap::ValueEnum::from_str(&f, true).ok()));
        Self {
            project_dir: plain(&project_dir),
            profiles_dir: global.profiles_dir.clone().or_else(|| path("DBT_PROFILES_DIR")).map(|p| plain(&p)),
            home: path("HOME").or_else(|| path("USERPROFILE")),
            profile: global.profile.clone().or_else(|| text("DBT_PROFILE")),
            target: global.target.clone().or_else(|| text("DBT_TARGET")),
            vars: global.vars.clone(),
            threads: global.threads.map(usize::from),
            target_path: global.target_path.clone().or_else(|| path("DBT_TARGET_PATH")),
            local: global.local,
            partial_parse: !global.no_partial_parse && flag("DBT_PARTIAL_PARSE") != Some(false),
            version_check: match (global.no_version_check, global.version_check) {
                (true, _) => Some(false),
                (_, true) => Some(true),
                _ => flag("DBT_VERSION_CHECK"),
            },
            fail_fast: global.fail_fast || flag("DBT_FAIL_FAST") == Some(true),
            warnings_are_errors: global.warn_error || flag("DBT_WARN_ERROR") == Some(true),
            log_format: if format == Some(Format::Json) { LogFormat::Json } else { LogFormat::Text },
            level: match level {
                Level::Debug => LogLevel::Debug,
                Level::Info => LogLevel::Info,
                Level::Warn => LogLevel::Warn,
                Level::Error => LogLevel::Error,
            },
            quiet: global.quiet || flag("DBT_QUIET") == Some(true),
            colour_out: colours.unwrap_or(out),
            colour_err: colours.unwrap_or(err),
            progress: err,
            width: comfy_table::Table::new().width().filter(|_| out),
            invocation: RunId::random(),
            now: Utc::now(),
            secrets: env.iter().filter(|(k, v)| is_secret(k) && v.trim().len() >= SHORTEST_SECRET).map(|(_, v)| v.clone()).collect(),
            custom_env: env
                .iter()
                .filter_map(|(k, v)| Some((k.strip_prefix("DBT_ENV_CUSTOM_ENV_")?.to_owned(), Json::from(v.as_str()))))
                .collect(),
        }
    }

    /// What loading the project needs. `flags` are the command's own, by the names that templates know.
    pub(super) fn load_options(&self, verb: &str, flags: &[(&str, bool)]) -> LoadOptions {
        let mut options = LoadOptions::new(&self.project_dir);
        options.profiles_dir = self.profiles_dir.clone();
        options.home = self.home.clone();
        options.profile = self.profile.clone();
        options.target = self.target.clone();
        options.vars = self.vars.clone();
        options.threads = self.threads;
        options.local = self.local;
        options.cache = self.partial_parse.then(|| CacheOptions { program: program(), target: self.target_path.clone() });
        options.env = Arc::new(|name| std::env::var(name).ok());
        options.invocation_id = self.invocation.to_string();
        options.run_started_at = self.now;
        options.flags.insert("WHICH".into(), verb.into());
        options.flags.insert("FAIL_FAST".into(), self.fail_fast.into());
        options.flags.extend(self.version_check.map(|checked| ("VERSION_CHECK".to_owned(), checked.into())));
        options.flags.extend(flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
        options
    }

    pub(super) fn report_options(&self, verb: &str) -> ReportOptions {
        ReportOptions {
            format: self.log_format,
            quiet: self.quiet,
            level: self.level,
            width: self.width.map_or(100, usize::from).clamp(60, 160),
            colour: self.colour_out,
            progress: self.progress && !self.quiet && self.width.is_some(),
            verb: verb.to_owned(),
            invocation: self.invocation.to_string(),
            secrets: self.secrets.clone(),
            clock: Utc::now,
        }
    }

    /// The nearest folder upwards that holds a project, when this one does not.
    pub(super) fn project_above(&self) -> Option<&Path> {
        self.project_dir.ancestors().skip(1).find(|p| p.join("dbt_project.yml").is_file())
    }
}

/// This build of segue. Two builds of one version are two programs: what they mean by a file may differ.
fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata).ok();
    let modified = file.as_ref().and_then(|m| m.modified().ok()).and_then(|t| t.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    let (length, nanos) = (file.map_or(0, |m| m.len()), modified.map_or(0, |t| t.as_nanos()));
    format!("{} {length} {nanos}", env!("CARGO_PKG_VERSION"))
}

fn is_secret(name: &str) -> bool {
    name.starts_with("DBT_ENV_SECRET_") || name.starts_with("SEGUE_SECRET_")
}

/// Absolute, without `.` and `..` where that needs no look at the disk.
fn plain(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(global: &Global, env: &[(&str, &str)]) -> Config {
        let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let text = |name: &str| env.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.clone());
        Config::from(global, &text, &env)
    }

    #[test]
    fn flags_win_over_the_environment() {
        let env = [("DBT_TARGET", "env"), ("DBT_PROFILES_DIR", "/p"), ("DBT_LOG_LEVEL", "DEBUG"), ("DBT_LOG_FORMAT", "json")];
        let config = resolve(&Global::default(), &env);
        assert_eq!((config.target.as_deref(), config.level, config.log_format), (Some("env"), LogLevel::Debug, LogFormat::Json));
        assert_eq!(config.profiles_dir.as_deref(), Some(Path::new("/p")));
        let global =
            Global { target: Some("flag".into()), log_level: Some(Level::Warn), log_format: Some(Format::Text), ..Global::default() };
        let config = resolve(&global, &env);
        assert_eq!((config.target.as_deref(), config.level, config.log_format), (Some("flag"), LogLevel::Warn, LogFormat::Text));
    }

    #[test]
    fn colours_are_asked_for_or_forbidden() {
        let (with, without) = (Global { use_colors: true, ..Global::default() }, Global { no_use_colors: true, ..Global::default() });
        for (global, env, expect) in [
            (&with, vec![("NO_COLOR", "1")], true),
            (&without, vec![("DBT_USE_COLORS", "true")], false),
            (&Global::default(), vec![("NO_COLOR", "1"), ("DBT_USE_COLORS", "true")], false),
            (&Global::default(), vec![("DBT_USE_COLORS", "true")], true),
            (&Global::default(), vec![("NO_COLOR", ""), ("DBT_USE_COLORS", "False")], false),
        ] {
            assert_eq!(resolve(global, &env).colour_err, expect, "{env:?}");
        }
    }

    #[test]
    fn secrets_and_custom_variables_are_told_apart() {
        let config = resolve(
            &Global::default(),
            &[("DBT_ENV_SECRET_X", "hush"), ("SEGUE_SECRET_Y", "hush-hush"), ("DBT_ENV_SECRET_Z", "a"), ("DBT_ENV_CUSTOM_ENV_RUN", "7")],
        );
        assert_eq!(config.secrets, ["hush", "hush-hush"]);
        assert_eq!(Json::Object(config.custom_env), serde_json::json!({"RUN": "7"}));
    }
}
