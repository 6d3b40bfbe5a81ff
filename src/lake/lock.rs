//! One builder at a time per relation: an advisory lock on a small file, which the system lets go of when its process
//! ends, however it ends.
//!
//! It saves two builds from doing the same work; what keeps them right is the commit, which fails when anyone else
//! committed in between. So a file system without locks is no fault: there is then nothing to wait for.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
};

use super::{Lake, LakeError, location::relation_path};
use crate::names::RelationName;

/// Hidden from the listing of databases by its first letter.
const FOLDER: &str = ".locks";

/// The right to change one relation; dropping it gives it back.
#[derive(Debug)]
pub struct RelationLock {
    _file: Option<File>,
}

/// What became of asking for a lock.
#[derive(Debug)]
pub enum Locked {
    Held(RelationLock),
    /// Who holds it, as that one described itself.
    Busy(String),
}

impl Lake {
    /// Asks once and does not wait. `holder` is what others are told meanwhile.
    pub fn lock(&self, relation: &RelationName, holder: &str) -> Result<Locked, LakeError> {
        let folder = self.root().join(FOLDER);
        let path = folder.join(relation_path(relation).replace('/', "."));
        let fail = |e: &std::io::Error| LakeError::storage("lock", &path.display().to_string(), e);
        std::fs::create_dir_all(&folder).map_err(|e| fail(&e))?;
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(|e| fail(&e))?;
        match file.try_lock() {
            Ok(()) => {
                // who it is is a courtesy: a full disk must not keep a build from its own error
                let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
                Ok(Locked::Held(RelationLock { _file: Some(file) }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Ok(Locked::Busy(if text.is_empty() { "another process".into() } else { text }))
            }
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(Locked::Held(RelationLock { _file: None })),
            Err(TryLockError::Error(e)) => Err(fail(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(".", folder.path()).expect("a lake");
        let relation = RelationName::parse_parts("D", "S", "T");
        let other = RelationName::parse_parts("D", "S", "U");
        let held = lake.lock(&relation, "the first").expect("it locks");
        assert!(matches!(held, Locked::Held(_)));
        match lake.lock(&relation, "the second").expect("it answers") {
            Locked::Busy(who) => assert_eq!(who, "the first"),
            Locked::Held(_) => panic!("two holders"),
        }
        assert!(matches!(lake.lock(&other, "the second").expect("it locks"), Locked::Held(_)));
        drop(held);
        assert!(matches!(lake.lock(&relation, "the second").expect("it locks"), Locked::Held(_)));
        assert_eq!(lake.schemas().expect("it lists"), vec![]);
    }
}
