//! One voter after another: an epoch's ends with the epoch's last final block, and the next one's begins on it.
//!
//! Each epoch is an instance of commonware simplex of its own, with its committee, its journal, and its views from 1 on. Their
//! messages share the lines to the peers, each marked with its epoch. A message of a later epoch than this node is in says
//! that its sender has seen the end of this one: the sender is asked for the proof.

use super::application::Marshal;
use super::{
    Commitment, Committees, EngineError, Identity, Observer, Scheme, engine::Tuning, engine::Witness,
    keys::ValidatorKeys, own_votes::OwnVotes, voter::Voter,
};
use commonware_consensus::{
    Reporters,
    simplex::{self, ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin},
    types::{Epoch, Height},
};
use commonware_cryptography::Sha256;
use commonware_macros::select;
use commonware_p2p::{
    Blocker, Channel, Message, Receiver, Sender,
    utils::mux::{Builder as _, MuxHandle, Muxer},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_utils::{NZDuration, NZUsize, channel::mpsc as lines, vec::NonEmptyVec};
use rand_core::CryptoRng;
use std::{sync::Arc, time::Duration};
use synod_chain::Timestamp;
use tokio::sync::mpsc;

/// Says whether this node may vote in an epoch: whether it remembers all votes of its key in it.
pub trait Ballot: Send + Sync + 'static {
    /// Asked when the node enters an epoch whose committee it is in. `began` is the time of the last block before the epoch. A
    /// yes is for this epoch and all later ones, whatever happens to the node: it is on the disk before it is given.
    fn may_vote(&self, epoch: u64, began: Timestamp) -> bool;
}

/// The same answer for all epochs.
#[derive(Clone, Copy, Debug)]
pub struct FixedBallot(pub bool);

impl Ballot for FixedBallot {
    fn may_vote(&self, _: u64, _: Timestamp) -> bool {
        self.0
    }
}

/// What all epochs' voters have in common.
pub(super) struct Common<E, B>
where
    E: Spawner + Metrics + Clock,
{
    pub(super) committees: Committees,
    pub(super) keys: Arc<ValidatorKeys>,
    pub(super) ballot: Arc<dyn Ballot>,
    pub(super) marshal: Marshal,
    pub(super) voter: Voter<E>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) own_votes: OwnVotes,
    pub(super) blocker: B,
    pub(super) partition: String,
    pub(super) tuning: Tuning,
}

type Line<S, R> = (S, R);

/// Runs the voters.
pub(super) struct Epochs<E, B, S>
where
    E: Spawner + Metrics + Clock,
    S: Sender<PublicKey = Identity>,
{
    runtime: E,
    common: Common<E, B>,
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    resolver: MuxHandle<S>,
    /// What arrives for an epoch that this node is not in.
    strays: [lines::Receiver<(Channel, Message<Identity>)>; 2],
}

