//! Values of runtimes, mode by mode.

use crate::ops::laws::{Case, Given, absent, counting, floats, ints};
use crate::tensor::{Tensor, volume};

// Values: onnxruntime 1.31.
#[test]
fn modes_and_places() {
    let case = |mode| Case::new("Resize").string("mode", mode);
    case("linear")
        .inputs([counting(&[1, 1, 2, 2]), absent(), floats(&[1.0, 1.0, 2.0, 2.0])])
        .gives(&[0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2.0, 2.25, 2.75, 3.0]);
    case("nearest")
        .string("nearest_mode", "ceil")
        .inputs([counting(&[1, 1, 1, 4]), absent(), absent(), ints(&[1, 1, 1, 7])])
        .gives(&[0.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
    case("cubic")
        .int("exclude_outside", 1)
        .inputs([counting(&[1, 1, 1, 4]), absent(), floats(&[1.0, 1.0, 1.0, 2.0])])
        .gives(&[-0.13636, 0.17314, 0.64528, 1.29688, 1.70312, 2.35472, 2.82686, 3.13636]);
    case("linear")
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([counting(&[1, 1, 1, 4]), absent(), absent(), ints(&[1, 1, 1, 6])])
        .gives(&[0.0, 0.6, 1.2, 1.8, 2.4, 3.0]);
}

/// Numbers without an order, as activations.
fn x(shape: &[usize]) -> Given {
    let data = (0..volume(shape)).map(|i| (7 * i % 11) as f32).collect();
    Given::Fixed(Tensor::floats(shape, data))
}

// Values: onnxruntime 1.32.0. With align_corners it steps as PyTorch 2.15 and OpenVINO 2026.4 do, by (in − 1) / (out − 1) in
// whole pixels; onnx 1.23.2's reference and tract 0.23.9 take the fractional length where scales are given.
#[test]
fn the_table_of_modes_and_places() {
    let case = |mode, opset| Case::new("Resize").opset(opset).string("mode", mode);
    case("linear", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 3.888889, 6.555555, 4.333333, 4.555556, 8.444444, 8.666667, 6.444445, 4.222221, 2.0]);
    case("linear", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), absent(), ints(&[1, 1, 1, 10])])
        .gives(&[0.0, 3.888889, 6.555555, 4.333333, 4.555556, 8.444444, 8.666667, 6.444445, 4.222221, 2.0]);
    case("cubic", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 4.348423, 7.035672, 3.87037, 4.099451, 8.900547, 9.740742, 6.688617, 3.838133, 2.0]);
    case("cubic", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), absent(), ints(&[1, 1, 1, 10])])
        .gives(&[0.0, 4.348423, 7.035672, 3.87037, 4.099451, 8.900547, 9.740742, 6.688617, 3.838133, 2.0]);
    case("nearest", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 7.0, 7.0, 3.0, 3.0, 10.0, 10.0, 6.0, 6.0, 2.0]);
    case("nearest", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), absent(), ints(&[1, 1, 1, 10])])
        .gives(&[0.0, 7.0, 7.0, 3.0, 3.0, 10.0, 10.0, 6.0, 6.0, 2.0]);
    case("linear", 13)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[0.0, 2.0]);
    case("linear", 18)
        .string("coordinate_transformation_mode", "align_corners")
        .ints("axes", &[3, 2])
        .inputs([x(&[1, 1, 3, 4]), absent(), floats(&[1.3, 1.5])])
        .gives(&[
            0.0, 5.25, 5.0, 4.75, 10.0, 4.0, 3.75, 5.333333, 6.916667, 6.666667, 4.333333, 4.083333,
            5.666667, 6.333333, 3.333333, 1.0, 6.25, 6.0, 3.0, 0.0,
        ]);
    case("linear", 19)
        .string("coordinate_transformation_mode", "half_pixel_symmetric")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.7])])
        .gives(&[2.499999, 3.857143, 9.142858, 3.428572]);
    case("cubic", 19)
        .string("coordinate_transformation_mode", "half_pixel_symmetric")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.45])])
        .gives(&[0.509734, 6.003708, 5.245175, 3.656765, 9.343241, 8.85195, 4.794629, 2.259267]);
    case("linear", 13)
        .string("coordinate_transformation_mode", "pytorch_half_pixel")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.3])])
        .gives(&[0.0]);
    case("cubic", 13)
        .string("coordinate_transformation_mode", "pytorch_half_pixel")
        .float("cubic_coeff_a", -0.5)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[
            -0.45442, 2.662579, 6.943568, 4.605178, 3.542438, 8.650826, 9.520164, 6.391984, 3.75, 1.853299,
        ]);
    case("linear", 13)
        .string("coordinate_transformation_mode", "asymmetric")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 4.117647, 6.294118, 3.941177, 5.470587, 9.588235, 7.882354, 5.529411, 3.176472, 2.0]);
    case("nearest", 13)
        .string("coordinate_transformation_mode", "asymmetric")
        .string("nearest_mode", "ceil")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 7.0, 3.0, 3.0, 10.0, 10.0, 6.0, 2.0, 2.0, 2.0]);
    case("nearest", 11)
        .string("coordinate_transformation_mode", "tf_half_pixel_for_nn")
        .string("nearest_mode", "floor")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 0.0, 7.0, 3.0, 3.0, 10.0, 10.0, 6.0, 2.0, 2.0]);
    case("linear", 13)
        .string("coordinate_transformation_mode", "tf_crop_and_resize")
        .float("extrapolation_value", 9.0)
        .inputs([
            x(&[1, 1, 1, 6]),
            floats(&[0.0, 0.0, 0.0, 0.15, 1.0, 1.0, 1.0, 1.2]),
            absent(),
            ints(&[1, 1, 1, 7]),
        ])
        .gives(&[5.25, 4.5, 6.5, 8.5, 5.0, 9.0, 9.0]);
    case("cubic", 13)
        .string("coordinate_transformation_mode", "half_pixel")
        .int("exclude_outside", 1)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[
            -0.833126, 2.569067, 6.919899, 4.583425, 3.608845, 8.582128, 9.772815, 6.544011, 3.485714,
            1.762957,
        ]);
    case("linear", 18)
        .int("antialias", 1)
        .int("exclude_outside", 0)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[3.136364, 6.853933]);
    case("linear", 18)
        .int("antialias", 1)
        .int("exclude_outside", 1)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[3.584415, 6.853933]);
    case("cubic", 18)
        .int("antialias", 1)
        .int("exclude_outside", 0)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[3.074459, 7.418978]);
    case("cubic", 18)
        .int("antialias", 1)
        .int("exclude_outside", 1)
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[3.278846, 7.02747]);
    case("linear", 18)
        .int("antialias", 1)
        .string("coordinate_transformation_mode", "align_corners")
        .inputs([x(&[1, 1, 1, 6]), absent(), floats(&[1.0, 1.0, 1.0, 0.45])])
        .gives(&[1.804348, 3.304348]);
    case("linear", 18)
        .string("keep_aspect_ratio_policy", "not_larger")
        .ints("axes", &[2, 3])
        .inputs([x(&[1, 1, 4, 6]), absent(), absent(), ints(&[3, 3])])
        .gives(&[5.25, 5.5, 3.0, 4.0, 7.0, 4.5]);
    case("nearest", 18)
        .string("keep_aspect_ratio_policy", "not_smaller")
        .ints("axes", &[2, 3])
        .inputs([x(&[1, 1, 2, 3]), absent(), absent(), ints(&[3, 4])])
        .gives(&[0.0, 0.0, 7.0, 3.0, 3.0, 0.0, 0.0, 7.0, 3.0, 3.0, 10.0, 10.0, 6.0, 2.0, 2.0]);
    case("nearest", 10)
        .inputs([x(&[1, 1, 1, 6]), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 0.0, 7.0, 7.0, 3.0, 3.0, 10.0, 6.0, 6.0, 2.0]);
    case("linear", 10)
        .inputs([x(&[1, 1, 1, 6]), floats(&[1.0, 1.0, 1.0, 1.7])])
        .gives(&[0.0, 4.117647, 6.294118, 3.941177, 5.470587, 9.588235, 7.882354, 5.529411, 3.176472, 2.0]);
}
