//! Restarts, kills and failed writes, against a model.

use super::*;
use crate::sled::commands::faults;

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let large = Bytes::from(vec![b'x'; 300_000]);
    for restart in 0..4_i32 {
        let metadata = Metadata::open(path.clone()).unwrap();
        let epoch = metadata.node_started().unwrap();
        assert_eq!(epoch, LeaderEpoch(restart + 1));
        for earlier in 0..restart {
            let found = metadata.document("d", &format!("n{earlier}"));
            assert_eq!(found.as_ref(), Some(&large));
        }
        let name = format!("n{restart}");
        let put = metadata.put_document("d", &name, large.clone()).await;
        put.unwrap();
        let id = metadata.allocate_producer_id().await.unwrap();
        assert_eq!(id, ProducerId(i64::from(restart) * PRODUCER_ID_BLOCK));
        metadata.close();
        let closed = metadata.delete_document("d", &name).await;
        assert!(matches!(closed, Err(MetadataError::Closed)));
        assert_no_blobs(dir.path());
    }
}

#[test]
fn old_generations_go_and_the_one_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let metadata = Metadata::open(path.clone()).unwrap();
    for _ in 0..200 {
        metadata.apply_now(Command::Noop).unwrap();
        let generations = reading::generations(&path).unwrap();
        assert!(generations.len() <= 2, "{generations:?}");
    }
    let generations = reading::generations(&path).unwrap();
    assert_eq!(generations, BTreeSet::from([5, 6]));
    metadata.close();
    assert_eq!(Metadata::open(path.clone()).unwrap().index(), 200);
    let generations = reading::generations(&path).unwrap();
    assert_eq!(generations, BTreeSet::from([6, 7]));
}

/// A kill leaves what the process has handed to the system: the files as they are.
#[test]
fn kills_lose_nothing() {
    for seed in 0..6 {
        let mut random = Random::new(seed * 104_729 + 1);
        let dir = tempfile::tempdir().unwrap();
        let mut model = State::default();
        let mut node = dir.path().join("0");
        for life in 1..6 {
            let metadata = Metadata::open(node.join("metadata")).unwrap();
            assert_eq!(state_of(&metadata), model, "seed {seed}, life {life}");
            for _ in 0..random.below(60) {
                let command = random_command(&mut random);
                let answer = metadata.apply_now(command.clone()).unwrap();
                if !matches!(answer, Answer::Refused(_)) {
                    assert_eq!(model.apply(model.index() + 1, command), answer);
                }
                assert_eq!(state_of(&metadata), model, "seed {seed}, life {life}");
            }
            let next = dir.path().join(life.to_string());
            copy_dir(&node, &next);
            node = next;
        }
        assert_no_blobs(dir.path());
    }
}

