//! Ethereum's own clients against the real `synod dev`: what people will do with a node, done by the programs with which
//! they will do it.
//!
//! The scripts are in `testing/clients`; `cargo xtask test` installs what they need. A missing client is a failure with the
//! command that installs it, never a test that silently passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clients;
mod models;
mod projects;
mod raw;
