//! Bad input: one clear error with the way out, exit code 2, nothing left behind.

use super::{SHORT, content, model, program, text};
use autobot_onnx::internals::onnx;
use onnx_protobuf::{Message, ModelProto, NodeProto};
use tempfile::TempDir;

/// A run that must be refused.
struct Case {
    folder: TempDir,
    input: &'static str,
    output: &'static str,
    target: &'static str,
    flags: Vec<String>,
}

impl Case {
    /// The chain of digits as `in.onnx`, good arguments.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::copy(model("digits_chain.onnx"), folder.path().join("in.onnx")).unwrap();
        Self { folder, input: "in.onnx", output: "out.onnx", target: "50%", flags: Vec::new() }
    }

    /// With the model's bytes replaced.
    fn bytes(bytes: &[u8]) -> Self {
        let case = Self::new();
        case.file("in.onnx", bytes);
        case
    }

    /// With the model edited.
    fn edited(edit: impl Fn(&mut ModelProto)) -> Self {
        let mut proto = ModelProto::parse_from_bytes(&chain()).unwrap();
        edit(&mut proto);
        Self::bytes(&proto.write_to_bytes().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|f| f.to_string()));
        self
    }

    /// Runs; the error must hold all `words`, and the folder must be as it was.
    fn refused(&self, words: &[&str]) {
        let before = content(self.folder.path());
        let mut command = program(self.folder.path());
        command.args([self.input, self.output, "--target-flops", self.target]).args(SHORT).args(&self.flags);
        let assert = command.assert().code(2);
        let err = text(&assert.get_output().stderr);
        assert!(err.contains("error: ") && !err.contains("panicked"), "{err}");
        words.iter().for_each(|word| assert!(err.contains(word), "'{word}' in: {err}"));
        assert!(err.contains("way out: ") || err.contains("--help"), "no way out in: {err}");
        assert!(content(self.folder.path()) == before, "something was left behind");
    }
}

fn chain() -> Vec<u8> {
    std::fs::read(model("digits_chain.onnx")).unwrap()
}

/// An array of bytes as `.npy`.
fn npy(dtype: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|n| format!("{n},")).collect();
    let mut head = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({sizes}), }}");
    head += &" ".repeat(63 - (head.len() + 10) % 64);
    head.push('\n');
    [b"\x93NUMPY\x01\x00", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), data].concat()
}

