//! Executes a plan: permits, retries, skips below failures, cancellation, events.

pub mod event;
