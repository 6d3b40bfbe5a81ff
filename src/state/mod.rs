//! What outlives an invocation: fingerprints recorded with tables, and the manifest in `target/`.
//!
//! Readers of state never write it; the only writers are a publish (fingerprints travel in its commit) and
//! [`write_atomically`].

pub mod comparison;
mod file;
mod fingerprints;
mod intervals;
pub mod manifest;

pub use file::write_atomically;
pub use fingerprints::{BUILT_AT, BUILT_IN, Change, FINGERPRINT, INPUTS, INVOCATION, Inputs, NODE, READS, normalise};
pub use intervals::{INTERVALS, Interval, Intervals};
