//! `export:` of a model or a source's table: its rows as files in a folder or a bucket, for readers that know nothing of
//! tables. Placeholders in the address part the rows: `{date}` gives a file for each value of the column `DATE`.
//!
//! Each file is replaced as a whole: a reader sees the former one or the new one. Files of values that the table no longer
//! has are left where they are. What was exported last is noted in the target folder: a relation that has not changed since
//! is not exported again, and an export that failed is made up for by the next run.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use datafusion::{
    arrow::{
        datatypes::{Field, Schema, SchemaRef},
        record_batch::RecordBatch,
    },
    parquet::arrow::ArrowWriter,
};
use indexmap::IndexMap;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use serde_json::Value as Json;

use super::{
    compile::whole,
    step::{Progress, Task},
    warehouse::Identity,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{EngineError, Outcome, value},
    graph::AdapterConfig,
    ingest::{file, settings::Settings},
    names::{Fingerprint, RelationName, nearest},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
    Parquet,
}

const FORMATS: [(&str, Format); 4] =
    [("csv", Format::Csv), ("jsonl", Format::JsonLines), ("ndjson", Format::JsonLines), ("parquet", Format::Parquet)];

/// The folder of a NULL, as Hive writes it.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

struct Export {
    address: Address,
    format: Format,
    delimiter: u8,
    header: bool,
    /// Names of columns in files in lower case.
    lower: bool,
    /// Columns of the files; all where none are given.
    columns: Option<Vec<String>>,
    order_by: Vec<String>,
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Bucket { name: String, objects: Arc<dyn ObjectStore> },
}

/// Text with placeholders.
#[derive(Debug, PartialEq, Eq)]
struct Address(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A column and how a day of it is written.
    Value {
        column: String,
        format: Option<String>,
    },
}

/// Files that were written, or `None` when there is nothing to do.
pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<(), Diagnostics> {
    let node = &task.node;
    let (Some(config), Some(relation)) = (node.config.all.get("export").filter(|v| !v.is_null()), &node.relation) else { return Ok(()) };
    if task.context.options.empty {
        return Ok(());
    }
    let export = read(task, config)?;
    let identity = task.context.catalog.identity(task.context.deps.engine.as_ref(), relation).await.map_err(|e| engine_fault(task, e))?;
    let mark = match &identity {
        Identity::Known(version) => {
            let (config, relation) = (config.to_string(), relation.to_string());
            Some(Fingerprint::of([("version", version.as_str()), ("export", &config), ("relation", &relation)]).as_str().to_owned())
        }
        _ => None,
    };
    let note = task.context.options.target_dir.join("exports").join(node.id.as_str());
    if mark.is_some() && std::fs::read_to_string(&note).ok() == mark {
        return Ok(());
    }
    let files = write(task, &export, relation).await?;
    // without the note the next run exports again
    if let (Some(mark), Some(folder)) = (mark, note.parent()) {
        let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&note, mark));
    }
    let exported = if files == 1 { "1 file exported".to_owned() } else { format!("{files} files exported") };
    progress.message = if progress.message.is_empty() { exported } else { format!("{}, {exported}", progress.message) };
    Ok(())
}

