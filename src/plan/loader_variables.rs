//! Environment variables that the dynamic loader and the C library obey before a program's `main`.
//!
//! *Rationale.* The list follows what glibc ignores in set-user-ID programs (`sysdeps/generic/unsecvars.h`): every variable
//! that names code to load or a file to read or write. Left out are those that choose a number or a directory of harmless
//! data and are common in images (`MALLOC_ARENA_MAX`, `RES_OPTIONS`, `TMPDIR`, `TZDIR`), and those that an interpreter obeys
//! (`NODE_OPTIONS`, `BASH_ENV`, `GIT_SSH_COMMAND`): what an interpreter runs belongs to the project anyway, and the agent,
//! which is none, starts Git with variables of its own.

/// All that begin so: the loaders of Linux and macOS.
const PREFIXES: [&str; 2] = ["LD_", "DYLD_"];
const NAMES: [&str; 10] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCPATH",
    "MALLOC_TRACE",
    "MUSL_LOCPATH",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
];

/// Whether a variable is one of them.
pub(super) fn is_loader_variable(name: &str) -> bool {
    has_loader_prefix(name) || NAMES.contains(&name)
}

/// Whether everything that begins with `text` is one of them.
pub(super) fn has_loader_prefix(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}
