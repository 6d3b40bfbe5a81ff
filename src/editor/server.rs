//! The protocol: texts of open documents come in, findings go out, questions are answered from the last snapshot.
//!
//! One thread analyses. A change that comes while it works makes the work stale: it is given up and begun again with the newer
//! texts, after a pause while somebody types.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::{runtime::Handle, sync::watch};
use tower_lsp_server::{Client, LanguageServer, LspService, Server, jsonrpc::Result, ls_types::*};

use super::{
    Load, Options,
    analysis::{Analysis, Outcome},
    channel, completion, definition, findings, hover,
    position::{changed, offset, span},
    snapshot::Snapshot,
    symbols,
};
use crate::diagnostic::Place;

/// Nobody wants to read of a word that is not finished.
const PAUSE: Duration = Duration::from_millis(120);

/// Planning recurses over expressions, deeper in builds without optimisation.
const STACK_BYTES: usize = 32 << 20;

/// Serves until the editor says that it is over. `false`: it went without saying so.
pub async fn serve(load: Load, options: Options) -> bool {
    let shared = Arc::new(Shared { options, ..Shared::default() });
    let own = Arc::clone(&shared);
    let (service, socket) = LspService::new(move |client| Editor { client, shared: own, load: Mutex::new(Some(load)) });
    let (output, written) = channel::output();
    Server::new(channel::input(), output, socket).serve(service).await;
    shared.stop();
    // its last words are out before the process ends
    let _ = tokio::task::spawn_blocking(move || written.join()).await;
    shared.said_goodbye.load(Ordering::Relaxed)
}

struct Document {
    path: PathBuf,
    text: String,
    version: i32,
}

/// What the analysing thread is to do.
#[derive(Default)]
struct Wish {
    /// Counts what came in.
    revision: u64,
    /// Whether the last change was a keystroke, which others follow.
    typing: bool,
    ended: bool,
    running: Option<Arc<AtomicBool>>,
}

struct Shared {
    options: Options,
    root: RwLock<Option<PathBuf>>,
    documents: Mutex<HashMap<Uri, Document>>,
    snapshot: RwLock<Arc<Snapshot>>,
    wish: Mutex<Wish>,
    woken: Condvar,
    /// Whether anything was analysed yet.
    ready: watch::Sender<bool>,
    said_goodbye: AtomicBool,
    /// Whether the client tells of files that change beside it.
    watches: AtomicBool,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            options: Options { folder: PathBuf::new(), is_named: false },
            root: RwLock::default(),
            documents: Mutex::default(),
            snapshot: RwLock::default(),
            wish: Mutex::default(),
            woken: Condvar::new(),
            ready: watch::channel(false).0,
            said_goodbye: AtomicBool::new(false),
            watches: AtomicBool::new(false),
        }
    }
}

struct Editor {
    client: Client,
    shared: Arc<Shared>,
    /// Taken by the analysing thread.
    load: Mutex<Option<Load>>,
}

fn holds_project(folder: &Path) -> bool {
    folder.join("dbt_project.yml").is_file()
}

impl Shared {
    /// Something changed; work on the state before is given up.
    fn change(&self, typing: bool) {
        let mut wish = self.wish.lock();
        wish.revision += 1;
        wish.typing = typing;
        if let Some(running) = &wish.running {
            running.store(true, Ordering::Relaxed);
        }
        drop(wish);
        self.woken.notify_all();
    }

    fn stop(&self) {
        self.wish.lock().ended = true;
        self.change(false);
    }

    /// The project's folder: as named, as the editor says, or around the first file that is opened.
    fn settle_root(&self, folders: &[PathBuf]) {
        let named = Some(&self.options.folder).filter(|f| self.options.is_named || folders.is_empty() && holds_project(f));
        let found =
            named.or_else(|| folders.iter().find(|f| holds_project(f))).or_else(|| Some(&self.options.folder).filter(|f| holds_project(f)));
        if let Some(found) = found {
            *self.root.write() = Some(found.clone());
        }
    }

