//! Which arithmetic runs a model here: they give the same bits, so it is a choice of speed, or of what to compare.

use clap::{Args, ValueEnum};
use eyre::{Context as _, Result, ensure};
use std::fmt;
use synod_evm::Arithmetic;
use synod_model::{Observer, Plan, RunError, Tensor, Unmetered};
use synod_numerics::{
    isa::{self, Isa},
    pool,
};

/// An arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Engine {
    /// The scalar reference, which is the specification in code
    Reference,
    /// The fastest kernels of this machine
    #[default]
    Fast,
    /// The fast path without kernels
    Scalar,
    /// Kernels of what every x86-64 has (NEON on aarch64)
    Sse2,
    /// Kernels of AVX2 and FMA
    Avx2,
    /// Kernels of AVX-512
    Avx512,
}

impl Engine {
    fn isa(self) -> Option<Isa> {
        match self {
            Self::Reference | Self::Fast => None,
            Self::Scalar => Some(Isa::Scalar),
            Self::Sse2 => Some(Isa::Sse2),
            Self::Avx2 => Some(Isa::Avx2),
            Self::Avx512 => Some(Isa::Avx512),
        }
    }

    fn choose_kernels(self) -> Result<()> {
        if let Some(wanted) = self.isa() {
            ensure!(
                Isa::available().contains(&wanted),
                "this machine has no {self}; its fastest kernels are {:?}",
                Isa::detect()
            );
        }
        isa::force(self.isa());
        Ok(())
    }

    /// Runs a plan, telling an observer, if there is one, what runs.
    pub(crate) fn run(
        self,
        plan: &Plan,
        inputs: &[Tensor],
        observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>> {
        self.choose_kernels()?;
        let results: Result<Vec<Tensor>, RunError> = match (self, observer) {
            (Self::Reference, None) => plan.run_reference(inputs, &mut Unmetered),
            (Self::Reference, Some(observer)) => {
                plan.run_reference_observed(inputs, &mut Unmetered, observer)
            }
            (_, None) => plan.run(inputs, &mut Unmetered),
            (_, Some(observer)) => plan.run_observed(inputs, &mut Unmetered, observer),
        };
        results.wrap_err("the model refuses the data")
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

/// The arithmetic and its threads.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct EngineArgs {
    /// Which arithmetic runs: the bits are the same
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub(crate) engine: Engine,

    /// Threads for the kernels; all of the machine's if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=pool::MAX_THREADS as i64))]
    threads: Option<u16>,
}

impl EngineArgs {
    /// The engine, its threads started.
    pub(crate) fn start(&self) -> Engine {
        let threads = match self.threads {
            Some(threads) => threads.into(),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        pool::set_threads(threads);
        self.engine
    }

    /// The chain's engine on this arithmetic, its threads started.
    pub(crate) fn for_chain(&self) -> Result<synod_evm::Engine> {
        let engine = self.start();
        engine.choose_kernels()?;
        let arithmetic = match engine {
            Engine::Reference => Arithmetic::Reference,
            _ => Arithmetic::Fast,
        };
        Ok(synod_evm::Engine::default().with_arithmetic(arithmetic))
    }
}
