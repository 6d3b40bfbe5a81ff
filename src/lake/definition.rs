//! Objects that are no tables: sequences and SQL functions as JSON files beside the tables, what is known of a schema or
//! database as a JSON file in its folder. Each file is replaced in one step.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Lake, LakeError,
    grave::Keep,
    location::{identifier, relation_path, segment},
};
use crate::names::{Identifier, RelationName, SchemaName};

const SEQUENCE_SUFFIX: &str = ".sequence.json";
const FUNCTION_SUFFIX: &str = ".function.json";
const FOLDER_FILE: &str = ".segue-folder.json";

/// Of a schema or a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FolderFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default)]
    pub transient: bool,
}

/// A sequence and the value that it gives next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceFile {
    pub start: i64,
    pub increment: i64,
    pub next: i64,
    pub ordered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// All functions of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionFile {
    pub overloads: Vec<FunctionOverload>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionOverload {
    pub arguments: Vec<FunctionArgument>,
    /// Type of a scalar function.
    pub returns: String,
    /// Columns of a table function; empty for a scalar one.
    #[serde(default)]
    pub columns: Vec<FunctionArgument>,
    /// An expression or a query, as its author wrote it.
    pub body: String,
    /// Database and schema that unqualified names of the body resolve in.
    pub database: String,
    pub schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default)]
    pub secure: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionArgument {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl FunctionOverload {
    /// `(NUMBER, VARCHAR)`: what tells overloads apart, precision aside.
    pub fn signature(&self) -> String {
        let bare = |t: &str| t.split('(').next().unwrap_or(t).trim().to_owned();
        format!("({})", self.arguments.iter().map(|a| bare(&a.data_type)).collect::<Vec<_>>().join(", "))
    }
}

impl Lake {
    fn definition_path(&self, relation: &RelationName, suffix: &str) -> PathBuf {
        self.root().join(format!("{}{suffix}", relation_path(relation)))
    }

    fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LakeError> {
        let place = || path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| LakeError::Damaged { place: place(), cause: e.to_string() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(LakeError::storage("read", &place(), &e)),
        }
    }

    async fn put<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), LakeError> {
        self.mark().await?;
        let text =
            serde_json::to_vec_pretty(value).map_err(|e| LakeError::Damaged { place: path.display().to_string(), cause: e.to_string() })?;
        self.replace_file(path, &text)
    }

    fn remove(path: &Path) -> Result<bool, LakeError> {
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(LakeError::storage("drop", &path.display().to_string(), &e)),
        }
    }

    fn defined(&self, schema: &SchemaName, suffix: &str) -> Result<Vec<RelationName>, LakeError> {
        let folder = self.schema_folder(schema);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(LakeError::storage("list", &folder.display().to_string(), &e)),
        };
        let mut found: Vec<RelationName> = entries
            .filter_map(Result::ok)
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| !n.starts_with('.'))
            .filter_map(|n| n.strip_suffix(suffix).map(|n| schema.relation(identifier(n))))
            .collect();
        found.sort();
        Ok(found)
    }

    pub fn sequences(&self, schema: &SchemaName) -> Result<Vec<RelationName>, LakeError> {
        self.defined(schema, SEQUENCE_SUFFIX)
    }

    pub fn sequence(&self, name: &RelationName) -> Result<Option<SequenceFile>, LakeError> {
        Self::read(&self.definition_path(name, SEQUENCE_SUFFIX))
    }

    pub async fn put_sequence(&self, name: &RelationName, sequence: &SequenceFile) -> Result<(), LakeError> {
        self.put(&self.definition_path(name, SEQUENCE_SUFFIX), sequence).await
    }

    pub fn drop_sequence(&self, name: &RelationName) -> Result<bool, LakeError> {
        Self::remove(&self.definition_path(name, SEQUENCE_SUFFIX))
    }

    /// Takes `count` values: the first of them and the step. Processes take turns by a lock file.
    pub fn advance_sequence(&self, name: &RelationName, count: i64) -> Result<Option<(i64, i64)>, LakeError> {
        let path = self.definition_path(name, SEQUENCE_SUFFIX);
        let lock = self.schema_folder(&name.schema_name()).join(".sequences.lock");
        let fail = |e: &std::io::Error| LakeError::storage("advance", &name.to_string(), e);
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(|e| fail(&e))?;
        file.lock().map_err(|e| fail(&e))?;
        let Some(mut sequence) = Self::read::<SequenceFile>(&path)? else { return Ok(None) };
        let first = sequence.next;
        let step = sequence.increment;
        sequence.next = count
            .checked_mul(step)
            .and_then(|by| first.checked_add(by))
            .ok_or_else(|| LakeError::Damaged { place: name.to_string(), cause: "the sequence has no values left".into() })?;
        let text =
            serde_json::to_vec_pretty(&sequence).map_err(|e| LakeError::Damaged { place: name.to_string(), cause: e.to_string() })?;
        self.replace_file(&path, &text)?;
        Ok(Some((first, step)))
    }

    pub fn functions(&self, schema: &SchemaName) -> Result<Vec<RelationName>, LakeError> {
        self.defined(schema, FUNCTION_SUFFIX)
    }

    pub fn function(&self, name: &RelationName) -> Result<Option<FunctionFile>, LakeError> {
        Self::read(&self.definition_path(name, FUNCTION_SUFFIX))
    }

    pub async fn put_function(&self, name: &RelationName, function: &FunctionFile) -> Result<(), LakeError> {
        let path = self.definition_path(name, FUNCTION_SUFFIX);
        if function.overloads.is_empty() { Self::remove(&path).map(|_| ()) } else { self.put(&path, function).await }
    }

    fn database_folder(&self, database: &Identifier) -> PathBuf {
        self.root().join(segment(database))
    }

    pub fn schema_file(&self, schema: &SchemaName) -> Result<FolderFile, LakeError> {
        Ok(Self::read(&self.schema_folder(schema).join(FOLDER_FILE))?.unwrap_or_default())
    }

    pub async fn put_schema_file(&self, schema: &SchemaName, file: &FolderFile) -> Result<(), LakeError> {
        self.put(&self.schema_folder(schema).join(FOLDER_FILE), file).await
    }

    pub fn database_file(&self, database: &Identifier) -> Result<FolderFile, LakeError> {
        Ok(Self::read(&self.database_folder(database).join(FOLDER_FILE))?.unwrap_or_default())
    }

    pub async fn put_database_file(&self, database: &Identifier, file: &FolderFile) -> Result<(), LakeError> {
        self.put(&self.database_folder(database).join(FOLDER_FILE), file).await
    }

    /// Every database that has a folder.
    pub fn databases(&self) -> Result<Vec<Identifier>, LakeError> {
        Ok(self.folders(self.root())?.iter().map(|f| identifier(f)).collect())
    }

    pub fn database_exists(&self, database: &Identifier) -> bool {
        self.database_folder(database).is_dir()
    }

    /// A database with the schema PUBLIC in it.
    pub fn create_database(&self, database: &Identifier) -> Result<(), LakeError> {
        self.create_schema(&SchemaName::new(database.clone(), Identifier::exact("PUBLIC")))
    }

    pub fn drop_database(&self, database: &Identifier) -> Result<(), LakeError> {
        self.forget_database(database);
        self.discard(&self.database_folder(database), Keep::ForUndrop)
    }

    /// Renames a schema with everything in it; the new name must be free.
    pub fn rename_schema(&self, from: &SchemaName, to: &SchemaName) -> Result<(), LakeError> {
        self.forget_database(&from.database);
        let target = self.schema_folder(to);
        let fail = |e: std::io::Error| LakeError::storage("rename", &from.to_string(), &e);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        std::fs::rename(self.schema_folder(from), target).map_err(fail)
    }

    /// The same for a database.
    pub fn rename_database(&self, from: &Identifier, to: &Identifier) -> Result<(), LakeError> {
        self.forget_database(from);
        std::fs::rename(self.database_folder(from), self.database_folder(to))
            .map_err(|e| LakeError::storage("rename", &from.to_string(), &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sequence_gives_each_value_once() {
        let folder = tempfile::tempdir().expect("temp");
        let lake = Lake::open("w", folder.path()).expect("opens");
        let name = RelationName::parse_parts("d", "s", "q");
        assert_eq!(lake.advance_sequence(&name, 1).ok().flatten(), None);
        let file = SequenceFile { start: 10, increment: 5, next: 10, ordered: true, comment: None };
        lake.put_sequence(&name, &file).await.expect("written");
        assert_eq!(lake.advance_sequence(&name, 2).expect("advances"), Some((10, 5)));
        assert_eq!(lake.advance_sequence(&name, 1).expect("advances"), Some((20, 5)));
        assert_eq!(lake.sequences(&name.schema_name()).expect("lists"), [name]);
    }
}
