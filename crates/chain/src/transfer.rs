//! A chain on its way from one node to another as a file ([`crate::file`]).
//!
//! Without a state a file holds blocks, and whoever takes it up runs each of them. With the state after the last block nothing is
//! run: the importer must have a reason to believe that block ([`Trust`]), and everything else follows from it.
//!
//! ```text
//!   reason ─► head's hash ─parent hashes─► every header, down to the genesis file's
//!                 │                            └─► transactions, receipts, withdrawals by their roots; digests; senders
//!                 └─state root─► every trie node ─► accounts, slots, codes
//! ```
//!
//! A node that began so has all blocks and receipts, and states from the head on. It can hand the chain to others, prove who
//! voted when (the council's account at the end of each epoch is in the file), and answers for older states that they are
//! pruned.

use crate::{
    Chain, ChainError, ChainSpec, Digest,
    execution::recover_senders,
    file::{ChainFile, FileBlock, FileError, FileHead, FileItem, FileWriter, Kind},
};
use alloy_consensus::proofs::{
    calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root,
};
use alloy_primitives::{B256, Bytes};
use std::{
    io::{Read, Write},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};
use synod_state::{Import, ImportFault, Keep, Marker, Progress, Seal, SealedBlock, StateError, Watch};

/// Says why the last block of a file is to be believed, or why not.
pub type Trust<'a> = dyn FnMut(&FileHead) -> Result<(), String> + 'a;

