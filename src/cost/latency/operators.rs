//! What tract does for an element of operators that it does not compute as matrix products.
//!
//! Takes: an operator with its operands. Gives: instructions per element of the larger of its first input and its output, besides
//! the pass over them. Never: measures. They were counted in QEMU (`benches/instructions`) for single operators over
//! 1×64×28×28 values, as a Cortex-A53 and, for programs of 32 bits, as a Cortex-A7; a pass alone takes 3 and 7.

use crate::graph::*;
use crate::tensor::*;

/// Instructions per element in programs of 64 and of 32 bits. The latter have vectors in kernels only.
type Count = (f64, f64);

/// Operators whose elements take more than a pass, by name.
const COUNTS: [(&str, Count); 52] = [
    ("Add", (0.0, 16.0)),
    ("ArgMax", (29.0, 30.0)),
    ("ArgMin", (29.0, 30.0)),
    ("Ceil", (0.0, 16.0)),
    ("Celu", (10.0, 173.0)),
    ("Clip", (0.0, 23.0)),
    ("Concat", (0.0, 3.0)),
    ("Cos", (35.0, 37.0)),
    ("DepthToSpace", (12.0, 14.0)),
    ("Div", (1.0, 21.0)),
    ("Elu", (27.0, 166.0)),
    ("Equal", (16.0, 12.0)),
    ("Erf", (5.0, 28.0)),
    ("Exp", (7.0, 132.0)),
    ("Floor", (0.0, 17.0)),
    ("GatherElements", (215.0, 215.0)),
    ("Gelu", (8.0, 48.0)),
    ("GlobalMaxPool", (1.0, 10.0)),
    ("Greater", (16.0, 12.0)),
    ("GroupNormalization", (6.0, 29.0)),
    ("HardSigmoid", (1.0, 34.0)),
    ("HardSwish", (0.0, 8.0)),
    ("InstanceNormalization", (6.0, 29.0)),
    ("LRN", (735.0, 765.0)),
    ("LayerNormalization", (63.0, 71.0)),
    ("Less", (16.0, 12.0)),
    ("Log", (11.0, 104.0)),
    ("LpNormalization", (4.0, 17.0)),
    ("Max", (0.0, 24.0)),
    ("MeanVarianceNormalization", (24.0, 33.0)),
    ("Min", (0.0, 24.0)),
    ("Mish", (27.0, 352.0)),
    ("Mul", (0.0, 16.0)),
    ("PRelu", (38.0, 44.0)),
    ("QuantizeLinear", (8.0, 17.0)),
    ("ReduceLogSumExp", (8.0, 135.0)),
    ("ReduceMax", (1.0, 10.0)),
    ("Relu", (0.0, 9.0)),
    ("Round", (6.0, 11.0)),
    ("Selu", (28.0, 176.0)),
    ("Sigmoid", (5.0, 4.0)),
    ("Sign", (1.0, 10.0)),
    ("Sin", (34.0, 54.0)),
    ("Softplus", (19.0, 337.0)),
    ("Softsign", (2.0, 18.0)),
    ("SpaceToDepth", (12.0, 14.0)),
    ("Sub", (0.0, 16.0)),
    ("Sum", (0.0, 16.0)),
    ("Swish", (5.0, 4.0)),
    ("Tanh", (4.0, 3.0)),
    ("ThresholdedRelu", (35.0, 31.0)),
    ("Where", (16.0, 12.0)),
];

/// Instructions of an element of the k×n matrix that a convolution gathers.
pub(super) const GATHERED: Count = (2.8, 4.5);

/// Instructions of a multiply-accumulate of a depthwise convolution.
pub(super) const DEPTHWISE: Count = (3.5, 12.0);

/// The one of the two that counts.
pub(super) fn of((wide, narrow): Count, is_narrow: bool) -> f64 {
    if is_narrow { narrow } else { wide }
}

