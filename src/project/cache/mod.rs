//! What was parsed the last time: texts of files and the nodes drafted from them, in one file below the target folder.
//!
//! A cache answers for a file only when nothing that drafting asks has changed. What that is, is in three parts:
//!
//! | part | checked by |
//! |---|---|
//! | the program, `dbt_project.yml` of all packages, macros, fixtures, `{% docs %}`, variables, the profile's target | one digest, [`key`] |
//! | environment variables that were read | a digest of each value, salted |
//! | the file, and the files that its nodes share with it (YAML entries, tests) | content; [`Segment`] |
//!
//! A segment is a set of files that describe each other; it is read back or drafted anew as a whole. A file whose nodes read what no
//! digest holds (the clock, the invocation's id, flags), or whose YAML holds secrets, is never kept.
//!
//! The content of a file is known to be the same when its size, its times and its number on the disk are; else it is read and
//! compared. A file that was changed shortly before it was read is always compared. Deleting the cache costs one slow start.
//! A cache that is torn, foreign or of another program is as good as none: every part carries a digest. It is written beside itself
//! and renamed, so that processes that run at once read the one or the other.

mod codec;
mod nodes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use codec::{Broken, Kept, Read, Reader, Writer, kept};
use parking_lot::Mutex;
use rayon::prelude::*;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::{
    files::{Files, Stamp},
    harvest::Yield,
    package::{Package, PackageFiles, ResourceFile},
    profile::Profile,
};
use crate::{
    diagnostic::{Diagnostic, Severity, SourceFile},
    template::{EnvironmentLookup, ProjectContext},
};

pub use codec::Known;

/// Where the cache is, and whose.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// Names this build of the program: another one reads nothing of what this one wrote.
    pub program: String,
    /// `--target-path`; else the project's.
    pub target: Option<PathBuf>,
}

const NAME: &str = "parse_cache.bin";
const MAGIC: &[u8; 16] = b"segue parse 002\n";

type Digest = [u8; 32];

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// What the environment was asked while loading, with the answers.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Asked {
    pub fn listen(&self, env: &EnvironmentLookup) -> EnvironmentLookup {
        let (asked, env) = (self.0.clone(), env.clone());
        Arc::new(move |name| {
            let answer = env(name);
            asked.lock().insert(name.to_owned(), answer.clone());
            answer
        })
    }
}

/// A file as it was.
struct File {
    path: PathBuf,
    /// `None`: read it again to know.
    stamp: Option<Stamp>,
    digest: Digest,
    /// Of the bytes of the cache.
    text: Range<usize>,
    /// Its nodes are drafted anew each time.
    varies: bool,
}

/// Files that describe each other, and where their nodes are.
pub struct Segment {
    files: Vec<usize>,
    /// Of its nodes and its YAML entries.
    pub names: Vec<String>,
    bytes: Range<usize>,
    digest: Digest,
}

struct Header {
    program: String,
    salt: u64,
    key: Digest,
    env: Vec<(String, Digest)>,
    files: Vec<File>,
    segments: Vec<Segment>,
}

kept! {
    File { path, stamp, digest, text, varies }
    Segment { files, names, bytes, digest }
    Header { program, salt, key, env, files, segments }
    Stamp { length, modified, changed, number }
    Yield { file, drafts, rest, groups, semantic, macros }
}

/// An opened cache; empty when there is none that could be read.
pub struct Cache {
    place: PathBuf,
    program: String,
    bytes: Vec<u8>,
    header: Option<Header>,
    by_path: HashMap<PathBuf, usize>,
    /// Files changed since then are not known by their times.
    opened: std::time::SystemTime,
}

