//! `rpc.discover`: the `synod_` methods as an OpenRPC document, for tools that make clients of it.

use jsonrpsee::proc_macros::rpc;
use serde_json::value::RawValue;

use crate::error::{RpcError, RpcResult};

/// The document. Who adds a method to `synod_` adds it here; a test compares.
pub const OPENRPC: &str = include_str!("../openrpc.json");

#[rpc(server)]
pub(crate) trait DiscoverApi {
    #[method(name = "rpc.discover", aliases = ["rpc_discover"])]
    fn discover(&self) -> RpcResult<Box<RawValue>>;
}

/// The method's implementation.
#[derive(Debug)]
pub(crate) struct Discover;

impl DiscoverApiServer for Discover {
    fn discover(&self) -> RpcResult<Box<RawValue>> {
        RawValue::from_string(OPENRPC.to_owned()).map_err(RpcError::internal)
    }
}
