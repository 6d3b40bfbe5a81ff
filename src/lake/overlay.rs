//! Relations that one session has for itself: temporary tables, and the working copies of a transaction.
//!
//! A working copy is a folder with the table's log copied and its data files linked; statements change it as they would
//! change the table. Committing takes the difference between the copy and the version it was made of, and makes it one
//! commit on the table: a commit made there since is a conflict. Nothing of a transaction is visible before.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use deltalake::kernel::Add;
use parking_lot::Mutex;

use super::{Change, Commit, Lake, LakeError, LakeTable, Removed, WrittenFile, location::relation_path};
use crate::names::RelationName;

/// Working copies of one open transaction.
pub struct Transaction {
    home: PathBuf,
    /// The table as it was when the transaction first changed it.
    bases: BTreeMap<RelationName, LakeTable>,
    /// What the session saw under the name before (a temporary table).
    hidden: HashMap<RelationName, PathBuf>,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Lake {
    /// A handle whose temporary relations and working copies are its own.
    pub fn session(&self) -> Self {
        Self { shared: self.shared.clone(), overlay: Arc::new(Mutex::new(self.overlay.lock().clone())) }
    }

    /// From now on the relation is in a folder that only this session knows; `home` is made when it is needed.
    pub fn make_temporary(&self, relation: &RelationName, home: &Path) {
        self.overlay.lock().insert(relation.clone(), home.to_owned());
    }

    pub fn is_temporary(&self, relation: &RelationName) -> bool {
        self.overlay.lock().contains_key(relation)
    }

    /// Back to what everyone sees.
    pub fn forget_temporary(&self, relation: &RelationName) {
        self.overlay.lock().remove(relation);
    }

    /// A name for a folder of this session below the root.
    pub fn session_folder(&self) -> PathBuf {
        self.root().join(format!(".session-{}", uuid::Uuid::new_v4()))
    }

    pub fn remove_session_folder(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
    }

    /// The files of a table at its version, linked into another table's folder: rows are not copied.
    pub async fn link_files(&self, table: &LakeTable, target: &RelationName) -> Result<Vec<WrittenFile>, LakeError> {
        let (source, folder) = (table.folder(), self.table_folder(target));
        let fail = |e: std::io::Error| LakeError::storage("clone", &table.relation.to_string(), &e);
        let mut files = vec![];
        for add in table.adds().await? {
            let (from, to) = places(&source, &folder, &add.path);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(fail)?;
            }
            link(&from, &to).map_err(fail)?;
            files.push(WrittenFile::of(add));
        }
        Ok(files)
    }

    pub fn begin(&self) -> Transaction {
        Transaction { home: self.session_folder(), bases: BTreeMap::new(), hidden: HashMap::new() }
    }

    /// Before a statement of the transaction changes a table: its working copy is made, once.
    pub async fn shadow(&self, transaction: &mut Transaction, relation: &RelationName) -> Result<(), LakeError> {
        if transaction.bases.contains_key(relation) {
            return Ok(());
        }
        let Some(table) = self.table(relation).await? else { return Ok(()) };
        table.copy_to(&transaction.home.join(relation_path(relation))).await?;
        let before = self.overlay.lock().insert(relation.clone(), transaction.home.clone());
        if let Some(before) = before {
            transaction.hidden.insert(relation.clone(), before);
        }
        transaction.bases.insert(relation.clone(), table);
        Ok(())
    }

    /// One commit per changed table; the first conflict ends it.
    pub async fn finish(&self, mut transaction: Transaction) -> Result<(), LakeError> {
        let bases = std::mem::take(&mut transaction.bases);
        let mut changes = vec![];
        for (relation, base) in &bases {
            let Some(now) = self.table(relation).await? else { continue };
            if now.version() == base.version() {
                continue;
            }
            let (before, after) = (base.adds().await?, now.adds().await?);
            let paths = |adds: &[Add]| adds.iter().map(|a| a.path.clone()).collect::<HashSet<String>>();
            let (old, new) = (paths(&before), paths(&after));
            let add: Vec<WrittenFile> = after.into_iter().filter(|a| !old.contains(&a.path)).map(WrittenFile::of).collect();
            let gone: Vec<String> = before.into_iter().map(|a| a.path).filter(|p| !new.contains(p)).collect();
            let commit = Commit {
                relation: relation.clone(),
                change: if gone.is_empty() { Change::Append } else { Change::Rewrite },
                schema: now.schema()?,
                partition_by: now.partition_columns(),
                add,
                remove: if gone.is_empty() { Removed::None } else { Removed::Files(gone) },
                comment: None,
                column_comments: BTreeMap::new(),
                properties: now.properties(),
                application: None,
            };
            changes.push((relation.clone(), base.clone(), commit, self.table_folder(relation)));
        }
        self.unshadow(&transaction, bases.keys());
        // all tables are looked at before the first is changed: a conflict seen now leaves every table as it was
        for (relation, base, _, _) in &changes {
            match self.table(relation).await? {
                Some(table) if table.version() == base.version() => {}
                _ => {
                    return Err(LakeError::Conflict {
                        table: relation.to_string(),
                        cause: "another session committed to it since this transaction changed it".into(),
                    });
                }
            }
        }
        for (relation, base, commit, copy) in changes {
            let folder = self.table_folder(&relation);
            let fail = |e: std::io::Error| LakeError::storage("publish", &relation.to_string(), &e);
            for file in &commit.add {
                let (from, to) = places(&copy, &folder, file.path());
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent).map_err(fail)?;
                }
                link(&from, &to).map_err(fail)?;
            }
            self.commit(Some(&base), commit).await?;
        }
        Ok(())
    }

    /// Nothing happened.
    pub fn roll_back(&self, transaction: Transaction) {
        self.unshadow(&transaction, transaction.bases.keys());
    }

    fn unshadow<'a>(&self, transaction: &Transaction, relations: impl Iterator<Item = &'a RelationName>) {
        for relation in relations {
            self.forget(relation);
            let mut overlay = self.overlay.lock();
            match transaction.hidden.get(relation) {
                Some(before) => drop(overlay.insert(relation.clone(), before.clone())),
                None => drop(overlay.remove(relation)),
            }
        }
    }
}

impl LakeTable {
    /// A working copy: the log copied, the files linked.
    pub(super) async fn copy_to(&self, target: &Path) -> Result<(), LakeError> {
        let source = self.folder();
        let fail = |e: std::io::Error| LakeError::storage("copy", &self.relation.to_string(), &e);
        std::fs::create_dir_all(target.join("_delta_log")).map_err(fail)?;
        for entry in std::fs::read_dir(source.join("_delta_log")).map_err(fail)?.filter_map(Result::ok) {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), target.join("_delta_log").join(entry.file_name())).map_err(fail)?;
            }
        }
        link_all(&self.adds().await?, &source, target).map_err(fail)
    }
}

/// The files of these entries, in another folder too.
pub(super) fn link_all<'a>(adds: impl IntoIterator<Item = &'a Add>, source: &Path, target: &Path) -> std::io::Result<()> {
    for add in adds {
        let (from, to) = places(source, target, &add.path);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        link(&from, &to)?;
    }
    Ok(())
}

/// Where a file of the log is below two folders. Paths in the log may be URL-encoded.
fn places(from: &Path, to: &Path, path: &str) -> (PathBuf, PathBuf) {
    if from.join(path).exists() {
        return (from.join(path), to.join(path));
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    (from.join(&decoded), to.join(decoded))
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        // file systems without hard links
        Err(_) => std::fs::copy(from, to).map(|_| ()),
    }
}
