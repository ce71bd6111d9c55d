//! A preview of the unpruned network's answers to some calibration images, made ahead of any training: wrong preprocessing
//! shows here.
//!
//! Takes: a classifier, calibration data. Gives: a [`Preview`], with a preprocessing under which it does clearly better, if one
//! of the usual ones is. Never: changes the data.

use super::Session;
use super::session::argmax;
use crate::data::BoundDataset;
use crate::error::Result;
use crate::exec::Pool;
use crate::exec::{Aims, loss};
use crate::graph::{Network, Node, ValueId};
use crate::support::random::Draw;
use crate::tensor::{Array, Elements};
use std::collections::BTreeMap;

/// Largest number of images.
const IMAGES: usize = 100;

/// Number of images of a large network.
const OF_LARGE: usize = 16;

/// Least number of images for a doubt.
const FEWEST: usize = 8;

/// Multiply-accumulates to be spent on the images: some seconds.
const SPENT: u64 = 200_000_000_000;

/// Number of images that are shown.
const SHOWN: usize = 3;

/// Least Cohen's kappa (J. Cohen, Educational and Psychological Measurement 20, 1960) of labels and answers that are clearly
/// better than chance.
const CHANCE: f64 = 0.25;

/// Least share of the images with one answer at which a network tells them hardly apart.
const ALIKE: f64 = 0.9;

/// Least gain in kappa, or in [`information`], that is no accident.
const GAIN: f64 = 0.3;

/// Largest difference in kappa, or in [`information`], that may be an accident.
const ALMOST: f64 = 0.05;

/// Least share of an answer's images with its most frequent label, at which answers and labels are two names of one thing.
const RENAMED: f64 = 0.8;

/// Least number of images per answer at which that is no accident.
const PER_ANSWER: usize = 5;

/// An image and the answer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Name of the image.
    pub name: String,
    /// The top class.
    pub class: usize,
    /// Its probability.
    pub probability: f64,
    /// The image's label.
    pub label: Option<u32>,
}

/// A sign of wrong preprocessing or labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Doubt {
    /// Labels and answers agree hardly more often than by chance.
    Chance {
        /// Share of images whose label is the answer.
        accuracy: f64,
        /// The settings of a usual preprocessing that does clearly better.
        better: Option<String>,
    },
    /// Every answer stands for one label, but for another than its own.
    Renamed {
        /// Share of images whose label is the answer.
        accuracy: f64,
    },
    /// Nearly all images have one answer.
    Alike {
        /// The class.
        class: usize,
        /// The share.
        share: f64,
        /// The settings of a usual preprocessing under which it tells them apart with confidence.
        better: Option<String>,
    },
}

/// A classifier's answers to a few images.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Number of images.
    pub images: usize,
    /// Some of them.
    pub examples: Vec<Example>,
    /// The doubt, if anything looks wrong.
    pub doubt: Option<Doubt>,
}

/// A preview of a network that takes `macs` multiply-accumulates for an image; none where it is no classifier or cannot be run
/// here.
pub fn preview(network: Network, macs: u64, data: &BoundDataset, pool: &Pool, seed: u64) -> Option<Preview> {
    let images = ((SPENT / macs.max(1)) as usize).clamp(OF_LARGE, IMAGES);
    let list = Draw::new(seed, 5).subset(data.len(), images.min(data.len()));
    let rows = answers(network, data, &list, pool).ok()??;
    let top: Vec<usize> = rows.iter().map(|r| argmax(r)).collect();
    let label = |i: usize| data.labels().map(|l| l[i]);
    let shown = (0..SHOWN.min(list.len())).map(|k| k * list.len() / SHOWN.min(list.len()));
    let example = |k: usize| Example {
        name: data.name(list[k]),
        class: top[k],
        probability: probabilities(&rows[k])[top[k]],
        label: label(list[k]),
    };
    let examples = shown.map(example).collect();
    let labels: Option<Vec<usize>> = list.iter().map(|&i| Some(label(i)? as usize)).collect();
    let usual = |score: &dyn Fn(&[Vec<f32>]) -> f64| {
        let scored = data.usual(&list).into_iter().filter_map(|usual| {
            let all: Vec<usize> = (0..list.len()).collect();
            Some((usual.settings, score(&answers(network, &usual.data, &all, pool).ok()??)))
        });
        best(scored.collect())
    };
    let doubt = (list.len() >= FEWEST).then(|| match &labels {
        Some(labels) => doubted(labels, &top, || {
            let table =
                |rows: &[Vec<f32>]| Table::new(labels, &rows.iter().map(|r| argmax(r)).collect::<Vec<_>>());
            usual(&|rows| table(rows).kappa())
        }),
        None => alike(&top, || {
            let found = usual(&information);
            found.filter(|(_, told)| *told >= information(&rows) + GAIN).map(|(settings, _)| settings)
        }),
    });
    Some(Preview { images: list.len(), examples, doubt: doubt.flatten() })
}

