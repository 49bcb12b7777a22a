//! Who votes: the validators of a genesis file, and the clocks they agreed on.

use super::{Identity, Scheme, keys::ValidatorKeys};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, keccak256};
use alloy_rlp::{Encodable as _, RlpEncodable};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::bls12381::primitives::{
    group::{G1, G2},
    ops,
    variant::MinPk,
};
use commonware_utils::ordered::BiMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use synod_chain::{
    Chain, ChainError, ChainSpec, Digest,
    council::{CouncilError, DEFAULT_EPOCH_BLOCKS, Epochs, Validator},
};

/// Domain of the proof that a validator holds the secret of its vote key.
pub(super) const POSSESSION: &[u8] = b"synod/simplex/possession/1";

/// Most validators of a cluster.
pub const MAX_VALIDATORS: usize = 256;

/// Gas that a validator executes in a second at least: the rate that all prices are derived from.
const GAS_PER_SECOND: u64 = 100_000_000;

/// `config.simplex` of a genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, RlpEncodable)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimplexParams {
    /// The validators. `3f + 1` of them survive the loss of `f`.
    pub validators: Vec<ValidatorEntry>,
    /// Least time between two blocks, in milliseconds.
    pub block_interval_ms: u64,
    /// When nothing waits to be mined, a block is made after this long anyway, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long a view waits for its proposer, in milliseconds.
    pub leader_timeout_ms: u64,
    /// How long a view waits until its block is voted for, in milliseconds.
    pub certification_timeout_ms: u64,
    /// Blocks of an epoch. With the next epoch the validators are those that the council's contract names at its end.
    pub epoch_blocks: u64,
}

/// One validator's public half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, RlpEncodable)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatorEntry {
    /// What people call it.
    pub name: String,
    /// Ed25519 public key by which its peers know it on the network.
    pub identity: B256,
    /// BLS12-381 public key (G1, compressed) that its votes are checked with.
    pub vote_key: FixedBytes<48>,
    /// Signature over the vote key with the vote key, which keeps a validator from choosing a key that cancels another's.
    pub possession: FixedBytes<96>,
}

impl ValidatorEntry {
    /// The validator's keys, which must be points of their curves, the vote key with proof that somebody holds its secret.
    ///
    /// # Errors
    /// [`CommitteeError::Key`], [`CommitteeError::Possession`].
    pub fn check(&self) -> Result<(Identity, G1), CommitteeError> {
        let name = &self.name;
        let wrong = |key, curve| CommitteeError::Key {
            name: name.clone(),
            key,
            curve,
        };
        let identity =
            Identity::decode(Copying(&self.identity[..])).map_err(|_| wrong("identity", "Ed25519"))?;
        let vote_key = G1::decode(Copying(&self.vote_key[..])).map_err(|_| wrong("voteKey", "BLS12-381"))?;
        G2::decode(Copying(&self.possession[..]))
            .ok()
            .filter(|proof| ops::verify_proof_of_possession::<MinPk>(&vote_key, POSSESSION, proof).is_ok())
            .ok_or_else(|| CommitteeError::Possession(name.clone()))?;
        Ok((identity, vote_key))
    }

    /// The same as the council's contract has it.
    #[must_use]
    pub fn seat(&self, account: Address, host: String) -> Validator {
        Validator {
            name: self.name.clone(),
            account,
            identity: self.identity,
            voteKey: Bytes::copy_from_slice(&self.vote_key[..]),
            possession: Bytes::copy_from_slice(&self.possession[..]),
            host,
        }
    }
}

impl TryFrom<&Validator> for ValidatorEntry {
    type Error = CommitteeError;

    /// From the council's contract.
    fn try_from(validator: &Validator) -> Result<Self, CommitteeError> {
        let wrong = |key| CommitteeError::Key {
            name: validator.name.clone(),
            key,
            curve: "BLS12-381",
        };
        Ok(Self {
            name: validator.name.clone(),
            identity: validator.identity,
            vote_key: validator.voteKey[..].try_into().map_err(|_| wrong("voteKey"))?,
            possession: validator.possession[..]
                .try_into()
                .map_err(|_| wrong("possession"))?,
        })
    }
}

