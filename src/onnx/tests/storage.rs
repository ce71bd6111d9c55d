//! Every form and type of storage: read as typed elements, sliced, and written in the form it had.

use super::super::message::whole;
use super::super::tensor;
use super::make::*;
use crate::graph::Origin;
use crate::tensor::{DType, Tensor};
use onnx_protobuf::TensorProto;

const VALUES: [f64; 6] = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];

/// A 3×2 tensor of the type; `lists` puts the elements where the standard wants them when they are not raw.
fn stored(dtype: DType, lists: bool) -> TensorProto {
    let mut t = TensorProto {
        name: "t".into(),
        doc_string: "kept".into(),
        data_type: dtype.onnx(),
        dims: vec![3, 2],
        ..TensorProto::default()
    };
    let ints = |one: i32| VALUES.iter().map(|&v| v as i32 * one).collect();
    match dtype {
        _ if !lists => t.raw_data = Tensor::from_real(dtype, &[3, 2], &VALUES).to_bytes(),
        DType::F32 => t.float_data = VALUES.iter().map(|&v| v as f32).collect(),
        DType::F64 => t.double_data = VALUES.to_vec(),
        DType::I64 => t.int64_data = VALUES.iter().map(|&v| v as i64).collect(),
        DType::U32 | DType::U64 => t.uint64_data = VALUES.iter().map(|&v| v as u64).collect(),
        DType::F16 => t.int32_data = ints(0x3c00),
        DType::BF16 => t.int32_data = ints(0x3f80),
        _ => t.int32_data = ints(1),
    }
    t
}

#[test]
fn slicing_keeps_the_form() {
    for dtype in (1..=16).filter_map(DType::from_onnx) {
        for lists in [false, true] {
            let proto = edited(|g| g.initializer.push(stored(dtype, lists)));
            let model = opened(&proto).unwrap();
            let t = value(&model, "t");
            let old = model.graph.initializer(t).unwrap();
            assert_eq!(*old, Tensor::from_real(dtype, &[3, 2], &VALUES), "{dtype:?} {lists}");
            let mut graph = model.graph.clone();
            graph.values[t].origin = Origin::Initializer(old.select(0, &[0, 2]));
            let new = model.with_graph(graph).unwrap();
            let mut expected = stored(dtype, lists);
            expected.dims = vec![2, 2];
            let size = dtype.size();
            if lists {
                let cut = |k: usize| !(2..4).contains(&k);
                macro_rules! keep { ($($f:ident)*) => {$(
                    let mut k = 0;
                    expected.$f.retain(|_| { k += 1; cut(k - 1) });
                )*} }
                keep!(float_data double_data int64_data uint64_data int32_data);
            } else {
                expected.raw_data.drain(2 * size..4 * size);
            }
            let mut wanted = proto.clone();
            *wanted.graph.as_mut().unwrap().initializer.last_mut().unwrap() = expected;
            assert_eq!(whole(&new), wanted, "{dtype:?} {lists}");
            assert_eq!(opened(&whole(&new)).unwrap().graph.initializer(t).unwrap().shape(), [2, 2]);
        }
    }
}

#[test]
fn negative_narrow_integers_and_all_half_floats_survive() {
    let mut t = stored(DType::I8, true);
    t.int32_data = vec![-128, -1, 0, 1, 127, 5];
    let folder = super::super::external::Folder::of(std::path::Path::new("x"));
    let read = |t: &TensorProto| tensor::read(t, &folder).unwrap().unwrap();
    assert_eq!(read(&t), Tensor::new(&[3, 2], vec![-128i8, -1, 0, 1, 127, 5]));
    let mut t = stored(DType::F16, true);
    t.int32_data = vec![0xbc00, 0x0001, 0x7bff, 0x8000, 0, 0];
    let mut again = t.clone();
    tensor::store(&mut again, &read(&t));
    assert_eq!(again, t);
}
