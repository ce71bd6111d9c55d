//! Gelu: y = x·Φ(x), Φ the normal distribution, exact or by tanh. <https://onnx.ai/onnx/operators/onnx__Gelu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, FRAC_2_SQRT_PI};

#[derive(Debug, Clone)]
struct Gelu {
    approximate: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let approximate = r.string("approximate")?;
    match approximate.as_deref() {
        None | Some("none" | "tanh") => Ok(Box::new(Pointwise(Gelu { approximate }))),
        Some(other) => invalid(format!("approximate '{other}' is not defined")),
    }
}

/// tanh(√(2/π)·(x + 0.044715·x³))
fn tanh<T: Real>(x: T) -> T {
    (T::of(FRAC_2_PI.sqrt()) * x * (T::one() + T::of(0.044715) * x * x)).tanh()
}

impl Gelu {
    fn by_tanh(&self) -> bool {
        self.approximate.as_deref() == Some("tanh")
    }
}

impl PointwiseFn for Gelu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(8.0, 48.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("approximate", self.approximate.clone()).done()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        let t = if self.by_tanh() { tanh(x) } else { T::of(libm::erf(x.wide() * FRAC_1_SQRT_2)) };
        T::of(0.5) * x * (T::one() + t)
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        let (half, one) = (T::of(0.5), T::one());
        if self.by_tanh() {
            let t = tanh(x);
            let dt = T::of(FRAC_2_PI.sqrt()) * (one + T::of(3.0 * 0.044715) * x * x) * (one - t * t);
            half * (one + t) + half * x * dt
        } else {
            let t = T::of(libm::erf(x.wide() * FRAC_1_SQRT_2));
            let dt = T::of(FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * (-half * x * x).exp();
            half * (one + t) + half * x * dt
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("Gelu").named(name).opset(20).inputs([data(&[2, 3, 4])]).free(9);
    vec![
        case("plain"),
        case("tanh").string("approximate", "tanh"),
        case("none").string("approximate", "none"),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case = || Case::new("Gelu").opset(20).inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case().gives(&[-0.0040496885776, -0.158655256032, -0.10032341629, 0.0, 0.34573122859, 1.95449972152]);
        let tanh = case().string("approximate", "tanh");
        tanh.gives(&[-0.003637522459, -0.15880796313, -0.10032465308, 0.0, 0.345714002847, 1.95459771156]);
    }
}
