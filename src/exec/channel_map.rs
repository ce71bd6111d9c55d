//! Channels that are picked, spread out and added to a trunk: what stands between a pruned branch and the trunk it left.
//!
//! Several nodes of a graph (Gather, Pad, Slice; Add; Relu) become one step, which touches every number once.

use super::program::{Kind, Source, Step, UNGATED};
use crate::graph::*;
use crate::tensor::*;

/// In a route: a channel of zeros.
pub(super) const NOWHERE: u32 = u32::MAX;

/// For every channel of the result (axis 1), the channel it is taken from.
pub(super) type ChannelMap = Vec<u32>;

/// A step that only takes whole channels from one input, as a route: found by running it on numbered elements.
pub(super) fn route_of(step: &Step, shapes: &[Shape], constants: &[Array<f32>]) -> Option<ChannelMap> {
    let Kind::Op(kernel) = &step.kind else { return None };
    let (Source::Slot(x), &[y]) = (step.inputs.first().copied().flatten()?, &step.outputs[..]) else {
        return None;
    };
    let one_slot = step.inputs.iter().skip(1).all(|s| !matches!(s, Some(Source::Slot(_))));
    if !step.op.as_ref()?.picks_channels() || step.shift.is_some() || !one_slot {
        return None;
    }
    let ([n, channels, pixels @ ..], [m, wide, same @ ..]) = (&shapes[x][..], &shapes[y][..]) else {
        return None;
    };
    if n != m || pixels != same || *channels == 0 {
        return None;
    }
    let numbered = array(&shapes[x], (0..volume(&shapes[x])).map(|i| (i + 1) as f64).collect());
    let wide_constant = |source: &Option<Source>| match source {
        Some(Source::Constant(c)) => Some(constants[*c].mapv(f64::from)),
        _ => None,
    };
    let mut operands: Vec<Option<Array<f64>>> = step.inputs.iter().map(wide_constant).collect();
    operands[0] = Some(numbered);
    let mut result = Array::zeros(shapes[y].as_slice());
    Compute::<f64>::forward(kernel.as_ref(), &views(&operands), &mut [result.view_mut()]);
    let size = volume(pixels);
    let channel = |row: &[f64]| match row.first() {
        Some(&first) if first > 0.0 => ((first as usize - 1) / size % channels) as u32,
        _ => NOWHERE,
    };
    let rows: Vec<&[f64]> = result.elements().chunks_exact(size.max(1)).collect();
    let route: ChannelMap = rows.iter().take(*wide).map(|row| channel(row)).collect();
    let expected = |k: usize, p: usize| match route[k % wide] {
        NOWHERE => 0.0,
        c => ((k / wide * channels + c as usize) * size + p + 1) as f64,
    };
    let exact =
        rows.iter().enumerate().all(|(k, row)| row.iter().enumerate().all(|(p, v)| *v == expected(k, p)));
    (exact && !route.is_empty()).then_some(route)
}

/// `second` after `first`: a route, or the gates behind it where those before it come first.
pub(super) fn compose(first: &[u32], second: &[u32]) -> ChannelMap {
    const { assert!(NOWHERE == UNGATED) };
    second.iter().map(|&c| if c == NOWHERE { NOWHERE } else { first[c as usize] }).collect()
}
