//! The client and the serializers that programs use, from the package index.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::MOUNT;
use crate::harness::{NodeBuilder, Output, project, skipped};

/// The Python that has the client, where `scripts/languages.sh` could install it.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("WSTREAM_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/wstream"),
        PathBuf::from,
    );
    let python = cache.join("confluent/bin/python");
    let has_it = Command::new(&python)
        .args(["-c", "import confluent_kafka.schema_registry.avro"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_it {
        skipped("confluent-kafka is not installed: run scripts/languages.sh");
    }
    has_it.then_some(python)
}

#[test]
fn the_serializers_of_a_real_client_work_unchanged() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path())
        .arg("--http-token=secret")
        .start();
    let script = project().join("tests/integration/schemas/client.py");
    let url = format!("http://{}{MOUNT}", node.http());
    let output = Output::of(Command::new(python).arg(script).args([&*url, "secret"]));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let said: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        said["avro"],
        json!({"id": 1, "read": {"name": "Ada", "age": 36}})
    );
    assert_eq!(
        said["evolved"],
        json!({"id": 2, "read": {"name": "Ada", "age": 36, "city": "?"}})
    );
    assert_eq!(said["json"], json!({"id": 3, "read": {"name": "Ada"}}));
    assert_eq!(said["incompatible"], json!([409, 409]));
    assert_eq!(said["unknown"], json!([404, 40401]));
    assert_eq!(said["compatible"], json!([true, false]));
    assert_eq!(said["level"], json!("FULL"));
    assert_eq!(said["subjects"], json!(["people-value", "things-value"]));
    assert_eq!(said["deleted"], json!([[1, 2], [1, 2]]));
    assert_eq!(said["without_token"], json!(401));
}
