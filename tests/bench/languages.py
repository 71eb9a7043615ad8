#!/usr/bin/env python3
"""Builds the samples of every language with the released program, runs their cases, measures identity
and project, and writes guest-sdk/RESULTS.md and the table in guest-sdk/README.md: `just languages`.

A language whose compiler is not there is named as skipped. Figures are of one run on one machine, one
after another; `wstream transform bench` makes each, on JSON records of 305 bytes.
"""

import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
cache = pathlib.Path(os.environ.get("WSTREAM_CACHE", pathlib.Path.home() / ".cache/wstream"))
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
wstream = target / "release/wstream"
SAMPLES = ["identity", "project", "split", "strict"]
STATEFUL = ["count"]
TABLE_BEGIN = "<!-- measured by just languages -->"
TABLE_END = "<!-- end -->"

# A language: where its samples are, and what their code is called in a folder of its own.
LANGUAGES = {
    "rust": ("wstream_v1", "rust/samples/{}.rs", "src/lib.rs"),
    "go": ("wstream_v1", "go/samples/{}/main.go", "main.go"),
    "assemblyscript": ("wstream_v1", "assemblyscript/samples/{}.ts", "transform.ts"),
    "c": ("wstream_v1", "c/samples/{}.c", "transform.c"),
    "zig": ("wstream_v1", "zig/samples/{}.zig", "transform.zig"),
    "javascript": ("component", "javascript/samples/{}.js", "transform.js"),
    "python": ("component", "python/samples/{}.py", "transform.py"),
}


def environment():
    """The compilers that scripts/languages.sh installs."""
    names = dict(os.environ)
    found = {
        "WSTREAM_ZIG": (cache / "zig/bin/python", " -m ziglang"),
        "WSTREAM_ASC": (cache / "asc/node_modules/.bin/asc", ""),
        "WSTREAM_COMPONENTIZE_JS": (cache / "componentize-js/node_modules/.bin/componentize-js", ""),
        "WSTREAM_ESBUILD": (cache / "componentize-js/node_modules/.bin/esbuild", ""),
        "WSTREAM_COMPONENTIZE_PY": (cache / "componentize-py/bin/componentize-py", ""),
    }
    for name, (path, rest) in found.items():
        if path.exists():
            names.setdefault(name, f"{path}{rest}")
    return names


def run(*words, **options):
    words = [str(word) for word in words]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, **options)


def must(*words):
    done = run(*words)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


def build(language, sample, folder):
    """The module of a sample, or None with the reason where the compiler is not there."""
    _, pattern, name = LANGUAGES[language]
    code = (root / "guest-sdk" / pattern.format(sample)).read_text()
    code = code.replace("../wstream.h", "wstream.h").replace("../assembly/", "./wstream/")
    for file in ["wstream", "state", "host"]:
        code = code.replace(f"'../{file}.js'", f"'./wstream/{file}.js'")
    (folder / name).write_text(code)
    shutil.copy(root / f"guest-sdk/samples/{sample}.toml", folder / "transform.toml")
    shutil.rmtree(folder / "dist", ignore_errors=True)
    done = run(wstream, "transform", "build", folder)
    if "there is no " in done.stderr and "hint: " in done.stderr:
        return None, done.stderr.strip().splitlines()[0]
    if done.returncode != 0:
        sys.exit(f"{language} {sample}: {done.stderr}")
    return next((folder / "dist").glob("*.wasm")), None


def cases(module, sample, folder):
    text = must(wstream, "transform", "test", module, "--cases", folder / f"{sample}.cases.jsonl")
    return int(text.rsplit(":", 1)[1].split()[0])


def bench(module, kind, instances=None):
    # Engines in a component take a thousand times as long for a record.
    count = "10000" if kind == "component" else "200000"
    words = [wstream, "transform", "bench", module, "--json", "--count", count]
    if instances:
        words += ["--instances", instances]
    return json.loads(must(*words))


def figures(language, kind, identity, project, rows):
    first = bench(identity, kind, 100 if kind == "component" else 1000)
    second = bench(project, kind)
    held = first["instances_bytes"] / first["instances"] / 1024
    rows.append(
        f"| {language} | {kind} | {first['ns_per_record']:,.0f} | {second['ns_per_record']:,.0f} "
        f"| {first['module_bytes'] / 1024:,.0f} | {first['compile_ms']:,.0f} "
        f"| {first['cached_ms']:.1f} | {first['instantiate_us']:,.0f} | {held:,.0f} |"
    )
    print(rows[-1], flush=True)


