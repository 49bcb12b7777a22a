//! `synod demo`

use crate::{
    client::Client,
    demo::{self, Story},
    show::Form,
};
use clap::Args;
use eyre::Result;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A node of a development chain to play on
    #[arg(long, value_name = "URL")]
    rpc_url: String,
}

pub(crate) async fn run(args: DemoArgs, form: Form) -> Result<()> {
    let story = Story::new(form);
    let client = Client::connect(&args.rpc_url).await?;
    let report = demo::play(&client, &args.rpc_url, &story).await?;
    story.end(&report)
}