fn read(task: &Task, config: &Json) -> Result<Export, Diagnostics> {
    let node = &task.node;
    let place = whole(node);
    let settings: IndexMap<String, Json> = match config {
        Json::String(to) => [("to".to_owned(), Json::from(to.as_str()))].into_iter().collect(),
        Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        other => {
            let message = format!("`export` is an address or a mapping, not `{other}`");
            return Err(Diagnostic::error("run/export", message).at(place, "").into());
        }
    };
    let config = AdapterConfig { type_: "export".into(), settings, input: None, place: place.clone() };
    let settings = Settings::new(&config);
    let to = settings.required_text("to", "`s3://bucket/folder/plays_{date}.csv`, or a path below the project");
    let format = settings.choice("format", &FORMATS);
    let delimiter = match settings.text("delimiter") {
        None => b',',
        Some(text) if text == "\\t" || text == "tab" => b'\t',
        Some(text) if text.len() == 1 => text.as_bytes()[0],
        Some(text) => settings.wrong("delimiter", "one character, or `\\t`", &text.into()).unwrap_or(b','),
    };
    let header = settings.flag("header").unwrap_or(true);
    let lower = settings.choice("names", &[("lower", true), ("as_is", false)]).unwrap_or(false);
    let columns = settings.list("columns");
    let order_by = settings.list("order_by").unwrap_or_default();
    let fault = |message: String| Diagnostic::error("run/export", message).at(place.clone(), "");
    let (bucket, path) = match to.strip_prefix("s3://").or_else(|| to.strip_prefix("s3a://")) {
        Some(rest) => {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(name.to_owned()), path.to_owned())
        }
        None => (None, to.clone()),
    };
    let objects = match &bucket {
        Some(name) if !name.is_empty() => Some(file::bucket_store(&settings, name)),
        _ => None,
    };
    let by_name = path.rsplit_once('.').and_then(|(_, end)| FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(end)));
    settings.finish(())?;
    let Some(format) = format.or(by_name.map(|(_, format)| *format)) else {
        return Err(fault(format!("the name `{to}` does not tell the format of the export"))
            .help("end it with `.csv`, `.jsonl` or `.parquet`, or set `format`")
            .into());
    };
    let address = Address::parse(&path).map_err(|why| fault(format!("the address `{to}` of the export {why}")))?;
    let place = match (bucket, objects) {
        (None, _) => Place::Folder(task.context.options.project_dir.clone()),
        (Some(name), Some(Some(objects))) => Place::Bucket { name, objects },
        (Some(_), _) => return Err(fault(format!("the address `{to}` of the export names no bucket")).into()),
    };
    Ok(Export { address, format, delimiter, header, lower, columns, order_by, place })
}

async fn query(task: &Task, sql: &str) -> Result<Outcome, Diagnostics> {
    task.log_sql(sql);
    task.context.deps.engine.session().execute(sql).await.map_err(|e| engine_fault(task, e))
}

