//! A node of a cluster: the chain, simplex, the pool, gossip, and the RPC door.
//!
//! ```text
//!   clients ──► RPC ──► submit ──► Pool ──best──► simplex ──build · verify · finalized──► Chain ──► disk
//!                │         │        ▲                │ ▲                                    │
//!                │         └─gossip─┼──► peers ◄─────┘ └── peers                            │
//!                └──── reads ───────┴──────────────── head ◄───────────────────────────────┘
//! ```
//!
//! A node outside the committee ([`FollowNode`]) has neither keys nor peers: it fetches final blocks over RPC and checks them.
//!
//! Consensus has a runtime of its own, on threads of its own, so that no client's call can delay a vote. The data folder
//! has two parts: `chain` (redb) and `consensus` (commonware's journals and archives). They belong together, and to one
//! validator: see [`ballot`].

pub mod ballot;
mod config;
mod consensus;
mod control;
mod evidence;
mod files;
mod follow;
mod key_file;
mod metrics;
mod node;

pub use config::{ClusterConfig, ConfigError};
pub use files::{MetricsSection, NodeFile, NodeFileError, PeersSection, PoolSection, RpcSection};
pub use follow::{FollowConfig, FollowNode};
pub use key_file::{
    Ask, KeyFileError, PASSPHRASE_FILE_VARIABLE, Passphrase, is_encrypted, read_keys, replace_keys,
    write_keys, write_secret,
};
pub use node::ClusterNode;
