//! A second pool that is nothing but its rules: a list of transactions, searched anew for every question. The pool must do what
//! it does, step by step, over random histories.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::Address;
use proptest::prelude::*;

use super::{
    Limits, Pool, PoolError, PoolTransaction, Touched,
    tests::{World, transfer},
};

const GAS: u128 = 21_000;
const BASE_FEE: u64 = 10;
const SENDERS: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    sender: u8,
    nonce: u64,
    fee: u128,
    tip: u128,
    arrival: u64,
}

impl Waiting {
    fn cost(&self) -> u128 {
        self.fee * GAS
    }
}

#[derive(Debug, Default)]
struct Simple {
    all: Vec<Waiting>,
    /// Nonce and balance by sender.
    accounts: BTreeMap<u8, (u64, u128)>,
    arrivals: u64,
}

impl Simple {
    fn of(&self, sender: u8, nonce: u64) -> Option<Waiting> {
        let found = self
            .all
            .iter()
            .find(|tx| (tx.sender, tx.nonce) == (sender, nonce));
        found.copied()
    }

    fn ready(&self, sender: u8) -> Vec<Waiting> {
        (self.accounts[&sender].0..)
            .map_while(|nonce| self.of(sender, nonce))
            .collect()
    }

    fn is_ready(&self, tx: &Waiting) -> bool {
        self.ready(tx.sender).contains(tx)
    }

    /// Whether it was taken.
    fn add(&mut self, sender: u8, nonce: u64, fee: u128, tip: u128, limits: &Limits) -> bool {
        let (state_nonce, balance) = self.accounts[&sender];
        let tx = Waiting {
            sender,
            nonce,
            fee,
            tip,
            arrival: self.arrivals + 1,
        };
        if tip > fee || nonce < state_nonce || tx.cost() > balance {
            return false;
        }
        match self.of(sender, nonce) {
            Some(old) => {
                let bump =
                    |old: u128| old + (old * u128::from(limits.price_bump_percent)).div_ceil(100).max(1);
                if (old.fee, old.tip) == (fee, tip) || fee < bump(old.fee) || tip < bump(old.tip) {
                    return false;
                }
            }
            None if self.all.iter().filter(|tx| tx.sender == sender).count()
                >= limits.transactions_per_sender =>
            {
                return false;
            }
            None => {}
        }
        let ready = self.ready(sender);
        if nonce <= state_nonce + ready.len() as u64 {
            let others: u128 = ready
                .iter()
                .filter(|tx| tx.nonce != nonce)
                .map(Waiting::cost)
                .sum();
            if others + tx.cost() > balance {
                return false;
            }
        }
        self.arrivals += 1;
        self.all.retain(|old| (old.sender, old.nonce) != (sender, nonce));
        self.all.push(tx);
        while self.all.len() > limits.transactions {
            let lasts = self.all.iter().filter(|tx| {
                !self
                    .all
                    .iter()
                    .any(|other| other.sender == tx.sender && other.nonce > tx.nonce)
            });
            // Where anything of a sender is queued, its last is.
            let worst = lasts.min_by_key(|tx| (self.is_ready(tx), tx.tip.min(tx.fee), Reverse(tx.arrival)));
            let worst = *worst.expect("a full pool has a last transaction");
            self.all.retain(|tx| *tx != worst);
        }
        self.all.contains(&tx)
    }

    fn head(&mut self, sender: u8, nonce: u64, balance: u128) {
        self.accounts.insert(sender, (nonce, balance));
        self.all
            .retain(|tx| tx.sender != sender || (tx.nonce >= nonce && tx.cost() <= balance));
    }

    fn expire(&mut self, mark: u64) {
        let old: Vec<Waiting> = self
            .all
            .iter()
            .filter(|tx| tx.arrival <= mark && !self.is_ready(tx))
            .copied()
            .collect();
        self.all.retain(|tx| !old.contains(tx));
    }

    /// What a block takes, one after another: of all senders' next ones that pay the base fee, the best tip, the oldest first.
    fn best(&self) -> Vec<(u8, u64)> {
        let mut rest: Vec<Vec<Waiting>> = (0..SENDERS).map(|sender| self.ready(sender)).collect();
        let mut order = Vec::new();
        loop {
            let tip = |tx: &Waiting| {
                tx.fee
                    .checked_sub(u128::from(BASE_FEE))
                    .map(|left| left.min(tx.tip))
            };
            let heads = rest.iter().enumerate().filter_map(|(index, run)| {
                let head = run.first()?;
                Some((tip(head)?, Reverse(head.arrival), index))
            });
            let Some((_, _, index)) = heads.max() else {
                return order;
            };
            let tx = rest[index].remove(0);
            order.push((tx.sender, tx.nonce));
        }
    }

