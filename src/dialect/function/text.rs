//! Strings and binaries: parts, positions, lengths, characters. Functions that change a text are in `edit.rs`.
//!
//! Positions count characters of VARCHAR and bytes of BINARY; a NULL argument makes the result NULL.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, StringArray},
        datatypes::FieldRef,
    },
    common::Result,
};
use serde_json::Value as Json;

use super::{
    cast::{Failure, convert},
    json::{array, integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    value::canonical,
};
use crate::dialect::{
    collation,
    types::{LENGTH, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("split_part", Arity::Exactly(3), varchar, |r| {
        let (text, separators, parts) = (r.text(0)?, r.text(1)?, r.integers(2)?);
        texts(r, |i| {
            if r.any_null(i) {
                return Ok(None);
            }
            let pieces: Vec<&str> = match separators.value(i) {
                "" => vec![text.value(i)],
                s => text.value(i).split(s).collect(),
            };
            // 0 counts as 1, negative numbers count from the end
            let at = match parts.value(i) {
                0 => 0,
                n if n > 0 => n - 1,
                n => pieces.len() as i64 + n,
            };
            Ok(Some(usize::try_from(at).ok().and_then(|at| pieces.get(at)).map_or_else(String::new, |p| (*p).to_owned())))
        })
    }),
    // a text of at most so many characters, as the planner found out
    Function::new("__sized", Arity::Exactly(2), sized, |r| Ok(Arc::new(r.text(0)?))),
    // VARCHAR(n) of a cast: what is longer is not cut
    Function::new("__fit", Arity::Exactly(2), sized, |r| fit(r, false)),
    Function::new("__fit_or_null", Arity::Exactly(2), sized, |r| fit(r, true)),
    Function::new("strtok", Arity::Between(1, 3), varchar, |r| {
        let (text, delimiters) = (r.text(0)?, delimiters(r)?);
        let parts = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        texts(r, |i| {
            if r.any_null(i) {
                return Ok(None);
            }
            let part = parts.as_ref().map_or(1, |p| p.value(i));
            if part < 1 {
                return fail(format!("the part of STRTOK is 1 or more, not {part}"));
            }
            Ok(tokens(text.value(i), delimiters(i)).nth(part as usize - 1).map(str::to_owned))
        })
    }),
    Function::new("strtok_to_array", Arity::Between(1, 2), array, |r| {
        let (text, delimiters) = (r.text(0)?, delimiters(r)?);
        texts(r, |i| {
            if r.any_null(i) {
                return Ok(None);
            }
            Ok(Some(canonical(&Json::Array(tokens(text.value(i), delimiters(i)).map(Json::from).collect()))))
        })
    }),
    Function::new("contains", Arity::Exactly(2), search, |r| compare(r, |a, b| find(a, b, 0).is_some())),
    Function::new("starts_with", Arity::Exactly(2), search, |r| compare(r, <[u8]>::starts_with)),
    Function::new("ends_with", Arity::Exactly(2), search, |r| compare(r, <[u8]>::ends_with)),
    Function::new("left", Arity::Exactly(2), same, |r| {
        let n = r.integers(1)?;
        slice(r, |i, _| (0, n.value(i)))
    }),
    Function::new("right", Arity::Exactly(2), same, |r| {
        let n = r.integers(1)?;
        slice(r, |i, length| ((length - n.value(i).max(0)).max(0), i64::MAX))
    }),
    Function::new("substr", Arity::Between(2, 3), same, |r| {
        let from = r.integers(1)?;
        let lengths = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        slice(r, |i, length| {
            let start = match from.value(i) {
                0 => 0,
                n if n > 0 => n - 1,
                n => length.saturating_add(n),
            };
            (start, if start < 0 { 0 } else { lengths.as_ref().map_or(i64::MAX, |l| l.value(i)) })
        })
    }),
    Function::new("length", Arity::Exactly(1), integer, |r| counts(r, |b| b.len(), |t| t.chars().count())),
    Function::new("octet_length", Arity::Exactly(1), integer, |r| counts(r, |b| b.len(), str::len)),
    Function::new("bit_length", Arity::Exactly(1), integer, |r| counts(r, |b| b.len() * 8, |t| t.len() * 8)),
    Function::new("rtrimmed_length", Arity::Exactly(1), integer, |r| counts(r, |b| b.len(), |t| t.trim_end_matches(' ').chars().count())),
    Function::new("ascii", Arity::Exactly(1), integer, |r| counts(r, |b| b.first().map_or(0, |b| *b as usize), code_point)),
    Function::new("unicode", Arity::Exactly(1), integer, |r| counts(r, |b| b.first().map_or(0, |b| *b as usize), code_point)),
    Function::new("chr", Arity::Exactly(1), varchar, |r| {
        let codes = r.integers(0)?;
        texts(r, |i| {
            if codes.is_null(i) {
                return Ok(None);
            }
            match u32::try_from(codes.value(i)).ok().and_then(char::from_u32) {
                Some(c) => Ok(Some(c.to_string())),
                None => fail(format!("{} is not the code of a character", codes.value(i))),
            }
        })
    }),
    // the argument order of STRPOS is DataFusion's; Snowflake's POSITION and CHARINDEX have the needle first
    Function::new("strpos", Arity::Exactly(2), integer, |r| position(r, 1, 0)),
    Function::new("__position", Arity::Between(2, 3), integer, |r| position(r, 0, 1)),
    Function::new("insert", Arity::Exactly(4), same, insert),
    Function::new("split", Arity::Exactly(2), array, |r| {
        let (text, separators) = (r.text(0)?, r.text(1)?);
        texts(r, |i| {
            if r.any_null(i) {
                return Ok(None);
            }
            let parts: Vec<Json> = match separators.value(i) {
                "" => vec![Json::from(text.value(i))],
                separator => text.value(i).split(separator).map(Json::from).collect(),
            };
            Ok(Some(canonical(&Json::Array(parts))))
        })
    }),
];

/// A text whose length the second argument tells, a literal: a table that is made of it keeps that.
fn sized(call: &CallTypes) -> Result<FieldRef> {
    let field = collation::tagged(Type::Varchar.field(call.name), call.collation.as_deref());
    let length = call.integer(1).map(|n| (LENGTH.to_owned(), n.to_string()));
    Ok(Arc::new(field.as_ref().clone().with_metadata(field.metadata().clone().into_iter().chain(length).collect())))
}

fn fit(r: &Rows, lenient: bool) -> Result<ArrayRef> {
    let (text, lengths) = (r.text(0)?, r.integers(1)?);
    let fits = |i: usize| {
        let (text, length) = (text.value(i), usize::try_from(lengths.value(i)).unwrap_or(0));
        text.len() <= length || text.chars().count() <= length
    };
    if (0..r.rows).all(|i| r.any_null(i) || fits(i)) {
        return Ok(Arc::new(text));
    }
    texts(r, |i| {
        if r.any_null(i) {
            return Ok(None);
        }
        match fits(i) {
            true => Ok(Some(text.value(i).to_owned())),
            false if lenient => Ok(None),
            false => fail(format!(
                "the text '{}' is too long for VARCHAR({})",
                text.value(i).chars().take(40).collect::<String>(),
                lengths.value(i)
            )),
        }
    })
}

/// BINARY of BINARY, otherwise VARCHAR.
pub(super) fn same(call: &CallTypes) -> Result<FieldRef> {
    Ok(if call.types[0] == Type::Binary { Type::Binary } else { Type::Varchar }.field(call.name))
}

pub(super) fn bytes(r: &Rows, index: usize) -> Result<BinaryArray> {
    match r.types[index] {
        Type::Binary => Ok(convert(&r.args[index], Type::Binary, Type::Binary, Failure::Error)?.as_binary::<i32>().clone()),
        _ => Ok(BinaryArray::from_iter(r.text(index)?.iter().map(|t| t.map(str::as_bytes)))),
    }
}

/// A function of the whole value that keeps its type.
pub(super) fn mapped(
    r: &Rows,
    binary: impl Fn(usize, &[u8]) -> Result<Vec<u8>>,
    text: impl Fn(usize, &str) -> Result<String>,
) -> Result<ArrayRef> {
    if r.result == Type::Binary {
        let values = bytes(r, 0)?;
        let out = (0..r.rows).map(|i| if r.any_null(i) { Ok(None) } else { binary(i, values.value(i)).map(Some) });
        return Ok(Arc::new(BinaryArray::from_iter(out.collect::<Result<Vec<_>>>()?)));
    }
    let values = r.text(0)?;
    texts(r, |i| if r.any_null(i) { Ok(None) } else { text(i, values.value(i)).map(Some) })
}

/// The part that begins at a 0-based position and has a length; both are cut to what there is.
fn slice(r: &Rows, range: impl Fn(usize, i64) -> (i64, i64)) -> Result<ArrayRef> {
    let bounds = |i: usize, length: usize| {
        let length = length as i64;
        let (start, count) = range(i, length);
        let start = start.clamp(0, length);
        (start as usize, start.saturating_add(count.max(0)).min(length) as usize)
    };
    mapped(
        r,
        |i, b| {
            let (start, end) = bounds(i, b.len());
            Ok(b[start..end].to_vec())
        },
        |i, t| {
            if t.is_ascii() {
                let (start, end) = bounds(i, t.len());
                return Ok(t[start..end].to_owned());
            }
            let (start, end) = bounds(i, t.chars().count());
            Ok(t.chars().skip(start).take(end - start).collect())
        },
    )
}

fn counts(r: &Rows, binary: impl Fn(&[u8]) -> usize, text: impl Fn(&str) -> usize) -> Result<ArrayRef> {
    if r.types[0] == Type::Binary {
        return Ok(Arc::new(bytes(r, 0)?.iter().map(|b| b.map(|b| binary(b) as i64)).collect::<Int64Array>()));
    }
    Ok(Arc::new(r.text(0)?.iter().map(|t| t.map(|t| text(t) as i64)).collect::<Int64Array>()))
}

/// Of the first character; 0 of the empty text.
fn code_point(text: &str) -> usize {
    text.chars().next().map_or(0, |c| c as usize)
}

fn search(call: &CallTypes) -> Result<FieldRef> {
    Ok(collation::tagged(Type::Boolean.field(call.name), call.collation.as_deref()))
}

fn compare(r: &Rows, f: impl Fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    if let Some(collation) = r.collation()? {
        let (a, b) = (r.text(0)?, r.text(1)?);
        let found = |i: usize| f(collation.folded(a.value(i)).as_bytes(), collation.folded(b.value(i)).as_bytes());
        return Ok(Arc::new((0..r.rows).map(|i| (!r.any_null(i)).then(|| found(i))).collect::<BooleanArray>()));
    }
    let (a, b) = (bytes(r, 0)?, bytes(r, 1)?);
    Ok(Arc::new((0..r.rows).map(|i| (!a.is_null(i) && !b.is_null(i)).then(|| f(a.value(i), b.value(i)))).collect::<BooleanArray>()))
}

/// Offset of a needle at or behind `from`.
fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = hay.get(from..)?;
    if needle.is_empty() {
        return Some(from);
    }
    if let (Ok(hay), Ok(needle)) = (std::str::from_utf8(rest), std::str::from_utf8(needle)) {
        return hay.find(needle).map(|at| at + from);
    }
    rest.windows(needle.len()).position(|w| w == needle).map(|at| at + from)
}

/// 1-based positions, 0 when absent.
fn position(r: &Rows, needle: usize, hay: usize) -> Result<ArrayRef> {
    let starts = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
    let start = |i: usize| starts.as_ref().map_or(1, |s| s.value(i));
    if r.types[hay] == Type::Binary {
        let (needle, hay) = (bytes(r, needle)?, bytes(r, hay)?);
        let found = (0..r.rows).map(|i| {
            let from = (start(i).max(1) - 1) as usize;
            (!r.any_null(i)).then(|| find(hay.value(i), needle.value(i), from).map_or(0, |at| at as i64 + 1))
        });
        return Ok(Arc::new(found.collect::<Int64Array>()));
    }
    let (needle, hay) = (r.text(needle)?, r.text(hay)?);
    let found = (0..r.rows).map(|i| (!r.any_null(i)).then(|| text_position(hay.value(i), needle.value(i), start(i))));
    Ok(Arc::new(found.collect::<Int64Array>()))
}

fn text_position(text: &str, needle: &str, start: i64) -> i64 {
    let skipped = (start.max(1) - 1) as usize;
    let Some(offset) = text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(skipped) else { return 0 };
    text[offset..].find(needle).map_or(0, |at| (text[offset..offset + at].chars().count() + skipped) as i64 + 1)
}

type Delimiters = Box<dyn Fn(usize) -> Vec<char>>;

/// STRTOK's second argument: a set of characters, a blank by default.
fn delimiters(r: &Rows) -> Result<Delimiters> {
    if r.args.len() < 2 {
        return Ok(Box::new(|_| vec![' ']));
    }
    let values: StringArray = r.text(1)?;
    Ok(Box::new(move |i| values.value(i).chars().collect()))
}

/// Pieces between any of the characters, empty ones left out.
fn tokens(text: &str, delimiters: Vec<char>) -> impl Iterator<Item = &str> {
    text.split(move |c| delimiters.contains(&c)).filter(|t| !t.is_empty())
}

fn insert(r: &Rows) -> Result<ArrayRef> {
    let (at, lengths) = (r.integers(1)?, r.integers(2)?);
    // 0-based bounds of what is replaced
    let bounds = |i: usize, length: usize| {
        let position = at.value(i);
        if position < 1 || position > length as i64 + 1 {
            return fail(format!("the position of INSERT is 1 to the length plus 1, not {position}"));
        }
        if lengths.value(i) < 0 {
            return fail(format!("the length of INSERT is not negative: {}", lengths.value(i)));
        }
        let start = position as usize - 1;
        Ok((start, start.saturating_add(lengths.value(i) as usize).min(length)))
    };
    let inserted = bytes(r, 3)?;
    mapped(
        r,
        |i, b| {
            let (start, end) = bounds(i, b.len())?;
            Ok([&b[..start], inserted.value(i), &b[end..]].concat())
        },
        |i, t| {
            let chars: Vec<char> = t.chars().collect();
            let (start, end) = bounds(i, chars.len())?;
            let middle = String::from_utf8_lossy(inserted.value(i));
            Ok(chars[..start].iter().copied().chain(middle.chars()).chain(chars[end..].iter().copied()).collect())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(text_position("아이브 IVE", "IVE", 1), 5);
        assert_eq!(text_position("banana", "an", 3), 4);
        assert_eq!(text_position("banana", "x", 1), 0);
        assert_eq!(text_position("", "", 1), 1);
        assert_eq!(find(&[0xAB, 0xCD, 0xEF], &[0xEF], 0), Some(2));
    }

    #[test]
    fn tokens_are_never_empty() {
        assert_eq!(tokens("user@snowflake.com.", vec!['@', '.']).collect::<Vec<_>>(), ["user", "snowflake", "com"]);
        assert_eq!(tokens("a.b", vec![]).collect::<Vec<_>>(), ["a.b"]);
        assert_eq!(tokens("", vec![]).count(), 0);
    }
}
