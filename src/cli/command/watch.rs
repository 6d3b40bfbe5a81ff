//! `watch`: on each save the project is read and typed again; what changed, and what lies below it, is built with its tests.
//!
//! Saves that come together are one change. A build whose project changed meanwhile is stopped, which harms nothing: every
//! publish is one commit; its nodes are built with the next one. A project with a fault builds nothing and is waited for.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    process::{Child, Command as Process},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use notify::{EventKind, RecursiveMode, Watcher};
use serde_json::Value as Json;

use crate::{
    cli::{
        args::WatchArgs,
        artifacts,
        config::Config,
        findings,
        message::{self, Failure},
        stdout::print,
        typed,
        workspace::located,
    },
    diagnostic::Diagnostic,
    names::{NodeId, ResourceType},
    project::Project,
    state::comparison,
};

/// Editors save in several steps: what follows within this is the same save.
const SETTLE: Duration = Duration::from_millis(40);

/// How long a burst may keep a change waiting.
const LONGEST_BURST: Duration = Duration::from_millis(1000);

/// Between two looks at a running build.
const LOOK: Duration = Duration::from_millis(25);

pub(super) fn run(args: &WatchArgs, config: &Config) -> Result<i32, Failure> {
    located(config)?;
    let (send, saves) = channel();
    let failed = |e: notify::Error| Diagnostic::error("cli/watch", format!("the project cannot be watched: {e}"));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !matches!(event.kind, EventKind::Access(_))
        {
            // nobody listening is the end
            let _ = send.send(event.paths);
        }
    })
    .map_err(failed)?;
    watcher.watch(&config.project_dir, RecursiveMode::Recursive).map_err(failed)?;
    let mut state = Watching { args, config, known: None, pending: BTreeMap::new(), ignored: vec![] };
    state.reread();
    print("watching for changes; Ctrl-C ends it");
    state.follow(&saves)
}

struct Watching<'a> {
    args: &'a WatchArgs,
    config: &'a Config,
    /// The manifest of the last project without faults.
    known: Option<Json>,
    /// Changed and not built since; each with how a selection names it.
    pending: BTreeMap<NodeId, String>,
    /// What segue writes itself.
    ignored: Vec<PathBuf>,
}

