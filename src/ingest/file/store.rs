//! Where files lie: a local folder or a bucket, listed and read through one interface.
//!
//! Listing a folder gives its files in the order of their paths; listing a bucket is lazy, in the order of its keys, and may
//! begin behind a key. Faults of the network are told apart from those of the request: only the former are worth a
//! second attempt. Does not know which files are new.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use futures::{StreamExt, stream::BoxStream};
use globset::{GlobBuilder, GlobMatcher};
use hyper::body::Bytes;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as ObjectPath};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{engine::ListedFile, ingest::IngestError};

/// A file or object, as its listing tells it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value of `_FILE`: the setting `path` and the way below it, or `s3://bucket/key`.
    pub shown: String,
    key: ObjectPath,
    /// Of local files.
    path: Option<PathBuf>,
    pub size: u64,
    /// Microseconds since 1970.
    pub modified: i64,
    /// What changes with the content: an ETag. Local files have none that could be trusted.
    pub tag: Option<String>,
}

impl Found {
    /// Content that did not come from here.
    pub fn named(shown: &str) -> Self {
        Self { shown: shown.to_owned(), key: ObjectPath::default(), path: None, size: 0, modified: 0, tag: None }
    }
}

enum Place {
    Folder(PathBuf),
    Bucket { name: String, prefix: ObjectPath },
}

pub struct Store {
    objects: Arc<dyn ObjectStore>,
    place: Place,
    shown: String,
    glob: GlobMatcher,
    any_format: bool,
}

