//! `synod verify-block`

use crate::{
    client::{RpcArgs, proofs},
    genesis_file,
    show::Form,
};
use alloy_consensus::{Header, transaction::SignerRecoverable as _};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Log};
use clap::Args;
use eyre::{Context as _, ContextCompat as _, Result, ensure};
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_chain::{Chain, InclusionProof};
use synod_consensus::simplex::Committee;

#[derive(Debug, Args)]
pub(crate) struct VerifyBlockArgs {
    /// The block: its number, its hash, or `latest`
    #[arg(value_name = "BLOCK", default_value = "latest")]
    block: String,

    /// The block that holds this transaction, the transaction itself, and its receipt
    #[arg(long, value_name = "HASH", conflicts_with = "block")]
    transaction: Option<B256>,

    /// The cluster's genesis file. It is the only thing that is believed
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Verified {
    number: u64,
    hash: B256,
    digest: B256,
    state_root: B256,
    receipts_root: B256,
    epoch: u64,
    view: u64,
    /// The block whose certificate it is; a later one if this block has none of its own.
    certified: u64,
    signers: Vec<String>,
    validators: u32,
    /// How often the validators had changed by then.
    handovers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<ProvenTransaction>,
}

#[derive(Serialize)]
struct ProvenTransaction {
    hash: B256,
    index: u64,
    from: Address,
    succeeded: bool,
    logs: Vec<Log>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "block {} is final", self.number)?;
        writeln!(f, "  hash           {}", self.hash)?;
        writeln!(f, "  digest         {}", self.digest)?;
        writeln!(f, "  state root     {}", self.state_root)?;
        writeln!(f, "  receipts root  {}", self.receipts_root)?;
        if self.certified != self.number {
            writeln!(f, "  final with     block {}", self.certified)?;
        }
        writeln!(
            f,
            "  signed by      {} ({} of {}) in view {} of epoch {}",
            self.signers.join(", "),
            self.signers.len(),
            self.validators,
            self.view,
            self.epoch
        )?;
        if self.handovers > 0 {
            writeln!(
                f,
                "  validators     changed {} times since the genesis file, each proven",
                self.handovers
            )?;
        }
        let Some(transaction) = &self.transaction else {
            return Ok(());
        };
        writeln!(
            f,
            "transaction {} is number {} in it, of {}, and {}; {} logs",
            transaction.hash,
            transaction.index,
            transaction.from,
            if transaction.succeeded {
                "succeeded"
            } else {
                "failed"
            },
            transaction.logs.len()
        )
    }
}

pub(crate) async fn run(args: VerifyBlockArgs, form: Form) -> Result<()> {
    let spec = genesis_file::read(&args.genesis)?;
    let committee = Committee::of_genesis(&*Chain::in_memory(spec)?)?;
    let client = args.rpc.connect().await?;
    let (wanted, inclusion) = match args.transaction {
        None => (block_id(&args.block)?, None),
        Some(hash) => {
            let inclusion = proofs::inclusion(&client, hash).await?;
            let inclusion =
                inclusion.wrap_err_with(|| format!("the node knows no final transaction {hash}"))?;
            (
                BlockId::from(inclusion.block_number.to::<u64>()),
                Some((hash, inclusion.proof)),
            )
        }
    };
    let (proven, handovers) = proofs::certified(&client, &committee, wanted).await?;
    let transaction = match inclusion {
        None => None,
        Some((hash, proof)) => Some(prove(hash, &proof, &proven.header)?),
    };
    form.print(&Verified {
        transaction,
        number: proven.header.number,
        hash: proven.hash,
        digest: proven.digest.0,
        state_root: proven.header.state_root,
        receipts_root: proven.header.receipts_root,
        epoch: proven.epoch,
        view: proven.view,
        certified: proven.certified_height,
        signers: proven.signers,
        validators: proven.validators,
        handovers,
    })
}

/// What a proof shows about the transaction with this hash.
fn prove(hash: B256, proof: &InclusionProof, header: &Header) -> Result<ProvenTransaction> {
    let (transaction, receipt) = proof
        .verify(header)
        .wrap_err("the node's proof of the transaction proves nothing")?;
    ensure!(
        *transaction.tx_hash() == hash,
        "the node proved transaction {} instead of {hash}",
        transaction.tx_hash()
    );
    Ok(ProvenTransaction {
        hash,
        index: proof.index.to(),
        from: transaction
            .recover_signer()
            .wrap_err("its signature is nobody's")?,
        succeeded: receipt.status(),
        logs: receipt.logs().to_vec(),
    })
}

fn block_id(text: &str) -> Result<BlockId> {
    if let Ok(hash) = text.parse::<B256>() {
        return Ok(hash.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Ok(number.into());
    }
    let tag = text.parse::<alloy_eips::BlockNumberOrTag>();
    Ok(tag
        .map_err(|_| eyre::eyre!("{text:?} is no block: give a number, a hash or `latest`"))?
        .into())
}
