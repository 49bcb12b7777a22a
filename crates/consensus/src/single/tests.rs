//! The engine on a chain in memory, with a clock that stands still unless moved.

use super::{Clock, Config, EngineError, Handle, MineError, Mining, Single};
use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use synod_chain::{
    BestTransactions, Chain, ChainApplication, ChainEvent, ChainSpec, Skipped, Timestamp, Transaction,
    TransactionSource,
    spec::{DEV_CHAIN_ID, DEV_MNEMONIC},
};
use tokio::{
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, sleep},
};

const START: u64 = 1_700_000_000;

struct Frozen(Mutex<Timestamp>);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

#[derive(Default)]
struct Queue(Mutex<Vec<Recovered<Transaction>>>);

struct Taken(std::vec::IntoIter<Recovered<Transaction>>);

impl BestTransactions for Taken {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        self.0.next()
    }
    fn skip(&mut self, _: &Skipped) {}
}

impl TransactionSource for Queue {
    fn best(&self, _: u64) -> Box<dyn BestTransactions + '_> {
        Box::new(Taken(std::mem::take(&mut *self.0.lock()).into_iter()))
    }
}

struct World {
    chain: Arc<Chain>,
    queue: Arc<Queue>,
    handle: Handle,
    engine: JoinHandle<Result<(), EngineError>>,
    signer: PrivateKeySigner,
}

impl World {
    fn new(mining: Mining) -> Self {
        let chain = Chain::in_memory(ChainSpec::dev()).unwrap();
        let queue = Arc::new(Queue::default());
        let application = ChainApplication::new(chain.clone(), queue.clone());
        let clock = Arc::new(Frozen(Mutex::new(Timestamp::from_seconds(START))));
        let config = Config {
            mining,
            beneficiary: Address::repeat_byte(0xfe),
        };
        let (engine, handle) = Single::new(Arc::new(application), clock, config);
        let signer = MnemonicBuilder::<English>::default()
            .phrase(DEV_MNEMONIC)
            .build()
            .unwrap();
        Self {
            chain,
            queue,
            handle,
            engine: tokio::spawn(engine.run()),
            signer,
        }
    }

    fn send(&self, nonce: u64) {
        let tx = TxEip1559 {
            chain_id: DEV_CHAIN_ID,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(1)),
            value: U256::from(1),
            ..Default::default()
        };
        let signature = self.signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        let signed = Recovered::new_unchecked(tx.into_signed(signature).into(), self.signer.address());
        self.queue.0.lock().push(signed);
        self.handle.transaction_arrived();
    }
}

#[tokio::test]
async fn instant_mining_follows_transactions_and_makes_no_empty_block() {
    let world = World::new(Mining::Instant);
    let mut events = world.chain.subscribe();
    for nonce in 0..3 {
        world.send(nonce);
        let ChainEvent::Finalized(data) = events.recv().await.unwrap() else {
            panic!("rewound")
        };
        assert_eq!((data.number(), data.receipts.len()), (nonce + 1, 1));
        assert_eq!(data.header().beneficiary, Address::repeat_byte(0xfe));
        // Who hears of a block can read it.
        assert_eq!(world.chain.block(nonce + 1).unwrap().unwrap(), data);
        assert!(
            world
                .chain
                .transaction(*data.block.body.transactions[0].tx_hash())
                .unwrap()
                .is_some()
        );
    }
    // A gap before its nonce: it cannot run, so there is no block, and the engine lives on.
    world.send(9);
    world.handle.exclusive(|| ()).await.unwrap();
    world.handle.transaction_arrived();
    world.handle.exclusive(|| ()).await.unwrap();
    assert_eq!(world.chain.head().number(), 3);
    assert_eq!(world.chain.unfinalised(), 0);
    drop(world.handle);
    world.engine.await.unwrap().unwrap();
}

/// Transactions of the next block.
async fn next_block(events: &mut broadcast::Receiver<ChainEvent>) -> usize {
    let ChainEvent::Finalized(data) = events.recv().await.unwrap() else {
        panic!("rewound")
    };
    data.receipts.len()
}

