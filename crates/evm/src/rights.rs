//! Rights: who may send transactions, deploy contracts and publish models.
//!
//! A cluster's validators keep them in the council contract (`contracts/src/Council.sol`). What counts in a transaction are the
//! rights that its *sender* has in the state before it, whatever contract the transaction goes through:
//!
//! | right | without it |
//! |---|---|
//! | [`Right::Transact`] | the transaction cannot be in a block (`synod_chain` sees to that: reading needs no right) |
//! | [`Right::Deploy`] | a transaction that creates is invalid; a frame that executes CREATE or CREATE2 reverts |
//! | [`Right::Publish`] | a frame of the chunk factory that would deploy a chunk or a manifest reverts, and a frame of the registry that would write |
//!
//! A frame that reverts for that reason answers with `NotPermitted(account, right)` of the council's interface.
//!
//! The slots are read from the database, past the journal: nothing becomes warm, nothing is charged, no trace shows it, and
//! what the transaction itself writes there counts from the next one on. A chain without the council is open to all, and so
//! is one whose council lists nobody: then one slot is read.
//!
//! **The chunk factory runs any init code.** If all that it deploys needed PUBLISH, that right would include DEPLOY. So what
//! counts is what it deploys: the one init code of chunks and manifests, followed by STOP, makes an account that can do
//! nothing ([`crate::manifest`]) and needs PUBLISH; all else is a contract like any other.

use crate::{
    addresses::{CHUNK_FACTORY, COUNCIL, MODEL_REGISTRY},
    interface::Council,
    manifest::is_deployment,
};
use alloy_evm::{
    Database,
    eth::EthEvmContext,
    revm::{
        self,
        context_interface::{ContextTr, context::ContextError},
        interpreter::{
            CreateInputs, FrameInput, InstructionContext, InstructionExecResult, InstructionResult,
            Interpreter, InterpreterAction,
            instructions::{contract, host},
            interpreter::EthInterpreter,
            interpreter_types::{InputsTr, LoopControl},
        },
    },
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_sol_types::SolError;
use std::fmt;

const SEATS: u64 = 1;
const LISTED: u64 = 2;
const GRANTED: u64 = 3;

/// Something that only listed accounts may do if the council says so. The values are the contract's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Right {
    /// Send transactions.
    Transact = 1,
    /// Deploy contracts.
    Deploy = 2,
    /// Publish models.
    Publish = 4,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transact => "send transactions",
            Self::Deploy => "deploy contracts",
            Self::Publish => "publish models",
        })
    }
}

/// An account lacks a right that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not permitted: {account} may not {right} on this chain; its validators can grant it that right, in the council contract at {COUNCIL}"
)]
pub struct NotPermitted {
    /// The account.
    pub account: Address,
    /// What it would need.
    pub right: Right,
}

impl NotPermitted {
    /// What a frame that reverts for it answers with.
    #[must_use]
    pub fn revert_data(self) -> Bytes {
        let Self { account, right } = self;
        let right = right as u8;
        Council::NotPermitted { account, right }.abi_encode().into()
    }

    /// Reads such an answer.
    #[must_use]
    pub fn of_revert(data: &[u8]) -> Option<Self> {
        let Council::NotPermitted { account, right } = Council::NotPermitted::abi_decode(data).ok()?;
        let all = [Right::Transact, Right::Deploy, Right::Publish];
        let right = all.into_iter().find(|known| *known as u8 == right)?;
        Some(Self { account, right })
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u8);

impl Default for Rights {
    /// All, as on a chain without a council.
    fn default() -> Self {
        Self::ALL
    }
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self(7);

