//! Valid operators on which runtimes and tools differ (`docs/runtimes.md`): ours are held to the right values.
//!
//! Values: onnxruntime 1.32.0 without optimisations, except where a comment says otherwise.

use super::{Case, Given, absent, counting, data, floats, ints};
use crate::graph::*;
use crate::tensor::*;

fn of(op: &'static str, x: Given) -> Case {
    Case::new(op).inputs([x])
}

/// Why the operator is refused at these inputs, whether it is read or its shapes are inferred.
fn refusal(op: &str, opset: i64, attributes: &Attributes, shapes: &[&[usize]], outputs: usize) -> String {
    let facts: Vec<Fact> = shapes.iter().map(|&s| Fact::new(DType::F32, s)).collect();
    let x: Vec<Option<Operand>> = facts.iter().map(|fact| Some(Operand::new(fact, None))).collect();
    let refused = super::read(op, "", opset, attributes, x.len(), outputs).and_then(|op| op.infer(&x));
    refused.expect_err("is taken").reason().to_owned()
}

#[test]
fn an_average_pool_that_rounds_up_counts_the_padding_and_nothing_beyond() {
    let pool = |x| of("AveragePool", x).opset(19).int("ceil_mode", 1).int("count_include_pad", 1);
    pool(counting(&[1, 1, 6, 6]))
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .gives(&[7.0, 9.0, 10.5, 19.0, 21.0, 22.5, 28.0, 30.0, 31.5]);
    let padded = pool(counting(&[1, 1, 6, 6]))
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .ints("pads", &[1, 1, 1, 1]);
    padded.gives(&[
        1.555556, 3.333333, 4.666667, 2.666667, 8.333333, 14.0, 16.0, 8.5, 16.333334, 26.0, 28.0, 14.5,
        10.166667, 16.0, 17.0, 8.75,
    ]);
    pool(counting(&[1, 1, 4, 4]))
        .ints("kernel_shape", &[2, 2])
        .ints("dilations", &[2, 2])
        .ints("strides", &[2, 2])
        .ints("pads", &[1, 1, 1, 1])
        .gives(&[1.25, 3.0, 3.5, 4.5, 10.0, 11.0, 6.5, 14.0, 15.0]);
}

#[test]
fn an_average_pool_has_dilations() {
    of("AveragePool", counting(&[1, 1, 5, 5]))
        .opset(19)
        .ints("kernel_shape", &[2, 2])
        .ints("dilations", &[2, 2])
        .gives(&[6.0, 7.0, 8.0, 11.0, 12.0, 13.0, 16.0, 17.0, 18.0]);
}

// Sizes: PyTorch 2.15 (max_pool2d with ceil_mode), onnx's shape inference from opset 22 on.
#[test]
fn a_window_that_lies_wholly_in_the_padding_is_none() {
    for opset in [12, 17, 19, 21, 22] {
        for (op, size, windows) in [("MaxPool", 10, 4), ("AveragePool", 10, 4), ("MaxPool", 12, 5)] {
            let case = of(op, data(&[1, 1, size, size]))
                .opset(opset)
                .ints("kernel_shape", &[2, 2])
                .ints("strides", &[3, 3])
                .ints("pads", &[1, 1, 1, 1])
                .int("ceil_mode", 1);
            assert_eq!(case.results()[0].shape(), [1, 1, windows, windows], "{op} at opset {opset}");
        }
    }
}

#[test]
fn lrn_normalises_every_image_of_a_batch() {
    of("LRN", counting(&[2, 4, 1, 1]))
        .int("size", 3)
        .float("alpha", 0.5)
        .float("beta", 0.75)
        .gives(&[0.0, 0.634701, 0.81072, 1.263774, 0.85428, 0.697067, 0.650761, 0.910816]);
}

#[test]
fn conv_transpose_cuts_in_front_where_output_shape_says_so() {
    let upward = || {
        let x = [counting(&[1, 1, 3, 3]), counting(&[1, 1, 3, 3])];
        Case::new("ConvTranspose").ints("strides", &[2, 2]).ints("output_shape", &[5, 4]).inputs(x)
    };
    upward().gives(&[
        3.0, 4.0, 11.0, 8.0, 12.0, 11.0, 28.0, 19.0, 27.0, 16.0, 35.0, 20.0, 60.0, 35.0, 76.0, 43.0, 51.0,
        28.0, 59.0, 32.0,
    ]);
    upward().string("auto_pad", "SAME_UPPER").gives(&[
        0.0, 3.0, 4.0, 11.0, 3.0, 12.0, 11.0, 28.0, 12.0, 27.0, 16.0, 35.0, 27.0, 60.0, 35.0, 76.0, 24.0,
        51.0, 28.0, 59.0,
    ]);
}

