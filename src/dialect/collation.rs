//! Collations: how texts compare beyond their bytes (Snowflake documentation, "Collation support").
//!
//! A collation travels as metadata of a VARCHAR field from COLLATE to the comparison, search or change of case that
//! heeds it. A text's key compares as the text does: letters first, then accents, then case, as the Unicode collation
//! algorithm orders Latin letters. It knows no contractions (Spanish ch, Danish aa) and keeps other scripts in the order
//! of their code points. Columns do not keep a collation.

use std::{collections::HashMap, sync::LazyLock};

use datafusion::arrow::datatypes::{Field, FieldRef};

use super::SqlError;

/// Metadata key of a field's collation.
const KEY: &str = "segue.collation";

/// Letters with accents, and below them the letters without.
const ACCENTED: &str = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝàáâãäåçèéêëìíîïñòóôõöùúûüýÿĀāĂăĄąĆćĈĉĊċČčĎďĒēĔĕĖėĘęĚěĜĝĞğĠġĢģĤĥĨĩĪīĬĭĮ\
     įİĴĵĶķĹĺĻļĽľŃńŅņŇňŌōŎŏŐőŔŕŖŗŘřŚśŜŝŞşŠšŢţŤťŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽžƠơƯưǍǎǏǐǑǒǓǔǕǖǗǘǙǚǛǜǞǟǠǡǦǧǨǩǪǫǬ\
     ǭǰǴǵǸǹǺǻȀȁȂȃȄȅȆȇȈȉȊȋȌȍȎȏȐȑȒȓȔȕȖȗȘșȚțȞȟȦȧȨȩȪȫȬȭȮȯȰȱȲȳḀḁḂḃḄḅḆḇḈḉḊḋḌḍḎḏḐḑḒḓḔḕḖḗḘḙḚḛḜḝḞḟḠḡḢḣḤḥḦḧḨḩḪḫ\
     ḬḭḮḯḰḱḲḳḴḵḶḷḸḹḺḻḼḽḾḿṀṁṂṃṄṅṆṇṈṉṊṋṌṍṎṏṐṑṒṓṔṕṖṗṘṙṚṛṜṝṞṟṠṡṢṣṤṥṦṧṨṩṪṫṬṭṮṯṰṱṲṳṴṵṶṷṸṹṺṻṼṽṾṿẀẁẂẃẄẅẆẇẈẉẊẋ\
     ẌẍẎẏẐẑẒẓẔẕẖẗẘẙẠạẢảẤấẦầẨẩẪẫẬậẮắẰằẲẳẴẵẶặẸẹẺẻẼẽẾếỀềỂểỄễỆệỈỉỊịỌọỎỏỐốỒồỔổỖỗỘộỚớỜờỞởỠỡỢợỤụỦủỨứỪừỬửỮữỰự\
     ỲỳỴỵỶỷỸỹ";
const PLAIN: &str = "AAAAAACEEEEIIIINOOOOOUUUUYaaaaaaceeeeiiiinooooouuuuyyAaAaAaCcCcCcCcDdEeEeEeEeEeGgGgGgGgHhIiIiIiI\
     iIJjKkLlLlLlNnNnNnOoOoOoRrRrRrSsSsSsSsTtTtUuUuUuUuUuUuWwYyYZzZzZzOoUuAaIiOoUuUuUuUuUuAaAaGgKkOoO\
     ojGgNnAaAaAaEeEeIiIiOoOoRrRrUuUuSsTtHhAaEeOoOoOoOoYyAaBbBbBbCcDdDdDdDdDdEeEeEeEeEeFfGgHhHhHhHhHh\
     IiIiKkKkKkLlLlLlLlMmMmMmNnNnNnNnOoOoOoOoPpPpRrRrRrRrSsSsSsSsSsTtTtTtTtUuUuUuUuUuVvVvWwWwWwWwWwXx\
     XxYyZzZzZzhtwyAaAaAaAaAaAaAaAaAaAaAaAaEeEeEeEeEeEeEeEeIiIiOoOoOoOoOoOoOoOoOoOoOoOoUuUuUuUuUuUuUu\
     YyYyYyYy";

static UNACCENTED: LazyLock<HashMap<char, char>> = LazyLock::new(|| ACCENTED.chars().zip(PLAIN.chars()).collect());

