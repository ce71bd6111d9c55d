//! Family: y = a fold of x over some axes. Kept axes are tied to the result's; an axis that is summed over is read.

use super::broadcast::Runs;
use super::indexing::index_in;
use crate::graph::*;
use crate::tensor::*;

/// The function that a fold computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Σ x
    Sum,
    /// Σ x / n
    Mean,
    /// max x
    Max,
    /// min x
    Min,
    /// Π x
    Prod,
    /// Σ |x|
    L1,
    /// √Σ x²
    L2,
    /// Σ x²
    SumSquare,
    /// ln Σ x
    LogSum,
    /// ln Σ eˣ
    LogSumExp,
}

impl Fold {
    /// Why an axis of `x` must stay whole; `None` where a zero is as good as absent (in a mean: up to a factor).
    fn needs(self, x: &Operand) -> Option<&'static str> {
        match self {
            Self::Sum | Self::L1 | Self::L2 | Self::SumSquare | Self::LogSum => None,
            Self::Mean if x.fact.dtype.is_float() => None,
            Self::Mean => Some("averages integers over this axis"),
            Self::Max if x.is_never_negative() => None,
            Self::Max => Some("takes the maximum over this axis, of values that may be negative"),
            Self::Min => Some("takes the minimum over this axis"),
            Self::Prod => Some("multiplies along this axis"),
            Self::LogSumExp => Some("sums exponentials over this axis"),
        }
    }

    /// True where the fold of one element is that element.
    fn keeps_one(self) -> bool {
        !matches!(self, Self::L1 | Self::L2 | Self::SumSquare | Self::LogSum)
    }

    fn start<T: Real>(self) -> T {
        match self {
            Self::Max => T::neg_infinity(),
            Self::Min => T::infinity(),
            Self::Prod => T::one(),
            _ => T::zero(),
        }
    }
}

/// A fold with its attributes.
#[derive(Debug)]
pub struct Reduce {
    fold: Fold,
    axes: Option<Vec<i64>>,
    keepdims: Option<i64>,
    noop_with_empty_axes: Option<i64>,
    axes_input: bool,
}

/// A fold over given axes.
#[derive(Debug)]
struct Bound {
    fold: Fold,
    /// Runs of the result, which is broadcast along the folded axes, in the operand.
    result: Runs<1>,
    /// True for truth values, whose largest is 1.
    is_bool: bool,
}

/// Reads a reduction whose axes are an input from opset `since` on.
pub fn read(r: &Reader, fold: Fold, since: i64) -> Result<Box<dyn Op>, Refusal> {
    let axes_input = r.opset >= since;
    let reduce = Reduce {
        fold,
        axes: if axes_input { None } else { r.ints("axes")? },
        keepdims: r.int("keepdims")?,
        noop_with_empty_axes: if axes_input { r.int("noop_with_empty_axes")? } else { None },
        axes_input,
    };
    Ok(Box::new(reduce))
}

/// `axis` of a tensor of rank `rank`, counted from the end where it is negative.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize, Refusal> {
    index_in(axis, rank).map_or_else(|| invalid(format!("axis {axis} of a tensor of rank {rank}")), Ok)
}

/// Ties every axis of input 0 to its axis of output 0, except the axes in `whole`, which stay whole because of `why`.
pub fn tie_others(io: &Io, whole: impl Fn(usize) -> bool, why: &str, link: &mut dyn Couplings) {
    for axis in 0..io.output(0).len() {
        if whole(axis) {
            link.freeze(input(0, axis), why);
            link.freeze(output(0, axis), why);
        } else {
            link.tie_axes(input(0, axis), output(0, axis));
        }
    }
}

/// `Σ f(x)`, in a fixed order.
#[inline(always)]
pub fn sum<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::zero(); 8];
    let chunks = x.chunks_exact(8);
    let rest = chunks.remainder().iter().fold(T::zero(), |s, &x| s + f(x));
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.into_iter().sum::<T>() + rest
}

