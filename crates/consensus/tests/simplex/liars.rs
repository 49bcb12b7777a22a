//! Validators that lie.
//!
//! A liar is a real engine with a real key in front of a false [`Application`]: what it signs is well formed, and only
//! execution shows what is wrong with it.

use crate::{
    World,
    models::question,
    simulate_sizes,
    world::{INFERENCE_GAS, Node, Queue, sign},
};
use alloy_consensus::{
    Transaction as _, TxEip1559,
    proofs::calculate_transaction_root,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use commonware_p2p::simulated::SplitOrigin;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use synod_chain::spec::SynodParams;
use synod_chain::{
    Application, BestTransactions, BuildError, Chain, ChainApplication, ChainError, Context, Digest, Duty,
    Finalization, FinalizeError, Proposal, Skipped, Timestamp, Transaction, TransactionSource, Verdict,
};

/// Makes a false block out of a true one; `false` if there is nothing to lie about.
type Alter = Box<dyn Fn(&mut Proposal) -> bool + Send + Sync>;

/// Proposes what a chain built, altered; finds everything valid that it is shown.
struct Liar {
    /// Builds what is altered.
    builder: Arc<ChainApplication>,
    honest: Arc<ChainApplication>,
    alter: Alter,
    lies: Arc<AtomicU64>,
}

impl Application for Liar {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        self.honest.finalized_head()
    }

    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        let mut proposal = self.builder.build(context, duty)?;
        if !(self.alter)(&mut proposal) {
            return Err(BuildError::Cancelled);
        }
        self.lies.fetch_add(1, Ordering::SeqCst);
        Ok(proposal)
    }

    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, ChainError> {
        Ok(match self.honest.verify(context, proposal)? {
            Verdict::Invalid(_) => Verdict::Valid,
            verdict => verdict,
        })
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        self.honest.finalized(finalization)
    }
}

/// Starts a cluster of which one lies. Returns the liar, the others, and how often it has lied.
async fn start(
    world: &mut World,
    seed: u64,
    builder: impl Fn(&Node) -> Arc<ChainApplication>,
    alter: Alter,
) -> (usize, Vec<usize>, Arc<AtomicU64>) {
    let liar = usize::try_from(seed).unwrap() % world.size();
    let lies = Arc::new(AtomicU64::new(0));
    let others: Vec<_> = (0..world.size()).filter(|index| *index != liar).collect();
    for index in &others {
        world.start(*index).await;
    }
    let node = &world.nodes[liar];
    let application = Liar {
        builder: builder(node),
        honest: node.application(),
        alter,
        lies: lies.clone(),
    };
    world.start_with(liar, Arc::new(application)).await;
    (liar, others, lies)
}

/// Nobody believed it: its turns passed without a block.
fn no_block_of(world: &World, liar: usize) {
    let proposer = Address::repeat_byte(u8::try_from(liar + 1).unwrap());
    for node in &world.nodes {
        for height in 1..=node.chain.head().number() {
            assert_ne!(
                node.chain.header(height).unwrap().unwrap().beneficiary,
                proposer,
                "a lie is final"
            );
        }
    }
}

/// One lies about its blocks; the others go on, and nobody believes it.
fn lies(alter: fn(&mut Proposal)) {
    simulate_sizes(async move |world, seed| {
        let alter = Box::new(move |proposal: &mut Proposal| {
            alter(proposal);
            true
        });
        let (liar, others, lies) = start(world, seed, Node::application, alter).await;
        let sent = world.send(others[0]);
        world
            .until("it has lied", |_| lies.load(Ordering::SeqCst) > 0)
            .await;
        world.advance(&others, 4).await;
        assert!(others.iter().all(|index| world.has(*index, sent)));
        no_block_of(world, liar);
    });
}

#[test]
fn a_wrong_state_root_is_refused() {
    lies(|proposal| proposal.block.header.state_root = B256::repeat_byte(1));
}

#[test]
fn wrong_receipts_are_refused() {
    lies(|proposal| proposal.block.header.receipts_root = B256::repeat_byte(2));
}

#[test]
fn wrong_gas_is_refused() {
    lies(|proposal| proposal.block.header.gas_used += 1);
}

#[test]
fn another_gas_limit_is_refused() {
    lies(|proposal| proposal.block.header.gas_limit *= 2);
}

#[test]
fn a_chosen_randomness_is_refused() {
    lies(|proposal| {
        proposal.envelope.randomness_signature = vec![7; 96].into();
        proposal.block.header.extra_data = proposal.envelope.commitment().into();
    });
}

