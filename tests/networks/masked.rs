//! Deleting is masking: whatever is cut at random, the small file gives what the masked big one gives, in our executor and
//! in tract; and the file keeps everything that the cut does not concern.

use super::{ALL, NetworkFile, Residual, given, others, ours, random_plan, single};
use autobot_onnx::internals::cost::Cost;
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::exec::GatedNetwork;
use autobot_onnx::internals::graph::{Graph, Network, print};
use autobot_onnx::internals::onnx;
use autobot_onnx::internals::plan::{self, Limits, Plan, Search};
use autobot_onnx::internals::pruner::gates;
use autobot_onnx::internals::rewrite::{self, Rewritten};
use autobot_onnx::internals::verify::{self, TOLERANCE, sizes};
use onnx_protobuf::{Message, ModelProto, NodeProto};
use std::path::Path;

/// What tract cannot run, whole; all else it must.
const NOT_IN_TRACT: &[&str] = &["decided_branches", "functions", "unknown_operator"];

/// What tract 0.23.9 makes of some products with a single result; the file is sound.
const TRACT_DEFECT: &str = "Trying to substitute a ,F32 by 1,1,F32";

/// Shares of what can be saved that are kept, each with another seed.
const SHARES: [f64; 4] = [0.0, 0.3, 0.6, 0.95];

#[test]
fn masked_is_pruned_on_fixtures_and_demo_networks() {
    all(&ours(), &SHARES, true);
}

#[test]
#[ignore = "needs the networks of ../shared/data/models"]
fn masked_is_pruned_on_real_networks() {
    all(&others(), &SHARES[1..2], false);
}

