//! The layer rule: a room uses only what stands below it, and its modules do not use each other in circles, so that every part can
//! be read without what is built on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the ground up. Rooms of one layer do not use each other, except as `BESIDE` says.
const LAYERS: &[&[&str]] = &[
    &["setting"],
    &["error", "support"],
    &["tensor", "kernels"],
    &["graph"],
    &["ops", "coupling"],
    &["cost", "exec"],
    &["onnx", "data", "plan"],
    &["gates", "rewrite", "tract"],
    &["verify", "recover"],
    &["pruner"],
    &["report"],
    &["cli", "main"],
];

/// Who may use what of his own layer: kernels compute with the types of real numbers that tensors know; errors are printed.
const BESIDE: &[(&str, &str)] = &[("kernels", "tensor"), ("error", "support"), ("support", "error")];

/// Crates that only one place may name.
const PRIVATE: &[(&str, &str)] = &[
    ("onnx_protobuf", "onnx/"),
    ("protobuf", "onnx/"),
    ("tract_core", "tract/"),
    ("tract_onnx", "tract/"),
    ("image", "data/"),
    ("zip", "data/"),
    ("clap", "cli/"),
    ("indicatif", "cli/"),
    ("plotters", "report/plot.rs"),
    ("maud", "report/html.rs"),
];

/// The places that may hold the word `unsafe`.
const UNSAFE: &[&str] = &["kernels/", "cli/mod.rs"];

/// Who may name operators beside `ops/`, and which (empty: any). An operator is asked what it is, by `Op` and `Hints`; these
/// cannot ask one.
const NAMING: &[(&str, &[&str], &str)] = &[
    (
        "onnx/",
        &[],
        "reads and writes files: functions, branches and kinds of models are told by their nodes' names",
    ),
    ("rewrite/constant.rs", &["Constant"], "makes nodes"),
    ("rewrite/masked.rs", &["Mul"], "makes nodes"),
    ("rewrite/route.rs", &["Cast", "Gather", "Mul", "Pad"], "makes nodes"),
    ("rewrite/shape_operands.rs", &["Where"], "makes nodes"),
];

/// A source file: its path below `src`, and its text without comments and tests.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }
}

fn sources() -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() { collect(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let mut tests = BTreeSet::new();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (text, modules) = without_tests(&text);
        let home = path.parent().unwrap();
        let own = path.file_stem().unwrap().to_str().unwrap();
        let home = if ["mod", "lib", "main"].contains(&own) { home.to_owned() } else { home.join(own) };
        tests.extend(modules.iter().map(|m| home.join(m)));
        all.push((path, text));
    }
    let is_test = |p: &Path| tests.iter().any(|t| p.starts_with(t) || p == t.with_extension("rs"));
    all.retain(|(path, _)| !is_test(path));
    let name = |p: &Path| p.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    all.into_iter().map(|(p, text)| Source { path: name(&p), text }).collect()
}

/// Drops comments and items behind `#[cfg(test)]`; the latter end with a line of `}` or `;` at their own indentation.
/// Names the modules among them that are files of their own.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut out, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if code != "#[cfg(test)]" {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        for line in lines.by_ref() {
            let item = line.trim_start();
            if let Some(name) = item.strip_prefix("mod ").and_then(|m| m.strip_suffix(';')) {
                modules.push(name.to_owned());
            }
            let whole = line.starts_with(indent) && !line[indent.len()..].starts_with(' ');
            if whole && (line.ends_with([';', ',']) || line.trim_end() == format!("{indent}}}")) {
                break;
            }
        }
    }
    (out, modules)
}

/// The name that a text begins with.
fn first_word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// Every `crate::a::b` in a text, as `a` and `a::b`; a list in braces gives each of its words.
fn uses(text: &str) -> BTreeSet<(String, String)> {
    let word = |s: &str| first_word(s).to_owned();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::").filter(|(at, _)| !text[..*at].ends_with(['$', '_'])) {
        let rest = &text[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map(|r| r.split('}').next().unwrap_or_default().split(','));
        for path in list.map_or_else(|| vec![rest], |l| l.map(str::trim).collect()) {
            let first = word(path);
            let second = path[first.len()..].strip_prefix("::").map(word).unwrap_or_default();
            found.insert((first.clone(), format!("{first}::{second}")));
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&module))
}

