//! Layers that can be fitted: their inputs as columns, their weights as a matrix, and what they should give.

use crate::ir::*;
use crate::ops::{self, kernels::conv::Geometry};
use crate::rewrite;

/// A convolution or a matrix product with stored weights of its own.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub name: String,
    pub input: ValueId,
    pub output: ValueId,
    pub weight: ValueId,
    pub shift: Option<Shift>,
    /// The BatchNormalization that alone reads this layer's output.
    pub normalised: Option<BatchNorm>,
    pub form: Form,
    /// Output positions per chunk of images.
    pub positions: usize,
}

/// The constant that is added to a layer's output, by channel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shift {
    /// Its own bias.
    Bias(ValueId),
    /// The running mean of the BatchNormalization behind it, which is taken off.
    Mean(ValueId),
}

impl Shift {
    /// The stored constant, and the sign with which it is added.
    pub fn stored(self) -> (ValueId, f64) {
        match self {
            Self::Bias(v) => (v, 1.0),
            Self::Mean(v) => (v, -1.0),
        }
    }
}

/// How a layer's output comes from its input and weights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// w: [cout, cin / group, kernel…]
    Conv(Geometry),
    /// The last axis of x times w: [k, n], or [n, k] where `turned`.
    Product { k: usize, n: usize, turned: bool },
}

/// New weights, and what is added to the outputs, in the order in which the file stores them.
pub(super) struct Weights {
    pub weight: Vec<f64>,
    pub shift: Option<Vec<f64>>,
}

/// What a layer's output should be.
pub(super) struct Target {
    /// The original's channels that it has.
    pub channels: Vec<usize>,
    /// The addition that follows, if its other operand is computed before: then the sum is to be as it was.
    pub sum: Option<Sum>,
    /// All that is read of the result is what is above zero.
    pub rectified: bool,
}

/// An addition behind a layer.
pub(super) struct Sum {
    /// The other operand.
    pub trunk: ValueId,
    /// The original's channels that are left of it.
    pub left: Vec<usize>,
}

