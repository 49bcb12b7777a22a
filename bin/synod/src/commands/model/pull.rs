//! `synod model pull ORG/MODEL --output-dir DIR`

use crate::{
    client::{self, RpcArgs},
    model_file,
    show::{Form, bytes},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_evm::name::ModelName;

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// ORG/MODEL for the newest version, ORG/MODEL@N for version N
    #[arg(value_name = "NAME")]
    name: ModelName,

    /// Where to write model.onnx and the weights beside it
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output_dir: PathBuf,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Report {
    name: String,
    id: B256,
    manifest: Address,
    graph_bytes: u64,
    weight_bytes: u64,
    files: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  id {}  checked", self.name, self.id)?;
        writeln!(
            f,
            "graph {}, weights {}",
            bytes(self.graph_bytes),
            bytes(self.weight_bytes)
        )?;
        self.files
            .iter()
            .try_for_each(|file| writeln!(f, "wrote {}", file.display()))
    }
}

pub(crate) async fn run(args: PullArgs, form: Form) -> Result<()> {
    let client = args.rpc.connect().await?;
    let located = client::locate(&client, &args.name, BlockId::latest()).await?;
    let model = client::pull(&client, &located).await?;
    let files = model_file::save(&model, &args.output_dir)?;
    form.print(&Report {
        name: args.name.to_string(),
        id: located.id,
        manifest: located.manifest,
        graph_bytes: located.graph_bytes,
        weight_bytes: located.weight_bytes,
        files,
    })
}
