//! Invented music, charts and listeners: recordings in the providers' shapes, and streams of Eventsim events.
//!
//! Pure generators: the same options give the same bytes, on every machine and with any number of threads. Charts and
//! events draw from one [`catalog`], so that they can be joined. Nothing here reads a project, and nothing but the
//! writers at the rim ([`charts::run`], [`eventsim::run`]) touches a file.

mod adapter;
pub mod catalog;
mod chance;
pub mod charts;
mod error;
pub mod eventsim;

pub use adapter::adapter;
pub use error::SimulateError;

/// The last day of the committed recordings: the default end of every simulation, so that streams meet charts.
pub fn default_end() -> chrono::NaiveDate {
    chrono::NaiveDate::from_ymd_opt(2025, 2, 27).expect("a valid calendar day")
}

/// The seed of the committed recordings.
pub const DEFAULT_SEED: u64 = 42;
