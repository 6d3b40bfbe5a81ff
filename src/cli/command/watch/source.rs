//! New rows of sources: commits to their tables in a local warehouse, whoever makes them.
//!
//! The logs are looked at in turns. Being told of files would be quicker, but a table that is made while nobody watches its folder
//! yet is never told of.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{names::NodeId, project::Project};

struct Table {
    id: NodeId,
    /// How a selection names it.
    selector: String,
    /// The newest commit that is known; `None` before there is a table.
    version: Option<u64>,
}

/// The sources' tables by folder.
#[derive(Default)]
pub(super) struct Tables(HashMap<PathBuf, Table>);

impl Tables {
    /// Takes over the project's sources. What is there already is nothing new.
    pub(super) fn refresh(&mut self, project: &Project) {
        let root = PathBuf::from(project.warehouse_root());
        let mut before = std::mem::take(&mut self.0);
        for node in project.graph.nodes() {
            let (Some(source), Some(relation)) = (&node.source, &node.relation) else { continue };
            let folder = root.join(relation.database.as_str()).join(relation.schema.as_str()).join(relation.name.as_str());
            let version = before.remove(&folder).map_or_else(|| newest(&folder), |known| known.version);
            let selector = format!("source:{}.{}", source.source_name, source.table_name);
            self.0.insert(folder, Table { id: node.id.clone(), selector, version });
        }
    }

    /// Sources with commits since the last look.
    pub(super) fn advanced(&mut self) -> Vec<(NodeId, String)> {
        let mut found = vec![];
        for (folder, table) in &mut self.0 {
            let now = newest(folder);
            // a table that is gone has no new rows
            if now.is_some() && now != table.version {
                found.push((table.id.clone(), table.selector.clone()));
            }
            table.version = now;
        }
        found
    }
}

/// The newest commit in a table's log.
fn newest(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder.join("_delta_log")).ok()?;
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).max()
}

/// What segue ingests by itself, as it is configured: another text is other work.
pub(super) fn adapters(project: &Project) -> String {
    let own = project.graph.nodes().filter_map(|n| Some((&n.id, n.source.as_ref()?.adapter.as_ref()?)));
    own.map(|(id, adapter)| format!("{id} {} {:?}\n", adapter.type_, adapter.settings)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commits_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("_delta_log");
        let table = Table { id: NodeId::new("source.shop.raw.plays"), selector: "source:raw.plays".into(), version: None };
        let mut tables = Tables(HashMap::from([(folder.path().to_owned(), table)]));
        assert_eq!(tables.advanced(), []);
        std::fs::create_dir(&log).expect("made");
        for (file, expect) in [
            ("00000000000000000000.json", true),
            (".00000000000000000001.json.tmp", false),
            ("00000000000000000000.checkpoint.parquet", false),
            ("00000000000000000001.json", true),
        ] {
            std::fs::write(log.join(file), "{}").expect("written");
            assert_eq!(!tables.advanced().is_empty(), expect, "{file}");
        }
        assert_eq!(tables.advanced(), []);
    }
}
