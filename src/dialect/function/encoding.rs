//! Bytes as text and back: hexadecimal, Base64, digests, compression, names (UUID).

use std::{
    fmt::Write,
    io::{Read, Write as _},
    sync::Arc,
};

use base64::{Engine, alphabet::Alphabet, engine::GeneralPurpose, engine::general_purpose::GeneralPurposeConfig};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BinaryArray},
        datatypes::FieldRef,
    },
    common::Result,
};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{
    cast::{Failure, number_array},
    json::{integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    text::bytes,
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("hex_encode", Arity::Between(1, 2), varchar, |r| {
        let cases = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
        to_text(r, |i, b| Ok(Some(if cases.as_ref().is_none_or(|c| c.value(i) == 1) { hex(b).to_uppercase() } else { hex(b) })))
    }),
    Function::new("hex_decode_string", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(Some(utf8(unhex(b)?)?)))),
    Function::new("try_hex_decode_string", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(unhex(b).and_then(utf8).ok()))),
    Function::new("hex_decode_binary", Arity::Exactly(1), binary, |r| to_bytes(r, |_, b| unhex(b).map(Some))),
    Function::new("try_hex_decode_binary", Arity::Exactly(1), binary, |r| to_bytes(r, |_, b| Ok(unhex(b).ok()))),
    Function::new("base64_encode", Arity::Between(1, 3), varchar, |r| {
        let widths = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
        let engine = base64(r, 2)?;
        to_text(r, |i, b| Ok(Some(lines(engine.encode(b), widths.as_ref().map_or(0, |w| w.value(i))))))
    }),
    Function::new("base64_decode_string", Arity::Between(1, 2), varchar, |r| {
        let engine = base64(r, 1)?;
        to_text(r, |_, b| Ok(Some(utf8(unbase64(&engine, b)?)?)))
    }),
    Function::new("try_base64_decode_string", Arity::Between(1, 2), varchar, |r| {
        let engine = base64(r, 1)?;
        to_text(r, |_, b| Ok(unbase64(&engine, b).and_then(utf8).ok()))
    }),
    Function::new("base64_decode_binary", Arity::Between(1, 2), binary, |r| {
        let engine = base64(r, 1)?;
        to_bytes(r, |_, b| unbase64(&engine, b).map(Some))
    }),
    Function::new("try_base64_decode_binary", Arity::Between(1, 2), binary, |r| {
        let engine = base64(r, 1)?;
        to_bytes(r, |_, b| Ok(unbase64(&engine, b).ok()))
    }),
    Function::new("md5", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(Some(hex(&md5(b)))))),
    Function::new("md5_hex", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(Some(hex(&md5(b)))))),
    Function::new("md5_binary", Arity::Exactly(1), binary, |r| to_bytes(r, |_, b| Ok(Some(md5(b).to_vec())))),
    Function::new("md5_number_lower64", Arity::Exactly(1), unsigned, |r| half_digest(r, 8)),
    Function::new("md5_number_upper64", Arity::Exactly(1), unsigned, |r| half_digest(r, 0)),
    Function::new("sha1", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(Some(hex(&sha1(b)))))),
    Function::new("sha1_hex", Arity::Exactly(1), varchar, |r| to_text(r, |_, b| Ok(Some(hex(&sha1(b)))))),
    Function::new("sha1_binary", Arity::Exactly(1), binary, |r| to_bytes(r, |_, b| Ok(Some(sha1(b).to_vec())))),
    Function::new("sha2", Arity::Between(1, 2), varchar, |r| {
        let bits = digest_sizes(r)?;
        to_text(r, |i, b| Ok(Some(hex(&sha2(b, bits(i))?))))
    }),
    Function::new("sha2_hex", Arity::Between(1, 2), varchar, |r| {
        let bits = digest_sizes(r)?;
        to_text(r, |i, b| Ok(Some(hex(&sha2(b, bits(i))?))))
    }),
    Function::new("sha2_binary", Arity::Between(1, 2), binary, |r| {
        let bits = digest_sizes(r)?;
        to_bytes(r, |i, b| sha2(b, bits(i)).map(Some))
    }),
    Function::new("hash", Arity::AtLeast(1), integer, |r| {
        let columns = (0..r.args.len()).map(|a| Ok((r.types[a], bytes(r, a)?))).collect::<Result<Vec<_>>>()?;
        let hashes = (0..r.rows).map(|i| hash(columns.iter().map(|(of, values)| (*of, (!values.is_null(i)).then(|| values.value(i))))));
        Ok(Arc::new(hashes.map(Some).collect::<datafusion::arrow::array::Int64Array>()))
    }),
    // several values as one: for counting distinct rows
    Function::new("__row_key", Arity::AtLeast(1), varchar, |r| {
        let columns = (0..r.args.len()).map(|a| r.text(a)).collect::<Result<Vec<_>>>()?;
        texts(r, |i| {
            let key = |out: String, value: &str| format!("{out}{}:{value}", value.len());
            Ok((!r.any_null(i)).then(|| columns.iter().map(|c| c.value(i)).fold(String::new(), key)))
        })
    }),
    Function::new("compress", Arity::Exactly(2), binary, |r| {
        let methods = r.text(1)?;
        to_bytes(r, |i, b| compress(b, methods.value(i)).map(Some))
    }),
    Function::new("decompress_binary", Arity::Exactly(2), binary, |r| {
        let methods = r.text(1)?;
        to_bytes(r, |i, b| decompress(b, methods.value(i)).map(Some))
    }),
    Function::new("decompress_string", Arity::Exactly(2), varchar, |r| {
        let methods = r.text(1)?;
        to_text(r, |i, b| Ok(Some(utf8(decompress(b, methods.value(i))?)?)))
    }),
    Function::new("uuid_string", Arity::Between(0, 2), varchar, uuid_string).volatile(),
];

