//! CREATE TABLE (Snowflake documentation, "CREATE TABLE").

use sqlparser::ast::{DataType, Expr, Ident, ObjectName, Query};

use super::{super::SqlError, Command, grammar::Grammar};
use crate::dialect::{collation::Collation, types::Type};

/// What happens when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Fail,
    Replace,
    /// IF NOT EXISTS
    Keep,
    /// OR ALTER
    Alter,
}

#[derive(Debug)]
pub struct NewTable {
    pub name: ObjectName,
    pub existing: Existing,
    pub temporary: bool,
    pub transient: bool,
    pub columns: Vec<NewColumn>,
    pub constraints: Vec<NewConstraint>,
    pub comment: Option<String>,
    /// `(a, b)` as written.
    pub cluster_by: Option<String>,
    pub rows: Rows,
}

/// Where columns or rows come from, beside the list of columns.
#[derive(Debug)]
pub enum Rows {
    None,
    Query { query: Box<Query>, text: String },
    Like(ObjectName),
    Clone(ObjectName, Option<Expr>),
}

#[derive(Debug)]
pub struct NewColumn {
    pub name: Ident,
    /// May be missing in CREATE TABLE ... AS.
    pub data_type: Option<ColumnType>,
    pub not_null: bool,
    /// SQL as written.
    pub default: Option<String>,
    /// Start, increment, ordered.
    pub identity: Option<(i64, i64, bool)>,
    pub comment: Option<String>,
    /// What texts are compared and sorted by.
    pub collation: Option<String>,
}

/// A type and the length that it bounds text or bytes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType {
    pub data_type: Type,
    pub length: Option<u64>,
    /// TIMESTAMP or DATETIME without a word on time zones.
    pub unspecific: bool,
}

