//! Arithmetic on shapes, backwards: what a node's operands would have to be so that its result is something else.
//!
//! Takes: a node that computes numbers from shapes, its operands at several sizes of the open axes, the wanted results. Gives:
//! choices of wanted operands. Never: a choice that it did not derive; what an operator's form does not tell is no choice.

use crate::graph::*;
use crate::tensor::*;

/// Elements of a value, row-major.
pub(super) type Numbers = Vec<f64>;

/// Operands to be changed, by slot, with what they must be at each set of sizes.
type Choice = Vec<(usize, Vec<Numbers>)>;

/// Tags of elements while it is found out where they go: whole numbers that no shape holds.
const TAG: f64 = 4_503_599_627_370_496.0;

/// The operands, by slot, that would make the result of `node` the one that is wanted, literals first; `operands` are what they
/// are, by slot and set of sizes; `shapes` are the result's.
pub(super) fn sources(
    node: &Node,
    operands: &[Option<Vec<Array<f64>>>],
    shapes: &[Shape],
    want: &[Numbers],
) -> Vec<Choice> {
    let moving: Vec<usize> = (0..operands.len()).filter(|&slot| node.op.rearranges(slot)).collect();
    if !moving.is_empty() {
        return moved(node, operands, &moving, shapes, want).into_iter().collect();
    }
    let mut solvable: Vec<usize> =
        (0..operands.len()).rev().filter(|&slot| node.op.inverse(slot).is_some()).collect();
    // A literal has the same value at all sizes.
    solvable.sort_by_key(|&slot| operands[slot].as_ref().is_none_or(|x| x.iter().any(|y| *y != x[0])));
    solvable.into_iter().filter_map(|slot| solved(node, operands, slot, want)).collect()
}

/// Where the elements of the operands `slots` only move: each wanted element at the place that it comes from.
fn moved(
    node: &Node,
    operands: &[Option<Vec<Array<f64>>>],
    slots: &[usize],
    shapes: &[Shape],
    want: &[Numbers],
) -> Option<Choice> {
    let mut aims: Vec<Option<Vec<Numbers>>> = vec![None; operands.len()];
    for &slot in slots {
        aims[slot] = operands[slot].as_ref().map(|x| x.iter().map(|x| x.data.clone()).collect());
    }
    for (k, want) in want.iter().enumerate() {
        let mut x: Vec<Option<Array<f64>>> =
            operands.iter().map(|x| x.as_ref().and_then(|x| x.get(k)).cloned()).collect();
        let (mut tag, mut from) = (0, Vec::new());
        for &slot in slots {
            for (i, element) in x[slot].as_mut()?.data.iter_mut().enumerate() {
                *element = TAG + tag as f64;
                from.push((slot, i));
                tag += 1;
            }
        }
        let x: Vec<Option<&Array<f64>>> = x.iter().map(Option::as_ref).collect();
        let mut y = [Array::zeros(shapes.get(k)?)];
        Compute::<f64>::forward(node.op.as_ref(), &x, &mut y);
        let mut stated: Vec<Vec<bool>> =
            aims.iter().map(|a| a.as_ref().map_or(Vec::new(), |a| vec![false; a[k].len()])).collect();
        for (&tag, &wanted) in y[0].data.iter().zip(want) {
            let &(slot, i) = from.get((tag - TAG) as usize).filter(|_| tag >= TAG)?;
            let place = aims[slot].as_mut()?[k].get_mut(i)?;
            // An element that goes to two places can have one value.
            if stated[slot][i] && *place != wanted {
                return None;
            }
            (*place, stated[slot][i]) = (wanted, true);
        }
    }
    Some(aims.into_iter().enumerate().filter_map(|(slot, aim)| Some((slot, aim?))).collect())
}

/// What operand `slot` of a function of two numbers would have to be, the other being what it is.
fn solved(
    node: &Node,
    operands: &[Option<Vec<Array<f64>>>],
    slot: usize,
    want: &[Numbers],
) -> Option<Choice> {
    let inverse = node.op.inverse(slot)?;
    let (own, other) = (operands.get(slot)?.as_ref()?, operands.get(1 - slot)?.as_ref()?);
    let mut aims = Vec::new();
    for (k, want) in want.iter().enumerate() {
        let (own, other) = (own.get(k)?, other.get(k)?);
        let fits = |x: &Array<f64>| x.data.len() == 1 || x.data.len() == want.len();
        if !fits(own) || !fits(other) {
            return None;
        }
        let mut aim: Vec<Option<f64>> = vec![None; own.data.len()];
        for (i, &w) in want.iter().enumerate() {
            let o = other.data[i % other.data.len()];
            let x = inverse(o, w);
            let place = &mut aim[i % own.data.len()];
            if !x.is_finite() || place.replace(x).is_some_and(|before| before != x) {
                return None;
            }
        }
        let aim: Numbers = aim.into_iter().collect::<Option<_>>()?;
        aims.push(aim);
    }
    holds(node, operands, slot, &aims, want).then(|| vec![(slot, aims)])
}

/// True if the node gives what is wanted with `aims` in place of operand `slot`: whole numbers do not divide at will.
fn holds(
    node: &Node,
    operands: &[Option<Vec<Array<f64>>>],
    slot: usize,
    aims: &[Numbers],
    want: &[Numbers],
) -> bool {
    let whole = |x: &f64| x.fract() == 0.0;
    let was_whole = operands.iter().flatten().flatten().all(|x| x.data.iter().all(whole));
    if was_whole && !aims.iter().flatten().all(whole) {
        return false;
    }
    want.iter().enumerate().all(|(k, want)| {
        let mut x: Vec<Option<Array<f64>>> =
            operands.iter().map(|x| x.as_ref().and_then(|x| x.get(k)).cloned()).collect();
        if let Some(x) = &mut x[slot] {
            x.data.clone_from(&aims[k]);
        }
        let shape = [0, 1].map(|s| x[s].as_ref().map_or(Vec::new(), |x| x.shape.clone()));
        let shape = if volume(&shape[0]) >= volume(&shape[1]) { &shape[0] } else { &shape[1] };
        let mut y = [Array::zeros(shape)];
        let x: Vec<Option<&Array<f64>>> = x.iter().map(Option::as_ref).collect();
        Compute::<f64>::forward(node.op.as_ref(), &x, &mut y);
        // Integer division rounds towards zero.
        let same = |(y, w): (&f64, &f64)| y == w || was_whole && y.trunc() == *w;
        y[0].data.len() == want.len() && y[0].data.iter().zip(want).all(same)
    })
}
