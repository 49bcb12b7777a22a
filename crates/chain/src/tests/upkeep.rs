//! Old states forgotten, chains moved in files: the council and the blocks stay, and nothing is believed that does not follow.

use super::*;
use crate::{
    Pace,
    council::{self, COUNCIL, Council, Validator},
    edit::StateEdit,
    file::{self, ChainFile, FileError, FileItem},
    transfer::{Moved, TransferError},
};
use alloy_sol_types::SolCall;
use std::{ops::ControlFlow, path::Path};
use synod_state::{CheckReport, StateError};

fn validator(number: u8) -> Validator {
    Validator {
        name: format!("validator-{number}"),
        account: signer(u32::from(number)).address(),
        identity: B256::repeat_byte(number + 1),
        voteKey: vec![number; 48].into(),
        possession: vec![number; 96].into(),
        host: String::new(),
    }
}

/// A chain with epochs of three blocks, of which account 0 is the council.
fn spec() -> ChainSpec {
    let mut genesis = dev_genesis();
    let council = council::genesis_account(3, vec![validator(0)]).unwrap();
    genesis.alloc.insert(COUNCIL, council);
    ChainSpec::from_genesis(genesis).unwrap()
}

/// Makes blocks: one with a transfer each, and a second validator in block 4.
fn make(node: &Node, blocks: u64) {
    for _ in 0..blocks {
        let number = node.chain().head().number() + 1;
        let transaction = match number {
            4 => {
                let add = Council::addValidatorCall {
                    validator: validator(1),
                };
                let data = add.abi_encode().into();
                call(0, number - 1, TxKind::Call(COUNCIL), 0, data, 3_000_000)
            }
            _ => transfer(0, number - 1, Address::repeat_byte(number as u8), ETHER),
        };
        let proposal = node.build(node.chain().head_digest().0, number, [transaction]);
        assert_eq!(proposal.block.body.transactions.len(), 1);
        node.finalize(&proposal);
    }
}

fn open(dir: &Path, spec: ChainSpec) -> Node {
    Node::on(Chain::open(dir, spec).unwrap())
}

fn on(_: synod_state::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn checked(chain: &Chain) -> CheckReport {
    let report = chain.check_store(&mut on).unwrap();
    assert_eq!((report.wrong, &report.findings[..]), (0, &[][..]));
    report
}

#[test]
fn a_chain_that_forgets_still_proves_who_voted_when() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), spec());
    make(&node, 13);
    let handovers = node.chain().handovers(13).unwrap();
    assert_eq!(handovers.len(), 1);
    let sitting = node.chain().sitting().unwrap();
    let report = node.chain().prune(2, Pace::ALONE, &mut on).unwrap();
    assert!(report.finished && report.oldest == 12 && report.nodes_removed > 20);
    drop(node);

    // Opened again, with nothing in memory.
    let node = open(dir.path(), spec());
    assert_eq!(checked(node.chain()).unreachable, 0);
    assert_eq!(node.chain().handovers(13).unwrap(), handovers);
    assert_eq!(node.chain().sitting().unwrap(), sitting);
    for height in [0, 2, 5, 8, 11, 12, 13] {
        let validators = node.application.validators(height).unwrap().unwrap();
        assert_eq!(
            validators.len(),
            if height < 5 { 1 } else { 2 },
            "after block {height}"
        );
        node.application.validators_mark(height).unwrap();
    }
    for height in 0..=13 {
        let state = node.chain().state_at(height);
        match height {
            12.. => assert!(state.unwrap().is_some()),
            _ => assert!(matches!(
                state,
                Err(ChainError::State(StateError::Pruned { height: at, oldest: 12 })) if at == height
            )),
        }
        assert!(node.chain().proposal(height).unwrap().is_some());
        assert!(node.chain().receipts(height).unwrap().is_some());
    }
    let error = node.chain().export(&mut |_| ()).unwrap_err().to_string();
    assert!(
        error.contains("states only from block 12 on") && error.contains("archive"),
        "{error}"
    );
    make(&node, 4);
    node.chain().prune(1, Pace::ALONE, &mut on).unwrap();
    assert_eq!(checked(node.chain()).states, 1);
    assert_eq!(node.chain().handovers(17).unwrap(), handovers);
}

fn export(chain: &Chain, state: bool) -> Result<(Vec<u8>, Moved), TransferError> {
    chain.export_file(Vec::new(), state, Bytes::from_static(b"proof"), &mut on)
}

fn import(dir: &Path, file: &[u8]) -> Result<Moved, TransferError> {
    Chain::import_state(dir, &spec(), file, &mut |_| Ok(()), &mut on)
}

