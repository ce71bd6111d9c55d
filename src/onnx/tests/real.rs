//! Whole models from real exporters: the demo networks, and further ones that stand beside the checkout.

use super::super::message::whole;
use super::super::*;
use onnx_protobuf::{Message, ModelProto};
use std::path::{Path, PathBuf};

/// Sizes that files leave open.
const GIVEN: &[(&str, &str)] = &[
    ("bodypix_mobilenet050_s16", "1,225,225,3"),
    ("chineseocr_dbnet", "1,3,320,320"),
    ("ppocr_mobile_v2.0_cls", "1,3,48,192"),
    ("ppocrv3_det", "1,3,320,320"),
    ("retinaface_mbnet0.25", "1,3,320,320"),
    ("scrfd_500m_bnkps", "1,3,320,320"),
    ("silero_vad_16k_op15", "input:1,512"),
    ("yolo5face_500m_320x320", "1,3,320,320"),
    ("yunet_n_dynamic", "1,3,320,320"),
];

fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(models(&path));
        } else if path.extension().is_some_and(|e| e == "onnx") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn given(name: &str) -> Vec<InputShape> {
    GIVEN.iter().filter(|(n, _)| *n == name).map(|(_, flag)| flag.parse().unwrap()).collect()
}

#[test]
fn demo_networks_are_read_and_written_unchanged() {
    unchanged("models");
}

#[test]
#[ignore = "needs the networks of ../shared/data/models"]
fn real_networks_are_read_and_written_unchanged() {
    unchanged("../shared/data/models");
}

/// Reads and writes every ONNX file below a folder of the repository; there is one at least.
fn unchanged(folder: &str) {
    let paths = models(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    assert!(!paths.is_empty(), "needs ONNX files below {folder}");
    let mut failed = Vec::new();
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let given = given(&name);
        let bytes = std::fs::read(path).unwrap();
        let proto = ModelProto::parse_from_bytes(&bytes).unwrap();
        match read(path, &given).and_then(|m| Ok((m.with_graph(m.graph.clone())?, m))) {
            Ok((same, model)) => {
                assert_eq!(whole(&same), proto, "{name}");
                assert!(same.to_bytes().unwrap() == proto.write_to_bytes().unwrap(), "{name}");
                assert_eq!(model.graph.nodes.len(), proto.graph.node.len(), "{name}");
            }
            Err(e) => failed.push(format!("{name}: {e}")),
        }
    }
    assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), paths.len(), failed.join("\n"));
}
