//! What the contract does, asked as the chain asks it.

use super::{contract::run, *};
use crate::Factory;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue as _};
use revm::{
    DatabaseCommit as _,
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};

/// A field, and what makes it wrong.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Validator));

/// The contract after some calls.
struct Contract {
    db: CacheDB<EmptyDB>,
    block: u64,
}

fn account(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn validator(number: u8) -> Validator {
    Validator {
        name: format!("validator-{number}"),
        account: account(number),
        identity: B256::repeat_byte(number),
        voteKey: vec![number; 48].into(),
        possession: vec![number; 96].into(),
        host: String::new(),
    }
}

impl Contract {
    fn new(validators: u8) -> Self {
        let seats = (1..=validators).map(validator).collect();
        let genesis = genesis_account(10, seats).unwrap();
        let mut db = CacheDB::new(EmptyDB::default());
        let info = AccountInfo::default().with_code(Bytecode::new_raw(genesis.code.unwrap()));
        db.insert_account_info(COUNCIL, info);
        for (slot, value) in genesis.storage.unwrap() {
            db.insert_account_storage(COUNCIL, slot.into(), value.into())
                .unwrap();
        }
        Self { db, block: 1 }
    }

    fn call<C: SolCall>(&mut self, from: u8, call: &C) -> Result<C::Return, String> {
        let mut env: EvmEnv = EvmEnv::default();
        env.cfg_env.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
        env.block_env.number = U256::from(self.block);
        let data = call.abi_encode().into();
        let (answer, state) = run(&Factory::default(), &mut self.db, env, account(from), data)
            .map_err(|error| error.to_string())?;
        self.db.commit(state);
        Ok(C::abi_decode_returns(&answer).unwrap())
    }

    fn names(&mut self) -> Vec<String> {
        let all = self.call(0, &Council::validatorsCall {}).unwrap();
        all.into_iter().map(|validator| validator.name).collect()
    }

    /// All of these want it.
    fn all(&mut self, from: &[u8], call: &impl SolCall) {
        for from in from {
            self.call(*from, call).map(drop).unwrap();
        }
    }
}

#[test]
fn more_than_two_thirds_decide() {
    for (validators, needed) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)] {
        let mut contract = Contract::new(validators);
        assert_eq!(
            contract.call(0, &Council::quorumCall {}).unwrap(),
            U256::from(needed)
        );
        let add = Council::addValidatorCall {
            validator: validator(100),
        };
        let early: Vec<_> = (1..needed).collect();
        contract.all(&early, &add);
        assert_eq!(contract.names().len(), usize::from(validators));
        contract.call(needed, &add).unwrap();
        assert_eq!(
            contract.names().len(),
            usize::from(validators) + 1,
            "of {validators}"
        );
    }
}

#[test]
fn a_decision_takes_one_call_of_each() {
    let mut contract = Contract::new(4);
    let one = Council::setListedCall { rights: 1 };
    let other = Council::setListedCall { rights: 2 };
    assert!(contract.call(9, &one).unwrap_err().contains("NotValidator"));
    contract.all(&[1, 2], &one);
    assert!(contract.call(1, &one).unwrap_err().contains("AlreadyApproved"));
    contract.all(&[3, 4], &other);
    assert_eq!(
        contract.call(0, &Council::listedCall {}).unwrap(),
        0,
        "two wishes of two"
    );
    // One takes its wish back, and one who wanted it is gone.
    let action = keccak256(one.abi_encode());
    contract.call(2, &Council::withdrawCall { action }).unwrap();
    assert!(
        contract
            .call(2, &Council::withdrawCall { action })
            .unwrap_err()
            .contains("NotApproved")
    );
    assert_eq!(
        contract.call(0, &Council::approvalsOfCall { action }).unwrap(),
        [account(1)]
    );
    let identity = validator(1).identity;
    contract.all(&[2, 3, 4], &Council::removeValidatorCall { identity });
    contract.all(&[2, 3], &one);
    assert_eq!(
        contract.call(0, &Council::listedCall {}).unwrap(),
        0,
        "the wish of one who is gone"
    );
    contract.call(4, &one).unwrap();
    assert_eq!(contract.call(0, &Council::listedCall {}).unwrap(), 1);
}

#[test]
fn seats_stay_in_order_when_one_goes() {
    let mut contract = Contract::new(4);
    let mark = |contract: &mut Contract| contract.call(0, &Council::committeeCall {}).unwrap();
    let before = mark(&mut contract);
    let identity = validator(2).identity;
    contract.all(&[1, 2, 3], &Council::removeValidatorCall { identity });
    assert_eq!(contract.names(), ["validator-1", "validator-4", "validator-3"]);
    let all = contract.call(0, &Council::validatorsCall {}).unwrap();
    assert_eq!(mark(&mut contract), keccak256(all.abi_encode()));
    assert_ne!(mark(&mut contract), before);
    for (number, rights) in [(1, 7), (3, 7), (4, 7), (2, 7)] {
        let call = Council::rightsOfCall {
            account: account(number),
        };
        assert_eq!(contract.call(0, &call).unwrap(), rights, "open to all");
    }
    contract.all(&[1, 3, 4], &Council::setListedCall { rights: 7 });
    let rights = |contract: &mut Contract, number| {
        let call = Council::rightsOfCall {
            account: account(number),
        };
        contract.call(0, &call).unwrap()
    };
    assert_eq!((rights(&mut contract, 4), rights(&mut contract, 2)), (7, 0));
    let host = Council::setHostCall { host: "h:1".into() };
    contract.call(4, &host).unwrap();
    assert!(contract.call(2, &host).unwrap_err().contains("NotValidator"));
    let hosts = contract.call(0, &Council::validatorsCall {}).unwrap();
    let hosts: Vec<_> = hosts.iter().map(|validator| validator.host.as_str()).collect();
    assert_eq!(hosts, ["", "h:1", ""]);
}