impl Layer {
    /// Node `n` as a layer, if it is one whose weights may be changed.
    pub fn of(graph: &Graph, facts: &Facts, n: NodeId) -> Option<Self> {
        let node = &graph.nodes[n];
        let (input, weight) = ((*node.inputs.first()?)?, (*node.inputs.get(1)?)?);
        let output = (*node.outputs.first()?)?;
        let bias = node.inputs.get(2).copied().flatten();
        let (x, w, y) = (facts.shape(input)?, facts.shape(weight)?, facts.shape(output)?);
        let own = |v: ValueId, rank: usize| {
            let users = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.captured));
            let known = facts.constant[v].as_ref();
            let plain = known.is_some_and(|t| t.data.dtype().is_float() && t.shape.len() == rank);
            plain
                && rewrite::is_stored(graph, v)
                && users.filter(|&&u| u == v).count() == 1
                && !graph.outputs.contains(&v)
        };
        let channels = |v: ValueId, cout: usize| own(v, 1) && facts.shape(v) == Some(&[cout]);
        let attributes = node.op.attributes();
        let plain = |name: &str| matches!(attributes.get(name), None | Some(Attr::Float(1.0)));
        let flag = |name: &str| matches!(attributes.get(name), Some(Attr::Int(v)) if *v != 0);
        let (form, cout) = match node.op_type.as_str() {
            "Conv" if own(weight, x.len()) => {
                let g = ops::conv_geometry(&attributes, x, w)?;
                (Form::Conv(g), g.cout)
            }
            "Gemm" if own(weight, 2) && plain("alpha") && plain("beta") && !flag("transA") => {
                let turned = flag("transB");
                let (k, n) = if turned { (w[1], w[0]) } else { (w[0], w[1]) };
                (Form::Product { k, n, turned }, n)
            }
            "MatMul" if own(weight, 2) && x.len() >= 2 => {
                (Form::Product { k: w[0], n: w[1], turned: false }, w[1])
            }
            _ => return None,
        };
        let fits = node.op_type == "MatMul" || bias.is_none_or(|b| channels(b, cout));
        let bias = bias.filter(|_| node.op_type != "MatMul");
        let whole = volume(x) > 0 && volume(y) > 0;
        let behind = batch_norm(graph, facts, output).filter(|_| node.op_type == "Conv");
        let mean = behind.as_ref().map(|b| b.mean).filter(|&m| channels(m, cout));
        let shift = bias.map(Shift::Bias).or(mean.map(Shift::Mean));
        let positions = match form {
            Form::Conv(g) => g.batch * g.pixels_out(),
            Form::Product { k, .. } => volume(x) / k.max(1),
        };
        let name = node.name.clone();
        (fits && whole).then_some(Self {
            name,
            input,
            output,
            weight,
            shift,
            normalised: behind,
            form,
            positions,
        })
    }

    /// The value that goes on from here: behind the normalisation, where there is one.
    pub fn result(&self) -> ValueId {
        self.normalised.as_ref().map_or(self.output, |n| n.output)
    }

    /// Groups, inputs per group (rows of the columns), outputs per group.
    pub fn sizes(&self) -> (usize, usize, usize) {
        match self.form {
            Form::Conv(g) => (g.group, g.cin / g.group * g.taps(), g.cout / g.group),
            Form::Product { k, n, .. } => (1, k, n),
        }
    }

    /// The inputs of group `group` at every `step`-th position, from `first` on: row-major `[rows, positions]`.
    pub fn columns(&self, x: &Array<f32>, group: usize, (first, step): (usize, usize)) -> Vec<f32> {
        let taken: Vec<usize> = (first..self.positions).step_by(step).collect();
        let (_, rows, _) = self.sizes();
        let mut out = vec![0.0; rows * taken.len()];
        match self.form {
            Form::Product { k, .. } => {
                for (row, out) in out.chunks_exact_mut(taken.len().max(1)).enumerate() {
                    out.iter_mut().zip(&taken).for_each(|(o, p)| *o = x.data[p * k + row]);
                }
            }
            Form::Conv(g) => {
                // Where each position's window begins: image, and the three spatial axes.
                let corner = |&p: &usize| {
                    let (image, at) = (p / g.pixels_out(), p % g.pixels_out());
                    let [_, h, w] = g.output;
                    let o = [at / (h * w), at / w % h, at % w];
                    (image, std::array::from_fn(|a| (o[a] * g.stride[a]) as isize - g.pad[a]))
                };
                let corners: Vec<(usize, [isize; 3])> = taken.iter().map(corner).collect();
                let [_, kh, kw] = g.kernel;
                let (taps, channels) = (g.taps(), g.cin / g.group);
                for t in 0..taps {
                    let tap = [t / (kh * kw), t / kw % kh, t % kw];
                    // Of the first channel; none where the window reaches into the padding.
                    let element = |(image, corner): &(usize, [isize; 3])| {
                        let at: [isize; 3] =
                            std::array::from_fn(|a| corner[a] + (tap[a] * g.dilation[a]) as isize);
                        let inside = (0..3).all(|a| at[a] >= 0 && (at[a] as usize) < g.input[a]);
                        let [i, j, k] = at.map(|v| v as usize);
                        let plane = (image * g.cin + group * channels) * g.pixels_in();
                        inside.then(|| plane + (i * g.input[1] + j) * g.input[2] + k)
                    };
                    let elements: Vec<(usize, usize)> =
                        corners.iter().enumerate().filter_map(|(n, c)| Some((n, element(c)?))).collect();
                    for c in 0..channels {
                        let row = &mut out[(c * taps + t) * taken.len()..][..taken.len()];
                        let plane = &x.data[c * g.pixels_in()..];
                        elements.iter().for_each(|&(n, e)| row[n] = plane[e]);
                    }
                }
            }
        }
        out
    }

    /// Elements of an output value that belong to channel `c`, at every `step`-th position from `first` on.
    pub fn outputs<'a>(
        &self,
        y: &'a Array<f32>,
        c: usize,
        (first, step): (usize, usize),
    ) -> impl Iterator<Item = f32> + 'a {
        let (channels, pixels) = match self.form {
            Form::Conv(g) => (y.shape[1], g.pixels_out()),
            Form::Product { .. } => (*y.shape.last().unwrap_or(&1), 1),
        };
        let positions = y.data.len() / channels.max(1);
        (first..positions)
            .step_by(step)
            .map(move |p| y.data[(p / pixels * channels + c) * pixels + p % pixels])
    }

    /// The stored weights as a matrix by group: `[outputs, rows]`, group after group.
    pub fn matrix(&self, stored: &[f64]) -> Vec<f64> {
        match self.form {
            Form::Product { k, n, turned: false } => turn(stored, k, n),
            _ => stored.to_vec(),
        }
    }

    /// The inverse of [`Layer::matrix`].
    pub fn stored(&self, matrix: Vec<f64>) -> Vec<f64> {
        match self.form {
            Form::Product { k, n, turned: false } => turn(&matrix, n, k),
            _ => matrix,
        }
    }
}

