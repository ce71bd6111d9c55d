//! Channels that the others stand for: what a layer reads of them is nearly a linear function of what else it reads.
//!
//! Gates are trained with a constant in a closed channel's place; the fits that follow put a linear function of the open ones
//! there. Gates alone are blind to that, and choose for the wrong end. So the last part of a cut is made by covariances: from a
//! plan that keeps somewhat more than is asked, channels go one after the other, each time the one whose part in its readers'
//! results is told best by all that is left, for what it costs (backward elimination; "LinDeps", arXiv 2507.21573, looks for such
//! channels by a pivoted QR factorisation). The error of a reader counts relative to the variance of its result: all layers
//! alike, which on SqueezeNet was better than weights by the loss's second derivatives.

use super::Session;
use super::compensate::{TapSums, tap_sums};
use crate::cost::Cost;
use crate::coupling::Groups;
use crate::exec::GateSpec;
use crate::graph::*;
use crate::kernels::cholesky::Cholesky;
use crate::kernels::matmul::{gram, matmul, plain};
use crate::support::index::OptIndex;
use crate::tensor::*;
use faer::Mat;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Positions of a value to take, per coordinate.
const PER_COORDINATE: usize = 16;

/// Least number of positions to take, however few the coordinates.
const POSITIONS: usize = 1 << 15;

/// Largest number of coordinates of a gate: what is read in more cannot be told.
const COORDINATES: usize = 4096;

/// Largest size of all covariances together, in bytes: the first gates come first.
const BYTES: usize = 384 << 20;

/// Largest number of an image's positions that count as samples of their own: neighbours are alike.
const INDEPENDENT: usize = 8;

/// Ridge of the covariances, relative to their mean on the diagonal.
const RIDGE: f64 = 1e-3;

/// What is known of the unpruned network's values, over images and positions.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Covariances of what passes through each gate; none where they would be too large.
    covariances: Vec<Option<Covariance>>,
    /// Variance of values that come together in one, sum over their channels; missing where they are not computed.
    variances: HashMap<ValueId, f64>,
}

/// Covariance of a gate's coordinates.
#[derive(Debug, Clone, PartialEq)]
struct Covariance {
    /// Row-major `[c, c]`.
    matrix: Vec<f64>,
    /// Number of samples that say something new: of an image's positions at most [`INDEPENDENT`].
    samples: f64,
}

/// Statistics of the network that `session` runs, which has gates at `gates`, over the images `list`.
pub fn statistics(network: Network, session: &Session, gates: &[GateSpec], list: &[usize]) -> Statistics {
    let mut room = BYTES;
    let mut sums: Vec<Option<Sums>> = gates.iter().map(|g| Sums::new(g.index.len(), &mut room)).collect();
    let joined: BTreeSet<ValueId> = (network.graph.nodes.iter())
        .filter_map(|node| joins(network, node))
        .flat_map(|operands| operands.into_iter().map(|(_, v)| v))
        .collect();
    let mut moments: BTreeMap<ValueId, Vec<[f64; 2]>> = BTreeMap::new();
    // A few images at a time: their columns are kept side by side.
    for (k, some) in list.chunks(session.batch * session.pool.len()).enumerate() {
        let before = k * session.batch * session.pool.len();
        let chunks = session.each(some, None, |chunk| {
            chunk.workspace.forward(chunk.program, None);
            let first = before + chunk.positions.start;
            let value = |v: ValueId| chunk.workspace.value(chunk.program, v).filter(|y| !y.is_empty());
            let columns = |(gate, sums): (&GateSpec, &Option<Sums>)| {
                let y = sums.as_ref().and_then(|_| value(gate.value))?;
                let images = first..first + chunk.positions.len();
                Some((columns(y, gate.axis, session.batch, images, list.len()), chunk.positions.len()))
            };
            let part = chunk.positions.len() as f64 / session.batch as f64;
            let of_joined = joined.iter().filter_map(|&v| Some((v, sums_by_channel(value(v)?, part))));
            let of_joined: Vec<_> = of_joined.collect();
            (gates.iter().zip(&sums).map(columns).collect::<Vec<_>>(), of_joined)
        });
        let mut by_gate: Vec<_> = sums.iter_mut().map(|s| (s, Vec::<Columns>::new())).collect();
        for (columns, of_joined) in chunks {
            by_gate.iter_mut().zip(columns).for_each(|((_, all), columns)| all.extend(columns));
            for (v, part) in of_joined {
                let sums = moments.entry(v).or_insert_with(|| vec![[0.0; 2]; part.len()]);
                sums.iter_mut().zip(part).for_each(|(s, p)| (0..2).for_each(|k| s[k] += p[k]));
            }
        }
        session.pool.each(&mut by_gate, |(sums, all)| {
            let Some(sums) = sums else { return };
            all.iter().for_each(|(columns, images)| sums.add(columns, *images));
        });
    }
    let images = list.len().max(1) as f64;
    let variance = |sums: Vec<[f64; 2]>| {
        sums.into_iter().map(|[s, q]| (q / images - (s / images).powi(2)).max(0.0)).sum::<f64>()
    };
    Statistics {
        covariances: sums.into_iter().map(|s| s.and_then(Sums::covariance)).collect(),
        variances: moments.into_iter().map(|(v, sums)| (v, variance(sums))).collect(),
    }
}

