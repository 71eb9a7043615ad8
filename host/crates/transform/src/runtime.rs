//! One per process: the engine, the guest threads, the compiler's thread, the memory budget.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use wasmtime::{Cache, CacheConfig, Config, Engine, Linker, OptLevel, component};
use wstream_record::{ByteSize, Clock};

use crate::executor::Executor;
use crate::guest::{ComponentState, component_linker, link_component};
use crate::host;
use crate::inspect::{Kind, ModuleError, inspect};
use crate::limits::Budget;
use crate::loghub::{LogHub, LogReader};
use crate::module::{Compiled, Linked, Module};
use crate::state::{HostState, Random};

/// Modules waiting for the compiler; more wait in `compile`.
const COMPILES_QUEUED_MAX: usize = 16;
/// Stack of a guest. The rest of a fiber's stack is for imports.
const GUEST_STACK_BYTES: usize = 512 << 10;
const FIBER_STACK_BYTES: usize = 1 << 20;
/// Compiled modules that are looked for before compiling again.
const COMPILED_KNOWN_MAX: usize = 256;

/// How to run guests.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Where compiled code is cached, made with mode 0700; `None` compiles each time.
    pub cache_dir: Option<PathBuf>,
    /// Threads for guests; 0 is one per core.
    pub threads: usize,
    /// Memory of all instances together.
    pub memory_total: ByteSize,
    /// Largest module.
    pub module_bytes_max: ByteSize,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            threads: 0,
            memory_total: ByteSize::gib(1),
            module_bytes_max: ByteSize::mib(64),
            clock: Clock::system(),
        }
    }
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The cache's directory.
    #[error("could not use {} for compiled modules: {error}", dir.display())]
    Cache {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: String,
    },
    /// This machine cannot run compiled code.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
    /// No threads.
    #[error("could not start the guest threads: {0}")]
    Threads(std::io::Error),
}

/// The engine and its threads.
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) executor: Executor,
    pub(crate) budget: Budget,
    pub(crate) clock: Clock,
    pub(crate) logs: LogHub,
    seed: Mutex<Random>,
    compiles: mpsc::Sender<Compile>,
    known: Mutex<HashMap<[u8; 32], Weak<Compiled>>>,
    module_bytes_max: ByteSize,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("memory", &self.budget)
            .finish_non_exhaustive()
    }
}

/// What modules of each kind may import.
struct Linkers {
    core: Linker<HostState>,
    component: component::Linker<ComponentState>,
}

impl Linkers {
    fn link(&self, engine: &Engine, kind: Kind, wasm: &[u8]) -> Result<Linked, wasmtime::Error> {
        if kind == Kind::Component {
            let component = component::Component::from_binary(engine, wasm)?;
            let pre = self.component.instantiate_pre(&component)?;
            return Ok(Linked::Component(link_component(pre)?));
        }
        let module = wasmtime::Module::from_binary(engine, wasm)?;
        let pre = self.core.instantiate_pre(&module)?;
        Ok(match kind {
            Kind::Redpanda => Linked::Program(pre),
            _ => Linked::Core(pre),
        })
    }
}

/// One module to compile.
struct Compile {
    runtime: Arc<Runtime>,
    wasm: Bytes,
    answer: oneshot::Sender<Result<Module, ModuleError>>,
}

