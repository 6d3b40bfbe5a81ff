//! Where in a properties file the cursor is: the keys above it, and the names of the entries it stands in. By indentation
//! alone, so that half-written YAML has an answer too.

use std::ops::Range;

/// One list on the way to the cursor: its key, and the `name` of the item that holds the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) key: String,
    pub(super) name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key on the cursor's line; empty for an item without one.
    pub(super) key: String,
    /// Its value in the text; empty where there is none yet.
    pub(super) value: Range<usize>,
    /// Innermost first.
    pub(super) levels: Vec<Level>,
}

impl Entry {
    /// The node that the cursor's entry describes, as `(key, name)`, and of a source its name too.
    pub(super) fn node(&self) -> Option<(&str, &str, Option<&str>)> {
        let at = self.levels.iter().position(|l| matches!(l.key.as_str(), "models" | "seeds" | "snapshots" | "analyses" | "tables"))?;
        let level = &self.levels[at];
        let source = self.levels.get(at + 1).filter(|l| l.key == "sources").and_then(|l| l.name.as_deref());
        Some((&level.key, level.name.as_deref()?, source))
    }

    /// The column whose entry it is.
    pub(super) fn column(&self) -> Option<&str> {
        self.levels.iter().find(|l| l.key == "columns")?.name.as_deref()
    }

    pub(super) fn list(&self) -> &str {
        self.levels.first().map_or("", |l| &l.key)
    }
}

struct Line<'a> {
    /// Column of the dash of an item.
    dash: Option<usize>,
    /// Column of what stands behind it.
    indent: usize,
    key: &'a str,
    value: Range<usize>,
}

fn line(text: &str, range: Range<usize>) -> Option<Line<'_>> {
    let whole = &text[range.clone()];
    let mut content = whole.trim_start_matches(' ');
    let mut indent = whole.len() - content.len();
    let mut dash = None;
    if content.starts_with('#') || content.trim().is_empty() {
        return None;
    }
    while let Some(rest) = content.strip_prefix('-').filter(|r| r.is_empty() || r.starts_with(' ')) {
        dash.get_or_insert(indent);
        content = rest.trim_start_matches(' ');
        indent = whole.len() - content.len();
    }
    // `{name: x, ...}` is an entry on one line
    let (content, indent) = match content.strip_prefix('{') {
        Some(inner) if dash.is_some() => (inner.trim_start(), whole.len() - inner.trim_start().len()),
        _ => (content, indent),
    };
    let colon = content.find(": ").or_else(|| content.trim_end().ends_with(':').then(|| content.trim_end().len() - 1));
    let (key, value) = match colon {
        Some(colon) => (content[..colon].trim(), &content[(colon + 1).min(content.len())..]),
        None => ("", content),
    };
    let value = value.split(['}', '#']).next().unwrap_or_default();
    let value = if key == "name" { value.split(',').next().unwrap_or_default() } else { value };
    let trimmed = value.trim().trim_matches(['"', '\'']);
    let start = if trimmed.is_empty() { range.end } else { trimmed.as_ptr() as usize - text.as_ptr() as usize };
    Some(Line { dash, indent, key, value: start..start + trimmed.len() })
}

pub(super) fn at(text: &str, offset: usize) -> Option<Entry> {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let mut ranges = vec![];
    let mut start = 0;
    for piece in text.split_inclusive('\n') {
        ranges.push(start..start + piece.trim_end_matches(['\n', '\r']).len());
        start += piece.len();
    }
    if text.is_empty() || text.ends_with('\n') {
        ranges.push(start..start);
    }
    let row = ranges.iter().position(|r| offset <= r.end).unwrap_or(ranges.len().saturating_sub(1));
    let current = line(text, ranges.get(row)?.clone())?;
    let mut levels = vec![];
    let mut name: Option<String> = None;
    let called = |l: &Line<'_>| (l.key == "name").then(|| text[l.value.clone()].to_owned()).filter(|n| !n.is_empty());
    // siblings below may hold the name of the cursor's own item
    if current.key != "name" {
        for range in &ranges[row + 1..] {
            let Some(below) = line(text, range.clone()) else { continue };
            if below.indent < current.indent || below.dash.is_some_and(|d| d < current.indent) {
                break;
            }
            if below.indent == current.indent {
                name = name.or(called(&below));
            }
        }
    }
    // keys of the mapping that is being left upwards stand at `column`; `in_list`: its dash was passed, a key comes next
    let (mut column, mut in_list) = (current.indent, false);
    for (at, range) in ranges[..=row].iter().enumerate().rev() {
        let Some(l) = line(text, range.clone()) else { continue };
        let own = at == row;
        if own || !in_list && l.indent == column {
            name = called(&l).or(name);
        } else if l.indent < column || in_list && l.dash.is_none() && l.indent <= column {
            if l.dash.is_some_and(|d| in_list && d == column) {
                continue;
            }
            levels.push(Level { key: l.key.to_owned(), name: if in_list { name.take() } else { None } });
            name = called(&l);
            (column, in_list) = (l.indent, false);
        } else {
            continue;
        }
        if let Some(dash) = l.dash {
            (column, in_list) = (dash, true);
        }
    }
    Some(Entry { key: current.key.to_owned(), value: current.value, levels })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
version: 2
models:
  - name: stg
    description: x
    columns:
      - name: id
        data_tests:
          - not_null
          - un¹
      - {name: price, description: y²}
      - name: ³
  - name: mart
    columns:
    - description: z⁴
      name: late
sources:
- name: raw
  tables:
  - name: plays
    columns:
    - name: song⁵
";

    fn shown(mark: char) -> (String, String, String) {
        let offset = TEXT.find(mark).expect("a mark");
        let text: String = TEXT.chars().filter(|c| !"¹²³⁴⁵".contains(*c)).collect();
        let offset = offset - TEXT[..offset].chars().filter(|c| "¹²³⁴⁵".contains(*c)).map(char::len_utf8).sum::<usize>();
        let entry = at(&text, offset).expect("an entry");
        let levels: Vec<String> = entry.levels.iter().map(|l| format!("{}={}", l.key, l.name.as_deref().unwrap_or("-"))).collect();
        (entry.key, text[entry.value].to_owned(), levels.join(" "))
    }

    #[test]
    fn levels_are_found_by_indentation() {
        let all = |key: &str, value: &str, levels: &str| (key.to_owned(), value.to_owned(), levels.to_owned());
        assert_eq!(shown('¹'), all("", "un", "data_tests=- columns=id models=stg"));
        assert_eq!(shown('³'), all("name", "", "columns=- models=stg"));
        assert_eq!(shown('⁴').2, "columns=late models=mart");
        assert_eq!(shown('⁵'), all("name", "song", "columns=song tables=plays sources=raw"));
    }

    #[test]
    fn every_place_has_an_answer() {
        let text: String = TEXT.chars().filter(|c| *c != '³').collect();
        for offset in 0..=text.len() {
            at(&text, offset);
        }
        for text in ["", "-", "- - a", "{", "a:\n\t- b", "- {", "가: 나"] {
            (0..=text.len()).for_each(|offset| drop(at(text, offset)));
        }
    }
}
