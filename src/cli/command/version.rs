//! `version`: what this is, and whose formats it follows.

use crate::{
    cli::{message::Failure, stdout::print},
    state::manifest::DBT_VERSION,
};

pub(super) fn run() -> Result<i32, Failure> {
    print(&format!("segue {}\nfollows dbt {DBT_VERSION}: project files, flags, selection, artifacts", env!("CARGO_PKG_VERSION")));
    Ok(0)
}
