//! Transpose: the axes in another order. <https://onnx.ai/onnx/operators/onnx__Transpose.html>

use super::family::indexing::axes_in;
use super::family::view::{Movement, View, ViewFn, along, identity};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Transpose {
    perm: Option<Vec<i64>>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Transpose { perm: r.ints("perm")? })))
}

impl Transpose {
    fn perm(&self, rank: usize) -> Result<Vec<usize>, Refusal> {
        match &self.perm {
            Some(perm) if perm.len() != rank || perm.iter().any(|&p| p < 0) => {
                invalid(format!("perm {perm:?} does not order {rank} axes"))
            }
            Some(perm) => axes_in(perm, rank),
            None => Ok((0..rank).rev().collect()),
        }
    }
}

impl ViewFn for Transpose {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("perm", self.perm.clone()).done()
    }
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        // Whatever stays in its rows is copied in one piece.
        let last = |perm: &Vec<i64>| perm.last().is_some_and(|&last| last + 1 == perm.len() as i64);
        if self.perm.as_ref().is_some_and(last) {
            Instructions::PASS
        } else {
            Instructions::counted(5.0, 4.0)
        }
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let x = need(x, 0)?;
        let y: Shape = self.perm(x.shape.len())?.into_iter().map(|axis| x.shape[axis]).collect();
        Ok(vec![Fact::new(x.dtype, y)])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(perm) = self.perm(io.output(0).len()) else { return };
        perm.into_iter().enumerate().for_each(|(to, axis)| link.tie_axes(input(0, axis), output(0, to)));
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let mut tables = identity(x);
        let perm = self.perm(x.len())?;
        Ok(along(perm.into_iter().map(|axis| std::mem::take(&mut tables[axis])).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name, perm: &[i64]| {
        Case::new("Transpose").named(name).ints("perm", perm).inputs([data(&[2, 3, 4, 5])]).free(14)
    };
    vec![
        Case::new("Transpose").inputs([data(&[2, 3, 4])]).free(9),
        case("channels last", &[0, 2, 3, 1]),
        case("inner", &[0, 2, 1, 3]),
        case("identity", &[0, 1, 2, 3]),
    ]
}
