//! Forms that other programs rely on.

use super::synod;

#[test]
fn help_and_version_go_to_stdout() {
    let help = synod(["--help"]).succeeds();
    for command in ["demo", "dev", "model", "predict", "completions"] {
        assert!(help.contains(command), "{help}");
    }
    assert_eq!(
        synod(["--version"]).succeeds(),
        format!("synod {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = synod(["completions", shell]).succeeds();
        assert!(script.contains("synod") && script.contains("publish"), "{shell}");
    }
}

#[test]
fn what_is_not_understood_ends_with_code_2() {
    for args in [
        &["frobnicate"][..],
        &["model", "run"],
        &["dev", "--port", "70000"],
        &["completions", "tcsh"],
    ] {
        let ran = synod(args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert!(
            ran.stdout.is_empty() && ran.stderr.starts_with("error:"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn secrets_do_not_show_in_the_help() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(["model", "publish", "--help"])
        .env("ETH_PRIVATE_KEY", "0x5ec2e7")
        .output()
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        text.contains("ETH_PRIVATE_KEY") && !text.contains("5ec2e7"),
        "{text}"
    );
}
