//! Integration tests: one binary, one file for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test's set-up does not expect fails the test")]

mod cluster;
mod control_plane;
mod embedded;
mod replay;
mod template;
