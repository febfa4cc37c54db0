//! Random membership tables into which users may be able to write themselves, and tables whose
//! policies trust them.

use crate::policies::{Row, Table, rows, user};
use harness::random::Random;

/// A membership table and a table that trusts it.
pub struct Teams {
    /// Name of the membership table, qualified.
    pub members: String,
    pub invitations: String,
    /// The table whose policies read the memberships.
    pub trusting: Table,
    /// Whether a function that is more than one query reads the memberships.
    pub is_opaque: bool,
}

/// Conditions by which rows are let through. `@m@` stands for the membership table, `@d@` for the
/// trusting table, `@k@` for the number.
const TRUSTING: &[&str] = &[
    "team IN (SELECT m.team FROM @m@ AS m WHERE m.user_id = auth.uid())",
    "team IN (SELECT m.team FROM @m@ AS m WHERE m.user_id = (SELECT auth.uid()))",
    "EXISTS (SELECT FROM @m@ AS m WHERE m.team = @d@.team AND m.user_id = auth.uid())",
    "EXISTS (SELECT FROM @m@ AS m WHERE m.team = @d@.team AND m.user_id = auth.uid()
     AND m.role = 'admin')",
    "EXISTS (SELECT FROM @m@ AS m WHERE m.team = @d@.team AND m.user_id = (SELECT auth.uid())
     AND m.role IN ('admin', 'editor'))",
    "EXISTS (SELECT FROM @m@ AS m WHERE m.team = @d@.team AND m.user_id = auth.uid()
     AND m.role <> 'member')",
    "auth.uid() IN (SELECT m.user_id FROM @m@ AS m WHERE m.team = @d@.team)",
    "team = ANY (ARRAY(SELECT private.teams_@k@()))",
    "team IN (SELECT private.teams_@k@())",
    "private.is_member_@k@(team)",
    "private.is_member_@k@(team)",
    "private.is_admin_@k@(team)",
    "private.is_member_slow_@k@(team)",
];

/// Conditions of checks on the membership table.
const ARMS: &[&str] = &[
    "user_id = auth.uid()",
    "user_id = auth.uid()",
    "user_id = auth.uid()",
    "user_id = (SELECT auth.uid())",
    "auth.uid() = user_id",
    "team > 0",
    "team = 1",
    "team <> 1",
    "team IS NOT NULL",
    "role = 'member'",
    "role <> 'admin'",
    "role IN ('member', 'editor')",
    "private.is_admin_@k@(team)",
    "private.is_admin_@k@(team)",
    "private.is_admin_@k@(team)",
    "private.is_member_@k@(team)",
    "private.is_member_slow_@k@(team)",
    "NOT private.has_members_@k@(team)",
    "NOT EXISTS (SELECT FROM @m@ AS m WHERE m.team = @n@.team)",
    "team IN (SELECT t.id FROM @m@_teams AS t WHERE t.is_open)",
    "EXISTS (SELECT FROM @m@_teams AS t WHERE t.id = team)",
    "EXISTS (SELECT FROM @m@_invites AS i WHERE i.team = @n@.team AND i.user_id = auth.uid())",
    "auth.uid() IS NOT NULL",
    "auth.jwt() ->> 'aal' = 'aal2'",
    "auth.jwt() -> 'app_metadata' ->> 'role' = 'admin'",
    "user_id <> auth.uid()",
    "true",
    "false",
];

fn check(random: &mut Random) -> String {
    let arm = |random: &mut Random| (*random.pick(ARMS)).to_owned();
    let (a, b) = (arm(random), arm(random));
    match random.below(20) {
        0..6 => a,
        6..12 => format!("({a}) AND ({b})"),
        12..16 => format!("({a}) OR ({b})"),
        16 => format!("CASE WHEN {a} THEN {b} ELSE {} END", arm(random)),
        17 => format!("coalesce({a}, {b})"),
        18 => format!("({a}) AND (({b}) OR ({}))", arm(random)),
        _ => format!("NOT ({a})"),
    }
}

