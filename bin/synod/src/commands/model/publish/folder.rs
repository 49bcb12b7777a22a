//! `synod model publish FOLDER --name ORG/MODEL`: a pipeline, as Hugging Face's exports lie in a folder.

use super::super::inspect::REGISTRY;
use super::{Asked, Estimate, PublishArgs, announce, send};
use crate::{
    client::{self, Account, Upload},
    show::{Form, bytes, note, thousands},
};
use alloy_primitives::B256;
use eyre::{Context as _, Result, ensure};
use synod_evm::gas;
use synod_pipeline::{Directory, ImportOptions, Imported, import};

pub(super) async fn run(args: PublishArgs, form: Form) -> Result<()> {
    ensure!(
        args.model.dims.is_empty() && args.model.weights.is_none() && args.from.is_none(),
        "--dim, --weights and --from are for one network; the sizes of a folder's networks follow from its files"
    );
    // Everything that can be wrong here is found before the node is asked for anything.
    let signer = args.wallet.signer()?;
    let folder = &args.model.file;
    let options = ImportOptions {
        integers: args.model.integers,
        variant: args.variant.clone(),
        ..ImportOptions::default()
    };
    let imported = import(&Directory::new(folder), &options)
        .wrap_err_with(|| format!("{} is no pipeline", folder.display()))?;
    imported
        .pipeline()
        .wrap_err_with(|| format!("{} is no pipeline", folder.display()))?;
    tell(&imported);
    let client = args.rpc.connect().await?;
    let mut account = Account::open(&client, signer).await?;
    let limit = client::code_size_limit(&client).await?;
    let upload = Upload::pipeline(&imported, limit);
    let outlook = upload.outlook(&client).await?;
    let registration = registration_gas(&imported, limit);
    let mut estimate = Estimate::new(&client, "chunks", None, &outlook, registration).await?;
    estimate.transactions += imported.models.len();
    announce(&estimate, &args, &account);
    if args.dry_run {
        return form.print(&estimate);
    }
    let description = &imported.description;
    let (id, asked) = (B256::from(description.id().0), Asked::of(description.task));
    send(&args, &mut account, &upload, |_| id, asked, form).await
}

/// What the folder was read as.
fn tell(imported: &Imported) {
    let description = &imported.description;
    note(format_args!("a pipeline for {}", description.task.name()));
    for (role, model) in &imported.models {
        let (graph, weights) = (model.graph.len() as u64, model.weights.len() as u64);
        note(format_args!(
            "{role:<17} graph {}, weights {}",
            bytes(graph),
            bytes(weights)
        ));
    }
    for (role, file) in &imported.files {
        note(format_args!("{:<17} {}", role.name(), bytes(file.len() as u64)));
    }
    for text in &imported.notes {
        note(text);
    }
    let load = imported
        .files
        .values()
        .map(|file| gas::loading_file(file.len() as u64));
    note(format_args!(
        "loading it costs gas {} once a transaction, its networks besides",
        thousands(load.sum::<u64>())
    ));
}

/// Gas of validating the networks and the pipeline, at most.
fn registration_gas(imported: &Imported, code_size_limit: usize) -> u64 {
    let chunk = synod_evm::manifest::chunk_size(code_size_limit);
    let of_bytes = |length: usize| (length as u64, length.div_ceil(chunk) as u64);
    let (mut total, mut loads) = (0u64, 0u64);
    for model in imported.models.values() {
        let ((graph, a), (weights, b)) = (of_bytes(model.graph.len()), of_bytes(model.weights.len()));
        let load = gas::load(graph, weights, a + b);
        loads += load;
        total += load + gas::validate(graph + weights + a + b) + REGISTRY;
    }
    let (description, mut accounts) = of_bytes(imported.description.encode().len());
    let mut files = 0;
    for file in imported.files.values() {
        let (length, chunks) = of_bytes(file.len());
        files += length;
        accounts += chunks + 1;
    }
    // reading and hashing the files, loading the networks again
    total
        + loads
        + gas::load_pipeline(description, files, accounts)
        + gas::validate(description + files)
        + REGISTRY
}
