//! JSON-RPC over HTTP with a bound on what an answer may take. Whoever answers may be hostile: no answer is kept that is
//! longer than any honest one.

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::transport::{TransportError, TransportErrorKind, TransportFut};
use std::task::{Context, Poll};
use tower::Service;

/// Bytes of an answer. Twice what a node sends at most unless its operator says otherwise.
const MAX_ANSWER: usize = 256 << 20;

/// An answer that no honest node gives.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {MAX_ANSWER} bytes: do not trust this node")]
struct TooLong;

/// The way to one node.
#[derive(Debug, Clone)]
pub(super) struct BoundedHttp {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl BoundedHttp {
    pub(super) fn new(url: reqwest::Url) -> Self {
        Self {
            client: reqwest::Client::new(),
            url,
        }
    }

    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let mut response = self
            .client
            .post(self.url)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(TransportErrorKind::custom)?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(TransportErrorKind::custom)? {
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