    /// Everything, with what is ready apart.
    fn content(&self) -> Vec<(u8, u64, u128, bool)> {
        let mut all: Vec<_> = self
            .all
            .iter()
            .map(|tx| (tx.sender, tx.nonce, tx.fee, self.is_ready(tx)))
            .collect();
        all.sort_unstable();
        all
    }
}

fn who(sender: u8) -> Address {
    Address::repeat_byte(sender + 1)
}

fn seen(tx: &PoolTransaction) -> (u8, u64, u128) {
    let sender = tx.sender()[0] - 1;
    (
        sender,
        tx.nonce(),
        alloy_consensus::Transaction::max_fee_per_gas(tx.transaction().inner()),
    )
}

fn content(pool: &Pool) -> Vec<(u8, u64, u128, bool)> {
    let content = pool.content();
    let told = |ready: bool| {
        move |tx: &std::sync::Arc<PoolTransaction>| {
            let (sender, nonce, fee) = seen(tx);
            (sender, nonce, fee, ready)
        }
    };
    let ready = content.ready.values().flatten().map(told(true));
    let queued = content.queued.values().flatten().map(told(false));
    let mut all: Vec<_> = ready.chain(queued).collect();
    all.sort_unstable();
    all
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        sender: u8,
        nonce: u64,
        fee: u128,
        tip: u128,
    },
    Head {
        sender: u8,
        nonce: u64,
        balance: u128,
    },
    Expire {
        before: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..SENDERS, 0..7u64, 5..120u128, 1..60u128)
            .prop_map(|(sender, nonce, fee, tip)| Step::Add { sender, nonce, fee, tip }),
        2 => (0..SENDERS, 0..5u64, 0..12_000_000u128)
            .prop_map(|(sender, nonce, balance)| Step::Head { sender, nonce, balance }),
        1 => (0..20u64).prop_map(|before| Step::Expire { before }),
    ]
}

proptest! {
    #[test]
    fn the_pool_does_what_its_rules_say(steps in prop::collection::vec(step(), 1..100)) {
        const BALANCE: u128 = 9_000_000;
        let mut world = (0..SENDERS).fold(World::default(), |world, s| world.with(who(s), 0, BALANCE));
        let limits = Limits { transactions: 9, transactions_per_sender: 4, ..Limits::default() };
        let pool = world.pool(limits.clone());
        let mut simple = Simple {
            accounts: (0..SENDERS).map(|sender| (sender, (0, BALANCE))).collect(),
            ..Default::default()
        };
        for step in steps {
            match step {
                Step::Add { sender, nonce, fee, tip } => {
                    let before = simple.ready(sender);
                    let added = pool.add(transfer(who(sender), nonce, fee, tip));
                    let expected = simple.add(sender, nonce, fee, tip, &limits);
                    prop_assert_eq!(added.is_ok(), expected, "{:?}", added);
                    if let Ok(added) = added {
                        let nonce = |hash| pool.get(hash).expect("what became ready waits").nonce();
                        let became: Vec<_> = added.ready.iter().map(nonce).collect();
                        let ready = simple.ready(sender).into_iter().filter(|tx| !before.contains(tx));
                        prop_assert_eq!(became, ready.map(|tx| tx.nonce).collect::<Vec<_>>());
                    } else if let Err(error) = added {
                        prop_assert!(!matches!(error, PoolError::State(_)));
                    }
                }
                Step::Head { sender, nonce, balance } => {
                    world = world.with(who(sender), nonce, balance);
                    pool.set_head(world.head(), Touched::Only(&[who(sender)])).unwrap();
                    simple.head(sender, nonce, balance);
                }
                Step::Expire { before } => {
                    let mark = pool.arrivals().saturating_sub(before);
                    prop_assert_eq!(pool.arrivals(), simple.arrivals);
                    pool.expire(mark);
                    simple.expire(mark);
                }
            }
            prop_assert_eq!(content(&pool), simple.content());
            let best: Vec<_> = pool.best(BASE_FEE).map(|tx| { let (sender, nonce, _) = seen(&tx); (sender, nonce) }).collect();
            prop_assert_eq!(best, simple.best());
            pool.assert_consistent();
        }
    }
}

#[test]
fn what_waits_is_written_down_in_the_order_of_arrival() {
    let world = World::default().with(who(0), 0, 1 << 60);
    let pool = world.pool(Limits::default());
    pool.add(transfer(who(0), 1, 100, 1)).unwrap();
    pool.add(transfer(who(0), 0, 100, 1)).unwrap();
    let written = pool.journal();
    assert_eq!(written.len(), 2);
    // In the order of arrival: the one behind the gap came first.
    let nonces = written.iter().map(|raw| {
        let transaction = TxEnvelope::decode_2718(&mut &raw[..]).unwrap();
        alloy_consensus::Transaction::nonce(&transaction)
    });
    assert_eq!(nonces.collect::<Vec<_>>(), [1, 0]);
}
