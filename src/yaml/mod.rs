//! YAML: lossless edits.

pub mod edit;
