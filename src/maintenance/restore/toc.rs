//! The table of contents of an archive, as `pg_restore --list` prints it.

/// An entry of the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The whole line.
    pub line: &'a str,
    /// The kind and the name, for example `TABLE DATA public booking shop`.
    pub tag: &'a str,
}

impl Entry<'_> {
    /// Whether the entry is of this kind.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.tag.strip_prefix(kind).is_some_and(|rest| rest.starts_with(' '))
    }

    /// The words after the kind: schema, name and owner.
    fn words<'a>(&'a self, kind: &str) -> Option<std::str::SplitWhitespace<'a>> {
        self.is(kind).then(|| self.tag[kind.len()..].split_whitespace())
    }
}

/// The entries of the list.
pub fn entries(list: &str) -> impl Iterator<Item = Entry<'_>> {
    list.lines().filter(|line| !line.starts_with(';')).filter_map(|line| {
        // 3345; 0 16385 TABLE DATA public booking shop
        let (number, rest) = line.split_once("; ")?;
        number.parse::<u32>().ok()?;
        let mut fields = rest.splitn(3, ' ');
        let (_table, _oid) = (fields.next()?, fields.next()?);
        Some(Entry { line, tag: fields.next()? })
    })
}

/// Extensions that live in one database of a server: a second database cannot have them.
pub const BOUND_EXTENSIONS: [&str; 2] = ["pg_cron", "pg_partman_bgw"];
/// Schemas of these extensions.
const BOUND_SCHEMAS: [&str; 1] = ["cron"];

/// The reason why an entry is left out of a restore beside the source; `None` if it is restored.
#[must_use]
pub fn exclusion(entry: &Entry<'_>, reach: Reach) -> Option<&'static str> {
    let bound = |kind: &str| {
        // EXTENSION - pg_cron, COMMENT - EXTENSION pg_cron
        entry
            .words(kind)
            .is_some_and(|mut words| words.any(|word| BOUND_EXTENSIONS.contains(&word)))
    };
    if bound("EXTENSION") || entry.tag.starts_with("COMMENT - EXTENSION") && bound("COMMENT") {
        return Some("an extension that only one database of a server can have");
    }
    let of_bound = |kind: &str| {
        entry
            .words(kind)
            .and_then(|mut words| words.next())
            .is_some_and(|schema| BOUND_SCHEMAS.contains(&schema))
    };
    if reach.has_cron && ["TABLE DATA", "SEQUENCE SET"].iter().any(|kind| of_bound(kind)) {
        return Some("data of an extension that only one database of a server can have");
    }
    if entry.is("SUBSCRIPTION") {
        return Some("a subscription would connect to its publisher");
    }
    if reach.has_foreign_servers && entry.is("MATERIALIZED VIEW DATA") {
        return Some("a refresh may read a foreign server");
    }
    None
}

/// A part of a restore: entries of one section that may be restored at the same time, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The section of pg_restore.
    pub section: &'static str,
    /// The lines for `--use-list`.
    pub list: String,
    /// Whether several processes may restore it.
    pub is_parallel: bool,
    /// Whether it is the first of those that evaluate expressions of the dump.
    pub runs_code: bool,
}

/// The passes of a restore of these entries, in order.
///
/// The history of flags comes before the flags: a trigger would record the restored flags as
/// changes. Attaching an index of a partition and adding a foreign key to its table wait for each
/// other, so that they are not restored at the same time.
#[must_use]
pub fn passes(entries: &[Entry<'_>]) -> Vec<Pass> {
    let is_own = |entry: &Entry<'_>| {
        let schema = entry.words("TABLE DATA").and_then(|mut words| words.next());
        schema == Some("crewsnow_ops")
    };
    let is_index = |entry: &Entry<'_>| {
        (entry.is("INDEX") && !entry.is("INDEX ATTACH")) || entry.is("CONSTRAINT")
    };
    let has_partitions = entries.iter().any(|entry| entry.is("INDEX ATTACH"));
    let pass = |section, is_parallel, is_part: &dyn Fn(&Entry<'_>) -> bool| Pass {
        section,
        list: entries
            .iter()
            .filter(|entry| is_part(entry))
            .map(|e| format!("{}\n", e.line))
            .collect(),
        is_parallel,
        runs_code: false,
    };
    // Attaching a partition evaluates its bound, and with it the constraints of a domain.
    let is_attached = |entry: &Entry<'_>| entry.is("TABLE ATTACH");
    vec![
        pass("pre-data", false, &|entry| !is_attached(entry)),
        Pass { runs_code: true, ..pass("pre-data", false, &is_attached) },
        pass("data", false, &is_own),
        pass("data", true, &|entry| !is_own(entry)),
        pass("post-data", true, &is_index),
        pass("post-data", !has_partitions, &|entry| !is_index(entry)),
    ]
}

