//! Consensus, on threads and a runtime of its own.

use std::{io, path::PathBuf, sync::Arc, thread};

use alloy_primitives::Address;
use commonware_macros::select;
use commonware_runtime::{Metrics as _, Runner as _, Supervisor as _, tokio as runtime};
use synod_chain::Proposal;
use synod_consensus::simplex::{self, Committee, Committees, EngineError, ValidatorKeys, net};
use tokio::sync::oneshot;

use super::{ballot::Votes, control::Exchange, metrics::Watch};

/// Threads of its runtime. Execution runs on others.
const THREADS: usize = 2;

/// What consensus runs with.
pub(super) struct Consensus {
    /// The chain, and who votes in it.
    pub(super) committees: Committees,
    /// Who votes from the genesis on.
    pub(super) committee: Arc<Committee>,
    pub(super) keys: ValidatorKeys,
    pub(super) ballot: Arc<Votes>,
    pub(super) genesis: Proposal,
    /// Most bytes of a block's RLP.
    pub(super) block_size_limit: usize,
    /// Who gets the fees of this node's blocks.
    pub(super) beneficiary: Address,
    pub(super) transactions: Arc<Exchange>,
    pub(super) observer: Arc<Watch>,
    pub(super) network: net::Config,
    /// Its folder.
    pub(super) storage: PathBuf,
    /// The engine's end of the node's handle.
    pub(super) engine: simplex::HandleEnd,
}

impl Consensus {
    /// Runs it until `stopping` says so or it cannot go on, and tells why it ended: `None` if it was told to.
    ///
    /// A function and no part of the future that starts a node: whoever awaits a future compiles what is in it, and in this are
    /// the whole engine and the network, which so are compiled here, once for all programs.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(
        self,
        stopping: oneshot::Receiver<()>,
        ending: oneshot::Sender<Option<EngineError>>,
    ) -> io::Result<thread::JoinHandle<()>> {
        let runner = runtime::Runner::new(
            runtime::Config::new()
                .with_storage_directory(self.storage)
                // A part that dies of a failing disk ends the engine, which ends the node with a reason.
                .with_catch_panics(true)
                .with_worker_threads(THREADS),
        );
        thread::Builder::new().name("consensus".into()).spawn(move || {
            let result = runner.start(async |context| {
                let metrics = context.child("metrics");
                self.observer.show(Box::new(move || metrics.encode()));
                let connected = net::connect(&context, &self.committee, &self.keys, self.network);
                let engine = simplex::Config {
                    committees: self.committees,
                    keys: self.keys,
                    ballot: self.ballot,
                    directory: connected.directory,
                    genesis: self.genesis,
                    block_size_limit: self.block_size_limit,
                    beneficiary: self.beneficiary,
                    blocker: connected.oracle.clone(),
                    peers: connected.oracle,
                    partition: "synod".into(),
                    transactions: self.transactions,
                    observer: self.observer,
                };
                let running = simplex::run(context.child("engine"), engine, self.engine, connected.channels);
                select! {
                    error = running => Some(error),
                    _ = connected.task => Some(EngineError::Ended("network")),
                    _ = stopping => None,
                }
            });
            // An error means that nobody waits for it.
            let _ = ending.send(result);
        })
    }
}
