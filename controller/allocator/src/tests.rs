//! Scenarios as text, and properties against a slow model.

mod model;
mod scenarios;
