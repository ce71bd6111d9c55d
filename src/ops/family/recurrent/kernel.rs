//! The kernel: each direction from its first step to its last, and back.

use super::cell::{Activation, Back, Cell, Step, add};
use super::{PEEPHOLES, SEEING, STATE};
use crate::graph::*;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;

/// A layer at the sizes of one node.
#[derive(Debug)]
pub struct Layer<C> {
    /// The operator's step.
    pub cell: C,
    /// Sizes of the node.
    pub sizes: Sizes,
    /// The directions: one or two.
    pub directions: Vec<Direction>,
}

/// A direction of a layer.
#[derive(Debug)]
pub struct Direction {
    /// True where it begins with the last step.
    pub reversed: bool,
    /// Activations, in the standard's order.
    pub applied: Vec<Activation>,
}

/// Sizes of a layer, and the places of a direction's rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Steps of a sequence.
    pub steps: usize,
    /// Images.
    pub batch: usize,
    /// Features of the input.
    pub features: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Directions.
    pub directions: usize,
    /// True where images are the outer axis, steps the inner one.
    pub batch_first: bool,
}

/// Rows of one step of one image.
struct Place {
    x: usize,
    y: usize,
}

impl Sizes {
    /// Rows of X and of Y, step by step and image by image, in the order in which a direction takes them.
    fn places(self, d: usize, reversed: bool) -> Vec<Place> {
        let Self { steps, batch, directions, batch_first, .. } = self;
        let place = |t: usize, n: usize| match batch_first {
            true => Place { x: n * steps + t, y: (n * steps + t) * directions + d },
            false => Place { x: t * batch + n, y: (t * directions + d) * batch + n },
        };
        let step = |k: usize| if reversed { steps - 1 - k } else { k };
        (0..steps * batch).map(|i| place(step(i / batch), i % batch)).collect()
    }

    /// Row of an image's state.
    fn state(self, d: usize, n: usize) -> usize {
        if self.batch_first { n * self.directions + d } else { d * self.batch + n }
    }

    /// Number of elements of the states of a step.
    fn states(self) -> usize {
        self.batch * self.hidden
    }

    /// A direction's states in a value that holds the states of all; zero where there is no value.
    fn gathered<T: Real>(self, d: usize, all: Option<&[T]>) -> Vec<T> {
        let mut states = vec![T::zero(); self.states()];
        for (n, state) in states.chunks_exact_mut(self.hidden).enumerate() {
            all.iter().for_each(|all| add(state, &all[self.state(d, n) * self.hidden..]));
        }
        states
    }
}

/// Operands of one direction that do not change from step to step.
struct Weights<'a, T> {
    w: &'a [T],
    r: &'a [T],
    /// W's biases, then R's.
    bias: Option<&'a [T]>,
    peepholes: Option<&'a [T]>,
}

/// Intermediate values of one direction, from its first step to its last. On the way back, gradients take the place of gates and
/// of products with R.
struct Pass<T> {
    places: Vec<Place>,
    /// The input, in the order in which it is read.
    x: Vec<T>,
    gates: Vec<T>,
    recurrent: Vec<T>,
    /// States at the start of each step and at the end of the last: hidden, cell (zero where there is no cell state).
    states: [Vec<T>; 2],
}

impl<C: Cell> Layer<C> {
    /// Rows of all gates, and of the direct ones.
    fn widths(&self) -> (usize, usize) {
        (C::GATES * self.sizes.hidden, self.cell.direct() * self.sizes.hidden)
    }

