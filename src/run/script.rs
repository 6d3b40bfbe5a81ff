//! What a publish amounts to, as SQL: the text below `target/run`. For reading; the engine is given the parts.

use crate::{
    engine::{How, Strategy},
    names::RelationName,
};

/// `definitions` are the columns of a contract, with their constraints.
pub(super) fn of(relation: &RelationName, how: &How, sql: &str, definitions: Option<&str>) -> String {
    let sql = sql.trim().trim_end_matches(';');
    match how {
        How::Table if definitions.is_some() => {
            format!("create or replace table {relation} (\n{}\n) as (\n{sql}\n);\n", definitions.unwrap_or_default())
        }
        How::Table => format!("create or replace table {relation} as (\n{sql}\n);\n"),
        How::View => format!("create or replace view {relation} as (\n{sql}\n);\n"),
        How::Incremental { strategy, .. } => incremental(relation, strategy, sql),
    }
}

fn incremental(relation: &RelationName, strategy: &Strategy, sql: &str) -> String {
    let same = |keys: &[String]| keys.iter().map(|k| format!("DBT_INTERNAL_SOURCE.{k} = DBT_INTERNAL_DEST.{k}")).collect::<Vec<_>>();
    match strategy {
        Strategy::Append => format!("insert into {relation}\n{sql};\n"),
        Strategy::InsertOverwrite => format!("insert overwrite into {relation}\n{sql};\n"),
        Strategy::Merge { unique_key, update_columns, predicates } => {
            let on: Vec<String> = same(unique_key).into_iter().chain(predicates.iter().cloned()).map(|p| format!("({p})")).collect();
            let update = match update_columns {
                Some(columns) => columns.iter().map(|c| format!("{c} = DBT_INTERNAL_SOURCE.{c}")).collect::<Vec<_>>().join(", "),
                None => "all by name".into(),
            };
            let update = if update_columns.is_some() { format!("set {update}") } else { update };
            format!(
                "merge into {relation} as DBT_INTERNAL_DEST\nusing (\n{sql}\n) as DBT_INTERNAL_SOURCE\non {}\nwhen matched then update {update}\nwhen not matched then insert all by name;\n",
                on.join(" and ")
            )
        }
        Strategy::Replace { predicates } => {
            let matches: Vec<String> = predicates.iter().map(|p| format!("({p})")).collect();
            format!("begin;\ndelete from {relation}\nwhere {};\ninsert into {relation}\n{sql};\ncommit;\n", matches.join(" and "))
        }
        Strategy::DeleteInsert { unique_key, predicates } => {
            let matches: Vec<String> = same(unique_key).into_iter().chain(predicates.iter().cloned()).map(|p| format!("({p})")).collect();
            format!(
                "begin;\ndelete from {relation} as DBT_INTERNAL_DEST\nusing (\n{sql}\n) as DBT_INTERNAL_SOURCE\nwhere {};\ninsert into {relation}\n{sql};\ncommit;\n",
                matches.join(" and ")
            )
        }
    }
}