impl Reduce {
    /// The axes to fold, for an input of rank `rank` and the value of the axes input.
    fn folded(&self, rank: usize, given: Option<Vec<i64>>) -> Result<Vec<bool>, Refusal> {
        let axes = if self.axes_input { given } else { self.axes.clone() }.unwrap_or_default();
        if axes.is_empty() {
            let noop = self.noop_with_empty_axes.unwrap_or(0) != 0;
            if noop && !self.fold.keeps_one() {
                return unsupported("noop_with_empty_axes=1 without axes (runtimes disagree on it)");
            }
            return Ok(vec![!noop; rank]);
        }
        let mut folded = vec![false; rank];
        for a in axes {
            let a = axis_of(a, rank)?;
            if folded[a] {
                return invalid(format!("axis {a} is reduced twice"));
            }
            folded[a] = true;
        }
        Ok(folded)
    }

    fn keeps(&self) -> bool {
        self.keepdims.unwrap_or(1) != 0
    }

    /// The axes to fold, for a node's operands.
    fn folded_of(&self, x: &Operands) -> Result<Vec<bool>, Refusal> {
        let rank = need(x, 0)?.shape.len();
        match x.get(1).copied().flatten() {
            Some(_) if !self.axes_input => invalid("axes are an attribute in this opset, not an input"),
            Some(Operand { value: None, .. }) => {
                unsupported("axes that depend on the network's input values")
            }
            Some(Operand { value: Some(v), .. }) => self.folded(rank, Some(v.to_ints())),
            None => self.folded(rank, None),
        }
    }
}

impl Hints for Reduce {
    fn averages(&self) -> bool {
        self.fold == Fold::Mean
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        match self.fold {
            Fold::Max => Instructions::counted(1.0, 10.0),
            Fold::LogSumExp => Instructions::counted(8.0, 135.0),
            _ => Instructions::PASS,
        }
    }
    fn never_negative(&self, x: &Operands) -> bool {
        match self.fold {
            Fold::L1 | Fold::L2 | Fold::SumSquare => true,
            Fold::LogSum | Fold::LogSumExp => false,
            _ => x[0].is_some_and(|x| x.is_never_negative()),
        }
    }
}

