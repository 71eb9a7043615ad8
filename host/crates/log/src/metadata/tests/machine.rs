//! The state machine, and the metadata in memory.

use super::super::state::{DELETED_TOPICS_MAX, DeletedTopics};
use super::*;
use crate::metadata::commands::Refused;

#[test]
fn the_same_commands_lead_to_equal_states_and_answers() {
    for seed in 0..200 {
        let mut random = Random::new(seed * 7_919 + 1);
        let (mut one, mut two) = (State::default(), State::default());
        let mut refused = 0;
        for index in 1..=120 {
            let command = random_command(&mut random);
            let stored = Bytes::from(command.encode());
            assert_eq!(Command::decode(&stored), Ok(command.clone()), "seed {seed}");
            let refusal = one.refusal(&command);
            let before = one.clone();
            let answer = one.apply(index, command.clone());
            assert_eq!(two.apply(index, command), answer, "seed {seed}");
            assert_eq!(one, two, "seed {seed}");
            assert_eq!(one.index(), index);
            if let Answer::Refused(reason) = answer {
                refused += 1;
                assert_eq!(refusal, Some(reason), "seed {seed}");
                let mut unchanged = before;
                unchanged.index = index;
                assert_eq!(one, unchanged, "seed {seed}");
            } else {
                assert_eq!(refusal, None, "seed {seed}");
            }
            if index % 20 == 0 {
                // A machine that comes back from a snapshot goes on as the other does.
                two = State::decode(&Bytes::from(two.encode())).unwrap();
                assert_eq!(one, two, "seed {seed}");
            }
        }
        assert!((10..110).contains(&refused), "seed {seed}: {refused}");
    }
}

