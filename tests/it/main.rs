//! Integration tests: one binary, one file for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test's set-up does not expect fails the test")]

mod agent;
mod architecture;
mod backup;
mod browser;
mod change;
mod chat;
mod cluster;
mod commands;
mod control_plane;
mod deployment;
mod doctor;
mod edge;
mod embedded;
mod first_run;
mod fuzz_bytes;
mod git;
mod git_http;
mod git_server;
mod http;
mod local_runtime;
mod lost_state;
mod main_job;
mod manager;
mod monitoring;
mod push;
mod readme;
mod real_cluster;
mod replay;
mod scenario;
mod seed;
mod sops;
mod store;
mod template;
mod tickets;
mod verdict;

mod kustomize;
mod kustomize_cases;
mod kustomize_hostile;
mod kustomize_prebuild;
