//! `synod model pull ORG/MODEL --output-dir DIR`

use crate::{
    client::{self, Fetched, RpcArgs, Status},
    model_file,
    show::{Form, bytes, note},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};
use synod_evm::name::ModelName;

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// ORG/MODEL, or with @N, @ALIAS or @sha256:ID one of its versions
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
    version: u64,
    #[serde(flatten)]
    status: Status,
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
    if located.status != Status::Active {
        note(format_args!("version {} is {}", located.version, located.status));
    }
    let files = if client::is_pipeline(&client, &located).await? {
        let fetched = client::pull_parts(&client, &located).await?;
        save(&fetched, &args.output_dir)?
    } else {
        let model = client::pull(&client, &located).await?;
        model_file::save(&model, &args.output_dir)?
    };
    form.print(&Report {
        name: args.name.to_string(),
        version: located.version,
        status: located.status,
        id: located.id,
        manifest: located.manifest,
        graph_bytes: located.graph_bytes,
        weight_bytes: located.weight_bytes,
        files,
    })
}

/// Writes a pipeline: its description, its files, and each network in a folder of its own.
fn save(fetched: &Fetched, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, bytes).wrap_err_with(|| format!("cannot write {}", path.display()))?;
        written.push(path);
        Ok(())
    };
    fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    write("pipeline.json", &fetched.description.encode())?;
    for (role, bytes) in &fetched.files {
        write(&format!("{}.json", role.name()), bytes)?;
    }
    for (role, (_, model)) in &fetched.networks {
        written.extend(model_file::save(model, &folder.join(role.name()))?);
    }
    Ok(written)
}
