//! What simplex asks before it votes.
//!
//! Marshal's [`Inline`] wrapper answers for the data (is the block here, is its parent the right one, is it on the disk);
//! execution is [`Executor`]'s. Simplex votes twice: *notarize* after `verify`, *finalize* after `certify`. `Inline`
//! certifies whatever a quorum notarized once it is on the disk. This wrapper also executes it first, so that no vote of
//! an honest validator, of either kind, is for a block that it has not executed: a block is final only if a quorum
//! computed its roots.

use super::{
    Commitment, Identity, Scheme,
    application::{Executor, Marshal},
    block::Block,
};
use commonware_actor::Feedback;
use commonware_consensus::{
    Automaton, CertifiableAutomaton, Relay, Reporter,
    marshal::{core::DigestFallback, standard::Inline},
    simplex::{
        Plan,
        types::{Activity, Context as View},
    },
    types::{FixedEpocher, Round},
};
use commonware_macros::select;
use commonware_runtime::{
    Clock, Metrics, Spawner,
    telemetry::metrics::{
        MetricsExt as _,
        histogram::{Buckets, Timed},
    },
};
use commonware_utils::channel::{fallible::OneshotExt as _, oneshot};
use futures::StreamExt as _;
use std::sync::Arc;

/// The automaton that simplex drives.
pub(super) struct Voter<E: Spawner + Metrics + Clock> {
    runtime: Arc<E>,
    inner: Inline<E, Scheme, Executor, Block, FixedEpocher>,
    executor: Executor,
    marshal: Marshal,
    fetches: Timed,
}

impl<E: Spawner + Metrics + Clock> Clone for Voter<E> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            inner: self.inner.clone(),
            executor: self.executor.clone(),
            marshal: self.marshal.clone(),
            fetches: self.fetches.clone(),
        }
    }
}

impl<E: Spawner + Metrics + Clock> Voter<E> {
    pub(super) fn new(runtime: E, executor: Executor, epochs: FixedEpocher) -> Self {
        let marshal = executor.marshal.clone();
        let inner = Inline::new(runtime.child("inline"), executor.clone(), marshal.clone(), epochs);
        let fetches = runtime.histogram(
            "certify_ancestor_fetch_duration",
            "Time to fetch an ancestor before certification, in seconds",
            Buckets::LOCAL,
        );
        Self {
            runtime: Arc::new(runtime),
            inner,
            executor,
            marshal,
            fetches: Timed::new(fetches),
        }
    }
}

impl<E: Spawner + Metrics + Clock> Automaton for Voter<E> {
    type Context = View<Commitment, Identity>;
    type Digest = Commitment;

    async fn propose(&mut self, view: Self::Context) -> oneshot::Receiver<Commitment> {
        self.inner.propose(view).await
    }

    async fn verify(&mut self, view: Self::Context, digest: Commitment) -> oneshot::Receiver<bool> {
        self.inner.verify(view, digest).await
    }
}

impl<E: Spawner + Metrics + Clock> CertifiableAutomaton for Voter<E> {
    async fn certify(&mut self, round: Round, digest: Commitment) -> oneshot::Receiver<bool> {
        let available = self.inner.certify(round, digest).await;
        let (mut answer, receiver) = oneshot::channel();
        let (executor, marshal, fetches) =
            (self.executor.clone(), self.marshal.clone(), self.fetches.clone());
        let runtime = self.runtime.clone();
        let certification = async move {
            // An error means that the marshal is going down: no verdict then.
            if !available.await.ok()? {
                return Some(false);
            }
            let from = (DigestFallback::FetchByRound { round }, digest);
            let mut ancestry = marshal.ancestry(runtime.clone(), from, fetches).await?;
            let block = ancestry.next().await?;
            Some(executor.judge(&*runtime, None, &block, ancestry).await)
        };
        self.runtime.child("certify").spawn(move |_| async move {
            let verdict = select! {
                _ = answer.closed() => None,
                verdict = certification => verdict,
            };
            match verdict {
                Some(verdict) => {
                    answer.send_lossy(verdict);
                }
                None => drop(answer),
            }
        });
        receiver
    }
}

impl<E: Spawner + Metrics + Clock> Relay for Voter<E> {
    type Digest = Commitment;
    type Plan = Plan<Identity>;
    type PublicKey = Identity;

    fn broadcast(&mut self, digest: Commitment, plan: Self::Plan) -> Feedback {
        self.inner.broadcast(digest, plan)
    }
}

impl<E: Spawner + Metrics + Clock> Reporter for Voter<E> {
    type Activity = Activity<Scheme, Commitment>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        self.inner.report(activity)
    }
}
