//! The one integration test binary: `autotests = false` keeps linking to one, and leaves `tests/*.sql` to the project.

mod bad_input;
mod cli;
mod interrupted;
mod sandbox;
mod simulate;
mod tidy;