/// A committee that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum CommitteeError {
    /// The genesis file names no validators.
    #[error("the genesis file has no `config.simplex`: it is not the genesis of a cluster")]
    Missing,
    /// `config.simplex` is not what it must be.
    #[error("`config.simplex` of the genesis file: {0}")]
    Json(#[from] serde_json::Error),
    /// The genesis block commits to other rules, validators or clocks.
    #[error(
        "the genesis file's extraData is {found}, but its `config` hashes to {expected}: one of them was changed"
    )]
    Commitment {
        /// What `config` hashes to.
        expected: B256,
        /// What the header says.
        found: Bytes,
    },
    /// Nobody, or more than the certificates' bitmaps are sized for.
    #[error("a cluster has 1 to 256 validators, not {0}")]
    Size(usize),
    /// A key that is no point of its curve.
    #[error("the {key} of validator {name:?} is no {curve} public key")]
    Key {
        /// The validator.
        name: String,
        /// Which key.
        key: &'static str,
        /// Of which curve it should be.
        curve: &'static str,
    },
    /// A key without proof that its owner has the secret.
    #[error("the proof of possession of validator {0:?} does not fit its vote key")]
    Possession(String),
    /// Two validators with one name or key.
    #[error("two validators have the {0} of {1:?}")]
    Duplicate(&'static str, String),
    /// The council's contract in the genesis state says something else.
    #[error(
        "`config.simplex` of the genesis file says {0} other than those of the council's contract in `alloc`"
    )]
    OtherCouncil(&'static str),
    /// The council's contract in the genesis state does not answer.
    #[error("the genesis file's `alloc`: {0}")]
    Council(#[from] CouncilError),
    /// The genesis state cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Clocks that cannot work together.
    #[error("`config.simplex` of the genesis file: {0}")]
    Timing(String),
}

impl SimplexParams {
    /// The key of this section in a genesis file's `config`.
    pub const FIELD: &'static str = "simplex";

    /// What the genesis block's `extraData` holds, so that the hash of the first block names the validators and everything
    /// else that the file's `config` says (given as JSON): two nodes that would differ in a price, a limit, the chain's id or
    /// a fork's time have different first blocks and refuse each other at once.
    #[must_use]
    pub fn commitment(&self, config: &Value) -> B256 {
        let mut rules = String::new();
        match config {
            Value::Object(members) => {
                let others = members.iter().filter(|(key, _)| key.as_str() != Self::FIELD);
                write_object(others, &mut rules);
            }
            other => write_canonical(other, &mut rules),
        }
        let mut bytes = b"synod/genesis/1".to_vec();
        bytes.extend_from_slice(keccak256(rules).as_slice());
        self.encode(&mut bytes);
        keccak256(bytes)
    }

    /// Clocks for a gas limit: a view has room to build a block and to verify it, twice over.
    #[must_use]
    pub fn with_timing(validators: Vec<ValidatorEntry>, gas_limit: u64) -> Self {
        Self::paced(validators, gas_limit, 200, 1000)
    }

    /// The same at a pace of one's own: least time between two blocks, and most while nothing waits to be mined.
    #[must_use]
    pub fn paced(
        validators: Vec<ValidatorEntry>,
        gas_limit: u64,
        block_interval_ms: u64,
        heartbeat_ms: u64,
    ) -> Self {
        let execution_ms = gas_limit.saturating_mul(1000) / GAS_PER_SECOND;
        let leader_timeout_ms = heartbeat_ms + execution_ms + 500;
        Self {
            validators,
            block_interval_ms,
            heartbeat_ms,
            leader_timeout_ms,
            certification_timeout_ms: (4 * execution_ms).max(leader_timeout_ms + execution_ms + 500),
            epoch_blocks: DEFAULT_EPOCH_BLOCKS,
        }
    }

    /// The same with epochs of another length.
    #[must_use]
    pub const fn with_epoch_blocks(mut self, blocks: u64) -> Self {
        self.epoch_blocks = blocks;
        self
    }

    /// Limits and timeouts must fit, or full blocks would end as timeouts: what a block may cost, built and then verified,
    /// takes at most half of what a view waits.
    fn check_timing(&self, gas_limit: u64) -> Result<(), CommitteeError> {
        let execution_ms = gas_limit.saturating_mul(1000) / GAS_PER_SECOND;
        let wrong = |what: String| Err(CommitteeError::Timing(what));
        if self.block_interval_ms > self.heartbeat_ms {
            return wrong(format!(
                "heartbeatMs is {}, less than blockIntervalMs {}",
                self.heartbeat_ms, self.block_interval_ms
            ));
        }
        let least = self.heartbeat_ms.saturating_add(execution_ms);
        if self.leader_timeout_ms < least.max(1) {
            return wrong(format!(
                "leaderTimeoutMs is {}, but waiting heartbeatMs and building a block of {gas_limit} gas takes up to {least}",
                self.leader_timeout_ms
            ));
        }
        let least = execution_ms.saturating_mul(4).max(self.leader_timeout_ms + 1);
        if self.certification_timeout_ms < least {
            return wrong(format!(
                "certificationTimeoutMs is {}, but must be more than leaderTimeoutMs and four times the {execution_ms} ms \
                 that a block of {gas_limit} gas takes: at least {least}",
                self.certification_timeout_ms
            ));
        }
        if self.certification_timeout_ms > 60_000 {
            return wrong(format!(
                "certificationTimeoutMs is {}, more than a minute",
                self.certification_timeout_ms
            ));
        }
        Ok(())
    }
}

/// JSON without white space, with keys in the order of their bytes, and without members that are null.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => write_object(members.iter(), text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_object<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, text: &mut String) {
    let members: BTreeMap<_, _> = members.filter(|(_, value)| !value.is_null()).collect();
    text.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write_canonical(value, text);
    }
    text.push('}');
}