    /// As the project's files are read: below its folder, whatever links lead there.
    fn path(&self, uri: &Uri) -> Option<PathBuf> {
        let path = uri.to_file_path()?.into_owned();
        let root = self.root.read().clone()?;
        if path.starts_with(&root) {
            return Some(path);
        }
        let (inner, outer) = (path.canonicalize().ok()?, root.canonicalize().ok()?);
        Some(inner.strip_prefix(&outer).map_or(path, |rest| root.join(rest)))
    }

    /// The texts of the analysis, and the next one's revision; `None` when it is over.
    fn next(&self, done: u64) -> Option<(u64, Arc<AtomicBool>)> {
        let mut wish = self.wish.lock();
        while wish.revision == done && !wish.ended {
            self.woken.wait(&mut wish);
        }
        while wish.typing && !wish.ended {
            let before = wish.revision;
            self.woken.wait_for(&mut wish, PAUSE);
            if wish.revision == before {
                break;
            }
        }
        if wish.ended {
            return None;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        wish.running = Some(Arc::clone(&cancelled));
        Some((wish.revision, cancelled))
    }

    fn analyse(&self, load: Load, client: &Client, runtime: &Handle) {
        let mut analysis = Analysis::new(load);
        let mut published: BTreeSet<PathBuf> = BTreeSet::new();
        let mut done = 0;
        while let Some((revision, cancelled)) = self.next(done) {
            let Some(root) = self.root.read().clone() else {
                done = revision;
                self.ready.send_replace(true);
                continue;
            };
            let (mut texts, mut versions) = (BTreeMap::new(), BTreeMap::new());
            for (uri, document) in self.documents.lock().iter().filter(|(_, d)| d.path.starts_with(&root)) {
                texts.insert(document.path.clone(), document.text.clone());
                versions.insert(document.path.clone(), (uri.clone(), document.version));
            }
            let Some(Outcome { snapshot, findings }) = analysis.run(&root, &texts, &cancelled) else { continue };
            done = revision;
            *self.snapshot.write() = snapshot;
            self.ready.send_replace(true);
            let mut all = findings::by_file(&findings, &root);
            for path in &published {
                all.entry(path.clone()).or_default();
            }
            // an open document is told that all is well with it
            for path in versions.keys() {
                all.entry(path.clone()).or_default();
            }
            published = all.iter().filter(|(_, shown)| !shown.is_empty()).map(|(path, _)| path.clone()).collect();
            for (path, shown) in all {
                let open = versions.get(&path);
                let Some(uri) = open.map(|(uri, _)| uri.clone()).or_else(|| Uri::from_file_path(&path)) else { continue };
                runtime.block_on(client.publish_diagnostics(uri, shown, open.map(|(_, version)| *version)));
            }
        }
    }

    fn location(&self, place: &Place) -> Option<Location> {
        let path = self.snapshot.read().absolute(place.file.path());
        let open = self.documents.lock().iter().find(|(_, d)| d.path == path).map(|(uri, _)| uri.clone());
        Some(Location { uri: open.or_else(|| Uri::from_file_path(&path))?, range: span(&place.file.text, place.range.clone()) })
    }

    fn target(&self, target: definition::Target, uri: &Uri, text: &str) -> Option<Location> {
        match target {
            definition::Target::There(place) => self.location(&place),
            definition::Target::Here(range) => Some(Location { uri: uri.clone(), range: span(text, range) }),
        }
    }
}

impl Editor {
    /// A document's path and text, and what is known of the project: once something is.
    async fn asked(&self, uri: &Uri) -> Option<(PathBuf, String, Arc<Snapshot>)> {
        // a server that is gone answers nobody
        let _ = self.shared.ready.subscribe().wait_for(|ready| *ready).await;
        let (path, text) = self.text(uri)?;
        Some((path, text, Arc::clone(&self.shared.snapshot.read())))
    }

