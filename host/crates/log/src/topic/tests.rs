use super::*;

#[test]
fn settings_nobody_sets_are_the_defaults() {
    let config = TopicSpec::partitions(3).resolve().unwrap();
    let defaults = TopicConfig {
        partitions: 3,
        ..TopicConfig::default()
    };
    assert_eq!(config, defaults);
    assert_eq!(config.retention_bytes, None);
    assert_eq!(config.retention_age, None);
}

#[test]
fn every_setting_has_a_default_that_it_takes() {
    for setting in TOPIC_SETTINGS {
        let value = setting.default_value();
        let spec = TopicSpec::default().with(setting.key, value.clone());
        assert_eq!(
            spec.resolve().unwrap(),
            TopicConfig::default(),
            "{setting:?}"
        );
        assert_eq!(TopicConfig::default().value_of(setting.key), Some(value));
    }
    assert!(TOPIC_SETTINGS.is_sorted_by_key(|s| s.key));
}

#[test]
fn settings_that_change_nothing_say_why() {
    let without = TOPIC_SETTINGS.iter().filter(|s| s.without_effect.is_some());
    let keys: Vec<&str> = without.map(|s| s.key).collect();
    assert_eq!(keys, ["min.insync.replicas", "segment.bytes"]);
    for setting in TOPIC_SETTINGS {
        let says_so = setting.documentation.contains("changes nothing here");
        assert_eq!(says_so, setting.without_effect.is_some(), "{setting:?}");
    }
}

#[test]
fn typed_setters_are_texts_that_read_back() {
    let day = Duration::from_secs(86_400);
    let spec = TopicSpec::partitions(2)
        .retention_bytes(Some(ByteSize::mib(3)))
        .retention_age(Some(day))
        .retention_by(RetentionBy::Record)
        .cleanup(Cleanup::CompactAndDelete)
        .tombstones_kept(Duration::from_millis(5))
        .max_message_bytes(ByteSize(77))
        .segment_bytes(ByteSize::mib(1))
        .segment_age(day * 2)
        .min_insync_replicas(2)
        .defined_in_file(true);
    let expected = TopicConfig {
        partitions: 2,
        retention_bytes: Some(ByteSize::mib(3)),
        retention_age: Some(day),
        retention_by: RetentionBy::Record,
        cleanup: Cleanup::CompactAndDelete,
        tombstones_kept: Duration::from_millis(5),
        max_message_bytes: ByteSize(77),
        segment_bytes: ByteSize::mib(1),
        segment_age: day * 2,
        min_insync_replicas: 2,
        defined_in_file: true,
    };
    assert_eq!(spec.resolve().unwrap(), expected);
    assert_eq!(spec.overrides["cleanup.policy"], "compact,delete");
    let all = spec.retention_bytes(None).retention_age(None);
    assert_eq!(all.overrides["retention.bytes"], "-1");
    assert_eq!(all.overrides["retention.ms"], "-1");
    assert_eq!(all.resolve().unwrap().retention_age, None);
}

#[test]
fn impossible_settings_are_refused_by_key_and_value() {
    let long = "0".repeat(65);
    let rows = [
        ("retention.ms", "-2"),
        ("retention.ms", "9223372036854775808"),
        ("retention.ms", "7d"),
        ("retention.bytes", ""),
        ("retention.by", "offset"),
        ("cleanup.policy", "none"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact,,delete"),
        ("delete.retention.ms", "-1"),
        ("max.message.bytes", "0"),
        ("max.message.bytes", "2147483648"),
        ("segment.bytes", "13"),
        ("segment.ms", "0"),
        ("segment.ms", &long),
        ("min.insync.replicas", "0"),
        ("min.insync.replicas", "32768"),
        ("compression.type", "zstd"),
    ];
    for (key, value) in rows {
        let refused = TopicSpec::default().with(key, value).resolve();
        let Err(TopicError::Setting {
            key: k,
            value: v,
            reason,
        }) = refused
        else {
            panic!("{key} = {value:?}: {refused:?}");
        };
        assert_eq!((k.as_str(), v.as_str()), (key, value));
        assert!(!reason.is_empty());
    }
    for partitions in [i32::MIN, -1, 0, PARTITIONS_MAX + 1] {
        let refused = TopicSpec::partitions(partitions).resolve();
        assert!(matches!(refused, Err(TopicError::Partitions { .. })));
    }
}

#[test]
fn a_change_sets_unsets_and_leaves_the_rest() {
    let spec = TopicSpec::partitions(2)
        .with("retention.ms", "5")
        .with("segment.ms", "6");
    let info = TopicInfo {
        id: TopicId::from_random([1; 16]),
        name: TopicName::new("t").unwrap(),
        config: spec.resolve().unwrap(),
        overrides: spec.overrides.clone(),
    };
    assert_eq!(info.spec(), spec);
    let change = TopicChange::Some {
        partitions: Some(4),
        set: BTreeMap::from([("max.message.bytes".to_owned(), "9".to_owned())]),
        unset: BTreeSet::from(["retention.ms".to_owned(), "retention.by".to_owned()]),
    };
    let expected = TopicSpec::partitions(4)
        .with("segment.ms", "6")
        .with("max.message.bytes", "9");
    assert_eq!(change.applied_to(&info), expected);
    let whole = TopicChange::from(TopicSpec::partitions(3));
    assert_eq!(whole.applied_to(&info), TopicSpec::partitions(3));
}
