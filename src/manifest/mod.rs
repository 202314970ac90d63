//! From a folder of files to what it declares.
//!
//! [`source`] reads the folder, unreadable files included, and [`watch`] reads it again whenever it changed. [`yaml`]
//! turns the text of a file into a tree in which every key and value knows its place, so that whatever is found later can
//! be shown where it was written. [`document`] tells which documents are manifests; [`shape`] checks each against the
//! [`schema`] that its [`types`] give, [`rules`] what a schema cannot say, [`fates`] what becomes of each member here.
//! [`load`](mod@load) puts it all together, keeping what was last good (P1), and [`resolve`] turns what is valid into the
//! model.
//!
//! [`edit`] changes single values of a file where they are written.
//!
//! All but `source` and `watch` is pure: no file, clock or environment is looked at.

pub mod document;
pub mod edit;
pub mod export;
pub mod fates;
pub mod init;
pub mod load;
pub(crate) mod quantity;
pub mod reference;
pub mod report;
pub mod resolve;
pub mod rules;
pub mod schema;
pub mod shape;
pub mod source;
pub mod types;
pub mod watch;
pub mod yaml;

pub use load::load;
