//! Weights in files of their own.

use super::super::external::is_external;
use super::super::message::whole;
use super::super::*;
use super::make::*;
use crate::error::Error;
use crate::graph::Origin;
use crate::tensor::Tensor;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{Message, ModelProto, StringStringEntryProto, TensorProto};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn entries(t: &mut TensorProto, entries: &[(&str, &str)]) {
    t.data_location = DataLocation::EXTERNAL.into();
    let entry = |(k, v): &(&str, &str)| StringStringEntryProto {
        key: k.to_string(),
        value: v.to_string(),
        ..StringStringEntryProto::default()
    };
    t.external_data = entries.iter().map(entry).collect();
}

/// The small model with `w` and `v` in the file `weights.bin` of a new folder.
fn split() -> (TempDir, ModelProto) {
    let dir = tempfile::tempdir().unwrap();
    let mut data = vec![9u8; 10];
    let proto = edited(|g| {
        for k in [0, 2] {
            let t = &mut g.initializer[k];
            let raw = std::mem::take(&mut t.raw_data);
            let (offset, length) = (data.len().to_string(), raw.len().to_string());
            data.extend(raw);
            entries(
                t,
                &[("location", "weights.bin"), ("offset", &offset), ("length", &length), ("checksum", "0")],
            );
        }
    });
    fs::write(dir.path().join("weights.bin"), data).unwrap();
    fs::write(dir.path().join("in.onnx"), bytes(&proto)).unwrap();
    (dir, proto)
}

fn open(dir: &TempDir, name: &str) -> Model {
    super::super::read(&dir.path().join(name), &[]).unwrap()
}

