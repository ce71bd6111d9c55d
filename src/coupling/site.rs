//! Names of axes: of nodes' inputs and of values.

use crate::graph::{NodeId, ValueId};

/// An input axis of a node that contracts it or absorbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The node.
    pub node: NodeId,
    /// Its input slot.
    pub slot: usize,
    /// The axis of that input.
    pub axis: usize,
}

/// An axis of a value.
pub(super) type Place = (ValueId, usize);
