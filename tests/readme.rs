//! The README's operator table is the code's.

use autobot_onnx::internals::ops::OPERATORS;

/// The block of README.md between the two markers.
const BEGIN: &str = "<!-- operators: begin -->\n";
const END: &str = "<!-- operators: end -->";

#[test]
fn the_operator_table_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("the marker before the table");
    let (table, tail) = rest.split_once(END).expect("the marker behind the table");
    let names: Vec<String> = OPERATORS.iter().map(|o| format!("`{}`", o.name)).collect();
    let expected = format!("{} operators: {}.\n", names.len(), names.join(" "));
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{expected}{END}{tail}")).expect("README.md is writable");
    } else {
        assert_eq!(table, expected, "UPDATE_README=1 cargo test --release --test readme");
    }
}

#[test]
fn the_first_two_commands_are_there() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    assert!(readme.contains("\n    cargo run --release -- demo\n"));
    assert!(readme.contains("\n    cargo test --release\n"));
}
