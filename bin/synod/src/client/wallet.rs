//! Who signs: the same options and environment names as Foundry's `cast` and `forge`.

use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use clap::Args;
use eyre::{Context as _, ContextCompat as _, Result, bail, ensure, eyre};
use std::path::{Path, PathBuf};

/// Options that name the account which signs transactions. One of them is needed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Wallet")]
pub(crate) struct WalletArgs {
    /// Private key, 32 bytes in hexadecimal
    #[arg(long, value_name = "KEY", env = "ETH_PRIVATE_KEY", hide_env_values = true)]
    private_key: Option<String>,

    /// Mnemonic phrase, or a file that holds one
    #[arg(
        long,
        value_name = "PHRASE",
        env = "ETH_MNEMONIC",
        hide_env_values = true,
        conflicts_with = "private_key"
    )]
    mnemonic: Option<String>,

    /// Which account of the mnemonic, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    mnemonic_index: u32,

    /// Encrypted keystore file (Web3 secret storage)
    #[arg(long, value_name = "FILE", env = "ETH_KEYSTORE", conflicts_with_all = ["private_key", "mnemonic"])]
    keystore: Option<PathBuf>,

    /// Name of a keystore in ~/.foundry/keystores
    #[arg(
        long,
        value_name = "NAME",
        env = "ETH_KEYSTORE_ACCOUNT",
        conflicts_with_all = ["private_key", "mnemonic", "keystore"]
    )]
    account: Option<String>,

    /// File with the keystore's password; without it the password is asked for
    #[arg(long, value_name = "FILE", env = "ETH_PASSWORD")]
    password_file: Option<PathBuf>,
}

impl WalletArgs {
    /// The account that the options name.
    pub(crate) fn signer(&self) -> Result<PrivateKeySigner> {
        if let Some(key) = &self.private_key {
            return parse_key(key);
        }
        if let Some(mnemonic) = &self.mnemonic {
            return self.derive(mnemonic);
        }
        let keystore = match (&self.keystore, &self.account) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(name)) => Some(foundry_keystore(name)?),
            (None, None) => None,
        };
        match keystore {
            Some(file) => self.unlock(&file),
            None => bail!(
                "no key to sign with: give --private-key, --keystore, --account or --mnemonic (or set ETH_PRIVATE_KEY)"
            ),
        }
    }

    fn derive(&self, mnemonic: &str) -> Result<PrivateKeySigner> {
        let phrase = if Path::new(mnemonic).is_file() {
            std::fs::read_to_string(mnemonic).wrap_err_with(|| format!("cannot read {mnemonic}"))?
        } else {
            mnemonic.to_owned()
        };
        MnemonicBuilder::<English>::default()
            .phrase(phrase.trim())
            .index(self.mnemonic_index)
            .and_then(|builder| builder.build())
            .map_err(|_| {
                eyre!("the mnemonic is not valid: 12 to 24 English words with a checksum are expected")
            })
    }

    fn unlock(&self, keystore: &Path) -> Result<PrivateKeySigner> {
        ensure!(keystore.is_file(), "there is no keystore {}", keystore.display());
        let password = match &self.password_file {
            Some(file) => std::fs::read_to_string(file)
                .wrap_err_with(|| format!("cannot read the password file {}", file.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => ask_password(keystore)?,
        };
        PrivateKeySigner::decrypt_keystore(keystore, password)
            .map_err(|_| eyre!("{} does not open with this password", keystore.display()))
    }
}

/// Reads a private key. The text never appears in the error.
fn parse_key(key: &str) -> Result<PrivateKeySigner> {
    key.trim().parse().map_err(|_| {
        eyre!("the private key is not valid: 64 hexadecimal digits are expected, with or without 0x")
    })
}

fn foundry_keystore(name: &str) -> Result<PathBuf> {
    let home = std::env::home_dir().wrap_err("the home folder is unknown: use --keystore FILE")?;
    Ok(home.join(".foundry/keystores").join(name))
}

fn ask_password(keystore: &Path) -> Result<String> {
    let terminal = console::Term::stderr();
    ensure!(
        terminal.is_term(),
        "the keystore needs a password: give --password-file (or set ETH_PASSWORD)"
    );
    terminal.write_str(&format!("Password of {}: ", keystore.display()))?;
    Ok(terminal.read_secure_line()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn keys_and_mnemonics_give_the_well_known_account() {
        let expected = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        assert_eq!(parse_key(key).unwrap().address(), expected);
        assert_eq!(parse_key(&format!("0x{key}\n")).unwrap().address(), expected);
        let phrase = "test test test test test test test test test test test junk";
        let wallet = WalletArgs {
            mnemonic: Some(phrase.into()),
            ..Default::default()
        };
        assert_eq!(wallet.signer().unwrap().address(), expected);
        let second = WalletArgs {
            mnemonic_index: 1,
            ..wallet
        };
        assert_eq!(
            second.signer().unwrap().address(),
            address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
        );
    }

    /// The test vector of Ethereum's "Web3 secret storage definition", version 3, PBKDF2.
    const KEYSTORE: &str = r#"{"crypto": {"cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2", "kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
        "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;

    #[test]
    fn a_keystore_opens_with_its_password_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), KEYSTORE).unwrap();
        let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
        std::fs::write(&right, "testpassword\n").unwrap();
        std::fs::write(&wrong, "apple").unwrap();
        let wallet = |password| WalletArgs {
            keystore: Some(folder.path().join("key")),
            password_file: Some(password),
            ..Default::default()
        };
        let expected = address!("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b");
        assert_eq!(wallet(right).signer().unwrap().address(), expected);
        let refused = wallet(wrong).signer().unwrap_err().to_string();
        assert!(
            refused.contains("does not open with this password") && !refused.contains("apple"),
            "{refused}"
        );
        let missing = wallet(folder.path().join("none"))
            .signer()
            .unwrap_err()
            .to_string();
        assert!(missing.contains("cannot read the password file"), "{missing}");
    }

    #[test]
    fn a_wrong_key_is_not_repeated() {
        for key in [
            "",
            "0x12",
            "zz0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            &"0".repeat(64),
        ] {
            let message = parse_key(key).unwrap_err().to_string();
            assert!(key.is_empty() || !message.contains(key), "{message}");
        }
        assert!(WalletArgs::default().signer().is_err());
    }
}
