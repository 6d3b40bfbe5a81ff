//! The root of a warehouse: what is in it, opening, dropping, view files, the format mark.

use std::{
    collections::HashMap,
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use deltalake::{DeltaTable, DeltaTableBuilder};
use object_store::{ObjectStore, local::LocalFileSystem};
use parking_lot::Mutex;
use url::Url;

use super::{
    LakeError, LakeTable, ViewFile,
    grave::Keep,
    location::{VIEW_SUFFIX, identifier, relation_path, segment},
};
use crate::names::{Identifier, RelationName, SchemaName};

/// Format of the warehouse's layout; a larger number in `segue.json` belongs to a newer segue.
const FORMAT: u64 = 1;
const MARK: &str = "segue.json";

/// A relation found by listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub relation: RelationName,
    pub is_view: bool,
}

/// A local warehouse. Cheap to share; opened tables are kept and refreshed.
#[derive(Clone)]
pub struct Lake {
    pub(super) shared: Arc<Shared>,
    /// Relations that this handle has elsewhere: temporary ones, and those that an open transaction changed.
    pub(super) overlay: Arc<Mutex<HashMap<RelationName, PathBuf>>>,
}

pub(super) struct Shared {
    pub(super) root: PathBuf,
    /// By folder: handles may see different folders under one name.
    opened: Mutex<HashMap<PathBuf, LakeTable>>,
    marked: std::sync::atomic::AtomicBool,
}

impl Lake {
    /// `location` is a directory, which is made by the first write. Fails when a newer segue wrote it.
    pub fn open(location: &str, relative_to: &FsPath) -> Result<Self, LakeError> {
        if let Some((scheme, _)) = location.split_once("://")
            && scheme != "file"
        {
            return Err(LakeError::UnsupportedLocation {
                location: location.into(),
                reason: "this build keeps a warehouse in a directory of the local file system".into(),
            });
        }
        let root = relative_to.join(location.strip_prefix("file://").unwrap_or(location));
        let root = std::path::absolute(&root).map_err(|e| LakeError::storage("open", &root.display().to_string(), &e))?;
        let shared = Shared { root, opened: Mutex::default(), marked: false.into() };
        let lake = Self { shared: Arc::new(shared), overlay: Arc::default() };
        lake.check_mark()?;
        Ok(lake)
    }

    pub fn root(&self) -> &FsPath {
        &self.shared.root
    }

