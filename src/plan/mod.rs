//! The classes to keep: from a score per class and a budget to a plan.
//!
//! Takes: groups, cost, scores. Gives: a [`Plan`]. Invariants: every axis keeps at least one coordinate; a branch whose
//! trunk channel goes, goes; cost ≤ target. Never: runs the network.

mod score;
mod search;
#[cfg(test)]
mod tests;

pub use score::{l1, random};
pub use search::{Limits, Round, Search};

/// Which classes stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For each class: does it stay?
    pub kept: Vec<bool>,
    /// Its cost, in the unit of the cost that it was searched by.
    pub cost: u64,
}

impl Plan {
    /// Number of deleted classes.
    pub fn deleted(&self) -> usize {
        self.kept.iter().filter(|k| !**k).count()
    }
}
