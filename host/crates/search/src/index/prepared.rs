//! Submitting in two steps: what will not be taken is known before anything is. Whoever must not
//! lose a rejected document puts it elsewhere in between, so that no commit can overtake that.

use wstream_record::Offset;

use super::writer::Job;
use super::{Index, Rejected, SourceBatch};
use crate::document::BatchBuilder;
use crate::error::WriteError;

/// A parsed batch for one index; nothing of it is in the index's queue yet.
#[derive(Debug)]
pub struct Prepared {
    number: usize,
    next_offset: Offset,
    /// Each with the source's position once it is durable.
    steps: Vec<(BatchBuilder, Offset)>,
    rejected: Vec<Rejected>,
}

impl Prepared {
    /// The documents that will not be taken.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }
}

impl Index {
    /// Parses a batch, all of it in memory, for [`Index::submit_prepared`] of this same handle.
    pub async fn prepare(&self, batch: SourceBatch) -> Prepared {
        let mut prepared = Prepared {
            number: self.0.source_number(&batch.source),
            next_offset: batch.next_offset,
            steps: Vec::new(),
            rejected: Vec::new(),
        };
        let mut at = 0;
        loop {
            let step = self
                .0
                .fill(&batch.documents, &mut at, &mut prepared.rejected);
            let next = batch.documents.get(at).map(|d| d.offset);
            prepared
                .steps
                .push((step, next.unwrap_or(batch.next_offset)));
            if next.is_none() {
                return prepared;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes a prepared batch as [`Index::submit`] would.
    ///
    /// # Errors
    /// As for [`Index::submit`].
    pub async fn submit_prepared(&self, prepared: Prepared) -> Result<(), WriteError> {
        let number = prepared.number;
        let position = self.0.sources.lock().get(number).and_then(|s| s.next);
        if position >= Some(prepared.next_offset) {
            return Ok(());
        }
        for (step, next) in prepared.steps {
            let room = self.0.reserve(step.bytes()).await?;
            let documents = step.finish(self.0.fields, number as u64, Some(room));
            let job = Job::Write {
                number,
                documents,
                next,
            };
            self.0.send(job).await?;
        }
        Ok(())
    }
}
