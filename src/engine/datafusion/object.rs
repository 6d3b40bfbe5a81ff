//! Objects that are no tables: schemas, databases, sequences, SQL functions; DROP, UNDROP and COMMENT of everything.

use sqlparser::ast::ObjectName;

use super::{
    Inner,
    definition::{relation_of, schema_of},
    fault,
    planner::{Scope, parts_of},
};
use crate::{
    dialect::{
        SqlError,
        command::{Existing, FolderChange, FunctionChange, Kind, NewFunction, NewSequence, Returns, SequenceChange},
        lower,
        types::Type,
    },
    engine::EngineError,
    lake::{FolderFile, FunctionArgument, FunctionFile, FunctionOverload, SequenceFile},
    names::{Identifier, RelationName, SchemaName},
};

pub(super) const EXECUTED: &str = "Statement executed successfully.";

pub(super) fn database_of(name: &ObjectName) -> Result<Identifier, EngineError> {
    match parts_of(name).as_slice() {
        [d] => Ok(Identifier::exact(d.clone())),
        _ => Err(EngineError::new("sql/name", format!("`{name}` is not a name of a database"))),
    }
}

pub(super) fn exists(what: &str, name: &dyn std::fmt::Display) -> EngineError {
    EngineError::new("sql/exists", format!("the {what} `{name}` already exists")).help("use IF NOT EXISTS, or OR REPLACE")
}

pub(super) fn missing(what: &str, name: &dyn std::fmt::Display) -> EngineError {
    let code = match what {
        "schema" => "sql/unknown-schema",
        "database" => "sql/unknown-database",
        "sequence" => "sql/unknown-sequence",
        "function" => "sql/unknown-function",
        _ => "sql/unknown-table",
    };
    EngineError::new(code, format!("there is no {what} `{name}`"))
}

pub(super) fn kept(name: &str) -> String {
    format!("{name} already exists, statement succeeded.")
}

/// The overload whose argument types are these, precision aside. Without types: the only one.
pub(super) fn overload_at(file: &FunctionFile, arguments: &[String]) -> Option<usize> {
    if arguments.is_empty() && file.overloads.len() == 1 {
        return Some(0);
    }
    let bare =
        |t: &str| Type::parse(t).map_or_else(|_| t.to_uppercase(), |t| t.to_string()).split('(').next().unwrap_or_default().to_owned();
    let wanted: Vec<String> = arguments.iter().map(|a| bare(a)).collect();
    file.overloads.iter().position(|o| o.arguments.iter().map(|a| bare(&a.data_type)).collect::<Vec<_>>() == wanted)
}

impl Inner {
    #[allow(clippy::too_many_arguments)] // the clauses of one statement
    pub(super) async fn create_folder(
        &self,
        kind: Kind,
        name: &ObjectName,
        existing: Existing,
        transient: bool,
        comment: Option<String>,
        clone: Option<ObjectName>,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let file = FolderFile { comment, transient };
        if kind == Kind::Database {
            let database = database_of(name)?;
            if self.lake.database_exists(&database) {
                match existing {
                    Existing::Keep => return Ok(kept(database.as_str())),
                    Existing::Replace => self.lake.drop_database(&database).map_err(fault::lake)?,
                    _ => return Err(exists("database", &database)),
                }
            }
            self.lake.create_database(&database).map_err(fault::lake)?;
            if let Some(source) = clone {
                let source = database_of(&source)?;
                if !self.lake.database_exists(&source) {
                    return Err(missing("database", &source));
                }
                for schema in self.lake.schemas().map_err(fault::lake)?.into_iter().filter(|s| s.database == source) {
                    self.clone_schema(&schema, &SchemaName::new(database.clone(), schema.schema.clone())).await?;
                }
            }
            self.lake.put_database_file(&database, &file).await.map_err(fault::lake)?;
            return Ok(format!("Database {} successfully created.", database.as_str()));
        }
        let schema = schema_of(name, &scope.schema)?;
        if self.lake.schema_exists(&schema) {
            match existing {
                Existing::Keep => return Ok(kept(schema.schema.as_str())),
                Existing::Replace => self.lake.drop_schema(&schema).map_err(fault::lake)?,
                Existing::Alter => {}
                Existing::Fail => return Err(exists("schema", &schema)),
            }
        }
        self.lake.create_schema(&schema).map_err(fault::lake)?;
        if let Some(source) = clone {
            let source = schema_of(&source, &scope.schema)?;
            if !self.lake.schema_exists(&source) {
                return Err(missing("schema", &source));
            }
            self.clone_schema(&source, &schema).await?;
        }
        self.lake.put_schema_file(&schema, &file).await.map_err(fault::lake)?;
        Ok(format!("Schema {} successfully created.", schema.schema.as_str()))
    }

