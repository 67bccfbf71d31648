//! Claude Code as a program: found, given its home and its credentials, started, read, ended.
//!
//! This is the seam: [`Process`] takes prompts and answers and gives lines, [`Translator`] makes [`Output`]s of the lines.
//! Everything above it knows only those. What the program says is Claude Code's own and changes with each release, so an
//! unknown message is passed over, and a feature is found by its field, not by a version.

mod answer;
mod child;
mod command;
mod cost;
mod credentials;
mod find;
mod home;
mod line;
mod problem;
mod process;
mod rule;
mod translate;
mod tree;

pub(super) use answer::{control, prompt as prompt_message, reply};
pub use child::run_child;
pub(super) use command::Start;
pub(super) use credentials::Credentials;
pub(super) use find::Install;
pub use find::find_claude;
pub(super) use home::Home;
pub(super) use line::Ask;
pub(super) use problem::Problem;
pub(super) use process::{Ending, Exit, Input, Process};
pub(super) use rule::Rule;
pub(super) use translate::{Output, Translator, TurnResult};
pub(super) use tree::{Mark, end as end_tree, mark_of};
