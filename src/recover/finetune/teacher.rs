//! The unpruned network's answers. Those that will be wanted again are asked for once and remembered.

use super::Hint;
use crate::data::Augmentation;
use crate::gates::Session;
use crate::tensor::{Array, Elements};
use half::bf16;
use std::collections::HashMap;

/// Bytes of answers that are remembered, at the most.
const REMEMBERED: usize = 512 << 20;

/// What one image should give.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// Targets that are judged.
    pub outputs: Vec<Array<f32>>,
    /// The hint, or nothing.
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
    /// Whether draws come again.
    again: bool,
    /// By image, and how it was changed: whether it was mirrored where that is all, else the draw.
    known: HashMap<(usize, u64), Answer>,
}

impl<'a> Teacher<'a> {
    pub fn new(session: &'a Session<'a>, hint: Option<&'a Hint>, again: bool) -> Self {
        Self { session, hint, again, known: HashMap::new() }
    }

    /// Answers to images that are changed as `augment` says.
    pub fn answers(&mut self, images: &[usize], augment: Option<Augmentation>) -> Vec<Answer> {
        let key = |image: usize| match augment {
            Some(Augmentation { augment, seed }) => {
                let mirrored = augment.mirrors(seed, image).map(u64::from);
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
