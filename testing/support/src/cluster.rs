//! A cluster of validators as processes on this machine.

use crate::{Node, NodeError};
use std::{
    io,
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Validators of one chain, each a process when it runs. Those that run are ended when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
    ports: Vec<u16>,
    nodes: Vec<Option<Node>>,
}

/// Ports of tests: below the range that systems hand out by themselves, so that nobody gets them by chance.
const PORTS: Range<u16> = 20_000..32_000;

/// The first of `count` ports that follow each other and are free. No two searches of a process find the same: what is found
/// is taken only later. The first search of a process begins at a place of its own, so that programs that run at once seldom
/// meet, and each goes on from the beginning when it came to the end.
///
/// # Errors
/// If there are none.
pub fn free_ports(count: u16) -> Result<u16, NodeError> {
    /// Where the last search of this process ended.
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let own = || PORTS.start + u16::try_from(std::process::id() % 1000).unwrap_or_default() * 12;
    let start = next.unwrap_or_else(own);
    let first = search(start, count, |port| {
        TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
    .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    *next = Some(first + count);
    Ok(first)
}

/// From `start` to the end of the ports, then from their beginning on.
fn search(start: u16, count: u16, free: impl Fn(u16) -> bool) -> Option<u16> {
    let step = usize::from(count.max(1));
    (start..PORTS.end)
        .step_by(step)
        .chain(PORTS.step_by(step))
        .filter(|first| PORTS.end - first >= count)
        .find(|first| (*first..first + count).all(&free))
}

impl Cluster {
    /// Makes a cluster with `binary cluster init`, funded dev accounts, and these further options. Nothing runs yet.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn init(binary: &Path, folder: &Path, validators: u16, options: &[&str]) -> Result<Self, NodeError> {
        let first = free_ports(3 * validators)?;
        let made = Command::new(binary)
            .args(["cluster", "init", "--dev-accounts", "--out"])
            .arg(folder)
            .args(["--validators", &validators.to_string()])
            .args(["--peers-port", &first.to_string()])
            .args(["--rpc-port", &(first + validators).to_string()])
            .args(["--metrics-port", &(first + 2 * validators).to_string()])
            .args(options)
            .output()?;
        if !made.status.success() {
            return Err(NodeError::Ended {
                program: binary.display().to_string(),
                status: made.status,
                log: String::from_utf8_lossy(&made.stderr).into_owned(),
            });
        }
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            ports: (0..validators).map(|index| first + validators + index).collect(),
            nodes: (0..validators).map(|_| None).collect(),
        })
    }

    /// How many validators it has.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The genesis file.
    pub fn genesis(&self) -> PathBuf {
        self.folder.join("genesis.json")
    }

    /// A validator's folder.
    pub fn folder(&self, index: usize) -> PathBuf {
        self.folder.join(format!("validator-{index}"))
    }

    /// Starts a validator and waits until it answers.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn start(&mut self, index: usize) -> Result<(), NodeError> {
        let node = Node::validator(&self.binary, &self.folder(index), self.ports[index]).await?;
        self.nodes[index] = Some(node);
        Ok(())
    }

    /// Starts all validators.
    ///
    /// # Errors
    /// If one can't be started.
    pub async fn start_all(&mut self) -> Result<(), NodeError> {
        for index in 0..self.size() {
            self.start(index).await?;
        }
        Ok(())
    }

    /// A validator that runs.
    ///
    /// # Panics
    /// If it does not.
    pub fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("a validator that runs")
    }

    /// Takes a validator that runs out, to end it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn take(&mut self, index: usize) -> Node {
        self.nodes[index].take().expect("a validator that runs")
    }

    /// Whether a validator runs.
    pub fn runs(&self, index: usize) -> bool {
        self.nodes[index].is_some()
    }

    /// Starts a node outside the committee that follows these validators.
    ///
    /// # Errors
    /// If it can't be started.
    pub async fn follower(&self, folder: &Path, sources: &[usize]) -> Result<Node, NodeError> {
        let sources: Vec<_> = sources.iter().map(|index| self.node(*index).url()).collect();
        let port = free_ports(1)?;
        Node::follower(&self.binary, folder, port, &self.genesis(), &sources.join(",")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_for_ports_goes_on_from_the_beginning() {
        assert_eq!(search(31_988, 12, |_| true), Some(31_988));
        assert_eq!(search(31_989, 12, |_| true), Some(20_000));
        assert_eq!(search(PORTS.end, 12, |_| true), Some(20_000));
        assert_eq!(search(31_988, 12, |port| port < 31_990), Some(20_000));
        assert_eq!(
            search(31_000, 4, |port| (20_003..30_000).contains(&port)),
            Some(20_004)
        );
        assert_eq!(search(20_000, 12, |_| false), None);
    }
}
