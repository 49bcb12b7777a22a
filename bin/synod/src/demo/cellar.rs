//! The wine story: orders, deliveries, and who gets the money.

use super::{DemoError, Played, Story, account, examples::Example, expect_balance, fraction, tell};
use crate::{
    client::{Account, Client},
    show::{Bar, ether, thousands},
};
use alloy_primitives::{Address, TxKind, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_sol_types::{SolCall as _, SolEvent as _};
use eyre::{ContextCompat as _, Result};

mod contract {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from examples/cellar/Cellar.sol, documented there"
    )]
    alloy_sol_types::sol!(Cellar, "../../examples/cellar/artifacts/Cellar.json");
}
use contract::Cellar;

/// What a buyer leaves with the contract: 0.1 ETH.
const PRICE: U256 = U256::from_limbs([100_000_000_000_000_000, 0, 0, 0]);

/// Every so many orders the supplier sends another wine than the promised one.
const LIE_EVERY: usize = 4;

/// Rows that are shown of the beginning.
const SHOWN: usize = 6;

/// What became of an order.
struct Verdict {
    found: usize,
    confidence: f64,
    paid: bool,
}

pub(super) async fn play(client: &Client, example: &Example, story: &Story) -> Result<Played> {
    story.chapter("cellar: a buyer pays for wine if the network finds the promised cultivar in it");
    let mut buyer = Account::open(client, account(1)?).await?;
    let mut laboratory = Account::open(client, account(2)?).await?;
    // An account that nobody else pays, so that what it has more at the end is what the contract paid.
    let supplier = Address::from_word(keccak256("the supplier of the cellar example"));
    let before = client.balance(supplier).await?;
    let deployed = buyer
        .execute(TxKind::Create, U256::ZERO, Cellar::BYTECODE.clone())
        .await?;
    let cellar = deployed
        .contract_address
        .wrap_err("the receipt of the deployment names no contract")?;
    story.line(format_args!(
        "contract {cellar}, deployed for {} gas",
        thousands(deployed.gas_used)
    ));
    story.line(format_args!(
        "each order holds {}; every {LIE_EVERY}th supplier sends another wine",
        ether(PRICE)
    ));

    let mut bar = Bar::count("orders and deliveries", example.labels.len() as u64);
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    let mut played = Played {
        contract: cellar,
        verdicts: Vec::new(),
        paid_in_full: 0,
        gas: 0,
    };
    for (index, &truth) in example.labels.iter().enumerate() {
        let lies = index % LIE_EVERY == LIE_EVERY - 1;
        let promised = if lies { (truth + 1) % 3 } else { truth };
        let order = Cellar::orderCall {
            supplier,
            laboratory: laboratory.address(),
            promised: u8::try_from(promised).expect("there are three cultivars"),
        };
        buyer
            .execute(TxKind::Call(cellar), PRICE, order.abi_encode().into())
            .await?;
        let deliver = Cellar::deliverCall {
            number: U256::from(index + 1),
            analysis: example.packed(index).into(),
        };
        let receipt = laboratory
            .execute(TxKind::Call(cellar), U256::ZERO, deliver.abi_encode().into())
            .await?;
        let verdict = read(&receipt).ok_or(DemoError::NoEvent {
            example: example.name,
            sample: index + 1,
            event: "Confirmed or Refused",
        })?;
        let row = vec![
            (index + 1).to_string(),
            promised.to_string(),
            truth.to_string(),
            format!("{} ({:.1} %)", verdict.found, 100.0 * verdict.confidence),
            thousands(receipt.gas_used),
            if verdict.paid {
                "the supplier is paid"
            } else {
                "refused, the buyer is refunded"
            }
            .to_owned(),
        ];
        if index < SHOWN {
            rows.push(row);
        } else if verdict.found != truth {
            mistakes.push(row);
        }
        played.verdicts.push(verdict.found);
        played.paid_in_full += usize::from(verdict.paid);
        played.gas += receipt.gas_used;
        bar.advance(1);
    }
    bar.finish();

    let header = [
        "order",
        "promised",
        "delivered",
        "the network says",
        "gas",
        "outcome",
    ];
    tell(story, &header, rows, mistakes);
    let total = example.labels.len();
    story.line(format_args!(
        "{total} orders: {} paid in full, {} refused; each sum is where it should be",
        played.paid_in_full,
        total - played.paid_in_full
    ));
    let expected = before + PRICE * U256::from(played.paid_in_full);
    expect_balance(client, example.name, "the supplier", supplier, expected).await?;
    expect_balance(client, example.name, "the contract", cellar, U256::ZERO).await?;
    Ok(played)
}

/// The verdict in a receipt of `deliver`.
fn read(receipt: &TransactionReceipt) -> Option<Verdict> {
    receipt.logs().iter().find_map(|log| {
        let (found, confidence, paid) = if let Ok(event) = Cellar::Confirmed::decode_log(&log.inner) {
            (event.found, event.confidence, true)
        } else {
            let event = Cellar::Refused::decode_log(&log.inner).ok()?;
            (event.found, event.confidence, false)
        };
        Some(Verdict {
            found: found.try_into().ok()?,
            confidence: fraction(confidence),
            paid,
        })
    })
}
