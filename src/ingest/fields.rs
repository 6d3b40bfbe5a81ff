//! The text of a JSON object to the cells of a table, without a tree in between: most of what a topic's messages cost.
//!
//! Only for what is as it should be. Whoever calls this reads a text that it refuses once more as a tree, which tells what is wrong
//! with it; so both have to give the same cells.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value as Json;

use super::{columns::ColumnType, rows::Cell};

/// Of the name of a field the place of its column.
pub struct FieldPlaces {
    exact: HashMap<String, usize>,
    /// In lower case; empty when two columns differ in nothing but case.
    folded: HashMap<String, usize>,
    is_clear: bool,
}

impl FieldPlaces {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let (mut exact, mut folded, mut count) = (HashMap::new(), HashMap::new(), 0);
        for (place, name) in names.enumerate() {
            exact.insert(name.to_owned(), place);
            folded.insert(name.to_ascii_lowercase(), place);
            count += 1;
        }
        let is_clear = folded.len() == count;
        Self { exact, folded, is_clear }
    }

    /// `None`: something is not as it should be.
    pub fn row(&self, text: &[u8], kinds: Vec<ColumnType>, more: Option<&str>) -> Option<(Vec<Cell>, Option<Json>)> {
        if !self.is_clear {
            return None;
        }
        let mut row = Row { places: self, exactly: vec![false; kinds.len()], cells: vec![None; kinds.len()], kinds, more, other: None };
        let mut source = serde_json::Deserializer::from_slice(text);
        let is_fit = source.deserialize_map(&mut row).ok()?;
        source.end().ok()?;
        let cells = row.cells.into_iter().map(|cell| cell.unwrap_or(Cell::Null)).collect();
        is_fit.then_some((cells, row.other))
    }

    /// The column of a field, and whether the names are equal.
    fn place(&self, field: &str) -> Option<(usize, bool)> {
        if let Some(place) = self.exact.get(field) {
            return Some((*place, true));
        }
        let lower = field.bytes().all(|b| !b.is_ascii_uppercase());
        let place = if lower { self.folded.get(field) } else { self.folded.get(&field.to_ascii_lowercase()) };
        place.map(|place| (*place, false))
    }
}

struct Row<'a> {
    places: &'a FieldPlaces,
    kinds: Vec<ColumnType>,
    cells: Vec<Option<Cell>>,
    /// The cell is that of a field of just this name, which goes before others.
    exactly: Vec<bool>,
    more: Option<&'a str>,
    other: Option<Json>,
}

/// What a field is for.
struct Field {
    place: Option<(usize, bool)>,
    is_more: bool,
}

struct Name<'a>(&'a FieldPlaces, Option<&'a str>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Field, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(Field { place: self.0.place(name), is_more: self.1 == Some(name) })
    }
}

impl<'de> Visitor<'de> for &mut Row<'_> {
    /// Whether every value fits its column.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.places, self.more))? {
            // of two fields that name a column without its case the first counts, of two of one name the last
            let taken = field.place.filter(|(place, exact)| *exact || self.cells[*place].is_none());
            if taken.is_none() && !field.is_more {
                // twice the same spelling is for the tree to sort out
                if field.place.is_some_and(|(place, _)| !self.exactly[place]) {
                    return Ok(false);
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Json = map.next_value()?;
            if field.is_more {
                self.other = Some(value.clone());
            }
            if let Some((place, exact)) = taken {
                let Ok(cell) = self.kinds[place].cell_of(value) else { return Ok(false) };
                self.cells[place] = Some(cell);
                self.exactly[place] |= exact;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::{Column, Columns};
    use super::*;

    #[test]
    fn texts_give_the_cells_that_trees_give() {
        let column =
            |(name, kind): &(&str, &str)| Column { name: (*name).to_owned(), column_type: ColumnType::parse(kind).expect("a type") };
        let kinds =
            [("song", "varchar"), ("n", "integer"), ("Length", "float"), ("price", "number(5,2)"), ("at", "timestamp"), ("tags", "array")];
        let columns = Columns::new(kinds.iter().map(column).collect(), vec![], None, vec![]).expect("columns");
        for text in [
            r#"{"song": "a\u00e9\n", "n": 1, "length": 2, "price": 1.005, "at": "2025-02-27T11:00:00Z", "tags": [{"b": 1, "a": 2}], "x": {"y": []}}"#,
            r#"{"SONG": "a", "song": "b", "N": 2}"#,
            r#"{"song": "b", "SONG": "a", "n": 3, "n": 4}"#,
            r#"{"SONG": "a", "Song": "b"}"#,
            r#"{"n": 1.0, "length": 1e3, "song": {"b": 1, "a": null}}"#,
            r#"{"n": "7", "song": null, "length": "1.5", "price": 12}"#,
            r#"{"n": 1.5}"#,
            r#"{"n": 9223372036854775808}"#,
            r#"{"tags": {}}"#,
            r#"{"n": 1} x"#,
            r#"{"n": 1"#,
            "[1]",
            "{}",
            "7",
        ] {
            let tree = serde_json::from_str::<Json>(text).ok();
            let by_tree = tree.as_ref().and_then(|tree| columns.json_row(tree).ok());
            match columns.quick_row(text.as_bytes(), Some("n")) {
                Some((cells, more)) => {
                    assert_eq!(Some(cells), by_tree, "{text}");
                    assert_eq!(more.as_ref(), tree.as_ref().and_then(|tree| tree.get("n")), "{text}");
                }
                // what is refused is read again
                None => assert!(by_tree.is_none() || text.contains("SONG"), "{text}"),
            }
        }
    }
}
