//! ALTER, DROP, UNDROP, COMMENT and TRUNCATE.

use sqlparser::ast::{Ident, ObjectName};

use super::{
    super::SqlError,
    Command, Kind,
    grammar::Grammar,
    table::{self, ColumnType, NewColumn, NewConstraint},
};

#[derive(Debug)]
pub enum TableChange {
    Rename(ObjectName),
    Swap(ObjectName),
    /// `(column, IF NOT EXISTS)`
    Add(Vec<(NewColumn, bool)>, Vec<NewConstraint>),
    RenameColumn(Ident, Ident),
    DropColumns {
        columns: Vec<Ident>,
        if_exists: bool,
    },
    /// By name; else by kind and columns (empty: all of that kind).
    DropConstraint {
        name: Option<Ident>,
        kind: &'static str,
        columns: Vec<Ident>,
    },
    Columns(Vec<(Ident, ColumnChange)>),
    /// `None`: no clustering any more.
    Cluster(Option<String>),
    Comment(Option<String>),
    /// A setting of the hosted storage.
    Nothing,
}

#[derive(Debug)]
pub enum ColumnChange {
    Default(Option<String>),
    NotNull(bool),
    Type(ColumnType),
    Comment(Option<String>),
}

#[derive(Debug)]
pub enum ViewChange {
    Rename(ObjectName),
    Comment(Option<String>),
    Secure(bool),
    ColumnComment(Ident, Option<String>),
}

/// Of a schema or database.
#[derive(Debug)]
pub enum FolderChange {
    Rename(ObjectName),
    Swap(ObjectName),
    Comment(Option<String>),
    Nothing,
}

#[derive(Debug)]
pub enum SequenceChange {
    Rename(ObjectName),
    Set { increment: Option<i64>, ordered: Option<bool>, comment: Option<Option<String>> },
}

#[derive(Debug)]
pub enum FunctionChange {
    Rename(ObjectName),
    Comment(Option<String>),
    Secure(bool),
}

/// `None`: left to sqlparser (ALTER SESSION).
pub(super) fn alter(g: &mut Grammar) -> Result<Option<Command>, SqlError> {
    if g.is("ALTER SESSION") {
        return Ok(None);
    }
    g.skip();
    if g.take("TABLE") {
        let if_exists = g.if_exists();
        let name = g.name()?;
        return Ok(Some(Command::AlterTable { name, if_exists, change: table_change(g)? }));
    }
    if g.take("VIEW") {
        let if_exists = g.if_exists();
        let name = g.name()?;
        return Ok(Some(Command::AlterView { name, if_exists, change: view_change(g)? }));
    }
    for (word, kind) in [("SCHEMA", Kind::Schema), ("DATABASE", Kind::Database)] {
        if g.take(word) {
            let if_exists = g.if_exists();
            let name = g.name()?;
            return Ok(Some(Command::AlterFolder { kind, name, if_exists, change: folder_change(g)? }));
        }
    }
    if g.take("SEQUENCE") {
        let if_exists = g.if_exists();
        let name = g.name()?;
        return Ok(Some(Command::AlterSequence { name, if_exists, change: sequence_change(g)? }));
    }
    if g.take("FUNCTION") {
        let if_exists = g.if_exists();
        let name = g.name()?;
        let arguments = g.argument_types()?;
        let change = if g.take("RENAME TO") {
            FunctionChange::Rename(g.name()?)
        } else if g.take("SET SECURE") {
            FunctionChange::Secure(true)
        } else if g.take("UNSET SECURE") {
            FunctionChange::Secure(false)
        } else {
            FunctionChange::Comment(comment_change(g)?)
        };
        return Ok(Some(Command::AlterFunction { name, arguments, if_exists, change }));
    }
    Err(g.expected("TABLE, VIEW, SCHEMA, DATABASE, SEQUENCE, FUNCTION or SESSION"))
}

/// `SET COMMENT = 'text'` or `UNSET COMMENT`
fn comment_change(g: &mut Grammar) -> Result<Option<String>, SqlError> {
    if g.take("UNSET COMMENT") {
        return Ok(None);
    }
    if g.is("SET COMMENT") {
        g.skip();
        return g.comment();
    }
    Err(g.expected("RENAME TO, SET COMMENT or UNSET COMMENT"))
}

