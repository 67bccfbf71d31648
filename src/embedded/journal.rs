//! The embedded cluster's memory on disk: one file that only grows, rewritten when most of it is history.
//!
//! Every change is one line, handed to the operating system before anybody is told of it: a killed process loses nothing.
//! A machine that loses power may lose the last changes, for they are not forced to the disk one by one; the objects come
//! from Git and are then applied again. A torn last line is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Error;

const FORMAT: u64 = 1;
/// Below this a file is not worth rewriting.
const SMALL: u64 = 1 << 20;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
    /// The length after the last rewriting.
    rewritten: u64,
    // Held, not read: a second process must not write.
    _lock: File,
}

/// What a line says.
pub(super) enum Record {
    /// The object is now this.
    Put(Value),
    /// The object with this `apiVersion`, `kind` and `metadata` is gone.
    Gone(Value),
}

impl Journal {
    /// Opens the journal in `directory` and tells `replay` each record with its version. Gives the last version, too.
    pub(super) fn open(directory: &Path, mut replay: impl FnMut(Record)) -> Result<(Self, u64), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| Error::Storage { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let lock_path = directory.join("lock");
        let lock = private().create(true).truncate(false).write(true).open(&lock_path).map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse(directory.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(Error::Storage { path: lock_path, source }),
        }
        let path = directory.join("objects.jsonl");
        let mut file =
            private().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed(&path))?;
        let mut version = 1;
        let mut whole = 0;
        let mut lines = BufReader::new(&file);
        for number in 1.. {
            let mut line = Vec::new();
            let read = lines.read_until(b'\n', &mut line).map_err(failed(&path))?;
            if read == 0 {
                break;
            }
            let damaged = |reason: &str| Error::Damaged { path: path.clone(), line: number, reason: reason.to_owned() };
            if line.last() != Some(&b'\n') {
                // The writer died within this line, so nobody was told of it.
                tracing::warn!(path = %path.display(), number, "cut off a line that was not written to its end");
                break;
            }
            let mut record: Value = serde_json::from_slice(&line).map_err(|error| damaged(&error.to_string()))?;
            version = record["version"].as_u64().ok_or_else(|| damaged("no version"))?;
            if number == 1 {
                if record["format"] != FORMAT {
                    return Err(damaged("written by a newer version of this program"));
                }
            } else if record["object"].is_object() {
                replay(Record::Put(record["object"].take()));
            } else {
                replay(Record::Gone(record["gone"].take()));
            }
            whole += read as u64;
        }
        drop(lines);
        file.set_len(whole).map_err(failed(&path))?;
        file.seek(io::SeekFrom::End(0)).map_err(failed(&path))?;
        let mut journal = Self { file, path, length: whole, rewritten: whole, _lock: lock };
        if whole == 0 {
            journal.append(&json!({"format": FORMAT, "version": version})).map_err(failed(&journal.path.clone()))?;
        }
        Ok((journal, version))
    }

    /// Writes down that an object is now `object`.
    pub(super) fn put(&mut self, version: u64, object: &Value) -> io::Result<()> {
        self.append(&json!({"version": version, "object": object}))
    }

    /// Writes down that an object is gone.
    pub(super) fn gone(&mut self, version: u64, object: &Value) -> io::Result<()> {
        let metadata = json!({"namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"]});
        let gone = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata});
        self.append(&json!({"version": version, "gone": gone}))
    }

    fn append(&mut self, record: &Value) -> io::Result<()> {
        let mut line = record.to_string();
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // A full disk: what is half written must not stay in front of the next line.
            self.file.set_len(self.length)?;
            self.file.seek(io::SeekFrom::End(0))?;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Whether most of the file is history.
    pub(super) fn is_long(&self) -> bool {
        self.length > SMALL.max(self.rewritten.saturating_mul(4))
    }

    /// Writes the file anew with nothing but what is now. On failure the old file stays in use.
    pub(super) fn rewrite<'a>(&mut self, version: u64, objects: impl Iterator<Item = &'a Value>) -> io::Result<()> {
        // After a failure (a full disk) the next try has to wait, too.
        self.rewritten = self.length;
        let next = self.path.with_extension("new");
        let mut writer = BufWriter::new(private().create(true).truncate(true).write(true).open(&next)?);
        writeln!(writer, "{}", json!({"format": FORMAT, "version": version}))?;
        for object in objects {
            writeln!(writer, "{}", json!({"version": version, "object": object}))?;
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let length = file.stream_position()?;
        fs::rename(&next, &self.path)?;
        // From here on the old file has no name: nothing may be written to it any more, whatever else fails.
        self.file = file;
        self.length = length;
        self.rewritten = length;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Secrets are in it.
fn private() -> OpenOptions {
    #[cfg(unix)]
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.mode(0o600);
    options
}
