//! Steps that only take whole channels of their operand.

use crate::exec::channel_map::ChannelMap;
use crate::exec::program::{Kind, Source, Step};
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::tensor::*;

/// The channel map of a step that only takes whole channels of its operand 0; found by running it on numbered elements.
pub(super) fn channel_map_of(step: &Step, shapes: &[Shape], constants: &[Array<f32>]) -> Option<ChannelMap> {
    let Kind::Op(kernel) = &step.kind else { return None };
    let (Source::Slot(x), &[y]) = (step.inputs.first().copied().flatten()?, &step.outputs[..]) else {
        return None;
    };
    let one_slot = step.inputs.iter().skip(1).all(|s| !matches!(s, Some(Source::Slot(_))));
    if !step.op.as_ref()?.picks_channels() || step.bias_term.is_some() || !one_slot {
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
        Some(&first) if first > 0.0 => OptIndex::some((first as usize - 1) / size % channels),
        _ => OptIndex::NONE,
    };
    let rows: Vec<&[f64]> = result.elements().chunks_exact(size.max(1)).collect();
    let channel_map: ChannelMap = rows.iter().take(*wide).map(|row| channel(row)).collect();
    let expected = |k: usize, p: usize| match channel_map[k % wide].get() {
        None => 0.0,
        Some(c) => ((k / wide * channels + c) * size + p + 1) as f64,
    };
    let exact =
        rows.iter().enumerate().all(|(k, row)| row.iter().enumerate().all(|(p, v)| *v == expected(k, p)));
    (exact && !channel_map.is_empty()).then_some(channel_map)
}
