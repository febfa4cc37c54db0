//! Tables with random columns, rows, privileges and policies.

use harness::random::Random;

/// A row: the name of each column and its SQL literal.
pub struct Row {
    pub id: usize,
    pub columns: Vec<(&'static str, String)>,
}

pub struct Table {
    /// Qualified, such as `public.t00001`.
    pub name: String,
    /// Whether the table has an owner column.
    pub has_owner: bool,
    pub rows: Vec<Row>,
    /// The statements that create and fill the table.
    pub sql: String,
    /// The statements for policies and privileges, shown with a wrong verdict.
    pub summary: String,
}

/// The id of an account of app.sql.
pub fn user(number: usize) -> String {
    format!("00000000-0000-4000-8000-00000000000{number}")
}

/// Conditions that do not read the row.
const ROW_INDEPENDENT: &[&str] = &[
    "true",
    "false",
    "NULL::boolean",
    "1 = 1",
    "NOT false",
    "auth.uid() IS NOT NULL",
    "(SELECT auth.uid()) IS NOT NULL",
    "auth.uid() IS NULL",
    "auth.role() = 'authenticated'",
    "(SELECT auth.role()) = 'authenticated'",
    "auth.role() IN ('anon', 'authenticated')",
    "current_user = 'authenticated'",
    "current_user IN ('staff', 'webapp')",
    "pg_has_role('members', 'USAGE')",
    "auth.jwt() -> 'app_metadata' ->> 'role' = 'admin'",
    "(SELECT auth.jwt() -> 'user_metadata' ->> 'role') = 'admin'",
    "auth.jwt() -> 'user_metadata' ->> 'plan' = 'pro'",
    "(auth.jwt() ->> 'is_anonymous')::boolean IS FALSE",
    "coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) = false",
    "auth.jwt() ->> 'aal' = 'aal2'",
    "auth.email() LIKE '%@example.com'",
    "auth.jwt() ->> 'email' <> ''",
    "EXISTS (SELECT FROM private.memberships WHERE user_id = auth.uid())",
    "EXISTS (SELECT FROM private.secured_memberships AS m
     WHERE m.user_id = auth.uid() AND m.team = 1)",
    "EXISTS (SELECT FROM private.memberships)",
    "(SELECT count(*) FROM private.memberships WHERE user_id = auth.uid()) > 1",
    "private.stable_true()",
    "private.stable_false()",
    "(SELECT private.stable_true())",
    "private.volatile_true()",
    "private.volatile_false()",
    "private.is_member(1)",
    "private.raising()",
    "current_setting('role') = 'authenticated'",
    "current_setting('request.jwt.claim.role', true) = 'authenticated'",
    "current_setting('request.jwt.claims', true) IS NULL",
];

/// Conditions on columns that every table has.
const ATTRIBUTES: &[&str] = &[
    "is_public",
    "NOT is_public",
    "is_public IS TRUE",
    "private.volatile_of_row(is_public)",
    "team = 1",
    "team > 1",
    "team IN (SELECT team FROM private.memberships WHERE user_id = auth.uid())",
    "team IN (SELECT m.team FROM private.secured_memberships AS m)",
    "team IN (SELECT private.my_teams())",
    "team = ANY (ARRAY(SELECT private.my_teams()))",
    "team = (SELECT m.team FROM private.memberships AS m WHERE m.user_id = auth.uid())",
    "team = (SELECT m.team FROM private.memberships AS m WHERE m.user_id = auth.uid()
     ORDER BY m.team LIMIT 1)",
    "private.is_member(team)",
    "team = (auth.jwt() -> 'app_metadata' ->> 'team')::integer",
    "EXISTS (SELECT FROM private.memberships AS m WHERE m.team = team AND m.user_id = auth.uid())",
];

