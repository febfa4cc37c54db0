//! Tables that everybody reads although policies or owners look harmless: without row-level
//! security, with tokens of others, and owned by a role of the platform.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, value};

const TABLES: &str = "
    INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
        FROM generate_series(1, 3) AS n;
    GRANT USAGE ON SCHEMA public TO anon, authenticated;
    CREATE TABLE public.reports (id integer PRIMARY KEY, user_id uuid REFERENCES auth.users);
    INSERT INTO public.reports SELECT row_number() OVER (), id FROM auth.users;
    GRANT ALL ON public.reports TO authenticated;
    CREATE TABLE public.catalogue (id integer PRIMARY KEY, title text);
    INSERT INTO public.catalogue VALUES (1, 'a');
    GRANT SELECT ON public.catalogue TO anon;
    CREATE TABLE public.pairings (id integer PRIMARY KEY, access_token text);
    INSERT INTO public.pairings VALUES (1, 'a');
    ALTER TABLE public.pairings ENABLE ROW LEVEL SECURITY;
    CREATE POLICY members ON public.pairings FOR SELECT TO authenticated
        USING (auth.uid() IS NOT NULL);
    CREATE TABLE public.devices (id integer PRIMARY KEY, user_id uuid REFERENCES auth.users,
        refresh_token text);
    INSERT INTO public.devices SELECT row_number() OVER (), id, 'a' FROM auth.users;
    ALTER TABLE public.devices ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.devices FOR SELECT TO authenticated
        USING (user_id = (SELECT auth.uid()));
    GRANT SELECT ON public.pairings, public.devices TO authenticated;
    CREATE ROLE supabase_admin;
    CREATE TABLE public.restored (id integer PRIMARY KEY, body text);
    INSERT INTO public.restored VALUES (1, 'a');
    GRANT SELECT ON public.restored TO anon;
    ALTER TABLE public.restored OWNER TO supabase_admin";

#[test]
fn tables_that_everybody_reads_are_not_secure() {
    let cluster = Cluster::start("rls_secrets", "");
    let mut a = supabase(&cluster, "secrets");
    run(&mut a, TABLES);
    let checklist = |a: &mut _, table: &str| {
        rows(
            a,
            &format!(
                "SELECT requirement, status, recommendation FROM generate_rls_checklist()
                 WHERE table_name = 'public.{table}' AND requirement <> 'No access path bypasses \
                 the policies' ORDER BY requirement DESC"
            ),
        )
    };
    let enable = "ALTER TABLE public.reports ENABLE ROW LEVEL SECURITY;";
    assert_eq!(
        checklist(&mut a, "reports"),
        [
            format!("Row-level security is on|MISSING|{enable}"),
            format!("Foreign rows cannot be written|VULNERABLE|{enable}"),
            format!("Foreign rows cannot be read|VULNERABLE|{enable}"),
        ]
    );
    let enable = "ALTER TABLE public.catalogue ENABLE ROW LEVEL SECURITY;";
    assert_eq!(
        checklist(&mut a, "catalogue"),
        [
            format!("Row-level security is on|MISSING|{enable}"),
            format!("Foreign rows cannot be read|VULNERABLE|{enable}"),
        ]
    );
    // Who accepts that row-level security is off accepts it in each line.
    run(
        &mut a,
        "SELECT crewsnow_ops.accept_finding('rls-off table public.catalogue', 'public', \
         now() + interval '1 day')",
    );
    let accepted = checklist(&mut a, "catalogue");
    assert!(accepted.iter().all(|line| line.contains("|SECURE|")), "{accepted:?}");
    assert_eq!(
        rows(
            &mut a,
            "SELECT object, severity, confidence FROM crewsnow_ops.audit_rls()
             WHERE rule = 'exposed-column' ORDER BY 1"
        ),
        ["table public.devices|LOW|SUSPECTED", "table public.pairings|HIGH|PROVED"]
    );
    assert_eq!(
        value(
            &mut a,
            "SELECT severity FROM crewsnow_ops.audit_rls()
             WHERE rule = 'rls-off' AND object = 'table public.restored'"
        ),
        "CRITICAL"
    );
}
