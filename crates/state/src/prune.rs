//! Forgetting old states.
//!
//! Every block adds trie nodes and takes none away, so a store grows with all that ever changed. Pruning keeps the states from
//! one height on ([`Keep`]): it *marks* what they reach, then *sweeps* what is not marked. Blocks, receipts and indices stay.
//!
//! Blocks may be committed meanwhile. Three things keep that right:
//!
//! - **What is said comes first.** The height from which history is whole is durable before the first node goes, so a reader of
//!   an older state gets [`StateError::Pruned`] and never half a state. A snapshot taken before shows what it showed.
//! - **What is written counts as marked.** A new block's state consists of nodes that its parent's state has, which are marked,
//!   and of nodes that it writes. Among these may be one that is unmarked *and already there*: an old value came back. So all
//!   that is written from before the mark on is noted ([`Written`]), in the same write transaction, and the sweep, which holds
//!   that transaction too, leaves it alone.
//! - **Small steps.** Each transaction of the sweep looks at so many entries and lets others write before the next one
//!   ([`Pace`]). After a crash between two of them, unmarked nodes are left over; they do no harm and the next sweep finds them.

use crate::{
    Mpt, NodeReader, Snapshot, StateCommitment, StateError, Store,
    commitment::decode,
    store::write_history,
    tables::{ByHash, CODES, NODES},
    walk::{Visitor, walk},
};
use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, keccak256,
    map::{B256Set, HashSet},
};
use alloy_trie::TrieAccount;
use redb::{ReadableTable, ReadableTableMetadata};
use std::{
    ops::{Bound, ControlFlow},
    sync::Arc,
    time::Duration,
};

/// Accounts that are marked between two looks at whether to stop.
const TICK: u64 = 1024;

/// What to keep of the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The oldest height whose state stays whole.
    pub from: u64,
    /// Accounts that stay readable and provable in older states, storage and code included, by the state's root.
    pub accounts: Vec<(B256, Address)>,
}

/// How much one transaction of a sweep looks at, and how long the sweep rests before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Entries.
    pub entries: usize,
    /// The rest.
    pub pause: Duration,
}

impl Pace {
    /// For a store that does nothing else.
    pub const ALONE: Self = Self {
        entries: 1 << 18,
        pause: Duration::ZERO,
    };
    /// Beside a running chain: a block waits for one small transaction at most.
    pub const BESIDE_A_CHAIN: Self = Self {
        entries: 1 << 12,
        pause: Duration::from_millis(20),
    };
}

/// How far a long walk over the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: &'static str,
    /// So many of them are done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// Hears how far it is; a break ends the work where it is.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// What pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// The oldest height whose state is whole.
    pub oldest: u64,
    /// Nodes that states reach.
    pub nodes_kept: u64,
    /// Nodes that are gone.
    pub nodes_removed: u64,
    /// Code that is gone.
    pub codes_removed: u64,
    /// Bytes of what is gone, keys included.
    pub bytes_removed: u64,
    /// Whether the sweep came to its end; otherwise it was told to stop.
    pub finished: bool,
}

/// What was written since a mark began.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) nodes: HashSet<B256>,
    pub(crate) codes: HashSet<B256>,
}

/// Nodes and code that are of use.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    pub(crate) nodes: B256Set,
    pub(crate) codes: B256Set,
}

impl Marked {
    /// Marks all of a state. Must not be called after [`Marked::account`]: what is marked counts as walked.
    pub(crate) fn state(&mut self, nodes: &dyn NodeReader, root: B256) -> Result<(), StateError> {
        self.state_unless(nodes, root, &mut |_| false).map(drop)
    }

    /// The same, if `stop` lets it: it hears now and then how many accounts were walked, and ends the walk where it is.
    fn state_unless(
        &mut self,
        nodes: &dyn NodeReader,
        root: B256,
        stop: &mut dyn FnMut(u64) -> bool,
    ) -> Result<ControlFlow<()>, StateError> {
        let mut mark = MarkState {
            nodes,
            marked: self,
            accounts: 0,
            stop,
            stopped: false,
        };
        match walk(nodes, root, &mut mark) {
            Err(_) if mark.stopped => Ok(ControlFlow::Break(())),
            walked => walked.map(ControlFlow::Continue),
        }
    }

