//! Which files there are, and which of them are new: by size and time of change, and where those differ by content.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use flate2::read::MultiGzDecoder;
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ingest::IngestError;

/// A folder and a pattern of paths below it.
pub struct Discovery {
    root: PathBuf,
    shown: String,
    glob: GlobMatcher,
}

pub struct Found {
    /// The setting `path` and the way below it, `/` between: the value of `_FILE`.
    pub shown: String,
    pub path: PathBuf,
}

/// The files that have landed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Position {
    pub files: BTreeMap<String, FileState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub size: u64,
    /// Microseconds since 1970.
    modified: i64,
    digest: String,
}

impl Discovery {
    pub fn new(root: PathBuf, shown: &str, glob: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(glob).literal_separator(true).build().map_err(|e| e.kind().to_string())?;
        Ok(Self { root, shown: shown.trim_end_matches('/').to_owned(), glob: glob.compile_matcher() })
    }

    /// In the order of their paths. Hidden files and those in hidden folders (a leading `.` or `_`) are left out, as
    /// other readers of such folders do: they are half-written or markers. A `path` that is a file is that file.
    pub fn files(&self) -> Result<Vec<Found>, IngestError> {
        if self.root.is_file() {
            return Ok(vec![Found { shown: self.shown.clone(), path: self.root.clone() }]);
        }
        if !self.root.is_dir() {
            return Err(IngestError::new("ingest/no-folder", format!("there is no folder `{}`", self.shown))
                .help("`path` of the source's adapter is relative to the project's folder"));
        }
        let hidden = |name: &std::ffi::OsStr| name.to_str().is_some_and(|n| n.starts_with(['.', '_']));
        let walk = walkdir::WalkDir::new(&self.root).follow_links(true).sort_by_file_name().into_iter();
        let mut files = vec![];
        for entry in walk.filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name())) {
            let entry = entry.map_err(|e| IngestError::new("ingest/unreadable", format!("`{}` cannot be listed: {e}", self.shown)))?;
            let below = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
            if entry.file_type().is_file() && self.glob.is_match(below) {
                let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
                files.push(Found { shown: format!("{}/{}", self.shown, parts.join("/")), path: entry.path().to_path_buf() });
            }
        }
        Ok(files)
    }
}

impl Position {
    pub fn read(text: Option<&str>) -> Result<Self, IngestError> {
        let Some(text) = text else { return Ok(Self::default()) };
        serde_json::from_str(text).map_err(|e| {
            IngestError::new("ingest/position", format!("the recorded position of the source cannot be read: {e}"))
                .help("`--full-refresh` of the source begins anew")
        })
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("maps of texts are JSON")
    }

    /// The state of a file that is new or has another content; `None` of one that has landed. Size and time of
    /// change spare the reading; a file that was only touched is told by its content.
    pub fn changed(&self, found: &Found) -> Result<Option<FileState>, IngestError> {
        let metadata = std::fs::metadata(&found.path).map_err(|e| unreadable(found, &e))?;
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_micros() as i64);
        let known = self.files.get(&found.shown);
        if known.is_some_and(|known| known.size == metadata.len() && known.modified == modified) {
            return Ok(None);
        }
        let state = FileState { size: metadata.len(), modified, digest: digest(&found.path).map_err(|e| unreadable(found, &e))? };
        Ok(known.is_none_or(|known| known.digest != state.digest).then_some(state))
    }
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()),
            n => hash.update(&block[..n]),
        }
    }
}

/// The content, unpacked when the name ends in `.gz`.
pub fn open(found: &Found) -> Result<Box<dyn Read>, IngestError> {
    let file = File::open(&found.path).map_err(|e| unreadable(found, &e))?;
    let is_gzip = found.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) })
}

pub fn unreadable(found: &Found, error: &std::io::Error) -> IngestError {
    IngestError::new("ingest/unreadable", format!("`{}` cannot be read: {error}", found.shown))
}
