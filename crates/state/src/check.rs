//! Whether what is stored fits together.
//!
//! A reader of the store believes its tables. [`Store::check`] believes nothing but the head's marker: it follows the blocks
//! from the first one on by their hashes, hashes every trie node and every code, walks every state that is kept, and holds the
//! flat tables against the trie of the head, entry by entry. It changes nothing.

use crate::{
    Account, Snapshot, StateError, Store,
    commitment::decode,
    prune::{Keep, Marked, Progress, Watch},
    store::{decode_account, flat_key},
    tables::{ByHash, CODES, DIGESTS, HASHES, HEADERS, NODES, TRANSACTIONS},
    walk::{Visitor, walk},
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header,
    proofs::{
        calculate_ommers_root, calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root,
    },
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use redb::{ReadableTable, ReadableTableMetadata};
use std::{ops::ControlFlow, sync::Arc};

/// Findings that are kept; the others are counted.
const MAX_FINDINGS: usize = 100;

/// How many entries go by between two calls of the watch.
const TICK: u64 = 4096;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a table and a key, a block.
    pub place: String,
    /// What.
    pub what: String,
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Blocks.
    pub blocks: u64,
    /// Their transactions.
    pub transactions: u64,
    /// Trie nodes.
    pub nodes: u64,
    /// Of them those that no state reaches that is kept: what forks and earlier prunings left, no fault.
    pub unreachable: u64,
    /// Codes.
    pub codes: u64,
    /// States that were walked.
    pub states: u64,
    /// Accounts of the head's state.
    pub accounts: u64,
    /// Slots of the head's state.
    pub slots: u64,
    /// What is wrong, the first of it.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub wrong: u64,
    /// Whether the check came to its end; otherwise it was told to stop.
    pub finished: bool,
}

impl CheckReport {
    fn find(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.wrong += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                place: place.into(),
                what: what.into(),
            });
        }
    }

    /// Finds what an error says. A fault of the disk is none of the data's.
    fn find_error(&mut self, place: impl Into<String>, error: StateError) -> Result<(), StateError> {
        match error {
            StateError::Corrupt { reason, .. } => self.find(place, reason),
            StateError::MissingNode(_) | StateError::MissingCode(_) | StateError::BadNode(_) => {
                self.find(place, error.to_string());
            }
            other => return Err(other),
        }
        Ok(())
    }
}

impl Store {
    /// Checks everything. `keep` is what a pruned store has beside its states ([`Store::prune`]); `receipts_root` says of which
    /// headers the receipts' root is that of the stored receipts (Ethereum's were others before Byzantium).
    ///
    /// # Errors
    /// When the disk cannot be read. What is wrong with the data is in the report.
    pub fn check(
        self: &Arc<Self>,
        keep: &Keep,
        receipts_root: &dyn Fn(&Header) -> bool,
        watch: &mut Watch<'_>,
    ) -> Result<CheckReport, StateError> {
        let snapshot = self.snapshot()?;
        let mut check = Check {
            store: self,
            snapshot: &snapshot,
            report: CheckReport::default(),
            watch,
        };
        let stopped = check.all(keep, receipts_root)?.is_break();
        check.report.finished = !stopped;
        Ok(check.report)
    }
}

struct Check<'a, 'b> {
    store: &'a Store,
    snapshot: &'a Arc<Snapshot>,
    report: CheckReport,
    watch: &'a mut Watch<'b>,
}

/// Goes on, or ends because it was told to.
type Step = Result<ControlFlow<()>, StateError>;

