//! Changes of what names stand for: `synod model latest`, `alias`, `deprecate`, `restore`, `revoke`, `transfer`, `accept`.

use crate::{
    client::{self, Account, Client, RpcArgs, WalletArgs},
    show::{Form, ether, thousands},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall as _;
use clap::Args;
use eyre::{Result, ensure};
use serde::Serialize;
use std::fmt;
use synod_evm::{
    addresses::MODEL_REGISTRY,
    interface::ModelRegistry,
    name::{ModelName, Version},
};

/// A node and who signs.
#[derive(Debug, Args)]
pub(crate) struct Signed {
    #[command(flatten)]
    rpc: RpcArgs,

    #[command(flatten)]
    wallet: WalletArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LatestArgs {
    /// The version that the bare name stands for from now on
    #[arg(value_name = "ORG/MODEL@VERSION")]
    name: ModelName,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, Args)]
pub(crate) struct AliasArgs {
    /// The version; with --remove, the name alone
    #[arg(value_name = "ORG/MODEL@VERSION")]
    name: ModelName,

    /// The alias that stands for it from now on
    #[arg(value_name = "ALIAS")]
    alias: String,

    /// Let the alias stand for nothing
    #[arg(long)]
    remove: bool,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The version
    #[arg(value_name = "ORG/MODEL@VERSION")]
    name: ModelName,

    /// Why, in at most 256 bytes: it is kept on the chain
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The version
    #[arg(value_name = "ORG/MODEL@VERSION")]
    name: ModelName,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// The model, or the namespace
    #[arg(value_name = "ORG[/MODEL]")]
    name: String,

    /// Who may take it; the zero address withdraws an offer
    #[arg(long, value_name = "ADDRESS")]
    to: Address,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The model, or the namespace, that was offered to the account that signs
    #[arg(value_name = "ORG[/MODEL]")]
    name: String,

    #[command(flatten)]
    signed: Signed,
}

#[derive(Serialize)]
struct Report {
    done: String,
    gas_used: u64,
    fee_wei: String,
    block: Option<u64>,
    transaction: B256,
    #[serde(skip)]
    fee: U256,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.done)?;
        writeln!(
            f,
            "gas {}  fee {}  block {}  transaction {}",
            thousands(self.gas_used),
            ether(self.fee),
            self.block.unwrap_or_default(),
            self.transaction
        )
    }
}

pub(crate) async fn latest(args: LatestArgs, form: Form) -> Result<()> {
    let (path, version, session) = args.signed.version(&args.name).await?;
    let call = ModelRegistry::setLatestCall {
        name: path.clone(),
        version: U256::from(version),
    };
    let done = format!("{path} stands for version {version}");
    session.execute(call.abi_encode(), done, form).await
}

pub(crate) async fn alias(args: AliasArgs, form: Form) -> Result<()> {
    let alias = args.alias;
    ensure!(
        synod_evm::name::is_alias(&alias),
        "{alias:?} cannot be an alias: 1 to 64 of a-z 0-9 - _ . beginning with a letter or digit, neither a number nor \"latest\""
    );
    if args.remove {
        ensure!(
            args.name.is_bare(),
            "to remove an alias give {} without a version",
            args.name.path()
        );
        let name = args.name.path().to_owned();
        let done = format!("{name}@{alias} stands for nothing");
        let call = ModelRegistry::removeAliasCall {
            name,
            aliasName: alias,
        };
        return args
            .signed
            .open()
            .await?
            .execute(call.abi_encode(), done, form)
            .await;
    }
    let (name, version, session) = args.signed.version(&args.name).await?;
    let done = format!("{name}@{alias} stands for version {version}");
    let call = ModelRegistry::setAliasCall {
        name,
        aliasName: alias,
        version: U256::from(version),
    };
    session.execute(call.abi_encode(), done, form).await
}

