//! Upsample: Resize of opsets up to 9. <https://onnx.ai/onnx/operators/onnx__Upsample.html>

use super::resize::read_simple;
use crate::graph::*;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    match (r.opset, r.floats("scales")?) {
        (..7, _) => unsupported(format!("Upsample of opset {}", r.opset)),
        (7..9, None) => invalid("scales are missing"),
        (9.., Some(_)) => unsupported("scales as an attribute"),
        (_, scales) => read_simple(r, scales),
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, floats};
    let case = |name| Case::new("Upsample").named(name);
    vec![
        case("input").opset(9).inputs([data(&[2, 3, 2, 2]), floats(&[1.0, 1.0, 2.0, 3.0])]).free(5),
        case("attribute")
            .opset(7)
            .string("mode", "linear")
            .attr("scales", vec![1.0, 1.0, 2.0, 1.0])
            .inputs([data(&[1, 3, 2, 2])])
            .free(5),
    ]
}
