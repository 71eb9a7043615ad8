//! Sends every record on as it is.

use redpanda_transform_sdk::{on_record_written, RecordWriter, WriteError, WriteEvent};

fn main() {
    on_record_written(pass);
}

fn pass(event: WriteEvent<'_>, writer: &mut RecordWriter<'_>) -> Result<(), WriteError> {
    writer.write(event.record)
}
