//! The next version of one relation, made and looked at before anyone else sees it.
//!
//! A staging is a folder below `.staged` with a working copy of the relation, and a handle on the lake that has the relation
//! there. Publishing takes the difference to the version that was copied, and makes it one commit (of a view: one rename).
//! A staging is removed when it is dropped; what a killed process left is removed by the next one, which can tell by the
//! lock that the process held.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use deltalake::kernel::Add;

use super::{
    Change, Commit, Lake, LakeError, LakeTable, Removed, ViewFile, WrittenFile, commit::Committed, grave::Keep, location::relation_path,
    overlay::link_all,
};
use crate::names::{Identifier, RelationName};

/// Hidden from listings by its first letter.
const FOLDER: &str = ".staged";
const LOCK: &str = "lock";
/// A folder without a lock is one that is just being made, or was left right then.
const YOUNG: Duration = Duration::from_secs(3600);

/// What a published staging was.
#[derive(Debug)]
pub enum Staged {
    Table(Committed),
    View(ViewFile),
    /// It was left as it was.
    Unchanged,
}

pub struct Staging {
    relation: RelationName,
    lake: Lake,
    staged: Lake,
    base: Option<LakeTable>,
    home: PathBuf,
    /// Held as long as this process works on it.
    _lock: File,
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.staged.forget(&self.relation);
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Lake {
    pub async fn stage(&self, relation: &RelationName) -> Result<Staging, LakeError> {
        self.mark().await?;
        self.sweep_staged();
        let home = self.root().join(FOLDER).join(uuid::Uuid::new_v4().simple().to_string());
        let fail = |e: std::io::Error| LakeError::storage("stage", &relation.to_string(), &e);
        fs::create_dir_all(&home).map_err(fail)?;
        let lock = File::create(home.join(LOCK)).map_err(fail)?;
        // a file system without locks: then nobody sweeps it either
        let _ = lock.try_lock();
        let staged = self.session();
        staged.make_temporary(relation, &home);
        let mut staging = Staging { relation: relation.clone(), lake: self.clone(), staged, base: None, home, _lock: lock };
        if let Some(view) = self.view(relation)? {
            staging.staged.put_view(relation, &view).await?;
        }
        if let Some(table) = self.table(relation).await? {
            table.copy_to(&staging.home.join(relation_path(relation))).await?;
            staging.base = Some(table);
        }
        Ok(staging)
    }

    /// Where a staged version is kept that must not be published: `DEV__STAGED.ORDERS` for `DEV.ORDERS`.
    pub fn kept_name(relation: &RelationName) -> RelationName {
        let schema = relation.schema_name();
        let suffix = if schema.schema.is_bare() { "__STAGED" } else { "__staged" };
        let name = Identifier::exact(format!("{}{suffix}", schema.schema.as_str()));
        crate::names::SchemaName::new(schema.database, name).relation(relation.name.clone())
    }

    /// Makes a relation what another table is, in one commit on top of `base`: files that both have stay, those that only
    /// the other has are linked, never copied.
    pub async fn take_over(
        &self,
        base: Option<&LakeTable>,
        from: &LakeTable,
        relation: &RelationName,
        properties: BTreeMap<String, String>,
    ) -> Result<Committed, LakeError> {
        let before = match base {
            Some(base) => base.adds().await?,
            None => vec![],
        };
        let after = from.adds().await?;
        let (old, new): (HashSet<&str>, HashSet<&str>) =
            (before.iter().map(|a| a.path.as_str()).collect(), after.iter().map(|a| a.path.as_str()).collect());
        let gone: Vec<String> = old.difference(&new).map(|p| (*p).to_owned()).collect();
        // an append keeps the properties that it does not name
        let grows = base.is_some_and(|b| b.properties().keys().all(|k| properties.contains_key(k)));
        let (change, remove) = match gone.len() {
            0 if grows && !old.is_empty() => (Change::Append, Removed::None),
            n if n == old.len() => (Change::Replace, Removed::All),
            _ => (Change::Replace, Removed::Files(gone)),
        };
        let come: Vec<&Add> = after.iter().filter(|a| !old.contains(a.path.as_str())).collect();
        let fail = |e: std::io::Error| LakeError::storage("publish", &relation.to_string(), &e);
        link_all(come.iter().copied(), &from.folder(), &self.table_folder(relation)).map_err(fail)?;
        let commit = Commit {
            relation: relation.clone(),
            change,
            schema: from.schema()?,
            partition_by: from.partition_columns(),
            add: come.into_iter().cloned().map(WrittenFile::of).collect(),
            remove,
            comment: from.comment(),
            column_comments: BTreeMap::new(),
            properties,
            application: None,
        };
        let committed = self.commit(base, commit).await?;
        // a view of that name hid the table until now
        self.drop_view(relation)?;
        Ok(committed)
    }

    /// A version that was kept is of no more use; with the last one goes the schema.
    fn drop_kept(&self, relation: &RelationName) -> Result<(), LakeError> {
        let kept = Self::kept_name(relation);
        let folder = self.schema_folder(&kept.schema_name());
        if !folder.is_dir() {
            return Ok(());
        }
        self.drop_view(&kept)?;
        self.forget(&kept);
        self.discard(&self.table_folder(&kept), Keep::Nothing)?;
        // fails while something is in it
        let _ = fs::remove_dir(&folder);
        Ok(())
    }

    /// Removes what processes left that are no more.
    fn sweep_staged(&self) {
        let Ok(entries) = fs::read_dir(self.root().join(FOLDER)) else { return };
        for folder in entries.filter_map(Result::ok).map(|e| e.path()) {
            let left = match File::open(folder.join(LOCK)) {
                Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_))),
                Err(_) => age(&folder).is_some_and(|age| age > YOUNG),
            };
            if left {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }
}