    fn text(&self, uri: &Uri) -> Option<(PathBuf, String)> {
        if let Some(document) = self.shared.documents.lock().get(uri) {
            return Some((document.path.clone(), document.text.clone()));
        }
        let path = self.shared.path(uri)?;
        let text = std::fs::read_to_string(&path).ok()?;
        Some((path, text))
    }

    fn start(&self) {
        let Some(load) = self.load.lock().take() else { return };
        let (shared, client, runtime) = (Arc::clone(&self.shared), self.client.clone(), Handle::current());
        let work = move || shared.analyse(load, &client, &runtime);
        let started = std::thread::Builder::new().name("analysis".into()).stack_size(STACK_BYTES).spawn(work);
        if started.is_err() {
            // questions are answered with what little the texts themselves tell
            self.shared.ready.send_replace(true);
        }
    }
}

impl LanguageServer for Editor {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let mut folders: Vec<PathBuf> =
            params.workspace_folders.iter().flatten().filter_map(|f| Some(f.uri.to_file_path()?.into_owned())).collect();
        #[allow(deprecated)] // older editors say it so
        folders.extend(params.root_uri.as_ref().and_then(|uri| Some(uri.to_file_path()?.into_owned())));
        self.shared.settle_root(&folders);
        let watched = params.capabilities.workspace.and_then(|w| w.did_change_watched_files).and_then(|w| w.dynamic_registration);
        self.shared.watches.store(watched == Some(true), Ordering::Relaxed);
        let sync = TextDocumentSyncOptions {
            open_close: Some(true),
            // texts are short; a whole one cannot be put together wrongly
            change: Some(TextDocumentSyncKind::FULL),
            save: Some(TextDocumentSyncSaveOptions::Supported(true)),
            ..TextDocumentSyncOptions::default()
        };
        let triggers = ["'", "\"", ".", "("].map(str::to_owned).to_vec();
        Ok(InitializeResult {
            server_info: Some(ServerInfo { name: "segue".into(), version: Some(env!("CARGO_PKG_VERSION").into()) }),
            capabilities: ServerCapabilities {
                position_encoding: Some(PositionEncodingKind::UTF16),
                text_document_sync: Some(TextDocumentSyncCapability::Options(sync)),
                hover_provider: Some(HoverProviderCapability::Simple(true)),
                definition_provider: Some(OneOf::Left(true)),
                references_provider: Some(OneOf::Left(true)),
                document_symbol_provider: Some(OneOf::Left(true)),
                workspace_symbol_provider: Some(OneOf::Left(true)),
                completion_provider: Some(CompletionOptions { trigger_characters: Some(triggers), ..CompletionOptions::default() }),
                ..ServerCapabilities::default()
            },
            ..InitializeResult::default()
        })
    }

    async fn initialized(&self, _: InitializedParams) {
        self.start();
        self.shared.change(false);
        if self.shared.root.read().is_none() {
            let text = "no dbt_project.yml in the workspace; open a file of a project, or start `segue lsp --project-dir DIR`";
            self.client.log_message(MessageType::INFO, text).await;
        }
        if self.shared.watches.load(Ordering::Relaxed) {
            let glob = |text: &str| FileSystemWatcher { glob_pattern: GlobPattern::String(text.to_owned()), kind: None };
            let options = DidChangeWatchedFilesRegistrationOptions { watchers: vec![glob("**/*.{sql,yml,yaml,csv,md}")] };
            let registration = Registration {
                id: "files".into(),
                method: "workspace/didChangeWatchedFiles".into(),
                register_options: serde_json::to_value(options).ok(),
            };
            // a client that refuses tells of saves, which is most of it
            let _ = self.client.register_capability(vec![registration]).await;
        }
    }

