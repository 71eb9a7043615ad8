//! Files of JSON lines, each named after the offsets it holds: a record is in exactly one file,
//! whatever is killed when.
//!
//! Lines go to a `.part` file, which is synced and gets its final name
//! `TOPIC-PARTITION-FIRST-LAST.jsonl` when it is large or old enough. The rename is the commit:
//! what the names cover is durable, and on a restart the sink goes on behind the last of them.
//! `.part` files of the same partition are removed when it opens. A file is never written over.
//! It does not make lines out of values that hold line feeds, unless they are JSON, where a line
//! feed means no more than a space.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use wstream_record::{ByteSize, Offset, TopicPartition};

use crate::metrics::SinkMetrics;

use super::progress::Progress;
use super::stdout::json;
use super::{
    Durable, FileFormat, FileSinkConfig, Origin, Refusal, Sink, SinkBatch, SinkError, SinkRecord,
    Start, count,
};

/// Batches that wait for the disk.
const BATCHES_QUEUED_MAX: usize = 2;
/// Bytes after which encoded lines are written.
const WRITE_BYTES: usize = 256 << 10;

/// Tells the unfinished files of one process apart, so that none is renamed by another's hand.
static PART: AtomicU64 = AtomicU64::new(0);

struct FileSink {
    format: FileFormat,
    start: Start,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    prepared: Option<SinkBatch>,
    submitted: Offset,
    progress: Progress,
    metrics: Arc<SinkMetrics>,
}

enum Command {
    Write(SinkBatch),
    Finish(oneshot::Sender<()>),
}

pub(super) async fn open(
    config: &FileSinkConfig,
    origin: &Origin,
    metrics: Arc<SinkMetrics>,
) -> Result<Box<dyn Sink>, SinkError> {
    let (dir, partition) = (config.path.clone(), origin.partition.clone());
    let found = tokio::task::spawn_blocking(move || recover(&dir, &partition));
    let found = found.await.map_err(SinkError::retry)?;
    let position = found.map_err(|error| failed(&config.path, &error))?;
    let next = position.unwrap_or_default().max(origin.position);
    let progress = Progress::new(next);
    let (commands, queue) = mpsc::channel(BATCHES_QUEUED_MAX);
    let writer = Writer {
        config: config.clone(),
        partition: origin.partition.clone(),
        covered: next,
        part: None,
        lines: Vec::new(),
    };
    // Ends by itself when the sink is dropped.
    let task = tokio::spawn(run(writer, queue, progress.clone(), config.age_max.0));
    Ok(Box::new(FileSink {
        format: config.format,
        start: position.map_or(Start::Group, Start::AtLeast),
        commands,
        task,
        prepared: None,
        submitted: next,
        progress,
        metrics,
    }))
}

fn failed(path: &Path, error: &io::Error) -> SinkError {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::ReadOnlyFilesystem => {
            SinkError::fatal(message)
        }
        _ => SinkError::retry(message),
    }
}

/// Makes the folder, removes unfinished files of the partition, and answers the offset behind the
/// last finished one.
fn recover(dir: &Path, partition: &TopicPartition) -> io::Result<Option<Offset>> {
    fs::create_dir_all(dir)?;
    let mut position = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|n| of_partition(n, partition)) else {
            continue;
        };
        if rest.ends_with(".part") {
            fs::remove_file(entry.path())?;
        } else if let Some((_, last)) = range(rest) {
            position = position.max(Some(last.plus(1)));
        }
    }
    Ok(position)
}

/// What follows the partition's name in a file name.
fn of_partition<'a>(name: &'a str, partition: &TopicPartition) -> Option<&'a str> {
    let rest = name.strip_prefix(partition.topic.as_ref())?;
    let rest = rest.strip_prefix('-')?;
    let rest = rest.strip_prefix(partition.partition.to_string().as_str())?;
    let rest = rest.strip_prefix('-')?;
    // Of `a-1-5-9` topic `a-1` is as well a prefix as `a`: the rest must be the numbers alone.
    let numbers = rest.split(['-', '.']).next()?;
    let plain = numbers.bytes().all(|b| b.is_ascii_digit());
    (plain && (range(rest).is_some() || part(rest))).then_some(rest)
}

/// `FIRST-LAST.jsonl`.
fn range(rest: &str) -> Option<(Offset, Offset)> {
    let (first, last) = rest.strip_suffix(".jsonl")?.split_once('-')?;
    Some((Offset(first.parse().ok()?), Offset(last.parse().ok()?)))
}

/// `FIRST.jsonl.N.part`.
fn part(rest: &str) -> bool {
    let numbers = rest
        .strip_suffix(".part")
        .and_then(|r| r.split_once(".jsonl."));
    numbers.is_some_and(|(first, n)| first.parse::<u64>().is_ok() && n.parse::<u64>().is_ok())
}

/// Takes commands in order and finishes files at their age.
async fn run(
    mut writer: Writer,
    mut commands: mpsc::Receiver<Command>,
    progress: Progress,
    age_max: Duration,
) {
    loop {
        let due = writer.part.as_ref().map(|part| part.opened + age_max);
        let aged = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let command = tokio::select! {
            command = commands.recv() => command,
            () = aged => Some(Command::Finish(oneshot::channel().0)),
        };
        let Some(command) = command else { return };
        let path = writer.config.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let (result, reply, room) = match command {
                Command::Write(mut batch) => {
                    let room = batch.room.take();
                    (writer.write(&batch), None, room)
                }
                Command::Finish(reply) => (writer.finish(), Some(reply), None),
            };
            drop(room);
            (writer, result, reply)
        });
        let (back, result, reply) = match done.await {
            Ok(done) => done,
            Err(error) => return progress.failed(SinkError::retry(error)),
        };
        writer = back;
        if let Err(error) = result {
            return progress.failed(failed(&path, &error));
        }
        progress.durable(writer.durable());
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            reply.send(()).ok();
        }
    }
}