/// The first of the candidates that hardly differ from the best: the most usual one.
fn best(scored: Vec<(String, f64)>) -> Option<(String, f64)> {
    let most = scored.iter().map(|(_, s)| *s).fold(f64::NEG_INFINITY, f64::max);
    scored.into_iter().find(|(_, score)| *score >= most - ALMOST)
}

/// Class scores by image; none where the network gives no class scores.
fn answers(
    network: Network,
    data: &BoundDataset,
    list: &[usize],
    pool: &Pool,
) -> Result<Option<Vec<Vec<f32>>>> {
    let graph = network.graph;
    let aims = Aims::compared(network, |_| true);
    // What stands before operators that cannot be run is no answer.
    let ends = |v: ValueId| {
        let read = |n: &Node| {
            n.inputs.first() == Some(&Some(v))
                && n.outputs.iter().flatten().any(|o| graph.outputs.contains(o))
        };
        graph.outputs.contains(&v) || graph.nodes.iter().any(read)
    };
    if !aims.classes || !aims.targets.iter().all(|&v| ends(v)) {
        return Ok(None);
    }
    let session = Session::plain(network, &aims, data, pool)?;
    let scores = |targets: Vec<Array<f32>>| targets[0].elements().to_vec();
    Ok(Some(session.outputs(list).into_iter().map(scores).collect()))
}

/// Probabilities of one image, from scores or from probabilities.
fn probabilities(row: &[f32]) -> Vec<f64> {
    let sum: f32 = row.iter().sum();
    match row.iter().all(|&p| p >= 0.0) && (sum - 1.0).abs() < 1e-3 {
        true => row.iter().map(|&p| f64::from(p)).collect(),
        false => loss::softmax(row),
    }
}

/// Mutual information of images and answers, as a share of its maximum: H(mean of p) − mean of H(p). High where answers differ
/// and each is sure.
fn information(rows: &[Vec<f32>]) -> f64 {
    let entropy = |p: &[f64]| p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum::<f64>();
    let all: Vec<Vec<f64>> = rows.iter().map(|r| probabilities(r)).collect();
    let (n, classes) = (all.len(), all.first().map_or(0, Vec::len));
    let mean: Vec<f64> = (0..classes).map(|c| all.iter().map(|p| p[c]).sum::<f64>() / n as f64).collect();
    let each = all.iter().map(|p| entropy(p)).sum::<f64>() / n.max(1) as f64;
    (entropy(&mean) - each) / (n.min(classes).max(2) as f64).ln()
}

fn doubted(labels: &[usize], top: &[usize], better: impl FnOnce() -> Option<(String, f64)>) -> Option<Doubt> {
    let table = Table::new(labels, top);
    let (accuracy, kappa) = (table.accuracy, table.kappa());
    if kappa >= CHANCE {
        return None;
    }
    if table.is_renamed() {
        return Some(Doubt::Renamed { accuracy });
    }
    let better = better().filter(|(_, other)| *other >= kappa + GAIN).map(|(settings, _)| settings);
    Some(Doubt::Chance { accuracy, better })
}

fn alike(top: &[usize], better: impl FnOnce() -> Option<String>) -> Option<Doubt> {
    let mut counts = BTreeMap::new();
    top.iter().for_each(|&class| *counts.entry(class).or_insert(0) += 1);
    let (&class, &n) = counts.iter().max_by_key(|&(_, n)| n)?;
    let share = f64::from(n) / top.len() as f64;
    (share >= ALIKE).then(|| Doubt::Alike { class, share, better: better() })
}

/// Counts of answers by label.
struct Table {
    accuracy: f64,
    /// Share of agreement if answers did not depend on labels.
    by_chance: f64,
    images: usize,
    counts: BTreeMap<usize, BTreeMap<usize, usize>>,
}

