//! Where the files of a pruning go, and where they come from.
//!
//! Takes: flags, targets. Gives: paths, by target and by flag. Never: opens a file.

use super::args::PruneArgs;
use super::guard::Named;
use autobot_onnx::Target;
use std::path::{Path, PathBuf};

/// Where the files of one target go.
pub struct Places {
    /// The small network; only a dry run has none.
    pub model: Option<PathBuf>,
    /// The report as data.
    pub json: Option<PathBuf>,
    /// The report as a page.
    pub report: Option<PathBuf>,
}

impl Places {
    /// As they were typed where there is at most one target; else by target, with a word for it in every name.
    pub fn of(args: &PruneArgs, targets: &[Target]) -> Vec<Self> {
        match targets {
            [] | [_] => vec![Self::named(args, Path::to_owned)],
            _ => targets.iter().map(|t| Self::named(args, |path| with_word(path, &t.word()))).collect(),
        }
    }

    fn named(args: &PruneArgs, name: impl Fn(&Path) -> PathBuf) -> Self {
        let [model, json, report] = [&args.output, &args.json, &args.report].map(|p| p.as_deref().map(&name));
        Self { model, json, report }
    }

    /// The small network's; empty in a dry run.
    pub fn model(&self) -> &Path {
        self.model.as_deref().unwrap_or(Path::new(""))
    }
}

/// `small.onnx` with the word `70`: `small-70.onnx`.
fn with_word(path: &Path, word: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{word}{end}"))
}

/// Everything that is read, by flag.
pub fn inputs<'a>(input: &'a Path, args: &'a PruneArgs) -> Vec<Named<'a>> {
    let mut inputs: Vec<Named> = vec![("IN.onnx", input)];
    inputs.extend(args.data.calib.as_deref().map(|p| ("--calib", p)));
    inputs.extend(args.data.labels.as_deref().map(|p| ("--labels", p)));
    inputs.extend(args.learn.gates.as_deref().map(|p| ("--gates", p)));
    inputs.extend(args.scope.file().map(|p| ("--cpu", p)));
    inputs
}

/// Everything that is written, by flag.
pub fn outputs<'a>(args: &'a PruneArgs, places: &'a [Places]) -> Vec<Named<'a>> {
    let mut outputs: Vec<Named> = Vec::new();
    for Places { model, json, report } in places {
        outputs.extend(model.as_deref().map(|p| ("OUT.onnx", p)));
        outputs.extend(json.as_deref().map(|p| ("--json", p)));
        outputs.extend(report.as_deref().map(|p| ("--report", p)));
    }
    outputs.extend(args.learn.save_gates.as_deref().map(|p| ("--save-gates", p)));
    outputs.extend(args.recovery.checkpoint.as_deref().map(|p| ("--checkpoint", p)));
    outputs
}
