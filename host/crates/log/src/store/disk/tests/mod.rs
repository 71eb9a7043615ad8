//! The store over both disks.

mod conforms;
mod faults;
mod races;
