//! `synod db import FILE`

use super::{ChainArgs, Stages, folder};
use crate::show::{Bar, Form, note, thousands};
use alloy_primitives::B256;
use clap::Args;
use eyre::{Result, WrapErr as _, bail};
use serde::Serialize;
use std::{
    fmt,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};
use synod_chain::{
    Chain, ChainApplication, ChainSpec, NoTransactions,
    file::{self, ChainFile, FileBlock, FileHead, FileItem},
};
use synod_consensus::simplex::{BlockProof, Committee, Committees, FinalBlock, Follower, SimplexParams};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file, from `synod db export`
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Believe a state because its block has this hash, which you have from somebody whom you trust. A cluster's file needs no
    /// such thing: its validators have signed
    #[arg(long, value_name = "HASH")]
    block_hash: Option<B256>,

    #[command(flatten)]
    chain: ChainArgs,
}

#[derive(Serialize)]
struct Report {
    data_dir: PathBuf,
    block: u64,
    hash: B256,
    blocks: u64,
    trie_nodes: u64,
    oldest_state: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} is at block {} ({}): {} blocks and {} trie nodes taken up, states from block {} on",
            self.data_dir.display(),
            self.block,
            self.hash,
            thousands(self.blocks),
            thousands(self.trie_nodes),
            self.oldest_state
        )
    }
}

pub(crate) fn run(args: &ImportArgs, form: Form) -> Result<()> {
    let spec = args.chain.spec()?;
    let head = whole(&args.file)?;
    let open = || -> Result<_> { Ok(BufReader::with_capacity(1 << 20, File::open(&args.file)?)) };
    let cannot = || format!("cannot import {}", args.file.display());
    let folder = destination(&args.chain.data_dir, &spec);
    let (blocks, trie_nodes) = if head.state {
        let mut stages = Stages::default();
        let moved = Chain::import_state(
            &folder,
            &spec,
            open()?,
            &mut |head| trust(head, &spec, args.block_hash),
            &mut |progress| stages.show(progress),
        )
        .wrap_err_with(cannot)?;
        stages.finish();
        (moved.blocks, moved.nodes)
    } else {
        if args.block_hash.is_some() {
            note("the file has blocks alone; each of them is run and checked");
        }
        (
            run_blocks(&folder, &spec, &head, open()?).wrap_err_with(cannot)?,
            0,
        )
    };
    let chain = Chain::open(&folder, spec)?;
    form.print(&Report {
        data_dir: args.chain.data_dir.clone(),
        block: chain.head().number(),
        hash: chain.head().hash(),
        blocks,
        trie_nodes,
        oldest_state: chain.oldest_state()?,
    })
}

/// Where the chain goes: where it is already, or where a node of this chain looks for it.
fn destination(data_dir: &Path, spec: &ChainSpec) -> PathBuf {
    folder(data_dir).unwrap_or_else(|_| match SimplexParams::of(spec) {
        Ok(_) => data_dir.join("chain"),
        Err(_) => data_dir.to_path_buf(),
    })
}

/// Reads the file to its end, so that nothing begins with a file that is damaged.
fn whole(path: &Path) -> Result<FileHead> {
    let cannot = || format!("cannot read {}", path.display());
    let input = File::open(path).wrap_err_with(cannot)?;
    let mut bar = Bar::bytes("reading", input.metadata()?.len());
    let mut before = 0;
    let head = file::verify(BufReader::with_capacity(1 << 20, input), &mut |read| {
        bar.advance(read - before);
        before = read;
    });
    bar.finish();
    head.wrap_err_with(cannot)
}

/// Whether the last block of a file with a state is the chain's.
fn trust(head: &FileHead, spec: &ChainSpec, expected: Option<B256>) -> Result<(), String> {
    let found = head.head.hash_slow();
    if let Some(expected) = expected {
        return match found == expected {
            true => Ok(()),
            false => Err(format!("--block-hash says {expected}")),
        };
    }
    if SimplexParams::of(spec).is_err() {
        return Err(
            "a chain of one node has no signatures; ask its operator for the hash of the block and give it with --block-hash".into(),
        );
    }
    let sentence = |error: &dyn fmt::Display| error.to_string();
    let proof: BlockProof = serde_json::from_slice(&head.proof)
        .map_err(|_| "the file has no signatures of the validators; give --block-hash if you have it from somebody whom you trust")?;
    let chain = Chain::in_memory(spec.clone()).map_err(|e| sentence(&e))?;
    let committee = Committee::of_genesis(&chain).map_err(|e| sentence(&e))?;
    let proven = committee.verify_block(&proof).map_err(|e| sentence(&e))?;
    match proven.hash == found {
        true => Ok(()),
        false => Err(format!("its signatures are for block {}", proven.hash)),
    }
}

/// Takes up blocks by running them; those that are there already are skipped. Says how many were not.
fn run_blocks(folder: &Path, spec: &ChainSpec, head: &FileHead, input: BufReader<File>) -> Result<u64> {
    let chain = Chain::open(folder, spec.clone())?;
    let genesis = spec.genesis().number.unwrap_or_default();
    if chain.hash_of(genesis)? != Some(head.genesis) {
        bail!(
            "it is of the chain with genesis {}, not of this one",
            head.genesis
        );
    }
    let mut follower = match SimplexParams::of(spec) {
        Ok(_) => Some(follower(&chain)?),
        Err(_) => None,
    };
    let mut file = ChainFile::open(input)?;
    let first = chain.head().number();
    let mut bar = Bar::count("blocks", head.head.number.saturating_sub(first));
    while let Some(item) = file.next_item()? {
        let FileItem::Block(block) = item else { continue };
        let FileBlock {
            proposal,
            certificate,
            ..
        } = *block;
        let (number, hash) = (proposal.block.header.number, proposal.block.header.hash_slow());
        if number <= first {
            if chain.hash_of(number)? != Some(hash) {
                bail!("its block {number} is {hash}, and the one in this folder is another");
            }
            continue;
        }
        match &mut follower {
            Some(follower) => {
                let block = alloy_rlp::encode(&proposal).into();
                follower.take(&[FinalBlock { block, certificate }])?;
            }
            None => {
                chain.import_proposal(proposal, certificate)?;
            }
        }
        bar.advance(1);
    }
    bar.finish();
    Ok(chain.head().number().saturating_sub(first))
}

/// Believes the validators' signatures alone, and runs what they signed.
fn follower(chain: &Arc<Chain>) -> Result<Follower> {
    let committee = Arc::new(Committee::of_genesis(chain)?);
    let head = chain.head().number();
    let Some(head) = chain.proposal(head)? else {
        bail!("block {head} is not stored");
    };
    let limit = chain
        .spec()
        .block_size_limit(0, chain.spec().genesis().timestamp)
        .unwrap_or(usize::MAX);
    let application = Arc::new(ChainApplication::new(chain.clone(), Arc::new(NoTransactions)));
    Ok(Follower::new(
        Committees::new(application, committee),
        head,
        limit,
    ))
}
