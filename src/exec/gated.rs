//! A network with its gates: what is compiled, interpreted, trained and proved.

use super::program::{BiasTermSpec, GateSpec};
use crate::graph::Network;

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
