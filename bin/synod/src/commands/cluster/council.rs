//! `synod cluster council`

use crate::{
    client::{Account, Client, RpcArgs, WalletArgs},
    show::Form,
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use clap::{Args, Subcommand, ValueEnum};
use eyre::{Context as _, ContextCompat as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};
use synod_chain::{
    council::{COUNCIL, Council},
    spec::SynodParams,
};
use synod_consensus::simplex::{ValidatorEntry, net::PeerAddress};

/// Gas that a decision takes at most when it takes effect.
const EFFECT_GAS: u64 = 10_000_000;

#[derive(Debug, Args)]
pub(crate) struct CouncilArgs {
    #[command(subcommand)]
    command: CouncilCommand,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Debug, Subcommand)]
enum CouncilCommand {
    /// Show who votes now and in the next epoch, what only listed accounts may do, and the upgrades
    Show,
    /// Add a validator, from the file that `synod cluster join` made on its machine. It votes from the next epoch on
    AddValidator {
        /// The newcomer's seat.json
        #[arg(value_name = "FILE")]
        seat: PathBuf,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Remove a validator. It votes until the epoch ends
    RemoveValidator {
        /// Its name
        name: String,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Say where the peers reach the validator whose account this is
    SetHost {
        /// host:port
        host: String,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Say what only listed accounts may do; all else is open to all
    SetListed {
        /// None for nothing
        #[arg(value_name = "RIGHT")]
        rights: Vec<Right>,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// List an account for exactly these rights
    Grant {
        /// The account
        address: Address,
        /// None for nothing
        #[arg(value_name = "RIGHT")]
        rights: Vec<Right>,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Schedule new rules from an epoch on
    ScheduleUpgrade {
        /// The first epoch under the new rules
        epoch: u64,
        /// Number of the rules in code; they stay as they are without it. A node that does not know them stops before that
        /// epoch
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        protocol: u64,
        /// JSON file with what changes in `config.synod` of the genesis file
        #[arg(long, value_name = "FILE")]
        parameters: Option<PathBuf>,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Cancel the upgrade of an epoch that has not begun
    CancelUpgrade {
        epoch: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Take back what the account wanted, as long as it has not taken effect
    Withdraw {
        /// The action, as it was shown
        action: B256,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Right {
    Transact,
    Deploy,
    Publish,
}

impl Right {
    const ALL: [Self; 3] = [Self::Transact, Self::Deploy, Self::Publish];

    const fn bit(self) -> u8 {
        match self {
            Self::Transact => 1,
            Self::Deploy => 2,
            Self::Publish => 4,
        }
    }

    fn bits(rights: &[Self]) -> u8 {
        rights.iter().fold(0, |bits, right| bits | right.bit())
    }

    fn of(bits: u8) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|right| bits & right.bit() != 0)
            .collect()
    }
}

/// A validator as the council has to know it: what `synod cluster join` writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Seat {
    pub(super) account: Address,
    pub(super) host: String,
    #[serde(flatten)]
    pub(super) entry: ValidatorEntry,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    epoch: u64,
    last_block: u64,
    head: u64,
    quorum: u64,
    validators: Vec<Line>,
    next: Vec<Line>,
    listed: Vec<Right>,
    upgrades: Vec<Upgrade>,
}

#[derive(PartialEq, Eq, Serialize)]
struct Line {
    name: String,
    account: Address,
    host: String,
}

#[derive(Serialize)]
struct Upgrade {
    epoch: u64,
    protocol: u64,
    parameters: String,
}

/// What a node answers to `synod_getValidators`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validators {
    epoch: U64,
    last_block: U64,
    validators: Vec<Named>,
    next: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    account: Address,
    host: String,
}

impl From<Named> for Line {
    fn from(Named { name, account, host }: Named) -> Self {
        Self { name, account, host }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "epoch {}, at block {}, ends with block {}; {} validators decide together",
            self.epoch, self.head, self.last_block, self.quorum
        )?;
        let table = |f: &mut fmt::Formatter<'_>, lines: &[Line]| {
            lines
                .iter()
                .try_for_each(|line| writeln!(f, "  {:20} {}  {}", line.name, line.account, line.host))
        };
        table(f, &self.validators)?;
        if self.next != self.validators {
            writeln!(f, "from epoch {} on", self.epoch + 1)?;
            table(f, &self.next)?;
        }
        let listed: Vec<_> = self
            .listed
            .iter()
            .map(|right| format!("{right:?}").to_lowercase())
            .collect();
        if listed.is_empty() {
            writeln!(f, "everybody may transact, deploy and publish")?;
        } else {
            writeln!(f, "only listed accounts may {}", listed.join(", "))?;
        }
        for upgrade in &self.upgrades {
            write!(f, "upgrade at epoch {}: ", upgrade.epoch)?;
            match upgrade.protocol {
                0 => write!(f, "the same protocol")?,
                protocol => write!(f, "protocol {protocol}")?,
            }
            writeln!(f, " {}", upgrade.parameters)?;
        }
        Ok(())
    }
}

/// What became of a decision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    transaction: B256,
    block: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<B256>,
    approvals: u64,
    needed: u64,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Some(action) if self.approvals < self.needed => writeln!(
                f,
                "{} of {} validators want this (action {action}); the others send the same command",
                self.approvals, self.needed
            ),
            Some(_) => writeln!(
                f,
                "decided by {} validators, in block {}",
                self.approvals, self.block
            ),
            None => writeln!(f, "done, in block {}", self.block),
        }
    }
}

