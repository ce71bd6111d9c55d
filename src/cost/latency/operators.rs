//! Instructions of tract besides its matrix products.
//!
//! Every operator states the instructions of its own elements ([`crate::graph::Hints::instructions`]); here stand the
//! instructions of convolutions, which are counted by other units. Never: measures. All were counted as [`Instructions`] says.

use crate::graph::Instructions;

/// Instructions of an element of the k×n matrix that a convolution gathers.
pub(super) const GATHERED: Instructions = Instructions { wide: 2.8, narrow: 4.5 };

/// Instructions of a multiply-accumulate of a depthwise convolution.
pub(super) const DEPTHWISE: Instructions = Instructions { wide: 3.5, narrow: 12.0 };

#[cfg(test)]
mod tests {
    use crate::graph::*;
    use crate::ops;
    use crate::tensor::DType;

    fn count(op_type: &str, attributes: Writer, shape: &[usize]) -> f64 {
        let attributes = attributes.done();
        let op = ops::read(op_type, "", 17, &attributes, 1, 1).unwrap();
        let fact = Fact::new(DType::F32, shape);
        let x = [Some(Operand::new(&fact, None))];
        let y = op.infer(&x).unwrap();
        op.instructions(&Io { x: &x, y: &y }).unwrap().of(false)
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
        assert_eq!(pool("MaxPool", 2, 2), 111.0 / 4.0);
        let column = Writer::default().put("kernel_shape", vec![3, 1]).put("strides", vec![2, 1]);
        let of_column = count("MaxPool", column, &[1, 8, 12, 12]);
        assert!(of_column < 0.3 * 111.0, "along one axis: {of_column}");
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
