//! Transforms in every language: a new one is made, built and tested as a user does it, and the
//! samples pass the cases that they pass in every language.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::harness::{
    NodeBuilder, Output, THROUGH_M, cache, plain_component, project, skipped, until, write, wstream,
};
use super::hostile_rows::records;

/// A language, the files of its samples, and what its SDK is called in a folder.
struct Language {
    name: &'static str,
    samples: &'static [&'static str],
    /// Samples that are built only with `WSTREAM_LANGUAGES=all`.
    more: &'static [&'static str],
    /// The sample's file from `guest-sdk`, and its name in a folder of its own.
    sample: fn(&str) -> (String, &'static str),
}

const SAMPLES: &[&str] = &["identity", "project", "split", "strict", "count"];
const ALL_SAMPLES: &[&str] = &[
    "identity", "project", "split", "strict", "count", "dedupe", "enrich",
];
/// A component with a language's engine takes some ten seconds to build and, where nothing is
/// optimized, a minute to compile. Natively `scripts.rs` runs all samples; this one has keyed state,
/// whose bytes only the component's bindings make.
const SAMPLES_OF_A_COMPONENT: &[&str] = &["count"];
const MORE_OF_A_COMPONENT: &[&str] = &["identity", "project", "split", "strict"];

/// A command with the compilers that `scripts/languages.sh` installs.
fn with_compilers(command: &mut Command) -> &mut Command {
    let zig = cache().join("zig/bin/python");
    let asc = cache().join("asc/node_modules/.bin/asc");
    if zig.exists() {
        command.env("WSTREAM_ZIG", format!("{} -m ziglang", zig.display()));
    }
    if asc.exists() {
        command.env("WSTREAM_ASC", asc);
    }
    let npm = cache().join("componentize-js/node_modules/.bin");
    let tools = [
        ("WSTREAM_ESBUILD", npm.join("esbuild")),
        ("WSTREAM_COMPONENTIZE_JS", npm.join("componentize-js")),
        (
            "WSTREAM_COMPONENTIZE_PY",
            cache().join("componentize-py/bin/componentize-py"),
        ),
    ];
    // The crates that a transform in Rust needs are this project's too: they are there, and they are
    // compiled once.
    command.env("CARGO_TARGET_DIR", cache().join("languages-rust"));
    command.env("CARGO_NET_OFFLINE", "true");
    command.envs(tools.into_iter().filter(|(_, tool)| tool.exists()))
}

/// Builds the transform in a folder; `None`, said aloud, where its compiler is not there.
fn build(language: &str, folder: &Path) -> Option<PathBuf> {
    let mut command = wstream(["transform", "build"]);
    let output = Output::of(with_compilers(command.arg(folder)));
    let missing = ["there is no ", "cannot compile to WebAssembly"];
    let missing = missing.iter().any(|what| output.stderr.contains(what));
    if missing && output.stderr.contains("hint: ") {
        skipped(&format!("{language}: {}", output.stderr.trim()));
        return None;
    }
    assert_eq!(output.code, 0, "{language}: {}", output.stderr);
    let modules = std::fs::read_dir(folder.join("dist")).unwrap();
    let modules: Vec<_> = modules.map(|module| module.unwrap().path()).collect();
    assert_eq!(modules.len(), 1, "{modules:?}");
    modules.into_iter().next()
}

/// A module imports the table of keyed state only where it uses it.
#[track_caller]
fn has_no_state(module: &Path) {
    let output = Output::of(wstream(["transform", "show"]).arg(module));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        !output.stdout.contains("wstream_kv_v1"),
        "{}",
        output.stdout
    );
}

#[track_caller]
fn passes(module: &Path, cases: &Path) {
    let mut command = wstream(["transform", "test"]);
    let output = Output::of(command.arg(module).arg("--cases").arg(cases));
    let (out, err) = (&output.stdout, &output.stderr);
    assert_eq!(output.code, 0, "{}: {out}{err}", module.display());
}

