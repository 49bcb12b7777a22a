//! The chain as consensus sees it: building on a parent, judging proposals, making them final.

use crate::{
    Application, BlockData, BuildError, Chain, ChainError, ChainSpec, Context, Departures, Digest, Duty,
    Envelope, Finalization, FinalizeError, InvalidBlock, Pending, Proposal, Skipped, Timestamp, Verdict,
    council::Validator,
    execution::{Executed, ExecutionError, Given, Next, Room, Script, execute, recover_senders},
    pool, rules,
    tree::{self, Unfinalised},
};
use alloy_consensus::{
    Block, Header, Transaction as _,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
    proofs::{calculate_receipt_root, calculate_transaction_root},
    transaction::Recovered,
};
use alloy_eips::{eip4895::Withdrawals, eip7685::EMPTY_REQUESTS_HASH};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256};
use alloy_rlp::Encodable;
use std::sync::Arc;
use synod_state::{Body, Overlay, Seal, SealedBlock, Transaction};

/// Transactions for a block, best first.
pub trait BestTransactions {
    /// The next one to try.
    fn next(&mut self) -> Option<Recovered<Transaction>>;

    /// One could not go into the block, so no later one of its sender can.
    fn skip(&mut self, skipped: &Skipped);
}

/// Where block building takes transactions from: the pool.
pub trait TransactionSource: Send + Sync + 'static {
    /// The transactions that wait now, for a block with a base fee.
    fn best(&self, base_fee: u64) -> Box<dyn BestTransactions + '_>;
}

impl BestTransactions for pool::Best {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        Iterator::next(self).map(|transaction| transaction.transaction().clone())
    }

    fn skip(&mut self, skipped: &Skipped) {
        self.skip_sender(skipped.sender);
    }
}

impl TransactionSource for pool::Pool {
    fn best(&self, base_fee: u64) -> Box<dyn BestTransactions + '_> {
        Box::new(pool::Pool::best(self, base_fee))
    }
}

/// A source that is always empty: a node that does not propose, or only empty blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransactions;

impl BestTransactions for NoTransactions {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        None
    }

    fn skip(&mut self, _: &Skipped) {}
}

impl TransactionSource for NoTransactions {
    fn best(&self, _: u64) -> Box<dyn BestTransactions + '_> {
        Box::new(Self)
    }
}

/// A chain with a source of transactions: what an engine drives.
pub struct ChainApplication {
    chain: Arc<Chain>,
    source: Arc<dyn TransactionSource>,
}

impl std::fmt::Debug for ChainApplication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainApplication")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl ChainApplication {
    /// Joins a chain and the transactions that wait for it.
    #[must_use]
    pub fn new(chain: Arc<Chain>, source: Arc<dyn TransactionSource>) -> Self {
        Self { chain, source }
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }
}

/// A block's parent: final or not.
pub(crate) struct Parent {
    pub(crate) data: Arc<BlockData>,
    pub(crate) timestamp: Timestamp,
}

impl Chain {
    /// A block that may be built on.
    pub(crate) fn parent(&self, digest: Digest) -> Option<Parent> {
        let tree = self.tree.read();
        let head = tree.head();
        if head.digest == digest {
            return Some(Parent {
                data: head.data.clone(),
                timestamp: head.timestamp,
            });
        }
        let block = tree.get(&digest)?;
        Some(Parent {
            data: block.data.clone(),
            timestamp: block.timestamp,
        })
    }