fn table_change(g: &mut Grammar) -> Result<TableChange, SqlError> {
    if g.take("RENAME TO") {
        return Ok(TableChange::Rename(g.name()?));
    }
    if g.take("SWAP WITH") {
        return Ok(TableChange::Swap(g.name()?));
    }
    if g.take("RENAME COLUMN") {
        let old = g.ident()?;
        g.expect("TO")?;
        return Ok(TableChange::RenameColumn(old, g.ident()?));
    }
    if g.take("CLUSTER BY") {
        let start = g.here().start;
        g.skip_parentheses();
        return Ok(TableChange::Cluster(Some(g.text_from(start))));
    }
    if g.take("DROP CLUSTERING KEY") {
        return Ok(TableChange::Cluster(None));
    }
    if g.take("SUSPEND RECLUSTER") || g.take("RESUME RECLUSTER") {
        return Ok(TableChange::Nothing);
    }
    if g.is("ADD") {
        g.skip();
        return add(g);
    }
    if g.take("DROP") {
        return drop_from_table(g);
    }
    if g.take("ALTER") || g.take("MODIFY") {
        let parentheses = g.symbol("(");
        let mut changes = vec![];
        loop {
            g.take("COLUMN");
            let column = g.ident()?;
            changes.push((column, column_change(g)?));
            if !g.symbol(",") {
                break;
            }
        }
        if parentheses {
            g.expect_symbol(")")?;
        }
        return Ok(TableChange::Columns(changes));
    }
    if g.is("SET COMMENT") || g.is("UNSET COMMENT") {
        return Ok(TableChange::Comment(comment_change(g)?));
    }
    if g.is("SET TAG") || g.is("UNSET TAG") || g.is("SET MASKING") {
        return Err(g.unsupported("tags and policies"));
    }
    if g.take("SET") {
        while !g.at_end() {
            g.skip();
            g.skip_value()?;
        }
        return Ok(TableChange::Nothing);
    }
    if g.take("UNSET") {
        g.rest();
        return Ok(TableChange::Nothing);
    }
    Err(g.unsupported(format!("ALTER TABLE ... {}", g.word())))
}

fn add(g: &mut Grammar) -> Result<TableChange, SqlError> {
    if g.is("CONSTRAINT") || g.is("PRIMARY KEY") || g.is("FOREIGN KEY") || g.is("UNIQUE") || g.is("CHECK") {
        return Ok(TableChange::Add(vec![], vec![table::constraint(g)?]));
    }
    if g.is("ROW ACCESS") || g.is("SEARCH OPTIMIZATION") || g.is("STORAGE LIFECYCLE") {
        return Err(g.unsupported(format!("ALTER TABLE ADD {}", g.word())));
    }
    let (mut columns, mut constraints) = (vec![], vec![]);
    loop {
        g.take("COLUMN");
        let if_not_exists = g.if_not_exists();
        let parentheses = g.symbol("(");
        loop {
            let (column, inline) = table::column(g)?;
            if column.data_type.is_none() {
                return Err(g.expected("a type"));
            }
            columns.push((column, if_not_exists));
            constraints.extend(inline);
            if !(parentheses && g.symbol(",")) {
                break;
            }
        }
        if parentheses {
            g.expect_symbol(")")?;
        }
        if !g.symbol(",") {
            return Ok(TableChange::Add(columns, constraints));
        }
        g.take("ADD");
    }
}

fn drop_from_table(g: &mut Grammar) -> Result<TableChange, SqlError> {
    let rest = |g: &mut Grammar, name, kind| {
        let columns = if g.at_symbol("(") { g.idents()? } else { vec![] };
        let _ = g.take("CASCADE") || g.take("RESTRICT");
        Ok(TableChange::DropConstraint { name, kind, columns })
    };
    if g.take("CONSTRAINT") {
        let name = Some(g.ident()?);
        return rest(g, name, "");
    }
    for kind in ["PRIMARY KEY", "UNIQUE", "FOREIGN KEY"] {
        if g.take(kind) {
            return rest(g, None, kind);
        }
    }
    if g.is("ROW ACCESS") || g.is("ALL ROW") || g.is("SEARCH OPTIMIZATION") {
        return Err(g.unsupported("policies and search optimization"));
    }
    g.take("COLUMN");
    let if_exists = g.if_exists();
    let mut columns = vec![g.ident()?];
    while g.symbol(",") {
        g.take("COLUMN");
        columns.push(g.ident()?);
    }
    Ok(TableChange::DropColumns { columns, if_exists })
}

fn column_change(g: &mut Grammar) -> Result<ColumnChange, SqlError> {
    if g.take("SET DEFAULT") {
        let start = g.here().start;
        g.expr()?;
        return Ok(ColumnChange::Default(Some(g.text_from(start))));
    }
    if g.take("DROP DEFAULT") {
        return Ok(ColumnChange::Default(None));
    }
    if g.take("SET NOT NULL") || g.take("NOT NULL") {
        return Ok(ColumnChange::NotNull(true));
    }
    if g.take("DROP NOT NULL") || g.take("NULL") {
        return Ok(ColumnChange::NotNull(false));
    }
    if g.take("UNSET COMMENT") {
        return Ok(ColumnChange::Comment(None));
    }
    if let Some(text) = g.comment()? {
        return Ok(ColumnChange::Comment(Some(text)));
    }
    if g.is("SET MASKING") || g.is("UNSET MASKING") || g.is("SET TAG") || g.is("UNSET TAG") || g.is("SET PROJECTION") {
        return Err(g.unsupported("tags and policies on columns"));
    }
    let _ = g.take("SET DATA TYPE") || g.take("TYPE");
    let at = g.here();
    let sql = g.data_type()?;
    ColumnType::of(&sql).map(ColumnChange::Type).map_err(|mut e| {
        e.at.get_or_insert(at);
        e
    })
}

