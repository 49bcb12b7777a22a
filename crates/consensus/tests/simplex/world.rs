//! Validators, their network and their disks.

use crate::{
    lines::{Incoming, Links, Receiver, Sender, Share, each, outgoing},
    models,
};
use alloy_consensus::{
    SignableTransaction as _, TxEip1559,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_eips::{Decodable2718 as _, Encodable2718 as _};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_signer::SignerSync as _;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use alloy_sol_types::SolCall;
use commonware_codec::Decode as _;
use commonware_p2p::{
    Message,
    simulated::{Config as NetworkConfig, Network, Oracle, SplitTarget},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Blob as _, Clock as _, Handle as Task, Quota, ReadOptions, Spawner as _, Storage as _, Supervisor as _,
    WriteOptions, deterministic::Context,
};
use commonware_utils::{NZU32, NZUsize};
use parking_lot::Mutex;
use rand_core::SeedableRng as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
    path::Path,
    sync::Arc,
    time::Duration,
};
use synod_chain::{
    Application, BestTransactions, Chain, ChainApplication, ChainSpec, Protocol, Skipped, Transaction,
    TransactionSource,
    council::{COUNCIL, Validator, genesis_account},
    spec::{DEV_CHAIN_ID, DEV_MNEMONIC, SynodParams, dev_genesis},
};
use synod_consensus::simplex::{
    Ballot, Channels, Committee, Committees, Config, EngineError, Finalization, FixedBallot, FixedDirectory,
    Handle, Identity, Observer, SimplexParams, Transactions, ValidatorKeys, commitment, max_message_size,
    run,
};

/// Gas of a block: little, so that timeouts are short.
pub(crate) const GAS: u64 = 30_000_000;

/// Gas of a block's predictions: enough to publish the network, and for some ten of its answers.
pub(crate) const INFERENCE_GAS: u64 = 400_000;

/// Most bytes of a block.
const BLOCK_SIZE: usize = 8 << 20;

/// Transactions that wait at a node.
pub(crate) struct Queue {
    pub(crate) chain: Arc<Chain>,
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
    pub(crate) evidence: Mutex<BTreeSet<(Identity, &'static str)>>,
    /// Views that ended without a block.
    pub(crate) nullified: Mutex<BTreeSet<u64>>,
}

impl Observer for Seen {
    fn evidence(&self, offender: &Identity, kind: &'static str, _: (u64, u64), proof: Bytes) {
        assert!(!proof.is_empty());
        self.evidence.lock().insert((offender.clone(), kind));
    }

    fn view(&self, view: u64, nullified: bool) {
        if nullified {
            self.nullified.lock().insert(view);
        }
    }

    fn finalization(&self, _: u64, _: &[Identity]) {}
}

/// A validator's machine.
pub(crate) struct Node {
    pub(crate) keys: ValidatorKeys,
    pub(crate) chain: Arc<Chain>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) queue: Arc<Queue>,
    partition: String,
    running: Option<(Task<()>, Handle)>,
    ended: Arc<Mutex<Option<EngineError>>>,
    /// Whether its chain is one that must agree, and nobody may accuse it.
    pub(crate) honest: bool,
}

impl Node {
    /// Gives the machine a chain with other rules.
    pub(crate) fn replace_chain(&mut self, chain: Arc<Chain>) {
        self.queue = Arc::new(Queue {
            chain: chain.clone(),
            waiting: Mutex::default(),
            own: Mutex::default(),
        });
        self.chain = chain;
    }

    /// What an honest machine runs.
    pub(crate) fn application(&self) -> Arc<ChainApplication> {
        Arc::new(ChainApplication::new(self.chain.clone(), self.queue.clone()))
    }
}

/// The files of a journal, by name.
pub(crate) type Votes = Vec<(Vec<u8>, Vec<u8>)>;

/// The cluster.
pub(crate) struct World {
    pub(crate) runtime: Context,
    pub(crate) committee: Arc<Committee>,
    oracle: Oracle<Identity, Context>,
    machines: Machines,
}

impl Deref for World {
    type Target = Machines;

