//! What `--json` holds: how many channels each layer keeps, and how well the small network was proved.
//!
//!     autobot-onnx in.onnx out.onnx --target-flops 50% --calib images/ --json run.json
//!     cargo run --release --example report run.json

use serde_json::Value;

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("give the file that --json wrote")?;
    print!("{}", summary(&std::fs::read_to_string(path)?)?);
    Ok(())
}

/// A few lines about a run.
pub fn summary(json: &str) -> Result<String, Box<dyn std::error::Error>> {
    let run: Value = serde_json::from_str(json)?;
    let number = |name: &str| run[name].as_u64().ok_or(format!("the report has no '{name}'"));
    let (before, after) = (number("macs_before")?, number("macs_after")?);
    let mut out =
        format!("{after} of {before} MACs ({:.1} %)\n", 100.0 * after as f64 / before.max(1) as f64);
    for layer in run["layers"].as_array().ok_or("the report has no layers")? {
        let (name, kept, of) = (&layer["name"], &layer["channels_after"], &layer["channels_before"]);
        out += &format!("{:<30} {kept} of {of}\n", name.as_str().unwrap_or_default());
    }
    let proof = &run["verification"];
    out += &format!("proved: {}, to {} of the output's range\n", proof["pass"], proof["relative"]);
    Ok(out)
}