/// The parts of an archive that may reach beyond a scratch database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether it has foreign servers.
    pub has_foreign_servers: bool,
    /// Whether its schema `cron` is that of pg_cron.
    pub has_cron: bool,
}

impl Reach {
    /// The reach of the archive with this list.
    #[must_use]
    pub fn of(list: &str) -> Self {
        let is_cron = |entry: &Entry<'_>| {
            entry.words("EXTENSION").is_some_and(|mut words| words.any(|word| word == "pg_cron"))
        };
        Self {
            has_foreign_servers: entries(list).any(|entry| entry.is("SERVER")),
            has_cron: entries(list).any(|entry| is_cron(&entry)),
        }
    }
}

/// An error of `pg_restore`: the entry, if it is named, and the message without quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreFailure {
    /// The tag of the entry, for example `TABLE DATA booking shop`; empty if none is named.
    pub entry: String,
    /// The message. Text in quotes and after a colon is left out: it may quote rows.
    pub message: String,
}

/// The errors in the messages of `pg_restore`, of which `LC_MESSAGES` is C.
#[must_use]
pub fn failures(messages: &str) -> Vec<RestoreFailure> {
    let mut failures = Vec::new();
    let mut entry = String::new();
    for line in messages.lines() {
        let Some(message) = line.strip_prefix("pg_restore: ") else { continue };
        if let Some(named) = message.strip_prefix("from TOC entry ") {
            entry = named.splitn(4, ' ').nth(3).unwrap_or_default().to_owned();
        } else if let Some(message) = message.strip_prefix("error: ") {
            failures.push(RestoreFailure { entry: entry.clone(), message: withheld(message) });
        }
    }
    failures
}

/// The errors of a script of psql: the number of the line, and the message without quoted text.
#[must_use]
pub fn script_failures(messages: &str) -> Vec<(u64, String)> {
    let failure = |line: &str| {
        let (place, message) = line.strip_prefix("psql:")?.split_once(": ERROR:  ")?;
        let number = place.rsplit(':').next()?.parse().ok()?;
        Some((number, withheld(message)))
    };
    messages.lines().filter_map(failure).collect()
}

/// Beginnings of messages that the server and its programs write themselves. A function may raise
/// any other text.
const PHRASES: [&str; 44] = [
    "aborted because of error",
    "cannot drop",
    "canceling statement due to",
    "column",
    "COPY failed",
    "could not access file",
    "could not connect to",
    "could not create unique index",
    "could not extend file",
    "could not load library",
    "could not open extension control file",
    "could not open file",
    "could not read",
    "could not resize shared memory segment",
    "could not write",
    "connection to server",
    "database",
    "deadlock detected",
    "duplicate key value violates unique constraint",
    "extension",
    "function",
    "index row size",
    "insert or update on table",
    "invalid byte sequence for encoding",
    "invalid input syntax for type",
    "invalid memory alloc request",
    "language",
    "missing chunk number",
    "new row for relation",
    "no partition of relation",
    "null value in column",
    "operator",
    "out of memory",
    "out of shared memory",
    "password authentication failed",
    "permission denied",
    "query would be affected by row-level security policy",
    "query failed",
    "relation",
    "role",
    "schema",
    "server closed the connection",
    "type",
    "unrecognized configuration parameter",
];

