//! Values to bytes and back: lengths and numbers as varints, texts as they are, places as an index of a file and a range.
//!
//! Postcard would do for the plain parts, but places share their files and raw SQL is a part of a file's text: both need what is
//! around them, which a serde format cannot give. Reading never panics and never trusts a length: what does not fit is [`Broken`].

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::{Map, Number, Value as Json};

use crate::{
    diagnostic::{Place, SourceFile},
    names::{Identifier, NodeId, RelationName, ResourceType},
};

/// The bytes are not what was written, or were written by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

pub type Read<T> = Result<T, Broken>;

/// What places refer to: the files of this load by their shown paths.
pub type Known = HashMap<PathBuf, Arc<SourceFile>>;

pub struct Writer<'a> {
    pub bytes: Vec<u8>,
    known: &'a Known,
    files: HashMap<*const SourceFile, u64>,
    /// In order of first use; written before the bytes.
    paths: Vec<PathBuf>,
    /// A place in a file that the project does not hold: this cannot be kept.
    pub foreign: bool,
}

impl<'a> Writer<'a> {
    pub fn new(known: &'a Known) -> Self {
        Self { bytes: vec![], known, files: HashMap::new(), paths: vec![], foreign: false }
    }

    pub fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub fn file(&mut self, file: &Arc<SourceFile>) {
        if let Some(index) = self.files.get(&Arc::as_ptr(file)).copied() {
            return self.number(index);
        }
        // by identity: a text that only looks like a file of the project has other offsets
        if !self.known.get(&file.path).is_some_and(|k| Arc::ptr_eq(k, file)) {
            self.foreign = true;
        }
        let index = self.paths.len() as u64;
        self.paths.push(file.path.clone());
        self.files.insert(Arc::as_ptr(file), index);
        self.number(index);
    }

    /// The list of files, then what was written; `None` when it names a file that a later load could not find.
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.foreign {
            return None;
        }
        let mut head = Writer::new(self.known);
        head.number(self.paths.len() as u64);
        self.paths.iter().for_each(|p| head.put(p));
        head.bytes.extend(self.bytes);
        Some(head.bytes)
    }

    pub fn put<T: Kept + ?Sized>(&mut self, value: &T) {
        value.put(self);
    }
}

pub struct Reader<'a> {
    bytes: &'a [u8],
    files: Vec<Arc<SourceFile>>,
}

impl<'a> Reader<'a> {
    /// Without places.
    pub fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, files: vec![] }
    }

    pub fn new(bytes: &'a [u8], known: &Known) -> Read<Self> {
        let mut reader = Self::plain(bytes);
        let count = reader.length()?;
        for _ in 0..count {
            let path: PathBuf = reader.get()?;
            reader.files.push(known.get(&path).cloned().ok_or(Broken)?);
        }
        Ok(reader)
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Broken)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn number(&mut self) -> Read<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Broken)
    }

    /// Of a list: every item takes at least a byte, so that a wrong number never asks for much memory.
    pub fn length(&mut self) -> Read<usize> {
        let n = usize::try_from(self.number()?).map_err(|_| Broken)?;
        if n <= self.bytes.len() { Ok(n) } else { Err(Broken) }
    }

    pub fn text(&mut self) -> Read<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Broken)
    }

    pub fn file(&mut self) -> Read<Arc<SourceFile>> {
        let index = usize::try_from(self.number()?).map_err(|_| Broken)?;
        self.files.get(index).cloned().ok_or(Broken)
    }

    pub fn get<T: Kept>(&mut self) -> Read<T> {
        T::get(self)
    }
}

/// A value that can be kept and read back the same.
pub trait Kept: Sized {
    fn put(&self, w: &mut Writer<'_>);
    fn get(r: &mut Reader<'_>) -> Read<Self>;
}

/// Structs field by field: a field that is added to one is missed here by the compiler.
macro_rules! kept {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Kept for $name {
            fn put(&self, w: &mut Writer<'_>) {
                let Self { $($field),* } = self;
                $(w.put($field);)*
            }

            fn get(r: &mut Reader<'_>) -> Read<Self> {
                Ok(Self { $($field: r.get()?),* })
            }
        }
    )*};
}

/// Enums without content, by a number.
macro_rules! kept_choice {
    ($($name:ident { $($variant:ident = $number:literal),* $(,)? })*) => {$(
        impl Kept for $name {
            fn put(&self, w: &mut Writer<'_>) {
                w.bytes.push(match self { $(Self::$variant => $number),* });
            }

            fn get(r: &mut Reader<'_>) -> Read<Self> {
                match r.take(1)?[0] {
                    $($number => Ok(Self::$variant),)*
                    _ => Err(Broken),
                }
            }
        }
    )*};
}

pub(super) use {kept, kept_choice};

kept! { RelationName { database, schema, name } }

kept_choice! {
    ResourceType {
        Model = 0, Seed = 1, Snapshot = 2, Source = 3, Test = 4, UnitTest = 5, Analysis = 6, Operation = 7, Exposure = 8, Function = 9,
    }
}

impl Kept for bool {
    fn put(&self, w: &mut Writer<'_>) {
        w.bytes.push(u8::from(*self));
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        match r.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Broken),
        }
    }
}

impl Kept for u64 {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(*self);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.number()
    }
}

impl Kept for usize {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(*self as u64);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        usize::try_from(r.number()?).map_err(|_| Broken)
    }
}

impl Kept for [u8; 32] {
    fn put(&self, w: &mut Writer<'_>) {
        w.bytes.extend_from_slice(self);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.take(32)?.try_into().map_err(|_| Broken)
    }
}

impl Kept for Range<usize> {
    fn put(&self, w: &mut Writer<'_>) {
        w.put(&self.start);
        w.put(&self.end.wrapping_sub(self.start));
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        let start: usize = r.get()?;
        Ok(start..start.wrapping_add(r.get()?))
    }
}

