//! What a statement can ask about the session that it runs in (Snowflake documentation, "Context functions").
//!
//! On one machine there is one user, no account and no roles beyond the one that USE ROLE names.

use std::sync::{PoisonError, RwLock};

use crate::names::SchemaName;

/// Facts of one session; shared by its statements and the views that they read.
#[derive(Debug, Default)]
pub struct Facts {
    /// Number of the session.
    pub session: i64,
    moving: RwLock<Moving>,
}

/// Facts that change from statement to statement.
#[derive(Debug, Default)]
pub struct Moving {
    /// When the running statement began, microseconds since the epoch; `None` outside of a session.
    pub now: Option<i64>,
    pub schema: Option<SchemaName>,
    pub user: Option<String>,
    pub role: Option<String>,
    pub warehouse: Option<String>,
    pub secondary_roles: Option<String>,
    /// The running statement's text.
    pub statement: Option<String>,
    /// Ids of the statements before it, the first one first.
    pub queries: Vec<String>,
    /// Ids of the open and of the last transaction.
    pub transaction: Option<String>,
    pub last_transaction: Option<String>,
}

impl Facts {
    pub fn new(session: i64) -> Self {
        Self { session, moving: RwLock::default() }
    }

    pub fn read<T>(&self, f: impl FnOnce(&Moving) -> T) -> T {
        f(&self.moving.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn change(&self, f: impl FnOnce(&mut Moving)) {
        f(&mut self.moving.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The moment that CURRENT_TIMESTAMP means.
    pub fn now(&self) -> i64 {
        self.read(|m| m.now).unwrap_or_else(|| chrono::Utc::now().timestamp_micros())
    }
}
