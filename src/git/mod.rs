//! The state repository on disk: read as data, written so that nothing that was acknowledged is lost.
//!
//! Takes revisions, paths and [`ChangeSet`](crate::project::ChangeSet)s; gives trees ([`Tree`] is a
//! [`Files`](crate::project::Files)), commits and history. Objects and refs are read and written in process; there is
//! no work tree and no index. Only fetch, push and the
//! serving of fetches go through the `git` program, by one constructor (`process.rs`).
//!
//! *Guarantees.* A commit that was acknowledged survives `kill -9` and a power cut: its objects are on disk before the
//! branch names it, and the branch is on disk before the answer. At every moment the repository is valid with the old
//! or the new head. The branch moves by compare-and-swap under Git's own lock file, so a push by stock `git` and a
//! write of ours never overwrite one another.
//!
//! *Caveats.* Everything here blocks; callers on an async runtime go through `spawn_blocking`. `upload_pack` alone does not.

mod abandoned;
mod archive;
mod batch;
mod commit;
mod connected;
mod directory;
mod durable;
mod error;
mod history;
mod hook;
mod last_changes;
mod lock;
mod new_entries;
mod object_cache;
mod objects;
mod process;
mod reader;
mod refs;
mod remote;
mod repository;
mod reservation;
mod tree;
mod upload_pack;
mod version;
mod walk;
mod watch;

pub use archive::{Archive, ArchiveError, ArchivedTag, BranchOutcome, Relation};
pub use batch::Batch;
pub use commit::{CommitMeta, Person};
pub use connected::has_objects;
pub use error::{CommitError, GitError};
pub use history::LogEntry;
pub use hook::Quarantine;
pub use last_changes::{Changes, take_changes};
pub use lock::WriteLock;
pub use new_entries::{NewEntry, NewKind};
pub use reader::{Folder, Reader};
pub use remote::{Credentials, Remote, RemoteError};
pub use repository::Repository;
pub use reservation::PushStage;
pub use tree::Tree;
pub use upload_pack::{FetchRequest, upload_pack};
pub use version::{OLDEST, Version, VersionError, version};
pub use walk::{Item, ItemKind};
pub use watch::Watch;