fn binary(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Binary.field(call.name))
}

/// Unsigned 64 bits do not fit NUMBER(38,0) as it is kept.
fn unsigned(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Number { precision: 20, scale: 0 }.field(call.name))
}

fn to_text(r: &Rows, f: impl Fn(usize, &[u8]) -> Result<Option<String>>) -> Result<ArrayRef> {
    let values = bytes(r, 0)?;
    texts(r, |i| if r.any_null(i) { Ok(None) } else { f(i, values.value(i)) })
}

fn to_bytes(r: &Rows, f: impl Fn(usize, &[u8]) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
    let values = bytes(r, 0)?;
    let out = (0..r.rows).map(|i| if r.any_null(i) { Ok(None) } else { f(i, values.value(i)) }).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(BinaryArray::from_iter(out)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).or_else(|_| fail("the decoded bytes are not UTF-8"))
}

/// Pairs of hexadecimal digits; white space between them is skipped.
pub(super) fn unhex(text: &[u8]) -> Result<Vec<u8>> {
    let digits = text.iter().filter(|b| !b.is_ascii_whitespace()).map(|b| char::from(*b).to_digit(16).map(|d| d as u8));
    match digits.collect::<Option<Vec<u8>>>() {
        Some(digits) if digits.len() % 2 == 0 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => fail(format!("'{}' is not hexadecimal", String::from_utf8_lossy(text))),
    }
}

