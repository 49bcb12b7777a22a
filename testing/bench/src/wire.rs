//! HTTP/1.1 on one kept-alive connection, with no more than a load needs.
//!
//! A load generator shares the machine with the node that it measures. A client library costs as much a request as a node
//! does, so half of what it would measure is itself. This writes bytes that were put together before, and reads as many as
//! the answer says it has.

use crate::cores::Cores;
use eyre::{Result, bail, eyre};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use synod_testing::Node;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    pub(crate) fn new(body: &Value) -> Self {
        let body = body.to_string();
        let length = body.len();
        Self(
            format!(
                "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
    /// Connects to `http://host:port`.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            answer: Vec::new(),
        })
    }

    /// Sends a request and gives the body of the answer.
    ///
    /// # Errors
    /// When the connection ends, when the answer does not say its length, and when it is an error: a rate of failures means
    /// nothing.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<&[u8]> {
        const END: &[u8] = b"\r\n\r\n";
        self.socket.write_all(&request.0).await?;
        self.answer.clear();
        let start = loop {
            if self.socket.read_buf(&mut self.answer).await? == 0 {
                bail!("the node closed the connection");
            }
            let head = self.answer.windows(END.len()).position(|bytes| bytes == END);
            if let Some(head) = head {
                let length = content_length(&self.answer[..head])?;
                if self.answer.len() >= head + END.len() + length {
                    break head + END.len();
                }
            }
        };
        let body = &self.answer[start..];
        if body.windows(7).any(|bytes| bytes == b"\"error\"") {
            bail!("the node answered {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// The same with JSON on both sides: the result.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let request = Request::new(&rpc(method, params));
        let mut answer: Value = serde_json::from_slice(self.ask(&request).await?)?;
        Ok(answer["result"].take())
    }
}

/// A JSON-RPC request.
pub(crate) fn rpc(method: &str, params: Value) -> Value {
    serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(field
        .ok_or_else(|| eyre!("an answer without its length: {head}"))?
        .parse()?)
}

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Seconds from each request to its answer, sorted.
    pub(crate) latencies: Vec<f64>,
    /// Processor time of the generator.
    pub(crate) generator: Duration,
}

impl Measured {
    pub(crate) fn new(mut latencies: Vec<f64>, time: Duration, generator: Duration) -> Self {
        latencies.sort_by(f64::total_cmp);
        Self {
            rate: latencies.len() as f64 / time.as_secs_f64(),
            latencies,
            generator,
        }
    }

    /// The latency that so many of a hundred requests stay below, in seconds.
    ///
    /// # Panics
    /// If nothing was answered.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)]
    }
}

/// Sends `request` over so many connections again and again, for `time`.
///
/// All of the generator is on one thread: it takes its share of the cores and no more than it needs.
pub(crate) async fn load(
    node: &Node,
    cores: Cores,
    request: Request,
    connections: usize,
    time: Duration,
) -> Result<Measured> {
    let (url, request) = (node.url().to_owned(), Arc::new(request));
    on_one_thread(node, cores, move || async move {
        let (start, taken) = (Instant::now(), thread_time());
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (mut wire, request) = (Wire::connect(&url).await?, Arc::clone(&request));
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < time {
                    let sent = Instant::now();
                    wire.ask(&request).await?;
                    latencies.push(sent.elapsed().as_secs_f64());
                }
                Ok::<_, eyre::Report>(latencies)
            }));
        }
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.append(&mut task.await??);
        }
        Ok(Measured::new(latencies, start.elapsed(), thread_time() - taken))
    })
    .await
}

/// Processor time that this thread has taken.
pub(crate) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// Runs a future that loads `node` on a thread with a runtime of its own.
pub(crate) async fn on_one_thread<T, F>(
    node: &Node,
    cores: Cores,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    cores.give_to(node)?;
    tokio::task::spawn_blocking(move || {
        cores.take()?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all();
        if cores == Cores::OneEach {
            // Look for answers between any two turns.
            runtime.event_interval(1);
        }
        runtime.build()?.block_on(async move {
            let awake = (cores == Cores::OneEach).then(|| tokio::spawn(stay_awake()));
            let done = make().await;
            awake.inspect(tokio::task::JoinHandle::abort);
            done
        })
    })
    .await?
}

/// Keeps the thread looking for answers where it would sleep. On a core of its own nobody else wants it, and a node need not
/// wake it with each answer: to wake a thread of another core is work that a client elsewhere would not cause.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}
