//! BINARY and text: HEX, BASE64 and UTF-8 (Snowflake documentation, "Binary input and output").

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, StringArray},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    cast::{Failure, shorten},
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::{settings::BinaryFormat, types::Type};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("to_binary", Arity::Between(1, 2), binary, |r| to_binary(r, Failure::Error)),
    Function::new("try_to_binary", Arity::Between(1, 2), binary, |r| to_binary(r, Failure::Null)),
];

fn binary(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Binary.field(call.name))
}

fn to_binary(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    if r.types[0] == Type::Binary {
        return Ok(r.args[0].clone());
    }
    if !matches!(r.types[0], Type::Varchar | Type::Semi(_)) {
        return fail(format!("a {} cannot be cast to BINARY", r.types[0]));
    }
    let formats = formats(r, 1, failure)?;
    decode(&r.text(0)?, |i| formats.as_ref().map_or(Some(r.settings.binary_input), |f| f[i]), failure)
}

/// The formats that an argument names, `None` when there is no such argument.
pub(super) fn formats(r: &Rows, index: usize, failure: Failure) -> Result<Option<Vec<Option<BinaryFormat>>>> {
    if r.args.len() <= index {
        return Ok(None);
    }
    let names = r.text(index)?;
    let formats = names.iter().map(|name| match name.map(|n| (n, BinaryFormat::parse(n))) {
        Some((name, None)) if failure == Failure::Error => fail(format!("'{name}' is not a binary format; they are HEX, BASE64 and UTF-8")),
        other => Ok(other.and_then(|(_, f)| f)),
    });
    formats.collect::<Result<Vec<_>>>().map(Some)
}

fn hex_decoded(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let digit = |b: u8| char::from(b).to_digit(16);
    bytes.len().is_multiple_of(2).then(|| bytes.chunks(2).map(|p| Some((digit(p[0])? * 16 + digit(p[1])?) as u8)).collect()).flatten()
}

/// Text as bytes, each row in its format.
pub(super) fn decode(texts: &StringArray, format: impl Fn(usize) -> Option<BinaryFormat>, failure: Failure) -> Result<ArrayRef> {
    let values = texts.iter().enumerate().map(|(i, text)| {
        let (Some(text), Some(format)) = (text, format(i)) else { return Ok(None) };
        let bytes = match format {
            BinaryFormat::Utf8 => Some(text.as_bytes().to_vec()),
            BinaryFormat::Hex => hex_decoded(text),
            BinaryFormat::Base64 => {
                let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                STANDARD.decode(packed).ok()
            }
        };
        match bytes {
            None if failure == Failure::Error => {
                let name = if format == BinaryFormat::Hex { "hex-encoded" } else { "base64-encoded" };
                fail(format!("the value '{}' is not a legal {name} string", shorten(text)))
            }
            bytes => Ok(bytes),
        }
    });
    Ok(Arc::new(values.collect::<Result<Vec<_>>>()?.into_iter().collect::<BinaryArray>()))
}

/// Bytes as text, each row in its format.
pub(super) fn encode(array: &ArrayRef, format: impl Fn(usize) -> Option<BinaryFormat>) -> Result<StringArray> {
    let bytes = array.as_binary::<i32>();
    let values = (0..bytes.len()).map(|i| {
        let Some(format) = format(i).filter(|_| !bytes.is_null(i)) else { return Ok(None) };
        let value = bytes.value(i);
        Ok(Some(match format {
            BinaryFormat::Hex => value.iter().map(|b| format!("{b:02X}")).collect(),
            BinaryFormat::Base64 => STANDARD.encode(value),
            BinaryFormat::Utf8 => match String::from_utf8(value.to_vec()) {
                Ok(text) => text,
                Err(_) => return fail("the bytes are not UTF-8 text"),
            },
        }))
    });
    Ok(values.collect::<Result<Vec<_>>>()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text() {
        let texts = StringArray::from(vec![Some("536E6F77"), Some("U25vdw=="), Some("Snow"), None]);
        let formats = [Some(BinaryFormat::Hex), Some(BinaryFormat::Base64), Some(BinaryFormat::Utf8), Some(BinaryFormat::Hex)];
        let bytes = decode(&texts, |i| formats[i], Failure::Error).expect("legal");
        assert!((0..3).all(|i| bytes.as_binary::<i32>().value(i) == b"Snow"));
        assert_eq!(encode(&bytes, |i| formats[i]).expect("text"), texts);
        assert!(decode(&StringArray::from(vec!["5"]), |_| Some(BinaryFormat::Hex), Failure::Error).is_err());
        assert!(decode(&StringArray::from(vec!["zz"]), |_| Some(BinaryFormat::Hex), Failure::Null).expect("lenient").is_null(0));
    }
}
