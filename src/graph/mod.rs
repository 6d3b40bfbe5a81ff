//! The project as a graph: nodes, edges, cycles, selection.

mod node;

pub use node::*;
