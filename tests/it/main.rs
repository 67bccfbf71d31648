//! Integration tests: one binary, one file for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test's set-up does not expect fails the test")]

mod architecture;
mod change;
mod cluster;
mod commands;
mod control_plane;
mod git;
mod main_job;
mod manager;
mod readme;
mod real_cluster;
mod store;
mod cluster;
mod control_plane;
mod embedded;
mod replay;
mod template;

mod seed;
mod sops;
