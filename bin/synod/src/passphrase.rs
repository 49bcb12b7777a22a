//! Passphrases of validators' keys: laid ready in a file, or asked for on a terminal. Never an argument, which every user of
//! the machine could read.

use clap::Args;
use eyre::{Result, ensure, eyre};
use std::{
    io,
    path::{Path, PathBuf},
};
use synod_node::cluster::{PASSPHRASE_FILE_VARIABLE, Passphrase};

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PassphraseArgs {
    /// File whose first line is the keys' passphrase; without it the passphrase is asked for
    #[arg(long, value_name = "FILE", env = PASSPHRASE_FILE_VARIABLE)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// A passphrase for new keys, if they are to be encrypted.
    pub(crate) fn new_if(&self, encrypt: bool) -> Result<Option<Passphrase>> {
        encrypt.then(|| self.new_passphrase()).transpose()
    }

    /// A passphrase for keys that are about to be encrypted with it.
    pub(crate) fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(passphrase) = Passphrase::laid_ready(self.passphrase_file.as_deref())? {
            return Ok(passphrase);
        }
        let terminal = console::Term::stderr();
        ensure!(
            terminal.is_term(),
            "a passphrase is needed: give --passphrase-file (or set {PASSPHRASE_FILE_VARIABLE})"
        );
        terminal.write_str("New passphrase: ")?;
        let text = terminal.read_secure_line()?;
        terminal.write_str("Once more: ")?;
        ensure!(terminal.read_secure_line()? == text, "the two passphrases differ");
        Passphrase::new(text).ok_or_else(|| eyre!("an empty passphrase protects nothing"))
    }
}

/// Asks the person at the terminal, if there is one, for the passphrase of a key file.
pub(crate) fn ask(key_file: &Path) -> io::Result<Option<Passphrase>> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Ok(None);
    }
    terminal.write_str(&format!("Passphrase of {}: ", key_file.display()))?;
    Ok(Passphrase::new(terminal.read_secure_line()?))
}
