//! A proposal as commonware's marshal and broadcast carry it.

use super::Commitment;
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_rlp::{Decodable as _, Encodable as _};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};
use commonware_consensus::{BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digested, Digestible};
use std::sync::Arc;
use synod_chain::{Digest, Proposal, Timestamp};

/// Bytes of an encoded block beside the RLP of the Ethereum block: the envelope (at most 9 + 9 + 33 + 3 + 33 + 98 bytes),
/// two list heads and the length.
const OVERHEAD: usize = 256;

/// A proposal with its digest.
///
/// On the wire it is a length (varint) and the RLP of the [`Proposal`]. Votes are for the digest, which covers header and
/// envelope; the body is bound by the header. So that one digest has one encoding, decoding refuses a body that is not the
/// header's and RLP that is not canonical: a peer cannot pass off another body under a digest that was voted for.
#[derive(Clone, Debug)]
pub struct Block {
    proposal: Arc<Proposal>,
    digest: Digest,
}

/// A digest in commonware's type for 32 bytes.
#[must_use]
pub const fn commitment(digest: Digest) -> Commitment {
    Commitment { 0: digest.0.0 }
}

/// And back.
#[must_use]
pub fn digest(commitment: Commitment) -> Digest {
    Digest(commitment.0.into())
}

impl Block {
    /// A block that this node made or read from its own disk.
    #[must_use]
    pub fn new(proposal: Proposal) -> Self {
        let digest = proposal.digest();
        Self {
            proposal: Arc::new(proposal),
            digest,
        }
    }

    /// Joined with its digest, as marshal wants it.
    #[must_use]
    pub fn digested(self) -> Digested<Self> {
        let digest = Digestible::digest(&self);
        Digested::precomputed(self, digest)
    }

    /// The proposal.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// What votes are for.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.digest
    }

    /// The block's time.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.proposal.timestamp()
    }
}

impl Digestible for Block {
    type Digest = Commitment;

    fn digest(&self) -> Commitment {
        commitment(self.digest)
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.proposal.block.header.number)
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> Commitment {
        commitment(Digest(self.proposal.envelope.parent))
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        let mut rlp = Vec::with_capacity(self.proposal.length());
        self.proposal.encode(&mut rlp);
        Bytes::from(rlp).write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        let length = self.proposal.length();
        length.encode_size() + length
    }
}

impl Read for Block {
    /// Most bytes of the RLP of the Ethereum block.
    type Cfg = usize;

    fn read_cfg(buf: &mut impl Buf, limit: &usize) -> Result<Self, Error> {
        let invalid = |what| Error::Invalid("synod block", what);
        let bytes = Bytes::read_cfg(buf, &RangeCfg::new(..=limit + OVERHEAD))?;
        let mut rest = &bytes[..];
        let proposal = Proposal::decode(&mut rest).map_err(|_| invalid("not the RLP of a proposal"))?;
        if !rest.is_empty()
            || proposal.length() != bytes.len()
            || alloy_rlp::encode(&proposal)[..] != bytes[..]
        {
            return Err(invalid("not the canonical RLP of a proposal"));
        }
        let (header, body) = (&proposal.block.header, &proposal.block.body);
        let bound = header.transactions_root == calculate_transaction_root(&body.transactions)
            && header.ommers_hash == body.calculate_ommers_root()
            && header.withdrawals_root == body.calculate_withdrawals_root();
        if !bound {
            return Err(invalid("the body is not the one that the header commits to"));
        }
        Ok(Self::new(proposal))
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(limit: &usize) -> usize {
        let rlp = limit + OVERHEAD;
        rlp.encode_size() + rlp
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, BoundedBlock as _, Bytes, Digestible, EncodeSize as _, Proposal, digest};
    use alloy_consensus::{BlockBody, Header, constants::EMPTY_OMMER_ROOT_HASH};
    use commonware_codec::{Copying, Decode as _, Encode};
    use synod_chain::Envelope;

    fn proposal() -> Proposal {
        let header = Header {
            number: 7,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            transactions_root: alloy_trie::EMPTY_ROOT_HASH,
            ..Default::default()
        };
        let body = BlockBody::default();
        let envelope = Envelope {
            view: 300,
            randomness_signature: vec![1; 96].into(),
            proposer: vec![2; 32].into(),
            ..Default::default()
        };
        Proposal {
            block: alloy_consensus::Block { header, body },
            envelope,
        }
    }

    #[test]
    fn a_block_survives_its_encoding() {
        let block = Block::new(proposal());
        let bytes = block.encode();
        assert_eq!(bytes.len(), block.encode_size());
        assert!(bytes.len() <= Block::max_encode_size(&8192));
        let read = Block::decode_cfg(bytes, &8192).unwrap();
        assert_eq!(read.proposal(), block.proposal());
        assert_eq!(read.id(), block.id());
        assert_eq!(digest(Digestible::digest(&read)), block.id());
    }

    #[test]
    fn another_body_under_the_same_digest_is_refused() {
        let mut other = proposal();
        other.block.body.ommers.push(Header::default());
        assert_eq!(
            other.digest(),
            proposal().digest(),
            "the digest does not see the body"
        );
        assert!(Block::decode_cfg(Block::new(other).encode(), &8192).is_err());
    }

    #[test]
    fn what_is_too_long_or_not_canonical_is_refused() {
        let bytes = Block::new(proposal()).encode();
        assert!(Block::decode_cfg(bytes.clone(), &16).is_err());
        let mut rlp = alloy_rlp::encode(proposal());
        rlp.push(0);
        assert!(Block::decode_cfg(Bytes::from(rlp).encode(), &8192).is_err());
        assert!(Block::decode_cfg(Copying(&bytes[..bytes.len() - 1]), &8192).is_err());
    }
}
