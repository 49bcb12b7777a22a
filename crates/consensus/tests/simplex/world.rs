//! Validators, their network and their disks.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_eips::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use commonware_codec::Decode as _;
use commonware_p2p::{
    Message, Recipients,
    simulated::{self, Config as NetworkConfig, Link, Network, Oracle, SplitOrigin, SplitTarget},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock as _, Handle as Task, IoBuf, Quota, Runner as _, Spawner as _, Supervisor as _,
    deterministic::{self, Context},
};
use commonware_utils::{NZU32, NZUsize, Probability, probability};
use parking_lot::Mutex;
use rand_core::SeedableRng as _;
use std::{sync::Arc, time::Duration};
use synod_chain::{
    Application, BestTransactions, Chain, ChainApplication, ChainSpec, Skipped, Transaction,
    TransactionSource,
    spec::{DEV_CHAIN_ID, DEV_MNEMONIC, SynodParams, dev_genesis},
};
use synod_consensus::simplex::{
    Channels, Committee, Config, EngineError, Finalization, Handle, Identity, Observer, Role, SimplexParams,
    Transactions, ValidatorKeys, commitment, max_message_size, run,
};

type Sender = simulated::Sender<Identity, Context>;
type Receiver = simulated::Receiver<Identity>;

/// Gas of a block: little, so that timeouts are short.
const GAS: u64 = 30_000_000;

/// Most bytes of a block.
const BLOCK_SIZE: usize = 8 << 20;

/// How links behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) latency_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) success: Probability,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            latency_ms: 10,
            jitter_ms: 5,
            success: probability!(1.0),
        }
    }
}

impl From<Links> for Link {
    fn from(links: Links) -> Self {
        Self {
            latency: Duration::from_millis(links.latency_ms),
            jitter: Duration::from_millis(links.jitter_ms),
            success_rate: links.success,
        }
    }
}

/// Transactions that wait at a node.
pub(crate) struct Queue {
    chain: Arc<Chain>,
    waiting: Mutex<Vec<Recovered<Transaction>>>,
    /// Those that a client gave to this node.
    own: Mutex<Vec<Bytes>>,
}

impl Queue {
    fn add(&self, raw: &[u8]) {
        let Ok(transaction) = Transaction::decode_2718_exact(raw) else {
            return;
        };
        let Ok(signed) = transaction.try_into_recovered() else {
            return;
        };
        let mut waiting = self.waiting.lock();
        if waiting.iter().all(|other| other.tx_hash() != signed.tx_hash()) {
            waiting.push(signed);
        }
    }

    fn prune(&self) {
        let chain = &self.chain;
        self.waiting
            .lock()
            .retain(|transaction| chain.transaction(*transaction.tx_hash()).unwrap().is_none());
    }
}

impl TransactionSource for Queue {
    fn best(&self, _: u64) -> Box<dyn BestTransactions + '_> {
        self.prune();
        let mut all = self.waiting.lock().clone();
        all.sort_by_key(|transaction| {
            (
                transaction.signer(),
                alloy_consensus::Transaction::nonce(transaction.inner()),
            )
        });
        Box::new(Taking(all.into_iter()))
    }
}

struct Taking(std::vec::IntoIter<Recovered<Transaction>>);

impl BestTransactions for Taking {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        self.0.next()
    }

    fn skip(&mut self, _: &Skipped) {}
}

impl Transactions for Queue {
    fn received(&self, raw: &[u8]) {
        self.add(raw);
    }

    fn waiting(&self, limit: usize) -> Vec<Bytes> {
        self.prune();
        let waiting = self.waiting.lock();
        let waits = |raw: &&Bytes| {
            let hash = alloy_primitives::keccak256(raw);
            waiting.iter().any(|transaction| *transaction.tx_hash() == hash)
        };
        self.own
            .lock()
            .iter()
            .filter(waits)
            .take(limit)
            .cloned()
            .collect()
    }
}

/// What a node has seen others do.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) evidence: Mutex<Vec<(Identity, &'static str)>>,
    pub(crate) nullified: Mutex<u64>,
}

impl Observer for Seen {
    fn evidence(&self, offender: &Identity, kind: &'static str, _: u64, proof: Bytes) {
        assert!(!proof.is_empty());
        self.evidence.lock().push((offender.clone(), kind));
    }

    fn view(&self, _: u64, nullified: bool) {
        *self.nullified.lock() += u64::from(nullified);
    }

    fn finalization(&self, _: u64, _: &[Identity]) {}
}

