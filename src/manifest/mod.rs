//! From a folder of files to what it declares.
//!
//! [`source`] reads the folder, unreadable files included, and [`watch`] reads it again whenever it changed. [`yaml`] turns the text of a file into a tree in which every
//! key and value knows its place, so that whatever is found later can be shown where it was written.

pub mod schema;
pub mod source;
pub mod types;
pub mod watch;
pub mod yaml;