#[test]
fn what_cannot_sit_is_refused_by_name() {
    let mut contract = Contract::new(4);
    let cases: [Case<'_>; 9] = [
        ("name", &|v| v.name = String::new()),
        ("name", &|v| v.name = "n".repeat(65)),
        ("account", &|v| v.account = Address::ZERO),
        ("voteKey", &|v| v.voteKey = vec![1; 47].into()),
        ("possession", &|v| v.possession = vec![1; 95].into()),
        ("account", &|v| v.account = account(1)),
        ("identity", &|v| v.identity = validator(1).identity),
        ("voteKey", &|v| v.voteKey = validator(1).voteKey),
        ("name", &|v| v.name = validator(1).name),
    ];
    for (field, change) in cases {
        let mut seat = validator(9);
        change(&mut seat);
        let add = Council::addValidatorCall { validator: seat };
        contract.all(&[1, 2], &add);
        let error = contract.call(3, &add).unwrap_err();
        assert!(error.contains(field), "{field}: {error}");
    }
    assert!(
        genesis_account(1, vec![validator(1)]).is_err(),
        "an epoch of one block"
    );
    assert!(genesis_account(10, Vec::new()).is_err());
    assert!(genesis_account(10, vec![validator(1), validator(1)]).is_err());
    let mut alone = Contract::new(1);
    let identity = validator(1).identity;
    let error = alone
        .call(1, &Council::removeValidatorCall { identity })
        .unwrap_err();
    assert!(error.contains("CommitteeSize"), "{error}");
    let again = Council::initialiseCall {
        blocks: 5,
        first: vec![validator(7)],
    };
    assert!(
        contract
            .call(1, &again)
            .unwrap_err()
            .contains("AlreadyInitialised")
    );
}

#[test]
fn a_genesis_file_with_epochs_that_cannot_be_is_an_error() {
    let mut genesis = crate::spec::dev_genesis();
    let mut council = genesis_account(10, vec![validator(1)]).unwrap();
    // As somebody could write it by hand: slot 4 holds the length.
    let slot = B256::from(U256::from(4));
    for blocks in [0_u64, 1] {
        council
            .storage
            .as_mut()
            .unwrap()
            .insert(slot, U256::from(blocks).into());
        genesis.alloc.insert(COUNCIL, council.clone());
        let spec = crate::ChainSpec::from_genesis(genesis.clone()).unwrap();
        let error = Chain::in_memory(spec).unwrap_err().to_string();
        assert!(error.contains(&format!("an epoch of {blocks} blocks")), "{error}");
    }
}

#[test]
fn upgrades_stand_by_epoch_and_what_has_begun_stays() {
    let mut contract = Contract::new(4);
    let schedule = |first: u64| Council::scheduleUpgradeCall {
        first,
        protocol: first,
        parameters: String::new(),
    };
    for first in [5, 3, 9] {
        contract.all(&[1, 2, 3], &schedule(first));
    }
    let epochs = |contract: &mut Contract| {
        let all = contract.call(0, &Council::upgradesCall {}).unwrap();
        all.into_iter().map(|upgrade| upgrade.epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs(&mut contract), [3, 5, 9]);
    let refused = |contract: &mut Contract, call: &dyn Fn(&mut Contract, u8) -> Result<(), String>| {
        call(contract, 1).unwrap();
        call(contract, 2).unwrap();
        call(contract, 3).unwrap_err().contains("InvalidEpoch")
    };
    assert!(refused(&mut contract, &|contract, from| {
        let twice = Council::scheduleUpgradeCall {
            first: 5,
            protocol: 1,
            parameters: "{}".into(),
        };
        contract.call(from, &twice).map(drop)
    }));
    contract.all(&[1, 2, 3], &Council::cancelUpgradeCall { first: 5 });
    assert_eq!(epochs(&mut contract), [3, 9]);
    contract.block = 35;
    assert_eq!(contract.call(0, &Council::epochCall {}).unwrap(), 3);
    assert!(refused(&mut contract, &|contract, from| {
        contract
            .call(from, &Council::cancelUpgradeCall { first: 3 })
            .map(drop)
    }));
    assert!(refused(&mut contract, &|contract, from| contract
        .call(from, &schedule(2))
        .map(drop)));
    assert_eq!(epochs(&mut contract), [3, 9]);
}
