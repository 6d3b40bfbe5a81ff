//! What is new in a place, piece by piece: lists once per run, opens one file after the other (small objects ahead of their
//! turn), and stops in the middle of a large one when a commit is full.
//!
//! Everything here is a continuation of the position that was committed last. A call with another position means that a
//! commit failed: what was begun is forgotten, and the position alone says where to go on.

use std::{collections::VecDeque, io::Cursor, io::Read, sync::Arc};

use hyper::body::Bytes;
use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    layout::Layout,
    parquet::Columnar,
    piece::{Content, Open, Piece},
    position::{Entry, Known, Partial, Position, Seen},
    records::{Format, Packing, Reading, Records, sample},
    store::{Found, Listing, Store, Troubles},
};
use crate::ingest::{
    Fetched, FetchedContent, IngestError,
    columns::{ColumnType, Unknown},
    kafka::avro,
    rows::Cell,
};

/// What becomes of a file that has landed and then changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwritten {
    Reingest,
    Ignore,
    Fail,
}

pub struct Reader {
    pub store: Store,
    pub reading: Reading,
    pub base: Layout,
    /// Columns as they are now.
    pub layout: RwLock<Arc<Layout>>,
    pub overwritten: Overwritten,
    /// New files sort behind those that have landed.
    pub ordered: bool,
    /// Bytes in memory of one commit.
    pub piece_bytes: usize,
    pub state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    /// The position that the rest continues; `None` when nothing does.
    at: Option<Option<String>>,
    pub known: Known,
    listing: Option<Listing>,
    ended: bool,
    queue: VecDeque<Queued>,
    current: Option<Open>,
    /// Of a former run, not yet continued.
    partial: Option<Partial>,
    /// Continued in this run, perhaps before it was listed.
    continued: Option<String>,
    after: Option<String>,
}

struct Queued {
    found: Found,
    version: String,
    replaces: bool,
    body: Option<JoinHandle<Result<Bytes, IngestError>>>,
}

/// Files of one commit; they stand in its position.
const MOST_FILES: usize = 1000;
/// Objects asked for at the same time, and how small they have to be.
const AHEAD: usize = 16;
const SMALL: u64 = 4 << 20;

impl State {
    fn reset(&mut self) {
        for queued in self.queue.drain(..) {
            if let Some(body) = queued.body {
                body.abort();
            }
        }
        *self = Self { known: std::mem::take(&mut self.known), ..Self::default() };
    }
}

impl Reader {
    pub fn next(&self, text: Option<&str>, handle: &Handle) -> Result<Option<Fetched>, IngestError> {
        let state = &mut *self.state.lock();
        let position = text.map(Position::read).transpose()?;
        match &position {
            None => state.known = Known::default(),
            Some(position) => position.landed.iter().for_each(|entry| state.known.insert(entry, u64::MAX)),
        }
        if state.at.as_ref().is_none_or(|at| at.as_deref() != text) {
            state.reset();
            let layout = match position.as_ref().and_then(|p| p.columns.as_ref()) {
                Some(frozen) => self.base.restored(frozen)?,
                None => self.base.restored_empty()?,
            };
            *self.layout.write() = Arc::new(layout);
            state.partial = position.as_ref().and_then(|p| p.partial.clone());
            state.after = position.as_ref().and_then(|p| p.after.clone());
        }
        match self.piece(state, position.is_none(), handle) {
            Ok(fetched) => {
                let at = fetched.as_ref().map(|f| f.position.clone()).or_else(|| text.map(str::to_owned));
                state.at = Some(at);
                Ok(fetched)
            }
            Err(error) => {
                state.reset();
                Err(error)
            }
        }
    }

