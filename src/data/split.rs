//! Which images serve what.

use super::BoundDataset;
use crate::support::random::Draw;

/// Images of a data set by number: those that something is learned on, and those that only judge it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Images to learn on.
    pub train: Vec<usize>,
    /// Images to judge on.
    pub held_out: Vec<usize>,
}

impl Split {
    /// A seeded split of `n` images: a tenth, at most 1000, is held out; with fewer than 80 images all serve both ends.
    pub fn new(n: usize, seed: u64) -> Self {
        let held = (n / 10).min(1000);
        if held < 8 {
            return Self { train: (0..n).collect(), held_out: (0..n).collect() };
        }
        let held_out = Draw::new(seed, 2).subset(n, held);
        let train = (0..n).filter(|i| held_out.binary_search(i).is_err()).collect();
        Self { train, held_out }
    }
}

/// Some images of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Subset<'a> {
    /// The data set.
    pub data: &'a BoundDataset,
    /// Numbers of the images in it.
    pub indices: &'a [usize],
}