/// The first result of a case as the operand of the next.
fn then(case: &Case) -> Given {
    let y = &case.results()[0];
    Given::Fixed(Tensor::floats(y.shape(), y.iter().map(|&v| v as f32).collect()))
}

#[test]
fn a_negative_pad_before_a_padded_convolution_crops_first() {
    let cropped = Case::new("Pad").inputs([counting(&[1, 1, 4, 4]), ints(&[0, 0, -1, 0, 0, 0, 0, -1])]);
    Case::new("Conv")
        .ints("pads", &[1, 1, 1, 1])
        .inputs([then(&cropped), counting(&[1, 1, 3, 3])])
        .gives(&[169.0, 253.0, 163.0, 279.0, 402.0, 249.0, 139.0, 187.0, 105.0]);
}

#[test]
fn zeros_that_are_padded_before_a_pool_are_elements_of_it() {
    let x = Given::Fixed(Tensor::floats(&[1, 1, 2, 2], vec![-1.0, -2.0, -3.0, -4.0]));
    let padded = Case::new("Pad").inputs([x, ints(&[0, 0, 1, 1, 0, 0, 1, 1])]);
    of("MaxPool", then(&padded)).ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]).gives(&[0.0; 4]);
    let padded = Case::new("Pad").inputs([counting(&[1, 1, 8, 8]), ints(&[0, 0, 1, 1, 0, 0, 1, 1])]);
    of("AveragePool", then(&padded))
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .int("ceil_mode", 1)
        .gives(&[
            2.0, 4.0, 5.333333, 6.666667, 3.666667, 11.0, 18.0, 20.0, 22.0, 11.5, 21.666666, 34.0, 36.0,
            38.0, 19.5, 32.333332, 50.0, 52.0, 54.0, 27.5, 18.833334, 29.0, 30.0, 31.0, 15.75,
        ]);
}

