//! How alike two texts are, or sound.

use std::sync::Arc;

use datafusion::{
    arrow::array::{Array, ArrayRef, Int64Array},
    common::Result,
};

use super::{
    json::{integer, varchar},
    scalar::{Arity, Function, Rows, texts},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("editdistance", Arity::Between(2, 3), integer, |r| {
        let most = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        pairs(r, |i, a, b| {
            let distance = strsim::generic_levenshtein(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>()) as i64;
            most.as_ref().map_or(distance, |m| distance.min(m.value(i).max(0)))
        })
    }),
    Function::new("jarowinkler_similarity", Arity::Exactly(2), integer, |r| pairs(r, |_, a, b| likeness(a, b))),
    Function::new("soundex", Arity::Exactly(1), varchar, |r| sounds(r, false)),
    Function::new("soundex_p123", Arity::Exactly(1), varchar, |r| sounds(r, true)),
];

fn pairs(r: &Rows, f: impl Fn(usize, &str, &str) -> i64) -> Result<ArrayRef> {
    let (a, b) = (r.text(0)?, r.text(1)?);
    Ok(Arc::new((0..r.rows).map(|i| (!r.any_null(i)).then(|| f(i, a.value(i), b.value(i)))).collect::<Int64Array>()))
}

/// Jaro-Winkler in percent, case ignored; nothing is like the empty text.
fn likeness(a: &str, b: &str) -> i64 {
    if a.is_empty() || b.is_empty() {
        return 0;
    }
    (strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase()) * 100.0) as i64
}

fn sounds(r: &Rows, keep_second: bool) -> Result<ArrayRef> {
    let values = r.text(0)?;
    texts(r, |i| Ok((!values.is_null(i)).then(|| soundex(values.value(i), keep_second))))
}

/// A letter and three digits. `keep_second` keeps the second letter's digit where it is the first letter's.
fn soundex(text: &str, keep_second: bool) -> String {
    let digit = |c: char| match c {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let mut letters = text.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase());
    let Some(first) = letters.next() else { return String::new() };
    let mut code = String::from(first);
    let mut last = if keep_second { None } else { digit(first) };
    for c in letters {
        if code.len() == 4 {
            break;
        }
        match digit(c) {
            Some(d) if last != Some(d) => {
                code.push(d);
                last = Some(d);
            }
            Some(_) => {}
            // H and W do not separate equal digits, vowels do
            None if matches!(c, 'H' | 'W') => {}
            None => last = None,
        }
    }
    format!("{code:0<4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_as_documented() {
        for (text, code, p123) in [
            ("Robert", "R163", "R163"),
            ("Rupert", "R163", "R163"),
            ("Ashcraft", "A261", "A261"),
            ("Pfister", "P236", "P123"),
            ("Marsha", "M620", "M620"),
            ("I love rock and roll music.", "I416", "I416"),
            ("", "", ""),
        ] {
            assert_eq!((soundex(text, false).as_str(), soundex(text, true).as_str()), (code, p123), "{text}");
        }
    }

    #[test]
    fn likeness_in_percent() {
        for (a, b, percent) in [
            ("", "", 0),
            ("Gute nacht", "Ich weis nicht", 56),
            ("Ich weiß nicht", "Ich wei? nicht", 97),
            ("święta", "swieta", 77),
            ("ABC", "abc", 100),
        ] {
            assert_eq!(likeness(a, b), percent, "{a} {b}");
        }
    }
}