impl Op for Reduce {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("axes", self.axes.clone())
            .maybe("keepdims", self.keepdims)
            .maybe("noop_with_empty_axes", self.noop_with_empty_axes)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let folded = self.folded_of(x)?;
        let empty = fact.shape.iter().zip(&folded).any(|(&size, &f)| f && size == 0);
        if empty && self.fold == Fold::Mean {
            return unsupported("a mean over nothing");
        }
        let kept = fact.shape.iter().zip(&folded).filter_map(|(&size, &f)| match f {
            true => self.keeps().then_some(1),
            false => Some(size),
        });
        Ok(vec![Fact::new(fact.dtype, kept.collect::<Shape>())])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let fact = need(io.x, 0)?;
        let folded = self.folded_of(io.x)?;
        let ones: Shape = fact.shape.iter().zip(folded).map(|(&size, f)| if f { 1 } else { size }).collect();
        let result = Runs::new([&ones], &fact.shape);
        Ok(Box::new(Bound { fold: self.fold, result, is_bool: fact.dtype == DType::Bool }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(operand) = io.x.first().copied().flatten() else { return };
        let x = &operand.fact.shape;
        let Ok(folded) = self.folded(x.len(), io.value(1).map(Tensor::to_ints)) else { return };
        let mut result = 0;
        for (axis, &size) in x.iter().enumerate() {
            if !folded[axis] {
                link.tie_axes(input(0, axis), output(0, result));
                result += 1;
                continue;
            }
            result += usize::from(self.keeps());
            match self.fold.needs(&operand) {
                Some(why) => link.freeze(input(0, axis), why),
                None => {
                    (0..size).for_each(|i| link.free(input(0, axis), i));
                    link.contracts(input(0, axis));
                }
            }
        }
        if let Some([n]) = io.input(1) {
            (0..*n).for_each(|i| link.free(input(1, 0), i));
        }
    }

    fn cost(&self, io: &Io) -> Work {
        // Over all pixels of a picture it is a global average pool.
        let Some(x) = io.input(0).filter(|_| self.fold == Fold::Mean) else { return Work::Free };
        match self.folded(x.len(), io.value(1).map(Tensor::to_ints)).as_deref() {
            Ok([false, false, true, true]) => {
                Work::Other(super::pool::averaging(volume(&x[2..]), io.output(0)))
            }
            _ => Work::Free,
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let Some(x) = io.input(0).filter(|_| self.fold == Fold::Mean) else { return Ok(Resized::UNCHANGED) };
        let folded = self.folded(x.len(), io.value(1).map(Tensor::to_ints))?;
        let left = |axis: usize| Some(keep.kept(input(0, axis))?.len() as f64 / x[axis] as f64);
        let share: f64 = (0..x.len()).filter(|&axis| folded[axis]).filter_map(left).product();
        Ok(Resized { factor: (share != 1.0).then_some(share), ..Resized::UNCHANGED })
    }
}

impl Bound {
    /// `acc[position in the result] = f(acc, x)` for each element x of the operand; `rows` takes a row of them that goes into one
    /// result.
    #[inline(always)]
    fn accumulate<T: Real>(
        &self,
        x: &[T],
        acc: &mut [T],
        rows: impl Fn(T, &[T]) -> T,
        f: impl Fn(T, T) -> T,
    ) {
        self.result.each(|o, [i], n, [p]| {
            let x = &x[o..o + n];
            match p {
                0 => acc[i] = rows(acc[i], x),
                1 => acc[i..i + n].iter_mut().zip(x).for_each(|(a, &x)| *a = f(*a, x)),
                _ => x.iter().enumerate().for_each(|(k, &x)| acc[i + k * p] = f(acc[i + k * p], x)),
            }
        });
    }

    /// `acc += Σ f(x)` for each element of the result.
    #[inline(always)]
    fn add_up<T: Real>(&self, x: &[T], acc: &mut [T], f: impl Fn(T) -> T) {
        self.accumulate(x, acc, |a, row| a + sum(row, &f), |a, x| a + f(x));
    }

    /// `acc = f(acc, x)`, one after the other, for each element of the result.
    #[inline(always)]
    fn in_turn<T: Real>(&self, x: &[T], acc: &mut [T], f: impl Fn(T, T) -> T) {
        let row = |acc: T, row: &[T]| row.iter().fold(acc, |acc, &x| f(acc, x));
        self.accumulate(x, acc, row, &f);
    }

    /// Calls `f(x, position in the result)` for each element x of the operand.
    #[inline(always)]
    fn each<T: Real>(&self, x: &[T], mut f: impl FnMut(T, usize)) {
        self.result.each(|o, [i], n, [p]| {
            x[o..o + n].iter().enumerate().for_each(|(k, &x)| f(x, i + k * p));
        });
    }

    /// y of an operand without elements.
    fn fold_nothing<T: Real>(&self, y: &mut [T]) {
        y.fill(match self.fold {
            Fold::LogSum | Fold::LogSumExp => T::neg_infinity(),
            Fold::Max if self.is_bool => T::zero(),
            Fold::Min if self.is_bool => T::one(),
            fold => fold.start(),
        });
    }

    /// y = ln Σ eˣ, without overflow.
    fn log_sum_exp<T: Real>(&self, x: &[T], y: &mut [T]) {
        y.fill(T::neg_infinity());
        self.in_turn(x, y, T::max);
        let mut total = vec![T::zero(); y.len()];
        self.each(x, |x, o| total[o] += (x - y[o]).exp());
        y.iter_mut().zip(total).for_each(|(y, s)| *y += s.ln());
    }

    /// `dx += dy·∂y/∂x`
    fn gradient<T: Real>(&self, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
        // dx += dy·g(x, position in the result)
        let mut spread = |g: &mut dyn FnMut(T, usize) -> T| {
            self.result.each(|o, [i], n, [p]| {
                for (k, (dx, &x)) in dx[o..o + n].iter_mut().zip(&x[o..o + n]).enumerate() {
                    *dx += dy[i + k * p] * g(x, i + k * p);
                }
            });
        };
        let zero = T::zero();
        match self.fold {
            Fold::Sum => spread(&mut |_, _| T::one()),
            Fold::Mean => {
                let share = T::of(y.len() as f64 / x.len() as f64);
                spread(&mut |_, _| share);
            }
            Fold::L1 => spread(&mut |x, _| if x == zero { zero } else { x.signum() }),
            Fold::L2 => spread(&mut |x, o| if y[o] == zero { zero } else { x / y[o] }),
            Fold::SumSquare => spread(&mut |x, _| x + x),
            Fold::LogSum => spread(&mut |_, o| (-y[o]).exp()),
            Fold::LogSumExp => spread(&mut |x, o| (x - y[o]).exp()),
            Fold::Max | Fold::Min => {
                // To the first that equals the result.
                let mut taken = vec![false; y.len()];
                spread(&mut |x, o| {
                    let first = x == y[o] && !taken[o];
                    taken[o] |= first;
                    if first { T::one() } else { zero }
                });
            }
            Fold::Prod => {
                // The product of the others: that of the nonzero ones, unless another one is zero.
                let mut nonzero = vec![T::one(); y.len()];
                let mut zeros = vec![0usize; y.len()];
                self.each(x, |x, o| match x == zero {
                    true => zeros[o] += 1,
                    false => nonzero[o] *= x,
                });
                spread(&mut |x, o| match (x == zero, zeros[o]) {
                    (false, 0) => nonzero[o] / x,
                    (true, 1) => nonzero[o],
                    _ => zero,
                });
            }
        }
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (x, y) = (present(x, 0).elements(), y[0].elements_mut());
        if x.is_empty() {
            return self.fold_nothing(y);
        }
        y.fill(self.fold.start());
        match self.fold {
            Fold::Sum | Fold::Mean | Fold::LogSum => self.add_up(x, y, |x| x),
            Fold::L1 => self.add_up(x, y, T::abs),
            Fold::L2 | Fold::SumSquare => self.add_up(x, y, |x| x * x),
            Fold::Max => self.in_turn(x, y, T::max),
            Fold::Min => self.in_turn(x, y, T::min),
            Fold::Prod => self.in_turn(x, y, |a, b| a * b),
            Fold::LogSumExp => self.log_sum_exp(x, y),
        }
        match self.fold {
            Fold::Mean => {
                let share = T::of(y.len() as f64 / x.len() as f64);
                y.iter_mut().for_each(|y| *y *= share);
            }
            Fold::L2 => y.iter_mut().for_each(|y| *y = y.sqrt()),
            Fold::LogSum => y.iter_mut().for_each(|y| *y = y.ln()),
            _ => {}
        }
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        if let Some(dx) = wanted(dx, 0) {
            self.gradient(present(x, 0).elements(), y[0].elements(), dy[0].elements(), dx.elements_mut());
        }
    }
}

/// Cases of a reduction whose axes are an input from opset `since` on; `read` where a summed axis is free.
#[cfg(test)]
pub fn cases(op: &'static str, since: i64, reads: bool) -> Vec<crate::ops::laws::Case> {
    use crate::ops::laws::{Case, ints, positive};
    let case = |name| Case::new(op).named(name).opset(since);
    let free = |kept: usize, folded: usize| if reads { kept + folded } else { kept };
    vec![
        case("attribute")
            .opset(since - 1)
            .ints("axes", &[2, -1])
            .int("keepdims", 1)
            .inputs([positive(&[2, 3, 2, 4])])
            .free(free(5, 6)),
        case("attribute, channels")
            .opset(since - 1)
            .ints("axes", &[1])
            .int("keepdims", 0)
            .inputs([positive(&[2, 3, 4])])
            .free(free(6, 3)),
        case("input").inputs([positive(&[2, 3, 9]), ints(&[-1])]).free(free(5, 9)),
        case("input, both ends")
            .int("keepdims", 0)
            .inputs([positive(&[2, 3, 4]), ints(&[0, 2])])
            .free(free(3, 6)),
        case("everything").inputs([positive(&[2, 3])]).free(free(0, 5)),
        case("everything, empty axes")
            .int("noop_with_empty_axes", 0)
            .inputs([positive(&[2, 3]), ints(&[])])
            .free(free(0, 5)),
    ]
}
