//! A chain in memory: the genesis accounts, funded callers, published models, and every transaction through the factory.

use crate::onnx::{Dim, F32, Graph, I64};
use alloy_evm::{
    Evm, EvmEnv, EvmFactory,
    eth::EthEvmContext,
    revm::{
        Database, DatabaseCommit, Inspector,
        bytecode::Bytecode,
        context::{
            BlockEnv, CfgEnv, TxEnv,
            result::{ExecutionResult, HaltReason, ResultAndState},
        },
        context_interface::transaction::AccessList,
        database::{CacheDB, EmptyDB},
        inspector::NoOpInspector,
        primitives::{TxKind, hardfork::SpecId},
        state::AccountInfo,
    },
};
use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall, SolConstructor};
use std::sync::Arc;
use synod_evm::{
    Engine, SynodEvmFactory,
    addresses::{CHUNK_FACTORY, MODEL_REGISTRY, PREDICT},
    genesis::predeploys,
    interface::{
        IPredict::{self, IPredictErrors},
        ModelRegistry,
    },
    manifest::{Manifest, address_of, chunk_size, deployment},
};
use synod_model::{CanonicalModel, DimSetting, ImportOptions, NoExternalData, import_onnx};

pub(crate) use crate::artifacts::Prober;

pub(crate) type Db = CacheDB<EmptyDB>;
pub(crate) type Outcome = ExecutionResult<HaltReason>;

pub(crate) const ALICE: Address = address!("0x00000000000000000000000000000000000a11ce");
pub(crate) const BOB: Address = address!("0x0000000000000000000000000000000000000b0b");

/// The limits of the shipped chain that matter here.
const CODE_SIZE_LIMIT: usize = 128 << 10;
const GAS_LIMIT: u64 = 60_000_000;

/// The chain.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) factory: SynodEvmFactory,
    pub(crate) env: EvmEnv,
}

/// A transaction's fields that tests vary.
#[derive(Debug, Clone)]
pub(crate) struct Tx {
    pub(crate) from: Address,
    pub(crate) to: TxKind,
    pub(crate) data: Bytes,
    pub(crate) value: U256,
    pub(crate) gas: u64,
    pub(crate) access_list: AccessList,
}

impl Tx {
    pub(crate) fn call(to: Address, data: impl Into<Bytes>) -> Self {
        Self {
            from: ALICE,
            to: TxKind::Call(to),
            data: data.into(),
            value: U256::ZERO,
            gas: GAS_LIMIT,
            access_list: AccessList::default(),
        }
    }

    pub(crate) fn create(code: Vec<u8>) -> Self {
        Self {
            to: TxKind::Create,
            ..Self::call(Address::ZERO, code)
        }
    }
}

impl World {
    /// The genesis accounts and two callers with ether.
    pub(crate) fn genesis() -> Self {
        let mut db = CacheDB::new(EmptyDB::new());
        for account in predeploys() {
            let code = Bytecode::new_raw(account.code);
            let info = AccountInfo {
                nonce: account.nonce,
                code_hash: code.hash_slow(),
                code: Some(code),
                ..Default::default()
            };
            db.insert_account_info(account.address, info);
        }
        for caller in [ALICE, BOB] {
            let info = AccountInfo {
                balance: U256::from(10u128.pow(24)),
                ..Default::default()
            };
            db.insert_account_info(caller, info);
        }
        Self {
            db,
            factory: SynodEvmFactory::default(),
            env: Self::env(),
        }
    }

    /// A chain with the models that most tests use; see [`models`].
    pub(crate) fn with_models() -> Self {
        let mut world = Self::genesis();
        for (name, model) in models() {
            world.publish(name, &model);
        }
        world
    }

    /// The same chain on a node that has never seen a model.
    pub(crate) fn cold(&self) -> Self {
        Self {
            db: self.db.clone(),
            factory: SynodEvmFactory::new(Arc::new(Engine::default())),
            env: self.env.clone(),
        }
    }