/// Functions that read the memberships as their owner.
const FUNCTIONS: &str = "
    CREATE FUNCTION private.is_member_@k@(p_team integer) RETURNS boolean LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = '' AS $$
        SELECT EXISTS (SELECT FROM @m@ WHERE user_id = auth.uid() AND team = p_team) $$;
    CREATE FUNCTION private.is_admin_@k@(p_team integer) RETURNS boolean LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = '' AS $$
        SELECT EXISTS (SELECT FROM @m@ WHERE user_id = auth.uid() AND team = p_team
            AND role = 'admin') $$;
    CREATE FUNCTION private.has_members_@k@(p_team integer) RETURNS boolean LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = '' AS $$
        SELECT EXISTS (SELECT FROM @m@ WHERE team = p_team) $$;
    CREATE FUNCTION private.teams_@k@() RETURNS SETOF integer LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = '' AS $$
        SELECT team FROM @m@ WHERE user_id = auth.uid() $$;
    CREATE FUNCTION private.is_member_slow_@k@(p_team integer) RETURNS boolean LANGUAGE plpgsql
        STABLE SECURITY DEFINER SET search_path = '' AS $$
        BEGIN
            IF auth.uid() IS NULL THEN RETURN false; END IF;
            RETURN EXISTS (SELECT FROM @m@ WHERE user_id = auth.uid() AND team = p_team);
        END $$;";

/// Generates the tables `public.m<number>` and `public.t<number>`.
pub fn teams(random: &mut Random, number: usize) -> Teams {
    let (members, name) = (format!("public.m{number:05}"), format!("public.t{number:05}"));
    let reference = |random: &mut Random, to: &str| {
        if random.percent(60) { format!(" REFERENCES {to}") } else { String::new() }
    };
    let (to_teams, to_users) =
        (reference(random, &format!("{members}_teams")), reference(random, "auth.users"));
    let is_open = random.pick(&["id = 2", "id > 1", "true", "false"]);
    let mut statements = vec![
        format!("CREATE TABLE {members}_teams (id integer PRIMARY KEY, is_open boolean)"),
        format!(
            "INSERT INTO {members}_teams
             SELECT id, {is_open} FROM generate_series(1, 4) AS id"
        ),
        format!(
            "CREATE TABLE {members} (team integer NOT NULL{to_teams},
             user_id uuid NOT NULL{to_users}, role text NOT NULL DEFAULT 'member',
             PRIMARY KEY (team, user_id))"
        ),
        format!("CREATE TABLE {members}_invites (team integer, user_id uuid)"),
        format!("INSERT INTO {members}_invites VALUES (2, '{}')", user(6)),
        FUNCTIONS.to_owned(),
    ];
    let of_second = if random.percent(30) { ", (2, 1, 'member')" } else { "" };
    statements.push(format!(
        "INSERT INTO {members} SELECT t, ('00000000-0000-4000-8000-00000000000' || u)::uuid, r
         FROM (VALUES (1, 1, 'admin'), (1, 2, 'member'), (2, 3, 'admin'), (2, 4, 'member'),
             (3, 5, 'admin'){of_second}) AS v (t, u, r)"
    ));
    let mut access = memberships_access(random, &members);
    let has_owner = random.percent(70);
    let columns = if has_owner {
        format!("id integer PRIMARY KEY, owner uuid{}", reference(random, "auth.users"))
    } else {
        "id integer PRIMARY KEY".to_owned()
    };
    statements.push(format!(
        "CREATE TABLE {name} ({columns}, team integer, is_public boolean, note text)"
    ));
    let rows = rows(random, has_owner, false);
    statements.extend(rows.iter().map(|row: &Row| row.insert(&name, 0)));
    access.extend(trusting_access(random, &name, has_owner));
    let replaced = |sql: String| {
        sql.replace("@m@", &members)
            .replace("@n@", members.trim_start_matches("public."))
            .replace("@d@", name.trim_start_matches("public."))
            .replace("@k@", &number.to_string())
    };
    let summary = replaced(access.join(";\n"));
    let sql = format!("{};\n{summary};\n", replaced(statements.join(";\n")));
    let is_opaque = summary.contains("_slow_");
    Teams {
        invitations: format!("{members}_invites"),
        members,
        trusting: Table { name, has_owner, rows, sql, summary },
        is_opaque,
    }
}

