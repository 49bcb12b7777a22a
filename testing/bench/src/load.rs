//! A load of JSON-RPC requests over kept-alive connections, on this node and on anvil in turn.

use crate::{
    Options, examples,
    report::{Report, median, thousands},
};
use alloy_primitives::{Address, Bytes, address};
use alloy_sol_types::{SolCall, sol};
use eyre::{Result, bail};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use synod_testing::Node;

sol! {
    function run(string model, bytes input) external view returns (bytes output);
}

const PREDICT: Address = address!("000000000000000000000000000000000000AE01");
/// Requests in flight.
const CLIENTS: usize = 16;
/// Rounds; the nodes take turns in each, and the median counts.
const ROUNDS: usize = 5;
/// How long a round lasts.
const ROUND: Duration = Duration::from_secs(2);

/// `eth_call` of a predict beside `eth_call` of an empty contract, here and on anvil.
pub(crate) async fn measure(
    options: &Options,
    node: &Node,
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    let mut cases = Vec::new();
    // STOP: the cheapest contract there is.
    let empty = node.deploy(&[0]).await?;
    cases.push((
        "synod: empty contract".to_owned(),
        node.url().to_owned(),
        eth_call(empty, Bytes::new()),
    ));
    for example in examples::load(&options.root)? {
        let input = runCall {
            model: example.published.into(),
            input: example.packed(),
        }
        .abi_encode();
        let title = format!("synod: predict `{}`", example.name);
        cases.push((title, node.url().to_owned(), eth_call(PREDICT, input.into())));
    }
    let anvil = match &options.anvil {
        Some(binary) => Some(Node::anvil(binary, &folder.join("anvil.log")).await?),
        None => None,
    };
    if let Some(anvil) = &anvil {
        let empty = anvil.deploy(&[0]).await?;
        cases.push((
            "anvil: empty contract".to_owned(),
            anvil.url().to_owned(),
            eth_call(empty, Bytes::new()),
        ));
    }
    let mut rates = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for round in 0..=ROUNDS {
        for (rates, (_, url, body)) in rates.iter_mut().zip(&cases) {
            let rate = rate(url, body).await?;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    let rows: Vec<Vec<String>> = cases
        .iter()
        .zip(&medians)
        .map(|((title, _, _), rate)| {
            vec![
                title.clone(),
                thousands(*rate as u64),
                format!("{:.2}", rate / medians[0]),
            ]
        })
        .collect();
    report.table(
        "`eth_call` a second",
        &format!(
            "{CLIENTS} requests in flight over kept-alive HTTP from a native client on the same machine, which takes its share of the cores; \
             medians of {ROUNDS} rounds in which the cases take turns."
        ),
        &["call", "a second", "of synod's empty call"],
        &rows,
    );
    if anvil.is_none() {
        report.note("anvil was not there , so that comparison is missing.");
    }
    Ok(())
}

fn eth_call(to: Address, data: Bytes) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "to": to, "data": data }, "latest"] })
}

/// Requests a second that `url` answers when [`CLIENTS`] connections send `body` again and again.
///
/// # Errors
/// When a request fails or is answered with an error: a rate of failures means nothing.
async fn rate(url: &str, body: &Value) -> Result<f64> {
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(CLIENTS)
        .build()?;
    let text = body.to_string();
    let answered = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let (http, url, text, answered) = (http.clone(), url.to_owned(), text.clone(), Arc::clone(&answered));
        tasks.push(tokio::spawn(async move {
            while start.elapsed() < ROUND {
                let request = http
                    .post(&url)
                    .header("content-type", "application/json")
                    .body(text.clone());
                let answer = request.send().await?.text().await?;
                if answer.contains("\"error\"") {
                    bail!("the node answered {answer}");
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}
