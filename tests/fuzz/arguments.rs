//! Hostile arguments: SQL expressions by type. Some are valid, so that calls reach the code behind
//! the checks.

use harness::random::Random;

/// Words that some function knows: flags, criteria, tables, roles, settings.
const WORDS: &[&str] = &[
    "'messaging'",
    "'tracker_pro'",
    "'voice_messages'",
    "'no-rls-leak'",
    "'restore-test'",
    "'go_no_go'",
    "'launch'",
    "'post-incident'",
    "'v1.4.0'",
    "'1'",
    "'read-leak:public.messages:notes'",
    "'edge_function_call'",
    "'create-checkout'",
    "'evt_1'",
    "'oncall'",
    "'postgres'",
    "'reader'",
    "'operator'",
    "'admin'",
    "'SELECT'",
    "'UPDATE'",
    "'a-test'",
    "'public.messages'",
    "'worker'",
    "'fuzz'",
    "'Blocked Sessions'",
    "'aaaaaaaa-0000-4000-8000-000000000001'",
    "current_user::text",
];

const TEXTS: &[&str] = &[
    "NULL",
    "''",
    "' '",
    "repeat('x', 1000000)",
    "repeat('é€', 70)",
    "repeat('[', 5000)",
    "(repeat('[', 1000) || repeat(']', 1000))",
    "E'\\u0001\\u200b\\u202e'",
    "E'a\\nb\\r\\tc'",
    "E'it''s \"quoted\" \\\\ $$ ; DROP TABLE messages; --'",
    "'%s%n%d {} {0}'",
    "'/* unfinished'",
    "E'$q$ unfinished'",
    "'👩‍👩‍👧‍👦 ﷽'",
    "'1e400'",
    "'NaN'",
    "'infinity'",
    "'-1'",
    "'{\"status_code\": 1e400}'",
    "'null'",
    "'{\"a\": \"\\u0000\"}'",
    "'SELECT 1 AS \"a'",
    "(SELECT string_agg(chr(n), '') FROM generate_series(1, 5000) AS n)",
];

const JSON: &[&str] = &[
    "NULL",
    "'null'",
    "'{}'",
    "'[]'",
    "'\"text\"'",
    "'1e400'",
    "'{\"id\": 1e400}'",
    "'{\"id\": -1e131071}'",
    "'{\"id\": 1e-16383}'",
    "'{\"id\": 1}'",
    "'{\"id\": null, \"id\": [2]}'",
    "'{\"status_code\": 1e400, \"\": {}}'",
    "'{\"status_code\": \"503\"}'",
    "'{\"status_code\": [[503]]}'",
    "(repeat('[', 127) || repeat(']', 127))",
    "(repeat('[', 1000) || repeat(']', 1000))",
    "(repeat('{\"id\":', 1000) || '1' || repeat('}', 1000))",
    "('{\"id\":' || repeat('[', 6000) || repeat(']', 6000) || '}')",
    "('{\"id\": \"' || repeat('x', 1000000) || '\"}')",
    "('{\"' || repeat('k', 1000000) || '\": 1}')",
    "(SELECT '[' || string_agg(n::text, ',') || ']' FROM generate_series(1, 50000) AS n)",
    "'{\"flags\": [{\"flag_key\": null}, 7, {\"flag_key\": \"x\", \"is_enabled\": 1e400}]}'",
    "'[{\"flag_key\": \"fuzzed\", \"is_enabled\": \"maybe\", \"target_user_ids\": [[1]]}]'",
    "'[{\"flag_key\": \"fuzzed\", \"is_enabled\": true}]'",
    "crewsnow_ops.export_flags()::text",
    "'{\"passed\": true, \"rows\": 9007199254740993}'",
];

/// Texts that only the type json takes.
const PLAIN_JSON: &[&str] = &[
    "'{\"a\": \"\\u0000\"}'",
    "'\"\\ud800\"'",
    "'{\"status_code\": 1e999999999}'",
    "(repeat('[', 5000) || repeat(']', 5000))",
];