/// By channel, the sum over a chunk's images of the mean over positions, and of the squares'; a chunk that is not full counts as
/// `part` of one.
fn sums_by_channel(y: &Array<f32>, part: f64) -> Vec<[f64; 2]> {
    let axis = usize::from(y.ndim() > 1);
    let (outer, size, inner) = sides(y.shape(), axis);
    let mut sums = vec![[0.0; 2]; size];
    let rows = (outer as f64 * part).round() as usize * size;
    for (row, x) in y.elements().chunks_exact(inner.max(1)).take(rows).enumerate() {
        let sum = &mut sums[row % size];
        sum[0] += f64::from(x.iter().sum::<f32>()) / inner as f64;
        sum[1] += f64::from(x.iter().map(|x| x * x).sum::<f32>()) / inner as f64;
    }
    sums
}

/// The computed operands of a node that adds them or puts them side by side; none of one that does something else.
fn joins(Network { facts, .. }: Network, node: &Node) -> Option<Vec<(usize, ValueId)>> {
    let operands = computed(facts, node);
    let beside = operands.iter().all(|&(slot, _)| node.op.rearranges(slot));
    (operands.len() > 1 && (node.op.adds() || beside)).then_some(operands)
}

/// Slots and values of a node's operands that are no constants.
fn computed(facts: &Facts, node: &Node) -> Vec<(usize, ValueId)> {
    let operands = node.inputs.iter().enumerate().filter_map(|(slot, v)| Some((slot, (*v)?)));
    operands.filter(|&(_, v)| facts.constant[v].is_none()).collect()
}

/// By node and slot, how much a relative error of that operand counts at the outputs, where it goes on as a relative error of what
/// is made of it: a part of a sum, or of what stands side by side, counts by its share of the variance.
fn importance(network: Network, variances: &HashMap<ValueId, f64>) -> Vec<Vec<f64>> {
    let Network { graph, facts } = network;
    let mut of_value = vec![0.0; graph.values.len()];
    graph.outputs.iter().for_each(|&v| of_value[v] = 1.0);
    // What a subgraph does is not known.
    graph.nodes.iter().flat_map(|n| &n.captured).for_each(|&v| of_value[v] = 1.0);
    let mut out: Vec<Vec<f64>> = graph.nodes.iter().map(|n| vec![0.0; n.inputs.len()]).collect();
    for (n, node) in graph.nodes.iter().enumerate().rev() {
        let whole: f64 = node.outputs.iter().flatten().map(|&v| of_value[v]).sum();
        let operands = computed(facts, node);
        let known = joins(network, node)
            .and_then(|o| o.iter().map(|(_, v)| variances.get(v).copied()).collect::<Option<Vec<f64>>>());
        let sum: f64 = known.iter().flatten().sum();
        for (k, &(slot, v)) in operands.iter().enumerate() {
            let share = match &known {
                Some(all) if sum > 0.0 => all[k] / sum,
                _ => 1.0,
            };
            out[n][slot] = whole * share;
            of_value[v] += whole * share;
        }
    }
    out
}

