//! Dropped objects: gone for every reader in one step (a rename), then removed; what a statement dropped is kept for a
//! day so that UNDROP can bring it back.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Lake, LakeError, location::relation_path};
use crate::names::{RelationName, SchemaName};

/// Holds what UNDROP may want, by time of the drop.
const GRAVES: &str = ".dropped";
/// Snowflake's default retention (Snowflake documentation, "Understanding & using Time Travel").
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    ForUndrop,
}

impl Lake {
    pub(super) fn discard(&self, folder: &Path, keep: Keep) -> Result<(), LakeError> {
        let fail = |e: &std::io::Error| LakeError::storage("drop", &folder.display().to_string(), e);
        if !folder.exists() {
            return Ok(());
        }
        let inside = folder.strip_prefix(self.root()).ok();
        match (keep, inside) {
            (Keep::ForUndrop, Some(inside)) => {
                self.purge();
                let millis = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis());
                let grave = self.root().join(GRAVES).join(format!("{millis:015}-{}", uuid::Uuid::new_v4())).join(inside);
                if let Some(parent) = grave.parent() {
                    std::fs::create_dir_all(parent).map_err(|e| fail(&e))?;
                }
                std::fs::rename(folder, &grave).map_err(|e| fail(&e))
            }
            _ => {
                let grave = self.root().join(format!(".dropped-{}", uuid::Uuid::new_v4()));
                match std::fs::rename(folder, &grave) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    Err(e) => Err(fail(&e)),
                    Ok(()) => std::fs::remove_dir_all(&grave).map_err(|e| fail(&e)),
                }
            }
        }
    }

    /// Graves older than the retention go. What cannot be removed now is tried again by the next drop.
    fn purge(&self) {
        let Ok(entries) = std::fs::read_dir(self.root().join(GRAVES)) else { return };
        for grave in entries.filter_map(Result::ok) {
            let dropped = grave.file_name().to_str().and_then(|n| n.split('-').next()?.parse::<u64>().ok());
            let age = dropped.and_then(|d| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(d)).ok());
            if age.is_none_or(|a| a > RETENTION) {
                let _ = std::fs::remove_dir_all(grave.path());
            }
        }
    }

    /// The newest grave that holds this path.
    fn buried(&self, inside: &str) -> Option<PathBuf> {
        let mut graves: Vec<PathBuf> = std::fs::read_dir(self.root().join(GRAVES)).ok()?.filter_map(Result::ok).map(|e| e.path()).collect();
        graves.sort();
        graves.into_iter().rev().map(|g| g.join(inside)).find(|p| p.exists())
    }

    fn restore(&self, inside: &str) -> Result<bool, LakeError> {
        let Some(grave) = self.buried(inside) else { return Ok(false) };
        let target = self.root().join(inside);
        let fail = |e: std::io::Error| LakeError::storage("restore", &target.display().to_string(), &e);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::rename(&grave, &target).map_err(fail)?;
        Ok(true)
    }

    /// Brings back the table that was dropped last under this name; false when none is kept.
    pub fn undrop_table(&self, relation: &RelationName) -> Result<bool, LakeError> {
        self.forget(relation);
        self.restore(&relation_path(relation))
    }

    /// The same for a schema with all that was in it.
    pub fn undrop_schema(&self, schema: &SchemaName) -> Result<bool, LakeError> {
        self.restore(&format!("{}/{}", super::location::segment(&schema.database), super::location::segment(&schema.schema)))
    }

    /// The same for a database.
    pub fn undrop_database(&self, database: &crate::names::Identifier) -> Result<bool, LakeError> {
        self.restore(&super::location::segment(database))
    }
}
