//! Losses: the task terms (cross-entropy, distillation, squared error) and the two terms of the paper on the gates.
//!
//! Every task term is a mean over the images of a batch; gradients are per element of one image's output.

/// ln Σ eˣ, without overflow.
fn log_sum_exp(x: &[f32]) -> f64 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + libm::log(x.iter().map(|v| libm::exp(f64::from(v - max))).sum())
}

/// Softmax of one row.
pub fn softmax(x: &[f32]) -> Vec<f64> {
    let norm = log_sum_exp(x);
    x.iter().map(|v| libm::exp(f64::from(*v) - norm)).collect()
}

/// −Σ p·log softmax(x), and its gradient softmax(x) − p times `weight` into `dx`.
pub fn cross_entropy(x: &[f32], p: &[f64], weight: f64, dx: &mut [f32]) -> f64 {
    let norm = log_sum_exp(x);
    let mut loss = 0.0;
    for ((x, p), dx) in x.iter().zip(p).zip(dx) {
        let log_q = f64::from(*x) - norm;
        loss -= p * log_q;
        *dx += (weight * (libm::exp(log_q) - p)) as f32;
    }
    loss * weight
}

/// One-hot with label smoothing: 1 − s + s/n at the label, s/n elsewhere.
pub fn one_hot(label: usize, classes: usize, smoothing: f64) -> Vec<f64> {
    let mut p = vec![smoothing / classes as f64; classes];
    p[label] += 1.0 - smoothing;
    p
}

/// T²·KL(teacher ‖ student) on logits divided by the temperature T (Hinton et al., arXiv 1503.02531), and its gradient times
/// `weight` into `dx`.
pub fn distil(x: &[f32], teacher: &[f32], temperature: f64, weight: f64, dx: &mut [f32]) -> f64 {
    let cool = |v: &[f32]| -> Vec<f32> { v.iter().map(|v| (f64::from(*v) / temperature) as f32).collect() };
    let p = softmax(&cool(teacher));
    let entropy: f64 = -p.iter().map(|&p| if p > 0.0 { p * libm::log(p) } else { 0.0 }).sum::<f64>();
    // d/dx of a function of x/T brings 1/T.
    let mut gradient = vec![0.0; x.len()];
    let weight = weight * temperature * temperature;
    let loss = cross_entropy(&cool(x), &p, weight, &mut gradient) - weight * entropy;
    dx.iter_mut().zip(gradient).for_each(|(d, g)| *d += (f64::from(g) / temperature) as f32);
    loss
}

/// mean (x − t)² / variance, and its gradient times `weight` into `dx`.
pub fn squared_error(x: &[f32], t: &[f32], variance: f64, weight: f64, dx: &mut [f32]) -> f64 {
    let scale = weight / (variance.max(1e-12) * x.len().max(1) as f64);
    let mut loss = 0.0;
    for ((x, t), dx) in x.iter().zip(t).zip(dx) {
        let d = f64::from(x - t);
        loss += scale * d * d;
        *dx += (2.0 * scale * d) as f32;
    }
    loss
}

/// The budget term of the paper: (F − T)/(F_max − T) above the target, 1 − F/T below. Returns the loss and dL/dF.
pub fn budget(soft: f64, target: f64, full: f64) -> (f64, f64) {
    if soft > target {
        let room = (full - target).max(1.0);
        ((soft - target) / room, 1.0 / room)
    } else {
        (1.0 - soft / target, -1.0 / target)
    }
}

/// The hardness term of the paper: mean over groups of the mean of |λ − round(λ)|. Adds `scale · dL/dλ` to `gradient`.
pub fn hardness(lambda: &[f64], groups: &[Vec<usize>], scale: f64, gradient: &mut [f64]) -> f64 {
    let mut loss = 0.0;
    for group in groups {
        let share = 1.0 / (groups.len() * group.len()) as f64;
        for &c in group {
            let d = lambda[c] - lambda[c].round();
            loss += share * d.abs();
            gradient[c] += scale * share * d.signum();
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(f: impl Fn(&[f32]) -> f64, x: &[f32], i: usize) -> f64 {
        let h = 1e-3f32;
        let mut moved = x.to_vec();
        moved[i] += h;
        let up = f(&moved);
        moved[i] = x[i] - h;
        (up - f(&moved)) / f64::from(2.0 * h)
    }

    #[test]
    fn gradients_are_differences() {
        let (x, t) = ([0.3f32, -1.2, 2.0, 0.1], [1.0f32, 0.2, -0.4, 0.9]);
        let p = one_hot(2, 4, 0.1);
        type Loss<'a> = &'a dyn Fn(&[f32], &mut [f32]) -> f64;
        let losses: [Loss; 4] = [
            &|x, dx| cross_entropy(x, &p, 0.7, dx),
            &|x, dx| distil(x, &t, 1.0, 0.7, dx),
            &|x, dx| distil(x, &t, 4.0, 0.7, dx),
            &|x, dx| squared_error(x, &t, 0.5, 0.7, dx),
        ];
        for loss in losses {
            let mut dx = [0.0; 4];
            loss(&x, &mut dx);
            for (i, found) in dx.into_iter().enumerate() {
                let expected = difference(|x| loss(x, &mut [0.0; 4]), &x, i);
                assert!((f64::from(found) - expected).abs() < 1e-3, "{i}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_student_equal_to_its_teacher_has_no_loss() {
        let x = [0.3f32, -1.2, 2.0];
        assert!(distil(&x, &x, 2.0, 1.0, &mut [0.0; 3]).abs() < 1e-9);
        assert_eq!(squared_error(&x, &x, 1.0, 1.0, &mut [0.0; 3]), 0.0);
    }

    #[test]
    fn the_budget_term_is_zero_at_the_target_and_pulls_towards_it() {
        assert_eq!(budget(50.0, 50.0, 100.0).0, 0.0);
        assert_eq!(budget(75.0, 50.0, 100.0), (0.5, 0.02));
        let (loss, slope) = budget(25.0, 50.0, 100.0);
        assert_eq!((loss, slope), (0.5, -0.02));
    }
}
