//! A file as a source: read in pieces, split into rows, followed if asked.
//!
//! Memory is bounded by the longest row and one piece, whatever the file holds: of a line that is
//! longer only the start is kept. Positions are exact to the byte, the line and the row.
//! A followed file may grow in any pieces; when it is renamed away it is read to its end before
//! the new one of that name begins.

mod format;
mod identity;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wstream_record::ByteSize;

use super::rows::{BadRow, BadRowCode, Rows};
use super::split::{BadSplit, Split};
use super::{InputProgress, Opened, Reading, Source, SourceConfig, SourceError};
use crate::units::Size;
use format::Format;
pub(super) use format::Place;
use identity::{FileId, Fingerprint};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// One step of reading ends after this many bytes.
const STEP_BYTES_MAX: usize = 1 << 20;
/// A renamed file counts as complete when that many looks in a row found nothing new in it.
const QUIET_LOOKS: u32 = 5;
/// The mark that some programs put at the start of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A place between two rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FilePosition {
    /// Bytes before it.
    bytes: u64,
    /// The physical line it begins, from 1.
    line: u64,
    /// Rows before it, in all files of a rotation.
    row: u64,
}

/// A position and the file that it is in.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    #[serde(flatten)]
    at: FilePosition,
    /// The file and what was read of it; `None` before it is there.
    file: Option<(FileId, Fingerprint)>,
}

impl FilePosition {
    const START: Self = Self {
        bytes: 0,
        line: 1,
        row: 0,
    };
}

/// A file that is read row by row.
struct FileSource {
    path: PathBuf,
    follow: bool,
    row_bytes_max: ByteSize,
    format: Format,
    open: Option<OpenFile>,
    /// The place of the first byte in `buffer` behind `front`, or of the line that is skipped.
    at: FilePosition,
    buffer: Vec<u8>,
    front: usize,
    long_line: Option<LongLine>,
    /// Nothing will come behind `buffer`.
    ended: bool,
    /// Looks in a row that found the file renamed away and nothing new in it.
    quiet: u32,
}

struct OpenFile {
    file: File,
    id: FileId,
    /// Bytes read of it.
    read: u64,
    /// Its size when it was last looked at.
    size: u64,
    /// Whether its first bytes were looked at.
    sniffed: bool,
}

/// A line that is passed over because it is longer than a row may be.
struct LongLine {
    kept: Vec<u8>,
    bytes: u64,
}

/// Opens what `config` names, at `position` if it still is what was read there.
pub(super) fn open(
    config: &SourceConfig,
    position: Option<&serde_json::Value>,
) -> Result<Opened, SourceError> {
    let mark = position.filter(|p| !p.is_null()).map(|p| {
        let mark: Result<Mark, _> = serde_json::from_value(p.clone());
        mark.map_err(|e| format!("its checkpoint does not read: {e}"))
    });
    let mut source = FileSource::new(config);
    let anew = match mark {
        None => None,
        Some(Err(reason)) => Some(reason),
        Some(Ok(mark)) => source.resume(&mark)?,
    };
    if source.open.is_none() && !source.open_path()? && !source.follow {
        return Err(SourceError::Missing(source.path));
    }
    Ok(Opened {
        source: Box::new(source),
        anew,
    })
}

/// Reads as far as the header row: finds what makes the file unusable as a whole. A file that is
/// not there yet is no error.
pub(super) fn look(config: &SourceConfig) -> Result<(), SourceError> {
    let mut source = FileSource::new(config);
    if !source.open_path()? {
        return Ok(());
    }
    while !source.ended {
        source.ended = source.fill()? == 0;
        source.read_header()?;
        if source.format.is_ready() {
            return Ok(());
        }
    }
    Ok(())
}

impl Source for FileSource {
    fn read(&mut self, rows: &mut Rows) -> Result<Reading, SourceError> {
        let mut left = STEP_BYTES_MAX;
        loop {
            if self.open.is_none() && !self.open_path()? {
                return Ok(Reading::Waiting);
            }
            self.hand_out(rows)?;
            if rows.is_full() || left == 0 {
                return Ok(Reading::More);
            }
            if self.ended {
                return Ok(self.finish());
            }
            let read = self.fill()?;
            left = left.saturating_sub(read);
            if read == 0 && self.wait_or_end()? {
                return Ok(Reading::Waiting);
            }
        }
    }

