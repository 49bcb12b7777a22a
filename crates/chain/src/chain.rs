//! A chain: what is final on the disk, what is not final in memory, and the way from one to the other.

use crate::{
    ChainError, ChainSpec, Digest, Envelope, Factory, Finalization, FinalizeError, Proposal, Timestamp,
    council::{Changes, Epochs},
    recent::Recent,
    tree::{Head, Tree, TreeLimits, Unfinalised},
};
use alloy_consensus::Header;
use alloy_evm::EvmEnv;
use alloy_primitives::B256;
use parking_lot::{Mutex, RwLock};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};
use synod_state::{
    BlockCommit, Body, Edits, Overlay, Receipt, Seal, SealedBlock, Snapshot, StateChanges, StateError,
    StateView, Store, TransactionLocation,
};
use tokio::sync::broadcast;

/// How many events a subscriber may fall behind before it misses some.
const EVENTS: usize = 1024;

/// A final block with its receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockData {
    /// The block.
    pub block: SealedBlock,
    /// One receipt a transaction.
    pub receipts: Vec<Receipt>,
}

impl BlockData {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.block.header
    }

    /// The height.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.block.header.number
    }

    /// The block's hash.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.block.hash
    }
}

/// What subscribers hear. An event is sent after what it tells is on the disk and visible to every read.
#[derive(Clone, Debug)]
pub enum ChainEvent {
    /// A block became final.
    Finalized(Arc<BlockData>),
    /// A development chain went back: these blocks, newest first, are no longer part of it.
    Rewound(Vec<Arc<BlockData>>),
}

/// One chain on one data folder. Share it in an `Arc`; every method may be called from any thread, and those that read the
/// disk or run the EVM may block.
#[derive(Debug)]
pub struct Chain {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) factory: Factory,
    pub(crate) store: Arc<Store>,
    pub(crate) tree: RwLock<Tree>,
    recent: RwLock<Recent>,
    /// The last snapshot that somebody took, with the version of the store before it was taken.
    snapshot: RwLock<Option<(u64, Arc<Snapshot>)>>,
    /// The council's epochs, if there is one.
    pub(crate) epochs: OnceLock<Epochs>,
    /// When the council's list changed.
    pub(crate) changes: Mutex<Changes>,
    /// Held by whoever writes to the store.
    writer: Mutex<()>,
    events: broadcast::Sender<ChainEvent>,
}

impl Chain {
    /// Opens the chain in a data folder, or starts it there from its genesis.
    pub fn open(dir: &Path, spec: ChainSpec) -> Result<Arc<Self>, ChainError> {
        Self::with_store(Store::open(dir)?, spec, Factory::default(), TreeLimits::default())
    }

    /// The same with a factory of the caller's choice: its engine's memory and threads are the node's to decide.
    pub fn open_with(dir: &Path, spec: ChainSpec, factory: Factory) -> Result<Arc<Self>, ChainError> {
        Self::with_store(Store::open(dir)?, spec, factory, TreeLimits::default())
    }

    /// A chain that lives in memory and is forgotten when dropped.
    pub fn in_memory(spec: ChainSpec) -> Result<Arc<Self>, ChainError> {
        Self::in_memory_with(spec, TreeLimits::default())
    }

    /// The same with limits of the caller's choice on what waits to become final.
    pub fn in_memory_with(spec: ChainSpec, limits: TreeLimits) -> Result<Arc<Self>, ChainError> {
        Self::with_store(Store::in_memory()?, spec, Factory::default(), limits)
    }

    fn with_store(
        store: Arc<Store>,
        spec: ChainSpec,
        factory: Factory,
        limits: TreeLimits,
    ) -> Result<Arc<Self>, ChainError> {
        let snapshot = store.snapshot()?;
        let genesis = genesis_block(&spec, &snapshot)?;
        let height = genesis.data.number();
        let expected = genesis.data.hash();
        if snapshot.marker().is_none() {
            store.commit(&[commit_of(&genesis)])?;
        } else {
            let found = snapshot.block_hash(height)?.unwrap_or_default();
            if found != expected {
                return Err(ChainError::OtherGenesis { found, expected });
            }
        }
        let head = read_head(&store)?;
        let (events, _) = broadcast::channel(EVENTS);
        let factory = factory.with_rules(spec.inference_rules(0));
        let chain = Arc::new(Self {
            spec: Arc::new(spec.afresh()),
            factory,
            store,
            tree: RwLock::new(Tree::new(head, limits)),
            recent: RwLock::default(),
            snapshot: RwLock::default(),
            epochs: OnceLock::new(),
            changes: Mutex::default(),
            writer: Mutex::new(()),
            events,
        });
        chain.take_up_epoch()?;
        Ok(chain)
    }

