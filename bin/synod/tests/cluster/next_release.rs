//! The next release, as a process: a validator's node that knows one protocol more than `synod` does.
//!
//! It is this very program. No rules of a node of `synod` can be changed from outside, so a release with other rules is
//! another program; [`command`] runs this one again, with nothing but [`validator`] to do, which wires a node as
//! `synod node --config` does, on the table of protocols below.

use alloy_hardforks::EthereumHardfork;
use std::{
    path::Path,
    process::{Command, ExitCode},
};
use synod_chain::{ChainSpec, PROTOCOLS, Protocol};
use synod_node::cluster::{ClusterConfig, ClusterNode};

/// The number of the protocol that `synod` does not know.
pub(crate) const PROTOCOL: u64 = 2;

/// The rules in code: those of `synod`, and a protocol with a later fork of Ethereum and a new profile of models. The profile
/// has no other bits than the first, since there is no other arithmetic: it is told by the ids of models.
const TABLE: &[Protocol] = &[
    PROTOCOLS[0],
    Protocol {
        number: PROTOCOL,
        fork: EthereumHardfork::Bpo3,
        profile: 2,
    },
];

/// Names the configuration file in the process's environment. Without it this program only tests.
const CONFIG: &str = "SYNOD_TEST_NEXT_RELEASE_CONFIG";

/// What runs a validator of the next release on its folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["next_release::validator", "--exact", "--ignored", "--nocapture"])
        .env(CONFIG, folder.join("node.toml"));
    command
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that other tests start"]
async fn validator() -> ExitCode {
    let Some(config) = std::env::var_os(CONFIG) else {
        return ExitCode::SUCCESS;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let mut config = ClusterConfig::read(Path::new(&config), &|_| {
        unreachable!("the keys are not encrypted")
    })
    .unwrap();
    config.spec = ChainSpec::with_protocols(config.spec.genesis().clone(), TABLE).unwrap();
    let mut node = ClusterNode::start(config).await.unwrap();
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::select! {
        fault = node.stopped() => panic!("{:?}", fault),
        _ = terminated.recv() => node.stop().await.unwrap(),
    }
    ExitCode::SUCCESS
}
