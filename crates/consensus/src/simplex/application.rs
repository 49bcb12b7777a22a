//! Between consensus and chain: building on an ancestry, judging a block with its ancestry.
//!
//! Consensus asks in futures and may lose interest at any time; the chain answers on threads that may block. Each request
//! runs as one blocking task with a [`Cancellation`] that is set when the asking future is dropped, so an abandoned block
//! stops at its next transaction and leaves nothing behind.
//!
//! A verdict that time or delivery can still change is no verdict: the request stays open and is tried again. Ancestors
//! that this node has not executed (it was away, or its tree forgot them) are fetched through the ancestry stream and
//! executed first, oldest first.

use super::{
    Commitment, Committee, EngineError, Identity, Scheme, block, block::Block, committees::Committees,
    fault::Fault, keys::ValidatorKeys, own_votes::OwnVotes, randomness,
};
use alloy_primitives::{Address, Bytes};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Heightable as _,
    marshal::{Identifier, ancestry::Ancestry, core::Mailbox, standard::Standard},
    simplex::types::Context as View,
};
use commonware_cryptography::Digested;
use commonware_macros::select;
use commonware_runtime::{Clock, Metrics, Spawner};
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use synod_chain::{
    Application, BuildError, Cancellation, ChainError, Context, Digest, Duty, Pending, Timestamp, Verdict,
};
use tokio::sync::Notify;

/// How soon an open question is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// The marshal's mailbox.
pub(super) type Marshal = Mailbox<Scheme, Standard<Block>>;

/// What the node does with a chain on behalf of consensus.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) application: Arc<dyn Application>,
    pub(super) committees: Committees,
    pub(super) keys: Arc<ValidatorKeys>,
    pub(super) beneficiary: Address,
    pub(super) marshal: Marshal,
    /// Told when a transaction arrives.
    pub(super) wake: Arc<Notify>,
    pub(super) fault: Fault,
    pub(super) own_votes: OwnVotes,
    pub(super) signed: SignedBlocks,
}

/// The digests of the last blocks that were found signed. A block is asked about for each vote, when its child is built and when
/// it is final, and every time its signature would take two pairings.
#[derive(Clone, Debug, Default)]
pub(super) struct SignedBlocks(Arc<Mutex<VecDeque<Digest>>>);

impl SignedBlocks {
    /// How many are kept: more than a validator works on at a time.
    const KEPT: usize = 64;

    fn contains(&self, block: Digest) -> bool {
        self.0.lock().contains(&block)
    }

    fn insert(&self, block: Digest) {
        let mut blocks = self.0.lock();
        blocks.truncate(Self::KEPT - 1);
        blocks.push_front(block);
    }
}

/// What the chain says of a block now.
enum Judgement {
    Valid,
    Invalid(String),
    /// Its parent has not been executed here.
    MissingParent,
    /// Ask again.
    Later(Duration),
}

/// Cancels work when nobody waits for it any more.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn now(clock: &impl Clock) -> Timestamp {
    let since = clock.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Runs something that may take long on a thread that may block. Returns only with an answer: on the way down of the
/// runtime, never.
pub(super) async fn blocking<E: Spawner, T: Send + 'static>(
    runtime: &E,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let task = runtime
        .child("execution")
        .shared(true)
        .spawn(|_| async move { work() });
    match task.await {
        Ok(answer) => answer,
        Err(_) => std::future::pending().await,
    }
}

impl Executor {
    /// What the chain must be told about a block on a parent, from the block itself.
    pub(super) fn context_of(block: &Block, parent: &Block, clock: Timestamp) -> Context {
        let envelope = &block.proposal().envelope;
        Context {
            epoch: envelope.epoch,
            view: envelope.view,
            parent: parent.id(),
            proposer: envelope.proposer.clone(),
            timestamp: clock,
            randomness: randomness::mix(parent.proposal()),
            cancellation: Cancellation::default(),
        }
    }

    /// Whether a validator of the block's epoch proposed it and signed its randomness. Once the chain holds the block's parent,
    /// the answer is for ever.
    pub(super) fn signed(committees: &Committees, block: &Block) -> Result<Result<(), String>, ChainError> {
        let envelope = &block.proposal().envelope;
        let epoch = committees.epochs().of(block.proposal().block.header.number);
        if envelope.epoch != epoch {
            return Ok(Err(format!(
                "its epoch is {}, but must be {epoch}",
                envelope.epoch
            )));
        }
        // While the epoch before has not ended here, no parent of this block is known.
        let unknown = ChainError::UnknownBlock(Digest(envelope.parent));
        let committee = committees.of(epoch)?.ok_or(unknown)?;
        Ok(Self::signed_in(&committee, block))
    }

