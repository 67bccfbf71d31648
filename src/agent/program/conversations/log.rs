//! The append-only log of a conversation: lines of JSON in segments named by their first number.
//!
//! *Guarantees.* Numbers rise by one from 1. An event is whole or not there: a torn tail, which a crash in the middle of a
//! write leaves, is cut off when the log is opened. A line that is damaged elsewhere ends the log before it; the rest is set
//! aside, and [`Opened::damaged`] asks for a new epoch, since its numbers will be given again.
//!
//! *Assumption.* One process writes, which the lock of the workspace provides.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::chat::{Event, EventKind};

/// A segment that is larger gets a successor.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// How many of the newest lines are kept in memory, and how many bytes of them.
const TAIL_LINES: usize = 128;
const TAIL_BYTES: usize = 128 * 1024;

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    segments: Vec<Segment>,
    file: Option<Arc<File>>,
    next: u64,
    tail: VecDeque<Line>,
    tail_bytes: usize,
    segment_size: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    bytes: u64,
}

/// One event as it is in the file.
#[derive(Clone, Debug)]
pub(in crate::agent::program) struct Line {
    /// Its number.
    pub(super) seq: u64,
    /// Its JSON.
    pub(super) text: Arc<str>,
}

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// A torn tail was cut off.
    pub(super) torn: bool,
    /// Events were lost in the middle.
    pub(super) damaged: bool,
}

impl Log {
    /// Opens the log in `directory`, which is made where there is none, and gives each event to `each`.
    pub(super) fn open(directory: &Path, each: impl FnMut(&Event)) -> io::Result<(Self, Opened)> {
        Self::open_with(directory, SEGMENT, each)
    }

    fn open_with(directory: &Path, segment_size: u64, mut each: impl FnMut(&Event)) -> io::Result<(Self, Opened)> {
        fs::create_dir_all(directory)?;
        let mut log = Self {
            directory: directory.to_owned(),
            segments: Vec::new(),
            file: None,
            next: 1,
            tail: VecDeque::new(),
            tail_bytes: 0,
            segment_size,
        };
        let mut opened = Opened::default();
        let found = log.found()?;
        let last = found.last().copied();
        for first in found {
            if opened.damaged || first != log.next {
                // A segment is missing before this one, or broken.
                opened.damaged = true;
                log.set_aside(first)?;
                continue;
            }
            let path = log.path(first);
            let bytes = fs::read(&path)?;
            let good = log.replay(&bytes, &mut each);
            let is_last = Some(first) == last;
            if good < bytes.len() {
                let is_torn = is_last && !bytes[good..].contains(&b'\n');
                if !is_torn {
                    opened.damaged = true;
                    fs::write(path.with_extension("damaged"), &bytes[good..])?;
                }
                opened.torn |= is_torn;
                let file = OpenOptions::new().write(true).open(&path)?;
                file.set_len(good as u64)?;
                file.sync_all()?;
            }
            log.segments.push(Segment { first, bytes: good as u64 });
        }
        Ok((log, opened))
    }

    /// Numbers of the first events of all segments, by rising number.
    fn found(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let first: Option<u64> =
                name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|first| first.parse().ok());
            found.extend(first);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Takes whole and right lines; returns how many bytes they are.
    fn replay(&mut self, bytes: &[u8], each: &mut impl FnMut(&Event)) -> usize {
        let mut good = 0;
        while let Some(end) = bytes[good..].iter().position(|byte| *byte == b'\n') {
            let line = &bytes[good..good + end];
            let Ok(event) = serde_json::from_slice::<Event>(line) else { break };
            if event.seq != self.next {
                break;
            }
            each(&event);
            self.next += 1;
            good += end + 1;
        }
        good
    }

    fn set_aside(&self, first: u64) -> io::Result<()> {
        let path = self.path(first);
        fs::rename(&path, path.with_extension("damaged"))
    }

