//! Arithmetic on shapes, backwards: what a node's operands would have to be so that its result is something else.
//!
//! Takes: a node that computes numbers from shapes, its operands at several sizes of the open axes, the wanted results. Gives:
//! choices of wanted operands. Never: a choice that it did not derive; what an operator's form does not tell is no choice.

use crate::graph::*;
use crate::tensor::*;

/// Elements of a value, row-major.
pub(super) type Numbers = Vec<f64>;

/// A constant operand by set of sizes; `None` where it is absent, or no constant at one of them.
pub(super) type Stated = Option<Vec<Tensor>>;

/// Operands to be changed, by slot, with their wanted elements at each set of sizes.
type Choice = Vec<(usize, Vec<Numbers>)>;

/// Tags of elements while it is found out where they go: whole numbers that no shape holds.
const TAG: f64 = 4_503_599_627_370_496.0;

/// Choices of operands that make the result of `node` the one that is wanted, literals first; `operands` are the present ones, by
/// slot and set of sizes.
pub(super) fn sources(node: &Node, operands: &[Stated], want: &[Numbers]) -> Vec<Choice> {
    let moving: Vec<usize> = (0..operands.len()).filter(|&slot| node.op.rearranges(slot)).collect();
    if !moving.is_empty() {
        return moved(node, operands, &moving, want).into_iter().collect();
    }
    let mut solvable: Vec<usize> =
        (0..operands.len()).rev().filter(|&slot| node.op.inverse(slot).is_some()).collect();
    // A literal has the same value at all sizes.
    solvable.sort_by_key(|&slot| operands[slot].as_ref().is_none_or(|x| x.iter().any(|y| *y != x[0])));
    solvable.into_iter().filter_map(|slot| solved(node, operands, slot, want)).collect()
}

/// Where the elements of the operands `slots` only move: each wanted element at the place that it comes from.
fn moved(node: &Node, operands: &[Stated], slots: &[usize], want: &[Numbers]) -> Option<Choice> {
    let mut aims: Vec<Option<Vec<Numbers>>> = vec![None; operands.len()];
    for &slot in slots {
        aims[slot] = operands[slot].as_ref().map(|x| x.iter().map(|x| x.to_real()).collect());
    }
    for (k, want) in want.iter().enumerate() {
        let mut x = numbers(operands, k);
        let (mut tag, mut from) = (0, Vec::new());
        for &slot in slots {
            for (i, element) in x[slot].as_mut()?.iter_mut().enumerate() {
                *element = TAG + tag as f64;
                from.push((slot, i));
                tag += 1;
            }
        }
        let y = result(node, operands, k, slots, &x)?;
        let mut stated: Vec<Vec<bool>> =
            aims.iter().map(|a| a.as_ref().map_or(Vec::new(), |a| vec![false; a[k].len()])).collect();
        for (&tag, &wanted) in y.iter().zip(want) {
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

/// The operand `slot` that makes a function of two numbers give `want`, with the other operand as it is.
fn solved(node: &Node, operands: &[Stated], slot: usize, want: &[Numbers]) -> Option<Choice> {
    let inverse = node.op.inverse(slot)?;
    let (own, other) = (operands.get(slot)?.as_ref()?, operands.get(1 - slot)?.as_ref()?);
    let mut aims = Vec::new();
    for (k, want) in want.iter().enumerate() {
        let (own, other): (usize, Numbers) = (own.get(k)?.len(), other.get(k)?.to_real());
        let fits = |len: usize| len == 1 || len == want.len();
        if !fits(own) || !fits(other.len()) {
            return None;
        }
        let mut aim: Vec<Option<f64>> = vec![None; own];
        for (i, &w) in want.iter().enumerate() {
            let x = inverse(other[i % other.len()], w);
            let place = &mut aim[i % own];
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
fn holds(node: &Node, operands: &[Stated], slot: usize, aims: &[Numbers], want: &[Numbers]) -> bool {
    let whole = |x: &f64| x.fract() == 0.0;
    let mut stated = operands.iter().flatten().flatten();
    let was_whole = stated.all(|x| x.to_real::<f64>().iter().all(whole));
    if was_whole && !aims.iter().flatten().all(whole) {
        return false;
    }
    want.iter().enumerate().all(|(k, want)| {
        let mut x = numbers(operands, k);
        if let Some(x) = &mut x[slot] {
            x.elements_mut().copy_from_slice(&aims[k]);
        }
        let Some(y) = result(node, operands, k, &[slot], &x) else { return false };
        // Integer division rounds towards zero.
        let same = |(y, w): (&f64, &f64)| y == w || was_whole && y.trunc() == *w;
        y.len() == want.len() && y.iter().zip(want).all(same)
    })
}

/// The operands at set of sizes `k`, to compute with.
fn numbers(operands: &[Stated], k: usize) -> Vec<Option<Array<f64>>> {
    operands.iter().map(|x| Some(x.as_ref()?.get(k)?.to_array())).collect()
}

/// The node's first result for operands `x` at set of sizes `k`, which differ from `operands` in `slots`; `None` where it cannot be
/// run.
fn result(
    node: &Node,
    operands: &[Stated],
    k: usize,
    slots: &[usize],
    x: &[Option<Array<f64>>],
) -> Option<Array<f64>> {
    let stated: Vec<Option<&Tensor>> = operands.iter().map(|x| x.as_ref()?.get(k)).collect();
    let facts: Vec<Option<Fact>> =
        stated.iter().map(|t| t.map(|t| Fact::new(t.dtype(), t.shape()))).collect();
    let mut bound: Vec<Option<Operand>> = Vec::with_capacity(facts.len());
    for (slot, (fact, tensor)) in facts.iter().zip(stated).enumerate() {
        let value = tensor.filter(|_| !slots.contains(&slot));
        bound.push(fact.as_ref().map(|fact| Operand::new(fact, value)));
    }
    let y = node.op.infer(&bound).ok()?;
    let kernel = node.op.bind(&Io { x: &bound, y: &y }).ok()?;
    computed(&*kernel, &views(x), &y).into_iter().next()
}
