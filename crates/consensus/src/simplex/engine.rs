//! The engine's parts, wired.

use super::{
    Commitment, EngineError, Identity, Scheme,
    application::Executor,
    block::Block,
    committee::Committee,
    delivery::Delivery,
    fault::Fault,
    gossip::{self, Gossip, Transactions},
    keys::ValidatorKeys,
    own_votes::OwnVotes,
    voter::Voter,
};
use alloy_primitives::{Address, Bytes};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Reporter, Reporters, Viewable as _,
    marshal::{self, core::Actor as Marshal, resolver::p2p as backfill, standard::Standard},
    simplex::{
        self, ForwardPolicy, SkipBudget, SkipPolicy,
        elector::RoundRobin,
        types::{Activity, Attributable as _},
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Sha256,
    certificate::{ConstantProvider, Scheme as _, Verifier as _},
};
use commonware_macros::select;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::archive::immutable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use rand_core::CryptoRng;
use std::{num::NonZeroU64, sync::Arc, time::Duration};
use synod_chain::{Application, Proposal};
use tokio::sync::{Notify, mpsc};

/// Whether a node votes.
#[derive(Clone, Debug)]
pub enum Role {
    /// Proposes and votes with its keys.
    Validator(ValidatorKeys),
    /// Executes and serves. It is one of the committee by its identity but must not vote.
    Follower(Identity),
}

impl Role {
    fn identity(&self) -> Identity {
        match self {
            Self::Validator(keys) => keys.identity(),
            Self::Follower(identity) => identity.clone(),
        }
    }

    fn scheme(&self, committee: &Committee) -> Option<Scheme> {
        match self {
            Self::Validator(keys) => committee.signer(keys),
            Self::Follower(identity) => {
                Scheme::member(committee.namespace(), committee.members().clone(), identity)
            }
        }
    }
}

/// Hears what consensus sees.
pub trait Observer: Send + Sync + 'static {
    /// A validator signed two things that exclude each other. `proof` is their encoding, which the committee's public keys
    /// check. The same offence may be told more than once.
    fn evidence(&self, offender: &Identity, kind: &'static str, view: u64, proof: Bytes);

    /// A view ended: with a certificate for a block, or without a block.
    fn view(&self, view: u64, nullified: bool);

    /// A certificate shows that a quorum voted for a block in a view, with the signers' identities.
    fn finalization(&self, view: u64, signers: &[Identity]);
}

/// What an engine needs.
pub struct Config<B, P> {
    /// Who votes.
    pub committee: Arc<Committee>,
    /// What this node is among them.
    pub role: Role,
    /// The chain.
    pub application: Arc<dyn Application>,
    /// The chain's first block.
    pub genesis: Proposal,
    /// Most bytes of a block's RLP.
    pub block_size_limit: usize,
    /// Who gets the fees of blocks that this node proposes.
    pub beneficiary: Address,
    /// Cuts off peers that break the protocol.
    pub blocker: B,
    /// Knows the peers.
    pub peers: P,
    /// Begins the names of everything that the engine stores.
    pub partition: String,
    /// The transaction pool.
    pub transactions: Arc<dyn Transactions>,
    /// Who hears what consensus sees.
    pub observer: Arc<dyn Observer>,
}

/// Lines to the peers, each a sender and a receiver.
pub struct Channels<S, R> {
    /// Votes.
    pub votes: (S, R),
    /// Certificates.
    pub certificates: (S, R),
    /// Certificates that somebody missed.
    pub resolver: (S, R),
    /// New blocks.
    pub blocks: (S, R),
    /// Blocks that somebody missed.
    pub backfill: (S, R),
    /// Transactions.
    pub transactions: (S, R),
}

/// Talks to a running engine.
#[derive(Clone, Debug)]
pub struct Handle {
    wake: Arc<Notify>,
    gossip: Gossip,
}

/// What the engine keeps of a handle.
#[derive(Debug)]
pub struct HandleEnd {
    wake: Arc<Notify>,
    outgoing: mpsc::Receiver<Bytes>,
}