pub(crate) async fn deprecate(args: StatusArgs, form: Form) -> Result<()> {
    let (name, version, session) = args.signed.version(&args.name).await?;
    let done = format!("{name}@{version} is deprecated; it runs as before");
    let call = ModelRegistry::deprecateCall {
        name,
        version: U256::from(version),
        reason: args.reason,
    };
    session.execute(call.abi_encode(), done, form).await
}

pub(crate) async fn restore(args: RestoreArgs, form: Form) -> Result<()> {
    let (name, version, session) = args.signed.version(&args.name).await?;
    let done = format!("{name}@{version} is active again");
    let call = ModelRegistry::restoreCall {
        name,
        version: U256::from(version),
    };
    session.execute(call.abi_encode(), done, form).await
}

pub(crate) async fn revoke(args: StatusArgs, form: Form) -> Result<()> {
    // What is final names what it ends, whatever moves in the meantime.
    ensure!(
        matches!(args.name.version(), Version::Number(_) | Version::Id(_)),
        "revoking is final: give the version by its number or id, as {}@1",
        args.name.path()
    );
    let (name, version, session) = args.signed.version(&args.name).await?;
    let done = format!("{name}@{version} is revoked: predictions by name are refused from now on");
    let call = ModelRegistry::revokeCall {
        name,
        version: U256::from(version),
        reason: args.reason,
    };
    session.execute(call.abi_encode(), done, form).await
}

pub(crate) async fn transfer(args: TransferArgs, form: Form) -> Result<()> {
    let (name, to) = (args.name, args.to);
    let done = if to.is_zero() {
        format!("the offer of {name} is withdrawn")
    } else {
        format!("{name} is offered to {to}, who takes it with `synod model accept {name}`")
    };
    let call = if is_model(&name)? {
        ModelRegistry::transferModelCall { name, to }.abi_encode()
    } else {
        ModelRegistry::transferNamespaceCall { org: name, to }.abi_encode()
    };
    args.signed.open().await?.execute(call, done, form).await
}

pub(crate) async fn accept(args: AcceptArgs, form: Form) -> Result<()> {
    let name = args.name;
    let session = args.signed.open().await?;
    let done = format!("{name} belongs to {}", session.0.address());
    let call = if is_model(&name)? {
        ModelRegistry::acceptModelCall { name }.abi_encode()
    } else {
        ModelRegistry::acceptNamespaceCall { org: name }.abi_encode()
    };
    session.execute(call, done, form).await
}

/// Whether a text names a model; else it is a namespace.
fn is_model(name: &str) -> Result<bool> {
    if !name.contains('/') {
        return Ok(false);
    }
    let parsed: ModelName = name.parse()?;
    ensure!(
        parsed.is_bare(),
        "a model is handed over with all its versions: give {} alone",
        parsed.path()
    );
    Ok(true)
}

impl Signed {
    async fn open(&self) -> Result<Session> {
        let signer = self.wallet.signer()?;
        let client = self.rpc.connect().await?;
        Ok(Session(Account::open(&client, signer).await?))
    }

    /// The model and the version that a name leads to, and a session in which to change it.
    async fn version(&self, name: &ModelName) -> Result<(String, u64, Session)> {
        let session = self.open().await?;
        let (version, _) = client::version(session.client(), name, BlockId::latest()).await?;
        Ok((name.path().to_owned(), version, session))
    }
}

/// An account that can sign.
struct Session(Account);

impl Session {
    fn client(&self) -> &Client {
        self.0.client()
    }

    /// Sends a call of the registry, waits for its block, and says what it did.
    async fn execute(mut self, call: Vec<u8>, done: String, form: Form) -> Result<()> {
        let receipt = self
            .0
            .execute(TxKind::Call(MODEL_REGISTRY), U256::ZERO, call.into())
            .await?;
        let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
        form.print(&Report {
            done,
            gas_used: receipt.gas_used,
            fee_wei: fee.to_string(),
            block: receipt.block_number,
            transaction: receipt.transaction_hash,
            fee,
        })
    }
}
