//! Drops debug events, calls `msg` `message`, and says where events come from.

use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, Transform, export};

#[derive(Debug)]
pub struct Project;

impl Transform for Project {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let event = record.json();
        let mut event = event.map_err(|_| Failure::new(1, "the value is not a JSON object"))?;
        if event
            .get("level")
            .is_some_and(|level| level.is_str("debug"))
        {
            return Ok(());
        }
        event.rename("msg", "message");
        event.set("env", "prod");
        out.send(Output::of(record).json(&event));
        Ok(())
    }
}

export!(Project);
