//! JIRA: reads its webhooks, and writes comments through its REST API.
//!
//! *Takes* the payload of a webhook, or a [`Document`] to write as a comment. *Gives* an [`Event`], or the comment's id. Cloud
//! speaks version 3 with the Atlassian Document Format and Basic authentication, Data Center version 2 with wiki markup and
//! a bearer token.
//!
//! **Architecture invariant:** nothing here knows projects, prompts or the store, and no token reaches a log or an error.

mod adf;
mod client;
mod document;
mod error;
mod markdown;
mod payload;
mod text;
mod wiki;

pub use client::{Account, Client, Field};
pub use document::{Block, Document, Span};
pub use error::JiraError;
pub use payload::{Change, Comment, Event, Issue, Kind, NoEvent, Person};
pub use text::text_of;
