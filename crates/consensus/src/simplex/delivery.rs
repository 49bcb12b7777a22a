//! From marshal to chain: final blocks, in order, at least once, acknowledged when they are durable.

use super::{
    EngineError, Finalization,
    application::{Executor, blocking},
    block::{self, Block},
    neighbours::Neighbours,
    own_votes::GRACE,
};
use alloy_primitives::Bytes;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Heightable as _, Reporter,
    marshal::{Identifier, Update},
    types::Height,
};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact};
use synod_chain::FinalizeError;
use tokio::sync::mpsc;

type Delivered = (Digested<Block>, Exact);

/// Marshal's end.
#[derive(Clone)]
pub(super) struct Inbox(mpsc::UnboundedSender<Delivered>);

impl Reporter for Inbox {
    type Activity = Update<Block>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match update {
            Update::Tip(..) => Feedback::Ok,
            // Marshal bounds how many wait for their acknowledgement.
            Update::Block(block, ack) => match self.0.send((block, ack)) {
                Ok(()) => Feedback::Ok,
                Err(_) => Feedback::Closed,
            },
        }
    }
}

/// The chain's end.
pub(super) struct Delivery {
    executor: Executor,
    inbox: mpsc::UnboundedReceiver<Delivered>,
    neighbours: Neighbours,
    /// Told which epoch begins, when the one before has ended durably.
    epochs: mpsc::UnboundedSender<u64>,
}

impl Delivery {
    pub(super) fn new(
        executor: Executor,
        neighbours: Neighbours,
        epochs: mpsc::UnboundedSender<u64>,
    ) -> (Self, Inbox) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let delivery = Self {
            executor,
            inbox,
            neighbours,
            epochs,
        };
        (delivery, Inbox(sender))
    }

    /// Makes up for what the chain's disk has lost and the consensus folder still has, up to a height that was delivered
    /// before.
    pub(super) async fn recover<E: Spawner + Clock>(
        &self,
        runtime: &E,
        delivered: u64,
    ) -> Result<(), EngineError> {
        let head = self.executor.application.finalized_head().0;
        let mut last = None;
        for height in head.saturating_add(1)..=delivered {
            let gap = || EngineError::Gap { height, head };
            let block = self.stored(height).await.ok_or_else(gap)?;
            let parent = self.parent(&block, last.as_ref()).await.ok_or_else(gap)?;
            self.make_final(runtime, &block, Some(&parent)).await?;
            last = Some(block);
        }
        Ok(())
    }

    /// Makes what arrives durable, until something cannot be.
    pub(super) async fn run<E: Spawner + Clock>(mut self, runtime: E) -> Result<(), EngineError> {
        let mut last: Option<Digested<Block>> = None;
        while let Some((block, ack)) = self.inbox.recv().await {
            let height = block.height().get();
            let parent = self.parent(&block, last.as_ref()).await;
            self.make_final(&runtime, &block, parent.as_ref()).await?;
            self.look_around(&runtime, height).await?;
            ack.acknowledge();
            last = Some(block);
        }
        Ok(())
    }

    /// After a final block: who the neighbours are, and whether an epoch has ended.
    async fn look_around<E: Spawner + Clock>(&mut self, runtime: &E, height: u64) -> Result<(), EngineError> {
        let committees = self.executor.committees.clone();
        let mut neighbours = self.neighbours.clone();
        let looked = blocking(runtime, move || {
            neighbours.look(&committees, height)?;
            let begins = committees.epochs().begins_after(height);
            // Read now, on a thread that may block, what others need at once.
            if let Some(next) = begins {
                committees.of(next)?;
            }
            Ok::<_, EngineError>((neighbours, begins))
        });
        let (neighbours, begins) = looked.await?;
        self.neighbours = neighbours;
        if let Some(epoch) = begins {
            // An error means that the engine is going down.
            let _ = self.epochs.send(epoch);
        }
        Ok(())
    }

    async fn stored(&self, height: u64) -> Option<Digested<Block>> {
        let wanted = Identifier::Height(Height::new(height));
        self.executor.marshal.get_block(wanted).await
    }

    async fn parent(
        &self,
        block: &Digested<Block>,
        last: Option<&Digested<Block>>,
    ) -> Option<Digested<Block>> {
        let wanted = commonware_consensus::Block::parent(block);
        match last {
            Some(last) if last.digest() == wanted => Some(last.clone()),
            _ => self.executor.marshal.get_block(Identifier::Digest(wanted)).await,
        }
    }

    /// Stops this node when a certificate holds a vote of its own that it does not remember.
    fn remember<E: Spawner + Clock>(&self, runtime: &E, certificate: &Finalization) {
        let round = certificate.proposal.round;
        let (epoch, view) = (round.epoch().get(), round.view().get());
        let Ok(Some(committee)) = self.executor.committees.of(epoch) else {
            return;
        };
        let (members, me) = (committee.members().keys(), self.executor.keys.identity());
        let signed = certificate
            .certificate
            .signers
            .iter()
            .any(|signer| members.get(usize::from(signer)) == Some(&me));
        if !signed || !self.executor.own_votes.forgotten(epoch, view) {
            return;
        }
        let (own_votes, fault) = (self.executor.own_votes.clone(), self.executor.fault.clone());
        runtime.child("memory").spawn(move |runtime| async move {
            // The certificate may have overtaken the report of the vote, or the journal's replay.
            runtime.sleep(GRACE).await;
            if own_votes.forgotten(epoch, view) {
                fault.raise(EngineError::ForgottenVote { epoch, view });
            }
        });
    }

    async fn make_final<E: Spawner + Clock>(
        &self,
        runtime: &E,
        block: &Digested<Block>,
        parent: Option<&Digested<Block>>,
    ) -> Result<(), EngineError> {
        let height = block.height().get();
        // A block that became final through a descendant has no certificate of its own.
        let certificate = self.executor.marshal.get_finalization(block.height()).await;
        let certificate = certificate.filter(|c| block::digest(c.proposal.payload) == block.inner().id());
        if let Some(certificate) = &certificate {
            self.remember(runtime, certificate);
        }
        let finalization = synod_chain::Finalization {
            height,
            digest: block.inner().id(),
            certificate: certificate.map_or_else(Bytes::new, |c| c.encode().to_vec().into()),
        };
        loop {
            let head = self.executor.application.finalized_head().0;
            if height > head {
                let parent = parent.ok_or(EngineError::Gap { height, head })?;
                self.executor
                    .follow(runtime, block.inner(), parent.inner())
                    .await?;
            }
            let (application, wanted) = (self.executor.application.clone(), finalization.clone());
            match blocking(runtime, move || application.finalized(&wanted)).await {
                Ok(()) => {
                    tracing::info!(
                        height,
                        epoch = block.inner().proposal().envelope.epoch,
                        view = block.inner().proposal().envelope.view,
                        digest = %finalization.digest,
                        transactions = block.inner().proposal().block.body.transactions.len(),
                        "final"
                    );
                    return Ok(());
                }
                // Rivals pushed it out of the tree after it was judged: once more.
                Err(FinalizeError::Unknown { .. }) if height > head => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