#[test]
fn a_chosen_prevrandao_is_refused() {
    lies(|proposal| proposal.block.header.mix_hash = B256::repeat_byte(3));
}

#[test]
fn a_borrowed_name_is_refused() {
    lies(|proposal| {
        proposal.envelope.view += 1;
        proposal.block.header.extra_data = proposal.envelope.commitment().into();
    });
}

#[test]
fn a_time_from_the_future_waits() {
    lies(|proposal| proposal.block.header.timestamp += 3600);
}

#[test]
fn a_time_before_the_parents_is_refused() {
    simulate_sizes(async |world, seed| {
        let alter = Box::new(|proposal: &mut Proposal| {
            proposal.block.header.timestamp = 0;
            proposal.envelope.millis = 0;
            proposal.block.header.extra_data = proposal.envelope.commitment().into();
            // The first block may have the genesis block's time, which is 0.
            proposal.block.header.number > 1
        });
        world.pass(Duration::from_secs(5)).await;
        let (liar, others, lies) = start(world, seed, Node::application, alter).await;
        world
            .until("it has lied", |_| lies.load(Ordering::SeqCst) > 0)
            .await;
        world.advance(&others, 4).await;
        no_block_of(world, liar);
    });
}

#[test]
fn another_parent_is_refused() {
    lies(|proposal| proposal.block.header.parent_hash = B256::repeat_byte(4));
}

/// A body that is not the header's: the block does not even decode.
#[test]
fn a_body_of_another_block_is_refused() {
    lies(|proposal| proposal.block.body.ommers.push(Default::default()));
}

/// Gives the builder other questions than those that were asked.
struct Twisted {
    queue: Arc<Queue>,
    signer: PrivateKeySigner,
    /// The question that was asked, by the hash of the one that takes its place.
    asked: Arc<Mutex<BTreeMap<B256, Transaction>>>,
}

struct TwistedTransactions<'a> {
    honest: Box<dyn BestTransactions + 'a>,
    source: &'a Twisted,
}

impl TransactionSource for Twisted {
    fn best(&self, base_fee: u64) -> Box<dyn BestTransactions + '_> {
        Box::new(TwistedTransactions {
            honest: self.queue.best(base_fee),
            source: self,
        })
    }
}

impl BestTransactions for TwistedTransactions<'_> {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        let honest = self.honest.next()?;
        if *honest.input() != question(1) {
            return Some(honest);
        }
        let twisted = TxEip1559 {
            chain_id: honest.chain_id().unwrap(),
            nonce: honest.nonce(),
            gas_limit: honest.gas_limit(),
            max_fee_per_gas: honest.max_fee_per_gas(),
            max_priority_fee_per_gas: honest.max_priority_fee_per_gas().unwrap(),
            to: honest.to().unwrap().into(),
            input: question(2),
            ..Default::default()
        };
        let twisted = sign(&self.source.signer, twisted);
        let mut asked = self.source.asked.lock();
        asked.insert(*twisted.tx_hash(), honest.into_inner());
        Some(twisted.try_into_recovered().unwrap())
    }

    fn skip(&mut self, _: &Skipped) {}
}

/// The liar answers another question than the one in its block: everything else of the block is as it would be if the
/// network had given that answer.
#[test]
fn a_wrong_prediction_is_refused() {
    simulate_sizes(async |world, seed| {
        let asked: Arc<Mutex<BTreeMap<B256, Transaction>>> = Arc::default();
        let (signer, twisted) = (world.signer.clone(), asked.clone());
        let builder = move |node: &Node| {
            let source = Twisted {
                queue: node.queue.clone(),
                signer: signer.clone(),
                asked: twisted.clone(),
            };
            Arc::new(ChainApplication::new(node.chain.clone(), Arc::new(source)))
        };
        let alter = Box::new(move |proposal: &mut Proposal| {
            let mut lied = false;
            let asked = asked.lock();
            for transaction in &mut proposal.block.body.transactions {
                if let Some(honest) = asked.get(transaction.tx_hash()) {
                    *transaction = honest.clone();
                    lied = true;
                }
            }
            let root = calculate_transaction_root(&proposal.block.body.transactions);
            proposal.block.header.transactions_root = root;
            lied
        });
        let (liar, others, lies) = start(world, seed, builder, alter).await;
        let published = world.publish(others[0]);
        world
            .until("the network is published", |world| {
                others.iter().all(|index| world.has(*index, published))
            })
            .await;
        // Until one of the questions waits in the liar's turn.
        while lies.load(Ordering::SeqCst) == 0 {
            let question = world.ask(others[0], 1);
            world
                .until("the answer is final", |world| {
                    others.iter().all(|index| world.has(*index, question))
                })
                .await;
        }
        world.advance(&others, 2).await;
        let kept = world.kept(others[0]);
        assert!(!kept.is_zero());
        assert!(others.iter().all(|index| world.kept(*index) == kept));
        no_block_of(world, liar);
        // It would have been another answer.
        world.ask(others[0], 2);
        world
            .until("the other answer is final", |world| world.kept(others[0]) != kept)
            .await;
    });
}

