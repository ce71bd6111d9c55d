//! `autobot-onnx rewrite IN OUT`
//!
//! Takes: [`RewriteArgs`]. Gives: an equal model file in operators that a runtime takes less time for. Never: cuts anything.

use super::answer::{Answer, announce};
use super::args::RewriteArgs;
use super::console::Console;
use super::guard;
use autobot_onnx::internals::pruner::Adapted;
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::report::units::small;

/// Rewrites.
pub fn run(args: &RewriteArgs) -> anyhow::Result<Answer> {
    let console = Console { quiet: args.quiet };
    let outputs = [("OUT.onnx", args.output.as_path())];
    guard::outputs(&outputs, &[("IN.onnx", &args.input)], console)?;
    let model = args.model.read(&args.input)?;
    guard::weights(&outputs, &[&model], &[&args.output], Some(&model))?;
    let adapted = Adapted::new(model, args.threads, args.seed)?;
    if adapted.replaced.is_empty() {
        console.result("rewritten nothing: tract takes no less time for other operators\n");
    }
    console.result(&text::rewritten(&adapted.replaced));
    if let Some(certificate) = &adapted.certificate {
        let verdict = certificate.verdict();
        let in_tract = match &verdict.tract {
            Ok(d) => format!(", {} in tract", small(*d)),
            Err(why) => format!("; not measured in tract: {why}"),
        };
        let line = format!(
            "proof     max |original − rewritten| is {} of the output's range{in_tract}\n",
            small(verdict.relative)
        );
        console.result(&line);
    }
    announce(&args.output, &adapted.write(&args.output)?, console);
    Ok(Answer::Yes)
}
