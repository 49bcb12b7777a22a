//! `synod predict ORG/MODEL --input [NAME=]FILE … --rpc-url URL --output-dir DIR`

mod pipelines;

use crate::{
    client::{self, Client, RpcArgs, Status},
    outputs::{self, Output},
    show::{Form, note, thousands},
    tensors::{self, InputArg},
};
use alloy_eips::BlockId;
use alloy_primitives::B256;
use clap::Args;
use eyre::{ContextCompat as _, Result, ensure, eyre};
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_evm::{addresses::PREDICT, interface::IPredict, name::ModelName};
use synod_model::{DType, Dim, Tensor, TensorSignature};

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// ORG/MODEL, or with @N, @ALIAS or @sha256:ID one of its versions
    #[arg(value_name = "NAME")]
    name: ModelName,

    /// Input as .npy, .npz, .json, .csv or .pb; several times for several inputs
    #[arg(long = "input", short, value_name = "[NAME=]FILE")]
    inputs: Vec<InputArg>,

    /// A text to translate, continue or classify
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["inputs", "output_dir"])]
    text: Option<String>,

    /// A picture to classify: a PNG or JPEG file here, or the address of one that `synod file put` stored
    #[arg(long, value_name = "FILE|ADDRESS", conflicts_with_all = ["inputs", "output_dir", "text"])]
    picture: Option<String>,

    /// Write at most so many tokens
    #[arg(long, value_name = "N", requires = "text")]
    max_tokens: Option<u32>,

    /// End the text where it would cost more gas than this
    #[arg(long, value_name = "GAS", requires = "text")]
    max_gas: Option<u64>,

    /// Fetch the model and run it here, showing the text as it grows: the same bits as the chain's
    #[arg(long, requires = "text", conflicts_with = "max_gas")]
    stream: bool,

    /// Write each output to NAME.npy in this folder
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Ask the chain as it was after this block
    #[arg(long, value_name = "NUMBER")]
    block: Option<u64>,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Report {
    name: String,
    version: u64,
    #[serde(flatten)]
    status: Status,
    model_id: B256,
    block: u64,
    gas: Gas,
    outputs: Vec<Output>,
}

/// What the prediction costs as the first one of its model in a transaction.
#[derive(Serialize)]
struct Gas {
    transfer: u64,
    load: u64,
    planning: u64,
    execution: u64,
    total: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outputs.iter().try_for_each(|output| output.fmt(f))?;
        writeln!(
            f,
            "gas {}  block {}  id {}",
            thousands(self.gas.total),
            self.block,
            self.model_id
        )
    }
}

pub(crate) async fn run(args: PredictArgs, form: Form) -> Result<()> {
    if args.text.is_some() || args.picture.is_some() {
        return pipelines::run(args, form).await;
    }
    let candidates = tensors::read(&args.inputs)?;
    let client = args.rpc.connect().await?;
    // One block for all questions, so that nobody publishes a new version in between.
    let number = match args.block {
        Some(number) => number,
        None => client.block_number().await?,
    };
    let block = BlockId::number(number);
    let name = args.name.to_string();
    let id = client
        .call(PREDICT, &IPredict::resolveCall { model: name.clone() }, block)
        .await?;
    let (version, found) = client::version(&client, &args.name, block).await?;
    let status = Status::new(found.status, found.reason);
    if status != Status::Active {
        note(format_args!("version {version} is {status}"));
    }
    let (input_ports, output_ports) = signature(&client, &name, block).await?;
    let inputs = tensors::assign(&input_ports, &candidates)?;
    let shapes = inputs
        .iter()
        .map(|tensor| tensor.shape().iter().map(|&dim| dim as u64).collect())
        .collect();
    let quote = client
        .call(
            PREDICT,
            &IPredict::quoteShapesCall {
                model: name.clone(),
                shapes,
            },
            block,
        )
        .await?;
    let results = predict(&client, &name, &inputs, block).await?;
    ensure!(
        results.len() == output_ports.len(),
        "the node gave {} outputs, not {}",
        results.len(),
        output_ports.len()
    );
    let named = output_ports.into_iter().map(|port| port.name).zip(results);
    let outputs = outputs::collect(named, args.output_dir.as_deref())?;
    form.print(&Report {
        name,
        version,
        status,
        model_id: id,
        block: number,
        gas: Gas {
            transfer: quote.transfer,
            load: quote.load,
            planning: quote.planning,
            execution: quote.execution,
            total: quote.total,
        },
        outputs,
    })
}

/// The inputs and outputs of a model on the chain.
async fn signature(
    client: &Client,
    name: &str,
    block: BlockId,
) -> Result<(Vec<TensorSignature>, Vec<TensorSignature>)> {
    let answer = client
        .call(
            PREDICT,
            &IPredict::signatureCall {
                model: name.to_owned(),
            },
            block,
        )
        .await?;
    let port = |port: IPredict::Port| -> Result<TensorSignature> {
        let dims = port.shape.into_iter().map(|dim| {
            let size = usize::try_from(dim.size)?;
            Ok(if dim.symbol.is_empty() {
                Dim::Fixed(size)
            } else if dim.size == u64::MAX {
                Dim::Open { name: dim.symbol }
            } else {
                Dim::Symbol {
                    name: dim.symbol,
                    max: size,
                }
            })
        });
        Ok(TensorSignature {
            name: port.name,
            dtype: dtype(port.dtype)?,
            dims: dims.collect::<Result<_>>()?,
        })
    };
    let inputs = answer.inputs.into_iter().map(port).collect::<Result<_>>()?;
    Ok((
        inputs,
        answer.outputs.into_iter().map(port).collect::<Result<_>>()?,
    ))
}

/// A prediction by the chain, with full tensors.
pub(crate) async fn predict(
    client: &Client,
    name: &str,
    inputs: &[Tensor],
    block: BlockId,
) -> Result<Vec<Tensor>> {
    let inputs = inputs
        .iter()
        .map(|tensor| IPredict::Tensor {
            dtype: u8::try_from(tensor.dtype().onnx_code())
                .expect("ONNX codes of element types are below 256"),
            shape: tensor.shape().iter().map(|&dim| dim as u64).collect(),
            data: tensor.to_be_bytes().into(),
        })
        .collect();
    let call = IPredict::runTensorsCall {
        model: name.to_owned(),
        inputs,
    };
    client
        .call(PREDICT, &call, block)
        .await?
        .into_iter()
        .map(|tensor| {
            let shape: Vec<usize> = tensor
                .shape
                .iter()
                .map(|&dim| usize::try_from(dim))
                .collect::<Result<_, _>>()?;
            Ok(Tensor::from_be_bytes(dtype(tensor.dtype)?, &shape, &tensor.data)?)
        })
        .collect()
}

/// The element type of an ONNX code.
pub(crate) fn dtype(code: u8) -> Result<DType> {
    DType::from_onnx_code(code.into())
        .wrap_err_with(|| eyre!("the node names an element type {code} that is unknown"))
}
