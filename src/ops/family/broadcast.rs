//! Family: y = f(a, b, …) element by element with numpy broadcasting.
//!
//! Axes of equal size are tied. Where an operand has size 1 and the result more, the operand's one coordinate serves
//! all and must stay. <https://onnx.ai/onnx/repo-docs/Broadcasting.html>

use crate::graph::*;
use crate::tensor::*;

/// Result shape of broadcasting, or why there is none.
pub fn shape_of(shapes: &[&[usize]]) -> Result<Shape, Refusal> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut y = vec![1; rank];
    for s in shapes {
        for (axis, &size) in s.iter().enumerate() {
            let y = &mut y[rank - s.len() + axis];
            if *y == 1 {
                *y = size;
            } else if size != 1 && size != *y {
                return invalid(format!("shapes {shapes:?} do not broadcast"));
            }
        }
    }
    Ok(y)
}

/// Facts of a broadcasting operator: the type of its first operand and the common shape.
pub fn infer(x: &Operands) -> Result<Vec<Fact>, Refusal> {
    let first = need(x, 0)?.dtype;
    let shapes: Vec<&[usize]> = x.iter().flatten().map(|o| o.fact.shape.as_slice()).collect();
    Ok(vec![Fact::new(first, shape_of(&shapes)?)])
}

/// Facts of a broadcasting operator of two operands.
pub fn infer_two(x: &Operands) -> Result<Vec<Fact>, Refusal> {
    need(x, 1)?;
    match x.len() {
        2 => infer(x),
        n => invalid(format!("{n} operands, of which it takes 2")),
    }
}

/// States the ties of a broadcasting operator. With `absorbs`, zero is neutral for every operand (Add).
pub fn channels(io: &Io, link: &mut dyn Couplings, absorbs: bool) {
    for slot in 0..io.inputs() {
        channels_of(io, slot, link);
        let Some(x) = io.input(slot).filter(|_| absorbs) else { continue };
        let y = io.output(0);
        for (axis, &size) in x.iter().enumerate() {
            if size > 1 && size == y[y.len() - x.len() + axis] {
                link.zero_is_neutral(input(slot, axis));
            }
        }
    }
}

/// States the ties of one operand of a broadcasting operator; nothing where it is absent.
pub fn channels_of(io: &Io, slot: usize, link: &mut dyn Couplings) {
    let (Some(x), y) = (io.input(slot), io.output(0)) else { return };
    for (axis, &size) in x.iter().enumerate() {
        let result = y.len() - x.len() + axis;
        if size == y[result] {
            link.tie_axes(input(slot, axis), output(0, result));
        } else {
            link.freeze(input(slot, axis), "is broadcast along this axis");
        }
    }
}

/// For an operand of shape `x` in a result of shape `y`: the operand's element for each result element, as
/// strides per result axis (0 where it is broadcast).
pub fn strides(x: &[usize], y: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; y.len()];
    let mut step = 1;
    for axis in (0..x.len()).rev() {
        if x[axis] != 1 {
            strides[y.len() - x.len() + axis] = step;
        }
        step *= x[axis];
    }
    strides
}

/// Calls `f(result start, operand starts, run length, operand steps)` for each run along the last axis of the result.
pub fn runs<const N: usize>(
    shapes: [&[usize]; N],
    y: &[usize],
    mut f: impl FnMut(usize, [usize; N], usize, [usize; N]),
) {
    if volume(y) == 0 {
        return;
    }
    let all = shapes.map(|s| strides(s, y));
    // Fold trailing axes along which every operand is either whole or broadcast into one long run.
    let mut run = 1;
    let mut steps = [0; N];
    let mut rank = y.len();
    while rank > 0 {
        let axis = rank - 1;
        let fits = |k: usize| {
            let s = all[k][axis];
            if run == 1 { true } else { s == steps[k] * run }
        };
        if y[axis] != 1 {
            if !(0..N).all(fits) {
                break;
            }
            if run == 1 {
                for k in 0..N {
                    steps[k] = all[k][axis];
                }
            }
            run *= y[axis];
        }
        rank -= 1;
    }
    let outer = volume(&y[..rank]);
    let mut index = vec![0; rank];
    let mut starts = [0; N];
    for o in 0..outer {
        f(o * run, starts, run, steps);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            for k in 0..N {
                starts[k] += all[k][axis];
            }
            if index[axis] < y[axis] {
                break;
            }
            for k in 0..N {
                starts[k] -= all[k][axis] * y[axis];
            }
            index[axis] = 0;
        }
    }
}

/// `y = f(a, b)`.
pub fn map2<T: Real>(a: &Array<T>, b: &Array<T>, y: &mut Array<T>, f: impl Fn(T, T) -> T) {
    let shape = y.shape.clone();
    runs([&a.shape, &b.shape], &shape, |o, [i, j], n, [p, q]| {
        let y = &mut y.data[o..o + n];
        match (p, q) {
            (1, 1) => {
                for ((y, &a), &b) in y.iter_mut().zip(&a.data[i..i + n]).zip(&b.data[j..j + n]) {
                    *y = f(a, b);
                }
            }
            (1, 0) => y.iter_mut().zip(&a.data[i..i + n]).for_each(|(y, &a)| *y = f(a, b.data[j])),
            (0, 1) => y.iter_mut().zip(&b.data[j..j + n]).for_each(|(y, &b)| *y = f(a.data[i], b)),
            _ => y.iter_mut().enumerate().for_each(|(k, y)| *y = f(a.data[i + k * p], b.data[j + k * q])),
        }
    });
}

/// `dx += Σ g` over the elements that `x` was broadcast to; `g(result position)` is the gradient there.
pub fn reduce_into<T: Real>(dx: &mut Array<T>, y: &[usize], mut g: impl FnMut(usize) -> T) {
    let shape = dx.shape.clone();
    runs([&shape], y, |o, [i], n, [p]| {
        if p == 0 {
            let mut sum = T::zero();
            (0..n).for_each(|k| sum += g(o + k));
            dx.data[i] += sum;
        } else {
            dx.data[i..i + (n - 1) * p + 1]
                .iter_mut()
                .step_by(p)
                .enumerate()
                .for_each(|(k, d)| *d += g(o + k));
        }
    });
}

/// Position in operand `x` of each element of the result, for operators whose derivative needs the operands.
pub fn positions(x: &[usize], y: &[usize]) -> Vec<usize> {
    let mut at = vec![0; volume(y)];
    runs([x], y, |o, [i], n, [p]| at[o..o + n].iter_mut().enumerate().for_each(|(k, a)| *a = i + k * p));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_definition() {
        for (x, y) in [
            (vec![3, 1], vec![2, 3, 4]),
            (vec![2, 1, 4], vec![2, 3, 4]),
            (vec![1, 3, 1, 1], vec![2, 3, 2, 2]),
            (vec![], vec![2, 3]),
            (vec![2, 3], vec![2, 3]),
            (vec![2, 1, 1, 3], vec![2, 2, 2, 3]),
        ] {
            let s = strides(&x, &y);
            let expected: Vec<usize> = (0..volume(&y))
                .map(|mut i| {
                    let mut at = 0;
                    for axis in (0..y.len()).rev() {
                        at += i % y[axis] * s[axis];
                        i /= y[axis];
                    }
                    at
                })
                .collect();
            assert_eq!(positions(&x, &y), expected, "{x:?} in {y:?}");
        }
    }
}
