//! Proof that a block is final, for whoever knows the first committee.
//!
//! A certificate is for one digest. Blocks below it that became final with it have none of their own: their proof is the
//! headers from the block up to the certified one. Each header holds the digest of its parent
//! (`parentBeaconBlockRoot`) and the commitment of its envelope (`extraData`), so nothing else is needed:
//!
//! ```text
//!   digest(header) = keccak256("synod/block/1" ‖ keccak256(rlp(header)) ‖ header.extraData)
//!   header(n+1).parentBeaconBlockRoot = digest(header(n)), …, digest(last header) = what the certificate is for
//! ```
//!
//! Where the council has changed the validators since the genesis file, the proof begins with a [`Handover`] for each change:
//! the last block of an epoch, which the old committee certified, and the storage proof of what the contract named by then.
//!
//! ```text
//!   genesis file ─► committee ─certifies─► last block of epoch e ─state root─► council's list ─► committee of e+1 ─► …
//! ```
//!
//! The validators of an epoch vouch for its blocks and no others. What a proof cannot show is that a change was *left out*: a
//! quorum of validators that were since removed could sign a second history from there on, so removed validators destroy
//! their keys, and who cares asks two nodes.

use super::{Committee, Finalization, Identity, commitment};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use commonware_codec::Decode as _;
use commonware_parallel::Sequential;
use commonware_utils::sys_rng;
use serde::{Deserialize, Serialize};
use synod_chain::{Digest, Envelope, council::Handover};

/// A block's header, those above it up to one with a certificate, and the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockProof {
    /// RLP of the headers, the block in question first.
    pub headers: Vec<Bytes>,
    /// The certificate of the last header's block.
    pub certificate: Bytes,
    /// The changes of the committee before the block's epoch, oldest first.
    #[serde(default)]
    pub handovers: Vec<Handover>,
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
    /// Epoch of the block.
    pub epoch: u64,
    /// View in which the certified block became final.
    pub view: u64,
    /// How many validators the epoch has.
    pub validators: u32,
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
    #[error("the certificate is not signed by a quorum of the validators of epoch {0}")]
    Signature(u64),
    /// A certificate of another epoch.
    #[error("the certificate is of epoch {found}, but the block of epoch {expected}")]
    Epoch {
        /// Of the certificate.
        found: u64,
        /// Of the block.
        expected: u64,
    },
    /// A change of the committee that does not follow from the one before.
    #[error("change {0} of the validators is not proven: {1}")]
    Handover(usize, String),
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

/// A certificate of an epoch with this committee, if it is one.
pub(super) fn finalization(committee: &Committee, epoch: u64, bytes: &Bytes) -> Option<Finalization> {
    let size = committee.members().len();
    let certificate = Finalization::decode_cfg(bytes.0.clone(), &size).ok()?;
    (certificate.proposal.round.epoch().get() == epoch && signed_by_quorum(committee, &certificate))
        .then_some(certificate)
}

/// Whether a quorum of the committee signed a certificate.
fn signed_by_quorum(committee: &Committee, certificate: &Finalization) -> bool {
    certificate.verify(&mut sys_rng(), &committee.verifier(), &Sequential)
}

fn header(rlp: &Bytes) -> Option<Header> {
    let mut rest = &rlp[..];
    <Header as alloy_rlp::Decodable>::decode(&mut rest)
        .ok()
        .filter(|_| rest.is_empty())
}

/// The committee after a change, and the first epoch that it may vote in.
fn hand_over(handover: &Handover, before: &Committee, since: u64) -> Result<(Committee, u64), String> {
    let header = header(&handover.header).ok_or("its header does not decode")?;
    let epoch = before.epochs().of(header.number);
    if epoch < since || before.epochs().begins_after(header.number).is_none() {
        return Err(format!(
            "block {} is not the last of an epoch from {since} on",
            header.number
        ));
    }
    let certificate = finalization(before, epoch, &handover.certificate).ok_or_else(|| {
        format!("its certificate is not signed by a quorum of the validators of epoch {epoch}")
    })?;
    if certificate.proposal.payload != commitment(digest_of(&header)) {
        return Err(format!("its certificate is not for block {}", header.number));
    }
    handover
        .list
        .verify(header.state_root)
        .map(|validators| (before.following(&validators), epoch + 1))
        .map_err(|error| error.to_string())
}

impl Committee {
    /// Checks a proof from the public keys of the first committee alone, which this must be.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn verify_block(&self, proof: &BlockProof) -> Result<ProvenBlock, ProofError> {
        let mut headers = Vec::with_capacity(proof.headers.len());
        for (index, rlp) in proof.headers.iter().enumerate() {
            headers.push(header(rlp).ok_or(ProofError::Header(index))?);
        }
        for (index, pair) in headers.windows(2).enumerate() {
            if pair[1].parent_beacon_block_root != Some(digest_of(&pair[0]).0) {
                return Err(ProofError::Link(index + 1));
            }
        }
        let (first, last) = headers.first().zip(headers.last()).ok_or(ProofError::Empty)?;
        let epoch = self.epochs().of(last.number);
        let (mut committee, mut since) = (self.clone(), 0);
        for (index, handover) in proof.handovers.iter().enumerate() {
            (committee, since) = hand_over(handover, &committee, since)
                .map_err(|reason| ProofError::Handover(index, reason))?;
        }
        if since > epoch {
            let reason = format!("it takes effect with epoch {since}, after the block's");
            return Err(ProofError::Handover(
                proof.handovers.len().saturating_sub(1),
                reason,
            ));
        }
        let size = committee.members().len();
        let certificate = Finalization::decode_cfg(proof.certificate.0.clone(), &size)
            .map_err(|_| ProofError::Certificate(committee.size()))?;
        let expected = digest_of(last);
        if certificate.proposal.payload != commitment(expected) {
            return Err(ProofError::OtherBlock {
                found: super::digest(certificate.proposal.payload),
                expected,
            });
        }
        let found = certificate.proposal.round.epoch().get();
        if found != epoch {
            return Err(ProofError::Epoch {
                found,
                expected: epoch,
            });
        }
        if !signed_by_quorum(&committee, &certificate) {
            return Err(ProofError::Signature(epoch));
        }
        let participants = committee.members().keys();
        let signers = certificate.certificate.signers.iter();
        let signers = signers.filter_map(|signer| {
            let identity: &Identity = participants.get(usize::from(signer))?;
            committee.name(identity).map(ToOwned::to_owned)
        });
        Ok(ProvenBlock {
            header: first.clone(),
            hash: first.hash_slow(),
            digest: digest_of(first),
            certified_height: last.number,
            epoch: self.epochs().of(first.number),
            view: certificate.proposal.round.view().get(),
            validators: committee.size(),
            signers: signers.collect(),
        })
    }
}
