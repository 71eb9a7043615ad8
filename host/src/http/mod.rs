//! What the HTTP listeners share: the accept loop with its bounds, error bodies, event streams.
//!
//! Routes live with what they show (`api`, `elastic`, `dashboard`).

mod error;
mod events;
mod server;

pub use error::ApiError;
pub use events::{Events, event_stream};
pub use server::{Listener, ListenerError};
