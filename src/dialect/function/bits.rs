//! Bits of integers and of BINARY (Snowflake documentation, "Bitwise expression functions").

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, BinaryArray, Int64Array},
        datatypes::FieldRef,
    },
    common::Result,
};

use super::{
    arithmetic::overflow,
    json::integer,
    scalar::{Arity, CallTypes, Function, Rows, fail},
    text::bytes,
};
use crate::dialect::types::Type;

/// Values per bitmap (Snowflake documentation, "Using bitmaps to compute distinct values").
const BUCKET: i64 = 32_768;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("bitand", Arity::Between(2, 3), of_first, |r| pairwise(r, |a, b| a & b, |a, b| a & b)),
    Function::new("bitor", Arity::Between(2, 3), of_first, |r| pairwise(r, |a, b| a | b, |a, b| a | b)),
    Function::new("bitxor", Arity::Between(2, 3), of_first, |r| pairwise(r, |a, b| a ^ b, |a, b| a ^ b)),
    Function::new("bitnot", Arity::Exactly(1), of_first, |r| {
        if r.result == Type::Binary {
            let inverted = bytes(r, 0)?.iter().map(|v| v.map(|v| v.iter().map(|b| !b).collect::<Vec<u8>>())).collect::<Vec<_>>();
            return Ok(Arc::new(BinaryArray::from_iter(inverted)));
        }
        Ok(Arc::new(r.integers(0)?.iter().map(|v| v.map(|v| !v)).collect::<Int64Array>()))
    }),
    Function::new("bitshiftleft", Arity::Exactly(2), of_first, |r| shift(r, true)),
    Function::new("bitshiftright", Arity::Exactly(2), of_first, |r| shift(r, false)),
    Function::new("getbit", Arity::Exactly(2), integer, |r| {
        let (values, positions) = (r.integers(0)?, r.integers(1)?);
        let bits = (0..r.rows).map(|i| {
            if r.any_null(i) {
                return Ok(None);
            }
            match positions.value(i) {
                // behind the 64 bits that are kept stand copies of the sign
                p @ 0..=127 => Ok(Some(values.value(i) >> p.min(63) & 1)),
                p => fail(format!("the position of a bit is 0 to 127, not {p}")),
            }
        });
        Ok(Arc::new(bits.collect::<Result<Int64Array>>()?))
    }),
    Function::new("bitmap_bucket_number", Arity::Exactly(1), integer, |r| {
        Ok(Arc::new(
            r.integers(0)?.iter().map(|v| v.map(|v| if v > 0 { (v - 1) / BUCKET + 1 } else { v / BUCKET })).collect::<Int64Array>(),
        ))
    }),
    Function::new("bitmap_bit_position", Arity::Exactly(1), integer, |r| {
        let position = |v: i64| if v > 0 { (v - 1) % BUCKET } else { (v % BUCKET).abs() };
        Ok(Arc::new(r.integers(0)?.iter().map(|v| v.map(position)).collect::<Int64Array>()))
    }),
    Function::new("bitmap_count", Arity::Exactly(1), integer, |r| {
        let counts =
            bytes(r, 0)?.iter().map(|v| v.map(|v| unpack_bitmap(v).map(|p| p.len() as i64)).transpose()).collect::<Result<Int64Array>>()?;
        Ok(Arc::new(counts))
    }),
];

fn of_first(call: &CallTypes) -> Result<FieldRef> {
    Ok(if call.types[0] == Type::Binary { Type::Binary } else { Type::INTEGER }.field(call.name))
}

fn pairwise(r: &Rows, f: impl Fn(i64, i64) -> i64, g: impl Fn(u8, u8) -> u8) -> Result<ArrayRef> {
    if r.types[0] != Type::Binary && r.types[1] != Type::Binary {
        let (a, b) = (r.integers(0)?, r.integers(1)?);
        return Ok(Arc::new(a.iter().zip(b.iter()).map(|(a, b)| a.zip(b).map(|(a, b)| f(a, b))).collect::<Int64Array>()));
    }
    if r.types[0] != Type::Binary || r.types[1] != Type::Binary {
        return fail("a BINARY and a number have no bits in common: cast one of them");
    }
    let (a, b) = (bytes(r, 0)?, bytes(r, 1)?);
    let sides = if r.args.len() > 2 { Some(r.text(2)?) } else { None };
    let out = (0..r.rows).map(|i| {
        if r.any_null(i) {
            return Ok(None);
        }
        let (a, b) = (a.value(i), b.value(i));
        let length = a.len().max(b.len());
        let side = sides.as_ref().map(|s| s.value(i).to_uppercase());
        let pad = |v: &[u8]| {
            let zeros = vec![0; length - v.len()];
            match side.as_deref() {
                _ if zeros.is_empty() => Ok(v.to_vec()),
                Some("LEFT") => Ok([zeros.as_slice(), v].concat()),
                Some("RIGHT") => Ok([v, zeros.as_slice()].concat()),
                Some(other) => fail(format!("the padding of binaries is 'LEFT' or 'RIGHT', not '{other}'")),
                None => fail("the two binaries differ in length: give 'LEFT' or 'RIGHT' as the third argument"),
            }
        };
        let (a, b) = (pad(a)?, pad(b)?);
        Ok(Some(a.into_iter().zip(b).map(|(a, b)| g(a, b)).collect::<Vec<u8>>()))
    });
    Ok(Arc::new(BinaryArray::from_iter(out.collect::<Result<Vec<_>>>()?)))
}

