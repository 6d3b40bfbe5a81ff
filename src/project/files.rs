//! The one place where project files are read: real folders, those with the unsaved texts of an editor over them, or a tree in
//! memory for tests.
//!
//! Reading knows nothing of what files mean; it gives sorted paths and UTF-8 text without a byte order mark.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Where project files come from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub enum Files {
    #[default]
    Disk,
    /// The disk, with these absolute paths and contents in the place of what is saved.
    Unsaved(Arc<BTreeMap<PathBuf, String>>),
    /// Absolute paths and their contents.
    Memory(Arc<BTreeMap<PathBuf, String>>),
}

impl Files {
    /// A whole project in one string: `-- file: models/a.sql` starts each file, at `root`.
    pub fn from_text(root: &Path, text: &str) -> Self {
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut current: Option<PathBuf> = None;
        for line in text.split_inclusive('\n') {
            match line.trim_end().strip_prefix("-- file: ") {
                Some(path) => {
                    let path = root.join(path.trim());
                    files.insert(path.clone(), String::new());
                    current = Some(path);
                }
                None => {
                    if let Some(file) = current.as_ref().and_then(|p| files.get_mut(p)) {
                        file.push_str(line);
                    }
                }
            }
        }
        Self::Memory(Arc::new(files))
    }

    pub fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self {
            Self::Disk => std::fs::read(path),
            Self::Unsaved(files) => files.get(path).map_or_else(|| std::fs::read(path), |text| Ok(text.clone().into_bytes())),
            Self::Memory(files) => match files.get(path) {
                Some(text) => Ok(text.clone().into_bytes()),
                None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
            },
        }
    }

    pub fn read(&self, path: &Path) -> io::Result<String> {
        let text = String::from_utf8(self.read_bytes(path)?)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 from byte {}", e.utf8_error().valid_up_to())))?;
        Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    }

    /// What tells a file from itself after a change without reading it; `None` where the system says too little.
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        match self {
            Self::Disk => std::fs::metadata(path).ok().and_then(|m| Stamp::of(&m)),
            Self::Unsaved(files) if files.contains_key(path) => None,
            Self::Unsaved(_) => Self::Disk.stamp(path),
            Self::Memory(_) => None,
        }
    }

    /// Writes beside the file and renames: readers see the old content or the new one.
    pub fn replace<'a>(path: &Path, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut writer = io::BufWriter::with_capacity(1 << 16, tempfile::NamedTempFile::new_in(folder)?);
        for part in parts {
            io::Write::write_all(&mut writer, part)?;
        }
        let temporary = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.persist(path).map(drop).map_err(|e| e.error)
    }

    pub fn is_file(&self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_file(),
            Self::Unsaved(files) => files.contains_key(path) || path.is_file(),
            Self::Memory(files) => files.contains_key(path),
        }
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        match self {
            Self::Disk | Self::Unsaved(_) => path.is_dir(),
            Self::Memory(files) => files.keys().any(|f| f != path && f.starts_with(path)),
        }
    }

    /// Names of the folders right below `folder`, sorted.
    pub fn folders(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = match self {
            Self::Disk | Self::Unsaved(_) => std::fs::read_dir(folder)
                .map(|all| all.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.is_dir()).collect())
                .unwrap_or_default(),
            Self::Memory(files) => {
                let inner = files.keys().filter_map(|f| f.strip_prefix(folder).ok()).filter(|rest| rest.components().count() > 1);
                inner.filter_map(|rest| rest.components().next()).map(|first| folder.join(first)).collect()
            }
        };
        found.sort();
        found.dedup();
        found
    }

    /// Files below `folder` with one of the extensions, sorted. Hidden files and folders, other projects (folders with a
    /// `dbt_project.yml` of their own) and what `ignore` names are left out. A folder that does not exist holds nothing.
    pub fn list(&self, folder: &Path, extensions: &[&str], ignore: &Ignore) -> io::Result<Vec<PathBuf>> {
        let wanted =
            |p: &Path| p.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.iter().any(|x| x.eq_ignore_ascii_case(e)));
        let hidden = |p: &Path| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with('.'));
        let mut found = match self {
            // a file that was never saved is no part of the project yet
            Self::Disk | Self::Unsaved(_) if !folder.is_dir() => vec![],
            Self::Disk | Self::Unsaved(_) => {
                let mut found = vec![];
                let walk = walkdir::WalkDir::new(folder).follow_links(true).into_iter().filter_entry(|e| {
                    let inner = e.depth() > 0;
                    !(inner && hidden(e.path()))
                        && !(inner && e.file_type().is_dir() && (e.path().join("dbt_project.yml").is_file() || ignore.matches(e.path())))
                });
                for entry in walk {
                    let entry = entry.map_err(io::Error::from)?;
                    if entry.file_type().is_file() && wanted(entry.path()) && !ignore.matches(entry.path()) {
                        found.push(entry.into_path());
                    }
                }
                found
            }
            Self::Memory(files) => {
                let foreign = |p: &Path| {
                    p.ancestors()
                        .skip(1)
                        .take_while(|a| *a != folder && a.starts_with(folder))
                        .any(|a| files.contains_key(&a.join("dbt_project.yml")) || hidden(a))
                };
                let inside = files.keys().filter(|p| p.starts_with(folder) && wanted(p) && !hidden(p));
                inside.filter(|p| !foreign(p) && !ignore.matches(p)).cloned().collect()
            }
        };
        found.sort();
        Ok(found)
    }
}

