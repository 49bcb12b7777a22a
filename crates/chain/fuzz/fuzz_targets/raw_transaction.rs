//! Any bytes as a raw transaction, to the pool of a development chain. `bin/synod/tests/it/raw.rs` is the bounded run that
//! is part of the tests.
#![no_main]

use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use synod_chain::{
    Chain, ChainSpec,
    pool::{Head, Limits, Pool},
};

thread_local! {
    static HEAD: Head = {
        let chain = Chain::in_memory(ChainSpec::dev()).expect("the development genesis is valid");
        let env = chain.pending_env(chain.head_digest().1);
        Head { env, accounts: Arc::new(chain.state().expect("a store in memory")), gas_is_free: false }
    };
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    HEAD.with(|head| {
        let pool = Pool::new(Limits::default(), head.clone());
        // What is taken is kept to the byte, and what is refused leaves no trace.
        match pool.add_raw(data) {
            Ok(added) => {
                let kept = pool.get(&added.hash).expect("an empty pool has room");
                assert_eq!(kept.transaction().inner().encoded_2718(), data);
            }
            Err(_) => assert_eq!(pool.status(), Default::default()),
        }
    });
});