fn check(language: &Language) {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("shout");
    let mut command = wstream([
        "transform",
        "new",
        "shout",
        "--lang",
        language.name,
        "--folder",
    ]);
    let output = Output::of(command.arg(&made));
    assert_eq!(output.code, 0, "{}", output.stderr);
    if language.name == "rust" {
        // The versions that are there already.
        std::fs::copy(project().join("Cargo.lock"), made.join("Cargo.lock")).unwrap();
    }
    let Some(module) = build(language.name, &made) else {
        return;
    };
    passes(&module, &made.join("cases.jsonl"));
    has_no_state(&module);
    let first = dir.path().join("first.wasm");
    std::fs::copy(&module, &first).unwrap();

    // A sample takes the place of the new transform's code, beside the same copy of the SDK.
    let samples = project().join("guest-sdk/samples");
    let all = std::env::var("WSTREAM_LANGUAGES").is_ok_and(|wanted| wanted == "all");
    let more = if all { language.more } else { &[] };
    for sample in language.samples.iter().chain(more) {
        let (from, to) = (language.sample)(sample);
        let code = std::fs::read_to_string(project().join("guest-sdk").join(from)).unwrap();
        let script = match Path::new(to).parent() {
            Some(folder) if folder.ends_with("src") => "'../wstream/wstream.js'",
            _ => "'./wstream/wstream.js'",
        };
        let code = code
            .replace("../wstream.h", "wstream.h")
            .replace("../assembly/", "./wstream/")
            .replace("'../wstream.js'", script)
            .replace("'../state.js'", &script.replace("wstream.js", "state.js"));
        std::fs::write(made.join(to), code).unwrap();
        let description = samples.join(format!("{sample}.toml"));
        std::fs::copy(description, made.join("transform.toml")).unwrap();
        std::fs::remove_dir_all(made.join("dist")).unwrap();
        let module = build(language.name, &made).unwrap();
        passes(&module, &samples.join(format!("{sample}.cases.jsonl")));
        // The first sample: one that needs no configuration.
        if language.samples.first() == Some(sample) {
            serves(dir.path(), &first, &module);
        }
    }
}

/// A node runs one module, is given another, and goes back.
fn serves(dir: &Path, first: &Path, second: &Path) {
    let data = dir.join("data");
    let node = NodeBuilder::new(&data).start();
    let base = format!("http://{}", node.http());
    let push = |base: &str, module: &Path| {
        let mut command = wstream(["transform", "push", "m"]);
        let output = Output::of(command.arg(module).args(["--node", base]));
        assert_eq!(output.code, 0, "{}", output.stderr);
    };
    push(&base, first);
    drop(node.stop());
    let config = write(dir, "wstream.toml", THROUGH_M);
    let node = NodeBuilder::new(&data).file(&config).start();
    let base = format!("http://{}", node.http());
    let produce = |value: &str| {
        let line = json!({"key": "k", "value": value}).to_string();
        let answer = node.ask("POST", "/api/v1/topics/in/records", &[], line.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let out = |count: usize| {
        until("the outputs", || {
            let out = records(&node, "out");
            (out.len() == count).then_some(out)
        })
    };
    // What a new transform makes of a good record, whatever else it does.
    let good = "{\"message\":\"m\"}";
    produce(good);
    let made = out(1)[0]["value"].clone();
    assert_ne!(made, good);
    push(&base, second);
    produce(good);
    assert_ne!(out(2)[1]["value"], made);
    let mut command = wstream(["transform", "rollback", "m", "--node", &base]);
    let output = Output::of(&mut command);
    assert_eq!(output.code, 0, "{}", output.stderr);
    produce(good);
    assert_eq!(out(3)[2]["value"], made);
}

#[test]
fn rust() {
    check(&Language {
        name: "rust",
        samples: ALL_SAMPLES,
        more: &[],
        sample: |name| (format!("rust/samples/{name}.rs"), "src/lib.rs"),
    });
}

#[test]
fn go() {
    check(&Language {
        name: "go",
        samples: ALL_SAMPLES,
        more: &[],
        sample: |name| (format!("go/samples/{name}/main.go"), "main.go"),
    });
}

#[test]
fn assemblyscript() {
    check(&Language {
        name: "assemblyscript",
        samples: SAMPLES,
        more: &[],
        sample: |name| (format!("assemblyscript/samples/{name}.ts"), "transform.ts"),
    });
}

#[test]
fn c() {
    check(&Language {
        name: "c",
        samples: SAMPLES,
        more: &[],
        sample: |name| (format!("c/samples/{name}.c"), "transform.c"),
    });
}

#[test]
fn zig() {
    check(&Language {
        name: "zig",
        samples: SAMPLES,
        more: &[],
        sample: |name| (format!("zig/samples/{name}.zig"), "transform.zig"),
    });
}

#[test]
fn javascript() {
    check(&Language {
        name: "javascript",
        samples: SAMPLES_OF_A_COMPONENT,
        more: MORE_OF_A_COMPONENT,
        sample: |name| (format!("javascript/samples/{name}.js"), "transform.js"),
    });
}

/// What is JavaScript is TypeScript too.
#[test]
fn typescript() {
    check(&Language {
        name: "typescript",
        samples: &[],
        more: SAMPLES,
        sample: |name| (format!("javascript/samples/{name}.js"), "src/transform.ts"),
    });
}

#[test]
fn python() {
    check(&Language {
        name: "python",
        samples: SAMPLES_OF_A_COMPONENT,
        more: MORE_OF_A_COMPONENT,
        sample: |name| (format!("python/samples/{name}.py"), "transform.py"),
    });
}

/// Made of the WIT world and plain tools, without an SDK: any language with such tools can.
#[test]
fn any_language_with_component_tools() {
    let Some(module) = plain_component() else {
        return;
    };
    let cases = project().join("guest-sdk/wit/example/cases.jsonl");
    passes(&module, &cases);
}