def own_languages(tested, rows):
    # Names of languages as arguments measure those alone.
    wanted = sys.argv[1:] or list(LANGUAGES)
    for language, (kind, _, _) in LANGUAGES.items():
        if language not in wanted:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch) / "shout"
            must(wstream, "transform", "new", "shout", "--lang", language, "--folder", folder)
            modules, passed = {}, []
            for sample in SAMPLES + STATEFUL:
                module, missing = build(language, sample, folder)
                if missing:
                    tested.append(f"| {language} | skipped: {missing} |")
                    print(tested[-1], flush=True)
                    break
                count = cases(module, sample, root / "guest-sdk/samples")
                passed.append(f"{sample} {count}")
                modules[sample] = pathlib.Path(scratch) / f"{sample}.wasm"
                shutil.copy(module, modules[sample])
            else:
                tested.append(f"| {language} | {', '.join(passed)} |")
                print(tested[-1], flush=True)
                figures(language, kind, modules["identity"], modules["project"], rows)


def redpanda(tested, rows):
    for language in ["rust", "go"]:
        folders = sorted((cache / "redpanda").glob(f"{language}-*"), key=lambda f: f.stat().st_mtime)
        name = f"{language}, Redpanda's SDK"
        if not folders:
            tested.append(f"| {name} | skipped: scripts/redpanda.sh has built nothing |")
            continue
        modules = folders[-1]
        count = cases(modules / "identity.wasm", "identity", root / "guest-sdk/samples")
        own = cases(modules / "project.wasm", "project", root / "guest-sdk/redpanda")
        tested.append(f"| {name} | identity {count}, project {own} |")
        print(tested[-1], flush=True)
        figures(name, "redpanda_transform", modules / "identity.wasm", modules / "project.wasm", rows)


def native(rows):
    """The same code of the Rust SDK as part of a program, where tests/bench is built."""
    program = target / "release/wstream-bench"
    if not program.exists():
        return
    done = run(program, "transform", root / "transforms/dist")
    measured = json.loads(done.stdout) if done.returncode == 0 else {}
    floor = {row.get("kind", name): row for name, row in measured.items() if isinstance(row, dict)}
    if "identity" in floor and "lazy" in floor:
        identity, lazy = floor["identity"]["native_ns"], floor["lazy"]["native_ns"]
        rows.append(f"| Rust, native | no module | {identity:,.0f} | {lazy:,.0f} | | | | | |")


def main():
    if not wstream.exists():
        sys.exit(f"{wstream} is not there: cargo build --release -p wstream")
    tested, rows = [], []
    own_languages(tested, rows)
    redpanda(tested, rows)
    native(rows)
    commit = must("git", "-C", root, "rev-parse", "--short", "HEAD").strip()
    day = datetime.date.today().isoformat()
    heading = [
        "| language | kind | identity, ns/record | project, ns/record | identity's module, KiB "
        "| compiled in, ms | found compiled in, ms | an instance in, us | an instance takes, KiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    text = [
        "# The samples in every language",
        "",
        f"Written by `just languages` on {day} at commit {commit}, on {platform.machine()} with "
        f"{os.cpu_count()} cores. A record has 305 bytes of JSON; batches of 1,000; the median of three "
        "rounds; time on the guest threads, frames included.",
        "",
        "## Cases passed",
        "",
        "| language | samples and their cases |",
        "|---|---|",
        *tested,
        "",
        "## Measured",
        "",
        *heading,
        *rows,
        "",
        "Components were given 10,000 records a round, the others 200,000. Instances held at a time: 100 of a",
        "component, 1,000 of the others.",
        "",
    ]
    (root / "guest-sdk/RESULTS.md").write_text("\n".join(text))
    # A run of some languages is no table of all.
    if not sys.argv[1:]:
        readme = root / "guest-sdk/README.md"
        head, _, rest = readme.read_text().partition(TABLE_BEGIN)
        _, _, tail = rest.partition(TABLE_END)
        table = "\n".join(heading + rows)
        readme.write_text(f"{head}{TABLE_BEGIN}\n{table}\n{TABLE_END}{tail}")
    print(f"guest-sdk/RESULTS.md: {len(tested)} languages and kinds")


main()
