//! `synod model inspect FILE`

use super::draw::draw;
use crate::{
    client::{self, Client, Upload},
    model_file::{LoadedModel, ModelArgs},
    show::{Form, bytes, ether, table, thousands},
    tensors::describe,
};
use alloy_primitives::U256;
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use synod_evm::gas;
use synod_model::{Model, NodeCost, TensorSignature};

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Draw the graph: a line for each node, with the shapes of its weights and its gas
    #[arg(long)]
    graph: bool,

    /// Ask this node what publishing costs on its chain
    #[arg(long, value_name = "URL", env = "ETH_RPC_URL")]
    rpc_url: Option<String>,
}

/// What a model is, needs and costs.
#[derive(Serialize)]
pub(super) struct Report {
    id: String,
    file_bytes: u64,
    graph_bytes: u64,
    weight_bytes: u64,
    /// Pieces that it is on a chain with the shipped limits, without the manifest.
    chunks: usize,
    opset: i64,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    operators: Vec<OperatorUse>,
    parameters: u64,
    /// At the largest shapes that the signature allows, as all that follows.
    multiply_adds: u64,
    peak_memory: u64,
    gas: Gas,
    #[serde(skip_serializing_if = "Option::is_none")]
    publishing: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drawing: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Port {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// What all nodes of one operator take together.
#[derive(Default, Serialize)]
struct OperatorUse {
    operator: String,
    nodes: u64,
    gas: u64,
}

/// What a prediction costs as the first one of its model in a transaction, without the bytes of the call.
#[derive(Serialize)]
struct Gas {
    load: u64,
    planning: u64,
    execution: u64,
    total: u64,
}

/// What publishing costs, where the chain does not have it yet.
#[derive(Serialize)]
struct Price {
    chunks: usize,
    gas: u64,
    fee_wei: String,
    #[serde(skip)]
    fee: U256,
}

/// What two models are compared by: sizes, work and gas at their largest shapes.
#[derive(Serialize)]
pub(super) struct Facts {
    graph_bytes: u64,
    weight_bytes: u64,
    chunks: usize,
    nodes: u64,
    parameters: u64,
    multiply_adds: u64,
    peak_memory: u64,
    gas: Gas,
}

impl Facts {
    /// Each of them, named and readable.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("graph", bytes(self.graph_bytes)),
            ("weights", bytes(self.weight_bytes)),
            ("chunks", self.chunks.to_string()),
            ("nodes", thousands(self.nodes)),
            ("parameters", thousands(self.parameters)),
            ("multiply-adds", thousands(self.multiply_adds)),
            ("peak memory", bytes(self.peak_memory)),
            ("gas", thousands(self.gas.total)),
            ("  load", thousands(self.gas.load)),
            ("  planning", thousands(self.gas.planning)),
            ("  execution", thousands(self.gas.execution)),
        ]
    }
}

impl Report {
    pub(super) fn facts(self) -> Facts {
        Facts {
            graph_bytes: self.graph_bytes,
            weight_bytes: self.weight_bytes,
            chunks: self.chunks,
            nodes: self.operators.iter().map(|usage| usage.nodes).sum(),
            parameters: self.parameters,
            multiply_adds: self.multiply_adds,
            peak_memory: self.peak_memory,
            gas: self.gas,
        }
    }

    /// What a prediction at the largest shapes costs, without the bytes of the call.
    pub(super) fn prediction_gas(&self) -> u64 {
        self.gas.total
    }

    /// What its nodes and memory cost of that.
    pub(super) fn execution_gas(&self) -> u64 {
        self.gas.execution
    }

    /// Multiply-adds of a prediction at the largest shapes.
    pub(super) fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} chunks, gas {}, about {}",
            self.chunks,
            thousands(self.gas),
            ether(self.fee)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id            {}", self.id)?;
        for (kind, ports) in [("input", &self.inputs), ("output", &self.outputs)] {
            for port in ports {
                writeln!(f, "{kind:<12}  {} {}", port.name, port.kind)?;
            }
        }
        writeln!(
            f,
            "size          {} as a file; graph {} and weights {} on the chain",
            bytes(self.file_bytes),
            bytes(self.graph_bytes),
            bytes(self.weight_bytes)
        )?;
        writeln!(f, "opset         {}", self.opset)?;
        writeln!(f, "parameters    {}", thousands(self.parameters))?;
        writeln!(f, "multiply-adds {}", thousands(self.multiply_adds))?;
        writeln!(f, "peak memory   {}", bytes(self.peak_memory))?;
        let Gas {
            load,
            planning,
            execution,
            total,
        } = &self.gas;
        writeln!(
            f,
            "gas           {} = load {} + planning {} + execution {}",
            thousands(*total),
            thousands(*load),
            thousands(*planning),
            thousands(*execution)
        )?;
        match &self.publishing {
            Some(price) => writeln!(f, "publishing    {price}")?,
            None => writeln!(f, "publishing    give --rpc-url to ask a chain for its price")?,
        }
        let rows: Vec<Vec<String>> = self
            .operators
            .iter()
            .map(|usage| {
                vec![
                    usage.operator.clone(),
                    usage.nodes.to_string(),
                    thousands(usage.gas),
                ]
            })
            .collect();
        write!(f, "\n{}", table(&["operator", "nodes", "gas"], &rows))?;
        if let Some(drawing) = &self.drawing {
            write!(f, "\n{}", drawing.join("\n"))?;
        }
        Ok(())
    }
}

