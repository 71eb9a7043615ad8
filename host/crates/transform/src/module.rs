//! A compiled module: checked, ready to be instantiated, shared by all its instances.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::InstancePre;
use wstream_record::ByteSize;

use crate::guest::LinkedComponent;
use crate::inspect::{Inspection, Kind, Metadata};
use crate::runtime::Runtime;
use crate::state::HostState;

/// A compiled module. Cheap to clone.
#[derive(Clone)]
pub struct Module(pub(crate) Arc<Compiled>);

/// What an instance is started from.
pub(crate) enum Linked {
    /// `wstream_v1`.
    Core(InstancePre<HostState>),
    /// A program that pulls its records.
    Program(InstancePre<HostState>),
    Component(LinkedComponent),
}

pub(crate) struct Compiled {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) linked: Linked,
    pub(crate) inspection: Inspection,
    pub(crate) sha256: [u8; 32],
    pub(crate) size: ByteSize,
    pub(crate) compile_time: Duration,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("sha256", &self.sha256_hex())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Module {
    /// The digest of the module's bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        self.0.sha256.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// What it was made for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.inspection.kind
    }

    /// Bytes of the module.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        self.0.size
    }

    /// Exports, imports and metadata.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.0.inspection
    }

    /// The custom section `wstream`.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.inspection.metadata
    }

    /// Names of its outputs, the default first; none if it names none. A Redpanda module has those
    /// it is put into service with.
    #[must_use]
    pub fn outputs<'m>(&'m self, topics: &'m [String]) -> &'m [String] {
        match self.kind() {
            Kind::Redpanda => topics,
            Kind::WstreamV1 | Kind::Component => &self.metadata().outputs,
        }
    }

    /// How long compiling took, or reading it from the cache.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        self.0.compile_time
    }

    /// The runtime it was compiled by.
    #[must_use]
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.0.runtime
    }
}