    /// Judges a block on a parent, and runs it.
    pub(crate) fn check(
        &self,
        parent: &Parent,
        parent_digest: Digest,
        proposal: &Proposal,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Unfinalised, ExecutionError> {
        let block = &proposal.block;
        let parent_header = parent.data.header();
        self.spec
            .known_at(parent_header.number.saturating_add(1))
            .map_err(ChainError::from)?;
        rules::before_execution(
            &self.spec,
            parent_header,
            parent.data.hash(),
            block,
            Departures::default(),
        )
        .and_then(|()| rules::transactions(block))
        .map_err(ExecutionError::Invalid)?;
        if self.spec.synod().is_some() {
            rules::envelope(&block.header, &proposal.envelope).map_err(ExecutionError::Invalid)?;
            let (got, least) = (proposal.timestamp().0, parent.timestamp.0);
            if got < least {
                return Err(ExecutionError::Invalid(InvalidBlock::Time { got, least }));
            }
        }
        let senders = recover_senders(&block.body.transactions).map_err(ExecutionError::Invalid)?;
        let view = self.state_of(parent_digest)?;
        let executed = execute(
            &self.spec,
            &self.factory,
            &view,
            &block.header,
            &block.body.ommers,
            block.body.withdrawals.as_ref(),
            &mut Given::new(&block.body.transactions, &senders, cancelled),
        )?;
        rules::after_execution(&self.spec, &block.header, &executed).map_err(ExecutionError::Invalid)?;
        Ok(unfinalised(proposal, parent_digest, senders, executed))
    }
}

fn unfinalised(
    proposal: &Proposal,
    parent: Digest,
    senders: Vec<Address>,
    executed: Executed,
) -> Unfinalised {
    let Block { header, body } = proposal.block.clone();
    let hash = header.hash_slow();
    let Executed {
        receipts,
        changes,
        committed,
        ..
    } = executed;
    let overlay = Overlay {
        number: header.number,
        hash,
        root: committed.root,
        changes,
        nodes: committed.nodes,
    };
    let seal = Seal {
        digest: proposal.envelope.digest(hash).0,
        envelope: alloy_rlp::encode(&proposal.envelope).into(),
        certificate: Default::default(),
    };
    let block = SealedBlock {
        hash,
        header,
        body,
        senders,
    };
    Unfinalised {
        parent,
        data: Arc::new(BlockData { block, receipts }),
        overlay: Arc::new(overlay),
        seal,
        timestamp: proposal.timestamp(),
    }
}

impl Chain {
    /// The next block as far as it is known before it is built: parent, number, limits, base fee, and `transactions` that
    /// nobody ran. Proposer, randomness and whatever execution gives are those of a block in which nothing happens.
    #[must_use]
    pub fn pending_block(
        &self,
        timestamp: Timestamp,
        transactions: Vec<Recovered<Transaction>>,
    ) -> BlockData {
        let (head, parent) = (self.head(), self.head_digest().0);
        let context = Context {
            epoch: 0,
            view: 0,
            parent,
            proposer: Default::default(),
            timestamp: timestamp.max(Timestamp::from_seconds(head.header().timestamp)),
            randomness: head.header().mix_hash,
            cancellation: Default::default(),
        };
        let duty = Duty {
            beneficiary: head.header().beneficiary,
            ..Default::default()
        };
        let mut header = template(&self.spec, &head, &context, &duty, B256::ZERO);
        let (transactions, senders): (Vec<_>, Vec<_>) =
            transactions.into_iter().map(Recovered::into_parts).unzip();
        header.transactions_root = calculate_transaction_root(&transactions);
        header.state_root = head.header().state_root;
        header.blob_gas_used = header.excess_blob_gas.map(|_| 0);
        header.requests_hash = self
            .spec
            .forks_at(header.number)
            .is_prague_active_at_timestamp(header.timestamp)
            .then_some(EMPTY_REQUESTS_HASH);
        let body = Body {
            transactions,
            ommers: Vec::new(),
            withdrawals: header.withdrawals_root.map(|_| Withdrawals::default()),
        };
        let block = SealedBlock {
            hash: header.hash_slow(),
            header,
            body,
            senders,
        };
        BlockData {
            block,
            receipts: Vec::new(),
        }
    }
}

/// The header of a block under construction: all that execution reads.
fn template(
    spec: &ChainSpec,
    parent: &BlockData,
    context: &Context,
    duty: &Duty,
    commitment: B256,
) -> Header {
    let header = parent.header();
    let mut time = context.timestamp.seconds();
    if spec.synod().is_none() {
        // Ethereum's blocks are at least a second apart.
        time = time.max(header.timestamp.saturating_add(1));
    }
    let number = header.number.saturating_add(1);
    let forks = spec.forks_at(number);
    let cancun = forks.is_cancun_active_at_timestamp(time);
    let excess = spec
        .blob_params(number, time)
        .map(|p| header.next_block_excess_blob_gas(p).unwrap_or_default());
    Header {
        parent_hash: parent.hash(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: duty.beneficiary,
        number,
        gas_limit: duty
            .departures
            .gas_limit
            .unwrap_or_else(|| spec.next_gas_limit(header)),
        timestamp: time,
        extra_data: commitment.into(),
        mix_hash: context.randomness,
        base_fee_per_gas: duty.departures.base_fee.or_else(|| spec.next_base_fee(header)),
        withdrawals_root: forks
            .is_shanghai_active_at_timestamp(time)
            .then_some(EMPTY_WITHDRAWALS),
        excess_blob_gas: excess.filter(|_| cancun),
        parent_beacon_block_root: cancun.then_some(context.parent.0),
        ..Default::default()
    }
}

/// Bytes of a block beside its transactions, at most: 17 fields of 33 bytes or fewer, the bloom's 259, empty lists, and the
/// lengths of lists.
const FRAME: usize = 1024;

/// Takes transactions from a source until the block is full.
struct Filling<'a> {
    best: Box<dyn BestTransactions + 'a>,
    /// One that was taken to see whether there is any.
    first: Option<Recovered<Transaction>>,
    context: &'a Context,
    /// What ran; the last entry may still be refused.
    taken: Vec<Recovered<Transaction>>,
    /// Bytes that the transactions may still take, if the fork limits a block's size.
    bytes_left: Option<usize>,
    /// A transaction's predictions were too much for what the block had left. Nobody pays for the work of finding that out,
    /// so it may happen once: from then on only those are tried whose gas limit says that they fit.
    strained: bool,
}

impl Script for Filling<'_> {
    fn next(&mut self, room: Room) -> Next {
        loop {
            if self.context.cancellation.is_cancelled() {
                return Next::Cancel;
            }
            // Nothing runs on less than a transfer's gas.
            if room.gas < 21_000 {
                return Next::Finish;
            }
            let Some(transaction) = self.first.take().or_else(|| self.best.next()) else {
                return Next::Finish;
            };
            let bytes = transaction.inner().length();
            if let Some(left) = self.bytes_left
                && bytes > left
            {
                let reason = format!("it has {bytes} bytes, and the block has room for {left}");
                self.skip(&transaction, reason);
                continue;
            }
            if self.strained && transaction.gas_limit() > room.inference_gas {
                let reason = format!(
                    "its gas limit {} is above the {} that the block has left for predictions",
                    transaction.gas_limit(),
                    room.inference_gas
                );
                self.skip(&transaction, reason);
                continue;
            }
            self.bytes_left = self.bytes_left.map(|left| left - bytes);
            self.taken.push(transaction.clone());
            return Next::Run(Box::new(transaction));
        }
    }

