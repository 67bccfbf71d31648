//! Claude Manager: a fleet of Claude Code environments, described by a Git repository of Kustomize overlays.
//!
//! # The map
//! ```text
//! pure core   project/   names and values; no input or output, no clock
//!             yaml/      YAML nodes with style and span; read, emit, lossless edit
//!             kustomize/ build(files, directory) -> objects
//!             edit/      (files, intent) -> change set
//!             plan/      (desired, observed, now) -> actions and status
//! beside it   metrics/  counters; private_file  keys and tokens on disk
//! adapters    git/  cluster/  store/  sops/  agent/   one outside system each
//! services    change/ (the only writer of Git)  reconcile/ (the only caller of cluster::apply)
//! edges       auth/  web/  app/  embedded/
//! ```
//! Arrows point down this list only from edges to services to adapters to the pure core; adapters do not know one
//! another. `tests/architecture.rs` holds the tree to this table.
//!
//! # Walkthrough: a click becomes a commit
//! `web::api` parses the body into a [`project::Intent`]; `change` takes it through the policy, has `edit` compute a
//! change set on the head of the repository, renders the result as the reconciler would, and commits it through `git`.
//! The answer names the commit.
//!
//! # Walkthrough: a commit becomes the cluster
//! A signal (a commit, a ref change, a poll) wakes `reconcile`, which reads the head through `git`, renders each
//! project with `kustomize`, compares with what `cluster::observe` has seen and gives the plan to `cluster::apply`.

pub mod agent;
pub mod app;
pub mod auth;
pub mod change;
pub mod cluster;
pub mod edit;
pub mod embedded;
pub mod git;
pub mod kustomize;
pub mod metrics;
pub mod plan;
pub mod private_file;
pub mod project;
pub mod reconcile;
pub mod sops;
pub mod store;
pub mod web;
pub mod yaml;
