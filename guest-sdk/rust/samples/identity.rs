//! Every record as it is.

use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, Transform, export};

#[derive(Debug)]
pub struct Identity;

impl Transform for Identity {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        out.send(Output::of(record));
        Ok(())
    }
}

export!(Identity);
