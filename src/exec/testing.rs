//! Programs made by hand, with operators for tests alone.

use super::program::{Kind, Program, Source, Step};
use crate::graph::{Compute, InputGradients, Inputs, Results, ResultsMut, present, wanted};
use crate::support::index::OptIndex;
use crate::tensor::*;
use std::collections::HashMap;
use std::sync::Arc;

/// y_0 = a ⊙ b, y_1 = 1 where it is wanted: two operands, two results.
#[derive(Debug)]
pub struct Product;

impl<T: Real> Compute<T> for Product {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        y[0].assign(&(present(x, 0) * present(x, 1)));
        y[1].fill(T::one());
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        assert_eq!((y[1].shape(), dy[1].shape()), (&[2][..], &[2][..]), "results that nobody wants");
        assert!(dy[1].iter().all(|d| *d == T::zero()));
        for (slot, other) in [(0, 1), (1, 0)] {
            if let Some(dx) = wanted(dx, slot) {
                *dx += &(&dy[0] * present(x, other));
            }
        }
    }
}

/// A step without rounding or a bias term.
pub fn step(kind: Kind, inputs: &[Source], outputs: &[usize]) -> Step {
    Step {
        kind,
        op: None,
        geometry: None,
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: outputs.to_vec(),
        bias_term: None,
        whole: Vec::new(),
        live: true,
    }
}

/// z = (λ ⊙ x) ⊙ (λ ⊙ x), w = z ⊙ c, over two elements, each with a gate and c = (3, 5) a parameter: slots x, λ ⊙ x, z, w,
/// and two that no step reads.
pub fn squares() -> Program {
    let (slot, product) = (Source::Slot, || Kind::Op(Arc::new(Product)));
    Program {
        steps: vec![
            step(Kind::Gate { axis: 0, index: [0, 1].map(OptIndex::some).to_vec() }, &[slot(0)], &[1]),
            step(product(), &[slot(1), slot(1)], &[2, 4]),
            step(product(), &[slot(2), Source::Constant(0)], &[3, 5]),
        ],
        constants: vec![array(&[2], vec![3.0, 5.0])],
        shapes: vec![vec![2]; 6],
        live: vec![false, true, true, true, false, false],
        parameters: vec![Some(0)],
        inputs: vec![0],
        targets: vec![3],
        ends: vec![vec![], vec![1, 4], vec![2, 5]],
        slots: HashMap::new(),
        target_values: vec![3],
        batch: 1,
        batched: vec![false],
        constant_bytes: 8,
    }
}