impl Handle {
    /// A handle and its other end, for [`run`].
    #[must_use]
    pub fn new() -> (Self, HandleEnd) {
        let (gossip, outgoing) = Gossip::new();
        let wake = Arc::new(Notify::new());
        (
            Self {
                wake: wake.clone(),
                gossip,
            },
            HandleEnd { wake, outgoing },
        )
    }

    /// A transaction can be mined: a proposer that waits for one need not wait any longer.
    pub fn transaction_arrived(&self) {
        self.wake.notify_one();
    }

    /// Sends a client's transaction to the other validators.
    pub fn send_transaction(&self, raw: Bytes) {
        self.gossip.send(raw);
    }
}

/// The largest message between validators, in bytes.
#[must_use]
pub fn max_message_size(committee: &Committee, block_size_limit: usize) -> u32 {
    let size = committee.size();
    commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<Scheme, Commitment>(size),
        marshal::max_payload_size::<Standard<Block>, Scheme>(size, &block_size_limit),
        // A transaction is smaller than a block that holds it.
        block_size_limit,
    ])
}

/// Reports what is of interest outside.
struct Witness<E> {
    rng: Arc<parking_lot::Mutex<E>>,
    scheme: Scheme,
    observer: Arc<dyn Observer>,
    own_votes: OwnVotes,
}

impl<E> Clone for Witness<E> {
    fn clone(&self) -> Self {
        Self {
            rng: self.rng.clone(),
            scheme: self.scheme.clone(),
            observer: self.observer.clone(),
            own_votes: self.own_votes.clone(),
        }
    }
}

impl<E: CryptoRng + Send + Sync + 'static> Witness<E> {
    fn tell(&self, signer: commonware_utils::Participant, kind: &'static str, view: u64, proof: Vec<u8>) {
        if let Some(offender) = self.scheme.participants().get(usize::from(signer)) {
            self.observer.evidence(offender, kind, view, proof.into());
        }
    }
}

impl<E: CryptoRng + Send + Sync + 'static> Reporter for Witness<E> {
    type Activity = Activity<Scheme, Commitment>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let view = activity.view().get();
        let me = self.scheme.me().and_then(|membership| membership.signer());
        match activity {
            Activity::Finalize(vote) if me == Some(vote.signer()) => self.own_votes.cast(view),
            // Votes arrive here unchecked; what names somebody is checked first.
            Activity::ConflictingNotarize(proof)
                if proof.verify(&mut *self.rng.lock(), &self.scheme, &Sequential) =>
            {
                self.tell(proof.signer(), "two proposals", view, proof.encode().to_vec());
            }
            Activity::ConflictingFinalize(proof)
                if proof.verify(&mut *self.rng.lock(), &self.scheme, &Sequential) =>
            {
                self.tell(proof.signer(), "two final votes", view, proof.encode().to_vec());
            }
            Activity::NullifyFinalize(proof)
                if proof.verify(&mut *self.rng.lock(), &self.scheme, &Sequential) =>
            {
                self.tell(
                    proof.signer(),
                    "voted to skip and to finalize",
                    view,
                    proof.encode().to_vec(),
                );
            }
            Activity::Nullification(_) => self.observer.view(view, true),
            Activity::Notarization(_) => self.observer.view(view, false),
            Activity::Finalization(finalization) => {
                let participants = self.scheme.participants();
                let signers = finalization.certificate.signers.iter();
                let signers: Vec<_> = signers
                    .filter_map(|signer| participants.get(usize::from(signer)).cloned())
                    .collect();
                self.observer.finalization(view, &signers);
            }
            _ => {}
        }
        Feedback::Ok
    }
}

/// Views that stay in memory behind the last final one.
const RETENTION: ViewDelta = ViewDelta::new(64);

