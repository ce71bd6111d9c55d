use super::super::guard::{What, scan};
use super::super::message::whole;
use super::make::*;
use onnx_protobuf::GraphProto;
use proptest::prelude::*;

#[test]
fn a_stack_of_groups_is_refused_at_its_first_byte() {
    let damage = scan(&vec![0x0b; 3_000_000]).unwrap_err();
    assert_eq!((damage.offset, damage.what), (0, What::Foreign));
}

#[test]
fn groups_are_refused_in_every_message_that_the_parser_enters() {
    // The tag bytes that lead from the model into each kind of message.
    let ways: &[&[u8]] = &[
        &[0x42],                               // opset
        &[0x72],                               // metadata
        &[0x3a],                               // graph
        &[0x3a, 0x0a],                         // node
        &[0x3a, 0x0a, 0x2a],                   // attribute
        &[0x3a, 0x0a, 0x2a, 0x2a],             // its tensor
        &[0x3a, 0x0a, 0x2a, 0x32],             // its graph
        &[0x3a, 0x0a, 0x2a, 0x72],             // its type
        &[0x3a, 0x0a, 0x2a, 0x72, 0x22],       // a sequence
        &[0x3a, 0x0a, 0x2a, 0x72, 0x22, 0x0a], // of a type
        &[0x3a, 0x0a, 0x2a, 0x72, 0x2a, 0x12], // a map's type
        &[0x3a, 0x2a],                         // tensor
        &[0x3a, 0x2a, 0x6a],                   // external data
        &[0x3a, 0x2a, 0x1a],                   // segment
        &[0x3a, 0x5a, 0x12, 0x0a, 0x12, 0x0a], // input, type, tensor, shape, dimension
        &[0x3a, 0x6a, 0x12, 0x42, 0x12],       // value info, type, sparse, shape
        &[0x3a, 0x72, 0x12],                   // annotation
        &[0x3a, 0x7a, 0x0a],                   // sparse tensor's values
        &[0xa2, 0x01, 0x0a, 0x0a],             // training, graph, node
        &[0xca, 0x01, 0x3a],                   // function, node
        &[0xca, 0x01, 0x5a],                   // function, attribute
        &[0xca, 0x01, 0x62, 0x12],             // function, value info, type
    ];
    for way in ways {
        let mut bytes = vec![0x0b, 0x0c];
        for &tag in way.iter().rev().filter(|&&t| t != 0x01) {
            bytes.insert(0, bytes.len() as u8);
            if matches!(tag, 0xa2 | 0xca) {
                bytes.insert(0, 0x01);
            }
            bytes.insert(0, tag);
        }
        let damage = scan(&bytes).expect_err(&format!("{way:x?}"));
        assert_eq!((damage.offset, damage.what), (bytes.len() - 2, What::Foreign), "{way:x?}");
    }
}

#[test]
fn weights_and_strings_may_hold_any_bytes() {
    let proto = edited(|g| {
        g.initializer[0].raw_data = vec![0x0b; 4 * 3 * 9 * 4];
        g.initializer[0].doc_string = "\u{b}\u{c}\u{3}".into();
    });
    assert_eq!(scan(&bytes(&proto)), Ok(()));
    assert!(opened(&proto).is_ok());
}

#[test]
fn a_file_that_is_cut_short_says_how_much_is_missing() {
    let whole = bytes(&small());
    for end in 1..whole.len() {
        if let Err(damage) = scan(&whole[..end]) {
            let cut = matches!(damage.what, What::Truncated { .. } | What::Overlong);
            assert!(cut && damage.offset < end, "{end}: {damage:?}");
        }
    }
    let text =
        super::super::parse(&whole[..200], std::path::Path::new("cut.onnx"), &[]).unwrap_err().to_string();
    assert!(text.contains("cut.onnx") && text.contains("the file is cut short"), "{text}");
}

#[test]
fn a_field_longer_than_its_message_is_refused() {
    // graph { name: 5 bytes claimed, 1 there }, then enough bytes after the graph
    let damage = scan(&[0x3a, 3, 0x12, 5, b'a', 0x08, 1, 0x08, 1]).unwrap_err();
    assert_eq!((damage.offset, damage.what), (2, What::Overlong));
    let endless = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(scan(&endless).unwrap_err().what, What::Overlong);
    assert_eq!(scan(&[0x00, 0x00]).unwrap_err().what, What::Foreign);
}

fn nested(levels: usize) -> GraphProto {
    let mut graph = GraphProto::default();
    for _ in 0..levels {
        let mut holder = node("If", &["c"], &["y"]);
        holder.attribute = vec![subgraph("then_branch", graph)];
        graph = GraphProto { node: vec![holder], ..GraphProto::default() };
    }
    graph
}

#[test]
fn nesting_is_bounded_where_the_parser_bounds_it() {
    use onnx_protobuf::Message;
    for levels in [0, 5, 20, 32, 33, 34, 60] {
        let bytes = bytes(&model(nested(levels)));
        let parsed = onnx_protobuf::ModelProto::parse_from_bytes(&bytes);
        assert_eq!(scan(&bytes).is_ok(), parsed.is_ok(), "{levels} levels");
        assert_eq!(parsed.is_ok(), levels <= 33, "{levels} levels");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_models_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes(&super::bad::with_everything());
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = super::super::parse(&bytes, std::path::Path::new("damaged.onnx"), &[])
            && let Ok(same) = model.with_graph(model.graph.clone())
        {
            // Shapes that the damage made wrong are put right.
            let truthful = model.false_declarations().is_ok_and(|wrong| wrong.is_empty());
            prop_assert!(!truthful || whole(&same) == whole(&model));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = super::super::parse(&bytes, std::path::Path::new("noise.onnx"), &[]);
    }
}
