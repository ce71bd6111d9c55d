//! GroupNormalization: groups of neighbouring channels are normalised together.
//! <https://onnx.ai/onnx/operators/onnx__GroupNormalization.html>
//!
//! A group lives and dies as one: its channels are one class, and `num_groups` is restated. Scale and bias belong to
//! groups until opset 20, to channels since.

use super::family::normalise::Rows;
use super::family::reduce::tie_others;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct GroupNormalization {
    epsilon: Option<f32>,
    num_groups: i64,
    stash_type: Option<i64>,
    per_group: bool,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let per_group = r.opset < 21;
    let Some(num_groups) = r.int("num_groups")? else { return invalid("num_groups is missing") };
    Ok(Box::new(GroupNormalization {
        epsilon: r.float("epsilon")?,
        num_groups,
        stash_type: if per_group { None } else { r.int("stash_type")? },
        per_group,
    }))
}

impl GroupNormalization {
    /// Channels per group.
    fn size(&self, x: &[usize]) -> usize {
        x[1] / self.num_groups.max(1) as usize
    }
}

impl Hints for GroupNormalization {
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(6.0, 29.0)
    }
}

impl Op for GroupNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("epsilon", self.epsilon)
            .put("num_groups", self.num_groups)
            .maybe("stash_type", self.stash_type)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        if fact.shape.len() < 2 {
            return invalid(format!("an input of rank {}", fact.shape.len()));
        }
        let channels = fact.shape[1];
        match usize::try_from(self.num_groups) {
            Ok(g) if g > 0 && channels.is_multiple_of(g) => {}
            _ => return invalid(format!("{} groups of {channels} channels", self.num_groups)),
        }
        let wanted = if self.per_group { self.num_groups as usize } else { channels };
        for slot in 1..3 {
            let shape = &need(x, slot)?.shape;
            if *shape != [wanted] {
                return invalid(format!("input {slot} of shape {shape:?}, expected [{wanted}]"));
            }
        }
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        let x = &need(io.x, 0)?.shape;
        let (pixels, parameters) = (volume(&x[2..]), volume(&need(io.x, 1)?.shape));
        let row = self.size(x) * pixels;
        Ok(Box::new(Rows {
            row,
            segment: if self.per_group { row } else { pixels },
            epsilon: f64::from(self.epsilon.unwrap_or(1e-5)),
            parameters: (0..parameters).map(|k| [k, k]).collect(),
        }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        tie_others(io, |axis| axis > 1, "normalises over this axis", link);
        let size = self.size(x).max(1);
        for c in 0..x[1] {
            link.tie(output(0, 1), c / size * size, output(0, 1), c);
            for slot in 1..3 {
                link.tie(input(slot, 0), if self.per_group { c / size } else { c }, output(0, 1), c);
            }
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let (Some(x), Some(kept)) = (io.input(0), keep.kept(input(0, 1))) else {
            return Ok(Resized::UNCHANGED);
        };
        let num_groups = (kept.len() / self.size(x).max(1)) as i64;
        let op = GroupNormalization { num_groups, ..self.clone() };
        Ok(Resized::of(Box::new(op)))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name, opset, groups| {
        Case::new("GroupNormalization").named(name).opset(opset).int("num_groups", groups)
    };
    vec![
        case("opset 18", 18, 3).inputs([data(&[2, 6, 2, 2]), weight(&[3]), weight(&[3])]).free(2 + 3),
        case("opset 21", 21, 3)
            .float("epsilon", 0.01)
            .int("stash_type", 1)
            .inputs([data(&[1, 6, 3]), weight(&[6]), weight(&[6])])
            .free(3),
        case("one group", 21, 1).inputs([data(&[2, 4, 2]), weight(&[4]), weight(&[4])]).free(2),
        case("a group per channel", 21, 4).inputs([data(&[1, 4, 3]), weight(&[4]), weight(&[4])]).free(4),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting, floats};

    // Values: onnx.reference 1.23.
    #[test]
    fn scale_and_bias_per_channel() {
        Case::new("GroupNormalization")
            .opset(21)
            .int("num_groups", 2)
            .inputs([counting(&[1, 4, 2]), floats(&[1.0, 2.0, 3.0, 4.0]), floats(&[0.0, 0.0, 1.0, 1.0])])
            .gives(&[-1.34164, -0.44721, 0.89442, 2.68327, -3.02491, -0.34164, 2.78885, 6.36654]);
    }
}
