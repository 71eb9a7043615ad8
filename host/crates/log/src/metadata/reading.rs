//! Reads what the stored commands come to, and says what of it does not read. Nothing is changed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commands::{Answer, Command};
use super::end::{End, EndFile, Found};
use super::generation::{self, Contents, Framed, chained};
use super::state::State;
use crate::errors::StoreError;

/// Where copies of generations are read.
const COPY: &str = "check";

/// What the stored commands come to.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// As far as they read.
    pub(super) state: State,
    /// The checksum over all commands in it.
    pub(super) chain: u32,
    /// The last command acknowledged, if that reads.
    pub(super) end: Option<End>,
    /// What does not read.
    pub(super) damage: Option<String>,
    /// The chain as of the last command acknowledged, once that was passed.
    chain_at_end: Option<u32>,
}

/// The file that says what was acknowledged.
pub(super) fn end_path(dir: &Path) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".end");
    path.into()
}

pub(super) fn generation_dir(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}"))
}

/// The numbers of the generations that are there, whole or not.
pub(super) fn generations(dir: &Path) -> Result<BTreeSet<u64>, StoreError> {
    let list = || -> io::Result<BTreeSet<u64>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other?,
        };
        let mut numbers = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().filter(|name| name.len() == 20);
            numbers.extend(number.and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(numbers)
    };
    list().map_err(|e| StoreError::failed("list", dir, &e))
}

/// Reads the commands in `dir`.
pub(super) fn read(dir: &Path) -> Result<Reading, StoreError> {
    let there = generations(dir)?;
    let mut reading = Reading::default();
    let current = match EndFile::read(&end_path(dir))? {
        Found::Here(end) => {
            reading.end = Some(end);
            end.generation
        }
        Found::Absent if there.is_empty() => return Ok(reading),
        Found::Absent => {
            reading.damaged(format!("{} is not there", end_path(dir).display()));
            there.last().copied().unwrap_or_default()
        }
        Found::Unreadable => {
            reading.damaged(format!("{} does not read", end_path(dir).display()));
            there.last().copied().unwrap_or_default()
        }
    };
    if current == 0 {
        // Nothing was acknowledged yet.
        return Ok(reading);
    }
    let copy = dir.join(COPY);
    let contents = generation::read(&generation_dir(dir, current), &copy)?;
    if let Err(reason) = reading.begin(&contents) {
        reading.damaged(format!(
            "the snapshot of generation {current} does not read: {reason}"
        ));
        if let Some(&previous) = there.range(..current).next_back() {
            let before = generation::read(&generation_dir(dir, previous), &copy)?;
            reading.go_to_beginning(&before, &contents);
        }
    }
    reading.go_on(&contents);
    reading.check_end();
    Ok(reading)
}

impl Reading {
    /// Notes what was found; what is found first says the most.
    fn damaged(&mut self, what: String) {
        self.damage.get_or_insert(what);
    }

    fn begin(&mut self, contents: &Contents) -> Result<(), String> {
        let snapshot = contents.snapshot.as_ref().map_err(String::clone)?;
        let state = State::decode(&snapshot.bytes)?;
        if state.index != snapshot.index {
            return Err(format!("it is of command {}", state.index));
        }
        self.state = state;
        self.chain = snapshot.chain;
        self.pass();
        Ok(())
    }

    /// Goes from the generation before to where a generation began whose snapshot does not read.
    fn go_to_beginning(&mut self, before: &Contents, contents: &Contents) {
        if let Err(reason) = self.begin(before) {
            self.damaged(reason);
        }
        // Behind the beginning there may be a command that was refused.
        let first = contents
            .commands
            .first()
            .map(|first| first.index.saturating_sub(1));
        let last = first.or_else(|| self.end.map(|end| end.index));
        let commands = before.commands.iter();
        for command in commands.take_while(|c| last.is_none_or(|last| c.index <= last)) {
            if self.apply(command).is_err() {
                return;
            }
        }
    }

    fn go_on(&mut self, contents: &Contents) {
        for command in &contents.commands {
            if let Err(reason) = self.apply(command) {
                self.damaged(reason);
                return;
            }
        }
        // A last command that was cut off was never acknowledged, unless the end says so.
        if let Some(broken) = contents.broken.as_ref().filter(|b| !b.is_last) {
            self.damaged(broken.reason.clone());
        }
    }

    fn apply(&mut self, framed: &Framed) -> Result<(), String> {
        let index = framed.index;
        let wanted = self.state.index + 1;
        if index != wanted {
            return Err(format!(
                "command {wanted} is missing before command {index}"
            ));
        }
        let chain = chained(self.chain, index, &framed.bytes);
        if chain != framed.chain {
            return Err(format!(
                "command {index} does not follow on the one before it"
            ));
        }
        let command = Command::decode(&framed.bytes);
        let command = command.map_err(|e| format!("command {index} does not read: {e}"))?;
        if let Some(refused) = self.state.refusal(&command) {
            return Err(format!("command {index} is not possible: {refused:?}"));
        }
        let answer = self.state.apply(index, command);
        debug_assert!(!matches!(answer, Answer::Refused(_)), "it was possible");
        self.chain = chain;
        self.pass();
        Ok(())
    }

    fn pass(&mut self) {
        if self.end.is_some_and(|end| end.index == self.state.index) {
            self.chain_at_end = Some(self.chain);
        }
    }

    /// Compares with the last command acknowledged.
    fn check_end(&mut self) {
        let Some(end) = self.end else {
            return;
        };
        let (last, index) = (end.index, self.state.index);
        match self.chain_at_end {
            Some(chain) if chain == end.chain => {}
            Some(_) => self.damaged(format!(
                "command {last} is not the one that was acknowledged"
            )),
            None => self.damaged(format!(
                "command {last} was acknowledged, the last one there is {index}"
            )),
        }
    }
}
