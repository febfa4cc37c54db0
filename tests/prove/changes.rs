//! Finds the tests that a source adds or changes, and the stated reasons.

use std::collections::BTreeSet;

/// One test function of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its file below tests/.
    pub file: String,
    /// The folder of the suite below tests/.
    pub suite: String,
    /// The name for libtest: modules and function.
    pub path: String,
    /// Attributes, name and body, without comments and indentation.
    text: String,
    /// The stated reason why the test passes on the parent's library. An empty text is no reason.
    pub reason: Option<String>,
}

/// The words that state a reason, in a comment above the test.
pub const REASON: &str = "passes before:";

/// The tests of a source file. `file` is its path below tests/. The source is formatted by rustfmt:
/// a function ends on the first line that is its closing brace at its own indentation.
pub fn tests(file: &str, source: &str) -> Vec<Test> {
    let Some((suite, module)) = file.split_once('/') else { return Vec::new() };
    let modules: Vec<&str> = match module.trim_end_matches(".rs").trim_end_matches("/mod") {
        "main" | "lib" => Vec::new(),
        path => path.split('/').collect(),
    };
    let lines: Vec<&str> = source.lines().collect();
    let attributes = lines.iter().enumerate().filter(|(_, line)| is_test(line));
    attributes
        .filter_map(|(at, line)| {
            let indent = line.len() - line.trim_start().len();
            let closing = format!("{:indent$}}}", "");
            let length = lines[at..].iter().position(|line| *line == closing)?;
            let body = &lines[at..=at + length];
            let name = body.iter().find_map(|line| line.trim_start().strip_prefix("fn "))?;
            let mut path = modules.clone();
            path.extend(enclosing_module(&lines[..at], indent));
            path.push(name.split('(').next()?);
            Some(Test {
                file: file.to_owned(),
                suite: suite.to_owned(),
                path: path.join("::"),
                text: without_comments(body),
                reason: reason(&lines[..at]),
            })
        })
        .collect()
}

fn is_test(line: &str) -> bool {
    let line = line.trim();
    line == "#[test]" || line.starts_with("#[pg_test")
}

/// The module within the file that an indented test belongs to.
fn enclosing_module<'a>(before: &[&'a str], indent: usize) -> Option<&'a str> {
    let outer = before.iter().rev().filter(|line| indent > 0 && line.ends_with('{'));
    outer
        .filter_map(|line| line.strip_prefix("mod "))
        .map(|rest| rest.trim_end_matches(" {"))
        .next()
}

fn without_comments(lines: &[&str]) -> String {
    let code = lines.iter().map(|line| line.trim()).filter(|line| !line.starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The reason stated in the comment and attribute lines directly above a test.
fn reason(before: &[&str]) -> Option<String> {
    let above = before.iter().rev().map(|line| line.trim());
    let mut above: Vec<&str> =
        above.take_while(|line| line.starts_with("//") || line.starts_with("#[")).collect();
    above.reverse();
    stated(&above, "//")
}

/// The reason in comment lines, up to their end or to an empty one.
fn stated(lines: &[&str], comment: &str) -> Option<String> {
    let texts = lines.iter().map(|line| line.strip_prefix(comment).map(str::trim));
    let mut texts = texts.skip_while(|text| !text.is_some_and(|text| text.starts_with(REASON)));
    let first = texts.next()??.strip_prefix(REASON)?.trim();
    let mut words = vec![first];
    let is_more = |text: &&str| !text.is_empty() && !text.starts_with(['/', '!']);
    words.extend(texts.map_while(|text| text.filter(is_more)));
    Some(words.join(" ").trim().to_owned())
}

/// The tests of `now` whose name and body are not in `before`. A test that only moved is unchanged.
pub fn changed(now: &[Test], before: &[Test]) -> Vec<Test> {
    let known: BTreeSet<(&str, &str)> = before.iter().map(|test| test.identity()).collect();
    now.iter().filter(|test| !known.contains(&test.identity())).cloned().collect()
}

impl Test {
    /// A script that the test `path` runs.
    pub fn script(suite: &str, path: &str, file: String, reason: Option<String>) -> Self {
        let (suite, path) = (suite.to_owned(), path.to_owned());
        Self { file, suite, path, text: String::new(), reason }
    }

    /// Attributes, name and body, without comments and indentation.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it runs in the server.
    pub fn is_in_server(&self) -> bool {
        self.text.starts_with("#[pg_test")
    }

    fn identity(&self) -> (&str, &str) {
        (self.path.rsplit("::").next().unwrap_or_default(), &self.text)
    }
}

/// The reason in the comments of an SQL script.
pub fn reason_of_script(script: &str) -> Option<String> {
    stated(&script.lines().map(str::trim).collect::<Vec<_>>(), "--")
}

#[test]
fn added_and_changed_tests_are_found() {
    let before = "use a;\n\n#[test]\nfn stays() {\n    check(1);\n}\n\n#[test]\nfn grows() {\n}\n";
    let now = "use b;\n\n/// Doc.\n#[test]\nfn stays() {\n    // Why.\n    check(1);\n}\n\n\
        #[test]\nfn grows() {\n    check(2);\n}\n\n\
        mod inner {\n    #[test]\n    fn is_new() {\n    }\n}\n";
    let (before, now) = (tests("s/old.rs", before), tests("s/new.rs", now));
    let paths = |tests: &[Test]| tests.iter().map(|t| t.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&now), ["new::stays", "new::grows", "new::inner::is_new"]);
    assert_eq!(paths(&changed(&now, &before)), ["new::grows", "new::inner::is_new"]);
    assert!(changed(&now, &now).is_empty());
}

#[test]
fn a_reason_is_read_up_to_its_end() {
    let reason = |comment: &str| {
        tests("s/main.rs", &format!("{comment}#[test]\nfn a() {{\n}}\n"))[0].reason.clone()
    };
    let stated = "/// Doc.\n// passes before: the fault was never\n// released\n";
    assert_eq!(reason(stated).as_deref(), Some("the fault was never released"));
    assert_eq!(reason("// passes before:\n").as_deref(), Some(""));
    assert_eq!(reason("// passes before: an old one\n\n// Other.\n"), None, "of another item");
    assert_eq!(reason("/// Passes before the other.\n"), None);
    let script = "-- Why.\n-- passes before: a guard\n-- of privileges\n\nSELECT 1;\n";
    assert_eq!(reason_of_script(script).as_deref(), Some("a guard of privileges"));
}