fn listing(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn external_weights_are_read_and_embedded() {
    let (dir, proto) = split();
    let model = open(&dir, "in.onnx");
    assert_eq!(whole(&model.with_graph(model.graph.clone()).unwrap()), proto);
    assert_eq!(model.to_bytes().unwrap(), bytes(&small()));
}

#[test]
fn without_a_length_the_shape_says_how_many_bytes() {
    let (dir, mut proto) = split();
    for k in [0, 2] {
        proto.graph.as_mut().unwrap().initializer[k].external_data.retain(|e| e.key != "length");
    }
    fs::write(dir.path().join("in.onnx"), bytes(&proto)).unwrap();
    let model = open(&dir, "in.onnx");
    assert_eq!(model.to_bytes().unwrap(), bytes(&small()));
    model.write(&dir.path().join("out.onnx")).unwrap();
    assert_eq!(open(&dir, "out.onnx").to_bytes().unwrap(), bytes(&small()));
}

#[test]
fn external_weights_stay_external_and_the_input_is_untouched() {
    let (dir, _) = split();
    let before = fs::read(dir.path().join("weights.bin")).unwrap();
    let model = open(&dir, "in.onnx");
    let mut graph = model.graph.clone();
    let w = value(&model, "w");
    let sliced = Tensor::floats(graph.initializer(w).unwrap().shape(), vec![1.5; 108]);
    graph.values[w].origin = Origin::Initializer(sliced);
    let new = model.with_graph(graph).unwrap();
    let out = dir.path().join("out.onnx");
    let Written { bytes: written, data, left } = new.write(&out).unwrap();
    assert_eq!((data, left), (Some(dir.path().join("out.onnx.data")), None));
    assert_eq!(listing(&dir), ["in.onnx", "out.onnx", "out.onnx.data", "weights.bin"]);
    let size = |n: &str| fs::metadata(dir.path().join(n)).unwrap().len();
    assert_eq!(written, size("out.onnx") + size("out.onnx.data"));
    assert_eq!(fs::read(dir.path().join("weights.bin")).unwrap(), before);
    let again = open(&dir, "out.onnx");
    assert_eq!(
        again.proto.graph.initializer.iter().map(is_external).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert!(
        again.proto.graph.initializer.iter().all(|t| t.external_data.iter().all(|e| e.key != "checksum"))
    );
    for (v, value) in new.graph.values.iter().enumerate() {
        assert_eq!(new.graph.initializer(v), again.graph.initializer(v), "{}", value.name);
    }
    assert_eq!(again.to_bytes().unwrap(), new.to_bytes().unwrap());
}

#[test]
fn only_what_was_proved_is_written() {
    let (dir, _) = split();
    let inside = super::super::parse(&bytes(&small()), &dir.path().join("small.onnx"), &[]).unwrap();
    for model in [open(&dir, "in.onnx"), inside] {
        let (out, proved) = (dir.path().join("out.onnx"), model.to_bytes().unwrap());
        let before = listing(&dir);
        let mut other = proved.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(matches!(model.write_proved(&out, &other), Err(Error::Verification { .. })));
        assert_eq!(listing(&dir), before);
        model.write_proved(&out, &proved).unwrap();
        assert_eq!(open(&dir, "out.onnx").to_bytes().unwrap(), proved);
        listing(&dir)
            .iter()
            .filter(|n| !before.contains(n))
            .for_each(|n| fs::remove_file(dir.path().join(n)).unwrap());
    }
}

#[test]
fn the_files_a_model_came_from_are_never_written() {
    let (dir, mut proto) = split();
    for k in [0, 2] {
        let t = &mut proto.graph.as_mut().unwrap().initializer[k];
        t.external_data[0].value = "./out.onnx.data".into();
    }
    fs::rename(dir.path().join("weights.bin"), dir.path().join("out.onnx.data")).unwrap();
    fs::write(dir.path().join("in.onnx"), bytes(&proto)).unwrap();
    let model = open(&dir, "in.onnx");
    for name in ["in.onnx", "out.onnx.data"] {
        let error = model.write(&dir.path().join(name)).unwrap_err().to_string();
        assert!(error.contains("is read from this file"), "{error}");
    }
    model.write(&dir.path().join("out.onnx")).unwrap();
    assert_eq!(listing(&dir), ["in.onnx", "out.onnx", "out.onnx.data", "out.onnx.data1"]);
    assert_eq!(open(&dir, "out.onnx").to_bytes().unwrap(), bytes(&small()));
    assert_eq!(open(&dir, "in.onnx").to_bytes().unwrap(), bytes(&small()));
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let (dir, _) = split();
    let model = open(&dir, "in.onnx");
    fs::create_dir(dir.path().join("taken.onnx")).unwrap();
    let inner = opened(&small()).unwrap();
    assert!(inner.write(&dir.path().join("taken.onnx")).is_err());
    assert!(model.write(&dir.path().join("taken.onnx")).is_err());
    assert!(inner.write(&dir.path().join("missing/out.onnx")).is_err());
    assert!(model.write(&dir.path().join("missing/out.onnx")).is_err());
    assert_eq!(listing(&dir), ["in.onnx", "taken.onnx", "weights.bin"]);
}

/// The small model with external data, and an output of it in a sub-folder.
fn written_below() -> (TempDir, Model, std::path::PathBuf) {
    let (dir, _) = split();
    let model = open(&dir, "in.onnx");
    fs::create_dir(dir.path().join("sub")).unwrap();
    let out = dir.path().join("sub/out.onnx");
    model.write(&out).unwrap();
    (dir, model, out)
}

#[test]
fn data_never_take_the_name_of_those_of_the_model_that_is_replaced() {
    let (dir, model, out) = written_below();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(dir.path().join("sub")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["out.onnx", "out.onnx.data"]);
    // As if the run had died between the two names: both models have their own data.
    fs::write(dir.path().join("sub/out.onnx.data1"), "of a run that died").unwrap();
    let again = model.write(&out).unwrap();
    assert_eq!(again.data, Some(dir.path().join("sub/out.onnx.data2")));
    assert_eq!(names(), ["out.onnx", "out.onnx.data1", "out.onnx.data2"]);
    model.write(&out).unwrap();
    assert_eq!(names(), ["out.onnx", "out.onnx.data", "out.onnx.data1"]);
    assert_eq!(open(&dir, "sub/out.onnx").to_bytes().unwrap(), bytes(&small()));
    // A model without external data in its place needs none.
    opened(&small()).unwrap().write(&out).unwrap();
    assert_eq!(names(), ["out.onnx", "out.onnx.data1"]);
}

#[test]
fn data_that_another_model_reads_stay() {
    let (dir, model, out) = written_below();
    fs::copy(&out, dir.path().join("sub/best")).unwrap();
    let again = model.write(&out).unwrap();
    assert_eq!(again.left, Some(dir.path().canonicalize().unwrap().join("sub/out.onnx.data")));
    assert_eq!(open(&dir, "sub/best").to_bytes().unwrap(), bytes(&small()));
    // The same of a model in the folder above, which names the folder.
    fs::remove_file(dir.path().join("sub/best")).unwrap();
    let mut above = ModelProto::parse_from_bytes(&fs::read(&out).unwrap()).unwrap();
    for t in walk::tensors_mut(&mut above) {
        t.external_data
            .iter_mut()
            .filter(|e| e.key == "location")
            .for_each(|e| e.value.insert_str(0, "sub/"));
    }
    fs::write(dir.path().join("above.onnx"), bytes(&above)).unwrap();
    assert!(model.write(&out).unwrap().left.is_some());
    assert_eq!(open(&dir, "above.onnx").to_bytes().unwrap(), bytes(&small()));
    // What was not named here is never removed.
    fs::rename(dir.path().join("weights.bin"), dir.path().join("sub/weights.bin")).unwrap();
    fs::rename(dir.path().join("in.onnx"), dir.path().join("sub/theirs.onnx")).unwrap();
    let theirs = dir.path().join("sub/theirs.onnx");
    opened(&small()).unwrap().write(&theirs).unwrap();
    assert!(dir.path().join("sub/weights.bin").exists());
}

#[cfg(unix)]
#[test]
fn written_files_have_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.onnx");
    fs::write(dir.path().join("ordinary"), b"").unwrap();
    assert_eq!(opened(&small()).unwrap().write(&out).unwrap().bytes, bytes(&small()).len() as u64);
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&out), mode(&dir.path().join("ordinary")));
    assert_eq!(fs::read(&out).unwrap(), bytes(&small()));
}

