//! Layers that can be fitted: their inputs as columns, their weights as a matrix, and their wanted outputs.

use crate::graph::*;
use crate::kernels::conv::Geometry;
use crate::tensor::*;
use std::collections::BTreeSet;

/// A convolution or a matrix product with stored weights of its own.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub name: String,
    pub input: ValueId,
    pub output: ValueId,
    /// The axis of the output with its channels.
    pub axis: usize,
    pub weight: ValueId,
    pub bias: Option<LayerBias>,
    /// The BatchNormalization that alone reads this layer's output.
    pub normalised: Option<BatchNorm>,
    /// The value that goes on from here: the normalisation's, or the sum with the constant that is added.
    pub result: ValueId,
    pub form: Form,
    /// Factor of the sum of products.
    factor: f64,
    /// Output positions per chunk of images.
    pub positions: usize,
    /// Images of a chunk.
    images: usize,
}

/// The constant that is added to a layer's output, by channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LayerBias {
    /// The stored constant.
    pub value: ValueId,
    /// Its place: the result of the node that reads it, and the slot.
    pub stands: (ValueId, usize),
    /// Factor of the constant.
    pub factor: f64,
    /// True where it is added after the layer: an Add's constant, or a running mean, which is taken off.
    pub after: bool,
}

impl LayerBias {
    /// Its numbers in another network with equal nodes, which adds them after the layer: by channel.
    pub fn after_in(&self, Network { graph, facts }: Network) -> Option<Vec<f32>> {
        let (result, slot) = self.stands;
        let node = &graph.nodes[graph.producer(result)?];
        let stored = facts.constant[(*node.inputs.get(slot)?)?].as_ref()?;
        Some(stored.to_real::<f64>().into_iter().map(|v| (self.factor * v) as f32).collect())
    }
}

/// Form of a layer: its product of input and weights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// w: [cout, cin / group, kernel…]
    Conv(Geometry),
    /// Axis `axis` of x, of `k` channels, times w: [k, n], or [n, k] where `turned`.
    Product { axis: usize, k: usize, n: usize, turned: bool },
}

/// New weights and biases, in the order in which the file stores them.
pub(super) struct Weights {
    pub weight: Vec<f64>,
    pub bias: Option<Vec<f64>>,
}

/// The wanted output of a layer, and what follows it.
pub(super) struct Target {
    /// The original's channels that it has.
    pub channels: Vec<usize>,
    /// The original's other axes that lose coordinates.
    pub others: Others,
    /// The addition that follows, if its other operand is computed earlier: then the sum is wanted, not the output.
    pub sum: Option<Sum>,
    /// True where a rectifier alone reads the result.
    pub rectified: bool,
    /// True where the network takes nothing but means over all positions of the result.
    pub averaged: bool,
}

/// An addition that reads a layer's result.
pub(super) struct Sum {
    /// The other operand.
    pub trunk: ValueId,
    /// The original's channels that are left of it.
    pub left: Vec<usize>,
    /// Its other axes that lose coordinates.
    pub others: Others,
}

/// Axes that lose coordinates, with the coordinates that are left.
pub(super) type Others = Vec<(usize, Vec<usize>)>;

/// Every `step`-th output position of a chunk, from `first` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub first: usize,
    pub step: usize,
}

impl Layer {
    /// Node `n` as a layer, if it is one whose weights may be changed.
    pub fn of(network: Network, n: NodeId) -> Option<Self> {
        let Network { graph, facts } = network;
        let node = &graph.nodes[n];
        let layer = facts.linear(node).filter(|l| l.factor != 0.0)?;
        let operand = |slot: usize| node.inputs.get(slot).copied().flatten();
        let (input, weight, output) =
            (operand(layer.slot())?, operand(layer.weight)?, (*node.outputs.first()?)?);
        let (x, w, y) = (facts.shape(input)?, facts.shape(weight)?, facts.shape(output)?);
        if volume(x) == 0 || volume(y) == 0 || !is_own(network, weight) {
            return None;
        }
        let (axis, channels) = (layer.result, *y.get(layer.result)?);
        let along = |v: &ValueId| {
            is_own(network, *v) && facts.shape(*v).is_some_and(|s| is_along(s, y.len(), axis, channels))
        };
        let form = match layer.window {
            true => Form::Conv(layer.geometry?),
            false => {
                let [along, across] = layer.weight_axes;
                Form::Product { axis: layer.input.axis, k: w[along], n: w[across], turned: across < along }
            }
        };
        let bias = layer.bias.and_then(|(slot, factor)| Some((slot, operand(slot)?, factor)));
        let own = match bias {
            // Of one number per channel by definition.
            Some((slot, value, factor)) if layer.window && is_own(network, value) => {
                Some(LayerBias { value, stands: (output, slot), factor, after: false })
            }
            Some((slot, value, factor)) if along(&value) && factor != 0.0 => {
                Some(LayerBias { value, stands: (output, slot), factor, after: false })
            }
            Some(_) => return None,
            None => None,
        };
        let normalised = batch_norm(network, output).filter(|_| layer.window);
        let added = added(network, output).filter(|(_, s)| layer.bias.is_none() && along(&s.value));
        let mean = normalised.as_ref().map(|b| b.mean).filter(|m| is_own(network, m.value));
        let bias = own.or(mean).or(added.map(|(_, bias)| bias));
        let positions = match form {
            Form::Conv(g) => g.batch * g.pixels_out(),
            Form::Product { k, .. } => volume(x) / k.max(1),
        };
        let behind = normalised.as_ref().map(|b| b.output).or(added.map(|(sum, _)| sum));
        let (name, result, factor) = (node.name.clone(), behind.unwrap_or(output), layer.factor);
        let images = facts.batch(graph).max(1);
        Some(Self {
            name,
            input,
            output,
            axis,
            weight,
            bias,
            normalised,
            result,
            form,
            factor,
            positions,
            images,
        })
    }