impl Cache {
    pub fn open(options: &CacheOptions, root: &Package) -> Self {
        let target = options.target.clone().unwrap_or_else(|| PathBuf::from(&root.file.folders.target));
        let place = root.root.join(target).join(NAME);
        let opened = std::time::SystemTime::now();
        let bytes = Files::Disk.read_bytes(&place).unwrap_or_default();
        let header = header(&bytes).ok().filter(|h| h.program == options.program);
        let by_path = header.iter().flat_map(|h| h.files.iter().enumerate().map(|(n, f)| (f.path.clone(), n))).collect();
        Self { place, program: options.program.clone(), bytes, header, by_path, opened }
    }

    fn file(&self, shown: &Path) -> Option<&File> {
        self.header.as_ref()?.files.get(*self.by_path.get(shown)?)
    }

    /// The text of a file that is as it was.
    pub fn text(&self, shown: &Path, stamp: Option<&Stamp>) -> Option<String> {
        let file = self.file(shown)?;
        file.stamp.as_ref().filter(|s| Some(*s) == stamp)?;
        std::str::from_utf8(self.bytes.get(file.text.clone())?).ok().map(str::to_owned)
    }

    /// Segments that may be read back: none of their files has changed, appeared, gone, or varies. All are dirty when what all
    /// nodes ask has changed.
    pub fn clean(&self, key: Digest, env: &EnvironmentLookup, present: &[&ResourceFile]) -> Vec<&Segment> {
        let Some(header) = self.header.as_ref().filter(|h| h.key == key) else { return vec![] };
        if header.env.iter().any(|(name, was)| salted(header.salt, env(name).as_deref()) != *was) {
            return vec![];
        }
        let same: HashSet<usize> = present
            .par_iter()
            .filter_map(|file| {
                let index = *self.by_path.get(file.file.path())?;
                let was = header.files.get(index)?;
                let same = (was.stamp.is_some() && was.stamp == file.stamp) || was.digest == digest(file.file.text.as_bytes());
                (same && !was.varies).then_some(index)
            })
            .collect();
        header.segments.iter().filter(|s| s.files.iter().all(|f| same.contains(f))).collect()
    }

    /// The files of a segment, by shown path.
    pub fn files_of(&self, segment: &Segment) -> impl Iterator<Item = &Path> {
        let files = self.header.as_ref().map(|h| h.files.as_slice()).unwrap_or_default();
        segment.files.iter().filter_map(move |n| files.get(*n)).map(|f| f.path.as_path())
    }

    /// Reads segments back; `None` when one of them is not what was written.
    pub fn read(&self, segments: &[&Segment], known: &Known) -> Option<Vec<Yield>> {
        let read = |segment: &&Segment| -> Read<Vec<Yield>> {
            let bytes = self.bytes.get(segment.bytes.clone()).ok_or(Broken)?;
            if digest(bytes) != segment.digest {
                return Err(Broken);
            }
            decoded(bytes, known)
        };
        let all: Read<Vec<Vec<Yield>>> = segments.par_iter().map(read).collect();
        all.ok().map(|all| all.into_iter().flatten().collect())
    }

