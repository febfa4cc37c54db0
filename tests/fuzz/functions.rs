//! The functions and views of the extension, as the catalog lists them.

use crate::arguments::{argument, is_known};
use harness::random::Random;
use harness::{rows, value};
use postgres::Client;

/// A function or view of the extension.
pub struct Callable {
    /// Name with the schema, for messages: `crewsnow_ops.audit_rls()`.
    pub identity: String,
    name: String,
    kind: Kind,
    argument_types: Vec<String>,
    /// Number of arguments without a default.
    required: usize,
    /// How often it is called: costly calls without arguments are called least.
    pub weight: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Set,
    Aggregate,
    Procedure,
    Trigger,
    View,
}

/// Functions that are never called, each with the reason.
const EXCLUDED: &[(&str, &str)] = &[];
/// Parts of the names of functions that audit or decide. A call takes a quarter of a second.
const COSTLY: [&str; 11] = [
    "rls_worst",
    "rls_finding",
    "rls_drift",
    "rls_public_content",
    "prove_remediation",
    "trace_access",
    "effective_rls",
    "decide",
    "require_go",
    "restore_feature_flags",
    "full_health_check",
];

const FUNCTIONS: &str = "
    SELECT p.oid::regprocedure::text, format('%I.%I', n.nspname, p.proname),
        CASE
            WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'trigger'
            WHEN p.prokind = 'a' THEN 'aggregate'
            WHEN p.prokind = 'p' THEN 'procedure'
            WHEN p.proretset THEN 'set'
            ELSE 'function'
        END,
        p.pronargs - p.pronargdefaults,
        coalesce((
            SELECT string_agg(format_type(a.type, NULL), '|' ORDER BY a.place)
            FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place)
        ), '')
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE e.extname = 'crewsnow_ops'
    ORDER BY 1";
const VIEWS: &str = "
    SELECT c.oid::regclass::text
    FROM pg_class AS c
    JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE e.extname = 'crewsnow_ops' AND c.relkind = 'v'
    ORDER BY 1";

/// All functions and views of the extension.
pub fn callables(client: &mut Client) -> Vec<Callable> {
    let mut found = Vec::new();
    for row in rows(client, FUNCTIONS) {
        let parts: Vec<&str> = row.splitn(5, '|').collect();
        let [identity, name, kind, required, types] = parts[..] else { panic!("{row}") };
        if EXCLUDED.iter().any(|(excluded, _)| *excluded == identity) {
            continue;
        }
        let unknown = types.split('|').find(|name| !name.is_empty() && !is_known(name));
        assert_eq!(unknown, None, "add values of this type to arguments.rs: {identity}");
        let argument_types: Vec<String> =
            types.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        found.push(Callable {
            identity: identity.to_owned(),
            name: name.to_owned(),
            kind: match kind {
                "set" => Kind::Set,
                "aggregate" => Kind::Aggregate,
                "procedure" => Kind::Procedure,
                "trigger" => Kind::Trigger,
                _ => Kind::Function,
            },
            required: required.parse().expect("a number"),
            weight: match argument_types.is_empty() {
                false if COSTLY.iter().any(|costly| name.contains(costly)) => 2,
                false => 12,
                true => 1,
            },
            argument_types,
        });
    }
    for name in rows(client, VIEWS) {
        found.push(Callable {
            identity: format!("view {name}"),
            name,
            kind: Kind::View,
            argument_types: Vec::new(),
            required: 0,
            weight: 1,
        });
    }
    assert!(found.len() > 100, "the functions were found");
    found
}

impl Callable {
    /// Whether a role may call it or read it.
    pub fn is_allowed(&self, client: &mut Client, role: &str) -> bool {
        let sql = match self.identity.strip_prefix("view ") {
            Some(view) => format!("SELECT has_table_privilege('{role}', '{view}', 'SELECT')"),
            None => {
                format!("SELECT has_function_privilege('{role}', '{}', 'EXECUTE')", self.identity)
            }
        };
        value(client, &sql) == "t"
    }

    /// A statement that calls it.
    pub fn call(&self, random: &mut Random) -> String {
        let name = &self.name;
        let arguments = |random: &mut Random| {
            let spare = self.argument_types.len() - self.required;
            let given = self.argument_types.len() - random.below(spare + 1);
            let given = self.argument_types[..given].iter();
            given.map(|name| argument(name, random)).collect::<Vec<_>>().join(", ")
        };
        match self.kind {
            Kind::View => match random.below(3) {
                0 => format!("SELECT count(*) FROM {name}"),
                _ => format!("SELECT * FROM {name}"),
            },
            Kind::Procedure => format!("CALL {name}({})", arguments(random)),
            Kind::Set => match random.below(4) {
                0 => format!("SELECT {name}({})", arguments(random)),
                1 => format!("SELECT count(*) FROM {name}({}) LIMIT 1", arguments(random)),
                _ => format!("SELECT * FROM {name}({})", arguments(random)),
            },
            Kind::Function => match random.below(4) {
                0 => format!("SELECT {name}({}) FROM generate_series(1, 3)", arguments(random)),
                _ => format!("SELECT {name}({})", arguments(random)),
            },
            Kind::Aggregate => {
                let value = |random: &mut Random| argument(&self.argument_types[0], random);
                let values = [value(random), value(random), value(random)];
                let over =
                    if random.percent(30) { " OVER (ORDER BY 1 ROWS 1 PRECEDING)" } else { "" };
                format!(
                    "SELECT {name}(v){over} FROM (VALUES ({}), ({}), ({})) AS a (v)",
                    values[0], values[1], values[2]
                )
            }
            Kind::Trigger => self.call_as_trigger(random),
        }
    }

    /// Calls a trigger function directly, or for a table that it does not know.
    fn call_as_trigger(&self, random: &mut Random) -> String {
        let name = &self.name;
        let time = *random.pick(&["BEFORE", "AFTER"]);
        let event = *random.pick(&["INSERT", "UPDATE", "DELETE", "TRUNCATE", "INSERT OR UPDATE"]);
        let level = if event == "TRUNCATE" || random.percent(30) { "STATEMENT" } else { "ROW" };
        let columns = random.pick(&[
            "a integer",
            "flag_key text, is_enabled boolean",
            "id uuid, event_type jsonb, payload text, created_at text",
            "event_id text, status integer, attempts text",
            "criterion text, id integer",
        ]);
        match random.below(3) {
            0 => format!("SELECT {name}()"),
            _ => format!(
                "CREATE TEMP TABLE strange ({columns}); INSERT INTO strange DEFAULT VALUES;
                 CREATE TRIGGER strange {time} {event} ON strange FOR EACH {level}
                     EXECUTE FUNCTION {name}();
                 INSERT INTO strange DEFAULT VALUES; UPDATE strange SET {} = NULL;
                 DELETE FROM strange; TRUNCATE strange; DROP TABLE strange",
                columns.split(' ').next().unwrap_or_default()
            ),
        }
    }
}
