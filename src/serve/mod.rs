//! What is shown of a project outside of the terminal.
//!
//! | file | what it does |
//! |---|---|
//! | `site.rs` | a project with its types to one HTML page that needs nothing else |

mod site;

pub use site::{Facts, page};
