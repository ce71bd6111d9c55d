//! Trilu: the upper or lower triangle of matrices, zeros elsewhere. <https://onnx.ai/onnx/operators/onnx__Trilu.html>

use super::family::indexing::constant;
use super::family::view::{Filling, Movement, Moves, Part, Pattern, Run, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Trilu {
    upper: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Trilu { upper: r.int("upper")? })))
}

impl ViewFn for Trilu {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("upper", self.upper).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        constant(x, 1, "diagonals")?;
        if fact.shape.len() < 2 {
            return invalid(format!("shape {:?} holds no matrices", fact.shape));
        }
        Ok(vec![fact.clone()])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let rank = io.output(0).len();
        for axis in 0..rank {
            if axis + 2 < rank {
                link.tie_axes(input(0, axis), output(0, axis));
            } else {
                link.freeze(input(0, axis), "takes triangles of these axes");
                link.freeze(output(0, axis), "takes triangles of these axes");
            }
        }
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let k = constant(io.x, 1, "diagonals")?.and_then(|k| k.first().copied()).unwrap_or(0);
        let y = io.output(0);
        let Some((outer, &[rows, columns])) = y.split_last_chunk() else {
            return invalid(format!("shape {y:?} holds no matrices"));
        };
        let run = |row: usize| {
            // Column j of row i belongs to the upper triangle if j ≥ i + k, to the lower one if j ≤ i + k.
            let diagonal = (row as i64).saturating_add(k);
            let (from, to) = match self.upper.unwrap_or(1) {
                0 => (0, diagonal.saturating_add(1).clamp(0, columns as i64) as usize),
                _ => (diagonal.clamp(0, columns as i64) as usize, columns),
            };
            let at = row * columns + from;
            Run { to: at, at, step: 1, len: to - from }
        };
        let width = rows * columns;
        let blocks = vec![(0..volume(outer)).map(|o| Some(o * width)).collect()];
        let pattern = Pattern::Runs((0..rows).map(run).collect());
        let parts = vec![Part { x: 0, y: 0, blocks, width, pattern }];
        Ok(Movement::Fixed(Moves { parts, filling: Filling::Number(0.0) }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    vec![
        Case::new("Trilu").inputs([data(&[2, 3, 4])]).free(2),
        Case::new("Trilu")
            .named("lower, shifted")
            .int("upper", 0)
            .inputs([data(&[2, 3, 4]), ints(&[-1])])
            .free(2),
        Case::new("Trilu").named("far away").inputs([data(&[3, 3]), ints(&[i64::MAX])]).free(0),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;
    use crate::tensor::{Tensor, volume};

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let count = |shape: &[usize]| {
            Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(|i| i as f32).collect()))
        };
        let of = |upper, k| Case::new("Trilu").int("upper", upper).inputs([count(&[2, 3]), ints(&[k])]);
        of(1, 1).gives(&[0., 1., 2., 0., 0., 5.]);
        of(0, -1).gives(&[0., 0., 0., 3., 0., 0.]);
    }
}
