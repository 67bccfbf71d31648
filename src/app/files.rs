//! Open files: the limit of this process, and how many of them connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections: database, repository, logs, watches, agents, the pipes of git.
const OTHERS: u64 = 256;
/// Fewer connections than this are of no use.
const FEWEST: u64 = 16;

/// Raises the soft limit of open files to the hard one, and returns it. Children of this process have the raised limit, too.
pub(super) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
        return limit.current.unwrap_or(u64::MAX);
    }
    limit.maximum.unwrap_or(u64::MAX)
}

/// The hard limit of open files.
pub(super) fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Returns how many connections are served: as many as were asked for, or what the limit of open files leaves.
pub(super) fn connections(wanted: usize) -> usize {
    let files = raise_limit();
    let most = usize::try_from(bound(files)).unwrap_or(usize::MAX);
    if most < wanted {
        tracing::warn!(
            "only {most} connections are served, not {wanted}: the hard limit of open files is {files}; raise it, or lower \
             MAX_CONNECTIONS"
        );
    }
    wanted.min(most)
}

/// How many of so many files connections may take.
pub(super) fn bound(files: u64) -> u64 {
    files.saturating_sub(OTHERS).max(FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!([bound(0), bound(300), bound(1024), bound(u64::MAX)], [16, 44, 768, u64::MAX - 256]);
    }
}