impl Watching<'_> {
    fn follow(&mut self, saves: &Receiver<Vec<PathBuf>>) -> Result<i32, Failure> {
        let mut build: Option<(Child, Instant)> = None;
        loop {
            let event = match &build {
                Some(_) => saves.recv_timeout(LOOK),
                None => saves.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(paths) => {
                    if !self.settle(paths, saves) {
                        continue;
                    }
                    if let Some((mut child, _)) = build.take() {
                        stop(&mut child);
                        print("stopped: the project changed meanwhile");
                    }
                    if self.reread() && !self.pending.is_empty() {
                        build = self.start()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let Some((child, began)) = &mut build else { continue };
                    if let Ok(Some(status)) = child.try_wait() {
                        let seconds = began.elapsed().as_secs_f64();
                        build = None;
                        self.ended(status.success(), seconds);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }

    /// Waits until a burst is over; whether anything in it is of the project.
    fn settle(&self, first: Vec<PathBuf>, saves: &Receiver<Vec<PathBuf>>) -> bool {
        let began = Instant::now();
        let mut ours = first.iter().any(|p| self.is_ours(p));
        while began.elapsed() < LONGEST_BURST {
            match saves.recv_timeout(SETTLE) {
                Ok(paths) => ours |= paths.iter().any(|p| self.is_ours(p)),
                Err(_) => break,
            }
        }
        ours
    }

    fn is_ours(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.config.project_dir).unwrap_or(path);
        let hidden = below.components().any(|c| c.as_os_str().to_str().is_some_and(|c| c.starts_with('.') || c.ends_with('~')));
        !hidden
            && below.extension().is_some_and(|e| matches!(e.to_str(), Some("sql" | "yml" | "yaml" | "csv" | "md" | "json")))
            && !self.ignored.iter().any(|i| path.starts_with(i))
    }

    /// Reads, types and tells; whether there is something to build from.
    fn reread(&mut self) -> bool {
        let began = Instant::now();
        let typed = match typed::load("watch", self.config) {
            Ok(typed) => typed,
            Err(failure) => {
                message::show(&failure.diagnostics, self.config);
                print(&format!("waiting: {}", findings::counted(&failure.diagnostics)));
                return false;
            }
        };
        let project = &typed.project;
        self.ignored = ignored(project, self.config);
        let now = artifacts::manifest(project, HashMap::new(), self.config);
        if let Some(before) = &self.known {
            self.pending.extend(changed(project, before, &now));
        }
        self.pending.retain(|id, _| project.graph.node(id).is_some());
        self.known = Some(now);
        message::show(&typed.typing.findings, self.config);
        let counts = findings::counted(&typed.typing.findings);
        print(&format!("checked {} nodes in {:.0} ms: {counts}", project.graph.len(), began.elapsed().as_secs_f64() * 1000.0));
        !typed.typing.findings.has_errors()
    }

    fn start(&self) -> Result<Option<(Child, Instant)>, Failure> {
        let names: Vec<&str> = self.pending.values().map(|fqn| fqn.rsplit('.').next().unwrap_or(fqn)).collect();
        print(&format!("changed: {}", names.join(", ")));
        if self.args.no_build {
            return Ok(None);
        }
        let depth = self.args.depth.map_or_else(String::new, |d| d.to_string());
        let failed = |e: std::io::Error| Diagnostic::error("cli/watch", format!("the build cannot be started: {e}"));
        let mut command = Process::new(std::env::current_exe().map_err(failed)?);
        command.arg("build").arg("--project-dir").arg(&self.config.project_dir);
        let options: [(&str, Option<&str>); 3] = [
            ("--profile", self.config.profile.as_deref()),
            ("--target", self.config.target.as_deref()),
            ("--vars", self.config.vars.as_deref()),
        ];
        for (flag, value) in options {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        if let Some(folder) = &self.config.profiles_dir {
            command.arg("--profiles-dir").arg(folder);
        }
        if let Some(folder) = &self.config.target_path {
            command.arg("--target-path").arg(folder);
        }
        command.arg("--select");
        command.args(self.pending.values().map(|fqn| format!("fqn:{fqn}+{depth}")));
        command.stdin(std::process::Stdio::null());
        Ok(Some((command.spawn().map_err(failed)?, Instant::now())))
    }

    fn ended(&mut self, success: bool, seconds: f64) {
        if !success {
            print(&format!("build failed after {seconds:.1} s; what failed is built again with the next change"));
            return;
        }
        print(&format!("built in {seconds:.1} s"));
        self.pending.clear();
    }
}

/// Nodes that a build can do something about and that differ from before.
fn changed(project: &Project, before: &Json, now: &Json) -> Vec<(NodeId, String)> {
    let changes = comparison::changes(before, now);
    let differs = |id: &NodeId| changes.get(id).is_some_and(|c| c.meets("modified") == Some(true));
    let kinds = [ResourceType::Model, ResourceType::Seed, ResourceType::Snapshot, ResourceType::Test, ResourceType::UnitTest];
    project.graph.nodes().filter(|n| kinds.contains(&n.kind) && differs(&n.id)).map(|n| (n.id.clone(), n.fqn.join("."))).collect()
}

fn ignored(project: &Project, config: &Config) -> Vec<PathBuf> {
    let mut all = project.clean_targets();
    all.push(project.target_folder());
    all.extend(config.target_path.iter().map(|p| project.root.join(p)));
    all.push(PathBuf::from(project.warehouse_root()));
    all
}

/// A build may end at any moment: what it published is whole.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
