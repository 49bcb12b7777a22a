//! Genesis files: what they may say, and what they are refused for.

use super::{ChainSpec, Fees, GasPrices, Limits, SpecError, SynodParams, dev_genesis};
use alloy_consensus::Header;
use alloy_eips::eip7840::BlobParams;
use alloy_evm::eth::spec::EthExecutorSpec;
use alloy_genesis::Genesis;
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256};
use revm::{context_interface::cfg::gas_params::GasId, primitives::hardfork::SpecId};
use serde_json::json;

/// A genesis file of Ethereum's, with a fork at each thousand seconds.
fn ethereum() -> serde_json::Value {
    json!({
        "config": {
            "chainId": 7, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
            "byzantiumBlock": 2, "constantinopleBlock": 3, "petersburgBlock": 3, "istanbulBlock": 4,
            "berlinBlock": 5, "londonBlock": 6, "mergeNetsplitBlock": 7, "terminalTotalDifficulty": 100,
            "shanghaiTime": 1000, "cancunTime": 2000, "pragueTime": 3000, "osakaTime": 4000,
            "bpo1Time": 5000, "bpo2Time": 6000,
            "blobSchedule": {
                "cancun": {"target": 1, "max": 2, "baseFeeUpdateFraction": 11},
                "osaka": {"target": 3, "max": 4, "baseFeeUpdateFraction": 13},
            },
            "depositContractAddress": "0x0101010101010101010101010101010101010101",
        },
        "gasLimit": "0x1c9c380", "difficulty": "0x20000", "alloc": {},
    })
}

fn spec(genesis: &serde_json::Value) -> Result<ChainSpec, SpecError> {
    ChainSpec::from_json(&genesis.to_string())
}

/// The development genesis with `config.synod` as given.
fn synod(params: serde_json::Value) -> Result<ChainSpec, SpecError> {
    let mut genesis = dev_genesis();
    genesis.config.extra_fields.insert("synod".into(), params);
    ChainSpec::from_genesis(genesis)
}

fn header(number: u64, timestamp: u64) -> Header {
    Header {
        number,
        timestamp,
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        ..Default::default()
    }
}

#[test]
fn forks_come_by_block_and_then_by_time() {
    let spec = spec(&ethereum()).unwrap();
    let expected = [
        (1, 0, SpecId::SPURIOUS_DRAGON),
        (2, 0, SpecId::BYZANTIUM),
        (3, 0, SpecId::PETERSBURG),
        (4, 0, SpecId::ISTANBUL),
        (5, 0, SpecId::BERLIN),
        (6, 0, SpecId::LONDON),
        (7, 0, SpecId::MERGE),
        (8, 1000, SpecId::SHANGHAI),
        (9, 2000, SpecId::CANCUN),
        (10, 3000, SpecId::PRAGUE),
        (11, 4000, SpecId::OSAKA),
        (12, 6000, SpecId::OSAKA),
    ];
    for (number, time, fork) in expected {
        assert_eq!(
            spec.evm_env(&header(number, time)).cfg_env.spec,
            fork,
            "{number} {time}"
        );
    }
    assert_eq!(spec.chain_id(), 7);
    assert_eq!(
        spec.forks_at(0).deposit_contract_address(),
        Some(Address::repeat_byte(1))
    );
    assert!(spec.synod().is_none());
    assert_eq!(spec.inference_gas_limit(0), u64::MAX);
    assert_eq!(
        (spec.block_size_limit(11, 3999), spec.block_size_limit(11, 4000)),
        (None, Some(8 << 20))
    );
    // Before London there is no base fee; its first block has EIP-1559's initial one.
    let old = Header {
        base_fee_per_gas: None,
        ..header(4, 0)
    };
    assert_eq!(spec.next_base_fee(&old), None);
    let last = Header {
        base_fee_per_gas: None,
        ..header(5, 0)
    };
    assert_eq!(spec.next_base_fee(&last), Some(1_000_000_000));
}

#[test]
fn blobs_follow_the_file_then_the_fork() {
    let spec = spec(&ethereum()).unwrap();
    assert_eq!(spec.blob_params(0, 1999), None);
    let cancun = spec.blob_params(0, 2000).unwrap();
    assert_eq!(
        (
            cancun.target_blob_count,
            cancun.max_blob_count,
            cancun.update_fraction
        ),
        (1, 2, 11)
    );
    // Not in the file: Ethereum's.
    assert_eq!(spec.blob_params(0, 3500), Some(BlobParams::prague()));
    let osaka = spec.blob_params(0, 4000).unwrap();
    assert_eq!((osaka.target_blob_count, osaka.max_blob_count), (3, 4));
    // What Osaka added does not stand in files.
    assert_eq!(osaka.max_blobs_per_tx, BlobParams::osaka().max_blobs_per_tx);
    assert_eq!(osaka.blob_base_cost, BlobParams::osaka().blob_base_cost);
    assert_eq!(spec.blob_params(0, 5999), Some(BlobParams::bpo1()));
    assert_eq!(spec.blob_params(0, u64::MAX), Some(BlobParams::bpo2()));
}