    /// The chain's rules.
    #[must_use]
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Makes EVMs with the chain's instruction set and precompiles.
    #[must_use]
    pub const fn factory(&self) -> &Factory {
        &self.factory
    }

    /// The last final block.
    #[must_use]
    pub fn head(&self) -> Arc<BlockData> {
        self.tree.read().head().data.clone()
    }

    /// Digest and time of the last final block.
    #[must_use]
    pub fn head_digest(&self) -> (Digest, Timestamp) {
        let tree = self.tree.read();
        (tree.head().digest, tree.head().timestamp)
    }

    /// How many blocks wait to become final.
    #[must_use]
    pub fn unfinalised(&self) -> usize {
        self.tree.read().len()
    }

    /// A consistent view of everything stored. Taken anew only when something was written since the last time: most requests are
    /// reads, and come between two blocks.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, ChainError> {
        let version = self.store.version();
        if let Some((taken, snapshot)) = &*self.snapshot.read()
            && *taken == version
        {
            return Ok(snapshot.clone());
        }
        let snapshot = self.store.snapshot()?;
        // What another thread put here meanwhile may be newer; then this one is taken for old, and no harm is done.
        *self.snapshot.write() = Some((version, snapshot.clone()));
        Ok(snapshot)
    }

    /// The hash of the final block at a height.
    pub fn hash_of(&self, number: u64) -> Result<Option<B256>, ChainError> {
        Ok(self.snapshot()?.block_hash(number)?)
    }

    /// The height of the final block with a hash.
    pub fn number_of(&self, hash: B256) -> Result<Option<u64>, ChainError> {
        Ok(self.snapshot()?.height(&hash)?)
    }

    /// The header of the final block at a height.
    pub fn header(&self, number: u64) -> Result<Option<Header>, ChainError> {
        if let Some(data) = self.kept(number) {
            return Ok(Some(data.header().clone()));
        }
        Ok(self.snapshot()?.header(number)?)
    }

    /// The header of a block that must be final here.
    pub(crate) fn final_header(&self, number: u64) -> Result<Header, ChainError> {
        self.header(number)?.ok_or(ChainError::UnknownHeight(number))
    }

    /// The final block at a height.
    pub fn block(&self, number: u64) -> Result<Option<Arc<BlockData>>, ChainError> {
        if let Some(data) = self.kept(number) {
            return Ok(Some(data));
        }
        read_block(&*self.snapshot()?, number)
    }

    /// The final block with a hash.
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Arc<BlockData>>, ChainError> {
        let recent = self.recent(hash);
        if recent.is_some() {
            return Ok(recent);
        }
        let snapshot = self.snapshot()?;
        match snapshot.height(&hash)? {
            Some(number) => read_block(&snapshot, number),
            None => Ok(None),
        }
    }

    /// The receipts of the final block at a height.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, ChainError> {
        if let Some(data) = self.kept(number) {
            return Ok(Some(data.receipts.clone()));
        }
        Ok(self.snapshot()?.receipts(number)?)
    }

    /// A final block that need not be read from the disk, by its hash: one of the last few.
    #[must_use]
    pub fn recent(&self, hash: B256) -> Option<Arc<BlockData>> {
        let head = self.head();
        if head.hash() == hash {
            Some(head)
        } else {
            self.recent.read().by_hash(hash)
        }
    }

    /// The same by its height.
    fn kept(&self, number: u64) -> Option<Arc<BlockData>> {
        let head = self.head();
        if head.number() == number {
            Some(head)
        } else {
            self.recent.read().by_number(number)
        }
    }

    /// Where a transaction stands in the final chain.
    pub fn transaction(&self, hash: B256) -> Result<Option<TransactionLocation>, ChainError> {
        Ok(self.snapshot()?.transaction(&hash)?)
    }

    /// What consensus says about the final block at a height: digest, envelope (RLP of [`Envelope`]), certificate.
    pub fn seal(&self, number: u64) -> Result<Option<Seal>, ChainError> {
        Ok(self.snapshot()?.seal(number)?)
    }

    /// The final block at a height as it travelled between validators.
    pub fn proposal(&self, number: u64) -> Result<Option<Proposal>, ChainError> {
        let snapshot = self.snapshot()?;
        let (Some(block), Some(seal)) = (snapshot.block(number)?, snapshot.seal(number)?) else {
            return Ok(None);
        };
        let envelope = <Envelope as alloy_rlp::Decodable>::decode(&mut &seal.envelope[..]).map_err(|_| {
            ChainError::State(
                self.store
                    .corrupt(format!("the envelope of block {number} does not decode")),
            )
        })?;
        let SealedBlock { header, body, .. } = block;
        Ok(Some(Proposal {
            block: alloy_consensus::Block { header, body },
            envelope,
        }))
    }

    /// The state after the last final block.
    pub fn state(&self) -> Result<StateView, ChainError> {
        let snapshot = self.snapshot()?;
        let root = snapshot
            .marker()
            .map_or_else(|| self.head().header().state_root, |m| m.state_root);
        Ok(StateView::at(snapshot, root))
    }

    /// The state after the final block at a height, `None` when there is no such block.
    ///
    /// # Errors
    /// [`StateError::Pruned`] when the state is not kept any more, and when the disk cannot be read.
    pub fn state_at(&self, number: u64) -> Result<Option<StateView>, ChainError> {
        let snapshot = self.snapshot()?;
        let header = snapshot.header(number)?;
        let Some(header) = header else {
            return Ok(None);
        };
        let root = snapshot.state_root(&header)?;
        Ok(Some(StateView::at(snapshot, root)))
    }

    /// The state after a block that is not final (or is the last final one).
    pub fn state_of(&self, digest: Digest) -> Result<StateView, ChainError> {
        // The snapshot is taken while the head stays. It may be of a later head, which is as good: flat tables are used only under
        // this very root, and no state goes away that is the head's when pruning begins, or a later one's.
        let tree = self.tree.read();
        let path = tree.path(digest).ok_or(ChainError::UnknownBlock(digest))?;
        let overlays: Arc<[Arc<Overlay>]> = path.iter().rev().map(|b| b.overlay.clone()).collect();
        let root = tree.head().state_root;
        Ok(StateView::over(self.snapshot()?, root, overlays))
    }

    /// What the EVM sees in the block with this header.
    #[must_use]
    pub fn evm_env(&self, header: &Header) -> EvmEnv {
        self.spec.evm_env(header)
    }

    /// What the EVM sees when a call is simulated as if it were in the block with this header: checks that only protect a
    /// block (nonce, an account with code as sender, EIP-7825's gas limit) are off.
    #[must_use]
    pub fn call_env(&self, header: &Header) -> EvmEnv {
        let mut env = self.spec.evm_env(header);
        relax(&mut env);
        env
    }

    /// What the EVM sees in the block after the last final one, at a time.
    #[must_use]
    pub fn pending_env(&self, timestamp: Timestamp) -> EvmEnv {
        let head = self.head();
        let parent = head.header();
        let seconds = timestamp.seconds().max(parent.timestamp);
        self.spec
            .next_evm_env(parent, seconds, parent.beneficiary, parent.mix_hash)
    }

    /// Hears of blocks that become final.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<ChainEvent> {
        self.events.subscribe()
    }

    /// Keeps a block that was built or verified.
    pub(crate) fn keep(&self, digest: Digest, block: Unfinalised) {
        self.tree.write().insert(digest, block);
    }

    /// Makes a block and its unfinalised ancestors durable.
    pub fn finalize(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        let Finalization {
            height,
            digest,
            certificate,
        } = finalization;
        let (height, digest) = (*height, *digest);
        let _writer = self.writer.lock();
        let mut path = {
            let tree = self.tree.read();
            let head = tree.head();
            if height <= head.data.number() {
                drop(tree);
                return self.already_final(height, digest);
            }
            tree.path(digest)
                .ok_or(FinalizeError::Unknown { height, digest })?
        };
        // The height belongs to what was certified: a digest with another height is not the block that is here.
        let last = path.last().filter(|last| last.data.number() == height);
        let last = last.cloned().ok_or(FinalizeError::Unknown { height, digest })?;
        if let Some(last) = path.last_mut() {
            last.seal.certificate = certificate.clone();
        }
        // All that may fail comes before the write.
        let rules = self.rules_after(self.state_of(digest)?, last.data.header())?;
        let commits: Vec<_> = path.iter().map(commit_of).collect();
        self.store.commit(&commits)?;
        // Only now may anybody see it: what a client was told survives a crash.
        let head = head_of(digest, &last);
        {
            let mut recent = self.recent.write();
            path.iter().for_each(|block| recent.push(block.data.clone()));
        }
        // Before anybody can build on it.
        if let Some(rules) = rules {
            self.take_up_rules(&rules);
        }
        self.tree.write().advance(head);
        for block in &path {
            // An error means that nobody listens.
            let _ = self.events.send(ChainEvent::Finalized(block.data.clone()));
        }
        Ok(())
    }

    fn already_final(&self, height: u64, offered: Digest) -> Result<(), FinalizeError> {
        let stored = self.snapshot()?.digest(height)?;
        match stored.map(Digest) {
            Some(stored) if stored == offered => Ok(()),
            Some(stored) => Err(FinalizeError::Conflict {
                height,
                stored,
                offered,
            }),
            None => Err(FinalizeError::Unknown {
                height,
                digest: offered,
            }),
        }
    }

    /// Goes back to a final block and forgets what came after: blocks, and edits of the state but for those given. For a chain
    /// of one node only: a cluster's final blocks are final.
    pub fn rewind(&self, to: u64, edits: Option<&Edits>) -> Result<(), ChainError> {
        let _writer = self.writer.lock();
        let snapshot = self.snapshot()?;
        let head = self.head().number();
        let mut removed = Vec::new();
        for number in (to.saturating_add(1)..=head).rev() {
            removed.extend(read_block(&snapshot, number)?);
        }
        self.store.rewind(to, edits)?;
        self.recent.write().clear();
        self.tree.write().reset(read_head(&self.store)?);
        if !removed.is_empty() {
            let _ = self.events.send(ChainEvent::Rewound(removed));
        }
        Ok(())
    }

    /// Changes the state after the last final block to what `edit` makes of it.
    pub(crate) fn edit_with<E: From<StateError>>(
        &self,
        edit: impl FnOnce(&StateView) -> Result<StateChanges, E>,
    ) -> Result<(), E> {
        let _writer = self.writer.lock();
        let head = self.tree.read().head().clone();
        let state = StateView::at(self.store.snapshot()?, head.state_root);
        let changes = edit(&state)?;
        let committed = state.commit(&changes)?;
        self.store.edit(&changes, &committed)?;
        self.tree.write().reset(Head {
            state_root: committed.root,
            ..head
        });
        Ok(())
    }
}