fn relu(input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: "Relu".into(),
        name: format!("relu {output}"),
        input: vec![input.into()],
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

#[test]
fn files_that_are_no_models() {
    Case::bytes(&chain()[..60_000]).refused(&["in.onnx"]);
    Case::bytes(&[0xff; 5000]).refused(&["in.onnx", "not an ONNX model"]);
    let mut damaged = chain();
    damaged[100..140].fill(0xee);
    Case::bytes(&damaged).refused(&["in.onnx"]);
    Case::bytes(b"The quick brown fox\n").refused(&["in.onnx", "text"]);
    Case::bytes(b"").refused(&["in.onnx", "empty"]);
    Case { input: "no.onnx", ..Case::new() }.refused(&["no.onnx"]);
    Case { input: ".", ..Case::new() }.refused(&["not a regular file"]);
}

#[test]
fn models_without_anything_to_prune() {
    let plain = Case::edited(|m| {
        let graph = m.graph.mut_or_insert_default();
        graph.initializer.clear();
        graph.node = vec![relu("image", "logits")];
        graph.value_info.clear();
        graph.output[0] = graph.input[0].clone();
        graph.output[0].name = "logits".into();
    });
    plain.refused(&["in.onnx", "no layer with weights"]);
    Case::new().flags(&["--exclude", "."]).refused(&["not one channel", "inspect"]);
}

#[test]
fn damaged_weights() {
    let short = Case::edited(|m| {
        let t = &mut m.graph.mut_or_insert_default().initializer[0];
        t.raw_data.truncate(8);
    });
    short.refused(&["in.onnx", "initializer"]);
    let nan = Case::edited(|m| {
        let t = &mut m.graph.mut_or_insert_default().initializer[0];
        t.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    nan.refused(&["in.onnx", "initializer", "NaN"]);
}

#[test]
fn graphs_that_are_none() {
    let cycle = Case::edited(|m| {
        let graph = m.graph.mut_or_insert_default();
        graph.node.extend([relu("there", "back"), relu("back", "there")]);
    });
    cycle.refused(&["cycle", "relu"]);
    let twice = Case::edited(|m| {
        let graph = m.graph.mut_or_insert_default();
        let again = graph.initializer[0].clone();
        graph.initializer.push(again);
    });
    twice.refused(&["in.onnx", "defined twice"]);
}

#[test]
fn unknown_operators_in_the_way_are_listed_together() {
    let unknown = Case::edited(|m| {
        let graph = m.graph.mut_or_insert_default();
        let convs: Vec<usize> = (0..graph.node.len()).filter(|&n| graph.node[n].op_type == "Conv").collect();
        for (n, name) in graph.node.iter_mut().enumerate().filter(|(n, _)| convs.contains(n)) {
            name.op_type = format!("Mystery{n}");
        }
    });
    unknown.refused(&["not supported", "(Mystery0)", "(Mystery3)", "cut the model"]);
}

#[test]
fn calibration_data_that_do_not_fit() {
    let with = |bytes: &[u8]| {
        let case = Case::new();
        case.file("x.npy", bytes);
        case.flags(&["--calib", "x.npy", "--mean", "0.5", "--std", "0.5"])
    };
    with(&npy("|u1", &[20, 5, 5, 3], &[7; 20 * 75])).refused(&["x.npy", "[20, 5, 5, 3]"]);
    with(&npy("|u1", &[20, 8, 8, 1], &[7; 100])).refused(&["x.npy"]);
    let nan: Vec<u8> = [0.5f32, f32::NAN].repeat(320).iter().flat_map(|v| v.to_le_bytes()).collect();
    with(&npy("<f4", &[10, 1, 8, 8], &nan)).refused(&["x.npy", "NaN"]);
    let wide: Vec<u8> = (0..640).flat_map(|v| ((v % 256) as f32).to_le_bytes()).collect();
    with(&npy("<f4", &[10, 1, 8, 8], &wide)).refused(&["x.npy"]);
    with(b"no array").refused(&["x.npy"]);
    Case::new().flags(&["--calib", "none.npy"]).refused(&["none.npy"]);
}

#[test]
fn labels_that_do_not_fit() {
    let with = |labels: &[u8]| {
        let case = Case::new();
        case.file(
            "x.npy",
            &npy("|u1", &[20, 8, 8, 1], &(0..1280).map(|i| (i * 37 % 251) as u8).collect::<Vec<_>>()),
        );
        case.file("y.npy", &npy("|u1", &[labels.len()], labels));
        case.flags(&["--calib", "x.npy", "--labels", "y.npy"])
    };
    with(&[10; 20]).refused(&["y.npy", "label 10", "10 classes"]);
    with(&[1; 19]).refused(&["y.npy", "19"]);
    Case::new().flags(&["--labels", "y.npy"]).refused(&["--calib"]);
}

#[test]
fn folders_without_good_images() {
    let case = Case::new();
    std::fs::create_dir(case.folder.path().join("images")).unwrap();
    let case = case.flags(&["--calib", "images"]);
    case.refused(&["images"]);
    case.file("images/broken.png", b"\x89PNG\r\n\x1a\nbroken");
    case.refused(&["broken.png"]);
}

#[test]
fn targets_out_of_reach() {
    Case { target: "150%", ..Case::new() }.refused(&["--target-flops", "100%"]);
    Case { target: "900M", ..Case::new() }.refused(&["--target-flops", "394560"]);
    Case { target: "100", ..Case::new() }.refused(&["--target-flops", "cannot be reached", "1466"]);
    Case { target: "half", ..Case::new() }.refused(&["--target-flops", "50%"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    Case { output: "no/such/folder/out.onnx", ..Case::new() }.refused(&["no/such/folder/out.onnx"]);
    Case { output: "in.onnx/out.onnx", ..Case::new() }.refused(&["in.onnx/out.onnx"]);
    Case { output: ".", ..Case::new() }.refused(&["folder"]);
    Case::new().flags(&["--json", "no/run.json"]).refused(&["no/run.json"]);
}

#[test]
fn outputs_that_are_inputs() {
    Case { output: "in.onnx", ..Case::new() }.refused(&["OUT.onnx", "IN.onnx"]);
    Case { output: "./in.onnx", ..Case::new() }.refused(&["IN.onnx"]);
    Case::new().flags(&["--json", "in.onnx"]).refused(&["--json", "IN.onnx"]);
    Case::new().flags(&["--json", "out.onnx"]).refused(&["--json", "OUT.onnx"]);
    #[cfg(unix)]
    {
        let case = Case { output: "link.onnx", ..Case::new() };
        std::os::unix::fs::symlink("in.onnx", case.folder.path().join("link.onnx")).unwrap();
        case.refused(&["link.onnx", "IN.onnx"]);
    }
}

/// The chain of digits with its weights in `in.onnx.data`.
fn with_external_data() -> Case {
    let case = Case::new();
    external(&case, "in.onnx", "in.onnx.data");
    case
}

/// The chain of digits as `name`, with its weights in `data`.
fn external(case: &Case, name: &str, data_name: &str) {
    let mut proto = ModelProto::parse_from_bytes(&chain()).unwrap();
    let mut data = Vec::new();
    for t in &mut proto.graph.mut_or_insert_default().initializer {
        let raw = std::mem::take(&mut t.raw_data);
        t.data_location = onnx_protobuf::tensor_proto::DataLocation::EXTERNAL.into();
        let entries = [
            ("location", data_name.to_owned()),
            ("offset", data.len().to_string()),
            ("length", raw.len().to_string()),
        ];
        t.external_data.extend(entries.map(|(key, value)| onnx_protobuf::StringStringEntryProto {
            key: key.into(),
            value,
            ..Default::default()
        }));
        data.extend(raw);
    }
    case.file(name, &proto.write_to_bytes().unwrap());
    case.file(data_name, &data);
}

#[test]
fn outputs_that_are_weights() {
    let flags = ["--json", "--report", "--save-gates"];
    for flag in flags {
        with_external_data().flags(&[flag, "in.onnx.data"]).refused(&[flag, "in.onnx.data", "weights"]);
        // Where the weights of the output go, or may go.
        with_external_data().flags(&[flag, "out.onnx.data"]).refused(&[flag, "weights"]);
        with_external_data().flags(&[flag, "./out.onnx.data3"]).refused(&[flag, "weights"]);
        // Those of a model that is replaced.
        let case = with_external_data();
        external(&case, "out.onnx", "theirs.bin");
        case.flags(&[flag, "theirs.bin"]).refused(&[flag, "weights of out.onnx"]);
    }
    Case { output: "in.onnx.data", ..with_external_data() }.refused(&["OUT.onnx", "weights"]);
    let state = ["--recover", "finetune", "--checkpoint", "in.onnx.data"];
    with_external_data().flags(&state).refused(&["--checkpoint", "weights"]);
    #[cfg(unix)]
    for link in [false, true] {
        let case = with_external_data();
        let [from, to] = ["in.onnx.data", "run.json"].map(|n| case.folder.path().join(n));
        if link { std::os::unix::fs::symlink(from, to) } else { std::fs::hard_link(from, to) }.unwrap();
        case.flags(&["--json", "run.json"]).refused(&["--json", "weights"]);
    }
    for command in
        [&["inspect", "in.onnx"][..], &["bench", "in.onnx", "--runs", "1", "--calibrate", "in.onnx.data"]]
    {
        let case = with_external_data();
        let before = content(case.folder.path());
        let mut run = program(case.folder.path());
        let said = run.args(command).args(["--json", "./in.onnx.data"]).assert().code(2).get_output().clone();
        assert!(text(&said.stderr).contains("weights") || command[0] == "bench", "{}", text(&said.stderr));
        assert!(content(case.folder.path()) == before);
    }
}

#[test]
fn outputs_that_are_other_inputs_or_no_files() {
    let case = Case::new();
    std::fs::create_dir(case.folder.path().join("images")).unwrap();
    case.file("images/0.png", b"a picture");
    case.flags(&["--calib", "images", "--json", "images/0.png"]).refused(&["--json", "one of the images"]);
    for (flag, name) in [("--json", "theirs.bin"), ("--save-gates", "theirs.bin"), ("--report", "run.json")] {
        let case = Case::new();
        case.file(name, if name == "run.json" { &b"{}"[..] } else { &b"\0\x01weights"[..] });
        case.flags(&[flag, name]).refused(&[flag, name, "would be lost"]);
    }
    let case = Case::new();
    case.file("cpu.json", b"{}");
    case.flags(&["--cpu", "cpu.json", "--json", "cpu.json"]).refused(&["--json", "--cpu"]);
    #[cfg(unix)]
    {
        Case::new().flags(&["--json", "/dev/null"]).refused(&["/dev/null", "no regular file"]);
        let fifo = |case: Case, name: &str| {
            let made = std::process::Command::new("mkfifo").arg(case.folder.path().join(name)).status();
            assert!(made.unwrap().success());
            // Reading what is in the folder would wait for the pipe.
            let mut command = program(case.folder.path());
            command.args([case.input, "out.onnx", "--target-flops", "50%"]).args(SHORT).args(&case.flags);
            let said =
                command.timeout(std::time::Duration::from_secs(60)).assert().code(2).get_output().clone();
            assert!(text(&said.stderr).contains(name), "{}", text(&said.stderr));
        };
        fifo(Case { input: "pipe.onnx", ..Case::new() }, "pipe.onnx");
        fifo(Case::new().flags(&["--calib", "x.npy"]), "x.npy");
        fifo(Case::new().flags(&["--calib", "x.npz"]), "x.npz");
        fifo(Case::new().flags(&["--cpu", "c.json"]), "c.json");
        fifo(Case::new().flags(&["--gates", "g.json"]), "g.json");
        fifo(Case::new().flags(&["--json", "j.json"]), "j.json");
        fifo(Case::new().flags(&["--recover", "finetune", "--checkpoint", "state"]), "state");
    }
}

#[test]
fn flags_that_make_no_sense() {
    let cases = [
        (["--input-shape", "pixels:1,1,8,8"], "pixels"),
        (["--input-shape", "1,x"], "--input-shape"),
        (["--exclude", "("], "--exclude"),
        (["--round-to", "auto"], "--cpu"),
        (["--cpu", "raspberry"], "cortex-a53"),
        (["--round-to", "0"], "--round-to"),
        (["--lr", "nan"], "--lr"),
        (["--gate-lr", "0"], "--gate-lr"),
        (["--epochs", "0"], "--epochs"),
        (["--label-share", "2"], "--label-share"),
        (["--epochs", "5"], "--recover finetune"),
        (["--checkpoint", "state"], "--recover finetune"),
        (["--beta", "x"], "--beta"),
        (["--threads", "1000000"], "--threads"),
        (["--criterion", "best"], "--criterion"),
        (["--no-such-flag", "1"], "--no-such-flag"),
    ];
    for (flags, word) in cases {
        Case::new().flags(&flags).refused(&[word]);
    }
}

#[test]
fn a_report_that_belongs_to_another_network() {
    let folder = TempDir::new().unwrap();
    let verify = |report: &[u8]| {
        std::fs::write(folder.path().join("r.json"), report).unwrap();
        let mut command = program(folder.path());
        let chain = model("digits_chain.onnx");
        command.arg("verify").args([&chain, &chain]).args(["--report", "r.json"]);
        text(&command.assert().code(2).get_output().stderr)
    };
    assert!(verify(b"{}").contains("r.json"));
    assert!(verify(b"text").contains("r.json"));
    let mask = |node: &str, input: usize, axis: usize, kept: usize| {
        format!(r#"{{"masks": [{{"node": "{node}", "input": {input}, "axis": {axis}, "kept": [{kept}]}}]}}"#)
    };
    assert!(verify(mask("nowhere", 0, 1, 0).as_bytes()).contains("nowhere"));
    let graph = onnx::read(&model("digits_chain.onnx"), &[]).unwrap().graph;
    let node = &graph.nodes[0].name;
    for (input, axis, kept) in [(9, 1, 0), (0, 7, 0), (0, 1, 1000)] {
        let said = verify(mask(node, input, axis, kept).as_bytes());
        assert!(said.contains(node.as_str()) && said.contains("cannot be masked"), "{said}");
    }
}

#[test]
fn figures_of_a_processor_that_are_none() {
    let cases = [
        (None, "cpu.json"),
        (Some("{"), "tells no processor's speed"),
        (Some("{}"), "tells no processor's speed"),
        (Some(r#""kernels": []"#), "names no kernel"),
        (
            Some(r#""kernels": [{"rows": 0, "columns": 4, "mac": 1e-9, "tile": 0, "call": 0}]"#),
            "without rows",
        ),
        (
            Some(r#""kernels": [{"rows": 8, "columns": 4, "mac": -1, "tile": 0, "call": 0}]"#),
            "a time that is none",
        ),
    ];
    for (written, word) in cases {
        let case = Case::new().flags(&["--cpu", "cpu.json"]);
        let rest =
            r#""name": "mine", "origin": "made up", "element": 0, "packed": 0, "depthwise": 0, "call": 0"#;
        if let Some(text) = written {
            let whole = if text.starts_with('{') { text.to_owned() } else { format!("{{{rest}, {text}}}") };
            std::fs::write(case.folder.path().join("cpu.json"), whole).unwrap();
        }
        case.refused(&["cpu.json", word]);
    }
}

#[test]
fn files_that_cannot_be_timed() {
    let folder = TempDir::new().unwrap();
    let good = model("digits_chain.onnx");
    std::fs::write(folder.path().join("notes.txt"), "not a model").unwrap();
    let refused = |args: &[&str], word: &str| {
        let mut command = program(folder.path());
        let output = command.arg("bench").args(args).assert().code(2).get_output().clone();
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    };
    refused(&[], "FILE.onnx");
    refused(&["notes.txt"], "notes.txt");
    refused(&["nowhere.onnx"], "nowhere.onnx");
    refused(&["notes.txt", "--json", "notes.txt"], "same file");
    refused(&[good.to_str().unwrap(), "--runs", "0"], "--runs");
}