/// The known beginning of a message; other text is withheld, as it may quote rows.
pub fn withheld(message: &str) -> String {
    let message = message.split_once("ERROR:  ").map_or(message, |(_, message)| message);
    let message = message.split_once("FATAL:  ").map_or(message, |(_, message)| message);
    let known = PHRASES.iter().filter(|phrase| message.starts_with(**phrase));
    let ending = ["does not exist", "already exists"].into_iter().find(|e| message.ends_with(e));
    match (known.max_by_key(|phrase| phrase.len()), ending) {
        (Some(phrase), Some(ending)) => format!("{phrase} … {ending}"),
        (Some(phrase), None) => format!("{phrase} …"),
        (None, _) => "an error whose text is withheld".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = ";
; Archive created at 2026-11-27 23:00:00 UTC
;     dbname: shop
;     TOC Entries: 7
;     Dumped from database version: 15.20 (Debian 15.20-0+deb12u1)
;
;
; Selected TOC Entries:
;
2; 3079 16384 EXTENSION - pg_cron 
3400; 0 0 COMMENT - EXTENSION pg_cron 
214; 1259 16385 TABLE public booking shop
3345; 0 16385 TABLE DATA public booking shop
3346; 0 16390 TABLE DATA cron job postgres
3347; 0 16401 MATERIALIZED VIEW DATA public total shop
3348; 6100 16410 SUBSCRIPTION - from_main postgres
";

    #[test]
    fn the_reason_of_a_refused_connection_is_kept() {
        let message = "connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: \
            FATAL:  password authentication failed for user \"keeper\"";
        assert_eq!(withheld(message), "password authentication failed …");
    }

    #[test]
    fn parts_that_would_reach_beyond_the_scratch_database_are_left_out() {
        let left = |has_foreign_servers| {
            let reach = Reach { has_foreign_servers, ..Reach::of(LIST) };
            let entries = entries(LIST).filter(|entry| exclusion(entry, reach).is_some());
            entries.map(|entry| entry.line.split(';').next().unwrap_or("")).collect::<Vec<_>>()
        };
        assert_eq!(entries(LIST).count(), 7);
        assert_eq!(left(false), ["2", "3400", "3346", "3348"]);
        assert_eq!(left(true), ["2", "3400", "3346", "3347", "3348"]);
    }

    #[test]
    fn a_table_named_as_an_extension_is_restored() {
        let list = "7; 1259 1 TABLE public pg_cron shop\n8; 0 1 TABLE DATA public pg_cron shop\n";
        assert!(entries(list).all(|entry| exclusion(&entry, Reach::of(list)).is_none()));
        let own = "9; 0 1 TABLE DATA cron job shop\n";
        assert!(entries(own).all(|entry| exclusion(&entry, Reach::of(own)).is_none()));
    }

    #[test]
    fn errors_of_a_script_keep_their_line() {
        let messages = "psql:/var/a:b.sql:12: ERROR:  relation \"booking\" already exists
psql:/var/a:b.sql:13: NOTICE:  a notice
psql:/var/a:b.sql:40: ERROR:  duplicate key value violates unique constraint \"k\"
DETAIL:  Key (mail)=(anna@example.org) already exists.
";
        assert_eq!(
            script_failures(messages),
            [
                (12, "relation … already exists".to_owned()),
                (40, "duplicate key value violates unique constraint …".to_owned())
            ]
        );
    }

    #[test]
    fn a_message_that_a_function_raised_is_withheld() {
        let message = "ERROR:  no account for patient Alice Liddell";
        assert_eq!(withheld(message), "an error whose text is withheld");
        let message = "ERROR:  role of Alice Liddell: already exists";
        assert_eq!(withheld(message), "role … already exists");
        assert_eq!(withheld("FATAL:  role \"a\" does not exist"), "role … does not exist");
    }

    #[test]
    fn errors_keep_their_entry_and_lose_values() {
        let messages = "pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3345; 0 16385 TABLE DATA booking shop
pg_restore: error: COPY failed for table \"booking\": ERROR:  invalid input syntax for type \
            integer: \"secret\"
CONTEXT:  COPY booking, line 1, column id: \"secret\"
pg_restore: from TOC entry 3200; 2606 16388 CONSTRAINT booking booking_pkey shop
pg_restore: error: could not execute query: ERROR:  could not create unique index \"booking_pkey\"
DETAIL:  Key (mail)=(anna@example.org) is duplicated.
Command was: ALTER TABLE ONLY public.booking
pg_restore: warning: errors ignored on restore: 2
";
        let failures = failures(messages);
        assert_eq!(failures.len(), 2);
        assert_eq!(failures[0].entry, "TABLE DATA booking shop");
        assert_eq!(failures[0].message, "invalid input syntax for type …");
        assert_eq!(failures[1].entry, "CONSTRAINT booking booking_pkey shop");
        assert_eq!(failures[1].message, "could not create unique index …");
    }

    #[test]
    fn entries_that_wait_for_each_other_are_in_passes_of_their_own() {
        const POST: &str = "0; 0 0 TABLE ATTACH public part shop
1; 0 1 TABLE DATA crewsnow_ops flag_history postgres
2; 0 2 TABLE DATA public feature_flags postgres
3; 1259 3 INDEX public part_a shop
4; 2606 4 CONSTRAINT public t t_pkey shop
5; 0 0 INDEX ATTACH public part_a shop
6; 2606 6 FK CONSTRAINT public t t_fkey shop
";
        let numbers = |list: &str| {
            let passes = passes(&entries(list).collect::<Vec<_>>());
            let number = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
            passes
                .iter()
                .map(|pass| (pass.list.lines().map(number).collect::<String>(), pass.is_parallel))
                .collect::<Vec<_>>()
        };
        let pass = |list: &str, is_parallel| (list.to_owned(), is_parallel);
        assert_eq!(
            numbers(POST),
            [
                pass("123456", false),
                pass("0", false),
                pass("1", false),
                pass("023456", true),
                pass("34", true),
                pass("01256", false)
            ]
        );
        let whole = POST.replace("5; 0 0 INDEX ATTACH public part_a shop\n", "");
        assert_eq!(numbers(&whole).last(), Some(&pass("0126", true)));
    }
}
