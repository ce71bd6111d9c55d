//! Text that may come from a file, made harmless where it is printed: a terminal obeys control characters.
//!
//! Takes: text. Gives: that text, with characters that a terminal obeys or that turn the direction of writing in escaped form.
//! Never: changes what is only stored or compared.

use std::borrow::Cow;

/// Text of several lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && c != '\t' && is_obeyed(c))
}

/// Text that stands in a line: a name, a path, a reason.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// Control characters, separators of lines, and marks of direction.
fn is_obeyed(c: char) -> bool {
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let one = |c: char| if is_escaped(c) { c.escape_default().to_string() } else { c.into() };
    text.chars().map(one).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(line("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(lines("a\u{1b}]0;x\u{7}\nb\u{9b}2J"), "a\\u{1b}]0;x\\u{7}\nb\\u{9b}2J");
        assert_eq!(line("a\u{202e}b\u{2028}c"), "a\\u{202e}b\\u{2028}c");
        assert!(matches!(line("ordinary text, 重み, é"), Cow::Borrowed(_)));
    }
}
