//! `agent install DIR`: the program puts a copy of itself where the environment's container finds it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::AgentError;

/// Copies the running program to `directory/claude-manager`, whole or not at all, executable for everybody.
///
/// # Errors
/// [`AgentError::File`] when the directory cannot be written.
pub fn install(directory: &Path) -> Result<(), AgentError> {
    let program = std::env::current_exe().map_err(AgentError::System)?;
    let target = directory.join("claude-manager");
    let draft = directory.join(".claude-manager.new");
    fs::create_dir_all(directory).map_err(AgentError::file("cannot be made", directory))?;
    let copy = || -> io::Result<()> {
        // What an interrupted copy left behind. A new file: one that is being executed cannot be written into.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut from = File::open(&program)?;
        let mut to = OpenOptions::new().create_new(true).write(true).mode(0o755).open(&draft)?;
        io::copy(&mut from, &mut to)?;
        // The mode of a new file is cut by the mask of the process.
        to.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        to.sync_all()?;
        fs::rename(&draft, &target)
    };
    copy().map_err(AgentError::file("cannot be written", &target))
}
