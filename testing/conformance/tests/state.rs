//! GeneralStateTests: one transaction each, through the chain's EVM and its trie.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use alloy_evm::{Evm, EvmEnv, EvmFactory};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::{
    context::{BlockEnv, CfgEnv},
    database::{State, states::bundle_state::BundleRetention},
    primitives::hardfork::SpecId,
};
use revm_statetest_types::{Test, TestSuite, TestUnit};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use synod_chain::{Factory, StateError};
use synod_conformance::data;
use synod_state::{Mpt, NodeReader, StateChanges, StateCommitment};

/// Files that say nothing about this node, each with the reason. Every other file must pass, and each of these must exist.
const NOT_APPLICABLE: [(&str, &str); 1] = [(
    "stTransactionTest/ValueOverflowParis.json",
    "a value of 257 bits: no RLP decoder lets such a transaction come to be, and the suite's own parser cannot say it",
)];

struct Nodes(BTreeMap<B256, Bytes>);

impl NodeReader for Nodes {
    fn node(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.get(hash).cloned())
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "json") {
            found.push(path);
        }
    }
}

fn cfg(spec: SpecId) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(spec);
    cfg.set_max_blobs_per_tx(if spec == SpecId::PRAGUE { 9 } else { 6 });
    cfg
}

/// The state root and the hash of the logs after the test's transaction, and whether it was accepted.
fn run(factory: &Factory, unit: &TestUnit, test: &Test, cfg: CfgEnv, block: BlockEnv) -> (B256, B256, bool) {
    let mut pre = StateChanges::default();
    for (address, account) in &unit.pre {
        let storage = account
            .storage
            .iter()
            .map(|(k, v)| (B256::from(*k), B256::from(*v)));
        pre.genesis_account(
            *address,
            account.nonce,
            account.balance,
            Some(&account.code),
            storage,
        );
    }
    let before = Mpt
        .commit(&Nodes(BTreeMap::new()), EMPTY_ROOT_HASH, &pre)
        .unwrap();
    let mut state = State::builder()
        .with_cached_prestate(unit.state())
        .with_bundle_update()
        .build();
    let accepted_logs = test.tx_env(unit).ok().and_then(|tx| {
        let mut evm = factory.create_evm(&mut state, EvmEnv::new(cfg, block));
        evm.transact_commit(tx).ok().map(|result| result.into_logs())
    });
    state.merge_transitions(BundleRetention::PlainState);
    let changes = StateChanges::from(state.take_bundle());
    let after = Mpt.commit(&Nodes(before.nodes), before.root, &changes).unwrap();
    let accepted = accepted_logs.is_some();
    let logs = keccak256(alloy_rlp::encode(accepted_logs.unwrap_or_default()));
    (after.root, logs, accepted)
}

#[test]
fn every_state_test_passes_with_predict_installed() {
    let root = data("state-tests");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    assert_eq!(paths.len(), 641);
    let factory = Factory::default();
    let (mut ran, mut skipped, mut failures) = (0, Vec::new(), Vec::new());
    for path in &paths {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        if let Some((name, _)) = NOT_APPLICABLE.iter().find(|(file, _)| *file == name) {
            skipped.push(*name);
            continue;
        }
        let suite: TestSuite = serde_json::from_str(&fs::read_to_string(path).unwrap())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for (case, unit) in &suite.0 {
            for (fork, tests) in &unit.post {
                let mut cfg = cfg(fork.to_spec_id());
                let block = unit.block_env(&mut cfg);
                for test in tests {
                    ran += 1;
                    let (root, logs, accepted) = run(&factory, unit, test, cfg.clone(), block.clone());
                    let expected = (test.hash, test.logs, test.expect_exception.is_none());
                    if (root, logs, accepted) != expected {
                        failures.push(format!(
                            "{name} {case} {fork:?} {:?}: root {root} logs {logs} accepted {accepted}",
                            test.indexes
                        ));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {ran} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(
        skipped.len(),
        NOT_APPLICABLE.len(),
        "listed files that do not exist"
    );
    assert_eq!(ran, 3137);
}
