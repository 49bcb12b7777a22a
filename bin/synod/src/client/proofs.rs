//! What a node says, checked: headers by their hash, blocks by their header, certificates by the validators' keys, and the
//! state entry by entry by Merkle proofs under a root. Nothing here is believed.

use super::Client;
use alloy_consensus::{
    Header,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256, keccak256};
use alloy_rlp::Decodable as _;
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof};
use eyre::{Context as _, Result, ensure};
use parking_lot::Mutex;
use revm::{
    DatabaseRef,
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use synod_chain::{InclusionProof, Transaction};
use synod_consensus::simplex::{BlockProof, Committee, ProvenBlock};
use tokio::runtime::Handle;

/// A block as its header commits to it.
pub(crate) type Block = alloy_consensus::Block<Transaction>;

/// Slots in one question.
const MAX_SLOTS: usize = 256;

/// Questions for proofs in one exchange. A node may take fewer: then each is asked alone.
const MAX_QUESTIONS: usize = 64;

/// Questions for code in one exchange: an account's may have 128 KiB.
const MAX_CODES: usize = 32;

/// Accounts and slots of a hint, at most. A longer one is none.
const MAX_HINTS: usize = 1 << 16;

/// What is to be proven: accounts with slots.
pub(crate) type Wanted = BTreeMap<Address, BTreeSet<U256>>;

/// What the transactions of a block read, as the node says. Nothing rests on it: it decides what is asked for early, in few
/// exchanges, instead of when the EVM first reads it. `None` if the node does not say, or says too much.
pub(crate) async fn read_by(client: &Client, block: B256) -> Option<Wanted> {
    #[derive(Deserialize)]
    struct Traced {
        result: BTreeMap<Address, Touched>,
    }
    #[derive(Deserialize)]
    struct Touched {
        #[serde(default)]
        storage: BTreeMap<B256, B256>,
    }
    let options = json!({ "tracer": "prestateTracer", "tracerConfig": { "disableCode": true } });
    let request = client.request::<_, Box<RawValue>>("debug_traceBlockByHash", (block, options));
    let traced: Vec<Traced> = serde_json::from_str(request.await.ok()?.get()).ok()?;
    let mut wanted = Wanted::new();
    for (address, touched) in traced.into_iter().flat_map(|traced| traced.result) {
        let slots = touched
            .storage
            .into_keys()
            .map(|slot| U256::from_be_bytes(slot.0));
        wanted.entry(address).or_default().extend(slots);
    }
    let many = wanted.values().map(|slots| 1 + slots.len()).sum::<usize>() > MAX_HINTS;
    (!many).then_some(wanted)
}

/// Where a transaction is, and the proof.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inclusion {
    pub(crate) block_number: U64,
    pub(crate) block_hash: B256,
    #[serde(flatten)]
    pub(crate) proof: InclusionProof,
}

/// The proof that a transaction is in a block, to be verified under that block's header.
pub(crate) async fn inclusion(client: &Client, transaction: B256) -> Result<Option<Inclusion>> {
    client.request("synod_getInclusionProof", (transaction,)).await
}

/// A block that is final, by the signatures of its validators; with how often these had changed.
pub(crate) async fn certified(
    client: &Client,
    committee: &Committee,
    wanted: BlockId,
) -> Result<(ProvenBlock, usize)> {
    let proof: BlockProof = client.request("synod_getCertificate", (wanted,)).await?;
    let proven = committee
        .verify_block(&proof)
        .wrap_err("the node's proof proves nothing")?;
    // A proof of some other block is no answer.
    match wanted {
        BlockId::Hash(hash) => ensure!(
            hash.block_hash == proven.hash,
            "the node proved block {} instead of {}",
            proven.hash,
            hash.block_hash
        ),
        BlockId::Number(tag) => {
            if let Some(number) = tag.as_number() {
                ensure!(
                    number == proven.header.number,
                    "the node proved block {} instead of {number}",
                    proven.header.number
                );
            }
        }
    }
    Ok((proven, proof.handovers.len()))
}

/// The header with this hash.
pub(crate) async fn header(client: &Client, hash: B256) -> Result<Header> {
    let raw: Bytes = client
        .request("debug_getRawHeader", (BlockId::from(hash),))
        .await?;
    decode_header(&raw, hash)
}

fn decode_header(raw: &[u8], hash: B256) -> Result<Header> {
    ensure!(
        keccak256(raw) == hash,
        "the node's header of block {hash} has another hash ({}): do not trust this node",
        keccak256(raw)
    );
    let mut rest = raw;
    let header = Header::decode(&mut rest).wrap_err("the node's header does not decode")?;
    ensure!(
        rest.is_empty(),
        "the node's header of block {hash} goes on behind its end"
    );
    Ok(header)
}

