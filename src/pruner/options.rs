//! Everything a run can be told, with the defaults.

use crate::cost::Convention;
use crate::cost::latency::Speed;
use crate::coupling::Residual;
use crate::data::Augment;
use crate::exec::LossKind;
use crate::gates::Checkpointing;
use crate::plan::{Limits, Round};
use crate::recover::{self, Method};
use regex::Regex;

/// Amount to be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Share of the network's MACs, 0 to 1.
    Share(f64),
    /// MACs.
    Macs(u64),
    /// Share of the predicted time, 0 to 1.
    TimeShare(f64),
    /// Predicted time, in nanoseconds.
    Time(u64),
}

/// Unit of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Multiply-accumulates.
    Macs,
    /// Nanoseconds.
    Time,
}

impl Target {
    /// A share of the network's MACs, 0 to 1.
    pub fn macs_share(share: f64) -> Self {
        Self::Share(share)
    }

    /// A number of MACs.
    pub fn macs(macs: u64) -> Self {
        Self::Macs(macs)
    }

    /// A share of the network's time on a processor ([`Pruner::processor`](super::Pruner::processor)), 0 to 1.
    pub fn time_share(share: f64) -> Self {
        Self::TimeShare(share)
    }

    /// A time on a processor ([`Pruner::processor`](super::Pruner::processor)), in milliseconds, rounded to nanoseconds.
    pub fn milliseconds(milliseconds: f64) -> Self {
        Self::Time((milliseconds * 1e6).round() as u64)
    }

    /// Unit of the amount.
    pub fn unit(self) -> Unit {
        match self {
            Self::Share(_) | Self::Macs(_) => Unit::Macs,
            Self::TimeShare(_) | Self::Time(_) => Unit::Time,
        }
    }

    /// True for a time.
    pub fn is_time(self) -> bool {
        self.unit() == Unit::Time
    }

    /// Amount to be kept of a network whose amount is `whole`, in the unit.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Share(s) | Self::TimeShare(s) => (whole as f64 * s).floor() as u64,
            Self::Macs(amount) | Self::Time(amount) => amount,
        }
    }

    /// A word for file names: `70`, `55.8M`, `30ms`.
    pub fn word(self) -> String {
        let amount = |n: u64, units: &[(f64, &str)]| {
            let (unit, name) = units.iter().find(|(unit, _)| n as f64 >= *unit).unwrap_or(&(1.0, ""));
            format!("{}{name}", n as f64 / unit)
        };
        match self {
            Self::Share(s) | Self::TimeShare(s) => format!("{}", (s * 1e6).round() / 1e4),
            Self::Macs(n) => amount(n, &[(1e9, "G"), (1e6, "M"), (1e3, "k")]),
            Self::Time(n) => amount(n, &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")]),
        }
    }
}

/// Origin of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Criterion {
    /// Trained gates.
    #[default]
    Gates,
    /// How well the others tell each channel: no training, but images.
    Dependence,
    /// Group-L1 norm of the weights.
    L1,
    /// Chance.
    Random,
}

/// Replacement of a deleted channel's contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compensation {
    /// Its calibration mean, in the readers' biases.
    Mean,
    /// A constant that is trained beside the gates, in the readers' biases.
    #[default]
    Learned,
    /// Nothing.
    None,
}

/// Recovery of lost accuracy after pruning.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Recover {
    /// Every layer is fitted in closed form to the output of the unpruned network's layer; no labels.
    Reconstruct,
    /// The fits, then training of the weights.
    Finetune(Finetune),
    /// Nothing: no weight is changed.
    #[default]
    None,
}

/// Training of the weights after pruning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finetune {
    /// Passes over the images; none trains for a minute or two ([`Finetune::passes`]).
    pub epochs: Option<usize>,
    /// Images per update; none takes 16 in a short training and 64 in others.
    pub batch_size: Option<usize>,
    /// Optimiser.
    pub method: Method,
    /// Learning rate after the warm-up; none takes [`Finetune::rate`].
    pub lr: Option<f64>,
    /// Decay of weights of two or more axes.
    pub weight_decay: f64,
    /// Temperature of the distillation: divisor of the logits; none takes 2 in a short training and 4 in others.
    pub temperature: Option<f64>,
    /// Share of the labels in the loss, where there are any.
    pub labels: f64,
    /// Changes to the images; none takes [`Finetune::changes`].
    pub augment: Option<Augment>,
}

/// Work of a short training, in multiply-accumulates: a minute or two on two cores.
const SHORT: f64 = 1e13;

/// Largest number of passes of a short training.
const SHORT_EPOCHS: usize = 32;

/// Passes of a short training from which on images are moved anew each time.
const MOVED: usize = 3;

