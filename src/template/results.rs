//! Results of queries in templates, with the part of agate's interface that dbt projects use.

use std::rc::Rc;

use super::{
    jinja::{Args, Dict, Eval, Key, Machine, Object, Value, display},
    python,
    warehouse::{Cell, ResultTable},
};

/// `run_query(...)`: `rows`, `columns`, `column_names`, `print_table()`.
pub(super) struct Table(Rc<Data>);

struct Data {
    names: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Data {
    /// Exactly, or ignoring case when nothing matches exactly: templates are written in lower case, the warehouse answers in upper.
    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name).or_else(|| self.names.iter().position(|n| n.eq_ignore_ascii_case(name)))
    }
}

impl Table {
    pub fn new(table: ResultTable) -> Self {
        let rows = table.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect();
        Self(Rc::new(Data { names: table.columns, rows }))
    }

    pub fn rows(&self) -> Vec<Value> {
        (0..self.0.rows.len()).map(|i| Value::object(Row(self.0.clone(), i))).collect()
    }

    fn columns(&self) -> Vec<Value> {
        (0..self.0.names.len()).map(|i| Value::object(TableColumn(self.0.clone(), i))).collect()
    }

    /// Rows as plain lists: `load_result(name).data`.
    pub fn data(&self) -> Value {
        Value::list(self.0.rows.iter().map(|row| Value::tuple(row.clone())).collect())
    }

    fn printed(&self) -> String {
        let mut lines = vec![self.0.names.join(" | ")];
        lines.extend(self.0.rows.iter().map(|row| row.iter().map(display).collect::<Vec<_>>().join(" | ")));
        lines.join("\n")
    }
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::None,
        Cell::Bool(b) => Value::Bool(b),
        Cell::Int(i) => Value::Int(i),
        Cell::Float(f) => Value::Float(f),
        Cell::Decimal(digits) => match digits.parse::<i64>() {
            Ok(i) => Value::Int(i),
            Err(_) => digits.parse().map_or(Value::text(digits), Value::Float),
        },
        Cell::Text(t) => Value::text(t),
        Cell::Date(d) => python::date(d),
        Cell::Time(t) => Value::text(t.to_string()),
        Cell::Timestamp(t) => python::datetime(t),
    }
}

impl Object for Table {
    fn type_name(&self) -> &'static str {
        "table"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok(Some(match name {
            "rows" => Value::list(self.rows()),
            "columns" => Value::object(Columns(Table(self.0.clone()))),
            "column_names" => Value::tuple(self.0.names.iter().map(|n| Value::text(n.as_str())).collect()),
            _ => return Ok(None),
        }))
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        Ok(match key {
            Value::Int(i) => usize::try_from(*i).ok().and_then(|i| self.rows().get(i).cloned()),
            _ => None,
        })
    }

    fn call_method(&self, machine: &mut Machine<'_>, name: &str, _: &mut Args) -> Eval<Option<Value>> {
        match name {
            "print_table" => {
                let printed = Args::of(vec![Value::text(self.printed())]);
                let host = machine.host;
                host.call_function(machine, "print", printed).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.rows())
    }

    fn display(&self) -> String {
        self.printed()
    }
}

struct Columns(Table);

impl Object for Columns {
    fn type_name(&self) -> &'static str {
        "columns"
    }

    fn get_attr(&self, machine: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        self.get_item(machine, &Value::text(name))
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        let columns = self.0.columns();
        Ok(match key {
            Value::Int(i) => {
                let i = if *i < 0 { i + columns.len() as i64 } else { *i };
                usize::try_from(i).ok().and_then(|i| columns.get(i).cloned())
            }
            Value::Str(name) => self.0.0.position(name).and_then(|i| columns.get(i).cloned()),
            _ => None,
        })
    }

    fn call_method(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        let dict = || -> Dict { self.0.0.names.iter().map(|n| Key::text(n.as_str())).zip(self.0.columns()).collect() };
        Ok(match name {
            "keys" => Some(Value::list(self.0.0.names.iter().map(|n| Value::text(n.as_str())).collect())),
            "values" => Some(Value::list(self.0.columns())),
            "items" => Some(machine.call_method(&Value::dict(dict()), name, Args::default())?),
            "dict" => Some(Value::dict(dict())),
            "get" => {
                let [key, default] = args.bind_required::<1, 2>("get", ["key", "default"])?;
                let key = key.unwrap_or(Value::None);
                Some(self.get_item(machine, &key)?.or(default).unwrap_or(Value::None))
            }
            _ => None,
        })
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.0.columns())
    }

    fn display(&self) -> String {
        self.0.0.names.join(", ")
    }
}

struct TableColumn(Rc<Data>, usize);

impl TableColumn {
    fn cells(&self) -> Vec<Value> {
        self.0.rows.iter().filter_map(|row| row.get(self.1).cloned()).collect()
    }
}

impl Object for TableColumn {
    fn type_name(&self) -> &'static str {
        "column"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok((name == "name").then(|| Value::text(self.0.names[self.1].as_str())))
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        Ok(match key {
            Value::Int(i) => usize::try_from(*i).ok().and_then(|i| self.cells().get(i).cloned()),
            _ => None,
        })
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, _: &mut Args) -> Eval<Option<Value>> {
        let cells = self.cells();
        Ok(match name {
            "values" => Some(Value::tuple(cells)),
            "values_distinct" => {
                let mut distinct: Vec<Value> = vec![];
                for cell in cells {
                    if !distinct.contains(&cell) {
                        distinct.push(cell);
                    }
                }
                Some(Value::list(distinct))
            }
            "values_without_nulls" => Some(Value::list(cells.into_iter().filter(|c| !c.is_none()).collect())),
            _ => None,
        })
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.cells())
    }

    fn display(&self) -> String {
        super::jinja::repr(&Value::tuple(self.cells()))
    }
}

struct Row(Rc<Data>, usize);

impl Row {
    fn cells(&self) -> &[Value] {
        &self.0.rows[self.1]
    }

    fn named(&self, name: &str) -> Option<Value> {
        self.0.position(name).and_then(|i| self.cells().get(i).cloned())
    }

    fn dict(&self) -> Dict {
        self.0.names.iter().zip(self.cells()).map(|(n, v)| (Key::text(n.as_str()), v.clone())).collect()
    }
}

impl Object for Row {
    fn type_name(&self) -> &'static str {
        "row"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok(self.named(name))
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        let cells = self.cells();
        Ok(match key {
            Value::Int(i) => {
                let i = if *i < 0 { i + cells.len() as i64 } else { *i };
                usize::try_from(i).ok().and_then(|i| cells.get(i).cloned())
            }
            Value::Str(name) => self.named(name),
            _ => None,
        })
    }

    fn call_method(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        Ok(match name {
            "values" => Some(Value::tuple(self.cells().to_vec())),
            "keys" | "items" => Some(machine.call_method(&Value::dict(self.dict()), name, Args::default())?),
            "dict" => Some(Value::dict(self.dict())),
            "get" => {
                let [key, default] = args.bind_required::<1, 2>("get", ["key", "default"])?;
                let key = key.unwrap_or(Value::None);
                Some(self.get_item(machine, &key)?.or(default).unwrap_or(Value::None))
            }
            _ => None,
        })
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.cells().to_vec())
    }

    fn is_mapping(&self) -> bool {
        true
    }

    fn display(&self) -> String {
        format!("<Row: {}>", super::jinja::repr(&Value::tuple(self.cells().to_vec())))
    }

    fn to_json(&self) -> serde_json::Value {
        Value::dict(self.dict()).to_json()
    }
}
