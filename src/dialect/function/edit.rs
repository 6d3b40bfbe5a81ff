//! Texts made from texts: padding, trimming, replacing, changing case.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BinaryArray},
        datatypes::FieldRef,
    },
    common::{DataFusionError, Result, plan_err},
};

use super::{
    json::varchar,
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    text::{bytes, mapped, same},
};
use crate::dialect::{
    collation::{self, Collation},
    types::Type,
};

/// Longest text that a function makes: Snowflake's longest VARCHAR.
const LONGEST: i64 = 134_217_728;

/// Behind these characters INITCAP writes a capital (Snowflake documentation, "INITCAP").
const WORD_DELIMITERS: &str = "!?@\"^#$&~_,.:;+-*%/|\\[](){}<>";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("upper", Arity::Exactly(1), collated, |r| {
        let collation = r.collation()?;
        change(r, |t| collation.as_ref().map_or_else(|| t.to_uppercase(), |c| c.upper(t)))
    }),
    Function::new("lower", Arity::Exactly(1), collated, |r| {
        let collation = r.collation()?;
        change(r, |t| collation.as_ref().map_or_else(|| t.to_lowercase(), |c| c.lower(t)))
    }),
    Function::new(
        "collate",
        Arity::Exactly(2),
        |c| match c.text(1) {
            Some(spec) => match Collation::parse(&spec) {
                Ok(_) => Ok(collation::tagged(Type::Varchar.field(c.name), Some(&spec))),
                Err(e) => Err(DataFusionError::External(Box::new(e))),
            },
            None => plan_err!("the collation of COLLATE is a literal"),
        },
        |r| Ok(Arc::new(r.text(0)?)),
    ),
    Function::new("collation", Arity::Exactly(1), collated, |r| {
        let spec = collation::of(r.result_field).map(str::to_owned);
        texts(r, |_| Ok(spec.clone()))
    }),
    // what COLLATE becomes in ORDER BY and beside a comparison
    Function::new("__collation_key", Arity::Exactly(2), varchar, |r| {
        let (values, specs) = (r.text(0)?, r.text(1)?);
        let Some(spec) = specs.iter().flatten().next() else { return texts(r, |_| Ok(None)) };
        let collation = Collation::parse(spec).map_err(|e| DataFusionError::External(Box::new(e)))?;
        texts(r, |i| Ok((!values.is_null(i)).then(|| collation.key(values.value(i)))))
    }),
    Function::new("reverse", Arity::Exactly(1), same, |r| {
        mapped(r, |_, b| Ok(b.iter().rev().copied().collect()), |_, t| Ok(t.chars().rev().collect()))
    }),
    Function::new("initcap", Arity::Between(1, 2), varchar, initcap),
    Function::new("trim", Arity::Between(1, 2), varchar, |r| trim(r, true, true)),
    Function::new("btrim", Arity::Between(1, 2), varchar, |r| trim(r, true, true)),
    Function::new("ltrim", Arity::Between(1, 2), varchar, |r| trim(r, true, false)),
    Function::new("rtrim", Arity::Between(1, 2), varchar, |r| trim(r, false, true)),
    Function::new("lpad", Arity::Between(2, 3), same, |r| pad(r, true)),
    Function::new("rpad", Arity::Between(2, 3), same, |r| pad(r, false)),
    Function::new("repeat", Arity::Exactly(2), same, |r| {
        let times = r.integers(1)?;
        let count = |i: usize, length: usize| {
            let n = times.value(i).max(0);
            if n.saturating_mul(length as i64) > LONGEST {
                fail("the result of REPEAT is longer than a VARCHAR can be")
            } else {
                Ok(n as usize)
            }
        };
        mapped(r, |i, b| Ok(b.repeat(count(i, b.len())?)), |i, t| Ok(t.repeat(count(i, t.len())?)))
    }),
    Function::new("space", Arity::Exactly(1), varchar, |r| {
        let times = r.integers(0)?;
        texts(r, |i| match times.is_null(i) {
            true => Ok(None),
            false if times.value(i) > LONGEST => fail("the result of SPACE is longer than a VARCHAR can be"),
            false => Ok(Some(" ".repeat(times.value(i).max(0) as usize))),
        })
    }),
    Function::new("replace", Arity::Between(2, 3), varchar, |r| {
        let pattern = r.text(1)?;
        let replacement = if r.args.len() > 2 { Some(r.text(2)?) } else { None };
        let replacement = |i: usize| replacement.as_ref().map_or("", |t| t.value(i));
        mapped(
            r,
            |_, b| Ok(b.to_vec()),
            |i, t| Ok(if pattern.value(i).is_empty() { t.to_owned() } else { t.replace(pattern.value(i), replacement(i)) }),
        )
    }),
    Function::new("translate", Arity::Exactly(3), varchar, |r| {
        let (from, to) = (r.text(1)?, r.text(2)?);
        mapped(
            r,
            |_, b| Ok(b.to_vec()),
            |i, t| {
                let (from, to): (Vec<char>, Vec<char>) = (from.value(i).chars().collect(), to.value(i).chars().collect());
                // a character without a partner disappears
                Ok(t.chars().filter_map(|c| from.iter().position(|f| *f == c).map_or(Some(c), |at| to.get(at).copied())).collect())
            },
        )
    }),
    Function::new("concat_ws", Arity::AtLeast(2), same, |r| {
        let parts = (0..r.args.len()).map(|a| bytes(r, a)).collect::<Result<Vec<_>>>()?;
        let joined = |i: usize| (!r.any_null(i)).then(|| parts[1..].iter().map(|p| p.value(i)).collect::<Vec<_>>().join(parts[0].value(i)));
        if r.result == Type::Binary {
            return Ok(Arc::new(BinaryArray::from_iter((0..r.rows).map(joined))));
        }
        texts(r, |i| Ok(joined(i).map(|b| String::from_utf8_lossy(&b).into_owned())))
    }),
    Function::new(
        "__concat_binary",
        Arity::Exactly(2),
        |c| Ok(Type::Binary.field(c.name)),
        |r| {
            let (a, b) = (bytes(r, 0)?, bytes(r, 1)?);
            Ok(Arc::new(BinaryArray::from_iter((0..r.rows).map(|i| (!r.any_null(i)).then(|| [a.value(i), b.value(i)].concat())))))
        },
    ),
];

