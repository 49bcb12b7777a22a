//! What a node refuses, in words: the typed errors of the engine and of the registry, and what to do about them.

use alloy_provider::transport::{RpcError, TransportErrorKind};
use alloy_sol_types::SolInterface as _;
use eyre::{Report, eyre};
use synod_evm::interface::{
    Council::CouncilErrors, IPredict::IPredictErrors, ModelRegistry::ModelRegistryErrors,
};

/// One line about a failed request.
pub(crate) fn explain(error: &RpcError<TransportErrorKind>) -> Report {
    match error {
        RpcError::ErrorResp(payload) => match payload.as_revert_data() {
            Some(data) if !data.is_empty() => revert(&data),
            // Solidity passes on what a call that ran out of gas leaves: nothing.
            _ if payload.message == "execution reverted" => eyre!(
                "the call is reverted without a reason, as one is that runs out of the gas a transaction may use"
            ),
            _ => eyre!("the node refuses: {} (code {})", payload.message, payload.code),
        },
        RpcError::Transport(TransportErrorKind::HttpError(http)) => {
            eyre!("the node answers with HTTP status {}", http.status)
        }
        RpcError::Transport(kind) => eyre!("the connection failed: {}", root_cause(kind)),
        other => eyre!("the node's answer makes no sense: {other}"),
    }
}

/// The innermost cause, which is the one that says something ("connection refused").
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// One line about revert data.
pub(crate) fn revert(data: &[u8]) -> Report {
    if let Ok(error) = IPredictErrors::abi_decode(data) {
        return eyre!("{}", engine(&error));
    }
    if let Ok(error) = ModelRegistryErrors::abi_decode(data) {
        return eyre!("{}", registry(&error));
    }
    if let Ok(error) = CouncilErrors::abi_decode(data) {
        return eyre!("{}", council(&error));
    }
    match alloy_sol_types::decode_revert_reason(data) {
        Some(reason) => eyre!("the call is reverted: {reason}"),
        None => eyre!(
            "the call is reverted with {}",
            alloy_primitives::hex::encode_prefixed(data)
        ),
    }
}

fn engine(error: &IPredictErrors) -> String {
    use IPredictErrors as E;
    match error {
        E::UnknownModel(e) => {
            format!(
                "no model is called {:?} on this chain: `synod model list` shows the names",
                e.name
            )
        }
        E::ModelRevoked(e) => format!(
            "{}: version {} is revoked; `synod model log {}` says why",
            e.name,
            e.version,
            e.name.split('@').next().unwrap_or_default()
        ),
        E::UnknownModelId(e) => format!("no model on this chain has the id {}", e.id),
        E::UnsupportedProfile(e) => format!(
            "the model {} was validated against profile {}, but the chain's engine runs profile {}: publish the file again",
            e.id, e.profile, e.supported
        ),
        E::InvalidPatch(e) => format!(
            "what lies at {} is no patch of that model: edits in ascending order, each within one tensor, NaNs in their one form",
            e.manifest
        ),
        E::TooManyPatches(e) => format!(
            "the model {} already lies under {} patches, as many as a chain takes: publish without --from",
            e.base, e.limit
        ),
        E::InvalidProof(_) => {
            "the proof does not fit the base and the leaves that the patch touches: was it made of another model?".into()
        }
        E::NotSteady(e) => format!(
            "the graph of {} depends on its weights' values: publish the patch without a proof, and the result is validated in full",
            e.base
        ),
        E::WrongTask(e) => match e.task.as_str() {
            "network" => "the model is a network of numbers: ask it with --input".into(),
            "pipeline" => "the model is a pipeline: ask it with --text or --picture".into(),
            "image-classification" => "the model looks at pictures: ask it with --picture".into(),
            task => format!("the model is for {task}: ask it with --text"),
        },
        E::InvalidPipeline(e) => format!(
            "what lies at {} is no pipeline, or its parts do not fit each other",
            e.manifest
        ),
        E::InvalidUtf8(e) => format!("the text is not UTF-8 from byte {} on", e.position),
        E::TextTooLong(e) => format!(
            "the text is too long: {} bytes or tokens, the model takes {}",
            e.got, e.limit
        ),
        E::EmptyText(_) => "the text has no tokens, and the model needs one to begin with".into(),
        E::InvalidFile(e) => format!("no file is stored at {}: `synod file put` stores one", e.file),
        E::InvalidPicture(_) => "the file is no PNG or JPEG that the chain decodes: cut short, damaged, or of another kind".into(),
        E::PictureTooLarge(e) => format!(
            "the picture has {} pixels, the chain decodes at most {}",
            e.got, e.limit
        ),
        E::InvalidName(e) => {
            format!(
                "{:?} is not a model's name: ORG/MODEL, ORG/MODEL@N, @ALIAS or @sha256:ID in lower case is expected",
                e.name
            )
        }
        E::WrongInputCount(e) => format!("the model takes {} inputs, {} were given", e.expected, e.got),
        E::WrongInputType(e) => {
            format!(
                "input {} has element type {} (ONNX code), the model takes {}",
                e.input, e.got, e.expected
            )
        }
        E::WrongInputRank(e) => {
            format!(
                "input {} has {} dimensions, the model takes {}",
                e.input, e.got, e.expected
            )
        }
        E::WrongDimension(e) => {
            format!(
                "dimension {} of input {} is {}, the model takes {}",
                e.axis, e.input, e.got, e.expected
            )
        }
        E::DimensionOutOfRange(e) => {
            format!(
                "dimension {} of input {} is {}, the model takes 1 to {}",
                e.axis, e.input, e.got, e.maximum
            )
        }
        E::WrongInputLength(e) => format!("the input has {} bytes, the model takes {}", e.got, e.expected),
        E::NotFinite(e) => format!(
            "element {} of input {} is NaN or infinite, which the chain does not take: clean the data",
            e.element, e.input
        ),
        E::InvalidBool(e) => format!(
            "element {} of input {} is a bool that is neither 0 nor 1",
            e.element, e.input
        ),
        E::MemoryLimitExceeded(e) => {
            format!(
                "the prediction needs {} bytes of memory, the chain allows {}",
                e.needed, e.limit
            )
        }
        E::DependsOnInput(_) => {
            "what the prediction costs depends on the values of the input: simulate it, or bound it with withMaxGas".into()
        }
        E::UnsupportedShape(e) => format!("operator {} of the model cannot take these shapes", e.node),
        E::ExecutionFailed(e) => format!("operator {} of the model refuses the data", e.node),
        E::InvalidManifest(e) => format!("there is no model's manifest at {}", e.manifest),
        E::InvalidChunk(e) => format!(
            "chunk {} of the model is missing: publish again to upload it",
            e.chunk
        ),
        E::InvalidModel(_) => {
            "the chain does not accept the model: `synod model inspect FILE` says why".into()
        }
        other => format!("the engine refuses: {other:?}"),
    }
}