    fn piece(&self, state: &mut State, first: bool, handle: &Handle) -> Result<Option<Fetched>, IngestError> {
        let mut piece = Piece::new(Arc::clone(&self.layout.read()));
        if let Some(partial) = state.partial.take() {
            state.current = self.go_on(&partial, &mut piece, handle)?;
            state.continued = Some(partial.entry.file);
        }
        while piece.landed.len() < MOST_FILES && piece.bytes < self.piece_bytes {
            if state.current.is_none() {
                let Some(queued) = self.candidate(state, handle)? else { break };
                state.current = self.open(queued, &mut piece, handle)?;
            }
            let Some(open) = &mut state.current else { continue };
            if !piece.read(open, &self.reading, handle, self.piece_bytes)? {
                break;
            }
            if let Some(open) = state.current.take() {
                piece.landed.push(open.entry);
            }
        }
        if let Some(last) = piece.landed.last().filter(|_| self.ordered) {
            state.after = Some(last.file.clone());
        }
        let (parsed, landed, layout) = piece.finish()?;
        let is_something = !parsed.batches.is_empty() || !parsed.rejected.is_empty() || !landed.is_empty() || parsed.replace.is_some();
        let columns = layout.frozen();
        *self.layout.write() = layout;
        if !is_something && state.current.is_none() {
            // the next look lists again
            (state.listing, state.ended, state.continued) = (None, false, None);
            return Ok(None);
        }
        let partial = state.current.as_ref().map(|open| Partial { entry: open.entry.clone(), records: open.taken.max(open.skip) });
        let position = Position { landed, first, after: state.after.clone(), partial, columns, ..Position::default() };
        Ok(Some(Fetched { what: FetchedContent::Rows(parsed), position: position.write() }))
    }

    /// The rest of a file that a former run began. One that is gone keeps the rows that have landed.
    fn go_on(&self, partial: &Partial, piece: &mut Piece, handle: &Handle) -> Result<Option<Open>, IngestError> {
        let Some(found) = self.store.find(&partial.entry.file, handle)? else { return Ok(None) };
        let version = self.version(&found)?;
        let same = version == partial.entry.version;
        let queued = Queued { found, version, replaces: !same, body: None };
        let opened = self.open(queued, piece, handle)?;
        Ok(opened.map(|open| match same {
            true => Open { entry: partial.entry.clone(), skip: partial.records, ..open },
            false => open,
        }))
    }

    /// The next file that is new, or changed where that counts.
    fn candidate(&self, state: &mut State, handle: &Handle) -> Result<Option<Queued>, IngestError> {
        let ahead = if self.store.is_remote() { AHEAD } else { 1 };
        while state.queue.len() < ahead && !state.ended {
            if state.listing.is_none() {
                state.listing = Some(self.store.list(state.after.as_deref().filter(|_| self.ordered))?);
            }
            let Some(listing) = &mut state.listing else { break };
            match self.store.next(listing, handle)? {
                None => state.ended = true,
                Some(found) => {
                    if let Some(queued) = self.queued(found, state, handle)? {
                        state.queue.push_back(queued);
                    }
                }
            }
        }
        Ok(state.queue.pop_front())
    }

    fn queued(&self, found: Found, state: &State, handle: &Handle) -> Result<Option<Queued>, IngestError> {
        if state.continued.as_ref() == Some(&found.shown) {
            return Ok(None);
        }
        let seen = state.known.seen(&found.shown, found.size, found.modified, found.tag.as_deref());
        if seen == Seen::Same {
            return Ok(None);
        }
        let version = self.version(&found)?;
        if seen == Seen::Differs {
            // touched, not changed
            if state.known.has_content(&found.shown, &version) {
                return Ok(None);
            }
            match self.overwritten {
                Overwritten::Reingest => {}
                Overwritten::Ignore => return Ok(None),
                Overwritten::Fail => {
                    return Err(IngestError::new("ingest/overwritten", format!("`{}` has landed and was changed since", found.shown))
                        .help("`on_overwrite: reingest` replaces its rows, `ignore` keeps those that have landed"));
                }
            }
        }
        let format = self.reading.format.or_else(|| Format::of(&found.shown));
        let is_ahead = self.store.is_remote() && found.size <= SMALL && format.is_some_and(|f| f != Format::Parquet);
        let body = is_ahead.then(|| handle.spawn(self.store.whole(&found)));
        Ok(Some(Queued { found, version, replaces: seen == Seen::Differs, body }))
    }