#[test]
fn hostile_snapshots_and_commands_are_errors() {
    let mut random = Random::new(5);
    let mut state = State::default();
    for index in 1..=200 {
        state.apply(index, random_command(&mut random));
    }
    let whole = state.encode();
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        bytes.truncate(random.below(whole.len()));
        assert!(State::decode(&Bytes::from(bytes)).is_err());
        let mut bytes = whole.clone();
        let at = random.below(whole.len());
        bytes[at] ^= 1 << random.below(8);
        drop(State::decode(&Bytes::from(bytes)));
    }
    for bytes in [
        "",
        "\n",
        "{}\n",
        "\"noop\"",
        "\"noop\"\nx",
        "{\"other\":1}\n",
    ] {
        assert!(Command::decode(&Bytes::from(bytes)).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_topic_created_again_is_another_one() {
    let mut state = State::default();
    let create = |n| Command::CreateTopic {
        name: name("t"),
        id: id(n),
        spec: TopicSpec::partitions(2),
    };
    let delete = |id| Command::DeleteTopic {
        name: name("t"),
        id,
    };
    let refused = Answer::Refused;
    assert!(matches!(state.apply(1, create(1)), Answer::Topic(info) if info.id == id(1)));
    let exists = refused(Refused::TopicExists(name("t")));
    assert_eq!(state.apply(2, create(2)), exists);
    let unknown = refused(Refused::TopicUnknown(name("t")));
    assert_eq!(state.apply(3, delete(Some(id(2)))), unknown);
    let deleted = Answer::TopicDeleted {
        id: id(1),
        partitions: 2,
    };
    assert_eq!(state.apply(4, delete(None)), deleted);
    assert_eq!(state.apply(5, delete(None)), unknown);
    assert!(state.deleted.contains(id(1)));
    // An id is never used again, a name is.
    assert_eq!(state.apply(6, create(1)), exists);
    assert!(matches!(state.apply(7, create(2)), Answer::Topic(info) if info.id == id(2)));
    assert_eq!(state.apply(8, delete(Some(id(1)))), unknown);
}

#[test]
fn the_oldest_deleted_topics_are_forgotten() {
    let mut deleted = DeletedTopics::default();
    let id = |n: usize| {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        TopicId(bytes)
    };
    for n in 0..DELETED_TOPICS_MAX + 3 {
        deleted.insert(id(n));
    }
    deleted.insert(id(3));
    assert_eq!(deleted.iter().len(), DELETED_TOPICS_MAX);
    assert!(!deleted.contains(id(2)));
    assert!(deleted.contains(id(3)));
}

#[tokio::test]
async fn conditions_decide_about_documents() {
    let metadata = Metadata::in_memory();
    let body = |text: &'static str| Bytes::from(text);
    let first = metadata.create_document("d", "n", body("1")).await.unwrap();
    let again = metadata.create_document("d", "n", body("2")).await;
    assert!(matches!(again, Err(DocumentError::Exists { version }) if version == first));
    let second = metadata
        .put_document_if(first, "d", "n", body("2"))
        .await
        .unwrap();
    let stale = metadata.put_document_if(first, "d", "n", body("3")).await;
    assert!(matches!(stale, Err(DocumentError::Version { found: Some(v) }) if v == second));
    let stale = metadata.delete_document_if(first, "d", "n").await;
    assert!(matches!(stale, Err(DocumentError::Version { .. })));
    assert_eq!(
        metadata.document_version("d", "n"),
        Some((second, body("2")))
    );
    metadata.put_document("d", "m", body("x")).await.unwrap();
    let documents = vec![("m".to_owned(), body("x")), ("n".to_owned(), body("2"))];
    assert_eq!(metadata.documents("d"), documents);
    assert!(metadata.delete_document("d", "n").await.unwrap());
    assert!(!metadata.delete_document("d", "n").await.unwrap());
    let gone = metadata.put_document_if(second, "d", "n", body("4")).await;
    assert!(matches!(gone, Err(DocumentError::Version { found: None })));
}

#[tokio::test]
async fn topics_say_what_was_set_and_what_is_a_default() {
    let metadata = Metadata::in_memory_with(Entropy::seeded(3));
    let spec = TopicSpec::partitions(2).with("retention.ms", "9");
    let topic = metadata.create_topic(&name("t"), spec.clone()).await;
    let topic = topic.unwrap();
    assert_eq!(topic.overrides, spec.overrides);
    assert_eq!(metadata.topic(&name("t")), Some(topic.clone()));
    assert_eq!(metadata.topic_of(topic.id), Some(topic.clone()));
    let exists = metadata.create_topic(&name("t"), spec).await;
    assert!(matches!(exists, Err(TopicError::Exists(_))));
    let fewer = metadata
        .alter_topic(&name("t"), TopicSpec::partitions(1))
        .await;
    assert!(matches!(
        fewer,
        Err(TopicError::FewerPartitions {
            has: 2,
            wanted: 1,
            ..
        })
    ));
    let bad = TopicSpec::partitions(3).with("no.such", "1");
    let bad = metadata.alter_topic(&name("t"), bad).await;
    assert!(matches!(bad, Err(TopicError::Setting { key, .. }) if key == "no.such"));
    let altered = metadata
        .alter_topic(&name("t"), TopicSpec::partitions(3))
        .await
        .unwrap();
    assert_eq!((altered.id, altered.config.partitions), (topic.id, 3));
    assert!(altered.overrides.is_empty());
    assert_eq!(metadata.topics(), [altered]);
    let deleted = metadata.delete_topic(&name("t"), None).await.unwrap();
    assert_eq!(deleted, (topic.id, 3));
    assert!(metadata.is_deleted(topic.id));
    let unknown = metadata.delete_topic(&name("t"), None).await;
    assert!(matches!(unknown, Err(TopicError::Unknown(_))));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let metadata = Metadata::in_memory();
    let body = Bytes::from(vec![0; 4 << 20]);
    let refused = metadata.put_document("d", "n", body).await;
    assert!(matches!(refused, Err(MetadataError::TooLarge { .. })));
    assert_eq!(metadata.document("d", "n"), None);
    let huge = TopicSpec::default().with(&"k".repeat(2 << 20), "1");
    let refused = metadata.create_topic(&name("t"), huge).await;
    assert!(matches!(
        refused,
        Err(TopicError::Metadata(MetadataError::TooLarge { .. }))
    ));
    assert_eq!(metadata.index(), 0);
}

#[test]
fn seeded_ids_repeat_and_those_of_the_system_do_not() {
    let ids = |entropy: Entropy| [entropy.topic_id().unwrap(), entropy.topic_id().unwrap()];
    assert_eq!(ids(Entropy::seeded(1)), ids(Entropy::seeded(1)));
    assert_ne!(ids(Entropy::seeded(1)), ids(Entropy::seeded(2)));
    let [one, two] = ids(Entropy::system());
    assert_ne!(one, two);
}
