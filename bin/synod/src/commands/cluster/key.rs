//! `synod cluster key`

use crate::{
    passphrase::{PassphraseArgs, ask},
    show::{Form, note},
};
use clap::{Args, Subcommand};
use eyre::{Result, ensure};
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_consensus::simplex::ValidatorEntry;
use synod_node::cluster::{is_encrypted, read_keys, replace_keys};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Encrypt a validator's keys with a passphrase, in place
    Encrypt(KeyArgs),
    /// Write a validator's encrypted keys in the clear, in place
    Decrypt(KeyArgs),
    /// Print the public parts of a validator's keys: what a genesis file says about it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The validator's key file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    key: KeyArgs,

    /// The validator's name
    #[arg(long, value_name = "NAME", default_value = "validator")]
    name: String,
}

/// What a key file says to everybody.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: ValidatorEntry,
    encrypted: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protection = if self.encrypted {
            "encrypted with a passphrase"
        } else {
            "in the clear"
        };
        writeln!(f, "identity    {}", self.entry.identity)?;
        writeln!(f, "vote key    {}", self.entry.vote_key)?;
        writeln!(f, "possession  {}", self.entry.possession)?;
        writeln!(f, "the file is {protection}")
    }
}

pub(crate) fn run(command: KeyCommand, form: Form) -> Result<()> {
    let (args, name) = match &command {
        KeyCommand::Encrypt(args) => {
            ensure!(
                !is_encrypted(&args.file)?,
                "{} is encrypted already: to change its passphrase, decrypt it first",
                args.file.display()
            );
            (args, None)
        }
        KeyCommand::Decrypt(args) => {
            ensure!(
                is_encrypted(&args.file)?,
                "{} is not encrypted",
                args.file.display()
            );
            (args, None)
        }
        KeyCommand::Show(args) => (&args.key, Some(&args.name)),
    };
    let keys = read_keys(&args.file, args.passphrase.passphrase_file.as_deref(), &ask)?;
    match command {
        KeyCommand::Encrypt(_) => {
            replace_keys(&args.file, &keys, Some(&args.passphrase.new_passphrase()?))?;
            note("encrypted; earlier copies of the file, in backups and on the disk, are still in the clear");
        }
        KeyCommand::Decrypt(_) => {
            replace_keys(&args.file, &keys, None)?;
            note("decrypted; whoever reads the file has the keys");
        }
        KeyCommand::Show(_) => {}
    }
    form.print(&Shown {
        entry: keys.entry(name.map_or("validator", String::as_str)),
        encrypted: is_encrypted(&args.file)?,
    })
}