    fn path(&self, first: u64) -> PathBuf {
        self.directory.join(format!("{first:012}.jsonl"))
    }

    /// The number of the newest event; 0 for none.
    pub(super) const fn last_seq(&self) -> u64 {
        self.next - 1
    }

    /// How large it is in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes an event; it survives the end of this process, and a power cut once [`Log::file`] is synced. After an error
    /// nothing of it is in the log.
    pub(super) fn append(&mut self, at: String, kind: EventKind) -> io::Result<Event> {
        let event = Event { seq: self.next, at, kind };
        let mut text = serde_json::to_string(&event)?;
        text.push('\n');
        let file = self.writable()?;
        if let Err(error) = (&*file).write_all(text.as_bytes()) {
            // Half a line may be there. Where cutting fails, too, the next attempt opens the file anew and cuts first.
            let length = self.segments.last().map_or(0, |segment| segment.bytes);
            if file.set_len(length).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes += text.len() as u64;
        }
        text.pop();
        self.remember(Line { seq: event.seq, text: text.into() });
        self.next += 1;
        Ok(event)
    }

    /// The file to append to, a new one where the last is full.
    fn writable(&mut self) -> io::Result<Arc<File>> {
        let is_full = self.segments.last().is_none_or(|segment| segment.bytes >= self.segment_size);
        if let (Some(file), false) = (&self.file, is_full) {
            return Ok(Arc::clone(file));
        }
        let open = |path: PathBuf| OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = if is_full {
            if let Some(file) = &self.file {
                file.sync_data()?;
            }
            let file = open(self.path(self.next))?;
            file.set_len(0)?;
            File::open(&self.directory)?.sync_all()?;
            self.segments.push(Segment { first: self.next, bytes: 0 });
            file
        } else {
            let segment = self.segments.last().copied().unwrap_or(Segment { first: self.next, bytes: 0 });
            let file = open(self.path(segment.first))?;
            file.set_len(segment.bytes)?;
            file
        };
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    fn remember(&mut self, line: Line) {
        self.tail_bytes += line.text.len();
        self.tail.push_back(line);
        while self.tail.len() > TAIL_LINES || (self.tail_bytes > TAIL_BYTES && self.tail.len() > 1) {
            let gone = self.tail.pop_front();
            self.tail_bytes -= gone.map_or(0, |line| line.text.len());
        }
    }

    /// The file of the newest events, to make them durable. `None` where nothing was written since the start.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Returns the events after `after`: at most `count`, and after the first one at most `bytes` of them.
    pub(super) fn read(&self, after: u64, count: usize, bytes: usize) -> io::Result<Vec<Line>> {
        if after >= self.last_seq() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Line> = Vec::new();
        let mut size = 0;
        let mut take = |line: Line| {
            let fits = found.len() < count && (found.is_empty() || size + line.text.len() <= bytes);
            if fits {
                size += line.text.len();
                found.push(line);
            }
            fits
        };
        if self.tail.front().is_some_and(|line| line.seq <= after + 1) {
            let newer = self.tail.iter().skip_while(|line| line.seq <= after);
            for line in newer {
                if !take(line.clone()) {
                    break;
                }
            }
            return Ok(found);
        }
        let start = self.segments.partition_point(|segment| segment.first <= after + 1).saturating_sub(1);
        'segments: for segment in &self.segments[start..] {
            let text = fs::read(self.path(segment.first))?;
            let whole = &text[..usize::try_from(segment.bytes).unwrap_or(text.len()).min(text.len())];
            let lines = whole.split_inclusive(|byte| *byte == b'\n');
            for (seq, line) in (segment.first..).zip(lines).skip_while(|(seq, _)| *seq <= after) {
                let line = std::str::from_utf8(line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                if !take(Line { seq, text: line.trim_end().into() }) {
                    break 'segments;
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::chat::NoticeLevel;

    fn notice(text: &str) -> EventKind {
        EventKind::Notice { level: NoticeLevel::Info, code: "c".to_owned(), text: text.to_owned() }
    }

    fn open(directory: &Path, segment: u64) -> (Log, Opened, Vec<u64>) {
        let mut seen = Vec::new();
        let (log, opened) = Log::open_with(directory, segment, |event| seen.push(event.seq)).unwrap();
        (log, opened, seen)
    }

    fn numbers(log: &Log, after: u64, count: usize, bytes: usize) -> Vec<u64> {
        log.read(after, count, bytes).unwrap().iter().map(|line| line.seq).collect()
    }

    fn write(log: &mut Log, count: usize) {
        for _ in 0..count {
            log.append("t".to_owned(), notice("x")).unwrap();
        }
    }

    #[test]
    fn numbers_go_on_over_restarts_and_segments() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, opened, _) = open(directory.path(), 200);
        assert_eq!((opened, log.last_seq()), (Opened::default(), 0));
        write(&mut log, 7);
        let (mut log, opened, seen) = open(directory.path(), 200);
        assert_eq!((opened, seen), (Opened::default(), (1..=7).collect()));
        write(&mut log, 3);
        assert_eq!(numbers(&log, 0, 100, usize::MAX), (1..=10).collect::<Vec<_>>());
        assert!(fs::read_dir(directory.path()).unwrap().count() >= 3, "segments");
        for after in 0..=11 {
            let expected: Vec<u64> = (after + 1..=10).take(2).collect();
            assert_eq!(numbers(&log, after, 2, usize::MAX), expected, "after {after}");
        }
        assert_eq!(numbers(&log, 3, 100, 1), [4], "one is given, however large");
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(directory.path(), SEGMENT);
        write(&mut log, 2);
        let path = log.path(1);
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in first..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (mut log, opened, seen) = open(directory.path(), SEGMENT);
            assert_eq!((opened, seen), (Opened { torn: length > first, damaged: false }, vec![1]), "{length}");
            write(&mut log, 1);
            let (_, opened, seen) = open(directory.path(), SEGMENT);
            assert_eq!((opened, seen), (Opened::default(), vec![1, 2]), "{length}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_told_and_nothing_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(directory.path(), 200);
        write(&mut log, 9);
        let path = log.path(log.segments[1].first);
        let broken = fs::read_to_string(&path).unwrap().replacen("\"kind\"", "\"kin", 1);
        fs::write(&path, broken).unwrap();
        let good = log.segments[1].first - 1;
        let (mut log, opened, seen) = open(directory.path(), 200);
        assert_eq!((opened.damaged, seen), (true, (1..=good).collect()));
        write(&mut log, 1);
        assert_eq!(open(directory.path(), 200).2, (1..=good + 1).collect::<Vec<_>>());
        let aside = fs::read_dir(directory.path()).unwrap().flatten();
        assert!(aside.filter(|entry| entry.path().extension().is_some_and(|e| e == "damaged")).count() >= 2);
    }

    #[test]
    fn a_missing_segment_is_a_gap() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(directory.path(), 200);
        write(&mut log, 9);
        fs::remove_file(log.path(log.segments[1].first)).unwrap();
        let good = log.segments[1].first - 1;
        let (_, opened, seen) = open(directory.path(), 200);
        assert_eq!((opened.damaged, seen), (true, (1..=good).collect()));
    }

    #[test]
    fn what_is_out_of_the_memory_comes_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(directory.path(), SEGMENT);
        write(&mut log, TAIL_LINES + 20);
        assert_eq!(log.tail.len(), TAIL_LINES);
        for after in [0, 19, 20, 21, 60] {
            let found = numbers(&log, after, 1000, usize::MAX);
            assert_eq!(found, (after + 1..=TAIL_LINES as u64 + 20).collect::<Vec<_>>(), "after {after}");
        }
        log.append("t".to_owned(), notice(&"y".repeat(TAIL_BYTES + 1))).unwrap();
        assert_eq!(log.tail.len(), 1);
    }
}
