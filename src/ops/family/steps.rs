//! Family helper: steps that several forms have.

use crate::graph::*;
use crate::tensor::*;

/// One coordinate of `x` along an axis, which is kept with size 1.
pub fn coordinate(form: &mut Form, x: Term, axis: i64, at: i64) -> Term {
    let bounds = [("starts", at), ("ends", at + 1), ("axes", axis)];
    if form.opset < 10 {
        let write = |w: Writer, (name, n): (&str, i64)| w.put(name, vec![n]);
        return form.step("Slice", bounds.into_iter().fold(Writer::default(), write), &[x]);
    }
    let [starts, ends, axes] = bounds.map(|(_, n)| form.constant(Tensor::ints(&[n])));
    form.plain("Slice", &[x, starts, ends, axes])
}

/// max(x, 0) and min(x, 0); none before opset 8, where these do not broadcast.
pub fn sides_of_zero(form: &mut Form, x: Term) -> Option<[Term; 2]> {
    let zero = form.number(0.0);
    (form.opset >= 8).then(|| ["Max", "Min"].map(|op| form.plain(op, &[x, zero])))
}

/// eˣ − 1
pub fn exponential_less_one(form: &mut Form, x: Term) -> Term {
    let (one, power) = (form.number(1.0), form.plain("Exp", &[x]));
    form.plain("Sub", &[power, one])
}

/// xᵖ for positive x, in roots and products where p is a whole number of quarters.
pub fn power(form: &mut Form, x: Term, p: f64) -> Term {
    let quarters = p * 4.0;
    if quarters.fract() != 0.0 || !(1.0..=16.0).contains(&quarters) {
        let p = form.number(p);
        return form.plain("Pow", &[x, p]);
    }
    let quarters = quarters as usize;
    let mut factors = Vec::new();
    if !quarters.is_multiple_of(4) {
        let root = form.plain("Sqrt", &[x]);
        factors.extend((quarters & 2 != 0).then_some(root));
        if quarters & 1 != 0 {
            factors.push(form.plain("Sqrt", &[root]));
        }
    }
    factors.extend(std::iter::repeat_n(x, quarters / 4));
    let first = factors.remove(0);
    factors.into_iter().fold(first, |product, f| form.plain("Mul", &[product, f]))
}
