//! Every import a module may use, with its type: what inspection checks and the linker defines.

/// A function's type, one letter per value: `i` i32, `I` i64, `f` f32, `F` f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    pub(crate) params: &'a str,
    pub(crate) results: &'a str,
}

/// An import that links.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Import {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) signature: Signature<'static>,
}

pub(crate) const WSTREAM: &str = "wstream_v1";
pub(crate) const KEYED_STATE: &str = "wstream_kv_v1";
pub(crate) const REDPANDA: &str = "redpanda_transform";
/// One of them must be imported; nobody calls them.
pub(crate) const REDPANDA_MARKERS: [&str; 2] = ["check_abi_version_1", "check_abi_version_2"];
pub(crate) const SCHEMA_REGISTRY: &str = "redpanda_schema_registry";
pub(crate) const WASI: &str = "wasi_snapshot_preview1";
pub(crate) const ENV: &str = "env";

const fn import(
    module: &'static str,
    name: &'static str,
    params: &'static str,
    results: &'static str,
) -> Import {
    let signature = Signature { params, results };
    Import {
        module,
        name,
        signature,
    }
}

const fn wasi(name: &'static str, params: &'static str) -> Import {
    import(WASI, name, params, "i")
}

/// All of them.
pub(crate) const IMPORTS: [Import; 69] = [
    import(WSTREAM, "log", "iii", ""),
    import(WSTREAM, "metric", "iiiF", ""),
    import(WSTREAM, "fail", "iii", ""),
    import(WSTREAM, "now_ms", "", "I"),
    import(KEYED_STATE, "get", "iiii", "I"),
    import(KEYED_STATE, "put", "iiiiI", "i"),
    import(KEYED_STATE, "delete", "ii", "i"),
    import(KEYED_STATE, "scan", "iiiiii", "I"),
    import(REDPANDA, REDPANDA_MARKERS[0], "", ""),
    import(REDPANDA, REDPANDA_MARKERS[1], "", ""),
    import(REDPANDA, "read_batch_header", "iiiiiiiiii", "i"),
    import(REDPANDA, "read_next_record", "iiiii", "i"),
    import(REDPANDA, "write_record", "ii", "i"),
    import(REDPANDA, "write_record_with_options", "iiii", "i"),
    import(SCHEMA_REGISTRY, "check_abi_version_0", "", ""),
    import(SCHEMA_REGISTRY, "get_schema_definition_len", "ii", "i"),
    import(SCHEMA_REGISTRY, "get_schema_definition", "iii", "i"),
    import(SCHEMA_REGISTRY, "get_subject_schema_len", "iiii", "i"),
    import(SCHEMA_REGISTRY, "get_subject_schema", "iiiii", "i"),
    import(SCHEMA_REGISTRY, "create_subject_schema", "iiiii", "i"),
    import(ENV, "abort", "iiii", ""),
    import(ENV, "trace", "iiFFFFF", ""),
    import(ENV, "seed", "", "F"),
    wasi("args_get", "ii"),
    wasi("args_sizes_get", "ii"),
    wasi("environ_get", "ii"),
    wasi("environ_sizes_get", "ii"),
    wasi("clock_res_get", "ii"),
    wasi("clock_time_get", "iIi"),
    wasi("fd_advise", "iIIi"),
    wasi("fd_allocate", "iII"),
    wasi("fd_close", "i"),
    wasi("fd_datasync", "i"),
    wasi("fd_fdstat_get", "ii"),
    wasi("fd_fdstat_set_flags", "ii"),
    wasi("fd_fdstat_set_rights", "iII"),
    wasi("fd_filestat_get", "ii"),
    wasi("fd_filestat_set_size", "iI"),
    wasi("fd_filestat_set_times", "iIIi"),
    wasi("fd_pread", "iiiIi"),
    wasi("fd_prestat_get", "ii"),
    wasi("fd_prestat_dir_name", "iii"),
    wasi("fd_pwrite", "iiiIi"),
    wasi("fd_read", "iiii"),
    wasi("fd_readdir", "iiiIi"),
    wasi("fd_renumber", "ii"),
    wasi("fd_seek", "iIii"),
    wasi("fd_sync", "i"),
    wasi("fd_tell", "ii"),
    wasi("fd_write", "iiii"),
    wasi("path_create_directory", "iii"),
    wasi("path_filestat_get", "iiiii"),
    wasi("path_filestat_set_times", "iiiiIIi"),
    wasi("path_link", "iiiiiii"),
    wasi("path_open", "iiiiiIIii"),
    wasi("path_readlink", "iiiiii"),
    wasi("path_remove_directory", "iii"),
    wasi("path_rename", "iiiiii"),
    wasi("path_symlink", "iiiii"),
    wasi("path_unlink_file", "iii"),
    wasi("poll_oneoff", "iiii"),
    import(WASI, "proc_exit", "i", ""),
    wasi("proc_raise", "i"),
    wasi("random_get", "ii"),
    wasi("sched_yield", ""),
    wasi("sock_accept", "iii"),
    wasi("sock_recv", "iiiiii"),
    wasi("sock_send", "iiiii"),
    wasi("sock_shutdown", "ii"),
];

impl std::fmt::Display for Signature<'_> {
    /// `(i32, i32) -> i64`; without a result `(i32)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |letters: &str| {
            let names: Vec<_> = letters.chars().map(type_name).collect();
            names.join(", ")
        };
        write!(f, "({})", list(self.params))?;
        if self.results.is_empty() {
            Ok(())
        } else {
            write!(f, " -> {}", list(self.results))
        }
    }
}

fn type_name(letter: char) -> &'static str {
    match letter {
        'i' => "i32",
        'I' => "i64",
        'f' => "f32",
        'F' => "f64",
        'v' => "v128",
        _ => "ref",
    }
}
