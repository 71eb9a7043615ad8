//! Topics' settings in the file: taken as the log takes them, refused as the log refuses them.

use super::*;

fn read_settings(settings: &str) -> Result<TopicConfig, String> {
    let folder = folder();
    let text = format!("[topics.users]\n{settings}\n");
    let config = read_in(folder.path(), &text, false)?;
    Ok(config.topics[&TopicName::new("users").unwrap()].clone())
}

#[test]
fn every_setting_that_has_an_effect_can_be_declared() {
    for setting in wstream_log::TOPIC_SETTINGS {
        let value = setting.default_value();
        let number = value.parse::<i64>().map(|n| n.to_string());
        let shown = number.unwrap_or_else(|_| format!("{value:?}"));
        let read = read_settings(&format!("settings = {{ {:?} = {shown} }}", setting.key));
        match setting.without_effect {
            None => assert_eq!(read.unwrap().spec().overrides[setting.key], value),
            Some(why) => {
                let refused = read.unwrap_err();
                assert!(refused.contains(why), "{refused}");
            }
        }
    }
    let table = read_settings(
        "partitions = 2\nretention = { age = \"1d\" }\n[topics.users.settings]\n\
         \"cleanup.policy\" = \"compact, delete\"\n\"delete.retention.ms\" = 60000",
    );
    let resolved = table.unwrap().spec().resolve().unwrap();
    assert_eq!(resolved.cleanup, wstream_log::Cleanup::CompactAndDelete);
    assert_eq!(resolved.tombstones_kept.as_secs(), 60);
    assert_eq!(
        resolved.retention_age.map(|age| age.as_secs()),
        Some(86_400)
    );
    assert!(resolved.defined_in_file && resolved.partitions == 2);
}

#[test]
fn settings_that_the_log_would_refuse_have_a_place_and_its_reason() {
    let rows = [
        (
            "settings = { \"cleanup.policy\" = \"compcat\" }",
            "w.toml:2:33: topic \"users\" cannot have cleanup.policy = \"compcat\"\n  \
             hint: it is delete, compact, or both with a comma between",
        ),
        (
            "settings = { \"delete.retention.ms\" = -1 }",
            "w.toml:2:38: topic \"users\" cannot have delete.retention.ms = \"-1\"\n  \
             hint: it is a whole number from 0 to 9223372036854775807",
        ),
        (
            "settings = { \"cleanup\" = \"compact\" }",
            "w.toml:2:26: topic \"users\" cannot have cleanup = \"compact\"\n  \
             hint: there is no such setting; there are cleanup.policy, delete.retention.ms, \
             max.message.bytes, min.insync.replicas, retention.by, retention.bytes, retention.ms, \
             segment.bytes, segment.ms",
        ),
        (
            "max_message_bytes = \"3GiB\"",
            "w.toml:2:21: topic \"users\" cannot have max.message.bytes = \"3221225472\"\n  \
             hint: it is a whole number from 1 to 2147483647",
        ),
        (
            "settings = { \"retention.ms\" = 5 }\nretention = { age = \"1d\" }",
            "w.toml:2:31: topic \"users\" has retention.ms twice, here and as `retention.age`\n  \
             hint: remove one of them",
        ),
        (
            "settings = { cleanup.policy = \"compact\" }",
            "w.toml:2:14: `cleanup` in [topics.users] is cleanup, which is not \
             a text or a number\n  hint: write a text or a number, and its key in quotes, as in \
             \"cleanup.policy\" = \"compact\"",
        ),
    ];
    for (settings, wanted) in rows {
        let refused = read_settings(settings).unwrap_err();
        assert_eq!(refused, wanted, "{settings}");
    }
}