impl ColumnType {
    pub fn of(sql: &DataType) -> Result<Self, SqlError> {
        let data_type = Type::from_sql(sql)?;
        let text = sql.to_string().to_uppercase();
        let (base, arguments) = text.split_once('(').map_or((text.as_str(), None), |(b, a)| (b.trim(), Some(a)));
        let given = arguments.and_then(|a| a.trim_end_matches(')').split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
        let length = match data_type {
            Type::Varchar if given.is_some() => given,
            // CHAR is VARCHAR(1)
            Type::Varchar if matches!(base, "CHAR" | "CHARACTER" | "NCHAR") => Some(1),
            Type::Binary => given,
            _ => None,
        };
        let limit = if data_type == Type::Binary { 67_108_864 } else { 134_217_728 };
        if length.is_some_and(|l| l == 0 || l > limit) {
            return Err(SqlError::new("sql/type", format!("`{sql}` is not a type: the length is 1 to {limit}")));
        }
        let unspecific = crate::dialect::lower::is_unspecific(sql);
        Ok(Self { data_type, unspecific, length: length.filter(|l| !(data_type == Type::Varchar && *l == 16_777_216)) })
    }
}

/// PRIMARY KEY, UNIQUE, FOREIGN KEY.
#[derive(Debug)]
pub struct NewConstraint {
    pub name: Option<Ident>,
    /// `PRIMARY KEY`, `UNIQUE`, `FOREIGN KEY`
    pub kind: &'static str,
    pub columns: Vec<Ident>,
    pub references: Option<(ObjectName, Vec<Ident>)>,
}

pub(super) fn create_table(g: &mut Grammar, mut existing: Existing, temporary: bool, transient: bool) -> Result<Command, SqlError> {
    if g.if_not_exists() {
        existing = Existing::Keep;
    }
    let name = g.name()?;
    if g.take("IF NOT EXISTS") {
        existing = Existing::Keep;
    }
    let mut table = NewTable {
        name,
        existing,
        temporary,
        transient,
        columns: vec![],
        constraints: vec![],
        comment: None,
        cluster_by: None,
        rows: Rows::None,
    };
    // Snowflake takes the clauses in any order
    loop {
        if g.at_end() {
            break;
        }
        if g.at_symbol("(") && table.columns.is_empty() {
            columns(g, &mut table)?;
        } else if g.take("AS") {
            let start = g.here().start;
            let query = g.query()?;
            table.rows = Rows::Query { query, text: g.text_from(start) };
        } else if g.take("LIKE") {
            table.rows = Rows::Like(g.name()?);
        } else if g.take("CLONE") {
            let source = g.name()?;
            let at = if g.is("AT") || g.is("BEFORE") { Some(version(g)?) } else { None };
            table.rows = Rows::Clone(source, at);
        } else if g.is("USING TEMPLATE") {
            return Err(g.unsupported("CREATE TABLE USING TEMPLATE").help("list the columns, or use CREATE TABLE ... AS SELECT"));
        } else if g.take("CLUSTER BY") {
            let start = g.here().start;
            g.take("LINEAR");
            g.skip_parentheses();
            table.cluster_by = Some(g.text_from(start));
        } else if let Some(comment) = g.comment()? {
            table.comment = Some(comment);
        } else if g.take("COPY GRANTS") || g.take("COPY TAGS") || g.take("STAGE_FILE_FORMAT") && g.skip_value().is_ok() {
            // rights and stage formats have no meaning on one machine
        } else if g
            .take_one(&[
                "DATA_RETENTION_TIME_IN_DAYS",
                "MAX_DATA_EXTENSION_TIME_IN_DAYS",
                "CHANGE_TRACKING",
                "DEFAULT_DDL_COLLATION",
                "ENABLE_SCHEMA_EVOLUTION",
                "STAGE_COPY_OPTIONS",
                "ERROR_LOGGING",
            ])
            .is_some()
        {
            g.skip_value()?;
        } else if g.is("ROW ACCESS") || g.is("WITH ROW") || g.is("WITH AGGREGATION") || g.is("AGGREGATION POLICY") {
            return Err(g.unsupported("policies on tables"));
        } else if g.is("WITH TAG") || g.is("TAG") {
            g.take("WITH");
            g.skip();
            g.skip_parentheses();
        } else {
            return Err(g.expected("a clause of CREATE TABLE"));
        }
    }
    Ok(Command::CreateTable(Box::new(table)))
}

/// `AT (VERSION => 3)`, `BEFORE (TIMESTAMP => ...)` as the call that sqlparser makes of it in queries.
pub(super) fn version(g: &mut Grammar) -> Result<Expr, SqlError> {
    g.expr()
}

fn columns(g: &mut Grammar, table: &mut NewTable) -> Result<(), SqlError> {
    g.expect_symbol("(")?;
    while !g.symbol(")") {
        if g.is("CONSTRAINT") || g.is("PRIMARY KEY") || g.is("FOREIGN KEY") || (g.is("UNIQUE") && !g.is("UNIQUE VARCHAR")) {
            table.constraints.push(constraint(g)?);
        } else {
            let (column, inline) = column(g)?;
            table.columns.push(column);
            table.constraints.extend(inline);
        }
        if !g.symbol(",") && !g.at_symbol(")") {
            return Err(g.expected("`,` or `)`"));
        }
    }
    Ok(())
}

/// One column with its rules, and the constraints written beside it.
pub(super) fn column(g: &mut Grammar) -> Result<(NewColumn, Vec<NewConstraint>), SqlError> {
    let name = g.ident()?;
    let at = g.here();
    let data_type = if g.at_symbol(",") || g.at_symbol(")") {
        None
    } else {
        let sql = g.data_type()?;
        let mut column_type = ColumnType::of(&sql);
        if let Err(e) = &mut column_type {
            e.at.get_or_insert(at);
        }
        Some(column_type?)
    };
    let mut column = NewColumn { name, data_type, not_null: false, default: None, identity: None, comment: None, collation: None };
    let mut constraints = vec![];
    loop {
        if g.take("NOT NULL") {
            column.not_null = true;
        } else if g.take("NULL") {
            column.not_null = false;
        } else if g.take("DEFAULT") {
            let start = g.here().start;
            g.expr()?;
            column.default = Some(g.text_from(start));
        } else if g.take("AUTOINCREMENT") || g.take("IDENTITY") {
            column.identity = Some(identity(g)?);
        } else if g.take("COLLATE") {
            let spec = g.string()?;
            if !spec.is_empty() {
                Collation::parse(&spec)?;
                column.collation = Some(spec);
            }
        } else if let Some(comment) = g.comment()? {
            column.comment = Some(comment);
        } else if g.is("CONSTRAINT") || g.is("PRIMARY KEY") || g.is("UNIQUE") || g.is("REFERENCES") || g.is("FOREIGN KEY") {
            let name = if g.take("CONSTRAINT") { Some(g.ident()?) } else { None };
            let mut references = None;
            let kind = if g.take("PRIMARY KEY") {
                column.not_null = true;
                "PRIMARY KEY"
            } else if g.take("UNIQUE") {
                "UNIQUE"
            } else {
                g.take("FOREIGN KEY");
                references = Some(referenced(g)?);
                "FOREIGN KEY"
            };
            properties(g);
            constraints.push(NewConstraint { name, kind, columns: vec![column.name.clone()], references });
        } else if g.is("CHECK") {
            return Err(g.unsupported("CHECK constraints").help("test the rows instead, or filter them"));
        } else if g.is("WITH TAG") || g.is("TAG") {
            g.take("WITH");
            g.skip();
            g.skip_parentheses();
        } else if g.is("WITH MASKING") || g.is("MASKING") || g.is("WITH PROJECTION") || g.is("PROJECTION") {
            return Err(g.unsupported("policies on columns"));
        } else if g.is("AS") {
            return Err(g.unsupported("virtual columns").help("compute the column in a view"));
        } else {
            return Ok((column, constraints));
        }
    }
}

fn identity(g: &mut Grammar) -> Result<(i64, i64, bool), SqlError> {
    let (mut start, mut increment, mut ordered) = (1, 1, false);
    if g.symbol("(") {
        start = g.integer()?;
        g.expect_symbol(",")?;
        increment = g.integer()?;
        g.expect_symbol(")")?;
    }
    loop {
        if g.take("START") {
            g.take("WITH");
            g.symbol("=");
            start = g.integer()?;
        } else if g.take("INCREMENT") {
            g.take("BY");
            g.symbol("=");
            increment = g.integer()?;
        } else if g.take("ORDER") {
            ordered = true;
        } else if g.take("NOORDER") {
            ordered = false;
        } else {
            break;
        }
    }
    if increment == 0 {
        return Err(SqlError::new("sql/identity", "an increment of 0 gives the same value for ever"));
    }
    Ok((start, increment, ordered))
}

fn referenced(g: &mut Grammar) -> Result<(ObjectName, Vec<Ident>), SqlError> {
    g.expect("REFERENCES")?;
    let table = g.name()?;
    let columns = if g.at_symbol("(") { g.idents()? } else { vec![] };
    Ok((table, columns))
}

/// ENFORCED, DEFERRABLE, RELY and the like: recorded nowhere, since nothing enforces a constraint.
fn properties(g: &mut Grammar) {
    const ONE: &[&str] = &["ENFORCED", "DEFERRABLE", "ENABLE", "DISABLE", "VALIDATE", "NOVALIDATE", "RELY", "NORELY", "COMMENT"];
    loop {
        if g.take("NOT ENFORCED") || g.take("NOT DEFERRABLE") || g.take("INITIALLY DEFERRED") || g.take("INITIALLY IMMEDIATE") {
            continue;
        }
        if g.take("MATCH") || g.take("ON UPDATE") || g.take("ON DELETE") {
            if !(g.take("SET NULL") || g.take("SET DEFAULT") || g.take("NO ACTION")) {
                g.skip();
            }
            continue;
        }
        // a comment belongs to the column or the table, not to the constraint
        if g.is("COMMENT") || g.take_one(ONE).is_none() {
            return;
        }
    }
}

/// A constraint of its own: `[CONSTRAINT name] PRIMARY KEY (a, b)`.
pub(super) fn constraint(g: &mut Grammar) -> Result<NewConstraint, SqlError> {
    let name = if g.take("CONSTRAINT") { Some(g.ident()?) } else { None };
    let constraint = if g.take("PRIMARY KEY") {
        NewConstraint { name, kind: "PRIMARY KEY", columns: g.idents()?, references: None }
    } else if g.take("UNIQUE") {
        NewConstraint { name, kind: "UNIQUE", columns: g.idents()?, references: None }
    } else if g.take("FOREIGN KEY") {
        let columns = g.idents()?;
        NewConstraint { name, kind: "FOREIGN KEY", columns, references: Some(referenced(g)?) }
    } else if g.is("CHECK") {
        return Err(g.unsupported("CHECK constraints").help("test the rows instead, or filter them"));
    } else {
        return Err(g.expected("PRIMARY KEY, UNIQUE or FOREIGN KEY"));
    };
    properties(g);
    Ok(constraint)
}