/// Size, times and number on the disk of a file. Whoever sets the time of modification back still changes `changed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub length: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
    pub changed: u64,
    pub number: u64,
}

/// Clocks of file systems tick coarsely: a file that changed within this of being read may change again unseen.
const TICK: Duration = Duration::from_millis(100);

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &std::fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let nanos = |seconds: i64, nanos: i64| u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?).ok();
        Some(Self {
            length: metadata.size(),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec())?,
            changed: nanos(metadata.ctime(), metadata.ctime_nsec())?,
            number: metadata.ino(),
        })
    }

    #[cfg(not(unix))]
    fn of(_: &std::fs::Metadata) -> Option<Self> {
        None
    }

    /// Changed so long before `moment` that a later change shows.
    pub fn is_older(&self, moment: SystemTime) -> bool {
        let moment = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(TICK);
        u128::from(self.modified.max(self.changed)) < moment.as_nanos()
    }
}

/// `.dbtignore`: patterns as in `.gitignore` (dbt documentation, ".dbtignore").
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    root: PathBuf,
    /// In order; the last one that matches decides, `false` takes back.
    rules: Vec<(GlobSet, bool)>,
}

impl Ignore {
    /// Lines that are no pattern are skipped, as git does.
    pub fn parse(root: &Path, text: &str) -> Self {
        let rule = |line: &str| {
            let line = line.trim_end();
            let (pattern, ignored) = line.strip_prefix('!').map_or((line, true), |p| (p, false));
            let body = pattern.trim_start_matches('/').trim_end_matches('/');
            if body.is_empty() || line.starts_with('#') {
                return None;
            }
            let anchored = pattern.trim_end_matches('/').contains('/');
            let prefix = if anchored { "" } else { "**/" };
            let mut set = GlobSetBuilder::new();
            set.add(Glob::new(&format!("{prefix}{body}")).ok()?).add(Glob::new(&format!("{prefix}{body}/**")).ok()?);
            Some((set.build().ok()?, ignored))
        };
        Self { root: root.to_owned(), rules: text.lines().filter_map(rule).collect() }
    }

    fn matches(&self, path: &Path) -> bool {
        let Ok(inner) = path.strip_prefix(&self.root) else { return false };
        self.rules.iter().rev().find(|(set, _)| set.is_match(inner)).is_some_and(|(_, ignored)| *ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "-- file: models/a.sql\nselect 1\n-- file: models/.hidden/b.sql\n-- file: models/skip/c.sql\n-- file: models/keep/c.sql\n\
                        -- file: models/it/dbt_project.yml\n-- file: models/it/models/d.sql\n-- file: models/e.rs\n";

    fn names(files: &Files, root: &Path) -> Vec<String> {
        let ignore = Ignore::parse(root, "# comment\nskip/\n/models/keep/*.sql\n!c.sqlx\n");
        let found = files.list(&root.join("models"), &["sql"], &ignore).expect("readable");
        found.iter().map(|p| p.strip_prefix(root).expect("inside").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn both_kinds_list_the_same_files() {
        let memory = Files::from_text(Path::new("/p"), TREE);
        assert_eq!(names(&memory, Path::new("/p")), ["models/a.sql"]);
        assert_eq!(memory.read(Path::new("/p/models/a.sql")).expect("there"), "select 1\n");
        let folder = tempfile::tempdir().expect("a folder");
        let Files::Memory(files) = &memory else { return };
        for (path, text) in files.iter() {
            let path = folder.path().join(path.strip_prefix("/p").expect("inside"));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        assert_eq!(names(&Files::Disk, folder.path()), ["models/a.sql"]);
        assert_eq!(memory.folders(Path::new("/p/models")).len(), Files::Disk.folders(&folder.path().join("models")).len());
    }
}