    /// Output positions of an image.
    pub fn positions_of_image(&self) -> usize {
        (self.positions / self.images).max(1)
    }

    /// Groups, inputs per group (rows of the columns), outputs per group.
    pub fn sizes(&self) -> (usize, usize, usize) {
        match self.form {
            Form::Conv(g) => (g.group, g.cin / g.group * g.taps(), g.cout / g.group),
            Form::Product { k, n, .. } => (1, k, n),
        }
    }

    /// Inputs of group `group` at some positions: row-major `[rows, positions]`.
    pub fn columns(&self, x: &Array<f32>, group: usize, at: Sampling) -> Vec<f32> {
        let taken: Vec<usize> = (at.first..self.positions).step_by(at.step).collect();
        let (_, rows, _) = self.sizes();
        let mut out = vec![0.0; rows * taken.len()];
        match self.form {
            Form::Product { axis, .. } => {
                let x = x.view();
                let x = around(&x, axis);
                let inner = x.dim().2;
                for (row, out) in out.chunks_exact_mut(taken.len().max(1)).enumerate() {
                    out.iter_mut().zip(&taken).for_each(|(o, &p)| *o = x[[p / inner, row, p % inner]]);
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
                        let plane = &x.elements()[c * g.pixels_in()..];
                        elements.iter().for_each(|&(n, e)| row[n] = plane[e]);
                    }
                }
            }
        }
        out
    }

    /// Elements of an output value that belong to channel `c`, at some positions.
    pub fn outputs<'a>(&self, y: &'a Array<f32>, c: usize, at: Sampling) -> impl Iterator<Item = f32> + 'a {
        let y = around(&y.view(), self.axis);
        let (outer, _, inner) = y.dim();
        (at.first..outer * inner).step_by(at.step).map(move |p| y[[p / inner, c, p % inner]])
    }

    /// The stored weights as a matrix by group, with the layer's factor: `[outputs, rows]`, group after group.
    pub fn matrix(&self, stored: &[f64]) -> Vec<f64> {
        let mut matrix = match self.form {
            Form::Product { k, n, turned: false, .. } => turn(stored, k, n),
            _ => stored.to_vec(),
        };
        matrix.iter_mut().for_each(|w| *w *= self.factor);
        matrix
    }

    /// The inverse of [`Layer::matrix`].
    pub fn stored(&self, mut matrix: Vec<f64>) -> Vec<f64> {
        matrix.iter_mut().for_each(|w| *w /= self.factor);
        match self.form {
            Form::Product { k, n, turned: false, .. } => turn(&matrix, n, k),
            _ => matrix,
        }
    }
}

/// True for a stored floating-point tensor that one node alone uses.
fn is_own(Network { graph, facts }: Network, v: ValueId) -> bool {
    let users = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.captured));
    facts.constant[v].as_ref().is_some_and(|t| t.dtype().is_float())
        && graph.is_stored(v)
        && users.filter(|&&u| u == v).count() == 1
        && !graph.outputs.contains(&v)
}

/// True for a constant that broadcasts to one number for each of the `channels` along `axis` of a value of rank `rank`.
fn is_along(constant: &[usize], rank: usize, axis: usize, channels: usize) -> bool {
    let front = rank.checked_sub(constant.len());
    let wanted = |a: usize| if a == axis { channels } else { 1 };
    front.is_some_and(|f| f <= axis && constant.iter().enumerate().all(|(k, &s)| s == wanted(f + k)))
}

/// The transpose of a `rows × columns` matrix.
fn turn(m: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| m[i % rows * columns + i / rows]).collect()
}

/// A BatchNormalization with stored statistics.
#[derive(Debug, Clone)]
pub(super) struct BatchNorm {
    mean: LayerBias,
    output: ValueId,
    /// By channel: scale / √(variance + ε), bias, mean.
    lines: Vec<[f32; 3]>,
}

impl BatchNorm {
    /// Factor and addend of channel `c`; without the mean where the layer's output is `centred` already.
    pub fn line(&self, c: usize, centred: bool) -> (f32, f32) {
        let [factor, bias, mean] = self.lines[c];
        (factor, if centred { bias } else { bias - factor * mean })
    }
}

