//! The REST interface: JSON in and out. Bodies and parameters become typed requests, and what an operation gives becomes
//! JSON with its ETag.

pub(in crate::web) mod backup;
pub(in crate::web) mod body;
pub(in crate::web) mod chat;
pub(in crate::web) mod chat_socket;
mod fields;
pub(in crate::web) mod git;
pub(in crate::web) mod history;
pub(in crate::web) mod json;
pub(in crate::web) mod list;
pub(in crate::web) mod logs;
pub(in crate::web) mod monitoring;
pub(in crate::web) mod parse;
pub(in crate::web) mod plan;
pub(in crate::web) mod project_json;
pub(in crate::web) mod projects;
pub(in crate::web) mod tickets;
pub(in crate::web) mod webhook;
mod write;