/// Base64 with the characters of the argument at `index` in place of `+`, `/` and `=`.
fn base64(r: &Rows, index: usize) -> Result<Coding> {
    let given = if index < r.args.len() { r.text(index)?.iter().flatten().next().unwrap_or_default().to_owned() } else { String::new() };
    let mut characters = given.chars();
    let (plus, slash, padding) = (characters.next().unwrap_or('+'), characters.next().unwrap_or('/'), characters.next().unwrap_or('='));
    let letters: String = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain([plus, slash]).collect();
    let (Ok(alphabet), true) = (Alphabet::new(&letters), characters.next().is_none() && padding.is_ascii()) else {
        return fail(format!("'{given}' is not an alphabet of Base64: up to three other ASCII characters for `+`, `/` and `=`"));
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    Ok(Coding { engine: GeneralPurpose::new(&alphabet, config), padding })
}

struct Coding {
    engine: GeneralPurpose,
    padding: char,
}

impl Coding {
    fn encode(&self, bytes: &[u8]) -> String {
        let text = self.engine.encode(bytes);
        if self.padding == '=' { text } else { text.replace('=', &self.padding.to_string()) }
    }
}

fn unbase64(coding: &Coding, text: &[u8]) -> Result<Vec<u8>> {
    let plain: Vec<u8> =
        text.iter().copied().filter(|b| !b.is_ascii_whitespace()).map(|b| if char::from(b) == coding.padding { b'=' } else { b }).collect();
    coding.engine.decode(plain).or_else(|_| fail(format!("'{}' is not Base64", String::from_utf8_lossy(text))))
}

/// Broken after every `width` characters; 0 is one line.
fn lines(text: String, width: i64) -> String {
    match usize::try_from(width) {
        Ok(width @ 1..) => text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n"),
        _ => text,
    }
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    <md5::Md5 as md5::Digest>::digest(bytes).into()
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    sha1_smol::Sha1::from(bytes).digest().bytes()
}

fn half_digest(r: &Rows, from: usize) -> Result<ArrayRef> {
    let values = bytes(r, 0)?;
    let halves = values.iter().map(|b| {
        b.map(|b| {
            let digest = md5(b);
            digest[from..from + 8].iter().fold(0_i128, |n, byte| n << 8 | i128::from(*byte))
        })
    });
    number_array(halves.collect(), 20, 0, Failure::Error)
}

fn digest_sizes(r: &Rows) -> Result<impl Fn(usize) -> i64> {
    let sizes = if r.args.len() > 1 { Some(r.integers(1)?) } else { None };
    Ok(move |i| sizes.as_ref().map_or(256, |s| s.value(i)))
}

fn sha2(bytes: &[u8], bits: i64) -> Result<Vec<u8>> {
    Ok(match bits {
        224 => Sha224::digest(bytes).to_vec(),
        0 | 256 => Sha256::digest(bytes).to_vec(),
        384 => Sha384::digest(bytes).to_vec(),
        512 => Sha512::digest(bytes).to_vec(),
        other => return fail(format!("SHA2 has 224, 256, 384 or 512 bits, not {other}")),
    })
}

/// A stable 64-bit hash of a row; NULLs take part. The values are not Snowflake's, whose function is not published.
pub(super) fn hash<'a>(values: impl Iterator<Item = (Type, Option<&'a [u8]>)>) -> i64 {
    let mut digest = <md5::Md5 as md5::Digest>::new();
    for (of, value) in values {
        // equal numbers of different types hash alike: their texts are compared without zeros behind the point
        let value = value.map(|v| if matches!(of, Type::Number { scale: 1.., .. }) { trim_zeros(v) } else { v });
        md5::Digest::update(&mut digest, [u8::from(value.is_some())]);
        md5::Digest::update(&mut digest, (value.map_or(0, <[u8]>::len) as u64).to_le_bytes());
        md5::Digest::update(&mut digest, value.unwrap_or_default());
    }
    let bytes: [u8; 16] = md5::Digest::finalize(digest).into();
    i64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn trim_zeros(decimal: &[u8]) -> &[u8] {
    let end = decimal.iter().rposition(|b| *b != b'0').map_or(0, |at| at + 1);
    let trimmed = &decimal[..end];
    trimmed.strip_suffix(b".").unwrap_or(trimmed)
}

/// `ZLIB(9)` to name and level.
fn method(text: &str) -> Option<(String, Option<u32>)> {
    let text = text.trim().to_uppercase();
    match text.split_once('(') {
        Some((name, level)) => Some((name.trim().to_owned(), Some(level.strip_suffix(')')?.trim().parse().ok()?))),
        None => Some((text, None)),
    }
}

fn unknown_method<T>(text: &str) -> Result<T> {
    fail(format!("the compression method is SNAPPY, ZLIB, ZSTD or BZ2, with a level in parentheses if any, not '{text}'"))
}

fn compress(bytes: &[u8], text: &str) -> Result<Vec<u8>> {
    let Some((name, level)) = method(text) else { return unknown_method(text) };
    let packed = match name.as_str() {
        "SNAPPY" => snap::raw::Encoder::new().compress_vec(bytes).map_err(|e| e.to_string()),
        "ZLIB" => {
            let mut out = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::new(level.unwrap_or(6).min(9)));
            out.write_all(bytes).and_then(|()| out.finish()).map_err(|e| e.to_string())
        }
        "ZSTD" => zstd::bulk::compress(bytes, level.unwrap_or(3).min(22) as i32).map_err(|e| e.to_string()),
        "BZ2" => {
            let mut out = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::new(level.unwrap_or(6).clamp(1, 9)));
            out.write_all(bytes).and_then(|()| out.finish()).map_err(|e| e.to_string())
        }
        _ => return unknown_method(text),
    };
    packed.or_else(|e| fail(format!("the value cannot be compressed: {e}")))
}

