//! Mod: the remainder of a divided by b, with the sign of b, or (fmod) of a.
//! <https://onnx.ai/onnx/operators/onnx__Mod.html>

use super::family::binary::{Binary, BinaryFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Mod {
    fmod: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(Mod { fmod: r.int("fmod")? })))
}

impl BinaryFn for Mod {
    const ABSORBS: bool = false;
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("fmod", self.fmod).done()
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        let left = a % b;
        let other_sign = left != T::zero() && (left < T::zero()) != (b < T::zero());
        if other_sign && self.fmod.unwrap_or(0) == 0 { left + b } else { left }
    }
    fn da<T: Real>(&self, _: T, _: T, _: T) -> T {
        T::one()
    }
    fn db<T: Real>(&self, a: T, b: T, y: T) -> T {
        // a = q·b + y
        -((a - y) / b).round()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, positive_weight};
    let case =
        |name| Case::new("Mod").named(name).inputs([data(&[2, 3, 4]), positive_weight(&[3, 1])]).free(9);
    vec![case("sign of b"), case("sign of a").int("fmod", 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_as_the_standard_says() {
        // numpy 2: np.mod and np.fmod, which the standard names as the definitions.
        let (a, b) = ([-4.0, 7.0, 5.0, 4.0, -7.0, 8.0], [2.0, -3.0, 8.0, -2.0, 3.0, 5.0]);
        let of = |fmod| -> Vec<f64> { a.iter().zip(&b).map(|(&a, &b)| Mod { fmod }.f(a, b)).collect() };
        assert_eq!(of(None), [0.0, -2.0, 5.0, 0.0, 2.0, 3.0]);
        assert_eq!(of(Some(1)), [0.0, 1.0, 5.0, 0.0, -1.0, 3.0]);
    }
}