    async fn clone_schema(&self, from: &SchemaName, to: &SchemaName) -> Result<(), EngineError> {
        self.lake.create_schema(to).map_err(fault::lake)?;
        for entry in self.lake.entries(from).map_err(fault::lake)? {
            let target = to.relation(entry.relation.name.clone());
            match self.lake.view(&entry.relation).map_err(fault::lake)? {
                Some(view) => self.lake.put_view(&target, &view).await.map_err(fault::lake)?,
                None => self.clone_table(&target, &entry.relation, None).await?,
            }
        }
        for name in self.lake.sequences(from).map_err(fault::lake)? {
            if let Some(sequence) = self.lake.sequence(&name).map_err(fault::lake)? {
                self.lake.put_sequence(&to.relation(name.name.clone()), &sequence).await.map_err(fault::lake)?;
            }
        }
        for name in self.lake.functions(from).map_err(fault::lake)? {
            if let Some(function) = self.lake.function(&name).map_err(fault::lake)? {
                self.lake.put_function(&to.relation(name.name.clone()), &function).await.map_err(fault::lake)?;
            }
        }
        Ok(())
    }

    pub(super) async fn alter_folder(
        &self,
        kind: Kind,
        name: &ObjectName,
        if_exists: bool,
        change: FolderChange,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let done = Ok(EXECUTED.to_owned());
        if kind == Kind::Database {
            let database = database_of(name)?;
            if !self.lake.database_exists(&database) {
                return if if_exists { done } else { Err(missing("database", &database)) };
            }
            match change {
                FolderChange::Rename(to) => {
                    let to = database_of(&to)?;
                    if self.lake.database_exists(&to) {
                        return Err(exists("database", &to));
                    }
                    self.lake.rename_database(&database, &to).map_err(fault::lake)?;
                }
                FolderChange::Swap(_) => return Err(fault::sql(SqlError::unsupported("ALTER DATABASE ... SWAP WITH"))),
                FolderChange::Comment(comment) => {
                    let file = FolderFile { comment, ..self.lake.database_file(&database).map_err(fault::lake)? };
                    self.lake.put_database_file(&database, &file).await.map_err(fault::lake)?;
                }
                FolderChange::Nothing => {}
            }
            return done;
        }
        let schema = schema_of(name, &scope.schema)?;
        if !self.lake.schema_exists(&schema) {
            return if if_exists { done } else { Err(missing("schema", &schema)) };
        }
        match change {
            FolderChange::Rename(to) => {
                let to = schema_of(&to, &schema)?;
                if self.lake.schema_exists(&to) {
                    return Err(exists("schema", &to));
                }
                self.lake.rename_schema(&schema, &to).map_err(fault::lake)?;
            }
            FolderChange::Swap(other) => {
                let other = schema_of(&other, &schema)?;
                if !self.lake.schema_exists(&other) {
                    return Err(missing("schema", &other));
                }
                let aside = SchemaName::new(schema.database.clone(), Identifier::exact(format!("SWAP-{}", uuid::Uuid::new_v4())));
                self.lake.rename_schema(&schema, &aside).map_err(fault::lake)?;
                self.lake.rename_schema(&other, &schema).map_err(fault::lake)?;
                self.lake.rename_schema(&aside, &other).map_err(fault::lake)?;
            }
            FolderChange::Comment(comment) => {
                let file = FolderFile { comment, ..self.lake.schema_file(&schema).map_err(fault::lake)? };
                self.lake.put_schema_file(&schema, &file).await.map_err(fault::lake)?;
            }
            FolderChange::Nothing => {}
        }
        done
    }

