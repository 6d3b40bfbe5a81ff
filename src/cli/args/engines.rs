//! Arguments of the commands that see both engines: `parity`, `pull`.

use clap::{Args, ValueEnum};

use super::Selecting;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ParityOutput {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Args)]
pub struct PullArgs {
    #[command(flatten)]
    pub selecting: Selecting,
    /// Rows of each source, at most
    #[arg(long, value_name = "N", help_heading = "Options")]
    pub limit: Option<u64>,
    /// Condition that the rows meet, in SQL
    #[arg(long = "where", value_name = "CONDITION", help_heading = "Options")]
    pub condition: Option<String>,
    /// Pull again what is here already
    #[arg(long, help_heading = "Options")]
    pub force: bool,
}
