//! The driving story: rides, and what each of them earns.

use super::{DemoError, Played, Story, account, examples::Example, expect_balance, fraction, tell};
use crate::{
    client::{Account, Client},
    show::{Bar, ether, thousands},
};
use alloy_primitives::{Address, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolConstructor as _, SolEvent as _};
use eyre::{ContextCompat as _, Result};

mod contract {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from examples/fleet/Fleet.sol, documented there"
    )]
    alloy_sol_types::sol!(Fleet, "../../examples/fleet/artifacts/Fleet.json");
}
use contract::Fleet;

/// What a calm ride earns: 0.01 ETH.
const FARE: U256 = U256::from_limbs([10_000_000_000_000_000, 0, 0, 0]);

/// What harsh driving costs of it: 0.006 ETH.
const PENALTY: U256 = U256::from_limbs([6_000_000_000_000_000, 0, 0, 0]);

/// Every so many rides one is shown, since the held-out set is in order of activity.
const SHOW_EVERY: usize = 27;

pub(super) async fn play(client: &Client, example: &Example, story: &Story) -> Result<Played> {
    story.chapter("fleet: a driver is paid by how the network judges each ride");
    story.line(
        "(real motion of a wrist: standing and walking stand for calm, running and badminton for harsh)",
    );
    let mut operator = Account::open(client, account(3)?).await?;
    let mut recorder = Account::open(client, account(4)?).await?;
    let driver = Address::from_word(keccak256("the driver of the fleet example"));
    let before = client.balance(driver).await?;
    let total = example.labels.len();
    let funds = FARE * U256::from(total);
    let arguments = Fleet::constructorCall {
        recorder_: recorder.address(),
        fare_: FARE,
        penalty_: PENALTY,
    };
    let code = [Fleet::BYTECODE.as_ref(), &arguments.abi_encode()].concat();
    let deployed = operator.execute(TxKind::Create, funds, code.into()).await?;
    let fleet = deployed
        .contract_address
        .wrap_err("the receipt of the deployment names no contract")?;
    story.line(format_args!(
        "contract {fleet}, deployed for {} gas",
        thousands(deployed.gas_used)
    ));
    story.line(format_args!(
        "a calm ride earns {}, a harsh one {}",
        ether(FARE),
        ether(FARE - PENALTY)
    ));

    let mut bar = Bar::count("rides", total as u64);
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    let mut played = Played {
        contract: fleet,
        verdicts: Vec::new(),
        paid_in_full: 0,
        gas: 0,
    };
    for (index, &truth) in example.labels.iter().enumerate() {
        let ride = Fleet::rideCall {
            driver,
            window: example.packed(index).into(),
        };
        let receipt = recorder
            .execute(TxKind::Call(fleet), U256::ZERO, ride.abi_encode().into())
            .await?;
        let event = receipt
            .logs()
            .iter()
            .find_map(|log| Fleet::Ride::decode_log(&log.inner).ok());
        let event = event.ok_or(DemoError::NoEvent {
            example: example.name,
            sample: index + 1,
            event: "Ride",
        })?;
        let said = usize::from(!event.calm);
        let row = vec![
            (index + 1).to_string(),
            style(truth).to_owned(),
            format!("{} ({:.1} %)", style(said), 100.0 * fraction(event.confidence)),
            thousands(receipt.gas_used),
            format!("the driver gets {}", ether(event.paid)),
        ];
        if said != truth {
            mistakes.push(row);
        } else if index % SHOW_EVERY == 0 {
            rows.push(row);
        }
        played.verdicts.push(said);
        played.paid_in_full += usize::from(event.paid == FARE);
        played.gas += receipt.gas_used;
        bar.advance(1);
    }
    bar.finish();

    let header = ["ride", "was", "the network says", "gas", "outcome"];
    tell(story, &header, rows, mistakes);
    story.line(format_args!(
        "{total} rides: {} paid in full, {} penalised; each sum is where it should be",
        played.paid_in_full,
        total - played.paid_in_full
    ));
    let penalised = U256::from(total - played.paid_in_full);
    expect_balance(
        client,
        example.name,
        "the driver",
        driver,
        before + funds - PENALTY * penalised,
    )
    .await?;
    expect_balance(client, example.name, "the contract", fleet, PENALTY * penalised).await?;
    Ok(played)
}

fn style(label: usize) -> &'static str {
    if label == 0 { "calm" } else { "harsh" }
}