    async fn shutdown(&self) -> Result<()> {
        self.shared.said_goodbye.store(true, Ordering::Relaxed);
        self.shared.stop();
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let TextDocumentItem { uri, version, text, .. } = params.text_document;
        if self.shared.root.read().is_none()
            && let Some(path) = uri.to_file_path()
        {
            let around: Vec<PathBuf> = path.ancestors().skip(1).filter(|f| holds_project(f)).map(Path::to_owned).collect();
            self.shared.settle_root(&around);
        }
        let path = self.shared.path(&uri).or_else(|| Some(uri.to_file_path()?.into_owned())).unwrap_or_default();
        self.shared.documents.lock().insert(uri, Document { path, text, version });
        self.shared.change(false);
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let VersionedTextDocumentIdentifier { uri, version } = params.text_document;
        {
            let mut documents = self.shared.documents.lock();
            let Some(document) = documents.get_mut(&uri).filter(|d| d.version < version) else { return };
            for change in params.content_changes {
                document.text = changed(&document.text, change);
            }
            document.version = version;
        }
        self.shared.change(true);
    }

    async fn did_save(&self, _: DidSaveTextDocumentParams) {
        self.shared.change(false);
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        self.shared.documents.lock().remove(&params.text_document.uri);
        self.shared.change(false);
    }

    async fn did_change_watched_files(&self, _: DidChangeWatchedFilesParams) {
        self.shared.change(false);
    }

    async fn did_change_configuration(&self, _: DidChangeConfigurationParams) {}

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        let at = params.text_document_position_params;
        let Some((path, text, snapshot)) = self.asked(&at.text_document.uri).await else { return Ok(None) };
        Ok(hover::hover(&path, &text, offset(&text, at.position), &snapshot).map(|(value, range)| Hover {
            contents: HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value }),
            range: Some(span(&text, range)),
        }))
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<CompletionResponse>> {
        let at = params.text_document_position;
        let Some((path, text, snapshot)) = self.asked(&at.text_document.uri).await else { return Ok(None) };
        let items = completion::complete(&path, &text, offset(&text, at.position), &snapshot);
        // functions come with the first letter, so that the list is asked for again
        Ok(Some(CompletionResponse::List(CompletionList { is_incomplete: true, items })))
    }

    async fn goto_definition(&self, params: GotoDefinitionParams) -> Result<Option<GotoDefinitionResponse>> {
        let at = params.text_document_position_params;
        let uri = at.text_document.uri;
        let Some((path, text, snapshot)) = self.asked(&uri).await else { return Ok(None) };
        let found = definition::definition(&path, &text, offset(&text, at.position), &snapshot);
        Ok(found.and_then(|t| self.shared.target(t, &uri, &text)).map(GotoDefinitionResponse::Scalar))
    }

    async fn references(&self, params: ReferenceParams) -> Result<Option<Vec<Location>>> {
        let at = params.text_document_position;
        let uri = at.text_document.uri;
        let Some((path, text, snapshot)) = self.asked(&uri).await else { return Ok(None) };
        let declaration = params.context.include_declaration;
        let found = definition::references(&path, &text, offset(&text, at.position), declaration, &snapshot);
        Ok(Some(found.into_iter().filter_map(|t| self.shared.target(t, &uri, &text)).collect()))
    }

    async fn document_symbol(&self, params: DocumentSymbolParams) -> Result<Option<DocumentSymbolResponse>> {
        let found = self.text(&params.text_document.uri).map(|(path, text)| symbols::outline(&path, &text));
        Ok(found.map(DocumentSymbolResponse::Nested))
    }

    async fn symbol(&self, params: WorkspaceSymbolParams) -> Result<Option<WorkspaceSymbolResponse>> {
        let snapshot = Arc::clone(&self.shared.snapshot.read());
        let found = symbols::workspace(&params.query, &snapshot).into_iter().filter_map(|(name, kind, container, place)| {
            Some(WorkspaceSymbol {
                name,
                kind,
                tags: None,
                container_name: Some(container),
                location: OneOf::Left(self.shared.location(&place)?),
                data: None,
            })
        });
        Ok(Some(WorkspaceSymbolResponse::Nested(found.collect())))
    }
}