/// What is still to be looked at.
pub enum Listing {
    Folder(std::vec::IntoIter<Found>),
    Bucket(BoxStream<'static, object_store::Result<ObjectMeta>>),
}

pub fn matcher(glob: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(glob).literal_separator(true).build().map_err(|e| e.kind().to_string())?;
    Ok(glob.compile_matcher())
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

impl Store {
    pub fn folder(root: PathBuf, shown: &str, glob: GlobMatcher) -> Self {
        Self {
            objects: Arc::new(LocalFileSystem::new()),
            place: Place::Folder(root),
            shown: shown.trim_end_matches('/').to_owned(),
            glob,
            any_format: true,
        }
    }

    /// `any_format` takes empty objects whose name tells no format; consoles make such as markers of folders.
    pub fn bucket(objects: Arc<dyn ObjectStore>, name: &str, prefix: &str, glob: GlobMatcher, any_format: bool) -> Self {
        let place = Place::Bucket { name: name.to_owned(), prefix: ObjectPath::from(prefix) };
        Self { objects, place, shown: format!("s3://{name}/{prefix}").trim_end_matches('/').to_owned(), glob, any_format }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Bucket { .. })
    }

    /// Files below; of a bucket those behind the file `after`. Hidden files and those in hidden folders (a leading `.` or
    /// `_`) are left out, as other readers of such folders do: they are half-written or markers.
    pub fn list(&self, after: Option<&str>) -> Result<Listing, IngestError> {
        match &self.place {
            Place::Folder(root) => {
                let mut files = self.local_files(root)?;
                if let Some(after) = after {
                    files.retain(|found| found.shown.as_str() > after);
                }
                Ok(Listing::Folder(files.into_iter()))
            }
            Place::Bucket { name, prefix } => {
                let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
                let after = after.and_then(|shown| shown.strip_prefix(&format!("s3://{name}/")));
                Ok(Listing::Bucket(match after.and_then(|key| ObjectPath::parse(key).ok()) {
                    Some(after) => self.objects.list_with_offset(prefix, &after),
                    None => self.objects.list(prefix),
                }))
            }
        }
    }

    /// The next file that the pattern takes.
    pub fn next(&self, listing: &mut Listing, handle: &Handle) -> Result<Option<Found>, IngestError> {
        match listing {
            Listing::Folder(files) => Ok(files.next()),
            Listing::Bucket(stream) => {
                while let Some(meta) = handle.block_on(stream.next()) {
                    let meta = meta.map_err(|e| fault(&e, &format!("`{}` cannot be listed", self.shown)))?;
                    if let Some(found) = self.object(meta) {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    fn object(&self, meta: ObjectMeta) -> Option<Found> {
        let Place::Bucket { name, prefix } = &self.place else { return None };
        let below: Vec<_> = meta.location.prefix_match(prefix)?.collect();
        let below: Vec<&str> = below.iter().map(AsRef::as_ref).collect();
        if below.iter().any(|part| is_hidden(part)) || !self.glob.is_match(below.join("/")) {
            return None;
        }
        if meta.size == 0 && !self.any_format && super::records::Format::of(meta.location.as_ref()).is_none() {
            return None;
        }
        Some(Found {
            shown: format!("s3://{name}/{}", meta.location),
            path: None,
            size: meta.size,
            modified: meta.last_modified.timestamp_micros(),
            tag: meta.e_tag.or(meta.version),
            key: meta.location,
        })
    }

    fn local_files(&self, root: &Path) -> Result<Vec<Found>, IngestError> {
        if root.is_file() {
            return Ok(vec![self.local(self.shown.clone(), root)?]);
        }
        if !root.is_dir() {
            return Err(IngestError::new("ingest/no-folder", format!("there is no folder `{}`", self.shown))
                .help("`path` of the source's adapter is relative to the project's folder"));
        }
        let walk = walkdir::WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
        let mut files = vec![];
        for entry in walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_name().to_str().is_some_and(is_hidden)) {
            let entry = entry.map_err(|e| IngestError::new("ingest/unreadable", format!("`{}` cannot be listed: {e}", self.shown)))?;
            let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
            if entry.file_type().is_file() && self.glob.is_match(below) {
                let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
                files.push(self.local(format!("{}/{}", self.shown, parts.join("/")), entry.path())?);
            }
        }
        // folders are walked one after the other, keys of a bucket are compared as texts: `a-b` is before `a/b`
        files.sort_by(|a, b| a.shown.cmp(&b.shown));
        Ok(files)
    }

    fn local(&self, shown: String, path: &Path) -> Result<Found, IngestError> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(&shown, &e))?;
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_micros() as i64);
        Ok(Found { shown, key: ObjectPath::default(), path: Some(path.to_owned()), size: metadata.len(), modified, tag: None })
    }

    /// A file that a former look found; `None` when it does not lie below.
    pub fn listed(&self, file: &ListedFile) -> Option<Found> {
        let mut found = Found { size: file.size, modified: file.modified, ..Found::named(&file.name) };
        match &self.place {
            Place::Folder(root) => {
                found.path = Some(match file.name.strip_prefix(&self.shown)? {
                    "" => root.clone(),
                    below => root.join(below.strip_prefix('/')?),
                });
            }
            Place::Bucket { name, prefix } => {
                found.key = ObjectPath::parse(file.name.strip_prefix(&format!("s3://{name}/"))?).ok()?;
                let _below = found.key.prefix_match(prefix)?;
            }
        }
        Some(found)
    }

    /// One file by the name that it is shown with; `None` when it is gone, or no longer below.
    pub fn find(&self, shown: &str, handle: &Handle) -> Result<Option<Found>, IngestError> {
        match &self.place {
            Place::Folder(root) => {
                let path = match shown.strip_prefix(&self.shown) {
                    Some("") => root.clone(),
                    Some(below) => root.join(below.trim_start_matches('/')),
                    None => return Ok(None),
                };
                if path.is_file() { self.local(shown.to_owned(), &path).map(Some) } else { Ok(None) }
            }
            Place::Bucket { name, .. } => {
                let Some(key) = shown.strip_prefix(&format!("s3://{name}/")).and_then(|key| ObjectPath::parse(key).ok()) else {
                    return Ok(None);
                };
                match handle.block_on(self.objects.head(&key)) {
                    Ok(meta) => Ok(self.object(meta)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(e) => Err(cannot_read(shown, &e)),
                }
            }
        }
    }

    pub fn local_file(&self, found: &Found) -> Result<std::fs::File, IngestError> {
        let path = found.path.as_deref().unwrap_or(Path::new(""));
        std::fs::File::open(path).map_err(|e| unreadable(&found.shown, &e))
    }

    /// The content, as bytes that come while they are read.
    pub fn open(&self, found: &Found, handle: &Handle, troubles: &Troubles) -> Result<Box<dyn Read + Send>, IngestError> {
        if let Some(path) = &found.path {
            let file = std::fs::File::open(path).map_err(|e| unreadable(&found.shown, &e))?;
            return Ok(Box::new(file));
        }
        let got = handle.block_on(self.objects.get(&found.key)).map_err(|e| cannot_read(&found.shown, &e))?;
        Ok(Box::new(ObjectRead {
            stream: got.into_stream(),
            rest: Bytes::new(),
            handle: handle.clone(),
            shown: found.shown.clone(),
            troubles: troubles.clone(),
        }))
    }

    /// A whole small object, asked for ahead of its turn.
    pub fn whole(&self, found: &Found) -> impl Future<Output = Result<Bytes, IngestError>> + Send + 'static {
        let (objects, found) = (Arc::clone(&self.objects), found.clone());
        async move {
            let got = objects.get(&found.key).await.map_err(|e| cannot_read(&found.shown, &e))?;
            got.bytes().await.map_err(|e| cannot_read(&found.shown, &e))
        }
    }

    /// For readers that need the end of a file first.
    pub fn random_access(&self, found: &Found) -> Result<(Arc<dyn ObjectStore>, ObjectPath), IngestError> {
        let key = match &found.path {
            None => found.key.clone(),
            Some(path) => ObjectPath::from_absolute_path(std::path::absolute(path).map_err(|e| unreadable(&found.shown, &e))?)
                .map_err(|e| IngestError::new("ingest/unreadable", format!("`{}` cannot be read: {e}", found.shown)))?,
        };
        Ok((Arc::clone(&self.objects), key))
    }
}

/// What went wrong below a decoder that tells every fault of its input as a broken file.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<Option<IngestError>>>);

impl Troubles {
    pub fn take(&self) -> Option<IngestError> {
        self.0.lock().take()
    }
}

/// An object's stream as an ordinary reader; used on threads that may block.
struct ObjectRead {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    rest: Bytes,
    handle: Handle,
    shown: String,
    troubles: Troubles,
}

impl Read for ObjectRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(e)) => {
                    *self.troubles.0.lock() = Some(cannot_read(&self.shown, &e));
                    return Err(std::io::Error::other("the network failed"));
                }
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}