    /// Everything in one file, ready to be written once the project has turned out to be sound; `None` when it would be what is
    /// there. `groups` are the files that were drafted anew, by what describes what; `varying` those that the next load may not keep.
    pub fn renewed(
        &self,
        state: &State<'_>,
        clean: &[&Segment],
        groups: &[Vec<&Yield>],
        entries: &HashMap<&Path, Vec<&str>>,
    ) -> Option<Renewed> {
        if let Some(header) = &self.header {
            let unchanged = header.key == state.key
                && header.files.len() == state.present.len()
                && state.present.iter().all(|f| self.file(f.file.path()).is_some_and(|was| self.is_as_was(was, f)))
                && groups.iter().flatten().all(|y| self.file(y.file.path()).is_some_and(|f| f.varies));
            if unchanged {
                return None;
            }
        }
        let length = state.present.iter().map(|f| f.file.text.len()).sum();
        let mut texts: Vec<u8> = Vec::with_capacity(length);
        let mut files = vec![];
        let mut index: HashMap<&Path, usize> = HashMap::new();
        for file in state.present {
            let path = file.file.path();
            let start = texts.len();
            texts.extend_from_slice(file.file.text.as_bytes());
            index.insert(path, files.len());
            let stamp = file.stamp.clone().filter(|s| s.is_older(self.opened));
            files.push(File {
                path: path.to_owned(),
                digest: digest(file.file.text.as_bytes()),
                stamp,
                text: start..texts.len(),
                varies: state.varying.contains(path),
            });
        }
        let (mut segments, mut parts, mut end) = (vec![], vec![], length);
        let mut add = |part: Vec<u8>| {
            let start = end;
            end += part.len();
            parts.push(part);
            start..end
        };
        for old in clean {
            let bytes = add(self.bytes.get(old.bytes.clone())?.to_vec());
            let numbers = self.files_of(old).filter_map(|p| index.get(p).copied()).collect();
            segments.push(Segment { files: numbers, names: old.names.clone(), bytes, digest: old.digest });
        }
        let written: Vec<Option<Vec<u8>>> = groups.par_iter().map(|group| encoded(group, state.known)).collect();
        for (group, written) in groups.iter().zip(written) {
            let numbers: Vec<usize> = group.iter().filter_map(|y| index.get(y.file.path()).copied()).collect();
            let Some(written) = written.filter(|_| !numbers.iter().any(|n| files[*n].varies)) else {
                numbers.iter().for_each(|n| files[*n].varies = true);
                continue;
            };
            let digest = digest(&written);
            let bytes = add(written);
            let of_nodes = group.iter().flat_map(|y| y.drafts.iter().map(|(d, _)| d.node.name.as_str()));
            let of_entries = group.iter().filter_map(|y| entries.get(y.file.path())).flatten().copied();
            let mut names: Vec<String> = of_nodes.chain(of_entries).map(str::to_owned).collect();
            names.sort_unstable();
            names.dedup();
            segments.push(Segment { files: numbers, names, bytes, digest });
        }
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let env = state.asked.0.lock();
        let env = env.iter().map(|(name, value)| (name.clone(), salted(salt, value.as_deref()))).collect();
        let before = self.header.as_ref().filter(|_| !clean.is_empty()).map(|h| &h.env);
        let env = before_and_now(env, before, state.env, salt);
        let header = Header { program: self.program.clone(), salt, key: state.key, env, files, segments };
        let beginning = beginning(&header, &texts)?;
        parts.splice(0..0, [beginning, texts]);
        Some(Renewed(parts))
    }

    fn is_as_was(&self, was: &File, now: &ResourceFile) -> bool {
        (was.stamp.is_some() && was.stamp == now.stamp)
            || (was.stamp.is_none()
                && now.stamp.as_ref().is_none_or(|s| !s.is_older(self.opened))
                && was.digest == digest(now.file.text.as_bytes()))
    }

    /// A cache that cannot be written costs time, not a result.
    pub fn write(&self, renewed: &Renewed) {
        if let Err(error) = Files::replace(&self.place, renewed.0.iter().map(Vec::as_slice)) {
            tracing::debug!("the parse cache `{}` cannot be written: {error}", self.place.display());
        }
    }
}

/// A new content of the cache, in pieces that follow one another: a second copy of all would be the most that a load holds.
pub struct Renewed(Vec<Vec<u8>>);

/// What a load knows when it writes the cache.
pub struct State<'a> {
    pub key: Digest,
    pub present: &'a [&'a ResourceFile],
    pub known: &'a Known,
    pub varying: &'a HashSet<PathBuf>,
    pub asked: &'a Asked,
    pub env: &'a EnvironmentLookup,
}

/// Segments that were kept rest on variables that this load did not ask for.
fn before_and_now(
    mut now: Vec<(String, Digest)>,
    before: Option<&Vec<(String, Digest)>>,
    env: &EnvironmentLookup,
    salt: u64,
) -> Vec<(String, Digest)> {
    let names: HashSet<String> = now.iter().map(|(n, _)| n.clone()).collect();
    for (name, _) in before.into_iter().flatten().filter(|(n, _)| !names.contains(n)) {
        now.push((name.clone(), salted(salt, env(name).as_deref())));
    }
    now
}

