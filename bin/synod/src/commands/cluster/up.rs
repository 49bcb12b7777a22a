//! `synod cluster up`

use crate::{
    commands::dev::asked_to_stop,
    show::{Form, note},
};
use clap::Args;
use eyre::{Context as _, Result, bail, ensure, eyre};
use serde::Serialize;
use std::{
    fmt, fs,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use synod_node::cluster::NodeFile;
use tokio::process::{Child, Command};

/// How long a validator may take to finish the block at hand.
const PATIENCE: Duration = Duration::from_secs(20);

/// A validator's configuration, in its folder.
const CONFIG: &str = "node.toml";

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Folder that `synod cluster init` made
    #[arg(value_name = "DIR")]
    cluster: PathBuf,
}

#[derive(Serialize)]
struct Up {
    validators: Vec<Running>,
}

#[derive(Serialize)]
struct Running {
    name: String,
    rpc_url: String,
    pid: u32,
    log: PathBuf,
}

impl fmt::Display for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for running in &self.validators {
            writeln!(
                f,
                "{}  {}  process {}  log {}",
                running.name,
                running.rpc_url,
                running.pid,
                running.log.display()
            )?;
        }
        writeln!(f, "\nCtrl-C stops all of them")
    }
}

/// A validator's process.
struct Validator {
    running: Running,
    process: Child,
}

pub(crate) async fn run(args: UpArgs, form: Form) -> Result<()> {
    let folders = folders(&args.cluster)?;
    let mut validators = Vec::new();
    for folder in folders {
        validators.push(start(&folder)?);
    }
    let up = Up {
        validators: validators.iter_mut().map(|v| v.running.copy()).collect(),
    };
    form.print(&up)?;
    let outcome = tokio::select! {
        signal = asked_to_stop() => signal.map_err(Into::into),
        () = all_end(&mut validators) => Err(eyre!("no validator runs any more: their logs say why")),
    };
    let stopped = stop(validators).await;
    outcome?;
    stopped
}

impl Running {
    fn copy(&self) -> Self {
        Self {
            name: self.name.clone(),
            rpc_url: self.rpc_url.clone(),
            pid: self.pid,
            log: self.log.clone(),
        }
    }
}

/// The folders of the validators, in order of their numbers.
fn folders(cluster: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(cluster).wrap_err_with(|| format!("cannot read {}", cluster.display()))?;
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(CONFIG).is_file())
        .collect();
    ensure!(
        !folders.is_empty(),
        "{} has no validators: make them with `synod cluster init --out {}`",
        cluster.display(),
        cluster.display()
    );
    folders.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(folders)
}

fn start(folder: &Path) -> Result<Validator> {
    let config = folder.join(CONFIG);
    let file = NodeFile::read(&config)?;
    let log = folder.join("node.log");
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .wrap_err_with(|| format!("cannot write {}", log.display()))?;
    let process = Command::new(std::env::current_exe()?)
        .arg("node")
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        // Ctrl-C in a terminal goes to the whole group; each process stops only when it is told below.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .wrap_err("cannot start a validator")?;
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Validator {
        running: Running {
            name,
            rpc_url: format!("http://{}", file.rpc.listen),
            pid: process.id().unwrap_or_default(),
            log,
        },
        process,
    })
}

/// Waits until all processes have ended, and says of each that does, and how it comes back: the others go on without it, as on machines of
/// their own.
async fn all_end(validators: &mut [Validator]) {
    let mut run: Vec<&mut Validator> = validators.iter_mut().collect();
    while !run.is_empty() {
        run.retain_mut(|validator| {
            let Ok(Some(status)) = validator.process.try_wait() else {
                return true;
            };
            let log = &validator.running.log;
            note(format_args!(
                "{} ended with {status}; its log is {}. To start it again: synod node --config {}",
                validator.running.name,
                log.display(),
                log.with_file_name(CONFIG).display()
            ));
            false
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks all processes to stop, and waits for them.
async fn stop(mut validators: Vec<Validator>) -> Result<()> {
    for validator in &validators {
        terminate(&validator.process);
    }
    let mut late = Vec::new();
    for validator in &mut validators {
        if tokio::time::timeout(PATIENCE, validator.process.wait())
            .await
            .is_err()
        {
            late.push(validator.running.name.clone());
            validator.process.kill().await?;
        }
    }
    if !late.is_empty() {
        bail!("{} did not stop in time and had to be killed", late.join(", "));
    }
    note("all validators have stopped");
    Ok(())
}

/// Asks a process to stop, as a service manager does.
fn terminate(process: &Child) {
    #[cfg(unix)]
    if let Some(pid) = process
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
    {
        // An error means that it is gone.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = process;
}
