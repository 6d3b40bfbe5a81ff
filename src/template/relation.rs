//! What `ref()`, `source()`, `this` and `api.Relation.create()` give: a name that prints as SQL and answers questions.

use super::jinja::{Args, Dict, Eval, Key, Machine, Object, Value, display};
use crate::names::{Identifier, RelationName};

/// One part of the name: as the warehouse stores it and as the user wrote it.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    stored: Identifier,
    written: String,
}

impl Part {
    fn typed(text: &str) -> Self {
        Self { stored: Identifier::parse(text), written: text.trim_matches('"').to_owned() }
    }

    fn stored(identifier: &Identifier) -> Self {
        Self { stored: identifier.clone(), written: identifier.as_str().to_owned() }
    }
}

/// Immutable; methods give changed copies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation {
    parts: [Option<Part>; 3],
    include: [bool; 3],
    quote: [bool; 3],
    kind: Option<String>,
    /// The CTE that an ephemeral model becomes.
    cte: Option<String>,
    /// What limits the rows that a query reads of it: `--empty`, a batch, a sample.
    filter: Option<String>,
}

const PARTS: [&str; 3] = ["database", "schema", "identifier"];

impl Relation {
    /// Prints as nothing: `this` of a node that leaves nothing behind.
    pub fn nothing() -> Self {
        Self { parts: [None, None, None], include: [true; 3], quote: [false; 3], kind: None, cte: None, filter: None }
    }

    /// `written` is the name as the user wrote it, kept for `identifier` where it is the same name.
    pub fn named(name: &RelationName, written: Option<&str>, kind: &str) -> Self {
        let mut identifier = Part::stored(&name.name);
        if let Some(written) = written.filter(|w| name.name.matches(w)) {
            identifier.written = written.to_owned();
        }
        Self {
            parts: [Some(Part::stored(&name.database)), Some(Part::stored(&name.schema)), Some(identifier)],
            kind: Some(kind.to_owned()).filter(|k| !k.is_empty()),
            ..Self::nothing()
        }
    }

    pub fn ephemeral(name: &str) -> Self {
        Self { parts: [None, None, Some(Part::typed(name))], cte: Some(super::cte_name(name)), kind: Some("cte".into()), ..Self::nothing() }
    }

    /// As `self`, but queries read only what the clause leaves.
    pub fn limited(self, filter: Option<String>) -> Self {
        Self { filter, ..self }
    }

    /// `DATABASE.SCHEMA`
    pub fn schema(&self) -> String {
        Self { include: [self.include[0], true, false], ..self.clone() }.render()
    }

    /// A CTE in the place of a relation, for unit tests.
    pub fn substitute(name: Option<&RelationName>, cte: &str) -> Self {
        let base =
            name.map_or_else(|| Self { parts: [None, None, Some(Part::typed(cte))], ..Self::nothing() }, |n| Self::named(n, None, ""));
        Self { cte: Some(cte.to_owned()), ..base }
    }

    /// As SQL reads it: the name, or the part of the rows that may be read.
    fn readable(&self) -> String {
        match &self.filter {
            Some(filter) => format!("(select * from {} {filter})", self.render()),
            None => self.render(),
        }
    }

    /// `api.Relation.create(database=, schema=, identifier=, type=)`
    pub fn create(args: &mut Args) -> Eval<Self> {
        let [database, schema, identifier, kind] = {
            let quoting = args.take_keyword("quote_policy");
            let _ = (quoting, args.take_keyword("include_policy"));
            args.bind("create", ["database", "schema", "identifier", "type"])?
        };
        let part = |v: Option<Value>| v.filter(|v| v.is_true()).map(|v| Part::typed(&display(&v)));
        Ok(Self {
            parts: [part(database), part(schema), part(identifier)],
            kind: kind.filter(|k| k.is_true()).map(|k| display(&k)),
            ..Self::nothing()
        })
    }

    /// With all three parts, as the warehouse knows it.
    pub fn name(&self) -> Option<RelationName> {
        let [Some(database), Some(schema), Some(identifier)] = &self.parts else { return None };
        Some(RelationName::new(database.stored.clone(), schema.stored.clone(), identifier.stored.clone()))
    }

