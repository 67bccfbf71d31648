//! Lines of a log as they are asked for: since when, with their times in front, at most so many bytes.
//!
//! Pure: bytes in, bytes out. A line says its time in its first word; one that says none (the rest of a longer message)
//! has the time of the line before.

use jiff::Timestamp;

/// A longer line is taken for two.
const LONGEST: usize = 64 << 10;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) since: Option<Timestamp>,
    pub(super) timestamps: bool,
    /// How many bytes may still come.
    pub(super) left: Option<u64>,
    /// The time of a first line that says none.
    pub(super) last: Option<Timestamp>,
    /// A line that is not ended yet.
    pub(super) rest: Vec<u8>,
}

impl Lines {
    /// All lines as they are.
    pub(super) fn new() -> Self {
        Self { since: None, timestamps: false, left: None, last: None, rest: Vec::new() }
    }

    /// Whether nothing more can come.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Takes the next bytes and gives what of them is wanted.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut wanted = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if part.ends_with(b"\n") || self.rest.len() >= LONGEST {
                let line = std::mem::take(&mut self.rest);
                self.line(&line, &mut wanted);
            }
        }
        wanted
    }

    /// The last line, when it was not ended.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut wanted = Vec::new();
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.line(&line, &mut wanted);
        }
        wanted
    }

    fn line(&mut self, line: &[u8], wanted: &mut Vec<u8>) {
        self.last = time(line).or(self.last);
        if let (Some(since), Some(time)) = (self.since, self.last)
            && time < since
        {
            return;
        }
        let before = wanted.len();
        if self.timestamps
            && let Some(time) = self.last
        {
            wanted.extend_from_slice(time.to_string().as_bytes());
            wanted.push(b' ');
        }
        wanted.extend_from_slice(line);
        if let Some(left) = &mut self.left {
            let length = (wanted.len() - before) as u64;
            let taken = length.min(*left);
            wanted.truncate(before + taken as usize);
            *left -= taken;
        }
    }
}

fn time(line: &[u8]) -> Option<Timestamp> {
    // A cheap look first: most lines of other programs begin with no digit.
    let word = line.split(|byte| byte.is_ascii_whitespace()).next().filter(|word| (20..=40).contains(&word.len()))?;
    if !word[0].is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "from before\n2026-11-24T21:00:00.5Z  INFO one\n  more of one\n2026-11-24T21:00:10Z  WARN two\n2026-11-24T21:00:20Z  INFO three";

    fn read(mut lines: Lines, pieces: usize) -> String {
        let mut wanted = Vec::new();
        for piece in LOG.as_bytes().chunks(pieces) {
            wanted.extend(lines.feed(piece));
        }
        wanted.extend(lines.finish());
        String::from_utf8(wanted).unwrap()
    }

    #[test]
    fn lines_since_a_time_are_those_that_say_it_and_what_belongs_to_them() {
        for pieces in [1, 7, 1000] {
            assert_eq!(read(Lines::new(), pieces), LOG);
            let since = |time: &str| Lines { since: Some(time.parse().unwrap()), ..Lines::new() };
            let two = "2026-11-24T21:00:10Z  WARN two\n2026-11-24T21:00:20Z  INFO three";
            assert_eq!(read(since("2026-11-24T21:00:10Z"), pieces).trim_start_matches("from before\n"), two);
            let known = Lines { last: Some(Timestamp::UNIX_EPOCH), ..since("2026-11-24T21:00:00.1Z") };
            assert!(read(known, pieces).starts_with("2026-11-24T21:00:00.5Z  INFO one\n  more of one\n"));
        }
    }

    #[test]
    fn times_stand_in_front_and_bytes_are_counted() {
        let stamped = read(Lines { timestamps: true, ..Lines::new() }, 5);
        let expected = "from before\n2026-11-24T21:00:00.5Z 2026-11-24T21:00:00.5Z  INFO one\n2026-11-24T21:00:00.5Z   more of one\n";
        assert!(stamped.starts_with(expected), "{stamped}");
        for limit in [0, 1, 12, 50, 10_000] {
            let read = read(Lines { left: Some(limit), ..Lines::new() }, 3);
            assert_eq!(read, LOG[..LOG.len().min(limit as usize)]);
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let mut lines = Lines::new();
        let mut length = 0;
        for _ in 0..100 {
            length += lines.feed(&[b'x'; 10_000]).len();
            assert!(lines.rest.len() <= LONGEST + 10_000);
        }
        assert_eq!(length + lines.finish().len(), 1_000_000);
    }
}