    fn deref(&self) -> &Machines {
        &self.machines
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Machines {
        &mut self.machines
    }
}

/// Everything of a cluster that is not in the simulator: keys, rules, and what is on the disks.
pub(crate) struct Machines {
    pub(crate) spec: ChainSpec,
    pub(crate) nodes: Vec<Node>,
    pub(crate) signer: PrivateKeySigner,
    /// With which the validators decide in the council.
    accounts: Vec<PrivateKeySigner>,
    nonces: BTreeMap<Address, u64>,
    lives: u32,
}

/// One of the ten accounts of the development mnemonic.
fn account(index: u32) -> PrivateKeySigner {
    let mnemonic = MnemonicBuilder::<English>::default().phrase(DEV_MNEMONIC);
    mnemonic.index(index).unwrap().build().unwrap()
}

/// New machines with empty disks.
///
/// `newcomers` more are there and have keys, but are no validators yet.
///
/// All builds know these protocols, until [`World::install`] says otherwise of one.
pub(crate) fn machines(
    protocols: &'static [Protocol],
    validators: usize,
    newcomers: usize,
    epoch_blocks: u64,
    seed: u64,
) -> Machines {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut key = |_| ValidatorKeys::random(&mut rng);
    let keys: Vec<_> = (0..validators + newcomers).map(&mut key).collect();
    let account = |index: usize| account(u32::try_from(index).unwrap() + 1);
    let accounts: Vec<_> = (0..validators + newcomers).map(account).collect();
    let entries = keys[..validators]
        .iter()
        .enumerate()
        .map(|(index, keys)| keys.entry(format!("validator-{index}")))
        .collect();
    let params = SimplexParams::with_timing(entries, GAS).with_epoch_blocks(epoch_blocks);
    let mut genesis = dev_genesis();
    let seats = params.validators.iter().zip(&accounts);
    let seats = seats.map(|(entry, account)| entry.seat(account.address(), String::new()));
    genesis
        .alloc
        .insert(COUNCIL, genesis_account(epoch_blocks, seats.collect()).unwrap());
    genesis.gas_limit = GAS;
    if protocols[0].fork < EthereumHardfork::Osaka {
        let config = &mut genesis.config;
        (config.osaka_time, config.bpo1_time, config.bpo2_time) = (None, None, None);
    }
    models::put_into(&mut genesis);
    let mut synod = SynodParams::default();
    synod.limits.transaction_gas = GAS;
    synod.limits.inference_gas = Some(INFERENCE_GAS);
    let fields = &mut genesis.config.extra_fields;
    fields.insert("synod".into(), serde_json::to_value(synod).unwrap());
    fields.insert(
        SimplexParams::FIELD.into(),
        serde_json::to_value(&params).unwrap(),
    );
    genesis.extra_data = params
        .commitment(&serde_json::to_value(&genesis.config).unwrap())
        .into();
    let spec = ChainSpec::with_protocols(genesis, protocols).unwrap();
    let mut machines = Machines {
        spec,
        nodes: Vec::new(),
        accounts,
        signer: account(0),
        nonces: BTreeMap::new(),
        lives: 0,
    };
    for keys in keys {
        let node = machines.machine(keys);
        machines.nodes.push(node);
    }
    machines
}

impl Machines {
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
}

impl World {
    pub(crate) async fn new(runtime: Context, machines: Machines) -> Self {
        let spec = &machines.spec;
        let chain = Chain::in_memory(spec.clone()).unwrap();
        let committee = Arc::new(Committee::of_genesis(&chain).unwrap());
        let config = NetworkConfig {
            max_size: max_message_size(BLOCK_SIZE),
            max_peers_per_set: NZUsize!(64),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let members = machines
            .nodes
            .iter()
            .map(|node| node.keys.identity())
            .collect::<Vec<_>>();
        let (network, oracle) = Network::new_with_peers(runtime.child("network"), config, members).await;
        network.start();
        let world = Self {
            runtime,
            committee,
            oracle,
            machines,
        };
        world.link(Links::default(), |_, _| true).await;
        world
    }

    /// The machines as they are without power.
    pub(crate) fn machines(self) -> Machines {
        let mut machines = self.machines;
        for node in &mut machines.nodes {
            node.running = None;
        }
        machines
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
        let application = self.nodes[index].application();
        self.start_with(index, application).await;
    }

    /// Starts a validator with something else than an honest chain behind its engine.
    pub(crate) async fn start_with(&mut self, index: usize, application: Arc<dyn Application>) {
        let channels = self.lines(index).await;
        self.launch(index, Arc::new(FixedBallot(true)), application, channels);
    }

    /// Starts a node that follows and does not vote.
    pub(crate) async fn start_following(&mut self, index: usize) {
        self.start_with_ballot(index, Arc::new(FixedBallot(false))).await;
    }

    /// Starts a node that votes when the ballot says so.
    pub(crate) async fn start_with_ballot(&mut self, index: usize, ballot: Arc<dyn Ballot>) {
        let (application, channels) = (self.nodes[index].application(), self.lines(index).await);
        self.launch(index, ballot, application, channels);
    }

    /// Starts a validator whose incoming messages are late by up to a third of a second each, so that they overtake each
    /// other, and partly arrive twice.
    pub(crate) async fn start_scrambled(&mut self, index: usize) {
        let lines = self.lines(index).await;
        let runtime = self.runtime.child("scrambler");
        let channels = each(lines, |(sender, receiver)| (sender, receiver.scrambled(&runtime)));
        let application = self.nodes[index].application();
        self.launch(index, Arc::new(FixedBallot(true)), application, channels);
    }

    /// Starts two machines with the keys of one validator, as if its disk had been cloned before its first vote. Both hear
    /// everything; of each message, `share` says to whom the first and the second machine's goes. The second is a new node.
    pub(crate) async fn start_twins(&mut self, index: usize, share: Share) {
        let keys = self.nodes[index].keys.clone();
        let machine = self.machine(keys.clone());
        self.nodes.push(machine);
        let twin = self.nodes.len() - 1;
        for twin in [index, twin] {
            self.nodes[twin].honest = false;
        }
        let runtime = self.runtime.child("twins");
        let mut second = Vec::new();
        let raw = self.raw_lines(index).await;
        let peers: Arc<[Identity]> = self.identities().into();
        let first = each(raw, |(sender, receiver)| {
            let [mine, other] = outgoing(sender, peers.clone(), share.clone());
            let (hears, also) =
                receiver.split_with(runtime.child("line"), |_: &Message<Identity>| SplitTarget::Both);
            second.push((other, Incoming::Straight(also)));
            (mine, Incoming::Straight(hears))
        });
        let mut second = second.into_iter();
        let mut next = || second.next().expect("six lines");
        let second = Channels {
            votes: next(),
            certificates: next(),
            resolver: next(),
            blocks: next(),
            backfill: next(),
            transactions: next(),
        };
        for (index, lines) in [(index, first), (twin, second)] {
            let application = self.nodes[index].application();
            self.launch(index, Arc::new(FixedBallot(true)), application, lines);
        }
    }

    /// How many validators there are. A validator's twin is none.
    pub(crate) fn size(&self) -> usize {
        self.committee.members().keys().len()
    }

    /// All validators.
    pub(crate) fn everybody(&self) -> Vec<usize> {
        (0..self.size()).collect()
    }

    /// The most of them that may be down or lie.
    pub(crate) fn most_faults(&self) -> usize {
        (self.size() - 1) / 3
    }

    /// New lines to the peers.
    pub(crate) async fn lines(
        &self,
        index: usize,
    ) -> Channels<impl commonware_p2p::Sender<PublicKey = Identity> + use<>, Incoming> {
        let peers: Arc<[Identity]> = self.identities().into();
        each(self.raw_lines(index).await, |(sender, receiver)| {
            let [all, _] = outgoing(sender, peers.clone(), Arc::new(|_, _| true));
            (all, Incoming::Straight(receiver))
        })
    }

    /// Of all machines, in the committee or not; twins once.
    fn identities(&self) -> Vec<Identity> {
        let identities = self.nodes.iter().map(|node| node.keys.identity());
        identities.collect::<BTreeSet<_>>().into_iter().collect()
    }

    async fn raw_lines(&self, index: usize) -> Channels<Sender, Receiver> {
        let control = self.oracle.control(self.nodes[index].keys.identity());
        // more than anybody sends; room for a second of it is set aside for each node, anew whenever one starts
        let quota = Quota::per_second(NZU32!(512));
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

    fn launch<S, R>(
        &mut self,
        index: usize,
        ballot: Arc<dyn Ballot>,
        application: Arc<dyn Application>,
        channels: Channels<S, R>,
    ) where
        S: commonware_p2p::Sender<PublicKey = Identity>,
        R: commonware_p2p::Receiver<PublicKey = Identity>,
    {
        self.lives += 1;
        let life = self.lives;
        let runtime = self
            .runtime
            .child("validator")
            .with_attribute("index", index)
            .with_attribute("life", life);
        let node = &self.nodes[index];
        assert!(node.running.is_none(), "it runs already");
        let config = Config {
            committees: Committees::new(application, self.committee.clone()),
            keys: node.keys.clone(),
            ballot,
            directory: Arc::new(FixedDirectory),
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
        *ended.lock() = None;
        let task = runtime.spawn(move |runtime| async move {
            let error = run(runtime, config, end, channels).await;
            *ended.lock() = Some(error);
        });
        self.nodes[index].running = Some((task, handle));
    }

    /// Ends a validator between two instructions, as `kill -9` does. Its disk stays.
    pub(crate) async fn kill(&mut self, index: usize) {
        let (task, _) = self.nodes[index].running.take().expect("it runs");
        task.abort();
        let _ = task.await;
    }

    /// Installs a build that knows these protocols on a stopped validator's machine, with its chain in this folder.
    pub(crate) fn install(&mut self, index: usize, folder: &Path, protocols: &'static [Protocol]) {
        assert!(self.nodes[index].running.is_none(), "it runs");
        let genesis = self.spec.genesis().clone();
        let spec = ChainSpec::with_protocols(genesis, protocols).unwrap();
        // The build before it lets the folder go.
        let away = Chain::in_memory(spec.clone()).unwrap();
        self.nodes[index].replace_chain(away);
        self.nodes[index].replace_chain(Chain::open(folder, spec).unwrap());
    }

    /// Gives a stopped validator an empty disk.
    pub(crate) fn wipe(&mut self, index: usize) {
        assert!(self.nodes[index].running.is_none(), "it runs");
        let keys = self.nodes[index].keys.clone();
        self.nodes[index] = self.machine(keys);
    }

    /// Where a stopped validator's own votes are.
    async fn votes(&self, index: usize) -> String {
        assert!(self.nodes[index].running.is_none(), "it runs");
        // What belonged to the engine ends, and closes its files, a moment after it.
        self.pass(Duration::from_millis(1)).await;
        format!("{}-votes-0", self.nodes[index].partition)
    }

    /// A copy of what a stopped validator remembers of its own votes.
    pub(crate) async fn copy_votes(&self, index: usize) -> Votes {
        let partition = self.votes(index).await;
        let mut votes = Votes::new();
        for name in self.runtime.scan(&partition).await.unwrap() {
            let (blob, size) = self.runtime.open(&partition, &name).await.unwrap();
            let size = usize::try_from(size).unwrap();
            let bytes = blob.read_at(0, size, ReadOptions::default()).await.unwrap();
            votes.push((name, bytes.coalesce().as_ref().to_vec()));
        }
        votes
    }

    /// Makes a stopped validator remember an earlier copy of its own votes, and none since.
    pub(crate) async fn restore_votes(&mut self, index: usize, votes: Votes) {
        let partition = self.votes(index).await;
        self.runtime.remove(&partition, None).await.unwrap();
        for (name, bytes) in votes {
            let (blob, _) = self.runtime.open(&partition, &name).await.unwrap();
            blob.write_at(0, bytes, WriteOptions::SYNC).await.unwrap();
            blob.sync().await.unwrap();
        }
        self.nodes[index].honest = false;
    }

    /// A client gives a transfer to a node. Returns its hash.
    pub(crate) fn send(&mut self, index: usize) -> B256 {
        self.submit(index, Address::repeat_byte(0xaa), Bytes::new(), 21_000)
    }

    /// A client gives a transaction to a node. Returns its hash.
    pub(crate) fn submit(&mut self, index: usize, to: Address, input: Bytes, gas: u64) -> B256 {
        self.submit_from(index, self.signer.clone(), to, input, gas)
    }

    /// Validator `who` sends a call to the council, through node `index`. Returns the transaction's hash.
    pub(crate) fn decide(&mut self, index: usize, who: usize, call: &impl SolCall) -> B256 {
        let signer = self.accounts[who].clone();
        self.submit_from(index, signer, COUNCIL, call.abi_encode().into(), 3_000_000)
    }

    /// What the council knows of a machine.
    pub(crate) fn seat(&self, index: usize) -> Validator {
        let entry = self.nodes[index].keys.entry(format!("validator-{index}"));
        entry.seat(self.accounts[index].address(), String::new())
    }

    fn submit_from(
        &mut self,
        index: usize,
        signer: PrivateKeySigner,
        to: Address,
        input: Bytes,
        gas: u64,
    ) -> B256 {
        let nonce = self.nonces.entry(signer.address()).or_default();
        let transaction = TxEip1559 {
            chain_id: DEV_CHAIN_ID,
            nonce: *nonce,
            gas_limit: gas,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            input,
            ..Default::default()
        };
        *nonce += 1;
        let transaction = sign(&signer, transaction);
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

    /// The greatest height of these nodes.
    pub(crate) fn highest(&self, nodes: &[usize]) -> u64 {
        nodes.iter().map(|index| self.height(*index)).max().unwrap()
    }

    /// The simulation's time, in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.runtime.current().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap().as_millis()).unwrap()
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
        self.reach(nodes, self.highest(nodes) + blocks).await;
    }

    /// Whether a node's engine has ended by itself.
    pub(crate) fn has_ended(&self, index: usize) -> bool {
        self.nodes[index].ended.lock().is_some()
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

    /// Whether a transaction that is final on a node did what it was to do.
    pub(crate) fn succeeded(&self, index: usize, transaction: B256) -> bool {
        let chain = &self.nodes[index].chain;
        let place = chain.transaction(transaction).unwrap().unwrap();
        let receipts = chain.receipts(place.block_number).unwrap().unwrap();
        receipts[usize::try_from(place.index).unwrap()].status()
    }

    /// Safety: one block a height, with one root, and certificates that anybody can check.
    pub(crate) fn check(&self) {
        let honest: Vec<_> = self.nodes.iter().filter(|node| node.honest).collect();
        let tallest = honest
            .iter()
            .max_by_key(|node| node.chain.head().number())
            .unwrap();
        // Nodes often have the same certificate, and each takes two pairings.
        let mut verified = BTreeSet::new();
        for node in &honest {
            let committees = Committees::new(node.application(), self.committee.clone());
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
                let epoch = committees.epochs().of(height);
                let committee = committees.of(epoch).unwrap().unwrap();
                let size = usize::try_from(committee.size()).unwrap();
                let certificate = Finalization::decode_cfg(seal.certificate.0.clone(), &size).unwrap();
                assert_eq!(certificate.proposal.round.epoch().get(), epoch);
                assert_eq!(
                    certificate.proposal.payload,
                    commitment(synod_chain::Digest(seal.digest))
                );
                if !verified.insert((epoch, seal.certificate.0)) {
                    continue;
                }
                let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
                assert!(
                    certificate.verify::<_>(&mut rng, &committee.verifier(), &Sequential),
                    "a certificate that does not verify"
                );
            }
            if node.chain.head().number() > 0 {
                assert!(certified > 0, "no block has a certificate");
            }
        }
        // Nobody is accused but those who lie.
        let liars: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|node| !node.honest)
            .map(|node| node.keys.identity())
            .collect();
        for node in &honest {
            for (offender, kind) in node.seen.evidence.lock().iter() {
                assert!(
                    liars.contains(offender),
                    "an honest validator is accused of {kind}"
                );
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

/// Signs for the account that pays for everything.
pub(crate) fn sign(signer: &PrivateKeySigner, transaction: TxEip1559) -> Transaction {
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    Transaction::from(transaction.into_signed(signature))
}