/// Passes from which on they are mixed besides: in fewer, mixtures take a network away from what it is to see. GoogLeNet at 70 % of
/// its MACs, 270 images, 4 passes: 73.0 % of 200 others with the original's class after the fits, no more with mixtures, 76.0 %
/// without.
const MIXED: usize = 12;

/// Updates from which on a short training has its whole rate: with few of them Adam's steps are mostly noise. Of GoogLeNet, as above, 64
/// updates at the whole rate leave 72.0 %.
const SETTLED: usize = 320;

/// How long a training takes: passes over some of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Number of images.
    pub images: usize,
    /// Passes over them.
    pub epochs: usize,
}

impl Finetune {
    /// Passes over the images of a training that is asked for, unless they are given.
    pub const EPOCHS: usize = 8;
    /// Its images per update, unless they are given.
    pub const BATCH_SIZE: usize = 64;
    /// Its temperature, unless it is given.
    pub const TEMPERATURE: f64 = 4.0;

    /// Passes over some of `images` images, each of which takes the work of `macs` multiply-accumulates: the given ones over
    /// all, or as many as a short training may take.
    pub fn passes(&self, images: usize, macs: u64) -> Passes {
        if let Some(epochs) = self.epochs {
            return Passes { images, epochs };
        }
        let seen = (SHORT / macs.max(1) as f64) as usize;
        match seen / images.max(1) {
            0 => Passes { images: seen.max(self.batch().min(images)), epochs: 1 },
            epochs => Passes { images, epochs: epochs.min(SHORT_EPOCHS) },
        }
    }

    /// True if the number of passes is not given.
    pub fn is_short(&self) -> bool {
        self.epochs.is_none()
    }

    /// Images per update unless they are given.
    pub fn batch(&self) -> usize {
        self.batch_size.unwrap_or(if self.is_short() { 16 } else { Self::BATCH_SIZE })
    }

    /// Temperature unless it is given.
    pub fn softness(&self) -> f64 {
        self.temperature.unwrap_or(if self.is_short() { 2.0 } else { Self::TEMPERATURE })
    }

    /// Changes to the images in `epochs` passes unless they are given: mirrors, for which the unpruned network's answers can be
    /// remembered; but where images would come again often and the unpruned network teaches, everything there is for a classifier's,
    /// and in a short training what moves pixels for others', and in a few passes. `side` is the shorter one of the images, if
    /// they have some.
    pub fn changes(&self, epochs: usize, side: Option<usize>, classes: bool) -> Augment {
        let teaches = self.labels <= 0.5;
        let (moved, mixed) = match self.is_short() {
            true => (epochs >= MOVED, classes && epochs >= MIXED),
            false => (false, classes && epochs > recover::CYCLE),
        };
        let all = side.filter(|_| teaches && (moved || mixed)).map(Augment::all);
        let fit = all.map(|all| if mixed { all } else { all.moves() });
        self.augment.or(fit).unwrap_or(Augment { flip: true, ..Augment::default() })
    }

    /// Learning rate of `updates` updates unless it is given: higher for mixtures in large batches, lower where a short training
    /// has few.
    pub fn rate(&self, mixes: bool, updates: usize) -> f64 {
        self.lr.unwrap_or(match self.method {
            Method::ScaledAdamW if self.is_short() => 0.002 * (updates as f64 / SETTLED as f64).min(1.0),
            Method::ScaledAdamW if mixes => 0.008,
            Method::ScaledAdamW => 0.002,
            Method::AdamW => 3e-4,
            Method::Sgd { .. } => 2e-4,
        })
    }
}

impl Default for Finetune {
    fn default() -> Self {
        Self {
            epochs: None,
            batch_size: None,
            method: Method::ScaledAdamW,
            lr: None,
            weight_decay: 0.01,
            temperature: None,
            labels: 0.1,
            augment: None,
        }
    }
}

/// Largest number of images that the gates are trained on.
const MOST: usize = 12_800;

/// Largest number of passes over the images while gates are trained. On few images more of them bring nothing: ResNet-56 at 55.8 M
/// MACs with 500 images, 250 updates of 16 in place of 800, 89.66 and 90.29 % in place of 89.51 and 90.14 % (seeds 1 and 2); with
/// 128 images, 64 in place of 800, 88.00 in place of 87.74 % (seed 1).
const PASSES: usize = 9;

/// Smallest number of updates that [`PASSES`] leaves: fewer hardly move a gate.
const LEAST: usize = 64;

/// Largest number of passes in which gates are trained on images as they are: in more they learn these images. SqueezeNet 1.1 at
/// 70 % of its MACs, 270 images seen nine times, KL divergence from the unpruned network on 200 others after the fits: 0.994 as they are,
/// 0.981 cropped and mirrored, 0.952 mixed besides.
const SEEN_AS_THEY_ARE: usize = 2;