/// Conditions on the owner column. `@t@` stands for the table.
const OWNERSHIP: &[&str] = &[
    "owner = auth.uid()",
    "owner = auth.uid()",
    "owner = (SELECT auth.uid())",
    "owner = (SELECT auth.uid())",
    "(SELECT auth.uid()) = owner",
    "owner::text = auth.uid()::text",
    "owner = (auth.jwt() ->> 'sub')::uuid",
    "owner::text = (SELECT auth.jwt() ->> 'sub')",
    "owner = nullif(current_setting('request.jwt.claim.sub', true), '')::uuid",
    "owner IS NOT DISTINCT FROM auth.uid()",
    "(owner = auth.uid()) IS TRUE",
    "(owner = auth.uid()) IS NOT FALSE",
    "NOT (owner <> auth.uid())",
    "owner <> auth.uid()",
    "owner IS NULL",
    "owner IS NOT NULL",
    "coalesce(owner = auth.uid(), false)",
    "coalesce(owner = auth.uid(), true)",
    "coalesce(owner, auth.uid()) = auth.uid()",
    "auth.uid() IS NULL OR owner = auth.uid()",
    "auth.uid() IS NOT NULL AND owner = auth.uid()",
    "owner = auth.uid() OR true",
    "CASE WHEN auth.uid() IS NULL THEN false ELSE owner = auth.uid() END",
    "CASE WHEN is_public THEN true ELSE owner = auth.uid() END",
    "CASE auth.role() WHEN 'anon' THEN is_public ELSE owner = auth.uid() END",
    "owner = ANY (ARRAY[auth.uid()])",
    "auth.uid() = ANY (ARRAY[owner])",
    "owner IN (auth.uid(), '00000000-0000-4000-8000-000000000001')",
    "owner = '00000000-0000-4000-8000-000000000001'",
    "owner = ANY (string_to_array(auth.jwt() -> 'app_metadata' ->> 'friends', ',')::uuid[])",
    "owner IN (SELECT m.user_id FROM private.memberships AS m
     WHERE m.team IN (SELECT private.my_teams()))",
    "EXISTS (SELECT FROM private.memberships AS m JOIN private.memberships AS n USING (team)
     WHERE m.user_id = @t@.owner AND n.user_id = auth.uid())",
    "EXISTS (SELECT FROM private.memberships AS m WHERE m.user_id = owner)",
    "EXISTS (SELECT FROM auth.users AS u WHERE u.id = owner AND u.id = auth.uid())",
    "private.is_mine(owner)",
    "private.is_mine_inlined(owner)",
    "owner = auth.uid() AND private.stable_true()",
    "owner = auth.uid() OR private.is_member(team)",
    "owner = auth.uid() AND NOT is_public",
];

/// Conditions on two owner columns and a list of users.
const TWO_OWNERS: &[&str] = &[
    "auth.uid() IN (owner, other)",
    "owner = auth.uid() OR other = auth.uid()",
    "(SELECT auth.uid()) = owner OR (SELECT auth.uid()) = other",
    "owner = auth.uid() AND other = auth.uid()",
    "other = auth.uid()",
    "owner = other",
    "auth.uid() = ANY (people)",
    "owner = auth.uid() OR (SELECT auth.uid()) = ANY (people)",
];

struct Shapes {
    has_owner: bool,
    has_other: bool,
}

impl Shapes {
    fn condition(&self, random: &mut Random) -> String {
        let from = match random.below(100) {
            0..50 if self.has_owner => OWNERSHIP,
            50..62 if self.has_other => TWO_OWNERS,
            50..75 => ATTRIBUTES,
            _ if random.percent(40) => ATTRIBUTES,
            _ => ROW_INDEPENDENT,
        };
        (*random.pick(from)).to_owned()
    }

    fn expression(&self, random: &mut Random, depth: usize) -> String {
        if depth == 0 || random.percent(60) {
            return self.condition(random);
        }
        let (a, b) = (self.expression(random, depth - 1), self.expression(random, depth - 1));
        match random.below(10) {
            0..4 => format!("({a}) OR ({b})"),
            4..7 => format!("({a}) AND ({b})"),
            7 => format!("NOT ({a})"),
            8 => format!("coalesce({a}, {b})"),
            _ => format!("CASE WHEN {a} THEN {b} ELSE {} END", self.condition(random)),
        }
    }

    fn policy(&self, random: &mut Random, name: &str, number: usize) -> String {
        let command = *random.pick(&[
            "ALL", "ALL", "SELECT", "SELECT", "SELECT", "INSERT", "UPDATE", "UPDATE", "DELETE",
        ]);
        let kind = if random.percent(20) { "RESTRICTIVE" } else { "PERMISSIVE" };
        let to = *random.pick(&[
            "public",
            "authenticated",
            "authenticated",
            "authenticated",
            "anon, authenticated",
            "anon",
            "members",
            "staff",
            "staff",
            "webapp",
            "staff, webapp, authenticated",
        ]);
        let mut sql = format!("CREATE POLICY p{number} ON {name} AS {kind} FOR {command} TO {to}");
        if command != "INSERT" {
            sql += &format!(" USING ({})", self.expression(random, 2));
        }
        if command == "INSERT" || (matches!(command, "ALL" | "UPDATE") && random.percent(60)) {
            sql += &format!(" WITH CHECK ({})", self.expression(random, 2));
        }
        sql.replace("@t@", name)
    }
}

