use super::*;
use proptest::prelude::*;
use std::io::Cursor;

const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\
    -- Dumped from database version 15.8 (Debian 15.8-1)\n-- Dumped by pg_dump version 15.8\n\n\
    SET standard_conforming_strings = on;\n\n";
const TAIL: &str = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n";

fn facts(text: &str) -> PlainDump {
    scan(&mut Cursor::new(text), &mut || Ok(())).expect("readable")
}

fn dump(body: &str) -> PlainDump {
    facts(&format!("{HEAD}{body}\n{TAIL}"))
}

fn excursion(body: &str) -> Option<&'static str> {
    dump(body).excursion.map(|excursion| excursion.command)
}

#[test]
fn a_sound_dump_is_complete_and_stays_in_its_database() {
    let dump = dump(
        "CREATE TABLE public.t (a text);\nCOPY public.t (a) FROM stdin;\n\\N\n\\\\connect x\n\
         DROP DATABASE shop;\n\\.\n\n\nCREATE USER MAPPING FOR app SERVER s;",
    );
    assert!(dump.is_complete);
    assert_eq!(dump.excursion, None);
    assert_eq!(dump.open_table, None);
    assert_eq!(dump.server_version.as_deref(), Some("15.8 (Debian 15.8-1)"));
}

#[test]
fn commands_that_leave_the_database_are_named_with_their_line() {
    let found = facts("SELECT 1;\n\\connect shop\nSELECT 2;\n").excursion;
    assert_eq!(found, Some(Excursion { line: 2, command: "\\connect" }));
    let found = facts("SELECT 1;\n\n  drop\n database shop;").excursion;
    assert_eq!(found, Some(Excursion { line: 4, command: "statement on a database" }));
    for (body, command) in [
        ("CREATE DATABASE shop WITH TEMPLATE = template0;", "statement on a database"),
        ("ALTER DATABASE shop OWNER TO app;", "statement on a database"),
        ("CREATE ROLE app;", "statement on a role"),
        ("ALTER USER app PASSWORD 'x';", "statement on a role"),
        ("DROP TABLESPACE fast;", "statement on a tablespace"),
        ("ALTER SYSTEM SET fsync = off;", "statement on the server's settings"),
        ("\\! rm -rf /", "command of psql"),
        ("SELECT 1 \\gexec", "command of psql"),
        ("\\c postgres", "\\connect"),
        ("/* a */ DROP /* b */ DATABASE -- c\n shop;", "statement on a database"),
    ] {
        assert_eq!(excursion(body), Some(command), "{body}");
    }
}

#[test]
fn quoted_text_is_no_command() {
    for body in [
        "CREATE FUNCTION f() RETURNS void AS $$\n\\connect shop\nDROP DATABASE shop;\n$$;",
        "CREATE FUNCTION f() RETURNS void AS $_$ $1 $$ \\! x $_$;",
        "COMMENT ON TABLE t IS 'it''s\n\\connect shop\n';",
        "INSERT INTO t VALUES (E'\\'\n\\connect x');",
        "INSERT INTO t VALUES ('\\');\n",
        "CREATE TABLE \"x\n\\connect shop\" (a int);",
        "-- \\connect shop\n/* \\connect /* */ \\! x */",
        "SELECT a$b$c FROM t;",
        "SELECT 4 - 2 / 1, $1;",
    ] {
        assert_eq!(excursion(body), None, "{body}");
        assert!(dump(body).is_complete, "{body}");
    }
}

#[test]
fn a_cut_dump_is_not_complete_and_names_the_open_table() {
    let whole = format!("{HEAD}COPY public.orders (id) FROM stdin;\n1\n2\n\\.\n\n{TAIL}");
    let complete = whole.find("dump complete").expect("its end") + "dump complete".len();
    for length in 0..complete {
        let dump = facts(&whole[..length]);
        assert!(!dump.is_complete, "{length}");
    }
    let cut = whole.find("2\n").expect("a row") + 1;
    assert_eq!(facts(&whole[..cut]).open_table.as_deref(), Some("public.orders"));
}

#[test]
fn the_words_of_a_row_do_not_complete_a_dump() {
    let text =
        format!("{HEAD}COPY public.t (a) FROM stdin;\n-- PostgreSQL database dump complete\n");
    assert!(!facts(&text).is_complete);
}

proptest! {
    #[test]
    fn the_size_of_the_reads_changes_nothing(
        body in "(\\$\\$|\\$a\\$|'|\"|--|/\\*|\\*/|\\\\connect x|DROP DATABASE x;|E|\n|;| ){0,24}",
        size in 1_usize..7,
    ) {
        let text = format!("{HEAD}{body}");
        let mut scanner = Scanner::default();
        text.as_bytes().chunks(size).for_each(|chunk| scanner.push(chunk));
        prop_assert_eq!(scanner.end(), facts(&text));
    }
}
