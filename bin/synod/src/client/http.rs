//! JSON-RPC over HTTP with bounds on what an answer may take. Whoever answers may be hostile, or gone: no answer is kept that
//! is longer than any honest one, and none is waited for that does not come.

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::transport::{TransportError, TransportErrorKind, TransportFut};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// Bytes of an answer. Twice what a node sends at most unless its operator says otherwise.
const MAX_ANSWER: usize = 256 << 20;

/// An answer that no honest node gives.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {MAX_ANSWER} bytes: do not trust this node")]
struct TooLong;

/// A node that is silent.
#[derive(Debug, thiserror::Error)]
#[error("the node is silent for {} s: --rpc-timeout gives it longer", .0.as_secs())]
struct Silent(Duration);

/// The way to one node.
#[derive(Debug, Clone)]
pub(super) struct BoundedHttp {
    client: reqwest::Client,
    url: reqwest::Url,
    /// How long the node may be silent: before it answers, and between two pieces of an answer.
    patience: Duration,
}

impl BoundedHttp {
    pub(super) fn new(url: reqwest::Url, patience: Duration) -> Self {
        Self {
            client: reqwest::Client::new(),
            url,
            patience,
        }
    }

    async fn within<T>(
        patience: Duration,
        answer: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, TransportError> {
        tokio::time::timeout(patience, answer)
            .await
            .map_err(|_| TransportErrorKind::custom(Silent(patience)))?
            .map_err(TransportErrorKind::custom)
    }

    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let sent = self
            .client
            .post(self.url)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        let mut response = Self::within(self.patience, sent).await?;
        let mut answer = Vec::new();
        while let Some(piece) = Self::within(self.patience, response.chunk()).await? {
            if answer.len() + piece.len() > MAX_ANSWER {
                return Err(TransportErrorKind::custom(TooLong));
            }
            answer.extend_from_slice(&piece);
        }
        let text = || String::from_utf8_lossy(&answer);
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(TransportErrorKind::http_error(status, text().into_owned()));
        }
        serde_json::from_slice(&answer).map_err(|error| TransportError::deser_err(error, text()))
    }
}

impl Service<RequestPacket> for BoundedHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
