//! Lists of rows that table functions unnest: FLATTEN, SPLIT_TO_TABLE, GENERATOR.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, ListArray, StringBuilder, StructArray},
        buffer::{NullBuffer, OffsetBuffer},
        compute::cast,
        datatypes::{DataType, Field, FieldRef, Fields, Int64Type},
    },
    common::{DataFusionError, Result, plan_err},
};
use serde_json::Value as Json;

use super::{
    json::{VARIANT, json, parse_path, semi, walk},
    scalar::{Arity, CallTypes, Function, Rows, fail},
    value::canonical,
};
use crate::dialect::types::Type;

/// Rows that GENERATOR may make in one piece.
const GENERATOR_LIMIT: i64 = 50_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__flatten", Arity::Exactly(5), |_| Ok(list_of(flatten_fields())), flatten),
    Function::new("__split_to_table", Arity::Exactly(2), |_| Ok(list_of(split_fields())), split),
    Function::new("__strtok_split_to_table", Arity::Exactly(2), |_| Ok(list_of(split_fields())), split_tokens),
    Function::new(
        "__generator",
        Arity::Exactly(1),
        |_| Ok(Arc::new(Field::new("rows", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), true))),
        generate,
    ),
    Function::new("__row_field", Arity::Exactly(2), row_field_type, row_field),
];

fn flatten_fields() -> Fields {
    Fields::from(vec![
        Type::INTEGER.field("SEQ"),
        Type::Varchar.field("KEY"),
        Type::Varchar.field("PATH"),
        Type::INTEGER.field("INDEX"),
        VARIANT.field("VALUE"),
        VARIANT.field("THIS"),
    ])
}

fn split_fields() -> Fields {
    Fields::from(vec![Type::INTEGER.field("SEQ"), Type::INTEGER.field("INDEX"), Type::Varchar.field("VALUE")])
}

fn list_of(fields: Fields) -> FieldRef {
    Arc::new(Field::new("rows", DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), true))), true))
}

fn row_field_type(call: &CallTypes) -> Result<FieldRef> {
    let (DataType::Struct(fields), Some(name)) = (&call.arrows[0], call.text(1)) else {
        return plan_err!("a row of a table function was expected");
    };
    match fields.iter().find(|f| f.name() == &name) {
        Some(field) => Ok(Arc::new(Field::new(call.name, field.data_type().clone(), true).with_metadata(metadata(field)))),
        None => plan_err!("the table function has no column {name}"),
    }
}

fn metadata(field: &Field) -> HashMap<String, String> {
    field.metadata().clone()
}

fn row_field(r: &Rows) -> Result<ArrayRef> {
    let name = r.text(1)?;
    let rows = r.args[0].as_struct_opt().ok_or_else(|| DataFusionError::Internal("a struct was expected".into()))?;
    if r.rows == 0 {
        return Ok(datafusion::arrow::array::new_empty_array(r.result_field.data_type()));
    }
    let column =
        rows.column_by_name(name.value(0)).ok_or_else(|| DataFusionError::Internal("an unknown column of a table function".into()))?;
    // a NULL row (OUTER => TRUE without elements) has NULL fields
    let nulls = NullBuffer::union(column.nulls(), rows.nulls());
    let data = column.to_data().into_builder().nulls(nulls).build()?;
    Ok(datafusion::arrow::array::make_array(data))
}

#[derive(Default)]
struct FlattenRows {
    seq: Int64Builder,
    key: StringBuilder,
    path: StringBuilder,
    index: Int64Builder,
    value: StringBuilder,
    this: StringBuilder,
    count: usize,
}

impl FlattenRows {
    fn push(&mut self, seq: i64, key: Option<&str>, path: &str, index: Option<usize>, value: Option<String>, this: Option<&str>) {
        self.seq.append_value(seq);
        self.key.append_option(key);
        self.path.append_value(path);
        self.index.append_option(index.map(|i| i as i64));
        self.value.append_option(value);
        self.this.append_option(this);
        self.count += 1;
    }

    fn expand(&mut self, value: &Json, path: &str, seq: i64, recursive: bool, mode: &str) {
        match value {
            Json::Array(items) if mode != "OBJECT" => {
                let this = canonical(value);
                for (i, item) in items.iter().enumerate() {
                    let at = format!("{path}[{i}]");
                    self.push(seq, None, &at, Some(i), Some(canonical(item)), Some(&this));
                    if recursive {
                        self.expand(item, &at, seq, recursive, mode);
                    }
                }
            }
            Json::Object(map) if mode != "ARRAY" => {
                let this = canonical(value);
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                for key in keys {
                    let bare = key.chars().all(|c| c.is_alphanumeric() || c == '_') && !key.is_empty();
                    let step = if bare { key.clone() } else { format!("['{key}']") };
                    let at = if path.is_empty() || !bare { format!("{path}{step}") } else { format!("{path}.{step}") };
                    self.push(seq, Some(key), &at, None, Some(canonical(&map[key])), Some(&this));
                    if recursive {
                        self.expand(&map[key], &at, seq, recursive, mode);
                    }
                }
            }
            _ => {}
        }
    }
}