    fn signed_in(committee: &Committee, block: &Block) -> Result<(), String> {
        let envelope = &block.proposal().envelope;
        let stranger = || format!("its proposer {} is no validator", envelope.proposer);
        let identity = Identity::decode(Copying(&envelope.proposer)).map_err(|_| stranger())?;
        let key = committee.vote_key(&identity).ok_or_else(stranger)?;
        let signature = &envelope.randomness_signature;
        if randomness::verify(
            key,
            committee.chain_id(),
            envelope.epoch,
            envelope.view,
            signature,
        ) {
            Ok(())
        } else {
            Err(format!(
                "its randomness signature is not the proposer's for view {}",
                envelope.view
            ))
        }
    }

    /// Asks the chain about one block whose parent is known.
    async fn ask<E: Spawner + Clock>(&self, runtime: &E, block: &Block, context: Context) -> Judgement {
        let _guard = CancelOnDrop(context.cancellation.clone());
        let (executor, asked) = (self.clone(), block.clone());
        let verdict = blocking(runtime, move || {
            let Self {
                application,
                committees,
                signed,
                ..
            } = executor;
            if !signed.contains(asked.id()) {
                if let Err(reason) = Self::signed(&committees, &asked)? {
                    return Ok(Err(reason));
                }
                signed.insert(asked.id());
            }
            application.verify(&context, asked.proposal()).map(Ok)
        });
        match verdict.await {
            Ok(Ok(Verdict::Valid)) => Judgement::Valid,
            Ok(Ok(Verdict::Invalid(rule))) => Judgement::Invalid(rule.to_string()),
            Ok(Err(reason)) => Judgement::Invalid(reason),
            Ok(Ok(Verdict::Pending(Pending::MissingParent(_)))) => Judgement::MissingParent,
            Ok(Ok(Verdict::Pending(Pending::ClockSkew { block_ms, clock_ms }))) => {
                Judgement::Later(Duration::from_millis(block_ms.saturating_sub(clock_ms)).min(RETRY))
            }
            Ok(Ok(Verdict::Pending(_))) => Judgement::Later(RETRY),
            Err(ChainError::UnknownBlock(_)) => Judgement::MissingParent,
            Err(fault) => {
                self.fault.raise(EngineError::Chain(fault));
                std::future::pending().await
            }
        }
    }

    /// Whether a block at or below the last final height is the final one there.
    async fn is_final(&self, block: &Block) -> bool {
        let (_, head, _) = self.application.finalized_head();
        if head == block.id() {
            return true;
        }
        let wanted = Identifier::Digest(block::commitment(block.id()));
        self.marshal.get_info(wanted).await.is_some()
    }

    /// Judges a block by executing it, and before it those of its ancestors that are not executed yet. Returns only with
    /// a verdict that will not change.
    pub(super) async fn judge<E: Spawner + Clock>(
        &self,
        runtime: &E,
        view: Option<&View<Commitment, Identity>>,
        block: &Digested<Block>,
        mut ancestry: impl Ancestry<Block>,
    ) -> bool {
        // From the block in question down to the oldest known ancestor.
        let mut path = vec![block.clone()];
        // How far down the path the next question is.
        let mut at = 0;
        loop {
            let asked = path[at].clone();
            if asked.height().get() <= self.application.finalized_head().0 {
                if self.is_final(asked.inner()).await {
                    match at.checked_sub(1) {
                        Some(child) => at = child,
                        None => return true,
                    }
                } else {
                    // It lost to another block. Whoever asks will learn that and lose interest.
                    runtime.sleep(RETRY).await;
                }
                continue;
            }
            if at + 1 == path.len() {
                match ancestry.next().await {
                    Some(parent) => path.push(parent),
                    None => {
                        runtime.sleep(RETRY).await;
                        continue;
                    }
                }
            }
            let parent = path[at + 1].inner();
            let mut context = Self::context_of(asked.inner(), parent, now(runtime));
            if let Some(view) = view.filter(|_| at == 0) {
                context.epoch = view.round.epoch().get();
                context.view = view.round.view().get();
                context.proposer = Bytes::copy_from_slice(&view.leader);
            }
            match self.ask(runtime, asked.inner(), context).await {
                Judgement::Valid => match at.checked_sub(1) {
                    Some(child) => at = child,
                    None => return true,
                },
                Judgement::Invalid(reason) => {
                    self.refused(asked.inner(), &reason);
                    return false;
                }
                Judgement::MissingParent => at += 1,
                Judgement::Later(wait) => runtime.sleep(wait).await,
            }
        }
    }

