//! JSON by field: look up, rename, drop, add and replace fields of an object by splicing its
//! bytes; what is not touched stays as it was written, numbers and white space included.
//!
//! ```
//! use wstream_guest::json::Object;
//!
//! let mut object = Object::parse(br#"{"level":"info","msg":"hi","took":1.50}"#)?;
//! assert_eq!(object.get("took").and_then(|took| took.as_f64()), Some(1.5));
//! object.rename("msg", "message");
//! object.remove("level");
//! object.set("env", "prod");
//! assert_eq!(object.to_string(), r#"{"message":"hi","took":1.50,"env":"prod"}"#);
//! # Ok::<(), wstream_guest::json::Error>(())
//! ```
//!
//! How: [`Object::parse`] scans the text once, checks it against the whole grammar (what it
//! accepts is JSON, in UTF-8, at most 128 deep) and notes where the top-level members are. Edits
//! change those notes; [`Object::write`] copies the stretches between them. Keys compare by what
//! they mean, `"\u0061"` is `a`. Where a name occurs more than once, the last value counts, and an
//! edit leaves one.
//!
//! What it does not do: build a tree. For that use serde, [`Record::parse`](crate::Record::parse).

mod chunk;
mod copy;
mod error;
mod map_strings;
mod members;
mod name;
mod object;
mod path;
mod raw;
mod scan;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use map_strings::map_strings;
pub use object::{Fields, Object};
pub use raw::{Elements, Kind, Raw};
pub use write::WriteJson;