/// Turns off the checks that protect blocks, for simulated calls. The base fee stays: a call that names no gas price is
/// simulated with a base fee of zero, as Geth does, which only the caller can know.
pub fn relax(env: &mut EvmEnv) {
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_eip3607 = true;
    env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
}

fn genesis_block(spec: &ChainSpec, snapshot: &Arc<Snapshot>) -> Result<Unfinalised, ChainError> {
    let changes = spec.genesis_state();
    let empty = StateView::at(snapshot.clone(), alloy_trie::EMPTY_ROOT_HASH);
    let committed = empty.commit(&changes)?;
    let header = spec.genesis_header(committed.root);
    let hash = header.hash_slow();
    let envelope = Envelope::default();
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    let body = Body {
        transactions: Vec::new(),
        ommers: Vec::new(),
        withdrawals,
    };
    let timestamp = Timestamp::from_seconds(header.timestamp);
    let overlay = Overlay {
        number: header.number,
        hash,
        root: committed.root,
        changes,
        nodes: committed.nodes,
    };
    let block = SealedBlock {
        hash,
        header,
        body,
        senders: Vec::new(),
    };
    Ok(Unfinalised {
        parent: Digest::default(),
        data: Arc::new(BlockData {
            block,
            receipts: Vec::new(),
        }),
        overlay: Arc::new(overlay),
        seal: Seal {
            digest: envelope.digest(hash).0,
            envelope: alloy_rlp::encode(&envelope).into(),
            certificate: Default::default(),
        },
        timestamp,
    })
}

