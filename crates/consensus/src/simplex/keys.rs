//! A validator's secrets.

use super::{
    Identity,
    committee::{POSSESSION, ValidatorEntry},
};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::{
    Signer as _,
    bls12381::primitives::{
        group::{G1, Private},
        ops,
        variant::MinPk,
    },
    ed25519,
};
use commonware_math::algebra::Random as _;
use rand_core::CryptoRng;

/// The two secrets of a validator: who it is on the network, and what it votes with.
///
/// Both must be used by one running node only. Two nodes with one vote key will sooner or later sign two things in one
/// view, which anybody can prove.
#[derive(Clone, Debug)]
pub struct ValidatorKeys {
    pub(super) identity: ed25519::PrivateKey,
    pub(super) vote: Private,
}

/// Bytes that are no secret keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are not the 64 bytes of a validator's secret keys")]
pub struct KeysError;

impl ValidatorKeys {
    /// New keys.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let vote = Private::random(&mut *rng);
        Self {
            identity: ed25519::PrivateKey::random(rng),
            vote,
        }
    }

    /// The secrets: 32 bytes of Ed25519's seed, 32 of the BLS12-381 scalar, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.identity.encode());
        bytes[32..].copy_from_slice(&self.vote.encode());
        bytes
    }

    /// The keys with these secrets.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeysError> {
        let (identity, vote) = bytes.split_at_checked(32).ok_or(KeysError)?;
        Ok(Self {
            identity: ed25519::PrivateKey::decode(Copying(identity)).map_err(|_| KeysError)?,
            vote: Private::decode(Copying(vote)).map_err(|_| KeysError)?,
        })
    }

    /// By which peers know the validator.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.public_key()
    }

    /// With which its votes are checked.
    #[must_use]
    pub fn vote_key(&self) -> G1 {
        ops::compute_public::<MinPk>(&self.vote)
    }

    /// What a genesis file says about the validator.
    #[must_use]
    pub fn entry(&self, name: impl Into<String>) -> ValidatorEntry {
        let fixed = "the encoding of a point has its size";
        ValidatorEntry {
            name: name.into(),
            identity: self.identity().encode()[..].try_into().expect(fixed),
            vote_key: self.vote_key().encode()[..].try_into().expect(fixed),
            possession: ops::sign_proof_of_possession::<MinPk>(&self.vote, POSSESSION).encode()[..]
                .try_into()
                .expect(fixed),
        }
    }
}