    pub(crate) fn env() -> EvmEnv {
        let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA);
        cfg.limit_contract_code_size = Some(CODE_SIZE_LIMIT);
        cfg.limit_contract_initcode_size = Some(2 * CODE_SIZE_LIMIT);
        cfg.tx_gas_limit_cap = Some(GAS_LIMIT);
        EvmEnv::new(
            cfg,
            BlockEnv {
                gas_limit: 10 * GAS_LIMIT,
                ..Default::default()
            },
        )
    }

    pub(crate) fn tx_env(&self, tx: &Tx) -> TxEnv {
        let mut db = self.db.clone();
        let nonce = db.basic(tx.from).unwrap().map_or(0, |account| account.nonce);
        TxEnv {
            caller: tx.from,
            kind: tx.to,
            data: tx.data.clone(),
            value: tx.value,
            gas_limit: tx.gas,
            nonce,
            chain_id: Some(1),
            tx_type: 1,
            access_list: tx.access_list.clone(),
            ..Default::default()
        }
    }

    /// Runs a transaction without keeping what it did: `eth_call`, a trace, a historical call.
    pub(crate) fn look(&self, tx: &Tx) -> ResultAndState<HaltReason> {
        self.look_with(tx, NoOpInspector {}).0
    }

    /// As [`Self::look`], with an inspector.
    pub(crate) fn look_with<I>(&self, tx: &Tx, mut inspector: I) -> (ResultAndState<HaltReason>, I)
    where
        I: Inspector<EthEvmContext<Db>>,
    {
        let mut evm =
            self.factory
                .create_evm_with_inspector(self.db.clone(), self.env.clone(), &mut inspector);
        let outcome = evm.transact(self.tx_env(tx)).unwrap();
        drop(evm);
        (outcome, inspector)
    }

    /// Runs a transaction and keeps what it did.
    pub(crate) fn send(&mut self, tx: &Tx) -> Outcome {
        let ResultAndState { result, state } = self.look(tx);
        self.db.commit(state);
        result
    }

    /// Calls a contract that must answer.
    pub(crate) fn ask<C: SolCall>(&self, to: Address, call: &C) -> C::Return {
        let outcome = self.look(&Tx::call(to, call.abi_encode())).result;
        let output = success(&outcome);
        C::abi_decode_returns(&output).unwrap()
    }

    /// Calls the precompile, which must answer.
    pub(crate) fn predict<C: SolCall>(&self, call: &C) -> C::Return {
        self.ask(PREDICT, call)
    }

    /// Calls the precompile, which must refuse.
    pub(crate) fn refusal<C: SolCall>(&self, call: &C) -> IPredictErrors {
        refusal(&self.look(&Tx::call(PREDICT, call.abi_encode())).result)
    }

    /// Deploys chunks and manifest through the factory.
    pub(crate) fn upload(&mut self, model: &CanonicalModel) -> Manifest {
        let (manifest, chunks) = Manifest::cut(&model.graph, &model.weights, chunk_size(CODE_SIZE_LIMIT));
        for code in chunks.iter().chain([&manifest.encode()]) {
            self.place(code);
        }
        manifest
    }

    /// Deploys code at its content-derived address, unless it is there: the factory fails on an address that is taken.
    pub(crate) fn place(&mut self, code: &Bytes) -> Address {
        let address = address_of(code);
        if self.db.basic(address).unwrap().is_none() {
            success(&self.send(&Tx::call(CHUNK_FACTORY, deployment(code))));
        }
        address
    }

    /// Uploads and registers a model; returns its id.
    pub(crate) fn publish(&mut self, name: &str, model: &CanonicalModel) -> B256 {
        let manifest = self.upload(model).address();
        let outcome = self.send(&Tx::call(MODEL_REGISTRY, publish_call(name, manifest)));
        let published = ModelRegistry::publishCall::abi_decode_returns(&success(&outcome)).unwrap();
        assert_eq!(published.id, B256::from(model.id().0));
        published.id
    }

    /// Deploys a contract and returns its address.
    pub(crate) fn deploy(&mut self, init_code: Vec<u8>) -> Address {
        let outcome = self.send(&Tx::create(init_code));
        assert!(outcome.is_success(), "{outcome:?}");
        outcome.created_address().unwrap()
    }

    /// Deploys [`Prober`].
    pub(crate) fn deploy_prober(&mut self) -> Address {
        self.deploy(prober_code("", &[]))
    }
}

/// Init code of [`Prober`] that asks in its constructor unless the name is empty.
pub(crate) fn prober_code(model: &str, input: &[u8]) -> Vec<u8> {
    let arguments = Prober::constructorCall {
        model: model.into(),
        input: input.to_vec().into(),
    };
    [&Prober::BYTECODE[..], &arguments.abi_encode()].concat()
}

pub(crate) fn publish_call(name: &str, manifest: Address) -> Vec<u8> {
    ModelRegistry::publishCall {
        name: name.into(),
        manifest,
    }
    .abi_encode()
}