/// Letters of their own, each with the letter that it follows in its languages' alphabets.
const LETTERS: &[(char, char, &[&str])] = &[
    ('ñ', 'n', &["es", "gl", "eu"]),
    ('å', 'z', &["sv", "da", "no", "nb", "nn", "fi"]),
    ('ä', 'z', &["sv", "fi"]),
    ('ö', 'z', &["sv", "fi"]),
    ('æ', 'z', &["da", "no", "nb", "nn"]),
    ('ø', 'z', &["da", "no", "nb", "nn"]),
    ('ç', 'c', &["tr", "az", "sq"]),
    ('ğ', 'g', &["tr", "az"]),
    ('ö', 'o', &["tr", "az", "hu", "et"]),
    ('ş', 's', &["tr", "az"]),
    ('ü', 'u', &["tr", "az", "hu", "et"]),
    ('č', 'c', &["cs", "sk", "hr", "sl", "lt", "lv"]),
    ('š', 's', &["cs", "sk", "hr", "sl", "lt", "lv"]),
    ('ž', 'z', &["cs", "sk", "hr", "sl", "lt", "lv"]),
    ('ą', 'a', &["pl"]),
    ('ć', 'c', &["pl", "hr"]),
    ('ę', 'e', &["pl"]),
    ('ł', 'l', &["pl"]),
    ('ń', 'n', &["pl"]),
    ('ó', 'o', &["pl"]),
    ('ś', 's', &["pl"]),
    ('ź', 'z', &["pl"]),
    ('ż', 'z', &["pl"]),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collation {
    /// Language of a locale; empty compares code points.
    language: String,
    ignores_case: bool,
    ignores_accents: bool,
    ignores_punctuation: bool,
    upper_first: bool,
    trims: (bool, bool),
    /// Compared in upper or in lower case.
    case: Option<Case>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

impl Collation {
    /// `en-ci-ai`, `upper`, `utf8`...
    pub fn parse(spec: &str) -> Result<Self, SqlError> {
        let fault = || {
            SqlError::new("sql/collation", format!("`{spec}` is not a collation"))
                .help("a collation is a locale or `utf8`, and specifiers: `en-ci`, `es-ci-ai`, `upper-trim`")
        };
        let mut collation = Self::default();
        for (i, part) in spec.to_lowercase().split('-').enumerate() {
            match part {
                "" if spec.is_empty() => {}
                "cs" | "as" | "ps" | "fl" => {}
                "ci" => collation.ignores_case = true,
                "ai" => collation.ignores_accents = true,
                "pi" => collation.ignores_punctuation = true,
                "fu" => collation.upper_first = true,
                "upper" => collation.case = Some(Case::Upper),
                "lower" => collation.case = Some(Case::Lower),
                "trim" => collation.trims = (true, true),
                "ltrim" => collation.trims.0 = true,
                "rtrim" => collation.trims.1 = true,
                "utf8" | "bin" if i == 0 => {}
                locale if i == 0 && is_locale(locale) => collation.language = locale.split('_').next().unwrap_or_default().to_owned(),
                _ => return Err(fault()),
            }
        }
        Ok(collation)
    }

    /// A text that compares as the collation wants, byte by byte.
    pub fn key(&self, text: &str) -> String {
        let text = self.prepared(text);
        if self.language.is_empty() {
            return if self.ignores_case { text.to_lowercase() } else { text };
        }
        let (mut letters, mut accents, mut cases) = (String::new(), String::new(), String::new());
        for c in text.chars() {
            let lower = c.to_lowercase().next().unwrap_or(c);
            let (primary, accent) = self.letter(lower);
            if self.ignores_punctuation && !c.is_alphanumeric() {
                continue;
            }
            // punctuation before digits before letters
            letters.push(if lower.is_alphabetic() {
                '\u{4}'
            } else if lower.is_numeric() {
                '\u{3}'
            } else {
                '\u{2}'
            });
            letters.push_str(&primary);
            accents.push(accent);
            cases.push(if c.is_uppercase() != self.upper_first { '\u{3}' } else { '\u{2}' });
        }
        if !self.ignores_accents {
            letters.push('\u{1}');
            letters.push_str(&accents);
        }
        if !self.ignores_case {
            letters.push('\u{1}');
            letters.push_str(&cases);
        }
        letters
    }

    /// One that patterns can be matched with: it only folds case or trims (Snowflake documentation, "LIKE").
    pub fn for_patterns(spec: &str) -> Result<Self, SqlError> {
        let this = Self::parse(spec)?;
        if this.language.is_empty() && !(this.ignores_case || this.ignores_accents || this.ignores_punctuation || this.upper_first) {
            return Ok(this);
        }
        Err(SqlError::new("sql/collation", format!("`LIKE` does not know the collation `{spec}`"))
            .help("it knows `upper`, `lower` and `trim`; give the text another one: COLLATE(text, '')"))
    }

    /// A text in which what the collation ignores is gone: for searching in it.
    pub fn folded(&self, text: &str) -> String {
        let fold = |c: char| {
            let plain = if self.ignores_accents { self.unaccented(c) } else { c };
            if self.ignores_case { plain.to_lowercase().next().unwrap_or(plain) } else { plain }
        };
        self.prepared(text).chars().filter(|c| !self.ignores_punctuation || c.is_alphanumeric()).map(fold).collect()
    }

    pub fn upper(&self, text: &str) -> String {
        if self.is_turkic() { text.replace('i', "İ").to_uppercase() } else { text.to_uppercase() }
    }

    pub fn lower(&self, text: &str) -> String {
        if self.is_turkic() { text.replace('İ', "i").replace('I', "ı").to_lowercase() } else { text.to_lowercase() }
    }

    fn is_turkic(&self) -> bool {
        matches!(self.language.as_str(), "tr" | "az")
    }

    fn prepared(&self, text: &str) -> String {
        let mut text = text;
        if self.trims.0 {
            text = text.trim_start();
        }
        if self.trims.1 {
            text = text.trim_end();
        }
        match self.case {
            Some(Case::Upper) => self.upper(text),
            Some(Case::Lower) => self.lower(text),
            None => text.to_owned(),
        }
    }

    /// What a lower-case letter is at first, and its accent.
    fn letter(&self, c: char) -> (String, char) {
        if let Some((_, after, _)) = self.own_letter(c) {
            return (format!("{after}\u{10FFFF}{c}"), '\u{2}');
        }
        match UNACCENTED.get(&c) {
            Some(plain) => (plain.to_string(), c),
            None => (c.to_string(), '\u{2}'),
        }
    }

    fn own_letter(&self, c: char) -> Option<&'static (char, char, &'static [&'static str])> {
        LETTERS.iter().find(|(letter, _, languages)| *letter == c && languages.contains(&self.language.as_str()))
    }

    fn unaccented(&self, c: char) -> char {
        let lower = c.to_lowercase().next().unwrap_or(c);
        if self.own_letter(lower).is_some() { c } else { UNACCENTED.get(&c).copied().unwrap_or(c) }
    }
}

fn is_locale(text: &str) -> bool {
    let mut parts = text.split('_');
    let letters =
        |p: &str, lengths: std::ops::RangeInclusive<usize>| lengths.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric());
    parts.next().is_some_and(|p| letters(p, 2..=3)) && parts.all(|p| letters(p, 2..=8))
}

/// The collation that a field carries.
pub fn of(field: &Field) -> Option<&str> {
    field.metadata().get(KEY).map(String::as_str)
}

/// The field with a collation.
pub fn tagged(field: FieldRef, collation: Option<&str>) -> FieldRef {
    let Some(collation) = collation else { return field };
    let mut metadata = field.metadata().clone();
    metadata.insert(KEY.to_owned(), collation.to_owned());
    std::sync::Arc::new(field.as_ref().clone().with_metadata(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_sort_as_their_language_does() {
        for (spec, mut texts, wanted) in [
            ("es", vec!["piña colada", "Pinatubo (Mount)", "pint", "Pinta"], vec!["Pinatubo (Mount)", "pint", "Pinta", "piña colada"]),
            ("utf8", vec!["piña colada", "Pinatubo (Mount)", "pint", "Pinta"], vec!["Pinatubo (Mount)", "Pinta", "pint", "piña colada"]),
            ("en", vec!["b", "B", "a", "A", "é", "e", "1", "-"], vec!["-", "1", "a", "A", "b", "B", "e", "é"]),
            ("en-fu", vec!["a", "A"], vec!["A", "a"]),
        ] {
            let collation = Collation::parse(spec).expect(spec);
            texts.sort_by_key(|t| collation.key(t));
            assert_eq!(texts, wanted, "{spec}");
        }
    }

    #[test]
    fn equality_ignores_what_it_is_told_to() {
        for (spec, a, b, equal) in [
            ("en-ci", "Abc", "aBC", true),
            ("en", "Abc", "abc", false),
            ("en-ai", "é", "e", true),
            ("es-ci-ai", "Ñ", "n", false),
            ("upper", "m", "M", true),
            ("trim", " m ", "m", true),
            ("en-pi", "a-b", "ab", true),
        ] {
            let collation = Collation::parse(spec).expect(spec);
            assert_eq!(collation.key(a) == collation.key(b), equal, "{spec} {a} {b}");
        }
        assert_eq!(Collation::parse("tr").expect("tr").upper("i"), "İ");
        assert!(Collation::parse("en-xx").is_err() && Collation::parse("nonsense").is_err());
    }
}
