//! Measures a whole node: a file of JSON lines through log and transform into files, from an empty
//! data directory to everything delivered.
//!
//! The input is made from a seed, so that it is the same everywhere: log events of about 305 bytes
//! with a nested user, tags and a message. The node runs in this process with `once`; its start
//! and its end are part of the time, making the input is not.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use wstream_log::Durability;
use wstream_record::{ByteSize, Clock};

use super::{Scratch, cpu_time};
use crate::node::{self, RunOptions};

/// The seed of the input.
const SEED: u64 = 2;
const WORDS: [&str; 10] = [
    "news", "images", "english", "french", "teams", "venues", "history", "tickets", "play", "help",
];
const LEVELS: [&str; 8] = [
    "info", "info", "info", "info", "warn", "error", "debug", "debug",
];

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct PipelineBenchOptions {
    /// Lines of the input.
    #[arg(long, default_value_t = 1_000_000)]
    pub lines: u64,
    /// Read this file instead of making one.
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pub input: Option<PathBuf>,
    /// The transform [default: none, lines pass as they are].
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The transform's configuration as JSON.
    #[arg(long, value_name = "JSON", requires = "module")]
    pub config: Option<String>,
    /// Partitions, each with a task of its own.
    #[arg(long, default_value_t = 1)]
    pub partitions: i32,
    /// A directory on the device to measure; a new one in it is used and removed.
    #[arg(long, value_name = "DIR", default_value_os_t = super::scratch_parent())]
    pub dir: PathBuf,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct PipelineBenchReport {
    /// Lines of the input.
    pub lines_in: u64,
    /// Bytes of the input.
    pub bytes_in: u64,
    /// Lines of the output.
    pub lines_out: u64,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Wall-clock seconds from starting the node to its end.
    pub seconds: f64,
    /// Input lines per second.
    pub records_per_second: f64,
    /// CPU seconds of the process per million input lines.
    pub cpu_seconds_per_million: f64,
    /// The most memory that the process held.
    pub peak_memory_bytes: Option<u64>,
}

/// Runs the measurement.
///
/// # Errors
/// The options make no sense, the disk refuses, or the node fails.
pub async fn run(options: PipelineBenchOptions) -> anyhow::Result<PipelineBenchReport> {
    let scratch = Scratch::new(&options.dir)?;
    let dir = std::path::absolute(scratch.path())?;
    let input = match &options.input {
        Some(file) => std::path::absolute(file)?,
        None => make_input(&dir.join("input.jsonl"), options.lines)?,
    };
    let lines_in = match options.input {
        Some(_) => count_lines(&input)?,
        None => options.lines,
    };
    let file = dir.join("wstream.toml");
    fs::write(&file, job(&options, &input)?)?;
    let clock = Clock::system();
    let (wall, cpu) = (clock.monotonic(), cpu_time());
    node::run(run_options(file, dir.join("data"))).await?;
    let seconds = clock.monotonic().saturating_sub(wall).as_secs_f64();
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64();
    let mut lines_out = 0;
    for entry in fs::read_dir(dir.join("out"))? {
        lines_out += count_lines(&entry?.path())?;
    }
    let lines = lines_in as f64;
    Ok(PipelineBenchReport {
        lines_in,
        bytes_in: fs::metadata(&input)?.len(),
        lines_out,
        partitions: options.partitions,
        seconds,
        records_per_second: lines / seconds,
        cpu_seconds_per_million: cpu * 1e6 / lines,
        peak_memory_bytes: peak_memory(),
    })
}

/// The file that the node runs.
fn job(options: &PipelineBenchOptions, input: &Path) -> anyhow::Result<String> {
    let quoted = |path: &Path| serde_json::to_string(path).context("a path is not UTF-8");
    let mut text = format!(
        "[topics.events]\npartitions = {}\n\
         [sources.events]\ntype = \"jsonl\"\ntopic = \"events\"\npath = {}\n\
         [pipelines.job]\nfrom = [\"events\"]\nto = [\"out\"]\n",
        options.partitions,
        quoted(input)?,
    );
    if let Some(module) = &options.module {
        let config: Value = serde_json::from_str(options.config.as_deref().unwrap_or("{}"))
            .context("--config is not JSON")?;
        let config = as_toml(&config).context("--config holds null, which TOML has no form for")?;
        let module = quoted(&std::path::absolute(module)?)?;
        writeln!(
            text,
            "[[pipelines.job.transforms]]\nmodule = {module}\nconfig = {config}"
        )?;
    }
    text.push_str("[sinks.out]\ntype = \"file\"\npath = \"out\"\n");
    Ok(text)
}

/// JSON as an inline value; `None` for null.
fn as_toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        // A string of JSON is one of TOML, and so are numbers and truth.
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(as_toml).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                Some(format!(
                    "{} = {}",
                    Value::String(name.clone()),
                    as_toml(value)?
                ))
            };
            let fields: Option<Vec<String>> = fields.iter().map(field).collect();
            format!("{{ {} }}", fields?.join(", "))
        }
    })
}

