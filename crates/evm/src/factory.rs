//! The chain's EVM: Ethereum's, with PREDICT.
//!
//! One factory is the whole difference. Everything that builds on `alloy_evm` (block execution, RPC calls, traces) gets
//! PREDICT by being handed this factory instead of Ethereum's; without a call to `0x…AE01` or an `AE` byte nothing differs.

use crate::{
    engine::Engine,
    inference::{Inference, InferenceRules, SynodEvm},
    opcode,
    precompiles::SynodPrecompiles,
    rights,
};
use alloy_evm::{
    Database, EvmEnv, EvmFactory,
    eth::{EthEvm, EthEvmContext},
    revm::{
        Inspector, MainContext,
        bytecode::opcode::{CREATE, CREATE2, SSTORE},
        context::{
            BlockEnv, Context, DBErrorMarker, Evm, FrameStack, TxEnv,
            result::{EVMError, HaltReason},
        },
        handler::instructions::EthInstructions,
        inspector::NoOpInspector,
        interpreter::Instruction,
        precompile::PrecompileSpecId,
        primitives::hardfork::SpecId,
    },
};
use parking_lot::RwLock;
use std::sync::Arc;

/// Builds EVMs that know PREDICT and share one [`Engine`].
#[derive(Debug, Clone)]
pub struct SynodEvmFactory {
    engine: Arc<Engine>,
    /// Shared by clones.
    rules: Arc<RwLock<InferenceRules>>,
}

impl Default for SynodEvmFactory {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl SynodEvmFactory {
    /// A factory over this engine. Clones share it.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            rules: Arc::default(),
        }
    }

    /// The same under these rules. Earlier clones keep theirs.
    #[must_use]
    pub fn with_rules(mut self, rules: InferenceRules) -> Self {
        self.rules = Arc::new(RwLock::new(rules));
        self
    }

    /// Changes the rules for this factory and its clones, in EVMs that they make from now on.
    pub fn set_rules(&self, rules: InferenceRules) {
        *self.rules.write() = rules;
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn build<DB: Database, I: Inspector<EthEvmContext<DB>>>(
        &self,
        db: DB,
        env: EvmEnv,
        inspector: I,
        inspect: bool,
    ) -> SynodEvm<DB, I> {
        let inference = Arc::new(Inference::new(*self.rules.read()));
        let fork = PrecompileSpecId::from_spec_id(env.cfg_env.spec);
        let precompiles = SynodPrecompiles::new(fork, Arc::clone(&self.engine), Arc::clone(&inference));
        // What `build_mainnet_with_inspector` puts together, but for the frames: that makes eight of them, 290 KiB, before there is a
        // call. Most calls from outside need one, and to get and give back so much memory takes longer than they do.
        let mut evm = Evm {
            instruction: EthInstructions::new_mainnet_with_spec(env.cfg_env.spec),
            ctx: Context::mainnet()
                .with_block(env.block_env)
                .with_cfg(env.cfg_env)
                .with_db(db),
            inspector,
            precompiles,
            frame_stack: FrameStack::new(),
        };
        let extension = Instruction::new(opcode::extension);
        evm.instruction
            .insert_instruction(opcode::EXTENSION, extension, opcode::STATIC_GAS);
        // Their static gas is nothing since all of it is counted by the instructions themselves.
        let table = &mut evm.instruction;
        table.insert_instruction(CREATE, Instruction::new(rights::create::<DB, false>), 0);
        table.insert_instruction(CREATE2, Instruction::new(rights::create::<DB, true>), 0);
        table.insert_instruction(SSTORE, Instruction::new(rights::store::<DB>), 0);
        SynodEvm::new(EthEvm::new(evm, inspect), inference)
    }
}

impl EvmFactory for SynodEvmFactory {
    type Evm<DB: Database, I: Inspector<EthEvmContext<DB>>> = SynodEvm<DB, I>;
    type Context<DB: Database> = EthEvmContext<DB>;
    type Tx = TxEnv;
    type Error<DBError: DBErrorMarker> = EVMError<DBError>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = SynodPrecompiles;

    fn create_evm<DB: Database>(&self, db: DB, env: EvmEnv) -> Self::Evm<DB, NoOpInspector> {
        self.build(db, env, NoOpInspector {}, false)
    }

    fn create_evm_with_inspector<DB: Database, I: Inspector<Self::Context<DB>>>(
        &self,
        db: DB,
        env: EvmEnv,
        inspector: I,
    ) -> Self::Evm<DB, I> {
        self.build(db, env, inspector, true)
    }
}