impl Kept for String {
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.text().map(str::to_owned)
    }
}

impl Kept for PathBuf {
    fn put(&self, w: &mut Writer<'_>) {
        match Path::to_str(self) {
            Some(text) => w.text(text),
            None => w.foreign = true,
        }
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.text().map(PathBuf::from)
    }
}

impl Kept for NodeId {
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self.as_str());
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.text().map(NodeId::new)
    }
}

impl Kept for Identifier {
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self.as_str());
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.text().map(Identifier::exact)
    }
}

impl Kept for Place {
    fn put(&self, w: &mut Writer<'_>) {
        w.file(&self.file);
        w.put(&self.range);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok(Self { file: r.file()?, range: r.get()? })
    }
}

impl Kept for Arc<SourceFile> {
    fn put(&self, w: &mut Writer<'_>) {
        w.file(self);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.file()
    }
}

impl<T: Kept> Kept for Option<T> {
    fn put(&self, w: &mut Writer<'_>) {
        w.put(&self.is_some());
        if let Some(value) = self {
            w.put(value);
        }
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        if r.get()? { r.get().map(Some) } else { Ok(None) }
    }
}

impl<T: Kept> Kept for Box<T> {
    fn put(&self, w: &mut Writer<'_>) {
        w.put(&**self);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        r.get().map(Self::new)
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(self.len() as u64);
        self.iter().for_each(|item| w.put(item));
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        let length = r.length()?;
        // a length is at most the number of bytes left, which is no promise of that many items
        let mut items = Self::with_capacity(length.min(1024));
        for _ in 0..length {
            items.push(r.get()?);
        }
        Ok(items)
    }
}

impl<A: Kept, B: Kept> Kept for (A, B) {
    fn put(&self, w: &mut Writer<'_>) {
        w.put(&self.0);
        w.put(&self.1);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok((r.get()?, r.get()?))
    }
}

impl<V: Kept> Kept for IndexMap<String, V> {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(self.len() as u64);
        for (key, value) in self {
            w.text(key);
            w.put(value);
        }
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        let length = r.length()?;
        let mut map = Self::with_capacity(length.min(1024));
        for _ in 0..length {
            map.insert(r.get()?, r.get()?);
        }
        Ok(map)
    }
}

impl Kept for Json {
    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Self::Null => w.bytes.push(0),
            Self::Bool(false) => w.bytes.push(1),
            Self::Bool(true) => w.bytes.push(2),
            Self::Number(n) => {
                w.bytes.push(3);
                w.text(&n.to_string());
            }
            Self::String(text) => {
                w.bytes.push(4);
                w.text(text);
            }
            Self::Array(items) => {
                w.bytes.push(5);
                w.put(items);
            }
            Self::Object(map) => {
                w.bytes.push(6);
                w.number(map.len() as u64);
                for (key, value) in map {
                    w.text(key);
                    w.put(value);
                }
            }
        }
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok(match r.take(1)?[0] {
            0 => Self::Null,
            1 => Self::Bool(false),
            2 => Self::Bool(true),
            3 => {
                // the text tells whole numbers from others, as it does in JSON: `1` and `1.0` stay apart
                let text = r.text()?;
                Self::Number(serde_json::from_str::<Number>(text).map_err(|_| Broken)?)
            }
            4 => Self::String(r.get()?),
            // a hostile file could nest deeper than a stack holds; what YAML gave never does
            5 => stacker::maybe_grow(64 << 10, 1 << 20, || r.get::<Vec<Self>>().map(Self::Array))?,
            6 => stacker::maybe_grow(64 << 10, 1 << 20, || {
                let length = r.length()?;
                let mut map = Map::with_capacity(length.min(1024));
                for _ in 0..length {
                    map.insert(r.get()?, r.get()?);
                }
                Ok(Self::Object(map))
            })?,
            _ => return Err(Broken),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn back<T: Kept>(value: &T) -> Read<T> {
        let file = SourceFile::new("a.sql", "select 1");
        let known = Known::from([(file.path.clone(), file)]);
        let mut w = Writer::new(&known);
        w.put(value);
        let bytes = w.finish().expect("no foreign place");
        for cut in 0..bytes.len() {
            let _ = Reader::new(&bytes[..cut], &known).and_then(|mut r| r.get::<T>());
        }
        let mut r = Reader::new(&bytes, &known)?;
        let value = r.get();
        assert!(r.take(1).is_err(), "all of it was read");
        value
    }

    #[test]
    fn values_come_back_the_same() {
        for value in [json!(null), json!({"a": [1, 1.0, -2, 1e300, u64::MAX, true, "é"], "b": {"c": []}}), json!(i64::MIN)] {
            assert_eq!(back(&value).map(|v| v.to_string()), Ok(value.to_string()));
        }
        for n in [0, 1, 127, 128, 300, u64::MAX] {
            assert_eq!(back(&n), Ok(n));
        }
        let name = RelationName::parse_parts("d", "\"s\"", "t");
        assert_eq!(back(&vec![Some(name.clone()), None]), Ok(vec![Some(name), None]));
    }

    #[test]
    fn a_place_in_an_unknown_file_is_not_kept() {
        let known = Known::new();
        let mut w = Writer::new(&known);
        w.put(&Place::start_of(&SourceFile::new("a.sql", "")));
        assert_eq!(w.finish(), None);
    }

    #[test]
    fn a_wrong_length_is_told_before_memory_is_asked_for() {
        let bytes = [0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let mut r = Reader::new(&bytes, &Known::new()).expect("no files");
        assert_eq!(r.get::<Vec<String>>(), Err(Broken));
    }
}