/// Coordinates along `axis` at some positions of a chunk's `images` out of `all`, and a row of ones: `[c + 1, positions]`.
fn columns(
    y: &Array<f32>,
    axis: usize,
    batch: usize,
    images: std::ops::Range<usize>,
    all: usize,
) -> Vec<f32> {
    let (outer, size, inner) = sides(y.shape(), axis);
    let of_image = outer / batch.max(1) * inner;
    let wanted = (PER_COORDINATE * (size + 1)).max(POSITIONS);
    let step = (of_image * all / wanted).max(1);
    let taken: Vec<usize> = images
        .enumerate()
        .flat_map(|(k, image)| (image % step..of_image).step_by(step).map(move |p| k * of_image + p))
        .collect();
    let elements = y.elements();
    let mut out = Vec::with_capacity((size + 1) * taken.len());
    for c in 0..size {
        out.extend(taken.iter().map(|p| elements[(p / inner * size + c) * inner + p % inner]));
    }
    out.resize((size + 1) * taken.len(), 1.0);
    out
}

/// What passes through a gate in some images, `[c + 1, positions]` with a last row of ones, and the number of images.
type Columns = (Vec<f32>, usize);

/// Σ x·xᵀ of a gate's coordinates and a one.
struct Sums {
    rows: usize,
    /// On and below the diagonal.
    g: Vec<f64>,
    /// See [`Covariance::samples`].
    samples: f64,
}

impl Sums {
    fn new(coordinates: usize, room: &mut usize) -> Option<Self> {
        let rows = coordinates + 1;
        if coordinates > COORDINATES || 8 * rows * rows > *room {
            return None;
        }
        *room -= 8 * rows * rows;
        Some(Self { rows, g: vec![0.0; rows * rows], samples: 0.0 })
    }

    /// Adds the columns of some images.
    fn add(&mut self, columns: &[f32], images: usize) {
        let rows = self.rows;
        let of_image = columns.len() / rows / images.max(1);
        self.samples += (images * of_image.min(INDEPENDENT)) as f64;
        let part = gram(rows, columns.len() / rows, columns);
        self.g.iter_mut().zip(part).for_each(|(s, p)| *s += f64::from(p));
    }

    /// None where there was nothing.
    fn covariance(self) -> Option<Covariance> {
        let Self { rows, g, samples } = self;
        let (n, size) = (*g.last()?, rows - 1);
        let mean = |c: usize| g[size * rows + c] / n;
        let at = |i: usize| {
            let (r, c) = (i / size, i % size);
            g[r.max(c) * rows + r.min(c)] / n - mean(r) * mean(c)
        };
        (n > 1.0).then(|| Covariance { matrix: (0..size * size).map(at).collect(), samples })
    }
}

/// A network's channels, and what is known of them.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The network.
    pub network: Network<'a>,
    /// Its groups.
    pub groups: &'a Groups,
    /// Its gates.
    pub gates: &'a [GateSpec],
    /// Of the unpruned network.
    pub statistics: &'a Statistics,
}

/// The classes of a plan that go one after the other until the cost is at most `target`, first to last. Only classes that `may`
/// go do.
pub fn eliminate(around: Surroundings, cost: &Cost, kept: &[bool], may: &[bool], target: u64) -> Vec<usize> {
    let mut rest = Rest::new(around, kept);
    let mut running = cost.running(kept);
    let mut lambda: Vec<f64> = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
    let mut gone = Vec::new();
    while running.total > target {
        let mut saved = vec![0.0; kept.len()];
        cost.gradient(&lambda, 1.0, &mut saved);
        let worth = |c: usize| {
            let (error, saves) =
                rest.with_branches(c).fold((0.0, 0.0), |(e, s), c| (e + rest.error(c), s + saved[c]));
            (saves > 0.0).then(|| (c, error / saves))
        };
        let open = (0..kept.len()).filter(|&c| may[c] && lambda[c] > 0.0 && rest.is_told(c));
        let Some((next, _)) = open.filter_map(worth).min_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        let all: Vec<usize> = rest.with_branches(next).filter(|&c| lambda[c] > 0.0).collect();
        for c in all {
            rest.remove(c);
            running.set(c, false);
            lambda[c] = 0.0;
            gone.push(c);
        }
    }
    gone
}

