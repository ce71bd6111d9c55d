//! The way for callers: a model and data in, a network that was proved out.
//!
//! Takes: a [`Model`], a [`Dataset`], a target. Gives: a [`Pruned`], which alone can be written.
//! Never: makes a [`Pruned`] whose certificate does not hold.

use super::command::{self, MeasureCommand};
use super::host;
use super::{Done, Events, Model, Options, Prepared, Silent, Start, Target, Timekeeper, Unit};
use crate::cost::latency::{Cpu, Speed};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gates;
use crate::onnx::Written;
use crate::setting::Setting;
use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

/// The processor on which times are predicted or measured, for tract on one core.
#[derive(Debug, Clone, PartialEq)]
pub enum Processor {
    /// A known one: times are predicted.
    Known(Cpu),
    /// A processor with measured speed: times are predicted.
    Measured(Speed),
    /// This machine: measured on the model itself before the run, and on every network that is tried.
    Host,
}

/// Prunes models to a target.
///
/// ```no_run
/// use autobot_onnx::{Dataset, Model, Pruner, Target};
///
/// let (model, data) = (Model::open("in.onnx")?, Dataset::open("images")?);
/// Pruner::new(Target::macs_share(0.5)).run(&model, &data)?.write("out.onnx")?;
/// # Ok::<(), autobot_onnx::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pruner {
    target: Target,
    options: Options,
    processor: Option<Processor>,
    command: Option<MeasureCommand>,
    drop_unused: bool,
}

/// A smaller network that was proved: only [`Pruner`] makes one.
#[derive(Debug)]
pub struct Pruned {
    done: Done,
    small: Model,
}

impl Pruner {
    /// A pruner with the default options.
    pub fn new(target: Target) -> Self {
        Self { target, options: Options::default(), processor: None, command: None, drop_unused: false }
    }

    /// Takes other options.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Names the processor that times belong to, in place of [`Options::speed`].
    pub fn processor(mut self, processor: Processor) -> Self {
        self.processor = Some(processor);
        self
    }

    /// Has a command measure the time of every network that is tried, where the target is a time. Plans are made with the processor's
    /// speed, scaled to what the command says of the model; without a processor, with one that is fitted to what it says of the model
    /// and of cuts of it.
    pub fn measured_by(mut self, command: MeasureCommand) -> Self {
        self.command = Some(command);
        self
    }

    /// Leaves initializers that nothing reads out of the small network.
    pub fn drop_unused(mut self, wanted: bool) -> Self {
        self.drop_unused = wanted;
        self
    }

    /// Prunes a model: trains, rewrites, recovers, and proves the very bytes of the result, in our executor and in tract.
    ///
    /// # Errors
    /// A target out of reach, before anything is trained; data that do not fit the model; a proof that fails
    /// ([`Error::Verification`]).
    pub fn run(&self, model: &Model, data: &Dataset) -> Result<Pruned> {
        self.run_with(model, data, &mut Silent)
    }

    /// As [`Pruner::run`], watched.
    pub fn run_with(&self, model: &Model, data: &Dataset, events: &mut dyn Events) -> Result<Pruned> {
        let mut found = self.run_each(&[self.target], model, data, events)?;
        Ok(found.pop().expect("one target gives one network"))
    }