/// A validator's machine.
pub(crate) struct Node {
    pub(crate) keys: ValidatorKeys,
    pub(crate) chain: Arc<Chain>,
    pub(crate) seen: Arc<Seen>,
    queue: Arc<Queue>,
    partition: String,
    running: Option<(Task<()>, Handle)>,
    ended: Arc<Mutex<Option<EngineError>>>,
    /// Whether its chain is one that must agree.
    pub(crate) honest: bool,
}

/// The cluster.
pub(crate) struct World {
    pub(crate) runtime: Context,
    pub(crate) committee: Arc<Committee>,
    pub(crate) nodes: Vec<Node>,
    oracle: Oracle<Identity, Context>,
    spec: ChainSpec,
    signer: PrivateKeySigner,
    nonce: u64,
    lives: u32,
}

/// What stands in front of a node's chain: nothing, or a liar.
pub(crate) type Fate = fn(Arc<ChainApplication>) -> Arc<dyn Application>;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value}: not a number"))
    })
}

/// Runs a scenario with several seeds.
pub(crate) fn simulate(validators: usize, scenario: impl AsyncFn(&mut World, u64)) {
    let (first, count) = (setting("SYNOD_SEED", 1), setting("SYNOD_SEEDS", 4));
    for seed in first..first + count {
        // Printed with a failure only.
        println!("{validators} validators, SYNOD_SEED={seed} SYNOD_SEEDS=1");
        replay(validators, seed, &scenario);
    }
}

/// Runs a scenario with one seed.
pub(crate) fn replay(validators: usize, seed: u64, scenario: impl AsyncFn(&mut World, u64)) {
    let config = deterministic::Config::new()
        .with_seed(seed)
        .with_timeout(Some(Duration::from_secs(3600)));
    deterministic::Runner::new(config).start(async |runtime| {
        let mut world = World::new(runtime, validators, seed).await;
        scenario(&mut world, seed).await;
        world.check();
    });
}