fn run_options(file: PathBuf, data: PathBuf) -> RunOptions {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    RunOptions {
        file: Some(file),
        data,
        compiled: None,
        http: any_port,
        search: any_port,
        http_token: None,
        insecure: false,
        durability: Durability::Process,
        disk_free_min: ByteSize(0),
        streams: 1,
        scrub_interval: Duration::ZERO,
        watch: false,
        once: true,
        fail_on_dead_letter: true,
    }
}

fn count_lines(file: &Path) -> anyhow::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut lines = 0;
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', part).count() as u64;
        let length = part.len();
        reader.consume(length);
    }
}

/// Writes `lines` log events.
fn make_input(path: &Path, lines: u64) -> anyhow::Result<PathBuf> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = Random(SEED);
    let mut line = String::new();
    for number in 0..lines {
        line.clear();
        event(&mut line, number, &mut random)?;
        out.write_all(line.as_bytes())?;
    }
    out.flush()?;
    Ok(path.to_owned())
}

fn event(line: &mut String, number: u64, random: &mut Random) -> fmt::Result {
    let time = 1_760_000_000_000 + number;
    let level = random.of(&LEVELS);
    let host = random.below(40);
    let service = random.of(&WORDS);
    let latency = random.below(100_000);
    let status = if random.below(100) < 95 { 200 } else { 404 };
    let user = random.below(1_000_000);
    write!(
        line,
        "{{\"ts\":{time},\"level\":\"{level}\",\"host\":\"web-{host:02}.example.net\",\"service\":\"{service}-api\",\
         \"latency_ms\":{}.{:03},\"status\":{status},\"user\":{{\"id\":{user},\"plan\":\"pro\",\"country\":\"NL\"}},\
         \"tags\":[\"eu-west-1\",\"blue\",\"canary\"],\"msg\":\"",
        latency / 1000,
        latency % 1000,
    )?;
    let words = 12 + random.below(5);
    for n in 0..words {
        let gap = if n == 0 { "" } else { " " };
        write!(line, "{gap}{}", random.of(&WORDS))?;
    }
    line.push_str("\"}\n");
    Ok(())
}

/// The same numbers everywhere: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = self.below(words.len() as u64);
        usize::try_from(at)
            .ok()
            .and_then(|at| words.get(at))
            .copied()
            .unwrap_or_default()
    }
}

/// `VmHWM` of the process.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

impl fmt::Display for PipelineBenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} lines of {} bytes in, {} lines out, {} partition(s)",
            self.lines_in,
            self.bytes_in / self.lines_in.max(1),
            self.lines_out,
            self.partitions
        )?;
        writeln!(
            f,
            "{:.2} s, {:.0} records/s, {:.2} CPU seconds per million",
            self.seconds, self.records_per_second, self.cpu_seconds_per_million
        )?;
        match self.peak_memory_bytes {
            Some(bytes) => writeln!(f, "peak memory {} MB", bytes / 1_000_000),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_is_the_same_everywhere_and_about_305_bytes_a_line() {
        let (mut text, mut random) = (String::new(), Random(SEED));
        for number in 0..1000 {
            event(&mut text, number, &mut random).unwrap();
        }
        for line in text.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(json["user"]["id"].is_u64(), "{line}");
        }
        assert!((295_000..315_000).contains(&text.len()), "{}", text.len());
    }

    #[test]
    fn the_job_is_a_file_that_can_be_read() {
        let options = PipelineBenchOptions {
            lines: 1,
            input: None,
            module: Some("m \"x\".wasm".into()),
            config: Some(r#"{"field":"level","values":["a"],"deep":{"n":1}}"#.to_owned()),
            partitions: 2,
            dir: ".".into(),
        };
        let table: toml::Table = job(&options, Path::new("/in.jsonl"))
            .unwrap()
            .parse()
            .unwrap();
        let step = &table["pipelines"]["job"]["transforms"][0];
        assert!(step["module"].as_str().unwrap().ends_with("m \"x\".wasm"));
        assert_eq!(step["config"]["deep"]["n"].as_integer(), Some(1));
        assert_eq!(
            table["sources"]["events"]["path"].as_str(),
            Some("/in.jsonl")
        );
    }
}
