//! Overloaded functions, as clients find them that know names or ask the server for types.

use harness::{Cluster, rows, run, value};

/// An API server such as PostgREST chooses a function by the names of the arguments of a request. A
/// request fits a function that has all of its names and requires no other. Types do not help.
#[test]
fn the_names_of_its_arguments_identify_a_function() {
    let cluster = Cluster::start("client_names", "");
    let mut client = cluster.create_database("names");
    let ambiguous = rows(
        &mut client,
        "WITH callable AS (
             SELECT p.oid::regprocedure AS function, p.pronamespace, p.proname,
                 coalesce(p.proargnames[:p.pronargs], '{}') AS names,
                 coalesce(p.proargnames[:p.pronargs - p.pronargdefaults], '{}') AS required
             FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid
                 AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
             WHERE p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
                 AND p.proargnames IS NOT NULL
         )
         SELECT a.function, b.function FROM callable AS a
         JOIN callable AS b ON a.pronamespace = b.pronamespace AND a.proname = b.proname
             AND a.function::oid < b.function::oid
         WHERE a.required || b.required <@ a.names AND a.required || b.required <@ b.names",
    );
    assert!(ambiguous.is_empty(), "the same names fit two functions: {ambiguous:#?}");
}

/// asyncpg, pgx, sqlx and tokio-postgres ask the server for the type of each parameter, and encode
/// the value as that type. A payload is a text, which may hold escapes that jsonb refuses.
#[test]
fn a_parameter_without_a_type_is_a_number_or_a_text() {
    let cluster = Cluster::start("client_types", "");
    let mut client = cluster.create_database("types");
    let number = "double precision";
    let calls = [
        ("log_system_event($1, $2, $3, $4, $5)", vec!["text", "uuid", "text", number, "text"]),
        ("log_system_event($1, $2, $3)", vec!["text", "uuid", "text"]),
        (
            "crewsnow_ops.record_edge_call($1, $2, $3, $4, $5, $6, $7, $8)",
            vec!["text", number, number, "uuid", "text", "inet", "text", "text"],
        ),
        (
            "crewsnow_ops.record_stripe_webhook($1, $2, $3, $4, $5)",
            vec!["text", "text", "boolean", "text", "text"],
        ),
        ("update_feature_flag($1, $2, $3, $4)", vec!["text", "boolean", "integer", "text"]),
    ];
    let mut wrong = Vec::new();
    for (call, expected) in calls {
        run(&mut client, &format!("PREPARE call AS SELECT {call}"));
        let found = value(
            &mut client,
            "SELECT array_to_string(parameter_types, ',') FROM pg_prepared_statements
             WHERE name = 'call'",
        );
        run(&mut client, "DEALLOCATE call");
        if found != expected.join(",") {
            wrong.push(format!("{call}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
