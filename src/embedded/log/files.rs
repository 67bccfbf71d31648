//! The log files of one pod's agent: bounded, and those of the process before kept.
//!
//! The agent itself appends to its file, so that a manager that is killed leaves no agent without a reader. A file that
//! has grown too long is therefore copied and cut: what the agent writes in the very moment between the two is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Above this a file is cut.
const LONGEST: u64 = 5 << 20;

/// Which process's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Instance {
    /// The one that runs, or ran last.
    Current,
    /// The one before.
    Previous,
}

/// The files, by the directory that they are in.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct LogFiles {
    directory: PathBuf,
    longest: u64,
}

impl LogFiles {
    /// Those in a pod's directory.
    pub(in crate::embedded) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), longest: LONGEST }
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file for a process that begins. What was the log becomes that of the process before.
    pub(in crate::embedded) fn begin(&self) -> io::Result<File> {
        if self.path(Instance::Current).exists() {
            for (from, to) in [
                (self.path(Instance::Current), self.path(Instance::Previous)),
                (self.older(Instance::Current), self.older(Instance::Previous)),
            ] {
                match fs::rename(from, &to) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_file(to) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    },
                    result => result?,
                }
            }
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(Instance::Current))
    }

    /// Cuts the file when it is too long; called now and then while the process runs.
    pub(in crate::embedded) fn bound(&self) -> io::Result<()> {
        let path = self.path(Instance::Current);
        let length = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if length <= self.longest {
            return Ok(());
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.seek(SeekFrom::Start(length - self.longest))?;
        let making = self.directory.join("agent.log.new");
        let mut copy = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&making)?;
        // To the end as it is when it is reached, which leaves the shortest moment; bounded, should it run away.
        io::copy(&mut (&mut file).take(2 * self.longest), &mut copy)?;
        file.set_len(0)?;
        fs::rename(&making, self.older(Instance::Current))
    }

    /// The files of an instance, the older one first; empty when there is none.
    pub(super) fn open(&self, instance: Instance) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for path in [self.older(instance), self.path(instance)] {
            match File::open(path) {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    fn path(&self, instance: Instance) -> PathBuf {
        self.directory.join(match instance {
            Instance::Current => "agent.log",
            Instance::Previous => "agent.previous.log",
        })
    }

    /// What was cut off the front.
    fn older(&self, instance: Instance) -> PathBuf {
        self.path(instance).with_extension("log.1")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn content(files: &LogFiles, instance: Instance) -> String {
        let mut text = String::new();
        for mut file in files.open(instance).unwrap() {
            file.read_to_string(&mut text).unwrap();
        }
        text
    }

    #[test]
    fn a_file_stays_bounded_while_it_is_appended_to_and_keeps_what_is_newest() {
        let directory = tempfile::tempdir().unwrap();
        let files = LogFiles { longest: 1000, ..LogFiles::new(directory.path()) };
        let mut writer = files.begin().unwrap();
        for number in 0..500 {
            writeln!(writer, "line {number}").unwrap();
            files.bound().unwrap();
            let size: u64 =
                fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
            assert!(size <= 2100, "{size}");
        }
        let text = content(&files, Instance::Current);
        let last: Vec<&str> = text.lines().rev().take(100).collect();
        let expected: Vec<String> = (400..500).rev().map(|number| format!("line {number}")).collect();
        assert_eq!(last, expected);
    }

    #[test]
    fn the_log_of_the_process_before_is_kept_and_no_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let files = LogFiles { longest: 10, ..LogFiles::new(directory.path()) };
        for number in 1..4 {
            let mut writer = files.begin().unwrap();
            writeln!(writer, "process {number} begins").unwrap();
            if number == 1 {
                files.bound().unwrap();
            }
            writeln!(writer, "process {number} ends").unwrap();
        }
        assert_eq!(content(&files, Instance::Current), "process 3 begins\nprocess 3 ends\n");
        assert_eq!(content(&files, Instance::Previous), "process 2 begins\nprocess 2 ends\n");
    }
}
