//! Early stopping: more updates would hardly change the plan.

use super::ranking;

/// Number of images from one observation to the next.
const IMAGES: usize = 320;

/// Number of observations over which the median is taken.
const MEDIAN_OF: usize = 3;

/// Largest share of a settled plan's closed classes that the last observation still found open.
const CLOSED: f64 = 0.02;

/// Largest share of the pairs of a group's channels whose order has changed since the last observation, in a settled ranking.
const RANKED: f64 = 0.05;

/// Changes of the plan from observation to observation.
pub(super) struct EarlyStopping {
    kept: Vec<bool>,
    alpha: Vec<f64>,
    /// By observation: the shares to compare with [`CLOSED`] and [`RANKED`].
    changes: Vec<[f64; 2]>,
}

/// Updates from one observation to the next, of `batch_size` images each.
pub(super) fn every(batch_size: usize) -> usize {
    (IMAGES / batch_size.max(1)).max(1)
}

impl EarlyStopping {
    /// Nothing is closed yet, at these α.
    pub fn new(alpha: &[f64]) -> Self {
        Self { kept: vec![true; alpha.len()], alpha: alpha.to_vec(), changes: Vec::new() }
    }

    /// Observes the plan `kept` and its α; every group has gates. True if the plan has settled.
    pub fn observe(&mut self, kept: Vec<bool>, alpha: &[f64], groups: &[Vec<usize>]) -> bool {
        let fell = kept.iter().zip(&self.kept).filter(|(now, before)| !**now && **before).count();
        let closed = kept.iter().filter(|kept| !**kept).count();
        let distances = ranking::dissimilarities(&self.alpha, alpha, groups);
        let distance = distances.iter().sum::<f64>() / groups.len().max(1) as f64;
        self.changes.push([fell as f64 / closed.max(1) as f64, distance]);
        (self.kept, self.alpha) = (kept, alpha.to_vec());
        let Some(last) = self.changes.len().checked_sub(MEDIAN_OF).map(|at| &self.changes[at..]) else {
            return false;
        };
        [CLOSED, RANKED].iter().enumerate().all(|(k, limit)| {
            let mut of: Vec<f64> = last.iter().map(|c| c[k]).collect();
            of.sort_by(f64::total_cmp);
            of[MEDIAN_OF / 2] <= *limit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_stays_has_settled_and_one_that_moves_has_not() {
        let alpha: Vec<f64> = (0..40).map(f64::from).collect();
        let groups = [(0..40).collect::<Vec<_>>()];
        let plan = |from: usize| (0..40).map(|c| c < from || c >= from + 20).collect::<Vec<_>>();
        let mut still = EarlyStopping::new(&alpha);
        let settled: Vec<bool> = (0..4).map(|_| still.observe(plan(0), &alpha, &groups)).collect();
        // The first observation closes everything; two quiet ones of three are enough.
        assert_eq!(settled, [false, false, true, true]);
        let mut moving = EarlyStopping::new(&alpha);
        assert!((0..10).all(|k| !moving.observe(plan(2 * k), &alpha, &groups)));
    }

    #[test]
    fn a_ranking_that_turns_has_not_settled() {
        let groups = [(0..4).collect::<Vec<_>>()];
        let kept = vec![true, false, true, false];
        let [up, down] = [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]];
        let mut stopping = EarlyStopping::new(&up);
        assert!((0..10).all(|k| !stopping.observe(
            kept.clone(),
            if k % 2 == 0 { &down } else { &up },
            &groups
        )));
    }
}
