//! The one integration test binary: `autotests = false` keeps linking to one, and leaves `tests/*.sql` to the project.

mod audits;
mod bad_input;
mod broken;
mod bucket;
mod charts;
mod cli;
mod environments;
mod external;
mod fresh;
mod interrupted;
mod intervals;
mod kafka;
mod kill;
mod knowing;
mod lsp;
mod materializations;
mod parsing;
mod s3;
mod sandbox;
mod simulate;
mod snowflake;
mod targets;
mod tidy;
mod upkeep;
mod watching;
