//! Kubernetes objects as JSON values: what bytes become, what an object may look like, how it changes
//! and how it is shown.
//!
//! Lives here: decoding, structural schemas, CEL rules, patches, selectors, tables, metadata rules,
//! OpenAPI documents. Must not: know time, randomness, sockets or where objects are kept; know any
//! custom kind by name. Start at [`crd::Crd::parse`] (what a custom kind is), then
//! [`crd::Version::admit`] and [`crd::Version::validate`] (one object of it).

pub mod builtin;
pub mod cel;
pub mod crd;
pub mod decode;
pub mod duration;
pub mod field;
pub mod jsonpath;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod select;
pub mod shown;
pub mod table;
