//! `synod model publish FILE --name ORG/MODEL`; of a folder, [`folder`]

mod folder;

use super::inspect::{Report as Facts, inspect, validation_gas};
use crate::{
    client::{self, Account, Becomes, Client, Outlook, Published, RpcArgs, Update, Upload, WalletArgs},
    model_file::{LoadedModel, ModelArgs},
    show::{Form, Uploading, bytes, ether, note, thousands},
    tensors::describe,
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U256};
use clap::Args;
use eyre::{Result, ensure};
use serde::Serialize;
use std::{fmt, time::Instant};
use synod_evm::name::ModelName;
use synod_model::limits::PROFILE_VERSION;
use synod_pipeline::Task;

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// The name that contracts will use
    #[arg(long, value_name = "ORG/MODEL")]
    name: ModelName,

    /// A published model of which this one is a later state: only what differs is sent
    #[arg(long, value_name = "ORG/MODEL[@N]")]
    from: Option<ModelName>,

    /// Of a folder: which of several files of a network is taken, by what stands before .onnx in its name (_int8). Without it nothing
    /// does; where there are no such files it is _quantized, _int8 or _uint8
    #[arg(long, value_name = "ENDING", allow_hyphen_values = true)]
    variant: Option<String>,

    /// Leave the name standing for the version that it stands for: `synod model latest` moves it later
    #[arg(long)]
    keep_latest: bool,

    /// Say what would be sent and what it would cost, and send nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    rpc: RpcArgs,

    #[command(flatten)]
    wallet: WalletArgs,
}

