//! `synod audit TX`: every predict of a past transaction, recomputed from what its block commits to.
//!
//! The block is run again here, on the state of its parent. No disk holds that state: each account, slot and piece of code
//! comes from the node with a Merkle proof under the parent's state root ([`ProvenState`]), when the EVM first reads it. So
//! names resolve as they did at that moment, models are assembled from proven bytes, and loading is charged as it was. What
//! comes out is held against what the block commits to (receipts, the state after it), and against the node's own trace.

mod answers;
mod publication;
mod report;
mod trace;

use self::{
    publication::Publications,
    report::{Accord, BlockFacts, Effects, Finality, Payload, Predict, Replay, Report, TraceFacts, Verdict},
    trace::Trace,
};
use super::{block_on, model::EngineArgs};
use crate::{
    client::{
        Client, RpcArgs, explain_revert,
        proofs::{self, Block, ProvenState, StateFault},
    },
    genesis_file,
    show::{Form, note, thousands},
};
use alloy_consensus::{Header, proofs::calculate_receipt_root};
use alloy_eips::{BlockId, Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{B256, Bytes, keccak256};
use clap::Args;
use eyre::{Context as _, ContextCompat as _, Result, bail, ensure};
use revm::{DatabaseRef as _, state::AccountInfo};
use std::{path::PathBuf, sync::Arc};
use synod_chain::{
    Chain, ChainSpec, ChangedAccount, Receipt, ReplayError, Replayed, replay, spec::DEV_CHAIN_ID,
};
use synod_consensus::simplex::Committee;
use synod_evm::{
    SynodEvmFactory,
    watch::{Ended, PredictCall, Question, Watch},
};

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The transaction
    #[arg(value_name = "TX")]
    transaction: B256,

    /// The chain's genesis file; needed for every chain but the one that `synod dev` starts
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// The hash of the transaction's block, if you have it from somebody you trust
    #[arg(long, value_name = "HASH")]
    block_hash: Option<B256>,

    /// Keep code that was proven in this folder, so that the next audit need not fetch it again
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    rpc: RpcArgs,
}

/// The audit was made, and found that bits differ.
#[derive(Debug, thiserror::Error)]
#[error("the bits differ: {0}")]
pub(crate) struct Different(String);

pub(crate) fn run(args: AuditArgs, form: Form) -> Result<()> {
    block_on(async move {
        let client = args.rpc.connect().await?;
        let chain = rules(&args, &client).await?;
        let case = Case::open(&args, client, chain).await?;
        // The EVM waits for what it reads.
        let report = tokio::task::spawn_blocking(move || case.audit()).await??;
        form.print(&report)?;
        match report.difference() {
            None => Ok(()),
            Some(what) => Err(Different(what).into()),
        }
    })
}

/// The chain whose rules hold, in memory and at its genesis.
async fn rules(args: &AuditArgs, client: &Client) -> Result<Arc<Chain>> {
    let spec = match &args.genesis {
        Some(file) => genesis_file::read(file)?,
        None if client.chain_id() == DEV_CHAIN_ID => ChainSpec::dev(),
        None => bail!(
            "chain {} is not the one that `synod dev` starts: give its genesis file with --genesis",
            client.chain_id()
        ),
    };
    ensure!(
        spec.chain_id() == client.chain_id(),
        "the genesis file is of chain {}, the node's chain is {}",
        spec.chain_id(),
        client.chain_id()
    );
    let chain = Chain::in_memory(spec)?;
    let (number, ours) = (chain.head().number(), chain.head().hash());
    let first: Bytes = client
        .request("debug_getRawHeader", (BlockId::number(number),))
        .await?;
    ensure!(
        keccak256(&first) == ours,
        "the node's chain begins with block {}, that of the genesis file with {ours}: give this chain's own file with --genesis",
        keccak256(&first)
    );
    Ok(chain)
}

