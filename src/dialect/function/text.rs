//! Strings where Snowflake answers differently from DataFusion.

use std::{fmt::Write, sync::Arc};

use datafusion::{
    arrow::array::{Array, ArrayRef, BooleanArray, Int64Array},
    common::Result,
};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{
    json::{boolean, integer, varchar},
    scalar::{Arity, Function, Rows, fail, texts},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("split_part", Arity::Exactly(3), varchar, |r| {
        let (text, separators, parts) = (r.text(0)?, r.text(1)?, r.integers(2)?);
        texts(r, |i| {
            if text.is_null(i) || separators.is_null(i) || parts.is_null(i) {
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
    Function::new("contains", Arity::Exactly(2), boolean, |r| compare(r, |a, b| a.contains(b))),
    Function::new("starts_with", Arity::Exactly(2), boolean, |r| compare(r, |a, b| a.starts_with(b))),
    Function::new("ends_with", Arity::Exactly(2), boolean, |r| compare(r, |a, b| a.ends_with(b))),
    Function::new("left", Arity::Exactly(2), varchar, |r| {
        let (text, n) = (r.text(0)?, r.integers(1)?);
        texts(r, |i| Ok((!text.is_null(i) && !n.is_null(i)).then(|| text.value(i).chars().take(n.value(i).max(0) as usize).collect())))
    }),
    Function::new("right", Arity::Exactly(2), varchar, |r| {
        let (text, n) = (r.text(0)?, r.integers(1)?);
        texts(r, |i| {
            Ok((!text.is_null(i) && !n.is_null(i)).then(|| {
                let chars: Vec<char> = text.value(i).chars().collect();
                chars[chars.len().saturating_sub(n.value(i).max(0) as usize)..].iter().collect()
            }))
        })
    }),
    Function::new("substr", Arity::Between(2, 3), varchar, |r| {
        let (text, from) = (r.text(0)?, r.integers(1)?);
        let length = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        texts(r, |i| {
            if text.is_null(i) || from.is_null(i) || length.as_ref().is_some_and(|l| l.is_null(i)) {
                return Ok(None);
            }
            let chars: Vec<char> = text.value(i).chars().collect();
            let start = match from.value(i) {
                0 => 0,
                n if n > 0 => n - 1,
                n => chars.len() as i64 + n,
            };
            if start < 0 || start as usize >= chars.len() {
                return Ok(Some(String::new()));
            }
            let end = length.as_ref().map_or(chars.len() as i64, |l| start.saturating_add(l.value(i).max(0))).min(chars.len() as i64);
            Ok(Some(chars[start as usize..end as usize].iter().collect()))
        })
    }),
    Function::new("length", Arity::Exactly(1), integer, |r| {
        let text = r.text(0)?;
        Ok(Arc::new(text.iter().map(|t| t.map(|t| t.chars().count() as i64)).collect::<Int64Array>()))
    }),
    Function::new("strpos", Arity::Exactly(2), integer, |r| {
        let (text, needle) = (r.text(0)?, r.text(1)?);
        positions(r, |i| (!text.is_null(i) && !needle.is_null(i)).then(|| position(text.value(i), needle.value(i), 1)))
    }),
    Function::new("__position", Arity::Exactly(3), integer, |r| {
        let (needle, text, from) = (r.text(0)?, r.text(1)?, r.integers(2)?);
        positions(r, |i| {
            (!text.is_null(i) && !needle.is_null(i) && !from.is_null(i)).then(|| position(text.value(i), needle.value(i), from.value(i)))
        })
    }),
    Function::new("md5", Arity::Exactly(1), varchar, |r| {
        let text = r.text(0)?;
        texts(r, |i| Ok((!text.is_null(i)).then(|| hex(&<md5::Md5 as md5::Digest>::digest(text.value(i).as_bytes())))))
    }),
    Function::new("__sha2", Arity::Between(1, 2), varchar, |r| {
        let text = r.text(0)?;
        let bits = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
        texts(r, |i| {
            if text.is_null(i) {
                return Ok(None);
            }
            let bytes = text.value(i).as_bytes();
            Ok(Some(match bits.as_ref().map_or(256, |b| b.value(i)) {
                224 => hex(&Sha224::digest(bytes)),
                0 | 256 => hex(&Sha256::digest(bytes)),
                384 => hex(&Sha384::digest(bytes)),
                512 => hex(&Sha512::digest(bytes)),
                other => return fail(format!("SHA2 has 224, 256, 384 or 512 bits, not {other}")),
            }))
        })
    }),
    Function::new("insert", Arity::Exactly(4), varchar, |r| {
        let (text, at, length, other) = (r.text(0)?, r.integers(1)?, r.integers(2)?, r.text(3)?);
        texts(r, |i| {
            if text.is_null(i) || at.is_null(i) || length.is_null(i) || other.is_null(i) {
                return Ok(None);
            }
            let chars: Vec<char> = text.value(i).chars().collect();
            let start = (at.value(i) - 1).clamp(0, chars.len() as i64) as usize;
            let end = (start + length.value(i).max(0) as usize).min(chars.len());
            Ok(Some(chars[..start].iter().chain(other.value(i).chars().collect::<Vec<_>>().iter()).chain(&chars[end..]).collect()))
        })
    }),
];

fn compare(r: &Rows, f: impl Fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (a, b) = (r.text(0)?, r.text(1)?);
    Ok(Arc::new((0..r.rows).map(|i| (!a.is_null(i) && !b.is_null(i)).then(|| f(a.value(i), b.value(i)))).collect::<BooleanArray>()))
}

fn positions(r: &Rows, f: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
    Ok(Arc::new((0..r.rows).map(f).collect::<Int64Array>()))
}

/// 1-based position in characters from `start`, 0 when absent.
fn position(text: &str, needle: &str, start: i64) -> i64 {
    let skipped = (start.max(1) - 1) as usize;
    let Some(offset) = text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(skipped) else { return 0 };
    text[offset..].find(needle).map_or(0, |at| (text[offset..offset + at].chars().count() + skipped) as i64 + 1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("아이브 IVE", "IVE", 1), 5);
        assert_eq!(position("banana", "an", 3), 4);
        assert_eq!(position("banana", "x", 1), 0);
        assert_eq!(position("", "", 1), 1);
    }
}
