//! A folder of dbt-format files to a checked [`Project`]: configuration resolved, references bound, graph built.

pub mod config;
pub mod data_test;
pub mod files;
pub mod profile;
pub mod project_file;
pub mod properties;
pub mod yaml;
