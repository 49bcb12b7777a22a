//! The engine's parts, wired.

use super::{
    Commitment, Committee, Committees, EngineError, Identity, Scheme,
    application::{Executor, SignedBlocks},
    block::Block,
    committee::MAX_VALIDATORS,
    committees::Schemes,
    delivery::Delivery,
    epochs::{Ballot, Common, Epochs},
    fault::Fault,
    gossip::{self, Gossip, Transactions},
    keys::ValidatorKeys,
    neighbours::{Directory, Neighbours},
    own_votes::OwnVotes,
    voter::Voter,
};
use alloy_primitives::{Address, Bytes};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Reporter, Viewable as _,
    marshal::{self, core::Actor as Marshal, resolver::p2p as backfill, standard::Standard},
    simplex::{
        self,
        types::{Activity, Attributable as _},
    },
    types::ViewDelta,
};
use commonware_cryptography::certificate::{Scheme as _, Verifier as _};
use commonware_macros::select;
use commonware_p2p::{Blocker, Provider, Receiver, Sender, utils::mux::prefixed};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::archive::immutable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use rand_core::CryptoRng;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use synod_chain::Proposal;
use tokio::sync::{Notify, mpsc};

/// Hears what consensus sees.
pub trait Observer: Send + Sync + 'static {
    /// A validator signed two things that exclude each other, in this epoch and view. `proof` is their encoding, which the
    /// committee's public keys check. The same offence may be told more than once.
    fn evidence(&self, offender: &Identity, kind: &'static str, round: (u64, u64), proof: Bytes);

    /// An epoch begins, with this committee; the node votes in it, or only hears.
    fn epoch(&self, epoch: u64, committee: &Arc<Committee>, votes: bool) {
        let _ = (epoch, committee, votes);
    }

    /// A view ended: with a certificate for a block, or without a block.
    fn view(&self, view: u64, nullified: bool);

    /// A certificate shows that a quorum voted for a block in a view, with the signers' identities.
    fn finalization(&self, view: u64, signers: &[Identity]);
}

/// What an engine needs.
pub struct Config<B, P> {
    /// The chain, and who votes in it.
    pub committees: Committees,
    /// This node's keys, by which its peers know it.
    pub keys: ValidatorKeys,
    /// Whether it may vote with them.
    pub ballot: Arc<dyn Ballot>,
    /// Told who the peers are.
    pub directory: Arc<dyn Directory>,
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

/// The largest message between validators, however many they become, in bytes.
#[must_use]
pub fn max_message_size(block_size_limit: usize) -> u32 {
    let size = u32::try_from(MAX_VALIDATORS).expect("it is small");
    commonware_p2p::max_message_size(&[
        prefixed(simplex::max_payload_size::<Scheme, Commitment>(size)),
        marshal::max_payload_size::<Standard<Block>, Scheme>(size, &block_size_limit),
        // A transaction is smaller than a block that holds it.
        block_size_limit,
    ])
}

/// What the voters of all epochs use alike.
pub(super) struct Tuning {
    pub(super) mailbox: NonZeroUsize,
    pub(super) cache: CacheRef,
    pub(super) view_retention: ViewDelta,
}

/// Reports what is of interest outside.
pub(super) struct Witness<E> {
    epoch: u64,
    rng: Arc<parking_lot::Mutex<E>>,
    scheme: Scheme,
    observer: Arc<dyn Observer>,
    own_votes: OwnVotes,
}

impl<E> Clone for Witness<E> {
    fn clone(&self) -> Self {
        Self {
            epoch: self.epoch,
            rng: self.rng.clone(),
            scheme: self.scheme.clone(),
            observer: self.observer.clone(),
            own_votes: self.own_votes.clone(),
        }
    }
}

impl<E: CryptoRng + Send + Sync + 'static> Witness<E> {
    pub(super) fn new(
        rng: E,
        epoch: u64,
        scheme: Scheme,
        observer: Arc<dyn Observer>,
        own_votes: OwnVotes,
    ) -> Self {
        Self {
            epoch,
            rng: Arc::new(parking_lot::Mutex::new(rng)),
            scheme,
            observer,
            own_votes,
        }
    }

    fn tell(&self, signer: commonware_utils::Participant, kind: &'static str, view: u64, proof: Vec<u8>) {
        if let Some(offender) = self.scheme.participants().get(usize::from(signer)) {
            self.observer
                .evidence(offender, kind, (self.epoch, view), proof.into());
        }
    }
}

impl<E: CryptoRng + Send + Sync + 'static> Reporter for Witness<E> {
    type Activity = Activity<Scheme, Commitment>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let view = activity.view().get();
        let me = self.scheme.me().and_then(|membership| membership.signer());
        match activity {
            Activity::Finalize(vote) if me == Some(vote.signer()) => self.own_votes.cast(self.epoch, view),
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
    let keys = Arc::new(config.keys);
    let me = keys.identity();
    let epochs = config.committees.epocher();
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
            provider: Schemes {
                committees: config.committees.clone(),
                keys: keys.clone(),
            },
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
        application: config.committees.application().clone(),
        committees: config.committees.clone(),
        keys: keys.clone(),
        beneficiary: config.beneficiary,
        marshal: marshal_mailbox.clone(),
        wake: handle.wake,
        fault,
        own_votes: own_votes.clone(),
        signed: SignedBlocks::default(),
    };
    let (ending, ended) = mpsc::unbounded_channel();
    let mut neighbours = Neighbours::new(config.directory);
    neighbours.look(
        &config.committees,
        config.committees.application().finalized_head().0,
    )?;
    let (delivery, inbox) = Delivery::new(executor.clone(), neighbours, ending);

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
    let delivered = marshal_mailbox.get_processed().await;
    let delivered = delivered.map_or(0, |processed| processed.height().get());
    delivery.recover(runtime, delivered).await?;
    let delivering = runtime.child("delivery").spawn(|runtime| delivery.run(runtime));

    let gossiping = runtime.child("gossip").spawn({
        let (transactions, channel) = (config.transactions, channels.transactions);
        move |runtime| gossip::run(runtime, handle.outgoing, transactions, channel)
    });

    let first_epoch = config.committees.epochs().of(delivered.saturating_add(1));
    let epochs = Epochs::new(
        runtime.child("epochs"),
        Common {
            committees: config.committees,
            keys,
            ballot: config.ballot,
            marshal: marshal_mailbox,
            voter: Voter::new(runtime.child("voter"), executor, epochs),
            observer: config.observer,
            own_votes,
            blocker: config.blocker,
            partition: prefix.clone(),
            tuning: Tuning {
                mailbox,
                cache,
                view_retention: RETENTION,
            },
        },
        channels.votes,
        channels.certificates,
        channels.resolver,
    );
    // The chain may be ahead of what consensus has delivered; what it delivers again ends epochs again.
    let voting = epochs.run(first_epoch, ended);

    Ok(async move {
        select! {
            fault = faulted => fault.unwrap_or(EngineError::Ended("executor")),
            ended = delivering => match ended {
                Ok(Err(error)) => error,
                _ => EngineError::Ended("delivery"),
            },
            _ = marshalling => EngineError::Ended("marshal"),
            error = voting => error,
            _ = broadcasting => EngineError::Ended("broadcast"),
            _ = gossiping => EngineError::Ended("gossip"),
        }
    })
}
