//! Integration tests: one binary, one file for each subject.

mod git;
mod control_plane;
mod template;
mod store;
mod cluster;