/// Generates the table `public.t<number>`.
pub fn table(random: &mut Random, number: usize) -> Table {
    let name = format!("public.t{number:05}");
    let has_owner = random.percent(88);
    let has_other = has_owner && random.percent(30);
    let shapes = Shapes { has_owner, has_other };
    let reference = if random.percent(50) { " REFERENCES auth.users" } else { "" };
    let mut columns = "id integer PRIMARY KEY".to_owned();
    if has_owner {
        columns += &format!(", owner uuid{reference}");
    }
    if has_other {
        let reference = if random.percent(50) { " REFERENCES auth.users" } else { "" };
        columns += &format!(", other uuid{reference}, people uuid[]");
    }
    columns += ", team integer, is_public boolean, note text";
    let is_partitioned = random.percent(5);
    let mut statements = vec![format!(
        "CREATE TABLE {name} ({columns}){}",
        if is_partitioned { " PARTITION BY HASH (id)" } else { "" }
    )];
    if is_partitioned {
        for part in 0..2 {
            statements.push(format!(
                "CREATE TABLE {name}_{part} PARTITION OF {name}
                 FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
            ));
        }
    }
    let rows = rows(random, has_owner, has_other);
    for row in &rows {
        statements.push(row.insert(&name, 0));
    }
    let mut access = Vec::new();
    if random.percent(96) {
        access.push(format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"));
    }
    if random.percent(10) {
        access.push(format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"));
    }
    for role in ["anon", "authenticated"] {
        access.extend(privileges(random, &name, role, has_owner));
    }
    if random.percent(10) {
        access.push(format!("GRANT SELECT, UPDATE ON {name} TO members"));
    }
    // Roles that are no clients, but that policies name or that the login role can become.
    for role in ["staff", "webapp"] {
        if random.percent(20) {
            access.extend(privileges(random, &name, role, has_owner));
        }
    }
    for number in 0..random.below(5) {
        access.push(shapes.policy(random, &name, number));
    }
    if random.percent(4) {
        let owner = random.pick(&["members", "members", "members", "staff"]);
        access.push(format!("ALTER TABLE {name} OWNER TO {owner}"));
    }
    let summary = access.join(";\n");
    statements.extend(access);
    Table { name, has_owner, rows, sql: statements.join(";\n") + ";\n", summary }
}

fn privileges(random: &mut Random, name: &str, role: &str, has_owner: bool) -> Vec<String> {
    match random.below(20) {
        0..12 => vec![format!("GRANT ALL ON {name} TO {role}")],
        12..14 => vec![format!("GRANT SELECT ON {name} TO {role}")],
        14..16 => vec![format!("GRANT INSERT, UPDATE, DELETE ON {name} TO {role}")],
        16 => vec![format!("GRANT SELECT (id, note), UPDATE (note) ON {name} TO {role}")],
        17 if has_owner => vec![format!(
            "GRANT SELECT, DELETE, INSERT (id, note), UPDATE (note) ON {name} TO {role}"
        )],
        _ => vec![],
    }
}

/// Rows of at most six users. The first three rows have no NULL owner and six different owners, so
/// each user has foreign rows.
pub fn rows(random: &mut Random, has_owner: bool, has_other: bool) -> Vec<Row> {
    let first = 1 + random.below(7);
    // The audit tries at most six users.
    let user_id = |number: usize| format!("'{}'", user(1 + (first + number % 6) % 7));
    let team = |random: &mut Random| (1 + random.below(3)).to_string();
    let mut rows = Vec::new();
    for id in 0..4 + random.below(5) {
        let mut columns = vec![("id", id.to_string())];
        if has_owner {
            let is_unowned = id > 2 && random.percent(15);
            columns.push(("owner", if is_unowned { "NULL".to_owned() } else { user_id(id) }));
        }
        if has_other {
            let is_unowned = id > 2 && random.percent(15);
            let other = if id > 2 { random.below(7) } else { id + 3 };
            columns.push(("other", if is_unowned { "NULL".to_owned() } else { user_id(other) }));
            columns.push((
                "people",
                format!(
                    "ARRAY[{}, {}]::uuid[]",
                    user_id(random.below(7)),
                    user_id(random.below(7))
                ),
            ));
        }
        columns.push(("team", team(random)));
        columns.push(("is_public", (*random.pick(&["true", "false", "false", "NULL"])).to_owned()));
        columns.push(("note", "'x'".to_owned()));
        rows.push(Row { id, columns });
    }
    rows
}

impl Row {
    /// The INSERT of a copy of the row whose id is larger by `offset`.
    pub fn insert(&self, table: &str, offset: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = self
            .columns
            .iter()
            .map(
                |(name, value)| {
                    if *name == "id" { (self.id + offset).to_string() } else { value.clone() }
                },
            )
            .collect();
        format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
    }

    /// A candidate row: a copy with `@team@` and `@public@` in place of team and is_public, and
    /// with these literals in the columns that the row has.
    pub fn candidate(&self, values: &[(&str, &str)]) -> Self {
        let value = |name: &str, value: &String| match name {
            "team" => "@team@".to_owned(),
            "is_public" => "@public@".to_owned(),
            _ => values
                .iter()
                .find(|(column, _)| *column == name)
                .map_or(value.clone(), |(_, value)| (*value).to_owned()),
        };
        Self {
            id: self.id,
            columns: self.columns.iter().map(|(name, old)| (*name, value(name, old))).collect(),
        }
    }

    /// The literal of a column; `NULL` if the row lacks it.
    pub fn get(&self, column: &str) -> &str {
        self.columns.iter().find(|(name, _)| *name == column).map_or("NULL", |(_, value)| value)
    }
}
