//! The text of a JSON object to the cells of a table, without a tree in between: most of what a topic's messages cost.
//!
//! Only for what is as it should be. Whoever calls this reads a text that it refuses once more as a tree, which tells what is wrong
//! with it; so both have to give the same cells.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::Value as Json;

use super::{
    columns::ColumnType,
    rows::{Cell, Slot},
};

/// Of the name of a field the place of its column.
pub struct FieldPlaces {
    exact: HashMap<String, usize>,
    /// In lower case; empty when two columns differ in nothing but case.
    folded: HashMap<String, usize>,
    is_clear: bool,
}

/// The fields of the object before: objects of one source mostly have theirs in one order.
#[derive(Default)]
pub struct FieldOrder(Vec<(String, Field)>);

/// Fields of an object that are remembered.
const MOST: usize = 512;

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

    /// `order` is of objects of this source and the same `more`. `None`: something is not as it should be.
    pub fn row<'t>(
        &self,
        text: &'t [u8],
        kinds: &[ColumnType],
        more: Option<&str>,
        order: &mut FieldOrder,
    ) -> Option<(Vec<Slot<'t>>, Option<Json>)> {
        if !self.is_clear {
            return None;
        }
        let mut row = Row { places: self, slots: vec![], kinds, more, other: None, order };
        row.slots.resize_with(kinds.len(), || (None, false));
        // checked once, not text by text
        let mut source = serde_json::Deserializer::from_str(std::str::from_utf8(text).ok()?);
        let is_fit = source.deserialize_map(&mut row).ok()?;
        source.end().ok()?;
        let slots = row.slots.into_iter().map(|(slot, _)| slot.unwrap_or(Slot::Cell(Cell::Null))).collect();
        is_fit.then_some((slots, row.other))
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

struct Row<'a, 't> {
    places: &'a FieldPlaces,
    kinds: &'a [ColumnType],
    /// Of each column what it is given, and whether by a field of just its name, which goes before others.
    slots: Vec<(Option<Slot<'t>>, bool)>,
    more: Option<&'a str>,
    other: Option<Json>,
    order: &'a mut FieldOrder,
}

/// What a field is for.
#[derive(Clone, Copy)]
struct Field {
    place: Option<(usize, bool)>,
    is_more: bool,
}

/// The name of a field, the `at`th of its object.
struct Name<'a> {
    places: &'a FieldPlaces,
    more: Option<&'a str>,
    order: &'a mut FieldOrder,
    at: usize,
}

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
        let known = &mut self.order.0;
        if let Some((before, field)) = known.get(self.at)
            && before == name
        {
            return Ok(*field);
        }
        let field = Field { place: self.places.place(name), is_more: self.more == Some(name) };
        if let Some(before) = known.get_mut(self.at) {
            *before = (name.to_owned(), field);
        } else if self.at == known.len() && self.at < MOST {
            known.push((name.to_owned(), field));
        }
        Ok(field)
    }
}

/// A value of a column; `None` of one that does not fit.
struct Value(ColumnType);

impl Value {
    fn of<'t>(self, value: Json) -> Option<Slot<'t>> {
        self.0.cell_of(value).ok().map(Slot::Cell)
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Slot<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Slot<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        match self.0 {
            ColumnType::Text => Ok(Some(Slot::Text(text))),
            _ => self.visit_str(text),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match self.0 {
            ColumnType::Text => Ok(Some(Slot::Cell(text.into()))),
            ColumnType::Semi(_) => Ok(self.of(text.into())),
            kind => Ok(kind.cell(text).ok().map(Slot::Cell)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match self.0 {
            ColumnType::Integer => Ok(Some(Slot::Cell(Cell::Int(number)))),
            _ => Ok(self.of(number.into())),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Ok(self.of(number.into())),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        match self.0 {
            ColumnType::Float => Ok(Some(Slot::Cell(Cell::Float(number)))),
            _ => Ok(self.of(number.into())),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.of(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Some(Slot::Cell(Cell::Null)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(self.of(Json::deserialize(SeqAccessDeserializer::new(list))?))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(self.of(Json::deserialize(MapAccessDeserializer::new(map))?))
    }
}

impl<'de> Visitor<'de> for &mut Row<'_, 'de> {
    /// Whether every value fits its column.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut at = 0;
        while let Some(field) = map.next_key_seed(Name { places: self.places, more: self.more, order: self.order, at })? {
            at += 1;
            // of two fields that name a column without its case the first counts, of two of one name the last
            let taken = field.place.filter(|(place, exact)| *exact || self.slots[*place].0.is_none());
            if taken.is_none() && !field.is_more {
                // twice the same spelling is for the tree to sort out
                if field.place.is_some_and(|(place, _)| !self.slots[place].1) {
                    return Ok(false);
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let slot = match taken {
                Some((place, _)) if !field.is_more => map.next_value_seed(Value(self.kinds[place]))?,
                _ => {
                    let value: Json = map.next_value()?;
                    self.other = Some(value.clone());
                    taken.and_then(|(place, _)| Value(self.kinds[place]).of(value))
                }
            };
            if let Some((place, exact)) = taken {
                let Some(slot) = slot else { return Ok(false) };
                let before = self.slots[place].1;
                self.slots[place] = (Some(slot), before | exact);
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
        let mut order = FieldOrder::default();
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
            match columns.quick_row(text.as_bytes(), Some("n"), &mut order) {
                Some((slots, more)) => {
                    let cells = slots.into_iter().map(Cell::from).collect::<Vec<_>>();
                    assert_eq!(Some(cells), by_tree, "{text}");
                    assert_eq!(more.as_ref(), tree.as_ref().and_then(|tree| tree.get("n")), "{text}");
                }
                // what is refused is read again
                None => assert!(by_tree.is_none() || text.contains("SONG"), "{text}"),
            }
        }
    }
}