    /// As [`Pruner::run_with`], for each of several targets in place of the pruner's own, from one training: gates that were
    /// trained for a target are trained further for the next smaller one. The results come in the order of the targets.
    ///
    /// # Errors
    /// As [`Pruner::run`], for any of the targets; multiply-accumulates and times mixed.
    pub fn run_each(
        &self,
        targets: &[Target],
        model: &Model,
        data: &Dataset,
        events: &mut dyn Events,
    ) -> Result<Vec<Pruned>> {
        let unit = targets.first().map_or(Unit::Macs, |t| t.unit());
        if targets.iter().any(|t| t.unit() != unit) {
            let reason = "some are multiply-accumulates and some are times";
            return Err(Error::argument(Setting::TargetFlops, reason, "give those of one kind in one run"));
        }
        let prepared = Arc::new(self.prepare(model, unit)?);
        let aimed = |(k, &target): (usize, &Target)| Ok((prepared.aim(target)?.amount(), k, target));
        let mut order = targets.iter().enumerate().map(aimed).collect::<Result<Vec<_>>>()?;
        // From the most to the least: gates go on closing.
        order.sort_by_key(|(amount, ..)| Reverse(*amount));
        prepared.check_open_sizes()?;
        let data = data.bind(&prepared.inputs()?)?;
        gates::check_labels(prepared.network(), &data)?;
        let measured = self.command.is_some() || self.processor == Some(Processor::Host);
        let clock = || command::clock(self.command.as_ref(), &model.0, prepared.model());
        let mut clock = (unit == Unit::Time && measured).then(clock).transpose()?;
        let (mut gates, mut found) = (None, Vec::new());
        for (_, k, target) in order {
            let clock = Timekeeper::of(&mut clock);
            let start = Start { gates: gates.take(), clock, ..Start::default() };
            let done = prepared.run(target, &data, start, events)?;
            // In stages they belong to what earlier stages left.
            gates = done.outcome.trained.clone().filter(|_| done.outcome.stages.is_empty());
            found.push((k, done.proved().map_err(|done| done.refusal())?));
        }
        found.sort_by_key(|(k, _)| *k);
        Ok(found.into_iter().map(|(_, pruned)| pruned).collect())
    }

    fn prepare(&self, model: &Model, unit: Unit) -> Result<Prepared> {
        let mut options = self.options.clone();
        // Another runtime is slow at other things.
        options.adapt |= unit == Unit::Time && (self.command.is_none() || self.processor.is_some());
        match &self.processor {
            Some(Processor::Known(cpu)) => options.speed = Some(cpu.speed()),
            Some(Processor::Measured(speed)) => options.speed = Some(speed.clone()),
            Some(Processor::Host) => options.speed = Some(host::speed(&model.0)?.0),
            None => {}
        }
        if let Some(command) = self.command.as_ref().filter(|_| unit == Unit::Time) {
            options.speed = Some(match &options.speed {
                Some(speed) => command.scaled(speed, &model.0)?,
                None => command.speed(&model.0, options.limits)?.0,
            });
        }
        Ok(Prepared::new(model.0.clone(), options, unit)?.dropping_unused(self.drop_unused))
    }
}

impl Done {
    /// The network, to be written, if its certificate holds; else what there is to tell of it.
    pub fn proved(self) -> Result<Pruned, Box<Self>> {
        if !self.certificate.holds() {
            return Err(Box::new(self));
        }
        let small = Model(self.certificate.model().clone());
        Ok(Pruned { done: self, small })
    }

    /// Why nothing is written.
    fn refusal(&self) -> Error {
        let verdict = self.certificate.verdict();
        let in_tract = verdict.tract.as_ref().map_or(String::new(), |d| format!(", {d:.2e} in tract"));
        Error::Verification {
            reason: format!(
                "max |masked − pruned| is {:.2e} of the output's range{in_tract}",
                verdict.relative
            ),
            hint: "nothing was written; please report this model".into(),
        }
    }
}

impl Pruned {
    /// The small network.
    pub fn model(&self) -> &Model {
        &self.small
    }

    /// The run that made it.
    #[doc(hidden)]
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// Writes it: the bytes that were run in tract, read back from the disk before they take their name. A file that is there is
    /// replaced as a whole, or left as it is on an error.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<Written> {
        let certificate = &self.done.certificate;
        match certificate.message() {
            Some(proved) => certificate.model().write_proved(path.as_ref(), proved),
            None => certificate.model().write(path.as_ref()),
        }
    }
}
