//! Integration tests: one binary, one file for each subject.

mod architecture;
mod cluster;
mod control_plane;
mod git;
mod main_job;
mod manager;
mod real_cluster;
mod store;
mod template;
