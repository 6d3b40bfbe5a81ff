//! `watch`: on each save the project is read and typed again; what changed, and what lies below it, is built with its tests, and
//! the rows of what changed are held against those before.
//!
//! Saves that come together are one change. A build whose project changed meanwhile is stopped, which harms nothing: every
//! publish is one commit; its nodes are built with the next one. A project with a fault builds nothing and is waited for. New rows
//! of sources (`--follow`) stop nothing: what reads them is built when there is time.

mod edits;
mod process;
mod source;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use self::{
    edits::Known,
    process::Process,
    source::{Tables, adapters},
};
use crate::{
    cli::{
        args::WatchArgs,
        config::Config,
        findings,
        message::{self, Failure},
        stdout::print,
        typed::Typist,
        workspace::located,
    },
    diagnostic::Diagnostic,
    names::NodeId,
    project::Project,
};

/// Editors save in several steps: what follows within this is the same save.
const SETTLE: Duration = Duration::from_millis(40);

/// The same once every file of the save was closed, moved into its place or removed.
const SETTLE_WHOLE: Duration = Duration::from_millis(10);

/// How long a burst may keep a change waiting.
const LONGEST_BURST: Duration = Duration::from_millis(1000);

/// Between two looks at a running process.
const LOOK: Duration = Duration::from_millis(25);

/// Between two looks at the sources' tables.
const TURN: Duration = Duration::from_millis(300);

/// Rows shown of each changed model, and models whose rows are compared after one build.
const ROWS: &str = "5";
const MOST_COMPARED: usize = 5;

pub(super) fn run(args: &WatchArgs, config: &Config) -> Result<i32, Failure> {
    located(config)?;
    let (send, saves) = channel::<Save>();
    let failed = |e: notify::Error| Diagnostic::error("cli/watch", format!("the project cannot be watched: {e}"));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let is_whole = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => true,
            EventKind::Modify(ModifyKind::Name(to)) => to != RenameMode::From,
            EventKind::Access(_) => return,
            _ => false,
        };
        // nobody listening is the end
        let _ = send.send(Save { paths: event.paths, is_whole });
    })
    .map_err(failed)?;
    watcher.watch(&config.project_dir, RecursiveMode::Recursive).map_err(failed)?;
    let mut state = Watching {
        args,
        config,
        typist: Typist::new()?,
        known: None,
        pending: BTreeMap::new(),
        arrived: BTreeMap::new(),
        ignored: vec![],
        tables: Tables::default(),
        ingesting: None,
        warehouse: None,
        work: None,
        compared: VecDeque::new(),
        well: false,
    };
    state.well = state.reread();
    if let Some(warehouse) = state.warehouse.as_ref().filter(|w| w.contains("://")) {
        let fault = Diagnostic::error("cli/watch", format!("new rows in `{warehouse}` cannot be seen from here"));
        return Err(fault.help("`--follow` needs a warehouse in a local folder").into());
    }
    print("watching for changes; Ctrl-C ends it");
    state.follow(&saves)
}

/// Something was done to files.
struct Save {
    paths: Vec<PathBuf>,
    /// No more will be written to them; a system that does not tell says no.
    is_whole: bool,
}

/// What is going on.
enum Work {
    Build {
        process: Process,
        began: Instant,
        selected: BTreeMap<NodeId, String>,
        arrived: BTreeMap<NodeId, String>,
    },
    /// Rows of a model before and after.
    Compare {
        process: Process,
    },
}

struct Watching<'a> {
    args: &'a WatchArgs,
    config: &'a Config,
    typist: Typist,
    /// The last project that could be loaded.
    known: Option<Known>,
    /// Changed and not built since; each with how a selection names it.
    pending: BTreeMap<NodeId, String>,
    /// Sources with rows that nothing has read yet.
    arrived: BTreeMap<NodeId, String>,
    /// What segue writes itself.
    ignored: Vec<PathBuf>,
    tables: Tables,
    /// What takes in new data, and the configuration that it was started with.
    ingesting: Option<(Process, String)>,
    warehouse: Option<String>,
    work: Option<Work>,
    /// Models whose rows are still to be compared.
    compared: VecDeque<String>,
    /// Whether the project as it is can be built.
    well: bool,
}

