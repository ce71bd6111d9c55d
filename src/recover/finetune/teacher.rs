//! The unpruned network's answers. Where images are changed in few ways, each is asked for once and remembered.

use crate::learn::Session;
use crate::learn::calib::Augment;
use std::collections::HashMap;

/// Targets of one image.
pub(super) type Answer = Vec<Vec<f32>>;

/// Numbers in an answer, at the most, for it to be remembered.
const REMEMBERED: usize = 1024;

/// The unpruned network.
pub(super) struct Teacher<'a> {
    session: &'a Session<'a>,
    /// By image, and whether it was mirrored.
    known: HashMap<(usize, bool), Answer>,
}

impl<'a> Teacher<'a> {
    pub fn new(session: &'a Session<'a>) -> Self {
        Self { session, known: HashMap::new() }
    }

    /// Answers to images that are changed as `augment` says.
    pub fn answers(&mut self, images: &[usize], augment: Option<(&Augment, u64)>) -> Vec<Answer> {
        let key = |image: usize| match augment {
            Some((augment, seed)) => augment.mirrors(seed, image).map(|mirrored| (image, mirrored)),
            None => Some((image, false)),
        };
        let keys: Option<Vec<(usize, bool)>> = images.iter().map(|&i| key(i)).collect();
        let program = &self.session.program;
        let numbers: usize = (0..program.target_values.len())
            .map(|t| program.target_shape(t).iter().product::<usize>() / program.batch.max(1))
            .sum();
        let Some(keys) = keys.filter(|_| numbers <= REMEMBERED) else {
            return self.session.outputs_of(images, augment);
        };
        let new: Vec<usize> =
            images.iter().zip(&keys).filter(|(_, k)| !self.known.contains_key(k)).map(|(&i, _)| i).collect();
        for (image, answer) in new.iter().zip(self.session.outputs_of(&new, augment)) {
            self.known.extend(key(*image).map(|k| (k, answer)));
        }
        keys.iter().map(|k| self.known[k].clone()).collect()
    }
}
