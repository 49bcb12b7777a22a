//! `synod model publish FILE --name ORG/MODEL`

use super::inspect::{inspect, price};
use crate::{
    client::{self, Account, Becomes, Progress, Published, RpcArgs, Upload, WalletArgs},
    model_file::ModelArgs,
    show::{Bar, Form, bytes, ether, note, thousands},
    tensors::describe,
};
use alloy_primitives::{Address, B256};
use clap::Args;
use eyre::{Result, ensure};
use serde::Serialize;
use std::{fmt, time::Instant};
use synod_evm::name::ModelName;

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// The name that contracts will use
    #[arg(long, value_name = "ORG/MODEL")]
    name: ModelName,

    /// Leave the name standing for the version that it stands for: `synod model latest` moves it later
    #[arg(long)]
    keep_latest: bool,

    #[command(flatten)]
    rpc: RpcArgs,

    #[command(flatten)]
    wallet: WalletArgs,
}

#[derive(Serialize)]
struct Report {
    name: String,
    version: u64,
    id: B256,
    manifest: Address,
    bytes: u64,
    chunks: usize,
    chunks_sent: usize,
    gas_used: u64,
    fee_wei: String,
    /// Where it got its name; null if this very model was a version of it already.
    block: Option<u64>,
    transaction: Option<B256>,
    seconds: f64,
    #[serde(skip)]
    fee: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}@{}  id {}", self.name, self.version, self.id)?;
        writeln!(
            f,
            "{} in {} chunks, {} of them new, manifest {}",
            bytes(self.bytes),
            self.chunks,
            self.chunks_sent,
            self.manifest
        )?;
        match self.block {
            Some(block) => writeln!(
                f,
                "gas {}  fee {}  block {block}",
                thousands(self.gas_used),
                self.fee
            ),
            None => writeln!(
                f,
                "this very model already was that version of the name: nothing was published or moved"
            ),
        }
    }
}

pub(crate) async fn run(args: PublishArgs, form: Form) -> Result<()> {
    ensure!(
        args.name.is_bare(),
        "publish under {} without a version: the chain counts versions itself",
        args.name.path()
    );
    // Everything that can be wrong here is found before the node is asked for anything.
    let signer = args.wallet.signer()?;
    let loaded = args.model.load()?;
    let signature = loaded.model.signature();
    for (kind, values) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        for value in values {
            note(format_args!("{kind:<6} {} {}", value.name, describe(value)));
        }
    }
    let facts = inspect(&loaded)?;
    note(format_args!(
        "a prediction costs gas {} at the largest shapes",
        thousands(facts.prediction_gas())
    ));
    let client = args.rpc.connect().await?;
    let mut account = Account::open(&client, signer).await?;
    let upload = Upload::new(&loaded.canonical, client::code_size_limit(&client).await?);
    note(format_args!(
        "publishing {} as {} on chain {} from {}",
        bytes(upload.total_bytes()),
        args.name,
        client.chain_id(),
        account.address()
    ));
    note(format_args!("at most {}", price(&client, &upload, &facts).await?));
    let started = Instant::now();
    let mut progress = Shown { bar: None };
    let becomes = if args.keep_latest {
        Becomes::AVersion
    } else {
        Becomes::Latest
    };
    let published = client::publish(&mut account, &upload, args.name.path(), becomes, &mut progress).await?;
    ensure!(
        published.id.0 == loaded.id().0,
        "the chain says the model's id is {}, this tool {}: do not use it",
        published.id,
        loaded.id()
    );
    form.print(&report(
        args.name.path(),
        &published,
        started.elapsed().as_secs_f64(),
    ))
}

fn report(name: &str, published: &Published, seconds: f64) -> Report {
    Report {
        name: name.to_owned(),
        version: published.version,
        id: published.id,
        manifest: published.manifest,
        bytes: published.bytes,
        chunks: published.chunks,
        chunks_sent: published.sent,
        gas_used: published.gas_used,
        fee_wei: published.fee.to_string(),
        block: published.named.map(|(block, _)| block),
        transaction: published.named.map(|(_, transaction)| transaction),
        seconds,
        fee: ether(published.fee),
    }
}

/// Progress on stderr.
struct Shown {
    bar: Option<Bar>,
}

impl Progress for Shown {
    fn begin(&mut self, missing: u64, total: u64) {
        if missing < total {
            note(format_args!(
                "{} of it are on the chain already",
                bytes(total - missing)
            ));
        }
        if missing > 0 {
            self.bar = Some(Bar::bytes("uploading", missing));
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &mut self.bar {
            bar.advance(bytes);
        }
    }

    fn validating(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        note("all pieces are on the chain; the registry validates the model");
    }
}