fn engine_fault(task: &Task, e: EngineError) -> Diagnostics {
    let mut fault = Diagnostic::error(e.code, e.message).at(whole(&task.node), "").note("while its rows were exported");
    fault.notes.extend(e.notes);
    fault.help = e.help;
    fault.into()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn write(task: &Task, export: &Export, relation: &RelationName) -> Result<u64, Diagnostics> {
    let schema = query(task, &format!("select * from {relation} limit 0")).await?.schema;
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let column = |name: &str| -> Result<String, Diagnostics> {
        let exact = names.iter().find(|n| **n == name).or_else(|| names.iter().find(|n| n.eq_ignore_ascii_case(name)));
        exact.map(|n| quoted(n)).ok_or_else(|| {
            let mut fault =
                Diagnostic::error("run/export", format!("the export of `{}` names `{name}`, which is no column", task.node.name))
                    .at(whole(&task.node), "");
            fault.help = nearest(&name.to_uppercase(), names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            fault.into()
        })
    };
    let chosen = match &export.columns {
        None => names.iter().map(|n| quoted(n)).collect(),
        Some(list) => list.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let order: Vec<String> = export.order_by.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
    let order = if order.is_empty() { String::new() } else { format!(" order by {}", order.join(", ")) };
    let mut keys = vec![];
    for part in &export.address.0 {
        if let Part::Value { column: name, format } = part {
            let name = column(name)?;
            keys.push(if format.is_some() { format!("to_varchar({name}::date, 'YYYY-MM-DD')") } else { format!("{name}::varchar") });
        }
    }
    let select = format!("select {} from {relation}", chosen.join(", "));
    if keys.is_empty() {
        let outcome = query(task, &format!("{select}{order}")).await?;
        put(task, export, &export.address.filled(&[])?, &outcome.schema, &outcome.batches).await?;
        return Ok(1);
    }
    let found = query(task, &format!("select distinct {} from {relation}", keys.join(", "))).await?;
    let mut files: BTreeMap<String, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for batch in &found.batches {
        for row in 0..batch.num_rows() {
            let cells = found.schema.fields().iter().zip(batch.columns());
            let values: Vec<Option<String>> = cells.map(|(field, column)| value::of(column, field, row).text()).collect();
            files.entry(export.address.filled(&values)?).or_default().push(values);
        }
    }
    let count = files.len() as u64;
    for (at, (path, values)) in files.into_iter().enumerate() {
        task.progress(format!("exporting file {} of {count}", at + 1));
        let one = |values: &Vec<Option<String>>| {
            let equal = keys.iter().zip(values).map(|(key, value)| match value {
                Some(text) => format!("{key} = '{}'", text.replace('\\', "\\\\").replace('\'', "''")),
                None => format!("{key} is null"),
            });
            format!("({})", equal.collect::<Vec<_>>().join(" and "))
        };
        let filter = values.iter().map(one).collect::<Vec<_>>().join(" or ");
        let outcome = query(task, &format!("{select} where {filter}{order}")).await?;
        put(task, export, &path, &outcome.schema, &outcome.batches).await?;
    }
    Ok(count)
}

async fn put(task: &Task, export: &Export, path: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Diagnostics> {
    let fault = |message: String| Diagnostics::from(Diagnostic::error("run/export", message).at(whole(&task.node), ""));
    let content = encoded(export, schema, batches).map_err(|e| fault(format!("`{path}` cannot be written: {e}")))?;
    match &export.place {
        Place::Folder(root) => {
            let (shown, path) = (path.to_owned(), root.join(path));
            let replaced = super::step::blocking(move || {
                let folder = path.parent().unwrap_or(&path).to_owned();
                std::fs::create_dir_all(&folder)?;
                let mut file = tempfile::Builder::new().prefix(".export-").tempfile_in(&folder)?;
                std::io::Write::write_all(&mut file, &content)?;
                readable(file.as_file())?;
                file.persist(&path).map_err(|e| e.error).map(drop)
            });
            replaced.await.map_err(|e: std::io::Error| fault(format!("`{shown}` cannot be written: {e}")))
        }
        Place::Bucket { name, objects } => {
            let key = ObjectPath::parse(path).map_err(|e| fault(format!("`s3://{name}/{path}` is no address of an object: {e}")))?;
            objects.put(&key, content.into()).await.map(drop).map_err(|e| {
                let e = file::store_fault(&e, &format!("`s3://{name}/{path}` cannot be written"));
                let mut fault = Diagnostic::error(e.code, e.message).at(whole(&task.node), "exported by this node");
                fault.help = e.help;
                fault.into()
            })
        }
    }
}

/// Temporary files are their owner's alone; what others are to read is not.
#[cfg(unix)]
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

fn encoded(export: &Export, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, String> {
    let name = |field: &Field| if export.lower { field.name().to_lowercase() } else { field.name().clone() };
    let mut content = vec![];
    match export.format {
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().delimiter(export.delimiter).from_writer(&mut content);
            if export.header {
                writer.write_record(schema.fields().iter().map(|f| name(f))).map_err(|e| e.to_string())?;
            }
            for batch in batches {
                for row in 0..batch.num_rows() {
                    let cells = schema.fields().iter().zip(batch.columns());
                    let texts = cells.map(|(field, column)| value::of(column, field, row).text().unwrap_or_default());
                    writer.write_record(texts).map_err(|e| e.to_string())?;
                }
            }
            writer.flush().map_err(|e| e.to_string())?;
        }
        Format::JsonLines => {
            for batch in batches {
                for row in 0..batch.num_rows() {
                    let cells = schema.fields().iter().zip(batch.columns());
                    let pairs = cells.map(|(field, column)| {
                        format!("{}:{}", value::string(&name(field)), value::json(&value::of(column, field, row), true))
                    });
                    content.extend_from_slice(format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(",")).as_bytes());
                }
            }
        }
        Format::Parquet => {
            let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_name(name(f))).collect();
            let schema = Arc::new(Schema::new(fields));
            let mut writer = ArrowWriter::try_new(&mut content, Arc::clone(&schema), None).map_err(|e| e.to_string())?;
            for batch in batches {
                let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(|e| e.to_string())?;
                writer.write(&batch).map_err(|e| e.to_string())?;
            }
            writer.close().map_err(|e| e.to_string())?;
        }
    }
    Ok(content)
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![];
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((inside, after)) = behind.split_once('}') else { return Err("has a `{` without its `}`".into()) };
            let (column, format) = match inside.split_once(':') {
                Some((column, format)) => (column, Some(format.to_owned())),
                None => (inside, None),
            };
            if column.trim().is_empty() {
                return Err("has a placeholder without a column".into());
            }
            let known = |f: &str| chrono::format::StrftimeItems::new(f).all(|item| item != chrono::format::Item::Error);
            if let Some(wrong) = format.as_deref().filter(|f| f.is_empty() || !known(f)) {
                return Err(format!("writes a day as `{wrong}`: the letters are those of `%Y-%m-%d`"));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Value { column: column.trim().to_owned(), format });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        if parts.is_empty() || text.ends_with('/') {
            return Err("names no file".into());
        }
        Ok(Self(parts))
    }

    /// The path for the values of the placeholders, in their order. A value never adds or leaves a folder.
    fn filled(&self, values: &[Option<String>]) -> Result<String, Diagnostics> {
        let mut values = values.iter();
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path += text,
                Part::Value { format, .. } => match (values.next().and_then(Option::as_deref), format) {
                    (None, _) => path += NULL_FOLDER,
                    (Some(day), Some(format)) => match day.parse::<chrono::NaiveDate>() {
                        Ok(day) => path += &day.format(format).to_string(),
                        Err(_) => return Err(Diagnostic::error("run/export", format!("`{day}` is no day")).into()),
                    },
                    (Some(text), None) => path += &escaped(text),
                },
            }
        }
        Ok(path)
    }
}

