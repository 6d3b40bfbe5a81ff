//! Replacing a stretch of a table: rows that meet a condition go, all new rows come, in one commit.

use super::{
    Inner,
    change::{Staged, in_files, select_list},
};
use crate::{
    engine::EngineError,
    lake::{Removed, WrittenFile},
};

/// The name of the table among the rows that a condition speaks of.
use super::change::TARGET;

impl Inner {
    /// Files without a matching row stay as they are; the others are written again without theirs.
    pub(super) async fn replace_matching(
        &self,
        staged: Staged<'_>,
        predicates: &[String],
    ) -> Result<(Vec<WrittenFile>, Removed), EngineError> {
        let condition = match predicates {
            [] => "true".to_owned(),
            all => all.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join(" and "),
        };
        let scope = self.change_scope(&staged).await?;
        let touched = self.touched(&condition, &scope).await?;
        let mut add = vec![];
        if !touched.is_empty() {
            let columns = select_list(&self.target_columns(&staged)?);
            let sql = format!("select {columns} from {TARGET} where {} and ({condition}) is not true", in_files(&touched));
            add = self.rewrite(&sql, &scope, &staged).await?;
        }
        add.extend(staged.files);
        Ok((add, Removed::Files(touched)))
    }
}
