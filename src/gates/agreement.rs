//! Agreement of a pruned network with the unpruned one, on images that nothing was learned on, in units that say how well the
//! small network does its job: the top class, the correlation of values, the noise of pictures, the boxes that are found again.

use super::Session;
use super::boxes::Layouts;
use super::session::argmax;
use crate::tensor::*;

/// Least side in pixels of an output that is a picture.
const PICTURE: usize = 16;

/// Largest ratio of signal and noise that is told.
const MOST_DECIBELS: f64 = 120.0;

/// Agreement of outputs with the unpruned network's, over some images.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Agreement {
    /// Images compared.
    pub images: usize,
    /// Share of images with the same top class (classifiers).
    pub same_class: Option<f64>,
    /// Share of images with the right top class (where there are labels).
    pub accuracy: Option<f64>,
    /// Share of images with the right top class in the unpruned network (where there are labels).
    pub accuracy_before: Option<f64>,
    /// Root mean square difference of the outputs, relative to their standard deviation.
    pub relative_error: f64,
    /// Pearson's correlation of the outputs with the unpruned network's, mean over the outputs (networks that are no classifiers).
    #[serde(default)]
    pub correlation: Option<f64>,
    /// Peak signal-to-noise ratio in decibels, where the first output is pictures: of the unpruned network's, whose range is the
    /// peak, and the noise is what differs.
    #[serde(default)]
    pub psnr: Option<f64>,
    /// Boxes that the unpruned network sees (score 0.3 or more, one for a thing), where boxes can be read from the outputs.
    #[serde(default)]
    pub boxes: Option<usize>,
    /// Share of these boxes that are found again: with the same class, and an intersection over union of 0.5 or more.
    #[serde(default)]
    pub found_again: Option<f64>,
}

/// Largest size of outputs that are remembered, in bytes.
const REMEMBERED: usize = 64 << 20;

/// Images to compare networks on, with the unpruned network's outputs unless these are too large to be kept.
#[derive(Debug, Clone, Default)]
pub struct HeldOut {
    images: Vec<usize>,
    /// By image, then by target.
    outputs: Option<Vec<Vec<Array<f32>>>>,
}

impl HeldOut {
    /// The images `list`, with the outputs of the unpruned network `original`.
    pub fn new(original: &Session, list: &[usize]) -> Self {
        if list.is_empty() {
            return Self { images: Vec::new(), outputs: None };
        }
        let program = original.program();
        let per_image: usize =
            (0..original.targets.len()).map(|t| 4 * volume(program.target_shape(t)) / original.batch).sum();
        let outputs = (per_image * list.len() <= REMEMBERED).then(|| original.outputs(list));
        Self { images: list.to_vec(), outputs }
    }

    /// True if outputs were too large to be kept: every comparison runs the unpruned network again.
    pub fn asks(&self) -> bool {
        self.outputs.is_none()
    }

    /// Agreement of another network on the same data, at gates `lambda` if it has some, with the unpruned one, image by image.
    /// `original` is the unpruned network; needed where [`HeldOut::asks`].
    pub fn agreement(
        &self,
        original: Option<&Session>,
        other: &Session,
        lambda: Option<&[f32]>,
    ) -> Agreement {
        // A few images at a time: outputs can be large.
        let together = 4 * other.batch * other.pool.len();
        let mut tally = Tally::default();
        for (k, some) in self.images.chunks(together).enumerate() {
            let asked = original.filter(|_| self.asks()).map(|o| o.outputs(some)).unwrap_or_default();
            let known = self.outputs.as_ref().map(|outputs| &outputs[k * together..][..some.len()]);
            let found = other.outputs_at(some, lambda, None);
            for ((wanted, rows), &i) in known.unwrap_or(&asked).iter().zip(found).zip(some) {
                tally.add(wanted, &rows, other.label(i));
            }
        }
        tally.agreement(other.classes)
    }
}

/// Counts and sums of an [`Agreement`].
#[derive(Debug, Clone, Default)]
struct Tally {
    images: usize,
    labelled: usize,
    /// Images with the unpruned network's class, with the right class, with the right class in the unpruned network.
    counts: [usize; 3],
    /// By target.
    outputs: Vec<OutputSums>,
    layouts: Layouts,
    /// Boxes in the unpruned network, and those of them that are found again.
    boxes: [usize; 2],
}

/// Sums over the elements of an output.
#[derive(Debug, Clone, Copy)]
struct OutputSums {
    n: f64,
    /// Σ of the unpruned network's, and of their squares.
    wanted: [f64; 2],
    /// Σ of the other network's, and of their squares.
    found: [f64; 2],
    /// Σ of squared differences.
    differences: f64,
    /// Smallest and largest one of the unpruned network.
    range: [f64; 2],
    /// True for pictures.
    pictures: bool,
}

impl OutputSums {
    fn of(wanted: &Array<f32>) -> Self {
        let pictures = matches!(wanted.shape(), [_, 3, h, w] if h.min(w) >= &PICTURE);
        let range = [f64::INFINITY, f64::NEG_INFINITY];
        Self { n: 0.0, wanted: [0.0; 2], found: [0.0; 2], differences: 0.0, range, pictures }
    }

    fn add(&mut self, wanted: f64, found: f64) {
        self.n += 1.0;
        let squared = |sums: &mut [f64; 2], v: f64| {
            sums[0] += v;
            sums[1] += v * v;
        };
        squared(&mut self.wanted, wanted);
        squared(&mut self.found, found);
        self.differences += (wanted - found) * (wanted - found);
        self.range = [self.range[0].min(wanted), self.range[1].max(wanted)];
    }