/// The error that reading gives when the first weight's entries are these.
fn refused(dir: &TempDir, with: &[(&str, &str)]) -> String {
    let (_keep, mut proto) = split();
    entries(&mut proto.graph.as_mut().unwrap().initializer[0], with);
    let path = dir.path().join("model").join("in.onnx");
    parse(&bytes(&proto), &path, &[]).map(|_| ()).expect_err("a bad location was read").to_string()
}

#[test]
fn paths_out_of_the_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    fs::create_dir(dir.path().join("model/sub")).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, vec![0; 10_000]).unwrap();
    fs::copy(&secret, dir.path().join("model/weights.bin")).unwrap();
    for location in ["../secret", "sub/../../secret", secret.to_str().unwrap(), "/dev/zero"] {
        let text = refused(&dir, &[("location", location)]);
        assert!(text.contains("may not lead out of") && text.contains("'w'"), "{text}");
    }
    assert!(refused(&dir, &[]).contains("not named"));
    assert!(refused(&dir, &[("location", "sub")]).contains("not a regular file"));
    assert!(refused(&dir, &[("location", "absent.bin")]).contains("cannot be opened"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, dir.path().join("model/link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("model/sub/up")).unwrap();
        for location in ["link", "sub/up/secret"] {
            let text = refused(&dir, &[("location", location)]);
            assert!(text.contains("a link that leads out of"), "{text}");
        }
    }
}

#[test]
fn short_files_and_bad_numbers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    fs::write(dir.path().join("model/weights.bin"), vec![0; 1000]).unwrap();
    let case = |offset: &str, length: &str| {
        refused(&dir, &[("location", "weights.bin"), ("offset", offset), ("length", length)])
    };
    assert!(case("600", "432").contains("432 bytes at offset 600"), "{}", case("600", "432"));
    assert!(case("0", "400").contains("its shape takes 432 bytes"));
    assert!(case("18446744073709551615", "432").contains("which has 1000 bytes"));
    assert!(case("0", "18446744073709551615").contains("which has 1000 bytes"));
    assert!(case("-1", "432").contains("the entry 'offset' of its data file is '-1'"));
    let text = refused(&dir, &[("location", "weights.bin"), ("offset", "900")]);
    assert!(text.contains("432 bytes at offset 900"), "{text}");
}

#[test]
fn data_in_two_places_are_refused() {
    let (dir, mut proto) = split();
    proto.graph.as_mut().unwrap().initializer[0].raw_data = vec![0; 432];
    let text = parse(&bytes(&proto), &dir.path().join("in.onnx"), &[]).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("both in the model and in another file"), "{text}");
}

#[test]
fn external_tensors_in_subgraphs_move_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("k.bin"), [1u8, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    let mut proto = super::bad::with_everything();
    let mut inner =
        TensorProto { name: "deep".into(), data_type: 8, dims: vec![2], ..TensorProto::default() };
    entries(&mut inner, &[("location", "k.bin")]);
    let choice = &mut proto.graph.as_mut().unwrap().node[4];
    choice.attribute[1].g.as_mut().unwrap().initializer.push(inner);
    fs::write(dir.path().join("in.onnx"), bytes(&proto)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    open(&dir, "in.onnx").write(&elsewhere.path().join("out.onnx")).unwrap();
    assert_eq!(fs::read(elsewhere.path().join("out.onnx.data")).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(super::super::read(&elsewhere.path().join("out.onnx"), &[]).is_ok());
}

#[test]
fn branches_that_are_taken_bring_their_external_data() {
    let fixture = include_bytes!("../../../fixtures/decided_branches/model.onnx");
    let mut proto = ModelProto::parse_from_bytes(fixture).unwrap();
    let inside = opened(&proto).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let outer = proto.graph.as_mut().unwrap().node.iter_mut().find(|n| n.name == "outer").unwrap();
    let taken = outer.attribute.iter_mut().find(|a| a.name == "then_branch").unwrap();
    let t = &mut taken.g.as_mut().unwrap().initializer[0];
    fs::write(dir.path().join("k.bin"), std::mem::take(&mut t.raw_data)).unwrap();
    entries(t, &[("location", "k.bin")]);
    fs::write(dir.path().join("in.onnx"), bytes(&proto)).unwrap();
    let model = open(&dir, "in.onnx");
    assert_eq!(model.decided(), ["optional", "outer"]);
    assert_eq!(model.graph.nodes.len(), inside.graph.nodes.len());
    let elsewhere = tempfile::tempdir().unwrap();
    model.write(&elsewhere.path().join("out.onnx")).unwrap();
    let again = super::super::read(&elsewhere.path().join("out.onnx"), &[]).unwrap();
    assert_eq!(again.to_bytes().unwrap(), inside.to_bytes().unwrap());
}