// OpenVINO 2026.4 and PyTorch 2.15 reflect before they crop, onnxruntime refuses.
#[test]
fn a_reflection_at_what_is_cropped_is_not_guessed() {
    let pad = |pads: &[i64], mode: &str| {
        let x = Fact::new(DType::F32, [6]);
        let (sizes, value) = (Fact::new(DType::I64, [2]), Tensor::ints(pads));
        let x = [Some(Operand::new(&x, None)), Some(Operand::new(&sizes, Some(&value)))];
        let mode = Writer::default().put("mode", mode.to_owned()).done();
        super::read("Pad", "", 19, &mode, 2, 1).and_then(|op| op.infer(&x)).map(|y| y[0].shape.clone())
    };
    assert!(matches!(pad(&[3, -3], "reflect"), Err(Refusal::Unsupported(_))));
    assert!(matches!(pad(&[-4, 2], "reflect"), Err(Refusal::Unsupported(_))));
    assert_eq!(pad(&[2, -3], "reflect"), Ok(vec![5]));
    let case =
        |mode| Case::new("Pad").opset(19).string("mode", mode).inputs([counting(&[6]), ints(&[3, -3])]);
    case("edge").gives(&[0.0, 0.0, 0.0, 0.0, 1.0, 2.0]);
    case("wrap").gives(&[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
}

#[test]
fn group_normalization_scales_groups_before_opset_21_and_channels_from_then_on() {
    let y = [-1.683271, 0.105576, 1.894424, 3.683271, -5.024906, -2.341635, 0.341635, 3.024906];
    let case = |opset, scale: &[f32], bias: &[f32]| {
        let x = [counting(&[1, 4, 2]), floats(scale), floats(bias)];
        Case::new("GroupNormalization").opset(opset).int("num_groups", 2).inputs(x)
    };
    case(18, &[2.0, 3.0], &[1.0, -1.0]).gives(&y);
    case(21, &[2.0, 2.0, 3.0, 3.0], &[1.0, 1.0, -1.0, -1.0]).gives(&y);
    let groups = Writer::default().put("num_groups", 2).done();
    let refused = refusal("GroupNormalization", 21, &groups, &[&[1, 4, 2], &[2], &[2]], 1);
    assert!(refused.contains("expected [4]"), "{refused}");
}

#[test]
fn batch_normalization_takes_the_running_statistics_in_every_opset() {
    for opset in [7, 9, 13, 15] {
        Case::new("BatchNormalization")
            .opset(opset)
            .inputs([
                counting(&[2, 2, 2]),
                floats(&[2.0, 3.0]),
                floats(&[1.0, -1.0]),
                floats(&[1.0, 2.0]),
                floats(&[4.0, 0.25]),
            ])
            .gives(&[1.0e-6, 1.0, -1.0, 4.99988, 3.999996, 4.999995, 22.999519, 28.999401]);
    }
}

#[test]
fn nine_split_in_four_end_with_nothing() {
    let parts = of("Split", counting(&[9])).opset(18).outputs(4).int("num_outputs", 4).results();
    let parts: Vec<&[f64]> = parts.iter().map(|y| y.elements()).collect();
    assert_eq!(parts, [&[0.0, 1.0, 2.0][..], &[3.0, 4.0, 5.0], &[6.0, 7.0, 8.0], &[]]);
}

#[test]
fn softmax_flattens_before_opset_13() {
    let case = |opset| of("Softmax", counting(&[1, 2, 2])).opset(opset).int("axis", 1);
    case(11).gives(&[0.032059, 0.087144, 0.236883, 0.643914]);
    case(13).gives(&[0.119203, 0.119203, 0.880797, 0.880797]);
}

#[test]
fn a_reduction_with_an_attribute_of_a_later_opset_is_not_guessed_at() {
    let late = Writer::default().put("noop_with_empty_axes", 0).put("axes", vec![1]).done();
    let refused = refusal("ReduceMean", 13, &late, &[&[2, 3]], 1);
    assert!(refused.contains("'noop_with_empty_axes' is not known"), "{refused}");
    Case::new("ReduceMean")
        .opset(18)
        .int("noop_with_empty_axes", 0)
        .inputs([counting(&[2, 3]), ints(&[1])])
        .gives(&[1.0, 4.0]);
}

// By hand: 0.5 · 10⁻⁴⁰.
#[test]
fn subnormal_weights_are_numbers() {
    let w = Tensor::floats(&[1, 1, 1, 1], vec![1e-40]);
    let conv = super::read("Conv", "", 17, &Attributes::new(), 2, 1).unwrap_or_else(|e| panic!("{e:?}"));
    let fact = Fact::new(DType::F32, [1; 4]);
    let operands = [Some(Operand::new(&fact, None)), Some(Operand::new(&fact, Some(&w)))];
    let io = Io { x: &operands, y: std::slice::from_ref(&fact) };
    let kernel = conv.bind(&io).unwrap_or_else(|e| panic!("{e:?}"));
    let (x, w, mut y) = (array(&[1; 4], vec![0.5f32]), w.to_array(), array(&[1; 4], vec![0.0]));
    kernel.forward(&[Some(x.view()), Some(w.view())], &mut [y.view_mut()]);
    assert!((f64::from(y.elements()[0]) - 5e-41).abs() < 2e-45, "{y:?}");
}

// fvcore, FlopCounterMode, ultralytics-thop and onnxsim count 131,072; thop, onnx-opcounter, onnx-tool and torchprofile 4 to 16
// times as many.
#[test]
fn a_grouped_transposed_convolution_counts_each_group_alone() {
    let (x, w) = (Fact::new(DType::F32, [1, 16, 16, 16]), Fact::new(DType::F32, [16, 8, 2, 2]));
    let x = [Some(Operand::new(&x, None)), Some(Operand::new(&w, None))];
    let attributes = Writer::default().put("group", 4).put("strides", vec![2, 2]).done();
    let op = super::read("ConvTranspose", "", 17, &attributes, 2, 1).unwrap_or_else(|e| panic!("{e:?}"));
    let y = op.infer(&x).unwrap_or_else(|e| panic!("{e:?}"));
    let io = Io { x: &x, y: &y };
    let size = |a: &Axis| match a.port {
        Port::In(slot) => io.input(slot).unwrap_or_default()[a.axis],
        Port::Out(slot) => io.output(slot)[a.axis],
    };
    let macs: f64 = op
        .cost(&io)
        .macs()
        .iter()
        .map(|p| p.coefficient * p.widths.iter().map(|a| size(a) as f64).product::<f64>())
        .sum();
    assert_eq!(macs, 131_072.0);
}

#[test]
fn a_bound_that_is_left_out_is_none() {
    Case::new("Clip")
        .inputs([counting(&[4]), absent(), Given::Fixed(Tensor::floats(&[], vec![1.5]))])
        .gives(&[0.0, 1.0, 1.5, 1.5]);
}
