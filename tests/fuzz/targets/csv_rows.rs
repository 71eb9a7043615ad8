//! Any bytes as a CSV file, given in any pieces: the rows are the same, and cover the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream::sources::csv::CsvSplitter;
use wstream::sources::split::Split;

const ROW_BYTES_MAX: usize = 64;

/// What the splitter says about `file`, of which it sees `step` bytes more at a time.
fn rows(file: &[u8], step: usize) -> Vec<Split> {
    let mut splitter = CsvSplitter::new(b',', ROW_BYTES_MAX);
    let (mut from, mut to) = (0, 0);
    let mut found = Vec::new();
    loop {
        let split = splitter.next(&file[from..to], to == file.len());
        match split {
            Split::More if to == file.len() => {
                assert_eq!(from, to, "bytes are left behind the last row");
                return found;
            }
            Split::More => {
                to = file.len().min(to + step);
                continue;
            }
            Split::Row { text, bytes, lines } => {
                assert!(text <= bytes && text <= ROW_BYTES_MAX && lines >= 1);
                from += bytes;
            }
            Split::Bad { text, bytes, .. } => {
                assert!(text <= bytes && bytes > 0);
                from += bytes;
            }
            Split::Blank { bytes } => {
                assert!(bytes == 1 || bytes == 2);
                from += bytes;
            }
            // The caller looks for the end of such a line by itself.
            Split::Endless => {
                found.push(split);
                return found;
            }
        }
        assert!(from <= to, "more bytes are counted than were given");
        found.push(split);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, file)) = data.split_first() else {
        return;
    };
    let whole = rows(file, file.len().max(1));
    assert_eq!(whole, rows(file, usize::from(step) + 1));
});