#[test]
fn every_module_uses_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.path != "lib.rs") {
        let module = source.module();
        let own = layer(module).unwrap_or_else(|| panic!("src/{} belongs to no layer", source.path));
        for (used, path) in uses(&source.text) {
            // Capital letters are the crate's re-exports of its error and its settings.
            let base = used == module || used.starts_with(char::is_uppercase);
            let below = layer(&used).is_some_and(|l| l < own);
            let beside = BESIDE.iter().any(|(who, what)| *who == module && (*what == used || *what == path));
            if !(base || below || beside) {
                wrong.push(format!("src/{} uses crate::{path}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first names of a tree of uses: a of `a::b`, a and c of `{a::{b, d}, c}`; `*` stands for itself.
fn heads(tree: &str) -> Vec<&str> {
    let head = |path: &str| if path.starts_with('*') { 1 } else { first_word(path).len() };
    let Some(list) = tree.strip_prefix('{') else { return vec![&tree[..head(tree)]] };
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let path = list[start..at].trim_start();
                found.push(&path[..head(path)]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// A room's own modules, by name: the files of each.
fn modules<'s>(room: &str, sources: &'s [Source]) -> BTreeMap<&'s str, Vec<&'s Source>> {
    let mut modules: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.module() == room) {
        let name = source.path.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs");
        if !["", "mod"].contains(&name) {
            modules.entry(name).or_default().push(source);
        }
    }
    modules
}

/// By name that a room's `mod.rs` gives on: the module that has it.
fn given_on<'s>(room: &str, mod_rs: &'s str) -> BTreeMap<&'s str, &'s str> {
    let mut given = BTreeMap::new();
    let whole = |at: usize| !mod_rs[..at].ends_with(char::is_alphanumeric);
    for (at, _) in mod_rs.match_indices("use ").filter(|(at, _)| whole(*at)) {
        let tree = mod_rs[at + "use ".len()..].split(';').next().unwrap_or_default();
        let tree = tree.strip_prefix("self::").unwrap_or(tree);
        let tree = tree.strip_prefix(&format!("crate::{room}::")).unwrap_or(tree);
        let module = first_word(tree);
        let names = tree[module.len()..].split(|c: char| !c.is_alphanumeric() && c != '_');
        given.extend(names.filter(|name| !name.is_empty()).map(|name| (name, module)));
    }
    given
}

/// The names that a file takes out of its room: of `crate::room::…`, and of as many `super::` as lead there.
fn names_of_room<'s>(room: &str, source: &'s Source) -> Vec<&'s str> {
    let parts = source.path.split('/').count();
    let up = if source.path.ends_with("/mod.rs") { parts - 2 } else { parts - 1 };
    let mut found = Vec::new();
    for prefix in [format!("crate::{room}::"), "super::".repeat(up)] {
        let whole =
            |at: usize| !source.text[..at].ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c));
        for (at, _) in source.text.match_indices(&prefix).filter(|(at, _)| whole(*at)) {
            found.extend(heads(&source.text[at + prefix.len()..]));
        }
    }
    found
}

/// By module of a room: the modules that it uses, also by names that `mod.rs` gives on.
fn uses_within<'s>(room: &str, sources: &'s [Source]) -> BTreeMap<&'s str, BTreeSet<&'s str>> {
    let modules = modules(room, sources);
    let mod_rs = sources.iter().find(|s| s.path == format!("{room}/mod.rs"));
    let given = mod_rs.map(|s| given_on(room, &s.text)).unwrap_or_default();
    let mut uses = BTreeMap::new();
    for (&module, files) in &modules {
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for file in files {
            for name in names_of_room(room, file) {
                used.extend(modules.get_key_value(name).map(|(name, _)| *name).or(given.get(name).copied()));
                if name == "*" {
                    used.extend(given.iter().filter(|(name, _)| has_word(&file.text, name)).map(|(_, m)| *m));
                }
            }
        }
        used.retain(|used| *used != module && modules.contains_key(used));
        uses.insert(module, used);
    }
    uses
}