/// Share of a cut that is left to dependence, where it is not given. SqueezeNet 1.1 at 70 % of its MACs, 270 images, KL divergence from
/// the unpruned network on 200 others after the fits: none of the cut 0.806, a tenth 0.650, a sixth 0.665, a quarter 0.615, a third
/// 0.585, 0.45 of it 0.600, 0.6 0.591, all 0.608. ResNet-56 at 55.8 M MACs, 12,800 images: 90.78, a third 91.00, all 89.31 %.
const DEPENDENT: f64 = 1.0 / 3.0;

/// Everything a run can be told beside its target.
#[derive(Debug, Clone)]
pub struct Options {
    /// Convention by which MACs are counted.
    pub convention: Convention,
    /// Speed of the processor for which times are predicted.
    pub speed: Option<Speed>,
    /// Whether what takes tract longer than other operators do is said in those, before anything else.
    pub adapt: bool,
    /// Origin of the scores.
    pub criterion: Criterion,
    /// Replacement of deleted channels.
    pub compensation: Compensation,
    /// Recovery of lost accuracy after pruning.
    pub recover: Recover,
    /// Number of stages, with fits in between: each keeps an equal share of its predecessor's amount.
    pub stages: usize,
    /// Share of what is cut, 0 to 1, that is left to dependence: channels which are nearly linear functions of others. None leaves
    /// a third of it to that where gates choose, fits follow, and held-out images are matched better so than by gates alone.
    pub dependent: Option<f64>,
    /// Reading of residual additions.
    pub residual: Residual,
    /// Layers and tensors to leave alone.
    pub exclude: Option<Regex>,
    /// The only layers and tensors to prune.
    pub only: Option<Regex>,
    /// Lower bounds on widths.
    pub limits: Limits,
    /// Loss of the outputs.
    pub loss: LossKind,
    /// Number of updates; none trains until the plan has settled, on at most 12,800 images and in at most nine
    /// passes over the given ones.
    pub batches: Option<usize>,
    /// Images per update.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Weight of the budget term.
    pub beta: f64,
    /// Weight of the hardness term.
    pub gamma: f64,
    /// Label smoothing.
    pub smoothing: f64,
    /// Share of distillation beside the labels.
    pub distil: f64,
    /// Updates from one measurement of the plan's network to the next; 0: none is made.
    pub trace: usize,
    /// Choice of the gates to keep.
    pub choice: Checkpointing,
    /// True if gates that closed for good are no longer trained, and their channels no longer computed.
    pub freeze: bool,
    /// Changes to the images that gates are trained on; none changes a classifier's few images by everything there is, and many
    /// not at all. Where labels teach, only those that move pixels.
    pub augment: Option<Augment>,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads; 0 is one per core.
    pub threads: usize,
}

impl Options {
    /// Largest number of updates of the gates on `images` images.
    pub fn most_batches(&self, images: usize) -> usize {
        let updates = |seen: usize| seen.div_ceil(self.batch_size.max(1));
        let passes = updates(images.saturating_mul(PASSES)).max(LEAST);
        self.batches.unwrap_or(updates(MOST).min(passes))
    }

    /// Share of what is cut that is left to dependence.
    pub fn dependent_share(&self) -> f64 {
        let fitted = self.recover != Recover::None;
        match self.criterion {
            Criterion::Gates => self.dependent.unwrap_or(if fitted { DEPENDENT } else { 0.0 }),
            Criterion::Dependence => 1.0,
            Criterion::L1 | Criterion::Random => 0.0,
        }
    }

    /// Changes to the images while gates are trained on `images` of them: the given ones, or everything there is where they come
    /// again and again. `side` is the shorter one of a classifier's images; none of others'.
    pub fn gate_changes(&self, images: usize, side: Option<usize>) -> Option<Augment> {
        let again = self.most_batches(images) * self.batch_size > SEEN_AS_THEY_ARE * images;
        self.augment.or(side.filter(|_| again).map(Augment::all))
    }
}

