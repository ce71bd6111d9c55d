//! The command line program: see `autobot-onnx --help`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