/// The liar packs more predictions into its block than a block may hold; each of them is right.
#[test]
fn a_block_over_its_budget_is_refused() {
    simulate_sizes(async |world, seed| {
        // The liar's own rules have a wider budget; nothing else about its blocks is wrong.
        let mut genesis = world.spec.genesis().clone();
        let mut params = SynodParams::default();
        params.limits.transaction_gas = crate::world::GAS;
        params.limits.inference_gas = Some(20 * INFERENCE_GAS);
        let wider = serde_json::to_value(params).unwrap();
        genesis.config.extra_fields.insert("synod".into(), wider);
        let generous = Chain::in_memory(synod_chain::ChainSpec::from_genesis(genesis).unwrap()).unwrap();
        let liar = usize::try_from(seed).unwrap() % world.size();
        world.nodes[liar].replace_chain(generous);
        let alter = Box::new(|proposal: &mut Proposal| proposal.block.body.transactions.len() > 30);
        let (liar, others, lies) = start(world, seed, Node::application, alter).await;
        let published = world.publish(others[0]);
        world
            .until("the network is published", |world| {
                (0..world.size()).all(|index| world.has(index, published))
            })
            .await;
        let mut last = published;
        while lies.load(Ordering::SeqCst) == 0 {
            for wine in 0..60 {
                last = world.ask(others[0], wine);
            }
            world
                .until("the answers are final", |world| {
                    others.iter().all(|index| world.has(*index, last))
                })
                .await;
        }
        no_block_of(world, liar);
        // They needed several blocks.
        let chain = &world.nodes[others[0]].chain;
        let most = (1..=chain.head().number())
            .map(|height| {
                chain
                    .block(height)
                    .unwrap()
                    .unwrap()
                    .block
                    .body
                    .transactions
                    .len()
            })
            .max();
        assert!(most.unwrap() <= 30, "{most:?} predictions in one block");
        assert!(world.has(others[1], last));
    });
}

/// A proposer that shows one block to some and another to the rest, and votes for both.
#[test]
fn a_proposer_of_two_blocks_divides_nobody() {
    simulate_sizes(async |world, seed| {
        let liar = usize::try_from(seed).unwrap() % world.size();
        let others: Vec<_> = (0..world.size()).filter(|index| *index != liar).collect();
        for index in &others {
            world.start(*index).await;
        }
        // Some of the others hear the first, the rest the second.
        let split = 1 + usize::try_from(seed / 4).unwrap() % (others.len() - 1);
        let first: BTreeSet<_> = others[..split]
            .iter()
            .map(|index| world.nodes[*index].keys.identity())
            .collect();
        world
            .start_twins(
                liar,
                Arc::new(move |origin, peer| first.contains(peer) == matches!(origin, SplitOrigin::Primary)),
            )
            .await;
        let sent = world.send(others[0]);
        world.advance(&others, 8).await;
        assert!(others.iter().all(|index| world.has(*index, sent)));
    });
}

#[test]
fn two_machines_with_one_key_are_caught() {
    simulate_sizes(async |world, seed| {
        let doubled = usize::try_from(seed).unwrap() % world.size();
        let others: Vec<_> = (0..world.size()).filter(|index| *index != doubled).collect();
        for index in &others {
            world.start(*index).await;
        }
        world.start_twins(doubled, Arc::new(|_, _| true)).await;
        let culprit = world.nodes[doubled].keys.identity();
        world
            .until("somebody has proof", |world| {
                others.iter().any(|index| {
                    let evidence = world.nodes[*index].seen.evidence.lock();
                    evidence.iter().any(|(offender, _)| *offender == culprit)
                })
            })
            .await;
        // The rest are a quorum.
        world.advance(&others, 5).await;
    });
}