/// The block with this hash: the header by its hash, the rest by what the header commits to.
pub(crate) async fn block(client: &Client, hash: B256) -> Result<Block> {
    let raw: Bytes = client
        .request("debug_getRawBlock", (BlockId::from(hash),))
        .await?;
    let mut rest = &raw[..];
    let block =
        Block::decode(&mut rest).wrap_err_with(|| format!("the node's block {hash} does not decode"))?;
    let header = &block.header;
    let found = header.hash_slow();
    ensure!(
        found == hash && rest.is_empty(),
        "the node's block {hash} has another hash ({found}): do not trust this node"
    );
    let withdrawals = block.body.withdrawals.as_ref();
    ensure!(
        calculate_transaction_root(&block.body.transactions) == header.transactions_root
            && withdrawals.map(|list| calculate_withdrawals_root(list)) == header.withdrawals_root
            && (block.body.ommers.is_empty() && header.ommers_hash == EMPTY_OMMER_ROOT_HASH),
        "the transactions that the node gives are not those of block {hash}: do not trust this node"
    );
    Ok(block)
}

/// What stands between an auditor and a state.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StateFault {
    /// A proof that leads elsewhere.
    #[error(
        "the node's proof of account {address} does not lead to the state root {root} of block {block}: do not trust this node"
    )]
    Account {
        /// The account.
        address: Address,
        /// The block whose state it is.
        block: u64,
        /// That state's root.
        root: B256,
    },
    /// A proof that leads elsewhere.
    #[error(
        "the node's proof of slot {slot} of {address} does not lead to the account's storage root in block {block}: do not trust this node"
    )]
    Slot {
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
        /// The block whose state it is.
        block: u64,
    },
    /// Other code.
    #[error(
        "the node's code of {address} is not what the state of block {block} commits to: its hash is {got}, not {expected}: do not trust this node"
    )]
    Code {
        /// The account.
        address: Address,
        /// The block whose state it is.
        block: u64,
        /// Hash of what came.
        got: B256,
        /// Hash that the account has.
        expected: B256,
    },
    /// Code that no account can have, or of an account that nobody asked for.
    #[error("the state of block {block} names code {hash} that cannot be run")]
    NoCode {
        /// The hash.
        hash: B256,
        /// The block whose state it is.
        block: u64,
    },
    /// A header that is none.
    #[error("an ancestor of block {block} is not proven: {reason}")]
    Header {
        /// The block that needs it.
        block: u64,
        /// Why.
        reason: String,
    },
    /// No answer.
    #[error("the node does not tell the state of block {block}: {reason}; ask a node that keeps it")]
    Refused {
        /// The block whose state it is.
        block: u64,
        /// What it says.
        reason: String,
    },
}

impl DBErrorMarker for StateFault {}

/// The state after a block, each entry proven under the block's state root when it is first read.
///
/// It is read by the EVM, which waits: use it from a thread that may block ([`tokio::task::spawn_blocking`]).
#[derive(Debug)]
pub(crate) struct ProvenState {
    client: Client,
    header: Header,
    hash: B256,
    runtime: Handle,
    /// Folder for code, which is the same for ever.
    cache: Option<PathBuf>,
    known: Mutex<Known>,
}

/// What was proven so far.
#[derive(Debug, Default)]
struct Known {
    accounts: BTreeMap<Address, Option<TrieAccount>>,
    slots: BTreeMap<(Address, U256), U256>,
    /// An account that has this code.
    holders: BTreeMap<B256, Address>,
    /// Code that was fetched early and not read yet.
    codes: BTreeMap<B256, Bytes>,
    /// Hashes of ancestors.
    hashes: BTreeMap<u64, B256>,
    /// The oldest ancestor among them.
    oldest: Option<Header>,
    code_bytes: u64,
    fault: Option<StateFault>,
}

/// How much was proven.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proven {
    pub(crate) accounts: usize,
    pub(crate) slots: usize,
    pub(crate) code_bytes: u64,
}

impl ProvenState {
    /// The state after the block with this header.
    pub(crate) fn new(client: Client, header: Header, cache: Option<&Path>) -> Self {
        Self {
            client,
            hash: header.hash_slow(),
            header,
            runtime: Handle::current(),
            cache: cache.map(Path::to_owned),
            known: Mutex::default(),
        }
    }