    pub(super) async fn create_sequence(&self, new: NewSequence, scope: &Scope) -> Result<String, EngineError> {
        let name = relation_of(&new.name, &scope.schema)?;
        if self.lake.sequence(&name).map_err(fault::lake)?.is_some() {
            match new.existing {
                Existing::Keep => return Ok(kept(name.name.as_str())),
                Existing::Replace => {}
                _ => return Err(exists("sequence", &name)),
            }
        }
        self.known_schema(&name.schema_name())?;
        let file = SequenceFile { start: new.start, increment: new.increment, next: new.start, ordered: new.ordered, comment: new.comment };
        self.lake.put_sequence(&name, &file).await.map_err(fault::lake)?;
        Ok(format!("Sequence {} successfully created.", name.name.as_str()))
    }

    pub(super) async fn alter_sequence(
        &self,
        name: &ObjectName,
        if_exists: bool,
        change: SequenceChange,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let name = relation_of(name, &scope.schema)?;
        let Some(mut file) = self.lake.sequence(&name).map_err(fault::lake)? else {
            return if if_exists { Ok(EXECUTED.into()) } else { Err(missing("sequence", &name)) };
        };
        match change {
            SequenceChange::Rename(to) => {
                let to = relation_of(&to, &name.schema_name())?;
                if self.lake.sequence(&to).map_err(fault::lake)?.is_some() {
                    return Err(exists("sequence", &to));
                }
                self.lake.put_sequence(&to, &file).await.map_err(fault::lake)?;
                self.lake.drop_sequence(&name).map_err(fault::lake)?;
            }
            SequenceChange::Set { increment, ordered, comment } => {
                if let Some(increment) = increment {
                    // the value after the last one given steps by the new increment
                    file.next = file.next.saturating_sub(file.increment).saturating_add(increment);
                    file.increment = increment;
                }
                file.ordered = ordered.unwrap_or(file.ordered);
                file.comment = comment.unwrap_or(file.comment);
                self.lake.put_sequence(&name, &file).await.map_err(fault::lake)?;
            }
        }
        Ok(EXECUTED.into())
    }

    pub(super) async fn create_function(&self, new: NewFunction, scope: &Scope) -> Result<String, EngineError> {
        let name = relation_of(&new.name, &scope.schema)?;
        self.known_schema(&name.schema_name())?;
        let arguments = new
            .arguments
            .iter()
            .map(|(ident, data_type, default)| FunctionArgument {
                name: lower::stored(ident),
                data_type: data_type.clone(),
                default: default.clone(),
            })
            .collect();
        let (returns, columns) = match new.returns {
            Returns::Scalar(data_type) => (data_type, vec![]),
            Returns::Table(columns) => (
                "TABLE".to_owned(),
                columns
                    .into_iter()
                    .map(|(ident, data_type)| FunctionArgument { name: lower::stored(&ident), data_type, default: None })
                    .collect(),
            ),
        };
        let overload = FunctionOverload {
            arguments,
            returns,
            columns,
            body: new.body,
            database: scope.schema.database.as_str().into(),
            schema: scope.schema.schema.as_str().into(),
            comment: new.comment,
            secure: new.secure,
        };
        let mut file = self.lake.function(&name).map_err(fault::lake)?.unwrap_or_default();
        let same = file.overloads.iter().position(|o| o.signature() == overload.signature());
        match (same, new.existing) {
            (Some(_), Existing::Keep) => return Ok(kept(name.name.as_str())),
            (Some(_), Existing::Fail | Existing::Alter) => return Err(exists("function", &format!("{name}{}", overload.signature()))),
            (Some(at), Existing::Replace) => drop(file.overloads.remove(at)),
            (None, _) => {}
        }
        self.check_function(&name, &overload).await?;
        file.overloads.push(overload);
        self.lake.put_function(&name, &file).await.map_err(fault::lake)?;
        Ok(format!("Function {} successfully created.", name.name.as_str()))
    }

    pub(super) async fn alter_function(
        &self,
        name: &ObjectName,
        arguments: &[String],
        if_exists: bool,
        change: FunctionChange,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let name = relation_of(name, &scope.schema)?;
        let mut file = self.lake.function(&name).map_err(fault::lake)?.unwrap_or_default();
        let Some(at) = overload_at(&file, arguments) else {
            return if if_exists { Ok(EXECUTED.into()) } else { Err(missing("function", &name)) };
        };
        match change {
            FunctionChange::Rename(to) => {
                let to = relation_of(&to, &name.schema_name())?;
                let overload = file.overloads.remove(at);
                let mut target = self.lake.function(&to).map_err(fault::lake)?.unwrap_or_default();
                if target.overloads.iter().any(|o| o.signature() == overload.signature()) {
                    return Err(exists("function", &to));
                }
                target.overloads.push(overload);
                self.lake.put_function(&to, &target).await.map_err(fault::lake)?;
            }
            FunctionChange::Comment(comment) => file.overloads[at].comment = comment,
            FunctionChange::Secure(secure) => file.overloads[at].secure = secure,
        }
        self.lake.put_function(&name, &file).await.map_err(fault::lake)?;
        Ok(EXECUTED.into())
    }

