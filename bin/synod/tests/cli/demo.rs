//! The demo is a promise: it runs from nothing and ends well.

use super::{arg, example, synod};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

#[test]
fn the_demo_tells_its_story_and_ends_with_zero() {
    let translator = example("translate/en-de");
    let story = synod(["demo", "--translator", arg(&translator)]).succeeds();
    for part in [
        "cellar/wine@1",
        "fleet/ride@1",
        "the supplier is paid",
        "refused, the buyer is refunded",
        "70 of 72 right",
        "157 of 160 right",
        "words/en-de@1",
        "The apples are good.",
        "Die Äpfel sind gut.",
        "the same German without the chain",
    ] {
        assert!(story.contains(part), "{part:?} is missing in\n{story}");
    }
    let longest = story
        .lines()
        .max_by_key(|line| line.chars().count())
        .unwrap_or_default();
    assert!(
        longest.chars().count() <= 100,
        "wider than 100 columns: {longest}"
    );
    assert!(!story.contains('\u{1b}'), "no terminal codes in a log file");
}

#[test]
fn the_demo_as_json_has_the_checked_facts() {
    let only = ["demo", "--json", "--only", "cellar,fleet"];
    let report: Value = serde_json::from_str(&synod(only).succeeds()).unwrap();
    assert!(report.get("translate").is_none());
    let examples = report["examples"].as_array().unwrap();
    let facts: Vec<_> = examples
        .iter()
        .map(|e| {
            (
                e["name"].as_str().unwrap(),
                e["correct"].as_u64(),
                e["samples"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [("cellar", Some(70), Some(72)), ("fleet", Some(157), Some(160))]
    );
}

/// What follows `prefix` on the next line that begins with it.
#[cfg(unix)]
fn after(lines: &mut impl Iterator<Item = String>, prefix: &str) -> String {
    lines
        .find_map(|line| line.trim().strip_prefix(prefix).map(str::to_owned))
        .unwrap_or_else(|| panic!("{prefix:?} is not among the things to try"))
}

#[cfg(unix)]
#[test]
fn with_keep_the_node_answers_until_it_is_interrupted() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(["demo", "--keep", "--only", "cellar"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("stdout is piped"))
        .lines()
        .map_while(Result::ok);
    let url = after(&mut lines, "export ETH_RPC_URL=");
    let input = after(&mut lines, "synod predict cellar/wine --input ");
    let report = synod(["predict", "cellar/wine", "--input", &input, "--rpc-url", &url]).succeeds();
    assert!(report.contains("cultivar f32[1, 3]"), "{report}");
    let interrupted = Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(interrupted.success());
    assert_eq!(demo.wait().expect("the demo ends").code(), Some(0));
}

#[test]
fn without_its_folder_an_act_is_left_out_or_refused() {
    // tests run in the folder of their crate, which has no examples
    let refusal = "--translator names one";
    synod(["demo", "--only", "translate"]).refuses(&["examples/translate/en-de", refusal]);
    synod(["demo", "--translator", "nowhere"]).refuses(&["nowhere", refusal]);
}
