//! Where the last lines of a log begin.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

const BLOCK: u64 = 64 << 10;

/// Sets the positions of `files`, which follow one another, so that reading on gives the last `wanted` lines.
pub(super) fn seek(files: &mut [File], wanted: u64) -> io::Result<()> {
    let mut missing = wanted;
    let mut newest = true;
    for file in files.iter_mut().rev() {
        let end = file.seek(SeekFrom::End(0))?;
        if missing == 0 && !newest {
            continue;
        }
        let start = start_in(file, end, &mut missing, &mut newest)?;
        file.seek(SeekFrom::Start(start))?;
    }
    Ok(())
}

/// Where in `file` the lines begin. `newest` is whether no byte after it was seen yet: the end of the last line counts for
/// no further line.
fn start_in(file: &mut File, end: u64, missing: &mut u64, newest: &mut bool) -> io::Result<u64> {
    if *missing == 0 {
        return Ok(end);
    }
    let mut at = end;
    let mut block = Vec::new();
    while at > 0 {
        let from = at.saturating_sub(BLOCK);
        block.resize((at - from) as usize, 0);
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        for (index, byte) in block.iter().enumerate().rev() {
            if *byte != b'\n' || std::mem::take(newest) {
                *newest = false;
                continue;
            }
            *missing -= 1;
            if *missing == 0 {
                return Ok(from + index as u64 + 1);
            }
        }
        at = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn last(parts: &[&str], wanted: u64) -> String {
        let mut files: Vec<File> = parts
            .iter()
            .map(|part| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(part.as_bytes()).unwrap();
                file
            })
            .collect();
        seek(&mut files, wanted).unwrap();
        let mut text = String::new();
        files.iter_mut().for_each(|file| {
            file.read_to_string(&mut text).unwrap();
        });
        text
    }

    #[test]
    fn the_last_lines_are_found_across_files_and_blocks() {
        let long = format!("{}\n", "x".repeat(100_000));
        let table: [(&[&str], u64, &str); 11] = [
            (&["a\nb\nc\n"], 2, "b\nc\n"),
            (&["a\nb\nc"], 2, "b\nc"),
            (&["a\nb\n"], 0, ""),
            (&["a\nb\n"], 9, "a\nb\n"),
            (&["a\nb\n", "c\nd\n"], 3, "b\nc\nd\n"),
            (&["a\nb\n", "c\nd\n"], 2, "c\nd\n"),
            (&["a\nb", "b\nc\n"], 2, "bb\nc\n"),
            (&["a\nb\n", ""], 1, "b\n"),
            (&[], 3, ""),
            (&["\n\n\n"], 2, "\n\n"),
            (&["a\n", &long], 2, &format!("a\n{long}")),
        ];
        for (parts, wanted, expected) in table {
            assert_eq!(last(parts, wanted), expected, "{wanted} of {parts:?}");
        }
    }
}