    pub fn render(&self) -> String {
        if let Some(cte) = &self.cte {
            return cte.clone();
        }
        let mut out = String::new();
        for (i, part) in self.parts.iter().enumerate() {
            let Some(part) = part.as_ref().filter(|_| self.include[i]) else { continue };
            if !out.is_empty() {
                out.push('.');
            }
            if self.quote[i] {
                out.push_str(&format!("\"{}\"", part.stored.as_str().replace('"', "\"\"")));
            } else {
                out.push_str(&part.stored.to_string());
            }
        }
        out
    }

    fn text(&self, i: usize) -> Value {
        self.parts[i].as_ref().map_or(Value::None, |p| Value::text(p.written.as_str()))
    }

    fn flags(flags: &[bool; 3]) -> Value {
        Value::dict(PARTS.iter().zip(flags).map(|(n, f)| (Key::text(*n), Value::Bool(*f))).collect())
    }

    fn set_flags(mut flags: [bool; 3], function: &str, args: &mut Args) -> Eval<[bool; 3]> {
        for (flag, given) in flags.iter_mut().zip(args.bind(function, PARTS)?) {
            if let Some(given) = given {
                *flag = given.is_true();
            }
        }
        Ok(flags)
    }

    fn replaced(&self, mut path: Dict) -> Self {
        let mut copy = self.clone();
        for (slot, name) in copy.parts.iter_mut().zip(PARTS) {
            if let Some(value) = path.shift_remove(&Key::text(name)) {
                *slot = (!value.is_none() && !value.is_undefined()).then(|| Part::typed(&display(&value)));
            }
        }
        copy
    }
}

impl Object for Relation {
    fn type_name(&self) -> &'static str {
        "relation"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        let is = |kind: &str| Value::Bool(self.kind.as_deref() == Some(kind));
        Ok(Some(match name {
            "database" => self.text(0),
            "schema" => self.text(1),
            "identifier" | "name" | "table" => self.text(2),
            "type" => self.kind.as_deref().map_or(Value::None, Value::text),
            "is_table" => is("table"),
            "is_view" => is("view"),
            "is_cte" => is("cte"),
            "is_materialized_view" | "is_dynamic_table" | "is_iceberg_format" | "is_pointer" => Value::Bool(false),
            "can_be_renamed" | "can_be_replaced" => Value::Bool(true),
            "include_policy" => Self::flags(&self.include),
            "quote_policy" => Self::flags(&self.quote),
            "quote_character" => Value::text("\""),
            "path" => Value::dict(PARTS.iter().enumerate().map(|(i, n)| (Key::text(*n), self.text(i))).collect()),
            _ => return Ok(None),
        }))
    }

    fn call_method(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        let copy = |r: Relation| Ok(Some(Value::object(r)));
        match name {
            "include" => copy(Self { include: Self::set_flags(self.include, name, args)?, ..self.clone() }),
            "quote" => copy(Self { quote: Self::set_flags(self.quote, name, args)?, ..self.clone() }),
            "render" => Ok(Some(Value::text(self.render()))),
            "without_identifier" => copy(Self { include: [self.include[0], self.include[1], false], ..self.clone() }),
            "information_schema" => {
                let [view] = args.bind(name, ["view_name"])?;
                let view = view.map_or_else(String::new, |v| format!(".{}", display(&v)));
                let database = self.parts[0].as_ref().map_or_else(String::new, |p| format!("{}.", p.stored));
                Ok(Some(Value::text(format!("{database}INFORMATION_SCHEMA{view}"))))
            }
            "incorporate" => {
                let kind = args.take_keyword("type");
                let path = args.take_keyword("path");
                args.keyword.clear();
                let mut changed = match path {
                    Some(Value::Dict(path)) => self.replaced(path.borrow().clone()),
                    _ => self.clone(),
                };
                if let Some(kind) = kind {
                    changed.kind = kind.is_true().then(|| display(&kind));
                }
                copy(changed)
            }
            "replace_path" => {
                let path = args.keyword.drain(..).map(|(n, v)| (Key::text(n), v)).collect();
                copy(self.replaced(path))
            }
            "create" => copy(Self::create(args)?),
            "add_ephemeral_prefix" => {
                let [of] = args.bind_required::<1, 1>(name, ["name"])?;
                Ok(Some(Value::text(format!("__dbt__cte__{}", of.map_or_else(String::new, |n| display(&n))))))
            }
            "matches" => {
                let given = args.bind(name, PARTS)?;
                let matches = self.parts.iter().zip(given).all(|(part, wanted)| match (part, wanted) {
                    (_, None | Some(Value::None)) => true,
                    (Some(part), Some(wanted)) => part.stored.matches(&display(&wanted)),
                    (None, Some(_)) => false,
                });
                Ok(Some(Value::Bool(matches)))
            }
            "get" => {
                let [key, default] = args.bind_required::<1, 2>(name, ["key", "default"])?;
                let key = display(&key.unwrap_or(Value::None));
                // packages tell relations from texts by this (dbt's relations are data classes, and those are mappings)
                if key == "metadata" {
                    return Ok(Some(Value::dict([(Key::text("type"), Value::text("SnowflakeRelation"))].into_iter().collect())));
                }
                let found = self.get_attr(machine, &key)?;
                Ok(Some(found.filter(|v| !v.is_none()).or(default).unwrap_or(Value::None)))
            }
            "render_limited" => Ok(Some(Value::text(self.readable()))),
            _ => Ok(None),
        }
    }

    fn is_mapping(&self) -> bool {
        true
    }

    fn display(&self) -> String {
        self.readable()
    }

    fn repr(&self) -> String {
        format!("<Relation {}>", self.render())
    }

    fn is_true(&self) -> bool {
        self.parts.iter().any(Option::is_some)
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>().is_some_and(|o| o.render() == self.render())
    }
}