fn memberships_access(random: &mut Random, members: &str) -> Vec<String> {
    let mut access: Vec<String> = ["", "_teams", "_invites"]
        .iter()
        .map(|end| format!("ALTER TABLE {members}{end} ENABLE ROW LEVEL SECURITY"))
        .collect();
    let own = format!("GRANT SELECT, INSERT (team, user_id), DELETE ON {members} TO authenticated");
    access.push(match random.percent(15) {
        true => own,
        false => format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {members} TO authenticated"),
    });
    access.push(format!("GRANT SELECT ON {members}_teams TO authenticated"));
    access.push(format!("GRANT SELECT, INSERT ON {members}_invites TO authenticated"));
    let policy = |name: &str, end: &str, rest: String| {
        format!("CREATE POLICY {name} ON {members}{end} {rest}")
    };
    access.push(policy("see", "_teams", "FOR SELECT TO authenticated USING (true)".into()));
    let own = "FOR SELECT TO authenticated USING (user_id = auth.uid())";
    access.push(policy("see", "_invites", own.into()));
    if random.percent(25) {
        let check = random.pick(&["true", "user_id = auth.uid()", "private.is_admin_@k@(team)"]);
        let rest = format!("FOR INSERT TO authenticated WITH CHECK ({check})");
        access.push(policy("invite", "_invites", rest));
    }
    let seen = random.pick(&[
        "user_id = auth.uid()",
        "user_id = auth.uid()",
        "private.is_member_@k@(team)",
        "true",
    ]);
    access.push(policy("see", "", format!("FOR SELECT TO authenticated USING ({seen})")));
    if random.percent(85) {
        let rest = format!("FOR INSERT TO authenticated WITH CHECK ({})", check(random));
        access.push(policy("join_team", "", rest));
    }
    if random.percent(15) {
        let rest = format!("AS RESTRICTIVE FOR INSERT WITH CHECK ({})", check(random));
        access.push(policy("bounds", "", rest));
    }
    if random.percent(40) {
        let using = random.pick(&[
            "user_id = auth.uid()",
            "user_id = auth.uid()",
            "private.is_admin_@k@(team)",
            "true",
        ]);
        let mut rest = format!("FOR UPDATE TO authenticated USING ({using})");
        if random.percent(60) {
            rest += &format!(" WITH CHECK ({})", check(random));
        }
        access.push(policy("change", "", rest));
    }
    access
}

fn trusting_access(random: &mut Random, name: &str, has_owner: bool) -> Vec<String> {
    let mut access = vec![
        format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO authenticated"),
    ];
    let condition = |random: &mut Random| {
        let trusting = *random.pick(TRUSTING);
        match random.below(10) {
            0..2 if has_owner => format!("{trusting} OR owner = auth.uid()"),
            2 => format!("{trusting} AND note IS NOT NULL"),
            3 => format!("{trusting} OR is_public"),
            _ => trusting.to_owned(),
        }
    };
    let read = condition(random);
    let other = if random.percent(70) { read.clone() } else { condition(random) };
    if random.percent(30) {
        access.push(format!("CREATE POLICY work ON {name} TO authenticated USING ({read})"));
        return access;
    }
    access.push(format!("CREATE POLICY see ON {name} FOR SELECT TO authenticated USING ({read})"));
    let check = |random: &mut Random| {
        let choices: &[String] = &[
            other.clone(),
            other.clone(),
            format!("({other}) AND team > 0"),
            "true".to_owned(),
            "team > 0".to_owned(),
            "owner = auth.uid()".to_owned(),
            format!("({other}) AND owner = auth.uid()"),
            format!("({other}) OR owner = auth.uid()"),
        ];
        let known = if has_owner { choices } else { &choices[..5] };
        random.pick(known).clone()
    };
    if random.percent(60) {
        let check = check(random);
        access.push(format!(
            "CREATE POLICY add ON {name} FOR INSERT TO authenticated WITH CHECK ({check})"
        ));
    }
    if random.percent(60) {
        let check = if random.percent(70) {
            format!(" WITH CHECK ({})", check(random))
        } else {
            String::new()
        };
        access.push(format!(
            "CREATE POLICY change ON {name} FOR UPDATE TO authenticated USING ({other}){check}"
        ));
    }
    if random.percent(40) {
        access.push(format!(
            "CREATE POLICY remove ON {name} FOR DELETE TO authenticated USING ({other})"
        ));
    }
    access
}
