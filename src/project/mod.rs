//! A folder of dbt-format files to a checked [`Project`]: configuration resolved, references bound, graph built.

pub mod config;
pub mod data_test;
mod declared;
mod draft;
pub mod files;
pub mod package;
pub mod profile;
pub mod project_file;
pub mod properties;
pub mod reference;
pub mod relation;
pub mod yaml;
