//! Family: operators that are never run here. All their operands and results are frozen. Of some the results' shapes and
//! multiply-accumulates are known; of the others, and of unknown forms, the file declares the shapes.

use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// Why an operator on integers is not run: runtimes round in different ways.
pub const INTEGERS: &str = "computes with integers";
/// Why one of onnxruntime's own operators is not run.
pub const FUSED: &str = "is fused by onnxruntime";

/// Shapes and multiply-accumulates that are known of an operator that is not run.
pub trait Counted: Debug + Send + Sync {
    /// As [`Op::infer`].
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal>;
    /// Multiply-accumulates, as [`Op::cost`] gives them.
    fn macs(&self, io: &Io) -> Vec<Product>;
}

/// An operator whose node is carried verbatim.
#[derive(Debug)]
pub struct Carried {
    why: String,
    attributes: Attributes,
    counted: Option<Box<dyn Counted>>,
    /// True for a form of an operator that is run in others.
    is_form: bool,
}

impl Carried {
    /// An operator that is not run, and why; with the attributes as the file gives them.
    pub fn counted(why: &str, attributes: Attributes, counted: Box<dyn Counted>) -> Self {
        Self { why: why.to_owned(), attributes, counted: Some(counted), is_form: false }
    }

    /// An operator that is not understood, and why.
    pub fn unknown(why: String) -> Self {
        Self { why, attributes: Attributes::new(), counted: None, is_form: false }
    }

    /// An operator that is understood, in a form that is not, and why.
    pub fn form(why: String) -> Self {
        Self { is_form: true, ..Self::unknown(why) }
    }
}

impl Hints for Carried {
    fn never_run(&self) -> Option<&str> {
        (!self.is_form).then_some(self.why.as_str())
    }
}

impl Op for Carried {
    fn attributes(&self) -> Attributes {
        self.attributes.clone()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let why = self.why.clone();
        match &self.counted {
            Some(counted) => Err(Refusal::Carried { why, results: counted.infer(x)? }),
            None => unsupported(why),
        }
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn bind(&self, _: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        unsupported(self.why.clone())
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn cost(&self, io: &Io) -> Work {
        // What the file declares in place of inferred results may be anything.
        match &self.counted {
            Some(counted) if counted.infer(io.x).is_ok_and(|y| y == io.y) => Work::Macs(counted.macs(io)),
            _ => Work::Free,
        }
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        unsupported(self.why.clone())
    }
}

/// Shapes and multiply-accumulates of another operator.
#[derive(Debug)]
pub struct Like {
    /// The other operator.
    pub op: Box<dyn Op>,
    /// Slots of the operands that it takes.
    pub slots: &'static [usize],
    /// Type of the result.
    pub dtype: fn(&Operands) -> Result<DType, Refusal>,
}

impl Like {
    fn operands<'a>(&self, x: &Operands<'a>) -> Vec<Option<Operand<'a>>> {
        self.slots.iter().map(|&slot| x.get(slot).copied().flatten()).collect()
    }
}

impl Counted for Like {
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let dtype = (self.dtype)(x)?;
        let y = self.op.infer(&self.operands(x))?;
        Ok(y.into_iter().map(|fact| Fact::new(dtype, fact.shape)).collect())
    }

    fn macs(&self, io: &Io) -> Vec<Product> {
        let io = Io { x: &self.operands(io.x), y: io.y };
        let mut products = self.op.cost(&io).macs();
        // Slots of inputs are the other operator's.
        for product in &mut products {
            product.widths.retain(|axis| match axis.port {
                Port::Out(_) => true,
                Port::In(slot) => {
                    product.coefficient *= io.input(slot).map_or(1.0, |shape| shape[axis.axis] as f64);
                    false
                }
            });
        }
        products
    }
}

#[cfg(test)]
pub use tests::Known;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{Convention, Cost};
    use crate::coupling::{Residual, group};
    use crate::ops::CARRIED;
    use crate::ops::laws::Case;

    /// A case, with the facts and counts that are known of it.
    pub struct Known {
        /// Operator, attributes and operands.
        pub case: Case,
        /// Type and shape of the result.
        pub fact: Fact,
        /// Multiply-accumulates.
        pub macs: u64,
    }

    #[test]
    fn shapes_and_macs_are_known_and_nothing_is_free() {
        for operator in CARRIED {
            for Known { case, fact, macs } in (operator.cases)() {
                assert_eq!((case.op, case.domain), (operator.name, operator.domain));
                let graph = case.graph();
                let facts = case.facts(&graph);
                assert_eq!(facts.refusals[0].as_deref(), Some(operator.why), "{case:?}");
                assert_eq!(facts.fact[graph.nodes[0].outputs[0].unwrap()], Some(fact), "{case:?}");
                let groups = group(Network::new(&graph, &facts), Residual::Auto);
                assert!(groups.label.iter().flatten().flatten().all(|class| class.is_none()), "{case:?}");
                let cost = Cost::new(Network::new(&graph, &facts), &groups, Convention::Macs);
                assert_eq!(cost.hard(&[]), macs, "{case:?}");
                assert!(facts.is_counted(0, &graph.nodes[0]));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_not_known_is_not_counted() {
        use crate::ops::laws::{data, weight};
        let case = |op| Case::new(op).inputs([data(&[1, 3, 8, 8]), weight(&[4, 2, 3, 3])]);
        let facts = |case: &Case| {
            let mut graph = case.graph();
            graph.inputs = vec![0];
            infer(&graph, None)
        };
        assert!(facts(&case("ConvInteger")).is_err());
        let other = case("ConvInteger").int("channels_last", 1);
        let said = facts(&other).unwrap().refusals[0].clone().unwrap();
        assert!(said.contains("'channels_last'"), "{said}");
        let graph = other.graph();
        assert!(!other.facts(&graph).is_counted(0, &graph.nodes[0]));
        let elsewhere = case("ConvInteger").domain("my.own");
        let said = facts(&elsewhere).unwrap().refusals[0].clone().unwrap();
        assert_eq!(said, "operator ConvInteger of domain 'my.own' is not supported");
    }
}