fn collated(call: &CallTypes) -> Result<FieldRef> {
    Ok(collation::tagged(Type::Varchar.field(call.name), call.collation.as_deref()))
}

fn change(r: &Rows, f: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let values = r.text(0)?;
    texts(r, |i| Ok((!values.is_null(i)).then(|| f(values.value(i)))))
}

fn initcap(r: &Rows) -> Result<ArrayRef> {
    let own = if r.args.len() > 1 { Some(r.text(1)?) } else { None };
    let values = r.text(0)?;
    texts(r, |i| {
        if r.any_null(i) {
            return Ok(None);
        }
        let ends_word = |c: char| match &own {
            Some(delimiters) => delimiters.value(i).contains(c),
            None => c.is_whitespace() || WORD_DELIMITERS.contains(c),
        };
        Ok(Some(capitalised(values.value(i), ends_word)))
    })
}

fn capitalised(text: &str, ends_word: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        // a delimiter that is a letter stays as it is
        if ends_word(c) {
            out.push(c);
            begins = true;
            continue;
        }
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = false;
    }
    out
}

fn trim(r: &Rows, left: bool, right: bool) -> Result<ArrayRef> {
    let sets = if r.args.len() > 1 { Some(r.text(1)?) } else { None };
    let values = r.text(0)?;
    texts(r, |i| {
        if r.any_null(i) {
            return Ok(None);
        }
        let in_set = |c: char| sets.as_ref().map_or(c == ' ', |s| s.value(i).contains(c));
        let mut text = values.value(i);
        if left {
            text = text.trim_start_matches(in_set);
        }
        if right {
            text = text.trim_end_matches(in_set);
        }
        Ok(Some(text.to_owned()))
    })
}

fn pad(r: &Rows, left: bool) -> Result<ArrayRef> {
    let lengths = r.integers(1)?;
    if r.args.len() < 3 && r.result == Type::Binary {
        return fail("padding a BINARY needs the bytes to pad with");
    }
    let pads = if r.args.len() > 2 { Some(bytes(r, 2)?) } else { None };
    let wanted = |i: usize| {
        let n = lengths.value(i).max(0);
        if n > LONGEST { fail("the padded text would be longer than a VARCHAR can be") } else { Ok(n as usize) }
    };
    mapped(
        r,
        |i, b| Ok(padded(b, pads.as_ref().map_or(b" ", |p| p.value(i)), wanted(i)?, left)),
        |i, t| {
            let pad: Vec<char> = pads.as_ref().map_or_else(|| vec![' '], |p| String::from_utf8_lossy(p.value(i)).chars().collect());
            Ok(padded(&t.chars().collect::<Vec<_>>(), &pad, wanted(i)?, left).into_iter().collect())
        },
    )
}

fn padded<T: Copy>(value: &[T], pad: &[T], wanted: usize, left: bool) -> Vec<T> {
    if value.len() >= wanted || pad.is_empty() {
        return value[..wanted.min(value.len())].to_vec();
    }
    let filling = pad.iter().copied().cycle().take(wanted - value.len());
    if left { filling.chain(value.iter().copied()).collect() } else { value.iter().copied().chain(filling).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_capitals() {
        let is = |set: &'static str| move |c: char| set.contains(c);
        assert_eq!(capitalised("the new Frame+work", |c| c.is_whitespace() || WORD_DELIMITERS.contains(c)), "The New Frame+Work");
        assert_eq!(capitalised("this is the new Frame+work", is("")), "This is the new frame+work");
        assert_eq!(capitalised("apple is僉sweetandballIsROUND", is("僉a b")), "aPple Is僉SweetaNdbaLlisround");
    }

    #[test]
    fn padding() {
        assert_eq!(padded(b"Hi", b"$", 5, true), b"$$$Hi");
        assert_eq!(padded(b"Hi", b"ab", 5, false), b"Hiaba");
        assert_eq!(padded(b"Twelve", b" ", 3, true), b"Twe");
        assert_eq!(padded(b"Hi", b"", 5, true), b"Hi");
    }
}