impl Default for Options {
    /// The defaults are the paper's, except for (at most) 800 updates on 16 images at a rate of 0.3 in place of
    /// 200 on 64 at 0.6: as many images, and on ResNet-56 at 55.8 M MACs (12,800 images, `Compensation::Mean`) 86.3 % instead
    /// of 85.5 % right after pruning, both with seed 1 and [`Residual::Expand`].
    fn default() -> Self {
        Self {
            convention: Convention::default(),
            speed: None,
            adapt: false,
            criterion: Criterion::default(),
            compensation: Compensation::default(),
            recover: Recover::default(),
            stages: 1,
            dependent: None,
            residual: Residual::default(),
            exclude: None,
            only: None,
            limits: Limits { round: Round::Blocks, ..Limits::default() },
            loss: LossKind::default(),
            batches: None,
            batch_size: 16,
            lr: 0.3,
            beta: 6.0,
            gamma: 0.4,
            smoothing: 0.0,
            distil: 0.0,
            trace: 0,
            choice: Checkpointing::default(),
            freeze: true,
            augment: None,
            seed: 1,
            threads: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_are_seen_a_few_times() {
        let auto = Options::default();
        assert_eq!([11_800, 1423, 450, 115, 10].map(|n| auto.most_batches(n)), [800, 800, 254, 65, 64]);
        assert_eq!(Options { batch_size: 64, ..auto.clone() }.most_batches(450), 64);
        assert_eq!(Options { batches: Some(800), ..auto }.most_batches(10), 800);
    }

    #[test]
    fn few_images_are_changed_while_gates_are_trained() {
        let auto = Options::default();
        assert_eq!(auto.gate_changes(11_800, Some(32)), None);
        assert_eq!(auto.gate_changes(450, Some(32)), Some(Augment::all(32)));
        assert_eq!(auto.gate_changes(450, None), None);
        let none = Options { augment: Some(Augment::default()), ..auto };
        assert_eq!(none.gate_changes(450, Some(32)), Some(Augment::default()));
    }

    #[test]
    fn dependence_has_a_part_where_fits_follow() {
        let fitted = Options { recover: Recover::Reconstruct, ..Options::default() };
        let of = |criterion| Options { criterion, ..fitted.clone() }.dependent_share();
        let all = [Criterion::Gates, Criterion::Dependence, Criterion::L1, Criterion::Random].map(of);
        assert_eq!(all, [DEPENDENT, 1.0, 0.0, 0.0]);
        assert_eq!(Options::default().dependent_share(), 0.0, "nothing makes up for what goes");
        assert_eq!(Options { dependent: Some(0.5), ..Options::default() }.dependent_share(), 0.5);
    }

    #[test]
    fn what_is_not_said_about_finetuning_follows_from_the_rest() {
        let said = |epochs, augment: Option<&str>| Finetune {
            epochs: Some(epochs),
            augment: augment.map(|words| words.parse().unwrap()),
            ..Finetune::default()
        };
        let words = |how: Finetune, side| {
            let changes = how.changes(how.epochs.unwrap_or(MIXED), side, true);
            (changes, how.rate(changes.mixes(), SETTLED))
        };
        let of = |words: &str| words.parse::<Augment>().unwrap();
        let everything = of("crop4,flip,jitter,mix,cutmix");
        assert_eq!(words(said(12, None), Some(32)), (of("flip"), 0.002));
        assert_eq!(words(said(13, None), Some(32)), (everything, 0.008));
        assert_eq!(words(said(13, None), None), (of("flip"), 0.002));
        assert_eq!(words(Finetune { labels: 1.0, ..said(13, None) }, Some(32)), (of("flip"), 0.002));
        assert_eq!(words(said(40, Some("crop2")), Some(32)), (of("crop2"), 0.002));
        assert_eq!(words(said(3, Some("mix")), Some(32)), (of("mix"), 0.008));
        assert_eq!(words(Finetune::default(), Some(32)), (everything, 0.002));
        let short = |epochs, classes| Finetune::default().changes(epochs, Some(32), classes);
        assert_eq!([short(2, true), short(3, true)], [of("flip"), of("crop4,flip")]);
        assert_eq!([short(12, true), short(12, false)], [everything, of("crop4,flip")]);
        assert_eq!(said(40, None).changes(40, Some(32), false), of("flip"));
        assert_eq!(Finetune { lr: Some(0.5), ..said(40, None) }.rate(true, 9), 0.5);
        assert_eq!(Finetune { method: Method::AdamW, ..said(40, None) }.rate(true, 9), 3e-4);
        let rate = |updates| Finetune::default().rate(true, updates);
        assert_eq!([rate(2 * SETTLED), rate(SETTLED / 4)], [0.002, 0.0005]);
    }

    #[test]
    fn a_short_training_takes_a_given_amount() {
        let of = |images, macs| {
            let Passes { images, epochs } = Finetune::default().passes(images, macs);
            (images, epochs)
        };
        let macs = (SHORT / 4000.0) as u64;
        assert_eq!([of(400, macs), of(3000, macs), of(4000, macs)], [(400, 10), (3000, 1), (4000, 1)]);
        assert_eq!([of(9000, macs), of(4, 1), of(100, u64::MAX)], [(4000, 1), (4, SHORT_EPOCHS), (16, 1)]);
        let given = Finetune { epochs: Some(7), ..Finetune::default() };
        assert_eq!(given.passes(9000, macs), Passes { images: 9000, epochs: 7 });
    }
}