    /// None where one of the two does not vary.
    fn correlation(&self) -> Option<f64> {
        let variance = |[s, q]: [f64; 2]| q / self.n - (s / self.n).powi(2);
        let (w, f) = (variance(self.wanted), variance(self.found));
        let products = (self.wanted[1] + self.found[1] - self.differences) / 2.0;
        let covariance = products / self.n - self.wanted[0] * self.found[0] / self.n.powi(2);
        (w > 1e-12 && f > 1e-12).then(|| (covariance / (w * f).sqrt()).clamp(-1.0, 1.0))
    }

    fn psnr(&self) -> Option<f64> {
        let (peak, noise) = (self.range[1] - self.range[0], self.differences / self.n.max(1.0));
        (self.pictures && peak > 0.0).then(|| (10.0 * libm::log10(peak * peak / noise)).min(MOST_DECIBELS))
    }
}

impl Tally {
    /// Counts one image in: its targets in the unpruned network and in the other one.
    fn add(&mut self, wanted: &[Array<f32>], rows: &[Array<f32>], label: Option<usize>) {
        let (a, b) = (argmax(wanted[0].elements()), argmax(rows[0].elements()));
        self.images += 1;
        self.counts[0] += usize::from(a == b);
        if let Some(label) = label {
            self.labelled += 1;
            self.counts[1] += usize::from(b == label);
            self.counts[2] += usize::from(a == label);
        }
        if self.outputs.is_empty() {
            self.outputs = wanted.iter().map(OutputSums::of).collect();
            self.layouts = Layouts::find(wanted);
        }
        let boxes = self.layouts.compare(wanted, rows);
        self.boxes.iter_mut().zip(boxes).for_each(|(sum, n)| *sum += n);
        for ((w, r), sums) in wanted.iter().zip(rows).zip(&mut self.outputs) {
            let both = w.elements().iter().zip(r.elements());
            both.for_each(|(&w, &r)| sums.add(f64::from(w), f64::from(r)));
        }
    }

    fn agreement(&self, classes: bool) -> Agreement {
        let share = |count: usize| count as f64 / self.images.max(1) as f64;
        let sum = |of: &dyn Fn(&OutputSums) -> f64| self.outputs.iter().map(of).sum::<f64>();
        let n = sum(&|o| o.n).max(1.0);
        let variance = (sum(&|o| o.wanted[1]) / n - (sum(&|o| o.wanted[0]) / n).powi(2)).max(1e-12);
        let labelled = classes && self.labelled > 0;
        let correlations: Vec<f64> = self.outputs.iter().filter_map(OutputSums::correlation).collect();
        let mean = correlations.iter().sum::<f64>() / correlations.len().max(1) as f64;
        Agreement {
            images: self.images,
            same_class: classes.then(|| share(self.counts[0])),
            accuracy: labelled.then(|| share(self.counts[1])),
            accuracy_before: labelled.then(|| share(self.counts[2])),
            relative_error: (sum(&|o| o.differences) / n / variance).sqrt(),
            correlation: Some(mean).filter(|_| !classes && !correlations.is_empty()),
            psnr: self.outputs.first().and_then(OutputSums::psnr).filter(|_| !classes),
            boxes: (!classes && !self.layouts.is_empty()).then_some(self.boxes[0]),
            found_again: (!classes && self.boxes[0] > 0).then(|| self.boxes[1] as f64 / self.boxes[0] as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(shape: &[usize], wanted: &[f32], found: &[f32]) -> Tally {
        let mut tally = Tally::default();
        tally.add(&[array(shape, wanted.to_vec())], &[array(shape, found.to_vec())], None);
        tally
    }

    #[test]
    fn correlation_is_that_of_the_outputs() {
        let of = |found: &[f32]| tally(&[1, 4], &[1.0, 2.0, 3.0, 5.0], found).agreement(false).correlation;
        assert!((of(&[3.0, 5.0, 7.0, 11.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!((of(&[-1.0, -2.0, -3.0, -5.0]).unwrap() + 1.0).abs() < 1e-12);
        // Σ(w − 2.75)(f − 0.5) = −1.5, over √(8.75 · 1).
        assert!((of(&[1.0, 0.0, 1.0, 0.0]).unwrap() + 1.5 / 8.75f64.sqrt()).abs() < 1e-12);
        assert_eq!(of(&[1.0; 4]), None, "what does not vary");
        assert_eq!(tally(&[1, 2], &[1.0, 2.0], &[1.0, 2.0]).agreement(true).correlation, None, "classes");
    }

    #[test]
    fn pictures_have_a_ratio_of_signal_and_noise() {
        let picture = [1, 3, PICTURE, PICTURE];
        let wanted: Vec<f32> = (0..volume(&picture)).map(|i| (i % 2) as f32).collect();
        let noisy: Vec<f32> = wanted.iter().map(|v| v + 0.1).collect();
        let psnr = |shape: &[usize], found: &[f32]| tally(shape, &wanted, found).agreement(false).psnr;
        assert!((psnr(&picture, &noisy).unwrap() - 20.0).abs() < 1e-3);
        assert_eq!(psnr(&picture, &wanted), Some(MOST_DECIBELS));
        assert_eq!(psnr(&[1, volume(&picture)], &noisy), None);
    }
}