/// Writes lines and finishes files. Blocks.
struct Writer {
    config: FileSinkConfig,
    partition: TopicPartition,
    /// Everything below is in finished files, or had no output.
    covered: Offset,
    part: Option<Part>,
    lines: Vec<u8>,
}

/// The unfinished file.
struct Part {
    file: File,
    path: PathBuf,
    bytes: u64,
    next: Offset,
    opened: Instant,
}

impl Writer {
    fn durable(&self) -> Offset {
        self.covered
    }

    fn write(&mut self, batch: &SinkBatch) -> io::Result<()> {
        let ByteSize(bytes_max) = self.config.bytes_max.0;
        let mut last = None;
        for record in &batch.records {
            let before = self.lines.len();
            self.encode(record);
            let size = self.part.as_ref().map_or(0, |p| p.bytes) + self.lines.len() as u64;
            // A file ends in front of the record that would make it too large, but never inside
            // the outputs of one record: its name could not tell.
            let first_of_record = last != Some(record.offset);
            if size > bytes_max && first_of_record && (before > 0 || self.part.is_some()) {
                let line = self.lines.split_off(before);
                self.spill(record.offset)?;
                self.finish()?;
                self.lines = line;
            }
            last = Some(record.offset);
            if self.lines.len() >= WRITE_BYTES {
                self.spill(record.offset)?;
            }
        }
        self.spill(batch.next_offset)?;
        let full = self.part.as_ref().is_some_and(|p| p.bytes >= bytes_max);
        if full { self.finish() } else { Ok(()) }
    }

    fn encode(&mut self, record: &SinkRecord) {
        match self.config.format {
            FileFormat::Record => json(&mut self.lines, &self.partition, record),
            FileFormat::Value => {
                let value = record.record.value.as_deref().unwrap_or(b"null");
                self.lines.extend_from_slice(value);
                self.lines.push(b'\n');
            }
        }
    }

    /// Writes the encoded lines; everything below `next` is then in the file.
    fn spill(&mut self, next: Offset) -> io::Result<()> {
        if self.lines.is_empty() {
            match &mut self.part {
                Some(part) => part.next = part.next.max(next),
                // Nothing came of these records, so there is nothing to lose.
                None => self.covered = self.covered.max(next),
            }
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            none => none.insert(Part::create(
                &self.config.path,
                &self.partition,
                self.covered,
            )?),
        };
        part.file.write_all(&self.lines)?;
        part.bytes += self.lines.len() as u64;
        part.next = next;
        self.lines.clear();
        Ok(())
    }

    /// Gives the file its name; from then on it is durable.
    fn finish(&mut self) -> io::Result<()> {
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        part.file.sync_all()?;
        let name = format!(
            "{}-{}-{}.jsonl",
            self.partition,
            self.covered,
            part.next.0 - 1
        );
        let path = self.config.path.join(name);
        let cwd = rustix::fs::CWD;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(cwd, &part.path, cwd, &path, flags)?;
        File::open(&self.config.path)?.sync_all()?;
        self.covered = part.next;
        Ok(())
    }
}

impl Part {
    fn create(dir: &Path, partition: &TopicPartition, first: Offset) -> io::Result<Self> {
        let n = PART.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{partition}-{first}.jsonl.{n}.part"));
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self {
            file,
            path,
            bytes: 0,
            next: first,
            opened: Instant::now(),
        })
    }
}

/// Line feeds in JSON are white space; in anything else they would make two lines of one value.
fn one_line(value: &Bytes) -> Result<Option<Bytes>, &'static str> {
    if memchr::memchr(b'\n', value).is_none() {
        return Ok(None);
    }
    let json: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(value);
    if json.is_err() {
        return Err("the value holds line feeds and is not JSON");
    }
    let line: Vec<u8> = value
        .iter()
        .map(|&b| if b == b'\n' || b == b'\r' { b' ' } else { b })
        .collect();
    Ok(Some(line.into()))
}

impl Sink for FileSink {
    fn start(&self) -> Start {
        self.start
    }

    fn prepare(&mut self, mut batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        let mut refused = Vec::new();
        if self.format == FileFormat::Value {
            batch.records.retain_mut(|record| {
                let line = record.record.value.as_ref().map_or(Ok(None), one_line);
                match line {
                    Ok(None) => true,
                    Ok(line) => {
                        record.record.value = line;
                        true
                    }
                    Err(message) => {
                        refused.push(Refusal {
                            offset: record.offset,
                            code: "line_feed",
                            message: message.to_owned(),
                        });
                        false
                    }
                }
            });
        }
        self.prepared = Some(batch);
        async { Ok(refused) }.boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.progress.check()?;
            let Some(batch) = self.prepared.take() else {
                return Ok(());
            };
            count(&self.metrics, &batch);
            let next_offset = batch.next_offset;
            if self.commands.send(Command::Write(batch)).await.is_err() {
                self.progress.check()?;
                return Err(SinkError::retry("the sink has stopped"));
            }
            self.submitted = next_offset;
            Ok(())
        }
        .boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            let (reply, finished) = oneshot::channel();
            if self.commands.send(Command::Finish(reply)).await.is_ok() {
                // Without a reply the sink has failed, which is what is looked at next.
                finished.await.ok();
            }
            self.progress.reached(self.submitted).await
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { commands, task, .. } = *self;
        drop(commands);
        // What the task could not do, it has told.
        async move { drop(task.await) }.boxed()
    }
}
