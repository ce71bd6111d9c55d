//! Groups, plan and pruned graph of every fixture, as reviewed text.
//!
//! `groups.txt`, `plan.txt` and `pruned.txt` are with expanded residual additions; `*.tie.txt` with tied ones and `*.select.txt`
//! with selected ones, where the text differs. After a change that is meant to alter them: `UPDATE_FIXTURES=1 cargo test --release
//! --test networks golden`, then read the diff.

use super::{NetworkFile, Residual, files, random_plan};
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::graph::{self, Network};
use autobot_onnx::internals::plan::Plan;
use autobot_onnx::internals::rewrite::{self, Rewritten};
use std::fmt::Write;
use std::path::Path;

/// Share of what can be saved that the plans keep.
const SHARE: f64 = 0.6;

#[test]
fn fixtures_give_the_reviewed_text() {
    let mut wrong = String::new();
    for path in files("fixtures") {
        let network = NetworkFile::read(&path);
        let folder = path.parent().unwrap();
        let expand = stages(&network, Residual::Expand);
        for (name, residual) in [("tie", Residual::Tie), ("select", Residual::Select)] {
            for ((stage, text), (_, expand)) in stages(&network, residual).into_iter().zip(&expand) {
                let other = (text != *expand).then_some(text);
                check(&folder.join(format!("{stage}.{name}.txt")), other, &mut wrong);
            }
        }
        for (stage, text) in expand {
            check(&folder.join(format!("{stage}.txt")), Some(text), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "text has changed (UPDATE_FIXTURES=1 accepts it):\n{wrong}");
}

fn stages(network: &NetworkFile, residual: Residual) -> [(&'static str, String); 3] {
    let (groups, cost) = network.groups(residual);
    let plan = random_plan(network, &groups, &cost, SHARE, 1);
    let done = rewrite::rewrite(network.network(), &groups, &plan.kept, network.model.opset());
    let done = done.unwrap_or_else(|e| panic!("{}: {e}", network.name));
    let small_facts = network.network().facts_of(&done.graph).unwrap();
    let full = cost.hard(&vec![true; groups.classes.len()]);
    let plan = format!("MACs {} of {full}\n{}", plan.cost, print_plan(&groups, &plan, &done));
    [
        ("groups", groups.print()),
        ("plan", plan),
        ("pruned", graph::print(Network::new(&done.graph, &small_facts))),
    ]
}

/// What each group keeps of its classes, and what is left of each constant.
fn print_plan(groups: &Groups, plan: &Plan, done: &Rewritten) -> String {
    let mut out = String::new();
    for g in &groups.groups {
        let left: Vec<usize> = (0..g.classes.len()).filter(|&i| plan.kept[g.classes[i]]).collect();
        let _ = writeln!(out, "group  {}: {} of {}", g.name, ranges(&left), g.classes.len());
    }
    for s in &done.sliced {
        let _ = writeln!(out, "sliced {} axis {}: {}", s.initializer, s.axis, ranges(&s.kept));
    }
    for name in &done.restated {
        let _ = writeln!(out, "stated {name}");
    }
    out
}

/// `0-3 7 9-10`
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn check(path: &Path, expected: Option<String>, wrong: &mut String) {
    let stored = std::fs::read_to_string(path).ok();
    if stored == expected {
        return;
    }
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        match expected {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        return;
    }
    let (old, new) = (stored.unwrap_or_default(), expected.unwrap_or_default());
    let _ = writeln!(wrong, "{}", path.display());
    let missing = |a: &str, b: &str, mark: char, out: &mut String| {
        for line in a.lines().filter(|l| !b.lines().any(|m| m == *l)) {
            let _ = writeln!(out, "  {mark} {line}");
        }
    };
    missing(&old, &new, '-', wrong);
    missing(&new, &old, '+', wrong);
}
