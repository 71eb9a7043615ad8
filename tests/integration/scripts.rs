//! The SDKs pass their own tests: those of the scripting languages in their own interpreters, the
//! samples with the cases that they pass in every language, without a compiler or a node.

use std::process::Command;

use super::harness::{project, skipped};

/// Runs an SDK's tests in its folder; a skip, said aloud, where there is no interpreter.
fn check(folder: &str, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(project().join("guest-sdk").join(folder))
        // The SDK's folder is copied into the program: nothing else belongs there.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let Ok(output) = command.output() else {
        skipped(&format!("{folder}: there is no {program}"));
        return;
    };
    let (out, err) = (&output.stdout, &output.stderr);
    let said = String::from_utf8_lossy(out) + String::from_utf8_lossy(err);
    assert!(output.status.success(), "{folder}: {said}");
}

#[test]
fn javascript() {
    check("javascript", "node", &["--test"]);
}

#[test]
fn python() {
    check("python", "python3", &["-m", "unittest"]);
}

#[test]
fn go() {
    check("go", "go", &["test", "./state"]);
}