impl Runtime {
    /// Starts the engine and its threads.
    ///
    /// # Errors
    /// The cache directory cannot be used, or the machine gives no threads.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, RuntimeError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.threads == 0 {
            cores
        } else {
            config.threads
        };
        let engine_error = |e: wasmtime::Error| RuntimeError::Engine(e.to_string());
        let engine =
            Engine::new(&engine_config(config.cache_dir.as_deref())?).map_err(engine_error)?;
        let ticking = engine.clone();
        let executor = Executor::start(threads, move || ticking.increment_epoch())
            .map_err(RuntimeError::Threads)?;
        let linkers = Linkers {
            core: host::linker(&engine).map_err(engine_error)?,
            component: component_linker(&engine).map_err(engine_error)?,
        };
        let (compiles, queue) = mpsc::channel(COMPILES_QUEUED_MAX);
        std::thread::Builder::new()
            .name("guest-compile".to_owned())
            .spawn(move || compile_all(&linkers, queue))
            .map_err(RuntimeError::Threads)?;
        Ok(Arc::new(Self {
            engine,
            executor,
            budget: Budget::new(config.memory_total),
            clock: config.clock,
            logs: LogHub::default(),
            seed: Mutex::new(Random::new(seed())),
            compiles,
            known: Mutex::default(),
            module_bytes_max: config.module_bytes_max,
        }))
    }

    /// Checks and compiles a module, on a thread of the runtime's own. The same bytes again give
    /// the same compiled code at once while it is in use.
    ///
    /// # Errors
    /// The bytes are not a transform; the error says what does not fit.
    pub async fn compile(self: &Arc<Self>, wasm: Bytes) -> Result<Module, ModuleError> {
        let size = ByteSize(wasm.len() as u64);
        if size > self.module_bytes_max {
            let max = self.module_bytes_max;
            return Err(ModuleError::TooLarge { size, max });
        }
        let (answer, answered) = oneshot::channel();
        let compile = Compile {
            runtime: Arc::clone(self),
            wasm,
            answer,
        };
        let stopped = || ModuleError::Invalid("the compiler stopped".to_owned());
        self.compiles.send(compile).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Hashing, checking and compiling take long: this runs on the compiler's thread.
    fn compile_now(
        self: &Arc<Self>,
        linkers: &Linkers,
        wasm: &[u8],
    ) -> Result<Module, ModuleError> {
        let sha256: [u8; 32] = Sha256::digest(wasm).into();
        if let Some(known) = self.known.lock().get(&sha256).and_then(Weak::upgrade) {
            return Ok(Module(known));
        }
        let inspection = inspect(wasm)?;
        let from = self.clock.monotonic();
        let linked = linkers.link(&self.engine, inspection.kind, wasm);
        // The whole chain: the outer error only says that compilation failed.
        let linked = linked.map_err(|error| ModuleError::Invalid(format!("{error:#}")))?;
        let compiled = Arc::new(Compiled {
            runtime: Arc::clone(self),
            linked,
            inspection,
            sha256,
            size: ByteSize(wasm.len() as u64),
            compile_time: self.clock.monotonic().saturating_sub(from),
        });
        let mut known = self.known.lock();
        if known.len() >= COMPILED_KNOWN_MAX {
            known.retain(|_, module| module.strong_count() > 0);
        }
        if known.len() < COMPILED_KNOWN_MAX {
            known.insert(sha256, Arc::downgrade(&compiled));
        }
        Ok(Module(compiled))
    }

    /// What all modules logged lately, and what they log from now on.
    #[must_use]
    pub fn logs(&self) -> LogReader {
        self.logs.read()
    }

    /// Memory of all instances together, and its bound.
    #[must_use]
    pub fn memory(&self) -> (ByteSize, ByteSize) {
        (self.budget.used(), self.budget.max())
    }

    /// A generator for one instance.
    pub(crate) fn random(&self) -> Random {
        let mut seed = self.seed.lock();
        Random::new([seed.next(), seed.next(), seed.next(), seed.next()])
    }
}

fn engine_config(cache_dir: Option<&Path>) -> Result<Config, RuntimeError> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        // A failure's message is what the module says; nobody reads addresses.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_memory64(false);
    if let Some(dir) = cache_dir {
        let cache = open_cache(dir).map_err(|error| RuntimeError::Cache {
            dir: dir.to_owned(),
            error,
        })?;
        config.cache(Some(cache));
    }
    Ok(config)
}

/// Compiled code is run as it is found: nobody else may write there.
fn open_cache(dir: &Path) -> Result<Cache, String> {
    let owner_only = 0o700;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(owner_only)
        .create(dir)
        .and_then(|()| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(owner_only)))
        .map_err(|e| e.to_string())?;
    let dir = dir.canonicalize().map_err(|e| e.to_string())?;
    let mut config = CacheConfig::new();
    config.with_directory(dir);
    Cache::new(config).map_err(|e| e.to_string())
}

/// The compiler's thread; it ends with the runtime.
fn compile_all(linkers: &Linkers, mut queue: mpsc::Receiver<Compile>) {
    while let Some(compile) = queue.blocking_recv() {
        let Compile {
            runtime,
            wasm,
            answer,
        } = compile;
        // A module that breaks the compiler must not end its thread.
        let compiled = catch_unwind(AssertUnwindSafe(|| runtime.compile_now(linkers, &wasm)));
        let result = compiled.unwrap_or_else(|_| {
            tracing::error!(bytes = wasm.len(), "the compiler panicked on a module");
            let message = "the compiler failed on it".to_owned();
            Err(ModuleError::Invalid(message))
        });
        // Who asked may have gone.
        drop(answer.send(result));
    }
}

/// Randomness of the operating system; without it, what the standard library seeds its hashes by.
fn seed() -> [u64; 4] {
    let mut bytes = [[0; 8]; 4];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| bytes.iter_mut().try_for_each(|b| file.read_exact(b)));
    if read.is_ok() {
        return bytes.map(u64::from_le_bytes);
    }
    let hash = || {
        use std::hash::{BuildHasher as _, Hasher as _};
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    [hash(), hash(), hash(), hash()]
}