/// Values of variables may be secrets: what is written cannot be compared with that of another file.
fn salted(salt: u64, value: Option<&str>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(salt.to_le_bytes());
    hash.update([u8::from(value.is_some())]);
    hash.update(value.unwrap_or_default());
    hash.finalize().into()
}

/// How much of a segment is one piece of work: a single YAML file may describe a whole project.
const PIECE: usize = 64;

/// A segment in pieces, each with its own list of files; `None` when it names a file that a later load could not find.
fn encoded(group: &[&Yield], known: &Known) -> Option<Vec<u8>> {
    let piece = |few: &[&Yield]| {
        let mut w = Writer::new(known);
        w.number(few.len() as u64);
        few.iter().for_each(|y| w.put(*y));
        w.finish()
    };
    let pieces: Vec<Vec<u8>> = group.par_chunks(PIECE).map(piece).collect::<Option<_>>()?;
    let mut w = Writer::new(known);
    w.number(pieces.len() as u64);
    for piece in &pieces {
        w.number(piece.len() as u64);
        w.bytes.extend_from_slice(piece);
    }
    w.finish()
}

fn decoded(bytes: &[u8], known: &Known) -> Read<Vec<Yield>> {
    let mut whole = Reader::new(bytes, known)?;
    let mut pieces = vec![];
    for _ in 0..whole.length()? {
        let length = whole.length()?;
        pieces.push(whole.take(length)?);
    }
    let read: Read<Vec<Vec<Yield>>> = pieces.par_iter().map(|piece| Reader::new(piece, known)?.get()).collect();
    Ok(read?.into_iter().flatten().collect())
}

/// What stands before the segments: `MAGIC`, the lengths of header and texts, the digest of both, the header. Behind it come the
/// texts and segments; ranges count from the end of the header.
fn beginning(header: &Header, texts: &[u8]) -> Option<Vec<u8>> {
    let known = Known::new();
    let mut w = Writer::new(&known);
    w.put(header);
    if w.foreign {
        return None;
    }
    let head = w.bytes;
    let mut out = Vec::with_capacity(MAGIC.len() + 48 + head.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(head.len() as u64).to_le_bytes());
    out.extend_from_slice(&(texts.len() as u64).to_le_bytes());
    let mut hash = Sha256::new();
    hash.update(&head);
    hash.update(texts);
    out.extend_from_slice(&hash.finalize());
    out.extend_from_slice(&head);
    Some(out)
}

fn header(bytes: &[u8]) -> Read<Header> {
    let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(Broken)?;
    let (lengths, rest) = rest.split_at_checked(16).ok_or(Broken)?;
    let (sum, rest) = rest.split_at_checked(32).ok_or(Broken)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok().and_then(|n| usize::try_from(n).ok()).ok_or(Broken);
    let (length, texts) = (number(&lengths[..8])?, number(&lengths[8..])?);
    let signed = rest.get(..length.checked_add(texts).ok_or(Broken)?).ok_or(Broken)?;
    if magic != MAGIC || digest(signed) != *sum {
        return Err(Broken);
    }
    let mut header: Header = Reader::plain(&signed[..length]).get()?;
    let start = bytes.len() - rest.len() + length;
    let moved = |range: &mut Range<usize>| *range = range.start.saturating_add(start)..range.end.saturating_add(start);
    header.files.iter_mut().for_each(|f| moved(&mut f.text));
    header.segments.iter_mut().for_each(|s| moved(&mut s.bytes));
    Ok(header)
}