pub(crate) async fn run(args: InspectArgs, form: Form) -> Result<()> {
    let loaded = args.model.load()?;
    let mut report = inspect(&loaded)?;
    if let Some(url) = &args.rpc_url {
        let client = Client::connect(url).await?;
        let upload = Upload::new(&loaded.canonical, client::code_size_limit(&client).await?);
        report.publishing = Some(price(&client, &upload, &report).await?);
    }
    if args.graph {
        let cost = loaded.model.cost(&loaded.model.signature().max_shapes())?;
        let gas = |node: &NodeCost| (node.node, gas::node(&node.work).saturating_mul(node.times));
        report.drawing = Some(draw(
            &loaded.canonical.graph,
            &cost.nodes.iter().map(gas).collect(),
        )?);
    }
    form.print(&report)
}

/// What can be said about a model without a chain.
pub(super) fn inspect(loaded: &LoadedModel) -> Result<Report> {
    let model = &loaded.model;
    let signature = model.signature();
    let largest = signature.max_shapes();
    let cost = model
        .cost(&largest)
        .wrap_err("the model does not take its own largest shapes")?;
    let port = |value: &TensorSignature| Port {
        name: value.name.clone(),
        kind: describe(value),
    };
    let (graph_bytes, weight_bytes) = (
        loaded.canonical.graph.len() as u64,
        loaded.canonical.weights.len() as u64,
    );
    let node_gas = |node: &NodeCost| gas::node(&node.work).saturating_mul(node.times);
    let nodes_gas = cost.nodes.iter().map(node_gas).fold(0, u64::saturating_add);
    let chunks = client::chunk_count(&loaded.canonical);
    let (load, planning) = (
        gas::load(graph_bytes, weight_bytes, chunks as u64),
        gas::planning(&model.planning_work()),
    );
    let execution = gas::memory(cost.peak_memory).saturating_add(nodes_gas);
    Ok(Report {
        id: loaded.id().to_string(),
        file_bytes: loaded.file_bytes,
        graph_bytes,
        weight_bytes,
        chunks,
        opset: model.opset(),
        inputs: signature.inputs.iter().map(port).collect(),
        outputs: signature.outputs.iter().map(port).collect(),
        operators: operators(model, &cost),
        parameters: model.parameters(),
        multiply_adds: cost.multiply_adds,
        peak_memory: cost.peak_memory,
        gas: Gas {
            load,
            planning,
            execution,
            total: load.saturating_add(planning).saturating_add(execution),
        },
        publishing: None,
        drawing: None,
    })
}

/// Nodes and gas of each operator, the dearest first.
fn operators(model: &Model, cost: &synod_model::Cost) -> Vec<OperatorUse> {
    let names: Vec<&str> = model.operators().collect();
    let mut uses: BTreeMap<&str, OperatorUse> = BTreeMap::new();
    for name in &names {
        uses.entry(name).or_default().nodes += 1;
    }
    for node in &cost.nodes {
        uses.entry(names[node.node]).or_default().gas += gas::node(&node.work).saturating_mul(node.times);
    }
    let mut uses: Vec<OperatorUse> = uses
        .into_iter()
        .map(|(name, usage)| OperatorUse {
            operator: name.to_owned(),
            ..usage
        })
        .collect();
    uses.sort_by(|a, b| b.gas.cmp(&a.gas).then_with(|| a.operator.cmp(&b.operator)));
    uses
}

/// Gas of the registry's call beside validation: a transaction, its call data, the registry's slots, the events.
pub(super) const REGISTRY: u64 = 400_000;

/// What the registry's part of publishing costs at most: validating all of the model, and a transaction that writes.
pub(super) fn validation_gas(report: &Report) -> u64 {
    let hashing = gas::validate(report.graph_bytes + report.weight_bytes);
    report.gas.load.saturating_add(hashing).saturating_add(REGISTRY)
}

/// What publishing would cost: the pieces as the chain estimates them, and the registry's validation.
async fn price(client: &Client, upload: &Upload, report: &Report) -> Result<Price> {
    let storing = upload.outlook(client).await?.storing_gas;
    let gas = storing.saturating_add(validation_gas(report));
    let fee = U256::from(gas) * U256::from(client.gas_price().await?);
    Ok(Price {
        chunks: upload.pieces(),
        gas,
        fee_wei: fee.to_string(),
        fee,
    })
}
