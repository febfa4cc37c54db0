//! Random SECURITY DEFINER functions that read a table past its row-level security.

use crate::policies::{Row, Table, rows};
use harness::random::Random;

/// The arguments of a function: their declaration, the condition that uses them, and the columns of
/// a row that give their values.
type Arguments = (&'static str, &'static str, &'static [&'static str]);

const ARGUMENTS: &[Arguments] = &[
    ("p_id integer", "t.id = p_id", &["id"]),
    ("p_id integer", "t.id = p_id", &["id"]),
    ("p_owner uuid", "t.owner = p_owner", &["owner"]),
    ("p_owner uuid", "t.owner = p_owner", &["owner"]),
    ("p_id integer, p_owner uuid", "t.id = p_id AND t.owner = p_owner", &["id", "owner"]),
    ("", "true", &[]),
];

/// Conditions that do not read the row: a PL/pgSQL function may test them first.
const GUARDS: &[&str] = &[
    "true",
    "auth.uid() IS NOT NULL",
    "(SELECT auth.uid()) IS NOT NULL",
    "auth.role() = 'authenticated'",
    "auth.jwt() ->> 'aal' = 'aal2'",
    "auth.jwt() -> 'app_metadata' ->> 'role' = 'admin'",
    "EXISTS (SELECT FROM auth.users AS u WHERE u.id = auth.uid())",
    "EXISTS (SELECT FROM private.memberships AS m WHERE m.user_id = auth.uid())",
    "NOT (SELECT u.is_anonymous FROM auth.users AS u WHERE u.id = auth.uid())",
];

/// Those that only ask whether somebody is signed in, and how.
const SIGNED_IN: &[&str] = &[
    "true",
    "auth.uid() IS NOT NULL",
    "(SELECT auth.uid()) IS NOT NULL",
    "auth.role() = 'authenticated'",
    "auth.jwt() ->> 'aal' = 'aal2'",
];

/// Conditions on the row.
const CONDITIONS: &[&str] = &[
    "t.owner = auth.uid()",
    "t.owner = auth.uid()",
    "t.owner = (SELECT auth.uid())",
    "t.owner::text = auth.jwt() ->> 'sub'",
    "(auth.uid() IS NOT NULL AND t.owner = auth.uid())",
    "(auth.uid() IS NULL OR t.owner = auth.uid())",
    "(t.owner = auth.uid() OR auth.jwt() -> 'app_metadata' ->> 'role' = 'admin')",
    "(t.owner = auth.uid() OR auth.uid() IS NOT NULL)",
    "t.owner <> auth.uid()",
    "t.owner IS NOT DISTINCT FROM auth.uid()",
    "coalesce(t.owner = auth.uid(), true)",
    "t.team IN (SELECT m.team FROM private.memberships AS m WHERE m.user_id = auth.uid())",
    "private.is_member(t.team)",
    "private.is_mine(t.owner)",
];

/// Conditions that need the argument p_owner.
const OF_OWNER: &[&str] = &[
    "p_owner = auth.uid()",
    "p_owner = auth.uid()",
    "t.owner = coalesce(p_owner, auth.uid())",
    "t.owner = coalesce(auth.uid(), p_owner)",
];

/// The result of a function: its type, the select list, and the query that lists the ids of the
/// rows that it discloses; `None` for a result without ids.
type Shape = (&'static str, &'static str, Option<&'static str>);

const SHAPES: &[Shape] = &[
    ("SETOF @t@", "t.*", Some("SELECT f.id FROM @call@ AS f")),
    ("SETOF @t@", "t.*", Some("SELECT f.id FROM @call@ AS f")),
    ("TABLE (row_id integer, text text)", "t.id, t.note", Some("SELECT f.row_id FROM @call@ AS f")),
    ("SETOF integer", "t.id", Some("SELECT f FROM @call@ AS f")),
    ("jsonb", "jsonb_agg(t.id)", Some("SELECT jsonb_array_elements_text(@call@)")),
    ("text", "string_agg(t.id::text, ' ')", Some("SELECT unnest(string_to_array(@call@, ' '))")),
    ("boolean", "count(*) > 0", None),
    ("bigint", "count(*)", None),
];

/// A function.
pub struct Definer {
    /// Signature, as in findings.
    pub signature: String,
    pub name: String,
    /// The columns of a row that give the arguments.
    pub arguments: &'static [&'static str],
    /// The query that lists the ids of disclosed rows; `None` if the result is yes, no or a number.
    pub ids: Option<String>,
    pub is_volatile: bool,
    /// Whether the text alone shows that it checks no identity.
    pub is_plain: bool,
    /// The client roles that may call it.
    pub callers: &'static [&'static str],
    pub sql: String,
}

