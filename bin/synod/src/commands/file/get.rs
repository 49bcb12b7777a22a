//! `synod file get ADDRESS --output FILE`

use crate::{
    client::{self, RpcArgs},
    show::{Form, bytes},
};
use alloy_primitives::Address;
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{fmt, path::PathBuf};

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The file's address, as `synod file put` gave it
    #[arg(value_name = "ADDRESS")]
    file: Address,

    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Report {
    file: Address,
    bytes: u64,
    output: PathBuf,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}  {}  checked\nwrote {}",
            self.file,
            bytes(self.bytes),
            self.output.display()
        )
    }
}

pub(crate) async fn run(args: GetArgs, form: Form) -> Result<()> {
    let client = args.rpc.connect().await?;
    let file = client::file::fetch(&client, args.file).await?;
    std::fs::write(&args.output, &file)
        .wrap_err_with(|| format!("cannot write {}", args.output.display()))?;
    form.print(&Report {
        file: args.file,
        bytes: file.len() as u64,
        output: args.output,
    })
}