/// What all nodes may ask. Changes nothing for names that stand in another order.
pub fn key(program: &str, packages: &[Package], files: &[PackageFiles], context: &ProjectContext, profile: &Profile) -> Digest {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(program.as_bytes());
    for package in packages {
        let file = &package.file.file;
        part(package.name().as_bytes());
        part(file.path().to_string_lossy().as_bytes());
        part(file.text.as_bytes());
        // configuration that looks at the clock or at the invocation is that of this invocation alone
        part(if varies(&file.text) { context.invocation_id.as_bytes() } else { b"" });
    }
    for found in files {
        let macros = found.macros.iter().map(|m| &m.file);
        for file in macros.chain(found.fixtures.iter().map(|f| &f.file)) {
            part(file.path().to_string_lossy().as_bytes());
            part(file.text.as_bytes());
        }
    }
    let all = serde_json::json!([
        context.target,
        context.vars,
        context.package_vars,
        context.cli_vars,
        context.dispatch,
        context.docs,
        context.flags.get("STORE_FAILURES"),
        [&context.project_name, &context.dbt_version, &context.engine, &profile.type_, &profile.database, &profile.schema],
    ]);
    part(all.to_string().as_bytes());
    hash.finalize().into()
}

/// Whether a template may read what no digest holds. By words: one too many costs a little time, one too few a wrong parse.
pub fn varies(text: &str) -> bool {
    const WORDS: [&str; 6] = ["run_started_at", "invocation_", "flags", "modules", "thread_id", "selected_resources"];
    text.contains("{{") && WORDS.iter().any(|w| text.contains(w))
}

/// Whether what a YAML file says may hold a secret once it is rendered: that is never written anywhere.
pub fn holds_secrets(text: &str) -> bool {
    text.contains("_SECRET_") || (text.contains("adapter") && (text.contains("env_var") || text.contains("var(")))
}

impl Kept for Severity {
    fn put(&self, w: &mut Writer<'_>) {
        w.put(&(*self == Self::Error));
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok(if r.get()? { Self::Error } else { Self::Warning })
    }
}

/// One of a few names that the program holds; kept as text, found again by [`code`].
impl Kept for Diagnostic {
    fn put(&self, w: &mut Writer<'_>) {
        let Self { code, severity, message, place, label, related, notes, help } = self;
        w.text(code);
        w.put(severity);
        w.put(message);
        w.put(place);
        w.put(label);
        w.put(related);
        w.put(notes);
        w.put(help);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok(Self {
            code: code(r.text()?),
            severity: r.get()?,
            message: r.get()?,
            place: r.get()?,
            label: r.get()?,
            related: r.get()?,
            notes: r.get()?,
            help: r.get()?,
        })
    }
}

/// Codes are constants of the program. Each different text is held once for as long as the process lives.
fn code(text: &str) -> &'static str {
    static CODES: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());
    let mut codes = CODES.lock();
    if let Some(known) = codes.get(text) {
        return known;
    }
    let held: &'static str = Box::leak(text.to_owned().into_boxed_str());
    codes.insert(text.to_owned(), held);
    held
}

/// Files of this load by shown path.
pub fn known(packages: &[Package], files: &[PackageFiles]) -> Known {
    let of_package = packages.iter().map(|p| &p.file.file);
    let read = files.iter().flat_map(|f| {
        let texts = f.resources.iter().chain(&f.properties).chain(&f.fixtures).map(|r| &r.file);
        texts.chain(f.macros.iter().map(|m| &m.file)).chain(&f.docs)
    });
    let mut known = Known::new();
    for file in of_package.chain(read) {
        known.entry(file.path.clone()).or_insert_with(|| Arc::<SourceFile>::clone(file));
    }
    known
}

/// So that a semantic entry's key, a constant of the program, comes back as one.
fn semantic_key(text: &str) -> Option<&'static str> {
    super::properties::SEMANTIC.into_iter().find(|k| *k == text)
}

impl Kept for (&'static str, String, Json) {
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self.0);
        w.put(&self.1);
        w.put(&self.2);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok((semantic_key(r.text()?).ok_or(Broken)?, r.get()?, r.get()?))
    }
}
