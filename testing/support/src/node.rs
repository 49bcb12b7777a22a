//! A node as a process of its own: started, asked, killed for real.

use alloy_network::EthereumWallet;
use alloy_primitives::{Address, Bytes, TxKind};
use alloy_provider::{DynProvider, Provider, ProviderBuilder};
use alloy_rpc_types_eth::TransactionRequest;
#[cfg(unix)]
use rustix::process::Pid;
use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io,
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long a node may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a node can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The program can't be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("{program} ended with {status} before it answered:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        log: String,
    },
    /// It did not answer in time.
    #[error("{program} did not answer within {PATIENCE:?}:\n{log}")]
    Silent {
        /// The program.
        program: String,
        /// The end of what it wrote.
        log: String,
    },
    /// Files, sockets.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An answer that is an error.
    #[error("the node refused: {0}")]
    Rpc(String),
}

/// A running node, ended when dropped.
#[derive(Debug)]
pub struct Node {
    process: Child,
    url: String,
    ready_after: Duration,
}

impl Node {
    /// Starts `binary dev` with its data in `folder`; its log is appended to `folder.log`.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn synod(binary: &Path, folder: &Path) -> Result<Self, NodeError> {
        Self::synod_with(binary, folder, &[]).await
    }

    /// The same with more options.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn synod_with(binary: &Path, folder: &Path, options: &[&OsStr]) -> Result<Self, NodeError> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .args(["dev", "--port", &port.to_string(), "--data-dir"])
            .arg(folder)
            .args(options);
        Self::start(command, port, &folder.with_extension("log")).await
    }

    /// Starts `binary node` with a validator's folder, as `synod cluster init` makes it, whose node answers on `port`.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn validator(binary: &Path, folder: &Path, port: u16) -> Result<Self, NodeError> {
        let mut command = Command::new(binary);
        command.args(["node", "--config"]).arg(folder.join("node.toml"));
        Self::start(command, port, &folder.join("node.log")).await
    }

    /// Starts `binary node --follow` on the nodes at `sources` (URLs with commas between) with its data in `folder`; its log is
    /// appended to `folder.log`.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn follower(
        binary: &Path,
        folder: &Path,
        port: u16,
        genesis: &Path,
        sources: &str,
    ) -> Result<Self, NodeError> {
        let mut command = Command::new(binary);
        command
            .args(["node", "--follow", sources, "--rpc-listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(folder);
        Self::start(command, port, &folder.with_extension("log")).await
    }

    /// Starts anvil, which mines each transaction at once as `synod dev` does.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn anvil(binary: &Path, log: &Path) -> Result<Self, NodeError> {
        Self::anvil_with(binary, log, &[]).await
    }

    /// The same with more options.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn anvil_with(binary: &Path, log: &Path, options: &[&OsStr]) -> Result<Self, NodeError> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .args(["--port", &port.to_string(), "--silent"])
            .args(options);
        Self::start(command, port, log).await
    }

    /// Starts any program that answers JSON-RPC on `port`; what it says on stderr is appended to `log`.
    ///
    /// # Errors
    /// If it can't be started or does not answer.
    pub async fn start(mut command: Command, port: u16, log: &Path) -> Result<Self, NodeError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let start = Instant::now();
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|source| NodeError::Start {
                program: program.clone(),
                source,
            })?;
        let mut node = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            ready_after: Duration::ZERO,
        };
        let rpc = node.provider();
        while start.elapsed() < PATIENCE {
            if rpc.get_chain_id().await.is_ok() {
                node.ready_after = start.elapsed();
                return Ok(node);
            }
            if let Some(status) = node.process.try_wait()? {
                return Err(NodeError::Ended {
                    program,
                    status,
                    log: tail(log),
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(NodeError::Silent {
            program,
            log: tail(log),
        })
    }

    /// Where it answers, over HTTP.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From the start of the process to its first answer.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// A client that asks and does not sign.
    pub fn provider(&self) -> DynProvider {
        ProviderBuilder::new()
            .connect_http(self.url.parse().expect("a URL of our own"))
            .erased()
    }

    /// A client that signs with a funded account.
    pub fn signing(&self, account: u32) -> DynProvider {
        let wallet = EthereumWallet::from(crate::account(account));
        ProviderBuilder::new()
            .wallet(wallet)
            .connect_http(self.url.parse().expect("a URL of our own"))
            .erased()
    }

    /// Deploys `runtime` code of at most 255 bytes from the first account.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn deploy(&self, runtime: &[u8]) -> Result<Address, NodeError> {
        let length =
            u8::try_from(runtime.len()).map_err(|_| NodeError::Rpc("more than 255 bytes of code".into()))?;
        // PUSH1 length, DUP1, PUSH1 9, PUSH0, CODECOPY, PUSH0, RETURN, then the code itself.
        let mut code = vec![0x60, length, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3];
        code.extend_from_slice(runtime);
        let create = TransactionRequest {
            to: Some(TxKind::Create),
            input: Bytes::from(code).into(),
            ..Default::default()
        };
        let refused = |error: &dyn std::fmt::Display| NodeError::Rpc(error.to_string());
        let pending = self
            .signing(0)
            .send_transaction(create)
            .await
            .map_err(|error| refused(&error))?;
        let receipt = pending.get_receipt().await.map_err(|error| refused(&error))?;
        receipt
            .contract_address
            .ok_or_else(|| NodeError::Rpc("the deployment made no contract".into()))
    }

    /// How the process ended, if it has.
    ///
    /// # Errors
    /// If the system can't tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, NodeError> {
        Ok(self.process.try_wait()?)
    }

    /// SIGKILL: no handler runs, no buffer is flushed.
    ///
    /// # Errors
    /// If the process can't be killed or waited for.
    pub fn kill(&mut self) -> Result<(), NodeError> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGTERM, as a service manager sends it; waits for the end.
    ///
    /// # Errors
    /// If the process can't be asked or waited for.
    #[cfg(unix)]
    pub fn terminate(&mut self) -> Result<ExitStatus, NodeError> {
        self.signal(rustix::process::Signal::TERM)?;
        Ok(self.process.wait()?)
    }

    /// SIGSTOP: the process stands still where it is, its sockets open.
    ///
    /// # Errors
    /// If the process can't be asked.
    #[cfg(unix)]
    pub fn pause(&self) -> Result<(), NodeError> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// SIGCONT: the process goes on.
    ///
    /// # Errors
    /// If the process can't be asked.
    #[cfg(unix)]
    pub fn resume(&self) -> Result<(), NodeError> {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) -> Result<(), NodeError> {
        let pid = i32::try_from(self.process.id()).map_err(io::Error::other)?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process"))?;
        Ok(rustix::process::kill_process(pid, signal).map_err(io::Error::from)?)
    }

    /// Resident memory in bytes, where the system tells it.
    pub fn resident_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// The threads that it has now.
    ///
    /// # Errors
    /// Where the system does not tell.
    #[cfg(unix)]
    pub fn threads(&self) -> io::Result<Vec<Pid>> {
        let mut threads = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let id = task?.file_name().to_str().and_then(|name| name.parse().ok());
            threads.extend(id.and_then(Pid::from_raw));
        }
        Ok(threads)
    }

    /// Processor time that the process has taken since it was started, its own and the system's for it, where the system tells it
    /// (`proc_pid_stat(5)`; to a hundredth of a second).
    #[cfg(unix)]
    pub fn processor_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // The name before it, in parentheses, may hold anything. Field 14 is the process's own time, 15 the system's.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
        Some(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Best effort: whoever fails must not leave a node behind, and one that is gone already is fine.
        let _ = self.kill();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = File::open(log).and_then(io::read_to_string).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
