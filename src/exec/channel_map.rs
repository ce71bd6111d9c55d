//! Maps from the channels of a result to the channels of its operand, as between a pruned branch and the trunk that it is added to.
//!
//! Several nodes of a graph (Gather, Pad, Slice; Add; Relu) become one step, which touches every number once.

use crate::support::index::OptIndex;

/// For each channel of a result (axis 1), the channel of the operand; none for a channel of zeros.
pub(super) type ChannelMap = Vec<OptIndex>;

/// For each k, `first[second[k]]`, none where `second[k]` is none: the map `first` and then the map `second` as one; or the gates
/// `first` of a map's operand, by channel of its result.
pub(super) fn compose(first: &[OptIndex], second: &[OptIndex]) -> Vec<OptIndex> {
    second.iter().map(|c| c.get().map_or(OptIndex::NONE, |c| first[c])).collect()
}
