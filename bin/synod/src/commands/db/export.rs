//! `synod db export FILE`

use super::{ChainArgs, Stages};
use crate::show::{Form, bytes, thousands};
use alloy_primitives::{B256, Bytes};
use clap::Args;
use eyre::{ContextCompat as _, Result, WrapErr as _, ensure};
use serde::Serialize;
use std::{
    fmt,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};
use synod_chain::Chain;
use synod_consensus::simplex::{BlockProof, SimplexParams};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// With the state after the last block, and all receipts: whoever imports it runs nothing
    #[arg(long)]
    state: bool,

    #[command(flatten)]
    chain: ChainArgs,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    block: u64,
    hash: B256,
    blocks: u64,
    trie_nodes: u64,
    bytes: u64,
    state: bool,
    proven: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {}, {} blocks up to {} ({})",
            self.file.display(),
            bytes(self.bytes),
            thousands(self.blocks),
            self.block,
            self.hash
        )?;
        if self.state {
            writeln!(
                f,
                "with the state after it, {} trie nodes; {}",
                thousands(self.trie_nodes),
                if self.proven {
                    "its validators' signatures are in the file".to_owned()
                } else {
                    format!("whoever imports it gives --block-hash {}", self.hash)
                }
            )?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &ExportArgs, form: Form) -> Result<()> {
    let chain = args.chain.open()?;
    ensure!(
        !args.file.exists(),
        "{} exists: choose another file or remove it",
        args.file.display()
    );
    let proof = proof(&chain)?;
    let proven = !proof.is_empty();
    // The name is given when the file is whole.
    let unfinished = with_suffix(&args.file, ".unfinished");
    let cannot = || format!("cannot write {}", unfinished.display());
    let out = BufWriter::with_capacity(1 << 20, File::create(&unfinished).wrap_err_with(cannot)?);
    let mut stages = Stages::default();
    let moved = chain
        .export_file(out, args.state, proof, &mut |progress| stages.show(progress))
        .map_err(eyre::Report::from)
        .and_then(|(out, moved)| {
            let file = out.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &args.file)?;
            Ok(moved)
        });
    stages.finish();
    let moved = match moved {
        Ok(moved) => moved,
        Err(error) => {
            let _ = std::fs::remove_file(&unfinished);
            return Err(error).wrap_err_with(|| format!("cannot export to {}", args.file.display()));
        }
    };
    form.print(&Report {
        file: args.file.clone(),
        block: moved.head,
        hash: moved.hash,
        blocks: moved.blocks,
        trie_nodes: moved.nodes,
        bytes: moved.bytes,
        state: args.state,
        proven,
    })
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Why the last block is final: the proof that `synod verify-block` checks, as JSON. Empty on a chain of one node.
fn proof(chain: &Chain) -> Result<Bytes> {
    if SimplexParams::of(chain.spec()).is_err() {
        return Ok(Bytes::new());
    }
    let head = chain.head();
    let seal = chain
        .seal(head.number())?
        .wrap_err("the last block has no seal")?;
    if seal.certificate.is_empty() {
        return Ok(Bytes::new());
    }
    let proof = BlockProof {
        headers: vec![alloy_rlp::encode(head.header()).into()],
        certificate: seal.certificate,
        handovers: chain.handovers(head.number())?,
    };
    Ok(serde_json::to_vec(&proof)?.into())
}
