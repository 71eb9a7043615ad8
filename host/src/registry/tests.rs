//! Uploads, versions and what is found again, also after a crash in between.

use wstream_log::Log;
use wstream_transform::RuntimeConfig;

use super::*;

/// A module that tells itself from others by a number.
fn module(number: u32) -> Vec<u8> {
    let text = format!(
        r#"(module
        (memory (export "memory") 1)
        (global (export "number") i32 (i32.const {number}))
        (func (export "wstream_abi_v1"))
        (func (export "wstream_alloc") (param i32) (result i32) i32.const 0)
        (func (export "wstream_process") (param i32 i32) (result i64) i64.const 0))"#
    );
    wat::parse_str(text).unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    log: Log,
    runtime: Arc<Runtime>,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            log: Log::in_memory(Clock::system()),
            runtime: Runtime::new(RuntimeConfig::default()).unwrap(),
        }
    }

    /// As a node finds it at its start.
    async fn open(&self) -> Registry {
        let folders = Folders {
            modules: self.dir.path().join("modules"),
            aside: self.dir.path().join("aside/modules"),
        };
        let metadata = self.log.metadata().clone();
        Registry::open(
            folders,
            metadata,
            Arc::clone(&self.runtime),
            Clock::system(),
        )
        .await
        .unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("modules")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

async fn store(registry: &Registry, name: &str, bytes: &[u8]) -> Result<Stored, RegistryError> {
    let mut upload = registry.begin().await?;
    for piece in bytes.chunks(100) {
        upload.write(piece).await?;
    }
    registry.put(name, upload).await
}

async fn put(registry: &Registry, name: &str, bytes: &[u8]) -> Result<Stored, RegistryError> {
    let stored = store(registry, name, bytes).await?;
    registry.activate(name, stored.version.version).await?;
    Ok(stored)
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[tokio::test]
async fn versions_are_counted_and_the_same_bytes_are_one() {
    let bench = Bench::new();
    let registry = bench.open().await;
    let first = put(&registry, "a", &module(1)).await.unwrap();
    let second = put(&registry, "a", &module(2)).await.unwrap();
    let again = put(&registry, "a", &module(1)).await.unwrap();
    assert_eq!((first.version.version, first.existed), (1, false));
    assert_eq!((second.version.version, second.existed), (2, false));
    assert_eq!((again.version.version, again.existed), (1, true));
    assert_eq!(registry.get("a").unwrap().active, 1);
    // Another name with the same bytes counts for itself.
    let other = put(&registry, "b", &module(1)).await.unwrap();
    assert_eq!((other.version.version, other.existed), (1, false));
    assert_eq!(bench.files().len(), 2);
    assert_eq!(first.version.sha256.len(), 64);
    assert_eq!(first.version.sha256, other.version.sha256);
}

#[tokio::test]
async fn what_was_answered_is_found_after_a_restart_and_leftovers_are_not() {
    let bench = Bench::new();
    let registry = bench.open().await;
    put(&registry, "a", &module(1)).await.unwrap();
    put(&registry, "a", &module(2)).await.unwrap();
    registry.activate("a", 1).await.unwrap();
    let mut cut_off = registry.begin().await.unwrap();
    cut_off.write(b"half").await.unwrap();
    std::mem::forget(cut_off);
    // A file that was kept, and whose version was not written any more.
    let orphan = bench.dir.path().join("modules/00ff.wasm");
    std::fs::write(&orphan, b"first").unwrap();
    assert_eq!(bench.files().len(), 4);

    let before = registry.list();
    let registry = bench.open().await;
    assert_eq!(registry.list(), before);
    assert_eq!(bench.files().len(), 2);
    // It is kept, also when another one of that name comes.
    std::fs::write(orphan, b"second").unwrap();
    bench.open().await;
    for (name, bytes) in [("00ff.wasm", "first"), ("00ff.1.wasm", "second")] {
        let kept = bench.dir.path().join("aside/modules").join(name);
        assert_eq!(std::fs::read_to_string(kept).unwrap(), bytes);
    }
    let (version, bytes) = registry.bytes(&reference("a")).await.unwrap();
    assert_eq!((version, &bytes[..]), (1, &module(1)[..]));
    let (version, bytes) = registry.bytes(&reference("a@2")).await.unwrap();
    assert_eq!((version, &bytes[..]), (2, &module(2)[..]));
    let third = put(&registry, "a", &module(3)).await.unwrap();
    assert_eq!(third.version.version, 3);
}

#[tokio::test]
async fn a_deleted_name_is_gone_with_the_files_that_nobody_else_has() {
    let bench = Bench::new();
    let registry = bench.open().await;
    put(&registry, "a", &module(1)).await.unwrap();
    put(&registry, "a", &module(2)).await.unwrap();
    put(&registry, "b", &module(2)).await.unwrap();
    registry.delete("a").await.unwrap();
    assert_eq!(bench.files().len(), 1);
    let error = registry.bytes(&reference("a")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no module \"a\"");
    let registry = bench.open().await;
    assert_eq!(registry.list().len(), 1);
    assert_eq!(
        put(&registry, "a", &module(9))
            .await
            .unwrap()
            .version
            .version,
        1
    );
}

#[tokio::test]
async fn uploads_of_one_name_at_the_same_time_get_versions_of_their_own() {
    let bench = Bench::new();
    let registry = bench.open().await;
    let uploads = (0..20).map(|number| {
        let registry = registry.clone();
        async move {
            put(&registry, "a", &module(number))
                .await
                .unwrap()
                .version
                .version
        }
    });
    let mut versions = futures_util::future::join_all(uploads).await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    assert_eq!(registry.get("a").unwrap().versions.len(), 20);
}

#[tokio::test]
async fn what_is_refused_says_why_and_leaves_nothing() {
    let bench = Bench::new();
    let registry = bench.open().await;
    let cut = &module(1)[..40];
    let rows: [(&str, &[u8], &str); 5] = [
        ("a", b"", "not a WebAssembly module: it begins with nothing"),
        (
            "a",
            b"text",
            "not a WebAssembly module: it begins with 74 65 78 74",
        ),
        ("a", cut, "not a valid module"),
        ("a", b"\0asm\x01\0\0\0", "not a wstream_v1 transform"),
        ("../a", &module(1), "\"../a\" cannot name a module"),
    ];
    for (name, bytes, message) in rows {
        let error = put(&registry, name, bytes).await.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert_eq!(bench.files(), Vec::<String>::new());
    }
    assert_eq!(registry.list(), []);

    let mut upload = registry.begin().await.unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..64 {
        upload.write(&piece).await.unwrap();
    }
    let error = upload.write(b"one more").await.unwrap_err().to_string();
    assert_eq!(error, "the module is larger than 64MiB");
    drop(upload);
    assert_eq!(bench.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_version_whose_file_is_gone_is_not_activated_and_can_be_uploaded_again() {
    let bench = Bench::new();
    let registry = bench.open().await;
    let first = put(&registry, "a", &module(1)).await.unwrap();
    put(&registry, "a", &module(2)).await.unwrap();
    let file = format!("modules/{}.wasm", first.version.sha256);
    std::fs::remove_file(bench.dir.path().join(file)).unwrap();
    for error in [
        registry.activate("a", 1).await.unwrap_err(),
        registry.bytes(&reference("a@1")).await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert_eq!(error, "the file of a@1 is gone: upload the module again");
    }
    assert_eq!(registry.get("a").unwrap().active, 2);
    let again = put(&registry, "a", &module(1)).await.unwrap();
    assert!(again.existed && again.version.version == 1);
    assert_eq!(registry.get("a").unwrap().active, 1);
    let error = registry.activate("a", 7).await.unwrap_err().to_string();
    assert_eq!(error, "module \"a\" has no version 7");
}

#[tokio::test]
async fn a_version_on_trial_is_active_until_a_restart_unless_it_has_passed() {
    let bench = Bench::new();
    let registry = bench.open().await;
    for n in 1..=3 {
        store(&registry, "a", &module(n)).await.unwrap();
    }
    registry.put_on_trial("a", 2).await.unwrap();
    // An upload on the way does not make it last.
    store(&registry, "a", &module(4)).await.unwrap();
    assert_eq!(registry.get("a").unwrap().active, 2);
    let registry = bench.open().await;
    assert_eq!(registry.get("a").unwrap().active, 1);

    registry.put_on_trial("a", 2).await.unwrap();
    registry.settle("a", 2).await.unwrap();
    let registry = bench.open().await;
    assert_eq!(registry.get("a").unwrap().active, 2);

    // Another version was made active before the verdict, and one that did not fit was taken back.
    registry.put_on_trial("a", 3).await.unwrap();
    let on_trial = registry.get("a").unwrap();
    registry.activate("a", 4).await.unwrap();
    registry.settle("a", 3).await.unwrap();
    assert_eq!(registry.get("a").unwrap().active, 4);
    registry.restore(&on_trial).await.unwrap();
    assert_eq!(registry.get("a").unwrap().active, 3);
    let registry = bench.open().await;
    assert_eq!(registry.get("a").unwrap().active, 2);
}

#[test]
fn references_name_a_version_or_the_active_one() {
    let parsed = |text| Reference::parse(text).map(|r| (r.name, r.version)).ok();
    assert_eq!(parsed("a"), Some(("a".to_owned(), None)));
    assert_eq!(parsed("a.b-c@12"), Some(("a.b-c".to_owned(), Some(12))));
    for bad in ["", "@1", "a@", "a@0", "a@x", "a@1@2", "a b", ".a", "a/b"] {
        assert_eq!(parsed(bad), None, "{bad}");
    }
}