fn escaped(text: &str) -> String {
    if text.bytes().all(|b| b == b'.') {
        return text.replace('.', "%2E");
    }
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '/' | '\\' | '%' | '*' | '?' | '"' | '<' | '>' | '|' | '#' | '{' | '}' | '~' | '^' | '`' | '[' | ']')
    };
    text.chars().map(|c| if is_odd(c) { format!("%{:02X}", c as u32) } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_filled() {
        let check = |text: &str, values: &[Option<&str>], expect: &str| {
            let values: Vec<Option<String>> = values.iter().map(|v| v.map(str::to_owned)).collect();
            let filled = Address::parse(text).map(|a| a.filled(&values).unwrap_or_else(|e| panic!("{e:?}")));
            assert_eq!(filled.unwrap_or_else(|e| e), expect, "{text}");
        };
        check("raw/melon_{date}.csv", &[Some("2025-02-27")], "raw/melon_2025-02-27.csv");
        let day = Some("2025-02-07");
        check("e/year={d:%Y}/month={d:%m}/day={ d:%d}/p.jsonl", &[day, day, day], "e/year=2025/month=02/day=07/p.jsonl");
        check("{a}/{b}.csv", &[None, Some("x/../y")], "__HIVE_DEFAULT_PARTITION__/x%2F..%2Fy.csv");
        check("x/{a}/b.csv", &[Some("..")], "x/%2E%2E/b.csv");
        check("all.csv", &[], "all.csv");
        check("a{b.csv", &[], "has a `{` without its `}`");
        check("a/", &[], "names no file");
        check("{}.csv", &[], "has a placeholder without a column");
        check("{d:%Q}.csv", &[], "writes a day as `%Q`: the letters are those of `%Y-%m-%d`");
    }
}