/// What is left of the channels, gate by gate.
struct Rest {
    gates: Vec<Told>,
    /// By class: its gates and coordinates there.
    places: Vec<Vec<(usize, usize)>>,
    /// By class of a trunk: those of branches that go with it.
    branches: Vec<Vec<usize>>,
    /// By class: number of classes of its group that are left, and the group.
    group: Vec<usize>,
    left: Vec<usize>,
}

/// A gate's coordinates, and how well each is told by the others.
struct Told {
    /// Inverse covariance of the coordinates that are left, `[c, c]`.
    inverse: Vec<f64>,
    /// Coordinates that are left.
    open: Vec<bool>,
    weights: Weights,
}

/// By coordinate of a gate, what its error makes in the readers, relative to the variance of their results and by their importance.
struct Weights {
    /// Per squared error, in layers: there the others can stand in.
    mixed: Vec<f64>,
    /// Of the whole coordinate, in readers that take each as it is.
    alone: Vec<f64>,
}

impl Rest {
    fn new(around: Surroundings, kept: &[bool]) -> Self {
        let Surroundings { network, groups, gates, statistics } = around;
        let importance = importance(network, &statistics.variances);
        let mut places = vec![Vec::new(); kept.len()];
        let mut told = Vec::new();
        for (gate, covariance) in gates.iter().zip(&statistics.covariances) {
            let told_by = |c: &Covariance| Told::new(network, gate, &importance, c, kept);
            let Some(of_gate) = covariance.as_ref().and_then(told_by) else {
                continue;
            };
            for (k, c) in gate.index.iter().enumerate() {
                c.get().into_iter().filter(|&c| kept[c]).for_each(|c| places[c].push((told.len(), k)));
            }
            told.push(of_gate);
        }
        let mut branches = vec![Vec::new(); kept.len()];
        let both = groups.implied.iter().filter(|(t, b)| kept[*t] && kept[*b]);
        both.for_each(|&(t, b)| branches[t].push(b));
        let group: Vec<usize> = groups.classes.iter().map(|c| c.group).collect();
        let mut left = vec![0; groups.groups.len()];
        (0..kept.len()).filter(|&c| kept[c]).for_each(|c| left[group[c]] += 1);
        Self { gates: told, places, branches, group, left }
    }

    /// A class, and those of branches that go with it.
    fn with_branches(&self, class: usize) -> impl Iterator<Item = usize> {
        std::iter::once(class).chain(self.branches[class].iter().copied())
    }

    /// True if something is known of a class, and it is not the last of its group.
    fn is_told(&self, class: usize) -> bool {
        !self.places[class].is_empty() && self.left[self.group[class]] > 1
    }

    /// The part of a class in its readers' results that is not told by what is left, relative to their variance.
    fn error(&self, class: usize) -> f64 {
        let open = self.places[class].iter().filter(|(g, k)| self.gates[*g].open[*k]);
        open.map(|&(g, k)| self.gates[g].error(k)).sum()
    }

    fn remove(&mut self, class: usize) {
        self.left[self.group[class]] -= 1;
        for &(g, k) in &self.places[class] {
            self.gates[g].remove(k);
        }
    }
}

impl Told {
    /// None where nothing varies.
    fn new(
        network: Network,
        gate: &GateSpec,
        importance: &[Vec<f64>],
        covariance: &Covariance,
        kept: &[bool],
    ) -> Option<Self> {
        let size = gate.index.len();
        let Covariance { matrix: covariance, samples } = covariance;
        let mut weights = Weights::new(network, gate, importance, covariance)?;
        let open: Vec<bool> = gate.index.iter().map(|c: &OptIndex| c.get().is_none_or(|c| kept[c])).collect();
        let there: Vec<usize> = (0..size).filter(|&k| open[k]).collect();
        let mean = (0..size).map(|k| covariance[k * size + k]).sum::<f64>() / size as f64;
        let ridged = |i: usize, j: usize| {
            covariance[there[i] * size + there[j]] + if i == j { RIDGE * mean } else { 0.0 }
        };
        let n = there.len();
        // What is left of a coordinate beside n others is underrated by as many samples; by no more samples than others nothing
        // is told.
        let surplus = samples - n as f64;
        if surplus < 1.0 {
            weights.leave_alone(covariance);
            let identity = (0..size * size).map(|i| f64::from(u8::from(i % (size + 1) == 0))).collect();
            return Some(Self { inverse: identity, open, weights });
        }
        weights.mixed.iter_mut().for_each(|w| *w *= samples / surplus);
        let factor = Cholesky::new(Mat::from_fn(n, n, ridged))?;
        let solved = factor.solve(Mat::identity(n, n));
        let mut inverse = vec![0.0; size * size];
        for (i, &k) in there.iter().enumerate() {
            there.iter().enumerate().for_each(|(j, &l)| inverse[k * size + l] = solved[(i, j)]);
        }
        Some(Self { inverse, open, weights })
    }