    fn weights<'x, T>(&self, x: &'x Inputs<T>, d: usize) -> Weights<'x, T> {
        let (s, (wide, _)) = (self.sizes, self.widths());
        let part = |x: &'x [T], len: usize| &x[d * len..][..len];
        let given = |slot: usize, len: usize| optional(x, slot).map(|x| part(x.elements(), len));
        Weights {
            w: part(present(x, 1).elements(), wide * s.features),
            r: part(present(x, 2).elements(), wide * s.hidden),
            bias: given(3, 2 * wide),
            peepholes: given(PEEPHOLES, SEEING * s.hidden),
        }
    }

    /// Products with W for all steps, with biases, and the states at the start; the states of later steps are zero.
    fn start<T: Real>(&self, x: &Inputs<T>, weights: &Weights<T>, d: usize) -> Pass<T> {
        let (s, (wide, direct)) = (self.sizes, self.widths());
        let places = s.places(d, self.directions[d].reversed);
        let (rows, data) = (places.len(), present(x, 0).elements());
        let mut read = Vec::with_capacity(rows * s.features);
        for place in &places {
            read.extend_from_slice(&data[place.x * s.features..][..s.features]);
        }
        let (mut gates, mut recurrent) = (vec![T::zero(); rows * wide], vec![T::zero(); rows * direct]);
        matmul(rows, s.features, wide, plain(&read), transposed(weights.w), false, &mut gates);
        if let Some((own, other)) = weights.bias.map(|b| b.split_at(wide)) {
            for row in gates.chunks_exact_mut(wide) {
                add(row, own);
                add(&mut row[direct..], &other[direct..]);
            }
            recurrent.chunks_exact_mut(direct).for_each(|row| row.copy_from_slice(&other[..direct]));
        }
        let states = [STATE, STATE + 1].map(|slot| {
            let mut states = s.gathered(d, optional(x, slot).map(|x| x.elements()));
            states.resize((s.steps + 1) * s.states(), T::zero());
            states
        });
        Pass { places, x: read, gates, recurrent, states }
    }

    /// All steps, from the first to the last.
    fn pass<T: Real>(&self, x: &Inputs<T>, weights: &Weights<T>, d: usize) -> Pass<T> {
        let (s, (wide, direct)) = (self.sizes, self.widths());
        let mut pass = self.start(x, weights, d);
        for k in 0..s.steps {
            let [(h, next_h), (c, next_c)] = pass.states.each_mut().map(|all| {
                let (before, after) = all.split_at_mut((k + 1) * s.states());
                (&before[k * s.states()..], &mut after[..s.states()])
            });
            let recurrent = &mut pass.recurrent[k * s.batch * direct..][..s.batch * direct];
            matmul(s.batch, s.hidden, direct, plain(h), transposed(weights.r), true, recurrent);
            let step = Step {
                hidden: s.hidden,
                gates: &mut pass.gates[k * s.batch * wide..][..s.batch * wide],
                recurrent,
                rest: &weights.r[direct * s.hidden..],
                peepholes: weights.peepholes,
                before: [h, c],
                after: [next_h, next_c],
            };
            self.cell.forward(&self.directions[d].applied, step);
        }
        pass
    }

    /// Gradients of the states at the start, from the last step to the first. Adds the gradients of operands that only cells read
    /// (rows of R for gates that are not direct, peepholes).
    fn back<T: Real>(
        &self,
        weights: &Weights<T>,
        d: usize,
        pass: &mut Pass<T>,
        dy: &Results<T>,
        dx: &mut InputGradients<T>,
    ) -> [Vec<T>; 2] {
        let (s, (wide, direct)) = (self.sizes, self.widths());
        // A result that the node leaves out has no gradient.
        let of = |slot: usize| dy.get(slot).map(|dy| dy.elements()).filter(|dy| !dy.is_empty());
        let rest = (d * wide + direct) * s.hidden..(d + 1) * wide * s.hidden;
        let (front, behind) = dx.split_at_mut(PEEPHOLES.min(dx.len()));
        let mut d_rest = wanted(front, 2).map(|dr| &mut dr.elements_mut()[rest]);
        let mut d_peepholes = wanted(behind, 0).map(|dp| &mut dp.elements_mut()[d * SEEING * s.hidden..]);
        let mut after = [1, 2].map(|slot| s.gathered(d, of(slot)));
        let mut before = after.clone();
        for k in (0..s.steps).rev() {
            let images = pass.places[k * s.batch..].iter().zip(after[0].chunks_exact_mut(s.hidden));
            for (place, sum) in images {
                of(0).iter().for_each(|dy| add(sum, &dy[place.y * s.hidden..]));
            }
            before.iter_mut().for_each(|sum| sum.fill(T::zero()));
            let [was, is] =
                [k, k + 1].map(|k| pass.states.each_ref().map(|all| &all[k * s.states()..][..s.states()]));
            let recurrent = &mut pass.recurrent[k * s.batch * direct..][..s.batch * direct];
            let step = Back {
                hidden: s.hidden,
                gates: &mut pass.gates[k * s.batch * wide..][..s.batch * wide],
                recurrent: &mut *recurrent,
                rest: &weights.r[direct * s.hidden..],
                d_rest: d_rest.as_deref_mut(),
                peepholes: weights.peepholes,
                d_peepholes: d_peepholes.as_deref_mut(),
                before: was,
                after: is,
                d_after: after.each_ref().map(|sum| &sum[..]),
                d_before: before.each_mut().map(|sum| &mut sum[..]),
            };
            self.cell.backward(&self.directions[d].applied, step);
            matmul(s.batch, direct, s.hidden, plain(recurrent), plain(weights.r), true, &mut before[0]);
            std::mem::swap(&mut before, &mut after);
        }
        after
    }

    /// Adds the gradients of the operands, from the gradients of the products with W and R and of the states at the start.
    fn spread<T: Real>(
        &self,
        weights: &Weights<T>,
        d: usize,
        pass: &Pass<T>,
        start: &[Vec<T>; 2],
        dx: &mut InputGradients<T>,
    ) {
        let (s, (wide, direct), rows) = (self.sizes, self.widths(), pass.places.len());
        for (sum, dx) in start.iter().zip(dx.iter_mut().skip(STATE).take(C::STATES)) {
            let Some(dx) = dx.as_mut().map(|dx| dx.elements_mut()) else { continue };
            for (n, sum) in sum.chunks_exact(s.hidden).enumerate() {
                add(&mut dx[s.state(d, n) * s.hidden..], sum);
            }
        }
        if let Some(dx) = wanted(dx, 0).map(|dx| dx.elements_mut()) {
            let mut sum = vec![T::zero(); rows * s.features];
            matmul(rows, wide, s.features, plain(&pass.gates), plain(weights.w), false, &mut sum);
            for (place, sum) in pass.places.iter().zip(sum.chunks_exact(s.features.max(1))) {
                add(&mut dx[place.x * s.features..], sum);
            }
        }
        if let Some(dw) = wanted(dx, 1) {
            let dw = &mut dw.elements_mut()[d * wide * s.features..];
            matmul(wide, rows, s.features, transposed(&pass.gates), plain(&pass.x), true, dw);
        }
        if let Some(dr) = wanted(dx, 2) {
            let dr = &mut dr.elements_mut()[d * wide * s.hidden..];
            matmul(direct, rows, s.hidden, transposed(&pass.recurrent), plain(&pass.states[0]), true, dr);
        }
        if let Some(db) = wanted(dx, 3) {
            let (own, other) = db.elements_mut()[2 * d * wide..][..2 * wide].split_at_mut(wide);
            for row in pass.gates.chunks_exact(wide) {
                add(own, row);
                add(&mut other[direct..], &row[direct..]);
            }
            pass.recurrent.chunks_exact(direct).for_each(|row| add(other, row));
        }
    }

    /// Number of directions to compute: none where there are no images or no hidden units.
    fn computed(&self) -> usize {
        if self.sizes.states() == 0 { 0 } else { self.directions.len() }
    }
}

impl<T: Real, C: Cell> Compute<T> for Layer<C> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let s = self.sizes;
        for d in 0..self.computed() {
            let pass = self.pass(x, &self.weights(x, d), d);
            let states = |k: usize, step: usize| pass.states[k][step * s.states()..].chunks_exact(s.hidden);
            let all = y[0].elements_mut();
            for (place, state) in pass.places.iter().zip(states(0, 1)) {
                all[place.y * s.hidden..][..s.hidden].copy_from_slice(state);
            }
            // A result that the node leaves out has no elements.
            for (k, y) in y[1..].iter_mut().enumerate().filter(|(_, y)| !y.is_empty()) {
                let y = y.elements_mut();
                for (n, state) in states(k, s.steps).enumerate() {
                    y[s.state(d, n) * s.hidden..][..s.hidden].copy_from_slice(state);
                }
            }
        }
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        for d in 0..self.computed() {
            let weights = self.weights(x, d);
            let mut pass = self.pass(x, &weights, d);
            let start = self.back(&weights, d, &mut pass, dy, dx);
            self.spread(&weights, d, &pass, &start, dx);
        }
    }
}