pub(crate) async fn run(args: CouncilArgs, form: Form) -> Result<()> {
    let client = args.rpc.connect().await?;
    ensure!(
        client.exists(COUNCIL).await?,
        "the chain has no council: it was not made by `synod cluster init`, or by an older one"
    );
    use CouncilCommand as C;
    let (wallet, call) = match args.command {
        C::Show => return form.print(&show(&client).await?),
        C::AddValidator { seat, wallet } => {
            let seat = Seat::read(&seat)?;
            let validator = seat.entry.seat(seat.account, seat.host);
            (wallet, Council::addValidatorCall { validator }.abi_encode())
        }
        C::RemoveValidator { name, wallet } => {
            let named = client
                .call(COUNCIL, &Council::validatorsCall {}, BlockId::latest())
                .await?;
            let known = || {
                named
                    .iter()
                    .map(|v| v.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let validator = named.iter().find(|validator| validator.name == name);
            let identity = validator
                .wrap_err_with(|| format!("no validator is called {name:?}; there are {}", known()))?
                .identity;
            (wallet, Council::removeValidatorCall { identity }.abi_encode())
        }
        C::SetHost { host, wallet } => {
            host.parse::<PeerAddress>()?;
            (wallet, Council::setHostCall { host }.abi_encode())
        }
        C::SetListed { rights, wallet } => {
            let rights = Right::bits(&rights);
            (wallet, Council::setListedCall { rights }.abi_encode())
        }
        C::Grant {
            address: account,
            rights,
            wallet,
        } => {
            let rights = Right::bits(&rights);
            (wallet, Council::grantCall { account, rights }.abi_encode())
        }
        C::ScheduleUpgrade {
            epoch,
            protocol,
            parameters,
            wallet,
        } => {
            not_begun(&client, epoch).await?;
            let parameters = parameters
                .as_deref()
                .map(read_parameters)
                .transpose()?
                .unwrap_or_default();
            let call = Council::scheduleUpgradeCall {
                first: epoch,
                protocol,
                parameters,
            };
            (wallet, call.abi_encode())
        }
        C::CancelUpgrade { epoch, wallet } => {
            (wallet, Council::cancelUpgradeCall { first: epoch }.abi_encode())
        }
        C::Withdraw { action, wallet } => (wallet, Council::withdrawCall { action }.abi_encode()),
    };
    form.print(&decide(&client, &wallet, call.into()).await?)
}

async fn show(client: &Client) -> Result<State> {
    let sitting: Option<Validators> = client.request("synod_getValidators", ()).await?;
    let sitting = sitting.wrap_err("the chain has no council")?;
    let latest = BlockId::latest();
    let upgrades = client.call(COUNCIL, &Council::upgradesCall {}, latest).await?;
    let upgrade = |upgrade: Council::Upgrade| Upgrade {
        epoch: upgrade.epoch,
        protocol: upgrade.protocol,
        parameters: upgrade.parameters,
    };
    Ok(State {
        epoch: sitting.epoch.to(),
        last_block: sitting.last_block.to(),
        head: client.block_number().await?,
        quorum: client.call(COUNCIL, &Council::quorumCall {}, latest).await?.to(),
        validators: sitting.validators.into_iter().map(Line::from).collect(),
        next: sitting.next.into_iter().map(Line::from).collect(),
        listed: Right::of(client.call(COUNCIL, &Council::listedCall {}, latest).await?),
        upgrades: upgrades.into_iter().map(upgrade).collect(),
    })
}

async fn decide(client: &Client, wallet: &WalletArgs, call: Bytes) -> Result<Decision> {
    let mut account = Account::open(client, wallet.signer()?).await?;
    let (to, value) = (TxKind::Call(COUNCIL), U256::ZERO);
    let estimate = client
        .estimate(Some(account.address()), to, value, call.clone())
        .await?;
    // Others may decide the same at this moment: this call may become the one that takes effect.
    let hash = account.send(to, value, call, estimate + EFFECT_GAS).await?;
    let receipt = client.wait(hash).await?;
    ensure!(
        receipt.status(),
        "transaction {hash} was reverted in block {}",
        receipt.block_number.unwrap_or_default()
    );
    let approved = receipt
        .logs()
        .iter()
        .filter(|log| log.address() == COUNCIL)
        .find_map(|log| Council::Approved::decode_log(&log.inner).ok());
    Ok(Decision {
        transaction: receipt.transaction_hash,
        block: receipt.block_number.unwrap_or_default(),
        action: approved.as_ref().map(|event| event.action),
        approvals: approved.as_ref().map_or(0, |event| event.approvals.to()),
        needed: approved.as_ref().map_or(0, |event| event.needed.to()),
    })
}

impl Seat {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let seat: Self = serde_json::from_str(&text)
            .wrap_err_with(|| format!("{} is not what `synod cluster join` writes", path.display()))?;
        seat.entry
            .check()
            .wrap_err_with(|| format!("the keys in {} cannot vote", path.display()))?;
        Ok(seat)
    }
}

/// The contract would say so only to the validator that completes the quorum.
async fn not_begun(client: &Client, epoch: u64) -> Result<()> {
    let running = client
        .call(COUNCIL, &Council::epochCall {}, BlockId::latest())
        .await?;
    ensure!(
        epoch > running,
        "epoch {epoch} has begun already (epoch {running} runs): an upgrade begins with a later one"
    );
    Ok(())
}

/// Parameters that every node will understand.
fn read_parameters(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).wrap_err_with(|| format!("{} is not JSON", path.display()))?;
    if !value.is_object() {
        bail!("{} is not a JSON object, as `config.synod` is", path.display());
    }
    SynodParams::default()
        .changed(&value.to_string())
        .wrap_err_with(|| {
            format!(
                "{} changes `config.synod` to what no chain can be",
                path.display()
            )
        })?;
    Ok(value.to_string())
}