fn archive<C>(prefix: &str, name: &str, cache: CacheRef, codec_config: C) -> immutable::Config<C> {
    let partition = |part: &str| format!("{prefix}-{name}-{part}");
    immutable::Config {
        metadata_partition: partition("metadata"),
        freezer_table_partition: partition("table"),
        freezer_table_initial_size: 1024,
        freezer_table_resize_frequency: 4,
        freezer_table_resize_chunk_size: 1024,
        freezer_key_partition: partition("keys"),
        freezer_key_page_cache: cache,
        freezer_value_partition: partition("values"),
        freezer_value_target_size: 256 << 20,
        freezer_value_compression: Some(3),
        ordinal_partition: partition("ordinal"),
        items_per_section: NZU64!(4096),
        freezer_key_write_buffer: NZUsize!(64 << 10),
        freezer_value_write_buffer: NZUsize!(1 << 20),
        ordinal_write_buffer: NZUsize!(64 << 10),
        replay_buffer: NZUsize!(1 << 20),
        codec_config,
    }
}

/// Runs an engine until it cannot go on. Dropping the future (aborting its task) ends it at once; what it promised is on
/// the disk by then.
pub async fn run<E, B, P, S, R>(
    runtime: E,
    config: Config<B, P>,
    handle: HandleEnd,
    channels: Channels<S, R>,
) -> EngineError
where
    E: Spawner + Clock + Storage + Metrics + CryptoRng + Sync,
    B: Blocker<PublicKey = Identity> + Sync,
    P: Provider<PublicKey = Identity>,
    S: Sender<PublicKey = Identity>,
    R: Receiver<PublicKey = Identity>,
{
    match start(&runtime, config, handle, channels).await {
        Ok(running) => running.await,
        Err(error) => error,
    }
}