/// Instructions besides a pass (for products: besides the product), per element of the larger of the first input and the output.
pub(super) fn instructions(name: &str, op: &dyn Op, io: &Io, is_narrow: bool) -> f64 {
    let attributes = op.attributes();
    let ints = |of: &str| match attributes.get(of) {
        Some(Attr::Ints(list)) => list.as_slice(),
        _ => &[],
    };
    let taps = ints("kernel_shape").iter().product::<i64>() as f64;
    let strided = ints("strides").iter().any(|&s| s > 1);
    let (input, output) = (io.input(0).map_or(0, volume), volume(io.output(0)));
    let per_output = output as f64 / input.max(output).max(1) as f64;
    let pick = |count: Count| of(count, is_narrow);
    match name {
        "AveragePool" => per_output * pick((25.0 + 5.0 * taps, 30.0 + 6.5 * taps)),
        "MaxPool" if strided => per_output * pick((122.0, 160.0)),
        "MaxPool" => per_output * pick((7.0 + 3.1 * taps, 15.0 + 7.9 * taps)),
        // The values that are left out are stepped over one by one.
        "Conv" if strided && volume(io.input(1).and_then(|w| w.get(2..)).unwrap_or_default()) == 1 => {
            pick((9.0, 12.0))
        }
        // Every pixel of a window is added to those of its neighbours.
        "ConvTranspose" => per_output * pick((100.0, 110.0)),
        "LogSoftmax" => pick((11.0, 104.0)) + softmax(&attributes, io.output(0), is_narrow),
        "Pow" if !simple(io) => pick((65.0, 88.0)),
        "Resize" | "Upsample" => match attributes.get("mode") {
            Some(Attr::Str(mode)) if mode == "linear" => per_output * pick((107.0, 127.0)),
            Some(Attr::Str(mode)) if mode == "cubic" => per_output * pick((165.0, 195.0)),
            _ => 0.0,
        },
        "Softmax" => softmax(&attributes, io.output(0), is_narrow),
        // Whatever stays in its rows is copied in one piece.
        "Transpose" if moves_last(ints("perm")) => pick((5.0, 4.0)),
        _ => COUNTS.iter().find(|(n, _)| *n == name).map_or(0.0, |(_, count)| pick(*count)),
    }
}

/// Of a softmax: along the last axis that is more than one element wide it goes over rows, else it picks every element.
fn softmax(attributes: &Attributes, shape: &[usize], is_narrow: bool) -> f64 {
    let axis = match attributes.get("axis") {
        Some(Attr::Int(axis)) if *axis >= 0 => *axis as usize,
        Some(Attr::Int(axis)) => (shape.len() as i64 + axis).max(0) as usize,
        _ => shape.len().saturating_sub(1),
    };
    let rows = shape.get(axis + 1..).is_none_or(|inner| volume(inner) <= 1);
    of(if rows { (9.0, 186.0) } else { (400.0, 430.0) }, is_narrow)
}

/// Squares and square roots have instructions of their own.
fn simple(io: &Io) -> bool {
    let exponent = io.value(1).map(|t| t.to_real::<f64>());
    exponent.is_some_and(|e| e.iter().all(|e| [0.5, 1.0, 2.0].contains(e)))
}

fn moves_last(perm: &[i64]) -> bool {
    perm.last().is_none_or(|&last| last + 1 != perm.len() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;

    fn count(op_type: &str, attributes: Writer, shape: &[usize]) -> f64 {
        let attributes = attributes.done();
        let op = ops::read(op_type, "", 17, &attributes, 1, 1).unwrap();
        let fact = Fact::new(DType::F32, shape);
        let x = [Some(Operand::new(&fact, None))];
        let y = op.infer(&x).unwrap();
        instructions(op_type, op.as_ref(), &Io { x: &x, y: &y }, false)
    }

    #[test]
    fn the_table_names_operators_once() {
        assert!(COUNTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, _) in COUNTS {
            assert!(ops::OPERATORS.iter().any(|o| o.name == name), "{name}");
        }
    }

    #[test]
    fn a_window_counts_by_its_taps_and_what_it_gives() {
        let pool = |op: &str, size: i64, stride: i64| {
            let w = Writer::default().put("kernel_shape", vec![size; 2]).put("strides", vec![stride; 2]);
            count(op, w, &[1, 8, 12, 12])
        };
        // Of 12 × 12 pixels 10 × 10 and 8 × 8 are left.
        assert!((pool("AveragePool", 3, 1) - 70.0 * 100.0 / 144.0).abs() < 1e-9);
        assert!((pool("AveragePool", 5, 1) - 150.0 * 64.0 / 144.0).abs() < 1e-9);
        assert!(pool("MaxPool", 5, 1) > pool("MaxPool", 3, 1));
        assert_eq!(pool("MaxPool", 2, 2), 122.0 / 4.0);
    }

    #[test]
    fn a_softmax_counts_by_where_its_line_lies() {
        let softmax =
            |axis: i64, shape: &[usize]| count("Softmax", Writer::default().put("axis", axis), shape);
        assert_eq!(softmax(1, &[1, 8, 4, 4]), 400.0);
        assert_eq!(softmax(-1, &[1, 8, 4, 4]), 9.0);
        assert_eq!(softmax(1, &[1, 8, 1, 1]), 9.0);
    }
}
