//! Topics that come, grow and go.

use std::time::Duration;

use wstream_record::{ByteSize, PartitionId, TopicName, TopicPartition};

use super::model::{Kind, Part};
use super::run::Run;
use crate::store::PartitionKey;
use crate::topic::{Cleanup, TopicSpec};

/// Topics that there are at most.
const TOPICS: usize = 4;

impl Run {
    pub(super) fn create(&mut self) {
        let name = TopicName::new(&format!("t{}", self.random.below(TOPICS))).unwrap();
        if self.node.log.topic(&name).is_some() {
            return;
        }
        let kinds = [Kind::Plain, Kind::Compacted, Kind::Retained, Kind::Followed];
        let kind = kinds[self.random.below(4)];
        let partitions = i32::try_from(1 + self.random.below(3)).unwrap();
        let spec = TopicSpec::partitions(partitions);
        let spec = match kind {
            Kind::Plain | Kind::Followed => spec,
            Kind::Compacted => spec
                .cleanup(Cleanup::Compact)
                .tombstones_kept(Duration::from_secs(60)),
            Kind::Retained => spec
                .retention_bytes(Some(ByteSize(60_000)))
                .retention_age(Some(Duration::from_secs(900))),
        };
        let Some(created) = self.node.run(self.node.log.create_topic(&name, spec)) else {
            return;
        };
        let info = created.expect("there is no such topic");
        self.say(format_args!(
            "topic {name} {kind:?} {partitions} {}",
            info.id
        ));
        for partition in 0..partitions {
            self.add_part(&name, info.id, partition, kind);
        }
    }

    pub(super) fn add_part(
        &mut self,
        topic: &TopicName,
        id: wstream_record::TopicId,
        partition: i32,
        kind: Kind,
    ) {
        let partition = PartitionId(partition);
        let key = PartitionKey {
            topic: id,
            partition,
        };
        let name = TopicPartition::new(topic.clone(), partition);
        self.next_producer += 2;
        self.parts
            .push(Part::new(name, key, kind, self.next_producer));
        let marks = self.partition(self.parts.len() - 1).marks();
        assert_eq!(
            (marks.log_start.0, marks.log_end.0),
            (0, 0),
            "a new topic is empty"
        );
        if kind == Kind::Followed {
            self.partition(self.parts.len() - 1)
                .follow(marks.leader_epoch);
        }
    }

    /// More partitions.
    pub(super) fn change_topic(&mut self) {
        let Some(at) = self.some_part(|_| true) else {
            return;
        };
        let topic = self.parts[at].name.topic.clone();
        let kind = self.parts[at].kind;
        let info = self.node.log.topic(&topic).expect("it was created");
        let mut spec = info.spec();
        if spec.partitions >= 6 {
            return;
        }
        spec.partitions += 1;
        let Some(changed) = self.node.run(self.node.log.alter_topic(&topic, spec)) else {
            return;
        };
        let changed = changed.expect("it is there");
        self.say(format_args!(
            "topic {topic} has {}",
            changed.config.partitions
        ));
        self.add_part(&topic, info.id, changed.config.partitions - 1, kind);
    }

    pub(super) fn delete_topic(&mut self) {
        let Some(at) = self.some_part(|_| true) else {
            return;
        };
        let topic = self.parts[at].name.topic.clone();
        let deleted = self.node.run(self.node.log.delete_topic(&topic));
        self.say(format_args!("no topic {topic}: {}", deleted.is_some()));
        assert!(
            !matches!(deleted, Some(Err(_))),
            "a deletion holds whatever fails"
        );
        let parts = self.parts.iter_mut().filter(|p| p.name.topic == topic);
        parts.for_each(|part| part.alive = false);
    }
}