/// The reason why a file was not taken up; nothing is in the folder afterwards.
fn refused(file: &[u8]) -> TransferError {
    let dir = tempfile::tempdir().unwrap();
    let error = import(dir.path(), file).unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{error}");
    error
}

#[test]
fn a_chain_moves_with_its_state_and_goes_on() {
    let node = Node::on(Chain::in_memory(spec()).unwrap());
    make(&node, 10);
    let (bytes, moved) = export(node.chain(), true).unwrap();
    assert_eq!(
        (moved.head, moved.blocks, moved.bytes),
        (10, 10, bytes.len() as u64)
    );
    let head = file::verify(&bytes[..], &mut |_| ()).unwrap();
    assert_eq!(
        (head.head.hash_slow(), &head.proof[..]),
        (node.chain().head().hash(), &b"proof"[..])
    );

    let dir = tempfile::tempdir().unwrap();
    let mut asked = 0;
    let taken = Chain::import_state(
        dir.path(),
        &spec(),
        &bytes[..],
        &mut |told| {
            asked += 1;
            assert_eq!(told, &head);
            Ok(())
        },
        &mut on,
    );
    assert_eq!((taken.unwrap(), asked), (moved, 1));
    let other = open(dir.path(), spec());
    let report = checked(other.chain());
    assert_eq!((report.blocks, report.unreachable), (11, 0));
    assert_eq!(other.chain().head(), node.chain().head());
    assert_eq!(other.chain().head_digest(), node.chain().head_digest());
    assert_eq!(
        other.chain().handovers(10).unwrap(),
        node.chain().handovers(10).unwrap()
    );
    assert_eq!(other.chain().oldest_state().unwrap(), 10);
    for height in 0..=10 {
        assert_eq!(
            other.chain().block(height).unwrap(),
            node.chain().block(height).unwrap()
        );
        assert_eq!(
            other.chain().seal(height).unwrap(),
            node.chain().seal(height).unwrap()
        );
    }
    // Both make the same blocks from here on, and the newcomer can give the chain away as well.
    make(&node, 5);
    make(&other, 5);
    assert_eq!(other.chain().head(), node.chain().head());
    assert_eq!(
        export(other.chain(), true).unwrap().0,
        export(node.chain(), true).unwrap().0
    );
    // A folder with a chain takes nothing up.
    drop(other);
    let error = import(dir.path(), &bytes).unwrap_err().to_string();
    assert!(error.contains("already has a chain, at block 15"), "{error}");
    assert_eq!(open(dir.path(), spec()).chain().head().number(), 15);
}

#[test]
fn blocks_alone_are_run_once_more() {
    let node = Node::on(Chain::in_memory(spec()).unwrap());
    make(&node, 7);
    let (bytes, _) = export(node.chain(), false).unwrap();
    assert!(matches!(refused(&bytes), TransferError::NoState));
    let other = Node::on(Chain::in_memory(spec()).unwrap());
    make(&other, 2);
    let mut file = ChainFile::open(&bytes[..]).unwrap();
    let mut taken = 0;
    while let Some(item) = file.next_item().unwrap() {
        let FileItem::Block(block) = item else {
            panic!("{item:?}")
        };
        assert!(block.receipts.is_empty());
        taken += u64::from(
            other
                .chain()
                .import_proposal(block.proposal, block.certificate)
                .unwrap(),
        );
    }
    assert_eq!(taken, 5);
    assert_eq!(other.chain().head(), node.chain().head());
    assert_eq!(other.chain().seal(7).unwrap(), node.chain().seal(7).unwrap());
    // A block on another parent's digest.
    let mut proposal = node.build(node.chain().head_digest().0, 8, []);
    proposal.envelope.parent = B256::repeat_byte(1);
    let error = other.chain().import_proposal(proposal, Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("parent"), "{error}");
}

#[test]
fn an_edited_state_moves_after_the_next_block() {
    let node = Node::on(Chain::in_memory(spec()).unwrap());
    make(&node, 1);
    let address = Address::repeat_byte(0xee);
    let balance = U256::from(5);
    node.chain()
        .edit(&[StateEdit::Balance { address, balance }])
        .unwrap();
    assert!(matches!(
        export(node.chain(), true),
        Err(TransferError::Edited(1))
    ));
    assert!(matches!(
        export(node.chain(), false),
        Err(TransferError::NotRepeatable)
    ));
    make(&node, 1);
    let (bytes, _) = export(node.chain(), true).unwrap();
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), &bytes).unwrap();
    assert_eq!(open(dir.path(), spec()).balance(address), balance);
}

