//! `ci`: what a change must pass before it is merged, in one command and one report: the static check, then seeds, models,
//! unit tests and data tests of what the change touches, in a throw-away warehouse.
//!
//! Needs no account: whatever the target, everything runs on the local engine, in a folder that goes again.

mod report;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command as Process,
    time::Instant,
};

use serde_json::Value as Json;

use crate::{
    cli::{
        args::{CiArgs, CiOutput},
        config::Config,
        findings,
        message::Failure,
        stdout::print,
        typed,
    },
    diagnostic::{Diagnostic, Diagnostics},
};

/// One thing that passed or did not.
pub(super) struct Case {
    pub(super) suite: &'static str,
    pub(super) name: String,
    pub(super) file: String,
    /// `pass`, `warn`, `fail`, `error`, `skip`.
    pub(super) status: &'static str,
    pub(super) message: String,
    pub(super) seconds: f64,
}

pub(super) fn run(args: &CiArgs, config: &Config) -> Result<i32, Failure> {
    let began = Instant::now();
    let typed = match typed::load("check", config) {
        Ok(typed) => Some(typed),
        Err(failure) if args.output == CiOutput::Text => return Err(failure),
        Err(failure) => {
            let report = report::Report { findings: failure.diagnostics, cases: vec![], seconds: began.elapsed().as_secs_f64() };
            give(&report, args)?;
            return Ok(2);
        }
    };
    let findings = typed.as_ref().map(|t| t.typing.findings.clone()).unwrap_or_default();
    let cases = if findings.has_errors() { vec![] } else { built(args, config)? };
    let report = report::Report { findings, cases, seconds: began.elapsed().as_secs_f64() };
    give(&report, args)?;
    Ok(i32::from(report.failed()))
}

fn give(report: &report::Report, args: &CiArgs) -> Result<(), Failure> {
    let text = |output: CiOutput| match output {
        CiOutput::Text => report.text(),
        CiOutput::Markdown => report.markdown(),
        CiOutput::Junit => report.junit(),
        CiOutput::Sarif => findings::pretty(&findings::sarif(&report.findings)),
    };
    for (path, output) in [(&args.junit, CiOutput::Junit), (&args.sarif, CiOutput::Sarif), (&args.markdown, CiOutput::Markdown)] {
        let Some(path) = path else { continue };
        std::fs::write(path, text(output))
            .map_err(|e| Diagnostic::error("cli/unwritable", format!("cannot write `{}`: {e}", path.display())))?;
    }
    print(&text(args.output));
    Ok(())
}

/// Builds in a process of its own, whose profile points at a folder that goes again.
fn built(args: &CiArgs, config: &Config) -> Result<Vec<Case>, Failure> {
    let failed = |e: std::io::Error| Diagnostic::error("cli/ci", format!("the throw-away warehouse cannot be made: {e}"));
    let scratch = tempfile::tempdir().map_err(failed)?;
    let options = config.load_options("build", &[]);
    let project = crate::project::load(&options)?;
    let (profile, target) = (project.profile.name.clone(), project.profile.target_name.clone());
    let quoted = |text: &str| Json::from(text).to_string();
    // the schema of its own keeps the names apart wherever they are shown
    let profiles = format!(
        "{}:\n  target: {}\n  outputs:\n    {}: {{type: {}, path: {}, database: {}, schema: {}, threads: {}}}\n",
        quoted(&profile),
        quoted(&target),
        quoted(&target),
        "datafusion",
        quoted(&scratch.path().join("warehouse").to_string_lossy()),
        quoted(&project.profile.database),
        quoted(&project.profile.schema),
        project.profile.threads,
    );
    std::fs::write(scratch.path().join("profiles.yml"), profiles).map_err(failed)?;
    let target_path = scratch.path().join("target");
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Process::new(program);
    command.arg("build").arg("--quiet");
    command.arg("--project-dir").arg(&config.project_dir).arg("--profiles-dir").arg(scratch.path()).arg("--target-path").arg(&target_path);
    command.arg("--profile").arg(&profile).arg("--target").arg(&target);
    if let Some(vars) = &config.vars {
        command.arg("--vars").arg(vars);
    }
    if config.fail_fast {
        command.arg("--fail-fast");
    }
    match &args.sample {
        Some(sample) => command.arg("--sample").arg(sample),
        None if args.full => &mut command,
        None => command.arg("--empty"),
    };
    for word in selection(args) {
        command.arg(word);
    }
    let output = command.output().map_err(failed)?;
    let results = std::fs::read_to_string(target_path.join("run_results.json"));
    let manifest = std::fs::read_to_string(target_path.join("manifest.json"));
    let (Ok(results), Ok(manifest)) = (results, manifest) else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Diagnostic::error("cli/ci", "the build of the change did not start").note(said).into());
    };
    let parsed = |text: &str| serde_json::from_str::<Json>(text).unwrap_or(Json::Null);
    Ok(cases(&parsed(&results), &parsed(&manifest)))
}

/// `--select` as given, else what the change touches and what it needs; without a state everything.
fn selection(args: &CiArgs) -> Vec<PathBuf> {
    let word = |text: &str| PathBuf::from(text);
    let mut words = vec![];
    match (&args.select[..], &args.state) {
        ([], Some(_)) => words.extend([word("--select"), word("+state:modified+")]),
        ([], None) => {}
        (some, _) => {
            words.push(word("--select"));
            words.extend(some.iter().map(|s| word(s)));
        }
    }
    if let Some(state) = &args.state {
        words.extend([word("--state"), std::path::absolute(state).unwrap_or_else(|_| state.clone())]);
    }
    words
}

fn cases(results: &Json, manifest: &Json) -> Vec<Case> {
    let mut files: HashMap<&str, &str> = HashMap::new();
    for group in ["nodes", "sources", "unit_tests"] {
        for (id, entry) in manifest.get(group).and_then(Json::as_object).into_iter().flatten() {
            files.insert(id, entry.get("original_file_path").and_then(Json::as_str).unwrap_or_default());
        }
    }
    let results = results.get("results").and_then(Json::as_array).into_iter().flatten();
    results
        .map(|r| {
            let text = |key: &str| r.get(key).and_then(Json::as_str).unwrap_or_default();
            let id = text("unique_id");
            let suite = match id.split('.').next().unwrap_or_default() {
                "unit_test" => "unit tests",
                "test" => "data tests",
                _ => "build",
            };
            let status = match text("status") {
                "success" | "pass" | "no-op" | "noop" => "pass",
                "warn" => "warn",
                "fail" => "fail",
                "skipped" => "skip",
                _ => "error",
            };
            Case {
                suite,
                name: id.to_owned(),
                file: files.get(id).copied().unwrap_or_default().to_owned(),
                status,
                message: text("message").trim().to_owned(),
                seconds: r.get("execution_time").and_then(Json::as_f64).unwrap_or_default(),
            }
        })
        .collect()
}

/// Errors only, for a heading.
pub(super) fn errors(findings: &Diagnostics) -> usize {
    findings.0.iter().filter(|d| d.is_error()).count()
}

/// A path as reports show it.
pub(super) fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