    fn refused(
        &mut self,
        transaction: &Recovered<Transaction>,
        rule: InvalidBlock,
    ) -> Result<(), InvalidBlock> {
        self.taken.pop();
        let bytes = transaction.inner().length();
        self.bytes_left = self.bytes_left.map(|left| left.saturating_add(bytes));
        self.strained |= matches!(rule, InvalidBlock::InferenceGas { .. });
        let reason = match rule {
            InvalidBlock::Execution(reason) => reason,
            other => other.to_string(),
        };
        self.skip(transaction, reason);
        Ok(())
    }

    fn expected(&self) -> usize {
        self.taken.capacity()
    }
}

impl Filling<'_> {
    fn skip(&mut self, transaction: &Recovered<Transaction>, reason: String) {
        let skipped = Skipped {
            sender: transaction.signer(),
            hash: *transaction.inner().tx_hash(),
            reason,
        };
        tracing::debug!(%skipped, "left out of a block");
        self.best.skip(&skipped);
    }
}

impl ChainApplication {
    fn build_on(&self, parent: &Parent, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        let spec = &self.chain.spec;
        let number = parent.data.number().saturating_add(1);
        spec.known_at(number).map_err(ChainError::from)?;
        let least = parent.timestamp.0;
        if context.timestamp.0 < least {
            return Err(InvalidBlock::Time {
                got: context.timestamp.0,
                least,
            }
            .into());
        }
        let envelope = Envelope {
            epoch: context.epoch,
            view: context.view,
            parent: context.parent.0,
            millis: context.timestamp.millis(),
            proposer: context.proposer.clone(),
            randomness_signature: duty.randomness_signature.clone(),
        };
        let mut header = template(spec, &parent.data, context, duty, envelope.commitment());
        let withdrawals = header.withdrawals_root.map(|_| Withdrawals::default());
        let view = self.chain.state_of(context.parent)?;
        let room = self.chain.tree.read().room_on(context.parent)?;
        let mut best = match room {
            tree::Room::Any => self.source.best(header.base_fee_per_gas.unwrap_or_default()),
            tree::Room::Empty(full) => {
                tracing::warn!(%full, "building an empty block");
                Box::new(NoTransactions)
            }
        };
        let mut first = None;
        if duty.needs_transactions {
            // An engine looks again after each block: most often there is none.
            first = Some(best.next().ok_or(BuildError::NothingToDo)?);
        }
        // of a stream of transactions each block takes about as many as the last one
        let last = parent.data.block.body.transactions.len();
        let mut filling = Filling {
            best,
            first,
            context,
            taken: Vec::with_capacity(last + last / 2),
            bytes_left: spec
                .block_size_limit(header.number, header.timestamp)
                .map(|limit| limit.saturating_sub(FRAME)),
            strained: false,
        };
        let executed = execute(
            spec,
            &self.chain.factory,
            &view,
            &header,
            &[],
            withdrawals.as_ref(),
            &mut filling,
        )
        .map_err(|e| match e {
            ExecutionError::Invalid(rule) => BuildError::Invalid(rule),
            ExecutionError::Fault(fault) => BuildError::Fault(fault),
            ExecutionError::Cancelled => BuildError::Cancelled,
        })?;
        if duty.needs_transactions && filling.taken.is_empty() {
            return Err(BuildError::NothingToDo);
        }
        let (transactions, senders): (Vec<_>, Vec<_>) =
            filling.taken.into_iter().map(Recovered::into_parts).unzip();
        header.transactions_root = calculate_transaction_root(&transactions);
        header.receipts_root = calculate_receipt_root(&executed.receipts);
        header.logs_bloom = executed.logs_bloom();
        header.gas_used = executed.gas_used;
        header.state_root = executed.committed.root;
        header.blob_gas_used = header.excess_blob_gas.map(|_| executed.blob_gas_used);
        header.requests_hash = spec
            .forks_at(header.number)
            .is_prague_active_at_timestamp(header.timestamp)
            .then(|| executed.requests.requests_hash());
        let body = Body {
            transactions,
            ommers: Vec::new(),
            withdrawals,
        };
        let proposal = Proposal {
            block: Block { header, body },
            envelope,
        };
        // What this node would refuse from others it does not propose.
        rules::before_execution(
            spec,
            parent.data.header(),
            parent.data.hash(),
            &proposal.block,
            duty.departures,
        )?;
        let digest = proposal.digest();
        self.chain
            .keep(digest, unfinalised(&proposal, context.parent, senders, executed));
        Ok(proposal)
    }

