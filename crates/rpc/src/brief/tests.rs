//! What is brief comes to the same as among the workers, and what is long is not brief.

use std::{sync::Arc, time::Duration};

use alloy_eips::BlockId;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, Bytes, I256, U256, hex};
use alloy_rpc_types_eth::{TransactionRequest, state::EvmOverrides};
use alloy_sol_types::SolCall;
use synod_chain::{Chain, ChainSpec, spec::dev_genesis};
use synod_evm::{addresses::PREDICT, interface::IPredict};

use super::may_be_brief;
use crate::{backend::View, deadline::CallLimits, simulate::Simulation};

/// Contracts by what they do, at addresses from 0x10000001 on.
const CODES: &[(&str, &str)] = &[
    ("stop", "00"),
    ("gas left", "5a5f5260205ff3"),
    // CALL to "gas left" with all gas, and its answer: 63/64 of what is left.
    ("gas of a callee", "60205f5f5f5f63100000025af15060205ff3"),
    (
        "gas left at the end of a loop",
        "6104005b60019003806003575a5f5260205ff3",
    ),
    ("revert", "602a5f5260205ffd"),
    ("invalid", "fe"),
    ("underflow", "01"),
    ("a slot", "5f545f5260205ff3"),
    // JUMPDEST PUSH0 JUMP.
    ("for ever", "5b5f56"),
    // Counts down from its call data.
    ("as long as asked", "5f355b60019003806002575a5f5260205ff3"),
    // STATICCALL to "for ever" with 5,000 gas, and whether it succeeded beside the gas that is left.
    (
        "a callee out of gas",
        "5f5f5f5f6310000009611388fa5f525a60205260405ff3",
    ),
    // Calls itself with all gas.
    ("itself", "5f5f5f5f5f305af1"),
    // MSTORE at a mebibyte.
    ("far memory", "600162100000525a5f5260205ff3"),
    // KECCAK256 of 16 KiB, and of 64 KiB.
    ("a hash", "6140005f205f5260205ff3"),
    ("a long hash", "620100005f205f5260205ff3"),
    // SHA-256 of nothing; modexp of nothing.
    ("sha256", "60205f5f5f60025afa5060205ff3"),
    ("modexp", "60205f5f5f60055afa5060205ff3"),
    ("create", "5f5f5ff05f5260205ff3"),
    // EXTCODESIZE of twenty accounts.
    ("codes", "60145b806330000000013b50600190038060025700"),
    // The whole call data to PREDICT, and its answer: of its return data.
    ("predict", "365f5f375f5f365f61ae015afa3d5f5f3e3d5ff3"),
    // The same twenty times, answered with the gas that is left.
    (
        "predict often",
        "365f5f3760145b5f5f365f61ae015afa5060019003806006575a5f5260205ff3",
    ),
];

const GAS_CAP: u64 = 30_000_000;

fn address(name: &str) -> Address {
    let index = CODES.iter().position(|(known, _)| *known == name);
    let index = index.unwrap_or_else(|| panic!("no contract {name:?}"));
    Address::left_padding_from(&(0x1000_0001 + u32::try_from(index).unwrap()).to_be_bytes())
}

fn chain() -> Arc<Chain> {
    let mut genesis = dev_genesis();
    for (name, code) in CODES {
        let account = GenesisAccount {
            code: Some(hex::decode(code).unwrap().into()),
            storage: Some([(U256::ZERO.into(), U256::from(7).into())].into()),
            ..Default::default()
        };
        genesis.alloc.insert(address(name), account);
    }
    Chain::in_memory(ChainSpec::from_json(&serde_json::to_string(&genesis).unwrap()).unwrap()).unwrap()
}

fn request(name: &str, data: Vec<u8>) -> TransactionRequest {
    TransactionRequest::default().to(address(name)).input(data.into())
}

