//! The demo is a promise: it runs from nothing and ends well.

use super::synod;
use serde_json::Value;

#[test]
fn the_demo_tells_its_story_and_ends_with_zero() {
    let story = synod(["demo"]).succeeds();
    for part in [
        "cellar/wine@1",
        "fleet/ride@1",
        "the supplier is paid",
        "refused, the buyer is refunded",
        "right on the chain 70",
        "right on the chain 157",
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
    let report: Value = serde_json::from_str(&synod(["demo", "--json"]).succeeds()).unwrap();
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
