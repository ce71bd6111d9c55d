//! FusedMatMul: MatMul of operands with transposed axes, times α.
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedMatMul>

use super::family::carried::{Counted, Like};
use super::mat_mul;
use crate::graph::*;
#[cfg(test)]
use crate::tensor::DType;

#[derive(Debug)]
struct FusedMatMul {
    turns: [Turn; 2],
    product: Like,
}

/// Transposition of an operand's axes.
#[derive(Debug)]
struct Turn {
    /// The last two change places.
    last: bool,
    /// The first becomes the last but one, after the other axes of the stack.
    first: bool,
}

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    r.ignore(&["alpha"]);
    let turn = |last, first| -> Result<Turn, Refusal> {
        Ok(Turn { last: r.int_or(last, 0)? != 0, first: r.int_or(first, 0)? != 0 })
    };
    let turns = [turn("transA", "transBatchA")?, turn("transB", "transBatchB")?];
    let product = Like { op: mat_mul::read(r)?, slots: &[0, 1], dtype: |x| Ok(need(x, 0)?.dtype) };
    Ok(Box::new(FusedMatMul { turns, product }))
}

impl Turn {
    fn of(&self, fact: &Fact) -> Fact {
        let mut fact = fact.clone();
        // A vector has no axes to change places.
        if let Some(row) = fact.shape.len().checked_sub(2) {
            if self.first {
                fact.shape[..=row].rotate_left(1);
            }
            if self.last {
                fact.shape.swap(row, row + 1);
            }
        }
        fact
    }
}

impl FusedMatMul {
    /// Calls `f` with the transposed operands.
    fn turned<R>(&self, x: &Operands, f: impl FnOnce(&Operands) -> R) -> R {
        let facts: Vec<Option<Fact>> =
            x.iter().zip(&self.turns).map(|(o, turn)| o.map(|o| turn.of(o.fact))).collect();
        let operands: Vec<Option<Operand>> =
            facts.iter().zip(x).map(|(fact, o)| Some(Operand::new(fact.as_ref()?, (*o)?.value))).collect();
        f(&operands)
    }
}

impl Counted for FusedMatMul {
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        self.turned(x, |x| self.product.infer(x))
    }
    fn macs(&self, io: &Io) -> Vec<Product> {
        self.turned(io.x, |x| self.product.macs(&Io { x, y: io.y }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("FusedMatMul").domain("com.microsoft").named(name).float("alpha", 0.5);
    vec![
        Known {
            case: case("layer").int("transB", 1).inputs([data(&[2, 5, 3]), weight(&[4, 3])]),
            fact: Fact::new(DType::F32, [2, 5, 4]),
            macs: 2 * 5 * 3 * 4,
        },
        Known {
            case: case("rows in front of the stack")
                .int("transA", 1)
                .int("transBatchA", 1)
                .int("transBatchB", 1)
                .inputs([data(&[3, 2, 5]), data(&[3, 2, 4])]),
            fact: Fact::new(DType::F32, [2, 5, 4]),
            macs: 2 * 5 * 3 * 4,
        },
        Known {
            case: case("vector").int("transA", 1).int("transBatchA", 1).inputs([data(&[3]), weight(&[3, 4])]),
            fact: Fact::new(DType::F32, [4]),
            macs: 3 * 4,
        },
    ]
}