/// Modules of which each uses the next, and the last the first; `None` where there are none.
fn circle(mut uses: BTreeMap<&str, BTreeSet<&str>>) -> Option<Vec<String>> {
    // Modules that use nothing, or only such, stand in no circle.
    while let Some(ground) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| *module) {
        uses.remove(ground);
        uses.values_mut().for_each(|used| used.retain(|module| *module != ground));
    }
    let mut path = vec![*uses.keys().next()?];
    loop {
        let next = *uses[path[path.len() - 1]].first()?;
        if let Some(start) = path.iter().position(|module| *module == next) {
            return Some(path[start..].iter().map(|module| (*module).to_owned()).collect());
        }
        path.push(next);
    }
}

/// Data flow one way inside a room, too: every module can be read with the ones that it uses and without the ones that use it.
#[test]
fn the_modules_of_a_room_have_no_circle() {
    let sources = sources();
    let rooms = LAYERS.iter().copied().flatten();
    let wrong: Vec<String> = rooms
        .filter_map(|room| circle(uses_within(room, &sources)).map(|path| (room, path)))
        .map(|(room, path)| format!("src/{room}: {} → {}", path.join(" → "), path[0]))
        .collect();
    assert!(wrong.is_empty(), "modules that use each other in a circle:\n{}", wrong.join("\n"));
}

#[test]
fn circles_are_seen_through_every_kind_of_use() {
    let room = |files: &[(&str, &str)]| -> Vec<Source> {
        let file = |(path, text): &(&str, &str)| Source { path: format!("r/{path}"), text: (*text).into() };
        files.iter().map(file).collect()
    };
    let found = |files: &[(&str, &str)]| circle(uses_within("r", &room(files)));
    let mod_rs = ("mod.rs", "mod a;\npub use self::a::{\n    A, more::B,\n};\npub use b::C;\n");
    assert_eq!(found(&[mod_rs, ("a.rs", "use super::{b, C};"), ("b.rs", "use crate::s::a;")]), None);
    for use_of_a in [
        "use super::a::A;",
        "use super::{c::{self, D}, A};",
        "use crate::r::B;",
        "use crate::r::*;\nfn f(_: A) {}",
        "fn f() { super::a::f() }",
    ] {
        let path = found(&[mod_rs, ("a.rs", "use super::b;"), ("b.rs", use_of_a), ("c.rs", "use super::a;")]);
        assert_eq!(path, Some(vec!["a".into(), "b".into()]), "{use_of_a}");
    }
    let inner =
        [mod_rs, ("a.rs", "use super::b;"), ("b/mod.rs", "mod i;"), ("b/i.rs", "use super::super::a;")];
    assert_eq!(found(&inner), Some(vec!["a".into(), "b".into()]));
    // A module of its own that is called like another one of the room.
    let own =
        [mod_rs, ("a.rs", "use super::b;"), ("b/mod.rs", "mod a;\nmod i;"), ("b/i.rs", "use super::a;")];
    assert_eq!(found(&own), None);
    let sources = sources();
    let known = uses_within("graph", &sources);
    assert!(known["op"].contains("hints") && known["hints"].contains("io"));
}