impl World {
    async fn new(runtime: Context, validators: usize, seed: u64) -> Self {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let keys: Vec<_> = (0..validators).map(|_| ValidatorKeys::random(&mut rng)).collect();
        let entries = keys
            .iter()
            .enumerate()
            .map(|(index, keys)| keys.entry(format!("validator-{index}")))
            .collect();
        let params = SimplexParams::with_timing(entries, GAS);
        let mut genesis = dev_genesis();
        genesis.gas_limit = GAS;
        let mut synod = SynodParams::default();
        synod.limits.transaction_gas = GAS;
        let fields = &mut genesis.config.extra_fields;
        fields.insert("synod".into(), serde_json::to_value(synod).unwrap());
        fields.insert(
            SimplexParams::FIELD.into(),
            serde_json::to_value(&params).unwrap(),
        );
        genesis.extra_data = params.commitment().into();
        let spec = ChainSpec::from_genesis(genesis).unwrap();
        let chain = Chain::in_memory(spec.clone()).unwrap();
        let committee = Arc::new(Committee::from_genesis(&spec, chain.head_digest().0).unwrap());

        let config = NetworkConfig {
            max_size: max_message_size(&committee, BLOCK_SIZE),
            max_peers_per_set: NZUsize!(64),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let members = committee.members().keys().iter().cloned().collect::<Vec<_>>();
        let (network, oracle) = Network::new_with_peers(runtime.child("network"), config, members).await;
        network.start();
        let signer = MnemonicBuilder::<English>::default()
            .phrase(DEV_MNEMONIC)
            .build()
            .unwrap();
        let mut world = Self {
            runtime,
            committee,
            nodes: Vec::new(),
            oracle,
            spec,
            signer,
            nonce: 0,
            lives: 0,
        };
        for keys in keys {
            let node = world.machine(keys);
            world.nodes.push(node);
        }
        world.link(Links::default(), |_, _| true).await;
        world
    }

    /// A machine with an empty disk.
    fn machine(&mut self, keys: ValidatorKeys) -> Node {
        self.lives += 1;
        let chain = Chain::in_memory(self.spec.clone()).unwrap();
        Node {
            keys,
            queue: Arc::new(Queue {
                chain: chain.clone(),
                waiting: Mutex::default(),
                own: Mutex::default(),
            }),
            chain,
            seen: Arc::default(),
            partition: format!("disk-{}", self.lives),
            running: None,
            ended: Arc::default(),
            honest: true,
        }
    }

    /// Makes links between the pairs that `linked` allows, and cuts all others.
    pub(crate) async fn link(&self, links: Links, linked: impl Fn(usize, usize) -> bool) {
        for (i, a) in self.nodes.iter().enumerate() {
            for (j, b) in self.nodes.iter().enumerate().filter(|(j, _)| *j != i) {
                let (from, to) = (a.keys.identity(), b.keys.identity());
                let _ = self.oracle.remove_link(from.clone(), to.clone()).await;
                if linked(i, j) {
                    self.oracle.add_link(from, to, links.into()).await.unwrap();
                }
            }
        }
    }

    /// Starts all validators.
    pub(crate) async fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.start(index).await;
        }
    }

    /// Starts a validator on the disk that it has.
    pub(crate) async fn start(&mut self, index: usize) {
        let role = Role::Validator(self.nodes[index].keys.clone());
        self.start_as(index, role, |chain| chain).await;
    }

    /// Starts a node in a role, with something between engine and chain.
    pub(crate) async fn start_as(&mut self, index: usize, role: Role, fate: Fate) {
        let channels = self.lines(index).await;
        self.launch(index, role, fate, channels);
    }

    /// Starts two machines with the keys of one validator, as if its disk had been cloned before its first vote: both vote,
    /// both hear everything. The second is a new node, whose index is returned.
    pub(crate) async fn start_twins(&mut self, index: usize) -> usize {
        let keys = self.nodes[index].keys.clone();
        let machine = self.machine(keys.clone());
        self.nodes.push(machine);
        let twin = self.nodes.len() - 1;
        for twin in [index, twin] {
            self.nodes[twin].honest = false;
        }
        let runtime = self.runtime.child("twins");
        let lines = self.lines(index).await;
        // What one of them sends goes to all; what arrives arrives at both.
        let forward = |_: SplitOrigin, recipients: &Recipients<Identity>, _: &IoBuf| Some(recipients.clone());
        let split = |(sender, receiver): (Sender, Receiver)| {
            let (first, second) = sender.split_with(forward);
            let (hears, also) =
                receiver.split_with(runtime.child("line"), |_: &Message<Identity>| SplitTarget::Both);
            ((first, hears), (second, also))
        };
        let (votes, votes_of_twin) = split(lines.votes);
        let (certificates, certificates_of_twin) = split(lines.certificates);
        let (resolver, resolver_of_twin) = split(lines.resolver);
        let (blocks, blocks_of_twin) = split(lines.blocks);
        let (backfill, backfill_of_twin) = split(lines.backfill);
        let (transactions, transactions_of_twin) = split(lines.transactions);
        let first = Channels {
            votes,
            certificates,
            resolver,
            blocks,
            backfill,
            transactions,
        };
        let second = Channels {
            votes: votes_of_twin,
            certificates: certificates_of_twin,
            resolver: resolver_of_twin,
            blocks: blocks_of_twin,
            backfill: backfill_of_twin,
            transactions: transactions_of_twin,
        };
        self.launch(index, Role::Validator(keys.clone()), |chain| chain, first);
        self.launch(twin, Role::Validator(keys), |chain| chain, second);
        twin
    }

    /// New lines to the peers.
    async fn lines(&self, index: usize) -> Channels<Sender, Receiver> {
        let control = self.oracle.control(self.nodes[index].keys.identity());
        let quota = Quota::per_second(NZU32!(4096));
        let line = async |channel| control.register(channel, quota).await.unwrap();
        Channels {
            votes: line(0).await,
            certificates: line(1).await,
            resolver: line(2).await,
            blocks: line(3).await,
            backfill: line(4).await,
            transactions: line(5).await,
        }
    }

    fn launch<S, R>(&mut self, index: usize, role: Role, fate: Fate, channels: Channels<S, R>)
    where
        S: commonware_p2p::Sender<PublicKey = Identity>,
        R: commonware_p2p::Receiver<PublicKey = Identity>,
    {
        self.lives += 1;
        let node = &mut self.nodes[index];
        assert!(node.running.is_none(), "it runs already");
        let application = Arc::new(ChainApplication::new(node.chain.clone(), node.queue.clone()));
        let config = Config {
            committee: self.committee.clone(),
            role,
            application: fate(application),
            genesis: node.chain.proposal(0).unwrap().unwrap(),
            block_size_limit: BLOCK_SIZE,
            beneficiary: Address::repeat_byte(u8::try_from(index + 1).unwrap()),
            blocker: self.oracle.control(node.keys.identity()),
            peers: self.oracle.manager(),
            partition: node.partition.clone(),
            transactions: node.queue.clone(),
            observer: node.seen.clone(),
        };
        let (handle, end) = Handle::new();
        let ended = node.ended.clone();
        let runtime = self
            .runtime
            .child("validator")
            .with_attribute("index", index)
            .with_attribute("life", self.lives);
        let task = runtime.spawn(move |runtime| async move {
            let error = run(runtime, config, end, channels).await;
            *ended.lock() = Some(error);
        });
        node.running = Some((task, handle));
    }

    /// Ends a validator between two instructions, as `kill -9` does. Its disk stays.
    pub(crate) async fn kill(&mut self, index: usize) {
        let (task, _) = self.nodes[index].running.take().expect("it runs");
        task.abort();
        let _ = task.await;
    }

    /// Gives a stopped validator an empty disk.
    pub(crate) fn wipe(&mut self, index: usize) {
        assert!(self.nodes[index].running.is_none(), "it runs");
        let keys = self.nodes[index].keys.clone();
        self.nodes[index] = self.machine(keys);
    }

    /// A client gives a transfer to a node. Returns its hash.
    pub(crate) fn send(&mut self, index: usize) -> B256 {
        let transfer = TxEip1559 {
            chain_id: DEV_CHAIN_ID,
            nonce: self.nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(0xaa)),
            value: U256::from(1),
            ..Default::default()
        };
        self.nonce += 1;
        let signature = self.signer.sign_hash_sync(&transfer.signature_hash()).unwrap();
        let transaction = Transaction::from(transfer.into_signed(signature));
        let raw = Bytes::from(transaction.encoded_2718());
        let node = &self.nodes[index];
        node.queue.add(&raw);
        node.queue.own.lock().push(raw.clone());
        let (_, handle) = node.running.as_ref().expect("it runs");
        handle.send_transaction(raw);
        handle.transaction_arrived();
        *transaction.tx_hash()
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        self.nodes[index].chain.head().number()
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    /// Waits until something is so; fails after ten minutes of the simulation.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..6000 {
            if done(self) {
                return;
            }
            self.runtime.sleep(Duration::from_millis(100)).await;
        }
        let heights: Vec<_> = (0..self.nodes.len()).map(|i| self.height(i)).collect();
        let ended: Vec<_> = self
            .nodes
            .iter()
            .map(|n| n.ended.lock().as_ref().map(ToString::to_string))
            .collect();
        panic!("not within ten minutes: {what}; heights {heights:?}, ended {ended:?}");
    }

    /// Waits until these nodes have a height.
    pub(crate) async fn reach(&self, nodes: &[usize], height: u64) {
        let what = format!("nodes {nodes:?} at height {height}");
        self.until(&what, |world| {
            nodes.iter().all(|index| world.height(*index) >= height)
        })
        .await;
    }

    /// Waits until these nodes have made this many more blocks.
    pub(crate) async fn advance(&self, nodes: &[usize], blocks: u64) {
        let highest = nodes.iter().map(|index| self.height(*index)).max().unwrap();
        self.reach(nodes, highest + blocks).await;
    }

    /// The fault that ended a node's engine.
    pub(crate) fn fault(&self, index: usize) -> Option<String> {
        self.nodes[index].ended.lock().as_ref().map(ToString::to_string)
    }

    /// Whether a transaction is final on a node.
    pub(crate) fn has(&self, index: usize, transaction: B256) -> bool {
        self.nodes[index]
            .chain
            .transaction(transaction)
            .unwrap()
            .is_some()
    }

    /// Safety: one block a height, with one root, and certificates that anybody can check.
    pub(crate) fn check(&self) {
        let honest: Vec<_> = self.nodes.iter().filter(|node| node.honest).collect();
        let tallest = honest
            .iter()
            .max_by_key(|node| node.chain.head().number())
            .unwrap();
        let verifier = self.committee.verifier();
        for node in &honest {
            let mut certified = 0;
            for height in 0..=node.chain.head().number() {
                let (mine, theirs) = (
                    node.chain.block(height).unwrap().unwrap(),
                    tallest.chain.block(height).unwrap().unwrap(),
                );
                assert_eq!(mine, theirs, "two blocks at height {height}");
                let (seal, other) = (
                    node.chain.seal(height).unwrap().unwrap(),
                    tallest.chain.seal(height).unwrap().unwrap(),
                );
                assert_eq!((seal.digest, &seal.envelope), (other.digest, &other.envelope));
                if seal.certificate.is_empty() {
                    continue;
                }
                certified += 1;
                let size = usize::try_from(self.committee.size()).unwrap();
                let certificate = Finalization::decode_cfg(seal.certificate.0.clone(), &size).unwrap();
                assert_eq!(
                    certificate.proposal.payload,
                    commitment(synod_chain::Digest(seal.digest))
                );
                let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
                assert!(
                    certificate.verify::<_>(&mut rng, &verifier, &Sequential),
                    "a certificate that does not verify"
                );
            }
            if node.chain.head().number() > 0 {
                assert!(certified > 0, "no block has a certificate");
            }
        }
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.honest) {
            assert!(
                node.ended.lock().is_none(),
                "validator {index} ended: {:?}",
                self.fault(index)
            );
        }
    }
}
