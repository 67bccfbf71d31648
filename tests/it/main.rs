//! Integration tests: one binary, one file for each subject.

mod architecture;
mod git;
mod control_plane;
mod template;
mod store;
mod cluster;
mod control_plane;
mod main_job;
mod manager;
mod real_cluster;
mod store;
mod template;