impl<E, B, S> Epochs<E, B, S>
where
    E: Spawner + Clock + Storage + Metrics + CryptoRng + Sync,
    B: Blocker<PublicKey = Identity> + Sync,
    S: Sender<PublicKey = Identity>,
{
    /// Shares the lines out.
    pub(super) fn new<R: Receiver<PublicKey = Identity>>(
        runtime: E,
        common: Common<E, B>,
        votes: Line<S, R>,
        certificates: Line<S, R>,
        resolver: Line<S, R>,
    ) -> Self {
        let (mux, votes, stray_votes) = Muxer::builder(runtime.child("votes"), votes.0, votes.1)
            .with_backup()
            .build();
        mux.start();
        let (mux, certificates, stray_certificates) =
            Muxer::builder(runtime.child("certificates"), certificates.0, certificates.1)
                .with_backup()
                .build();
        mux.start();
        let (mux, resolver) = Muxer::new(runtime.child("resolver"), resolver.0, resolver.1);
        mux.start();
        Self {
            runtime,
            common,
            votes,
            certificates,
            resolver,
            strays: [stray_votes, stray_certificates],
        }
    }

    /// Runs an epoch's voter until its last block is final, then the next one's, until something fails.
    pub(super) async fn run(mut self, first: u64, mut ended: mpsc::UnboundedReceiver<u64>) -> EngineError {
        let mut epoch = first;
        let mut voter = match self.enter(epoch).await {
            Ok(voter) => voter,
            Err(error) => return error,
        };
        loop {
            let [votes, certificates] = &mut self.strays;
            let stray = select! {
                next = ended.recv() => match next {
                    // An epoch's end may be delivered twice.
                    Some(next) if next > epoch => {
                        voter.abort();
                        let _ = voter.await;
                        epoch = next;
                        voter = match self.enter(epoch).await {
                            Ok(voter) => voter,
                            Err(error) => return error,
                        };
                        continue;
                    }
                    Some(_) => continue,
                    None => return EngineError::Ended("delivery"),
                },
                _ = &mut voter => return EngineError::Ended("voter"),
                stray = votes.recv() => stray,
                stray = certificates.recv() => stray,
            };
            let Some((theirs, (from, _))) = stray else {
                return EngineError::Ended("lines to the peers");
            };
            if theirs > epoch {
                let last = Height::new(self.common.committees.epochs().last(epoch));
                self.common.marshal.hint_finalized(last, NonEmptyVec::new(from));
            }
        }
    }

    /// Starts an epoch's voter.
    async fn enter(&mut self, epoch: u64) -> Result<Handle<()>, EngineError> {
        let Common {
            committees,
            keys,
            ballot,
            marshal,
            ..
        } = &self.common;
        let committee = committees.of(epoch)?;
        let committee = committee.ok_or(EngineError::Ended("order of epochs"))?;
        committees
            .application()
            .can_judge(committees.epochs().first(epoch))
            .map_err(EngineError::Chain)?;
        // The block on which the epoch stands.
        let base = epoch
            .checked_sub(1)
            .map_or(0, |before| committees.epochs().last(before));
        let base = marshal
            .get_block(commonware_consensus::marshal::Identifier::Height(Height::new(
                base,
            )))
            .await
            .ok_or(EngineError::Gap {
                height: base,
                head: committees.application().finalized_head().0,
            })?;
        let (digest, began) = (base.inner().id(), base.inner().timestamp());
        let votes = committee.holds(keys) && ballot.may_vote(epoch, began);
        let scheme: Scheme = committee.scheme(keys, votes);
        tracing::info!(epoch, validators = committee.size(), votes, "an epoch begins");
        self.common.observer.epoch(epoch, &committee, votes);
        self.forget_journals_before(epoch).await;

        let runtime = self.runtime.child("simplex").with_attribute("epoch", epoch);
        let witness = Witness::new(
            runtime.child("witness"),
            epoch,
            scheme.clone(),
            self.common.observer.clone(),
            self.common.own_votes.clone(),
        );
        let voter = self.common.voter.clone();
        let certification_timeout = committee.certification_timeout();
        let engine = simplex::Engine::new(
            runtime,
            simplex::Config {
                scheme,
                elector: RoundRobin::<Sha256>::default(),
                blocker: self.common.blocker.clone(),
                automaton: voter.clone(),
                relay: voter.clone(),
                reporter: Reporters::from((voter, witness)),
                track_historical_votes: true,
                strategy: Sequential,
                partition: self.journal(epoch),
                mailbox_size: self.common.tuning.mailbox,
                epoch: Epoch::new(epoch),
                floor: simplex::Floor::<Scheme, Commitment>::Genesis(super::commitment(digest)),
                replay_buffer: NZUsize!(1 << 20),
                write_buffer: NZUsize!(1 << 20),
                page_cache: self.common.tuning.cache.clone(),
                leader_timeout: committee.leader_timeout(),
                certification_timeout,
                timeout_retry: certification_timeout,
                view_retention: self.common.tuning.view_retention,
                skip: SkipPolicy::Enabled {
                    timeout: certification_timeout * 2,
                    budget: SkipBudget::Participants,
                },
                fetch_timeout: NZDuration!(Duration::from_secs(1)),
                fetch_retry_delay: Duration::from_millis(100),
                forward: ForwardPolicy::SilentVoters,
            },
        );
        let closed = |_| EngineError::Ended("lines to the peers");
        let votes = self.votes.register(epoch).await.map_err(closed)?;
        let certificates = self.certificates.register(epoch).await.map_err(closed)?;
        let resolver = self.resolver.register(epoch).await.map_err(closed)?;
        Ok(engine.start(votes, certificates, resolver))
    }

    fn journal(&self, epoch: u64) -> String {
        format!("{}-votes-{epoch}", self.common.partition)
    }

    /// Removes the journal of the epoch before the last: its votes are of no use to anybody any more, since nobody can be asked
    /// to vote in it again.
    async fn forget_journals_before(&self, epoch: u64) {
        if let Some(old) = epoch.checked_sub(2) {
            // An error means that this node was not there.
            let _ = self.runtime.remove(&self.journal(old), None).await;
        }
    }
}