/// One write or sync fails: the command is refused and does not count, now or later.
#[test]
fn a_command_that_was_refused_does_not_turn_up_again() {
    for seed in 0..10 {
        let mut random = Random::new(seed * 15_485_863 + 1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata");
        let mut model = State::default();
        let mut failed = 0;
        for _ in 0..3 {
            let metadata = Metadata::open(path.clone()).unwrap();
            assert_eq!(state_of(&metadata), model, "seed {seed}");
            for _ in 0..30 {
                let command = random_command(&mut random);
                faults::plan(random.below(24), 1);
                let answer = metadata.apply_now(command.clone());
                faults::end();
                match answer {
                    Ok(Answer::Refused(_)) => {}
                    Ok(answer) => assert_eq!(model.apply(model.index() + 1, command), answer),
                    Err(MetadataError::Store(_)) => failed += 1,
                    Err(other) => panic!("seed {seed}: {other}"),
                }
                assert_eq!(state_of(&metadata), model, "seed {seed}");
            }
        }
        assert!(failed > 0, "seed {seed}");
    }
}

/// From some step on nothing works, then the process is killed: what was answered is there, and of
/// the command under way all or nothing.
#[test]
fn a_kill_at_any_step_leaves_what_was_answered() {
    let mut random = Random::new(31);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let mut model = State::default();
    let mut undecided = 0;
    for round in 0..40 {
        let metadata = match open_with_faults(&path, &mut random) {
            Some(metadata) => metadata,
            None => Metadata::open(path.clone()).unwrap(),
        };
        assert_eq!(state_of(&metadata), model, "round {round}");
        faults::plan(random.below(40), usize::MAX);
        let last = loop {
            let command = random_command(&mut random);
            match metadata.apply_now(command.clone()) {
                Ok(Answer::Refused(_)) => {}
                Ok(answer) => assert_eq!(model.apply(model.index() + 1, command), answer),
                Err(MetadataError::Store(_)) => break command,
                Err(other) => panic!("round {round}: {other}"),
            }
        };
        // It goes on as it was for readers, and refuses changes.
        assert_eq!(state_of(&metadata), model, "round {round}");
        assert!(metadata.trouble().is_some(), "round {round}");
        let refused = metadata.apply_now(Command::Noop);
        assert!(matches!(refused, Err(MetadataError::Store(_))));
        faults::end();
        metadata.close();
        let found = state_of(&Metadata::open(path.clone()).unwrap());
        if found != model {
            undecided += 1;
            model.apply(model.index() + 1, last);
            assert_eq!(found, model, "round {round}");
        }
    }
    assert!(undecided > 3, "{undecided}");
}

fn open_with_faults(path: &Path, random: &mut Random) -> Option<Metadata> {
    faults::plan(random.below(11), usize::MAX);
    let opened = Metadata::open(path.to_owned());
    faults::end();
    match opened {
        Ok(metadata) => Some(metadata),
        Err(MetadataError::Store(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn no_value_becomes_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata");
    let metadata = Metadata::open(path.clone()).unwrap();
    for n in 0..60_usize {
        let bytes = [3_900, 4_096, 4_200, 130_000, 1_000_000][n % 5];
        let put = Command::PutDocument {
            kind: "d".to_owned(),
            name: format!("n{n}"),
            condition: Condition::IfAbsent,
            body: vec![7; bytes].into(),
        };
        assert!(matches!(metadata.apply_now(put), Ok(Answer::Version(_))));
        assert_no_blobs(dir.path());
    }
    metadata.close();
    assert_eq!(Metadata::open(path).unwrap().documents("d").len(), 60);
    assert_no_blobs(dir.path());
}

/// Nothing is acknowledged into files that nobody will find.
#[test]
fn a_removed_directory_takes_no_commands() {
    for removed in ["metadata", "metadata.end", ""] {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let path = data.join("metadata");
        let metadata = Metadata::open(path.clone()).unwrap();
        metadata.apply_now(Command::NodeStarted).unwrap();
        let gone = data.join(removed);
        if gone.is_dir() {
            std::fs::remove_dir_all(&gone).unwrap();
        } else {
            std::fs::remove_file(&gone).unwrap();
        }
        let refused = metadata.apply_now(Command::NodeStarted);
        assert!(matches!(refused, Err(MetadataError::Store(_))), "{removed}");
        assert_eq!(metadata.leader_epoch(), LeaderEpoch(1));
        if removed == "metadata.end" {
            // The state is written anew from memory, whole.
            assert_eq!(metadata.trouble(), None);
            metadata.apply_now(Command::NodeStarted).unwrap();
            metadata.close();
            assert_eq!(Metadata::open(path).unwrap().leader_epoch(), LeaderEpoch(2));
        } else {
            assert!(metadata.trouble().is_some());
            assert!(metadata.apply_now(Command::Noop).is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_the_same_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = Metadata::open(dir.path().join("metadata")).unwrap();
    let tasks = (0..8).map(|_| {
        let metadata = metadata.clone();
        tokio::spawn(async move {
            let created = metadata
                .create_topic(&name("t"), TopicSpec::default())
                .await;
            let mut added = 0;
            // Each adds one to a number that all of them write.
            while added < 10 {
                let found = metadata.document_version("d", "count");
                let put = match found {
                    None => metadata.create_document("d", "count", "1".into()).await,
                    Some((version, body)) => {
                        let count: u32 = std::str::from_utf8(&body).unwrap().parse().unwrap();
                        let body = (count + 1).to_string().into();
                        metadata.put_document_if(version, "d", "count", body).await
                    }
                };
                match put {
                    Ok(_) => added += 1,
                    Err(DocumentError::Exists { .. } | DocumentError::Version { .. }) => {}
                    Err(DocumentError::Metadata(error)) => panic!("{error}"),
                }
            }
            created.is_ok()
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(metadata.document("d", "count"), Some(Bytes::from("80")));
}
