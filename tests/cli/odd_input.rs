//! Odd input that is no error: names that a terminal would obey or that never end, pictures in another form than the network takes,
//! pictures that are none.

use super::{SHORT, digits, model, program, text};
use onnx_protobuf::{Message, ModelProto};
use std::path::Path;
use tempfile::TempDir;

/// The chain of digits as `in.onnx`, with its first convolution and what that gives called `name`.
fn renamed(folder: &Path, name: &str) {
    let bytes = std::fs::read(model("digits_chain.onnx")).unwrap();
    let mut proto = ModelProto::parse_from_bytes(&bytes).unwrap();
    let graph = proto.graph.mut_or_insert_default();
    let old = graph.node[0].output[0].clone();
    graph.node[0].name = name.into();
    for node in &mut graph.node {
        let all = node.input.iter_mut().chain(&mut node.output);
        all.filter(|n| **n == old).for_each(|n| *n = name.into());
    }
    graph.value_info.clear();
    std::fs::write(folder.join("in.onnx"), proto.write_to_bytes().unwrap()).unwrap();
}

#[test]
fn names_that_a_terminal_would_obey_are_printed_harmlessly() {
    let folder = TempDir::new().unwrap();
    let name = "\u{1b}]0;title\u{7}\u{9b}31m\nverified  pass\u{202e}";
    renamed(folder.path(), name);
    let shown = "\\u{1b}]0;title\\u{7}\\u{9b}31m\\nverified  pass\\u{202e}";
    let prune = ["in.onnx", "out.onnx", "--target-flops", "50%"];
    let runs: [&[&str]; 5] = [
        &["inspect", "in.onnx"],
        &["in.onnx", "out.onnx", "--target-flops", "50%", "--criterion", "l1", "--report", "r.html"],
        &["bench", "in.onnx", "--runs", "1", "--seconds", "0", "--layers"],
        &[&prune[..], &["--exclude", "title", "--dry-run"]].concat(),
        &[&prune[..], &["--json", name]].concat(),
    ];
    for (k, run) in runs.into_iter().enumerate() {
        let mut command = program(folder.path());
        let output = command.args(run).args(if k == 4 { &SHORT[..] } else { &[] }).output().unwrap();
        assert!(output.status.success(), "{run:?}: {}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(obeyed), "{said:?}");
        assert!(!said.lines().any(|l| l.starts_with("verified  pass\\u")), "{said}");
        assert!(said.contains(shown) || k > 2, "{said}");
    }
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(!page.contains("<\u{1b}"));
}

#[test]
fn names_are_as_long_as_they_are() {
    let folder = TempDir::new().unwrap();
    let name = "n".repeat(70_000);
    renamed(folder.path(), &name);
    let mut inspect = program(folder.path());
    let output = inspect.args(["inspect", "in.onnx"]).assert().success().get_output().clone();
    assert!(text(&output.stdout).contains(&name));
    let mut prune = program(folder.path());
    prune.args(["in.onnx", "out.onnx", "--target-flops", "50%", "--criterion", "l1"]);
    let output =
        prune.args(["--report", "r.html", "--json", "r.json"]).assert().success().get_output().clone();
    // No other line is as long.
    assert!(text(&output.stdout).len() < 2 * name.len());
}

#[test]
fn markup_in_names_is_text_on_the_page() {
    let folder = TempDir::new().unwrap();
    renamed(folder.path(), "<script>alert(1)</script>&");
    let mut prune = program(folder.path());
    prune.args(["in.onnx", "out.onnx", "--target-flops", "50%", "--criterion", "l1", "--report", "r.html"]);
    prune.assert().success();
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
}

/// What a rehearsal says on stdout and stderr.
fn rehearsed(folder: &Path, flags: &[&str]) -> (String, String) {
    let mut command = program(folder);
    command.arg(model("digits_chain.onnx")).arg("--dry-run").args(flags);
    let output = command.assert().success().get_output().clone();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn pictures_in_another_form_than_the_network_takes_are_noticed() {
    let folder = TempDir::new().unwrap();
    let said = |flags: &[&str]| rehearsed(folder.path(), flags);
    let png = model("digits_png");
    let png = png.to_str().unwrap();
    let (shown, warned) = said(&["--calib", png]);
    assert!(shown.contains("sees      '0/0.png' is class 8") && shown.contains("label 0"), "{shown}");
    assert!(warned.contains("hardly more than by chance: with --mean 0.5 --std 0.5 it is right"), "{warned}");
    let (shown, warned) = said(&["--calib", png, "--mean", "0.5", "--std", "0.5"]);
    assert!(shown.contains("'0/0.png' is class 0") && !warned.contains("warning"), "{shown} {warned}");
    // Without labels.
    let array = model("digits_calib_images.npy");
    let (_, warned) = said(&["--calib", array.to_str().unwrap()]);
    assert!(warned.contains("the same class, 8: unless they are all of one kind"), "{warned}");
    assert!(warned.contains("with --mean 0.5 --std 0.5 it tells them apart"), "{warned}");
    // Labels that number the classes in another way.
    let labels: String = std::fs::read(model("digits_calib_labels.npy")).unwrap()[128..]
        .iter()
        .map(|l| format!("{}\n", (l + 3) % 10))
        .collect();
    std::fs::write(folder.path().join("labels.txt"), labels).unwrap();
    let flags = ["--labels", "labels.txt", "--mean", "0.5", "--std", "0.5"];
    let (_, warned) = said(&[&["--calib", array.to_str().unwrap()][..], &flags].concat());
    assert!(warned.contains("number the classes in another order"), "{warned}");
}

#[test]
fn pictures_that_are_none_are_named_or_left_out_and_counted() {
    let folder = TempDir::new().unwrap();
    for class in 0..10 {
        let [from, to] =
            [model("digits_png"), folder.path().join("images")].map(|p| p.join(class.to_string()));
        std::fs::create_dir_all(&to).unwrap();
        for k in 0..3 {
            std::fs::copy(from.join(format!("{k}.png")), to.join(format!("{k}.png"))).unwrap();
        }
    }
    std::fs::write(folder.path().join("images/7/1.png"), "no picture").unwrap();
    let flags = ["--calib", "images", "--mean", "0.5", "--std", "0.5"];
    let mut command = program(folder.path());
    command.arg(model("digits_chain.onnx")).arg("--dry-run").args(flags);
    let output = command.assert().code(2).get_output().clone();
    let said = text(&output.stderr);
    assert!(said.contains("images/7/1.png") && said.contains("--skip-bad"), "{said}");
    let (_, said) = rehearsed(folder.path(), &[&flags[..], &["--skip-bad"]].concat());
    assert!(
        said.contains("1 of 30 samples were left out because they cannot be used; first: images/7/1.png"),
        "{said}"
    );
}

#[test]
fn a_choice_of_layers_that_chooses_none_is_noticed() {
    let folder = TempDir::new().unwrap();
    let said = |flags: &[&str]| {
        let mut command = program(folder.path());
        let output = command.arg("inspect").arg(model("digits_chain.onnx")).args(flags).output().unwrap();
        text(&output.stderr)
    };
    for flag in ["--exclude", "--only"] {
        assert!(
            said(&[flag, "conv9"])
                .contains(&format!("warning: {flag} 'conv9' matches no layer and no tensor"))
        );
        assert!(said(&[flag, "features.1/"]).is_empty(), "{}", said(&[flag, "features.1/"]));
        assert!(said(&[flag, "^logits$"]).contains("none with channels that could be cut"));
    }
    let mut command = program(folder.path());
    command.arg(model("digits_chain.onnx")).args(["out.onnx", "--target-flops", "50%", "--exclude", "conv9"]);
    let output = digits(&mut command).args(SHORT).assert().success().get_output().clone();
    assert!(text(&output.stderr).contains("--exclude 'conv9' matches no layer"));
}
