//! Flags of times that a command measures.

use crate::cli::value;
use autobot_onnx::MeasureCommand;
use clap::Args;
use std::time::Duration;

/// Who measures times.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// Let a command measure times, on a board or in another runtime: `ssh pi autobot-onnx bench -`, `python time_it.py {model}`
    ///
    /// A line for `sh -c`. {model} stands for the path of a model file; without it the file comes on standard input. The last line
    /// of the output is the milliseconds of an inference, a number alone. It runs some hundred times: the original and each network
    /// that is tried in turns, until their ratio is sure. Plans are made with the times of --cpu, scaled, or without it with times
    /// that are fitted to the network and to cuts of it.
    #[arg(long, value_name = "COMMAND", value_parser = value::command)]
    pub measure: Option<String>,
    /// Longest time that this command may take; then it is stopped, and the run with it
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = value::seconds, requires = "measure")]
    pub measure_timeout: f64,
}

impl MeasureArgs {
    /// The command, if one is given.
    pub fn command(&self) -> Option<MeasureCommand> {
        let limit = Duration::from_secs_f64(self.measure_timeout);
        self.measure.as_ref().map(|line| MeasureCommand::new(line, limit))
    }
}
