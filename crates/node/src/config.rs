//! How a node runs.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use alloy_primitives::Address;
use synod_chain::{ChainSpec, pool, spec::DEV_MNEMONIC};
pub use synod_consensus::single::Mining;

use crate::History;

/// Configuration of a development node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where the chain is kept. Made if it does not exist.
    pub data_dir: PathBuf,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port for HTTP and WebSocket; 0 takes a free one.
    pub port: u16,
    /// When blocks are made.
    pub mining: Mining,
    /// The rules of the chain, its genesis included.
    pub spec: ChainSpec,
    /// Who gets the fees.
    pub beneficiary: Address,
    /// The words that the node's own accounts follow from, and how many; `None` for a node that signs for nobody.
    pub accounts: Option<(String, u32)>,
    /// What may wait for a block.
    pub pool: pool::Limits,
    /// Whether what waits is written down, to be taken up again after a restart.
    pub keep_pool: bool,
    /// Which states are kept.
    pub history: History,
    /// What clients may ask for.
    pub rpc: synod_rpc::Limits,
}

impl NodeConfig {
    /// A development node: its chain in `data_dir`, instant mining, ten funded accounts, on a free local port.
    pub fn dev(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            mining: Mining::Instant,
            spec: ChainSpec::dev(),
            beneficiary: Address::ZERO,
            accounts: Some((DEV_MNEMONIC.to_owned(), 10)),
            pool: pool::Limits::default(),
            keep_pool: false,
            history: History::Archive,
            rpc: synod_rpc::Limits::default(),
        }
    }
}
