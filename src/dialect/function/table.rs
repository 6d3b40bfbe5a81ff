//! Lists of rows that table functions unnest: FLATTEN, SPLIT_TO_TABLE, GENERATOR.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, ListArray, StringBuilder, StructArray},
        buffer::{NullBuffer, OffsetBuffer},
        compute::cast,
        datatypes::{DataType, Field, FieldRef, Fields},
    },
    common::{DataFusionError, Result, plan_err},
};

use super::{
    json::{VARIANT, semi, steps_of},
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::{types::Type, variant::scan};

/// Rows that GENERATOR may make in one piece.
const GENERATOR_LIMIT: usize = 50_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__flatten", Arity::Exactly(5), |_| Ok(list_of(flatten_fields())), flatten),
    Function::new("__split_to_table", Arity::Exactly(2), |_| Ok(list_of(split_fields())), split),
    Function::new("__strtok_split_to_table", Arity::Exactly(2), |_| Ok(list_of(split_fields())), strtok_split),
    Function::new(
        "__generator",
        Arity::Exactly(2),
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

#[derive(Clone, Copy)]
enum Mode {
    Object,
    Array,
    Both,
}

impl FlattenRows {
    fn push(&mut self, seq: i64, key: Option<&str>, path: &str, index: Option<usize>, value: Option<&str>, this: Option<&str>) {
        self.seq.append_value(seq);
        self.key.append_option(key);
        self.path.append_value(path);
        self.index.append_option(index.map(|i| i as i64));
        self.value.append_option(value);
        self.this.append_option(this);
        self.count += 1;
    }

    /// The parts of a value, whose text they are slices of; `path` is restored.
    fn expand(&mut self, value: &str, path: &mut String, seq: i64, recursive: bool, mode: Mode) {
        let length = path.len();
        if let (Some(items), Mode::Array | Mode::Both) = (scan::elements(value), mode) {
            for (i, item) in items.enumerate() {
                let _ = write!(path, "[{i}]");
                self.push(seq, None, path, Some(i), Some(item), Some(value));
                if recursive {
                    self.expand(item, path, seq, recursive, mode);
                }
                path.truncate(length);
            }
        } else if let (Some(members), Mode::Object | Mode::Both) = (scan::members(value), mode) {
            for (quoted, item) in members {
                let key = scan::unquote(quoted);
                let bare = key.chars().all(|c| c.is_alphanumeric() || c == '_') && !key.is_empty();
                let _ = match (bare, length) {
                    (true, 0) => write!(path, "{key}"),
                    (true, _) => write!(path, ".{key}"),
                    (false, _) => write!(path, "['{key}']"),
                };
                self.push(seq, Some(&key), path, None, Some(item), Some(value));
                if recursive {
                    self.expand(item, path, seq, recursive, mode);
                }
                path.truncate(length);
            }
        }
    }

    fn finish(mut self) -> Result<StructArray> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.path.finish()),
            Arc::new(self.index.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.this.finish()),
        ];
        Ok(StructArray::try_new(flatten_fields(), columns, None)?)
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
        let mode = match modes.value(i) {
            "OBJECT" => Mode::Object,
            "ARRAY" => Mode::Array,
            "BOTH" => Mode::Both,
            other => return fail(format!("MODE of FLATTEN is 'OBJECT', 'ARRAY' or 'BOTH', not '{other}'")),
        };
        let target = if values.is_null(i) { None } else { scan::find(values.value(i), &steps_of(paths.value(i))?) };
        if let Some(target) = target {
            rows.expand(target, &mut paths.value(i).to_owned(), i as i64 + 1, recursive.value(i), mode);
        }
        if rows.count == before && outer.value(i) {
            rows.push(i as i64 + 1, None, paths.value(i), None, None, target);
        }
        lengths.push(rows.count - before);
    }
    list_array(rows.finish()?, lengths)
}

fn list_array(items: StructArray, lengths: Vec<usize>) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

/// Rows of the parts of a text.
fn parts<'a>(r: &Rows, parts_of: impl Fn(usize) -> Option<Vec<&'a str>>) -> Result<ArrayRef> {
    let (mut seq, mut index, mut value) = (Int64Builder::new(), Int64Builder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        let parts = parts_of(i).unwrap_or_default();
        for (n, part) in parts.iter().enumerate() {
            seq.append_value(i as i64 + 1);
            index.append_value(n as i64 + 1);
            value.append_value(part);
        }
        lengths.push(parts.len());
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(seq.finish()), Arc::new(index.finish()), Arc::new(value.finish())];
    list_array(StructArray::try_new(split_fields(), columns, None)?, lengths)
}

fn split(r: &Rows) -> Result<ArrayRef> {
    let (text, separators) = (r.text(0)?, r.text(1)?);
    parts(r, |i| {
        (!text.is_null(i) && !separators.is_null(i)).then(|| match separators.value(i) {
            "" => vec![text.value(i)],
            separator => text.value(i).split(separator).collect(),
        })
    })
}

/// Each character of the second argument separates; empty parts are left out.
fn strtok_split(r: &Rows) -> Result<ArrayRef> {
    let (text, separators) = (r.text(0)?, r.text(1)?);
    parts(r, |i| {
        (!text.is_null(i) && !separators.is_null(i)).then(|| match separators.value(i) {
            "" => Some(text.value(i)).filter(|t| !t.is_empty()).into_iter().collect(),
            separators => text.value(i).split(|c| separators.contains(c)).filter(|p| !p.is_empty()).collect(),
        })
    })
}

fn generate(r: &Rows) -> Result<ArrayRef> {
    let (counts, seconds) = (r.integers(0)?, r.integers(1)?);
    let mut lengths = Vec::with_capacity(r.rows);
    for i in 0..r.rows {
        lengths.push(match (counts.is_null(i), seconds.is_null(i)) {
            (false, _) => counts.value(i).max(0) as usize,
            (true, false) => rows_in(std::time::Duration::from_secs(seconds.value(i).clamp(0, 3600) as u64)),
            (true, true) => 0,
        });
    }
    let total: usize = lengths.iter().sum();
    if total > GENERATOR_LIMIT {
        return fail(format!("GENERATOR makes at most {GENERATOR_LIMIT} rows, {total} were asked for"));
    }
    let items: Int64Array = lengths.iter().flat_map(|l| 0..*l as i64).collect();
    let field = Arc::new(Field::new("item", DataType::Int64, true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

/// How many rows a time limit gives, at a steady pace: as many as a small warehouse makes, and no more than fit.
fn rows_in(time: std::time::Duration) -> usize {
    const ROWS_PER_SECOND: u64 = 1_000_000;
    usize::try_from(time.as_secs().saturating_mul(ROWS_PER_SECOND)).unwrap_or(GENERATOR_LIMIT).min(GENERATOR_LIMIT)
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
        let mut path = String::new();
        rows.expand(r#"{"a":[1,{"b c":2}]}"#, &mut path, 1, true, Mode::Both);
        assert_eq!(path, "");
        let rows = rows.finish().expect("columns fit");
        let paths: Vec<String> = texts_of(&rows, "PATH").into_iter().flatten().collect();
        assert_eq!(paths, ["a", "a[0]", "a[1]", "a[1]['b c']"]);
    }
}