const INTEGERS: &[&str] = &["NULL", "0", "1", "-1", "25", "100", "101", "pg_backend_pid()"];

const FLOATS: &[&str] = &[
    "NULL",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "1e308",
    "-1e308",
    "1e-320",
    "'-0'",
    "0",
    "12.5",
    "503",
    "5000.1",
];

const NUMERICS: &[&str] = &[
    "NULL",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "1e400",
    "-1e400",
    "1e131071",
    "1e-16383",
    "0",
    "-0.5",
    "12.5",
    "123456789012345678901234567890.123456789",
];

const TIMES: &[&str] = &[
    "NULL",
    "'infinity'",
    "'-infinity'",
    "'4714-11-24 00:00:00+00 BC'",
    "'294276-12-31 23:59:59.999999+00'",
    "'1970-01-01 00:00:00+00'",
    "'1999-12-31 23:59:60+00'",
    "now()",
    "now() + interval '1 hour'",
    "now() - interval '1 hour'",
    "clock_timestamp()",
    "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
];

const INTERVALS: &[&str] = &[
    "NULL",
    "'0'",
    "'-1 day'",
    "'1 microsecond'",
    "'1 hour'",
    "'1 day'",
    "'178000000 years'",
    "'-178000000 years'",
    "'2147483647 days'",
    "'-2147483648 days'",
    "'2147483647 months'",
];

const UUIDS: &[&str] = &[
    "NULL",
    "'00000000-0000-0000-0000-000000000000'",
    "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    "'aaaaaaaa-0000-4000-8000-000000000001'",
    "'bbbbbbbb-0000-4000-8000-000000000002'",
    "gen_random_uuid()",
    "(SELECT id FROM crewsnow_ops.freezes LIMIT 1)",
    "(SELECT id FROM crewsnow_ops.decisions LIMIT 1)",
    "(SELECT id FROM crewsnow_ops.waivers LIMIT 1)",
];

const RELATIONS: &[&str] = &[
    "NULL",
    "0",
    "4294967295",
    "'public.messages'",
    "'public.message_view'",
    "'public.message_report'",
    "'public.messages_pkey'",
    "'public.message_numbers'",
    "'public.message_parts'",
    "'public.odd \"name'",
    "'auth.users'",
    "'pg_catalog.pg_class'",
    "'pg_catalog.pg_statistic'",
    "'information_schema.columns'",
    "'feature_flags'",
    "'event_log'",
    "'crewsnow_ops.decisions'",
    "'crewsnow_ops.dashboard'",
    "(SELECT reltoastrelid FROM pg_class WHERE oid = 'public.messages'::regclass)::oid",
    "(SELECT oid FROM pg_class WHERE relkind = 'c' LIMIT 1)",
];

const PROCEDURES: &[&str] = &[
    "NULL",
    "0",
    "4294967295",
    "'public.passes()'",
    "'public.fails()'",
    "'public.returns_json()'",
    "'public.returns_rows()'",
    "'public.sleeps()'",
    "'pg_catalog.version()'",
    "'pg_catalog.pg_backend_pid()'",
    "'pg_catalog.int4in(cstring)'",
    "'pg_catalog.count()'",
    "'crewsnow_ops.decisions_are_final()'",
    "'crewsnow_ops.rebuild_rollups()'",
];

const BYTES: &[&str] = &[
    "NULL",
    "''",
    "'\\x00'",
    "'\\x01ffffffffffffffffffffffffffffff'",
    "decode(repeat('ff', 5000), 'hex')",
    "decode(repeat('00', 5000), 'hex')",
    "decode(md5(random()::text), 'hex')",
    "(SELECT crewsnow_ops.latency_sketch(n) FROM generate_series(1, 500) AS n)",
    "(SELECT substr(crewsnow_ops.latency_sketch(n), 1, 20) FROM generate_series(1, 500) AS n)",
    "(SELECT set_byte(crewsnow_ops.latency_sketch(n), 3, 255) FROM generate_series(1, 500) AS n)",
    "(SELECT crewsnow_ops.latency_sketch(n) || '\\x00ff' FROM generate_series(1, 500) AS n)",
];