    pub(super) fn known_schema(&self, schema: &SchemaName) -> Result<(), EngineError> {
        // the profile's own schema comes into being with its first object
        if self.lake.schema_exists(schema) || *schema == self.default_schema {
            return Ok(());
        }
        let known = self.lake.schemas().map_err(fault::lake)?;
        let error = missing("schema", schema);
        Err(match crate::names::nearest(schema.schema.as_str(), known.iter().map(|s| s.schema.as_str())) {
            Some(near) => error.help(format!("there is `{near}`")),
            None => error.help(format!("make it first: CREATE SCHEMA {schema}")),
        })
    }

    pub(super) async fn drop_object(
        &self,
        kind: Kind,
        name: &ObjectName,
        if_exists: bool,
        arguments: &[String],
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let (gone, shown) = match kind {
            Kind::Database => {
                let database = database_of(name)?;
                let found = self.lake.database_exists(&database);
                self.lake.drop_database(&database).map_err(fault::lake)?;
                (found, database.as_str().to_owned())
            }
            Kind::Schema => {
                let schema = schema_of(name, &scope.schema)?;
                let found = self.lake.schema_exists(&schema);
                self.lake.drop_schema(&schema).map_err(fault::lake)?;
                (found, schema.schema.as_str().to_owned())
            }
            Kind::Sequence => {
                let sequence = relation_of(name, &scope.schema)?;
                (self.lake.drop_sequence(&sequence).map_err(fault::lake)?, sequence.name.as_str().to_owned())
            }
            Kind::Function => {
                let function = relation_of(name, &scope.schema)?;
                let mut file = self.lake.function(&function).map_err(fault::lake)?.unwrap_or_default();
                let at = overload_at(&file, arguments);
                if let Some(at) = at {
                    file.overloads.remove(at);
                    self.lake.put_function(&function, &file).await.map_err(fault::lake)?;
                }
                (at.is_some(), function.name.as_str().to_owned())
            }
            Kind::Column => return Err(fault::sql(SqlError::unsupported("DROP COLUMN without ALTER TABLE"))),
            Kind::Table | Kind::View => {
                let relation = relation_of(name, &scope.schema)?;
                let view = self.lake.view(&relation).map_err(fault::lake)?;
                let is_external = view.as_ref().is_some_and(|v| v.external.is_some());
                let is_view = view.is_some();
                let is_table = !is_view && self.lake.table(&relation).await.map_err(fault::lake)?.is_some();
                match (kind, is_view, is_table) {
                    (Kind::View, true, _) if !is_external => {
                        self.lake.drop_view(&relation).map_err(fault::lake)?;
                        self.lake.forget_temporary(&relation);
                    }
                    (Kind::Table, _, true) => self.lake.retire_table(&relation).map_err(fault::lake)?,
                    (Kind::Table, true, _) if is_external => {
                        self.lake.drop_view(&relation).map_err(fault::lake)?;
                        self.lake.drop_table(&relation.with_suffix("__files")).map_err(fault::lake)?;
                    }
                    (Kind::Table, true, _) => {
                        return Err(EngineError::new("sql/not-a-table", format!("`{relation}` is a view")).help("use DROP VIEW"));
                    }
                    (Kind::View, true, _) | (_, _, true) => {
                        return Err(EngineError::new("sql/not-a-view", format!("`{relation}` is a table")).help("use DROP TABLE"));
                    }
                    _ if if_exists => {}
                    _ => return Err(self.unknown_relation(&relation)),
                }
                (is_view || is_table, relation.name.as_str().to_owned())
            }
        };
        if !gone && if_exists {
            return Ok(format!("Drop statement executed successfully ({shown} already dropped)."));
        }
        if gone { Ok(format!("{shown} successfully dropped.")) } else { Err(missing(kind.word(), name)) }
    }