#[test]
fn damaged_files_are_told_from_wrong_ones_and_change_nothing() {
    let node = Node::on(Chain::in_memory(spec()).unwrap());
    make(&node, 7);
    let (bytes, _) = export(node.chain(), true).unwrap();
    let damage = |bytes: &[u8]| file::verify(bytes, &mut |_| ()).map(drop);
    damage(&bytes).unwrap();
    // Cut off anywhere, a bit flipped anywhere.
    let places = (0..bytes.len())
        .step_by(bytes.len() / 150)
        .chain([bytes.len() - 1]);
    for place in places {
        let cut = damage(&bytes[..place]).unwrap_err();
        let expected =
            matches!(cut, FileError::Truncated { .. }) || (place < 19 && matches!(cut, FileError::Magic));
        assert!(expected, "cut at {place}: {cut}");
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(damage(&flipped).is_err(), "flipped at {place}");
        if place % 16 == 0 {
            refused(&flipped);
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(damage(&longer), Err(FileError::Damaged { .. })));
    assert!(matches!(
        damage(b"something else, and long enough"),
        Err(FileError::Magic)
    ));
    assert!(matches!(damage(b""), Err(FileError::Magic)));

    // Of another chain; of a block that nobody believes in.
    let dir = tempfile::tempdir().unwrap();
    let other = Chain::import_state(
        dir.path(),
        &ChainSpec::dev(),
        &bytes[..],
        &mut |_| Ok(()),
        &mut on,
    );
    assert!(
        matches!(other, Err(TransferError::OtherChain { .. })),
        "{other:?}"
    );
    let doubted = Chain::import_state(
        dir.path(),
        &spec(),
        &bytes[..],
        &mut |_| Err("it is not signed".into()),
        &mut on,
    );
    let error = doubted.unwrap_err().to_string();
    assert!(
        error.contains("block 7") && error.contains("it is not signed"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A file with right checksums in which one thing is not the chain's.
#[test]
fn what_does_not_follow_from_the_last_block_is_refused() {
    let node = Node::on(Chain::in_memory(spec()).unwrap());
    make(&node, 7);
    let (bytes, _) = export(node.chain(), true).unwrap();
    let rewrite = |change: &dyn Fn(usize, &mut FileItem) -> bool| {
        let mut file = ChainFile::open(&bytes[..]).unwrap();
        let mut out = file::FileWriter::new(Vec::new(), file.head()).unwrap();
        let (mut index, mut changed) = (0, false);
        while let Some(mut item) = file.next_item().unwrap() {
            changed |= change(index, &mut item);
            index += 1;
            match item {
                FileItem::Block(block) => out.item(file::Kind::Block, &*block),
                FileItem::LooseNode(node) => out.item(file::Kind::LooseNode, &node),
                FileItem::LooseCode(code) => out.item(file::Kind::LooseCode, &code),
                FileItem::Node(node) => out.item(file::Kind::Node, &node),
                FileItem::Code(code) => out.item(file::Kind::Code, &code),
            }
            .unwrap();
        }
        assert!(changed);
        out.finish().unwrap().0
    };
    let block = |change: fn(&mut file::FileBlock)| {
        rewrite(&move |index, item| match item {
            FileItem::Block(block) if index == 3 => {
                change(block);
                true
            }
            _ => false,
        })
    };
    let blocks: [fn(&mut file::FileBlock); 6] = [
        |block| block.proposal.block.header.state_root.0[0] ^= 1,
        |block| block.proposal.block.header.number += 1,
        |block| block.proposal.block.body.transactions.clear(),
        |block| block.receipts.clear(),
        |block| block.proposal.envelope.view += 1,
        |block| block.proposal.envelope.parent = B256::ZERO,
    ];
    for change in blocks {
        let error = refused(&block(change));
        assert!(
            matches!(error, TransferError::Block { number: 4 | 5, .. }),
            "{error}"
        );
    }
    let flip = |bytes: &mut Bytes| {
        let mut changed = bytes.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        *bytes = changed.into();
    };
    let items = [
        rewrite(&|_, item| match item {
            FileItem::LooseNode(node) => {
                flip(node);
                true
            }
            _ => false,
        }),
        rewrite(&|_, item| match item {
            FileItem::Node(node) => {
                flip(node);
                true
            }
            _ => false,
        }),
        rewrite(&|_, item| match item {
            FileItem::Code(code) => {
                flip(code);
                true
            }
            _ => false,
        }),
    ];
    for file in items {
        let error = refused(&file);
        assert!(matches!(error, TransferError::Import(_)), "{error}");
    }
}
