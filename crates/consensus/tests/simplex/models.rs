//! A network on the chain, and a contract that keeps its answers.

use crate::World;
use alloy_primitives::{Address, B256, Bytes, U256, address, bytes};
use alloy_sol_types::SolCall as _;
use std::{collections::BTreeMap, sync::OnceLock};
use synod_evm::{
    addresses::MODEL_REGISTRY,
    interface::{IPredict, ModelRegistry},
    manifest::{self, Manifest},
    registry::record_of,
};
use synod_model::{CanonicalModel, DimSetting, ImportOptions, NoExternalData, import_onnx};

/// The network's name.
pub(crate) const NAME: &str = "cellar/wine";

/// Passes its input to PREDICT and stores the hash of what comes back, plus one for success, in its first slot.
pub(crate) const KEEPER: Address = address!("00000000000000000000000000000000000cee9e");

/// `calldatacopy(0, 0, calldatasize) · staticcall(gas, 0xAE01, 0, calldatasize, 0, 0) · returndatacopy(0, 0, returndatasize) ·
/// sstore(0, keccak256(0, returndatasize) + success)`
const KEEPER_CODE: Bytes = bytes!("365f5f375f5f365f61ae015afa3d5f5f3e3d5f20015f5500");

/// Counts the zeros before a one, and keeps how many: with Osaka's instruction CLZ, which no earlier fork has.
pub(crate) const COUNTER: Address = address!("00000000000000000000000000000000000c1200");

/// `sstore(0, clz(1))`
const COUNTER_CODE: Bytes = bytes!("60011e5f5500");

/// The network's manifest, all pieces of code that it is made of, and the network.
fn network() -> &'static (Address, Vec<Bytes>, CanonicalModel) {
    static NETWORK: OnceLock<(Address, Vec<Bytes>, CanonicalModel)> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let file = include_bytes!("../../../../examples/cellar/model.onnx");
        let dims = BTreeMap::from([("batch".to_owned(), DimSetting::AtMost(128))]);
        let model = import_onnx(
            file,
            &NoExternalData,
            &ImportOptions {
                dims,
                ..ImportOptions::default()
            },
        )
        .unwrap();
        let (manifest, mut pieces) =
            Manifest::cut(&model.graph, &model.weights, manifest::chunk_size(128 << 10));
        pieces.push(manifest.encode());
        (manifest.address(), pieces, model)
    })
}

/// Puts the network's pieces and the contract into a genesis file. The network still has to be published.
pub(crate) fn put_into(genesis: &mut alloy_genesis::Genesis) {
    for piece in &network().1 {
        let account = genesis.alloc.entry(manifest::address_of(piece)).or_default();
        account.code = Some(piece.clone());
        account.nonce = Some(1);
    }
    genesis.alloc.entry(KEEPER).or_default().code = Some(KEEPER_CODE);
    genesis.alloc.entry(COUNTER).or_default().code = Some(COUNTER_CODE);
}

/// The network's id under a profile.
pub(crate) fn id_under(profile: u32) -> B256 {
    B256::from(network().2.id_under(profile).0)
}

/// The question about a wine.
pub(crate) fn question(wine: u8) -> Bytes {
    question_to(NAME, wine)
}

fn question_to(name: &str, wine: u8) -> Bytes {
    let features: Vec<u8> = (0..13u8)
        .flat_map(|feature| (f32::from(feature ^ wine) / 4.0).to_be_bytes())
        .collect();
    let call = IPredict::runCall {
        model: name.to_owned(),
        input: features.into(),
    };
    call.abi_encode().into()
}

impl World {
    /// Registers the network. Returns the transaction's hash.
    pub(crate) fn publish(&mut self, index: usize) -> B256 {
        self.publish_as(index, NAME)
    }

    /// Registers the network under a name.
    pub(crate) fn publish_as(&mut self, index: usize, name: &str) -> B256 {
        let call = ModelRegistry::publishCall {
            name: name.to_owned(),
            manifest: network().0,
        };
        self.submit(index, MODEL_REGISTRY, call.abi_encode().into(), 3_000_000)
    }

    /// Asks the network about a wine; the contract keeps the answer. Returns the transaction's hash.
    pub(crate) fn ask(&mut self, index: usize, wine: u8) -> B256 {
        self.ask_as(index, NAME, wine)
    }

    /// The same of the network under a name.
    pub(crate) fn ask_as(&mut self, index: usize, name: &str, wine: u8) -> B256 {
        self.submit(index, KEEPER, question_to(name, wine), 150_000)
    }

    /// The profile of the network whose id this is, as a node has it.
    pub(crate) fn profile(&self, index: usize, id: B256) -> Option<u32> {
        let state = self.nodes[index].chain.state().unwrap();
        let record = record_of(id, |slot| state.storage(MODEL_REGISTRY, slot)).unwrap();
        record.map(|record| record.profile)
    }

    /// The answer that the contract keeps on a node.
    pub(crate) fn kept(&self, index: usize) -> U256 {
        let state = self.nodes[index].chain.state().unwrap();
        state.storage(KEEPER, U256::ZERO).unwrap()
    }
}
