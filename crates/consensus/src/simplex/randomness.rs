//! `prevrandao`: a mix of the proposers' signatures.
//!
//! A proposer signs (chain id, epoch, view) with its vote key. A BLS signature is unique, so the proposer has one value to
//! give or to withhold; it travels in the block's envelope and enters the randomness of the *next* block. What remains is
//! that a proposer may let its turn pass, and that a run of colluding proposers may do so several times: contracts that
//! need better commit ahead.
//!
//! ```text
//!   prevrandao(n+1) = keccak256("synod/simplex/randomness/1" ‖ prevrandao(n) ‖ signature in the envelope of n)
//! ```

use super::keys::ValidatorKeys;
use alloy_primitives::{B256, Bytes, keccak256};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{
    group::{G1, G2},
    ops,
    variant::MinPk,
};
use synod_chain::Proposal;

const DOMAIN: &[u8] = b"synod/simplex/randomness/1";

fn message(chain_id: u64, epoch: u64, view: u64) -> [u8; 24] {
    let mut message = [0; 24];
    message[..8].copy_from_slice(&chain_id.to_be_bytes());
    message[8..16].copy_from_slice(&epoch.to_be_bytes());
    message[16..].copy_from_slice(&view.to_be_bytes());
    message
}

/// The proposer's signature for a view.
pub(super) fn sign(keys: &ValidatorKeys, chain_id: u64, epoch: u64, view: u64) -> Bytes {
    let signature = ops::sign_message::<MinPk>(&keys.vote, DOMAIN, &message(chain_id, epoch, view));
    signature.encode().to_vec().into()
}

/// Whether a signature is the proposer's for a view.
pub(super) fn verify(vote_key: &G1, chain_id: u64, epoch: u64, view: u64, signature: &[u8]) -> bool {
    let Ok(signature) = G2::decode(Copying(signature)) else {
        return false;
    };
    ops::verify_message::<MinPk>(vote_key, DOMAIN, &message(chain_id, epoch, view), &signature).is_ok()
}

/// `prevrandao` of a block on `parent`.
pub(super) fn mix(parent: &Proposal) -> B256 {
    let (before, signature) = (
        parent.block.header.mix_hash,
        &parent.envelope.randomness_signature,
    );
    keccak256([DOMAIN, before.as_slice(), signature].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng as _;

    #[test]
    fn a_signature_is_of_one_key_chain_epoch_and_view() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (keys, other) = (ValidatorKeys::random(&mut rng), ValidatorKeys::random(&mut rng));
        let signature = sign(&keys, 1, 2, 3);
        assert_eq!(signature, sign(&keys, 1, 2, 3), "unique");
        assert!(verify(&keys.vote_key(), 1, 2, 3, &signature));
        assert!(!verify(&other.vote_key(), 1, 2, 3, &signature));
        for (chain, epoch, view) in [(2, 2, 3), (1, 1, 3), (1, 2, 4)] {
            assert!(!verify(&keys.vote_key(), chain, epoch, view, &signature));
        }
        assert!(!verify(&keys.vote_key(), 1, 2, 3, &[]));
        assert!(!verify(&keys.vote_key(), 1, 2, 3, &[0xc0; 96]));
    }
}
