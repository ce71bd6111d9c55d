//! Pruning in stages: a part of the way at a time, with recovery in between.
//!
//! Takes: a [`Job`]. Gives: the job of the last stage, whose reports speak of the network that the first one began with. Never:
//! writes a file.

use super::job::{Done, Job};
use super::progress::Watch;
use super::talk::Talk;
use autobot_onnx::ir::{Facts, Graph};
use autobot_onnx::learn::Exam;
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::pipeline::{self, Origin, Recover, Target};
use autobot_onnx::report::{gather, json, text};
use autobot_onnx::rewrite::Sliced;
use autobot_onnx::{Error, Result};

/// The network that a run in stages began with, and what became of it so far.
pub struct Start {
    graph: Graph,
    facts: Facts,
    exam: Exam,
    macs: u64,
    milliseconds: Option<f64>,
    layers: Vec<json::Layer>,
    sliced: Vec<Sliced>,
    stages: Vec<json::Stage>,
}

/// Goes all of `stages` but the last, whose job it gives: each keeps the same share of what the one before it kept, and fits it.
pub fn run(mut job: Job, stages: usize, data: &Calibration, watch: &mut Watch, talk: Talk) -> Result<Job> {
    let (last, whole) = (job.target()? as f64, job.analysis.whole() as f64);
    let (timed, recover) = (job.options.target.is_time(), job.options.recover);
    let amount = |n: f64| if timed { Target::Time(n as u64) } else { Target::Macs(n as u64) };
    for k in 1..stages {
        job.options.target = amount(whole * (last / whole).powf(k as f64 / stages as f64));
        job.options.recover = Recover::Reconstruct;
        let done = job.run(data, watch)?;
        if !done.verdict.pass {
            return Err(Error::Verification {
                reason: format!("the network of stage {k} does not equal the masked one"),
                hint: "nothing was written; please report this model".into(),
            });
        }
        job = next(job, done)?;
        if let Some(stage) = job.start.as_ref().and_then(|s| s.stages.last()) {
            talk.note(&text::stage(k, stages, stage));
        }
    }
    (job.options.target, job.options.recover) = (amount(last), recover);
    Ok(job)
}

/// The job that goes on with what one made.
fn next(job: Job, done: Done) -> Result<Job> {
    let Some(bytes) = done.small.message()? else {
        let reason = "the network in between is larger than 2 GiB";
        return Err(Error::argument("--stages", reason, "prune in one stage"));
    };
    let inputs = job.facts.inputs(&job.model.graph).unwrap_or_default();
    let model = job.parse(&bytes, &inputs)?;
    let facts = model.facts()?;
    let analysis = pipeline::analyse(&model.graph, &facts, &job.options)?;
    let kept = &done.outcome.plan.kept;
    let layers = gather::layers(&job.model.graph, &job.facts, &job.analysis, kept);
    let stage = json::Stage {
        macs: job.analysis.cost.hard(kept),
        agreement: done.outcome.recovered.as_ref().map(|r| r.fitted).or(done.outcome.agreement),
        verification: gather::verification(&done.verdict),
    };
    let milliseconds = job.predicted(None).map(|p| p.milliseconds_before);
    let Job { model: before, facts: of_before, analysis: analysed, known, channels, options, start } = job;
    let mut start = start.unwrap_or_else(|| Start {
        graph: before.graph,
        facts: of_before,
        exam: done.outcome.exam,
        macs: analysed.full,
        milliseconds,
        layers,
        sliced: Vec::new(),
        stages: Vec::new(),
    });
    start.sliced = both(&start.sliced, done.outcome.rewritten.sliced);
    start.stages.push(stage);
    Ok(Job { model, facts, options, analysis, known, channels, start: Some(start) })
}

impl Start {
    /// For the pipeline.
    pub fn origin(&self) -> Origin<'_> {
        Origin { graph: &self.graph, facts: &self.facts, exam: &self.exam }
    }

    /// Lets the last stage's report speak of the whole way.
    pub fn amend(&self, run: &mut json::Run) {
        run.macs_before = self.macs;
        for layer in &mut run.layers {
            if let Some(before) = self.layers.iter().find(|l| l.name == layer.name) {
                layer.channels_before = before.channels_before;
                layer.macs_before = before.macs_before;
                layer.parameters = before.parameters;
                layer.milliseconds_before = before.milliseconds_before;
            }
        }
        if let (Some(p), Some(before)) = (&mut run.predicted, self.milliseconds) {
            p.milliseconds_before = before;
        }
        run.sliced = both(&self.sliced, std::mem::take(&mut run.sliced));
        // What earlier stages added went into weights that were fitted since.
        run.biases.clear();
        run.stages.clone_from(&self.stages);
    }
}

/// What two cuts, one after the other, keep of the original.
fn both(first: &[Sliced], second: Vec<Sliced>) -> Vec<Sliced> {
    let same = |a: &Sliced, b: &Sliced| (&a.initializer, a.axis) == (&b.initializer, b.axis);
    let mut all = first.to_vec();
    for cut in second {
        match all.iter_mut().find(|c| same(c, &cut)) {
            Some(before) => before.kept = cut.kept.iter().map(|&k| before.kept[k]).collect(),
            None => all.push(cut),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cuts_are_one_cut_of_the_original() {
        let cut =
            |name: &str, kept: &[usize]| Sliced { initializer: name.into(), axis: 0, kept: kept.to_vec() };
        let found = both(&[cut("a", &[0, 2, 5, 7])], vec![cut("a", &[1, 3]), cut("b", &[4])]);
        assert_eq!(found, [cut("a", &[2, 7]), cut("b", &[4])]);
    }
}
