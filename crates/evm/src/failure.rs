//! The ways in which a call of the precompile ends without an answer.

use crate::interface::IPredict as errors;
use crate::{abi::Malformed, gas::Exhausted, interface::IPredict::IPredictErrors, name::InvalidName};
use alloy_evm::{EvmInternalsError, revm::precompile::PrecompileError};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolInterface;

/// No answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A typed revert: the caller's fault, it costs what was used.
    Refused(Box<IPredictErrors>),
    /// The gas that was passed is used up: the frame halts.
    OutOfGas,
    /// The node's own fault: the transaction has no outcome here.
    Fatal(PrecompileError),
}

impl Failure {
    /// The revert data of a refusal.
    pub(crate) fn revert_data(refusal: &IPredictErrors) -> Bytes {
        refusal.abi_encode().into()
    }
}

/// Errors of the interface convert into refusals.
macro_rules! refusals {
    ($($error:ident)+) => {$(
        impl From<errors::$error> for Failure {
            fn from(error: errors::$error) -> Self {
                Self::Refused(Box::new(IPredictErrors::$error(error)))
            }
        }
    )+};
}
refusals! {
    UnknownFunction MalformedCall NonPayable InvalidName UnknownModel ModelRevoked UnknownModelId UnsupportedProfile
    WrongInputLength
    WrongFreeInputLength AmbiguousShape WrongValueCount WrongFreeValueCount WrongInputCount WrongInputType WrongInputRank
    WrongDimension DimensionOutOfRange WrongTensorLength NotFinite InvalidBool OutputNotFinite ValueOutOfRange
    DecimalsOutOfRange UnsupportedType NotAClassifier MaxGasExceeded MemoryLimitExceeded UnsupportedShape DependsOnInput
    ExecutionFailed
    InvalidManifest InvalidChunk WrongModelLength InvalidModel InvalidPatch TooManyPatches InvalidProof NotSteady
    InvalidPipeline WrongTask InvalidUtf8 TextTooLong EmptyText InvalidFile InvalidPicture PictureTooLarge
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        errors::MalformedCall {
            position: U256::from(error.position),
        }
        .into()
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        errors::InvalidName { name: error.name }.into()
    }
}

impl From<Exhausted> for Failure {
    fn from(error: Exhausted) -> Self {
        match error {
            Exhausted::OutOfGas => Self::OutOfGas,
            Exhausted::MaxGas { max_gas, used } => errors::MaxGasExceeded {
                maxGas: max_gas,
                used,
            }
            .into(),
        }
    }
}

impl From<PrecompileError> for Failure {
    fn from(error: PrecompileError) -> Self {
        Self::Fatal(error)
    }
}

impl From<EvmInternalsError> for Failure {
    fn from(error: EvmInternalsError) -> Self {
        Self::Fatal(crate::chunks::fatal(error))
    }
}
