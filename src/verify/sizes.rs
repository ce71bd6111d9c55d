//! Proof at other sizes of the axes that a file leaves open.
//!
//! Takes: masked and small network, samples at the analysed sizes. Gives: measured differences at each other set of sizes. Never:
//! passes sizes at which it did not run both.

use super::{TOLERANCE, allowed, compare_executors, compare_tract, near_enough, prove, rounding_in_tract};
use crate::error::{Error, Result};
use crate::exec::Pool;
use crate::graph::*;
use crate::setting::Setting;
use crate::tensor::*;
use crate::tract::Sample;

/// Inputs tried at each other set of sizes.
const SAMPLES: usize = 2;

/// Measured at one set of sizes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AtSizes {
    /// Names and sizes of the inputs.
    pub inputs: Vec<(String, Shape)>,
    /// Largest |masked − pruned| in our executor, as a share of the output's range.
    pub relative: f64,
    /// Largest |masked − pruned| in tract, as a share of the output's range, or why tract could not tell.
    pub tract: Result<f64, String>,
    /// Rounding of tract at these sizes, where it decides (see [`super::Verdict::tract_rounding`]).
    pub tract_rounding: Option<f64>,
    /// Largest share allowed in tract.
    pub tract_allowed: f64,
}

impl AtSizes {
    /// True if what was measured is within the tolerance, in tract within what rounding makes of it.
    pub fn pass(&self) -> bool {
        self.relative <= TOLERANCE && *self.tract.as_ref().unwrap_or(&0.0) <= self.tract_allowed
    }
}

/// The masked network and the small one as files that tract runs.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a> {
    /// The file of the masked network.
    pub masked: &'a [u8],
    /// The file of the small one.
    pub small: &'a [u8],
}

/// The masked network and the small one in tract.
pub(super) struct InTract {
    /// Largest difference as a share of the output's range, or why it could not tell.
    pub difference: Result<f64, String>,
    /// Rounding of tract on the masked network, measured where the difference is beyond the tolerance.
    pub rounding: Option<f64>,
}

impl InTract {
    /// At the sizes of `inputs`. Without `messages` tract cannot tell.
    pub fn measure(
        masked: &Graph,
        small: &Graph,
        messages: Option<Messages>,
        inputs: &[Fact],
        samples: &[Sample],
        pool: &Pool,
    ) -> Result<Self> {
        let Some(messages) = messages else {
            let difference = Err("it takes a model in one piece of at most 2 GiB".into());
            return Ok(Self { difference, rounding: None });
        };
        let difference = compare_tract(messages.masked, messages.small, inputs, samples, pool)?;
        let mut rounding = None;
        if difference.as_ref().is_ok_and(|d| *d > TOLERANCE) {
            let facts = infer(masked, Some(inputs))?;
            let masked = Network::new(masked, &facts);
            rounding = rounding_in_tract(masked, messages.masked, small, samples, pool)?;
        }
        Ok(Self { difference, rounding })
    }
}

/// Differences between the masked network and the small one at all other sizes of the original's open axes; in tract only where
/// there are `messages`: a network that takes more than one message may has none.
pub fn elsewhere(
    original: Network,
    masked: &Graph,
    small: &Graph,
    messages: Option<Messages>,
    samples: &[Sample],
    pool: &Pool,
) -> Result<Vec<AtSizes>> {
    let graph = original.graph;
    let one = |other: &std::sync::Arc<Facts>| {
        let inputs = other.inputs(graph).unwrap_or_default();
        let samples = stretched(samples, &inputs);
        let facts = infer(masked, Some(&inputs))?;
        let masked = Network::new(masked, &facts);
        let proof = prove(masked.into(), &[], small, &samples, pool)?;
        let InTract { difference: tract, rounding } =
            InTract::measure(masked.graph, small, messages, &inputs, &samples, pool)?;
        let names = graph.inputs.iter().map(|&v| graph.values[v].name.clone());
        let inputs = names.zip(inputs.into_iter().map(|f| f.shape)).collect();
        Ok(AtSizes {
            inputs,
            relative: proof.difference.relative,
            tract,
            tract_rounding: rounding,
            tract_allowed: allowed(&facts, rounding),
        })
    };
    original.facts.elsewhere.iter().map(one).collect()
}

