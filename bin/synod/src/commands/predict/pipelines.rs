//! `synod predict ORG/MODEL --text TEXT`, `--picture FILE`: models that are pipelines.

use super::PredictArgs;
use crate::{
    client::{self, Client, Located},
    show::{Form, note, print_raw, thousands},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, I256};
use eyre::{Context as _, ContextCompat as _, Result, bail, eyre};
use serde::Serialize;
use std::{fmt, fs};
use synod_evm::{addresses::PREDICT, interface::IPredict};
use synod_pipeline::{Limits, Local, Pipeline, Task, Unmetered};

/// A text that was written.
#[derive(Serialize)]
struct Written {
    name: String,
    version: u64,
    model_id: B256,
    /// Null if it was computed here.
    block: Option<u64>,
    text: String,
    input_tokens: u32,
    output_tokens: u32,
    /// Why it ends: `eos`, `max_tokens` or `max_gas`.
    finish: &'static str,
    /// What the call costs in a transaction at most; null if it was computed here.
    gas_at_most: Option<u64>,
    #[serde(skip)]
    shown: bool,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.shown {
            writeln!(f, "{}", self.text)?;
        }
        write!(f, "{} tokens in, {} out", self.input_tokens, self.output_tokens)?;
        match self.finish {
            "eos" => {}
            limit => write!(f, ", ended by the limit of {}", limit.trim_start_matches("max_"))?,
        }
        if let (Some(gas), Some(block)) = (self.gas_at_most, self.block) {
            write!(f, "  gas at most {}  block {block}", thousands(gas))?;
        }
        writeln!(f, "  id {}", self.model_id)
    }
}

/// A class.
#[derive(Serialize)]
struct Class {
    name: String,
    version: u64,
    model_id: B256,
    block: u64,
    class: u64,
    label: String,
    /// Its probability.
    score: f64,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.label.escape_debug();
        writeln!(
            f,
            "{label}  (class {}, probability {:.4})",
            self.class, self.score
        )?;
        writeln!(f, "block {}  id {}", self.block, self.model_id)
    }
}

pub(super) async fn run(args: PredictArgs, form: Form) -> Result<()> {
    let client = args.rpc.connect().await?;
    let number = match args.block {
        Some(number) => number,
        None => client.block_number().await?,
    };
    let block = BlockId::number(number);
    let located = client::locate(&client, &args.name, block).await?;
    let name = args.name.to_string();
    if let Some(picture) = &args.picture {
        let found = look(&client, &name, picture, block).await?;
        return form.print(&class(&name, &located, number, found));
    }
    let text = args.text.clone().wrap_err("there is no text")?;
    if args.stream {
        let pipeline = client::pull_pipeline(&client, &located).await?;
        return form.print(&stream(&args, &located, &pipeline, &text, form)?);
    }
    let task = client::description(&client, &located).await?.task;
    match task {
        Task::TextToText | Task::TextGeneration => {
            let (max_tokens, max_gas) = (args.max_tokens.unwrap_or(0), args.max_gas.unwrap_or(0));
            let ask = IPredict::generateCall {
                model: name.clone(),
                input: text.clone(),
                maxTokens: max_tokens,
                maxGas: max_gas,
            };
            let answer = client.call(PREDICT, &ask, block).await?;
            let ask = IPredict::quoteTextCall {
                model: name.clone(),
                input: text,
                maxTokens: max_tokens,
            };
            let quote = client.call(PREDICT, &ask, block).await?;
            form.print(&Written {
                name,
                version: located.version,
                model_id: located.id,
                block: Some(number),
                text: answer.text,
                input_tokens: answer.inputTokens,
                output_tokens: answer.outputTokens,
                finish: match answer.finish {
                    0 => "eos",
                    1 => "max_tokens",
                    _ => "max_gas",
                },
                gas_at_most: Some(quote.total),
                shown: false,
            })
        }
        Task::TextClassification => {
            let ask = IPredict::classifyTextCall {
                model: name.clone(),
                input: text,
            };
            let found = client.call(PREDICT, &ask, block).await?;
            form.print(&class(
                &name,
                &located,
                number,
                (found.label.saturating_to(), found.name, found.score),
            ))
        }
        other => bail!("{name} is for {}: it does not take a text here", other.name()),
    }
}

/// Asks the chain about a picture.
async fn look(client: &Client, name: &str, picture: &str, block: BlockId) -> Result<(u64, String, I256)> {
    let model = name.to_owned();
    if let Ok(file) = picture.parse::<Address>() {
        let found = client
            .call(PREDICT, &IPredict::classifyFileCall { model, file }, block)
            .await?;
        return Ok((found.label.saturating_to(), found.name, found.score));
    }
    let bytes = fs::read(picture).wrap_err_with(|| format!("cannot read {picture}"))?;
    // said here in words; the chain only says that it is no picture
    synod_image::Encoded::read(&bytes).wrap_err_with(|| picture.to_owned())?;
    let ask = IPredict::classifyImageCall {
        model,
        picture: bytes.into(),
    };
    let found = client.call(PREDICT, &ask, block).await?;
    Ok((found.label.saturating_to(), found.name, found.score))
}

fn class(name: &str, located: &Located, block: u64, (class, label, score): (u64, String, I256)) -> Class {
    Class {
        name: name.to_owned(),
        version: located.version,
        model_id: located.id,
        block,
        class,
        label,
        score: score.to_string().parse::<f64>().unwrap_or(0.0) / 1e18,
    }
}

/// Generates here, and shows the text as it grows.
fn stream(
    args: &PredictArgs,
    located: &Located,
    pipeline: &Pipeline,
    text: &str,
    form: Form,
) -> Result<Written> {
    let tokenizer = pipeline
        .tokenizer()
        .ok_or_else(|| eyre!("{} takes no text", args.name))?;
    let limits = Limits {
        max_tokens: args.max_tokens,
    };
    let mut shown = String::new();
    let mut show = |tokens: &[u32]| {
        if form != Form::Text {
            return;
        }
        let Ok(so_far) = tokenizer.decode(tokens, true) else {
            return;
        };
        // with several beams the text may become another: then what differs is shown on a line of its own
        match so_far.strip_prefix(shown.as_str()) {
            Some(more) => drop(print_raw(more)),
            None => drop(print_raw(&format!("\n{so_far}"))),
        }
        shown = so_far;
    };
    let generated = pipeline.generate_observed(
        text.as_bytes(),
        &limits,
        &mut Local::default(),
        &mut Unmetered,
        &mut show,
    )?;
    if form == Form::Text {
        if generated.text == shown {
            print_raw("\n")?;
        } else {
            print_raw(&format!("\n{}\n", generated.text))?;
        }
    }
    note("computed here with the chain's arithmetic");
    Ok(Written {
        name: args.name.to_string(),
        version: located.version,
        model_id: located.id,
        block: None,
        text: generated.text,
        input_tokens: generated.prompt_tokens,
        output_tokens: u32::try_from(generated.tokens.len()).unwrap_or(u32::MAX),
        finish: match generated.finish {
            synod_pipeline::Finish::Eos => "eos",
            synod_pipeline::Finish::MaxTokens => "max_tokens",
            synod_pipeline::Finish::MaxGas => "max_gas",
        },
        gas_at_most: None,
        shown: true,
    })
}