#[test]
fn an_ethereum_chain_keeps_ethereums_prices_and_limits() {
    let cfg = spec(&ethereum()).unwrap().evm_env(&header(11, 4000)).cfg_env;
    assert_eq!(cfg.limit_contract_code_size, None);
    assert_eq!(cfg.tx_gas_limit_cap, Some(1 << 24));
    assert_eq!(
        cfg.gas_params,
        revm::context_interface::cfg::GasParams::new_spec(SpecId::OSAKA)
    );
}

#[test]
fn a_synod_chain_has_the_prices_and_limits_of_its_file() {
    let spec = synod(json!({
        "limits": {"codeSize": 1000, "initcodeSize": 3000, "transactionGas": 5_000_000},
        "gas": {"calldataByte": 3, "calldataFloorByte": 5, "initcodeWord": 7, "codeDepositByte": 9},
        "maxClockDriftMs": 42,
    }))
    .unwrap();
    assert_eq!(spec.synod().unwrap().max_clock_drift_ms, 42);
    let envs = [
        spec.evm_env(&header(1, 1)),
        spec.next_evm_env(&header(1, 1), 2, Address::ZERO, B256::ZERO),
    ];
    for env in envs {
        let cfg = env.cfg_env;
        assert_eq!(cfg.limit_contract_code_size, Some(1000));
        assert_eq!(cfg.limit_contract_initcode_size, Some(3000));
        assert_eq!(cfg.tx_gas_limit_cap, Some(5_000_000));
        let gas = |id: GasId| cfg.gas_params.get(id);
        assert_eq!(gas(GasId::code_deposit_cost()), 9);
        assert_eq!(
            (gas(GasId::initcode_per_word()), gas(GasId::tx_initcode_cost())),
            (7, 7)
        );
        // A byte is a byte, zero or not.
        let floor = |input: &[u8]| cfg.gas_params.tx_floor_cost(input) - cfg.gas_params.tx_floor_cost(&[]);
        assert_eq!((floor(&[0; 10]), floor(&[1; 10])), (50, 50));
        assert_eq!(
            gas(GasId::tx_token_cost()) * gas(GasId::tx_token_non_zero_byte_multiplier()),
            3
        );
    }
    assert_eq!(spec.inference_gas_limit(0), 300_000_000, "a block's gas");
    let less = synod(json!({"limits": {"inferenceGas": 7_000_000}})).unwrap();
    assert_eq!(less.inference_gas_limit(0), 7_000_000);
    assert_eq!(spec.block_size_limit(1, 1), Some(8 << 20));
    let larger = synod(json!({"limits": {"blockSize": 9 << 20}})).unwrap();
    assert_eq!(larger.block_size_limit(1, 1), Some(9 << 20));
    // What the file leaves out is the default.
    let spec = synod(json!({"gas": {"calldataByte": 3}})).unwrap();
    let gas = GasPrices {
        calldata_byte: 3,
        ..Default::default()
    };
    assert_eq!(
        *spec.synod().unwrap(),
        SynodParams {
            gas,
            limits: Limits::default(),
            fees: Fees::default(),
            max_clock_drift_ms: 500
        }
    );
}

