//! Integration tests: one binary, one file for each subject.
mod cluster;
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test's set-up does not expect fails the test")]

mod control_plane;
mod template;
