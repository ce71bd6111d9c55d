//! The way back: weights of a rewritten graph, at their places in the graph that it was made of.

use super::bias::Raising;
use super::constant::{constant, store};
use super::cuts::Cuts;
use crate::coupling::Groups;
use crate::error::Result;
use crate::graph::*;
use crate::tensor::*;

/// `graph` with the weights of `small`, which was made of it by keeping the classes `kept`, at the coordinates that are left; the
/// others are as they were. Layers that got a bias on the way get one here too, numbered after all other values, and the groups
/// know it.
pub fn widen(
    Network { graph, facts }: Network,
    groups: &Groups,
    kept: &[bool],
    small: &Graph,
) -> Result<(Graph, Groups)> {
    let cuts = Cuts::new(groups, kept);
    let (mut wide, mut groups) = (graph.clone(), groups.clone());
    for v in 0..graph.values.len() {
        let Some((old, new)) = constant(graph, v).zip(constant(small, v)) else { continue };
        if old.dtype().is_float() && new.shape() == cuts.shape(v, old.shape()) {
            let values = spread(&cuts, v, &old, &new.to_real::<f64>());
            store(&mut wide, v, old.with_values(old.shape(), &values))?;
        }
    }
    let mut raising = Raising::new(&wide);
    for n in 0..graph.nodes.len() {
        let Some(y) = graph.nodes[n].outputs.first().copied().flatten() else { continue };
        let Some(at) = small.producer(y) else { continue };
        let Some(layer) = facts.linear(&graph.nodes[n]) else { continue };
        let Some((slot, _)) = layer.bias else { continue };
        let bias = |node: &Node| node.inputs.get(slot).copied().flatten();
        let Some(fresh) = bias(&small.nodes[at]).filter(|&b| b >= graph.values.len()) else { continue };
        let (Some(new), Some(shape)) = (small.initializer(fresh), facts.shape(y)) else { continue };
        // A bias that layers shared may belong to one of them alone by now.
        let old = bias(&graph.nodes[n]).and_then(|b| wide.initializer(b)).map(|t| t.to_real::<f64>());
        let (axis, channels) = (layer.result, shape[layer.result]);
        let mut raised = vec![0.0; channels];
        for (&o, new) in cuts.left(y, axis, channels).iter().zip(new.to_real::<f64>()) {
            raised[o] = new - old.as_ref().map_or(0.0, |old| old[o]);
        }
        let place = raising.raise(&mut wide, n, new.dtype(), &raised);
        know_bias(&mut groups, place, (y, axis));
        groups.elsewhere.iter_mut().for_each(|other| know_bias(other, place, (y, axis)));
    }
    Ok((wide, groups))
}

/// Gives a new bias of the layer that computes `y` the classes of its channels, along `axis`.
fn know_bias(groups: &mut Groups, bias: ValueId, (y, axis): (ValueId, usize)) {
    if bias >= groups.label.len() {
        groups.label.resize(bias, Vec::new());
        groups.label.push(vec![groups.axis(y, axis).to_vec()]);
    }
}

/// The elements of `old`, with `left` at the coordinates that are left of it.
fn spread(cuts: &Cuts, v: ValueId, old: &Tensor, left: &[f64]) -> Vec<f64> {
    let mut values = old.to_real::<f64>();
    let mut places = vec![0];
    for (axis, &size) in old.shape().iter().enumerate() {
        let along = cuts.left(v, axis, size);
        places = places.iter().flat_map(|p| along.iter().map(move |i| p * size + i)).collect();
    }
    places.iter().zip(left).for_each(|(&p, &l)| values[p] = l);
    values
}