    fn position(&self) -> Result<serde_json::Value, SourceError> {
        let mut at = self.at;
        if self.open.is_none() || !self.format.is_ready() {
            at = FilePosition {
                row: at.row,
                ..FilePosition::START
            };
        }
        let file = self.open.as_ref().map(|open| {
            let fingerprint = Fingerprint::of(&open.file, at.bytes);
            fingerprint.map(|fingerprint| (open.id, fingerprint))
        });
        let file = file.transpose().map_err(|error| self.io(error))?;
        let mark = Mark { at, file };
        Ok(serde_json::to_value(mark).expect("numbers always serialize"))
    }

    fn progress(&self) -> InputProgress {
        let size = self.open.as_ref().map_or(0, |open| open.size);
        InputProgress {
            read: self.at.bytes,
            total: size.max(self.at.bytes),
        }
    }
}

impl FileSource {
    fn new(config: &SourceConfig) -> Self {
        let row_bytes_max = match config {
            SourceConfig::Csv(config) => config.row_bytes_max.0,
            SourceConfig::Jsonl(config) => config.row_bytes_max.0,
        };
        Self {
            path: config.path().to_owned(),
            follow: config.follows(),
            row_bytes_max,
            format: Format::new(config),
            open: None,
            at: FilePosition::START,
            buffer: Vec::new(),
            front: 0,
            long_line: None,
            ended: false,
            quiet: 0,
        }
    }

