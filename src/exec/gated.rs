//! A network with its gates: what is compiled, interpreted, trained and proved.

use crate::graph::{Network, NodeId, ValueId};
use crate::support::index::OptIndex;

/// A gate: multiplies `value` by `λ[index[c]]` along `axis`, for some of its consumers.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSpec {
    /// The gated value.
    pub value: ValueId,
    /// The axis whose coordinates are gated.
    pub axis: usize,
    /// For each coordinate, its λ; none where λ = 1.
    pub index: Vec<OptIndex>,
    /// Readers of the gated value: (node, input slot). Other readers see `value` itself.
    pub readers: Vec<(NodeId, usize)>,
}

/// A term added to the result of `node` along `axis`: `Σ_c (1 − λ_c)·κ_c·matrix[o][c]`, as compensation for closed gates. A pass
/// gets one vector with all λ and then all levels κ, which both index.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasTermSpec {
    /// The node whose result the term is added to.
    pub node: NodeId,
    /// The axis of its result that `o` runs over.
    pub axis: usize,
    /// For each c, its λ; none where λ = 1.
    pub index: Vec<OptIndex>,
    /// For each c, its κ; none where κ = 1.
    pub level: Vec<OptIndex>,
    /// Row-major [o, c].
    pub matrix: Vec<f32>,
}

/// A network, the places of its gates, and the bias terms that stand in for what closed gates take away. The gates' values λ (and
/// the levels κ of the bias terms, which follow the λ) are given to each run.
#[derive(Debug, Clone, Copy)]
pub struct GatedNetwork<'a> {
    /// Graph and facts.
    pub network: Network<'a>,
    /// Gates; every λ is 1 where there are none.
    pub gates: &'a [GateSpec],
    /// Terms `Σ_c (1 − λ_c)·κ_c·m[o, c]` added to results of nodes.
    pub bias_terms: &'a [BiasTermSpec],
}

/// Without gates.
impl<'a> From<Network<'a>> for GatedNetwork<'a> {
    fn from(network: Network<'a>) -> Self {
        Self { network, gates: &[], bias_terms: &[] }
    }
}
