//! The agent: the program inside each environment, and the manager's way to it.
//!
//! [`run`] is `claude-manager agent`: it holds the workspace's lock, clones the repository with the credentials that are
//! mounted, and answers probes and `/agent/v1` on port 7780. [`Client`] is the other end, in the manager. Both speak the
//! types of [`Status`]; [`Signer`] makes the short-lived tokens that the program verifies with the public keys of the
//! ConfigMap `claude-manager-agent-keys`.
//!
//! **Architecture invariant:** credentials are read from mounted files when they are needed. None is on a command line,
//! in a repository's configuration, in a log line or in an answer, and none is in a variable but Claude Code's own in
//! those of its process.

mod client;
mod program;
mod protocol;
mod token;

pub use client::{Address, AgentSocket, Client, ClientError, EventLines, Frame, Reach};
pub use program::{
    AgentError, ClaudeOptions, CredentialRequest, Holder, LaunchOptions, Options, credential, encode_variables,
    find_claude, holder, install, launch, run, run_child,
};
pub use protocol::{PORT, PROTOCOL, Readiness, Repository, Status, chat};
pub use token::{Claims, KeyError, MAX_LIFETIME, PublicKey, Refusal, Signer, Verifier};