    /// What the engine knows of the view must be what the envelope says.
    fn expected_envelope(context: &Context, proposal: &Proposal) -> Result<(), InvalidBlock> {
        let wrong = |field, got: String, expected: String| InvalidBlock::Field { field, got, expected };
        let Envelope {
            epoch,
            view,
            parent,
            proposer,
            ..
        } = &proposal.envelope;
        if *epoch != context.epoch {
            return Err(wrong("epoch", epoch.to_string(), context.epoch.to_string()));
        }
        if *view != context.view {
            return Err(wrong("view", view.to_string(), context.view.to_string()));
        }
        if *parent != context.parent.0 {
            return Err(wrong("parent", parent.to_string(), context.parent.to_string()));
        }
        if *proposer != context.proposer {
            return Err(wrong(
                "proposer",
                proposer.to_string(),
                context.proposer.to_string(),
            ));
        }
        let randao = proposal.block.header.mix_hash;
        if randao != context.randomness {
            return Err(wrong(
                "mixHash",
                randao.to_string(),
                context.randomness.to_string(),
            ));
        }
        Ok(())
    }
}

impl Application for ChainApplication {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        let tree = self.chain.tree.read();
        let head = tree.head();
        (head.data.number(), head.digest, head.timestamp)
    }

    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        let parent = self
            .chain
            .parent(context.parent)
            .ok_or(BuildError::UnknownParent(context.parent))?;
        self.build_on(&parent, context, duty)
    }

    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, ChainError> {
        if let Err(rule) = Self::expected_envelope(context, proposal) {
            return Ok(Verdict::Invalid(rule));
        }
        let digest = proposal.digest();
        if self.chain.tree.read().get(&digest).is_some() {
            return Ok(Verdict::Valid);
        }
        let Some(parent) = self.chain.parent(context.parent) else {
            return Ok(Verdict::Pending(Pending::MissingParent(context.parent)));
        };
        let number = proposal.block.header.number;
        let drift = self
            .chain
            .spec
            .synod_at(number)
            .map_or(0, |s| s.max_clock_drift_ms);
        let (block_ms, clock_ms) = (proposal.timestamp().0, context.timestamp.0);
        if block_ms > clock_ms.saturating_add(drift) {
            return Ok(Verdict::Pending(Pending::ClockSkew { block_ms, clock_ms }));
        }
        let room = self.chain.tree.read().room_on(context.parent);
        match room {
            Err(full) => return Ok(Verdict::Pending(Pending::TooFarAhead(full))),
            Ok(tree::Room::Empty(full)) if !proposal.block.body.transactions.is_empty() => {
                return Ok(Verdict::Pending(Pending::TooFarAhead(full)));
            }
            Ok(_) => {}
        }
        let cancelled = || context.cancellation.is_cancelled();
        match self.chain.check(&parent, context.parent, proposal, &cancelled) {
            Ok(block) => {
                self.chain.keep(digest, block);
                Ok(Verdict::Valid)
            }
            Err(ExecutionError::Invalid(rule)) => Ok(Verdict::Invalid(rule)),
            Err(ExecutionError::Cancelled) => Ok(Verdict::Pending(Pending::Cancelled)),
            Err(ExecutionError::Fault(ChainError::UnknownBlock(digest))) => {
                Ok(Verdict::Pending(Pending::MissingParent(digest)))
            }
            Err(ExecutionError::Fault(fault)) => Err(fault),
        }
    }

    fn can_judge(&self, height: u64) -> Result<(), ChainError> {
        Ok(self.chain.spec.known_at(height)?)
    }

    fn validators(&self, height: u64) -> Result<Option<Vec<Validator>>, ChainError> {
        let council = self.chain.council(&self.chain.final_header(height)?)?;
        Ok(council.map(|council| council.validators()).transpose()?)
    }

    fn validators_mark(&self, height: u64) -> Result<B256, ChainError> {
        let council = self.chain.council(&self.chain.final_header(height)?)?;
        council.map_or(Ok(B256::ZERO), |council| council.committee())
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        self.chain.finalize(finalization)
    }
}