impl Table {
    fn new(labels: &[usize], top: &[usize]) -> Self {
        let n = labels.len().max(1) as f64;
        let mut counts: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for (&label, &answer) in labels.iter().zip(top) {
            *counts.entry(answer).or_default().entry(label).or_default() += 1;
        }
        let equal = |list: &[usize], class: usize| list.iter().filter(|&&c| c == class).count() as f64 / n;
        let by_chance = counts.keys().map(|&class| equal(labels, class) * equal(top, class)).sum();
        let accuracy = labels.iter().zip(top).filter(|(l, t)| l == t).count() as f64 / n;
        Self { accuracy, by_chance, images: labels.len(), counts }
    }

    /// 1 for full agreement, 0 for what chance gives.
    fn kappa(&self) -> f64 {
        match self.by_chance < 1.0 {
            true => (self.accuracy - self.by_chance) / (1.0 - self.by_chance),
            false => 1.0,
        }
    }

    fn is_renamed(&self) -> bool {
        let most: usize = self.counts.values().filter_map(|labels| labels.values().max()).sum();
        let pure = most as f64 >= RENAMED * self.images as f64;
        pure && self.counts.len() > 1 && self.images >= PER_ANSWER * self.counts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Option<(String, f64)> {
        None
    }

    #[test]
    fn agreement_that_chance_gives_is_doubted() {
        let labels: Vec<usize> = (0..60).map(|i| i % 10).collect();
        assert_eq!(doubted(&labels, &labels, none), None);
        let one = vec![3; 60];
        assert_eq!(doubted(&labels, &one, none), Some(Doubt::Chance { accuracy: 0.1, better: None }));
        // Nearly all images are of one class, and the network finds the others.
        let rare: Vec<usize> = (0..60).map(|i| usize::from(i % 20 == 0)).collect();
        assert_eq!(doubted(&rare, &rare, none), None);
        assert!(doubted(&rare, &[0; 60], none).is_some());
        // Of two classes half is chance.
        let two: Vec<usize> = (0..60).map(|i| i % 2).collect();
        let guessed: Vec<usize> = (0..60).map(|i| i / 2 % 2).collect();
        assert_eq!(doubted(&two, &guessed, none), Some(Doubt::Chance { accuracy: 0.5, better: None }));
        let single = [4; 60];
        assert_eq!(doubted(&single, &single, none), None);
    }

    #[test]
    fn other_numbers_of_the_classes_are_told_from_other_pictures() {
        let labels: Vec<usize> = (0..60).map(|i| i % 10).collect();
        let moved: Vec<usize> = labels.iter().map(|l| (l + 1) % 10).collect();
        assert_eq!(doubted(&labels, &moved, none), Some(Doubt::Renamed { accuracy: 0.0 }));
        // With an answer of its own for every image any labels would do.
        let own: Vec<usize> = (100..160).collect();
        assert_eq!(doubted(&labels, &own, none), Some(Doubt::Chance { accuracy: 0.0, better: None }));
    }

    #[test]
    fn a_preprocessing_that_does_clearly_better_is_named() {
        let labels: Vec<usize> = (0..60).map(|i| i % 10).collect();
        let found = |kappa| {
            let scored = [("a", kappa - 0.2), ("b", kappa - 0.01), ("c", kappa)];
            doubted(&labels, &[3; 60], || best(scored.map(|(flags, k)| (flags.to_owned(), k)).to_vec()))
        };
        assert_eq!(found(0.9), Some(Doubt::Chance { accuracy: 0.1, better: Some("b".into()) }));
        assert_eq!(found(0.1), Some(Doubt::Chance { accuracy: 0.1, better: None }));
    }

    #[test]
    fn one_answer_for_nearly_all_is_doubted() {
        let mut top = vec![7; 19];
        top.push(1);
        assert_eq!(alike(&top, || None), Some(Doubt::Alike { class: 7, share: 0.95, better: None }));
        assert_eq!(alike(&[7, 7, 1, 1], || None), None);
    }

    #[test]
    fn information_is_that_of_sure_and_different_answers() {
        let row = |c: usize, by: f32| (0..4).map(|k| if k == c { by } else { 0.0 }).collect::<Vec<f32>>();
        let of =
            |by: f32, classes: usize| information(&(0..40).map(|i| row(i % classes, by)).collect::<Vec<_>>());
        assert!((of(50.0, 4) - 1.0).abs() < 1e-6 && (of(50.0, 2) - 0.5).abs() < 1e-6);
        assert!(of(50.0, 1).abs() < 1e-6 && of(0.0, 4).abs() < 1e-6);
        // What is a probability already is not made one again.
        assert!((of(1.0, 4) - 1.0).abs() < 1e-6);
    }
}