/// The clock stands still but for what tasks sleep.
#[tokio::test(start_paused = true)]
async fn after_a_block_with_many_transactions_the_next_one_waits_for_more() {
    let world = World::new(Mining::Instant);
    let mut events = world.chain.subscribe();
    let mut nonces = 0..;
    let mut send = |count: usize| nonces.by_ref().take(count).for_each(|nonce| world.send(nonce));
    send(8);
    assert_eq!(next_block(&mut events).await, 8);
    // They arrive one in each millisecond: one block takes them all when they pause.
    for _ in 0..7 {
        send(1);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(next_block(&mut events).await, 7);
    // Those were few: nobody else is sending, so the next one does not wait.
    let before = Instant::now();
    send(1);
    assert_eq!(next_block(&mut events).await, 1);
    assert_eq!(before.elapsed(), Duration::ZERO);
    // They do not pause: a block waits so long and no longer.
    send(8);
    assert_eq!(next_block(&mut events).await, 8);
    let before = Instant::now();
    let mut mined = 0;
    for _ in 0..100 {
        send(1);
        sleep(Duration::from_millis(1)).await;
        if let Ok(ChainEvent::Finalized(data)) = events.try_recv() {
            mined = data.receipts.len();
            break;
        }
    }
    assert!((48..=52).contains(&mined), "{mined} transactions");
    assert!(
        before.elapsed() <= Duration::from_millis(52),
        "{:?}",
        before.elapsed()
    );
    // Who asks for a block has it at once.
    sleep(Duration::from_millis(50)).await;
    while events.try_recv().is_ok() {}
    send(8);
    assert_eq!(next_block(&mut events).await, 8);
    send(1);
    let before = Instant::now();
    world.handle.mine(1, Duration::ZERO).await.unwrap();
    assert_eq!(next_block(&mut events).await, 1);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn blocks_on_demand_and_a_movable_clock() {
    let world = World::new(Mining::Manual);
    world.send(0);
    let mined = world.handle.mine(3, Duration::from_secs(10)).await.unwrap();
    assert_eq!(
        mined.iter().map(|(height, _)| *height).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(world.chain.head_digest().0, mined[2].1);
    assert_eq!(world.chain.receipts(1).unwrap().unwrap().len(), 1);
    let times: Vec<_> = (1..=3)
        .map(|n| world.chain.header(n).unwrap().unwrap().timestamp)
        .collect();
    assert_eq!(times, [START, START + 10, START + 20]);

    assert_eq!(
        world.handle.advance_time(Duration::from_secs(80)).await.unwrap(),
        100
    );
    world.handle.mine_one().await.unwrap();
    assert_eq!(world.chain.head().header().timestamp, START + 100);

    assert_eq!(
        world.handle.set_next_timestamp(START).await,
        Err(MineError::TimeGoesBack {
            got: START,
            least: START + 100
        })
    );
    world.handle.set_next_timestamp(START + 1_000).await.unwrap();
    world.handle.mine(2, Duration::ZERO).await.unwrap();
    let last = world.chain.head();
    assert_eq!(last.header().timestamp, START + 1_000);
    assert_ne!(
        last.header().mix_hash,
        world.chain.header(5).unwrap().unwrap().mix_hash
    );
}

#[tokio::test]
async fn interval_mining_makes_blocks_with_and_without_transactions() {
    let world = World::new(Mining::Interval(Duration::from_millis(1)));
    let mut events = world.chain.subscribe();
    world.send(0);
    let (mut empty, mut full) = (0, 0);
    while empty == 0 || full == 0 {
        let ChainEvent::Finalized(data) = events.recv().await.unwrap() else {
            panic!("rewound")
        };
        match data.receipts.len() {
            0 => empty += 1,
            count => full += count,
        }
    }
    assert_eq!(full, 1);
    // Messages are handled in order: after the second one the new rule stands, and only a request makes a block.
    world.handle.set_mining(Mining::Manual).unwrap();
    world.handle.exclusive(|| ()).await.unwrap();
    let head = world.chain.head().number();
    assert_eq!(world.handle.mine(1, Duration::ZERO).await.unwrap()[0].0, head + 1);
}

#[tokio::test]
async fn a_rewind_runs_between_two_blocks() {
    let world = World::new(Mining::Instant);
    world.handle.mine(4, Duration::from_secs(1)).await.unwrap();
    let chain = world.chain.clone();
    world
        .handle
        .exclusive(move || chain.rewind(2, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.chain.head().number(), 2);
    let mined = world.handle.mine(1, Duration::ZERO).await.unwrap();
    assert_eq!(mined[0].0, 3);
}