pub(crate) fn success(outcome: &Outcome) -> Bytes {
    assert!(outcome.is_success(), "{outcome:?}");
    outcome.output().cloned().unwrap_or_default()
}

pub(crate) fn refusal(outcome: &Outcome) -> IPredictErrors {
    let ExecutionResult::Revert { output, .. } = outcome else {
        panic!("expected a revert: {outcome:?}")
    };
    refusal_data(output)
}

pub(crate) fn refusal_data(data: &[u8]) -> IPredictErrors {
    use alloy_sol_types::SolInterface;
    IPredictErrors::abi_decode(data).unwrap_or_else(|_| panic!("not an error of the interface: {data:02x?}"))
}

pub(crate) fn run(model: &str, input: &[f32]) -> IPredict::runCall {
    IPredict::runCall {
        model: model.into(),
        input: pack(input).into(),
    }
}

/// Big-endian f32.
pub(crate) fn pack(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

pub(crate) fn unpack(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_be_bytes(*bytes))
        .collect()
}

/// Fixed point.
pub(crate) fn fixed(values: &[i64]) -> Vec<alloy_primitives::I256> {
    values
        .iter()
        .map(|&value| alloy_primitives::I256::try_from(value).unwrap())
        .collect()
}

pub(crate) fn import(file: &[u8], bounds: &[(&str, usize)]) -> CanonicalModel {
    let dims = bounds
        .iter()
        .map(|(name, max)| (name.to_string(), DimSetting::AtMost(*max)))
        .collect();
    import_onnx(
        file,
        &NoExternalData,
        &ImportOptions {
            dims,
            ..ImportOptions::default()
        },
    )
    .unwrap()
}

/// `y = relu(x·W + B)`, `x[1,3]`, `y[1,2]`.
pub(crate) fn dense() -> CanonicalModel {
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1), Dim::Size(3)])
        .weights("W", &[3, 2], &[1.0, -1.0, 2.0, 0.5, 3.0, 0.25])
        .weights("B", &[2], &[0.5, 1.0])
        .node("MatMul", &["x", "W"], &["p"])
        .node("Add", &["p", "B"], &["s"])
        .node("Relu", &["s"], &["y"])
        .output("y", F32, &[Dim::Size(1), Dim::Size(2)]);
    import(&graph.file(), &[])
}

/// What [`dense`] gives.
pub(crate) fn dense_output(x: [f32; 3]) -> Vec<f32> {
    let first = x[0] + 2.0 * x[1] + 3.0 * x[2] + 0.5;
    let second = -x[0] + 0.5 * x[1] + 0.25 * x[2] + 1.0;
    [first, second]
        .map(|sum| if sum > 0.0 { sum } else { 0.0 })
        .to_vec()
}

/// The models of [`World::with_models`].
pub(crate) fn models() -> Vec<(&'static str, CanonicalModel)> {
    // A free batch dimension.
    let batched = Graph::default()
        .input("x", F32, &[Dim::Free("n"), Dim::Size(2)])
        .weights("W", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .node("MatMul", &["x", "W"], &["y"])
        .output("y", F32, &[Dim::Free("n"), Dim::Size(2)]);
    // Two inputs and outputs of two types.
    let pair = Graph::default()
        .input("a", F32, &[Dim::Size(2)])
        .input("b", I64, &[Dim::Size(1)])
        .node("Relu", &["a"], &["c"])
        .node("Identity", &["b"], &["d"])
        .output("c", F32, &[Dim::Size(2)])
        .output("d", I64, &[Dim::Size(1)]);
    // Overflows to infinity.
    let square = Graph::default()
        .input("x", F32, &[Dim::Size(1)])
        .weights("W", &[1], &[1e38])
        .node("Add", &["x", "W"], &["s"])
        .node("Add", &["s", "s"], &["t"])
        .node("Add", &["t", "t"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    vec![
        ("test/dense", dense()),
        ("test/batched", import(&batched.file(), &[("n", 5)])),
        ("test/pair", import(&pair.file(), &[])),
        ("test/huge", import(&square.file(), &[])),
    ]
}

/// Init code and call data of everything that publishing `model` in one transaction takes.
pub(crate) fn deployments(model: &CanonicalModel) -> (Manifest, Vec<Bytes>) {
    let (manifest, chunks) = Manifest::cut(&model.graph, &model.weights, chunk_size(CODE_SIZE_LIMIT));
    let codes = chunks
        .iter()
        .chain([&manifest.encode()])
        .map(|code| deployment(code))
        .collect();
    (manifest, codes)
}
