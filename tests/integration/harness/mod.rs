//! Starts, kills and asks real nodes; waits with deadlines.

mod files;
mod http;
mod modules;
mod node;
mod wait;

pub use files::{project, shared, skipped, write};
pub use http::request;
pub use modules::{THROUGH_M, letter, plain_component};
pub use node::{Node, NodeBuilder, Output, cache, wstream};
pub use wait::until;