const POLYMORPHIC: &[&str] = &[
    "NULL::text",
    "1",
    "1e400::numeric",
    "'{\"status_code\": 1e400}'::jsonb",
    "'{\"a\": 1}'::json",
    "repeat('x', 1000000)",
    "'x'::name",
    "now()",
    "ARRAY[1, 2]",
    "(repeat('[', 1000) || repeat(']', 1000))::jsonb",
];

/// The hostile and the valid values of a type; none for a type that this file does not know.
fn pools(type_name: &str) -> Option<Vec<&'static [&'static str]>> {
    Some(match type_name {
        "text" | "character varying" => vec![TEXTS, WORDS],
        "name" => vec![WORDS, &["NULL", "''", "repeat('x', 100)"]],
        "jsonb" => vec![JSON],
        "json" => vec![JSON, PLAIN_JSON],
        "smallint" => vec![INTEGERS, &["32767", "-32768"]],
        "integer" => vec![INTEGERS, &["2147483647", "-2147483648"]],
        "bigint" => vec![INTEGERS, &["9223372036854775807", "-9223372036854775808"]],
        "oid" => vec![&["NULL", "0", "1", "4294967295", "'pg_class'::regclass::oid"]],
        "xid8" => {
            vec![&[
                "NULL",
                "'0'",
                "'1'",
                "'18446744073709551615'",
                "pg_current_xact_id_if_assigned()",
            ]]
        }
        "double precision" | "real" => vec![FLOATS],
        "numeric" => vec![NUMERICS],
        "boolean" => vec![&["NULL", "true", "false"]],
        "uuid" => vec![UUIDS],
        "inet" => vec![&["NULL", "'::1'", "'10.0.0.0/8'", "'255.255.255.255/0'"]],
        "timestamp with time zone" | "timestamp without time zone" => vec![TIMES],
        "interval" => vec![INTERVALS],
        "regclass" => vec![RELATIONS],
        "regprocedure" => vec![PROCEDURES],
        "bytea" => vec![BYTES],
        "internal" | "trigger" => vec![&["NULL"]],
        "anycompatible" | "anyelement" => vec![POLYMORPHIC],
        _ => return None,
    })
}

/// Whether this file has values of a type, or of the elements of an array.
pub fn is_known(type_name: &str) -> bool {
    pools(type_name.trim_end_matches("[]")).is_some()
}

/// Expressions of arrays of this element type.
fn array(element: &str, random: &mut Random) -> String {
    let (a, b) = (argument(element, random), argument(element, random));
    match random.below(7) {
        0 => format!("NULL::{element}[]"),
        1 => format!("'{{}}'::{element}[]"),
        2 => format!("ARRAY[NULL]::{element}[]"),
        3 => format!("ARRAY[[{a}, {b}], [{b}, NULL]]"),
        4 => format!("array_fill({a}, ARRAY[20000])"),
        5 => format!("array_fill({a}, ARRAY[2], ARRAY[-5])"),
        _ => format!("ARRAY[{a}, {b}]"),
    }
}

/// An expression of this type, as format_type names it.
pub fn argument(type_name: &str, random: &mut Random) -> String {
    if let Some(element) = type_name.strip_suffix("[]") {
        return array(element, random);
    }
    let Some(pools) = pools(type_name) else { return format!("NULL::{type_name}") };
    let pool: &'static [&'static str] = pools[random.below(pools.len())];
    let value = *random.pick(pool);
    match type_name {
        "internal" | "trigger" | "anycompatible" | "anyelement" => value.to_owned(),
        _ => format!("({value})::{type_name}"),
    }
}