    fn version(&self, found: &Found) -> Result<String, IngestError> {
        if let Some(tag) = &found.tag {
            return Ok(tag.clone());
        }
        if self.store.is_remote() {
            return Ok(format!("{}@{}", found.size, found.modified));
        }
        let mut file = self.store.local_file(found)?;
        let mut hash = Sha256::new();
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block).map_err(|e| super::store::unreadable(&found.shown, &e))? {
                0 => return Ok(hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()),
                n => hash.update(&block[..n]),
            }
        }
    }

    /// `None` of a file that is gone, or that cannot be begun: that is rejected as a whole and counts as landed.
    fn open(&self, queued: Queued, piece: &mut Piece, handle: &Handle) -> Result<Option<Open>, IngestError> {
        let Queued { found, version, replaces, body } = queued;
        let entry = Entry { file: found.shown.clone(), size: found.size, modified: found.modified, version, rows: 0, rejected: 0 };
        let troubles = Troubles::default();
        let content: Result<Box<dyn Read + Send>, IngestError> = match body {
            Some(body) => match handle.block_on(body) {
                Ok(got) => got.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>),
                Err(e) => Err(IngestError::new("ingest/interrupted", format!("reading `{}` ended early: {e}", found.shown))),
            },
            None if self.reading.format.or_else(|| Format::of(&found.shown)) == Some(Format::Parquet) => Ok(Box::new(std::io::empty())),
            None => self.store.open(&found, handle, &troubles),
        };
        let content = match content {
            Ok(content) => content,
            // deleted since it was listed
            Err(e) if e.code == "ingest/no-object" => return Ok(None),
            Err(e) => return Err(e),
        };
        let replaced = replaces.then(|| found.shown.clone());
        let opened = self.begin(&found, entry.clone(), content, troubles, piece, handle)?;
        piece.replaced.extend(replaced);
        match opened {
            Ok(open) => Ok(Some(open)),
            Err((line, reason, record)) => {
                let at = if line == 0 { found.shown.clone() } else { format!("{}:{line}", found.shown) };
                piece.reject(reason, at, record);
                piece.landed.push(Entry { rejected: 1, ..entry });
                Ok(None)
            }
        }
    }

    /// Whether the content can be read, and which columns it brings.
    #[allow(clippy::type_complexity)]
    pub fn begin(
        &self,
        found: &Found,
        entry: Entry,
        content: Box<dyn Read + Send>,
        troubles: Troubles,
        piece: &mut Piece,
        handle: &Handle,
    ) -> Result<Result<Open, super::records::Refused>, IngestError> {
        let refused = |reason: String| Ok(Err((0, reason, String::new())));
        let Some(format) = self.reading.format.or_else(|| Format::of(&found.shown)) else {
            return refused(
                "its name does not tell its format (`csv`, `jsonl`, `json`, `avro` or `parquet`), and the setting `format` is not given"
                    .into(),
            );
        };
        let partitions = match self.partitions(&found.shown) {
            Ok(partitions) => partitions,
            Err(reason) => return refused(reason),
        };
        let open = |content| Open { entry, content, partitions, taken: 0, skip: 0, troubles: troubles.clone() };
        if format == Format::Parquet {
            let columnar = match Columnar::open(found, &self.store, handle, piece.only.as_deref())? {
                Ok(columnar) => columnar,
                Err(reason) => return refused(reason),
            };
            return Ok(match meets(piece, columnar.columns())? {
                Ok(()) => Ok(open(Content::Columnar(columnar))),
                Err(reason) => Err((0, reason, String::new())),
            });
        }
        let names: Vec<String> = match self.reading.header {
            true => vec![],
            false => piece.layout.columns.own.iter().map(|c| c.name.clone()).collect(),
        };
        let packing = Packing::of(&found.shown);
        let unpacked = |content| packing.unpacked(content).map_err(|e| super::store::unreadable(&found.shown, &e));
        let begun = Records::open(&found.shown, unpacked(content)?, format, &self.reading, &names);
        if let Some(trouble) = troubles.take() {
            return Err(trouble);
        }
        let records = match begun? {
            Ok(records) => records,
            Err(refused) => return Ok(Err(refused)),
        };
        if piece.layout.is_open() {
            // a second look at the first file: its beginning tells the columns
            let again = self.store.open(found, handle, &troubles)?;
            let guess = match Records::open(&found.shown, unpacked(again)?, format, &self.reading, &names)? {
                Ok(mut records) => sample(&mut records, &self.reading.null_values)?,
                Err(_) => IndexMap::new(),
            };
            if let Some(trouble) = troubles.take() {
                return Err(trouble);
            }
            if !guess.is_empty() {
                let layout = piece.layout.with(guess)?;
                piece.relayout(layout)?;
            }
        }
        let of_schema = records.avro_schema().map(|schema| avro::columns(schema).into_iter().collect::<IndexMap<_, _>>());
        let of_header = records.header().map(|header| header.iter().map(|name| (name.clone(), ColumnType::Text)).collect());
        let header = records.header().map(<[String]>::to_vec);
        if self.reading.header || header.is_none() {
            if let Some(columns) = of_schema.or(of_header)
                && let Err(reason) = meets(piece, columns)?
            {
                return Ok(Err((u64::from(header.is_some()), reason, records.text())));
            }
        }
        let places = match &header {
            None => vec![],
            Some(header) => match places(&piece.layout, header) {
                Ok(places) => places,
                // without its header no row of the file means anything
                Err(reason) => return Ok(Err((1, reason, records.text()))),
            },
        };
        let width = header.map_or(0, |header| header.len());
        Ok(Ok(open(Content::Records { records, places, width })))
    }

    /// Values of the `key=value` folders.
    pub fn partitions(&self, shown: &str) -> Result<Vec<Cell>, String> {
        let folders: Vec<(&str, &str)> = shown.split('/').filter_map(|part| part.split_once('=')).collect();
        let cells = self.base.columns.partitions.iter().map(|column| {
            let found = folders.iter().find(|(key, _)| key.eq_ignore_ascii_case(&column.name));
            let Some((_, value)) = found else { return Err(format!("its path has no folder `{}=...`", column.name)) };
            if *value == "__HIVE_DEFAULT_PARTITION__" {
                return Ok(Cell::Null);
            }
            let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("its folder `{value}` is not UTF-8"))?;
            column.column_type.cell(&value).map_err(|why| format!("its folder `{}`: {why}", column.name))
        });
        cells.collect()
    }
}

/// Columns that a file's header or schema has: new ones become the table's, or refuse the file, as the policy says.
fn meets(piece: &mut Piece, columns: IndexMap<String, ColumnType>) -> Result<Result<(), String>, IngestError> {
    let new: IndexMap<String, ColumnType> = columns.into_iter().filter(|(name, _)| !piece.layout.takes(name)).collect();
    let Some((name, _)) = new.first() else { return Ok(Ok(())) };
    if piece.layout.is_open() || (piece.layout.minds() && piece.layout.unknown == Unknown::Evolve) {
        let layout = piece.layout.with(new)?;
        piece.relayout(layout)?;
    } else if piece.layout.minds() {
        return Ok(Err(format!("its column `{name}` is no column of the table")));
    }
    Ok(Ok(()))
}

fn places(layout: &Layout, header: &[String]) -> Result<Vec<Option<usize>>, String> {
    let place = |name: &str| header.iter().position(|h| h.trim().trim_matches('"').eq_ignore_ascii_case(name.trim_matches('"')));
    let columns = layout.columns.own.iter().map(|c| match place(&c.name) {
        None if !layout.is_lenient() => Err(format!("the header has no column `{}`", c.name)),
        place => Ok(place),
    });
    columns.collect()
}