fn shift(r: &Rows, left: bool) -> Result<ArrayRef> {
    let by = r.integers(1)?;
    let count = |i: usize| {
        if by.value(i) < 0 { fail(format!("bits are shifted by 0 or more, not {}", by.value(i))) } else { Ok(by.value(i) as usize) }
    };
    if r.result == Type::Binary {
        let values = bytes(r, 0)?;
        let out = (0..r.rows).map(|i| if r.any_null(i) { Ok(None) } else { Ok(Some(shifted(values.value(i), count(i)?, left))) });
        return Ok(Arc::new(BinaryArray::from_iter(out.collect::<Result<Vec<_>>>()?)));
    }
    let values = r.integers(0)?;
    let out = (0..r.rows).map(|i| {
        if r.any_null(i) {
            return Ok(None);
        }
        let (v, n) = (i128::from(values.value(i)), count(i)?);
        if !left {
            return Ok(Some((v >> n.min(64)) as i64));
        }
        let wide = if n > 64 { if v == 0 { Some(0) } else { None } } else { i64::try_from(v << n).ok() };
        wide.map(Some).ok_or_else(|| overflow(Type::INTEGER))
    });
    Ok(Arc::new(out.collect::<Result<Int64Array>>()?))
}

/// Bits that leave at one end are lost; zeros come in at the other.
fn shifted(value: &[u8], by: usize, left: bool) -> Vec<u8> {
    let bits = value.len() * 8;
    let bit = |at: usize| value[at / 8] >> (7 - at % 8) & 1;
    let mut out = vec![0; value.len()];
    for at in 0..bits {
        let from = if left { at.checked_add(by).filter(|f| *f < bits) } else { at.checked_sub(by) };
        if let Some(from) = from {
            out[at / 8] |= bit(from) << (7 - at % 8);
        }
    }
    out
}

/// Positions of a bitmap as bytes: few positions as a list, many as a map. What Snowflake keeps is not published;
/// only BITMAP_COUNT and BITMAP_OR_AGG read it.
pub(super) fn pack_bitmap(mut positions: Vec<u16>) -> Vec<u8> {
    positions.sort_unstable();
    positions.dedup();
    let count = (positions.len() as u16).to_be_bytes();
    if positions.len() <= 1024 {
        let mut out = count.to_vec();
        out.extend(positions.iter().flat_map(|p| p.to_le_bytes()));
        out.resize(out.len().max(10), 0);
        return out;
    }
    let mut out = vec![0; 2 + BUCKET as usize / 8];
    out[..2].copy_from_slice(&count);
    for p in positions {
        out[2 + usize::from(p) / 8] |= 1 << (p % 8);
    }
    out
}

pub(super) fn unpack_bitmap(bytes: &[u8]) -> Result<Vec<u16>> {
    let not_a_bitmap = || fail("the value is not a bitmap of BITMAP_CONSTRUCT_AGG");
    let [high, low, rest @ ..] = bytes else { return not_a_bitmap() };
    let count = usize::from(u16::from_be_bytes([*high, *low]));
    if rest.len() == BUCKET as usize / 8 {
        return Ok((0..BUCKET as u16).filter(|p| rest[usize::from(*p) / 8] >> (p % 8) & 1 == 1).collect());
    }
    if rest.len() < count * 2 {
        return not_a_bitmap();
    }
    Ok(rest.chunks_exact(2).take(count).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_shift_across_bytes() {
        assert_eq!(shifted(&[0xAB, 0xCD], 4, true), [0xBC, 0xD0]);
        assert_eq!(shifted(&[0xAB, 0xCD], 4, false), [0x0A, 0xBC]);
        assert_eq!(shifted(&[0xAB], usize::MAX, true), [0]);
    }

    #[test]
    fn bitmaps_return() {
        for positions in [vec![], vec![0, 1, 32_767], (0..30_000).step_by(3).collect::<Vec<u16>>()] {
            assert_eq!(unpack_bitmap(&pack_bitmap(positions.clone())).expect("a bitmap"), positions);
        }
    }
}