fn age(folder: &Path) -> Option<Duration> {
    fs::metadata(folder).ok()?.modified().ok()?.elapsed().ok()
}

impl Staging {
    /// The lake in which the staged version has the relation's name.
    pub fn staged(&self) -> &Lake {
        &self.staged
    }

    /// Makes the staged version the relation's own. A commit made there since the staging began is a conflict.
    pub async fn publish(&self) -> Result<Staged, LakeError> {
        let (lake, relation) = (&self.lake, &self.relation);
        if let Some(view) = self.staged.view(relation)? {
            lake.put_view(relation, &view).await?;
            lake.drop_kept(relation)?;
            return Ok(Staged::View(view));
        }
        let Some(now) = self.staged.table(relation).await? else { return Ok(Staged::Unchanged) };
        let base = self.base.as_ref();
        let same = base.is_some_and(|base| base.table_id() == now.table_id() && base.version() == now.version());
        if same && lake.view(relation)?.is_none() {
            return Ok(Staged::Unchanged);
        }
        let committed = lake.take_over(base, &now, relation, now.properties()).await?;
        lake.drop_kept(relation)?;
        Ok(Staged::Table(committed))
    }

    /// Puts the staged version aside under a name of its own, where it can be asked until the relation is published again.
    pub fn keep(&self) -> Result<RelationName, LakeError> {
        let kept = Lake::kept_name(&self.relation);
        let lake = &self.lake;
        lake.drop_kept(&self.relation)?;
        lake.create_schema(&kept.schema_name())?;
        let is_view = self.staged.view_path(&self.relation).exists();
        let (from, to) = match is_view {
            true => (self.staged.view_path(&self.relation), lake.view_path(&kept)),
            false => (self.staged.table_folder(&self.relation), lake.table_folder(&kept)),
        };
        fs::rename(&from, &to).map_err(|e| LakeError::storage("keep", &kept.to_string(), &e))?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lake() -> (tempfile::TempDir, Lake) {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(".", folder.path()).expect("a lake");
        (folder, lake)
    }

    fn view(sql: &str) -> ViewFile {
        ViewFile {
            sql: sql.into(),
            database: "D".into(),
            schema: "S".into(),
            columns: vec![],
            comment: None,
            properties: Default::default(),
            external: None,
        }
    }

    #[tokio::test]
    async fn a_staged_view_is_seen_by_its_own_handle_alone_until_it_is_published() {
        let (_folder, lake) = lake();
        let relation = RelationName::parse_parts("D", "S", "V");
        lake.put_view(&relation, &view("select 1")).await.expect("a view");
        let staging = lake.stage(&relation).await.expect("a stage");
        staging.staged().put_view(&relation, &view("select 2")).await.expect("a view");
        let sql = |lake: &Lake| lake.view(&relation).expect("readable").map(|v| v.sql);
        assert_eq!((sql(&lake), sql(staging.staged())), (Some("select 1".into()), Some("select 2".into())));
        staging.publish().await.expect("it publishes");
        drop(staging);
        assert_eq!(sql(&lake), Some("select 2".into()));
        assert_eq!(fs::read_dir(lake.root().join(FOLDER)).expect("the folder").count(), 0);
    }

    #[tokio::test]
    async fn what_is_kept_has_a_name_until_the_next_publish() {
        let (_folder, lake) = lake();
        let relation = RelationName::parse_parts("D", "S", "V");
        let kept = Lake::kept_name(&relation);
        assert_eq!(kept.to_string(), "D.S__STAGED.V");
        for sql in ["select 1", "select 2"] {
            let staging = lake.stage(&relation).await.expect("a stage");
            staging.staged().put_view(&relation, &view(sql)).await.expect("a view");
            assert_eq!(staging.keep().expect("it is kept"), kept);
        }
        assert_eq!(lake.view(&kept).expect("readable").map(|v| v.sql), Some("select 2".into()));
        assert_eq!(lake.view(&relation).expect("readable"), None);
        let staging = lake.stage(&relation).await.expect("a stage");
        staging.staged().put_view(&relation, &view("select 3")).await.expect("a view");
        staging.publish().await.expect("it publishes");
        assert_eq!(lake.view(&kept).expect("readable"), None);
        assert!(!lake.schema_exists(&kept.schema_name()));
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_and_what_lives_is_not() {
        let (_folder, lake) = lake();
        let relation = RelationName::parse_parts("D", "S", "T");
        let left = lake.root().join(FOLDER).join("left");
        fs::create_dir_all(&left).expect("a folder");
        fs::write(left.join(LOCK), "").expect("a lock");
        let first = lake.stage(&relation).await.expect("a stage");
        assert!(!left.exists() && first.home.exists());
        let _second = lake.stage(&RelationName::parse_parts("D", "S", "U")).await.expect("a stage");
        assert!(first.home.exists());
    }
}