fn registry(error: &ModelRegistryErrors) -> String {
    use ModelRegistryErrors as E;
    match error {
        E::InvalidName(e) => {
            format!(
                "{:?} is not a model's name: ORG/MODEL in lower case is expected",
                e.name
            )
        }
        E::NamespaceTaken(e) => format!("the namespace {:?} belongs to {}", e.org, e.owner),
        E::NotNamespaceOwner(e) => format!(
            "the namespace {:?} belongs to {}: sign with that account, or publish under another name",
            e.org, e.owner
        ),
        E::NotModelOwner(e) => format!(
            "the model {:?} belongs to {}: sign with that account, or publish under another name",
            e.name, e.owner
        ),
        E::AlreadyPublished(e) => format!(
            "{0}@{1} already is this very model: `synod model latest {0}@{1}` makes the name stand for it",
            e.name, e.version
        ),
        E::VersionRevoked(e) => format!(
            "{}@{} is revoked, which is final: nothing can be pointed at it",
            e.name, e.version
        ),
        E::NotDeprecated(e) => format!("{}@{} is not deprecated", e.name, e.version),
        E::UnknownVersion(e) => format!("{:?} has no version {}", e.name, e.version),
        E::UnknownAlias(e) => format!("{:?} has no alias {:?}", e.name, e.aliasName),
        E::InvalidAlias(e) => format!(
            "{:?} cannot be an alias: 1 to 64 of a-z 0-9 - _ . beginning with a letter or digit, neither a number nor \"latest\"",
            e.aliasName
        ),
        E::InvalidReason(e) => format!("a reason has 1 to 256 bytes, not {}", e.length),
        E::NotPendingOwner(e) => format!(
            "{:?} is not offered to this account, but to {}",
            e.name, e.pendingOwner
        ),
        E::UnknownModel(e) => format!("no model is called {:?} on this chain", e.name),
        E::UnknownModelId(e) => format!("no model on this chain has the id {}", e.id),
        E::PatchTooLarge(e) => format!(
            "the chain does not store a patch of {} bytes in one piece: `synod model publish --from` cuts it",
            e.bytes_
        ),
    }
}

fn council(error: &CouncilErrors) -> String {
    use CouncilErrors as E;
    match error {
        E::NotValidator(e) => format!(
            "{} is the account of no validator: `synod cluster council show` shows them",
            e.account
        ),
        E::AlreadyInitialised(_) => "the council has its validators since genesis".into(),
        E::AlreadyApproved(e) => format!(
            "this account wants it already (action {}): it takes effect when enough others send the same",
            e.action
        ),
        E::NotApproved(e) => format!(
            "this account does not want action {}, or it has taken effect",
            e.action
        ),
        E::InvalidValidator(e) => format!("the validator's {} cannot be", e.field),
        E::Duplicate(e) => format!("a validator with this {} sits in the council already", e.field),
        E::UnknownValidator(e) => format!("no validator has the identity {}", e.identity),
        E::CommitteeSize(e) => format!("a committee has 1 to 256 validators, not {}", e.size),
        E::InvalidRights(e) => format!(
            "{} is no sum of rights: 1 transact, 2 deploy, 4 publish",
            e.rights
        ),
        E::NotPermitted(e) => format!(
            "{} lacks the right to do this (rights {}): validators grant it with `synod cluster council grant`",
            e.account, e.right
        ),
        E::InvalidEpochLength(e) => format!("an epoch has 2 blocks or more, not {}", e.blocks),
        E::InvalidEpoch(e) => format!(
            "epoch {} has no upgrade, has one already, or has begun (epoch {} runs)",
            e.epoch, e.running
        ),
    }
}