/// What is looked into: a transaction in a block, whose header and content are proven by the block's hash.
struct Case {
    client: Client,
    chain: Arc<Chain>,
    committee: Option<Committee>,
    transaction: B256,
    index: usize,
    block: Block,
    hash: B256,
    parent: Header,
    finality: Finality,
    engine: EngineArgs,
    cache: Option<PathBuf>,
}

impl Case {
    async fn open(args: &AuditArgs, client: Client, chain: Arc<Chain>) -> Result<Self> {
        let transaction = args.transaction;
        let hash = locate(&client, transaction).await?;
        let block = proofs::block(&client, hash).await?;
        let index = block
            .body
            .transactions
            .iter()
            .position(|other| *other.tx_hash() == transaction)
            .wrap_err_with(|| {
                format!("transaction {transaction} is not in block {hash}: do not trust this node")
            })?;
        let is_cluster = chain.spec().genesis().config.extra_fields.contains_key("simplex");
        let committee = is_cluster.then(|| Committee::of_genesis(&chain)).transpose()?;
        if let Some(wanted) = args.block_hash {
            ensure!(
                wanted == hash,
                "the node has the transaction in block {hash}, not in {wanted}"
            );
        }
        let finality = match &committee {
            Some(committee) => {
                let (proven, _) = proofs::certified(&client, committee, BlockId::from(hash)).await?;
                Finality::Certificate {
                    signers: proven.signers,
                    validators: proven.validators,
                    certified: proven.certified_height,
                }
            }
            None if args.block_hash.is_some() => Finality::Given,
            None => Finality::Node,
        };
        let parent = proofs::header(&client, block.header.parent_hash).await?;
        if let Some(folder) = &args.cache_dir {
            std::fs::create_dir_all(folder)
                .wrap_err_with(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(Self {
            client,
            chain,
            committee,
            transaction,
            index,
            block,
            hash,
            parent,
            finality,
            engine: args.engine,
            cache: args.cache_dir.clone(),
        })
    }

    /// Waits for the node. Only on a thread that may block.
    fn wait<F: Future>(future: F) -> F::Output {
        tokio::runtime::Handle::current().block_on(future)
    }

    fn audit(self) -> Result<Report> {
        let header = &self.block.header;
        note(format_args!(
            "running block {} again: {} transactions, {} gas",
            header.number,
            self.block.body.transactions.len(),
            thousands(header.gas_used)
        ));
        let factory = SynodEvmFactory::new(Arc::new(self.engine.for_chain()?));
        let before = ProvenState::new(self.client.clone(), self.parent.clone(), self.cache.as_deref());
        if let Some(read) = Self::wait(proofs::read_by(&self.client, self.hash)) {
            before.prepare(&read)?;
        }
        let mut watch = Watch::default();
        let ran = self
            .replay(&factory, &before, &mut watch)
            .map_err(|error| blame(error, before.fault()))?;
        let calls = watch.into_calls();

        let after = ProvenState::new(self.client.clone(), header.clone(), self.cache.as_deref());
        let receipt = self.hold_against_receipts(&ran)?;
        let effects = hold_against_state(&after, &ran.changed)?;
        let gas_used = gas_of(&ran.receipts, self.index);
        let trace = Trace::fetch(&self.client, self.transaction);
        let mut publications = Publications::new(&self.client, self.committee.as_ref(), &after);
        let mut predicts = Vec::new();
        for (position, call) in calls.iter().enumerate() {
            predicts.push(self.describe(position, call, &factory, &after, &mut publications)?);
        }
        let trace = match trace {
            Err(reason) => TraceFacts::not_compared(format!("{reason:#}")),
            Ok(trace) => trace.hold_against(&calls, gas_used, &mut predicts),
        };
        let (proven, later) = (before.proven(), after.proven());
        let succeeded = ran
            .receipts
            .get(self.index)
            .is_some_and(|receipt| receipt.status());
        let report = Report {
            transaction: self.transaction,
            index: self.index,
            succeeded,
            gas_used,
            block: BlockFacts {
                number: header.number,
                hash: self.hash,
                parent_hash: header.parent_hash,
                timestamp: header.timestamp,
                state_root: header.state_root,
                parent_state_root: self.parent.state_root,
                finality: self.finality,
            },
            replay: Replay {
                engine: self.engine.engine.to_string(),
                transactions: self.block.body.transactions.len(),
                accounts: proven.accounts + later.accounts,
                slots: proven.slots + later.slots,
                code_bytes: proven.code_bytes + later.code_bytes,
            },
            receipt,
            effects,
            trace,
            predicts,
        };
        Ok(report)
    }

    fn replay(
        &self,
        factory: &SynodEvmFactory,
        before: &ProvenState,
        watch: &mut Watch,
    ) -> Result<Replayed, ReplayError> {
        let spec = self.chain.spec();
        spec.take_up_from(factory, &self.parent, before)?;
        replay(spec, factory, before, &self.block, self.index, watch)
    }

    /// Whether the receipts are those that the block commits to; if not, how this transaction's differs.
    fn hold_against_receipts(&self, ran: &Replayed) -> Result<Accord> {
        let root = self.block.header.receipts_root;
        if calculate_receipt_root(&ran.receipts) == root {
            return Ok(Accord::equal());
        }
        let raw: Vec<Bytes> = Self::wait(
            self.client
                .request("debug_getRawReceipts", (BlockId::from(self.hash),)),
        )?;
        let theirs = raw
            .iter()
            .map(|raw| Receipt::decode_2718_exact(raw))
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|theirs| calculate_receipt_root(theirs) == root)
            .wrap_err_with(|| {
                format!(
                    "the receipts that the node gives are not those of block {}: do not trust this node",
                    self.block.header.number
                )
            })?;
        let index = (0..theirs.len().max(ran.receipts.len()))
            .find(|index| theirs.get(*index) != ran.receipts.get(*index))
            .unwrap_or_default();
        Ok(Accord::different(
            match (theirs.get(index), ran.receipts.get(index)) {
                (Some(theirs), Some(ours)) => format!(
                    "receipt {index} of the block, {}: {}",
                    if index == self.index {
                        "this transaction's"
                    } else {
                        "another transaction's"
                    },
                    receipts_differ(theirs, ours)
                ),
                _ => format!(
                    "the block has {} receipts, recomputed are {}",
                    theirs.len(),
                    ran.receipts.len()
                ),
            },
        ))
    }

    fn describe(
        &self,
        position: usize,
        call: &PredictCall,
        factory: &SynodEvmFactory,
        after: &ProvenState,
        publications: &mut Publications<'_>,
    ) -> Result<Predict> {
        let question = Question::of(&call.input);
        let model = question
            .as_ref()
            .and_then(|question| question.model)
            .map(|asked| publications.model(asked, call))
            .transpose()?;
        let (input, answer) = match &question {
            Some(question) => (question.input(), question.answer(&call.output)),
            None => (&call.input[..], None),
        };
        let env = self.chain.call_env(&self.block.header);
        let said = match (call.ended, &question, &answer) {
            (Ended::Answered, Some(question), Some(answer)) => answers::show(question, answer, || {
                answers::outputs(factory, env, after, call.record.as_ref())
            }),
            (Ended::Refused, ..) => Some(explain_revert(&call.output).to_string()),
            _ => None,
        };
        let packed = question
            .as_ref()
            .zip(answer.as_ref())
            .filter(|_| call.ended == Ended::Answered)
            .and_then(|(question, answer)| answers::packed(question, answer));
        Ok(Predict {
            index: position + 1,
            depth: call.depth,
            caller: call.caller,
            scheme: call.scheme,
            function: question.map_or("", |question| question.function),
            prediction: question.is_some_and(|question| question.is_prediction()),
            max_gas: question.and_then(|question| question.max_gas),
            outcome: match call.ended {
                Ended::Answered => "answered",
                Ended::Refused => "refused",
                Ended::Halted => "halted",
            },
            undone: call.undone,
            model,
            call_data: Payload::of(&call.input),
            input: Payload::of(input),
            output: Payload::of(packed.as_ref().unwrap_or(&call.output)).with_content(&call.output),
            gas_limit: call.gas_limit,
            gas_used: call.gas_used,
            answer: said,
            verdict: Verdict::Recomputed,
            difference: None,
        })
    }
}

/// The block of a transaction, as the node says.
async fn locate(client: &Client, transaction: B256) -> Result<B256> {
    if let Some(receipt) = client.receipt(transaction).await? {
        return receipt
            .block_hash
            .wrap_err("the node's receipt names no block: do not trust this node");
    }
    match client.transaction(transaction).await? {
        Some(_) => bail!("transaction {transaction} waits and is in no block yet: audit it when it is"),
        None => bail!(
            "the node knows no transaction {transaction}: is it of this chain (id {})?",
            client.chain_id()
        ),
    }
}

/// What kept a block from running again: the node's proofs, this machine, or that the block cannot be.
fn blame(error: ReplayError, fault: Option<StateFault>) -> eyre::Report {
    if let Some(fault) = fault {
        // The layers between have made text of it.
        return fault.into();
    }
    match error {
        ReplayError::Invalid(rule) => Different(format!(
            "under these rules the block is not valid ({rule}): is the genesis file this chain's?"
        ))
        .into(),
        ReplayError::Rules(unknown) => unknown.into(),
        other => other.into(),
    }
}

/// Gas of one of the transactions with these receipts.
fn gas_of(receipts: &[Receipt], index: usize) -> u64 {
    let until = |index: usize| {
        receipts
            .get(index)
            .map_or(0, |receipt| receipt.cumulative_gas_used())
    };
    let before = index.checked_sub(1).map_or(0, until);
    until(index).saturating_sub(before)
}

/// In what two receipts differ.
fn receipts_differ(theirs: &Receipt, ours: &Receipt) -> String {
    if theirs.status() != ours.status() {
        let word = |succeeded| if succeeded { "succeeded" } else { "failed" };
        return format!(
            "it {} in the block, recomputed it {}",
            word(theirs.status()),
            word(ours.status())
        );
    }
    let gas = (theirs.cumulative_gas_used(), ours.cumulative_gas_used());
    if gas.0 != gas.1 {
        return format!(
            "{} gas until then in the block, {} recomputed",
            thousands(gas.0),
            thousands(gas.1)
        );
    }
    let logs = (theirs.logs(), ours.logs());
    match (0..logs.0.len().max(logs.1.len())).find(|at| logs.0.get(*at) != logs.1.get(*at)) {
        Some(at) => format!("log {at} differs"),
        None => format!(
            "the encodings differ ({} and {} bytes)",
            theirs.encoded_2718().len(),
            ours.encoded_2718().len()
        ),
    }
}

/// Whether what the transaction wrote is what the state after the block holds.
fn hold_against_state(after: &ProvenState, changed: &[ChangedAccount]) -> Result<Effects> {
    let wanted = changed.iter().map(|changed| {
        let slots = changed.slots.iter().map(|(slot, _)| *slot);
        (changed.address, slots.collect())
    });
    after.prove(&wanted.collect())?;
    let mut differences = Vec::new();
    for ChangedAccount {
        address,
        account,
        slots,
    } in changed
    {
        let facts = |account: &Option<AccountInfo>| {
            account
                .as_ref()
                .map(|account| (account.balance, account.nonce, account.code_hash))
        };
        let found = after.basic_ref(*address)?;
        if facts(&found) != facts(account) {
            differences.push(format!(
                "account {address} (balance, nonce and code) is {:?}, recomputed {:?}",
                facts(&found),
                facts(account)
            ));
        }
        for (slot, value) in slots {
            let found = after.storage_ref(*address, *slot)?;
            if found != *value {
                differences.push(format!(
                    "slot {slot:#x} of {address} is {found:#x}, recomputed {value:#x}"
                ));
            }
        }
    }
    Ok(Effects {
        accounts: changed.len(),
        slots: changed.iter().map(|account| account.slots.len()).sum(),
        equal: differences.is_empty(),
        differences,
    })
}
