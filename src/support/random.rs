//! Reproducible random numbers.
//!
//! *Takes*: a seed and a stream number. *Gives*: draws that are equal on every machine, thread count and version (SplitMix64,
//! and only exactly rounded arithmetic on top of it). *Never*: secrets.

/// A short stream of random numbers that belongs to one (seed, stream) pair.
#[derive(Debug, Clone)]
pub struct Draw(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draw {
    /// The stream of a number, for a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(GOLDEN)) ^ stream.wrapping_mul(GOLDEN)))
    }

    /// The next 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "an endless stream, never iterated over")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..n` (0 if `n` is 0).
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Bell-shaped (four uniforms), mean 0, variance 1, within ±3.5.
    pub fn bell(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3f32.sqrt()
    }

    /// Brings `all` into a random order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }

    /// `k` different numbers below `n`, ascending.
    pub fn subset(&mut self, n: usize, k: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..k.min(n) {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(k);
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bell_has_zero_mean_and_unit_variance() {
        let mut draw = Draw::new(1, 2);
        let x: Vec<f32> = (0..40_000).map(|_| draw.bell()).collect();
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / x.len() as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut draw = Draw::new(0, 0);
        let mut seen = [0; 9];
        (0..900).for_each(|_| seen[draw.below(9)] += 1);
        assert!(seen.iter().all(|&n| n > 60), "{seen:?}");
    }

    #[test]
    fn subsets_are_distinct_and_every_element_gets_its_turn() {
        let mut seen = [0; 10];
        for seed in 0..500 {
            let s = Draw::new(seed, 0).subset(10, 4);
            assert!(s.len() == 4 && s.is_sorted_by(|a, b| a < b));
            s.iter().for_each(|&i| seen[i] += 1);
        }
        assert!(seen.iter().all(|n| (150..250).contains(n)), "{seen:?}");
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Draw::new(1, 0).next(), Draw::new(1, 1).next());
        assert_ne!(Draw::new(1, 0).next(), Draw::new(2, 0).next());
    }
}