    /// The block's height.
    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// How much was proven so far.
    pub(crate) fn proven(&self) -> Proven {
        let known = self.known.lock();
        Proven {
            accounts: known.accounts.len(),
            slots: known.slots.len(),
            code_bytes: known.code_bytes,
        }
    }

    /// The first fault, which the layers between may have turned into text.
    pub(crate) fn fault(&self) -> Option<StateFault> {
        self.known.lock().fault.clone()
    }

    /// Proves accounts and some of their slots, in as few exchanges as may be.
    pub(crate) fn prove(&self, wanted: &Wanted) -> Result<(), StateFault> {
        let mut questions: Vec<(Address, Vec<U256>)> = Vec::new();
        for (address, slots) in wanted {
            let slots: Vec<U256> = slots.iter().copied().collect();
            if slots.is_empty() {
                questions.push((*address, slots));
            } else {
                questions.extend(slots.chunks(MAX_SLOTS).map(|slots| (*address, slots.to_vec())));
            }
        }
        for questions in questions.chunks(MAX_QUESTIONS) {
            match self.runtime.block_on(self.client.proofs(questions, self.hash)) {
                Ok(answers) => questions
                    .iter()
                    .zip(&answers)
                    .try_for_each(|((address, slots), answer)| self.check(*address, slots, answer))
                    .map_err(|fault| self.remember(fault))?,
                // A node that takes no batches, or has no answer to one of the questions, says why when it is asked alone.
                Err(_) => questions
                    .iter()
                    .try_for_each(|(address, slots)| self.ask(*address, slots))?,
            }
        }
        Ok(())
    }

    /// Proves what somebody is going to read, as far as is known, with the code of these accounts.
    pub(crate) fn prepare(&self, wanted: &Wanted) -> Result<(), StateFault> {
        self.prove(wanted)?;
        let missing = |hash: &B256| {
            let cached = self.cached(*hash).is_some_and(|file| file.exists());
            *hash != KECCAK256_EMPTY && !cached
        };
        let holders = self.known.lock().holders.clone();
        let wanted: Vec<(B256, Address)> = holders.into_iter().filter(|(hash, _)| missing(hash)).collect();
        for wanted in wanted.chunks(MAX_CODES) {
            let addresses: Vec<Address> = wanted.iter().map(|(_, address)| *address).collect();
            let Ok(codes) = self.runtime.block_on(self.client.codes_at(&addresses, self.hash)) else {
                // Each is asked for when it is needed.
                return Ok(());
            };
            for ((hash, _), code) in wanted.iter().zip(codes) {
                // Other code is found out when it is asked for alone.
                if keccak256(&code) == *hash {
                    self.known.lock().codes.insert(*hash, code);
                }
            }
        }
        Ok(())
    }

    /// Where the code with this hash is kept between audits.
    fn cached(&self, hash: B256) -> Option<PathBuf> {
        let folder = self.cache.as_ref()?;
        Some(folder.join(format!("{hash:x}.code")))
    }

    fn ask(&self, address: Address, slots: &[U256]) -> Result<(), StateFault> {
        let answer = self
            .runtime
            .block_on(self.client.proof(address, slots, self.hash))
            .map_err(|error| self.refused(&error));
        let checked = answer.and_then(|answer| self.check(address, slots, &answer));
        checked.map_err(|fault| self.remember(fault))
    }

    fn remember(&self, fault: StateFault) -> StateFault {
        self.known.lock().fault.get_or_insert(fault).clone()
    }

    fn refused(&self, error: &eyre::Report) -> StateFault {
        StateFault::Refused {
            block: self.header.number,
            reason: format!("{error:#}"),
        }
    }

    /// Takes up what an answer proves.
    fn check(
        &self,
        address: Address,
        slots: &[U256],
        answer: &EIP1186AccountProofResponse,
    ) -> Result<(), StateFault> {
        let (block, root) = (self.header.number, self.header.state_root);
        let stated = TrieAccount {
            nonce: answer.nonce,
            balance: answer.balance,
            storage_root: answer.storage_hash,
            code_hash: answer.code_hash,
        };
        let account = (stated != TrieAccount::default()).then_some(stated);
        let path = Nibbles::unpack(keccak256(address));
        let value = account.as_ref().map(alloy_rlp::encode);
        verify_proof(root, path, value, &answer.account_proof).map_err(|_| StateFault::Account {
            address,
            block,
            root,
        })?;
        let storage_root = account
            .as_ref()
            .map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let mut known = self.known.lock();
        for (index, slot) in slots.iter().enumerate() {
            let wrong = || StateFault::Slot {
                address,
                slot: *slot,
                block,
            };
            let proof = answer.storage_proof.get(index).ok_or_else(wrong)?;
            let value = (!proof.value.is_zero()).then(|| alloy_rlp::encode(proof.value));
            let path = Nibbles::unpack(keccak256(B256::from(*slot)));
            verify_proof(storage_root, path, value, &proof.proof).map_err(|_| wrong())?;
            known.slots.insert((address, *slot), proof.value);
        }
        if let Some(account) = &account {
            known.holders.entry(account.code_hash).or_insert(address);
        }
        known.accounts.insert(address, account);
        Ok(())
    }

