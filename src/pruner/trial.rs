//! Cuts by chance, tried before anything is trained.
//!
//! Takes: a network. Gives: a cut of it, or the reason why its open sizes cannot stay open. Never: looks at an image.

use super::{Analysis, Options, Unit, analyse};
use crate::error::Result;
use crate::graph::*;
use crate::plan::{self, Limits, Search};
use crate::rewrite;

/// The graph without channels that chance chose within limits, so that about `share` of the multiply-accumulates that can be saved
/// are left; none where no channel can be deleted.
pub fn cut_at_random(
    network: Network,
    share: f64,
    limits: Limits,
    seed: u64,
    opset: i64,
) -> Result<Option<Graph>> {
    let options = Options { seed, limits, ..Options::default() };
    let Analysis { groups, cost, macs_total: full, macs_min: smallest, kept_at_min: least, .. } =
        analyse(network, &options, Unit::Macs)?;
    if smallest == full {
        return Ok(None);
    }
    let search = Search::new(&groups, &cost, options.limits, vec![false; least.len()]);
    let target = smallest + ((full - smallest) as f64 * share) as u64;
    let plan = search.meet(&plan::random(&groups, seed), target)?;
    Ok(Some(rewrite::rewrite(network, &groups, &plan.kept, opset)?.graph))
}

/// Errors where a smaller network would fit the analysed sizes only although the file leaves sizes open: tried by cuts that
/// chance chose.
pub fn check_open_sizes(network: Network, analysis: &Analysis, options: &Options, opset: i64) -> Result<()> {
    let facts = network.facts;
    if facts.elsewhere.is_empty() {
        return Ok(());
    }
    let Analysis { groups, cost, macs_total: full, macs_min: smallest, kept_at_min: least, .. } = analysis;
    let search = Search::new(groups, cost, options.limits, vec![false; least.len()]);
    for target in [*smallest, smallest.midpoint(*full)] {
        let plan = search.meet(&plan::random(groups, options.seed), target)?;
        rewrite::rewrite(network, groups, &plan.kept, opset)?;
    }
    Ok(())
}
