//! Bytes from a peer that lies: nothing makes the chain panic, accept what it did not build, or forget what it has.

use super::*;
use alloy_rlp::{Decodable, Encodable};
use proptest::prelude::*;
use std::sync::OnceLock;

/// A block with a transfer, a call and a deployment, in bytes.
fn honest() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let node = Node::new();
        let deploy = Bytes::from_static(&[0x60, 0x01, 0x60, 0x00, 0xf3]);
        let proposal = node.build(
            node.chain().head_digest().0,
            1,
            [
                transfer(0, 0, Address::repeat_byte(9), 5),
                call(
                    1,
                    0,
                    TxKind::Call(synod_evm::addresses::PREDICT),
                    0,
                    Bytes::new(),
                    100_000,
                ),
                call(2, 0, TxKind::Create, 0, deploy, 100_000),
            ],
        );
        alloy_rlp::encode(&proposal)
    })
}

/// Judges bytes as a validator would that got them from a peer.
fn judge(bytes: &[u8]) -> Option<Verdict> {
    let proposal = Proposal::decode(&mut &bytes[..]).ok()?;
    let node = Node::new();
    let genesis = node.chain().head_digest().0;
    let verdict = node
        .application
        .verify(&node.context(genesis, 1), &proposal)
        .unwrap();
    assert_eq!(
        node.chain().unfinalised(),
        usize::from(matches!(verdict, Verdict::Valid))
    );
    assert_eq!(node.chain().head().number(), 0);
    Some(verdict)
}

#[test]
fn the_honest_bytes_are_valid_and_survive_a_round_trip() {
    let proposal = Proposal::decode(&mut honest()).unwrap();
    assert_eq!(proposal.block.body.transactions.len(), 3);
    let mut again = Vec::new();
    proposal.encode(&mut again);
    assert_eq!(again, honest());
    assert!(matches!(judge(honest()), Some(Verdict::Valid)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_never_valid(at in any::<prop::sample::Index>(), change in 1..=255u8) {
        let mut bytes = honest().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Some(Verdict::Valid) = judge(&bytes) {
            // Only if it still says the same.
            prop_assert_eq!(Proposal::decode(&mut &bytes[..]).unwrap(), Proposal::decode(&mut honest()).unwrap());
        }
    }

    #[test]
    fn cut_and_random_bytes_are_refused(cut in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(judge(&honest()[..cut.index(honest().len())]).is_none());
        prop_assert!(!matches!(judge(&noise), Some(Verdict::Valid)));
    }
}