fn decompress(bytes: &[u8], text: &str) -> Result<Vec<u8>> {
    let Some((name, _)) = method(text) else { return unknown_method(text) };
    // no honest value grows beyond Snowflake's largest BINARY
    const LARGEST: u64 = 67_108_864;
    let read = |reader: &mut dyn Read| {
        let mut out = vec![];
        reader.take(LARGEST + 1).read_to_end(&mut out).map(|_| out).map_err(|e| e.to_string())
    };
    let unpacked = match name.as_str() {
        "SNAPPY" => match snap::raw::decompress_len(bytes) {
            Ok(n) if n as u64 > LARGEST => Err("it is too large".to_owned()),
            _ => snap::raw::Decoder::new().decompress_vec(bytes).map_err(|e| e.to_string()),
        },
        "ZLIB" => read(&mut flate2::read::ZlibDecoder::new(bytes)),
        "ZSTD" => zstd::stream::read::Decoder::new(bytes).map_err(|e| e.to_string()).and_then(|mut d| read(&mut d)),
        "BZ2" => read(&mut bzip2::read::BzDecoder::new(bytes)),
        _ => return unknown_method(text),
    };
    match unpacked {
        Ok(out) if out.len() as u64 <= LARGEST => Ok(out),
        Ok(_) => fail("the decompressed value is too large"),
        Err(e) => fail(format!("the value cannot be decompressed: {e}")),
    }
}

/// A random UUID (version 4), or one of a namespace and a name (version 5).
fn uuid_string(r: &Rows) -> Result<ArrayRef> {
    match r.args.len() {
        0 => texts(r, |_| Ok(Some(uuid::Uuid::new_v4().to_string()))),
        2 => {
            let (spaces, names) = (r.text(0)?, r.text(1)?);
            texts(r, |i| {
                if r.any_null(i) {
                    return Ok(None);
                }
                match spaces.value(i).parse::<uuid::Uuid>() {
                    Ok(space) => Ok(Some(uuid::Uuid::new_v5(&space, names.value(i).as_bytes()).to_string())),
                    Err(_) => fail(format!("'{}' is not a UUID", spaces.value(i))),
                }
            })
        }
        _ => fail("`UUID_STRING` takes no argument, or a UUID and a name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        assert_eq!(hex(&sha1(b"Snowflake")), "fda76b0bcc1e87cf259b1d1e3271d76f590fb5dd");
        assert_eq!(hex(&md5(b"Snowflake")), "edf1439075a83a447fb8b630ddc9c8de");
        assert_eq!(unhex(b"536e 6F").ok(), Some(b"Sno".to_vec()));
        assert!(unhex(b"5").is_err() && unhex(b"zz").is_err());
    }

    #[test]
    fn compression_returns() {
        for name in ["SNAPPY", "zlib", "zlib(1)", "ZSTD", "ZSTD(9)", "bz2"] {
            let packed = compress(b"Snowflake Snowflake", name).expect(name);
            assert_eq!(decompress(&packed, name).expect(name), b"Snowflake Snowflake", "{name}");
        }
        assert_eq!(hex(&compress(b"Snowflake", "SNAPPY").expect("packs")), "0920536e6f77666c616b65");
        assert!(compress(b"", "LZ4").is_err() && decompress(b"nonsense", "ZLIB").is_err());
    }
}