impl PublishArgs {
    fn becomes(&self) -> Becomes {
        if self.keep_latest {
            Becomes::AVersion
        } else {
            Becomes::Latest
        }
    }
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
    #[serde(skip)]
    asked: Asked,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}@{}  id {}", self.name, self.version, self.id)?;
        match self.chunks {
            0 => writeln!(
                f,
                "a patch of {} with its proof, at {}",
                bytes(self.bytes),
                self.manifest
            )?,
            chunks => writeln!(
                f,
                "{} in {chunks} chunks, {} of them new, manifest {}",
                bytes(self.bytes),
                self.chunks_sent,
                self.manifest
            )?,
        }
        match self.block {
            Some(block) => {
                writeln!(
                    f,
                    "gas {}  fee {}  block {block}",
                    thousands(self.gas_used),
                    self.fee
                )?;
                let (command, solidity) = match self.asked {
                    Asked::Numbers => ("--input FILE", "run(\"{}\", input)"),
                    Asked::Text => ("--text TEXT", "text(\"{}\", input)"),
                    Asked::TextClass => ("--text TEXT", "classifyText(\"{}\", input)"),
                    Asked::Picture => ("--picture FILE", "image(\"{}\", file)"),
                };
                let name = format!("{}@{}", self.name, self.version);
                let solidity = solidity.replace("{}", &name);
                writeln!(
                    f,
                    "ask it: synod predict {name} {command}; in Solidity Predict.{solidity}"
                )
            }
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
    if args.model.file.is_dir() {
        return folder::run(args, form).await;
    }
    ensure!(
        args.variant.is_none(),
        "--variant is for a folder; {} is one network",
        args.model.file.display()
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
    let limit = client::code_size_limit(&client).await?;
    let whole = Upload::new(&loaded.canonical, limit);
    let choice = choose(&args, &client, &account, &loaded, whole, &facts, limit).await?;
    announce(&choice.estimate, &args, &account);
    if args.dry_run {
        return form.print(&choice.estimate);
    }
    let id = |profile| B256::from(loaded.canonical.id_under(profile).0);
    send(&args, &mut account, &choice.upload, id, Asked::Numbers, form).await
}

/// Says what is going to be sent.
fn announce(estimate: &Estimate, args: &PublishArgs, account: &Account) {
    note(format_args!(
        "publishing {} as {} on chain {} from {}",
        bytes(estimate.bytes),
        args.name,
        account.client().chain_id(),
        account.address()
    ));
    note(format_args!("at most {estimate}"));
}

/// Sends what the chain does not have yet, and reports. `id` is what this tool computes under a profile.
async fn send(
    args: &PublishArgs,
    account: &mut Account,
    upload: &Upload,
    id: impl Fn(u32) -> B256,
    asked: Asked,
    form: Form,
) -> Result<()> {
    let (name, becomes) = (args.name.path(), args.becomes());
    let (started, mut progress) = (Instant::now(), Uploading::default());
    let published = client::publish(account, upload, name, becomes, &mut progress).await?;
    let profile = client::profile_of(account.client(), published.id).await?;
    let id = id(profile);
    ensure!(
        published.id == id,
        "the chain says the model's id is {}, this tool {id}: do not use it",
        published.id
    );
    if profile > PROFILE_VERSION {
        note(format_args!(
            "it is of profile {profile}, and this program knows profiles up to {PROFILE_VERSION}: install a newer one to work with it"
        ));
    }
    form.print(&report(name, &published, started.elapsed().as_secs_f64(), asked))
}

/// What is to be sent, and what it takes at most.
#[derive(Debug, Serialize)]
struct Estimate {
    /// `patch`, or `chunks` that the chain does not have.
    form: &'static str,
    /// Ranges of the weights that change; of a patch alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    edits: Option<u64>,
    bytes: u64,
    transactions: usize,
    gas: u64,
    /// How many blocks that gas fills at least.
    blocks: u64,
    /// At the pace of the chain's last blocks; null on a chain with too few.
    seconds: Option<f64>,
    fee_wei: String,
    #[serde(skip)]
    fee: U256,
}

impl Estimate {
    async fn new(
        client: &Client,
        form: &'static str,
        edits: Option<u64>,
        outlook: &Outlook,
        registration_gas: u64,
    ) -> Result<Self> {
        let gas = outlook.storing_gas.saturating_add(registration_gas);
        let fee = U256::from(gas) * U256::from(client.gas_price().await?);
        let (limit, pace) = client.block_pace().await?;
        let blocks = gas.div_ceil(limit.max(1));
        Ok(Self {
            form,
            edits,
            bytes: outlook.bytes,
            transactions: outlook.pieces + 1,
            gas,
            blocks,
            seconds: pace.map(|pace| pace * blocks as f64),
            fee_wei: fee.to_string(),
            fee,
        })
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: u64| if count == 1 { "" } else { "s" };
        if let Some(edits) = self.edits {
            write!(f, "a patch of {edits} range{}: ", s(edits))?;
        }
        write!(
            f,
            "{} in {} transaction{}, gas {}, about {}, {} block{}",
            bytes(self.bytes),
            self.transactions,
            s(self.transactions as u64),
            thousands(self.gas),
            ether(self.fee),
            self.blocks,
            s(self.blocks)
        )?;
        match self.seconds {
            Some(seconds) => write!(f, ", some {seconds:.0} s at the pace of the last blocks"),
            None => Ok(()),
        }
    }
}

/// The cheapest way in which a model can be published.
struct Choice {
    upload: Upload,
    estimate: Estimate,
}

/// Compares sending chunks with sending a patch of `--from`.
async fn choose(
    args: &PublishArgs,
    client: &Client,
    account: &Account,
    loaded: &LoadedModel,
    whole: Upload,
    facts: &Facts,
    code_size_limit: usize,
) -> Result<Choice> {
    let outlook = whole.outlook(client).await?;
    let chunks = Choice {
        estimate: Estimate::new(client, "chunks", None, &outlook, validation_gas(facts)).await?,
        upload: whole,
    };
    let Some(from) = &args.from else {
        return Ok(chunks);
    };
    let located = client::locate(client, from, BlockId::latest()).await?;
    let base = client::pull(client, &located).await?;
    ensure!(
        base.id() != loaded.canonical.id(),
        "the file is what {from} already is: there is nothing to publish"
    );
    let Some(update) = Update::between(&located, &base, &loaded.canonical)? else {
        note(format_args!(
            "more than weights differs from {from}: chunks that are not on the chain are sent whole"
        ));
        return Ok(chunks);
    };
    let upload = Upload::patch(B256::from(loaded.id().0), &update, code_size_limit);
    let outlook = upload.outlook(client).await?;
    let registration = if upload.is_one_call() {
        let (from, name) = (account.address(), args.name.path());
        upload
            .registration_gas(client, from, name, args.becomes())
            .await?
    } else {
        validation_gas(facts)
    };
    let patch = Choice {
        estimate: Estimate::new(client, "patch", Some(update.edits()), &outlook, registration).await?,
        upload,
    };
    note(format_args!("{}", patch.estimate));
    note(format_args!("or in chunks: {}", chunks.estimate));
    Ok(if patch.estimate.gas <= chunks.estimate.gas {
        patch
    } else {
        chunks
    })
}

/// What a published model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Numbers,
    Text,
    TextClass,
    Picture,
}

impl Asked {
    fn of(task: Task) -> Self {
        match task {
            Task::ImageClassification => Self::Picture,
            Task::TextClassification => Self::TextClass,
            _ => Self::Text,
        }
    }
}

fn report(name: &str, published: &Published, seconds: f64, asked: Asked) -> Report {
    Report {
        asked,
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