fn all(networks: &[NetworkFile], shares: &[f64], tract: bool) {
    let mut wrong = Vec::new();
    for network in networks {
        let must = tract && !NOT_IN_TRACT.contains(&network.name.as_str());
        for residual in ALL {
            for (seed, share) in (1..).zip(shares) {
                if let Err(why) = cut(network, residual, *share, seed, must) {
                    wrong.push(format!("{} ({residual:?}, keeps {share}, seed {seed}): {why}", network.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Cuts at random; `Err` says what is wrong with the result.
fn cut(network: &NetworkFile, residual: Residual, share: f64, seed: u64, tract: bool) -> Result<(), String> {
    let (graph, model) = (&network.model.graph, &network.model);
    let (groups, cost) = network.groups(residual);
    let plan = plan_of(&groups, &cost, share, seed);
    let done =
        rewrite::rewrite(network.network(), &groups, &plan.kept, model.opset()).map_err(|e| e.to_string())?;
    let samples = network.samples(2, seed);
    let executor = executor(network, &groups, &plan, &done)?;
    let masked = rewrite::masked(graph, &done.masks, &[]).map_err(|e| e.to_string())?;
    let masked_graph = masked.clone();
    let bytes = |g| model.with_graph(g).and_then(|m| m.to_bytes()).map_err(|e| e.to_string());
    let (masked, small) = (bytes(masked)?, bytes(done.graph.clone())?);
    let found = verify::compare_tract(&masked, &small, &network.input_facts(), &samples, &single());
    let found = match found.map_err(|e| e.to_string()) {
        Err(why) if why.contains(TRACT_DEFECT) => Ok(0.0),
        found => found?,
    };
    match found {
        Ok(d) if d > TOLERANCE => {
            return Err(format!("{d:.1e} apart in tract, {executor:.1e} in our executor"));
        }
        Err(why) if tract => return Err(format!("tract does not run it: {why}")),
        Err(why) => eprintln!("{}: tract does not run it: {why}", network.name),
        Ok(_) => {}
    }
    if executor > TOLERANCE {
        return Err(format!("{executor:.1e} apart in our executor"));
    }
    let messages = Some(sizes::Messages { masked: &masked, small: &small });
    let whole = network.network();
    let elsewhere = sizes::elsewhere(whole, &masked_graph, &done.graph, messages, &samples, &single());
    for at in elsewhere.map_err(|e| format!("at other sizes: {e}"))? {
        if !at.pass() || tract && at.tract.is_err() {
            return Err(format!("at other sizes: {at:?}"));
        }
    }
    let original = std::fs::read(&network.path).map_err(|e| e.to_string())?;
    let remade = REMADE.contains(&network.name.as_str());
    unharmed(&original, &small, &done, remade)?;
    let again =
        onnx::parse(&small, &network.path, &given(&network.name)).map_err(|e| format!("read again: {e}"))?;
    // Constants that are equal stand once in a file, however many read them.
    let as_written =
        |m: &onnx::Model, g: &Graph| m.with_graph(g.clone()).map(|m| m.graph).map_err(|e| e.to_string());
    let text = |g: Graph| whole.facts_of(&g).map(|f| print(Network::new(&g, &f))).map_err(|e| e.to_string());
    match text(as_written(&again, &again.graph)?)?.lines().collect::<std::collections::BTreeSet<_>>()
        == text(as_written(model, &done.graph)?)?.lines().collect()
    {
        true => Ok(()),
        false => Err("the file read again is another graph".into()),
    }
}

/// A plan with random scores at a share of what can be saved, of all channels.
fn plan_of(groups: &Groups, cost: &Cost, share: f64, seed: u64) -> Plan {
    let search = Search::new(groups, cost, Limits::default(), vec![false; groups.classes.len()]);
    let (least, full) = (search.smallest().cost, search.full());
    let target = least + ((full - least) as f64 * share) as u64;
    search.meet(&plan::random(groups, seed), target).unwrap_or_else(|e| panic!("{target} of {full}: {e}"))
}

/// A share of the channels is no number that a half holds.
#[test]
fn means_over_channels_of_halves_are_scaled_in_single_precision() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = NetworkFile::read(&root.join("tests/networks/half_statistics.onnx"));
    let (groups, cost) = network.groups(Residual::Tie);
    assert_eq!(groups.groups.iter().map(|g| g.classes.len()).collect::<Vec<_>>(), [7]);
    for (seed, share) in (1..).zip(SHARES) {
        let plan = plan_of(&groups, &cost, share, seed);
        let done = rewrite::rewrite(network.network(), &groups, &plan.kept, network.model.opset()).unwrap();
        let apart = executor(&network, &groups, &plan, &done).unwrap();
        assert!(apart <= TOLERANCE, "{share}: {apart:e}");
    }
}

/// Where rounding alone keeps tract from a result, its size is measured; networks that differ in double precision have none.
#[test]
fn rounding_in_tract_is_measured_on_equal_networks_only() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = NetworkFile::read(&root.join("fixtures/sharp_softmax/model.onnx"));
    let (graph, model) = (&network.model.graph, &network.model);
    let (groups, cost) = network.groups(Residual::Tie);
    let plan = plan_of(&groups, &cost, 0.5, 1);
    let done = rewrite::rewrite(network.network(), &groups, &plan.kept, model.opset()).unwrap();
    let masked = rewrite::masked(graph, &done.masks, &[]).unwrap();
    let bytes = model.with_graph(masked.clone()).unwrap().to_bytes().unwrap();
    let facts = network.network().facts_of(&masked).unwrap();
    let rounding = |small: &Graph| {
        let samples = network.samples(4, 1);
        verify::rounding_in_tract(Network::new(&masked, &facts), &bytes, small, &samples, &single()).unwrap()
    };
    let found = rounding(&done.graph).unwrap();
    assert!(found > 2.0 * TOLERANCE, "the network was made for more: {found:e}");
    assert!(
        verify::allowed(&facts, Some(found)) > TOLERANCE
            && verify::allowed(&facts, Some(found)) <= verify::MOST_ALLOWED
    );

    let mut wrong = done.graph.clone();
    let v = wrong.value_named("fc.w").unwrap();
    let old = wrong.initializer(v).unwrap().clone();
    let mut values: Vec<f64> = old.to_real();
    values.iter_mut().take(10).for_each(|w| *w += 0.2);
    rewrite::store(&mut wrong, v, old.with_values(old.shape(), &values)).unwrap();
    assert_eq!(rounding(&wrong), None);
}

fn executor(network: &NetworkFile, groups: &Groups, plan: &Plan, done: &Rewritten) -> Result<f64, String> {
    let graph = &network.model.graph;
    let lambda: Vec<f32> = plan.kept.iter().map(|&k| f32::from(u8::from(k))).collect();
    let gates = gates(graph, groups);
    let samples = network.samples(2, 3);
    let gated = GatedNetwork { network: network.network(), gates: &gates, bias_terms: &[] };
    let d = verify::prove(gated, &lambda, &done.graph, &samples, &single());
    d.map(|d| d.difference.relative).map_err(|e| e.to_string())
}

/// The small file against the original: what must not change has not.
fn unharmed(original: &[u8], small: &[u8], done: &Rewritten, remade: bool) -> Result<(), String> {
    let [a, b] = [original, small].map(|bytes| ModelProto::parse_from_bytes(bytes).unwrap());
    let same = |what: &str, same: bool| if same { Ok(()) } else { Err(format!("{what} changed")) };
    same("opset", a.opset_import == b.opset_import)?;
    same("metadata", a.metadata_props == b.metadata_props)?;
    same("doc string", a.doc_string == b.doc_string && a.graph.doc_string == b.graph.doc_string)?;
    same("producer", (&a.producer_name, a.ir_version) == (&b.producer_name, b.ir_version))?;
    same("graph name", a.graph.name == b.graph.name)?;
    // Old files list their weights as inputs.
    let inputs = |m: &ModelProto| -> Vec<_> {
        let stored = |name: &str| m.graph.initializer.iter().any(|t| t.name == name);
        m.graph.input.iter().filter(|i| !stored(&i.name)).cloned().collect()
    };
    same("inputs", inputs(&a) == inputs(&b))?;
    same("outputs", a.graph.output == b.graph.output)?;
    let names = |m: &ModelProto| m.graph.node.iter().map(|n| n.output.clone()).collect::<Vec<_>>();
    let left = names(&b);
    let stays = |n: &NodeProto| left.contains(&n.output);
    let read = |name: &String| b.graph.node.iter().any(|n| n.input.contains(name));
    for t in &a.graph.initializer {
        let touched = done.sliced.iter().any(|s| s.initializer == t.name) || done.restated.contains(&t.name);
        let kept = b.graph.initializer.iter().find(|u| u.name == t.name);
        match kept {
            Some(u) if touched || u == t => {}
            Some(_) => return Err(format!("initializer '{}' changed", t.name)),
            None if remade && !read(&t.name) => {}
            None => return Err(format!("initializer '{}' is gone", t.name)),
        }
    }
    same("a node's results", remade || a.graph.node.iter().all(stays))
}

/// Fixtures that compute or decide something before they run, which is stored where channels go.
const REMADE: &[&str] = &["computed_constants", "computed_weights", "decided_branches"];

/// Fixtures whose files leave sizes open, with the number of open sizes.
const OPEN: &[(&str, usize)] = &[
    ("open_batch_attention", 1),
    ("open_batch_attention_sequence_first", 1),
    ("open_batch_coordinates", 1),
    ("open_batch_expand", 1),
    ("open_batch_resize", 1),
    ("open_sizes_flat_sum", 3),
    ("open_sizes_non_local", 3),
    ("open_sizes_pixel_shuffle", 3),
    ("open_sizes_shuffle", 3),
    ("open_sizes_shuffle_dynamo", 3),
    ("open_sizes_squeeze_excite", 3),
    ("open_sizes_upsample", 3),
];

#[test]
fn open_sizes_are_proved_at_a_second_value_each() {
    let networks = ours();
    for (name, open) in OPEN {
        let network =
            networks.iter().find(|n| n.name == *name).unwrap_or_else(|| panic!("{name} is missing"));
        let input = network.model.graph.inputs[0];
        let [other] = &network.facts.elsewhere[..] else { panic!("{name}: not one other set of sizes") };
        let sizes = network.facts.shape(input).unwrap().iter().zip(other.shape(input).unwrap());
        assert_eq!(sizes.filter(|(a, b)| a != b).count(), *open, "{name}");
    }
}

#[test]
fn fixed_sizes_are_stated_and_closed() {
    let network = ours().into_iter().find(|n| n.name == "open_sizes_shuffle").unwrap();
    let fixed = network.model.with_fixed_sizes().unwrap();
    assert!(fixed.facts().unwrap().elsewhere.is_empty());
    let again = onnx::parse(&fixed.to_bytes().unwrap(), Path::new("fixed.onnx"), &[]).unwrap();
    assert_eq!(again.facts().unwrap().shape(again.graph.inputs[0]), Some(&[1, 3, 12, 12][..]));
    assert!(again.open_axes(0).iter().all(Option::is_none));
}

#[test]
fn declared_shapes_that_do_not_hold_are_corrected() {
    for (name, wrong) in [("stale_value_info", 1), ("stale_input_declaration", 1)] {
        let network = ours().into_iter().find(|n| n.name == name).unwrap();
        assert_eq!(network.model.false_declarations().unwrap().len(), wrong, "{name}");
        let (groups, cost) = network.groups(Residual::Tie);
        let plan = random_plan(&network, &groups, &cost, 0.6, 1);
        let opset = network.model.opset();
        let done = rewrite::rewrite(network.network(), &groups, &plan.kept, opset).unwrap();
        let small = network.model.with_graph(done.graph).unwrap();
        let again = onnx::parse(&small.to_bytes().unwrap(), Path::new("small.onnx"), &[]).unwrap();
        assert_eq!(again.false_declarations().unwrap(), [""; 0], "{name}");
    }
}
