//! New rows of sources: which tables of the warehouse are sources, and whether a changed file is a commit to one.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    names::NodeId,
    project::Project,
};

/// Folders of the sources' tables in a local warehouse.
#[derive(Default)]
pub(super) struct Tables(HashMap<PathBuf, (NodeId, String)>);

impl Tables {
    pub(super) fn of(project: &Project) -> Self {
        let root = PathBuf::from(project.warehouse_root());
        let tables = project.graph.nodes().filter_map(|node| {
            let (source, relation) = (node.source.as_ref()?, node.relation.as_ref()?);
            let folder = root.join(relation.database.as_str()).join(relation.schema.as_str()).join(relation.name.as_str());
            Some((folder, (node.id.clone(), format!("source:{}.{}", source.source_name, source.table_name))))
        });
        Self(tables.collect())
    }

    /// The source that a commit to its table has new rows for, and how a selection names it.
    pub(super) fn committed(&self, path: &Path) -> Option<(&NodeId, &str)> {
        let log = path.parent().filter(|p| p.file_name().is_some_and(|n| n == "_delta_log"))?;
        let is_commit = path.extension().is_some_and(|e| e == "json") && path.file_stem().is_some_and(|s| {
            s.to_string_lossy().bytes().all(|b| b.is_ascii_digit())
        });
        let (id, selector) = self.0.get(log.parent()?).filter(|_| is_commit)?;
        Some((id, selector))
    }
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
    fn only_commits_of_sources_count() {
        let folder = PathBuf::from("/w/SHOP/RAW/PLAYS");
        let tables = Tables(HashMap::from([(folder, (NodeId::new("source.shop.raw.plays"), "source:raw.plays".to_owned()))]));
        for (path, expect) in [
            ("/w/SHOP/RAW/PLAYS/_delta_log/00000000000000000003.json", true),
            ("/w/SHOP/RAW/PLAYS/_delta_log/.tmp.json", false),
            ("/w/SHOP/RAW/PLAYS/_delta_log/00000000000000000003.checkpoint.parquet", false),
            ("/w/SHOP/RAW/PLAYS/part-0.parquet", false),
            ("/w/SHOP/DEV/PLAYS/_delta_log/00000000000000000003.json", false),
        ] {
            assert_eq!(tables.committed(Path::new(path)).is_some(), expect, "{path}");
        }
    }
}
