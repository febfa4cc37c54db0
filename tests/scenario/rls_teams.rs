//! Reach within a team is SHARED. Reach beyond a team is a suspected leak.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run};

#[test]
fn reach_beyond_a_team_is_a_suspected_leak() {
    let cluster = Cluster::start("rls_teams", "");
    let mut a = supabase(&cluster, "teams");
    // The members of the teams are 1 and 6; 3 and 4; 5; 7. User 2 is in no team. User 1 is a friend
    // of 3.
    run(
        &mut a,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 7) AS n;
         CREATE TABLE public.teams (id integer PRIMARY KEY);
         INSERT INTO public.teams SELECT generate_series(1, 4);
         CREATE TABLE public.members (team_id integer REFERENCES public.teams,
             user_id uuid REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
         INSERT INTO public.members SELECT t, ('00000000-0000-4000-8000-00000000000' || u)::uuid
             FROM (VALUES (1, 1), (1, 6), (2, 3), (2, 4), (3, 5), (4, 7)) AS m (t, u);
         CREATE TABLE public.friends (user_id uuid REFERENCES auth.users,
             friend_id uuid REFERENCES auth.users, PRIMARY KEY (user_id, friend_id));
         INSERT INTO public.friends VALUES ('00000000-0000-4000-8000-000000000001',
             '00000000-0000-4000-8000-000000000003');
         ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
         ALTER TABLE public.friends ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON public.members TO authenticated USING (user_id = (SELECT auth.uid()));
         CREATE POLICY own ON public.friends TO authenticated USING (user_id = (SELECT auth.uid()));
         GRANT SELECT ON public.members, public.friends TO authenticated",
    );
    for (table, policy) in [
        (
            "team_notes",
            "EXISTS (SELECT FROM public.members AS m \
             JOIN public.team_of AS o ON o.team_id = m.team_id \
             WHERE m.user_id = (SELECT auth.uid()) AND o.user_id = n.user_id)",
        ),
        (
            "member_notes",
            "EXISTS (SELECT FROM public.members AS m WHERE m.user_id = (SELECT auth.uid()))",
        ),
        (
            "friend_notes",
            "user_id IN (SELECT friend_id FROM public.friends \
             WHERE friends.user_id = (SELECT auth.uid()))",
        ),
    ] {
        if table == "team_notes" {
            run(
                &mut a,
                "CREATE VIEW public.team_of AS SELECT * FROM public.members; \
                 GRANT SELECT ON public.team_of TO authenticated",
            );
        }
        // User 2 is among the first owners, so the audit tries a user without a team.
        run(
            &mut a,
            &format!(
                "CREATE TABLE public.{table} (id integer PRIMARY KEY,
                     user_id uuid NOT NULL REFERENCES auth.users);
                 INSERT INTO public.{table}
                     SELECT n, ('00000000-0000-4000-8000-00000000000' || u)::uuid
                     FROM unnest(ARRAY[1, 6, 2, 3, 5, 7, 4]) WITH ORDINALITY AS o (u, n);
                 CREATE INDEX ON public.{table} (user_id);
                 ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY seen ON public.{table} TO authenticated
                     USING (user_id = (SELECT auth.uid()) OR {});
                 GRANT SELECT ON public.{table} TO authenticated",
                policy.replace("n.user_id", &format!("{table}.user_id"))
            ),
        );
    }
    let cells = |a: &mut _, table: &str| {
        rows(
            a,
            &format!(
                "SELECT DISTINCT concat_ws(' ', verdict, confidence,
                     regexp_replace(remark, '[0-9a-f]{{8}}', '…'))
                 FROM crewsnow_ops.rls_matrix('public.{table}')
                     WHERE reach = 'read-leak' AND role = 'authenticated'
                     AND verdict NOT IN ('ISOLATED', 'CLOSED')"
            ),
        )
    };
    let team = cells(&mut a, "team_notes");
    assert!(
        team.iter().all(|row| row.starts_with("SHARED OBSERVED")
            && row.contains(
                "; no row is reached of the 4 users who share no team with the identity \
                 in public.members"
            )),
        "{team:?}"
    );
    assert!(!team.is_empty());
    assert_eq!(
        cells(&mut a, "friend_notes"),
        ["SHARED OBSERVED some foreign rows: not every user reaches it; the identity also \
            reaches a row of a user who shares no team with it in public.members"]
    );
    let member = cells(&mut a, "member_notes");
    assert!(
        member.iter().any(|row| row.starts_with("LEAK SUSPECTED")
            && row.ends_with(
                "no two of whom share a team in public.members, \
                 reached the same row of another user"
            )),
        "{member:?}"
    );
    let finding = "SELECT severity, confidence, object FROM crewsnow_ops.audit_rls() \
        WHERE rule = 'read-leak'";
    assert_eq!(rows(&mut a, finding), ["HIGH|SUSPECTED|policy \"seen\" on public.member_notes"]);
}
