//! An open project to an editor's answers: a server of the Language Server Protocol over standard input and output.
//!
//! | file | what it does |
//! |---|---|
//! | `server.rs` | the protocol: documents, requests, one analysis at a time |
//! | `channel.rs` | standard input and output as streams |
//! | `analysis.rs` | texts to a snapshot and findings, half-written files among them |
//! | `snapshot.rs` | what is known of the project at one moment |
//! | `findings.rs` | findings to the protocol's diagnostics |
//! | `cursor.rs`, `entry.rs` | what stands at a place of a template, of a properties file |
//! | `scope.rs` | which columns a place in SQL may name |
//! | `completion.rs`, `hover.rs`, `definition.rs`, `symbols.rs` | the answers |
//! | `lexer.rs`, `position.rs` | pieces of a text, and places in it as the protocol counts |
//!
//! How a project is loaded is handed in: nothing here reads the environment, and nothing is ever built.

mod analysis;
mod channel;
mod completion;
mod cursor;
mod definition;
mod entry;
mod findings;
mod functions;
mod hover;
mod lexer;
mod position;
mod scope;
mod server;
mod snapshot;
mod symbols;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

pub use self::server::serve;
use crate::{
    diagnostic::Diagnostics,
    project::{Files, Project},
    typing::Typing,
};

/// A project with its types.
pub struct Loaded {
    pub project: Arc<Project>,
    pub typing: Typing,
}

/// Loads the project in a folder, its files read through the given ones; ends early once the flag is set.
pub type Load = Box<dyn FnMut(&Path, Files, &Arc<AtomicBool>) -> Result<Loaded, Diagnostics> + Send>;

/// What the command line says of the server.
pub struct Options {
    /// The project's folder where the editor names none that holds one.
    pub folder: PathBuf,
    /// Whether the folder was named on the command line, and holds whatever the editor says.
    pub is_named: bool,
}