impl Watching<'_> {
    fn follow(&mut self, saves: &Receiver<Save>) -> Result<i32, Failure> {
        let mut looked = Instant::now();
        loop {
            if self.args.follow && looked.elapsed() >= TURN {
                looked = Instant::now();
                self.arrived.extend(self.tables.advanced());
            }
            self.advance()?;
            let event = match &self.work {
                Some(_) => saves.recv_timeout(LOOK),
                None if self.args.follow => saves.recv_timeout(TURN),
                None => saves.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(save) => {
                    if !self.settle(save, saves) {
                        continue;
                    }
                    self.interrupt();
                    self.well = self.reread();
                    if self.well && !self.pending.is_empty() {
                        self.build()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }

    /// What is over makes room for what comes next.
    fn advance(&mut self) -> Result<(), Failure> {
        match &mut self.work {
            Some(Work::Build { process, .. }) => {
                let Some(status) = process.ended() else { return Ok(()) };
                if let Some(Work::Build { began, selected, arrived, .. }) = self.work.take() {
                    self.built(status.success(), began.elapsed().as_secs_f64(), selected, arrived);
                }
            }
            Some(Work::Compare { process }) => {
                if process.ended().is_none() {
                    return Ok(());
                }
                self.work = None;
            }
            None => {}
        }
        if let Some(model) = self.compared.pop_front() {
            let previous = format!("{model}@previous");
            let args = ["--if-known", "--limit", ROWS, "--data", &previous, &model];
            self.work = Some(Work::Compare { process: Process::start("diff", args, self.config)? });
        } else if self.well && !self.arrived.is_empty() && !self.args.no_build {
            self.build()?;
        }
        Ok(())
    }

    /// A newer project makes what is going on stale.
    fn interrupt(&mut self) {
        self.compared.clear();
        if let Some(Work::Build { arrived, .. }) = self.work.take() {
            // what came in meanwhile is still to be read
            self.arrived.extend(arrived);
            print("stopped: the project changed meanwhile");
        }
    }

    /// Waits until a burst is over; whether anything in it is of the project.
    fn settle(&self, first: Save, saves: &Receiver<Save>) -> bool {
        let began = Instant::now();
        let mut open: HashSet<PathBuf> = HashSet::new();
        let mut ours = self.note(first, &mut open);
        // of what segue writes itself there may be no end, and nobody waits for it
        while ours && began.elapsed() < LONGEST_BURST {
            match saves.recv_timeout(if open.is_empty() { SETTLE_WHOLE } else { SETTLE }) {
                Ok(save) => ours |= self.note(save, &mut open),
                Err(_) => break,
            }
        }
        ours
    }

    /// Keeps account of files that are being written.
    fn note(&self, save: Save, open: &mut HashSet<PathBuf>) -> bool {
        let mut ours = false;
        for path in save.paths.into_iter().filter(|p| self.is_ours(p)) {
            ours = true;
            match save.is_whole {
                true => open.remove(&path),
                false => open.insert(path),
            };
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
        let options = self.config.load_options("watch", &[]);
        let typed = match self.typist.load(&options, &Default::default()) {
            Ok(typed) => typed,
            Err(failure) => {
                message::show(&failure.diagnostics, self.config);
                print(&format!("waiting: {}", findings::counted(&failure.diagnostics)));
                return false;
            }
        };
        let project = &typed.project;
        self.ignored = ignored(project, self.config);
        message::show(&typed.typing.findings, self.config);
        let counts = findings::counted(&typed.typing.findings);
        print(&format!("checked {} nodes in {:.0} ms: {counts}", project.graph.len(), began.elapsed().as_secs_f64() * 1000.0));
        let now = Known::new(project);
        if let Some(before) = &self.known {
            self.pending.extend(now.changed(before, self.config));
        }
        self.pending.retain(|id, _| project.graph.node(id).is_some());
        self.arrived.retain(|id, _| project.graph.node(id).is_some());
        // what a whole project was made of takes its time to go
        if let Some(before) = self.known.replace(now) {
            std::thread::spawn(move || drop(before));
        }
        if self.args.follow {
            self.warehouse = Some(project.warehouse_root());
            self.tables.refresh(project);
            self.ingest(&adapters(project));
        }
        !typed.typing.findings.has_errors()
    }

    /// One process takes in what comes; another configuration is another process.
    fn ingest(&mut self, configured: &str) {
        let running = self.ingesting.as_mut().is_some_and(|(process, with)| with == configured && process.ended().is_none());
        if running || configured.is_empty() {
            if configured.is_empty() {
                self.ingesting = None;
            }
            return;
        }
        self.ingesting = None;
        match Process::leash("ingest", ["--follow", "--leashed"], self.config) {
            Ok(process) => self.ingesting = Some((process, configured.to_owned())),
            Err(failure) => message::show(&failure.diagnostics, self.config),
        }
    }

    fn build(&mut self) -> Result<(), Failure> {
        let short = |name: &str| name.rsplit(['.', ':']).next().unwrap_or(name).to_owned();
        let (selected, arrived) = (self.pending.clone(), std::mem::take(&mut self.arrived));
        if !selected.is_empty() {
            print(&format!("changed: {}", selected.values().map(|n| short(n)).collect::<Vec<_>>().join(", ")));
        }
        if !arrived.is_empty() {
            print(&format!("new rows: {}", arrived.values().map(|n| short(n)).collect::<Vec<_>>().join(", ")));
        }
        if self.args.no_build {
            return Ok(());
        }
        let depth = self.args.depth.map_or_else(String::new, |d| d.to_string());
        let mut args = vec!["--select".to_owned()];
        args.extend(selected.values().map(|fqn| format!("fqn:{fqn}+{depth}")));
        args.extend(arrived.values().map(|selector| format!("{selector}+{depth}")));
        if self.args.follow {
            // what takes in new data is another process
            args.extend(["--exclude-resource-type".to_owned(), "source".to_owned()]);
        }
        let process = Process::start("build", args.iter().map(String::as_str), self.config)?;
        self.work = Some(Work::Build { process, began: Instant::now(), selected, arrived });
        Ok(())
    }

    fn built(&mut self, success: bool, seconds: f64, selected: BTreeMap<NodeId, String>, arrived: BTreeMap<NodeId, String>) {
        if !success {
            print(&format!("build failed after {seconds:.1} s; what failed is built again with the next change"));
            // new rows come with the next commit; what stands below them is built with it
            self.pending.extend(arrived.into_iter().filter(|(id, _)| !id.as_str().starts_with("source.")));
            return;
        }
        print(&format!("built in {seconds:.1} s"));
        self.pending.retain(|id, _| !selected.contains_key(id));
        let models = selected.iter().filter(|(id, _)| ["model.", "snapshot.", "seed."].iter().any(|k| id.as_str().starts_with(k)));
        let names = models.filter_map(|(_, fqn)| fqn.rsplit('.').next()).take(MOST_COMPARED);
        self.compared = names.map(str::to_owned).collect();
    }
}

fn ignored(project: &Project, config: &Config) -> Vec<PathBuf> {
    let mut all = project.clean_targets();
    all.push(project.target_folder());
    all.extend(config.target_path.iter().map(|p| project.root.join(p)));
    all.push(PathBuf::from(project.warehouse_root()));
    all
}