    /// Says which block was refused, of whom, and why.
    fn refused(&self, block: &Block, reason: &str) {
        let envelope = &block.proposal().envelope;
        let proposer = Identity::decode(Copying(&envelope.proposer)).ok();
        let committee = self.committees.of(envelope.epoch).ok().flatten();
        let name = proposer
            .as_ref()
            .and_then(|identity| committee.as_ref()?.name(identity));
        tracing::warn!(
            height = block.height().get(),
            view = envelope.view,
            digest = %block.id(),
            proposer = name.unwrap_or("a stranger"),
            reason,
            "refused a block"
        );
    }

    /// Executes a final block on its parent. An invalid one means that this node and a quorum do not agree on the rules.
    pub(super) async fn follow<E: Spawner + Clock>(
        &self,
        runtime: &E,
        block: &Block,
        parent: &Block,
    ) -> Result<(), EngineError> {
        loop {
            // A final block's time is no question any more.
            let context = Self::context_of(block, parent, block.timestamp());
            match self.ask(runtime, block, context).await {
                Judgement::Valid => return Ok(()),
                Judgement::Invalid(reason) => {
                    return Err(EngineError::Diverged {
                        height: block.height().get(),
                        digest: block.id(),
                        reason,
                    });
                }
                Judgement::MissingParent => {
                    return Err(EngineError::Gap {
                        height: block.height().get(),
                        head: self.application.finalized_head().0,
                    });
                }
                Judgement::Later(wait) => runtime.sleep(wait).await,
            }
        }
    }

    /// Builds a block for a view on a parent that was executed.
    async fn build<E: Spawner + Clock>(
        &self,
        runtime: &E,
        view: &View<Commitment, Identity>,
        parent: &Block,
    ) -> Option<Block> {
        let (epoch, number) = (view.round.epoch().get(), view.round.view().get());
        let genesis = self.committees.genesis();
        let params = genesis.params();
        let signature = randomness::sign(&self.keys, genesis.chain_id(), epoch, number);
        let least = parent.timestamp();
        let earliest = least.0.saturating_add(params.block_interval_ms);
        let started = now(runtime).0;
        if started < earliest {
            let wait = (earliest - started).min(params.block_interval_ms);
            runtime.sleep(Duration::from_millis(wait)).await;
        }
        let heartbeat = least
            .0
            .saturating_add(params.heartbeat_ms)
            .min(started.saturating_add(params.heartbeat_ms));
        loop {
            let time = now(runtime).max(least);
            let context = Context {
                epoch,
                view: number,
                parent: parent.id(),
                proposer: Bytes::copy_from_slice(&view.leader),
                timestamp: time,
                randomness: randomness::mix(parent.proposal()),
                cancellation: Cancellation::default(),
            };
            let duty = Duty {
                randomness_signature: signature.clone(),
                beneficiary: self.beneficiary,
                needs_transactions: now(runtime).0 < heartbeat,
                ..Duty::default()
            };
            let _guard = CancelOnDrop(context.cancellation.clone());
            let application = self.application.clone();
            match blocking(runtime, move || application.build(&context, &duty)).await {
                Ok(proposal) => return Some(Block::new(proposal)),
                Err(BuildError::NothingToDo) => {
                    let rest = heartbeat.saturating_sub(now(runtime).0);
                    select! {
                        _ = self.wake.notified() => {},
                        _ = runtime.sleep(Duration::from_millis(rest)) => {},
                    }
                }
                Err(BuildError::Fault(fault)) => {
                    self.fault.raise(EngineError::Chain(fault));
                    return None;
                }
                Err(error) => {
                    tracing::warn!(view = number, %error, "this node's turn passes without a block");
                    return None;
                }
            }
        }
    }
}

impl<E: Spawner + Metrics + Clock> commonware_consensus::Application<E> for Executor {
    type SigningScheme = Scheme;
    type Context = View<Commitment, Identity>;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (runtime, view): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
        (): (),
    ) -> Option<Digested<Block>> {
        let parent = ancestry.next().await?;
        // It was certified, and so executed here; but the tree may have forgotten it since.
        if !self.judge(&runtime, None, &parent, ancestry).await {
            return None;
        }
        let block = self.build(&runtime, &view, parent.inner()).await?;
        tracing::debug!(height = block.height().get(), view = view.round.view().get(), digest = %block.id(), "proposed");
        Some(block.digested())
    }

    async fn verify(
        &mut self,
        (runtime, view): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
    ) -> bool {
        let Some(block) = ancestry.next().await else {
            // Nothing to judge: no verdict.
            return std::future::pending().await;
        };
        self.judge(&runtime, Some(&view), &block, ancestry).await
    }
}
