//! The Test Anything Protocol, versions 12 to 14: whether the lines of a test say that it passed.
//!
//! A test point with the directive TODO passes whatever its result. SKIP passes if the point says
//! ok. Neither proves anything, so a test needs at least one point that ran and passed.

/// The number of test points by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Results {
    /// Points that ran and passed.
    pub passed: usize,
    /// Points that say `# SKIP`.
    pub skipped: usize,
    /// Points that say `# TODO`.
    pub todo: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Skip,
    Todo,
}

/// Reads lines one by one.
#[derive(Debug, Default)]
pub struct Tap {
    results: Results,
    planned: Option<usize>,
    /// The reason of a plan `1..0 # SKIP reason`.
    skips_all: Option<String>,
    has_null: bool,
}

impl Tap {
    /// Reads some text, which may hold several lines. Errors: the line that fails the test.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        text.lines().try_for_each(|line| self.read_line(line.trim_end()))
    }

    /// Notes a NULL among the lines. It may stand for a lost result, so it needs a plan.
    pub fn read_null(&mut self) {
        self.has_null = true;
    }

    fn read_line(&mut self, line: &str) -> Result<(), String> {
        if line.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("bail out!")) {
            return Err(line.to_owned());
        }
        if let Some(plan) = line.strip_prefix("1..") {
            return self.read_plan(plan, line);
        }
        // An indented line belongs to a subtest, whose result the line after it repeats. Other
        // lines are remarks.
        let (is_ok, rest) = match (after_word(line, "ok"), after_word(line, "not ok")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Ok(()),
        };
        let rest = self.without_number(rest.trim_start(), line)?;
        match (directive(rest), is_ok) {
            (Some(Directive::Todo), _) => self.results.todo += 1,
            (Some(Directive::Skip), true) => self.results.skipped += 1,
            (None, true) => self.results.passed += 1,
            (_, false) => return Err(line.to_owned()),
        }
        Ok(())
    }

    fn read_plan(&mut self, plan: &str, line: &str) -> Result<(), String> {
        let digits = plan.find(|c: char| !c.is_ascii_digit()).unwrap_or(plan.len());
        let (count, rest) = plan.split_at(digits);
        let Ok(count) = count.parse() else { return Ok(()) };
        if self.planned.replace(count).is_some() {
            return Err(format!("it has a second plan: {line}"));
        }
        if count == 0 {
            self.skips_all = Some(rest.trim_start_matches([' ', '#']).to_owned());
        }
        Ok(())
    }

    /// The text after the number of a test point. Numbers count up from 1.
    fn without_number<'a>(&self, rest: &'a str, line: &str) -> Result<&'a str, String> {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(digits);
        let expected = self.count() + 1;
        match number.parse::<usize>() {
            Ok(number) if number != expected => {
                Err(format!("its test {expected} has another number: {line}"))
            }
            _ => Ok(rest),
        }
    }

    fn count(&self) -> usize {
        self.results.passed + self.results.skipped + self.results.todo
    }

    /// The results. Errors: the reason for which the test as a whole did not pass.
    pub fn finish(self) -> Result<Results, String> {
        let count = self.count();
        match (self.planned, self.skips_all) {
            (_, Some(why)) if count == 0 => Err(format!("it skipped all its tests: {why}")),
            (Some(planned), _) if planned != count => {
                Err(format!("it planned {planned} tests, but ran {count}"))
            }
            (None, _) if self.has_null => Err("it returned NULL, and no plan".to_owned()),
            _ if count == 0 => Err("it returned no line that says ok".to_owned()),
            _ if self.results.passed == 0 => {
                let Results { skipped, todo, .. } = self.results;
                Err(format!("it proves nothing: skipped {skipped} tests, {todo} are to do"))
            }
            _ => Ok(self.results),
        }
    }
}

/// The text after `word`, if the line begins with it as a whole word.
fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    ends.then_some(rest)
}