/// `api.Column`, and what `adapter.get_columns_in_relation` lists.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub name: String,
    pub data_type: String,
}

impl Column {
    fn base(&self) -> String {
        self.data_type.split('(').next().unwrap_or_default().trim().to_uppercase()
    }

    fn arguments(&self) -> Vec<i64> {
        let inner = self.data_type.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
        inner.split(',').filter_map(|n| n.trim().parse().ok()).collect()
    }

    fn is_string(&self) -> bool {
        matches!(self.base().as_str(), "VARCHAR" | "TEXT" | "STRING" | "CHAR" | "CHARACTER" | "CHARACTER VARYING")
    }

    fn is_integer(&self) -> bool {
        matches!(self.base().as_str(), "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT")
    }

    fn is_float(&self) -> bool {
        matches!(self.base().as_str(), "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "DOUBLE PRECISION" | "REAL")
    }

    fn is_numeric(&self) -> bool {
        matches!(self.base().as_str(), "NUMBER" | "NUMERIC" | "DECIMAL" | "FIXED")
    }
}

impl Object for Column {
    fn type_name(&self) -> &'static str {
        "column"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        let arguments = self.arguments();
        let number = |i: usize| arguments.get(i).map_or(Value::None, |n| Value::Int(*n));
        Ok(Some(match name {
            "name" | "column" => Value::text(self.name.as_str()),
            "quoted" => Value::text(format!("\"{}\"", self.name)),
            "data_type" => Value::text(self.data_type.as_str()),
            "dtype" => Value::text(self.data_type.split('(').next().unwrap_or_default()),
            "char_size" if self.is_string() => number(0),
            "numeric_precision" if self.is_numeric() => number(0),
            "numeric_scale" if self.is_numeric() => number(1),
            "char_size" | "numeric_precision" | "numeric_scale" => Value::None,
            _ => return Ok(None),
        }))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        Ok(Some(Value::Bool(match name {
            "is_string" => self.is_string(),
            "is_integer" => self.is_integer(),
            "is_float" => self.is_float(),
            "is_numeric" => self.is_numeric(),
            "is_number" => self.is_numeric() || self.is_integer() || self.is_float(),
            "string_size" => return Ok(Some(Value::Int(self.arguments().first().copied().unwrap_or(16_777_216)))),
            "string_type" => {
                let size = args.single(name, "size")?;
                return Ok(Some(Value::text(format!("VARCHAR({})", display(&size)))));
            }
            _ => return Ok(None),
        })))
    }

    fn display(&self) -> String {
        format!("<Column {} ({})>", self.name, self.data_type)
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>() == Some(self)
    }
}