/// Does a step; ends here if it ended.
macro_rules! go {
    ($step:expr) => {
        if $step?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

impl Check<'_, '_> {
    fn all(&mut self, keep: &Keep, receipts_root: &dyn Fn(&Header) -> bool) -> Step {
        go!(self.blocks(receipts_root));
        let (step, nodes) = self.hashes("nodes", NODES)?;
        self.report.nodes = nodes;
        go!(Ok::<_, StateError>(step));
        let (step, codes) = self.hashes("codes", CODES)?;
        self.report.codes = codes;
        go!(Ok::<_, StateError>(step));
        go!(self.head());
        self.states(keep)
    }

    fn tick(&mut self, stage: &'static str, done: u64, total: u64) -> ControlFlow<()> {
        if done.is_multiple_of(TICK) || done == total {
            (self.watch)(Progress { stage, done, total })
        } else {
            ControlFlow::Continue(())
        }
    }

    fn name(&self, error: impl Into<redb::Error>) -> StateError {
        self.store.name(error.into())
    }

    fn blocks(&mut self, receipts_root: &dyn Fn(&Header) -> bool) -> Step {
        let read = || {
            let headers = self.snapshot.tx.open_table(HEADERS)?;
            let first = headers.first()?.map(|entry| entry.0.value());
            let last = headers.last()?.map(|entry| entry.0.value());
            Ok::<_, redb::Error>((first.zip(last), headers.len()?))
        };
        let (range, count) = read().map_err(|e| self.store.name(e))?;
        let Some(head) = self.snapshot.marker().copied() else {
            if count > 0 {
                self.report
                    .find("meta", format!("there are {count} headers, but no head"));
            }
            return Ok(ControlFlow::Continue(()));
        };
        let Some((first, last)) = range else {
            self.report.find("headers", "there is a head, but no block");
            return Ok(ControlFlow::Continue(()));
        };
        if last != head.height {
            self.report.find(
                "headers",
                format!("the last is {last}, but the head is {}", head.height),
            );
        }
        let total = head.height - first.min(head.height) + 1;
        let mut parent = None;
        for height in first..=head.height {
            let hash = match self.block(height, parent, receipts_root) {
                Ok(hash) => hash,
                Err(error) => {
                    self.report.find_error(format!("block {height}"), error)?;
                    None
                }
            };
            if height == head.height && hash.is_some_and(|hash| hash != head.hash) {
                self.report.find("meta", "the head's hash is not its header's");
            }
            parent = hash;
            self.report.blocks += 1;
            if self.tick("blocks", height - first + 1, total).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.indices()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Checks one block; gives its hash.
    fn block(
        &mut self,
        height: u64,
        parent: Option<B256>,
        receipts_root: &dyn Fn(&Header) -> bool,
    ) -> Result<Option<B256>, StateError> {
        let place = || format!("block {height}");
        let Some(block) = self.snapshot.block(height)? else {
            self.report.find(place(), "it is not there");
            return Ok(None);
        };
        let (header, body) = (&block.header, &block.body);
        let mut wrong = Vec::new();
        if header.number != height {
            wrong.push(format!("its header says that it is block {}", header.number));
        }
        if parent.is_some_and(|parent| parent != header.parent_hash) {
            wrong.push("its parent's hash is not that of the block before it".into());
        }
        if self.snapshot.height(&block.hash)? != Some(height) {
            wrong.push("its hash is not in the index".into());
        }
        if calculate_transaction_root(&body.transactions) != header.transactions_root {
            wrong.push("its transactions are not those of its header".into());
        }
        let ommers = match &body.ommers[..] {
            [] => EMPTY_OMMER_ROOT_HASH,
            ommers => calculate_ommers_root(ommers),
        };
        if ommers != header.ommers_hash {
            wrong.push("its ommers are not those of its header".into());
        }
        let withdrawals = body.withdrawals.as_ref();
        if withdrawals.map(|list| calculate_withdrawals_root(list)) != header.withdrawals_root {
            wrong.push("its withdrawals are not those of its header".into());
        }
        match self.snapshot.receipts(height)? {
            None => wrong.push("its receipts are gone".into()),
            Some(receipts) if receipts.len() != body.transactions.len() => wrong.push(format!(
                "it has {} receipts for {} transactions",
                receipts.len(),
                body.transactions.len()
            )),
            Some(receipts) => {
                if receipts_root(header) && calculate_receipt_root(&receipts) != header.receipts_root {
                    wrong.push("its receipts are not those of its header".into());
                }
            }
        }
        if self.snapshot.seal(height)?.is_none() {
            wrong.push("its seal is gone".into());
        }
        for (index, transaction) in (0..).zip(&body.transactions) {
            let hash = transaction.trie_hash();
            let found = self.snapshot.transaction(&hash)?;
            if found.map(|at| (at.block_number, at.index)) != Some((height, index)) {
                wrong.push(format!("transaction {index} ({hash}) is not in the index"));
            }
        }
        self.report.transactions += body.transactions.len() as u64;
        for what in wrong {
            self.report.find(place(), what);
        }
        Ok(Some(block.hash))
    }

    /// The indices have no entries but those of the blocks.
    fn indices(&mut self) -> Result<(), StateError> {
        let tx = &self.snapshot.tx;
        let read = || {
            Ok::<_, redb::Error>((
                tx.open_table(HASHES)?.len()?,
                tx.open_table(TRANSACTIONS)?.len()?,
                tx.open_table(DIGESTS)?.len()?,
            ))
        };
        let (hashes, transactions, digests) = read().map_err(|e| self.store.name(e))?;
        let (blocks, all) = (self.report.blocks, self.report.transactions);
        for (table, found, expected) in [
            ("hashes", hashes, blocks),
            ("transactions", transactions, all),
            ("digests", digests, blocks),
        ] {
            if found != expected {
                self.report
                    .find(table, format!("it has {found} entries, not {expected}"));
            }
        }
        Ok(())
    }

    /// Every entry has the hash of its value as its key. Says how many there are.
    fn hashes(
        &mut self,
        table: &'static str,
        definition: ByHash<&'static [u8]>,
    ) -> Result<(ControlFlow<()>, u64), StateError> {
        let entries = self
            .snapshot
            .tx
            .open_table(definition)
            .map_err(|e| self.name(e))?;
        let total = entries.len().map_err(|e| self.name(e))?;
        for (done, entry) in (1..).zip(entries.iter().map_err(|e| self.name(e))?) {
            let (key, value) = entry.map_err(|e| self.name(e))?;
            let (key, found) = (B256::from(*key.value()), keccak256(value.value()));
            if found != key {
                let what = format!("its value has the hash {found}");
                self.report.find(format!("{table} {key}"), what);
            }
            let step = self.tick(table, done, total);
            if step.is_break() {
                return Ok((step, total));
            }
        }
        Ok((ControlFlow::Continue(()), total))
    }

    /// The flat tables are the trie of the head.
    fn head(&mut self) -> Step {
        let root = self.snapshot.marker().map_or(EMPTY_ROOT_HASH, |m| m.state_root);
        let total = self.snapshot.accounts.len().map_err(|e| self.name(e))?;
        let accounts = self
            .snapshot
            .accounts
            .range::<&[u8; 32]>(..)
            .map_err(|e| self.name(e))?;
        let storage = self
            .snapshot
            .storage
            .range::<&[u8; 64]>(..)
            .map_err(|e| self.name(e))?;
        let mut flat = Flat {
            check: self,
            accounts: accounts.peekable(),
            storage: storage.peekable(),
            total,
            stopped: false,
        };
        match walk(&*flat.check.snapshot.clone(), root, &mut flat) {
            Ok(()) => {
                // What is left over is nobody's.
                flat.account(None)?;
                flat.slot(None)?;
            }
            Err(_) if flat.stopped => return Ok(ControlFlow::Break(())),
            Err(error) => self.report.find_error("the head's state", error)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// All states that are kept are whole.
    fn states(&mut self, keep: &Keep) -> Step {
        let nodes = &**self.snapshot;
        let roots = match self.snapshot.roots_from(self.snapshot.oldest_state()) {
            Ok(roots) => roots,
            Err(error) => {
                self.report.find_error("headers", error)?;
                return Ok(ControlFlow::Continue(()));
            }
        };
        let mut marked = Marked::default();
        let total = roots.len() as u64;
        for (done, (height, root)) in (1..).zip(roots) {
            if let Err(error) = marked.state(nodes, root) {
                self.report
                    .find_error(format!("state {root} of block {height}"), error)?;
            }
            self.report.states += 1;
            if (self.watch)(Progress {
                stage: "states",
                done,
                total,
            })
            .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        for (root, address) in &keep.accounts {
            if let Err(error) = marked.account(nodes, *root, *address) {
                self.report
                    .find_error(format!("{address} in state {root}"), error)?;
            }
        }
        let mut codes: Vec<_> = marked.codes.iter().copied().collect();
        codes.sort_unstable();
        for hash in codes {
            if self.snapshot.code(&hash)?.is_none() {
                self.report.find(format!("codes {hash}"), "it is not there");
            }
        }
        // A node that is missing is marked and not stored, so the difference can fall below nothing.
        self.report.unreachable = self.report.nodes.saturating_sub(marked.nodes.len() as u64);
        Ok(ControlFlow::Continue(()))
    }
}

/// Entries of a flat table, in order.
type Entries<K, V> = std::iter::Peekable<redb::Range<'static, K, V>>;

/// The flat tables beside a walk over the head's trie.
struct Flat<'a, 'b, 'c> {
    check: &'a mut Check<'b, 'c>,
    accounts: Entries<&'static [u8; 32], &'static [u8]>,
    storage: Entries<&'static [u8; 64], &'static [u8; 32]>,
    total: u64,
    stopped: bool,
}

/// The entry with this key. Smaller ones that come before it are told of; without a key, all are.
fn find<const N: usize, V: redb::Value + 'static>(
    entries: &mut Entries<&'static [u8; N], V>,
    key: Option<[u8; N]>,
    mut extra: impl FnMut([u8; N]),
) -> Result<Option<redb::AccessGuard<'static, V>>, redb::StorageError>
where
    &'static [u8; N]: redb::Key,
    for<'x> &'static [u8; N]: redb::Value<SelfType<'x> = &'x [u8; N]>,
{
    loop {
        let found = match entries.peek() {
            None => return Ok(None),
            Some(Ok((found, _))) => *found.value(),
            Some(Err(_)) => [0; N],
        };
        if key.is_some_and(|key| found > key) {
            return Ok(None);
        }
        let Some(entry) = entries.next() else {
            return Ok(None);
        };
        let (_, value) = entry?;
        if Some(found) == key {
            return Ok(Some(value));
        }
        extra(found);
    }
}

impl Flat<'_, '_, '_> {
    fn account(&mut self, key: Option<B256>) -> Result<Option<Account>, StateError> {
        let report = &mut self.check.report;
        let found = find(&mut self.accounts, key.map(|key| key.0), |extra| {
            report.find(
                format!("accounts {}", B256::from(extra)),
                "the head's state has no such account",
            );
        });
        let found = found.map_err(|e| self.check.store.name(e.into()))?;
        Ok(found.and_then(|bytes| decode_account(bytes.value())))
    }

    fn slot(&mut self, key: Option<[u8; 64]>) -> Result<Option<U256>, StateError> {
        let report = &mut self.check.report;
        let found = find(&mut self.storage, key, |extra| {
            report.find(
                format!("storage {}", alloy_primitives::hex::encode_prefixed(extra)),
                "the head's state has no such slot",
            );
        });
        let found = found.map_err(|e| self.check.store.name(e.into()))?;
        Ok(found.map(|bytes| U256::from_be_bytes(*bytes.value())))
    }
}

impl Visitor for Flat<'_, '_, '_> {
    fn leaf(&mut self, key: B256, _: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        let Some(leaf) = new else { return Ok(()) };
        let account: TrieAccount = decode(leaf)?;
        let expected = Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        };
        if self.account(Some(key))? != Some(expected) {
            self.check.report.find(
                format!("accounts {key}"),
                "it is not the account of the head's trie",
            );
        }
        self.check.report.accounts += 1;
        let (done, total) = (self.check.report.accounts, self.total);
        if self.check.tick("accounts", done, total).is_break() {
            self.stopped = true;
            // Any error ends a walk.
            return Err(StateError::BadNode("stopped".into()));
        }
        let snapshot = self.check.snapshot.clone();
        walk(&*snapshot, account.storage_root, &mut FlatSlots(self, key))
    }
}

struct FlatSlots<'a, 'b, 'c, 'd>(&'a mut Flat<'b, 'c, 'd>, B256);

impl Visitor for FlatSlots<'_, '_, '_, '_> {
    fn leaf(&mut self, slot: B256, _: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        let Self(flat, account) = self;
        let Some(value) = new else { return Ok(()) };
        let value: U256 = decode(value)?;
        if flat.slot(Some(flat_key(*account, slot)))? != Some(value) {
            flat.check.report.find(
                format!("storage {account} {slot}"),
                "it is not the value of the head's trie",
            );
        }
        flat.check.report.slots += 1;
        Ok(())
    }
}
