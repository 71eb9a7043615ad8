//! wstream
