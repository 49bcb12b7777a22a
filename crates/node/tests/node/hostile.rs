//! Requests that are none, requests that want too much, and clients that only take up room. Whatever comes, there is an answer
//! with a standard code or the connection is closed, and others are served.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jsonrpsee::{core::client::ClientT, ws_client::WsClientBuilder};
use serde_json::{Value, json};
use synod_node::Mining;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{World, code};

/// Posts bytes and gives the status and the body of the answer.
async fn post(address: SocketAddr, body: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // A node that has read enough closes before everything is sent.
    let _ = socket.write_all(body).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.unwrap_or(0), body.to_owned())
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_its_code_and_harms_nobody() {
    let world = World::start(|config| {
        config.rpc.request_bytes = 1 << 20;
        config.rpc.batch = 50;
        config.rpc.log_blocks = 10;
        config.mining = Mining::Manual;
    })
    .await;
    let address = world.node.http_addr();
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let nested = |value: String| request("eth_call", &format!("[{value}]"));
    let chain_id = request("eth_chainId", "[]");
    let batch = |count: usize| format!("[{}]", vec![chain_id.clone(); count].join(","));
    let cases = [
        ("nothing", String::new(), -32700),
        ("half an object", "{".into(), -32700),
        ("text", "hello".into(), -32700),
        ("a number", "1".into(), -32600),
        ("null", "null".into(), -32600),
        ("an empty batch", "[]".into(), -32600),
        (
            "another protocol",
            r#"{"id":1,"method":"eth_chainId"}"#.into(),
            -32600,
        ),
        ("no method", r#"{"jsonrpc":"2.0","id":1}"#.into(), -32600),
        ("a method that is none", request("eth_nothing", "[]"), -32601),
        (
            "a text for an address",
            request("eth_getBalance", r#"["bob","latest"]"#),
            -32602,
        ),
        (
            "an object for a list",
            request("eth_getBalance", r#"{"a":1}"#),
            -32602,
        ),
        ("no parameters", request("eth_getBalance", "[]"), -32602),
        (
            "a number below zero",
            request("eth_getBlockByNumber", "[-1,false]"),
            -32602,
        ),
        ("a deep list", deep("[", "]"), -32700),
        ("a deep object", deep(r#"{"a":"#, "}"), -32700),
        ("a deep parameter", nested(deep("[", "]")), -32602),
        ("too large a batch", batch(51), -32010),
    ];
    for (name, body, expected) in cases {
        let (status, answer) = post(address, body.as_bytes()).await;
        assert!(
            matches!(status, 200 | 400 | 413),
            "{name}: status {status}, {answer}"
        );
        let found = serde_json::from_str::<Value>(&answer).map(|answer| match &answer {
            // What begins like a batch is answered like one.
            Value::Array(answers) => answers[0]["error"]["code"].clone(),
            answer => answer["error"]["code"].clone(),
        });
        let found = found.unwrap_or_else(|_| panic!("{name}: {answer}"));
        // What does not even look like an object or a list may be called either: not JSON, or no request.
        let either = [-32700, -32600].contains(&expected) && [json!(-32700), json!(-32600)].contains(&found);
        assert!(found == expected || either, "{name}: {answer}");
    }
    let (status, answer) = post(address, &vec![b' '; 2 << 20]).await;
    assert!(
        status == 413 || status == 0 || answer.contains("-32"),
        "too long: {status} {answer}"
    );
    let (status, answer) = post(address, batch(50).as_bytes()).await;
    assert_eq!((status, answer.matches("0x539").count()), (200, 50));

    world.ask("hardhat_mine", json!(["0x14"])).await.unwrap();
    let everything = json!([{"fromBlock": "0x0", "toBlock": "latest"}]);
    let error = world.ask("eth_getLogs", everything).await.unwrap_err();
    assert_eq!(code(&error), -32000);
    assert!(error.to_string().contains("too wide"), "{error}");
    assert_eq!(world.ask("eth_chainId", json!([])).await.unwrap(), "0x539");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_say_nothing_take_up_their_share_and_no_more() {
    let world = World::start(|config| config.rpc.connections = 64).await;
    let address = world.node.http_addr();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    // Full or not, somebody who comes now is told so at once, and is served when the others have gone.
    let (status, _) = post(address, request("eth_chainId", "[]").as_bytes()).await;
    assert!([200, 429, 0].contains(&status), "{status}");
    drop(idle);
    loop {
        let (status, answer) = post(address, request("eth_chainId", "[]").as_bytes()).await;
        if status == 200 {
            assert!(answer.contains("0x539"), "{answer}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_client_that_burns_gas_another_gets_many_answers_for_each_of_its() {
    let world = World::start(|_| ()).await;
    let busy = WsClientBuilder::default()
        .build(format!("ws://{}", world.node.http_addr()))
        .await
        .unwrap();
    let busy = Arc::new(busy);
    let burnt = Arc::new(AtomicUsize::new(0));
    // JUMPDEST PUSH1 0 JUMP: burns whatever gas it gets.
    let burn = json!({"data": "0x5b5f56", "gas": "0x4000000"});
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let (busy, burnt, burn) = (busy.clone(), burnt.clone(), burn.clone());
            tokio::spawn(async move {
                let answer = busy.request::<Value, _>("eth_call", [burn]).await;
                burnt.fetch_add(1, Ordering::SeqCst);
                answer.unwrap_err()
            })
        })
        .collect();
    let mut answers = 0;
    while burnt.load(Ordering::SeqCst) < calls.len() {
        world.ask("eth_blockNumber", json!([])).await.unwrap();
        answers += 1;
    }
    for call in calls {
        assert_eq!(code(&call.await.unwrap()), -32000);
    }
    assert!(answers >= 24 * 2, "{answers} answers beside 24 calls");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_call_does_not_wait_for_long_ones() {
    let world = World::start(|config| config.rpc.workers = 1).await;
    // JUMPDEST PUSH1 0 JUMP: burns whatever gas it gets. One of these is at work at a time, the others wait for its place.
    let burn = json!([{"data": "0x5b5f56", "gas": "0x4000000"}]);
    let client = Arc::new(world.client.clone());
    let long: Vec<_> = (0..8)
        .map(|_| {
            let (client, burn) = (client.clone(), burn[0].clone());
            tokio::spawn(async move { client.request::<Value, _>("eth_call", [burn]).await.unwrap_err() })
        })
        .collect();
    let account = world.accounts().await[0].clone();
    for (method, params) in [
        ("eth_call", json!([{"to": account}, "latest"])),
        ("eth_getBalance", json!([account, "latest"])),
        ("eth_estimateGas", json!([{"to": account, "from": account}])),
    ] {
        world.ask(method, params).await.unwrap();
        assert!(long.iter().any(|call| !call.is_finished()), "{method} waited");
    }
    for call in long {
        assert_eq!(code(&call.await.unwrap()), -32000);
    }
    world.node.stop().await.unwrap();
}
