//! The genesis that `synod dev` starts from.

use crate::spec::SynodParams;
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256, address};
use synod_evm::genesis::Predeploy;

/// Chain id of the development chain; the one that Ethereum's tools expect of a local node.
pub const DEV_CHAIN_ID: u64 = 1337;

/// The mnemonic from which the funded accounts derive (`m/44'/60'/0'/0/i`). Everybody knows its keys.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The first ten accounts of [`DEV_MNEMONIC`].
#[must_use]
pub const fn dev_accounts() -> [Address; 10] {
    [
        address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
        address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
        address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
        address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
        address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
        address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
        address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
        address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
    ]
}

/// Osaka with BPO2 from the first block, Synod's parameters, blocks of 300 Mgas, ten accounts with 10,000 ether each.
#[must_use]
pub fn dev_genesis() -> Genesis {
    let mut genesis = Genesis {
        config: ChainConfig {
            chain_id: DEV_CHAIN_ID,
            homestead_block: Some(0),
            eip150_block: Some(0),
            eip155_block: Some(0),
            eip158_block: Some(0),
            byzantium_block: Some(0),
            constantinople_block: Some(0),
            petersburg_block: Some(0),
            istanbul_block: Some(0),
            berlin_block: Some(0),
            london_block: Some(0),
            terminal_total_difficulty: Some(U256::ZERO),
            terminal_total_difficulty_passed: true,
            shanghai_time: Some(0),
            cancun_time: Some(0),
            prague_time: Some(0),
            osaka_time: Some(0),
            bpo1_time: Some(0),
            bpo2_time: Some(0),
            ..Default::default()
        },
        gas_limit: 300_000_000,
        ..Default::default()
    };
    let params = serde_json::to_value(SynodParams::default()).expect("plain numbers serialise");
    genesis.config.extra_fields.insert("synod".into(), params);
    let ether = U256::from(10u64).pow(U256::from(18u64));
    let balance = U256::from(10_000u64) * ether;
    genesis.alloc.extend(dev_accounts().map(|account| {
        (
            account,
            GenesisAccount {
                balance,
                ..Default::default()
            },
        )
    }));
    genesis.alloc.extend(system_contracts());
    genesis.alloc.extend(predict_contracts());
    genesis
}

/// What PREDICT needs: the precompile's stand-in, the model registry, the chunk factory.
pub fn predict_contracts() -> impl Iterator<Item = (Address, GenesisAccount)> {
    synod_evm::genesis::predeploys()
        .into_iter()
        .map(|Predeploy { address, code, nonce }| {
            (
                address,
                GenesisAccount {
                    nonce: Some(nonce),
                    code: Some(code),
                    ..Default::default()
                },
            )
        })
}

/// The contracts that Ethereum's blocks call: beacon roots, block hashes, withdrawal and consolidation requests.
#[must_use]
pub fn system_contracts() -> [(Address, GenesisAccount); 4] {
    let contract = |code: &Bytes| GenesisAccount {
        nonce: Some(1),
        code: Some(code.clone()),
        ..Default::default()
    };
    [
        (
            eip4788::BEACON_ROOTS_ADDRESS,
            contract(&eip4788::BEACON_ROOTS_CODE),
        ),
        (
            eip2935::HISTORY_STORAGE_ADDRESS,
            contract(&eip2935::HISTORY_STORAGE_CODE),
        ),
        (
            eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            contract(&eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE),
        ),
        (
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            contract(&eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE),
        ),
    ]
}
