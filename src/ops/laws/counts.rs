//! Law 5: the multiply-accumulates in an operator's definition, counted one by one.
//!
//! Takes: a case, the shapes of its operands and results. Gives: their number. Never: asks the operator.
//!
//! A tap counts wherever its window stands: beyond the edges, too. Biases, peepholes, factors and sums without products do not.

use super::Case;
use crate::graph::*;

/// Multiply-accumulates of a case; an operator that is not named here has none.
pub fn products(case: &Case, io: &Io) -> usize {
    let int = |name: &str, default: usize| match case.attributes.get(name) {
        Some(Attr::Int(value)) => *value as usize,
        _ => default,
    };
    let x = |slot: usize| io.input(slot).unwrap_or_default();
    let y = io.output(0);
    match case.op {
        "Conv" => convolution(int("group", 1), x(0), x(1), y),
        // The gradient of a convolution by its input: its products, the other way round.
        "ConvTranspose" => convolution(int("group", 1), y, x(1), x(0)),
        "Einsum" => match case.attributes.get("equation") {
            Some(Attr::Str(equation)) => einsum(equation, x(0), x(1)),
            _ => 0,
        },
        "GRU" | "LSTM" | "RNN" => recurrent(x(0), x(1), x(2)),
        "Gemm" => {
            let a = if int("transA", 0) == 0 { "mk" } else { "km" };
            let b = if int("transB", 0) == 0 { "kn" } else { "nk" };
            meetings((a, x(0)), (b, x(1)))
        }
        "MatMul" => mat_mul(x(0), y),
        _ => 0,
    }
}

/// y[n, o, p] = Σ w[o, c, t] · x[n, c, p + t] over the channels c of o's group, and the taps t.
fn convolution(group: usize, x: &[usize], w: &[usize], y: &[usize]) -> usize {
    let mates = |o: usize| (0..x[1]).filter(|c| c * group / x[1] == o * group / y[1]).count();
    let taps = places(&w[2..]).len();
    places(y).iter().map(|at| mates(at[1]) * taps).sum()
}

/// y = Σ a · b over the letters that y lacks. Of one operand there are sums only.
fn einsum(equation: &str, a: &[usize], b: &[usize]) -> usize {
    let operands = equation.split("->").next().unwrap_or_default().replace(' ', "");
    operands.split_once(',').map_or(0, |(left, right)| meetings((left, a), (right, b)))
}

/// Number of pairs of elements of a and b that have equal coordinates on axes of equal letters.
fn meetings(a: (&str, &[usize]), b: (&str, &[usize])) -> usize {
    let meet = |i: &[usize], j: &[usize]| {
        a.0.chars().zip(i).all(|(c, i)| b.0.chars().zip(j).all(|(d, j)| c != d || i == j))
    };
    let others = places(b.1);
    places(a.1).iter().map(|i| others.iter().filter(|j| meet(i, j)).count()).sum()
}

/// y[…, m, n] = Σ a[…, m, k] · b[…, k, n] over k, whatever is broadcast.
fn mat_mul(a: &[usize], y: &[usize]) -> usize {
    places(y).len() * a[a.len() - 1]
}

/// At every step of every image, each row of W times the features, and each row of R times the hidden units.
fn recurrent(x: &[usize], w: &[usize], r: &[usize]) -> usize {
    places(&x[..2]).len() * (places(w).len() + places(r).len())
}

/// All places in a shape.
fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |places: Vec<Vec<usize>>, &size| {
        places.iter().flat_map(|at| (0..size).map(move |i| [&at[..], &[i]].concat())).collect()
    })
}