    fn error(&self, k: usize) -> f64 {
        self.weights.alone[k] + self.weights.mixed[k] / self.inverse[k * self.open.len() + k]
    }

    /// The inverse without coordinate k: P − p·pᵀ/P_kk.
    fn remove(&mut self, k: usize) {
        let size = self.open.len();
        if !std::mem::replace(&mut self.open[k], false) {
            return;
        }
        let row = self.inverse[k * size..][..size].to_vec();
        for (i, line) in self.inverse.chunks_exact_mut(size).enumerate().filter(|(i, _)| self.open[*i]) {
            let factor = row[i] / row[k];
            line.iter_mut().zip(&row).for_each(|(p, r)| *p -= factor * r);
        }
    }
}

impl Weights {
    /// Lets no other coordinate stand in.
    fn leave_alone(&mut self, covariance: &[f64]) {
        let size = self.mixed.len();
        for (k, (alone, mixed)) in self.alone.iter_mut().zip(&mut self.mixed).enumerate() {
            *alone += std::mem::take(mixed) * covariance[k * size + k].max(0.0);
        }
    }

    /// None where nothing varies.
    fn new(network: Network, gate: &GateSpec, importance: &[Vec<f64>], covariance: &[f64]) -> Option<Self> {
        let size = gate.index.len();
        let own = |k: usize| covariance[k * size + k].max(0.0);
        let whole: f64 = (0..size).map(own).sum();
        let mut weights = Self { mixed: vec![0.0; size], alone: vec![0.0; size] };
        for &(n, slot) in &gate.readers {
            let counts = importance[n][slot];
            let layer = tap_sums(network, n, input(slot, gate.axis)).filter(|s| s.inputs == size);
            let Some(TapSums { matrix, .. }) = layer else {
                (0..size).for_each(|k| weights.alone[k] += counts * own(k) / whole.max(f64::MIN_POSITIVE));
                continue;
            };
            let mut product = vec![0.0; matrix.len()];
            let outputs = matrix.len() / size.max(1);
            matmul(outputs, size, size, plain(&matrix), plain(covariance), false, &mut product);
            let variance: f64 = product.iter().zip(&matrix).map(|(p, w)| p * w).sum();
            if variance > 0.0 {
                matrix
                    .iter()
                    .enumerate()
                    .for_each(|(i, w)| weights.mixed[i % size] += counts * w * w / variance);
            }
        }
        weights.mixed.iter().chain(&weights.alone).any(|w| *w > 0.0).then_some(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Convention;
    use crate::coupling::{Residual, group};
    use crate::gates::gate;
    use crate::ops::Net;

    /// Order in which three channels go, of which the covariance is told; `added` puts an addition in the reader's place.
    fn order(covariance: &[f64; 9], samples: f64, added: bool) -> Vec<usize> {
        let mut net = Net::default();
        let x = net.input(&[1, 2, 2, 2]);
        let trunk = net.conv(x, &[3, 2, 1, 1], 1);
        let branch = net.conv(trunk, &[3, 3, 1, 1], 1);
        let read = if added { net.plain("Add", &[trunk, branch]) } else { branch };
        let y = net.conv(read, &[2, 3, 1, 1], 1);
        let (graph, facts) = net.done(&[y]);
        let network = Network::new(&graph, &facts);
        let groups = group(network, Residual::Expand);
        let mut gates = gate::specs(&graph, &groups);
        gates.retain(|g| g.value == branch);
        let variances = HashMap::from([(trunk, 1.0), (branch, 3.0)]);
        let covariance = Covariance { matrix: covariance.to_vec(), samples };
        let statistics = Statistics { covariances: vec![Some(covariance)], variances };
        let around = Surroundings { network, groups: &groups, gates: &gates, statistics: &statistics };
        let cost = Cost::new(network, &groups, Convention::Macs);
        let all = vec![true; groups.classes.len()];
        let gone = eliminate(around, &cost, &all, &all, 0);
        let place = |c: &usize| gates[0].index.iter().position(|i| i.get() == Some(*c)).unwrap();
        gone.iter().map(place).collect()
    }

    #[test]
    fn what_the_others_tell_goes_before_what_is_small() {
        // Channels 0 and 2 are nearly the same, channel 1 is smaller and by itself.
        let covariance = [1.0, 0.0, 0.999, 0.0, 0.2, 0.0, 0.999, 0.0, 1.1];
        let first = order(&covariance, 1e6, false)[0];
        assert_ne!(first, 1, "channel 0 stands for channel 2, or the other way round");
        assert_eq!(order(&covariance, 1e6, false).len(), 2, "the last of a group stays");
        assert_eq!(order(&covariance, 1e6, true)[0], 1, "in a sum no other channel can stand in");
        assert_eq!(order(&covariance, 3.0, false)[0], 1, "three samples tell nothing of three channels");
    }

    #[test]
    fn a_part_of_a_sum_counts_by_its_share() {
        let mut net = Net::default();
        let x = net.input(&[1, 2, 2, 2]);
        let branch = net.conv(x, &[2, 2, 1, 1], 1);
        let sum = net.plain("Add", &[x, branch]);
        let beside = net.plain("Relu", &[sum]);
        let (graph, facts) = net.done(&[beside]);
        let network = Network::new(&graph, &facts);
        let of = |all: &[(ValueId, f64)]| importance(network, &all.iter().copied().collect());
        assert_eq!(of(&[(x, 3.0), (branch, 1.0)])[..2], [vec![0.25, 0.0], vec![0.75, 0.25]]);
        assert_eq!(of(&[(x, 3.0)])[1], [1.0, 1.0], "where nothing is known both count whole");
    }

    #[test]
    fn covariances_are_those_of_all_positions() {
        // [images, channels, positions]; the second image is no part of the chunk's images.
        let y = array(&[2, 2, 3], vec![1.0, 2.0, 3.0, 2.0, 4.0, 9.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]);
        let x = columns(&y, 1, 2, 0..1, 1);
        assert_eq!(x, [1.0, 2.0, 3.0, 2.0, 4.0, 9.0, 1.0, 1.0, 1.0]);
        let mut sums = Sums::new(2, &mut usize::MAX.clone()).unwrap();
        sums.add(&x, 1);
        let expected = [2.0 / 3.0, 7.0 / 3.0, 7.0 / 3.0, 26.0 / 3.0];
        let Covariance { matrix: found, samples } = sums.covariance().unwrap();
        assert_eq!(samples, 3.0);
        found.iter().zip(expected).for_each(|(f, e)| assert!((f - e).abs() < 1e-9, "{found:?}"));
        assert!(Sums::new(COORDINATES + 1, &mut usize::MAX.clone()).is_none());
        assert_eq!(sums_by_channel(&y, 0.5), [[2.0, 14.0 / 3.0], [5.0, 101.0 / 3.0]]);
    }

    /// Σ w²·(variance of a coordinate given the others) by the inverse, before and after another one went.
    #[test]
    fn an_inverse_is_followed_while_coordinates_go() {
        let covariance = [2.0, 0.5, 0.3, 0.5, 1.0, 0.2, 0.3, 0.2, 1.5];
        let inverse = |m: [[f64; 2]; 2]| {
            let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
            m[1][1] / det
        };
        let solved = Cholesky::new(Mat::from_fn(3, 3, |i, j| covariance[3 * i + j])).unwrap();
        let solved = solved.solve(Mat::identity(3, 3));
        let inverse3 = (0..9).map(|i| solved[(i / 3, i % 3)]).collect();
        let weights = Weights { mixed: vec![1.0; 3], alone: vec![0.0; 3] };
        let mut told = Told { inverse: inverse3, open: vec![true; 3], weights };
        told.remove(1);
        assert!((told.error(0) - 1.0 / inverse([[2.0, 0.3], [0.3, 1.5]])).abs() < 1e-12);
        assert!(!told.open[1]);
    }
}
