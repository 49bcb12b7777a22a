//! What a call may cost.

use super::access::{Change, changes, offered};
use super::*;

/// Gas without what the transaction itself costs.
fn inside(world: &World, from: Address, data: Vec<u8>) -> u64 {
    let outcome = world.look(&tx(from, data.clone())).result;
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    outcome.tx_gas_used() - 21_000 - 4 * zeros - 16 * (data.len() as u64 - zeros)
}

#[test]
fn no_call_costs_more_because_much_is_stored() {
    let small = offered();
    let mut large = small.clone();
    let third = id(2);
    let longest = "r".repeat(256);
    for index in 0..60u64 {
        let name = format!("org/m{index}");
        done(
            &mut large,
            ALICE,
            &ModelRegistry::publishIdCall::new((name, third)),
        );
        let call = ModelRegistry::setAliasCall::new(("org/a".into(), format!("alias-{index}"), U256::ONE));
        done(&mut large, ALICE, &call);
        done(
            &mut large,
            ALICE,
            &ModelRegistry::setLatestCall::new(("org/a".into(), U256::from(1 + index % 2))),
        );
    }
    done(&mut large, ALICE, &deprecate("org/a", 1, &longest));
    // Overwriting the longest reason clears its eight words; nothing else may differ.
    let slack = 8 * 5_000 + 2_000;
    for Change { call, may } in changes() {
        for (from, _) in ACCOUNTS.into_iter().zip(may).filter(|(_, may)| *may) {
            let [before, after] = [&small, &large].map(|world| inside(world, from, call.abi_encode()));
            assert!(after <= before + slack, "{call:?}: {before}, then {after}");
        }
    }
}

#[test]
fn gas_is_bounded_by_the_size_of_the_call() {
    let world = offered();
    for length in [1usize, 64, 1_000, 30_000, 100_000] {
        let text = "a".repeat(length);
        let slashed = format!("a/{text}");
        let manifest = uploaded().1[2];
        let (id, version) = (id(2), U256::ONE);
        let calls = [
            Calls::claim(SolCall::new((text.clone(),))),
            Calls::publish(publish(&slashed, manifest)),
            Calls::publishId(SolCall::new((slashed.clone(), id))),
            Calls::publishIdOnly(SolCall::new((text.clone(), id))),
            Calls::setLatest(SolCall::new((slashed.clone(), version))),
            Calls::setAlias(SolCall::new(("org/a".into(), text.clone(), version))),
            Calls::removeAlias(SolCall::new(("org/a".into(), text.clone()))),
            Calls::deprecate(deprecate("org/a", 1, &text)),
            Calls::revoke(revoke("org/a", 1, &text)),
            Calls::acceptModel(SolCall::new((text.clone(),))),
            Calls::acceptNamespace(SolCall::new((text.clone(),))),
            Calls::transferModel(SolCall::new((text.clone(), BOB))),
            Calls::statusOf(SolCall::new((text.clone(), version))),
        ];
        for call in calls {
            let data = call.abi_encode();
            // The dearest writes some thirty words and validates a model of a few hundred bytes; memory grows with the square of
            // its size, of which this much is a fraction of a gas for each byte; and a byte of call data costs 40 at least (EIP-7623).
            let bound = 900_000 + 30 * data.len() as u64;
            let used = inside(&world, ALICE, data);
            assert!(
                used <= bound,
                "{}… of {length}: {used}",
                &format!("{call:?}")[..30]
            );
        }
    }
}
