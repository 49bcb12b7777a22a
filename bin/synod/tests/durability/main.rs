//! `kill -9` at any instant: what a client has seen final is there when the node is back.
//!
//! A real `synod dev` process mines on a real folder while several senders wait for receipts and a real
//! `synod model publish` uploads networks. At an instant drawn from the seed the node is killed with SIGKILL:
//! between blocks, inside a durable commit, in the middle of an upload. Then it is started again on the
//! same folder and asked about everything that any client had been told before:
//!
//! - every receipt is there, in the same block;
//! - every block seen is still the block of that height, and the chain of parents is whole;
//! - each sender's nonce and balance are what its receipts say, so the state under the head is the one that
//!   these blocks made;
//! - the interrupted upload resumes with the same command and ends in the same model id.
//!
//! `SYNOD_KILLS` (default 20) and `SYNOD_SEED` set length and seed; `cargo xtask kill` runs a thousand. A failure
//! names its seed and the number of the kill.

mod ledger;
mod traffic;

use ledger::Ledger;
use std::{path::Path, sync::Arc, time::Duration};
use synod_testing::Node;
use traffic::Uploads;

/// SplitMix64: all randomness of a run comes from its seed.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value}: not a number"))
    })
}

async fn start(folder: &Path) -> Node {
    let node = Node::synod(Path::new(env!("CARGO_BIN_EXE_synod")), &folder.join("data")).await;
    node.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_has_seen_survives_kill_9() {
    let (kills, seed) = (setting("SYNOD_KILLS", 20), setting("SYNOD_SEED", 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Seeded(seed);
    let ledger = Arc::new(Ledger::default());
    let mut uploads = Uploads::new(folder.path());
    let mut interrupted = 0;

    for kill in 0..kills {
        let context = format!("seed {seed}, after kill {kill}");
        let mut node = start(folder.path()).await;
        ledger.check(&node, &context, kill + 1 == kills).await;

        let senders = traffic::send(&node, &ledger);
        uploads.go_on(&node).await;
        // From before the first transaction to many blocks later; a block takes a few milliseconds, most of
        // which is its durable commit, so a good part of the instants falls inside one.
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        node.kill().expect("the node is ours to kill");
        interrupted += u64::from(uploads.stop().await);
        for sender in senders {
            sender.await.expect("a sender ends when its node is gone");
        }
    }

    let node = start(folder.path()).await;
    let context = format!("seed {seed}, at the end");
    ledger.check(&node, &context, true).await;
    uploads.finish(&node).await;
    let seen = ledger.receipts();
    eprintln!(
        "{kills} kills: {seen} receipts seen and found again, {} uploads done, {interrupted} interrupted and resumed",
        uploads.done()
    );
    assert!(seen > 0, "no receipt was ever seen: the test showed nothing");
    assert!(
        uploads.done() > 0,
        "no upload ever ended: the test showed nothing"
    );
}
