//! Small texts by key, kept with the warehouse: verdicts of tests. A text that is lost costs work, never rows.
//!
//! Files of `.memory` below the root, named by a digest of their key; each holds the key on its first line.

use std::{fs, io, path::PathBuf};

use super::{Lake, LakeError};
use crate::names::Fingerprint;

const FOLDER: &str = ".memory";

impl Lake {
    fn memory(&self, key: &str) -> PathBuf {
        let name = Fingerprint::of([("key", key)]);
        // two levels: a folder of a hundred thousand files is slow on some file systems
        self.root().join(FOLDER).join(&name.as_str()[..2]).join(&name.as_str()[2..])
    }

    /// The text that was last kept under a key.
    pub fn recall(&self, key: &str) -> Result<Option<String>, LakeError> {
        match fs::read_to_string(self.memory(key)) {
            Ok(text) => Ok(text.strip_prefix(key).and_then(|rest| rest.strip_prefix('\n')).map(str::to_owned)),
            // not there yet; and what cannot be read is as good as forgotten
            Err(_) => Ok(None),
        }
    }

    /// Keeps a text, whole or not at all.
    pub fn remember(&self, key: &str, text: &str) -> Result<(), LakeError> {
        let path = self.memory(key);
        let wrong = |e: &io::Error| LakeError::storage("write", &path.display().to_string(), e);
        let folder = path.parent().unwrap_or_else(|| self.root());
        fs::create_dir_all(folder).map_err(|e| wrong(&e))?;
        let temporary = path.with_extension(format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()));
        fs::write(&temporary, format!("{key}\n{text}")).and_then(|()| fs::rename(&temporary, &path)).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            wrong(&e)
        })
    }
}
