//! Artifact files that are either the old one or the new one, never half of it.

use std::{
    fs, io,
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::diagnostic::Diagnostic;

/// Temporary files of this process so far.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Writes beside the target and renames; missing folders are made.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Diagnostic> {
    let write = || -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // neither two invocations on one project nor two nodes of one file write into one temporary file
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let result = fs::File::create(&temporary).and_then(|mut file| file.write_all(content)).and_then(|()| fs::rename(&temporary, path));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    };
    write().map_err(|e| {
        Diagnostic::error("state/write", format!("`{}` cannot be written: {e}", path.display()))
            .help("the folder of artifacts must be writable; `--target-path` chooses another one")
    })
}

/// The same of a file that is mostly there already with this content: a look costs a fifth of a new file.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), Diagnostic> {
    if fs::read(path).is_ok_and(|there| there == content) { Ok(()) } else { write_atomically(path, content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a/b.json");
        write_atomically(&path, b"1").expect("written");
        write_atomically(&path, b"22").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"22");
        assert_eq!(fs::read_dir(folder.path().join("a")).expect("folder").count(), 1);
    }

    #[test]
    fn says_what_cannot_be_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("file"), "").expect("written");
        let e = write_atomically(&folder.path().join("file/x.json"), b"").expect_err("a file is no folder");
        assert!(e.message.contains("x.json"), "{}", e.message);
    }
}