    /// What an account may do in the state of `db`.
    ///
    /// The zero address, which can sign nothing and stands for nobody in a simulated call, may do everything.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn of<D: revm::Database>(db: &mut D, account: Address) -> Result<Self, D::Error> {
        let has_council = |info: revm::state::AccountInfo| info.code_hash != KECCAK256_EMPTY;
        if account.is_zero() || !db.basic(COUNCIL)?.is_some_and(has_council) {
            return Ok(Self::ALL);
        }
        let listed = Self::low(db.storage(COUNCIL, U256::from(LISTED))?);
        if listed.is_empty() {
            return Ok(Self::ALL);
        }
        if db.storage(COUNCIL, slot(account, SEATS))?.is_zero() {
            let granted = Self::low(db.storage(COUNCIL, slot(account, GRANTED))?);
            Ok(Self(Self::ALL.0 & !listed.0 | granted.0))
        } else {
            Ok(Self::ALL)
        }
    }

    fn low(word: U256) -> Self {
        Self(word.byte(0) & Self::ALL.0)
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a right is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & right as u8 != 0
    }

    /// Insists on a right.
    ///
    /// # Errors
    /// When it is not among them.
    pub const fn require(self, right: Right, account: Address) -> Result<(), NotPermitted> {
        if self.has(right) {
            Ok(())
        } else {
            Err(NotPermitted { account, right })
        }
    }

    /// Insists on what an account needs to send a transaction, one that creates or another.
    ///
    /// # Errors
    /// When a right is missing.
    pub fn for_transaction(self, sender: Address, creates: bool) -> Result<(), NotPermitted> {
        self.require(Right::Transact, sender)?;
        if creates {
            self.require(Right::Deploy, sender)?;
        }
        Ok(())
    }
}

/// Solidity's place for an account's entry of the mapping at `slot`.
fn slot(account: Address, slot: u64) -> U256 {
    keccak256([account.into_word(), B256::from(U256::from(slot))].concat()).into()
}

type Context<'a, DB> = InstructionContext<'a, EthEvmContext<DB>, EthInterpreter>;

/// CREATE and CREATE2: Ethereum's, up to the moment at which the frame of the init code would open.
pub(crate) fn create<DB: Database, const IS_CREATE2: bool>(
    context: Context<'_, DB>,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = context;
    let outcome = contract::create::<IS_CREATE2, _, _>(InstructionContext {
        interpreter: &mut *interpreter,
        host: &mut *host,
    });
    let Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) = interpreter.bytecode.action() else {
        return outcome;
    };
    let (right, unspent) = (needed(inputs), inputs.gas_limit());
    match permitted(host, right)? {
        Ok(()) => outcome,
        Err(denied) => {
            interpreter.gas.erase_cost(unspent);
            Err(revert(interpreter, denied))
        }
    }
}

/// The right that creating an account so needs.
fn needed(inputs: &CreateInputs) -> Right {
    if inputs.caller() == CHUNK_FACTORY && is_deployment(inputs.init_code()) {
        Right::Publish
    } else {
        Right::Deploy
    }
}

/// SSTORE: Ethereum's, but that the registry's storage belongs to those who may publish.
pub(crate) fn store<DB: Database>(context: Context<'_, DB>) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = context;
    if interpreter.input.target_address() == MODEL_REGISTRY
        && let Err(denied) = permitted(host, Right::Publish)?
    {
        return Err(revert(interpreter, denied));
    }
    host::sstore(InstructionContext { interpreter, host })
}

/// Whether the sender of the transaction that runs has a right.
fn permitted<DB: Database>(
    host: &mut EthEvmContext<DB>,
    right: Right,
) -> Result<Result<(), NotPermitted>, InstructionResult> {
    let sender = host.tx.caller;
    match Rights::of(host.db_mut(), sender) {
        Ok(rights) => Ok(rights.require(right, sender)),
        Err(error) => {
            host.error = Err(ContextError::Db(error));
            Err(InstructionResult::FatalExternalError)
        }
    }
}

/// Ends the frame as REVERT would.
fn revert(interpreter: &mut Interpreter<EthInterpreter>, denied: NotPermitted) -> InstructionResult {
    let end = InterpreterAction::new_return(InstructionResult::Revert, denied.revert_data(), interpreter.gas);
    if interpreter.bytecode.action().is_some() {
        *interpreter.bytecode.action() = Some(end);
    } else {
        interpreter.bytecode.set_action(end);
    }
    InstructionResult::Revert
}
