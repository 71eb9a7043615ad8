//! Measurements of the parts of a node, for `wstream bench`.

pub mod log;
pub mod transform;
