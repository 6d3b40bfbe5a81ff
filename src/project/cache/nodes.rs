//! Nodes and what else drafting makes, field by field.
//!
//! A field that is added to one of these is missed here by the compiler; a change of what a field *means* is a change of the
//! program, and no other build of the program reads the cache.

use std::sync::Arc;

use super::codec::{Broken, Kept, Read, Reader, Writer, kept, kept_choice};
use crate::{
    diagnostic::{Diagnostics, SourceFile},
    graph::{
        AdapterConfig, Column, GenericTest, Hook, Node, NodeConfig, OnSchemaChange, RefCall, SourceCall, SourceInfo, TestInfo, TestSeverity,
    },
    project::{
        draft::{Body, Draft},
        properties::{MacroProperties, Text},
        reference::State,
    },
};

kept! {
    RefCall { package, name, version, place }
    SourceCall { source, table, place }
    Column { name, description, data_type, quote, tags, meta, extra }
    Hook { sql, transaction }
    TestInfo { generic, attached_to, column }
    GenericTest { name, arguments }
    SourceInfo { source_name, table_name, loader, loaded_at_field, freshness, adapter }
    AdapterConfig { type_, settings, input, place }
    NodeConfig {
        enabled, materialized, database, schema, alias, full_refresh, unique_key, incremental_strategy, on_schema_change, column_types,
        pre_hook, post_hook, severity, warn_if, error_if, fail_calc, limit, where_, store_failures, all,
    }
    MacroProperties { name, place, description, extra }
    Text { text, place }
}

kept_choice! {
    OnSchemaChange { Ignore = 0, Fail = 1, AppendNewColumns = 2, SyncAllColumns = 3 }
    TestSeverity { Error = 0, Warn = 1 }
    State { Enabled = 0, Disabled = 1, Broken = 2 }
}

impl Kept for Body {
    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Self::Range(range) => {
                w.bytes.push(0);
                w.put(range);
            }
            Self::Text(place) => {
                w.bytes.push(1);
                w.put(place);
            }
        }
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        match r.take(1)?[0] {
            0 => r.get().map(Self::Range),
            1 => r.get().map(Self::Text),
            _ => Err(Broken),
        }
    }
}

impl Kept for Node {
    fn put(&self, w: &mut Writer<'_>) {
        let Self {
            id,
            kind,
            name,
            package,
            fqn,
            path,
            original_file_path,
            file,
            raw_code,
            patch,
            description,
            columns,
            config,
            tags,
            meta,
            relation,
            this,
            alias,
            refs,
            sources,
            functions,
            depends_on,
            test,
            source,
            extra,
        } = self;
        w.put(file);
        // the text of a model is that of its file, which is kept once
        let whole = *raw_code == file.text.trim() && !raw_code.is_empty();
        w.put(&whole);
        if !whole {
            w.put(raw_code);
        }
        w.put(id);
        w.put(kind);
        w.put(name);
        w.put(package);
        w.put(fqn);
        w.put(path);
        w.put(original_file_path);
        w.put(patch);
        w.put(description);
        w.put(columns);
        w.put(config);
        w.put(tags);
        w.put(meta);
        w.put(relation);
        w.put(this);
        w.put(alias);
        w.put(refs);
        w.put(sources);
        w.put(functions);
        w.put(depends_on);
        w.put(test);
        w.put(source);
        w.put(extra);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        let file: Arc<SourceFile> = r.get()?;
        let raw_code = if r.get()? { file.text.trim().to_owned() } else { r.get()? };
        Ok(Self {
            id: r.get()?,
            kind: r.get()?,
            name: r.get()?,
            package: r.get()?,
            fqn: r.get()?,
            path: r.get()?,
            original_file_path: r.get()?,
            file,
            raw_code,
            patch: r.get()?,
            description: r.get()?,
            columns: r.get()?,
            config: r.get()?,
            tags: r.get()?,
            meta: r.get()?,
            relation: r.get()?,
            this: r.get()?,
            alias: r.get()?,
            refs: r.get()?,
            sources: r.get()?,
            functions: r.get()?,
            depends_on: r.get()?,
            test: r.get()?,
            source: r.get()?,
            extra: r.get()?,
        })
    }
}

impl Kept for Draft {
    /// Without its tests, which are drafts of their own. One that varies is not kept at all.
    fn put(&self, w: &mut Writer<'_>) {
        let Self { node, state, body, tests: _, faults, varies: _ } = self;
        w.put(node);
        w.put(state);
        w.put(body);
        w.put(&faults.0);
    }

    fn get(r: &mut Reader<'_>) -> Read<Self> {
        Ok(Self { node: r.get()?, state: r.get()?, body: r.get()?, tests: vec![], faults: Diagnostics(r.get()?), varies: false })
    }
}