fn view_change(g: &mut Grammar) -> Result<ViewChange, SqlError> {
    if g.take("RENAME TO") {
        return Ok(ViewChange::Rename(g.name()?));
    }
    if g.take("SET SECURE") {
        return Ok(ViewChange::Secure(true));
    }
    if g.take("UNSET SECURE") {
        return Ok(ViewChange::Secure(false));
    }
    if g.is("ALTER COLUMN") || g.is("MODIFY COLUMN") || g.is("ALTER") || g.is("MODIFY") {
        g.skip();
        g.take("COLUMN");
        let column = g.ident()?;
        if g.take("UNSET COMMENT") {
            return Ok(ViewChange::ColumnComment(column, None));
        }
        return match g.comment()? {
            Some(text) => Ok(ViewChange::ColumnComment(column, Some(text))),
            None => Err(g.unsupported("this change of a view's column")),
        };
    }
    comment_change(g).map(ViewChange::Comment)
}

fn folder_change(g: &mut Grammar) -> Result<FolderChange, SqlError> {
    if g.take("RENAME TO") {
        return Ok(FolderChange::Rename(g.name()?));
    }
    if g.take("SWAP WITH") {
        return Ok(FolderChange::Swap(g.name()?));
    }
    if g.is("SET COMMENT") || g.is("UNSET COMMENT") {
        return comment_change(g).map(FolderChange::Comment);
    }
    if g.is("SET TAG") || g.is("UNSET TAG") {
        return Err(g.unsupported("tags"));
    }
    if g.take("ENABLE MANAGED ACCESS") || g.take("DISABLE MANAGED ACCESS") {
        return Ok(FolderChange::Nothing);
    }
    if g.take("SET") || g.take("UNSET") {
        g.rest();
        return Ok(FolderChange::Nothing);
    }
    Err(g.expected("RENAME TO, SWAP WITH, SET or UNSET"))
}

fn sequence_change(g: &mut Grammar) -> Result<SequenceChange, SqlError> {
    if g.take("RENAME TO") {
        return Ok(SequenceChange::Rename(g.name()?));
    }
    if g.take("UNSET COMMENT") {
        return Ok(SequenceChange::Set { increment: None, ordered: None, comment: Some(None) });
    }
    g.take("SET");
    let (mut increment, mut ordered, mut comment) = (None, None, None);
    while !g.at_end() {
        if g.take("INCREMENT") {
            g.take("BY");
            g.symbol("=");
            increment = Some(g.integer()?);
        } else if g.take("ORDER") {
            ordered = Some(true);
        } else if g.take("NOORDER") {
            ordered = Some(false);
        } else if let Some(text) = g.comment()? {
            comment = Some(Some(text));
        } else {
            return Err(g.expected("INCREMENT, ORDER, NOORDER or COMMENT"));
        }
    }
    if increment == Some(0) {
        return Err(SqlError::new("sql/sequence", "an increment of 0 gives the same value for ever"));
    }
    Ok(SequenceChange::Set { increment, ordered, comment })
}

/// The kind of object that DROP, COMMENT ON and DESCRIBE name.
pub(super) fn kind(g: &mut Grammar) -> Result<Kind, SqlError> {
    for (words, kind) in [
        ("TABLE", Kind::Table),
        ("VIEW", Kind::View),
        ("SCHEMA", Kind::Schema),
        ("DATABASE", Kind::Database),
        ("SEQUENCE", Kind::Sequence),
        ("FUNCTION", Kind::Function),
        ("COLUMN", Kind::Column),
    ] {
        if g.take(words) {
            return Ok(kind);
        }
    }
    Err(g.expected("TABLE, VIEW, SCHEMA, DATABASE, SEQUENCE or FUNCTION"))
}

pub(super) fn drop_object(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let kind = kind(g)?;
    let if_exists = g.if_exists();
    let name = g.name()?;
    let arguments = if kind == Kind::Function { g.argument_types()? } else { vec![] };
    let _ = g.take("CASCADE") || g.take("RESTRICT");
    Ok(Command::Drop { kind, name, if_exists, arguments })
}

pub(super) fn undrop(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let at = g.here();
    let kind = kind(g)?;
    if !matches!(kind, Kind::Table | Kind::Schema | Kind::Database) {
        let mut error = SqlError::unsupported(format!("UNDROP {}", kind.word().to_uppercase()));
        error.at = Some(at);
        return Err(error);
    }
    Ok(Command::Undrop { kind, name: g.name()? })
}

pub(super) fn comment(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let if_exists = g.if_exists();
    g.expect("ON")?;
    let kind = kind(g)?;
    let name = g.name()?;
    let arguments = if kind == Kind::Function { g.argument_types()? } else { vec![] };
    g.expect("IS")?;
    Ok(Command::Comment { kind, name, arguments, if_exists, text: g.string()? })
}

pub(super) fn truncate(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    if g.is("MATERIALIZED VIEW") {
        return Err(g.unsupported("materialized views"));
    }
    g.take("TABLE");
    let if_exists = g.if_exists();
    Ok(Command::Truncate { name: g.name()?, if_exists })
}