/// The BatchNormalization that alone uses `value`.
fn batch_norm(Network { graph, facts }: Network, value: ValueId) -> Option<BatchNorm> {
    let (_, node) = only_user(graph, value)?;
    let n = node.op.normalisation()?;
    let known = |k: usize| Some(facts.constant[(*node.inputs.get(k)?)?].as_ref()?.to_real::<f64>());
    let (scale, bias) = (known(n.scale)?, known(n.bias)?);
    let (mean, variance) = (known(n.mean)?, known(n.variance)?);
    let epsilon = n.epsilon.map_or(1e-5, f64::from);
    let line = |c: usize| [scale[c] / (variance[c] + epsilon).sqrt(), bias[c], mean[c]].map(|v| v as f32);
    let lines = (0..scale.len()).map(line).collect();
    let output = node.outputs[0]?;
    let mean = LayerBias { value: node.inputs[n.mean]?, stands: (output, n.mean), factor: -1.0, after: true };
    Some(BatchNorm { mean, output, lines })
}

/// The addition of a constant that alone uses `value`, and the constant.
fn added(Network { graph, facts }: Network, value: ValueId) -> Option<(ValueId, LayerBias)> {
    let (_, node) = only_user(graph, value).filter(|(_, n)| n.op.adds())?;
    let slot = node.inputs.iter().position(|v| v.is_some_and(|v| facts.constant[v].is_some()))?;
    let (constant, sum) = (node.inputs[slot]?, node.outputs[0]?);
    let same = facts.shape(sum) == facts.shape(value);
    same.then_some((sum, LayerBias { value: constant, stands: (sum, slot), factor: 1.0, after: true }))
}

/// The node that alone uses `value`.
fn only_user(graph: &Graph, value: ValueId) -> Option<(NodeId, &Node)> {
    let uses = |n: &Node| n.inputs.contains(&Some(value)) || n.captured.contains(&value);
    let mut users = graph.nodes.iter().enumerate().filter(|(_, n)| uses(n));
    let user = users.next()?;
    (users.next().is_none() && !graph.outputs.contains(&value)).then_some(user)
}

/// The addition that alone uses `value`, the result of a layer with output `output`, and its other operand, if that has its
/// shape and is computed before the layer.
pub(super) fn sum_after(
    Network { graph, facts }: Network,
    value: ValueId,
    output: ValueId,
) -> Option<(ValueId, ValueId)> {
    let (_, add) = only_user(graph, value).filter(|(_, n)| n.op.adds())?;
    let other = add.inputs.iter().flatten().copied().find(|&v| v != value)?;
    let before = graph.producer(other).is_none_or(|p| graph.producer(output).is_some_and(|own| p < own));
    let same = facts.constant[other].is_none() && facts.shape(other) == facts.shape(value);
    (before && same).then_some((add.outputs[0]?, other))
}

/// True if all that the network makes of `value`, and of what has its positions, are means over the `positions` of an image:
/// what goes on from there is an average.
pub(super) fn is_averaged(Network { graph, facts }: Network, value: ValueId, positions: usize) -> bool {
    let elements = |v: Option<ValueId>| v.and_then(|v| facts.shape(v)).map_or(0, volume);
    let (mut seen, mut open) = (BTreeSet::from([value]), vec![value]);
    let mut averaged = false;
    while let Some(v) = open.pop() {
        if graph.outputs.contains(&v) {
            return false;
        }
        for node in graph.nodes.iter().filter(|n| n.inputs.contains(&Some(v)) || n.captured.contains(&v)) {
            let result = node.outputs.first().copied().flatten();
            match node.op.averages() {
                true if elements(result) * positions == elements(Some(v)) => averaged = true,
                false if facts.linear(node).is_none() => {
                    open.extend(node.outputs.iter().flatten().filter(|&&v| seen.insert(v)));
                }
                _ => return false,
            }
        }
    }
    averaged
}

/// True if a rectifier alone uses `value`.
pub(super) fn is_rectified(Network { graph, facts }: Network, value: ValueId) -> bool {
    let Some((_, node)) = only_user(graph, value) else { return false };
    let limit = facts.operands(node).and_then(|x| node.op.limit(&x));
    node.inputs[0] == Some(value) && limit.is_some_and(Limit::is_rectifier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx;
    use std::path::Path;

    /// Layers of a demo network, in their order, from which nothing goes on but means over all positions.
    fn averaged(name: &str) -> Vec<bool> {
        let model = onnx::read(&Path::new("models").join(name), &[]).unwrap();
        let facts = model.facts().unwrap();
        let network = Network::new(&model.graph, &facts);
        let layers = (0..model.graph.nodes.len()).filter_map(|n| Layer::of(network, n));
        layers.map(|l| is_averaged(network, l.result, l.positions_of_image())).collect()
    }

    #[test]
    fn what_a_global_average_alone_reads_is_averaged() {
        let of = |name| averaged(name).into_iter().rev().take(4).collect::<Vec<_>>();
        assert_eq!(of("digits_concat.onnx"), [false, true, false, false], "the layer before the average");
        assert_eq!(of("digits_residual.onnx"), [false, true, false, false], "the last summand");
        assert_eq!(of("digits_chain.onnx"), [false; 4], "it is flattened");
    }
}