    pub(super) async fn undrop(&self, kind: Kind, name: &ObjectName, scope: &Scope) -> Result<String, EngineError> {
        let (taken, restored, shown) = match kind {
            Kind::Database => {
                let database = database_of(name)?;
                let taken = self.lake.database_exists(&database);
                (taken, !taken && self.lake.undrop_database(&database).map_err(fault::lake)?, database.to_string())
            }
            Kind::Schema => {
                let schema = schema_of(name, &scope.schema)?;
                let taken = self.lake.schema_exists(&schema);
                (taken, !taken && self.lake.undrop_schema(&schema).map_err(fault::lake)?, schema.schema.to_string())
            }
            _ => {
                let relation = relation_of(name, &scope.schema)?;
                let taken = self.exists(&relation).await?;
                (taken, !taken && self.lake.undrop_table(&relation).map_err(fault::lake)?, relation.name.to_string())
            }
        };
        if taken {
            return Err(EngineError::new("sql/exists", format!("a {} `{shown}` exists already", kind.word()))
                .help("rename it first, then undrop the other"));
        }
        if restored {
            Ok(format!("{} {shown} successfully restored.", capital(kind.word())))
        } else {
            Err(missing(kind.word(), &shown).help("what was dropped or replaced is kept for a day"))
        }
    }

    pub(super) async fn comment(
        &self,
        kind: Kind,
        name: &ObjectName,
        arguments: &[String],
        if_exists: bool,
        text: String,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let comment = Some(text.clone()).filter(|t| !t.is_empty());
        match kind {
            Kind::Schema | Kind::Database => self.alter_folder(kind, name, if_exists, FolderChange::Comment(comment), scope).await,
            Kind::Sequence => {
                let change = SequenceChange::Set { increment: None, ordered: None, comment: Some(comment) };
                self.alter_sequence(name, if_exists, change, scope).await
            }
            Kind::Function => self.alter_function(name, arguments, if_exists, FunctionChange::Comment(comment), scope).await,
            Kind::Table | Kind::View => {
                let relation = relation_of(name, &scope.schema)?;
                if !self.exists(&relation).await? {
                    return if if_exists { Ok(EXECUTED.into()) } else { Err(self.unknown_relation(&relation)) };
                }
                self.put_comment(&relation, None, text).await
            }
            Kind::Column => {
                let mut parts = parts_of(name);
                let column = parts.pop().unwrap_or_default();
                let relation = super::planner::resolve(&parts, &scope.schema)
                    .ok_or_else(|| EngineError::new("sql/name", format!("`{name}` is not a name of a column: write table.column")))?;
                if !self.exists(&relation).await? {
                    return if if_exists { Ok(EXECUTED.into()) } else { Err(self.unknown_relation(&relation)) };
                }
                self.put_comment(&relation, Some(&column), text).await
            }
        }
    }

    /// Of a table, a view, or one of its columns.
    pub(super) async fn put_comment(&self, relation: &RelationName, column: Option<&str>, text: String) -> Result<String, EngineError> {
        let comment = Some(text.clone()).filter(|t| !t.is_empty());
        if let Some(mut view) = self.lake.view(relation).map_err(fault::lake)? {
            match column {
                None => view.comment = comment,
                Some(column) => match view.columns.iter_mut().find(|c| c.name == column) {
                    Some(found) => found.comment = comment,
                    None => return Err(super::definition::unknown_column(relation, column, view.columns.iter().map(|c| c.name.as_str()))),
                },
            }
            self.lake.put_view(relation, &view).await.map_err(fault::lake)?;
            return Ok(EXECUTED.into());
        }
        let table = self.existing_table(relation).await?;
        let schema = table.schema().map_err(fault::lake)?;
        match column {
            None => self.put_table(&table, schema, None, Some(text), Default::default()).await?,
            Some(column) => {
                let at = super::definition::position(relation, schema.fields(), column)?;
                let mut fields = schema.fields().to_vec();
                fields[at] = std::sync::Arc::new(crate::lake::with_comment(&fields[at], &text));
                let schema = std::sync::Arc::new(::datafusion::arrow::datatypes::Schema::new(fields));
                self.put_table(&table, schema, None, None, Default::default()).await?;
            }
        }
        Ok(EXECUTED.into())
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
