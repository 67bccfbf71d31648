//! Lines on their way to the files: formatted where they are logged, written by a thread of their own.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::{File, MOST_BYTES, OLDER_FILES, Service};

/// How many lines may wait to be written.
const QUEUE: usize = 4096;

/// The files, open once [`LogFiles::begin`] was called; until then lines wait. Dropping it writes what waits.
#[derive(Debug)]
pub struct LogFiles {
    sender: SyncSender<Message>,
    lines: Option<Receiver<Message>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Makes the writers of [`LogFiles`] for a layer of JSON lines.
#[derive(Clone, Debug)]
pub struct LineWriter {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line { level: Level, service: Service, text: Vec<u8> },
    End,
}

/// One line, sent when it is dropped.
#[derive(Debug)]
pub struct Line<'a> {
    writer: &'a LineWriter,
    level: Level,
    service: Service,
    text: Vec<u8>,
}

impl LogFiles {
    /// Takes lines. Nothing is made on disk yet.
    #[must_use]
    pub fn new() -> Self {
        let (sender, lines) = sync_channel(QUEUE);
        Self { sender, lines: Some(lines), dropped: Arc::default(), thread: None }
    }

    /// Opens the files in `directory`, which is made when it is missing, and begins to write them.
    ///
    /// # Errors
    /// When the directory or a file cannot be written; further lines are dropped then.
    pub fn begin(&mut self, directory: &Path) -> io::Result<()> {
        let Some(lines) = self.lines.take() else { return Ok(()) };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut outputs = Vec::new();
        for file in File::ALL {
            outputs.push(Output::open(directory, file, MOST_BYTES)?);
        }
        let dropped = Arc::clone(&self.dropped);
        let work = move || run(&lines, &mut outputs, &dropped);
        self.thread = Some(std::thread::Builder::new().name("log-files".to_owned()).spawn(work)?);
        Ok(())
    }

    /// What a layer writes to.
    #[must_use]
    pub fn writer(&self) -> LineWriter {
        LineWriter { sender: self.sender.clone(), dropped: Arc::clone(&self.dropped) }
    }
}

impl Default for LogFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LogFiles {
    fn drop(&mut self) {
        // A layer holds a sender for as long as the process runs, so that the channel does not close by itself.
        if let Some(thread) = self.thread.take() {
            let _ = self.sender.send(Message::End);
            let _ = thread.join();
        }
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, level: Level::INFO, service: Service::Api, text: Vec::new() }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        let mut line = self.make_writer();
        line.level = *meta.level();
        line.service = Service::of_target(meta.target());
        line
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = Message::Line { level: self.level, service: self.service, text: std::mem::take(&mut self.text) };
        if self.writer.sender.try_send(line).is_err() {
            self.writer.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn run(lines: &Receiver<Message>, outputs: &mut [Output], dropped: &AtomicU64) {
    let mut goes_on = true;
    while goes_on && let Ok(first) = lines.recv() {
        let mut next = Some(first);
        // What waits is written together.
        while let Some(message) = next {
            match message {
                Message::Line { level, service, text } => put(outputs, level, service, &text),
                Message::End => {
                    goes_on = false;
                    break;
                }
            }
            next = lines.try_recv().ok();
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let time = jiff::Timestamp::now();
            let text = format!(
                "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"lines were dropped, the disk is too slow\",\
                 \"target\":\"claude_manager::log_files\",\"lines\":{lost}}}\n"
            );
            put(outputs, Level::WARN, Service::Api, text.as_bytes());
        }
        flush(outputs);
    }
}

fn put(outputs: &mut [Output], level: Level, service: Service, text: &[u8]) {
    for output in outputs {
        let belongs = match output.file {
            File::Combined => true,
            File::Error => level == Level::ERROR,
            File::Operations => matches!(service, Service::Git | Service::Kubernetes),
            File::Webhooks => matches!(service, Service::Webhook | Service::Jira),
        };
        if belongs {
            output.write(text);
        }
    }
}

fn flush(outputs: &mut [Output]) {
    for output in outputs {
        output.flush();
    }
}

/// One file. What cannot be written is lost: there is nowhere to say so but the standard output, which has the line, too.
struct Output {
    directory: PathBuf,
    file: File,
    most: u64,
    size: u64,
    writer: BufWriter<fs::File>,
}

impl Output {
    fn open(directory: &Path, file: File, most: u64) -> io::Result<Self> {
        let opened = append(&file.path(directory, 0))?;
        let size = opened.metadata()?.len();
        Ok(Self { directory: directory.to_owned(), file, most, size, writer: BufWriter::new(opened) })
    }

    fn write(&mut self, text: &[u8]) {
        if self.size > 0 && self.size + text.len() as u64 > self.most {
            self.rotate();
        }
        if self.writer.write_all(text).is_ok() {
            self.size += text.len() as u64;
        }
    }

    fn rotate(&mut self) {
        self.flush();
        for older in (0..OLDER_FILES).rev() {
            let _ = fs::rename(self.file.path(&self.directory, older), self.file.path(&self.directory, older + 1));
        }
        // Without a new file the lines go on into the old one, beyond its bound, rather than nowhere.
        if let Ok(opened) = append(&self.file.path(&self.directory, 0)) {
            self.writer = BufWriter::new(opened);
            self.size = 0;
        }
    }

    fn flush(&mut self) {
        if self.writer.flush().is_err() {
            // What a full disk did not take would be tried, and fail, for ever.
            if let Ok(opened) = append(&self.file.path(&self.directory, 0)) {
                let old = std::mem::replace(&mut self.writer, BufWriter::new(opened));
                let _ = old.into_parts();
            }
        }
    }
}

fn append(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_aside_when_it_is_full_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = Output::open(directory.path(), File::Combined, 100).unwrap();
        for number in 0..40 {
            output.write(format!("{number:02} {}\n", "x".repeat(26)).as_bytes());
        }
        output.flush();
        let read = |older| fs::read_to_string(File::Combined.path(directory.path(), older));
        assert!(read(0).unwrap().starts_with("39 "), "{:?}", read(0));
        assert!(read(1).unwrap().starts_with("36 "));
        assert!(read(4).unwrap().starts_with("27 "));
        assert!(read(5).is_err());
    }

    #[test]
    fn lines_go_to_the_files_of_their_level_and_service() {
        use tracing_subscriber::layer::SubscriberExt;
        let directory = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(files.writer());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "claude_manager::tickets::work", "delivered");
            // What was logged before waits.
            files.begin(directory.path()).unwrap();
            tracing::error!(target: "claude_manager::reconcile::driver", "apply failed");
            tracing::info!(target: "claude_manager::web", "served");
        });
        drop(files);
        let lines = |file: File| fs::read_to_string(file.path(directory.path(), 0)).unwrap().lines().count();
        assert_eq!(File::ALL.map(lines), [3, 1, 1, 1]);
        let text = fs::read_to_string(directory.path().join("error.log")).unwrap();
        assert!(text.contains("\"level\":\"ERROR\"") && text.contains("apply failed"), "{text}");
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_the_others_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new();
        let writer = files.writer();
        for number in 0..QUEUE + 7 {
            writer.make_writer().write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        files.begin(directory.path()).unwrap();
        drop(files);
        let text = fs::read_to_string(File::Combined.path(directory.path(), 0)).unwrap();
        assert_eq!(text.lines().filter(|line| line.parse::<usize>().is_ok()).count(), QUEUE);
        assert!(text.lines().last().unwrap().contains("\"lines\":7"), "{:?}", text.lines().last());
    }
}