#[test]
fn crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, home) in PRIVATE {
            let named = source.text.match_indices(&format!("{name}::")).any(|(at, _)| {
                !source.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if named && !source.path.starts_with(home) {
                wrong.push(format!("src/{} names {name}, which belongs to src/{home}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// True where a word stands in a text by itself, not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + word.len()..].starts_with(is_name))
}

#[test]
fn unsafe_code_stands_in_kernels_and_in_one_call_of_the_command() {
    let sources = sources();
    let holds = |s: &&Source| has_word(&s.text, "unsafe");
    let wrong: Vec<&str> = (sources.iter().filter(holds))
        .filter(|s| !UNSAFE.iter().any(|home| s.path.starts_with(home)))
        .map(|s| s.path.as_str())
        .collect();
    assert!(wrong.is_empty(), "unsafe code in {wrong:?}");
    let command = sources.iter().find(|s| s.path == "cli/mod.rs").unwrap();
    assert_eq!(command.text.matches("unsafe {").count(), 1, "one call of the allocator");

    // The compiler holds the rest to it, and allows no exception below.
    let library = &sources.iter().find(|s| s.path == "lib.rs").unwrap().text;
    for room in LAYERS.iter().copied().flatten().filter(|room| !["cli", "main", "kernels"].contains(room)) {
        let forbidden = format!("#[forbid(unsafe_code)]\nmod {room};\n");
        assert!(library.contains(&forbidden), "src/lib.rs does not forbid unsafe code to {room}");
    }
    let allows = |s: &&Source| s.text.contains("allow(unsafe_code");
    let open: Vec<&str> = sources.iter().filter(allows).map(|s| s.path.as_str()).collect();
    assert_eq!(open, ["cli/mod.rs", "kernels/mod.rs"]);
    assert!(has_word("a\nunsafe { f() }", "unsafe") && !has_word("#![forbid(unsafe_code)]", "unsafe"));
}

/// Flags in a text, but for those of other programs and for colours of a style sheet.
fn flags(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.contains("python -m ")) {
        for (at, _) in line.match_indices("--") {
            let word = &line[at..];
            let word = &word[..word.find(|c| !is_word(c)).unwrap_or(word.len())];
            let is_flag = word[2..].starts_with(|c: char| c.is_ascii_lowercase());
            let is_colour = line[..at].ends_with("var(") || line[at + word.len()..].starts_with(": #");
            if is_flag && !is_colour && !line[..at].ends_with(is_word) {
                found.push(word);
            }
        }
    }
    found
}

#[test]
fn only_the_command_speaks_of_flags() {
    let is_command = |s: &Source| ["cli", "main"].contains(&s.module());
    for source in sources().iter().filter(|s| !is_command(s) && s.path.ends_with(".rs")) {
        let found = flags(&source.text);
        assert!(found.is_empty(), "src/{} names {found:?}: say Setting", source.path);
    }
    assert_eq!(flags("say(\"--calib\");\nlet hint = \"try (--residual tie)\";"), ["--calib", "--residual"]);
    assert!(flags("p { color: var(--soft); --ink: #000; }\npython -m x --keras\na - -b").is_empty());
}

/// The operators that the table in `ops/mod.rs` names.
fn operators(sources: &[Source]) -> BTreeSet<String> {
    let table = sources.iter().find(|s| s.path == "ops/mod.rs").unwrap();
    let row = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, file] if name.starts_with(char::is_uppercase) && file.ends_with(',') => Some(name.to_owned()),
        _ => None,
    };
    table.text.lines().filter_map(row).collect()
}

/// A new operator is one file and one word in the table: nobody else waits for its name.
#[test]
fn operators_are_asked_and_not_named() {
    let sources = sources();
    let operators = operators(&sources);
    assert!(operators.contains("Relu") && operators.contains("QLinearConv") && operators.len() > 100);
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for source in sources.iter().filter(|s| s.module() != "ops") {
        for name in operators.iter().filter(|name| source.text.contains(&format!("\"{name}\""))) {
            let may = |(who, what, _): &(&str, &[&str], &str)| {
                source.path.starts_with(who) && (what.is_empty() || what.contains(&name.as_str()))
            };
            match NAMING.iter().position(may) {
                Some(k) => drop(used.insert(k)),
                None => {
                    wrong.push(format!("src/{} names the operator {name}: ask `Op` or `Hints`", source.path))
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let idle: Vec<_> = (0..NAMING.len()).filter(|k| !used.contains(k)).map(|k| NAMING[k].0).collect();
    assert!(idle.is_empty(), "no operator is named any more in {idle:?}");
}

#[test]
fn main_fits_a_screen() {
    let main = include_str!("../src/main.rs");
    assert!(main.lines().count() <= 60);
}

#[test]
fn the_reader_of_sources_sees_what_it_should() {
    let text = "use crate::graph::{A, B};\n// crate::cli\n#[cfg(test)]\nmod laws;\nlet x = crate::{Error, ops::conv::f};\n\
                #[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::plan;\n";
    let (text, modules) = without_tests(text);
    assert_eq!(modules, ["laws"]);
    let found: Vec<String> = uses(&text).into_iter().map(|(_, path)| path).collect();
    assert_eq!(found, ["Error::", "graph::", "ops::conv", "plan::"]);
    let all = sources();
    assert!(all.iter().any(|s| s.path == "kernels/conv.rs"));
    assert!(!all.iter().any(|s| s.path.starts_with("ops/laws/") || s.path.starts_with("onnx/tests/")));
}