/// The validators of a chain, checked.
#[derive(Clone, Debug)]
pub struct Committee {
    params: SimplexParams,
    epochs: Epochs,
    members: BiMap<Identity, G1>,
    chain_id: u64,
    namespace: Vec<u8>,
}

impl Committee {
    /// The committee of a chain, from its parameters, gas limit, id, and the digest of its genesis block.
    pub fn new(
        params: SimplexParams,
        gas_limit: u64,
        chain_id: u64,
        genesis: Digest,
    ) -> Result<Self, CommitteeError> {
        let size = params.validators.len();
        if size == 0 || size > MAX_VALIDATORS {
            return Err(CommitteeError::Size(size));
        }
        params.check_timing(gas_limit)?;
        let blocks = params.epoch_blocks;
        let epochs = Epochs::new(blocks)
            .ok_or_else(|| CommitteeError::Timing(format!("epochBlocks is {blocks}, less than 2")))?;
        let (mut names, mut identities, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut members = Vec::with_capacity(size);
        for entry in &params.validators {
            let name = &entry.name;
            for (what, new) in [
                ("name", names.insert(name.clone())),
                ("identity", identities.insert(entry.identity)),
                ("vote key", keys.insert(entry.vote_key)),
            ] {
                if !new {
                    return Err(CommitteeError::Duplicate(what, name.clone()));
                }
            }
            members.push(entry.check()?);
        }
        let members = BiMap::try_from(members).expect("duplicates were refused above");
        // Everything that is signed or said names the chain: votes and handshakes of one chain are noise on another.
        let namespace = [b"synod/simplex/".as_slice(), genesis.0.as_slice()].concat();
        Ok(Self {
            params,
            epochs,
            members,
            chain_id,
            namespace,
        })
    }

    /// The committee of an epoch that begins when the council's contract names these validators. Who has a key that is none of
    /// its curve, or no proof of possession, is passed over; if nobody is left the committee stays.
    #[must_use]
    pub fn following(&self, validators: &[Validator]) -> Self {
        let fit = |validator: &Validator| {
            let entry = ValidatorEntry::try_from(validator)?;
            let keys = match self.member_of(&entry) {
                Some(keys) => keys,
                None => entry.check()?,
            };
            Ok::<_, CommitteeError>((keys, entry))
        };
        let (mut members, mut entries) = (Vec::new(), Vec::new());
        for validator in validators {
            match fit(validator) {
                Ok((keys, entry)) => {
                    members.push(keys);
                    entries.push(entry);
                }
                Err(error) => tracing::warn!(%error, "the council names a validator that cannot vote"),
            }
        }
        match BiMap::try_from(members) {
            Ok(members) if !entries.is_empty() && entries.len() <= MAX_VALIDATORS => Self {
                params: SimplexParams {
                    validators: entries,
                    ..self.params.clone()
                },
                members,
                ..self.clone()
            },
            _ => {
                tracing::error!("the council names no committee: the old one stays");
                self.clone()
            }
        }
    }

    /// The keys of an entry that is one of this committee's to the byte, whose proof was checked: checking takes two pairings.
    fn member_of(&self, entry: &ValidatorEntry) -> Option<(Identity, G1)> {
        if !self.params.validators.contains(entry) {
            return None;
        }
        let identity = Identity::decode(Copying(&entry.identity[..])).ok()?;
        let vote_key = *self.vote_key(&identity)?;
        Some((identity, vote_key))
    }

    /// How heights are cut into epochs.
    #[must_use]
    pub const fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &SimplexParams {
        &self.params
    }

    /// Identities with vote keys, in the order of the certificates' bitmaps.
    #[must_use]
    pub const fn members(&self) -> &BiMap<Identity, G1> {
        &self.members
    }

    /// How many validators there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.params.validators.len()).expect("at most 256")
    }

    /// The chain's id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// What all signatures and handshakes of the chain begin with.
    #[must_use]
    pub fn namespace(&self) -> &[u8] {
        &self.namespace
    }

    /// A validator's name.
    #[must_use]
    pub fn name(&self, identity: &Identity) -> Option<&str> {
        let entry = self
            .params
            .validators
            .iter()
            .find(|v| v.identity[..] == identity[..])?;
        Some(&entry.name)
    }

