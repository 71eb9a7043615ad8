//! `wstream transform test`: cases and golden files, without a node.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use wstream_record::JsonRecord;
use wstream_transform::Limits;

use super::{LimitArgs, compile, config};
use crate::cases::Cases;
use crate::cli::output::Output;

const EXAMPLES: &str = "\
Examples:
  wstream transform test shout.wasm --cases cases.jsonl
  wstream transform test filter.wasm --in records.jsonl --config '{\"field\":\"a\",\"op\":\"exists\"}'
  wstream transform test shout.wasm --in records.jsonl --golden expected.jsonl --update
  wstream consume events -n 100 --format json | wstream transform test shout.wasm --in -

A case is a line: {\"in\": record, \"out\": [records]} or {\"in\": record, \"error\": {\"code\", \"message\"}},
with \"config\": {...} where the transform wants one, and \"after\": [records] for what the same
instance gets before. --in runs records as they are and prints what became of each, as a case;
--golden compares that with a file.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArgs {
    /// The module.
    file: PathBuf,
    /// Cases, one a line.
    #[arg(long, value_name = "FILE", required_unless_present = "records")]
    cases: Option<PathBuf>,
    /// Records as JSON, one a line; `-` is standard input.
    #[arg(
        long = "in",
        id = "records",
        value_name = "FILE",
        conflicts_with = "cases"
    )]
    records: Option<PathBuf>,
    /// Compare what became of the records with this file.
    #[arg(long, value_name = "FILE", requires = "records")]
    golden: Option<PathBuf>,
    /// Write the golden file instead.
    #[arg(long, requires = "golden")]
    update: bool,
    /// Configuration for --in: JSON, or a file of it.
    #[arg(long, value_name = "JSON|FILE", conflicts_with = "cases")]
    config: Option<String>,
    /// Topics that a module of the Redpanda SDKs writes to by name, the default one first.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    output_topics: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn execute(args: TestArgs, output: &mut Output) -> anyhow::Result<()> {
    let mut cases = Cases::new(
        "test",
        compile(&args.file).await?,
        Limits::from(&args.limits),
    )
    .with_output_topics(&args.output_topics);
    match (&args.cases, &args.records) {
        (Some(file), _) => check(&mut cases, file, output).await,
        (None, Some(file)) => {
            let config = config(args.config.as_deref())?;
            let became = run(&mut cases, file, config.get()).await?;
            settle(&became, &args, output)
        }
        (None, None) => bail!("give --cases or --in"),
    }
}

/// Runs every case and prints those that came out otherwise.
async fn check(cases: &mut Cases, file: &Path, output: &mut Output) -> anyhow::Result<()> {
    let text = read(file)?;
    let (mut run, mut wrong) = (0, 0);
    for (number, line) in numbered(&text) {
        run += 1;
        let place = || format!("{}:{number}", file.display());
        if let Some(difference) = cases.check(line).await.with_context(place)? {
            wrong += 1;
            output.line(&format!("{}: {difference}", place()))?;
        }
    }
    match (run, wrong) {
        (0, _) => bail!("{} holds no case", file.display()),
        (_, 0) => Ok(output.line(&format!("{}: {run} cases ok", file.display()))?),
        _ => bail!(
            "{}: {wrong} of {run} cases came out otherwise",
            file.display()
        ),
    }
}

/// What became of each record, as a case.
async fn run(cases: &mut Cases, file: &Path, config: &str) -> anyhow::Result<Vec<String>> {
    let text = read(file)?;
    let mut became = Vec::new();
    let mut instance = match cases.start(config).await? {
        Ok(instance) => instance,
        Err(refused) => bail!("the module refuses its configuration: {refused}"),
    };
    for (number, line) in numbered(&text) {
        let place = || format!("{}:{number}", file.display());
        let record = JsonRecord::parse(line).with_context(place)?;
        let outcome = cases
            .feed(&mut instance, &record)
            .await
            .with_context(place)?;
        became.push(cases.as_case(&record, config, &outcome));
    }
    Ok(became)
}

/// Prints what became of the records, or compares it, or keeps it.
fn settle(became: &[String], args: &TestArgs, output: &mut Output) -> anyhow::Result<()> {
    let Some(golden) = &args.golden else {
        for line in became {
            output.line(line)?;
        }
        return Ok(());
    };
    if args.update {
        let text: String = became
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect();
        std::fs::write(golden, text)
            .with_context(|| format!("cannot write {}", golden.display()))?;
        return Ok(output.line(&format!(
            "{}: {} lines written",
            golden.display(),
            became.len()
        ))?);
    }
    let text = read(golden)?;
    let wanted: Vec<&str> = numbered(&text).map(|(_, line)| line).collect();
    let mut wrong = 0;
    for n in 0..became.len().max(wanted.len()) {
        let (got, want) = (became.get(n).map(String::as_str), wanted.get(n).copied());
        if got != want {
            wrong += 1;
            let (got, want) = (got.unwrap_or("nothing"), want.unwrap_or("nothing"));
            output.line(&format!(
                "{}:{}: wanted {want}\n     got {got}",
                golden.display(),
                n + 1
            ))?;
        }
    }
    if wrong > 0 {
        bail!(
            "{}: {wrong} lines differ; --update takes them as they are",
            golden.display()
        );
    }
    Ok(output.line(&format!("{}: {} lines ok", golden.display(), became.len()))?)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let read = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    read.with_context(|| format!("cannot read {}", file.display()))
}

/// The lines that are not blank, by number.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}