    fn check_mark(&self) -> Result<bool, LakeError> {
        let path = self.shared.root.join(MARK);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(LakeError::storage("open", &path.display().to_string(), &e)),
        };
        let mark: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| LakeError::Damaged { place: path.display().to_string(), cause: e.to_string() })?;
        match mark.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found > FORMAT => {
                Err(LakeError::NewerWarehouse { root: self.shared.root.display().to_string(), found, known: FORMAT })
            }
            Some(_) => Ok(true),
            None => Err(LakeError::Damaged { place: path.display().to_string(), cause: "no `format` in it".into() }),
        }
    }

    /// Writes the format mark with the first change.
    pub(super) async fn mark(&self) -> Result<(), LakeError> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.shared.marked.load(Relaxed) {
            return Ok(());
        }
        if !self.check_mark()? {
            let text = format!("{{\"format\": {FORMAT}}}\n");
            self.replace_file(&self.shared.root.join(MARK), text.as_bytes())?;
        }
        self.shared.marked.store(true, Relaxed);
        Ok(())
    }

    /// A complete new file in one step, by renaming.
    pub(super) fn replace_file(&self, path: &FsPath, content: &[u8]) -> Result<(), LakeError> {
        let fail = |e: &std::io::Error| LakeError::storage("write", &path.display().to_string(), e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| fail(&e))?;
        }
        let temporary = path.with_file_name(format!(".{}.tmp", uuid::Uuid::new_v4()));
        let written = std::fs::File::create(&temporary).and_then(|mut f| {
            use std::io::Write;
            f.write_all(content)?;
            f.sync_all()
        });
        written.and_then(|()| std::fs::rename(&temporary, path)).map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            fail(&e)
        })
    }

    /// The folder of a table, whether it exists or not.
    pub fn table_folder(&self, relation: &RelationName) -> PathBuf {
        self.home(relation).join(relation_path(relation))
    }

    /// The root that holds a relation, as this handle sees it.
    pub(super) fn home(&self, relation: &RelationName) -> PathBuf {
        self.overlay.lock().get(relation).cloned().unwrap_or_else(|| self.shared.root.clone())
    }

    pub(super) fn view_path(&self, relation: &RelationName) -> PathBuf {
        self.home(relation).join(format!("{}{VIEW_SUFFIX}", relation_path(relation)))
    }

    pub(super) fn schema_folder(&self, schema: &SchemaName) -> PathBuf {
        self.shared.root.join(segment(&schema.database)).join(segment(&schema.schema))
    }

    pub(super) fn folders(&self, path: &FsPath) -> Result<Vec<String>, LakeError> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(LakeError::storage("list", &path.display().to_string(), &e)),
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|e| e.path().is_dir())
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| !n.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Every schema that has a folder.
    pub fn schemas(&self) -> Result<Vec<SchemaName>, LakeError> {
        let mut found = vec![];
        for database in self.folders(&self.shared.root)? {
            for schema in self.folders(&self.shared.root.join(&database))? {
                found.push(SchemaName::new(identifier(&database), identifier(&schema)));
            }
        }
        Ok(found)
    }

    pub fn create_schema(&self, schema: &SchemaName) -> Result<(), LakeError> {
        let folder = self.schema_folder(schema);
        std::fs::create_dir_all(&folder).map_err(|e| LakeError::storage("create", &folder.display().to_string(), &e))
    }

    pub fn schema_exists(&self, schema: &SchemaName) -> bool {
        self.schema_folder(schema).is_dir()
    }

    /// Removes a schema with everything in it.
    pub fn drop_schema(&self, schema: &SchemaName) -> Result<(), LakeError> {
        self.shared.opened.lock().retain(|_, t| t.relation.schema_name() != *schema);
        self.discard(&self.schema_folder(schema), Keep::ForUndrop)
    }

    /// Tables and views of a schema, by name.
    pub fn entries(&self, schema: &SchemaName) -> Result<Vec<Entry>, LakeError> {
        let folder = self.schema_folder(schema);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(LakeError::storage("list", &folder.display().to_string(), &e)),
        };
        let mut found: HashMap<Identifier, bool> = HashMap::new();
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            if let Some(view) = name.strip_suffix(VIEW_SUFFIX) {
                found.insert(identifier(view), true);
            } else if entry.path().join("_delta_log").is_dir() {
                found.entry(identifier(&name)).or_insert(false);
            }
        }
        for (relation, home) in self.overlay.lock().iter().filter(|(r, _)| r.schema_name() == *schema) {
            if home.join(format!("{}{VIEW_SUFFIX}", relation_path(relation))).exists() {
                found.insert(relation.name.clone(), true);
            } else if home.join(relation_path(relation)).join("_delta_log").is_dir() {
                found.insert(relation.name.clone(), false);
            }
        }
        let mut entries: Vec<Entry> = found.into_iter().map(|(name, is_view)| Entry { relation: schema.relation(name), is_view }).collect();
        entries.sort_by(|a, b| a.relation.cmp(&b.relation));
        Ok(entries)
    }

    /// Milliseconds since 1970 of a view's last change.
    pub fn view_altered(&self, relation: &RelationName) -> Option<i64> {
        let modified = std::fs::metadata(self.view_path(relation)).ok()?.modified().ok()?;
        modified.duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_millis() as i64)
    }

    /// The view of that name, if there is one.
    pub fn view(&self, relation: &RelationName) -> Result<Option<ViewFile>, LakeError> {
        let path = self.view_path(relation);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LakeError::storage("read", &path.display().to_string(), &e)),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| LakeError::Damaged { place: path.display().to_string(), cause: e.to_string() })
    }

    /// Creates or replaces a view in one step; a table of that name goes.
    pub async fn put_view(&self, relation: &RelationName, view: &ViewFile) -> Result<(), LakeError> {
        self.mark().await?;
        let path = self.view_path(relation);
        let text =
            serde_json::to_vec_pretty(view).map_err(|e| LakeError::Damaged { place: path.display().to_string(), cause: e.to_string() })?;
        self.replace_file(&path, &text)?;
        // the view file hides the table from now on
        self.drop_table(relation)
    }

    pub fn drop_view(&self, relation: &RelationName) -> Result<(), LakeError> {
        let path = self.view_path(relation);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LakeError::storage("drop", &path.display().to_string(), &e)),
            _ => Ok(()),
        }
    }

    pub fn drop_table(&self, relation: &RelationName) -> Result<(), LakeError> {
        self.forget(relation);
        self.discard(&self.table_folder(relation), Keep::Nothing)
    }

    /// As [`Self::drop_table`], but UNDROP can bring it back for a day.
    pub fn retire_table(&self, relation: &RelationName) -> Result<(), LakeError> {
        self.forget(relation);
        let keep = if self.is_temporary(relation) { Keep::Nothing } else { Keep::ForUndrop };
        self.discard(&self.table_folder(relation), keep)?;
        self.overlay.lock().remove(relation);
        Ok(())
    }

    /// Renames a table or view; the new name must be free.
    pub fn rename(&self, from: &RelationName, to: &RelationName) -> Result<(), LakeError> {
        self.forget(from);
        self.forget(to);
        self.create_schema(&to.schema_name())?;
        let (source, target) = if self.view_path(from).exists() {
            (self.view_path(from), self.view_path(to))
        } else {
            (self.table_folder(from), self.table_folder(to))
        };
        std::fs::rename(&source, &target).map_err(|e| LakeError::storage("rename", &from.to_string(), &e))
    }

    pub(super) fn delta_table(&self, relation: &RelationName) -> Result<DeltaTable, LakeError> {
        let folder = self.table_folder(relation);
        std::fs::create_dir_all(&folder).map_err(|e| LakeError::storage("create", &folder.display().to_string(), &e))?;
        let url = Url::from_directory_path(&folder).map_err(|()| LakeError::UnsupportedLocation {
            location: folder.display().to_string(),
            reason: "not an absolute path".into(),
        })?;
        DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build).map_err(|e| LakeError::delta("open", &relation.to_string(), e))
    }

    /// Storage rooted at the table's folder, for its data files.
    pub fn table_store(&self, relation: &RelationName) -> Result<Arc<dyn ObjectStore>, LakeError> {
        let folder = self.table_folder(relation);
        std::fs::create_dir_all(&folder).map_err(|e| LakeError::storage("create", &folder.display().to_string(), &e))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|e| LakeError::storage("open", &folder.display().to_string(), &e))?;
        Ok(Arc::new(store))
    }

    /// The table at its newest version, or `None` when there is none.
    pub async fn table(&self, relation: &RelationName) -> Result<Option<LakeTable>, LakeError> {
        let Some(newest) = self.newest(relation) else {
            self.forget(relation);
            return Ok(None);
        };
        let fail = |e| LakeError::delta("open", &relation.to_string(), e);
        let folder = self.table_folder(relation);
        let known = self.shared.opened.lock().get(&folder).cloned();
        let table = match known {
            Some(table) if table.delta.version() == Some(newest) => return Ok(Some(table)),
            Some(mut table) => {
                table.delta.update_state().await.map_err(fail)?;
                table
            }
            None => {
                let mut delta = self.delta_table(relation)?;
                delta.load().await.map_err(fail)?;
                LakeTable { relation: relation.clone(), delta }
            }
        };
        self.shared.opened.lock().insert(folder, table.clone());
        Ok(Some(table))
    }

    /// The last commit that the log has as a file.
    fn newest(&self, relation: &RelationName) -> Option<u64> {
        let entries = std::fs::read_dir(self.table_folder(relation).join("_delta_log")).ok()?;
        entries.filter_map(Result::ok).filter_map(|e| commit_version(e.file_name().to_str()?)).max()
    }

    pub(super) fn keep_open(&self, table: LakeTable) {
        self.shared.opened.lock().insert(self.table_folder(&table.relation), table);
    }

    pub(super) fn forget_database(&self, database: &Identifier) {
        self.shared.opened.lock().retain(|_, t| t.relation.database != *database);
    }

    pub(super) fn forget(&self, relation: &RelationName) {
        self.shared.opened.lock().remove(&self.table_folder(relation));
    }
}

/// Of a commit's file name in a log.
pub(super) fn commit_version(name: &str) -> Option<u64> {
    name.strip_suffix(".json").filter(|n| n.len() == 20 && n.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}