/// The transpose of a `rows × columns` matrix.
fn turn(m: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| m[i % rows * columns + i / rows]).collect()
}

/// A BatchNormalization with stored statistics.
#[derive(Debug, Clone)]
pub(super) struct BatchNorm {
    mean: ValueId,
    output: ValueId,
    /// By channel: scale / √(variance + ε), bias, mean.
    lines: Vec<[f32; 3]>,
}

impl BatchNorm {
    /// What channel `c` is multiplied by and what is added to it, with its mean taken off before where it is `centred`.
    pub fn line(&self, c: usize, centred: bool) -> (f32, f32) {
        let [factor, bias, mean] = self.lines[c];
        (factor, if centred { bias } else { bias - factor * mean })
    }
}

/// The BatchNormalization that alone uses `value`.
fn batch_norm(graph: &Graph, facts: &Facts, value: ValueId) -> Option<BatchNorm> {
    let (_, node) = only_user(graph, value).filter(|(_, n)| n.op_type == "BatchNormalization")?;
    let known = |k: usize| Some(facts.constant[(*node.inputs.get(k)?)?].as_ref()?.data.to_real::<f64>());
    let epsilon = match node.op.attributes().get("epsilon") {
        Some(Attr::Float(e)) => f64::from(*e),
        _ => 1e-5,
    };
    let [scale, bias, mean, variance] = [known(1)?, known(2)?, known(3)?, known(4)?];
    let line = |c: usize| [scale[c] / (variance[c] + epsilon).sqrt(), bias[c], mean[c]].map(|v| v as f32);
    let lines = (0..scale.len()).map(line).collect();
    Some(BatchNorm { mean: node.inputs[3]?, output: node.outputs[0]?, lines })
}

/// The node that alone uses `value`.
fn only_user(graph: &Graph, value: ValueId) -> Option<(NodeId, &Node)> {
    let uses = |n: &Node| n.inputs.contains(&Some(value)) || n.captured.contains(&value);
    let mut users = graph.nodes.iter().enumerate().filter(|(_, n)| uses(n));
    let user = users.next()?;
    (users.next().is_none() && !graph.outputs.contains(&value)).then_some(user)
}

/// The addition that alone uses `value`, and its other operand, if that has the same shape and is computed before.
pub(super) fn sum_after(graph: &Graph, facts: &Facts, value: ValueId) -> Option<(ValueId, ValueId)> {
    let (_, add) = only_user(graph, value).filter(|(_, n)| n.op_type == "Add")?;
    let other = add.inputs.iter().flatten().copied().find(|&v| v != value)?;
    let before = graph.producer(other).is_none_or(|p| graph.producer(value).is_some_and(|own| p < own));
    let same = facts.constant[other].is_none() && facts.shape(other) == facts.shape(value);
    (before && same).then_some((add.outputs[0]?, other))
}

/// Whether a rectifier alone uses `value`.
pub(super) fn is_rectified(graph: &Graph, facts: &Facts, value: ValueId) -> bool {
    let Some((_, node)) = only_user(graph, value) else { return false };
    let least = match node.inputs.get(1).copied().flatten() {
        Some(v) => facts.constant[v].as_ref().map(|t| t.data.to_real::<f64>()),
        None => match node.op.attributes().get("min") {
            Some(Attr::Float(m)) => Some(vec![f64::from(*m)]),
            _ => None,
        },
    };
    match node.op_type.as_str() {
        "Relu" => true,
        "Clip" => node.inputs[0] == Some(value) && least == Some(vec![0.0]),
        _ => false,
    }
}
