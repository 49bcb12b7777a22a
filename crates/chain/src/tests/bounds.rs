//! What waits to become final stays within bounds, whatever a proposer does, and finality still comes.

use super::*;
use crate::{BuildError, TooFarAhead, TreeLimits};

fn node(blocks: usize, bytes: usize) -> Node {
    let limits = TreeLimits { blocks, bytes };
    Node::on(Chain::in_memory_with(ChainSpec::dev(), limits).unwrap())
}

fn verdict(node: &Node, view: u64, parent: Digest, proposal: &Proposal) -> Verdict {
    let context = node.context(parent, view);
    node.application.verify(&context, proposal).unwrap()
}

/// A block with much calldata.
fn heavy(node: &Node, parent: Digest, view: u64, nonce: u64) -> Proposal {
    let to = TxKind::Call(Address::repeat_byte(1));
    let data = vec![view as u8; 100_000];
    node.build(parent, view, [call(0, nonce, to, 0, data.into(), 1_000_000)])
}

#[test]
fn old_rivals_make_room_and_can_come_again() {
    let (proposer, validator) = (Node::new(), node(4, 1 << 30));
    let genesis = proposer.chain().head_digest().0;
    let rivals: Vec<_> = (1..=6).map(|view| proposer.build(genesis, view, [])).collect();
    // A child of the first keeps it alive, though it is the oldest.
    let child = proposer.build(rivals[0].digest(), 7, []);
    let valid =
        |view, parent, proposal| matches!(verdict(&validator, view, parent, proposal), Verdict::Valid);
    assert!(valid(1, genesis, &rivals[0]));
    assert!(valid(2, genesis, &rivals[1]));
    assert!(valid(3, genesis, &rivals[2]));
    assert!(valid(7, rivals[0].digest(), &child));
    assert_eq!(validator.chain().unfinalised(), 4);
    let known = |proposal: &Proposal| validator.chain().state_of(proposal.digest()).is_ok();
    // One more: the oldest that it does not stand on goes, with what stands on that.
    assert!(valid(4, genesis, &rivals[3]));
    assert_eq!(validator.chain().unfinalised(), 3);
    assert!(!known(&rivals[0]) && !known(&child));
    assert!(known(&rivals[1]) && known(&rivals[2]) && known(&rivals[3]));
    // What was forgotten is no fork and no fault: it is asked for again, and then final.
    assert!(matches!(
        verdict(&validator, 7, rivals[0].digest(), &child),
        Verdict::Pending(Pending::MissingParent(_))
    ));
    assert!(matches!(
        validator.application.finalized(&finalization(&child)),
        Err(FinalizeError::Unknown { height: 2, .. })
    ));
    assert!(valid(1, genesis, &rivals[0]));
    assert!(valid(7, rivals[0].digest(), &child));
    validator.finalize(&child);
    assert_eq!(validator.chain().head().number(), 2);
    assert_eq!(validator.chain().unfinalised(), 0);
}

#[test]
fn bytes_count_too() {
    let (proposer, validator) = (Node::new(), node(1_000, 400_000));
    let genesis = proposer.chain().head_digest().0;
    for view in 1..=10 {
        let proposal = heavy(&proposer, genesis, view, 0);
        assert!(matches!(
            verdict(&validator, view, genesis, &proposal),
            Verdict::Valid
        ));
        assert!(validator.chain().unfinalised() <= 3, "view {view}");
    }
    assert_eq!(validator.chain().unfinalised(), 3);
}

#[test]
fn a_heavy_path_goes_on_with_empty_blocks_until_something_is_final() {
    let (proposer, validator) = (Node::new(), node(1_000, 250_000));
    let small = node(1_000, 250_000);
    let mut parent = proposer.chain().head_digest().0;
    let mut path = Vec::new();
    for view in 1..=3 {
        let proposal = heavy(&proposer, parent, view, view - 1);
        for node in [&validator, &small] {
            assert!(matches!(verdict(node, view, parent, &proposal), Verdict::Valid));
        }
        parent = proposal.digest();
        path.push(proposal);
    }
    let fourth = heavy(&proposer, parent, 4, 3);
    let Verdict::Pending(Pending::TooFarAhead(full)) = verdict(&validator, 4, parent, &fourth) else {
        panic!("kept");
    };
    assert_eq!(full.blocks, 3);
    assert!(full.bytes >= full.limits.bytes);
    // A node that is this far ahead leaves its transactions for later.
    let empty = small.build(parent, 5, [transfer(1, 0, Address::ZERO, 1)]);
    assert!(empty.block.body.transactions.is_empty());
    assert!(matches!(verdict(&validator, 5, parent, &empty), Verdict::Valid));
    // Finality cures it.
    validator.finalize(&path[1]);
    assert!(matches!(verdict(&validator, 4, parent, &fourth), Verdict::Valid));
}

#[test]
fn a_long_path_waits() {
    let node = node(2, 1 << 30);
    let genesis = node.chain().head_digest().0;
    let first = node.build(genesis, 1, []);
    let second = node.build(first.digest(), 2, []);
    let built = node
        .application
        .build(&node.context(second.digest(), 3), &Duty::default());
    let Err(BuildError::TooFarAhead(TooFarAhead { blocks, limits, .. })) = built else {
        panic!("built");
    };
    assert_eq!((blocks, limits.blocks), (2, 2));
    let other = Node::new();
    let (one, two) = (other.build(genesis, 1, []), other.build(first.digest(), 2, []));
    assert_eq!((one.digest(), two.digest()), (first.digest(), second.digest()));
    let third = other.build(second.digest(), 3, []);
    assert!(matches!(
        verdict(&node, 3, second.digest(), &third),
        Verdict::Pending(Pending::TooFarAhead(_))
    ));
    node.finalize(&first);
    assert!(matches!(
        verdict(&node, 3, second.digest(), &third),
        Verdict::Valid
    ));
}
