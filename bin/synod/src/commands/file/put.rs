//! `synod file put FILE`

use crate::{
    client::{self, Account, RpcArgs, WalletArgs},
    show::{Form, Uploading, bytes, ether, note, thousands},
};
use alloy_primitives::Address;
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{fmt, path::PathBuf};

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The file to store
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    rpc: RpcArgs,

    #[command(flatten)]
    wallet: WalletArgs,
}

#[derive(Serialize)]
struct Report {
    /// What contracts name it by.
    file: Address,
    bytes: u64,
    pieces: usize,
    pieces_sent: usize,
    gas_used: u64,
    fee_wei: String,
    #[serde(skip)]
    fee: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}  {} in {} pieces, {} of them new",
            self.file,
            bytes(self.bytes),
            self.pieces,
            self.pieces_sent
        )?;
        writeln!(f, "gas {}  fee {}", thousands(self.gas_used), self.fee)?;
        writeln!(
            f,
            "ask about it: synod predict ORG/MODEL --picture {0}; in Solidity Predict.image(\"ORG/MODEL\", {0})",
            self.file
        )
    }
}

pub(crate) async fn run(args: PutArgs, form: Form) -> Result<()> {
    let signer = args.wallet.signer()?;
    let file = std::fs::read(&args.file).wrap_err_with(|| format!("cannot read {}", args.file.display()))?;
    let client = args.rpc.connect().await?;
    let mut account = Account::open(&client, signer).await?;
    let limit = client::code_size_limit(&client).await?;
    note(format_args!(
        "storing {} on chain {} from {}",
        bytes(file.len() as u64),
        client.chain_id(),
        account.address()
    ));
    let mut progress = Uploading::default();
    let stored = client::file::store(&mut account, &file, limit, &mut progress).await?;
    progress.finish();
    form.print(&Report {
        file: stored.file,
        bytes: file.len() as u64,
        pieces: stored.pieces,
        pieces_sent: stored.sent,
        gas_used: stored.gas_used,
        fee_wei: stored.fee.to_string(),
        fee: ether(stored.fee),
    })
}