/// The directive of a test point: after a `#` that no backslash escapes.
fn directive(rest: &str) -> Option<Directive> {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices() {
        if c == '#' && !is_escaped {
            let word = rest[at + 1..].trim_start();
            let begins = |name: &str| {
                word.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            // TAP also admits other endings of the word, such as "skipped".
            if begins("skip") {
                return Some(Directive::Skip);
            }
            if begins("todo") && after_word(&word[4..], "").is_some() {
                return Some(Directive::Todo);
            }
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(text: &str) -> Result<Results, String> {
        let mut tap = Tap::default();
        tap.read(text)?;
        tap.finish()
    }

    fn counts(text: &str) -> (usize, usize, usize) {
        let results = results(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        (results.passed, results.skipped, results.todo)
    }

    #[test]
    fn directives_count_as_tap_defines_them() {
        for (text, expected) in [
            ("1..2\nok 1 - a\nok 2 - b", (2, 0, 0)),
            ("ok 1\nok 2\n1..2", (2, 0, 0)),
            ("ok\nok", (2, 0, 0)),
            ("1..3\nok 1\nok 2 - b # SKIP no network\nnot ok 3 # TODO later", (1, 1, 1)),
            ("1..2\nok 1\nok 2 # skipped: no network", (1, 1, 0)),
            ("1..2\nok 1\nok 2 # todo works by now", (1, 0, 1)),
            ("1..1\nok 1 - order \\# SKIP is a name", (1, 0, 0)),
            ("1..1\nok 1 - issue #12, # TODOs are shown", (1, 0, 0)),
            ("TAP version 14\n1..1\n# Subtest: a\n    ok 1 - x\n    1..1\nok 1 - a", (1, 0, 0)),
            ("1..1\nokay\nok 1 - a\n  ---\n  not ok\n  ...", (1, 0, 0)),
        ] {
            assert_eq!(counts(text), expected, "{text}");
        }
    }

    #[test]
    fn a_failure_is_the_line_that_tells_it() {
        for (text, why) in [
            ("1..2\nok 1\nnot ok 2 - b\n#   Failed test 2", "not ok 2 - b"),
            ("1..1\nnot ok 1 - a # SKIP broken", "not ok 1 - a # SKIP broken"),
            ("1..1\nnot ok 1 - \\# TODO is a name", "not ok 1 - \\# TODO is a name"),
            ("1..2\nok 1\nBail out!  no database", "Bail out!  no database"),
            ("1..1\nok 1\n1..1", "it has a second plan: 1..1"),
            ("1..2\nok 1\nok 1", "its test 2 has another number: ok 1"),
        ] {
            assert_eq!(results(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_null_is_a_remark_only_beside_a_plan() {
        let results_with_null = |plan: &str| {
            let mut tap = Tap::default();
            tap.read(plan)?;
            tap.read_null();
            tap.read("ok 1")?;
            tap.finish()
        };
        assert!(results_with_null("1..1").is_ok());
        assert!(results_with_null("1..2").is_err());
        assert_eq!(results_with_null(""), Err("it returned NULL, and no plan".to_owned()));
    }

    #[test]
    fn a_test_that_ran_nothing_proves_nothing() {
        for (text, why) in [
            ("", "it returned no line that says ok"),
            ("# nothing", "it returned no line that says ok"),
            ("1..0 # SKIP no extension", "it skipped all its tests: SKIP no extension"),
            ("1..3\nok 1\nok 2 # SKIP", "it planned 3 tests, but ran 2"),
            ("1..1\nok 1\nok 2", "it planned 1 tests, but ran 2"),
            ("1..1\nok 1 # SKIP", "it proves nothing: skipped 1 tests, 0 are to do"),
            ("1..1\nok 1 # TODO", "it proves nothing: skipped 0 tests, 1 are to do"),
            ("    ok 1 - only a subtest", "it returned no line that says ok"),
        ] {
            assert_eq!(results(text), Err(why.to_owned()), "{text}");
        }
    }
}