/// How much was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Height of the last block.
    pub head: u64,
    /// Its hash.
    pub hash: B256,
    /// Blocks.
    pub blocks: u64,
    /// Trie nodes of the state.
    pub nodes: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a chain was not moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// This node's chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The state.
    #[error(transparent)]
    Import(#[from] ImportFault),
    /// The last state is one that no header names.
    #[error("the state was edited after block {0}, so no header has its root: make a block first (evm_mine)")]
    Edited(u64),
    /// Blocks that nobody can run again.
    #[error(
        "the states of this chain were edited between blocks, so its blocks cannot be run again: export it with --state"
    )]
    NotRepeatable,
    /// Another chain's file.
    #[error(
        "it is of the chain with genesis {found}, not of that with {expected}: choose the right genesis file"
    )]
    OtherChain {
        /// The file's.
        found: B256,
        /// That of the genesis file.
        expected: B256,
    },
    /// A file with blocks alone where a state is needed.
    #[error("it has blocks and no state: export it with --state")]
    NoState,
    /// The last block is not believed.
    #[error("its last block {number} ({hash}) is not to be believed: {reason}")]
    NotTrusted {
        /// The height.
        number: u64,
        /// The hash.
        hash: B256,
        /// Why.
        reason: String,
    },
    /// A block that does not belong where it is.
    #[error("block {number} of it is wrong: {reason}")]
    Block {
        /// The height that was due.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

impl From<StateError> for TransferError {
    fn from(error: StateError) -> Self {
        Self::Chain(error.into())
    }
}

fn tell(watch: &mut Watch<'_>, stage: &'static str, done: u64, total: u64) -> Result<(), TransferError> {
    match watch(Progress { stage, done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(TransferError::Stopped),
    }
}

impl Chain {
    /// Writes the chain into a file: all blocks, and with `state` the state after the last and all receipts. `proof` says to
    /// those who can read it why the last block is final.
    ///
    /// # Errors
    /// When the chain cannot be read, the file cannot be written, or the chain is one that cannot be moved so.
    pub fn export_file<W: Write>(
        &self,
        out: W,
        state: bool,
        proof: Bytes,
        watch: &mut Watch<'_>,
    ) -> Result<(W, Moved), TransferError> {
        let snapshot = self.snapshot()?;
        let head = self.head();
        let marker = snapshot.marker().copied().unwrap_or(Marker {
            height: head.number(),
            digest: self.head_digest().0.0,
            hash: head.hash(),
            state_root: head.header().state_root,
        });
        if state && marker.state_root != head.header().state_root {
            return Err(TransferError::Edited(head.number()));
        }
        if !state && snapshot.was_edited()? {
            return Err(TransferError::NotRepeatable);
        }
        let first = self.spec.genesis().number.unwrap_or_default();
        let missing = |number| ChainError::UnknownHeight(number);
        let mut file = FileWriter::new(
            out,
            &FileHead {
                chain_id: self.spec.chain_id(),
                genesis: self.hash_of(first)?.ok_or(missing(first))?,
                head: head.header().clone(),
                state,
                accounts: if state { snapshot.account_count()? } else { 0 },
                proof,
            },
        )?;
        let mut moved = Moved {
            head: head.number(),
            hash: head.hash(),
            ..Moved::default()
        };
        for number in first.saturating_add(1)..=head.number() {
            let block = FileBlock {
                proposal: self.proposal(number)?.ok_or(missing(number))?,
                certificate: self.seal(number)?.ok_or(missing(number))?.certificate,
                receipts: match state {
                    true => self.receipts(number)?.ok_or(missing(number))?,
                    false => Vec::new(),
                },
            };
            file.item(Kind::Block, &block)?;
            moved.blocks += 1;
            tell(watch, "blocks", number - first, head.number() - first)?;
        }
        if state {
            let (nodes, codes) = snapshot.nodes_of_accounts(&self.lasting_councils()?)?;
            for node in nodes {
                file.item(Kind::LooseNode, &node)?;
            }
            let code = |hash| snapshot.code(&hash)?.ok_or(StateError::MissingCode(hash));
            for hash in codes {
                file.item(Kind::LooseCode, &code(hash)?)?;
            }
            // A walk knows only the store's errors.
            let (mut fault, mut nodes) = (None, 0);
            let walked = snapshot.for_each_node(marker.state_root, &mut |node| {
                nodes += 1;
                let written = file
                    .item(Kind::Node, node)
                    .map_err(TransferError::from)
                    .and_then(|()| match nodes % 1024 {
                        0 => tell(watch, "trie nodes", nodes, 0),
                        _ => Ok(()),
                    });
                written.map_err(|error| {
                    fault = Some(error);
                    StateError::BadNode("it could not be written".into())
                })
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            for hash in walked? {
                file.item(Kind::Code, &code(hash)?)?;
            }
            moved.nodes = nodes;
        }
        let (out, bytes) = file.finish()?;
        moved.bytes = bytes;
        Ok((out, moved))
    }

    /// Takes up a chain with its state into a folder that has none, all of it or nothing. `input` gives the file, which was
    /// read to its end before ([`crate::file::verify`]).
    ///
    /// # Errors
    /// See [`TransferError`]. What was written until then is removed; if the process ended first, it is no chain, and another
    /// import begins anew.
    pub fn import_state(
        dir: &Path,
        spec: &ChainSpec,
        input: impl Read,
        trust: &mut Trust<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Moved, TransferError> {
        let mut file = ChainFile::open(input)?;
        let origin = Self::in_memory(spec.clone())?;
        believe(&file, &origin, trust)?;
        let mut import = Import::begin(dir)?;
        let taken = take(&mut import, &mut file, &origin, watch)
            .and_then(|(marker, keep, moved)| Ok((import.finish(&marker, &keep)?, moved)));
        match taken {
            Ok((_, moved)) => Ok(moved),
            Err(error) => {
                import.discard();
                Err(error)
            }
        }
    }
}

/// Checks what a file says of itself.
fn believe<R: Read>(
    file: &ChainFile<R>,
    origin: &Arc<Chain>,
    trust: &mut Trust<'_>,
) -> Result<(), TransferError> {
    let head = file.head();
    let expected = origin.head().hash();
    if head.genesis != expected {
        return Err(TransferError::OtherChain {
            found: head.genesis,
            expected,
        });
    }
    if !head.state {
        return Err(TransferError::NoState);
    }
    trust(head).map_err(|reason| TransferError::NotTrusted {
        number: head.head.number,
        hash: head.head.hash_slow(),
        reason,
    })
}

/// Takes all that is in a file.
fn take<R: Read>(
    import: &mut Import,
    file: &mut ChainFile<R>,
    origin: &Arc<Chain>,
    watch: &mut Watch<'_>,
) -> Result<(Marker, Keep, Moved), TransferError> {
    let head = file.head().head.clone();
    let genesis = origin.head();
    let first = genesis.number();
    let seal = origin.seal(first)?.ok_or(ChainError::UnknownHeight(first))?;
    let mut last = Link {
        number: first,
        hash: genesis.hash(),
        digest: Digest(seal.digest),
    };
    let mut keep = Keep::default();
    let epochs = origin.epochs();
    let mut lasts = |number: u64, state_root: B256| {
        // As in [`Chain::lasting_councils`].
        if number == first || epochs.is_some_and(|epochs| epochs.begins_after(number).is_some()) {
            keep.accounts.push((state_root, crate::council::COUNCIL));
        }
    };
    lasts(first, genesis.header().state_root);
    import.block(genesis.block.clone(), genesis.receipts.clone(), seal)?;
    import.state(head.state_root);
    let mut moved = Moved::default();
    let whole = |last: &Link| {
        let (number, expected) = (last.number, head.hash_slow());
        if last.number == head.number && last.hash == expected {
            return Ok(());
        }
        let reason = format!(
            "it is the last one, with hash {}, and block {} ({expected}) should be",
            last.hash, head.number
        );
        Err(TransferError::Block { number, reason })
    };
    while let Some(item) = file.next_item()? {
        match item {
            FileItem::Block(block) => {
                let state_root = block.proposal.block.header.state_root;
                let (next, block, receipts, seal) = last.follow(*block)?;
                last = next;
                lasts(last.number, state_root);
                import.block(block, receipts, seal)?;
                moved.blocks += 1;
                tell(
                    watch,
                    "blocks",
                    last.number - first,
                    head.number.saturating_sub(first),
                )?;
                continue;
            }
            FileItem::LooseNode(node) => import.loose_node(node)?,
            FileItem::LooseCode(code) => import.loose_code(code)?,
            FileItem::Node(node) => {
                if moved.nodes == 0 {
                    whole(&last)?;
                }
                import.node(node)?;
                moved.nodes += 1;
                if moved.nodes.is_multiple_of(1024) {
                    tell(watch, "trie nodes", moved.nodes, 0)?;
                }
            }
            FileItem::Code(code) => import.code(code)?,
        }
    }
    whole(&last)?;
    moved.head = last.number;
    moved.hash = last.hash;
    moved.bytes = file.position();
    let marker = Marker {
        height: last.number,
        digest: last.digest.0,
        hash: last.hash,
        state_root: head.state_root,
    };
    Ok((marker, keep, moved))
}

/// The last block that was taken.
struct Link {
    number: u64,
    hash: B256,
    digest: Digest,
}

impl Link {
    /// The next block, if it is the one that follows and its parts are those of its header.
    fn follow(
        &self,
        block: FileBlock,
    ) -> Result<(Self, SealedBlock, Vec<synod_state::Receipt>, Seal), TransferError> {
        let number = self.number.saturating_add(1);
        let wrong = |reason: &str| TransferError::Block {
            number,
            reason: reason.into(),
        };
        let FileBlock {
            proposal,
            certificate,
            receipts,
        } = block;
        let digest = proposal.digest();
        let crate::Proposal { block, envelope } = proposal;
        let (header, body) = (block.header, block.body);
        if header.number != number {
            return Err(wrong(&format!("it is block {}", header.number)));
        }
        if header.parent_hash != self.hash || envelope.parent != self.digest.0 {
            return Err(wrong("it does not stand on the one before it"));
        }
        if calculate_transaction_root(&body.transactions) != header.transactions_root {
            return Err(wrong("its transactions are not those of its header"));
        }
        if body.calculate_ommers_root() != header.ommers_hash {
            return Err(wrong("its ommers are not those of its header"));
        }
        let withdrawals = body.withdrawals.as_ref();
        if withdrawals.map(|list| calculate_withdrawals_root(list)) != header.withdrawals_root {
            return Err(wrong("its withdrawals are not those of its header"));
        }
        if receipts.len() != body.transactions.len()
            || calculate_receipt_root(&receipts) != header.receipts_root
        {
            return Err(wrong("its receipts are not those of its header"));
        }
        let senders = recover_senders(&body.transactions).map_err(|rule| wrong(&rule.to_string()))?;
        let hash = header.hash_slow();
        let link = Self { number, hash, digest };
        let seal = Seal {
            digest: digest.0,
            envelope: alloy_rlp::encode(&envelope).into(),
            certificate,
        };
        let block = SealedBlock {
            hash,
            header,
            body,
            senders,
        };
        Ok((link, block, receipts, seal))
    }
}
