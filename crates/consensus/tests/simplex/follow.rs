//! A node outside the committee.

use crate::{World, simulate_sizes};
use std::sync::Arc;
use synod_chain::{Chain, ChainApplication, NoTransactions, spec::SynodParams};
use synod_consensus::simplex::{Committees, FinalBlock, FollowError, Follower};

/// The final blocks of a node, from a height on.
pub(crate) fn blocks(world: &World, from: u64) -> Vec<FinalBlock> {
    let chain = &world.nodes[0].chain;
    (from..=chain.head().number())
        .map(|height| FinalBlock {
            block: alloy_rlp::encode(chain.proposal(height).unwrap().unwrap()).into(),
            certificate: chain.seal(height).unwrap().unwrap().certificate,
        })
        .collect()
}

/// A follower with an empty disk.
pub(crate) fn follower(world: &World, chain: &Arc<Chain>) -> Follower {
    let application = Arc::new(ChainApplication::new(chain.clone(), Arc::new(NoTransactions)));
    let first = world.nodes[0].chain.proposal(0).unwrap().unwrap();
    Follower::new(
        Committees::new(application, world.committee.clone()),
        first,
        8 << 20,
    )
}

#[test]
fn a_follower_believes_signatures_and_its_own_work_alone() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        let published = world.publish(0);
        world
            .until("the network is published", |world| world.has(0, published))
            .await;
        let asked = world.ask(1, 3);
        world
            .until("the answer is final", |world| world.has(0, asked))
            .await;
        world.advance(&world.everybody(), 3).await;
        let true_blocks = blocks(world, 1);
        let chain = Chain::in_memory(world.spec.clone()).unwrap();
        let mut follower = follower(world, &chain);

        // False ones are refused, whatever is wrong with them, and nothing of them stays.
        let at = usize::try_from(seed).unwrap() % true_blocks.len();
        let certified = true_blocks
            .iter()
            .rposition(|b| !b.certificate.is_empty())
            .unwrap();
        let lie = |change: &dyn Fn(&mut Vec<FinalBlock>)| {
            let mut blocks = true_blocks.clone();
            change(&mut blocks);
            assert_ne!(blocks, true_blocks);
            blocks
        };
        let flip = |bytes: &mut alloy_primitives::Bytes, position: usize| {
            let mut changed = bytes.to_vec();
            let position = position % changed.len();
            changed[position] ^= 1;
            *bytes = changed.into();
        };
        let lies = [
            lie(&|blocks| flip(&mut blocks[at].block, 7919 * usize::try_from(seed).unwrap())),
            lie(&|blocks| flip(&mut blocks[certified].certificate, usize::try_from(seed).unwrap())),
            lie(&|blocks| drop(blocks.remove(0))),
            lie(&|blocks| blocks.swap(0, 1)),
            lie(&|blocks| {
                let other = blocks.iter().position(|b| !b.certificate.is_empty()).unwrap();
                blocks[certified].certificate = blocks[other].certificate.clone();
                if other == certified {
                    blocks[certified].certificate = vec![0; 200].into();
                }
            }),
        ];
        for blocks in lies {
            let before = follower.wanted();
            let rest = usize::try_from(before - 1).unwrap();
            match follower.take(&blocks[rest.min(blocks.len())..]) {
                Err(error) => assert!(error.is_of_the_source(), "{error}"),
                // What was false was final already.
                Ok(_) => assert!(rest > 0),
            }
            assert_eq!(follower.wanted(), chain.head().number() + 1);
            for height in 0..=chain.head().number() {
                assert_eq!(
                    chain.hash_of(height).unwrap(),
                    world.nodes[0].chain.hash_of(height).unwrap()
                );
            }
        }

        // True ones are taken, in portions as small as one likes; the last without a certificate wait.
        let (mut count, start) = (0, follower.wanted());
        for block in blocks(world, start) {
            count += follower.take(&[block]).unwrap();
        }
        assert_eq!(count, chain.head().number() + 1 - start);
        assert_eq!(chain.head().number(), u64::try_from(certified).unwrap() + 1);
        let answer = chain.state().unwrap();
        assert_eq!(
            answer.storage(crate::models::KEEPER, Default::default()).unwrap(),
            world.kept(0)
        );
    });
}

#[test]
fn a_follower_with_other_rules_stops() {
    simulate_sizes(async |world, _| {
        world.start_all().await;
        world.send(0);
        world.advance(&world.everybody(), 3).await;
        let mut genesis = world.spec.genesis().clone();
        let mut params = SynodParams::default();
        params.limits.transaction_gas = crate::world::GAS / 2;
        params.gas.calldata_byte += 1;
        params.gas.calldata_floor_byte += 1;
        genesis
            .config
            .extra_fields
            .insert("synod".into(), serde_json::to_value(params).unwrap());
        let other = Chain::in_memory(synod_chain::ChainSpec::from_genesis(genesis).unwrap()).unwrap();
        let published = world.publish(1);
        world
            .until("the network is published", |world| world.has(0, published))
            .await;
        world.advance(&world.everybody(), 2).await;
        let mut follower = follower(world, &other);
        let error = follower.take(&blocks(world, 1)).unwrap_err();
        assert!(matches!(error, FollowError::Diverged { .. }), "{error}");
        assert!(!error.is_of_the_source());
    });
}
