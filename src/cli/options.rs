//! Flags → the library's options.
//!
//! Takes: groups of flags. Gives: [`Options`], a processor's [`Speed`]. Never: opens a model; trains.

use super::args::{ClosedArg, LearnArgs, RecoverArg, RecoveryArgs, RewriteArg, RuntimeArg, ScopeArgs};
use super::console::Console;
use super::value::Processor;
use autobot_onnx::internals::cost::latency::Speed;
use autobot_onnx::internals::onnx::Model;
use autobot_onnx::internals::plan::{Limits, Round};
use autobot_onnx::internals::pruner::command::best_width;
use autobot_onnx::internals::pruner::{Finetune, Options, Recover, host};
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::support::files;
use autobot_onnx::{Error, MeasureCommand, Result, Setting, Target};

/// Options of an analysis: what is counted, and what may be cut. `target` is the first one, if there is any; `measured` where a
/// command measures times.
pub fn scope(args: &ScopeArgs, target: Option<Target>, measured: bool) -> Result<Options> {
    // Of a measured processor the tiles are only guessed from times.
    let known = matches!(args.cpu, Some(Processor::Known(_)));
    let round = match args.runtime {
        Some(RuntimeArg::Onnxruntime | RuntimeArg::Any) => Round::To(Round::Blocks.multiple()),
        _ if target.is_some_and(Target::is_time) && known => Round::Edges,
        _ => Round::Blocks,
    };
    let limits = Limits { min_channels: args.min_channels, round: args.round_to.unwrap_or(round) };
    if limits.round == Round::Edges && args.cpu.is_none() && !measured {
        let reason = "'auto' rounds to what fills a processor's tiles, and none was named";
        return Err(Error::argument(
            Setting::RoundTo,
            reason,
            "say for which with --cpu, as in --cpu cortex-a53, or measure them with --measure",
        ));
    }
    Ok(Options {
        residual: args.residual.into(),
        adapt: match args.rewrite {
            RewriteArg::Auto => match args.runtime {
                None => args.cpu.is_some(),
                Some(runtime) => runtime == RuntimeArg::Tract,
            },
            RewriteArg::Tract => true,
            RewriteArg::None => false,
        },
        convention: args.flops_convention.into(),
        exclude: args.exclude.clone(),
        only: args.only.clone(),
        limits,
        ..Options::default()
    })
}

/// How channels are chosen, added to the options of an analysis.
pub fn learning(args: &LearnArgs, scope: Options) -> Options {
    Options {
        criterion: args.criterion.into(),
        compensation: args.compensation.into(),
        loss: args.loss.into(),
        choice: args.choice.into(),
        freeze: args.closed == ClosedArg::Freeze,
        batches: args.batches.0,
        batch_size: args.batch_size,
        augment: args.gate_augment,
        lr: args.gate_lr,
        beta: args.beta,
        gamma: args.gamma,
        stages: args.stages,
        dependent: args.dependent,
        seed: args.seed,
        threads: args.threads,
        ..scope
    }
}

/// What is to be done about lost accuracy; `has_images` where calibration data are given.
pub fn recovery(args: &RecoveryArgs, has_images: bool) -> Recover {
    match args.recover {
        RecoverArg::None => Recover::None,
        RecoverArg::Auto if !has_images => Recover::None,
        RecoverArg::Auto => Recover::Finetune(Finetune::default()),
        RecoverArg::Reconstruct => Recover::Reconstruct,
        RecoverArg::Finetune => Recover::Finetune(Finetune {
            epochs: Some(args.epochs),
            batch_size: Some(args.tune_batch),
            method: args.optimizer.into(),
            lr: args.lr,
            weight_decay: args.weight_decay,
            temperature: Some(args.temperature),
            labels: args.label_share,
            augment: args.augment,
        }),
    }
}

/// What a processor takes for the parts of an inference: as it is known, as it was measured before, or as it is measured now
/// on the network itself. Where a command measures, it is scaled to what this says of the network, or fitted to that.
pub fn speed(
    cpu: Option<&Processor>,
    command: Option<(&MeasureCommand, Limits)>,
    model: &Model,
    console: Console,
) -> Result<Option<Speed>> {
    let of_processor = cpu_speed(cpu, model, console)?;
    let Some((command, limits)) = command else { return Ok(of_processor) };
    if let Some(speed) = of_processor {
        return command.scaled(&speed, model).map(Some);
    }
    console.progress("measuring the network, and cuts of it by chance");
    let (speed, error) = command.speed(model, limits)?;
    console.facts(&text::calibrated_on_networks(&speed.name, error));
    Ok(Some(speed))
}

/// The multiple of channels that the runtime behind a command likes.
pub fn measured_width(command: &MeasureCommand, model: &Model, console: Console) -> Result<Round> {
    console.progress("measuring cuts in multiples of some numbers of channels");
    let widths = command.widths(model, &model.facts()?)?;
    let best = best_width(&widths);
    console.facts(&text::widths(&widths, best));
    Ok(Round::To(best))
}

fn cpu_speed(cpu: Option<&Processor>, model: &Model, console: Console) -> Result<Option<Speed>> {
    match cpu {
        None => Ok(None),
        Some(Processor::Known(cpu)) => Ok(Some(cpu.speed())),
        Some(Processor::File(path)) => {
            let hint = "give a file that 'autobot-onnx bench --calibrate' wrote";
            let text = files::read_text(path, hint)?;
            let speed: Speed = serde_json::from_str(&text)
                .map_err(|e| Error::file(path, format!("tells no processor's speed: {e}"), hint))?;
            speed.check().map_err(|why| Error::file(path, why, hint))?;
            Ok(Some(speed))
        }
        Some(Processor::Host) => {
            let (speed, error) = host::speed(model)?;
            console.facts(&text::calibrated(&speed.name, error));
            Ok(Some(speed))
        }
    }
}
