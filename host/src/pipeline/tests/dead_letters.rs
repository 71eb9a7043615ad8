//! Records that fail: where they go, with what headers, and what the policies make of them.

use wstream_record::{Compression, Header};

use super::*;

fn headers(record: &Record) -> Vec<(String, String)> {
    let text = |h: &Header| {
        let value = h.value.clone().unwrap_or_default();
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        (text(&h.name), text(&value))
    };
    record.headers.iter().map(text).collect()
}

fn error(record: &Record, name: &str) -> String {
    let value = record.header(&format!("wstream.error.{name}"));
    String::from_utf8(value.cloned().unwrap_or_default().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_is_unchanged_and_says_why() {
    let node = Node::new(3).await;
    let mut bad = record("!f");
    bad.headers.push(Header::text("trace", "7"));
    let records = [record("a"), bad.clone(), record("b")];
    node.partition("in", 2)
        .append(batch(&records))
        .await
        .unwrap();
    let target = MemoryTarget::new(true);
    let steps = vec![node.probe("first").await, node.probe("second").await];
    let plan = node.plan(&config(2), steps, &memory(&target));
    let status = node.run_to_end(&plan).await;
    let found: Vec<_> = stored(&target, 2).into_iter().map(|(o, ..)| o).collect();
    assert_eq!(found, [0, 2]);
    assert_eq!(
        (status.state, status.errors_total),
        (PipelineState::Done, 1)
    );

    let dlq = node.log.topic(&topic("in.dlq")).unwrap().config;
    let source = node.log.topic(&topic("in")).unwrap().config;
    assert_eq!(dlq.partitions, 3);
    assert_eq!(dlq.max_message_bytes.0, source.max_message_bytes.0 + 65_536);
    let letters = node.read("in.dlq", 2).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].record;
    assert_eq!((&letter.key, &letter.value), (&bad.key, &bad.value));
    assert_eq!(letter.timestamp, bad.timestamp);
    let expected = [
        ("trace", "7"),
        ("wstream.error.stage", "transform"),
        ("wstream.error.pipeline", "p"),
        ("wstream.error.transform", "first"),
        ("wstream.error.step", "1"),
        ("wstream.error.code", "42"),
        ("wstream.error.message", "as asked"),
        ("wstream.error.topic", "in"),
        ("wstream.error.partition", "2"),
        ("wstream.error.offset", "1"),
        ("wstream.error.timestamp", "1760000000000"),
        ("wstream.error.attempts", "1"),
    ];
    let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(headers(letter), expected);
}

#[tokio::test(start_paused = true)]
async fn causes_of_the_host_are_named_and_neighbours_delivered() {
    let node = Node::new(1).await;
    node.append(0, &["a", "!t", "!b", "!x", "b", "!o", "c"])
        .await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(
        &config(1),
        vec![node.probe("probe").await],
        &memory(&target),
    );
    node.run_to_end(&plan).await;
    let found: Vec<_> = stored(&target, 0).into_iter().map(|(o, ..)| o).collect();
    assert_eq!(found, [0, 4, 6]);
    let letters = node.read("in.dlq", 0).await;
    let codes: Vec<_> = letters
        .iter()
        .map(|l| (error(&l.record, "offset"), error(&l.record, "code")))
        .collect();
    let expected = [
        ("1", "trap"),
        ("2", "bad_frame"),
        ("3", "exit"),
        ("5", "output_size"),
    ];
    assert_eq!(codes, expected.map(|(o, c)| (o.to_owned(), c.to_owned())));
    let counted = node
        .world
        .deps
        .metrics
        .pipeline("p")
        .dead_letters
        .snapshot();
    assert_eq!((counted["trap"], counted["exit"]), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_late_leaves_no_outputs_behind() {
    let node = Node::new(1).await;
    // The first step gives two outputs of it; the second has nowhere to put its own second one.
    node.append(0, &["a", "!2", "b"]).await;
    let (target, side) = (MemoryTarget::new(true), MemoryTarget::new(true));
    let sinks = [
        SinkTarget::memory("m", target.clone()),
        SinkTarget::memory("s", side.clone()),
    ];
    let mut config = config(2);
    config.transforms[0]
        .outputs
        .insert("1".to_owned(), vec!["s".to_owned()]);
    let steps = vec![node.probe("first").await, node.probe("second").await];
    node.run_to_end(&node.plan(&config, steps, &sinks)).await;
    let found: Vec<_> = stored(&target, 0).into_iter().map(|(o, ..)| o).collect();
    assert_eq!(found, [0, 2]);
    assert_eq!(side.stored(), []);
    let letters = node.read("in.dlq", 0).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].record;
    assert_eq!(
        (error(letter, "step"), error(letter, "code")),
        ("2".into(), "output".into())
    );
    assert_eq!(
        error(letter, "message"),
        "output 1 goes nowhere: the pipeline gives it no sink"
    );
}

#[tokio::test(start_paused = true)]
async fn skipped_records_are_counted_and_gone() {
    let node = Node::new(1).await;
    node.append(0, &["a", "!f", "!t", "b"]).await;
    let target = MemoryTarget::new(true);
    let mut config = config(1);
    config.transforms[0].on_failure = OnFailure::Skip;
    let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
    let status = node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0).len(), 2);
    assert_eq!(
        (status.state, status.errors_total),
        (PipelineState::Done, 2)
    );
    assert!(node.log.topic(&topic("in.dlq")).is_none());
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_pipeline_in_front_of_the_record() {
    let node = Node::new(1).await;
    node.append(0, &["a", "b", "!f", "c", "!t"]).await;
    let target = MemoryTarget::new(true);
    let mut config = config(1);
    config.transforms[0].on_failure = OnFailure::Stop;
    let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
    for _ in 0..2 {
        let status = node.run_to_end(&plan).await;
        assert_eq!(status.state, PipelineState::Failed);
        let error = status.error.unwrap();
        let why = "in-0: stopped at offset 2: probe failed with 42: as asked";
        assert_eq!(error, why);
        assert_eq!(stored(&target, 0), numbered(&["a", "b"]));
        assert_eq!(node.committed(&tp("in", 0)), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_reading_dead_letters_stops() {
    let node = Node::new(1).await;
    let dlq = topic("in.dlq");
    node.log
        .create_topic(&dlq, TopicSpec::default())
        .await
        .unwrap();
    let letters = node.partition("in.dlq", 0);
    letters
        .append(batch(&[record("a"), record("!f")]))
        .await
        .unwrap();
    let target = MemoryTarget::new(true);
    let mut config = config(1);
    config.from = vec![dlq];
    let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
    let status = node.run_to_end(&plan).await;
    assert_eq!(status.state, PipelineState::Failed);
    assert!(
        status
            .error
            .unwrap()
            .contains("in.dlq-0: stopped at offset 1")
    );
    assert_eq!(stored(&target, 0), numbered(&["a"]));
    assert!(node.log.topic(&topic("in.dlq.dlq")).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_refuses_becomes_a_dead_letter_of_the_original() {
    let node = Node::new(1).await;
    node.append(0, &["a", "b"]).await;
    node.append(0, &["c"]).await;
    let target = MemoryTarget::new(true);
    target.refuse([offset_of(1), offset_of(2)]);
    let mut config = config(1);
    config.dead_letter = Some(topic("bad"));
    let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
    node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), numbered(&["a"]));
    let letters = node.read("bad", 0).await;
    let values: Vec<_> = letters.iter().map(|l| value(&l.record)).collect();
    assert_eq!(values, ["b", "c"]);
    let letter = &letters[0].record;
    let found = ["stage", "sink", "code", "message", "offset"].map(|n| error(letter, n));
    assert_eq!(found, ["sink", "m", "refused", "told to", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_decode_is_a_dead_letter_as_it_is() {
    let node = Node::new(1).await;
    node.append(0, &["a"]).await;
    // Fine on the outside: header and checksum fit, the compressed bytes do not.
    let packed = wstream_kafka::compress(&batch(&[record("b")]), Compression::Gzip).unwrap();
    let mut bytes = packed.bytes().to_vec();
    let end = bytes.len();
    bytes[70..end].fill(0xff);
    let crc = crc_of(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let broken = RecordBatch::parse(bytes.into()).unwrap();
    node.partition("in", 0).append(broken).await.unwrap();
    node.append(0, &["c"]).await;
    let target = MemoryTarget::new(true);
    node.run_to_end(&node.plan(&config(0), vec![], &memory(&target)))
        .await;
    let found: Vec<_> = stored(&target, 0).into_iter().map(|(o, ..)| o).collect();
    assert_eq!(found, [0, 2]);
    let letters = node.read("in.dlq", 0).await;
    let letter = &letters[0].record;
    let raw = RecordBatch::parse(letter.value.clone().unwrap()).unwrap();
    assert_eq!(raw.header().base_offset, offset_of(1));
    assert_eq!(error(letter, "stage"), "decode");
    assert!(error(letter, "message").contains("cannot decompress Gzip"));
}

/// CRC-32C, bit by bit.
fn crc_of(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0_u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| step(c))
    })
}

#[tokio::test(start_paused = true)]
async fn long_messages_are_cut_and_large_records_still_fit() {
    let node = Node::new(1).await;
    let letters = dead_letter::DeadLetters::new(node.log.clone(), "p".into(), tp("in", 0), None);
    let reason = dead_letter::Reason {
        stage: dead_letter::Stage::Transform,
        by: "t".into(),
        version: Some("1.2".into()),
        step: Some(1),
        code: "trap".to_owned(),
        message: "\u{e9}".repeat(3000),
    };
    // As large as the topic takes, and one that came in a compressed batch.
    let largest = record(&"x".repeat((1 << 20) - 100));
    let unpacked = record(&"y".repeat(4 << 20));
    let all = [largest, record("small"), unpacked].into_iter().zip(0..);
    let all = all.map(|(record, at)| dead_letter::Letter {
        offset: offset_of(at),
        record,
        reason: reason.clone(),
    });
    letters.unwrap().write(all.collect()).await.unwrap();
    let found = node.read("in.dlq", 0).await;
    let sizes: Vec<_> = found.iter().map(|r| value(&r.record).len()).collect();
    assert_eq!(sizes, [(1 << 20) - 100, 5, 4 << 20]);
    assert_eq!(error(&found[0].record, "message").len(), 4096);
    assert_eq!(error(&found[0].record, "version"), "1.2");
}

#[tokio::test(start_paused = true)]
async fn no_position_is_ahead_of_a_dead_letter() {
    for value in ["refused", "!f"] {
        let node = Node::new(1).await;
        let small = TopicSpec::default().max_message_bytes(ByteSize(10));
        node.log.create_topic(&topic("small"), small).await.unwrap();
        node.append(0, &["a", value, "b"]).await;
        let target = MemoryTarget::new(true);
        target.refuse([offset_of(1)]);
        let mut config = config(1);
        config.dead_letter = Some(topic("small"));
        let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
        let status = node.run_to_end(&plan).await;
        assert_eq!(status.state, PipelineState::Failed);
        let error = status.error.unwrap();
        assert!(error.contains("could not append to small"), "{error}");
        // The letter cannot be written, so the sink never sees its batch.
        assert_eq!(stored(&target, 0), []);
        assert_eq!(node.committed(&tp("in", 0)), Some(0));
    }
}
