//! The precompiles of one EVM: Ethereum's, and PREDICT.
//!
//! An EVM is built for every block and every simulated call. Ethereum's precompiles are the same in all of them, so they are
//! not copied into each: PREDICT, which belongs to one EVM because it counts that EVM's inference gas, is looked up beside
//! them. It is as warm from the start of a transaction as they are.

use crate::{addresses::PREDICT, engine::Engine, inference::Inference, precompile};
use alloy_evm::{
    Database,
    eth::EthEvmContext,
    precompiles::{DynPrecompile, Precompile, PrecompileLookup, PrecompilesMap},
    revm::{
        database::EmptyDB,
        handler::PrecompileProvider,
        interpreter::{CallInputs, InterpreterResult},
        precompile::{PrecompileSpecId, Precompiles},
        primitives::hardfork::SpecId,
    },
};
use alloy_primitives::{Address, map::AddressSet};
use std::sync::{Arc, OnceLock};

/// The precompiles of one EVM.
#[derive(Debug)]
pub struct SynodPrecompiles {
    map: PrecompilesMap,
    shared: Option<Shared>,
}

/// What the map has as long as nobody changed it.
#[derive(Debug)]
struct Shared {
    ethereum: &'static Precompiles,
    /// Of all, PREDICT included.
    addresses: &'static AddressSet,
    predict: Predict,
}

/// Finds PREDICT at its address.
#[derive(Clone, Debug)]
struct Predict {
    engine: Arc<Engine>,
    inference: Arc<Inference>,
}

impl PrecompileLookup for Predict {
    fn lookup(&self, address: &Address) -> Option<DynPrecompile> {
        (*address == PREDICT).then(|| precompile::predict(self.engine.clone(), self.inference.clone()))
    }
}

impl SynodPrecompiles {
    pub(crate) fn new(spec: PrecompileSpecId, engine: Arc<Engine>, inference: Arc<Inference>) -> Self {
        let ethereum = Precompiles::new(spec);
        let predict = Predict { engine, inference };
        Self {
            map: PrecompilesMap::from_static(ethereum).with_precompile_lookup(predict.clone()),
            shared: Some(Shared {
                ethereum,
                addresses: addresses(spec),
                predict,
            }),
        }
    }

    /// The addresses of all of them.
    pub fn addresses(&self) -> &AddressSet {
        match &self.shared {
            Some(shared) => shared.addresses,
            None => PrecompileProvider::<EthEvmContext<EmptyDB>>::warm_addresses(&self.map),
        }
    }

    /// The one at an address.
    pub fn get(&self, address: &Address) -> Option<impl Precompile + '_> {
        self.map.get(address)
    }

    /// All of them in a map of this EVM's own, to be changed.
    pub fn to_mut(&mut self) -> &mut PrecompilesMap {
        if let Some(Shared {
            ethereum, predict, ..
        }) = self.shared.take()
        {
            self.map = PrecompilesMap::from_static(ethereum);
            self.map.apply_precompile(&PREDICT, |_| predict.lookup(&PREDICT));
        }
        &mut self.map
    }
}

/// The addresses of a fork's precompiles and PREDICT.
fn addresses(spec: PrecompileSpecId) -> &'static AddressSet {
    const FORKS: usize = PrecompileSpecId::OSAKA as usize + 1;
    static SETS: [OnceLock<AddressSet>; FORKS] = [const { OnceLock::new() }; FORKS];
    SETS[spec as usize].get_or_init(|| {
        let ethereum = Precompiles::new(spec).addresses();
        ethereum.copied().chain([PREDICT]).collect()
    })
}

impl<DB: Database> PrecompileProvider<EthEvmContext<DB>> for SynodPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: SpecId) -> bool {
        // They are made for the fork of the EVM's block, which stays.
        false
    }

    fn run(
        &mut self,
        context: &mut EthEvmContext<DB>,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        self.map.run(context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        PrecompileProvider::<EthEvmContext<DB>>::contains(&self.map, address)
    }
}