    /// Marks what it takes to read and prove one account of a state.
    pub(crate) fn account(
        &mut self,
        nodes: &dyn NodeReader,
        root: B256,
        address: Address,
    ) -> Result<(), StateError> {
        let proof = Mpt.prove(nodes, root, address, &[])?;
        if let Some(account) = proof.account {
            self.storage_and_code(nodes, &account)?;
        }
        self.nodes.extend(proof.proof.iter().map(keccak256));
        Ok(())
    }

    fn storage_and_code(&mut self, nodes: &dyn NodeReader, account: &TrieAccount) -> Result<(), StateError> {
        if account.code_hash != KECCAK256_EMPTY {
            self.codes.insert(account.code_hash);
        }
        walk(nodes, account.storage_root, &mut MarkStorage(&mut self.nodes))
    }
}

struct MarkState<'a> {
    nodes: &'a dyn NodeReader,
    marked: &'a mut Marked,
    accounts: u64,
    stop: &'a mut dyn FnMut(u64) -> bool,
    stopped: bool,
}

impl Visitor for MarkState<'_> {
    fn enters(&mut self, hash: &B256) -> bool {
        self.marked.nodes.insert(*hash)
    }

    fn leaf(&mut self, _: B256, _: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        self.accounts += 1;
        if self.accounts.is_multiple_of(TICK) && (self.stop)(self.accounts) {
            self.stopped = true;
            // Any error ends a walk.
            return Err(StateError::BadNode("stopped".into()));
        }
        match new {
            Some(leaf) => self.marked.storage_and_code(self.nodes, &decode(leaf)?),
            None => Ok(()),
        }
    }
}

struct MarkStorage<'a>(&'a mut B256Set);

impl Visitor for MarkStorage<'_> {
    fn enters(&mut self, hash: &B256) -> bool {
        self.0.insert(*hash)
    }

    fn leaf(&mut self, _: B256, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<(), StateError> {
        Ok(())
    }
}

impl Snapshot {
    /// The roots of the states from a height on: those that blocks left, and those that edits did.
    pub(crate) fn roots_from(&self, from: u64) -> Result<Vec<(u64, B256)>, StateError> {
        let mut roots = Vec::new();
        let Some(head) = self.marker() else {
            return Ok(roots);
        };
        for height in from..=head.height {
            // A chain may begin above 0.
            let Some(header) = self.header(height)? else {
                continue;
            };
            roots.push((height, header.state_root));
            if let Some(edits) = self.edits(height)? {
                roots.push((height, edits.root));
            }
        }
        if roots.last() != Some(&(head.height, head.state_root)) {
            roots.push((head.height, head.state_root));
        }
        Ok(roots)
    }
}

/// Notes what is written, until it is dropped.
struct Noting<'a>(&'a Store);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        *self.0.written.lock() = None;
    }
}

impl Store {
    /// Forgets the states that are not to be kept. It may be stopped, killed and called again at any point. Beside it blocks may
    /// be committed; somebody else who prunes waits.
    ///
    /// # Errors
    /// When a state that is to be kept is not whole, and when the disk cannot be read or written.
    pub fn prune(
        self: &Arc<Self>,
        keep: &Keep,
        pace: Pace,
        watch: &mut Watch<'_>,
    ) -> Result<PruneReport, StateError> {
        let _alone = self.pruner.lock();
        let mut report = PruneReport::default();
        let tx = self.begin_write()?;
        *self.written.lock() = Some(Written::default());
        let _noting = Noting(self);
        // Who holds a state from now on holds one of the head's, which is marked or noted.
        let held: Vec<B256> = self.held.lock().keys().copied().collect();
        let before = self.snapshot()?;
        let Some(head) = before.marker() else {
            return Ok(report);
        };
        let oldest = keep.from.min(head.height).max(before.oldest_state());
        report.oldest = oldest;
        if oldest > before.oldest_state() {
            write_history(&tx, oldest).map_err(|e| self.name(e))?;
            self.finish(tx)?;
        } else {
            drop(tx);
        }
        drop(before);

        // Whatever is committed between the two lines above and here is noted and in the snapshot, which is no harm.
        let snapshot = self.snapshot()?;
        let nodes = &*snapshot;
        let mut marked = Marked::default();
        let mut roots = snapshot.roots_from(oldest)?;
        roots.extend(held.into_iter().map(|root| (oldest, root)));
        let (total, accounts) = (roots.len() as u64, snapshot.account_count()?);
        for (done, (_, root)) in (1..).zip(roots) {
            let mut stop = |done| {
                let progress = Progress {
                    stage: "accounts marked",
                    done,
                    total: accounts,
                };
                watch(progress).is_break()
            };
            if marked.state_unless(nodes, root, &mut stop)?.is_break() {
                return Ok(report);
            }
            if watch(Progress {
                stage: "states marked",
                done,
                total,
            })
            .is_break()
            {
                return Ok(report);
            }
        }
        for (root, address) in &keep.accounts {
            marked.account(nodes, *root, *address)?;
        }
        report.nodes_kept = marked.nodes.len() as u64;
        // While it lives the database cannot reuse what the sweep frees.
        drop(snapshot);

        let mut sweep = Sweep {
            store: self,
            pace,
            watch,
            bytes: 0,
        };
        let (nodes, ended) = sweep.table("nodes swept", NODES, &marked.nodes, |w| &w.nodes)?;
        report.nodes_removed = nodes;
        if ended {
            let (codes, ended) = sweep.table("code swept", CODES, &marked.codes, |w| &w.codes)?;
            report.codes_removed = codes;
            report.finished = ended;
        }
        report.bytes_removed = sweep.bytes;
        Ok(report)
    }
}