    /// The vote key of a validator.
    #[must_use]
    pub fn vote_key(&self, identity: &Identity) -> Option<&G1> {
        self.members.get_value(identity)
    }

    /// Whether these keys belong to one of the validators, both to the same.
    #[must_use]
    pub fn holds(&self, keys: &ValidatorKeys) -> bool {
        self.vote_key(&keys.identity()) == Some(&keys.vote_key())
    }

    /// Checks votes and certificates.
    #[must_use]
    pub fn verifier(&self) -> Scheme {
        Scheme::verifier(&self.namespace, self.members.clone())
    }

    /// Votes as well; `None` when the keys are not a validator's.
    #[must_use]
    pub fn signer(&self, keys: &ValidatorKeys) -> Option<Scheme> {
        if !self.holds(keys) {
            return None;
        }
        Scheme::signer(&self.namespace, self.members.clone(), keys.vote.clone())
    }

    /// Votes if `votes` and the keys are a validator's; otherwise hears votes, as a member or from outside.
    pub(super) fn scheme(&self, keys: &ValidatorKeys, votes: bool) -> Scheme {
        votes
            .then(|| self.signer(keys))
            .flatten()
            .unwrap_or_else(|| self.member(keys))
    }

    /// Checks votes in the name of whoever has these keys.
    pub(super) fn member(&self, keys: &ValidatorKeys) -> Scheme {
        Scheme::member(&self.namespace, self.members.clone(), &keys.identity())
            .unwrap_or_else(|| self.verifier())
    }

    pub(super) const fn leader_timeout(&self) -> Duration {
        Duration::from_millis(self.params.leader_timeout_ms)
    }

    pub(super) const fn certification_timeout(&self) -> Duration {
        Duration::from_millis(self.params.certification_timeout_ms)
    }
}

impl Committee {
    /// The first committee of a chain: that of its genesis file. The council's contract in the genesis state, if there is
    /// one, must name the same validators.
    pub fn of_genesis(chain: &Chain) -> Result<Self, CommitteeError> {
        let spec = chain.spec();
        let params = SimplexParams::of(spec)?;
        let number = spec.genesis().number.unwrap_or_default();
        let seal = chain.seal(number)?;
        let genesis = Digest(seal.map(|seal| seal.digest).unwrap_or_default());
        if let Some(header) = chain.header(number)?
            && let Some(council) = chain.council(&header)?
        {
            if council.epochs()?.blocks() != params.epoch_blocks {
                return Err(CommitteeError::OtherCouncil("epochs"));
            }
            let named = council.validators()?;
            let named = named.iter().map(ValidatorEntry::try_from);
            if named.collect::<Result<Vec<_>, _>>()? != params.validators {
                return Err(CommitteeError::OtherCouncil("validators"));
            }
        }
        Self::new(params, spec.genesis().gas_limit, spec.chain_id(), genesis)
    }
}

impl SimplexParams {
    /// `config.simplex` of a genesis file, to which the genesis block's `extraData` must commit.
    pub fn of(spec: &ChainSpec) -> Result<Self, CommitteeError> {
        let file = spec.genesis();
        let section = file
            .config
            .extra_fields
            .get(Self::FIELD)
            .ok_or(CommitteeError::Missing)?;
        let params: Self = serde_json::from_value(section.clone())?;
        let expected = params.commitment(&serde_json::to_value(&file.config)?);
        if file.extra_data[..] != expected[..] {
            return Err(CommitteeError::Commitment {
                expected,
                found: file.extra_data.clone(),
            });
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_commitment_sees_every_rule_and_no_spelling() {
        let params = SimplexParams::with_timing(Vec::new(), 30_000_000);
        let rules = json!({"chainId": 7, "synod": {"limits": {"inferenceGas": 5}}, "times": [1, 2]});
        let commitment = params.commitment(&rules);
        for other in [
            json!({"chainId": 8, "synod": {"limits": {"inferenceGas": 5}}, "times": [1, 2]}),
            json!({"chainId": 7, "synod": {"limits": {"inferenceGas": 6}}, "times": [1, 2]}),
            json!({"chainId": 7, "synod": {"limits": {"inferenceGas": 5}}, "times": [2, 1]}),
            json!({"chainId": 7, "synod": {"limits": {}}, "times": [1, 2]}),
        ] {
            assert_ne!(params.commitment(&other), commitment, "{other}");
        }
        let same = json!({"times": [1, 2], "synod": {"limits": {"inferenceGas": 5, "else": null}}, "chainId": 7, "simplex": {}});
        assert_eq!(params.commitment(&same), commitment);
        let slower = SimplexParams {
            heartbeat_ms: params.heartbeat_ms + 1,
            ..params
        };
        assert_ne!(slower.commitment(&rules), commitment);
    }
}
