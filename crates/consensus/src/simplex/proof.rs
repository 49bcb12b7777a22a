//! Proof that a block is final, for whoever knows the committee.
//!
//! A certificate is for one digest. Blocks below it that became final with it have none of their own: their proof is the
//! headers from the block up to the certified one. Each header holds the digest of its parent
//! (`parentBeaconBlockRoot`) and the commitment of its envelope (`extraData`), so nothing else is needed:
//!
//! ```text
//!   digest(header) = keccak256("synod/block/1" ‖ keccak256(rlp(header)) ‖ header.extraData)
//!   header(n+1).parentBeaconBlockRoot = digest(header(n)), …, digest(last header) = what the certificate is for
//! ```

use super::{Committee, Finalization, Identity, commitment};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use commonware_codec::Decode as _;
use commonware_parallel::Sequential;
use commonware_utils::sys_rng;
use serde::{Deserialize, Serialize};
use synod_chain::{Digest, Envelope};

/// A block's header, those above it up to one with a certificate, and the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockProof {
    /// RLP of the headers, the block in question first.
    pub headers: Vec<Bytes>,
    /// The certificate of the last header's block.
    pub certificate: Bytes,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenBlock {
    /// The block's header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Its digest.
    pub digest: Digest,
    /// Height of the block that has the certificate.
    pub certified_height: u64,
    /// View in which that one became final.
    pub view: u64,
    /// The names of those who signed.
    pub signers: Vec<String>,
}

/// A proof that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no header.
    #[error("the proof has no header")]
    Empty,
    /// A header that does not decode.
    #[error("header {0} of the proof is not the RLP of a header")]
    Header(usize),
    /// A header that does not stand on the one before it.
    #[error("header {0} of the proof does not name the one before it as its parent")]
    Link(usize),
    /// A certificate that does not decode.
    #[error("the proof's certificate is not a certificate of {0} validators")]
    Certificate(u32),
    /// A certificate for something else.
    #[error("the certificate is for block {found}, not for {expected}")]
    OtherBlock {
        /// What it is for.
        found: Digest,
        /// What it must be for.
        expected: Digest,
    },
    /// Signatures of others, or too few.
    #[error("the certificate is not signed by a quorum of this genesis file's validators")]
    Signature,
}

/// The digest that a block with this header has.
fn digest_of(header: &Header) -> Digest {
    if header.number == 0 {
        // The first block has an empty envelope; its `extraData` is the committee's commitment.
        return Envelope::default().digest(header.hash_slow());
    }
    Digest(keccak256(
        [
            b"synod/block/1",
            header.hash_slow().as_slice(),
            &header.extra_data,
        ]
        .concat(),
    ))
}

/// Whether a quorum of the committee signed a certificate.
pub(super) fn signed_by_quorum(committee: &Committee, certificate: &Finalization) -> bool {
    certificate.verify(&mut sys_rng(), &committee.verifier(), &Sequential)
}

impl Committee {
    /// Checks a proof from the validators' public keys alone.
    pub fn verify_block(&self, proof: &BlockProof) -> Result<ProvenBlock, ProofError> {
        let mut headers = Vec::with_capacity(proof.headers.len());
        for (index, rlp) in proof.headers.iter().enumerate() {
            let mut rest = &rlp[..];
            let header = <Header as alloy_rlp::Decodable>::decode(&mut rest)
                .ok()
                .filter(|_| rest.is_empty())
                .ok_or(ProofError::Header(index))?;
            headers.push(header);
        }
        for (index, pair) in headers.windows(2).enumerate() {
            if pair[1].parent_beacon_block_root != Some(digest_of(&pair[0]).0) {
                return Err(ProofError::Link(index + 1));
            }
        }
        let (first, last) = headers.first().zip(headers.last()).ok_or(ProofError::Empty)?;
        let size = self.members().len();
        let certificate = Finalization::decode_cfg(proof.certificate.0.clone(), &size)
            .map_err(|_| ProofError::Certificate(self.size()))?;
        let expected = digest_of(last);
        if certificate.proposal.payload != commitment(expected) {
            return Err(ProofError::OtherBlock {
                found: super::digest(certificate.proposal.payload),
                expected,
            });
        }
        if !signed_by_quorum(self, &certificate) {
            return Err(ProofError::Signature);
        }
        let participants = self.members().keys();
        let signers = certificate.certificate.signers.iter();
        let signers = signers.filter_map(|signer| {
            let identity: &Identity = participants.get(usize::from(signer))?;
            self.name(identity).map(ToOwned::to_owned)
        });
        Ok(ProvenBlock {
            header: first.clone(),
            hash: first.hash_slow(),
            digest: digest_of(first),
            certified_height: last.number,
            view: certificate.proposal.round.view().get(),
            signers: signers.collect(),
        })
    }
}
