//! Peers over TCP: authenticated, encrypted, and only those of the committee.
//!
//! The committee and the council say *who* the peers are (their Ed25519 identities); the council, or before it the node's
//! configuration, says *where*. A connection is accepted only from one of them, after a handshake that both sides sign over the chain's namespace;
//! everything after it is encrypted (ChaCha20-Poly1305). Whoever breaks the protocol is cut off for a while.

use super::{
    Channels, Committee, Directory, EngineError, Hosts, Identity, MAX_VALIDATORS, keys::ValidatorKeys,
    max_message_size,
};
use commonware_cryptography::{ChaCha20Poly1305, ed25519};
use commonware_p2p::{
    Address, AddressableManager as _, Ingress,
    authenticated::lookup::{self, Oracle},
};
use commonware_runtime::{Clock, Handle, Metrics, Network, Quota, Resolver, Spawner};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{Hostname, NZU32, NZUsize, ordered::Map};
use parking_lot::Mutex;
use rand_core::CryptoRng;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

// Messages of one peer: so many a second, and so many at once. The network sets memory aside for what all peers may send at once, on
// every channel.

/// On each channel that carries votes: a handful in each view.
const VOTES: Quota = Quota::per_second(NZU32!(2048)).allow_burst(NZU32!(64));
/// On each channel that carries blocks.
const BLOCKS: Quota = Quota::per_second(NZU32!(256)).allow_burst(NZU32!(32));
/// On the channel of transactions: whoever sends keeps to it ([`super::gossip`]).
const TRANSACTIONS: Quota = Quota::per_second(NZU32!(4096)).allow_burst(NZU32!(256));

/// Peers that there is always room for.
const LEAST_ROOM: usize = 64;

/// For how many peers a network is started where a council names so many validators: four times as many may come before its process
/// must be started again.
#[must_use]
pub fn room_for(validators: usize) -> NonZeroUsize {
    let most = 2 * MAX_VALIDATORS + 1;
    let room = validators.saturating_mul(4).clamp(LEAST_ROOM, most);
    NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN)
}

/// Where a peer listens: `host:port`, an address or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host name and port, looked up at each attempt.
    Host(Hostname, u16),
}

/// Text that is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: write host:port")]
pub struct PeerAddressError(String);

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        if let Ok(socket) = text.parse() {
            return Ok(Self::Socket(socket));
        }
        let wrong = || PeerAddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = Hostname::new(host).map_err(|_| wrong())?;
        Ok(Self::Host(host, port.parse().map_err(|_| wrong())?))
    }
}

impl From<PeerAddress> for Address {
    fn from(address: PeerAddress) -> Self {
        match address {
            PeerAddress::Socket(socket) => Self::Symmetric(socket),
            // Where a name's connections come from is not known; the handshake says who it is.
            PeerAddress::Host(host, port) => Self::Asymmetric {
                ingress: Ingress::Dns { host, port },
                egress: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            },
        }
    }
}

/// How a node meets its peers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where validators listen, by identity, whatever they told the council. One that is in neither place can only connect by
    /// itself.
    pub peers: BTreeMap<Identity, PeerAddress>,
    /// Most bytes of a block's RLP.
    pub block_size_limit: usize,
    /// Peers at a time, this node among them; see [`room_for`].
    pub room: NonZeroUsize,
}

type Sender<E> = lookup::Sender<Identity, E>;
type Receiver = lookup::Receiver<Identity>;

/// A network that has started.
pub struct Connected<E: Clock> {
    /// Knows the peers and cuts them off.
    pub oracle: Oracle<Identity>,
    /// Is told who the peers are.
    pub directory: Arc<dyn Directory>,
    /// Lines to them.
    pub channels: Channels<Sender<E>, Receiver>,
    /// Runs until the network ends.
    pub task: Handle<()>,
}

/// Tells the network who the peers are, and where.
struct Book {
    oracle: Mutex<Oracle<Identity>>,
    /// What the operator says.
    peers: BTreeMap<Identity, PeerAddress>,
    /// Peers at a time.
    room: usize,
}

impl Book {
    fn address(&self, identity: &Identity, host: &str) -> Address {
        let unknown = PeerAddress::Socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        let told = self.peers.get(identity).cloned();
        told.or_else(|| host.parse().ok()).unwrap_or(unknown).into()
    }
}

impl Directory for Book {
    fn track(&self, id: u64, peers: Hosts) -> Result<(), EngineError> {
        if peers.len() > self.room {
            return Err(EngineError::Peers {
                named: peers.len(),
                room: self.room,
            });
        }
        let addresses = peers
            .into_iter()
            .map(|(identity, host)| {
                let address = self.address(&identity, &host);
                (identity, address)
            })
            .collect::<Vec<_>>();
        tracing::info!(peers = addresses.len(), "the peers are told");
        let addresses: Map<Identity, Address> = Map::try_from(addresses).expect("the keys of a map differ");
        // The network's own end tells the engine.
        let _ = self.oracle.lock().track(id, addresses);
        Ok(())
    }
}

/// Starts to listen, and to dial those of whom the directory is told.
pub fn connect<E>(runtime: &E, committee: &Committee, keys: &ValidatorKeys, config: Config) -> Connected<E>
where
    E: Spawner + Clock + CryptoRng + Network + Resolver + Metrics,
{
    let handshake = Cups::<Sake<ed25519::PrivateKey>, ChaCha20Poly1305>::new(
        Sake {
            signer: keys.identity.clone(),
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let mut network = lookup::Config::local(
        handshake,
        committee.namespace(),
        config.listen,
        config.room,
        max_message_size(config.block_size_limit),
        NZUsize!(4096),
    );
    // Identities are checked by the handshake; addresses of names and behind translation are not known.
    network.bypass_ip_check = true;
    network.block_duration = Duration::from_secs(600);
    // Who is told of no more is let go.
    network.tracked_peer_sets = NZUsize!(1);
    let (mut network, oracle) = lookup::Network::new(runtime.child("network"), network);
    let channels = Channels {
        votes: network.register(0, VOTES),
        certificates: network.register(1, VOTES),
        resolver: network.register(2, VOTES),
        blocks: network.register(3, BLOCKS),
        backfill: network.register(4, BLOCKS),
        transactions: network.register(5, TRANSACTIONS),
    };
    let directory = Arc::new(Book {
        oracle: Mutex::new(oracle.clone()),
        peers: config.peers,
        // this node may be told of or not, and always counts
        room: config.room.get() - 1,
    });
    Connected {
        oracle,
        directory,
        channels,
        task: network.start(),
    }
}