/// The answer among the workers and, if it is brief, the brief one, as text.
fn both(chain: &Arc<Chain>, request: &TransactionRequest) -> (String, Option<String>) {
    let limits = CallLimits {
        gas: GAS_CAP,
        time: Duration::from_secs(600),
    };
    let view = View::of(chain).unwrap();
    let latest = BlockId::latest();
    let mut long = Simulation::new(&view, chain, latest, EvmOverrides::default(), limits).unwrap();
    let mut brief = Simulation::brief(&view, chain, latest, limits).unwrap();
    let answer = brief.call(request.clone());
    let answer = brief.was_brief().then(|| format!("{answer:?}"));
    (format!("{:?}", long.call(request.clone())), answer)
}

fn word(number: u64) -> Vec<u8> {
    U256::from(number).to_be_bytes_vec()
}

#[test]
fn a_brief_call_comes_to_what_it_comes_to_among_the_workers() {
    let chain = chain();
    let pack = IPredict::packCall {
        dtype: 1,
        values: vec![I256::ONE; 20],
        decimals: 0,
    };
    let name = || "nobody/nothing".to_owned();
    let unknown = IPredict::runCall {
        model: name(),
        input: Bytes::new(),
    };
    let limited = IPredict::withMaxGasCall {
        maxGas: 700,
        call: IPredict::resolveCall { model: name() }.abi_encode().into(),
    };
    let cases = [
        ("stop", vec![]),
        ("gas left", vec![]),
        ("gas of a callee", vec![]),
        ("gas left at the end of a loop", vec![]),
        ("revert", vec![]),
        ("invalid", vec![]),
        ("underflow", vec![]),
        ("a slot", vec![]),
        ("as long as asked", word(100)),
        ("a callee out of gas", vec![]),
        ("a hash", vec![]),
        ("sha256", vec![]),
        ("predict", pack.abi_encode()),
        ("predict", unknown.abi_encode()),
        ("predict", limited.abi_encode()),
        ("predict", vec![1, 2, 3]),
    ];
    for (name, data) in cases {
        let request = request(name, data);
        assert!(may_be_brief(&request), "{name}");
        let (long, brief) = both(&chain, &request);
        assert_eq!(Some(long), brief, "{name}");
    }
    // The precompile itself, which has no instructions.
    for data in [pack.abi_encode(), unknown.abi_encode()] {
        let (long, brief) = both(
            &chain,
            &TransactionRequest::default().to(PREDICT).input(data.into()),
        );
        assert_eq!(Some(long), brief);
    }
    // With a gas limit of the caller's, which it runs into or not.
    for gas in [21_000, 21_100, 25_000, 60_000] {
        let mut request = request("as long as asked", word(1_000));
        request.gas = Some(gas);
        let (long, brief) = both(&chain, &request);
        assert_eq!(Some(long), brief, "{gas} gas");
    }
}

#[test]
fn what_is_long_is_stopped_and_handed_over() {
    let chain = chain();
    let unpack = IPredict::unpackCall {
        dtype: 3,
        data: vec![1; 15_000].into(),
        decimals: 0,
    };
    let pack = IPredict::packCall {
        dtype: 1,
        values: vec![I256::ONE; 400],
        decimals: 0,
    };
    let cases = [
        ("for ever", vec![]),
        ("as long as asked", word(10_000)),
        ("itself", vec![]),
        ("far memory", vec![]),
        ("a long hash", vec![]),
        ("modexp", vec![]),
        ("create", vec![]),
        ("codes", vec![]),
        ("predict", unpack.abi_encode()),
        ("predict often", pack.abi_encode()),
    ];
    for (name, data) in cases {
        let (long, brief) = both(&chain, &request(name, data));
        assert_eq!(brief, None, "{name}: {long}");
    }
    let (_, brief) = both(
        &chain,
        &TransactionRequest::default()
            .to(PREDICT)
            .input(unpack.abi_encode().into()),
    );
    assert_eq!(brief, None);
}

#[test]
fn what_would_be_long_before_its_first_instruction_is_not_tried() {
    assert!(!may_be_brief(&request("stop", vec![0; 20_000])));
    let mut create = request("stop", vec![]);
    create.to = Some(alloy_primitives::TxKind::Create);
    assert!(!may_be_brief(&create));
    let mut listed = request("stop", vec![]);
    let item = alloy_eips::eip2930::AccessListItem::default();
    listed.access_list = Some(vec![item].into());
    assert!(!may_be_brief(&listed));
}