/// A state that stays whole, however old it becomes, while this lives.
#[derive(Debug)]
pub struct Held {
    store: Arc<Store>,
    root: B256,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.store.held.lock();
        if let Some(count) = held.get_mut(&self.root) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.root);
            }
        }
    }
}

impl Store {
    /// Keeps a state of the head for somebody who may come back to it, until what is given is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, root: B256) -> Held {
        *self.held.lock().entry(root).or_default() += 1;
        Held {
            store: self.clone(),
            root,
        }
    }
}

struct Sweep<'a, 'b> {
    store: &'a Store,
    pace: Pace,
    watch: &'a mut Watch<'b>,
    bytes: u64,
}

impl Sweep<'_, '_> {
    /// Removes what is neither marked nor written since; says how many, and whether it came to the end.
    fn table(
        &mut self,
        stage: &'static str,
        definition: ByHash<&'static [u8]>,
        marked: &B256Set,
        written: fn(&Written) -> &HashSet<B256>,
    ) -> Result<(u64, bool), StateError> {
        let name = |e: redb::Error| self.store.name(e);
        let (mut removed, mut done, mut last) = (0, 0, None::<[u8; 32]>);
        loop {
            let tx = self.store.begin_write()?;
            let step = || {
                let mut table = tx.open_table(definition)?;
                let total = table.len()?;
                let lower = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let (mut seen, mut end, mut doomed, mut bytes) = (0, None, Vec::new(), 0);
                {
                    let noted = self.store.written.lock();
                    for entry in table.range::<&[u8; 32]>((lower, Bound::Unbounded))? {
                        let (key, value) = entry?;
                        let hash = *key.value();
                        seen += 1;
                        let of_use = marked.contains(&B256::from(hash))
                            || noted
                                .as_ref()
                                .is_some_and(|noted| written(noted).contains(&B256::from(hash)));
                        if !of_use {
                            bytes += (hash.len() + value.value().len()) as u64;
                            doomed.push(hash);
                        }
                        end = Some(hash);
                        if seen == self.pace.entries {
                            break;
                        }
                    }
                }
                for hash in &doomed {
                    table.remove(hash)?;
                }
                Ok::<_, redb::Error>((seen, end, doomed.len() as u64, bytes, total))
            };
            let (seen, end, gone, bytes, total) = step().map_err(name)?;
            // Nothing to write down costs no write.
            if gone > 0 {
                self.store.finish(tx)?;
            } else {
                tx.abort().map_err(|e| name(e.into()))?;
            }
            removed += gone;
            self.bytes += bytes;
            done += seen as u64;
            if seen < self.pace.entries {
                return Ok((removed, true));
            }
            last = end;
            let progress = Progress {
                stage,
                done,
                total: total + removed,
            };
            if (self.watch)(progress).is_break() {
                return Ok((removed, false));
            }
            if !self.pace.pause.is_zero() {
                std::thread::sleep(self.pace.pause);
            }
        }
    }
}

/// The nodes of a state, if it is whole.
pub(crate) fn whole(nodes: &dyn NodeReader, root: B256) -> Result<B256Set, StateError> {
    let mut marked = Marked::default();
    marked.state(nodes, root)?;
    Ok(marked.nodes)
}
