//! The unpruned network's answers, remembered where they will be wanted again.

use super::Hint;
use crate::data::Augmentation;
use crate::gates::Session;
use crate::tensor::{Array, Elements};
use half::bf16;
use std::collections::HashMap;

/// Largest size of remembered answers, in bytes.
const REMEMBERED: usize = 512 << 20;

/// The unpruned network's values for one image.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// Judged targets.
    pub outputs: Vec<Array<f32>>,
    /// The hint; empty without one.
    pub hint: Vec<bf16>,
}

impl Answer {
    fn bytes(&self) -> usize {
        4 * self.outputs.iter().map(|y| y.len()).sum::<usize>() + 2 * self.hint.len()
    }
}

/// The unpruned network.
pub(super) struct Teacher<'a> {
    session: &'a Session<'a>,
    hint: Option<&'a Hint>,
    /// True if images come again.
    twice: bool,
    /// True if draws come again.
    again: bool,
    /// Answers by image and its change: mirrored or not where nothing else changes, else the number of the draw.
    known: HashMap<(usize, u64), Answer>,
}

impl<'a> Teacher<'a> {
    /// For a training of `epochs`, after `cycle` of which draws come again.
    pub fn new(session: &'a Session<'a>, hint: Option<&'a Hint>, epochs: usize, cycle: usize) -> Self {
        Self { session, hint, twice: epochs > 1, again: epochs > cycle, known: HashMap::new() }
    }

    /// Answers to images, changed by `augment` with the draws of a seed.
    pub fn answers(&mut self, images: &[usize], augment: Option<Augmentation>) -> Vec<Answer> {
        let key = |image: usize| match augment {
            Some(Augmentation { augment, seed }) => {
                let mirrored = augment.mirrors(seed, image).map(u64::from).filter(|_| self.twice);
                mirrored.or(self.again.then_some(seed)).map(|change| (image, change))
            }
            None => Some((image, 0)),
        };
        let Some(keys) = images.iter().map(|&i| key(i)).collect::<Option<Vec<_>>>() else {
            return self.ask(images, augment);
        };
        let unknown = |k: &(usize, u64)| !self.known.contains_key(k);
        let new: Vec<usize> = images.iter().zip(&keys).filter(|(_, k)| unknown(k)).map(|(&i, _)| i).collect();
        let asked = self.ask(&new, augment);
        // All of them or none: a mixture is one of its own batch.
        let bytes = asked.first().map_or(0, Answer::bytes);
        let room = (self.known.len() + asked.len()) * bytes <= REMEMBERED;
        let mut asked = asked.into_iter();
        let mut all = Vec::with_capacity(images.len());
        for k in keys {
            if let Some(answer) = self.known.get(&k) {
                all.push(answer.clone());
            } else if let Some(answer) = asked.next() {
                if room {
                    self.known.insert(k, answer.clone());
                }
                all.push(answer);
            }
        }
        all
    }

    fn ask(&self, images: &[usize], augment: Option<Augmentation>) -> Vec<Answer> {
        let answer = |mut outputs: Vec<Array<f32>>| {
            let watched = outputs.split_off(self.session.judged);
            let left = self.hint.zip(watched.first()).map(|(hint, whole)| hint.select(whole.elements()));
            Answer { outputs, hint: left.unwrap_or_default().into_iter().map(bf16::from_f32).collect() }
        };
        self.session.outputs_of(images, augment).into_iter().map(answer).collect()
    }
}