fn commit_of(block: &Unfinalised) -> BlockCommit<'_> {
    BlockCommit {
        block: &block.data.block,
        receipts: &block.data.receipts,
        seal: &block.seal,
        overlay: &block.overlay,
    }
}

fn head_of(digest: Digest, block: &Unfinalised) -> Head {
    Head {
        digest,
        data: block.data.clone(),
        timestamp: block.timestamp,
        state_root: block.overlay.root,
    }
}

fn read_block(snapshot: &Snapshot, number: u64) -> Result<Option<Arc<BlockData>>, ChainError> {
    let (Some(block), Some(receipts)) = (snapshot.block(number)?, snapshot.receipts(number)?) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(BlockData { block, receipts })))
}

fn read_head(store: &Arc<Store>) -> Result<Head, ChainError> {
    let snapshot = store.snapshot()?;
    let corrupt = |what: &str| {
        ChainError::State(store.corrupt(format!("{what} of the head is gone or does not decode")))
    };
    let marker = *snapshot.marker().ok_or_else(|| corrupt("the marker"))?;
    let data = read_block(&snapshot, marker.height)?.ok_or_else(|| corrupt("the block"))?;
    let seal = snapshot.seal(marker.height)?.ok_or_else(|| corrupt("the seal"))?;
    let envelope = <Envelope as alloy_rlp::Decodable>::decode(&mut &seal.envelope[..])
        .map_err(|_| corrupt("the envelope"))?;
    let Timestamp(seconds) = Timestamp::from_seconds(data.header().timestamp);
    let timestamp = Timestamp(seconds.saturating_add(u64::from(envelope.millis)));
    Ok(Head {
        digest: Digest(marker.digest),
        data,
        timestamp,
        state_root: marker.state_root,
    })
}