#[allow(clippy::too_many_lines)]
async fn start<E, B, P, S, R>(
    runtime: &E,
    config: Config<B, P>,
    handle: HandleEnd,
    channels: Channels<S, R>,
) -> Result<impl Future<Output = EngineError> + Send + use<E, B, P, S, R>, EngineError>
where
    E: Spawner + Clock + Storage + Metrics + CryptoRng + Sync,
    B: Blocker<PublicKey = Identity> + Sync,
    P: Provider<PublicKey = Identity>,
    S: Sender<PublicKey = Identity>,
    R: Receiver<PublicKey = Identity>,
{
    let mailbox = NZUsize!(1024);
    let cache = CacheRef::new(NZU16!(4096), NZUsize!(2048));
    let me = config.role.identity();
    let scheme = config
        .role
        .scheme(&config.committee)
        .ok_or_else(|| EngineError::Storage("this node's keys are not those of a validator".into()))?;
    // One epoch: its validators are those of the genesis file.
    let (epoch, epochs) = (Epoch::zero(), FixedEpocher::new(NonZeroU64::MAX));
    let prefix = &config.partition;
    let storage = |error: commonware_storage::archive::Error| EngineError::Storage(error.to_string());

    let certificates = immutable::Archive::init(
        runtime.child("certificates"),
        archive(
            prefix,
            "certificates",
            cache.clone(),
            Scheme::certificate_codec_config_unbounded(),
        ),
    )
    .await
    .map_err(storage)?;
    let blocks = immutable::Archive::init(
        runtime.child("blocks"),
        archive(prefix, "blocks", cache.clone(), config.block_size_limit),
    )
    .await
    .map_err(storage)?;
    let genesis = Block::new(config.genesis);
    let (marshal, marshal_mailbox, _) = Marshal::init(
        runtime.child("marshal"),
        certificates,
        blocks,
        marshal::Config {
            provider: ConstantProvider::<Scheme, Epoch>::new(scheme.clone()),
            epocher: epochs.clone(),
            start: marshal::Start::Genesis(genesis.clone().digested()),
            partition_prefix: format!("{prefix}-marshal"),
            mailbox_size: mailbox,
            view_retention: ViewDelta::new(RETENTION.get() * 4),
            prunable_items_per_section: NZU64!(1024),
            page_cache: cache.clone(),
            replay_buffer: NZUsize!(1 << 20),
            key_write_buffer: NZUsize!(64 << 10),
            value_write_buffer: NZUsize!(1 << 20),
            block_codec_config: config.block_size_limit,
            max_repair: NZUsize!(16),
            max_pending_acks: NZUsize!(16),
            strategy: Sequential,
        },
    )
    .await;

    let (fault, faulted) = Fault::new();
    let own_votes = OwnVotes::default();
    let executor = Executor {
        application: config.application,
        committee: config.committee.clone(),
        keys: match config.role {
            Role::Validator(keys) => Some(Arc::new(keys)),
            Role::Follower(_) => None,
        },
        beneficiary: config.beneficiary,
        marshal: marshal_mailbox.clone(),
        wake: handle.wake,
        fault,
        own_votes: own_votes.clone(),
    };
    let (delivery, inbox) = Delivery::new(executor.clone());
    let delivering = runtime.child("delivery").spawn(|runtime| delivery.run(runtime));

    let (buffer, buffer_mailbox) = buffered::Engine::new(
        runtime.child("broadcast"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: mailbox,
            deque_size: 16,
            priority: true,
            codec_config: config.block_size_limit,
            peer_provider: config.peers.clone(),
            strategy: Sequential,
        },
    );
    let broadcasting = buffer.start(channels.blocks);
    let resolver = backfill::init(
        runtime.child("backfill"),
        backfill::Config {
            public_key: me,
            peer_provider: config.peers,
            blocker: config.blocker.clone(),
            mailbox_size: mailbox,
            fetch_timeout: NZDuration!(Duration::from_secs(2)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        channels.backfill,
    );
    let marshalling = marshal.start(inbox, buffer_mailbox, resolver);

    let gossiping = runtime.child("gossip").spawn({
        let (transactions, channel) = (config.transactions, channels.transactions);
        move |runtime| gossip::run(runtime, handle.outgoing, transactions, channel)
    });

    let witness = Witness {
        rng: Arc::new(parking_lot::Mutex::new(runtime.child("witness"))),
        scheme: scheme.clone(),
        observer: config.observer,
        own_votes,
    };
    let voter = Voter::new(runtime.child("voter"), executor, epochs);
    let certification_timeout = config.committee.certification_timeout();
    let engine = simplex::Engine::new(
        runtime.child("simplex"),
        simplex::Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker: config.blocker,
            automaton: voter.clone(),
            relay: voter.clone(),
            reporter: Reporters::from((voter, witness)),
            track_historical_votes: true,
            strategy: Sequential,
            partition: format!("{prefix}-votes-{}", epoch.get()),
            mailbox_size: mailbox,
            epoch,
            floor: simplex::Floor::Genesis(super::commitment(genesis.id())),
            replay_buffer: NZUsize!(1 << 20),
            write_buffer: NZUsize!(1 << 20),
            page_cache: cache,
            leader_timeout: config.committee.leader_timeout(),
            certification_timeout,
            timeout_retry: certification_timeout,
            view_retention: RETENTION,
            skip: SkipPolicy::Enabled {
                timeout: certification_timeout * 2,
                budget: SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(Duration::from_secs(1)),
            fetch_retry_delay: Duration::from_millis(100),
            forward: ForwardPolicy::SilentVoters,
        },
    );
    let voting = engine.start(channels.votes, channels.certificates, channels.resolver);

    Ok(async move {
        select! {
            fault = faulted => fault.unwrap_or(EngineError::Ended("executor")),
            ended = delivering => match ended {
                Ok(Err(error)) => error,
                _ => EngineError::Ended("delivery"),
            },
            _ = marshalling => EngineError::Ended("marshal"),
            _ = voting => EngineError::Ended("voter"),
            _ = broadcasting => EngineError::Ended("broadcast"),
            _ = gossiping => EngineError::Ended("gossip"),
        }
    })
}
