//! Text in lines of limited width, as a terminal shows it. Pure.

/// Columns that a terminal gives a character.
fn columns(character: char) -> usize {
    match character as u32 {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text in lines of at most `limit` columns, broken at spaces where possible. Control
/// characters become `?`: a name must not move the cursor.
#[must_use]
pub fn wrapped(text: &str, limit: usize) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let word: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let gap = usize::from(!line.is_empty());
        if width(&line) + gap + width(&word) <= limit {
            if gap > 0 {
                line.push(' ');
            }
            line.push_str(&word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for character in word.chars() {
            if width(&line) + columns(character) > limit {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_at_spaces_or_in_long_words() {
        assert_eq!(wrapped("", 10), "");
        assert_eq!(wrapped("worst: pay, 3 of 10", 11), "worst: pay,\n3 of 10");
        assert_eq!(wrapped("a-very-long-function", 8), "a-very-l\nong-func\ntion");
        assert_eq!(wrapped("支払い支払い", 8), "支払い支\n払い");
        assert_eq!(wrapped("bad\n\u{1b}[2Jname", 20), "bad??[2Jname");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide(text in ".{0,120}", limit in 2..40_usize) {
            let lines = wrapped(&text, limit);
            prop_assert!(lines.lines().all(|line| width(line) <= limit), "{}", lines);
            let shown = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            let given: String = text.chars().filter(|c| !c.is_control()).collect();
            prop_assert!(shown(&lines) >= shown(&given));
        }
    }
}