/// Sizes of the inputs, and the largest difference of two files there in tract, or why it could not tell.
pub type FilesAtSizes = (Vec<Shape>, Result<f64, String>);

/// Largest differences of two files in tract at all other sizes of the open axes of `network`, which is the first one's, with
/// the sizes of the inputs.
pub fn files_elsewhere(
    Network { graph, facts }: Network,
    first: &[u8],
    second: &[u8],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Vec<FilesAtSizes>> {
    let one = |other: &std::sync::Arc<Facts>| -> Result<FilesAtSizes> {
        let inputs = other.inputs(graph).unwrap_or_default();
        let found = compare_tract(first, second, &inputs, &stretched(samples, &inputs), pool)?;
        Ok((inputs.into_iter().map(|f| f.shape).collect(), found))
    };
    facts.elsewhere.iter().map(one).collect()
}

/// Errors where tract and our executor disagree on the small network at another set of sizes at which tract runs it; on the
/// original they are `apart`.
pub fn executors_elsewhere(
    Network { graph, facts }: Network,
    small: &Graph,
    bytes: &[u8],
    apart: Option<f64>,
    samples: &[Sample],
    pool: &Pool,
) -> Result<()> {
    for other in &facts.elsewhere {
        let inputs = other.inputs(graph).unwrap_or_default();
        let samples = stretched(samples, &inputs);
        let facts = infer(small, Some(&inputs))?;
        let network = Network::new(small, &facts);
        if let Ok(d) = compare_executors(network, bytes, &samples, pool)?
            && !near_enough(network, d, apart, &samples, pool)?
        {
            let sizes: Vec<&Shape> = inputs.iter().map(|f| &f.shape).collect();
            return Err(Error::Verification {
                reason: format!(
                    "at inputs of {sizes:?} tract and our executor differ by {d:.1e} of the range"
                ),
                hint: format!(
                    "nothing was written; please report this model, and try {} none",
                    Setting::Recover
                ),
            });
        }
    }
    Ok(())
}

/// Samples at other sizes, made of the given ones: along the first axis one after the other, along others repeated or cut off.
fn stretched(samples: &[Sample], inputs: &[Fact]) -> Vec<Sample> {
    let at = |first: usize, k: usize, fact: &Fact| {
        let mut x: Array<f32> = Array::zeros(fact.shape.as_slice());
        let row = volume(fact.shape.get(1..).unwrap_or_default()).max(1);
        for (i, element) in x.iter_mut().enumerate() {
            let from = &samples[(first + i / row) % samples.len()][k];
            let (mut place, mut rest, mut stride) = (0, i, 1);
            for axis in (0..fact.shape.len()).rev() {
                let (at, size) =
                    (rest % fact.shape[axis], from.shape().get(axis).copied().unwrap_or(1).max(1));
                rest /= fact.shape[axis];
                place += at % size * stride;
                stride *= size;
            }
            *element = from.elements().get(place).copied().unwrap_or_default();
        }
        x
    };
    if samples.is_empty() {
        return Vec::new();
    }
    let one = |first: usize| inputs.iter().enumerate().map(|(k, fact)| at(first, k, fact)).collect();
    (0..SAMPLES.min(samples.len())).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_laid_side_by_side() {
        let samples: Vec<Sample> =
            [0.0, 10.0].iter().map(|&x| vec![array(&[1, 2], vec![x, x + 1.0])]).collect();
        let found = stretched(&samples, &[Fact::new(DType::F32, [3, 3])]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0][0].elements(), [0., 1., 0., 10., 11., 10., 0., 1., 0.]);
        assert_eq!(found[1][0].elements(), [10., 11., 10., 0., 1., 0., 10., 11., 10.]);
    }
}
