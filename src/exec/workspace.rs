//! The values and gradients of a program in one thread, and the buffers that they are made over.
//!
//! Takes: a program. Gives: arrays of its shapes. Never: computes anything.

use super::gradients::GradSlot;
use super::program::Program;
use crate::graph::ValueId;
use crate::tensor::*;

/// Buffers for one thread: every value, and the gradients that are on their way.
#[derive(Debug)]
pub struct Workspace {
    /// Values by slot; vacant where none was computed.
    pub(super) y: Vec<Array<f32>>,
    /// Gradients by slot; vacant where none is on its way.
    pub(super) dy: Vec<Array<f32>>,
    /// Values by slot during [`Workspace::evaluate`].
    pub(super) passing: Vec<Array<f32>>,
    /// Buffers of values that no later step reads, and of gradients that were passed on.
    pub(super) arena: Arena,
    /// By slot: whether the backward pass has written to its gradient.
    pub(super) begun: Vec<bool>,
    /// Gradient of a convolution's gated input.
    pub(super) gated: Vec<f32>,
}

impl Workspace {
    /// Buffers for `program`.
    pub fn new(program: &Program) -> Self {
        let vacant = |n: usize| (0..n).map(|_| Default::default()).collect();
        let n = program.shapes.len();
        Self {
            y: vacant(n),
            dy: vacant(n),
            passing: Vec::new(),
            arena: Arena::default(),
            begun: vec![false; n],
            gated: Vec::new(),
        }
    }

    /// Elements of network input `k`, [batch, …], to be filled.
    pub fn input(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.inputs[k];
        self.arena.fit(&mut self.y[slot], &program.shapes[slot]);
        self.y[slot].elements_mut()
    }

    /// The value of target `k` after [`Workspace::forward`] or [`Workspace::evaluate`].
    pub fn target(&self, program: &Program, k: usize) -> &Array<f32> {
        &self.y[program.targets[k]]
    }

    /// A value after [`Workspace::forward`], if the program computes it.
    pub fn value(&self, program: &Program, v: ValueId) -> Option<&Array<f32>> {
        program.slots.get(&v).map(|&s| &self.y[s])
    }

    /// Elements of the gradient of target `k`, at zero: to be set by the caller of [`Workspace::backward`].
    pub fn target_gradient(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.targets[k];
        self.prepare(program, slot);
        let gradient = self.dy[slot].elements_mut();
        gradient.fill(0.0);
        gradient
    }

    /// Finds a buffer for the gradient of slot `s`.
    fn prepare(&mut self, program: &Program, s: usize) {
        self.arena.fit(&mut self.dy[s], &program.shapes[s]);
    }

    /// Zeros the gradient of slot `s` unless the pass has written to it.
    pub(super) fn begin(&mut self, program: &Program, s: usize) {
        if !std::mem::replace(&mut self.begun[s], true) {
            self.prepare(program, s);
            self.dy[s].fill(0.0);
        }
    }

    /// Takes the gradient of slot `s` out, to be given back; none where it depends on neither gate nor parameter.
    pub(super) fn checkout(&mut self, program: &Program, s: usize) -> Option<GradSlot> {
        program.live[s].then(|| {
            self.prepare(program, s);
            let dx = std::mem::take(&mut self.dy[s]);
            GradSlot { dx, begun: std::mem::replace(&mut self.begun[s], true) }
        })
    }

    /// Puts the gradient of slot `s` back.
    pub(super) fn give_back(&mut self, s: usize, slot: Option<GradSlot>) {
        if let Some(GradSlot { dx, .. }) = slot {
            self.dy[s] = dx;
        }
    }
}

/// Spare buffers, for arrays to be made over.
#[derive(Debug, Default)]
pub(super) struct Arena {
    spare: Vec<Vec<f32>>,
}

impl Arena {
    /// An array of this shape, of unspecified numbers.
    pub fn array(&mut self, shape: &[usize]) -> Array<f32> {
        let mut buffer = self.buffer(volume(shape));
        buffer.resize(volume(shape), 0.0);
        array(shape, buffer)
    }

    /// Makes `a` an array of this shape, of unspecified numbers, unless it has that shape.
    pub fn fit(&mut self, a: &mut Array<f32>, shape: &[usize]) {
        if a.shape() != shape {
            self.recycle(std::mem::take(a));
            *a = self.array(shape);
        }
    }

    /// Takes the buffer of an array that is not needed any more, where it has one.
    pub fn recycle(&mut self, a: Array<f32>) {
        let (buffer, _) = a.into_raw_vec_and_offset();
        if buffer.capacity() > 0 {
            self.spare.push(buffer);
        }
    }

    /// The smallest buffer that holds `len` numbers, or else the largest, grown.
    fn buffer(&mut self, len: usize) -> Vec<f32> {
        let fits = |buffer: &Vec<f32>| match buffer.capacity() {
            c if c >= len => (false, c),
            c => (true, usize::MAX - c),
        };
        let best = (0..self.spare.len()).min_by_key(|&k| fits(&self.spare[k]));
        let mut buffer = best.map_or_else(Vec::new, |k| self.spare.swap_remove(k));
        if buffer.capacity() < len {
            buffer.clear();
            buffer.reserve_exact(len);
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_buffer_that_holds_an_array_serves_it() {
        let mut arena = Arena::default();
        let [small, large] = [4, 100].map(|n| arena.array(&[n]));
        let places = [&small, &large].map(|a| a.as_ptr());
        arena.recycle(large);
        arena.recycle(small);
        let a = arena.array(&[2, 2]);
        assert_eq!((a.shape(), a.as_ptr()), (&[2, 2][..], places[0]));
        let b = arena.array(&[5]);
        assert_eq!((b.len(), b.as_ptr()), (5, places[1]));
        assert!(arena.spare.is_empty());
        // An empty array has no buffer to give.
        arena.recycle(Default::default());
        assert!(arena.spare.is_empty());
    }

    #[test]
    fn an_array_that_fits_keeps_its_numbers() {
        let mut arena = Arena::default();
        let mut a = array(&[2], vec![1.0, 2.0]);
        arena.fit(&mut a, &[2]);
        assert_eq!(a.elements(), [1.0, 2.0]);
        arena.fit(&mut a, &[3, 1]);
        assert_eq!(a.shape(), [3, 1]);
        assert_eq!(arena.spare.len(), 0, "its own buffer was taken up again, and grown");
    }
}
