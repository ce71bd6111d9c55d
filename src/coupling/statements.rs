//! Statements of one operator on its axes, which are collected first and applied together.

use super::site::{Place, Site};
use crate::graph::*;

/// The statements of an operator, by kind, in their order.
pub(super) struct Statements {
    /// By slot, where the axes of inputs and of results begin in `spoken`.
    first: [Vec<usize>; 2],
    /// By axis and coordinate: is there a statement on it?
    pub spoken: Vec<(Axis, Vec<bool>)>,
    pub ties: Vec<(Axis, usize, Axis, usize)>,
    pub reads: Vec<Axis>,
    pub absorbs: Vec<Axis>,
    pub freezes: Vec<(Axis, String)>,
    pub products: Vec<(Axis, Vec<Axis>)>,
    pub regroups: Vec<(Vec<Axis>, [Axis; 2])>,
}

impl Statements {
    pub fn new(io: &Io) -> Self {
        let inputs = (0..io.inputs()).flat_map(|s| {
            let shape = io.input(s).unwrap_or_default();
            shape.iter().enumerate().map(move |(a, &size)| (input(s, a), size))
        });
        let outputs =
            io.y.iter()
                .enumerate()
                .flat_map(|(s, f)| f.shape.iter().enumerate().map(move |(a, &size)| (output(s, a), size)));
        let spoken: Vec<(Axis, Vec<bool>)> =
            inputs.chain(outputs).map(|(axis, size)| (axis, vec![false; size])).collect();
        let mut next = 0;
        let mut begin = |rank: usize| {
            next += rank;
            next - rank
        };
        let first = [
            (0..io.inputs()).map(|s| begin(io.input(s).map_or(0, <[usize]>::len))).collect(),
            io.y.iter().map(|f| begin(f.shape.len())).collect(),
        ];
        Self {
            first,
            spoken,
            ties: vec![],
            reads: vec![],
            absorbs: vec![],
            freezes: vec![],
            products: vec![],
            regroups: vec![],
        }
    }

    /// Where an axis stands in `spoken`, if the node has it.
    fn place(&self, axis: Axis) -> Option<usize> {
        let first = match axis.port {
            Port::In(slot) => self.first[0].get(slot)?,
            Port::Out(slot) => self.first[1].get(slot)?,
        };
        self.spoken.get(first + axis.axis).filter(|(found, _)| *found == axis).map(|_| first + axis.axis)
    }

    fn size(&self, axis: Axis) -> usize {
        self.place(axis).map_or(0, |k| self.spoken[k].1.len())
    }

    fn speak(&mut self, axis: Axis, index: Option<usize>) {
        if let Some(k) = self.place(axis) {
            let spoken = &mut self.spoken[k].1;
            match index {
                Some(i) => spoken[i] = true,
                None => spoken.fill(true),
            }
        }
    }
}

impl Couplings for Statements {
    fn tie(&mut self, a: Axis, i: usize, b: Axis, j: usize) {
        self.speak(a, Some(i));
        self.speak(b, Some(j));
        self.ties.push((a, i, b, j));
    }
    fn tie_axes(&mut self, a: Axis, b: Axis) {
        let size = self.size(a);
        assert_eq!(size, self.size(b), "axes said to be the same have different sizes");
        (0..size).for_each(|i| self.tie(a, i, b, i));
    }
    fn contracts(&mut self, a: Axis) {
        self.reads.push(a);
    }
    fn zero_is_neutral(&mut self, a: Axis) {
        self.absorbs.push(a);
    }
    fn free(&mut self, a: Axis, i: usize) {
        self.speak(a, Some(i));
    }
    fn freeze(&mut self, a: Axis, why: &str) {
        self.speak(a, None);
        self.freezes.push((a, why.to_owned()));
    }
    fn product(&mut self, one: Axis, many: &[Axis]) {
        self.speak(one, None);
        many.iter().for_each(|&m| self.speak(m, None));
        self.products.push((one, many.to_vec()));
    }
    fn regroup(&mut self, fine: &[Axis], coarse: [Axis; 2]) {
        fine.iter().chain(&coarse).for_each(|&a| self.speak(a, None));
        self.regroups.push((fine.to_vec(), coarse));
    }
}

/// A node and its number, to find the values and sites of the axes in its operator's statements.
pub(super) struct Placed<'a> {
    pub n: NodeId,
    pub node: &'a Node,
}

impl Placed<'_> {
    pub fn value(&self, axis: Axis) -> Option<ValueId> {
        self.node.value_at(axis.port)
    }

    pub fn place(&self, axis: Axis) -> Option<Place> {
        self.value(axis).map(|v| (v, axis.axis))
    }

    /// The site of an input's axis; a result has none.
    pub fn site(&self, axis: Axis) -> Option<Site> {
        match axis.port {
            Port::In(slot) => Some(Site { node: self.n, slot, axis: axis.axis }),
            Port::Out(_) => None,
        }
    }
}
