//! Claude Manager: a fleet of Claude Code environments, described by a Git repository of Kustomize overlays.
//!
//! # The map
//! ```text
//! a crate     src/kustomize/   build(files, directory) -> objects; YAML inside; knows nothing of this product
//! pure core   project/   names and values; no input or output, no clock
//!             edit/      (files, intent) -> change set
//!             plan/      (desired, observed, now) -> actions and status
//!             desired/   (tree, policy) -> objects or verdict of each unit: the one reading of a tree
//! beside it   config/  settings   metrics/  counters   private_file  keys and tokens on disk
//!             log_files/  the manager's own log: written, bounded, and read
//!             jwt_crypto  signatures of tokens
//! adapters    git/  cluster/  store/  sops/  agent/  jira/   one outside system each
//! services    change/ (the only writer of Git)  reconcile/ (the only caller of cluster::apply)  backup/
//!             operations/  what the product can do, once, for every edge
//!             chat/  conversations: relayed to agents, copied, and kept until delivered
//!             tickets/  JIRA's webhooks become projects and prompts, answers become comments
//! edges       auth/  web/ {router, middleware, api/, pages/}  app/  embedded/
//! ```
//! Arrows point down this list only from edges to services to adapters to the pure core; adapters do not know one
//! another. `tests/it/architecture.rs` holds the tree to this table.
//!
//! # Glossary
//! Each word means one thing, in code, texts and errors.
//!
//! - *Project*: one development environment; its id is the `shortName`. Its *overlay* is its directory in the state
//!   repository.
//! - *State repository*: the Git repository of overlays, the only source of truth. Its *head* is the desired state.
//! - *Unit*: what is built, planned and applied as one: one project, or the *base* (the objects of no project).
//! - *Intent*: a validated request to change the desired state; `edit` turns it into a *change set*, `change` into a commit.
//! - *Policy*: what overlays may use and how the reconciler behaves, from `claude-manager.yaml` on the trusted head.
//! - *Plan*: the actions that bring the cluster to the desired state, each with its reason. A hash binds an approval to it.
//! - *Drift*: a difference between the cluster and what was applied that no commit explains.
//! - *Inventory*: the objects that were applied for a unit, remembered in the store; what is pruned comes from it.
//! - *Field manager*: the name under which a unit's objects are applied, `claude-manager/<shortName>`.
//! - *Backup*: the tag `backup/<time>` on a commit of the state repository, in BACKUP_DIR and in the backup repository.
//! - *Ticket*: an issue of JIRA with its project and conversation. A *delivery* is one webhook of JIRA.
//! - *Agent*: the program inside an environment. A *turn* is one piece of work of Claude Code in it.
//!
//! # Walkthrough: a click becomes a commit
//! `web::api` parses the body into a [`project::Intent`] and hands it to [`operations`]; `change` takes it through the
//! policy, has `edit` compute a change set on the head of the repository, has `desired` judge the result as for the
//! reconciler, and commits it through `git`. The answer names the commit, and `web` maps it, or the error, to HTTP.
//!
//! # Walkthrough: a commit becomes the cluster
//! A signal (a commit, a ref change, a poll) wakes `reconcile`, which reads the head through `git`, has `desired` render
//! each project, compares with what `cluster::observe` has seen and gives the plan to `cluster::apply`.

pub mod agent;
pub mod app;
pub mod auth;
pub mod backup;
pub mod change;
pub mod chat;
pub mod cluster;
pub mod config;
pub mod desired;
pub mod edit;
pub mod embedded;
pub mod git;
pub mod jira;
mod jwt_crypto;
pub mod log_files;
pub mod metrics;
pub mod operations;
pub mod plan;
pub mod private_file;
pub mod project;
pub mod reconcile;
pub mod sops;
pub mod store;
pub mod tickets;
pub mod web;