fn flatten(r: &Rows) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    let (paths, modes) = (r.text(1)?, r.text(4)?);
    let flag = |i: usize| -> Result<ArrayRef> { Ok(cast(&r.args[i], &DataType::Boolean)?) };
    let (outer, recursive) = (flag(2)?, flag(3)?);
    let (outer, recursive) = (outer.as_boolean(), recursive.as_boolean());
    let mut rows = FlattenRows::default();
    let mut lengths = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        let before = rows.count;
        if let Some(value) = json(&values, i)? {
            let Some(steps) = parse_path(paths.value(i)) else { return fail(format!("'{}' is not a path", paths.value(i))) };
            if let Some(target) = walk(&value, &steps) {
                rows.expand(target, paths.value(i), i as i64 + 1, recursive.value(i), modes.value(i));
            }
        }
        if rows.count == before && outer.value(i) {
            rows.push(i as i64 + 1, None, "", None, None, None);
        }
        lengths.push(rows.count - before);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.seq.finish()),
        Arc::new(rows.key.finish()),
        Arc::new(rows.path.finish()),
        Arc::new(rows.index.finish()),
        Arc::new(rows.value.finish()),
        Arc::new(rows.this.finish()),
    ];
    list_array(StructArray::try_new(flatten_fields(), columns, None)?, lengths)
}

fn list_array(items: StructArray, lengths: Vec<usize>) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

fn split(r: &Rows) -> Result<ArrayRef> {
    let (text, separators) = (r.text(0)?, r.text(1)?);
    let (mut seq, mut index, mut value) = (Int64Builder::new(), Int64Builder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        let mut count = 0;
        if !text.is_null(i) && !separators.is_null(i) {
            for (n, part) in text.value(i).split(separators.value(i)).enumerate() {
                seq.append_value(i as i64 + 1);
                index.append_value(n as i64 + 1);
                value.append_value(part);
                count += 1;
            }
        }
        lengths.push(count);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(seq.finish()), Arc::new(index.finish()), Arc::new(value.finish())];
    list_array(StructArray::try_new(split_fields(), columns, None)?, lengths)
}

/// Pieces between any of the separating characters, empty ones left out.
fn split_tokens(r: &Rows) -> Result<ArrayRef> {
    let (text, separators) = (r.text(0)?, r.text(1)?);
    let (mut seq, mut index, mut value) = (Int64Builder::new(), Int64Builder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        let mut count = 0;
        if !text.is_null(i) && !separators.is_null(i) {
            let separator = separators.value(i);
            let pieces = text.value(i).split(|c| separator.contains(c)).filter(|p| !p.is_empty());
            for (n, part) in pieces.enumerate() {
                seq.append_value(i as i64 + 1);
                index.append_value(n as i64 + 1);
                value.append_value(part);
                count += 1;
            }
        }
        lengths.push(count);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(seq.finish()), Arc::new(index.finish()), Arc::new(value.finish())];
    list_array(StructArray::try_new(split_fields(), columns, None)?, lengths)
}

fn generate(r: &Rows) -> Result<ArrayRef> {
    let counts = cast(&r.args[0], &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let lengths: Vec<usize> = counts.iter().map(|c| c.unwrap_or(0).max(0) as usize).collect();
    let total: i64 = lengths.iter().map(|l| *l as i64).sum();
    if total > GENERATOR_LIMIT {
        return fail(format!("GENERATOR makes at most {GENERATOR_LIMIT} rows, {total} were asked for"));
    }
    let items: Int64Array = lengths.iter().flat_map(|l| 0..*l as i64).collect();
    let field = Arc::new(Field::new("item", DataType::Int64, true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

/// The text column of a table function, for tests.
#[cfg(test)]
fn texts_of(rows: &StructArray, name: &str) -> Vec<Option<String>> {
    let column: &datafusion::arrow::array::StringArray = rows.column_by_name(name).expect("there").as_string();
    column.iter().map(|v| v.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flatten_lists_elements_with_their_paths() {
        let mut rows = FlattenRows::default();
        rows.expand(&serde_json::json!({"a": [1, {"b c": 2}]}), "", 1, true, "BOTH");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.seq.finish()),
            Arc::new(rows.key.finish()),
            Arc::new(rows.path.finish()),
            Arc::new(rows.index.finish()),
            Arc::new(rows.value.finish()),
            Arc::new(rows.this.finish()),
        ];
        let rows = StructArray::try_new(flatten_fields(), columns, None).expect("columns fit");
        let paths: Vec<String> = texts_of(&rows, "PATH").into_iter().flatten().collect();
        assert_eq!(paths, ["a", "a[0]", "a[1]", "a[1]['b c']"]);
    }
}