    /// Code with this hash, from the cache or the node.
    fn fetch_code(&self, hash: B256) -> Result<Bytes, StateFault> {
        let file = self.cached(hash);
        // What is in the cache is checked like everything else, and fetched again if it is damaged.
        let cached = file.as_ref().and_then(|file| std::fs::read(file).ok());
        if let Some(code) = cached.filter(|code| keccak256(code) == hash) {
            return Ok(code.into());
        }
        let prepared = self.known.lock().codes.remove(&hash);
        let code = match prepared {
            Some(code) => code,
            None => self.ask_code(hash)?,
        };
        if let Some(file) = file {
            // A cache that cannot be written costs time, nothing else.
            let _ = std::fs::write(file, &code);
        }
        Ok(code)
    }

    fn ask_code(&self, hash: B256) -> Result<Bytes, StateFault> {
        let block = self.header.number;
        let holder = self.known.lock().holders.get(&hash).copied();
        let address = holder.ok_or(StateFault::NoCode { hash, block })?;
        let code = self
            .runtime
            .block_on(self.client.code_at(address, self.hash))
            .map_err(|error| self.refused(&error))?;
        let got = keccak256(&code);
        if got == hash {
            return Ok(code);
        }
        Err(StateFault::Code {
            address,
            block,
            got,
            expected: hash,
        })
    }

    /// The hash of an ancestor, by the chain of headers that leads to it.
    fn ancestor(&self, number: u64) -> Result<B256, StateFault> {
        let mut known = self.known.lock();
        if known.hashes.is_empty() {
            known.hashes.insert(self.header.number, self.hash);
            known.oldest = Some(self.header.clone());
        }
        loop {
            if let Some(hash) = known.hashes.get(&number) {
                return Ok(*hash);
            }
            let fault = |reason: String| StateFault::Header {
                block: self.header.number,
                reason,
            };
            let oldest = known.oldest.as_ref().filter(|oldest| oldest.number > number);
            let parent = oldest
                .map(|oldest| oldest.parent_hash)
                .ok_or_else(|| fault(format!("block {number} is not one")))?;
            let header = self
                .runtime
                .block_on(header(&self.client, parent))
                .map_err(|error| fault(format!("{error:#}")))?;
            known.hashes.insert(header.number, parent);
            known.oldest = Some(header);
        }
    }
}

impl DatabaseRef for ProvenState {
    type Error = StateFault;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateFault> {
        if !self.known.lock().accounts.contains_key(&address) {
            self.ask(address, &[])?;
        }
        let account = self.known.lock().accounts.get(&address).cloned().flatten();
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..Default::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateFault> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let code = self.fetch_code(hash).map_err(|fault| self.remember(fault))?;
        self.known.lock().code_bytes += code.len() as u64;
        let block = self.header.number;
        Bytecode::new_raw_checked(code).map_err(|_| self.remember(StateFault::NoCode { hash, block }))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateFault> {
        let known = |known: &Known| known.slots.get(&(address, slot)).copied();
        if let Some(value) = known(&self.known.lock()) {
            return Ok(value);
        }
        self.ask(address, &[slot])?;
        Ok(known(&self.known.lock()).unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateFault> {
        self.ancestor(number).map_err(|fault| self.remember(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_by_its_hash_alone() {
        let header = Header {
            number: 7,
            ..Default::default()
        };
        let raw = alloy_rlp::encode(&header);
        assert_eq!(decode_header(&raw, header.hash_slow()).unwrap(), header);
        let mut other = raw.clone();
        *other.last_mut().unwrap() ^= 1;
        let refused = decode_header(&other, header.hash_slow()).unwrap_err();
        assert!(refused.to_string().contains("do not trust this node"));
        let longer = [&raw[..], &[0]].concat();
        assert!(decode_header(&longer, keccak256(&longer)).is_err());
    }
}
