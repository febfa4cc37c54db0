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
/// the value as that type. An overload must not change the answer for a payload.
#[test]
fn a_parameter_without_a_type_has_that_of_the_first_function() {
    let cluster = Cluster::start("client_types", "");
    let mut client = cluster.create_database("types");
    let duration = ["numeric", "double precision"];
    let status = ["integer", "double precision"];
    let (text, uuid, jsonb) = (["text"; 2], ["uuid"; 2], ["jsonb"; 2]);
    let calls = [
        ("log_system_event($1, $2, $3, $4, $5)", vec![text, uuid, jsonb, duration, text]),
        ("log_system_event($1, $2, $3)", vec![text, uuid, jsonb]),
        (
            "crewsnow_ops.record_edge_call($1, $2, $3, $4, $5, $6, $7, $8)",
            vec![text, duration, status, uuid, text, ["inet"; 2], text, jsonb],
        ),
        (
            "crewsnow_ops.record_stripe_webhook($1, $2, $3, $4, $5)",
            vec![text, text, ["boolean"; 2], text, jsonb],
        ),
        ("update_feature_flag($1, $2, $3, $4)", vec![text, ["boolean"; 2], ["integer"; 2], text]),
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
        let types: Vec<_> = found.split(',').collect();
        let is_expected = types.len() == expected.len()
            && types.iter().zip(&expected).all(|(found, expected)| expected.contains(found));
        if !is_expected {
            wrong.push(format!("{call}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