    fn io(&self, error: io::Error) -> SourceError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::Changed(self.path.clone()),
            _ => SourceError::Io {
                path: self.path.clone(),
                error,
            },
        }
    }

    fn unusable(&self, problem: impl Into<String>, hint: impl Into<String>) -> SourceError {
        SourceError::Unusable {
            path: self.path.clone(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// Starts the file of the path from its beginning; `false` if there is none.
    fn open_path(&mut self) -> Result<bool, SourceError> {
        let opened = File::open(&self.path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (file, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.io(error)),
        };
        if metadata.is_dir() {
            return Err(self.unusable("is a folder", "name a file"));
        }
        self.start(file, FileId::of(&metadata), metadata.len());
        Ok(true)
    }

    fn start(&mut self, file: File, id: FileId, size: u64) {
        self.at = FilePosition {
            row: self.at.row,
            ..FilePosition::START
        };
        self.buffer.clear();
        self.front = 0;
        self.long_line = None;
        self.ended = false;
        self.quiet = 0;
        self.format.restart();
        self.open = Some(OpenFile {
            file,
            id,
            read: 0,
            size,
            sniffed: false,
        });
    }

    /// The file was read to its end. A followed one was renamed away, and the next one begins.
    fn finish(&mut self) -> Reading {
        let path = self.path.display();
        if !self.format.is_ready() {
            tracing::warn!(%path, "the file has no header row: no records");
        }
        if !self.follow {
            return Reading::End;
        }
        tracing::info!(%path, "the file was renamed away and read to its end");
        self.open = None;
        Reading::Turned
    }

    /// Goes to `mark`; the answer is why that is not possible, if it is not.
    fn resume(&mut self, mark: &Mark) -> Result<Option<String>, SourceError> {
        self.at.row = mark.at.row;
        let Some((id, fingerprint)) = mark.file else {
            return Ok(None);
        };
        let found = identity::find(&self.path, id, &fingerprint, self.follow);
        let found = match found.map_err(|error| self.io(error))? {
            Ok(found) => found,
            Err(reason) => return Ok(Some(reason)),
        };
        self.start(found.file, found.id, found.size);
        while mark.at.bytes > 0 && !self.format.is_ready() {
            // The header row is in what the fingerprint covers, or the file was changed since.
            if self.fill()? == 0 {
                self.ended = true;
            }
            self.read_header()?;
            if self.ended && !self.format.is_ready() {
                return Err(SourceError::Changed(self.path.clone()));
            }
        }
        self.buffer.clear();
        self.front = 0;
        self.ended = false;
        self.at = mark.at;
        if let Some(open) = &mut self.open {
            open.read = mark.at.bytes;
            open.sniffed |= mark.at.bytes > 0;
        }
        Ok(None)
    }

    /// Passes blank lines and takes the header row, if the buffer has them whole.
    fn read_header(&mut self) -> Result<(), SourceError> {
        while !self.format.is_ready() {
            let bytes = &self.buffer[self.front..];
            match self.format.split(bytes, self.ended) {
                Split::More => return Ok(()),
                Split::Blank { bytes } => self.front += bytes,
                Split::Row { text, bytes, .. } => {
                    let row = &self.buffer[self.front..self.front + text];
                    let taken = self.format.header(row);
                    taken.map_err(|(problem, hint)| self.unusable(problem, hint))?;
                    self.front += bytes;
                }
                Split::Bad { .. } | Split::Endless => return Err(self.no_header()),
            }
        }
        Ok(())
    }

    fn no_header(&self) -> SourceError {
        let max = Size(self.row_bytes_max);
        self.unusable(
            format!("the header row does not end within the file or {max} (row_bytes_max)"),
            "is it a CSV file with a header row? Without one, set `columns`",
        )
    }

    /// Reads a piece behind what the buffer holds; 0 at the end of the file.
    fn fill(&mut self) -> Result<usize, SourceError> {
        let Some(open) = &mut self.open else {
            return Ok(0);
        };
        self.buffer.drain(..self.front);
        self.front = 0;
        let had = self.buffer.len();
        self.buffer.resize(had + PIECE_BYTES, 0);
        let read = loop {
            match open.file.read_at(&mut self.buffer[had..], open.read) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.buffer.truncate(had);
                return Err(self.io(error));
            }
        };
        self.buffer.truncate(had + read);
        open.read += u64::try_from(read).unwrap_or(u64::MAX);
        open.size = open.size.max(open.read);
        if read > 0 {
            self.quiet = 0;
        }
        self.sniff()?;
        Ok(read)
    }

    /// Looks at the first bytes of the file: passes a byte order mark, refuses what is not text.
    fn sniff(&mut self) -> Result<(), SourceError> {
        let Some(open) = self.open.as_mut().filter(|open| !open.sniffed) else {
            return Ok(());
        };
        let bytes = &self.buffer[self.front..];
        if bytes.is_empty() || (bytes.len() < 3 && BYTE_ORDER_MARK.starts_with(bytes)) {
            return Ok(());
        }
        if let Some((what, hint)) = identity::not_utf8(bytes) {
            let path = self.path.display();
            return Err(self.unusable(what, hint.replace("FILE", &path.to_string())));
        }
        open.sniffed = true;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            self.front += BYTE_ORDER_MARK.len();
            self.at.bytes += 3;
        }
        Ok(())
    }

    /// At the end of the file: `true` to wait, `false` to read on.
    fn wait_or_end(&mut self) -> Result<bool, SourceError> {
        let Some(open) = self.open.as_mut().filter(|_| self.follow) else {
            self.ended = true;
            return Ok(false);
        };
        let there = match std::fs::metadata(&self.path) {
            Ok(metadata) => Some((FileId::of(&metadata), metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.io(error)),
        };
        match there {
            Some((id, size)) if id == open.id => {
                open.size = size;
                if size < open.read {
                    return Err(SourceError::Changed(self.path.clone()));
                }
                self.quiet = 0;
            }
            // Renamed away, but whoever writes it may not know yet.
            Some(_) => self.quiet += 1,
            None => {}
        }
        self.ended = self.quiet > QUIET_LOOKS;
        Ok(!self.ended)
    }

    /// Gives the rows that the buffer holds.
    fn hand_out(&mut self, rows: &mut Rows) -> Result<(), SourceError> {
        if self.open.as_ref().is_some_and(|open| !open.sniffed) && !self.ended {
            return Ok(());
        }
        self.read_rows_header()?;
        while self.format.is_ready() && !rows.is_full() {
            if self.long_line.is_some() && !self.pass_long_line(rows) {
                return Ok(());
            }
            let bytes = &self.buffer[self.front..];
            let place = Place {
                line: self.at.line,
                number: self.at.row,
            };
            match self.format.split(bytes, self.ended) {
                Split::More => return Ok(()),
                Split::Blank { bytes } => self.advance(bytes, 1, 0),
                Split::Row {
                    text,
                    bytes: gone,
                    lines,
                } => {
                    self.format.row(place, &bytes[..text], rows);
                    self.advance(gone, lines, 1);
                }
                Split::Bad {
                    text,
                    bytes: gone,
                    why,
                } => {
                    let message = self.bad_message(text, why);
                    rows.bad(&BadRow {
                        number: place.number,
                        line: place.line,
                        code: match why {
                            BadSplit::TooLong { .. } => BadRowCode::RowSize,
                            BadSplit::OpenQuote => BadRowCode::OpenQuote,
                        },
                        message: &message,
                        raw: &self.buffer[self.front..self.front + text],
                    });
                    self.advance(gone, 1, 1);
                }
                Split::Endless => {
                    self.long_line = Some(LongLine {
                        kept: Vec::new(),
                        bytes: 0,
                    });
                }
            }
        }
        Ok(())
    }

    /// As `read_header`, with the position kept.
    fn read_rows_header(&mut self) -> Result<(), SourceError> {
        if !self.format.is_ready() {
            let from = self.front;
            let read = self.read_header();
            let passed = &self.buffer[from..self.front];
            self.at.line += super::split::line_ends(passed);
            self.at.bytes += u64::try_from(passed.len()).unwrap_or(u64::MAX);
            read?;
        }
        Ok(())
    }

    fn advance(&mut self, bytes: usize, lines: u64, rows: u64) {
        self.front += bytes;
        self.at.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.at.line += lines;
        self.at.row += rows;
    }

    fn bad_message(&self, text: usize, why: BadSplit) -> String {
        let max = Size(self.row_bytes_max);
        match why {
            BadSplit::OpenQuote => {
                "a quote that opens in this row is still open at the end of the file".to_owned()
            }
            BadSplit::TooLong { quoted: true } => format!(
                "the row is longer than {max} (row_bytes_max); a quote that opens in it may never close"
            ),
            BadSplit::TooLong { quoted: false } => {
                format!("the row has {text} bytes, more than {max} (row_bytes_max)")
            }
        }
    }

    /// Passes on along a line that is too long; `true` once it is behind.
    fn pass_long_line(&mut self, rows: &mut Rows) -> bool {
        let Some(mut long) = self.long_line.take() else {
            return true;
        };
        let bytes = &self.buffer[self.front..];
        let found = self.format.line_end(bytes, self.ended);
        let (text, gone) = found.unwrap_or_else(|| {
            // A CR may be half of a line end: it waits for what follows.
            let open = usize::from(!self.ended && bytes.last() == Some(&b'\r'));
            (bytes.len() - open, bytes.len() - open)
        });
        let max = usize::try_from(self.row_bytes_max.0).unwrap_or(usize::MAX);
        let room = max.saturating_sub(long.kept.len()).min(text);
        long.kept.extend_from_slice(&bytes[..room]);
        long.bytes += u64::try_from(text).unwrap_or(u64::MAX);
        let behind = found.is_some() || self.ended;
        self.front += gone;
        if !behind {
            self.long_line = Some(long);
            return false;
        }
        let ended = u64::try_from(gone - text).unwrap_or(u64::MAX);
        let (length, max) = (long.bytes, Size(self.row_bytes_max));
        let message = format!(
            "the row's line has {length} bytes, more than {max} (row_bytes_max); its start is kept"
        );
        rows.bad(&BadRow {
            number: self.at.row,
            line: self.at.line,
            code: BadRowCode::RowSize,
            message: &message,
            raw: &long.kept,
        });
        self.at.bytes += length + ended;
        self.at.line += 1;
        self.at.row += 1;
        true
    }
}

#[cfg(test)]
mod tests;