#[test]
fn where_gas_is_free_the_base_fee_is_nothing_from_the_first_block_on() {
    let spec = synod(json!({"fees": {"free": true}})).unwrap();
    assert!(spec.gas_is_free());
    let genesis = spec.genesis_header(B256::ZERO);
    assert_eq!(genesis.base_fee_per_gas, Some(0));
    let full = Header {
        gas_used: genesis.gas_limit,
        ..genesis
    };
    assert_eq!(spec.next_base_fee(&full), Some(0));
    // Ethereum's formula would leave 0 at once.
    let ethereum = synod(json!({"fees": {}})).unwrap();
    assert!(!ethereum.gas_is_free() && ethereum.fee_recipient(0).is_none());
    assert_eq!(ethereum.next_base_fee(&full), Some(1));
    // What is not said is not written, so files from before mean what they meant, to the byte.
    let text = serde_json::to_string(&SynodParams::default()).unwrap();
    assert!(!text.contains("fees"), "{text}");

    let mut paid = dev_genesis();
    paid.config
        .extra_fields
        .insert("synod".into(), json!({"fees": {"free": true}}));
    paid.base_fee_per_gas = Some(7);
    let refused = ChainSpec::from_genesis(paid);
    assert!(
        matches!(
            refused,
            Err(SpecError::Parameter {
                field: "baseFeePerGas",
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn parameters_that_cannot_be_are_refused_by_name() {
    let refused = [
        (
            json!({"fees": {"free": true, "recipient": Address::repeat_byte(1)}}),
            "config.synod.fees.recipient",
        ),
        (
            json!({"fees": {"recipient": Address::ZERO}}),
            "config.synod.fees.recipient",
        ),
        (json!({"limits": {"codeSize": 0}}), "config.synod.limits.codeSize"),
        (
            json!({"limits": {"codeSize": 1 << 25}}),
            "config.synod.limits.codeSize",
        ),
        (
            json!({"limits": {"initcodeSize": 1000}}),
            "config.synod.limits.initcodeSize",
        ),
        (
            json!({"limits": {"transactionGas": 20_999}}),
            "config.synod.limits.transactionGas",
        ),
        (
            json!({"limits": {"transactionGas": 300_000_001}}),
            "config.synod.limits.transactionGas",
        ),
        (
            json!({"limits": {"blockSize": (1 << 20) - 1}}),
            "config.synod.limits.blockSize",
        ),
        (
            json!({"limits": {"initcodeSize": 1 << 24, "blockSize": 1 << 24}}),
            "config.synod.limits.blockSize",
        ),
        (
            json!({"limits": {"blockSize": (64 << 20) + 1}}),
            "config.synod.limits.blockSize",
        ),
        (
            json!({"limits": {"inferenceGas": 0}}),
            "config.synod.limits.inferenceGas",
        ),
        (
            json!({"limits": {"inferenceGas": 300_000_001}}),
            "config.synod.limits.inferenceGas",
        ),
        (
            json!({"gas": {"calldataByte": 0}}),
            "config.synod.gas.calldataByte",
        ),
        (
            json!({"gas": {"calldataFloorByte": 0}}),
            "config.synod.gas.calldataFloorByte",
        ),
        (
            json!({"gas": {"initcodeWord": u64::MAX}}),
            "config.synod.gas.initcodeWord",
        ),
        (
            json!({"gas": {"codeDepositByte": 1 << 21}}),
            "config.synod.gas.codeDepositByte",
        ),
    ];
    for (params, name) in refused {
        match synod(params) {
            Err(SpecError::Parameter { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    // A misspelt name would be a fork.
    for params in [
        json!({"limit": {}}),
        json!({"gas": {"callDataByte": 1}}),
        json!({"gas": {"calldataByte": -1}}),
    ] {
        assert!(matches!(synod(params), Err(SpecError::Json(_))));
    }
}

#[test]
fn chains_that_this_node_cannot_follow_are_refused() {
    assert!(matches!(ChainSpec::from_json("{"), Err(SpecError::Json(_))));
    let with = |path: &str, value: serde_json::Value| {
        let mut genesis = ethereum();
        *genesis.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        spec(&genesis)
    };
    let mut later = ethereum();
    later["config"]["amsterdamTime"] = json!(9000);
    assert!(matches!(spec(&later), Err(SpecError::Fork("Amsterdam"))));
    assert!(matches!(
        with("/gasLimit", json!("0x0")),
        Err(SpecError::Parameter {
            field: "gasLimit",
            ..
        })
    ));
    let mut fee = ethereum();
    fee["baseFeePerGas"] = json!("0x10000000000000000");
    assert!(matches!(
        spec(&fee),
        Err(SpecError::Parameter {
            field: "baseFeePerGas",
            ..
        })
    ));
    // Synod's parameters need Osaka from the first block.
    let mut early = dev_genesis();
    early.config.osaka_time = Some(1);
    assert!(matches!(
        ChainSpec::from_genesis(early),
        Err(SpecError::Parameter {
            field: "config.osakaTime",
            ..
        })
    ));
}

#[test]
fn the_development_genesis_survives_its_own_json() {
    let genesis = dev_genesis();
    let json = serde_json::to_string(&genesis).unwrap();
    let read: Genesis = serde_json::from_str(&json).unwrap();
    assert_eq!(read, genesis);
    let (first, second) = (ChainSpec::dev(), ChainSpec::from_json(&json).unwrap());
    assert_eq!(
        first.genesis_header(B256::ZERO),
        second.genesis_header(B256::ZERO)
    );
    assert_eq!(first.synod(), Some(&SynodParams::default()));
    assert!(first.forks_at(0).is_osaka_active_at_timestamp(0));
    assert_eq!(first.blob_params(0, 0), Some(BlobParams::bpo2()));
}
