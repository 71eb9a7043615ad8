use super::*;

async fn put(metadata: &Metadata, name: &str, body: Vec<u8>) {
    let put = metadata.put_document("d", name, body.into()).await;
    put.unwrap();
}

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let large = vec![b'x'; 300_000];
    for restart in 0..4 {
        let metadata = Metadata::open(path.clone()).unwrap();
        for earlier in 0..restart {
            let name = format!("n{earlier}");
            assert_eq!(metadata.document("d", &name).unwrap().len(), 300_000);
        }
        put(&metadata, &format!("n{restart}"), large.clone()).await;
        put(&metadata, "again", restart.to_string().into()).await;
        let id = metadata.allocate_producer_id().await.unwrap();
        assert_eq!(id, ProducerId(restart * PRODUCER_ID_BLOCK));
    }
}

#[tokio::test]
async fn snapshots_take_the_place_of_commands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let metadata = Metadata::open(path.clone()).unwrap();
    for n in 0..2_500_u32 {
        let name = format!("n{}", n % 7);
        put(&metadata, &name, n.to_string().into_bytes()).await;
    }
    let before = metadata.documents("d");
    assert_eq!(before.len(), 7);
    metadata.close();
    assert!(matches!(
        metadata.delete_document("d", "n0").await,
        Err(MetadataError::Closed)
    ));
    let reopened = Metadata::open(path).unwrap();
    assert_eq!(reopened.documents("d"), before);
    put(&reopened, "n0", b"last".to_vec()).await;
    assert_eq!(reopened.document("d", "n0"), Some(Bytes::from("last")));
}

#[tokio::test]
async fn documents_above_the_bound_are_refused() {
    let metadata = Metadata::in_memory();
    let body = Bytes::from(vec![0; 4 << 20]);
    let refused = metadata.put_document("d", "n", body).await;
    assert!(matches!(refused, Err(MetadataError::TooLarge { .. })));
    assert_eq!(metadata.document("d", "n"), None);
}
