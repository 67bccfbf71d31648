//! Integration tests: one binary, one file for each subject.

mod control_plane;
mod template;
mod store;
mod cluster;