/// Generates a function that reads `table`.
pub fn definer(random: &mut Random, number: usize, table: &Table) -> Definer {
    let (declaration, chosen, arguments) = *random.pick(ARGUMENTS);
    let (result, list, ids) = *random.pick(SHAPES);
    let name = format!("public.f{number:05}");
    let mut conditions = vec![chosen.to_owned()];
    if random.percent(50) {
        let of_owner = declaration.contains("p_owner") && random.percent(40);
        let from = if of_owner { OF_OWNER } else { CONDITIONS };
        conditions.push((*random.pick(from)).to_owned());
        // Instead of the argument's own condition.
        if conditions[1].contains("coalesce(p_owner") || conditions[1].contains(", p_owner)") {
            conditions.remove(0);
        }
    }
    let guard = *random.pick(GUARDS);
    let is_plain = conditions == [chosen] && SIGNED_IN.contains(&guard);
    let is_plpgsql = random.percent(40);
    let select = |conditions: &[String]| {
        format!("SELECT {list} FROM {} AS t WHERE {}", table.name, conditions.join(" AND "))
    };
    let is_set = result.starts_with("SETOF") || result.starts_with("TABLE");
    let body = if is_plpgsql {
        let refusal = match (is_set, random.percent(50)) {
            (_, true) => "RAISE EXCEPTION 'not allowed'",
            (true, false) => "RETURN",
            (false, false) => "RETURN NULL",
        };
        let answer = match is_set {
            true => format!("RETURN QUERY {}", select(&conditions)),
            false => format!("RETURN ({})", select(&conditions)),
        };
        format!("BEGIN IF NOT coalesce({guard}, false) THEN {refusal}; END IF; {answer}; END")
    } else {
        if guard != "true" {
            conditions.push(guard.to_owned());
        }
        select(&conditions)
    };
    let is_volatile = random.percent(15);
    let callers: &[&str] = match random.below(10) {
        0 => &[],
        1..3 => &["authenticated"],
        _ => &["anon", "authenticated"],
    };
    let types: Vec<&str> =
        declaration.split(", ").filter_map(|argument| argument.split(' ').nth(1)).collect();
    let types = types.join(",");
    let mut sql = format!(
        "CREATE FUNCTION {name}({declaration}) RETURNS {} LANGUAGE {} {} SECURITY DEFINER
         SET search_path = '' AS $$ {body} $$;\n",
        result.replace("@t@", &table.name),
        if is_plpgsql { "plpgsql" } else { "sql" },
        if is_volatile { "VOLATILE" } else { "STABLE" },
    );
    if callers.len() < 2 {
        sql += &format!("REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC;\n");
        for caller in callers {
            sql += &format!("GRANT EXECUTE ON FUNCTION {name} TO {caller};\n");
        }
    }
    let ids = ids.map(str::to_owned);
    // Objects of findings are written as regprocedure.
    let signature = format!("{}({types})", name.trim_start_matches("public."));
    Definer { signature, name, arguments, ids, is_volatile, is_plain, callers, sql }
}

/// Generates the table `public.t<number>`, whose rows their owners read.
pub fn table(random: &mut Random, number: usize) -> Table {
    let name = format!("public.t{number:05}");
    let rows = rows(random, true, false);
    let mut statements = vec![format!(
        "CREATE TABLE {name} (id integer PRIMARY KEY, owner uuid REFERENCES auth.users,
         team integer, is_public boolean, note text)"
    )];
    statements.extend(rows.iter().map(|row: &Row| row.insert(&name, 0)));
    let policy = *random.pick(&[
        "TO authenticated USING (owner = auth.uid())",
        "TO authenticated USING (owner = auth.uid())",
        "TO authenticated USING (owner = auth.uid() OR private.is_member(team))",
        "FOR SELECT USING (true)",
        "FOR SELECT TO authenticated USING (auth.uid() IS NOT NULL)",
        "FOR SELECT TO authenticated USING (false)",
    ]);
    let grant = match random.percent(80) {
        true => format!("GRANT SELECT ON {name} TO anon, authenticated"),
        false => format!("GRANT INSERT ON {name} TO authenticated"),
    };
    let summary = format!(
        "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\nCREATE POLICY p ON {name} {policy};\n\
         {grant}"
    );
    let sql = format!("{};\n{summary};\n", statements.join(";\n"));
    Table { name, has_owner: true, rows, sql, summary }
}
