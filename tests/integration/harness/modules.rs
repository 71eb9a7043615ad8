//! Modules and a pipeline that several tests push to a node.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{project, skipped, write};
use super::node::{Output, cache};

/// A pipeline from the topic `in` through the registered module `m` to the topic `out`.
pub const THROUGH_M: &str = r#"
[topics.in]
[topics.out]
[pipelines.p]
from = ["in"]
transforms = [{ module = "m" }]
to = ["out"]
[sinks.out]
type = "topic"
topic = "out"
"#;

/// A module whose every output's value is one letter, and that logs it at `level` for each call.
pub fn letter(dir: &Path, letter: char, level: u8) -> PathBuf {
    let code = u32::from(letter);
    // The frame is the index of the record, kind 0, output 0, by key, inherited time, no key,
    // a value of one byte, no headers; the records' own bytes are not looked at.
    let text = format!(
        r#"(module
        (import "wstream_v1" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 4)
        (data (i32.const 131072) "letter {letter} at work")
        (func (export "wstream_abi_v1"))
        (func (export "wstream_alloc") (param i32) (result i32) i32.const 65536)
        (func (export "wstream_process") (param $at i32) (param $len i32) (result i64)
          (local $count i32) (local $index i32) (local $out i32)
          (call $log (i32.const {level}) (i32.const 131072) (i32.const 16))
          (local.set $count (i32.load (i32.add
            (i32.add (local.get $at) (i32.load16_u (local.get $at))) (i32.const 6))))
          (loop $next
            (local.set $out (i32.mul (local.get $index) (i32.const 32)))
            (i32.store (local.get $out) (local.get $index))
            (i32.store8 offset=4 (local.get $out) (i32.const 0))
            (i32.store16 offset=5 (local.get $out) (i32.const 0))
            (i32.store offset=7 (local.get $out) (i32.const -1))
            (i64.store offset=11 (local.get $out) (i64.const 0x8000000000000000))
            (i32.store offset=19 (local.get $out) (i32.const -1))
            (i32.store offset=23 (local.get $out) (i32.const 1))
            (i32.store8 offset=27 (local.get $out) (i32.const {code}))
            (i32.store offset=28 (local.get $out) (i32.const 0))
            (local.set $index (i32.add (local.get $index) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $index) (local.get $count))))
          (i64.extend_i32_u (i32.mul (local.get $count) (i32.const 32)))))"#
    );
    let module = wat::parse_str(text).unwrap();
    write(dir, &format!("{letter}.wasm"), module)
}

/// The component of `guest-sdk/wit/example`, which gives values back in upper case; `None`, said
/// aloud, where it cannot be compiled.
pub fn plain_component() -> Option<PathBuf> {
    let target = cache().join("component-example");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--quiet"]);
    cargo.args(["--target", "wasm32-wasip2"]);
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    cargo.current_dir(project().join("guest-sdk/wit/example"));
    let output = Output::of(cargo.env("CARGO_TARGET_DIR", &target));
    if output.stderr.contains("target may not be installed") {
        skipped("a component in Rust: rustup target add wasm32-wasip2");
        return None;
    }
    assert_eq!(output.code, 0, "{}", output.stderr);
    Some(target.join("wasm32-wasip2/release/plain_component.wasm"))
}