pub fn unreadable(shown: &str, error: &std::io::Error) -> IngestError {
    IngestError::new("ingest/unreadable", format!("`{shown}` cannot be read: {error}"))
}

fn cannot_read(shown: &str, error: &object_store::Error) -> IngestError {
    fault(error, &format!("`{shown}` cannot be read"))
}

/// What the store said, without the layers that it came through.
pub fn fault(error: &object_store::Error, what: &str) -> IngestError {
    use object_store::Error as E;
    let text = chain(error);
    let said = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once("</").map(|(value, _)| value.to_owned())
    };
    let code = said("Code");
    let reason = match (&code, said("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        _ => last(error),
    };
    let message = format!("{what}: {reason}");
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["NoSuchBucket", "bucket does not exist"]) {
        return IngestError::new("ingest/no-bucket", message).help("is the bucket's name right, and `endpoint` or `region` its own?");
    }
    let denied = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "InvalidToken", "403 Forbidden"];
    if matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. }) || has(&denied) {
        return IngestError::new("ingest/access-denied", message).help(
            "credentials are taken from the settings, from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile file, a web \
             identity, or the machine's metadata, in this order; `anonymous: true` asks without",
        );
    }
    if has(&["169.254.169.254", "latest/api/token"]) {
        return IngestError::new("ingest/no-credentials", format!("{what}: there are no credentials"))
            .help("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile; `anonymous: true` asks without");
    }
    match error {
        E::NotFound { .. } => IngestError::new("ingest/no-object", message),
        E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => IngestError::new("ingest/unreadable", message),
        _ => IngestError::new("ingest/unreachable", message).transient(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text} {cause}");
        next = cause.source();
    }
    text
}

fn last(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string().lines().next().unwrap_or_default().trim().to_owned()
}
